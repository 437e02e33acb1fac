"""Linear constraints between shared dofs, and the multipliers that hold a motion to them.

    A q = b                                          constant; the same rows for x, y and z
    S = A W Aᵀ,        W = M⁻¹ where dofs move, 0 where they are fixed
    F ← F − Aᵀ S⁻¹ A W F                             forces, those of the constraint included
    v ← v − W Aᵀ S⁻¹ A v                             velocities
    q ← q − W Aᵀ S⁻¹ (A q − b)                       positions

Velocity Verlet with the first of them keeps A q = b and A v = 0: for rows that never change it *is* RATTLE (Andersen 1983,
10.1016/0021-9991(83)90014-1), and conserves what Verlet conserves. The other two take off what round-off adds.

*Lumped* multipliers replace S by Λ = diag(Σ_j |S_ij|) and correct velocities alone, once per step, as the bridging domain method was
published. With g = A v the correction takes gᵀ (Λ⁻¹ − ½ Λ⁻¹ S Λ⁻¹) g ≥ 0 (S ≤ Λ, Gershgorin) out of the kinetic energy: it is a
friction on whatever one side of the constraint can do and the other cannot, and positions drift apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import splu

from .types import Array, BoolArray, IntArray, MultiscaleError

#: Smallest pivot of S, relative to the largest, of rows that do not depend on one another.
_DEPENDENT = 1e-13
#: Entries of A up to which a dense product is faster than what calling a sparse one costs.
_DENSE = 50_000


@dataclass(frozen=True, eq=False)
class Constraint:
    """A q = b.

    Attributes
    ----------
    matrix : (n, n_q) scipy.sparse matrix
        A, which acts on each of the three components.
    value : (n, 3) array
        b, Å.
    lumped : bool
        Whether dynamics takes lumped multipliers, which miss A v = 0 and lose energy.
    """

    matrix: Any
    value: Array
    lumped: bool = False

    @classmethod
    def of(cls, rows: Sequence[Any], reference: Array, lumped: bool = False) -> Constraint | None:
        """The constraint that holds in the reference state (n_q, 3): A (q − q_ref) = 0 for the stacked rows; None without rows."""
        rows = [sp.csr_matrix(r) for r in rows if r.shape[0]]
        if not rows:
            return None
        matrix = sp.vstack(rows, format="csr")
        return cls(matrix, np.asarray(matrix @ reference), lumped)

    def residual(self, q: Array) -> Array:
        """A q − b, (n, 3) Å."""
        return np.asarray(self.matrix @ q - self.value)

    def held(self, inverse_masses: Array) -> Multipliers:
        """What holds a motion in the metric of W (n_q, 3), zero where components are fixed."""
        return Multipliers(self, inverse_masses)


class Multipliers:
    """A constraint in the metric of given masses, factorised; exact unless the constraint asks for lumped multipliers.

    Parameters
    ----------
    constraint : Constraint
    inverse_masses : (n_q, 3) array
        W, 1/amu; zero for fixed components.

    Attributes
    ----------
    dofs : (m,) ints
        The shared dofs that the constraint joins.

    Raises
    ------
    MultiscaleError
        If rows depend on one another, so that their multipliers are not determined.
    """

    def __init__(self, constraint: Constraint, inverse_masses: Array):
        self.constraint, self.lumped = constraint, constraint.lumped
        a = sp.csr_matrix(constraint.matrix)
        self.dofs: IntArray = np.unique(a.indices[a.data != 0]).astype(np.int64)
        self._a, self._w = a[:, self.dofs].tocsr(), np.asarray(inverse_masses, dtype=float)[self.dofs]
        self._axes = [_Axis.of(self._a, self._w[:, same[0]], same) for same in _alike(self._w)]

    def forces(self, f: Array) -> Array:
        """Forces with the constraint's reactions; lumped multipliers act on velocities instead."""
        return f if self.lumped else self._taken_off(f, lambda axis, u: axis.reaction(axis.a @ (axis.w[:, None] * u)))

    def velocities(self, v: Array) -> Array:
        """Velocities with A v = 0, or as near to it as lumped multipliers bring them."""
        return self._taken_off(v, lambda axis, u: axis.w[:, None] * axis.reaction(axis.a @ u, self.lumped))

    def positions(self, q: Array) -> Array:
        """Positions with A q = b; lumped multipliers leave them alone."""
        return q if self.lumped else self.nearest(q)

    def nearest(self, q: Array) -> Array:
        """The state with A q = b that is nearest to q in the metric."""
        b = self.constraint.value
        return self._taken_off(
            q, lambda axis, u: axis.w[:, None] * axis.reaction(axis.a @ u - b[np.ix_(axis.rows, axis.columns)])
        )

    def projector(self, column: int) -> Array:
        """√M (1 − W Aᵀ S⁻¹ A) √W (m, m) over ``dofs``, a symmetric projector; for one component, where all of them may move or not."""
        w = np.sqrt(self._w[:, column])
        for axis in self._axes:
            if column in axis.columns:
                a = axis.a if isinstance(axis.a, np.ndarray) else axis.a.toarray()
                return np.eye(len(w)) - (a * w).T @ axis.factors.solve(a * w)
        return np.eye(len(w))

    def _taken_off(self, x: Array, correction: Callable[[_Axis, Array], Array]) -> Array:
        out, part = x.copy(), x[self.dofs]
        for axis in self._axes:
            part[:, axis.columns] -= correction(axis, part[:, axis.columns])
        out[self.dofs] = part
        return out


