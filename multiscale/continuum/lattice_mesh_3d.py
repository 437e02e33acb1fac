"""Meshes in space that are a Bravais lattice inside and grow coarser outside: Kuhn's simplices of a reduced cell, then gmsh.

    basis      b₁, b₂, b₃ with b_i·b_j ≤ 0 for all pairs of b₀ = −(b₁ + b₂ + b₃), b₁, b₂, b₃ (Selling's reduction)
    refined    0, b_π1, b_π1 + b_π2, b_π1 + b_π2 + b_π3 for each order π: six simplices a cell, of volume v₀/6 each; 24 meet at each site
    outside    tetrahedra of size h(r) = h₀ (r/core)^exponent up to a sphere, joined to the lattice's surface, which stays as it is

With this basis the simplices are Delaunay's: for fcc its tetrahedra and its octahedra cut into four, for bcc the equal tetrahedra of the
lattice, for simple cubic the six of the cube. No lattice direction is better than h ∝ r^{2(d+1)/(d+2)} for the field of a point defect,
|∇²u| ∝ r^{−d−1}: it minimises ∫ h²|∇²u|² at a given number of cells, and is r^{8/5} in space (r^{3/2} in the plane).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations, product

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from ..types import Array, BoolArray, IntArray, MultiscaleError
from .mesh import SimplexMesh
from .surround import Size, boundary, quality, surrounded

#: Å; positions closer than this are the same.
SAME = 1e-6
#: Cells of lower quality are refused: they spoil the condition of the stiffness.
WORST_QUALITY = 0.05


def reduced(cell: ArrayLike) -> Array:
    """Selling's reduction: a basis (3, 3) of the same lattice that makes an obtuse superbase; rows, Å.

    Raises
    ------
    MultiscaleError
        If the vectors do not span space.
    """
    b = np.array(cell, dtype=float)
    if b.shape != (3, 3) or not np.isfinite(b).all() or abs(np.linalg.det(b)) < 1e-9:
        raise MultiscaleError(
            f"a lattice needs three vectors (3, 3) in Å that span space, got {np.round(b, 6).tolist()}; give those of a primitive cell"
        )
    v = np.vstack([b, -b.sum(axis=0)])
    for _ in range(1000):
        dots = v @ v.T - np.diag(np.full(4, np.inf))
        i, j = np.unravel_index(int(dots.argmax()), (4, 4))
        if dots[i, j] <= 1e-9 * np.abs(v @ v.T).max():
            break
        others = [k for k in range(4) if k not in (i, j)]
        v[others[0]] += v[i]
        v[others[1]] += v[i]
        v[i] = -v[i]
    return v[:3] if np.linalg.det(v[:3]) > 0 else v[[1, 0, 2]]


@dataclass(frozen=True, eq=False)
class LatticeMesh3D:
    """A mesh with a refined part whose vertices are the sites of a Bravais lattice.

    Attributes
    ----------
    mesh : SimplexMesh
    refined : (n,) bool array
        Which vertices are sites of the lattice.
    whole : (n,) bool array
        Which of them have all of their cells from the lattice, but for those that vacancies took: atomistic weights may go so far.
    outer : (n,) bool array
        Vertices on the outer surface.
    removed : (m, 3) array
        Sites that are vacant, Å.
    basis : (3, 3) array
        The reduced cell, Å.
    """

    mesh: SimplexMesh
    refined: BoolArray
    whole: BoolArray
    outer: BoolArray
    removed: Array
    basis: Array

    @property
    def cell_volume(self) -> float:
        """Å³ of the lattice's own simplices."""
        return float(np.linalg.det(self.basis)) / 6.0

    @cached_property
    def quality(self) -> Array:
        """12 (3|T|)^{2/3}/Σ l² of each cell (nc,): 1 for regular tetrahedra, 0 for flat ones."""
        return quality(self.mesh.points[self.mesh.cells])

    def part(self, keep: BoolArray) -> tuple[SimplexMesh, IntArray]:
        """The mesh of some of the cells (nc,), and which vertices it has."""
        used, cells = np.unique(self.mesh.cells[keep], return_inverse=True)
        return SimplexMesh(self.mesh.points[used], cells.reshape(-1, 4), self.mesh.degree), used

    def vacate(self, k: int) -> LatticeMesh3D:
        """The mesh without its first k vertices, which have to be sites with all of their cells: these become vacant."""
        if not self.whole[:k].all():
            raise MultiscaleError(
                f"the first {k} vertices are not all sites within the core; name them as vacant when the mesh is made"
            )
        if not k:
            return self
        cells = self.mesh.cells[(self.mesh.cells >= k).all(axis=1)] - k
        removed = np.concatenate([self.removed, self.mesh.points[:k]])
        mesh = SimplexMesh(self.mesh.points[k:], cells, self.mesh.degree)
        return LatticeMesh3D(mesh, self.refined[k:], self.whole[k:], self.outer[k:], removed, self.basis)

    def sites(self, centre: ArrayLike, radius: float) -> Array:
        """All sites (n, 3) of the lattice within ``radius`` of a point, those that are vacant left out, Å."""
        X = lattice_sites(self.basis, np.asarray(centre, dtype=float), radius)
        if not len(self.removed):
            return X
        return np.asarray(X[cKDTree(self.removed).query(X)[0] > SAME])


