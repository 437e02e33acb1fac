"""The one file that knows which DOLFINx is installed: 0.5.2 to 0.11, told apart by what they offer, never by version.

Everything uses the lowest layer that all versions share: ``fem.form``, ``dolfinx.fem.petsc`` assembly and petsc4py.
Meshes always have shared-facet ghosts (the default differs between versions), arguments whose names changed are
passed by position, and dof arrays are plain numpy.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..types import Array, IntArray, missing

with contextlib.suppress(ImportError):
    # On Debian 12 dolfinx loads the reference BLAS for the whole process; a torch imported later uses it and is
    # 13 times slower. Imported first, torch keeps its own.
    import torch  # noqa: F401
try:
    import basix
    import dolfinx.fem.petsc as petsc_assembly
    import ufl
    from dolfinx import fem
    from dolfinx import mesh as dolfinx_mesh
    from mpi4py import MPI  # noqa: F401 (for the files that import this one)
    from petsc4py import PETSc
except ImportError as error:
    raise missing(
        str(error.name),
        "a continuum region",
        "install FEniCSx: apt-get install python3-dolfinx (Debian), or conda install -c conda-forge fenics-dolfinx",
    ) from error

with contextlib.suppress(ImportError):
    import basix.ufl  # 0.5 has its elements in ufl itself

# ffcx switches warnings to logging and, in 0.5, logs every compiler call.
logging.captureWarnings(False)
for _handler in logging.getLogger().handlers:
    _handler.setLevel(logging.WARNING)

_OLD = not hasattr(fem, "functionspace")  # 0.5: FunctionSpace, ufl elements, jit_params
# The default time-out of 10 s is too short when two processes share a cache; 0.5 wants an integer.
_JIT = {"jit_params" if _OLD else "jit_options": {"timeout": 120}}


def embed(H: Any) -> Any:
    """A UFL gradient (2, 2) as (3, 3) with zeros (plane strain); (3, 3) unchanged."""
    if H.ufl_shape == (3, 3):
        return H
    return ufl.as_matrix([[H[0, 0], H[0, 1], 0], [H[1, 0], H[1, 1], 0], [0, 0, 0]])


def with_hoop(H: Any, u: Any, mesh: Any) -> Any:
    """A UFL gradient (2, 2) on a mesh (r, z) as (3, 3), with the hoop strain u_r/r."""
    r = ufl.SpatialCoordinate(mesh)[0]
    return ufl.as_matrix([[H[0, 0], H[0, 1], 0], [H[1, 0], H[1, 1], 0], [0, 0, u[0] / r]])


def create_mesh(comm: Any, cells: IntArray, points: Array, cell: str) -> Any:
    """A distributed mesh of straight simplices.

    Parameters
    ----------
    comm : MPI communicator
    cells : (n, dim + 1) array
        This rank's slice of the cells, in global vertex numbers.
    points : (n, dim) array
        This rank's slice of the vertices; slices follow one another in rank order.
    cell : str
        "triangle" or "tetrahedron".
    """
    cells = np.ascontiguousarray(cells, dtype=np.int64)
    points = np.ascontiguousarray(points, dtype=np.float64)
    ghosts = dolfinx_mesh.GhostMode.shared_facet
    dim = points.shape[1]
    if _OLD:
        domain = ufl.Mesh(ufl.VectorElement("Lagrange", ufl.Cell(cell, geometric_dimension=dim), 1))
        return dolfinx_mesh.create_mesh(comm, cells, points, domain, ghosts)
    domain = ufl.Mesh(basix.ufl.element("Lagrange", cell, 1, shape=(dim,)))
    try:
        partitioner = dolfinx_mesh.create_cell_partitioner(ghosts)
    except TypeError:  # 0.11 requires the largest number of cells at a facet
        partitioner = dolfinx_mesh.create_cell_partitioner(ghosts, 2)
    return dolfinx_mesh.create_mesh(comm, cells=cells, x=points, e=domain, partitioner=partitioner)


def lagrange(mesh: Any, degree: int) -> Any:
    """The space of continuous vector fields of the mesh's dimension."""
    dim = mesh.geometry.dim
    if _OLD:
        return fem.VectorFunctionSpace(mesh, ("Lagrange", degree), dim=dim)
    return fem.functionspace(mesh, ("Lagrange", degree, (dim,)))


def lagrange_scalar(mesh: Any, degree: int) -> Any:
    """The space of continuous scalar fields."""
    element = ("Lagrange", degree)
    return fem.FunctionSpace(mesh, element) if _OLD else fem.functionspace(mesh, element)


def quadrature_space(mesh: Any, degree: int, shape: tuple[int, ...] = ()) -> Any:
    """The space of scalars or tensors of a shape at quadrature points; dof k of a cell is its point k, components row by row."""
    if _OLD:
        settings = {"degree": degree, "quad_scheme": "default"}
        if shape:
            element = ufl.TensorElement("Quadrature", mesh.ufl_cell(), shape=shape, **settings)
        else:
            element = ufl.FiniteElement("Quadrature", mesh.ufl_cell(), **settings)
        return fem.FunctionSpace(mesh, element)
    element = basix.ufl.quadrature_element(mesh.basix_cell(), value_shape=shape, scheme="default", degree=degree)
    return fem.functionspace(mesh, element)


def quadrature_rule(cell: str, degree: int) -> tuple[Array, Array]:
    """Reference points (nq, dim) and weights (nq,) of the scheme that forms use."""
    kind = getattr(basix.CellType, cell)
    try:
        points, weights = basix.make_quadrature(kind, degree)
    except TypeError:
        points, weights = basix.make_quadrature(basix.QuadratureType.Default, kind, degree)
    return np.asarray(points), np.asarray(weights)


