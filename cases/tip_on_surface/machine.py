"""A rigid machine: approach and pull off by steps, with what every region counts at each of them."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from multiscale import HybridModel
from multiscale.drive import relax
from multiscale.drive.precondition import precondition
from multiscale.types import Array, BoolArray, MultiscaleError


@dataclass
class Path:
    """A way of the machine.

    Attributes
    ----------
    heights, forces, energies : list of float
        Å above the closed contact, force on the tip (attraction negative), eV/Å, and energy, eV.
    parts : list of dict
        Energy of every region, eV.
    states : list of (n_q, 3) array
    coverage : float
        Largest deviation of matter's coverage from one.
    evaluations : int
    """

    heights: list[float] = field(default_factory=list)
    forces: list[float] = field(default_factory=list)
    energies: list[float] = field(default_factory=list)
    parts: list[dict[str, float]] = field(default_factory=list)
    states: list[Array] = field(default_factory=list)
    coverage: float = 0.0
    evaluations: int = 0

    def keep(self, run: Any, name: str) -> None:
        """Put the last height into the way's own file at once: a relaxation may take minutes, and a run may be stopped."""
        if not run.first:
            return
        new = len(self.heights) == 1
        with (run.out / f"{name}.csv").open("w" if new else "a", newline="") as file:
            rows = csv.writer(file)
            if new:
                rows.writerow(["height Å", "force eV/Å", "energy eV", *(f"{part} eV" for part in self.parts[0])])
            rows.writerow([self.heights[-1], self.forces[-1], self.energies[-1], *self.parts[-1].values()])

    @property
    def pull_off(self) -> float:
        """The largest attraction, eV/Å."""
        return -min(self.forces)

    @property
    def turn(self) -> int:
        """The step at which the machine turns."""
        return int(np.argmin(self.heights))

    @property
    def bound(self) -> float:
        """Energy of the contact, eV: that of bodies apart, before they meet or at the end where they start closed, less the least."""
        return (self.energies[0] if self.turn else self.energies[-1]) - min(self.energies)

    def work(self) -> float:
        """∫F dΔ − ΔE over the whole way, eV: what jumps have dissipated."""
        done = float(-np.sum(0.5 * (np.array(self.forces[1:]) + self.forces[:-1]) * np.diff(self.heights)))
        return done - (self.energies[-1] - self.energies[0])


def travel(
    run: Any,
    name: str,
    model: HybridModel,
    tip: BoolArray,
    heights: Array,
    fmax: float,
    keep: bool = False,
    **how: Any,
) -> Path:
    """Go through the heights, relaxing at each; collective.

    Parameters
    ----------
    run : Run
    name : str
        For progress.
    model : HybridModel
        Its interface's reference is the closed contact, its fixed dofs the machine's.
    tip : (n_q,) bool array
        Dofs of the tip.
    heights : (n,) array
        Å.
    fmax : float
        eV/Å.
    keep : bool
        One factorisation, of the closed contact, for the whole way: in space a fresh one costs more than the steps that it saves.
    **how
        For :func:`~multiscale.drive.relax`.
    """
    out, interface = Path(), model.interface
    X, up = interface.reference, np.outer(tip, [0.0, 1.0, 0.0])
    grips = interface.fixed & tip[:, None]

    if keep:
        factors = how.get("make", precondition)(model, X, ~interface.fixed)
        how["make"] = lambda *_: factors

    def steps() -> Any:
        q, before = X + heights[0] * up, heights[0]
        for height in heights:
            # The tip moves as a whole; what sticks to the surface comes back as it relaxes.
            q = q + (height - before) * (up if height < before else np.where(grips, up, 0.0))
            last = list(relax(model, q, fmax=fmax, max_steps=300, **how))[-1]
            if not last.converged:
                raise MultiscaleError(f"{name}, {height:.2f} Å: not at rest, {last.line()}")
            q, before = last.q, height
            state = model.evaluate(q)
            out.heights.append(float(height))
            out.forces.append(float(last.forces[grips[:, 1], 1].sum()))
            out.energies.append(float(last.energy))
            out.parts.append(dict(state.parts))
            out.keep(run, name)
            out.states.append(q)
            yield f"{name}: height {height:.2f} Å, force {out.forces[-1]:.4f} eV/Å"

    for _ in run.follow(steps(), name, total=len(heights)):
        pass
    ledger = model.ledger(out.states[-1])
    out.coverage = max(abs(c - 1.0) for c in ledger.coverage)
    out.evaluations = model.evaluations
    run.say(f"{name}\n{ledger}")
    return out
