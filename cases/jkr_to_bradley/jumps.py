"""What a machine does with a curve that turns back: where it jumps into contact and out of it, and what that costs.

    M = D − P/k        position of a machine of stiffness k, rigid for k = ∞
    E_M = E + ½ P²/k   energy of bodies and machine,    dE_M/dM = −P
    jump at a fold of M, to the other branch at the same M; the energy lost is E_M before less E_M after
    area of the loop = ∮ P dM = both losses together

P is the force on the stamp, attraction negative; the curve is given by points in order from far to near, and is a spline in between, of the
length of the polygon through them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.optimize import brentq

Array = Any


@dataclass(frozen=True)
class Loop:
    """A cycle of approach and retraction.

    Attributes
    ----------
    into, out_of : float
        M of the jump into contact, and of the one out of it.
    loads : (4,) array
        P before and after the first jump, before and after the second.
    lost : (2,) array
        Energies lost in the two.
    area : float
        ∮ P dM.
    """

    into: float
    out_of: float
    loads: Array
    lost: Array
    area: float


def loop(approach: Array, load: Array, energy: Array, stiffness: float = np.inf) -> Loop | None:
    """The cycle of a machine; None if it goes through the whole curve without a jump."""
    s = _along(approach, load)
    M = CubicSpline(s, approach - load / stiffness)
    E = CubicSpline(s, energy + 0.5 * load**2 / stiffness)
    P = CubicSpline(s, load)
    turns = M.derivative().roots(extrapolate=False)
    if len(turns) < 2:
        return None
    # Between the first and the last turn the machine cannot hold the curve: it leaves at the lowest M coming in, at the highest going out.
    near, far = turns[np.argmin(M(turns))], turns[np.argmax(M(turns))]
    if M(s[-1]) > M(near) or M(s[0]) < M(far):
        return None
    landed = brentq(lambda t: M(t) - M(near), far, s[-1])
    freed = brentq(lambda t: M(t) - M(far), s[0], near)
    lost = np.array([E(near) - E(landed), E(far) - E(freed)])
    # The force on the stamp does the work P dM on the machine: over the cycle it keeps what is lost.
    work = _integral(P, M, freed, near) + _integral(P, M, landed, far)
    return Loop(float(M(near)), float(M(far)), P([near, landed, far, freed]), lost, float(-work))


def _along(approach: Array, load: Array) -> Array:
    """Lengths (n,) along the polygon."""
    return np.append(0.0, np.cumsum(np.hypot(np.diff(approach), np.diff(load))))


def _integral(P: CubicSpline, M: CubicSpline, a: float, b: float) -> float:
    """∫ P dM along the curve from a to b, by Gauss points between the knots."""
    knots = np.unique(np.clip(np.append(P.x, [a, b]), min(a, b), max(a, b)))
    t, w = np.polynomial.legendre.leggauss(4)
    middle, half = 0.5 * (knots[1:] + knots[:-1]), 0.5 * np.diff(knots)
    x = middle[:, None] + half[:, None] * t
    value = float((half[:, None] * w * P(x) * M(x, 1)).sum())
    return value if b > a else -value


def work(approach: Array, load: Array) -> float:
    """−∫ P dD from far to near: what the machine has put in."""
    s = np.arange(len(approach), dtype=float)
    return -_integral(CubicSpline(s, load), CubicSpline(s, approach), 0.0, s[-1])
