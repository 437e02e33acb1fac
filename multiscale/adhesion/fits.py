"""Closed forms fitted to measured traction–separation curves, with what they miss.

    universal binding, Xu–Needleman      φ = W [1 − (1 + r) e^{−r}],                         r = δ/δ_c
    Park–Paulino–Roesler                 φ = W [1 − (1 − x)^α (1 + α x/m)^m],                x = δ/δ_f ≤ 1,
                                         m = α(α − 1)λ²/(1 − αλ²),  λ: x of the largest traction

Both have the measured work of separation exactly, since energy is what is counted; their other parameters minimise ∫(T − T_measured)² dδ
over opening. A closed form is a choice: ship the spline, and say what the form misses.

References: Rose, Ferrante & Smith, Phys. Rev. Lett. 47 (1981) 675, DOI 10.1103/PhysRevLett.47.675; Xu & Needleman (1993), DOI
10.1088/0965-0393/1/2/001; Park, Paulino & Roesler, J. Mech. Phys. Solids 57 (2009) 891, DOI 10.1016/j.jmps.2008.10.003.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import least_squares

from ..continuum.traction import Curve, Exponential
from ..types import Array, MultiscaleError


@dataclass(frozen=True)
class ParkPaulinoRoesler(Curve):
    """The normal part of the potential of Park, Paulino and Roesler: a finite end, a shape and a peak that can be moved.

    Parameters
    ----------
    strength, toughness : float
    shape : float
        α > 1; below 2 the softening is plateau-like, above it has a tail.
    slope_at_peak : float
        λ = x of the largest traction, 0 < λ < 1/√α.
    """

    strength: float
    toughness: float
    shape: float = 3.0
    slope_at_peak: float = 0.1
    stiffness: float = field(init=False)
    final: float = field(init=False)

    def __post_init__(self) -> None:
        a, lam = self.shape, self.slope_at_peak
        if min(self.strength, self.toughness) <= 0 or a <= 1 or not 0 < lam < a**-0.5:
            raise MultiscaleError(
                f"Park–Paulino–Roesler needs positive strength and toughness, shape > 1 and 0 < λ < 1/√shape; got {self.strength}, "
                f"{self.toughness}, {a}, {lam}"
            )
        object.__setattr__(self, "final", self.toughness / self.strength * float(self._form(np.array(lam), 1)))
        object.__setattr__(self, "stiffness", self.toughness / self.final**2 * float(self._form(np.array(0.0), 2)))

    @property
    def _m(self) -> float:
        a, lam = self.shape, self.slope_at_peak
        return a * (a - 1) * lam**2 / (1 - a * lam**2)

    def _form(self, x: Array, order: int) -> Array:
        """Derivatives of f = 1 − u^α v^m, u = 1 − x, v = 1 + αx/m."""
        a, m = self.shape, self._m
        u, v = np.maximum(1.0 - x, 0.0), 1.0 + a * np.minimum(x, 1.0) / m
        with np.errstate(divide="ignore", invalid="ignore"):
            if order == 0:
                out = 1.0 - u**a * v**m
            elif order == 1:  # −(u^α v^m)′ = α u^{α−1} v^{m−1} (v − u)
                out = a * u ** (a - 1) * v ** (m - 1) * (v - u)
            else:
                dv = a / m
                out = a * u ** (a - 1) * v ** (m - 1) * (dv + 1) + a * (v - u) * (
                    -(a - 1) * u ** (a - 2) * v ** (m - 1) + (m - 1) * dv * u ** (a - 1) * v ** (m - 2)
                )
        return np.where(x < 1.0, out, 1.0 if order == 0 else 0.0)

    def energy(self, opening: Array) -> Array:
        """W f(x)."""
        return self.toughness * self._form(np.asarray(opening, dtype=float) / self.final, 0)

    def traction(self, opening: Array) -> Array:
        """W f′/δ_f."""
        return self.toughness / self.final * self._form(np.asarray(opening, dtype=float) / self.final, 1)

    def slope(self, opening: Array) -> Array:
        """W f″/δ_f²."""
        return self.toughness / self.final**2 * self._form(np.asarray(opening, dtype=float) / self.final, 2)


@dataclass(frozen=True)
class Fit:
    """A closed form and what it misses of the curve that it was fitted to.

    Attributes
    ----------
    curve : Curve
    strength, stiffness, opening : float
        Its strength and stiffness relative to the measured ones, less one, and how far off its peak is, Å.
    root_mean_square : float
        √(∫(T − T_measured)² dδ/∫T_measured² dδ).
    """

    curve: Curve
    strength: float
    stiffness: float
    opening: float
    root_mean_square: float

    def __str__(self) -> str:
        return (
            f"{type(self.curve).__name__}: strength {self.strength:+.1%}, stiffness {self.stiffness:+.1%}, peak {self.opening:+.3f} Å, "
            f"rms {self.root_mean_square:.1%}"
        )


def _grid(last: float) -> Array:
    return np.linspace(0.0, last, 2001)


def _extent(curve: Curve) -> float:
    """Å; where no more than 10⁻³ of the strength is left."""
    far = 40.0 * curve.toughness / curve.strength
    x = np.linspace(0.0, far, 8001)
    held = np.flatnonzero(curve.traction(x) > 1e-3 * curve.strength)
    return float(x[held[-1]]) * 1.2


def misfit(form: Curve, measured: Curve) -> Fit:
    """What a closed form misses of a measured curve."""
    x = _grid(_extent(measured))
    a, b = form.traction(x), measured.traction(x)
    off = float(np.sqrt(np.mean((a - b) ** 2) / np.mean(b**2)))
    where = float(x[np.argmax(a)] - x[np.argmax(b)])
    return Fit(form, form.strength / measured.strength - 1.0, form.stiffness / measured.stiffness - 1.0, where, off)


def fit_exponential(measured: Curve) -> Fit:
    """The universal binding curve (normal part of Xu and Needleman's potential) with the measured work of separation."""
    x = _grid(_extent(measured))
    t = measured.traction(x)
    found = least_squares(
        lambda p: (
            (Exponential(float(np.exp(p[0])) * measured.strength, measured.toughness).traction(x) - t)
            / measured.strength
        ),
        [0.0],
    )
    return misfit(Exponential(float(np.exp(found.x[0])) * measured.strength, measured.toughness), measured)


def fit_ppr(measured: Curve) -> Fit:
    """Park, Paulino and Roesler's form with the measured work of separation; strength, shape and peak fitted."""
    x = _grid(_extent(measured))
    t = measured.traction(x)

    def form(p: Array) -> ParkPaulinoRoesler:
        shape = 1.0 + np.exp(np.clip(p[1], -3.0, 3.5))
        lam = shape**-0.5 / (1.0 + np.exp(-np.clip(p[2], -8.0, 8.0)))
        return ParkPaulinoRoesler(float(np.exp(p[0])) * measured.strength, measured.toughness, float(shape), float(lam))

    best = None
    for shape in (2.0, 4.0, 8.0):  # the valley is long and bent: start on either side
        found = least_squares(lambda p: (form(p).traction(x) - t) / measured.strength, [0.0, np.log(shape - 1), -1.0])
        if best is None or found.cost < best.cost:
            best = found
    assert best is not None
    return misfit(form(best.x), measured)
