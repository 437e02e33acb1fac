"""A crack in a disc of atoms alone: those beyond a radius are held at the K-field with its inner shift.

    r < R                        free
    R … R + 2 cutoffs + 0.2 Å    held: the forces on free atoms do not know that the disc ends

It is the reference for hybrids: the loads at which bonds break extrapolate linearly in 1/R.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..embedding import Embedding, select
from ..interface import Interface, Overlay
from ..partition import Nested
from ..region import Region
from ..types import Array, BoolArray
from .crack import Crack, free_first
from .lattice import CrackCrystal
from .material import CrystalOfCrack


@dataclass(frozen=True, eq=False)
class AtomicCrack(Crack):
    """All atoms, one period thick.

    Parameters
    ----------
    material : CrystalOfCrack
    radius : float
        Å; cells whose centre is within it are free.
    """

    material: CrystalOfCrack
    radius: float
    crystal: CrackCrystal = field(init=False)
    n_free: int = field(init=False)

    def __post_init__(self) -> None:
        m = self.material
        crystal = m.crystal(self.radius + 2.0 * m.model.cutoff * m.model.layers + 0.2)
        crystal, n = free_first(crystal, np.hypot(crystal.cells[:, 0], crystal.cells[:, 1]) <= self.radius)
        object.__setattr__(self, "crystal", crystal)
        object.__setattr__(self, "n_free", n)

    @property
    def reference(self) -> Array:
        """The closed, unloaded crack (n_q, 3), Å."""
        return self.crystal.positions

    def fixed(self) -> BoolArray:
        """The atoms outside, and z where motion is planar."""
        mask = np.zeros((len(self.reference), 3), dtype=bool)
        mask[:, 2] = self.material.planar
        mask[self.n_free :] = True
        return mask

    def displacement(self, K: object, tip: tuple[float, float] = (0.0, 0.0)) -> Array:
        """The K-field at every atom (n_q, 3), Å; K in MPa·√m."""
        return self.shifted_field(self.crystal.positions, self.crystal.basis, K, tip)

    def interface(
        self, extra: dict[str, tuple[Region, Embedding]] | None = None, overlays: dict[str, Overlay] | None = None
    ) -> Interface:
        """All of them counted once as ``ml``, with further regions laid over them."""
        whole = select(np.arange(self.n_q), self.n_q)
        regions: dict[str, Any] = {"ml": (self.region(), whole), **(extra or {})}
        return Interface(self.reference, regions, Nested([], rest="ml"), self.fixed(), overlays=overlays)

    def place(self, q: Array) -> Array:
        """They are the shared dofs."""
        return q
