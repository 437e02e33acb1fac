"""Equilibrium of the continuum alone: R(u) = ∂E/∂u = f with u given on some dofs.

The first step is the linear problem K(u₀) δ = f − R(u₀) with the prescribed change of u lifted to the right-hand
side: the whole answer for a linear law, and for others a start that obeys the boundary values without crushing the
cells next to them. Newton's method with backtracking (PETSc's SNES) does the rest. Conjugate gradients with smoothed
aggregation multigrid (GAMG) and the rigid-body modes solve the linear systems.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..types import Array, BoolArray, MultiscaleError
from . import dolfinx_compat as fx

_MULTIGRID = {
    "ksp_type": "cg",
    "ksp_max_it": 2000,
    "pc_type": "gamg",
    "mg_levels_ksp_type": "chebyshev",
    "mg_levels_pc_type": "jacobi",
}


class Equilibrium:
    """Solver of one pair of forms on one space; collective on the mesh's ranks.

    Parameters
    ----------
    residual, tangent : UFL forms
        ∂E/∂u and ∂²E/∂u².
    u : Function
        The displacement that the forms contain, Å.
    linear : bool
        Whether the residual is linear in u.
    refresh : callable
        Called with 1 or 2 after u has changed, before the residual or the tangent is assembled (see :class:`.terms.Terms`).
    """

    def __init__(
        self, residual: Any, tangent: Any, u: Any, linear: bool, refresh: Callable[[int], None] = lambda order: None
    ) -> None:
        V = self.space = u.function_space
        self.u, self.linear, self._refresh = u, linear, refresh
        self.residual, self.tangent = fx.form(residual), fx.form(tangent)
        self.matrix = fx.new_matrix(self.tangent)
        self.matrix.setNearNullSpace(fx.rigid_modes(V))
        self.x, self.b, self.load, self.change = (fx.new_vector(V) for _ in range(4))
        self.local = slice(0, V.dofmap.index_map.size_local * V.dofmap.index_map_bs)
        self.fixed = np.zeros(0, dtype=np.int64)  # owned scalar dofs, local numbers
        self.target = np.zeros(0)  # their values, Å

    def solve(self, start: Array, value: Array, fixed: BoolArray, load: Array, rtol: float) -> None:
        """Leave the solution in ``u``, ghosts included.

        Parameters
        ----------
        start, value, load : (local dofs, dim) array
            First guess and prescribed displacements, Å; dead loads f, eV/Å (of owned dofs).
        fixed : (local dofs, dim) bool array
        rtol : float
            Tolerance of the linear solve, or of Newton's residual relative to the reactions and loads.
        """
        self.fixed = np.flatnonzero(fixed.ravel()[self.local])
        self.load.array[:] = load.ravel()[self.local]
        self.x.array[:] = start.ravel()[self.local]
        self.change.set(0.0)
        self.target = value.ravel()[self.local][self.fixed]
        self.change.array[self.fixed] = self.target - start.ravel()[self.local][self.fixed]
        self._linear_step(rtol if self.linear else 1e-6)
        # Prescribed rows are part of the iterative solve too, and so are met only to its tolerance.
        self.x.array[self.fixed] = self.target
        if not self.linear:
            self._newton(rtol)
        self._take(self.x)

    def assembled(self) -> Any:
        """The tangent at the present ``u``, without boundary conditions, as a PETSc matrix that the next use overwrites. Collective."""
        self._refreshed(2)
        fx.assemble_matrix(self.matrix, self.tangent)
        return self.matrix

    def _linear_step(self, rtol: float) -> None:
        self._gradient(self.x)
        self.b.scale(-1.0)
        self.assembled()
        # Rows and columns of prescribed dofs go; their known change moves to the right-hand side.
        self.matrix.zeroRowsColumns(self._rows(), 1.0, self.change, self.b)
        ksp = fx.PETSc.KSP().create(self.space.mesh.comm)
        ksp.setOperators(self.matrix)
        fx.set_options(ksp, {**_MULTIGRID, "ksp_rtol": rtol})
        ksp.solve(self.b, self.change)
        reason, steps = ksp.getConvergedReason(), ksp.getIterationNumber()
        ksp.destroy()
        if reason < 0:
            raise MultiscaleError(
                f"the linear elastic solve failed after {steps} iterations (PETSc reason {reason}); check that the "
                "fixed dofs exclude rigid motion and that weights vanish on no inner piece"
            )
        self.x.axpy(1.0, self.change)

    def _newton(self, rtol: float) -> None:
        # The scale of forces is that of the reactions, not of a residual that a good start makes small.
        self._gradient(self.x)
        scale = self.b.norm() + self.load.norm()
        snes = fx.PETSc.SNES().create(self.space.mesh.comm)
        snes.setFunction(self._snes_residual, self.b)
        snes.setJacobian(self._snes_tangent, self.matrix, self.matrix)
        newton = {"snes_type": "newtonls", "snes_linesearch_type": "bt", "snes_max_it": 50, "ksp_rtol": 1e-6}
        # The smallest step ends what round-off keeps from going on.
        limits = {"snes_atol": max(rtol * scale, 1e-13), "snes_rtol": 1e-50, "snes_stol": 1e-13}
        fx.set_options(snes, {**_MULTIGRID, **newton, **limits})
        snes.solve(None, self.x)
        reason, steps = snes.getConvergedReason(), snes.getIterationNumber()
        norm = snes.getFunctionNorm()
        snes.destroy()
        if reason < 0:
            raise MultiscaleError(
                f"Newton's method stopped after {steps} steps with a residual of {norm:.3g} eV/Å (PETSc reason "
                f"{reason}); prescribe the load in smaller steps, each started from the last solution"
            )

    def _rows(self) -> Any:
        first = self.matrix.getOwnershipRange()[0]
        return (first + self.fixed).astype(fx.PETSc.IntType)

    def _take(self, x: Any) -> None:
        """Copy a PETSc vector to u, ghosts included."""
        x.ghostUpdate(addv=fx.PETSc.InsertMode.INSERT, mode=fx.PETSc.ScatterMode.FORWARD)
        with x.localForm() as local:
            self.u.x.array[:] = local.array_r

    def _refreshed(self, order: int) -> None:
        """Ask the law anew; where it refuses on one rank, raise on all of them, because all of them wait for one another."""
        error: Exception | None = None
        try:
            self._refresh(order)
        except Exception as e:
            error = e
        told = self.space.mesh.comm.allgather(None if error is None else str(error))
        if sentence := next((t for t in told if t is not None), None):
            raise MultiscaleError(sentence) from error

    def _gradient(self, x: Any) -> None:
        """Set b = R(x) − f."""
        self._take(x)
        self._refreshed(1)
        fx.assemble_local(self.b, self.residual)
        self.b.ghostUpdate(addv=fx.PETSc.InsertMode.ADD, mode=fx.PETSc.ScatterMode.REVERSE)
        self.b.axpy(-1.0, self.load)

    def _snes_residual(self, _snes: Any, x: Any, b: Any) -> None:
        self._gradient(x)
        if b.handle != self.b.handle:
            self.b.copy(b)
        # Not 0: Newton's steps, solved to a tolerance, move prescribed dofs a little, which must count and be undone.
        b.array[self.fixed] = x.array_r[self.fixed] - self.target

    def _snes_tangent(self, _snes: Any, x: Any, _a: Any, matrix: Any) -> None:
        self._take(x)
        self._refreshed(2)
        fx.assemble_matrix(matrix, self.tangent)
        matrix.zeroRowsColumns(self._rows(), 1.0)
