"""Whether a crack has run to where its atoms end.

    front > x_edge − margin        x_edge: the foremost atom that moves;   margin: the width of the blend, or one reach of the atoms

Beyond that what holds the bonds at the tip is atoms which follow a mesh or are held, and mesh cells cannot break: the crack is stopped by
its description, not by its crystal.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from ..drive.step import Step
from ..types import Array, MultiscaleError
from .bonds import BondWatch
from .crack import Crack


@dataclass(frozen=True)
class Bounds:
    """How far a crack may run in its own atoms.

    Attributes
    ----------
    watch : BondWatch
        Tells where the front is.
    n_free : int
        Free atoms, the first of the shared dofs.
    edge : float
        X of the foremost atom that moves, Å.
    margin : float
        Å.
    """

    watch: BondWatch
    n_free: int
    edge: float
    margin: float

    @classmethod
    def of(cls, crack: Crack, limit: float = 3.0) -> Bounds:
        """Of a crack whose bonds are broken where they are longer than ``limit`` (Å)."""
        n = crack.n_free
        moving = ~crack.fixed()[:n].all(axis=1)
        X = crack.crystal.positions[:n][moving]
        return cls(crack.watch(limit), n, float(X[:, 0].max(initial=-np.inf)), crack.margin)

    def room(self, q: Array) -> float:
        """Å between the front at q (n_q, 3) and where it must not come; negative beyond."""
        return self.edge - self.margin - self.watch.front(q[: self.n_free])

    def __call__(self, q: Array) -> None:
        """Look at a state.

        Raises
        ------
        MultiscaleError
            If the front has come within ``margin`` of the edge.
        """
        if self.room(q) < 0:
            front = self.watch.front(q[: self.n_free])
            raise MultiscaleError(
                f"the crack is leaving its atoms: its front is at x = {front:.2f} Å, within {self.margin:.2f} Å (the blend, or one "
                f"reach) of the last atom that moves, at x = {self.edge:.2f} Å; make the atomistic part larger (free_radius, columns), "
                "let it follow the tip (multiscale.fracture.tracking.track, BandCrack.moved), load in smaller steps, or hand the crack "
                "over to the phase field"
            )


def contained(steps: Iterable[Step], crack: Crack, limit: float = 3.0) -> Iterator[Step]:
    """Pass a driver's steps through, and end with an error where the crack leaves its atoms.

    Parameters
    ----------
    steps : iterable of Step
        From a driver of a model of ``crack``: ``load``, ``verlet``, ``langevin``, ``respa``.
    crack : Crack
    limit : float
        Å; longer bonds are broken.

    Raises
    ------
    MultiscaleError
        At the first step whose front is within ``crack.margin`` of the foremost atom that moves.
    """
    inside = Bounds.of(crack, limit)
    for step in steps:
        inside(step.q)
        yield step