def measure(mesh: Any, degree: int) -> Any:
    """The volume measure with the quadrature rule of :func:`quadrature_space`."""
    return ufl.Measure("dx", domain=mesh, metadata={"quadrature_degree": degree, "quadrature_scheme": "default"})


def _rows(adjacency: Any, per_cell: int) -> IntArray:
    # 0.5 has an AdjacencyList; the length is given because a rank without cells cannot tell it.
    flat = adjacency.array if hasattr(adjacency, "array") else adjacency
    return np.asarray(flat).reshape(-1, per_cell)


def dofs(V: Any, per_cell: int) -> IntArray:
    """Block dofs (owned and ghost cells, per_cell)."""
    return _rows(V.dofmap.list, per_cell)


def geometry_dofs(mesh: Any) -> IntArray:
    """Geometry nodes (owned and ghost cells, dim + 1)."""
    g = mesh.geometry
    return _rows(g.dofmaps[0] if hasattr(g, "dofmaps") else g.dofmap, mesh.topology.dim + 1)


def owned_cells(mesh: Any) -> int:
    """Number of cells that this rank owns; they come first."""
    return int(mesh.topology.index_map(mesh.topology.dim).size_local)


def form(expression: Any) -> Any:
    """Compile a UFL form. Collective on the mesh's ranks: the first compiles, the others load."""
    return fem.form(expression, **_JIT)


def integral(compiled: Any) -> float:
    """The value of a compiled functional over this rank's cells."""
    return float(np.real(fem.assemble_scalar(compiled)))


class PointExpression:
    """A UFL expression evaluated at the reference points (nq, dim) of owned cells; gives (cells, nq, components)."""

    def __init__(self, expression: Any, points: Array, mesh: Any) -> None:
        # Flat vectors, because the shape of what eval returns differs between versions.
        flat = [expression[i] for i in np.ndindex(expression.ufl_shape)] if expression.ufl_shape else [expression]
        self._expression = fem.Expression(ufl.as_vector(flat), points, **_JIT)
        self._mesh, self._nq, self._size = mesh, len(points), len(flat)
        self._cells = np.arange(owned_cells(mesh), dtype=np.int32)

    def __call__(self) -> Array:
        """Values (owned cells, nq, components) for the present state."""
        if not len(self._cells):
            return np.zeros((0, self._nq, self._size))
        e = self._expression
        values = e.eval(self._cells) if _OLD else e.eval(self._mesh, self._cells)
        return np.asarray(values).reshape(len(self._cells), self._nq, self._size)


def new_vector(V: Any) -> Any:
    """A ghosted PETSc vector with its own storage."""
    im, bs = V.dofmap.index_map, V.dofmap.index_map_bs
    ghosts = np.asarray(im.ghosts, dtype=PETSc.IntType)
    return PETSc.Vec().createGhost(ghosts, size=(im.size_local * bs, im.size_global * bs), bsize=bs, comm=V.mesh.comm)


def assemble_local(vector: Any, compiled: Any) -> Array:
    """Assemble a linear form over the owned cells; owned and ghost entries of this rank alone, no communication."""
    with vector.localForm() as local:
        local.set(0.0)
    petsc_assembly.assemble_vector(vector, compiled)
    with vector.localForm() as local:
        return np.array(local.array_r)


def assemble_matrix(matrix: Any, compiled: Any) -> None:
    """Assemble a bilinear form into a PETSc matrix of :func:`new_matrix`. Collective."""
    matrix.zeroEntries()
    petsc_assembly.assemble_matrix(matrix, compiled)
    matrix.assemble()


def new_matrix(compiled: Any) -> Any:
    """An empty PETSc matrix with the pattern of a bilinear form. Collective."""
    return petsc_assembly.create_matrix(compiled)


def rigid_modes(V: Any) -> Any:
    """The near-nullspace of elasticity: 3 (plane) or 6 orthonormal rigid-body modes, for algebraic multigrid."""
    dim, bs = V.mesh.geometry.dim, V.dofmap.index_map_bs
    n, total = V.dofmap.index_map.size_local, V.dofmap.index_map.size_global
    x = V.tabulate_dof_coordinates()[:n]
    modes = [np.tile(row, (n, 1)) for row in np.eye(dim)]
    for i, j in [(0, 1)] if dim == 2 else [(0, 1), (1, 2), (2, 0)]:
        m = np.zeros((n, dim))
        m[:, i], m[:, j] = -x[:, j], x[:, i]
        modes.append(m)
    vectors: list[Any] = []
    for m in modes:
        v = PETSc.Vec().createMPI((n * bs, total * bs), bsize=bs, comm=V.mesh.comm)
        v.array[:] = m.ravel()
        for _ in range(2):  # one Gram–Schmidt pass loses digits when the mesh is far from the origin
            for other in vectors:
                v.axpy(-v.dot(other), other)
        v.normalize()
        vectors.append(v)
    return PETSc.NullSpace().create(vectors=vectors, comm=V.mesh.comm)


def set_options(solver: Any, options: Mapping[str, Any]) -> None:
    """Configure a KSP or SNES by PETSc options under a prefix of its own, and leave the database as it was."""
    prefix = f"multiscale_{id(solver):x}_"
    database = PETSc.Options()
    solver.setOptionsPrefix(prefix)
    for name, value in options.items():
        database[prefix + name] = value
    solver.setFromOptions()
    for name in options:
        database.delValue(prefix + name)
