"""Tetrahedra around a given block of cells, up to a sphere: gmsh fills what lies between two closed surfaces and leaves both as they are.

    lattice's surface  |  cells of size h(x), new points  |  triangulated sphere

The block's own cells are not touched. Whether the surfaces are still there, and whether the volume is the sphere's, is checked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import product

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from ..types import Array, BoolArray, IntArray, MultiscaleError, missing
from .reference import FACETS

try:
    import gmsh
except (ImportError, OSError):  # OSError: the pip wheel without its system libraries (libGLU, libXft)
    gmsh = None

#: Meshes with a worse cell are optimised again, this often.
GOOD_QUALITY, ROUNDS = 0.2, 3
#: Size of a cell (Å) at a point (3,).
Size = Callable[[Array], float]


def quality(corners: Array) -> Array:
    """12 (3|T|)^{2/3}/Σ l² (n,) of tetrahedra (n, 4, 3)."""
    volume = np.abs(np.linalg.det(corners[:, 1:] - corners[:, :1])) / 6.0
    edges = np.stack([corners[:, i] - corners[:, j] for i in range(4) for j in range(i)], axis=1)
    return np.asarray(12.0 * (3.0 * volume) ** (2.0 / 3.0) / (edges**2).sum(axis=(1, 2)))


def boundary(cells: IntArray) -> IntArray:
    """Facets (nf, 3) that belong to one cell only."""
    facets = cells[:, list(FACETS[3])].reshape(-1, 3)
    _, first, count = np.unique(np.sort(facets, axis=1), axis=0, return_index=True, return_counts=True)
    return facets[np.sort(first[count == 1])]


def surrounded(X: Array, cells: IntArray, middle: Array, outer: float, size: Size) -> tuple[Array, IntArray, BoolArray]:
    """The refined part with the mesh around it: points, cells and which points are on the outer sphere."""
    facets = boundary(cells)
    inner, triangles = np.unique(facets, return_inverse=True)
    triangles = triangles.reshape(-1, 3)
    h = float(np.mean([size(middle + outer * d) for d in np.vstack([np.eye(3), -np.eye(3)])]))
    sphere, panels = _sphere(max(2, round(1.1 * outer / h)))
    sphere = middle + outer * sphere
    if np.linalg.norm(X[inner] - middle, axis=1).max() > 0.9 * outer:
        raise MultiscaleError(
            f"the refined part reaches beyond nine tenths of the outer radius of {outer:g} Å; enlarge the domain"
        )
    points, outside = _fill(X[inner], triangles, sphere, panels, size)
    # gmsh numbers what it was given first: inner, sphere, new points.
    number = np.concatenate([inner, len(X) + np.arange(len(points) - len(inner))])
    every = np.concatenate([X, points[len(inner) :]])
    joined = np.concatenate([cells, number[outside]])
    rim = np.zeros(len(every), dtype=bool)
    rim[len(X) : len(X) + len(sphere)] = True
    _check(every, joined, cells, triangles, inner, number[outside], sphere, panels)
    return every, joined, rim


def _check(
    X: Array,
    joined: IntArray,
    cells: IntArray,
    triangles: IntArray,
    inner: IntArray,
    outside: IntArray,
    sphere: Array,
    panels: IntArray,
) -> None:
    """Refuse a mesh whose surface is not the sphere's alone, or whose volume is not the sphere's."""
    surface = {tuple(f) for f in np.sort(boundary(outside), axis=1).tolist()}
    given = {tuple(f) for f in np.sort(inner[triangles], axis=1).tolist()}
    if not given <= surface or len(surface) != len(given) + len(panels):
        raise MultiscaleError(
            "the mesh around the lattice changed its surface; change core, outer or exponent a little"
        )
    corners = X[joined]
    total = float(np.abs(np.linalg.det(corners[:, 1:] - corners[:, :1])).sum() / 6.0)
    # The divergence theorem, about the sphere's middle.
    p = sphere[panels] - sphere.mean(axis=0)
    wanted = float(np.abs(np.linalg.det(p)).sum() / 6.0)
    if abs(total - wanted) > 1e-9 * wanted:
        raise MultiscaleError(
            f"the cells have {total:.9g} Å³ and the domain {wanted:.9g} Å³: they overlap or leave a hole; change the core a little"
        )


def _sphere(frequency: int) -> tuple[Array, IntArray]:
    """An icosahedron with each edge cut into ``frequency`` pieces, blown up to the unit sphere: points and triangles facing outwards."""
    g = (1.0 + math.sqrt(5.0)) / 2.0
    corners = np.array([p for a, b in product((-1, 1), (-g, g)) for p in ((0, a, b), (a, b, 0), (b, 0, a))])
    near = np.linalg.norm(corners[:, None] - corners, axis=2) < 2.1
    faces = [
        (i, j, k) for i in range(12) for j in range(i) for k in range(j) if near[i, j] and near[j, k] and near[i, k]
    ]
    points: list[Array] = []
    triangles: list[list[int]] = []
    place = {
        (i, j): n for n, (i, j) in enumerate((i, j) for i in range(frequency + 1) for j in range(frequency + 1 - i))
    }
    for a, b, c in corners[np.array(faces)]:
        if np.linalg.det(np.stack([a, b, c])) < 0:
            b, c = c, b
        base = len(points) * len(place)
        points.append(np.array([a + (i * (b - a) + j * (c - a)) / frequency for i, j in place]))
        for i, j in place:
            if i + j < frequency:
                triangles.append([base + place[i, j], base + place[i + 1, j], base + place[i, j + 1]])
            if i + j < frequency - 1:
                triangles.append([base + place[i + 1, j], base + place[i + 1, j + 1], base + place[i, j + 1]])
    X = np.concatenate(points)
    X /= np.linalg.norm(X, axis=1)[:, None]
    _, first, number = np.unique(np.round(X, 9), axis=0, return_index=True, return_inverse=True)
    return X[first], number.reshape(-1)[np.array(triangles)]


def _fill(inner: Array, triangles: IntArray, sphere: Array, panels: IntArray, size: Size) -> tuple[Array, IntArray]:
    """Tetrahedra between closed surfaces, which stay as they are: points (inner, sphere, new ones) and cells (nc, 4)."""
    if gmsh is None:
        raise missing(
            "gmsh",
            "meshing around a lattice",
            "apt-get install python3-gmsh, conda install python-gmsh, or pip install gmsh",
        )
    pieces = _components(triangles, len(inner))
    surfaces = [*pieces, len(inner) + panels]
    points = np.concatenate([inner, sphere])
    gmsh.initialize()
    try:
        options = {"General.Terminal": 0, "General.NumThreads": 1, "Mesh.Algorithm3D": 1, "Mesh.MeshSizeFromPoints": 0}
        options |= {"Mesh.MeshSizeExtendFromBoundary": 0, "Mesh.MeshSizeFromCurvature": 0, "Mesh.RandomSeed": 1}
        for name, value in (options | {"Mesh.Optimize": 1}).items():
            gmsh.option.setNumber(name, value)
        gmsh.model.add("multiscale")
        first = 1
        for tag, facets in enumerate(surfaces, 1):
            gmsh.model.addDiscreteEntity(2, tag)
            used = np.unique(facets)
            gmsh.model.mesh.addNodes(2, tag, (used + 1).tolist(), points[used].ravel().tolist())
            numbers = list(range(first, first + len(facets)))
            gmsh.model.mesh.addElementsByType(tag, 2, numbers, (facets + 1).ravel().tolist())
            first += len(facets)
        geo = gmsh.model.geo
        loops = [geo.addSurfaceLoop([tag]) for tag in range(1, len(surfaces) + 1)]
        geo.addVolume([loops[-1], *loops[:-1]])
        geo.synchronize()
        gmsh.model.mesh.setSizeCallback(lambda _dim, _tag, x, y, z, *_: size(np.array([x, y, z])))
        gmsh.model.mesh.generate(3)
        found = _tetrahedra()
        for _ in range(ROUNDS):
            if found is None or quality(found[1][found[2]]).min() > GOOD_QUALITY:
                break
            gmsh.option.setNumber("Mesh.OptimizeThreshold", 2.0 * GOOD_QUALITY)
            gmsh.model.mesh.optimize("Relocate3D")
            gmsh.model.mesh.optimize("")
            found = _tetrahedra()
    finally:
        gmsh.finalize()
    if found is None or not np.array_equal(found[0][: len(points)], np.arange(1, len(points) + 1)):
        raise MultiscaleError(
            "gmsh could not fill the space around the lattice; change core, outer or exponent a little"
        )
    _, xyz, cells = found
    # What was given is exact; what is in no cell is left out.
    xyz[: len(points)] = points
    keep = np.zeros(len(xyz), dtype=bool)
    keep[: len(points)] = True
    keep[cells] = True
    return xyz[keep], (np.cumsum(keep) - 1)[cells]


def _tetrahedra() -> tuple[IntArray, Array, IntArray] | None:
    """Tags (n,), ascending, points (n, 3) and cells (nc, 4) of gmsh's present mesh; nothing if it has none."""
    tags, xyz, _ = gmsh.model.mesh.getNodes()
    _, corners = gmsh.model.mesh.getElementsByType(4)
    if not len(corners):
        return None
    tags = np.asarray(tags, dtype=np.int64)
    order = np.argsort(tags)
    cells = np.searchsorted(tags[order], np.asarray(corners, dtype=np.int64)).reshape(-1, 4)
    return tags[order], np.asarray(xyz, dtype=float).reshape(-1, 3)[order], cells


def _components(triangles: IntArray, n: int) -> Sequence[IntArray]:
    """The closed surfaces that a set of facets consists of."""
    i, j = triangles[:, [0, 1]].ravel(), triangles[:, [1, 2]].ravel()
    label = connected_components(sp.coo_matrix((np.ones(len(i)), (i, j)), shape=(n, n)), directed=False)[1]
    of = label[triangles[:, 0]]
    return [triangles[of == k] for k in np.unique(of)]
