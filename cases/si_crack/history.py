"""The states of a loading, kept as they come, so that an interrupted run goes on exactly where it was."""

from __future__ import annotations

from typing import Any

import numpy as np

from multiscale.checkpoint import Checkpoint, load, save
from multiscale.drive import Step


class History:
    """A file of relaxed states in the run's folder; a finished run removes it.

    Parameters
    ----------
    run : Run
    name : str
        Of the loading.
    """

    def __init__(self, run: Any, name: str):
        self.run, self.path = run, run.out / f"{name}.checkpoint.npz"
        # Which loadings a run consists of does not matter to any one of them, nor does the quantum tip to those without it.
        quantum = (
            "mixing",
            "core",
            "centre",
            "hops",
            "repeat",
            "quantum_resolution",
            "quantum_fmax",
            "electronic_temperature",
        )
        out = ("members", "quantum", "checks", *(() if "QM" in name else quantum))
        kept = {k: v for k, v in run.settings.items() if k not in out}
        self.settings = kept | {"loading": name}

    def read(self) -> list[Step]:
        """The states so far, on every rank; empty for a new run."""
        found = load(self.path, self.settings) if self.run.first and self.path.exists() else None
        found = self.run.world.bcast(found)
        if found is None:
            return []
        a = found.arrays
        return [
            Step(
                k,
                q,
                None,
                np.zeros_like(q),
                float("nan"),
                0,
                True,
                float(a["loads"][k]),
                str(a["events"][k]),
                float(a["increments"][k]),
            )
            for k, q in enumerate(a["states"])
        ]

    def write(self, states: list[Step]) -> None:
        """Keep all states so far, on rank 0."""
        if not self.run.first:
            return
        arrays = {
            "states": np.stack([s.q for s in states]),
            "loads": np.array([s.load for s in states]),
            "increments": np.array([s.increment for s in states]),
            "events": np.array([s.event for s in states]),
        }
        save(self.path, Checkpoint(len(states) - 1, states[-1].q, arrays), self.settings)

    @staticmethod
    def clear(run: Any) -> None:
        """Remove all checkpoints of a run that has come to its end."""
        if run.first:
            for path in run.out.glob("*.checkpoint.npz"):
                path.unlink()
