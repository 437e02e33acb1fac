"""Embeddings: how a region's dofs follow from the shared ones.

    x = M q + b            M sparse (3 n_x, 3 n_q), b constant
    pull-back of forces    f_q = Mᵀ f_x

Selection, periodic images, link atoms, and atoms slaved to a mesh (with inner shifts) are all *affine rows*; so is any chain of
them. One class therefore serves all, and its adjoint is exact by construction. Rows that are a plain copy of one shared
dof are remembered in ``own``: sharp couplings keep the forces on those and discard the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import scipy.sparse as sp

from .types import Array, IntArray, MultiscaleError


class Interpolates(Protocol):
    """What slaving atoms needs of a mesh: sparse interpolation rows over its nodes."""

    @property
    def nodes(self) -> Array:
        """Reference positions of the nodes (n_nodes, 3)."""

    def shape(self, points: Array, tolerance: float = 1e-6) -> Any:
        """Sparse (n, n_nodes) matrix of shape-function values; points up to ``tolerance`` (Å) outside are extrapolated."""

    def gradient(self, points: Array, tolerance: float = 1e-6) -> Sequence[Any]:
        """Sparse (n, n_nodes) matrices of ∂N/∂X_j, one per mesh dimension j."""


@dataclass(frozen=True)
class _Copies:
    """An affine map's rows that copy a shared dof, each another one, and the matrix of the others over the dofs that they use.

    Most rows are copies: indexing moves them several times faster than a sparse product, which is felt in models as cheap as
    Stillinger–Weber. Contiguous copies (all atoms, all nodes) are slices, the others index arrays.
    """

    source: slice | IntArray
    target: slice | IntArray
    others: slice | IntArray
    used: slice | IntArray
    matrix: Any
    #: The transpose in rows of its own: its product is twice as fast as that of a transposed view.
    transpose: Any

    @classmethod
    def of(cls, matrix: Any) -> _Copies | None:
        """Found in the entries themselves; None where two rows copy the same dof or too few rows are copies."""
        m = sp.csr_matrix(matrix, copy=True)
        m.sum_duplicates()
        if m.nnz == 0:
            return None
        single = np.diff(m.indptr) == 1
        # Rows without an entry point at the next row's, or past the end: they are masked out.
        first = np.minimum(m.indptr[:-1], m.nnz - 1)
        column = m.indices[first].reshape(-1, 3)
        one = (single & (m.data[first] == 1.0)).reshape(-1, 3)
        copied = one.all(axis=1) & (column[:, 0] % 3 == 0) & (np.diff(column, axis=1) == 1).all(axis=1)
        target, others = np.flatnonzero(copied), np.flatnonzero(~copied)
        source = column[target, 0].astype(np.int64) // 3
        if 2 * len(target) < len(copied) or len(np.unique(source)) < len(source):
            return None
        if len(others) == 0:
            return cls(_slice(source), _slice(target), _slice(others), _slice(others), None, None)
        rest = m[(3 * others[:, None] + np.arange(3)).ravel()]
        used = np.unique(rest.indices // 3)
        rest = rest[:, (3 * used[:, None] + np.arange(3)).ravel()]
        return cls(_slice(source), _slice(target), _slice(others), _slice(used), rest, rest.T.tocsr())


def _slice(indices: IntArray) -> slice | IntArray:
    """The same as a slice where the indices are contiguous."""
    contiguous = len(indices) > 0 and (np.diff(indices) == 1).all()
    return slice(int(indices[0]), int(indices[-1]) + 1) if contiguous else indices


@dataclass(frozen=True)
class Embedding:
    """An affine map from shared dofs to one region's dofs.

    Attributes
    ----------
    matrix : scipy.sparse.csr_matrix, (3 n_x, 3 n_q)
    offset : (n_x, 3) array, Å
    own : (n_x,) int array
        The shared dof that a row copies (up to a constant), or −1.
    """

    matrix: Any
    offset: Array
    own: IntArray

    @property
    def n_x(self) -> int:
        """Number of the region's dofs."""
        return len(self.own)

    @property
    def n_q(self) -> int:
        """Number of shared dofs."""
        return self.matrix.shape[1] // 3

    def place(self, q: Array) -> Array:
        """X = M q + b, (n_x, 3) Å."""
        x = self.push(q)
        x += self.offset
        return x

    def pull(self, f: Array) -> Array:
        """Mᵀ f: forces (n_x, 3) on the region's dofs to forces (n_q, 3) on the shared ones."""
        copies = self._copies
        if copies is None:
            return (self._transpose @ f.ravel()).reshape(-1, 3)
        out = np.zeros((self.n_q, 3))
        out[copies.source] = f[copies.target]
        if copies.matrix is not None:
            out[copies.used] += (copies.transpose @ f[copies.others].ravel()).reshape(-1, 3)
        return out

    def push(self, v: Array) -> Array:
        """M v: a displacement of the shared dofs to one of the region's."""
        copies = self._copies
        if copies is None:
            return (self.matrix @ v.ravel()).reshape(-1, 3)
        out = np.empty((self.n_x, 3))
        out[copies.target] = v[copies.source]
        if copies.matrix is not None:
            out[copies.others] = (copies.matrix @ v[copies.used].ravel()).reshape(-1, 3)
        return out

    @cached_property
    def _transpose(self) -> Any:
        return self.matrix.T.tocsr()

    @cached_property
    def _copies(self) -> _Copies | None:
        return _Copies.of(self.matrix)

    def restrict(self, f: Array) -> Array:
        """Keep the forces on copied dofs and discard those on slaved ones; (n_q, 3)."""
        out = np.zeros((self.n_q, 3))
        mine = self.own >= 0
        np.add.at(out, self.own[mine], f[mine])
        return out

    def after(self, first: Embedding) -> Embedding:
        """The chain q → ``first`` → this."""
        own = np.where(self.own >= 0, first.own[self.own], -1)
        return Embedding((self.matrix @ first.matrix).tocsr(), self.place(first.offset), own)

    def take(self, rows: IntArray) -> Embedding:
        """Only some of the region's dofs, in the order given."""
        rows = np.asarray(rows, dtype=np.int64)
        flat = (3 * rows[:, None] + np.arange(3)).ravel()
        return Embedding(self.matrix[flat], self.offset[rows], self.own[rows])


