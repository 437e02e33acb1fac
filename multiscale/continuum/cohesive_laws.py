"""Cohesive laws: a traction–separation curve with directions, contact, and, if it is to remember, a history.

    opening δ = (δ_n, δ_t…) in the facet's frame,      λ = √(⟨δ_n⟩₊² + β² |δ_t|²)
    reversible    φ(δ) = φ(λ) + ½ k_c ⟨δ_n⟩₋²                                 a potential: closing gives back what opening has cost
    damaging      φ(δ; κ) = φ(λ) where λ ≥ κ,   else φ(κ) + ½ s(κ)(λ² − κ²)    κ the largest λ so far: unloading to the origin
    traction      t = ∂φ/∂δ,     tangent  ∂²φ/∂δ²,     both exact; κ is a parameter of a step, not an unknown

φ of the damaging law is what is stored and what is spent: spent D(κ) = φ(κ) − ½ s(κ) κ² of it. The contact stiffness k_c keeps faces
from passing through one another; it is the curve's K₀ unless told, so that a law without shear is smooth at δ_n = 0.

References: Camanho, Dávila & de Moura (2003), DOI 10.1177/0021998303034505; Ortiz & Pandolfi, IJNME 44 (1999) 1267,
DOI 10.1002/(SICI)1097-0207(19990330)44:9<1267::AID-NME486>3.0.CO;2-7.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from ..types import Array, MultiscaleError
from .traction import Curve


class CohesiveLaw(ABC):
    """Energy per area of an opening; immutable. ``past`` (n,) is what sites remember; laws that forget ignore it."""

    #: Whether tractions depend on the past.
    remembers: bool = False
    #: Normal openings down to this one, and below, cannot be.
    nearest: float = -np.inf
    curve: Curve

    @abstractmethod
    def energy(self, opening: Array, past: Array) -> Array:
        """φ (n,) at openings (n, dim), normal component first."""

    @abstractmethod
    def traction(self, opening: Array, past: Array) -> Array:
        """∂φ/∂δ (n, dim)."""

    @abstractmethod
    def tangent(self, opening: Array, past: Array) -> Array:
        """∂²φ/∂δ² (n, dim, dim)."""

    def remember(self, opening: Array, past: Array) -> Array:
        """What sites remember after having been at an opening (n,)."""
        return past

    def spent(self, past: Array) -> Array:
        """Energy per area (n,) that closing does not give back."""
        return np.zeros_like(past)


@dataclass(frozen=True, eq=False)
class Reversible(CohesiveLaw):
    """A potential: adhesion, or an interface that is only ever opened.

    Parameters
    ----------
    curve : Curve
    shear : float
        β: the weight of sliding in λ; 0 for none, which leaves it frictionless.
    contact : float, optional
        k_c; the curve's stiffness unless given.
    """

    curve: Curve
    shear: float = 1.0
    contact: float | None = None

    def __post_init__(self) -> None:
        if self.shear < 0 or (self.contact is not None and self.contact <= 0):
            raise MultiscaleError(
                f"a cohesive law needs shear ≥ 0 and a positive contact stiffness, got {self.shear} and {self.contact}; without one faces "
                "pass through one another"
            )

    @property
    def pressing(self) -> float:
        """The contact stiffness."""
        return self.curve.stiffness if self.contact is None else self.contact

    def effective(self, opening: Array) -> tuple[Array, Array]:
        """λ (n,) and ½ ∂λ²/∂δ (n, dim)."""
        v = np.concatenate([np.maximum(opening[:, :1], 0.0), self.shear**2 * opening[:, 1:]], axis=1)
        return np.sqrt(np.einsum("ni,ni->n", v, opening)), v

    def energy(self, opening: Array, past: Array) -> Array:
        """φ(λ) and contact."""
        return self.curve.energy(self.effective(opening)[0]) + self._contact(opening)

    def traction(self, opening: Array, past: Array) -> Array:
        """The secant times v, and contact."""
        lam, v = self.effective(opening)
        return self._pressed(opening, self.curve.secant(lam)[:, None] * v)

    def tangent(self, opening: Array, past: Array) -> Array:
        """With s the secant: s ∂v/∂δ + (T′ − s)/λ² v vᵀ, and contact."""
        lam, v = self.effective(opening)
        s = self.curve.secant(lam)
        tiny = lam < 1e-12 * self.curve.toughness / self.curve.strength
        bend = np.where(tiny, 0.0, (self.curve.slope(lam) - s) / np.where(tiny, 1.0, lam) ** 2)
        return self._stiffness(opening, s) + bend[:, None, None] * v[:, :, None] * v[:, None, :]

    def _contact(self, opening: Array) -> Array:
        return 0.5 * self.pressing * np.minimum(opening[:, 0], 0.0) ** 2

    def _pressed(self, opening: Array, traction: Array) -> Array:
        traction[:, 0] += self.pressing * np.minimum(opening[:, 0], 0.0)
        return traction

    def _stiffness(self, opening: Array, secant: Array) -> Array:
        """The secant times ∂v/∂δ, and contact; (n, dim, dim)."""
        n, dim = opening.shape
        out = np.zeros((n, dim, dim))
        out[:, range(1, dim), range(1, dim)] = self.shear**2 * secant[:, None]
        # A closed interface is about to open as well as to be pressed: with k_c = K₀ both are the same.
        out[:, 0, 0] = np.where(opening[:, 0] >= 0.0, secant, self.pressing)
        return out


@dataclass(frozen=True, eq=False)
class Damaging(Reversible):
    """The same with unloading towards the origin: what has been spent is not given back."""

    remembers = True

    def energy(self, opening: Array, past: Array) -> Array:
        """φ(λ), or what the past has cost and the stored part beside it."""
        lam, _ = self.effective(opening)
        top = np.maximum(lam, past)
        return self.curve.energy(top) + 0.5 * self.curve.secant(top) * (lam**2 - top**2) + self._contact(opening)

    def traction(self, opening: Array, past: Array) -> Array:
        """The secant at max(λ, κ) times v, and contact."""
        lam, v = self.effective(opening)
        return self._pressed(opening, self.curve.secant(np.maximum(lam, past))[:, None] * v)

    def tangent(self, opening: Array, past: Array) -> Array:
        """The virgin tangent where λ ≥ κ > 0 grows, the secant stiffness elsewhere."""
        lam, _ = self.effective(opening)
        unloading = self._stiffness(opening, self.curve.secant(np.maximum(lam, past)))
        return np.where((lam >= past)[:, None, None], super().tangent(opening, past), unloading)

    def remember(self, opening: Array, past: Array) -> Array:
        """The largest λ."""
        return np.maximum(past, self.effective(opening)[0])

    def spent(self, past: Array) -> Array:
        """What is spent, D(κ) = φ(κ) − ½ s(κ) κ²."""
        return self.curve.energy(past) - 0.5 * self.curve.secant(past) * past**2
