"""The crystal that a field stands for: X = X_b + S·cell; and the bonds of its atoms."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .types import Array

#: Neighbours count as nearest up to this much farther than the nearest of all.
SHELL = 1.2


@dataclass(frozen=True, eq=False)
class Lattice:
    """A reference crystal.

    Attributes
    ----------
    cell : (3, 3) array
        Cell vectors as rows, Å.
    basis : (n_basis, 3) array
        Å.
    pbc : (3,) array of bool
        Which of the vectors repeat.
    """

    cell: Array
    basis: Array
    pbc: Array

    @cached_property
    def bonds(self) -> tuple[Array, ...]:
        """Vectors (m, 3) to the nearest neighbours of every atom of the basis, Å."""
        steps = [np.arange(-2, 3) if p else np.zeros(1, dtype=int) for p in self.pbc]
        shifts = np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1).reshape(-1, 3) @ self.cell
        images = (self.basis[:, None] + shifts).reshape(-1, 3)
        found = []
        for x in self.basis:
            d = images - x
            r = np.linalg.norm(d, axis=1)
            nearest = r[r > 1e-6].min()
            found.append(d[(r > 1e-6) & (r < SHELL * nearest)])
        return tuple(found)

    @property
    def shortest(self) -> float:
        """The shortest bond, Å."""
        return float(min(np.linalg.norm(b, axis=1).min() for b in self.bonds))

    def misfits(self, vectors: Array) -> Array:
        """How far (n_basis,) the worst of some neighbours' vectors (k, 3) is from the nearest bond of each atom of the basis, Å."""
        return np.array([np.linalg.norm(vectors[:, None] - b, axis=2).min(axis=1).max(initial=0.0) for b in self.bonds])
