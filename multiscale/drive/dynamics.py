"""Dynamics of atoms and mesh nodes: velocity Verlet, and Langevin's equation by the splitting BAOAB.

    verlet     v ← D v;   v ← v + F Δt/2m;   q ← q + v Δt;   F ← F(q);   v ← v + F Δt/2m;   v ← D v
    langevin   v ← v + F Δt/2m;   q ← q + v Δt/2;   v ← c v + √(1 − c²) √(kT/m) ξ;   q ← q + v Δt/2;   v ← v + F(q) Δt/2m

with c = exp(−γ Δt), and D the exact flow of a friction over Δt/2 (:mod:`multiscale.drive.friction`; 1 without one). Where the coupler ties
dofs together, A q = b, forces contain the constraint's (:mod:`multiscale.constraint`), and q and v keep to it.

A model that follows its core (:mod:`multiscale.drive.follow`) changes its members between steps: the step ends with the old forces and
the next one begins with the new ones; velocities stay as they are.

Times are in ASE's unit Å√(amu/eV) (10.18 fs); multiply femtoseconds by ``ase.units.fs``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..constraint import Multipliers, held
from ..coupler import Evaluation
from ..protocol import Model
from ..types import Array, BoolArray, MultiscaleError
from .friction import Friction
from .step import Step
from .thermal import KB, kinetic_energy


def verlet(
    model: Model,
    q: Array,
    velocities: Array,
    *,
    dt: float,
    steps: int,
    masses: Array | None = None,
    friction: Friction | None = None,
) -> Iterator[Step]:
    """Integrate Newton's equations; a generator of steps (the start included), collective.

    Parameters
    ----------
    model : Model
    q, velocities : (n_q, 3) arrays
        Å, and Å per ASE time unit; fixed components do not move. Where the coupler has a constraint, the nearest state that keeps to it
        is where the motion starts (lumped multipliers take q as it is).
    dt : float
        ASE time units.
    steps : int
    masses : (n_q,) array, optional
        amu; by default the coupler's, which are the regions' masses weighed by their shares.
    friction : Friction, optional
        Such as :class:`~multiscale.drive.friction.FineFriction`, which absorbs what a mesh cannot carry.

    Yields
    ------
    Step
        ``energy`` is the potential energy; the kinetic energy follows from ``velocities``. Where a model has changed its members,
        ``event`` says so, and forces are the new ones. With a friction ``heat`` is minus the energy that it has absorbed: energy + kinetic
        energy − heat goes on as it would without friction.
    """
    m, free, q, v = _start(model, q, velocities, masses)

    def drift(q: Array, v: Array, heat: float | None, index: int, ties: Multipliers | None) -> Moved:
        return q + dt * v, v, heat

    yield from _integrate(model, q, v, m, free, drift, dt=dt, start=0, steps=steps, friction=friction)


def langevin(
    model: Model,
    q: Array,
    velocities: Array,
    *,
    dt: float,
    steps: int,
    temperature: ArrayLike,
    friction: ArrayLike,
    seed: int,
    masses: Array | None = None,
    start: int = 0,
    heat: float = 0.0,
) -> Iterator[Step]:
    """Integrate Langevin's equation, a canonical ensemble; a generator of steps (the start included), collective.

    Parameters
    ----------
    model : Model
    q, velocities : (n_q, 3) arrays
        Å, and Å per ASE time unit; fixed components do not move.
    dt : float
        ASE time units.
    steps : int
        From ``start`` on.
    temperature : float or (n_q,) array
        K; zones of their own temperatures, 0 for one that only damps.
    friction : float, (n_q,) or (n_q, 3) array
        γ per ASE time unit; 0 is Newton's equation for that dof.
    seed : int
        Of the random numbers. Those of a step depend on nothing but ``seed`` and the step's index, so that they are the same on every rank
        and a run goes on exactly from any step.
    masses : (n_q,) array, optional
        amu; by default the regions' masses weighed by their shares.
    start : int
        Index of the first step, to go on from a checkpoint.
    heat : float
        eV put in before, to go on from a checkpoint.

    Raises
    ------
    MultiscaleError
        If the coupler's constraint takes lumped multipliers, or ties together dofs of different friction: then the ensemble would not be
        canonical.

    Yields
    ------
    Step
        With ``heat``, the energy that friction and noise have put in so far: energy + kinetic energy − heat is conserved up to
        the error of the integration, which is of order Δt².

    Notes
    -----
    Friction on dofs at rest in the laboratory does not conserve momentum.

    References
    ----------
    B. Leimkuhler and C. Matthews, Appl. Math. Res. Express 2013, 34, https://doi.org/10.1093/amrx/abs010.
    """
    m, free, q, v = _start(model, q, velocities, masses)
    bath = _Bath.of(m, free, dt, temperature, friction, seed)

    def drift(q: Array, v: Array, heat: float | None, index: int, ties: Multipliers | None) -> Moved:
        q, before, v = q + 0.5 * dt * v, v, bath(v, index)
        if ties is not None:
            bath.tied(ties)
            v = ties.velocities(v)
        heat = (heat or 0.0) + kinetic_energy(m[:, 0], v) - kinetic_energy(m[:, 0], before)
        return q + 0.5 * dt * v, v, heat

    yield from _integrate(model, q, v, m, free, drift, dt=dt, start=start, steps=steps, heat=heat)


#: Positions, velocities, and the heat put in so far where it is booked.
Moved = tuple[Array, Array, float | None]


def _integrate(
    model: Model,
    q: Array,
    v: Array,
    m: Array,
    free: BoolArray,
    drift: Callable[[Array, Array, float | None, int, Multipliers | None], Moved],
    *,
    dt: float,
    start: int,
    steps: int,
    heat: float | None = None,
    friction: Friction | None = None,
) -> Iterator[Step]:
    """Half a kick, ``drift``, new forces, half a kick, between two halves of the friction; members change between steps."""
    body = _Body.of(model, m, free, friction, dt)
    q, v = body.started(q, v)
    heat = 0.0 if friction is not None else heat
    f, state, count = *body.forces(model, q), 1
    kick, loose = np.where(free, 0.5 * dt / m, 0.0), free.astype(float)
    for index in range(start, start + steps + 1):
        event = model.update(q)
        if event:
            body = _Body.of(model, m, free, friction, dt)
            f, state, count = *body.forces(model, q), count + 1
        worst = float(np.sqrt(np.einsum("ij,ij,ij->i", f, f, loose).max(initial=0.0)))
        last = index == start + steps
        yield Step(index, q, state.energy, f, worst, count, last, event=event, velocities=v, heat=heat)
        if last:
            return
        v, heat = body.damped(v, heat)
        v = v + kick * f
        q, v, heat = drift(q, v, heat, index, body.ties)
        q = q if body.ties is None else body.ties.positions(q)
        f, state, count = *body.forces(model, q), count + 1
        v = v + kick * f
        v = v if body.ties is None else body.ties.velocities(v)
        v, heat = body.damped(v, heat)


@dataclass(frozen=True)
class _Body:
    """What moves besides the forces of the model: what ties dofs together and what brakes them."""

    ties: Multipliers | None
    brake: Callable[[Array], Array] | None
    masses: Array

    @classmethod
    def of(cls, model: Model, m: Array, free: BoolArray, friction: Friction | None, dt: float) -> _Body:
        ties = held(model.coupler.constraint(model.interface), free, m[:, 0])
        return cls(ties, None if friction is None else friction.flow(0.5 * dt, m[:, 0], free, ties), m[:, 0])

    def started(self, q: Array, v: Array) -> tuple[Array, Array]:
        return (q, v) if self.ties is None else (self.ties.positions(q), self.ties.velocities(v))

    def forces(self, model: Model, q: Array) -> tuple[Array, Evaluation]:
        state = model.evaluate(q)
        return state.forces if self.ties is None else self.ties.forces(state.forces), state

    def damped(self, v: Array, heat: float | None) -> tuple[Array, float | None]:
        if self.brake is None or heat is None:
            return v, heat
        slower = self.brake(v)
        return slower, heat + kinetic_energy(self.masses, slower) - kinetic_energy(self.masses, v)


@dataclass(frozen=True)
class _Bath:
    """The exact solution of friction and noise over one step: v ← c v + noise ξ."""

    keep: Array
    noise: Array
    seed: int

    @classmethod
    def of(cls, m: Array, free: BoolArray, dt: float, temperature: ArrayLike, friction: ArrayLike, seed: int) -> _Bath:
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
        return self.keep * v + self.noise * np.random.default_rng([self.seed, index]).normal(size=v.shape)


def _start(model: Model, q: Array, velocities: Array, masses: Array | None) -> tuple[Array, BoolArray, Array, Array]:
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