@dataclass(frozen=True)
class _Axis:
    """The components along which the same dofs are fixed, and the factors of their S."""

    columns: IntArray
    rows: IntArray
    a: Any
    w: Array
    factors: Any
    lump: Array
    #: Aᵀ S⁻¹ as a matrix where that is small, and Aᵀ.
    back: Array | None
    transpose: Any

    @classmethod
    def of(cls, a: Any, w: Array, columns: IntArray) -> _Axis:
        # Rows between fixed dofs alone hold nothing.
        rows = np.flatnonzero(np.asarray(abs(a) @ w) > 0)
        a = a[rows].tocsr()
        s = (a @ sp.diags(w) @ a.T).tocsc()
        factors, lump = _factorised(s), np.asarray(abs(s).sum(axis=1)).ravel()
        if a.shape[0] * a.shape[1] <= _DENSE:
            a = a.toarray()
            return cls(columns, rows, a, w, factors, lump, factors.solve(a).T, a.T.copy())
        return cls(columns, rows, a, w, factors, lump, None, a.T.tocsr())

    def reaction(self, g: Array, lumped: bool = False) -> Array:
        """Aᵀ S⁻¹ g."""
        if lumped:
            return np.asarray(self.transpose @ (g / self.lump[:, None]))
        return np.asarray(self.transpose @ self.factors.solve(g) if self.back is None else self.back @ g)


def _factorised(s: Any) -> Any:
    try:
        factors = splu(s)
    except RuntimeError:
        factors = None
    pivots = None if factors is None else np.abs(factors.U.diagonal())
    if pivots is None or (len(pivots) and pivots.min() < _DEPENDENT * pivots.max()):
        raise MultiscaleError(
            f"the {s.shape[0]} rows of the constraint depend on one another, so that their multipliers are not determined; leave rows out, "
            "or make the overlap wider than the elements in it"
        )
    return factors


def _alike(w: Array) -> list[IntArray]:
    """The components grouped by their inverse masses (m, 3), without those along which nothing moves."""
    groups: list[list[int]] = []
    for k in range(w.shape[1]):
        if (w[:, k] > 0).any():
            for group in groups:
                if np.array_equal(w[:, group[0]], w[:, k]):
                    group.append(k)
                    break
            else:
                groups.append([k])
    return [np.array(group) for group in groups]


def held(
    constraint: Constraint | None, free: BoolArray, masses: Array | float = 1.0, exact: bool = False
) -> Multipliers | None:
    """The multipliers of a coupler's constraint, or None; masses (n_q,) amu, or one for all, where only geometry counts.

    ``exact`` ones come from a constraint that asks for lumped ones, too.
    """
    if constraint is None:
        return None
    m = np.broadcast_to(np.asarray(masses, dtype=float), (len(free),))
    chosen = replace(constraint, lumped=False) if exact else constraint
    return chosen.held(np.where(free, 1.0 / m[:, None], 0.0))
