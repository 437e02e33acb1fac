"""Positions and cell as functions of the edge vectors, for models that ask for positions and a cell.

    D_e = x_j + S_e·h − x_i   is solved for x and h:

    x_k = x_root + u_k − t_k·h,      u_k = Σ ± D_e,  t_k = Σ ± S_e   along the path from the root of k's tree
    m_e·h = D_e − (u_j − u_i),       m_e = S_e − t_j + t_i           for every edge that closes a ring through the cell

The values are those of the placement, to the last digit. The derivatives are those of one solution among many, and all
of them give the same forces, virial and Hessian once they are scattered to atoms and to strains.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import breadth_first_order, connected_components

from ..types import Array, IntArray
from .base import Edges, Placement


def recover(edges: Edges, place: Placement) -> tuple[torch.Tensor, torch.Tensor]:
    """Positions (n_nodes, 3) and cell (3, 3), Å, differentiable in the edge vectors.

    Parameters
    ----------
    edges : Edges
    place : Placement
        Where the graph lies.

    Notes
    -----
    Cell vectors that no ring of edges fixes are constants: nothing within the graph depends on them.
    """
    i, j = edges.centre.cpu().numpy(), edges.neighbour.cpu().numpy()
    parent, via, sign, depth = _forest(i, j, len(place.positions))
    u, t = torch.zeros_like(edges.vectors[:0]).new_zeros((len(place.positions), 3)), np.zeros_like(place.positions)
    for level in range(1, int(depth.max(initial=0)) + 1):
        k = np.flatnonzero(depth == level)
        t[k] = t[parent[k]] + sign[k, None] * place.shift[via[k]]
        step = edges.vectors[_index(via[k], u)] * _constant(sign[k, None], u)
        u = u.index_add(0, _index(k, u), u[_index(parent[k], u)] + step)
    cell = _constant(place.cell, u)
    rings, inverse = _rings(place.shift - t[j] + t[i])
    if len(rings):
        start, end = u[_index(i[rings], u)], u[_index(j[rings], u)]
        closed = edges.vectors[_index(rings, u)] - (end - start)
        cell = cell + _constant(inverse, u) @ _unvalued(closed)
    moved = _unvalued(u) - _constant(t, u) @ _unvalued(cell)
    return _constant(place.positions, u) + moved, cell


def _unvalued(a: torch.Tensor) -> torch.Tensor:
    """A tensor of zeros with the derivative of ``a``."""
    return a - a.detach()


def _constant(a: Array, like: torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(a).to(like)


def _index(a: IntArray, like: torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(a, device=like.device)


def _forest(i: IntArray, j: IntArray, n: int) -> tuple[IntArray, IntArray, Array, IntArray]:
    """A spanning forest: each node's parent, the edge to it, its sign (+1 from parent to node) and its depth; roots are at 0."""
    graph = csr_matrix((np.ones(len(i)), (i, j)), shape=(n, n))
    _, part = connected_components(graph, directed=False)
    roots: IntArray = np.unique(part, return_index=True)[1]
    # One more node, joined to every root, makes a tree of the forest.
    rows, columns = np.append(i, np.full(len(roots), n)), np.append(j, roots)
    whole = csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(n + 1, n + 1))
    order, parent = breadth_first_order(whole, n, directed=False)
    depth = np.zeros(n + 1, dtype=np.int64)
    for k in order[1:]:
        depth[k] = depth[parent[k]] + 1
    codes, first = np.unique(i * n + j, return_index=True)
    child = order[depth[order] > 1]
    up = parent[child].astype(np.int64)
    via, sign = np.zeros(n, dtype=np.int64), np.ones(n)
    if len(child):
        along, against = up * n + child, child * n + up
        at = np.minimum(np.searchsorted(codes, along), len(codes) - 1)
        forward = codes[at] == along
        back = np.minimum(np.searchsorted(codes, against), len(codes) - 1)
        via[child], sign[child] = first[np.where(forward, at, back)], np.where(forward, 1.0, -1.0)
    return parent[:n].astype(np.int64), via, sign, depth[:n] - 1


def _rings(m: Array) -> tuple[IntArray, Array]:
    """Up to three edges whose lattice vectors (n_edges, 3) are independent, and the pseudo-inverse (3, n) of these."""
    through = np.flatnonzero(np.any(m != 0, axis=1))
    kinds, where = np.unique(m[through], axis=0, return_index=True)
    chosen: list[int] = []
    for k in np.argsort((kinds**2).sum(axis=1), kind="stable"):
        rows = m[through[where[[*chosen, k]]]]
        if np.linalg.matrix_rank(rows) == len(rows):
            chosen.append(int(k))
        if len(chosen) == 3:
            break
    picked: IntArray = through[where[chosen]] if chosen else np.zeros(0, dtype=np.int64)
    return picked, np.linalg.pinv(m[picked]) if chosen else np.zeros((3, 0))
