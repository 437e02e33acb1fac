"""The same contact without finite elements: an elastic half-space by rings of constant pressure, in numpy.

    h_i = D + r_i²/2 − u_i,     u = μ^1.5 C p,     p = (8/3)(h⁻³ − h⁻⁹)         lengths along r in √(εR), along z in ε; p in w/ε
    C: E* u of rings, differences of discs of radius a:    4a/π E(r/a) within,    4r/π [E(a/r) − (1 − a²/r²) K(a/r)] outside
    P/(πwR) = −Σ_i p_i (r²_{i+1} − r²_i)              attraction is negative, as in the theory of contact

Unknowns are the gaps and D, and the central gap is prescribed: there is one answer where at a given D there may be three.

Reference: Greenwood, Proc. R. Soc. Lond. A 453 (1997) 1277, DOI 10.1098/rspa.1997.0070.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import ellipe, ellipk

Array = Any


@dataclass(frozen=True)
class Curve:
    """Equilibria, from far to near.

    Attributes
    ----------
    centre, approach, load : (n,) array
        h_0/ε, D/ε and P/(πwR).
    radii : (m,) array
        Middles of the rings over √(εR).
    pressures, gaps : (n, m) array
        p ε/w, attraction positive, and h/ε.
    """

    centre: Array
    approach: Array
    load: Array
    radii: Array
    pressures: Array
    gaps: Array

    @property
    def pull_off(self) -> float:
        """The largest attraction over πwR, by a parabola through the three lowest points."""
        return lowest(self.centre, -self.load)


def lowest(x: Array, y: Array) -> float:
    """The maximum of y(x), by a parabola through the largest value and its neighbours."""
    k = int(np.clip(np.argmax(y), 1, len(y) - 2))
    a, b, c = np.polyfit(x[k - 1 : k + 2] - x[k], y[k - 1 : k + 2], 2)
    return float(c - b**2 / (4 * a)) if a < 0 else float(y.max())


def pressure(h: Array) -> Array:
    """P ε/w, attraction positive."""
    return 8.0 / 3.0 * (h**-3.0 - h**-9.0)


def centres(mu: float, n: int = 60) -> Array:
    """Central gaps over ε, falling: by equal factors down to the peak of p, then by equal pressures.

    In contact the central gap hardly changes. The last pressure is that of JKR's theory at 1.35 times its contact radius at pull-off, which
    is 0.75/μ; the first gap is beyond the distance at which soft bodies jump out of contact.
    """
    peak = 3.0 ** (1.0 / 6.0)
    out = list(np.geomspace(max(5.0, 3.0 + 2.0 * mu), peak, n // 4))
    for p in (*np.linspace(1.0264, 0.0, n // 2)[1:], *np.linspace(0.0, -0.75 / mu, n // 4 + 1)[1:]):
        out.append(brentq(lambda h, p=p: pressure(h) - p, 0.4, peak))
    return np.array(out)


def edges(mu: float, fine: float, far: float, growth: float = 1.05) -> Array:
    """Radii of the rings' edges: ``fine``/(1 + μ^1.5) within 2√μ + 1.5, growing outside."""
    h, inner = fine / (1.0 + mu**1.5), 2.0 * np.sqrt(mu) + 1.5
    out = list(np.linspace(0.0, inner, round(inner / h) + 1))
    while out[-1] < far:
        h *= growth
        out.append(out[-1] + h)
    return np.array(out)


def influence(r: Array, radii: Array) -> Array:
    """E* u (n, m) at r (n,) of a unit pressure on the rings between the radii (m + 1,)."""
    x, a = r[:, None], np.maximum(radii[None], 1e-300)
    inside = x < a
    k = np.where(inside, x / a, a / np.where(inside, 1.0, x)) ** 2
    disc = 4.0 / np.pi * np.where(inside, a, x) * ellipe(k)
    disc -= 4.0 / np.pi * np.where(inside, 0.0, x * (1.0 - k) * ellipk(np.minimum(k, 1.0 - 1e-15)))
    return np.diff(disc, axis=1)


def walk(mu: float, gaps: Array, fine: float = 0.1, far: float = 40.0) -> Curve:
    """Follow central gaps (n,) from far to near.

    Parameters
    ----------
    mu : float
        Tabor's parameter.
    gaps : (n,) array
        h_0/ε.
    fine, far : float
        Width of the rings near the axis times 1 + μ^1.5, and the radius of the last one, over √(εR).
    """
    radii = edges(mu, fine, far)
    r = 0.5 * (radii[1:] + radii[:-1])
    at = np.append(0.0, r)
    C = mu**1.5 * influence(at, radii)
    far_away = np.append(gaps[0] + 0.5 * r**2, gaps[0])  # gaps of the rings, then D
    rows = [_settled(C, at, far_away, gaps[0])]
    for before, h0 in zip(gaps[:-1], gaps[1:], strict=True):
        y, here, part = rows[-1], before, 1.0
        while here != h0:
            to = h0 if part >= (here - h0) / (before - h0) else here + part * (h0 - before)
            found = _settled(C, at, y + _solve(C, y, np.append(here - to, np.zeros(len(r)))), to)
            if found is None:
                part *= 0.5
                if part < 1e-3:
                    raise RuntimeError(f"the rings found no equilibrium at μ = {mu}, h_0 = {to} ε")
            else:
                y, here = found, to
        rows.append(y)
    found = np.array(rows)
    h, p = found[:, :-1], pressure(found[:, :-1])
    return Curve(np.asarray(gaps), found[:, -1], -p @ np.diff(radii**2), r, p, h)


def _settled(C: Array, at: Array, y: Array, h0: float) -> Array | None:
    """The equilibrium with a central gap, by Newton's method from y; None if it does not converge."""
    for _ in range(30):
        if not y[:-1].min() > 0.0:
            return None
        off = np.append(h0, y[:-1]) - y[-1] - 0.5 * at**2 + C @ pressure(y[:-1])
        if np.abs(off).max() < 1e-10:
            return y
        step = _solve(C, y, off)
        # No gap loses more than half of itself in a step.
        y = y + step * min(1.0, 0.5 / max(1e-300, float((-step[:-1] / y[:-1]).max())))
    return None


def _solve(C: Array, y: Array, off: Array) -> Array:
    """The change of y that brings all of ``off`` to zero, to first order."""
    h = y[:-1]
    A = np.empty((len(y), len(y)))
    A[:, :-1] = C * (8.0 * (3.0 * h**-10 - h**-4))
    A[1:, :-1] += np.eye(len(h))
    A[:, -1] = -1.0
    return np.linalg.solve(A, -off)
