"""The preconditioner: the stiffness of the regions, assembled over the shared dofs and factorised once.

    P = Σ_r M_rᵀ K_r(w_r) M_r  + δ I      on the free dofs, with the smallest δ that makes it positive definite

Where the coupler ties dofs together, A q = b, the system is [[P, Aᵀ], [A, 0]], whose solutions keep A q as it is.

The regions' own Hessians (bonds of the atoms, elastic stiffness of the mesh) reach from the stiffest bond to the softest
long-wave mode of the mesh, so that mixed atom/node systems converge in tens of iterations whatever the size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import splu

from ..constraint import Constraint
from ..protocol import Model
from ..types import Array, BoolArray, IntArray, MultiscaleError

#: First shift tried on an indefinite stiffness, as a share of its median diagonal.
_FIRST_SHIFT = 1e-3


@dataclass(frozen=True)
class Preconditioner:
    """P⁻¹ on the free dofs; fixed ones stay where they are.

    Attributes
    ----------
    free : (n_q, 3) bool array
    shift : float
        δ in eV/Å², zero (but for round-off) at a stable state.
    ties : int
        Rows of the constraint.
    """

    free: BoolArray
    factors: Any
    shift: float
    ties: int = 0

    def __call__(self, f: Array) -> Array:
        """P⁻¹ f, (n_q, 3)."""
        out = np.zeros_like(f)
        if self.ties:
            out[self.free] = self.factors.solve(np.concatenate([f[self.free], np.zeros(self.ties)]))[: -self.ties]
        else:
            out[self.free] = self.factors.solve(f[self.free])
        return out


def precondition(model: Model, q: Array, free: BoolArray) -> Preconditioner:
    """Assemble and factorise the stiffness at q; collective.

    Parameters
    ----------
    model : Model
    q : (n_q, 3) array
    free : (n_q, 3) bool array
        Which components move.
    """
    index = np.flatnonzero(free.ravel())
    k = model.stiffness(q)[index][:, index]
    k = 0.5 * (k + k.T)
    diagonal = k.diagonal()
    loaded = np.abs(diagonal) > 0
    scale = float(np.median(np.abs(diagonal[loaded]))) if loaded.any() else 1.0
    # Components that nothing holds (z of plane nodes) take no force either: any positive number serves.
    idle = sp.diags(np.where(loaded, 0.0, scale))
    shift, floor = 0.0, 1e-10 * scale
    for _ in range(12):
        p = (k + idle + (floor + shift) * sp.identity(len(index))).tocsc()
        factors = _positive(p)
        if factors is not None:
            ties = model.coupler.constraint(model.interface)
            return Preconditioner(free, factors, shift) if ties is None else _tied(ties, index, p, free, shift, scale)
        shift = max(4.0 * shift, _FIRST_SHIFT * scale)
    raise MultiscaleError(
        "the regions' stiffness has no positive definite shift: are all dofs of the model held by some region?"
    )


def _tied(ties: Constraint, index: IntArray, p: Any, free: BoolArray, shift: float, scale: float) -> Preconditioner:
    """The factors of the saddle-point matrix; rows between fixed dofs alone are left out."""
    a = sp.kron(ties.matrix, sp.identity(3), format="csr")[:, index]
    a = scale * a[np.flatnonzero(np.asarray(abs(a).sum(axis=1)).ravel() > 0)]
    return Preconditioner(free, splu(sp.bmat([[p, a.T], [a, None]], format="csc")), shift, a.shape[0])


def _positive(matrix: Any) -> Any:
    """Factors of a positive definite matrix, or None: with symmetric pivoting the signs of U's diagonal are its inertia."""
    try:
        factors = splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    except RuntimeError:
        return None
    return factors if (factors.U.diagonal() > 0).all() else None
