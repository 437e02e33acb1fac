"""Memory: peak resident memory per atom and per mesh dof, of a plain model, of hybrids and of a continuum.

    peak(n) − peak(smallest) = c nᵖ          p from the three largest sizes, c from all with p = 1

Every size is a process of its own (``worker.py``), since a peak never falls again; the smallest size of each kind, which
is mostly the imports, is taken off. The peak contains what is needed only while the model is built.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import numpy as np

from multiscale import Case, Expect
from multiscale.ranks import LAUNCHERS
from multiscale.types import MultiscaleError

#: What the worker calls a kind: its name in the record, what is counted, the setting with its sizes, a colour.
KINDS = {
    "plain": ("plain", "atom", "cells", "#1d3557"),
    "hybrid": ("hybrid", "atom", "cells", "#c1121f"),
    "unchecked": ("hybrid without gates", "atom", "cells", "#f4a261"),
    "continuum": ("continuum", "dof", "intervals", "#6d597a"),
}
MINIMAL = 2
LINEAR = ("plain", "hybrid", "continuum")


class Memory(Case):
    """Peak memory against size: KiB per atom and per dof, exponents of growth, hybrids over plain."""

    name = "bench_memory"
    benchmark = True
    # Silicon of 8 cells³ atoms; a square of quadratic triangles with 2 (2 intervals + 1)² dofs.
    sizes = {
        "tiny": {"cells": (4, 6), "intervals": (20, 40), "baselines": 1},
        "small": {"cells": (5, 11, 17, 23), "intervals": (35, 80, 157, 300), "baselines": 2},
        "full": {"cells": (11, 17, 23, 36), "intervals": (80, 157, 300, 600), "baselines": 2},
    }
    expectations = tuple(
        Expect(
            f"{KINDS[kind][0]}, exponent", 1.0, tolerance=0.1, source="memory grows linearly", sizes=("small", "full")
        )
        for kind in LINEAR
    )

    def build(self, run):
        """Nothing in this process: the workers build."""

    def measure(self, run, nothing):
        """Counts and peaks of every kind, measured on rank 0 while the others wait."""
        measured = {}
        for kind, (name, *_) in KINDS.items():
            with run.timed(name):
                measured[kind] = run.world.bcast(self._sizes(run, kind) if run.first else None)
        for kind, (base, rows) in measured.items():
            self._growth(run, kind, base, rows)
        plain = measured["plain"]
        for kind in ("hybrid", "unchecked"):
            name, (base, rows) = KINDS[kind][0], measured[kind]
            run.record(f"{name} over plain, per atom", slope(base, rows) / slope(*plain))
            run.record(f"{name} over plain, whole process of the largest", float(rows[-1, 1] / plain[1][-1, 1]))
        return measured

    def _sizes(self, run: Any, kind: str) -> tuple[Any, Any]:
        """What :meth:`_worker` finds for the smallest size, and for the others (n, 3)."""
        # More than one: the first may compile the forms of the continuum, which takes memory too.
        bases = [self._worker(kind, MINIMAL) for _ in range(run.settings["baselines"])]
        rows = [self._worker(kind, size) for size in run.settings[KINDS[kind][2]]]
        return np.min(bases, axis=0), np.array(rows)

    def _worker(self, kind: str, size: int) -> tuple[float, float, float]:
        """Count, peak and the peak of the construction alone, MiB, of one process."""
        command = [sys.executable, str(self.folder / "worker.py"), kind, str(size)]
        done = subprocess.run(command, env=alone(), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise MultiscaleError(f"the worker '{kind}' of size {size} failed: {done.stderr.strip()[-500:]}")
        found = json.loads(done.stdout.splitlines()[-1])
        return found["count"], found["peak"], found["built"]

    @staticmethod
    def _growth(run: Any, kind: str, base: Any, rows: Any) -> None:
        name, unit, *_ = KINDS[kind]
        run.record(f"{name}, {unit}s of the largest", int(rows[-1, 0]))
        run.record(f"{name}, smallest process", float(base[1]), "MiB")
        run.record(f"{name}, largest process", float(rows[-1, 1]), "MiB")
        run.record(f"{name}, largest process when built", float(rows[-1, 2]), "MiB")
        run.record(f"{name}, per {unit}", 2**10 * slope(base, rows), f"KiB/{unit}")
        run.record(f"{name}, exponent", exponent(base, rows))

    def plot(self, run, measured):
        """Memory above that of the smallest size, against size, with the fitted lines."""
        import matplotlib.pyplot as plt

        figure, axes = plt.subplots(1, 2, figsize=(10, 4.2), sharey=True)
        for kind, (base, rows) in measured.items():
            name, unit, _, colour = KINDS[kind]
            axis, n = axes[1 if unit == "dof" else 0], rows[:, 0]
            per = slope(base, rows)
            axis.loglog(n, rows[:, 1] - base[1], "o", color=colour, label=f"{name}: {2**10 * per:.2f} KiB per {unit}")
            axis.loglog(n, per * (n - base[0]), "-", lw=1, color=colour)
        axes[0].set(xlabel="atoms", ylabel="peak memory above the smallest size, MiB", title="Stillinger–Weber silicon")
        axes[1].set(xlabel="dofs", title="quadratic triangles")
        for axis in axes:
            axis.legend(frameon=False, fontsize=8)
            axis.grid(alpha=0.3)
        run.save_figure(figure, "bench_memory.png")


def slope(base: Any, rows: Any) -> float:
    """MiB per atom or dof above the smallest size; least squares through it, where the large sizes count most."""
    n, m = rows[:, 0] - base[0], rows[:, 1] - base[1]
    return float(n @ m / (n @ n))


def exponent(base: Any, rows: Any) -> float:
    """The exponent of growth, fitted to the three largest sizes; NaN where memory did not grow."""
    # Not two: large blocks come and go between equal runs, 5 % of the peak.
    n, m = (rows[-3:, :2] - base[:2]).T
    return float(np.polyfit(np.log(n), np.log(m), 1)[0]) if m.min() > 0 else float("nan")


def alone() -> dict[str, str]:
    """The environment of a process that is no rank of this run, with one thread."""
    # All of OMPI_: Open MPI 4 also tells its ranks through OMPI_MCA_ variables what they belong to.
    marks = ("OMPI_", "PMIX_", "PMI_", "ORTE_", "PRTE_", *LAUNCHERS)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(marks)}
    return kept | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


if __name__ == "__main__":
    Memory().main()
