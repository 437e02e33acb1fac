"""The DOLFINx side of a continuum region: E = ∫ w W(∇u) dX on a distributed copy of a SimplexMesh.

    R(u; v) = D_u E[v]        ∂²E/∂u² · d = D_u R[d]

from the terms of one law (:mod:`multiscale.continuum.terms`); w is a function on quadrature points, and carries the circumference 2πr of
bodies of revolution as well. Arrays that come in are replicated over the mesh's input numbering; arrays that go out carry this rank's
owned cells only, so that the sum over ranks is the answer and no communication is needed. Forms are compiled when they are first used,
which all ranks of the mesh must do together.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

from ..types import Array, BoolArray, IntArray, MultiscaleError, Team
from . import dolfinx_compat as fx
from .axial import Symmetry, circumference
from .distributed import DistributedMesh
from .equilibrium import Equilibrium
from .laws import Law
from .mesh import SimplexMesh
from .reference import CELL_NAMES, rule
from .terms import terms


class DistributedForms:
    """Energy, gradient, Hessian–vector product and tangents of one law on this rank's share of the cells.

    Parameters
    ----------
    mesh : SimplexMesh
    law : Law
    degree : int
        Degree of the quadrature rule.
    team : Team
        The ranks to share the cells. A member of a team without a communicator takes its slice of the cells and
        can evaluate, but not solve.
    symmetry : {"plane", "axial"}
        Whether a plane mesh is a slab or a body of revolution (:mod:`.axial`).
    """

    def __init__(self, mesh: SimplexMesh, law: Law, degree: int, team: Team, symmetry: Symmetry = "plane") -> None:
        self.mesh, self.law, self.degree, self.team = mesh, law, degree, team
        self.parts = DistributedMesh(mesh, team, apart=True)
        self.field = self.parts.vectors()
        self.space, self.node_of_dof = self.field.space, self.field.nodes
        weights = fx.quadrature_space(self.parts.domain, degree)
        self.u, self.direction = self.field.function(), self.field.function()
        self.w = fx.fem.Function(weights)
        self._map(weights)
        self.terms = terms(law, self.space, self.u, self.w, degree, symmetry)
        #: What a site of weight one counts: 2πr, or one.
        self._count = circumference(mesh.quadrature(degree)[0]) if symmetry == "axial" else np.ones(1)

    def _map(self, weight_space: Any) -> None:
        """Tie quadrature points to the input numbering."""
        points, weights = fx.quadrature_rule(CELL_NAMES[self.mesh.dim], self.degree)
        lam, ours = rule(self.mesh.dim, self.degree)
        if np.shape(points) != lam[:, 1:].shape or not np.allclose(points, lam[:, 1:], atol=1e-12):
            raise MultiscaleError(
                "this DOLFINx numbers quadrature points differently from 0.5 to 0.11; adapt continuum/forms.py or use one of those versions"
            )
        if not np.allclose(weights / weights.sum(), ours, atol=1e-12):
            raise MultiscaleError("this basix has other weights than continuum/reference.py; adapt that file")
        original, nq = self.parts.original, len(ours)
        self.cells = original[: fx.owned_cells(self.parts.domain)]
        self.sites = self.cells[:, None] * nq + np.arange(nq)
        self._weight_dofs = fx.dofs(weight_space, nq)
        self._weight_sites = original[:, None] * nq + np.arange(nq)
        self._vector = fx.new_vector(self.space)

    # -- state --------------------------------------------------------------------------------------------------

    def set(self, u: Array, weights: Array | None) -> None:
        """Take displacements (n_nodes, 3), Å, and site weights (n_sites,) or None for one."""
        self.field.fill(self.u, u)
        n = len(self.mesh.cells) * self._weight_sites.shape[1]
        counted = np.broadcast_to(self._count if weights is None else weights * self._count, n)
        self.w.x.array[self._weight_dofs] = counted[self._weight_sites]

    # -- forms --------------------------------------------------------------------------------------------------

    @cached_property
    def _residual(self) -> Any:
        return fx.form(self.terms.residual)

    @cached_property
    def _action(self) -> Any:
        return fx.form(self.terms.derivative(self.direction))

    # -- answers ------------------------------------------------------------------------------------------------

    def density(self) -> Array:
        """W (owned cells, nq), eV/Å³; row k belongs to the sites ``self.sites[k]``."""
        return self.terms.density()

    def gradients(self) -> Array:
        """∇u (owned cells × nq, dim, dim) at the sites ``self.sites``, row by row."""
        return self.terms.gradients()

    def gradient(self) -> Array:
        """Share of ∂E/∂u (n_nodes, 3): eV/Å, per Å of thickness in two dimensions."""
        form = self._residual  # compiled by all ranks together, before the law may refuse on one of them
        self.terms.refresh(1)
        return self._scatter(fx.assemble_local(self._vector, form))

    def hessian_product(self, direction: Array) -> Array:
        """Share of ∂²E/∂u² · direction (n_nodes, 3): eV/Å, per Å of thickness in two dimensions."""
        self.field.fill(self.direction, direction)
        form = self._action
        self.terms.refresh(2)
        return self._scatter(fx.assemble_local(self._vector, form))

    def stiffness(self) -> sp.csr_matrix:
        """Share of ∂²E/∂u² (3 n_nodes, 3 n_nodes): the rows that this rank owns; eV/Å², per Å of thickness in a plane. Collective."""
        n, dim = len(self.mesh.nodes), self.mesh.dim
        if self.team.comm is None and not len(self.cells):
            return sp.csr_matrix((3 * n, 3 * n))
        e = self._equilibrium
        matrix = e.assembled()
        first, columns, values = matrix.getValuesCSR()
        start = matrix.getOwnershipRange()[0]
        nodes = self._global_nodes
        # Component k of a node is scalar row dim·dof + k on their side and 3·node + k on ours.
        ours = 3 * nodes[np.arange(dim * len(nodes)) // dim] + np.arange(dim * len(nodes)) % dim
        rows = np.repeat(ours[start : start + len(first) - 1], np.diff(first))
        return sp.csr_matrix((values, (rows, ours[columns])), shape=(3 * n, 3 * n))

    @cached_property
    def _global_nodes(self) -> IntArray:
        """The input node of every dof in DOLFINx's global order."""
        mine = self.node_of_dof[: self.space.dofmap.index_map.size_local]
        return mine if self.team.comm is None else np.concatenate(self.team.comm.allgather(mine))

    def tangent(self) -> Array:
        """∂²W/∂H_iJ∂H_kL (owned cells, nq, dim, dim, dim, dim), eV/Å³."""
        return self.terms.tangent()

    def _scatter(self, local: Array) -> Array:
        out = np.zeros((len(self.mesh.nodes), 3))
        out[self.node_of_dof, : self.mesh.dim] = local.reshape(-1, self.mesh.dim)
        return out

    # -- equilibrium --------------------------------------------------------------------------------------------

    @cached_property
    def _equilibrium(self) -> Equilibrium:
        K = self.terms.derivative(fx.ufl.TrialFunction(self.space))
        return Equilibrium(self.terms.residual, K, self.u, self.law.linear, self.terms.refresh)

    def solve(self, start: Array, value: Array, fixed: BoolArray, load: Array, rtol: float) -> Array:
        """Displacements (n_nodes, 3) in equilibrium, the same on all ranks; all arguments (n_nodes, 3). Collective."""
        if self.team.size > 1 and self.team.comm is None:
            raise MultiscaleError(
                f"a team of {self.team.size} without a communicator cannot solve together; bind the region to a Team "
                "with an MPI communicator, or to none"
            )
        pick = self.node_of_dof
        first, held, dead = (a[pick, : self.mesh.dim] for a in (start, value, load))
        self._equilibrium.solve(first, held, fixed[pick, : self.mesh.dim], dead, rtol)
        out = np.zeros((len(self.mesh.nodes), 3))
        out[:, : self.mesh.dim] = self.field.gathered(self.u.x.array)
        return out
