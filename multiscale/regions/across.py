"""What acts across the interface of bodies of atoms, as a region: the full energy less that of the bodies alone.

    E(x; w) = Σ_i w_i (e_i^full − e_i^apart)      sites i: atoms, with the area of interface that is theirs and no matter

Bodies alone with weight 1, this with w and a cohesive law with 1 − w count every interaction once, wherever along the interface
one gives way to the other. Atoms out of reach of another body have no share in it and are not evaluated.
"""

from __future__ import annotations

import copy
import dataclasses

import ase
import numpy as np
from numpy.typing import ArrayLike

from ..models.base import SiteModel
from ..neighbours import NeighbourList
from ..region import Answer, Can, Query
from ..types import Array, BoolArray, IntArray, MultiscaleError, Team
from .atomic import AtomicRegion
from .ml import MLRegion


class AcrossRegion(AtomicRegion):
    """The difference between atoms that see those of other bodies and atoms that do not.

    Parameters
    ----------
    model : SiteModel
    atoms : ase.Atoms
    bodies : (n,) int array
        Which body each atom belongs to; :func:`multiscale.bodies.parted` makes it from lists.
    area : (n,) array, optional
        Å² of interface that belongs to each atom (half of a crossing bond's to each of its ends:
        :attr:`multiscale.adhesion.facing.Facing.of_atoms`); zero unless given, and the ledger then has no area for this region.
    **options
        As of :class:`~multiscale.regions.ml.MLRegion`.

    Attributes
    ----------
    full, apart : MLRegion
        The two that are subtracted.
    """

    def __init__(
        self, model: SiteModel, atoms: ase.Atoms, bodies: ArrayLike, *, area: ArrayLike | None = None, **options: object
    ) -> None:
        super().__init__(atoms)
        self.full = MLRegion(model, atoms, **options)  # type: ignore[arg-type]
        self.apart = MLRegion(model, atoms, bodies=bodies, **options)  # type: ignore[arg-type]
        self.can = self.full.can & ~Can.SUBSETS
        self.bodies, self.reach = self.apart.bodies, self.full.reach
        self.matter = np.zeros(self.n_sites)
        if area is not None:
            given = np.array(area, dtype=float)
            if given.shape != (self.n_sites,) or (given < 0).any():
                raise MultiscaleError(
                    f"area needs one number of Å² per atom, ({self.n_sites},), none negative; got shape {given.shape}"
                )
            self.area = given
        self._list = NeighbourList(self.reach, self.full.cell, self.full.pbc, self.full.skin)

    @property
    def cell(self) -> Array:
        """Cell vectors as rows (3, 3), Å."""
        return self.full.cell

    def with_cell(self, cell: ArrayLike) -> AcrossRegion:
        """A region with another cell (3, 3), Å, and the same everything else."""
        other = copy.copy(self)
        other.full, other.apart = self.full.with_cell(cell), self.apart.with_cell(cell)
        other._list = NeighbourList(self.reach, other.full.cell, self.full.pbc, self.full.skin)
        return other

    def bind(self, team: Team) -> None:
        """Bind both to the team."""
        super().bind(team)
        self.full.bind(team)
        self.apart.bind(team)

    def abandon(self, error: Exception) -> None:
        """Tell both."""
        self.full.abandon(error)
        self.apart.abandon(error)

    def masses(self) -> Array:
        """None: the bodies have it."""
        return np.zeros(self.n_dofs)

    def sees(self, i: IntArray, j: IntArray) -> BoolArray:
        """Only atoms of different bodies."""
        assert self.bodies is not None
        return np.asarray(self.bodies[i] != self.bodies[j])

    def near(self, x: Array) -> BoolArray:
        """Which atoms (n,) are within reach of another body at x (n, 3); no other site energy differs."""
        pairs = self._list.pairs(np.asarray(x, dtype=float))
        assert self.bodies is not None
        out = np.zeros(self.n_sites, dtype=bool)
        out[pairs.i[self.bodies[pairs.i] != self.bodies[pairs.j]]] = True
        return out

    def evaluate(self, x: Array, query: Query) -> Answer:
        """This rank's share of the difference; collective within the team."""
        self.check(x, query)
        near = self.near(np.asarray(x, dtype=float))
        w = np.where(near, 1.0 if query.weights is None else query.weights, 0.0)
        asked, wanted = dataclasses.replace(query, weights=w, uncounted=False), near & (w == 0.0)
        if Can.SITE_ENERGIES in query.want and query.uncounted and wanted.any():
            asked = dataclasses.replace(asked, uncounted=True)
        full, apart = (r.evaluate(x, asked) for r in (self.full, self.apart))

        def less(name: str) -> object:
            a, b = getattr(full, name), getattr(apart, name)
            return None if a is None else a - b

        found = {f.name: less(f.name) for f in dataclasses.fields(Answer)}
        if found["site_energies"] is not None:
            found["site_energies"] = np.where(near, found["site_energies"], 0.0)  # type: ignore[call-overload]
        return Answer(**found)  # type: ignore[arg-type]

    def stiffness(self, x: Array, weights: Array | None = None) -> object:
        """The difference of the two Hessians of Σ w e over atoms near the interface; indefinite, as interfaces that open are."""
        w = np.where(self.near(np.asarray(x, dtype=float)), 1.0 if weights is None else weights, 0.0)
        return self.full.stiffness(x, w) - self.apart.stiffness(x, w)

    def counters(self) -> dict[str, float]:
        """The sum of both, of seconds and lists; sites of the full one."""
        a, b = self.full.counters(), self.apart.counters()
        return {k: v if k.endswith("sites") else v + b[k] for k, v in a.items()}

    def describe(self) -> str:
        """One line for reports."""
        return f"AcrossRegion of {self.n_sites} atoms ({self.full.model.name})"
