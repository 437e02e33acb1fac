"""Grips that move apart: relaxed curves T(Δ) of atoms and hybrids, by steps of a rigid machine, with the same code for all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from couplers import EnergyBlend
from multiscale import HybridModel
from multiscale.drive import relax
from multiscale.interface import Interface
from multiscale.types import GPA_PER_EV_A3, Array, BoolArray, MultiscaleError


@dataclass(frozen=True)
class Curve:
    """Openings of the grips, Å, and tractions there, GPa, up to where the slabs have parted; evaluations of the model."""

    opening: Array
    traction: Array
    evaluations: int
    ledger: Any

    @property
    def peak(self) -> float:
        """GPa."""
        return float(self.traction.max())

    @property
    def slope(self) -> float:
        """Of the closed slabs, by the first two steps, GPa/Å."""
        x, t = self.opening[:3], self.traction[:3]
        return float(np.polynomial.Polynomial.fit(x, t, 2).convert().coef[1])

    def off(self, other: Curve, until: float) -> float:
        """Largest difference from another curve's traction for openings up to ``until`` (Å), over the largest of these."""
        n = int((other.opening <= until + 1e-9).sum())
        if len(self.traction) < n:
            return float("inf")
        return float(np.abs(self.traction[:n] - other.traction[:n]).max() / other.traction[:n].max())


def pulled(
    interface: Interface,
    at: Callable[[float], Array],
    held: BoolArray,
    area: float,
    openings: Array,
    say: Callable[[str], None] = lambda text: None,
    fmax: float = 1e-4,
) -> Curve:
    """Open the grips step by step and relax; ends when nothing holds any more.

    Parameters
    ----------
    interface : Interface
        Its fixed dofs are the grips.
    at : callable Δ -> (n_q, 3)
        Where the grips are.
    held : (n_q,) bool
        Dofs of the upper grip.
    area : float
        Å².
    openings : (n,) array
        Å, from 0.
    """
    model = HybridModel(interface, EnergyBlend())
    q, traction = at(0.0), []
    y = interface.reference[:, 1]
    lift = np.clip((y - y.min()) / np.ptp(y), 0.0, 1.0)
    ledger = model.ledger(q)
    for k, opening in enumerate(openings):
        if k:
            # Everything between the grips is drawn out evenly; what is fixed goes with them.
            step = openings[k] - openings[k - 1]
            q = np.where(interface.fixed, at(float(opening)), q + step * np.outer(lift, [0.0, 1.0, 0.0]))
        try:
            last = list(relax(model, q, fmax=fmax, max_steps=400))[-1]
        except MultiscaleError as error:
            if k == 0:
                raise
            say(f"at {opening:.2f} Å: {error}")
            break
        if not last.converged:
            say(f"at {opening:.2f} Å: not at rest, {last.line()}")
            break
        traction.append(-float(last.forces[held, 1].sum()) / area * GPA_PER_EV_A3)
        q = last.q
        if k > 2 and traction[-1] < 0.05 * max(traction):
            break
    return Curve(openings[: len(traction)], np.array(traction), model.evaluations, ledger)
