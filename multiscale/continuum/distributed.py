"""A SimplexMesh dealt out over ranks by DOLFINx, and fields that go to and fro by input numbers.

    values (n_nodes, k), the same on all ranks   ⇄   functions whose dofs are where DOLFINx has put their cells

The tie is topology alone: DOLFINx says from which input cell each of its cells came, and keeps the order of its vertices.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..types import Array, IntArray, MultiscaleError, Team
from . import dolfinx_compat as fx
from .mesh import SimplexMesh
from .reference import CELL_NAMES


class DistributedMesh:
    """DOLFINx's copy of a mesh; collective on the team.

    Parameters
    ----------
    mesh : SimplexMesh
    team : Team
    apart : bool
        Whether a team of several members without a communicator will do: each of them has a mesh of its slice of the cells, and sums over
        the team are the caller's. Else it is an error.

    Attributes
    ----------
    domain : DOLFINx mesh
    original : (local cells,) array
        Input number of every cell that this rank has, ghosts included.
    """

    def __init__(self, mesh: SimplexMesh, team: Team, apart: bool = False) -> None:
        if team.size > 1 and team.comm is None and not apart:
            raise MultiscaleError(
                f"a team of {team.size} without a communicator cannot share a mesh; give a Team with an MPI communicator"
            )
        self.mesh, self.team = mesh, team
        self.comm = fx.MPI.COMM_SELF if team.comm is None else team.comm
        cells, vertices = self._create()
        self.original = cells[np.asarray(self.domain.topology.original_cell_index, dtype=np.int64)]
        given = vertices[np.asarray(self.domain.geometry.input_global_indices, dtype=np.int64)]
        if not np.array_equal(given[fx.geometry_dofs(self.domain)], mesh.cells[self.original]):
            raise MultiscaleError(
                "this DOLFINx numbers cell vertices differently from 0.5 to 0.11; adapt continuum/distributed.py or use one of those"
            )

    def _create(self) -> tuple[IntArray, IntArray]:
        """Make the domain; gives the input numbers (nc,), (nv,) of the cells and vertices that it was made from."""
        mesh, team, name = self.mesh, self.team, CELL_NAMES[self.mesh.dim]
        cells, vertices = np.arange(len(mesh.cells)), np.arange(len(mesh.points))
        if team.comm is not None or team.size == 1:
            mine, points = mesh.cells[team.share(len(cells))], mesh.points[team.share(len(vertices))]
            self.domain = fx.create_mesh(self.comm, mine, points, name)
            return cells, vertices
        cells = cells[team.share(len(cells))]
        vertices, local = np.unique(mesh.cells[cells], return_inverse=True)
        self.domain = fx.create_mesh(self.comm, local.reshape(-1, mesh.dim + 1), mesh.points[vertices], name)
        return cells, vertices

    def vectors(self) -> Field:
        """Vector fields on the mesh's nodes, linear or quadratic as those are."""
        return Field(self, fx.lagrange(self.domain, self.mesh.degree), self.mesh.cell_nodes, len(self.mesh.nodes))

    def scalars(self) -> Field:
        """Continuous linear scalar fields, on the mesh's vertices."""
        return Field(self, fx.lagrange_scalar(self.domain, 1), self.mesh.cells, len(self.mesh.points))

    def sum(self, value: float) -> float:
        """The sum over ranks."""
        return float(self.comm.allreduce(value, op=fx.MPI.SUM))

    def input_nodes(self, space: Any, cell_nodes: IntArray) -> IntArray:
        """The input node of every local dof, ghosts included."""
        dofs = fx.dofs(space, cell_nodes.shape[1])
        nodes = np.zeros(int(dofs.max(initial=-1)) + 1, dtype=np.int64)
        nodes[dofs] = cell_nodes[self.original]
        return nodes


class Field:
    """A space of functions with the input number of each dof's node.

    Parameters
    ----------
    mesh : DistributedMesh
    space : function space
    cell_nodes : (nc, nb) array
        Input nodes of the cells, in basix order.
    size : int
        Number of input nodes.
    """

    def __init__(self, mesh: DistributedMesh, space: Any, cell_nodes: IntArray, size: int) -> None:
        self.mesh, self.space, self.size = mesh, space, size
        self.nodes = mesh.input_nodes(space, cell_nodes)
        self.components = int(space.dofmap.index_map_bs)
        #: Number of dofs, components counted, that this rank owns; they come first.
        self.owned = int(space.dofmap.index_map.size_local) * self.components

    def function(self, values: Array | None = None) -> Any:
        """A function with the given values (size,) or (size, ≥ components), or zero."""
        f = fx.fem.Function(self.space)
        if values is not None:
            self.fill(f, values)
        return f

    def fill(self, function: Any, values: Array) -> None:
        """Give a function the values at its nodes, ghosts included."""
        function.x.array[:] = self.local(np.asarray(values, dtype=float))

    def local(self, values: Array) -> Array:
        """The values (size,) or (size, ≥ components) of this rank's dofs, ghosts included, flat."""
        return np.reshape(values, (self.size, -1))[self.nodes, : self.components].ravel()

    def gathered(self, flat: Array) -> Array:
        """Values of owned dofs (flat) on all ranks: (size,) or (size, components); collective."""
        out = np.zeros((self.size, self.components))
        out[self.nodes[: self.owned // self.components]] = np.reshape(flat[: self.owned], (-1, self.components))
        if self.mesh.comm.size > 1:
            self.mesh.comm.Allreduce(fx.MPI.IN_PLACE, out)  # each node is owned by one rank
        return out[:, 0] if self.components == 1 else out

    def take(self, function: Any, vector: Any) -> None:
        """Copy a PETSc vector to a function, ghosts included; collective."""
        vector.ghostUpdate(addv=fx.PETSc.InsertMode.INSERT, mode=fx.PETSc.ScatterMode.FORWARD)
        with vector.localForm() as local:
            function.x.array[:] = local.array_r

    def assemble(self, vector: Any, compiled: Any) -> None:
        """Assemble a linear form into a PETSc vector, the shares of other ranks included; collective."""
        fx.assemble_local(vector, compiled)
        vector.ghostUpdate(addv=fx.PETSc.InsertMode.ADD, mode=fx.PETSc.ScatterMode.REVERSE)