def lattice_sites(basis: Array, centre: Array, radius: float) -> Array:
    """Sites (n, 3) of the lattice through the origin within ``radius`` of a point, nearest first, Å."""
    dual = np.linalg.inv(basis).T
    middle = dual @ centre
    spread = radius * np.linalg.norm(dual, axis=1)
    ranges = [np.arange(math.ceil(m - s), math.floor(m + s) + 1) for m, s in zip(middle, spread, strict=True)]
    X = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).reshape(-1, 3) @ basis
    r = np.linalg.norm(X - centre, axis=1)
    keep = np.flatnonzero(r <= radius + SAME)
    # Rounding must not change the order of sites at the same distance.
    return np.asarray(X[keep[np.lexsort((keep, np.round(r[keep], 6)))]])


def bravais(
    cell: ArrayLike,
    core: float,
    outer: float,
    *,
    centres: ArrayLike = ((0.0, 0.0, 0.0),),
    vacant: ArrayLike = (),
    vacancies: bool = True,
    exponent: float = 1.6,
    size: Size | None = None,
) -> LatticeMesh3D:
    """The lattice around some points, refined for ``core`` Å around them, in a sphere of coarser cells.

    Parameters
    ----------
    cell : (3, 3) array
        Primitive cell of the lattice through the origin, rows, Å.
    core : float
        Å; every site this near to one of the centres has all of its cells from the lattice.
    outer : float
        Å; radius of the domain about the mean of the centres, or 0 for a mesh of the lattice alone.
    centres : (m, 3) array
    vacant : (k, 3) array
        Sites that can be taken out, with their cells.
    vacancies : bool
        Whether they are taken out, or (False) the same mesh without a defect; its first k vertices are theirs, the others those of the
        mesh with vacancies, in the same order.
    exponent : float
        Of the size of cells outside, h₀ (r/core)^exponent with r the distance to the nearest centre, and h₀ the edge of a regular
        tetrahedron as large as the lattice's own.
    size : callable, optional
        The size (Å) at a point (3,) instead; never more than the exponent's law gives.

    Raises
    ------
    MultiscaleError
        If lengths do not nest, a vacant site is no site or not inside, or the mesh is not what was asked for.

    Examples
    --------
    >>> fcc = 2.0 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]])
    >>> mesh = bravais(fcc, 4.5, 0.0)
    >>> int(mesh.whole.sum()), float(round(mesh.cell_volume, 6))
    (19, 2.666667)
    """
    basis, points = reduced(cell), np.asarray(centres, dtype=float).reshape(-1, 3)
    gone = np.asarray(vacant, dtype=float).reshape(-1, 3)
    longest = float(np.linalg.norm(_edges(basis), axis=1).max())
    middle = points.mean(axis=0)
    far = float(np.linalg.norm(points - middle, axis=1).max())
    if core < longest - SAME or (outer and outer < far + core + 3.0 * longest):
        raise MultiscaleError(
            f"need core ≥ {longest:.4g} Å (the longest edge of the lattice's cells) and outer = 0 or ≥ {far + core + 3 * longest:.4g} Å "
            f"(three of them around the refined part), got core {core:g} and outer {outer:g}; the atoms have to surround the defect, and "
            "the mesh the atoms"
        )
    X, cells, inside = _refined(basis, points, core)
    first = _find(X, gone)
    if len(first) and not inside[first].all():
        k = int(first[~inside[first]][0])
        raise MultiscaleError(
            f"the vacant site at {np.round(X[k], 4).tolist()} Å is not within {core:g} Å of a centre; enlarge the core or move a centre"
        )
    order = np.concatenate([first, np.setdiff1d(np.arange(len(X)), first)])
    where = np.argsort(order)
    X, inside, cells = X[order], inside[order], where[cells]
    n_sites, rim = len(X), np.zeros(len(X), dtype=bool)
    if outer:
        h0 = (math.sqrt(2.0) * abs(float(np.linalg.det(basis)))) ** (1.0 / 3.0)
        X, cells, rim = surrounded(X, cells, middle, outer, _sizes(points, core, h0, exponent, size))
    else:
        rim[np.unique(boundary(cells))] = True
    refined = np.arange(len(X)) < n_sites
    whole = np.zeros(len(X), dtype=bool)
    whole[:n_sites] = inside
    worst = float(quality(X[cells]).min())
    if worst < WORST_QUALITY:
        raise MultiscaleError(
            f"the mesh has a cell of quality {worst:.3g}, where {WORST_QUALITY:g} is the least that is accepted; change core or outer a "
            "little, or let cells grow more slowly"
        )
    full = LatticeMesh3D(SimplexMesh(X, cells), refined, whole, rim, np.zeros((0, 3)), basis)
    return full.vacate(len(first)) if vacancies else full