def _blocks(weights: Any) -> Any:
    """The same scalar rows for all three components."""
    return sp.kron(sp.csr_matrix(weights), sp.identity(3, format="csr"), format="csr")


def select(indices: Sequence[int] | IntArray, n_q: int, shift: Array | None = None) -> Embedding:
    """x_a = q[indices_a] + shift_a: a selection of shared dofs, or their periodic images.

    Parameters
    ----------
    indices : (n_x,) ints
    n_q : int
        Number of shared dofs.
    shift : (n_x, 3) array, optional
        Constant shifts in Å: lattice vectors times integer numbers of periods.
    """
    idx = np.asarray(indices, dtype=np.int64)
    if len(idx) and (idx.min() < 0 or idx.max() >= n_q):
        raise MultiscaleError(f"a selection must lie in 0…{n_q - 1}, got indices from {idx.min()} to {idx.max()}")
    rows = sp.csr_matrix((np.ones(len(idx)), (np.arange(len(idx)), idx)), shape=(len(idx), n_q))
    offset = np.zeros((len(idx), 3)) if shift is None else np.array(shift, dtype=float)
    return Embedding(_blocks(rows), offset, idx)


def link_atoms(
    inner: IntArray,
    outer: IntArray,
    ratio: Array,
    n_q: int,
    inner_shift: Array | None = None,
    outer_shift: Array | None = None,
) -> Embedding:
    """x_H = x_in + c (x_out − x_in): caps on cut bonds; forces flow back to both ends with weights 1 − c and c.

    Parameters
    ----------
    inner, outer : (n,) ints
        Shared dofs at the two ends of each cut bond.
    ratio : (n,) array
        c = (length of the capped bond)/(length of the cut bond).
    inner_shift, outer_shift : (n, 3) arrays, optional
        Periodic shifts of the ends in Å.
    """
    c = np.asarray(ratio, dtype=float)
    a = select(inner, n_q, inner_shift)
    b = select(outer, n_q, outer_shift)
    scale_a, scale_b = (sp.diags(np.repeat(s, 3)) for s in (1.0 - c, c))
    matrix = (scale_a @ a.matrix + scale_b @ b.matrix).tocsr()
    offset = (1.0 - c)[:, None] * a.offset + c[:, None] * b.offset
    return Embedding(matrix, offset, np.full(len(c), -1, dtype=np.int64))


