"""Friction that books what it absorbs; that of the fine scale alone keeps waves which a mesh cannot carry from coming back.

    f = −Qᵀ γ M Q v,     Q = 1 − N P,     P = (NᵀN)⁻¹ Nᵀ

Q v is what of the atoms' motion in an overlap the mesh cannot do (:mod:`multiscale.bridge`). Motions that the mesh can do are left alone:
Q N = 0. So is the momentum, as Q 1 = 0. γ grows from 0 at the atomistic side, lest the friction itself reflect.

A friction's *flow* over a time t solves M v′ = −Γ v, A v = 0 exactly, so that the energy it absorbs is the kinetic energy that is gone.
Between two of its halves velocity Verlet is as it is without friction, and in a harmonic system the leapfrog energy
½ Σ m v(t − ½Δt) v(t + ½Δt) + E(q) plus what was absorbed is constant to round-off (see :func:`multiscale.drive.shadow.leapfrog_energy`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..bridge import Bridge
from ..constraint import Multipliers
from ..types import Array, BoolArray, IntArray, MultiscaleError

#: The flow is a dense matrix over the dofs of the overlap.
MOST = 4000


class Friction(Protocol):
    """A force −Γ v, Γ symmetric and positive semidefinite."""

    def flow(self, time: float, masses: Array, free: BoolArray, ties: Multipliers | None) -> Callable[[Array], Array]:
        """What velocities (n_q, 3) are a time later under this friction alone, held to the constraint.

        Parameters
        ----------
        time : float
            ASE time units.
        masses : (n_q,) array
            amu.
        free : (n_q, 3) bool array
            Which components move.
        ties : Multipliers or None
            The coupler's constraint in the metric of the masses.
        """


@dataclass(frozen=True, eq=False)
class FineFriction:
    """Friction on the fine-scale fluctuation of the particles of a bridge.

    Attributes
    ----------
    bridge : Bridge
        ``interface.bridge("fem")``.
    rate : float
        γ where the field has everything, per ASE time unit.
    profile : (n,) array, optional
        γ/rate at the bridge's particles, by default the field's share there, which grows from 0 at the atomistic side as smoothly as
        the partition's switch.

    Raises
    ------
    MultiscaleError
        For rates below zero, and overlaps of more than ``MOST`` dofs.
    """

    bridge: Bridge
    rate: float
    profile: Array | None = None

    def __post_init__(self) -> None:
        n = len(self.bridge.dofs)
        gamma = self.gamma
        if gamma.shape != (n,) or not (np.isfinite(gamma).all() and (gamma >= 0).all()):
            raise MultiscaleError(
                f"FineFriction needs rates of 0 or more at the {n} particles of the bridge to '{self.bridge.field}', got rate "
                f"{self.rate!r} and a profile of shape {() if self.profile is None else self.profile.shape}"
            )

    @property
    def gamma(self) -> Array:
        """Γ at the bridge's particles (n,), per ASE time unit."""
        return self.rate * (self.bridge.share if self.profile is None else np.asarray(self.profile, dtype=float))

    def matrix(self, masses: Array) -> Array:
        """Qᵀ γ M Q (n, n) over the bridge's particles, amu per ASE time unit."""
        q = self.bridge.fluctuation()
        return (q.T * (self.gamma * masses[self.bridge.dofs])) @ q

    def flow(self, time: float, masses: Array, free: BoolArray, ties: Multipliers | None) -> Callable[[Array], Array]:
        """Exact, by the eigenvectors of Γ in the metric of the masses on what the constraint allows."""
        if ties is not None and ties.lumped:
            ties = None  # Lumped multipliers act after the step, on whatever velocities there are.
        dofs = self.bridge.dofs if ties is None else np.union1d(self.bridge.dofs, ties.dofs)
        if len(dofs) > MOST:
            raise MultiscaleError(
                f"the friction's overlap has {len(dofs)} dofs, and its flow is a dense matrix over them ({MOST} at most); make the overlap "
                "narrower"
            )
        gamma = np.zeros((len(dofs),) * 2)
        at = np.searchsorted(dofs, self.bridge.dofs)
        gamma[np.ix_(at, at)] = self.matrix(masses)
        lost = [self._lost(time, gamma, masses[dofs], free[dofs, k], ties, dofs, k) for k in range(3)]

        def damped(v: Array) -> Array:
            out = v.copy()
            for k, matrix in enumerate(lost):
                if matrix is not None:
                    out[dofs, k] -= matrix @ v[dofs, k]
            return out

        return damped

    @staticmethod
    def _lost(
        time: float, gamma: Array, m: Array, free: BoolArray, ties: Multipliers | None, dofs: IntArray, column: int
    ) -> Array | None:
        """1 − exp(−t M⁻¹ Γ) on what the constraint allows; None where nothing moves."""
        w = np.where(free, 1.0 / np.sqrt(m), 0.0)
        s = w[:, None] * gamma * w
        if not s.any():
            return None
        if ties is not None:
            at = np.searchsorted(dofs, ties.dofs)
            allowed = np.eye(len(dofs))
            allowed[np.ix_(at, at)] = ties.projector(column)
            s = allowed @ s @ allowed
        values, vectors = np.linalg.eigh(0.5 * (s + s.T))
        gone = -np.expm1(-time * np.maximum(values, 0.0))
        return np.asarray(w[:, None] * ((vectors * gone) @ vectors.T) * np.sqrt(m))
