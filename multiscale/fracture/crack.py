"""What every crack offers to drivers and cases, whether its far field is a mesh or atoms: dofs, loads, watched bonds.

    q = [free atoms, then whatever carries the far field],     q(K, α) = X + u(X; K, α) + Z : sym ∇u

with u the K-field about a tip at x = α on the crack plane and Z the inner shifts of the crystal.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from ..embedding import Embedding
from ..interface import Interface, Overlay
from ..region import Region
from ..regions.ml import MLRegion
from ..types import Array, BoolArray, IntArray
from .bonds import BondWatch
from .lattice import CrackCrystal
from .material import CrystalOfCrack


class Crack(ABC):
    """A crack on y = 0 whose tip is about x = 0, growing along +x.

    Attributes
    ----------
    material : CrystalOfCrack
    crystal : CrackCrystal
        All atoms, the free ones first.
    n_free : int
        How many atoms are free; they are the first of the shared dofs.
    """

    material: CrystalOfCrack
    crystal: CrackCrystal
    n_free: int

    @property
    @abstractmethod
    def reference(self) -> Array:
        """The closed, unloaded crack (n_q, 3), Å."""

    @abstractmethod
    def fixed(self) -> BoolArray:
        """Which components (n_q, 3) the load prescribes, or symmetry holds."""

    @abstractmethod
    def displacement(self, K: object, tip: tuple[float, float] = (0.0, 0.0)) -> Array:
        """The K-field at every shared dof (n_q, 3), Å; K in MPa·√m."""

    @abstractmethod
    def interface(
        self, extra: dict[str, tuple[Region, Embedding]] | None = None, overlays: dict[str, Overlay] | None = None
    ) -> Interface:
        """Regions, embeddings and weights, with further regions laid over them."""

    @abstractmethod
    def place(self, q: Array) -> Array:
        """Where all atoms are (n, 3), Å, for shared dofs q (n_q, 3)."""

    @property
    def n_q(self) -> int:
        """Shared dofs: free atoms, and what carries the far field."""
        return len(self.reference)

    @property
    def nodes(self) -> IntArray:
        """Shared dofs (n_q − n_free,) of what carries the far field."""
        return np.arange(self.n_free, self.n_q)

    def region(self) -> MLRegion:
        """All atoms. A new region each time, since models bind theirs to their ranks."""
        m, X = self.material, self.crystal.positions
        symbols = [m.symbol] * len(X)
        return MLRegion(m.model, symbols=symbols, positions=X, cell=self.cell, pbc=(False, False, True))

    @property
    def margin(self) -> float:
        """How near to the last atom that moves the front may come, Å: one reach."""
        return float(self.material.model.cutoff * self.material.model.layers)

    @property
    def cell(self) -> Array:
        """The atoms' cell, periodic along z only, Å."""
        return np.diag([0.0, 0.0, self.crystal.period])

    def at(self, K: object, tip: tuple[float, float] = (0.0, 0.0)) -> Array:
        """Positions (n_q, 3), Å, in the K-field."""
        return self.reference + self.displacement(K, tip)

    def advance(self, q: Array, K: float, K_new: float) -> Array:
        """Predictor: add the K-field's increment everywhere."""
        return q + self.displacement(K_new - K)

    def watch(self, limit: float = 3.0) -> BondWatch:
        """Bonds among the free atoms; longer ones than ``limit`` (Å) are broken."""
        return BondWatch.of(self.crystal.positions[: self.n_free], self.crystal.period, self.material.bond, limit)

    def shifted_field(self, X: Array, basis: IntArray, K: object, tip: tuple[float, float]) -> Array:
        """Displacement of the K-field and the inner shift of its strain at atoms X (n, 3) of sublattices (n,), Å."""
        kfield = self.material.field
        gradient = kfield.displacement_gradient(X, K, tip)
        return np.asarray(
            kfield.displacement(X, K, tip) + np.einsum("nijk,njk->ni", self.material.inner_shift[basis], gradient)
        )


def free_first(crystal: CrackCrystal, free: Any) -> tuple[CrackCrystal, int]:
    """The crystal with its free atoms (n,) before the others, and their number."""
    return crystal.sorted(np.concatenate([np.flatnonzero(free), np.flatnonzero(~free)])), int(free.sum())
