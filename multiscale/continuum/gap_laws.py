"""Adhesion at a distance: what surfaces do to one another before they touch, and how hard they are when they do.

    p(h) = (8w/3ε) [(ε/h)³ − (ε/h)⁹] = Ψ'(h),     Ψ(h) = −(4w/3) [(ε/h)² − ¼ (ε/h)⁸]         two half-spaces a distance h apart
    p(ε) = 0,   Ψ(ε) = −w,   Ψ(∞) = 0,   max p = 16w/(9√3 ε) = 1.026 w/ε at h = 3^(1/6) ε,   Ψ''(ε) = 16w/ε²

p is positive where it attracts. The law is that of bodies whose atoms interact by Lennard-Jones potentials, summed over two half-spaces;
its ninth power is the contact: no penalty is needed, and nothing can pass through. :class:`HalfSpaces` takes the distance h itself as
opening. :class:`LennardJones` is the same as a curve of h − ε ≥ 0, for laws that press by a penalty: any curve of :mod:`.traction` will do
there.

Reference: Muller, Yushchenko & Derjaguin, J. Colloid Interface Sci. 77 (1980) 91, DOI 10.1016/0021-9797(80)90419-1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..types import Array, MultiscaleError
from .cohesive_laws import CohesiveLaw
from .traction import Curve

#: max p in w/ε.
PEAK = 16.0 / (9.0 * np.sqrt(3.0))


def _checked(work: float, distance: float) -> None:
    if not (np.isfinite([work, distance]).all() and work > 0 and distance > 0):
        raise MultiscaleError(
            f"adhesion of half-spaces needs a positive work of adhesion and a positive distance of equilibrium, got {work} and {distance}"
        )


@dataclass(frozen=True)
class LennardJones(Curve):
    """T(λ) = p(ε + λ), λ ≥ 0: from the distance of equilibrium on.

    Parameters
    ----------
    work, distance : float
        w and ε.

    Examples
    --------
    >>> curve = LennardJones(0.05, 3.0)
    >>> float(curve.energy(np.array([1e6]))[0]), float(curve.traction(np.array([0.0]))[0])
    (0.05, 0.0)
    """

    work: float
    distance: float

    def __post_init__(self) -> None:
        _checked(self.work, self.distance)

    @property
    def strength(self) -> float:  # type: ignore[override]
        """1.026 w/ε."""
        return PEAK * self.work / self.distance

    @property
    def toughness(self) -> float:  # type: ignore[override]
        """The work of adhesion."""
        return self.work

    @property
    def stiffness(self) -> float:  # type: ignore[override]
        """16 w/ε²."""
        return 16.0 * self.work / self.distance**2

    def energy(self, opening: Array) -> Array:
        """Ψ(ε + λ) + w."""
        return self.work + self.potential(self.distance + np.asarray(opening, dtype=float))

    def traction(self, opening: Array) -> Array:
        """p(ε + λ)."""
        return self.pressure(self.distance + np.asarray(opening, dtype=float))

    def slope(self, opening: Array) -> Array:
        """p'(ε + λ)."""
        return self.hardness(self.distance + np.asarray(opening, dtype=float))

    def potential(self, h: Array) -> Array:
        """Ψ (n,) at distances (n,)."""
        s = (self.distance / h) ** 2
        return np.asarray(-4.0 / 3.0 * self.work * (s - 0.25 * s**4))

    def pressure(self, h: Array) -> Array:
        """Ψ' (n,), positive where it attracts."""
        s = self.distance / h
        return np.asarray(8.0 * self.work / (3.0 * self.distance) * (s**3 - s**9))

    def hardness(self, h: Array) -> Array:
        """Ψ'' (n,)."""
        s = self.distance / h
        return np.asarray(8.0 * self.work / self.distance**2 * (3.0 * s**10 - s**4))


@dataclass(frozen=True)
class HalfSpaces(CohesiveLaw):
    """Two half-spaces at the distance h > 0 that is the opening: attraction and contact in one potential, frictionless.

    Parameters
    ----------
    work, distance : float
        w and ε.
    """

    work: float
    distance: float
    nearest = 0.0

    def __post_init__(self) -> None:
        _checked(self.work, self.distance)

    @property
    def curve(self) -> LennardJones:  # type: ignore[override]
        """From ε on."""
        return LennardJones(self.work, self.distance)

    def energy(self, opening: Array, past: Array) -> Array:
        """Ψ(h), zero at infinity."""
        return self.curve.potential(self._apart(opening))

    def traction(self, opening: Array, past: Array) -> Array:
        """(p(h), 0, 0)."""
        out = np.zeros(opening.shape)
        out[:, 0] = self.curve.pressure(self._apart(opening))
        return out

    def tangent(self, opening: Array, past: Array) -> Array:
        """p'(h) in its first entry."""
        n, dim = opening.shape
        out = np.zeros((n, dim, dim))
        out[:, 0, 0] = self.curve.hardness(self._apart(opening))
        return out

    @staticmethod
    def _apart(opening: Array) -> Array:
        h = opening[:, 0]
        if h.size and not h.min() > 0.0:
            raise MultiscaleError(
                f"surfaces have passed through one another (a gap of {h.min():.4g}, {int((~(h > 0)).sum())} such points); take shorter "
                "steps"
            )
        return h
