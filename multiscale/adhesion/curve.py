"""A traction–separation curve as it was measured: a spline through energies and tractions, what follows the table, and where it came from.

    φ(δ): quintic pieces through (δ_k, φ_k, T_k, T_k′), twice continuously differentiable;     T = φ′
    T_k′: of the cubic spline through (δ_k, T_k); φ_k its integral where no energies were measured
    tail  exponential    T_n e^{−(δ−δ_n)/ℓ},                   ℓ = −T_n/T_n′
          Hamaker        A_H/6π(δ + h)³,                       h = −3T_n/T_n′ − δ_n

Openings are counted from where the traction vanishes, which is the closed interface of the potential itself. Compression beyond the table
is an error, and so is opening beyond a table that ends before the traction does, unless a tail is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from scipy.interpolate import BPoly, CubicSpline, PPoly

from ..continuum.traction import Curve
from ..types import Array, BoolArray, MultiscaleError

#: Of the strength: a traction below it is none.
NOTHING = 1e-6
#: Of the work of separation: more than this is not to be left to a tail.
TAIL = 0.05
Tail = Literal["none", "exponential", "hamaker"]


@dataclass(frozen=True, eq=False)
class MeasuredCurve(Curve):
    """A spline through a measured traction–separation curve.

    Parameters
    ----------
    openings, tractions : (n,) array
        Ascending openings, Å, with the closed interface among them or between them; tractions, eV/Å³.
    energies : (n,) array, optional
        eV/Å², from any zero; with them the work of separation is that of the energies, to round-off.
    tail : {"none", "exponential", "hamaker"}
        What goes on where the table ends; none needs a table that ends at T = 0 (10⁻⁶ of the strength).
    provenance : mapping
        What was measured, and how.

    Attributes
    ----------
    shift : float
        Å; the table's opening at which the traction vanishes. All openings given to the curve are counted from it.
    strength, toughness, stiffness, peak : float
        Largest traction, work of separation, slope where closed, opening of the largest traction.

    Raises
    ------
    MultiscaleError
        If the table is none, never closes, or ends before the traction does.
    """

    openings: Array
    tractions: Array
    energies: Array | None = None
    tail: Tail = "none"
    provenance: Mapping[str, Any] = field(default_factory=dict)
    strength: float = field(init=False)
    toughness: float = field(init=False)
    stiffness: float = field(init=False)
    peak: float = field(init=False)
    shift: float = field(init=False)

    def __post_init__(self) -> None:
        x, t = (np.array(v, dtype=float) for v in (self.openings, self.tractions))
        if x.ndim != 1 or x.shape != t.shape or len(x) < 6 or (np.diff(x) <= 0).any() or not np.isfinite([x, t]).all():
            raise MultiscaleError(
                f"a measured curve needs six or more ascending openings with a finite traction each, got shapes {x.shape} and {t.shape}"
            )
        if self.tail not in ("none", "exponential", "hamaker"):
            raise MultiscaleError(f"a tail is 'none', 'exponential' or 'hamaker', got {self.tail!r}")
        top = float(t.max())
        flat = abs(t[-1]) <= NOTHING * top
        cubic = CubicSpline(x, t, bc_type=("not-a-knot", (1, 0.0) if flat else "not-a-knot"))
        e = np.array(cubic.antiderivative()(x) if self.energies is None else self.energies, dtype=float)
        if e.shape != x.shape or not np.isfinite(e).all():
            raise MultiscaleError(f"energies need a finite value per opening, {x.shape}; got shape {e.shape}")
        off = np.abs(np.diff(e) - np.diff(cubic.antiderivative()(x))).max()
        if off > 0.02 * np.ptp(e):
            raise MultiscaleError(
                f"energies and tractions do not belong together: between two openings they differ by {off / np.ptp(e):.1%} of the largest "
                "difference of energy; check units and the area, or measure more finely"
            )
        raw = PPoly.from_bernstein_basis(BPoly.from_derivatives(x, np.column_stack([e, t, cubic(x, 1)])))
        closed = [r for r in raw.derivative().roots(extrapolate=False) if raw(r, 2) > 0 and r < x[np.argmax(t)]]
        if top <= 0 or not closed:
            raise MultiscaleError(
                f"tractions from {t.min():.3g} to {top:.3g} eV/Å³ at openings from {x[0]:g} to {x[-1]:g} Å never vanish on the way to "
                "their peak: measure from compression (−0.3 Å, say) to where nothing holds"
            )
        shift = float(closed[-1])
        object.__setattr__(self, "shift", shift)
        object.__setattr__(self, "openings", x - shift)
        object.__setattr__(self, "tractions", t)
        object.__setattr__(self, "energies", e - float(raw(shift)))
        object.__setattr__(self, "provenance", dict(self.provenance))
        stationary = self._spline.derivative(2).roots(extrapolate=False)
        at = np.concatenate([self.openings, stationary[np.isfinite(stationary)]])
        values = self._spline(at, 1)
        object.__setattr__(self, "strength", float(values.max()))
        object.__setattr__(self, "peak", float(at[np.argmax(values)]))
        object.__setattr__(self, "stiffness", float(self._spline(0.0, 2)))
        self._examine_end(flat)
        object.__setattr__(self, "toughness", float(self._spline(self.last)) + self._beyond)

    def _examine_end(self, flat: bool) -> None:
        if flat:
            return
        end = f"{self._t:.3g} eV/Å³ ({self._t / self.strength:.2g} of the strength) at {self.last:.3g} Å"
        if self.tail == "none":
            raise MultiscaleError(
                f"the table ends with a traction of {end}: measure farther, until nothing holds, or ask for tail='exponential' or 'hamaker'"
            )
        if self._slope >= 0 or self._t <= 0:
            raise MultiscaleError(f"no tail follows a traction of {end} that does not fall; measure farther")
        inside = float(self._spline(self.last))
        if self._beyond > TAIL * inside:
            raise MultiscaleError(
                f"the tail would hold {self._beyond / inside:.1%} of the work of separation, more than {TAIL:.0%}: the table ends with a "
                f"traction of {end}; measure farther"
            )

    # -- the spline and what follows it ------------------------------------------------------------------------

    @cached_property
    def _spline(self) -> Any:
        """φ."""
        flat = abs(self.tractions[-1]) <= NOTHING * self.tractions.max()
        x, t = self.openings, self.tractions
        slope = CubicSpline(x, t, bc_type=("not-a-knot", (1, 0.0) if flat else "not-a-knot"))(x, 1)
        return PPoly.from_bernstein_basis(
            BPoly.from_derivatives(x, np.column_stack([np.asarray(self.energies), t, slope]))
        )

    @property
    def first(self) -> float:
        """The most compressed opening of the table, Å (negative)."""
        return float(self.openings[0])

    @property
    def last(self) -> float:
        """The widest opening of the table, Å."""
        return float(self.openings[-1])

    @cached_property
    def _t(self) -> float:
        return float(self.tractions[-1])

    @cached_property
    def _slope(self) -> float:
        return float(self._spline(self.openings[-1], 2))

    @property
    def _ends(self) -> bool:
        return abs(self._t) <= NOTHING * self.strength

    @property
    def _reach(self) -> float:
        """ℓ of an exponential tail; δ_n + h of Hamaker's."""
        return (1.0 if self.tail == "exponential" else 3.0) * -self._t / self._slope

    @property
    def _beyond(self) -> float:
        """Energy of the tail."""
        return 0.0 if self._ends else self._t * self._reach / (1.0 if self.tail == "exponential" else 2.0)

    @property
    def hamaker(self) -> float:
        """A_H of Hamaker's tail, eV; nan without one."""
        return float("nan") if self._ends or self.tail != "hamaker" else 6.0 * np.pi * self._t * self._reach**3

    def _checked(self, opening: Array) -> tuple[Array, Array, BoolArray]:
        """Openings within the table, how far each is beyond it, and which those are."""
        x = np.asarray(opening, dtype=float)
        low = x < self.first - 1e-12
        if low.any():
            raise MultiscaleError(
                f"an interface law is used outside its measured range: compressed by {-x.min():.3g} Å, measured down to "
                f"{-self.first:.3g} Å; measure it there, or look for bodies that are pressed into one another"
            )
        return np.minimum(x, self.last), np.maximum(x - self.last, 0.0), x > self.last

    def _decayed(self, beyond: Array, order: int) -> Array:
        """The tail's energy that is left, its traction or slope at a distance beyond the table."""
        if self._ends:
            return np.zeros_like(beyond)
        r = self._reach
        if self.tail == "exponential":
            e = np.exp(-beyond / r)
            return np.asarray(self._t * e * (r, 1.0, -1.0 / r)[order])
        s = r / (r + beyond)
        return np.asarray(self._t * (0.5 * r * s**2, s**3, -3.0 / r * s**4)[order])

    def energy(self, opening: Array) -> Array:
        """φ, from the closed interface: the spline, and the tail's energy beyond it."""
        x, beyond, out = self._checked(opening)
        return self._spline(x) + np.where(out, self._beyond - self._decayed(beyond, 0), 0.0)

    def traction(self, opening: Array) -> Array:
        """T: the spline's derivative, and the tail beyond it."""
        x, beyond, out = self._checked(opening)
        return np.where(out, self._decayed(beyond, 1), self._spline(x, 1))

    def slope(self, opening: Array) -> Array:
        """The spline's second derivative, and the tail's beyond it."""
        x, beyond, out = self._checked(opening)
        return np.where(out, self._decayed(beyond, 2), self._spline(x, 2))
