"""The pieces that integrators have in common: what moves, what holds it, what brakes it, a heat bath, and one step of all that.

    v ← D v;   v ← v + F Δt/2m;   (q, v) ← drift;   F ← F(q);   v ← v + F Δt/2m;   v ← D v

:mod:`multiscale.drive.dynamics` puts them together to one model's motion, :mod:`multiscale.drive.respa` to that of two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..constraint import Multipliers, held
from ..coupler import Evaluation
from ..protocol import Model
from ..types import Array, BoolArray, MultiscaleError
from .friction import Friction
from .thermal import KB, kinetic_energy

#: Positions, velocities, and the heat put in so far where it is booked.
Moved = tuple[Array, Array, float | None]
#: From positions, velocities, heat, the step's index and what ties dofs together to where they have drifted.
Drift = Callable[[Array, Array, float | None, int, Multipliers | None], Moved]


def begin(model: Model, q: Array, velocities: Array, masses: Array | None) -> tuple[Array, BoolArray, Array, Array]:
    """Masses (n_q, 1), which components move, positions and velocities."""
    m = np.asarray(model.coupler.masses(model.interface) if masses is None else masses, dtype=float)[:, None]
    if not (np.isfinite(m).all() and (m > 0).all()):
        bad = int(np.flatnonzero(~((m[:, 0] > 0) & np.isfinite(m[:, 0])))[0])
        raise MultiscaleError(
            f"dynamics needs a positive mass on every shared dof, but dof {bad} has {m[bad, 0]!r}; give masses=, finite ones (dofs that "
            "are not to move are fixed in the interface)"
        )
    free = ~model.interface.fixed
    return m, free, np.array(q, dtype=float), np.where(free, velocities, 0.0)


def free_flight(dt: float) -> Drift:
    """Newton's: q ← q + v Δt."""

    def drift(q: Array, v: Array, heat: float | None, index: int, ties: Multipliers | None) -> Moved:
        return q + dt * v, v, heat

    return drift


def largest(f: Array, free: BoolArray) -> float:
    """The largest force on a dof, eV/Å, of the components that move."""
    return float(np.sqrt(np.einsum("ij,ij,ij->i", f, f, free.astype(float)).max(initial=0.0)))


@dataclass(frozen=True)
class Body:
    """What moves besides the forces of the model: what ties dofs together and what brakes them."""

    ties: Multipliers | None
    brake: Callable[[Array], Array] | None
    masses: Array

    @classmethod
    def of(cls, model: Model, m: Array, free: BoolArray, friction: Friction | None, dt: float) -> Body:
        """Of the model's present coupler; ``m`` (n_q, 1)."""
        ties = held(model.coupler.constraint(model.interface), free, m[:, 0])
        return cls(ties, None if friction is None else friction.flow(0.5 * dt, m[:, 0], free, ties), m[:, 0])

    def started(self, q: Array, v: Array) -> tuple[Array, Array]:
        """The nearest state that keeps to the constraint."""
        return (q, v) if self.ties is None else (self.ties.positions(q), self.ties.velocities(v))

    def forces(self, model: Model, q: Array) -> tuple[Array, Evaluation]:
        """With the constraint's reactions, and what the model said."""
        state = model.evaluate(q)
        return state.forces if self.ties is None else self.ties.forces(state.forces), state

    def kicked(self, v: Array) -> Array:
        """Velocities after a kick, held to the constraint."""
        return v if self.ties is None else self.ties.velocities(v)

    def damped(self, v: Array, heat: float | None) -> tuple[Array, float | None]:
        """Velocities after half a step of the brake, and the heat less what it took."""
        if self.brake is None or heat is None:
            return v, heat
        slower = self.brake(v)
        return slower, heat + kinetic_energy(self.masses, slower) - kinetic_energy(self.masses, v)