def slaved(
    mesh: Interpolates,
    points: Array,
    nodes: IntArray,
    n_q: int,
    inner_shift: Array | None = None,
    tolerance: float = 1e-6,
) -> Embedding:
    """Atoms that follow a mesh: x_a = X_a + u(X_a) + Z_a : sym ∇u(X_a).

    The last term is the relaxed inner shift of the atom's sublattice under strain, to first order; without it
    a multilattice such as silicon is wrong by a force of first order.

    Parameters
    ----------
    mesh : object with ``nodes``, ``shape`` and ``gradient``
    points : (n, 3) array
        Reference positions X_a of the atoms, Å.
    nodes : (n_nodes,) ints
        Shared dofs that hold the mesh nodes.
    n_q : int
    inner_shift : (n, 3, 3, 3) array, optional
        Z_a in Å: displacement component i per strain component (j, k).
    tolerance : float
        Å; atoms up to this far outside the mesh follow its nearest cell.
    """
    points = np.asarray(points, dtype=float)
    n = len(points)
    to_nodes = select(nodes, n_q)
    matrix = _blocks(mesh.shape(points, tolerance))
    if inner_shift is not None:
        z = 0.5 * (inner_shift + inner_shift.transpose(0, 1, 3, 2))
        # Symmetry makes most of it zero, which a rotation leaves as round-off: it is not worth its place in the matrix.
        z = np.where(np.abs(z) > 1e-12 * np.abs(z).max(initial=0.0), z, 0.0)
        for j, d in enumerate(mesh.gradient(points, tolerance)):
            d = sp.coo_matrix(d)
            # x_i += Σ_k z[a, i, k, j] ∂u_k/∂X_j: a 3×3 block (i, k) per (atom, node) pair.
            rows = (3 * d.row[:, None, None] + np.arange(3)[:, None]) + np.zeros(3, dtype=int)
            cols = (3 * d.col[:, None, None] + np.arange(3)[None, :]) + np.zeros((3, 1), dtype=int)
            data = z[d.row, :, :, j] * d.data[:, None, None]
            matrix = matrix + sp.csr_matrix((data.ravel(), (rows.ravel(), cols.ravel())), shape=matrix.shape)
    matrix = matrix.tocsr()
    matrix.eliminate_zeros()
    offset = points - (matrix @ np.asarray(mesh.nodes).ravel()).reshape(-1, 3)
    return Embedding((matrix @ to_nodes.matrix).tocsr(), offset, np.full(n, -1, dtype=np.int64))


def stack(*parts: Embedding) -> Embedding:
    """Several embeddings over the same shared dofs, one after the other."""
    if len({p.n_q for p in parts}) != 1:
        raise MultiscaleError(f"embeddings can be stacked only over the same shared dofs, got {[p.n_q for p in parts]}")
    return Embedding(
        sp.vstack([p.matrix for p in parts], format="csr"),
        np.concatenate([p.offset for p in parts]),
        np.concatenate([p.own for p in parts]),
    )
