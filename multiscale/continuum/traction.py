"""Traction–separation curves T(λ) = φ′(λ): what it costs to open an interface by λ ≥ 0, per area.

    φ(0) = 0,   φ(∞) = Gc,   max T = σ_c,   secant s(λ) = T/λ,   s(0) = K₀
    bilinear       T = K₀ λ up to λ₀ = σ_c/K₀, then down a straight line to 0 at λ_f = 2Gc/σ_c
    exponential    T = e σ_c (λ/λ_c) exp(−λ/λ_c),   λ_c = Gc/(e σ_c)
    tabulated      the cubic spline through (λ, T), and its integral

A curve knows neither directions nor history; :mod:`.cohesive_laws` gives it both. Units are the caller's: K₀ in P/L, σ_c in P, Gc in P·L;
:func:`of_atoms` converts GPa and J/m² to the library's eV/Å³ and eV/Å².

References: Camanho, Dávila & de Moura, J. Compos. Mater. 37 (2003) 1415, DOI 10.1177/0021998303034505; Xu & Needleman, Model. Simul. Mater.
Sci. Eng. 1 (1993) 111, DOI 10.1088/0965-0393/1/2/001.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from scipy.interpolate import CubicSpline

from ..types import GPA_PER_EV_A3, J_M2_PER_EV_A2, Array, MultiscaleError


def of_atoms(strength: float, toughness: float) -> tuple[float, float]:
    """Strength in eV/Å³ and toughness in eV/Å² from GPa and J/m²."""
    return strength / GPA_PER_EV_A3, toughness / J_M2_PER_EV_A2


class Curve(ABC):
    """A traction–separation curve; immutable.

    Attributes
    ----------
    strength, toughness, stiffness : float
        The largest traction σ_c, Gc = ∫₀^∞ T dλ, and K₀ = T′(0).
    """

    strength: float
    toughness: float
    stiffness: float

    @abstractmethod
    def energy(self, opening: Array) -> Array:
        """φ (n,) at λ ≥ 0 (n,)."""

    @abstractmethod
    def traction(self, opening: Array) -> Array:
        """T (n,) at λ ≥ 0 (n,)."""

    @abstractmethod
    def slope(self, opening: Array) -> Array:
        """T′ (n,) at λ ≥ 0 (n,); on a kink that of the smaller openings."""

    def secant(self, opening: Array) -> Array:
        """T/λ (n,), and K₀ at λ = 0."""
        x = np.asarray(opening, dtype=float)
        small = x < 1e-12 * self.toughness / self.strength
        return np.where(small, self.stiffness, self.traction(x) / np.where(small, 1.0, x))


def _positive(what: str, **values: float) -> None:
    if not all(np.isfinite(v) and v > 0 for v in values.values()):
        raise MultiscaleError(
            f"{what} needs positive {', '.join(values)}, got {', '.join(str(v) for v in values.values())}"
        )


@dataclass(frozen=True)
class Bilinear(Curve):
    """Elastic up to the strength, then a straight line down.

    Parameters
    ----------
    stiffness, strength, toughness : float
        K₀, σ_c and Gc; K₀ is a penalty where the interface is to be closed until it fails.

    Examples
    --------
    >>> curve = Bilinear(1e6, 20.0, 0.1)
    >>> curve.final, curve.energy(np.array([0.02])).tolist()
    (0.01, [0.1])
    """

    stiffness: float
    strength: float
    toughness: float

    def __post_init__(self) -> None:
        _positive("a bilinear curve", stiffness=self.stiffness, strength=self.strength, toughness=self.toughness)
        if self.first >= self.final:
            raise MultiscaleError(
                f"a bilinear curve of strength {self.strength:g} and toughness {self.toughness:g} ends at λ = {self.final:.3g}, before its "
                f"peak at {self.first:.3g}; raise the stiffness above {self.strength**2 / (2 * self.toughness):.3g}"
            )

    @property
    def first(self) -> float:
        """λ₀ of the peak."""
        return self.strength / self.stiffness

    @property
    def final(self) -> float:
        """λ_f, from which on nothing holds."""
        return 2.0 * self.toughness / self.strength

    def energy(self, opening: Array) -> Array:
        """½ K₀ λ², then Gc − ½ T (λ_f − λ)."""
        x = np.asarray(opening, dtype=float)
        return np.where(
            x <= self.first,
            0.5 * self.stiffness * x**2,
            self.toughness - 0.5 * self.traction(x) * np.maximum(self.final - x, 0),
        )

    def traction(self, opening: Array) -> Array:
        """Up and down."""
        x = np.asarray(opening, dtype=float)
        down = self.strength * np.maximum(self.final - x, 0.0) / (self.final - self.first)
        return np.where(x <= self.first, self.stiffness * x, down)

    def slope(self, opening: Array) -> Array:
        """K₀, then −σ_c/(λ_f − λ₀), then 0."""
        x = np.asarray(opening, dtype=float)
        down = -self.strength / (self.final - self.first)
        return np.where(x <= self.first, self.stiffness, np.where(x <= self.final, down, 0.0))


@dataclass(frozen=True)
class Exponential(Curve):
    """Smooth, with a tail: the normal part of Xu and Needleman's potential, and the universal binding curve.

    Parameters
    ----------
    strength, toughness : float
    """

    strength: float
    toughness: float
    stiffness: float = field(init=False)

    def __post_init__(self) -> None:
        _positive("an exponential curve", strength=self.strength, toughness=self.toughness)
        object.__setattr__(self, "stiffness", np.e * self.strength / self.peak)

    @property
    def peak(self) -> float:
        """λ_c of the largest traction."""
        return self.toughness / (np.e * self.strength)

    def energy(self, opening: Array) -> Array:
        """Gc [1 − (1 + r) e^{−r}], r = λ/λ_c, without a difference of nearly equal numbers."""
        r = np.asarray(opening, dtype=float) / self.peak
        return -self.toughness * (np.expm1(-r) + r * np.exp(-r))

    def traction(self, opening: Array) -> Array:
        """σ_c r e^{1−r}."""
        r = np.asarray(opening, dtype=float) / self.peak
        return np.e * self.strength * r * np.exp(-r)

    def slope(self, opening: Array) -> Array:
        """K₀ (1 − r) e^{−r}."""
        r = np.asarray(opening, dtype=float) / self.peak
        return self.stiffness * (1.0 - r) * np.exp(-r)


@dataclass(frozen=True, eq=False)
class Tabulated(Curve):
    """A cubic spline through measured or calculated tractions: from (0, 0) to the last opening, where T and T′ go to zero.

    Parameters
    ----------
    opening, tractions : (n,) array
        Ascending openings from 0, and tractions from 0 to 0.

    Examples
    --------
    >>> smooth = Exponential(20.0, 0.1)
    >>> x = np.linspace(0.0, 30 * smooth.peak, 200)
    >>> curve = Tabulated(x, np.append(smooth.traction(x)[:-1], 0.0))
    >>> round(curve.toughness, 6), round(curve.strength, 3)
    (0.1, 20.0)
    """

    opening: Array
    tractions: Array
    strength: float = field(init=False)
    toughness: float = field(init=False)
    stiffness: float = field(init=False)

    def __post_init__(self) -> None:
        x, t = (np.array(v, dtype=float) for v in (self.opening, self.tractions))
        if x.ndim != 1 or x.shape != t.shape or len(x) < 4 or (np.diff(x) <= 0).any() or not np.isfinite([x, t]).all():
            raise MultiscaleError(
                f"a tabulated curve needs four or more ascending openings with a finite traction each, got shapes {x.shape} and {t.shape}"
            )
        if x[0] != 0.0 or abs(t[0]) > 1e-9 * np.abs(t).max() or abs(t[-1]) > 1e-9 * np.abs(t).max():
            raise MultiscaleError(
                f"a tabulated curve starts at (0, 0) and ends at T = 0, got ({x[0]:g}, {t[0]:g}) and T = {t[-1]:g}; measure openings from "
                "the closed interface, and continue the table until nothing holds"
            )
        object.__setattr__(self, "opening", x)
        object.__setattr__(self, "tractions", t)
        stationary = self._spline.derivative().roots(extrapolate=False)
        values = self._spline(np.concatenate([x, stationary[np.isfinite(stationary)]]))
        found = {"strength": values.max(), "toughness": self._integral(x[-1]), "stiffness": self._spline(0.0, 1)}
        _positive("a tabulated curve", **{name: float(v) for name, v in found.items()})
        for name, value in found.items():
            object.__setattr__(self, name, float(value))

    @cached_property
    def _spline(self) -> Any:
        return CubicSpline(self.opening, self.tractions, bc_type=("not-a-knot", (1, 0.0)))

    @cached_property
    def _integral(self) -> Any:
        return self._spline.antiderivative()

    def _within(self, opening: Array) -> tuple[Array, Array]:
        x = np.asarray(opening, dtype=float)
        return np.minimum(x, self.opening[-1]), x <= self.opening[-1]

    def energy(self, opening: Array) -> Array:
        """The spline's integral up to λ."""
        return np.asarray(self._integral(self._within(opening)[0]))

    def traction(self, opening: Array) -> Array:
        """The spline, and 0 beyond the table."""
        x, inside = self._within(opening)
        return np.where(inside, self._spline(x), 0.0)

    def slope(self, opening: Array) -> Array:
        """The spline's derivative, and 0 beyond the table."""
        x, inside = self._within(opening)
        return np.where(inside, self._spline(x, 1), 0.0)