@dataclass(frozen=True)
class Motion:
    """One model's steps; made anew where its members change."""

    model: Model
    body: Body
    kick: Array
    drift: Drift

    @classmethod
    def of(
        cls, model: Model, m: Array, free: BoolArray, drift: Drift, dt: float, friction: Friction | None = None
    ) -> Motion:
        """Steps of ``dt`` (ASE time units)."""
        return cls(model, Body.of(model, m, free, friction, dt), np.where(free, 0.5 * dt / m, 0.0), drift)

    def forces(self, q: Array) -> tuple[Array, Evaluation]:
        """With the constraint's reactions, and what the model said."""
        return self.body.forces(self.model, q)

    def step(
        self, q: Array, v: Array, f: Array, heat: float | None, index: int
    ) -> tuple[Array, Array, float | None, Array, Evaluation]:
        """Half a kick, the drift, new forces, half a kick, between two halves of the brake; one evaluation."""
        v, heat = self.body.damped(v, heat)
        v = v + self.kick * f
        q, v, heat = self.drift(q, v, heat, index, self.body.ties)
        q = q if self.body.ties is None else self.body.ties.positions(q)
        f, state = self.forces(q)
        v = self.body.kicked(v + self.kick * f)
        v, heat = self.body.damped(v, heat)
        return q, v, heat, f, state


@dataclass(frozen=True)
class Bath:
    """The exact solution of friction and noise over one step: v ← c v + noise ξ."""

    keep: Array
    noise: Array
    seed: int

    @classmethod
    def of(cls, m: Array, free: BoolArray, dt: float, temperature: ArrayLike, friction: ArrayLike, seed: int) -> Bath:
        """Noise and friction (each one number, or one per dof or component) over ``dt``; ``m`` (n_q, 1)."""
        gamma = np.asarray(friction, dtype=float)
        if gamma.shape == (len(m),):
            gamma = gamma[:, None]
        if gamma.shape not in ((), (len(m), 1), (len(m), 3)) or not (np.isfinite(gamma).all() and (gamma >= 0).all()):
            raise MultiscaleError(
                f"the friction must be one number, or one per dof ({len(m)},) or component ({len(m)}, 3), each 0 or more, got shape "
                f"{gamma.shape}"
            )
        warm = np.asarray(temperature, dtype=float)
        if warm.shape not in ((), (len(m),)) or not (np.isfinite(warm).all() and (warm >= 0).all()):
            raise MultiscaleError(
                f"the temperature of a thermostat must be 0 K or more, one number or one per dof ({len(m)},), got {temperature!r}"
            )
        keep = np.exp(-dt * gamma)
        noise = np.where(free, np.sqrt((1.0 - keep**2) * KB * warm.reshape(-1, 1) / m), 0.0)
        return cls(np.broadcast_to(keep, free.shape), noise, int(seed))

    def tied(self, ties: Multipliers) -> None:
        """Refuse constraints under which friction and noise would not balance."""
        keep = self.keep[ties.dofs]
        if ties.lumped:
            raise MultiscaleError(
                "a thermostat was given lumped multipliers, which take energy out of the motion; use exact ones (lumped=False)"
            )
        if np.ptp(keep, axis=0).max() > 0:
            raise MultiscaleError(
                f"a thermostat was given different frictions on dofs that the coupler ties together ({len(ties.dofs)} dofs); give all "
                "of them the same"
            )

    def __call__(self, v: Array, index: int) -> Array:
        """Velocities (n_q, 3) after the step of this index."""
        return self.keep * v + self.noise * np.random.default_rng([self.seed, index]).normal(size=v.shape)

    def drift(self, dt: float, m: Array) -> Drift:
        """Half a flight, the bath, half a flight; what it puts in is booked as heat."""

        def drift(q: Array, v: Array, heat: float | None, index: int, ties: Multipliers | None) -> Moved:
            q, before, v = q + 0.5 * dt * v, v, self(v, index)
            if ties is not None:
                self.tied(ties)
                v = ties.velocities(v)
            heat = (heat or 0.0) + kinetic_energy(m[:, 0], v) - kinetic_energy(m[:, 0], before)
            return q + 0.5 * dt * v, v, heat

        return drift
