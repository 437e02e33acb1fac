"""Plane meshes that are the triangular lattice inside and grow coarser outside: hexagonal rings of radius R_i about a row of defects.

    refined:  the sites within ``core`` bonds of the row, all of them vertices, each cell a triangle of the lattice (area √3/4)
    outside:  R_{i+1} = R_i + h(R_i),   h(R) ≈ (R/K)^exponent,   K = half the row + core;   h never shrinks, and at most doubles
    rings:    hexagons whose corners lie at ± half·a₁ + (R − half)·d_j, with nodes about as far apart as the rings
    cells:    Delaunay's

These are the meshes of benchmark problems for atomistic/continuum coupling: with h ∝ R^{3/2} about a point defect, interpolation and
truncation errors of P1 elements are of the order of the model's.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from scipy.spatial import Delaunay, cKDTree

from ..types import Array, BoolArray, IntArray, MultiscaleError
from .mesh import SimplexMesh

#: The six bonds of the triangular lattice (6, 2), anticlockwise, Å; spacing 1.
BONDS: Array = np.stack([np.cos(np.pi / 3 * np.arange(6)), np.sin(np.pi / 3 * np.arange(6))], axis=1)
#: Å² per lattice site, and of the lattice's triangles.
SITE_AREA = np.sqrt(3.0) / 2.0
CELL_AREA = SITE_AREA / 2.0
#: Which end of the row the corners of the hexagons belong to.
_END = np.array([1, 1, -1, -1, -1, 1])


@dataclass(frozen=True, eq=False)
class LatticeMesh:
    """A mesh with a refined part whose vertices are the atoms of a triangular lattice.

    Attributes
    ----------
    mesh : SimplexMesh
    refined : (n,) bool array
        Which vertices are atoms of the lattice.
    outer : (n,) bool array
        Vertices of the outermost ring.
    removed : (m, 2) array
        Sites that are vacant, Å.
    """

    mesh: SimplexMesh
    refined: BoolArray
    outer: BoolArray
    removed: Array

    @cached_property
    def neighbours(self) -> IntArray:
        """Vertices (n, 6) one bond away from each atom, anticlockwise from +x; −1 where there is none, and for all that are no atoms."""
        out = np.full((len(self.refined), 6), -1)
        atoms = np.flatnonzero(self.refined)
        X = self.mesh.points[atoms]
        distance, found = cKDTree(X).query((X[:, None] + BONDS).reshape(-1, 2), distance_upper_bound=1e-6)
        there = np.isfinite(distance)
        found[~there] = 0
        out[atoms] = np.where(there, atoms[found], -1).reshape(-1, 6)
        return out

    @cached_property
    def hops(self) -> IntArray:
        """Bonds (n,) from each atom to the edge of the refined part: 0 on it, −1 at vertices that are no atoms."""
        n = len(self.refined)
        i, j = self.mesh.cells[:, [0, 1, 2, 1, 2, 0]].T.ravel(), self.mesh.cells[:, [1, 2, 0, 0, 1, 2]].T.ravel()
        edges = sp.csr_matrix((np.ones(len(i)), (i, j)), shape=(n, n)).astype(bool)
        outside = ~self.refined
        front = self.outer & self.refined if self.refined.all() else self.refined & (edges @ outside)
        out, level = np.full(n, -1), 0
        while front.any():
            out[front] = level
            front, level = (edges @ front) & self.refined & (out < 0), level + 1
        return out

    @cached_property
    def at_defect(self) -> BoolArray:
        """Atoms (n,) with a vacant site one bond away."""
        out = np.zeros(len(self.refined), dtype=bool)
        if len(self.removed):
            near = cKDTree(self.removed).query(self.mesh.points)[0]
            out = self.refined & (near < 1.0 + 1e-6)
        return out

    @cached_property
    def lines(self) -> IntArray:
        """All triples (m, 3) of atoms in a row, left, centre and right: the second differences of the refined part."""
        whole = np.flatnonzero((self.neighbours >= 0).all(axis=1))
        near = self.neighbours[whole]
        return np.concatenate([np.stack([near[:, k], whole, near[:, k + 3]], axis=1) for k in range(3)])

    def part(self, keep: BoolArray) -> tuple[SimplexMesh, IntArray]:
        """The mesh of some of the cells (nc,), and which vertices it has."""
        used, cells = np.unique(self.mesh.cells[keep], return_inverse=True)
        return SimplexMesh(self.mesh.points[used], cells.reshape(-1, 3), self.mesh.degree), used


def triangular(core: int, outer: float, *, half: int = 0, exponent: float = 1.5, vacancies: bool = True) -> LatticeMesh:
    """The lattice around a row of 2·half + 1 collinear sites, refined for ``core`` bonds around it.

    Parameters
    ----------
    core : int
        Bonds from the row to the edge of the refined part.
    outer : float
        Bonds from the middle to the corners of the domain; equal to ``half + core`` for a mesh of atoms alone.
    half : int
        Half the length of the row; 0 is a point defect.
    exponent : float
        Of the radial cell size.
    vacancies : bool
        Whether the sites of the row are taken out, or (False) the same mesh without a defect; its first 2·half + 1 vertices are theirs,
        the others those of the mesh with vacancies, in the same order.

    Raises
    ------
    MultiscaleError
        If the refined part does not surround the row, or the domain does not surround the refined part.

    Examples
    --------
    >>> mesh = triangular(6, 19)
    >>> len(mesh.mesh.points), int(mesh.refined.sum()), int(mesh.hops.max())
    (264, 126, 5)
    """
    K = half + core
    if core < 2 or half < 0 or outer < K:
        raise MultiscaleError(
            f"need core ≥ 2, half ≥ 0 and outer ≥ half + core, got core {core}, half {half} and outer {outer}; the atoms have to "
            "surround the row of defects, and the mesh the atoms"
        )
    row = np.stack([np.arange(-half, half + 1.0), np.zeros(2 * half + 1)], axis=1)
    rings = [_ring(half, float(k), 1.0) for k in range(1, core + 1)]
    n_refined = len(row) + sum(map(len, rings))
    R = radii(K, outer, exponent) if outer > K else np.array([float(K)])
    rings += [_ring(half, R[i] - half, 0.5 * (R[i + 1] - R[i - 1])) for i in range(1, len(R) - 1)]
    points = np.concatenate([row, *rings])
    edge = np.zeros(len(points), dtype=bool)
    edge[-len(rings[-1]) :] = True
    # A hull with every node of the rim as a corner: rounding would make slivers of nodes in a line, or leave some of them out.
    bulge = 1.0 + 1e-5 * (outer - np.linalg.norm(points, axis=1))
    cells = Delaunay(np.where(edge[:, None], points * bulge[:, None], points)).simplices.astype(np.int64)
    refined = np.arange(len(points)) < n_refined
    gone = len(row) if vacancies else 0
    cells = cells[(cells >= gone).all(axis=1)] - gone
    return LatticeMesh(SimplexMesh(points[gone:], cells), refined[gone:], edge[gone:], row[:gone])


def radii(K: float, outer: float, exponent: float) -> Array:
    """Radii K = R_0 < R_1 < … = ``outer`` of the rings, and one beyond, which says how large the last cells are.

    The implicit rule h = ½ [s(R) + s(R + h)] with s(R) = (R/K)^exponent gives the steps; they are then stretched or compressed, so
    that the last ring comes to lie where it is wanted.
    """

    def size(r: float) -> float:
        return float((r / K) ** exponent)

    R, last = [float(K)], 1.0
    while R[-1] < outer:
        h = size(R[-1])
        for _ in range(10):
            h = 0.5 * (size(R[-1]) + size(R[-1] + h))
        last = min(max(h, last), 2.0 * last)
        R.append(R[-1] + last)
    r = np.array(R)
    if r[-1] - outer > 0.5 * size(outer) and len(r) > 2:
        r = K + (r[:-1] - K) * (outer - K) / (r[-2] - K)
    elif len(r) > 2:
        r[1:] = r[1] + (r[1:] - r[1]) * (outer - r[1]) / (r[-1] - r[1])
    else:
        r[1] = outer
    r = np.append(r, r[-1] + size(outer))
    # Stretching may have left the first step longer than the second.
    if r[2] - r[1] < r[1] - r[0]:
        r[1] = 0.5 * (r[0] + r[2])
    return r


def _ring(half: int, radius: float, h: float) -> Array:
    """Nodes (n, 2) on a hexagon, about h apart, from the corner at +x anticlockwise."""
    ends = half * np.stack([_END, np.zeros(6)], axis=1) + radius * BONDS
    sides = []
    for a, b in zip(ends, np.roll(ends, -1, axis=0), strict=True):
        # Lengths are whole numbers of h in the lattice: rounding must not add a node.
        n = int(np.ceil(np.linalg.norm(b - a) / h - 1e-9))
        t = np.arange(n)[:, None] / n
        sides.append(a * (1.0 - t) + b * t)
    return np.concatenate(sides)
