"""Springs between atoms in the place of stiffness matrices G_k without resistance to translation.

    ½ u·G_k u = Σ_{i<j} e_kij,     e_kij = −½ d·S_kij d,     d = u_i − u_j,     S_kij = ½ (G_kij + G_kijᵀ)

Pair by pair the energy does not change when all atoms move alike, so that pairs may be weighed one by one. It is exact for symmetric
blocks; the antisymmetric part of a block, u_i·A_ij u_j, is no function of d and is left out (:attr:`Springs.left_out`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from ..types import Array, IntArray

#: eV/Å²; blocks below it are round-off.
NONE = 1e-7


class Springs:
    """Pairs of atoms with a spring matrix per member of a family of stiffness matrices.

    Parameters
    ----------
    matrices : sequence of K sparse matrices (3n, 3n)
        G_k, symmetric, with rows that sum to zero; eV/Å².

    Attributes
    ----------
    i, j : (m,) int array
        i < j; pairs with a block in any of the matrices.
    blocks : (K, m, 3, 3) array
        S.
    left_out : float
        Largest antisymmetric part of a block over the largest block.
    """

    def __init__(self, matrices: Sequence[sp.spmatrix]) -> None:
        self.n = matrices[0].shape[0] // 3
        tables = [self._pairs(m) for m in matrices]
        numbers = np.unique(np.concatenate([t[0] for t in tables]))
        self.i: IntArray = numbers // self.n
        self.j: IntArray = numbers % self.n
        data = np.zeros((len(tables), len(numbers), 3, 3))
        for k, (number, block) in enumerate(tables):
            data[k, np.searchsorted(numbers, number)] = block
        self.blocks: Array = 0.5 * (data + data.transpose(0, 1, 3, 2))
        top = float(np.abs(data).max(initial=0.0))
        self.left_out = float(np.abs(data - self.blocks).max(initial=0.0)) / top if top else 0.0

    def _pairs(self, matrix: sp.spmatrix) -> tuple[IntArray, Array]:
        """Numbers (p,) of the pairs of one matrix, i n + j, and their blocks (p, 3, 3)."""
        g = sp.bsr_matrix(matrix, blocksize=(3, 3))
        g.sum_duplicates()
        row = np.repeat(np.arange(self.n), np.diff(g.indptr))
        kept = (row < g.indices) & (np.abs(g.data).max(axis=(1, 2), initial=0.0) > NONE)
        return row[kept] * self.n + g.indices[kept], g.data[kept]

    def __len__(self) -> int:
        return len(self.i)

    @cached_property
    def _apart(self) -> sp.csr_matrix:
        """Displacements (n,) to differences (m,)."""
        m = len(self)
        rows, ones = np.arange(m), np.ones(m)
        to_i, to_j = (sp.csr_matrix((ones, (rows, k)), shape=(m, self.n)) for k in (self.i, self.j))
        return sp.csr_matrix(to_i - to_j)

    @cached_property
    def _vectors(self) -> sp.csr_matrix:
        """The same of vectors (3m, 3n)."""
        return sp.kron(self._apart, sp.identity(3), format="csr")

    def energies(self, u: Array) -> Array:
        """Energies e (K, m), eV, at displacements u (n, 3), Å."""
        d = self._apart @ u
        return np.asarray(-0.5 * np.einsum("mi,kmij,mj->km", d, self.blocks, d))

    def stiffness(self, weights: Array) -> sp.csr_matrix:
        """Second derivatives (3n, 3n) of Σ weights_km e_km."""
        m = len(self)
        blocks = -np.einsum("km,kmij->mij", weights, self.blocks)
        inner = sp.bsr_matrix((blocks, np.arange(m), np.arange(m + 1)), shape=(3 * m, 3 * m))
        return sp.csr_matrix(self._vectors.T @ inner @ self._vectors)
