"""A piece of a mesh's boundary that faces along one coordinate: quadrature points, and what it is at other lateral places.

z(X) = Σ_a N_a(λ(X)) z_a,      λ from the lateral coordinates alone: the surface is a graph over them
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

from ..types import Array, BoolArray, IntArray, MultiscaleError
from .axial import Symmetry, circumference
from .cut import face_nodes
from .locate import Locator
from .mesh import SimplexMesh
from .reference import FACETS, rule, shape


class Surface:
    """Facets of a mesh's boundary.

    Parameters
    ----------
    mesh : SimplexMesh
    where : callable X (n, 3) -> (n,) bool
        Which facets of the boundary, by the positions of their midpoints.
    symmetry : {"plane", "axial"}
        As of the body's :class:`~multiscale.regions.continuum.ContinuumRegion`.
    thickness : float
        Of a plane mesh in plane strain.
    breaks : (n,) array, optional
        See :meth:`split`.
    axis : int, optional
        The coordinate along which it faces: the last one of the mesh unless given.

    Attributes
    ----------
    axis : int
    lateral : list of int
        The mesh's other coordinates.
    facing : int
        +1 if the body is below, −1 if it is above.
    points : (n_sites, 3) array
        Gauss points (degree + 1 of them on lines), in the reference.
    area : (n_sites,) array
        Seen along the axis.
    size : (nf,) array
        Longest edge of each facet.
    matrix : sparse (n_sites, n_nodes)
        Nodal values at the points.
    """

    def __init__(
        self,
        mesh: SimplexMesh,
        where: Callable[[Array], BoolArray],
        symmetry: Symmetry = "plane",
        thickness: float = 1.0,
        breaks: Array | None = None,
        axis: int | None = None,
    ) -> None:
        if axis is not None and axis not in range(mesh.dim):
            raise MultiscaleError(
                f"a surface faces along one of the mesh's coordinates, 0 … {mesh.dim - 1}, got axis={axis}"
            )
        self._made = mesh, where, symmetry, thickness
        self.symmetry, self.thickness = symmetry, thickness
        boundary = mesh.boundary()
        middle = mesh.points[boundary].mean(axis=1)
        chosen = np.asarray(where(np.pad(middle, ((0, 0), (0, 3 - mesh.dim)))), dtype=bool)
        if not chosen.any():
            raise MultiscaleError(
                f"the surface has none of the mesh's {len(boundary)} facets on the boundary; choose others"
            )
        self.mesh, self.axis, self.facets = mesh, mesh.dim - 1 if axis is None else axis, boundary[chosen]
        self.lateral = [k for k in range(mesh.dim) if k != self.axis]
        self.nodes = face_nodes(mesh, self.facets)
        x = mesh.points[self.facets]
        #: Midpoints of the facets (nf, 3).
        self.centres = np.pad(x.mean(axis=1), ((0, 0), (0, 3 - mesh.dim)))
        edges = x[:, [1, 2, 0]] - x if mesh.dim == 3 else x[:, 1:] - x[:, :1]
        self.size = np.linalg.norm(edges, axis=2).max(axis=1)
        seen, self.facing = self._seen(x, mesh.centroids[_owners(mesh, chosen)])
        facet, lam, w = self._sites(breaks)
        self.matrix = self._rows(facet, lam)
        self.points = self.matrix @ mesh.nodes
        self.area = seen[facet] * w * (circumference(self.points) if symmetry == "axial" else thickness)

    def split(self, places: Array) -> Surface:
        """The same with Gauss points on the pieces into which lateral places (n,) cut the facets of a plane mesh."""
        return Surface(*self._made, breaks=np.unique(places), axis=self.axis)

    def _sites(self, breaks: Array | None) -> tuple[IntArray, Array, Array]:
        """The facet (n,), barycentric coordinates (n, dim) and weight (n,) of every point; weights of a facet sum to one."""
        lam, w = _facet_rule(self.mesh.dim, self.mesh.degree)
        nf, nq = len(self.facets), len(w)
        if breaks is None or self.mesh.dim == 3:
            return np.repeat(np.arange(nf), nq), np.tile(lam, (nf, 1)), np.tile(w, nf)
        facet, pieces = [], []
        for f, (a, b) in enumerate(self.mesh.points[self.facets][:, :, 0]):
            t = (breaks - a) / (b - a)
            inner = np.sort(t[(t > 1e-9) & (t < 1.0 - 1e-9)])
            pieces.append(np.column_stack([np.append(0.0, inner), np.append(inner, 1.0)]))
            facet.append(np.full(len(pieces[-1]), f))
        low, high = np.concatenate(pieces).T[:, :, None]
        t = low + (high - low) * lam[:, 1]
        sites = np.stack([1.0 - t, t], axis=2).reshape(-1, 2)
        return np.repeat(np.concatenate(facet), nq), sites, ((high - low) * w).ravel()

    def _rows(self, facet: IntArray, lam: Array) -> Any:
        """Shape functions (n, n_nodes) at points of facets."""
        values = _facet_shape(lam, self.mesh.degree)
        n, nb = values.shape
        return sp.csr_matrix(
            (values.ravel(), self.nodes[facet].ravel(), np.arange(0, n * nb + 1, nb)), shape=(n, len(self.mesh.nodes))
        )

    def _seen(self, x: Array, inside: Array) -> tuple[Array, int]:
        """Lengths or areas (nf,) of the facets (nf, dim, dim) seen along the axis, and which way they face."""
        k, plane = self.axis, self.mesh.dim == 2
        flat = (x[:, 1:] - x[:, :1])[:, :, self.lateral]
        seen = np.abs(np.linalg.det(flat)) / (1.0 if plane else 2.0)
        full = self.size if plane else 0.5 * np.linalg.norm(np.cross(x[:, 1] - x[:, 0], x[:, 2] - x[:, 0]), axis=1)
        if (seen < 0.05 * full).any():
            j = int(np.argmin(seen / full))
            raise MultiscaleError(
                f"the facet at {np.round(self.centres[j], 4).tolist()} stands on edge: a gap is measured along the coordinate "
                f"{self.axis} of the mesh, and needs surfaces that face it; choose fewer facets"
            )
        # The height of the facet's plane above the cell's centroid, along the axis.
        normal = np.stack([x[:, 1, 1] - x[:, 0, 1], x[:, 0, 0] - x[:, 1, 0]], axis=1) if plane else None
        n = normal if normal is not None else np.cross(x[:, 1] - x[:, 0], x[:, 2] - x[:, 0])
        outward = np.sign(np.einsum("ni,ni->n", n, x.mean(axis=1) - inside[:, : self.mesh.dim])) * np.sign(n[:, k])
        if np.ptp(outward) > 0:
            raise MultiscaleError(
                f"{int((outward > 0).sum())} facets of the surface face up and {int((outward < 0).sum())} down; choose those of one side"
            )
        return seen, int(outward[0])

    @cached_property
    def _locator(self) -> Locator:
        return Locator(self.mesh.points[self.facets][:, :, self.lateral])

    def at(self, points: Array) -> Any:
        """The matrix (n, n_nodes) that gives nodal values of the surface at the lateral coordinates of points (n, 3).

        Raises
        ------
        MultiscaleError
            If the surface is not there.
        """
        lateral = points[:, self.lateral]
        facet, lam = self._locator.find(lateral)
        off = np.flatnonzero(facet < 0)
        facet[off] = self._locator.nearest(lateral[off], 1e-6 * float(self.size.max()))
        lam[off] = self._locator.barycentric(np.maximum(facet[off], 0), lateral[off])
        if (facet < 0).any():
            j = int(np.flatnonzero(facet < 0)[0])
            raise MultiscaleError(
                f"nothing lies opposite the point {np.round(points[j], 4).tolist()} of the surface ({int((facet < 0).sum())} such points "
                f"of {len(points)}): take the smaller surface as the first one, or choose facets that lie opposite each other"
            )
        return self._rows(facet, lam)


def _owners(mesh: SimplexMesh, chosen: BoolArray) -> IntArray:
    """The cells of some of the boundary's facets."""
    facets = np.sort(mesh.cells[:, list(FACETS[mesh.dim])].reshape(-1, mesh.dim), axis=1)
    _, first, count = np.unique(facets, axis=0, return_index=True, return_counts=True)
    return np.sort(first[count == 1])[chosen] // (mesh.dim + 1)


def _facet_rule(dim: int, degree: int) -> tuple[Array, Array]:
    """Barycentric points (nq, dim) on a facet and weights that sum to one."""
    if dim == 3:
        return rule(2, 2 * degree)
    t, w = np.polynomial.legendre.leggauss(degree + 1)
    return np.column_stack([0.5 * (1.0 - t), 0.5 * (1.0 + t)]), 0.5 * w


def _facet_shape(lam: Array, degree: int) -> Array:
    """Shape functions (n, nb) of a facet's nodes: vertices, then edges."""
    if lam.shape[1] == 3 or degree == 1:
        return shape(lam, degree)
    return np.column_stack([lam * (2.0 * lam - 1.0), 4.0 * lam.prod(axis=1)])
