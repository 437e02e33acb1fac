"""Pair functionals and their Hessians: e_i = F_i(ρ_i) + ½ Σ_j φ_ij(r_ij),      ρ_i = Σ_j f_ij(r_ij)      (embedded atoms and the like).

    ∂²E/∂D_e∂D_e   = w_i [ s″ n⊗n + s′/r (1 − n⊗n) ],      s = F′_i f + ½ φ      each edge by itself
    ∂²E/∂ρ_i∂ρ_i   = w_i F″_i                                                  one number per site

    H = Bᵀ diag(A) B + Gᵀ diag(w F″) G,      B: positions to edge vectors,   G = ∂ρ/∂x

so that a model which knows the derivatives of its few functions needs no differentiation: two sparse products give the exact Hessian.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from ..types import Array, IntArray


@dataclass(frozen=True)
class PairFunctional:
    """Derivatives of a pair functional on one graph.

    Attributes
    ----------
    slope, curvature : (n_edges,) arrays
        s′ and s″ of s(r) = F′(ρ_i) f(r) + ½ φ(r), with F′ held, eV/Å and eV/Å².
    density_slope : (n_edges,) array
        f′(r).
    embedding_curvature : (n_centres,) array
        F″(ρ_i), eV.
    """

    slope: Array
    curvature: Array
    density_slope: Array
    embedding_curvature: Array


def pair_hessian(
    parts: PairFunctional, vectors: Array, ends: tuple[IntArray, IntArray], centres: IntArray, weights: Array, n: int
) -> sp.csr_matrix:
    """The exact Hessian (3n, 3n) of Σ_i w_i e_i, eV/Å².

    Parameters
    ----------
    parts : PairFunctional
    vectors : (n_edges, 3) array
        Edge vectors, Å.
    ends : two (n_edges,) int arrays
        Atoms at the centre and at the neighbour of each edge.
    centres : (n_centres,) int array
        The atoms that are centres; edges are sorted in their order.
    weights : (n_centres,) array
    n : int
        Number of atoms.
    """
    if not len(vectors):  # a rank without sites, or atoms that see nobody
        return sp.csr_matrix((3 * n, 3 * n))
    i, j = ends
    r = np.linalg.norm(vectors, axis=1)
    unit = vectors / r[:, None]
    # Edges come in the order of the centres, whose numbers need not ascend.
    number = np.full(n, -1)
    number[centres] = np.arange(len(centres))
    site = number[i]
    w = weights[site]
    side = parts.slope / r
    blocks = (w * (parts.curvature - side))[:, None, None] * (unit[:, :, None] * unit[:, None, :])
    blocks[:, np.arange(3), np.arange(3)] += (w * side)[:, None]
    off = _blocks(i, j, -blocks, n)
    diagonal = _summed(i, blocks, n) + _summed(j, blocks, n)
    H = off + off.T + _blocks(np.arange(n), np.arange(n), diagonal, n)
    # ∂ρ_i/∂x: rows of 3-vectors, one per site; as 1×3 blocks the product has nine times fewer indices to sort.
    slopes = parts.density_slope[:, None] * unit
    own = -_summed(site, slopes, len(centres))
    rows, columns = np.concatenate([site, np.arange(len(centres))]), np.concatenate([j, centres])
    vectors = np.concatenate([slopes, own])
    return sp.csr_matrix(H + _gram(rows, columns, vectors, weights * parts.embedding_curvature, (len(centres), n)))


def _gram(rows: IntArray, columns: IntArray, vectors: Array, d: Array, shape: tuple[int, int]) -> sp.csr_matrix:
    """Gᵀ diag(d) G of G with 1×3 blocks (m, 3) at (row, column)."""
    order = np.lexsort((columns, rows))
    r, c, v = rows[order], columns[order], vectors[order]
    # Images of one atom around the same centre are one entry.
    first = np.concatenate([[True], (np.diff(r) != 0) | (np.diff(c) != 0)])
    v = np.add.reduceat(v, np.flatnonzero(first), axis=0)
    r, c = r[first], c[first]
    start = np.searchsorted(r, np.arange(shape[0] + 1))
    G = sp.bsr_matrix((v[:, None, :], c, start), shape=(shape[0], 3 * shape[1]), blocksize=(1, 3))
    weighted = sp.bsr_matrix(((d[r, None] * v)[:, None, :], c, start), shape=G.shape, blocksize=(1, 3))
    return sp.csr_matrix((G.T @ weighted).tocsr())


def _blocks(i: IntArray, j: IntArray, blocks: Array, n: int) -> sp.csr_matrix:
    """3×3 blocks (m, 3, 3) at (i, j) as a sparse matrix (3n, 3n)."""
    order = np.argsort(i, kind="stable")
    start = np.searchsorted(i[order], np.arange(n + 1))
    m = sp.bsr_matrix((blocks[order], j[order], start), shape=(3 * n, 3 * n)).tocsr()
    m.sum_duplicates()
    return sp.csr_matrix(m)


def _summed(index: IntArray, values: Array, n: int) -> Array:
    """Sums of values (m, …) by index (m,); (n, …)."""
    flat = values.reshape(len(values), -1)
    out = np.stack([np.bincount(index, flat[:, k], n) for k in range(flat.shape[1])], axis=1)
    return np.asarray(out.reshape(n, *values.shape[1:]))
