"""The peer: the same elastic problem in a plain script of DOLFINx, with nothing of this package but its mesh's points and cells.

Lagrange elements of degree 1, the multigrid and tolerance that the package uses, assembly and solution timed as a user would write them.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import ufl
from dolfinx import fem
from petsc4py import PETSc

from multiscale.continuum import dolfinx_compat as fx


class PlainSolver:
    """A neo-Hookean block with prescribed displacements of its boundary, by Newton's method written out.

    Parameters
    ----------
    comm : MPI communicator
    points : (nv, 3) array
        Å.
    cells : (nc, 4) array
    mu, lam : float
        eV/Å³.
    """

    def __init__(self, comm: Any, points: Any, cells: Any, mu: float, lam: float) -> None:
        size, rank = comm.Get_size(), comm.Get_rank()
        part = [slice(rank * len(a) // size, (rank + 1) * len(a) // size) for a in (cells, points)]
        self.domain = fx.create_mesh(comm, cells[part[0]], points[part[1]], "tetrahedron")
        V = self.space = fx.lagrange(self.domain, 1)
        self.u, v, du = fem.Function(V), ufl.TestFunction(V), ufl.TrialFunction(V)
        h = ufl.grad(self.u)
        log_j = ufl.ln(ufl.det(ufl.Identity(3) + h))
        density = mu * (ufl.tr(h) + 0.5 * ufl.inner(h, h)) - mu * log_j + 0.5 * lam * log_j**2
        residual = ufl.derivative(density * fx.measure(self.domain, 1), self.u, v)
        self.residual, self.tangent = fx.form(residual), fx.form(ufl.derivative(residual, self.u, du))
        self.b, self.matrix = fx.new_vector(V), fx.new_matrix(self.tangent)
        self.matrix.setNearNullSpace(fx.rigid_modes(V))

    def residual_only(self) -> None:
        """R at the present u."""
        fx.assemble_local(self.b, self.residual)
        self.b.ghostUpdate(addv=PETSc.InsertMode.ADD, mode=PETSc.ScatterMode.REVERSE)

    def assemble(self) -> None:
        """Residual and tangent at the present u."""
        self.residual_only()
        fx.assemble_matrix(self.matrix, self.tangent)

    def solve(self, target: Any, fixed: Any, rtol: float) -> tuple[float, int]:
        """Seconds and steps of Newton's method from u = 0 until |R| ≤ ``rtol`` · |reactions|; ``target`` and ``fixed`` by coordinates."""
        V = self.space
        n = V.dofmap.index_map.size_local
        x = V.tabulate_dof_coordinates()[:n]
        held = np.flatnonzero(np.repeat(fixed(x), 3))
        rows = (self.matrix.getOwnershipRange()[0] + held).astype(PETSc.IntType)
        change = self.b.duplicate()
        ksp = PETSc.KSP().create(self.domain.comm)
        start = time.perf_counter()
        self.u.x.array[:], scale = 0.0, 0.0
        for step in range(20):
            self.assemble()
            self.b.scale(-1.0)
            change.set(0.0)
            if step == 0:
                change.array[held] = target(x).ravel()[held]
            everything = self.b.norm()
            self.b.array[held] = 0.0
            if step == 1:
                scale = everything
            if step > 0 and self.b.norm() <= rtol * scale:
                break
            self.matrix.zeroRowsColumns(rows, 1.0, change, self.b)
            ksp.setOperators(self.matrix)
            fx.set_options(
                ksp,
                {"ksp_type": "cg", "ksp_rtol": 1e-6, "pc_type": "gamg", "mg_levels_ksp_type": "chebyshev", "mg_levels_pc_type": "jacobi"},
            )  # fmt: skip
            ksp.solve(self.b, change)
            change.ghostUpdate(addv=PETSc.InsertMode.INSERT, mode=PETSc.ScatterMode.FORWARD)
            with change.localForm() as local:
                self.u.x.array[:] += local.array_r
        return time.perf_counter() - start, step
