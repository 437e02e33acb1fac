"""Simplex meshes with Lagrange nodes: u(X) = Σ_a N_a(X) u_a, the same on every rank.

Nodes are the vertices in input order, then (degree 2) one node per edge, edges in the order of their sorted vertex
pairs. Cells and quadrature points keep the input order. No number depends on how many ranks there are; distributed
DOLFINx meshes are made from this one and mapped back to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations
from pathlib import Path
from typing import Any

import meshio
import numpy as np
import scipy.sparse as sp

from ..types import Array, BoolArray, IntArray, MultiscaleError, missing
from .locate import Locator
from .reference import EDGES, FACETS, rule, shape, shape_derivative

_VTK_NAMES = {(2, 1): "triangle", (2, 2): "triangle6", (3, 1): "tetra", (3, 2): "tetra10"}
# VTK numbers the edges of a cell differently from basix.
_VTK_ORDER = {2: (0, 1, 2, 5, 3, 4), 3: (0, 1, 2, 3, 9, 6, 8, 7, 5, 4)}


@dataclass(frozen=True, eq=False)
class SimplexMesh:
    """Straight-sided triangles or tetrahedra with linear or quadratic nodes.

    Parameters
    ----------
    points : (nv, dim) array
        Vertices, Å; ``dim`` is 2 or 3.
    cells : (nc, dim + 1) array
        Vertices of the cells. Negatively oriented cells have their last two vertices exchanged.
    degree : int
        1 or 2.

    Examples
    --------
    >>> mesh = SimplexMesh.box((0, 0, 0), (2, 1, 1), (2, 1, 1))
    >>> len(mesh.nodes), float(round(mesh.volumes.sum(), 12))
    (12, 2.0)
    """

    points: Array
    cells: IntArray
    degree: int = 1

    def __post_init__(self) -> None:
        points = np.array(self.points, dtype=float)
        cells = np.array(self.cells, dtype=np.int64)
        dim = points.shape[1] if points.ndim == 2 else 0
        if dim not in (2, 3) or cells.ndim != 2 or cells.shape[1] != dim + 1 or not len(cells):
            raise MultiscaleError(
                f"a SimplexMesh needs points (nv, dim) and cells (nc, dim + 1) with dim 2 or 3, got {points.shape} and "
                f"{cells.shape}; pass plane points without z"
            )
        if self.degree not in (1, 2):
            raise MultiscaleError(f"SimplexMesh has linear and quadratic nodes, got degree {self.degree}; use 1 or 2")
        if cells.min() < 0 or len(np.unique(cells)) != len(points):
            raise MultiscaleError(
                f"the cells name {len(np.unique(cells))} vertices (from {cells.min()} to {cells.max()}) of "
                f"{len(points)} points; drop the points that belong to no cell"
            )
        det = np.linalg.det(points[cells[:, 1:]] - points[cells[:, :1]])
        size = np.ptp(points[cells], axis=1).max(axis=1) ** dim
        if (np.abs(det) < 1e-12 * size).any():
            raise MultiscaleError(f"cell {int(np.argmin(np.abs(det) / size))} has no volume; mend the mesh")
        flip = det < 0
        cells[flip, -2:] = cells[flip, -2:][:, ::-1]
        for name, value in (("points", points), ("cells", cells)):
            value.setflags(write=False)
            object.__setattr__(self, name, value)

    # -- generators ---------------------------------------------------------------------------------------------

    @classmethod
    def rectangle(cls, p0: Any, p1: Any, n: Any, degree: int = 1) -> SimplexMesh:
        """Triangles on the rectangle from corner ``p0`` to ``p1`` (2,), Å: two for each of ``n`` (2,) intervals."""
        return cls._structured(p0, p1, n, degree, 2)

    @classmethod
    def box(cls, p0: Any, p1: Any, n: Any, degree: int = 1) -> SimplexMesh:
        """Tetrahedra on the box from corner ``p0`` to ``p1`` (3,), Å: six for each of ``n`` (3,) intervals."""
        return cls._structured(p0, p1, n, degree, 3)

    @classmethod
    def _structured(cls, p0: Any, p1: Any, n: Any, degree: int, dim: int) -> SimplexMesh:
        if not (np.shape(p0) == np.shape(p1) == np.shape(n) == (dim,)) or min(n) < 1:
            raise MultiscaleError(f"need two corners and interval counts of length {dim}, got {p0}, {p1} and {n}")
        axes = [np.linspace(a, b, k + 1) for a, b, k in zip(p0, p1, n, strict=True)]
        points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, dim)
        shape_ = [k + 1 for k in n]
        corner = np.stack(np.meshgrid(*[np.arange(k) for k in n], indexing="ij"), axis=-1).reshape(-1, dim)
        # Kuhn's subdivision: one simplex per order in which a path from corner to corner takes the axes.
        paths = []
        for order in permutations(range(dim)):
            steps = np.vstack([np.zeros(dim, dtype=int), np.cumsum(np.eye(dim, dtype=int)[list(order)], axis=0)])
            paths.append([np.ravel_multi_index((corner + s).T, shape_) for s in steps])
        cells = np.array(paths).transpose(2, 0, 1).reshape(-1, dim + 1)
        return cls(points, cells, degree)

    # -- topology -----------------------------------------------------------------------------------------------

    @property
    def dim(self) -> int:
        """Number of space dimensions, 2 or 3."""
        return int(self.points.shape[1])

    @cached_property
    def _edges(self) -> tuple[IntArray, IntArray]:
        """Sorted vertex pairs (ne, 2) and the edges of the cells (nc, edges per cell)."""
        pairs = np.sort(self.cells[:, list(EDGES[self.dim])], axis=2)
        edges, number = np.unique(pairs.reshape(-1, 2), axis=0, return_inverse=True)
        return edges, number.reshape(len(self.cells), -1)

    @cached_property
    def nodes(self) -> Array:
        """Reference positions of the nodes (n_nodes, 3), Å; z is 0 in two dimensions."""
        x = self.points
        if self.degree == 2:
            x = np.vstack([x, x[self._edges[0]].mean(axis=1)])
        return np.pad(x, ((0, 0), (0, 3 - self.dim)))

    @cached_property
    def cell_nodes(self) -> IntArray:
        """Nodes of the cells (nc, nb): vertices, then edges, in basix order."""
        if self.degree == 1:
            return self.cells
        return np.hstack([self.cells, len(self.points) + self._edges[1]])

    @cached_property
    def volumes(self) -> Array:
        """Volumes of the cells (nc,): Å³, or Å² in two dimensions."""
        x = self.points[self.cells]
        return np.linalg.det(x[:, 1:] - x[:, :1]) / (2.0 if self.dim == 2 else 6.0)

    @cached_property
    def h(self) -> Array:
        """Longest edge of each cell (nc,), Å."""
        edges, number = self._edges
        return np.linalg.norm(self.points[edges[:, 1]] - self.points[edges[:, 0]], axis=1)[number].max(axis=1)

    @cached_property
    def centroids(self) -> Array:
        """Centroids of the cells (nc, 3), Å."""
        return np.pad(self.points[self.cells].mean(axis=1), ((0, 0), (0, 3 - self.dim)))

    def boundary(self) -> IntArray:
        """Vertices (nf, dim) of the facets that belong to one cell only."""
        facets = self.cells[:, list(FACETS[self.dim])].reshape(-1, self.dim)
        _, first, count = np.unique(np.sort(facets, axis=1), axis=0, return_index=True, return_counts=True)
        return facets[np.sort(first[count == 1])]

    def boundary_nodes(self, predicate: Callable[[Array], BoolArray] | None = None) -> IntArray:
        """Sorted numbers of the boundary nodes, edge nodes included, whose positions (n, 3) satisfy ``predicate``."""
        facets = self.boundary()
        found = np.unique(facets)
        if self.degree == 2:
            sides = facets[:, [(i, j) for i in range(self.dim) for j in range(i)]].reshape(-1, 2)
            nv = len(self.points)
            key = self._edges[0] @ np.array([nv, 1])
            found = np.union1d(found, nv + np.searchsorted(key, np.sort(sides, axis=1) @ np.array([nv, 1])))
        return found if predicate is None else found[np.asarray(predicate(self.nodes[found]), dtype=bool)]

    # -- interpolation ------------------------------------------------------------------------------------------

    @cached_property
    def _locator(self) -> Locator:
        return Locator(self.points[self.cells])

    def locate(self, points: Array, tolerance: float = 1e-6) -> tuple[IntArray, Array]:
        """Cells (n,) and barycentric coordinates (n, dim + 1) of reference points (n, 3) or (n, dim), Å.

        Points up to ``tolerance`` (Å) outside are extrapolated from the nearest cell; points farther out are an
        error. Where several cells meet, the choice is the same on every rank.
        """
        return self._locator.locate(self._plane(points), tolerance)

    def contains(self, points: Array, tolerance: float = 0.0) -> BoolArray:
        """Whether the points (n, 3) or (n, dim) lie in the mesh, or outside by at most ``tolerance`` (Å)."""
        p = self._plane(points)
        cell, _ = self._locator.find(p)
        out = np.flatnonzero(cell < 0)
        cell[out] = self._locator.nearest(p[out], tolerance)
        return cell >= 0

    def _plane(self, points: Array) -> Array:
        p = np.asarray(points, dtype=float)
        if p.ndim != 2 or p.shape[1] not in (self.dim, 3) or not np.isfinite(p).all():
            raise MultiscaleError(f"need finite points of shape (n, {self.dim}) or (n, 3), got {p.shape}")
        return p[:, : self.dim]

    def shape(self, points: Array, tolerance: float = 1e-6) -> sp.csr_matrix:
        """The matrix (n, n_nodes) that interpolates nodal values at reference points (n, 3); rows sum to one."""
        return self.shape_in(*self.locate(points, tolerance))

    def gradient(self, points: Array, tolerance: float = 1e-6) -> list[sp.csr_matrix]:
        """Matrices (n, n_nodes), one per direction J, of ∂u/∂X_J at reference points (n, 3), 1/Å."""
        return self.gradient_in(*self.locate(points, tolerance))

    def shape_in(self, cell: IntArray, lam: Array) -> sp.csr_matrix:
        """As :meth:`shape`, for points known by cell (n,) and barycentric coordinates (n, dim + 1)."""
        return self._rows(cell, shape(lam, self.degree))

    def gradient_in(self, cell: IntArray, lam: Array) -> list[sp.csr_matrix]:
        """As :meth:`gradient`, for points known by cell (n,) and barycentric coordinates (n, dim + 1)."""
        dn = self.shape_gradients(cell, lam)
        return [self._rows(cell, dn[:, :, j]) for j in range(self.dim)]

    def shape_gradients(self, cell: IntArray, lam: Array) -> Array:
        """∂N_a/∂X_J (n, nb, dim), 1/Å, of the nodes of the given cells (n,) at λ (n, dim + 1)."""
        inverse = self._locator.inverse
        dlam = np.concatenate([-inverse.sum(axis=1, keepdims=True), inverse], axis=1)  # ∂λ_b/∂X_J
        return shape_derivative(lam, self.degree) @ dlam[cell]

    def _rows(self, cell: IntArray, values: Array) -> sp.csr_matrix:
        n, nb = values.shape
        columns = self.cell_nodes[cell].ravel()
        return sp.csr_matrix((values.ravel(), columns, np.arange(0, n * nb + 1, nb)), shape=(n, len(self.nodes)))

    # -- quadrature ---------------------------------------------------------------------------------------------

    def quadrature_points(self, degree: int) -> tuple[IntArray, Array]:
        """Cells (nc·nq,) and barycentric coordinates (nc·nq, dim + 1) of the quadrature points, by cell."""
        lam, w = rule(self.dim, degree)
        nc = len(self.cells)
        return np.repeat(np.arange(nc), len(w)), np.tile(lam, (nc, 1))

    def quadrature(self, degree: int) -> tuple[Array, Array]:
        """Positions (nc·nq, 3), Å, and reference volumes (nc·nq,) of the quadrature points, ordered by cell."""
        lam, w = rule(self.dim, degree)
        x = np.einsum("qk,ckd->cqd", lam, self.points[self.cells]).reshape(-1, self.dim)
        return np.pad(x, ((0, 0), (0, 3 - self.dim))), np.outer(self.volumes, w).ravel()

    # -- output -------------------------------------------------------------------------------------------------

    def to_meshio(self, nodal: Mapping[str, Array] | None = None, cell: Mapping[str, Array] | None = None) -> Any:
        """A ``meshio.Mesh`` with nodal fields (n_nodes, …) and cell fields (nc, …)."""
        order = list(range(self.dim + 1)) if self.degree == 1 else list(_VTK_ORDER[self.dim])
        return meshio.Mesh(
            self.nodes,
            [(_VTK_NAMES[self.dim, self.degree], self.cell_nodes[:, order])],
            point_data={k: np.asarray(v) for k, v in (nodal or {}).items()},
            cell_data={k: [np.asarray(v)] for k, v in (cell or {}).items()},
        )

    def write(
        self, path: str | Path, nodal: Mapping[str, Array] | None = None, cell: Mapping[str, Array] | None = None
    ) -> None:
        """Write reference mesh and fields for ParaView: a ``.vtu`` file, or any other format that meshio knows.

        Call on one rank. A field "u" of displacements is shown deformed by ParaView's filter *Warp By Vector*.
        """
        try:
            meshio.write(path, self.to_meshio(nodal, cell))
        except ModuleNotFoundError as error:  # meshio imports what a format needs only when it writes
            remedy = "write a .vtu file instead, or pip install it"
            raise missing(str(error.name), f"writing {Path(path).name}", remedy) from error
