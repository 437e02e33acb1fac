"""Cutting a mesh along facets: vertices that the cut separates are doubled, those at its ends inside the body are not.

The corners of all cells at a vertex are one vertex if one can go from each to each other through facets that are not cut. So the
connected pieces of corners *are* the new vertices: any cut, in the plane or in space, with fronts, kinks and branches.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from ..types import Array, BoolArray, IntArray, MultiscaleError
from .mesh import SimplexMesh
from .reference import FACETS


@dataclass(frozen=True, eq=False)
class Cut:
    """A mesh with a cut, and the two faces of it.

    Attributes
    ----------
    mesh : SimplexMesh
        Vertices keep their numbers; copies come last. Copies belong to the piece that has no cell with the lowest number at the vertex.
    origin : (n_points,) array
        The vertex of the uncut mesh that each vertex was.
    lower, upper : (nf, dim) array
        Vertices of the cut's facets on its two sides, paired one by one; the normal points from lower to upper.
    normal : (nf, dim) array
        Unit normals.
    """

    mesh: SimplexMesh
    origin: IntArray
    lower: IntArray
    upper: IntArray
    normal: Array

    def sides(self) -> IntArray:
        """+1 and −1 at nodes (n_nodes,) of the upper and the lower face, edge nodes included; 0 elsewhere and where the faces meet."""
        out = np.zeros(len(self.mesh.nodes), dtype=np.int64)
        out[face_nodes(self.mesh, self.upper).ravel()] += 1
        out[face_nodes(self.mesh, self.lower).ravel()] -= 1
        up = np.zeros(len(out), dtype=bool)
        up[face_nodes(self.mesh, self.upper).ravel()] = True
        low = np.zeros(len(out), dtype=bool)
        low[face_nodes(self.mesh, self.lower).ravel()] = True
        return np.where(up & low, 0, np.where(up, 1, np.where(low, -1, 0)))


def face_nodes(mesh: SimplexMesh, facets: IntArray) -> IntArray:
    """All nodes (nf, nb) of facets that are given by their vertices (nf, dim): vertices, then edges, in an order that pairs keep."""
    if mesh.degree == 1:
        return facets
    edges = mesh._edges[0]
    nv = len(mesh.points)
    key = edges @ np.array([nv, 1])
    dim = facets.shape[1]
    pairs = [(0, 1)] if dim == 2 else [(1, 2), (0, 2), (0, 1)]
    columns = [nv + np.searchsorted(key, np.sort(facets[:, list(p)], axis=1) @ np.array([nv, 1])) for p in pairs]
    return np.column_stack([facets, *columns])


def cut(mesh: SimplexMesh, where: Callable[[Array], BoolArray], above: Callable[[Array], BoolArray]) -> Cut:
    """Cut a mesh along inner facets.

    Parameters
    ----------
    mesh : SimplexMesh
    where : callable X (n, 3) -> (n,) bool
        Which inner facets, by the positions of their midpoints.
    above : callable X (n, 3) -> (n,) bool
        Which cells, by their centroids, lie on the upper side; every facet of the cut has one on either side.

    Raises
    ------
    MultiscaleError
        If no facet is cut, or one lies between two cells of the same side.
    """
    dim, cells = mesh.dim, mesh.cells
    facets = cells[:, list(FACETS[dim])].reshape(-1, dim)
    owner = np.repeat(np.arange(len(cells)), dim + 1)
    keys, number, count = np.unique(np.sort(facets, axis=1), axis=0, return_inverse=True, return_counts=True)
    order = np.argsort(number.ravel(), kind="stable")
    first = np.cumsum(count) - count
    inner = count == 2
    pair = np.column_stack([owner[order[first[inner]]], owner[order[first[inner] + 1]]])
    shared = keys[inner]
    middle = np.pad(mesh.points[shared].mean(axis=1), ((0, 0), (0, 3 - dim)))
    chosen = np.asarray(where(middle), dtype=bool)
    if not chosen.any():
        raise MultiscaleError("the cut goes through no inner facet of the mesh; make it follow lines of the mesh")
    side = np.asarray(above(mesh.centroids), dtype=bool)[pair]
    if (side[chosen, 0] == side[chosen, 1]).any():
        k = int(np.flatnonzero(chosen & (side[:, 0] == side[:, 1]))[0])
        raise MultiscaleError(
            f"the facet at {np.round(middle[k], 6).tolist()} is to be cut, but both of its cells are on the same side; choose `where` and "
            "`above` so that the cut separates the sides"
        )
    corner, origin = _corners(cells, pair[~chosen], shared[~chosen])
    points = mesh.points[origin]
    new = SimplexMesh(points, corner, mesh.degree)
    up = np.where(side[chosen], pair[chosen], 0).sum(axis=1)
    low = pair[chosen].sum(axis=1) - up
    upper, lower = (_renamed(cells[c], corner[c], shared[chosen]) for c in (up, low))
    return Cut(new, origin, lower, upper, _normals(mesh, points[lower], mesh.centroids[up][:, :dim]))


def _corners(cells: IntArray, pair: IntArray, shared: IntArray) -> tuple[IntArray, IntArray]:
    """New vertices (nc, dim + 1) of the cells, and the old vertex of each."""
    nc, k = cells.shape

    def at(c: IntArray) -> IntArray:
        """The corner (number in the flat table of cells) of each shared vertex in the cells ``c``."""
        place = (cells[c][:, None, :] == shared[:, :, None]).argmax(axis=2)
        return (c[:, None] * k + place).ravel()

    a, b = at(pair[:, 0]), at(pair[:, 1])
    graph = sp.coo_matrix((np.ones(len(a)), (a, b)), shape=(nc * k, nc * k))
    _, piece = connected_components(graph, directed=False)
    # The first piece that the cells name at a vertex keeps its number; the others follow, in the order of the cells.
    pieces, first = np.unique(piece, return_index=True)
    old = cells.ravel()[first]
    order = np.argsort(first)
    n, seen = int(cells.max()) + 1, np.zeros(int(cells.max()) + 1, dtype=bool)
    name = np.zeros(len(pieces), dtype=np.int64)
    extra: list[int] = []
    for p in order:
        v = old[p]
        if not seen[v]:
            seen[v], name[p] = True, v
        else:
            name[p] = n + len(extra)
            extra.append(int(v))
    return name[np.searchsorted(pieces, piece)].reshape(nc, k), np.concatenate(
        [np.arange(n), np.array(extra, dtype=np.int64)]
    )


def _renamed(old: IntArray, new: IntArray, facets: IntArray) -> IntArray:
    """The facets' vertices (nf, dim) by the new names that the cells (nf, dim + 1) give them."""
    place = (old[:, None, :] == facets[:, :, None]).argmax(axis=2)
    return np.take_along_axis(new, place, axis=1)


def _normals(mesh: SimplexMesh, x: Array, towards: Array) -> Array:
    if mesh.dim == 2:
        t = x[:, 1] - x[:, 0]
        n = np.column_stack([-t[:, 1], t[:, 0]])
    else:
        n = np.cross(x[:, 1] - x[:, 0], x[:, 2] - x[:, 0])
    n /= np.linalg.norm(n, axis=1)[:, None]
    return n * np.sign(np.einsum("ni,ni->n", n, towards - x.mean(axis=1)))[:, None]
