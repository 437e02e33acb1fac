"""Minimising a quadratic within bounds: find d in [l, u] with R(d)·(v − d) ≥ 0 for all v in [l, u],  R = ∂E/∂d.

Where d is between its bounds R = 0; at the lower one R ≥ 0, at the upper one R ≤ 0. Newton's method on the components that no bound
holds (PETSc's SNES ``vinewtonrsls``, Benson & Munson, Optim. Methods Softw. 21 (2006) 361, DOI 10.1080/10556780500065382) is an active-set
method for a quadratic E: it ends after a few changes of the set, exactly.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..types import Array, MultiscaleError
from . import dolfinx_compat as fx
from .distributed import Field

_OPTIONS = {
    "snes_type": "vinewtonrsls",
    "snes_max_it": 100,
    "snes_rtol": 1e-50,
    "snes_stol": 0.0,
    "ksp_type": "cg",
    "ksp_rtol": 1e-9,
    "ksp_max_it": 2000,
    "pc_type": "bjacobi",
    "sub_pc_type": "icc",
}


class BoundedProblem:
    """Solver of one residual on one scalar field; collective.

    Parameters
    ----------
    field : Field
    d : Function
        The unknown, which the forms contain.
    residual, tangent : UFL forms
        ∂E/∂d, and ∂²E/∂d², which does not depend on d.
    tolerance : float
        Of the norm of the residual where no bound holds, in its own unit.
    """

    def __init__(self, field: Field, d: Any, residual: Any, tangent: Any, tolerance: float) -> None:
        self.field, self.d = field, d
        self.residual, self.tangent = fx.form(residual), fx.form(tangent)
        self.matrix = fx.new_matrix(self.tangent)
        self.x, self.f, self.lower, self.upper = (fx.new_vector(field.space) for _ in range(4))
        self._snes = fx.PETSc.SNES().create(field.mesh.comm)
        self._snes.setFunction(self._residual, self.f)
        self._snes.setJacobian(lambda *_: None, self.matrix, self.matrix)
        fx.set_options(self._snes, {**_OPTIONS, "snes_atol": tolerance})
        self.iterations = 0

    def solve(self, lower: Array, upper: Array) -> None:
        """Leave the minimum in ``d``, ghosts included; bounds are local values, ghosts included (or owned ones only)."""
        n = self.field.owned
        fx.assemble_matrix(self.matrix, self.tangent)
        self.lower.array[:], self.upper.array[:] = lower[:n], upper[:n]
        self.x.array[:] = np.clip(self.d.x.array[:n], lower[:n], upper[:n])
        self._snes.setVariableBounds(self.lower, self.upper)
        self._snes.solve(None, self.x)
        reason, self.iterations = self._snes.getConvergedReason(), self._snes.getIterationNumber()
        if reason < 0:
            raise MultiscaleError(
                f"the damage within its bounds was not found in {self.iterations} iterations, with a residual of "
                f"{self._snes.getFunctionNorm():.3g} (PETSc reason {reason}); take smaller load steps"
            )
        self.field.take(self.d, self.x)

    def _residual(self, _snes: Any, x: Any, f: Any) -> None:
        self.field.take(self.d, x)
        self.field.assemble(self.f, self.residual)
        if f.handle != self.f.handle:
            self.f.copy(f)
