"""Switching functions: s(t) = 1 for t ≤ 0, 0 for t ≥ 1, monotone between.

    Linear   C⁰   1 − t
    Cubic    C¹   1 − t²(3 − 2t)
    Quintic  C²   1 − t³(10 − 15t + 6t²)                      the default
    Septic   C³   1 − t⁴(35 − 84t + 70t² − 20t³)

The order of smoothness k is the number of derivatives that vanish at both ends. Moving weights need C²
(continuous forces *and* Hessians); a static blend gains nothing from more than C¹ in accuracy, only in the
pointwise ghost force (k⁻¹, k⁻², k⁻³ in the number k of atoms across the blend).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from .types import Array


class Switch(ABC):
    """A switching function of a dimensionless distance t, with exact 1 and 0 outside (0, 1).

    Examples
    --------
    >>> s = Quintic()
    >>> float(s(-0.1)), float(s(0.5)), float(s(1.0))
    (1.0, 0.5, 0.0)
    """

    #: Number of continuous derivatives over the whole line.
    smoothness: ClassVar[int]

    def __call__(self, t: ArrayLike) -> Array:
        """s(t), dimensionless; exactly 1 for t ≤ 0 and exactly 0 for t ≥ 1."""
        t = np.asarray(t, dtype=float)
        return np.where(t <= 0.0, 1.0, np.where(t >= 1.0, 0.0, 1.0 - self._rise(np.clip(t, 0.0, 1.0))))

    def d1(self, t: ArrayLike) -> Array:
        """First derivative ds/dt; exactly 0 outside (0, 1)."""
        t = np.asarray(t, dtype=float)
        return np.where((t <= 0.0) | (t >= 1.0), 0.0, -self._rise1(np.clip(t, 0.0, 1.0)))

    def d2(self, t: ArrayLike) -> Array:
        """Second derivative d²s/dt²; exactly 0 outside (0, 1)."""
        t = np.asarray(t, dtype=float)
        return np.where((t <= 0.0) | (t >= 1.0), 0.0, -self._rise2(np.clip(t, 0.0, 1.0)))

    @abstractmethod
    def _rise(self, t: Array) -> Array: ...

    @abstractmethod
    def _rise1(self, t: Array) -> Array: ...

    @abstractmethod
    def _rise2(self, t: Array) -> Array: ...


@dataclass(frozen=True)
class Linear(Switch):
    """1 − t: continuous only; for studies, not for production."""

    smoothness: ClassVar[int] = 0

    def _rise(self, t: Array) -> Array:
        return t

    def _rise1(self, t: Array) -> Array:
        return np.ones_like(t)

    def _rise2(self, t: Array) -> Array:
        return np.zeros_like(t)


@dataclass(frozen=True)
class Cubic(Switch):
    """C¹ smoothstep 1 − t²(3 − 2t)."""

    smoothness: ClassVar[int] = 1

    def _rise(self, t: Array) -> Array:
        return t * t * (3.0 - 2.0 * t)

    def _rise1(self, t: Array) -> Array:
        return 6.0 * t * (1.0 - t)

    def _rise2(self, t: Array) -> Array:
        return 6.0 - 12.0 * t


@dataclass(frozen=True)
class Quintic(Switch):
    """C² switch 1 − t³(10 − 15t + 6t²), the default."""

    smoothness: ClassVar[int] = 2

    def _rise(self, t: Array) -> Array:
        return t**3 * (10.0 + t * (6.0 * t - 15.0))

    def _rise1(self, t: Array) -> Array:
        return 30.0 * (t * (1.0 - t)) ** 2

    def _rise2(self, t: Array) -> Array:
        return 60.0 * t * (1.0 - t) * (1.0 - 2.0 * t)


@dataclass(frozen=True)
class Septic(Switch):
    """C³ switch 1 − t⁴(35 − 84t + 70t² − 20t³)."""

    smoothness: ClassVar[int] = 3

    def _rise(self, t: Array) -> Array:
        return t**4 * (35.0 + t * (-84.0 + t * (70.0 - 20.0 * t)))

    def _rise1(self, t: Array) -> Array:
        return 140.0 * (t * (1.0 - t)) ** 3

    def _rise2(self, t: Array) -> Array:
        return 420.0 * (t * (1.0 - t)) ** 2 * (1.0 - 2.0 * t)
