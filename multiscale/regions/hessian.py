"""Derivatives of site-energy models by edge vectors, and sparse Hessians: H = Bᵀ K B.

B takes positions to edge vectors (D_e = x_j − x_i + const); K_ef = ∂²E/∂D_e∂D_f couples, for a strictly local model,
only edges of the same centre. Probing all centres at once, one neighbour slot and one axis at a time, gives K exactly
with 3·(largest number of neighbours) Hessian–vector products, however many atoms there are.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.sparse as sparse
import torch

from ..models.base import Edges
from ..types import Array, IntArray


def gradient(value: torch.Tensor, vectors: torch.Tensor, *, keep: bool = False, again: bool = False) -> torch.Tensor:
    """∂value/∂vectors, or zero; ``keep`` makes it differentiable again, ``again`` only allows another call."""
    if not value.requires_grad:
        return torch.zeros_like(vectors)
    (g,) = torch.autograd.grad(value, vectors, create_graph=keep, retain_graph=keep or again, allow_unused=True)
    return torch.zeros_like(vectors) if g is None else g


def edge_hessian(edges: Edges, nodes: IntArray, grad: torch.Tensor, n_dofs: int) -> sparse.csr_matrix:
    """Hessian (3·n_dofs, 3·n_dofs) of a strictly local model, eV/Å².

    Parameters
    ----------
    edges : Edges
        The graph, edges sorted by centre.
    nodes : (n_nodes,) int array
        Atom of each node.
    grad : (n_edges, 3) tensor
        ∂E/∂D, differentiable.
    n_dofs : int
        Number of atoms.
    """
    centre = edges.centre.cpu().numpy()
    n_edges = len(centre)
    if n_edges == 0 or not grad.requires_grad:
        return sparse.csr_matrix((3 * n_dofs, 3 * n_dofs))
    count = np.bincount(centre, minlength=edges.n_centres)
    first = np.cumsum(count) - count
    slot = np.arange(n_edges) - first[centre]
    rows, columns, values = [], [], []
    for k in range(int(count.max())):
        probed = np.flatnonzero(count[centre] > k)  # edges whose centre has a k-th neighbour
        partner = first[centre[probed]] + k
        mask = torch.as_tensor((slot == k).astype(float)).to(grad)
        for axis in range(3):
            (h,) = torch.autograd.grad((grad[:, axis] * mask).sum(), edges.vectors, retain_graph=True)
            rows.append((3 * probed[:, None] + np.arange(3)).ravel())
            columns.append(np.repeat(3 * partner + axis, 3))
            values.append(h.double().cpu().numpy()[probed].ravel())
    shape = (3 * n_edges, 3 * n_edges)
    k_matrix = sparse.csr_matrix((np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape=shape)
    i, j = nodes[centre], nodes[edges.neighbour.cpu().numpy()]
    incidence = sparse.csr_matrix(
        (np.tile([1.0, -1.0], n_edges), (np.repeat(np.arange(n_edges), 2), np.stack([j, i], 1).ravel())),
        (n_edges, n_dofs),
    )
    b_matrix = sparse.kron(incidence, sparse.eye(3), format="csr")
    return sparse.csr_matrix(b_matrix.T @ k_matrix @ b_matrix)


def probed_hessian(
    i: IntArray, j: IntArray, n_dofs: int, layers: int, product: Callable[[Array], Array]
) -> sparse.csr_matrix:
    """Hessian (3·n_dofs, 3·n_dofs) of a message-passing model by coloured products, eV/Å².

    Two atoms are coupled if some site sees both; atoms whose couplings do not overlap are probed by one product.

    Parameters
    ----------
    i, j : (n_edges,) int arrays
        Atoms at the two ends of the edges.
    product : callable
        (n_dofs, 3) → ∂²E/∂x² · v, (n_dofs, 3).
    """
    touch = sparse.csr_matrix((np.ones(len(i)), (i, j)), (n_dofs, n_dofs)) + sparse.eye(n_dofs, format="csr")
    sees = sparse.eye(n_dofs, format="csr")
    for _ in range(layers):
        sees = ((sees @ touch) > 0).astype(float)
    pattern = sparse.csr_matrix(sees.T @ sees)
    colour = greedy_colours(sparse.csr_matrix(pattern @ pattern))
    rows, columns, values = [], [], []
    for c in range(int(colour.max(initial=-1)) + 1):
        chosen = np.flatnonzero(colour == c)
        support = sparse.coo_matrix(pattern[:, chosen])
        for axis in range(3):
            v = np.zeros((n_dofs, 3))
            v[chosen, axis] = 1.0
            h = product(v)
            rows.append((3 * support.row[:, None] + np.arange(3)).ravel())
            columns.append(np.repeat(3 * chosen[support.col] + axis, 3))
            values.append(h[support.row].ravel())
    if not rows:
        return sparse.csr_matrix((3 * n_dofs, 3 * n_dofs))
    data = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    return sparse.csr_matrix(data, shape=(3 * n_dofs, 3 * n_dofs))


def greedy_colours(conflicts: sparse.csr_matrix) -> IntArray:
    """A colour (n,) per row such that rows with a nonzero entry between them differ."""
    n = conflicts.shape[0]
    colour = np.full(n, -1, dtype=np.int64)
    for row in range(n):
        taken = set(colour[conflicts.indices[conflicts.indptr[row] : conflicts.indptr[row + 1]]].tolist())
        colour[row] = next(c for c in range(n + 1) if c not in taken)
    return colour