def _edges(basis: Array) -> Array:
    """The seven edges of Kuhn's simplices (7, 3), Å."""
    return np.array([c for c in product((0, 1), repeat=3) if any(c)]) @ basis


def _find(X: Array, sites: Array) -> IntArray:
    """The numbers of some sites among X."""
    if not len(sites):
        return np.zeros(0, dtype=np.int64)
    off, found = cKDTree(X).query(sites)
    if off.max() > SAME or len(np.unique(found)) < len(found):
        k = int(off.argmax())
        raise MultiscaleError(
            f"the vacant site {k} at {np.round(sites[k], 4).tolist()} Å is {off[k]:.3g} Å away from the nearest site of the refined "
            "lattice, or is named twice; name sites of the lattice within the core"
        )
    return np.asarray(found, dtype=np.int64)


def _refined(basis: Array, centres: Array, core: float) -> tuple[Array, IntArray, BoolArray]:
    """Sites, cells of all sites within the core (and of those that make the surface a manifold), and which sites have all of theirs."""
    dual = np.linalg.inv(basis).T
    low, high = (f(centres @ dual.T) for f in (lambda a: a.min(axis=0), lambda a: a.max(axis=0)))
    # Two layers more than the core: its cells, and those that mending the surface adds.
    pad = core * np.linalg.norm(dual, axis=1)
    start = np.floor(low - pad).astype(int) - 3
    shape = tuple(int(n) for n in np.ceil(high + pad).astype(int) + 4 - start)
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1).reshape(-1, 3)
    X = (index + start) @ basis
    inside = cKDTree(centres).query(X)[0] <= core + SAME
    corner = index[(index < np.array(shape) - 1).all(axis=1)]
    paths = []
    for order in permutations(range(3)):
        steps = np.vstack([np.zeros(3, dtype=int), np.cumsum(np.eye(3, dtype=int)[list(order)], axis=0)])
        paths.append(np.stack([np.ravel_multi_index((corner + s).T, shape) for s in steps], axis=1))
    cells = np.concatenate(paths)
    for _ in range(3):
        kept = cells[inside[cells].any(axis=1)]
        pinched = _pinched(boundary(kept), len(X))
        if not len(pinched):
            break
        inside[pinched] = True
    else:
        raise MultiscaleError(
            f"the surface of the refined lattice of {core:g} Å cannot be made a manifold; change the core a little"
        )
    used, kept = np.unique(kept, return_inverse=True)
    return X[used], kept.reshape(-1, 4), inside[used]


def _pinched(facets: IntArray, n: int) -> IntArray:
    """Vertices where a surface is no manifold: at an edge of more than two facets, or with facets in more than one fan."""
    pairs = np.sort(facets[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    edges, number, count = np.unique(pairs, axis=0, return_inverse=True, return_counts=True)
    bad = np.unique(edges[count != 2])
    # Corners of facets, joined where two facets of the vertex share an edge: one fan each if the surface is a manifold there.
    number = number.reshape(-1, 3)
    corner = np.arange(3 * len(facets)).reshape(-1, 3)
    ends = np.concatenate(
        [np.stack([number[:, k], facets[:, j], corner[:, j]], axis=1) for k in range(3) for j in (k, (k + 1) % 3)]
    )
    ends = ends[np.lexsort((ends[:, 2], ends[:, 1], ends[:, 0]))]
    same = (ends[1:, :2] == ends[:-1, :2]).all(axis=1)
    i, j = ends[:-1, 2][same], ends[1:, 2][same]
    graph = sp.coo_matrix((np.ones(len(i)), (i, j)), shape=(corner.size,) * 2)
    fans = connected_components(graph, directed=False)[1]
    fan_of = np.unique(np.stack([facets.ravel(), fans], axis=1), axis=0)[:, 0]
    return np.union1d(bad, np.flatnonzero(np.bincount(fan_of, minlength=n) > 1))


def _sizes(centres: Array, core: float, h0: float, exponent: float, size: Size | None) -> Size:
    tree = cKDTree(centres)

    def law(x: Array) -> float:
        r = float(tree.query(x)[0])
        h = h0 * max(r / core, 1.0) ** exponent
        return h if size is None else min(h, size(x))

    return law
