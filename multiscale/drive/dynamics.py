"""Dynamics of atoms and mesh nodes: velocity Verlet, and Langevin's equation by the splitting BAOAB.

    verlet     v ← v + F Δt/2m;   q ← q + v Δt;   F ← F(q);   v ← v + F Δt/2m
    langevin   v ← v + F Δt/2m;   q ← q + v Δt/2;   v ← c v + √(1 − c²) √(kT/m) ξ;   q ← q + v Δt/2;   v ← v + F(q) Δt/2m

with c = exp(−γ Δt). A model that follows its core (:mod:`multiscale.drive.follow`) changes its members between steps: the step ends
with the old forces and the next one begins with the new ones; velocities stay as they are.

Times are in ASE's unit Å√(amu/eV) (10.18 fs); multiply femtoseconds by ``ase.units.fs``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..protocol import Model
from ..types import Array, BoolArray, MultiscaleError
from .step import Step
from .thermal import KB, kinetic_energy


def verlet(
    model: Model, q: Array, velocities: Array, *, dt: float, steps: int, masses: Array | None = None
) -> Iterator[Step]:
    """Integrate Newton's equations; a generator of steps (the start included), collective.

    Parameters
    ----------
    model : Model
    q, velocities : (n_q, 3) arrays
        Å, and Å per ASE time unit; fixed components do not move.
    dt : float
        ASE time units.
    steps : int
    masses : (n_q,) array, optional
        amu; by default the regions' masses weighed by their shares.

    Yields
    ------
    Step
        ``energy`` is the potential energy; the kinetic energy follows from ``velocities``. Where a model has changed its members,
        ``event`` says so, and forces are the new ones.
    """
    m, free, q, v = _start(model, q, velocities, masses)

    def drift(q: Array, v: Array, index: int) -> tuple[Array, Array, None]:
        return q + dt * v, v, None

    yield from _integrate(model, q, v, m, free, drift, dt=dt, start=0, steps=steps)


def langevin(
    model: Model,
    q: Array,
    velocities: Array,
    *,
    dt: float,
    steps: int,
    temperature: float,
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
    temperature : float
        K.
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

    def drift(q: Array, v: Array, index: int) -> tuple[Array, Array, float]:
        nonlocal heat
        q, before, v = q + 0.5 * dt * v, v, bath(v, index)
        heat += kinetic_energy(m[:, 0], v) - kinetic_energy(m[:, 0], before)
        return q + 0.5 * dt * v, v, heat

    yield from _integrate(model, q, v, m, free, drift, dt=dt, start=start, steps=steps, heat=heat)


def _integrate(
    model: Model,
    q: Array,
    v: Array,
    m: Array,
    free: BoolArray,
    drift: Callable[[Array, Array, int], tuple[Array, Array, float | None]],
    *,
    dt: float,
    start: int,
    steps: int,
    heat: float | None = None,
) -> Iterator[Step]:
    """Half a kick, ``drift`` (q, v, index) → (q, v, heat), new forces, half a kick; members change between steps."""
    state, count = model.evaluate(q), 1
    for index in range(start, start + steps + 1):
        event = model.update(q)
        if event:
            state, count = model.evaluate(q), count + 1
        worst = float(np.linalg.norm(np.where(free, state.forces, 0.0), axis=1).max(initial=0.0))
        last = index == start + steps
        yield Step(index, q, state.energy, state.forces, worst, count, last, event=event, velocities=v, heat=heat)
        if last:
            return
        v = v + 0.5 * dt * np.where(free, state.forces, 0.0) / m
        q, v, heat = drift(q, v, index)
        state, count = model.evaluate(q), count + 1
        v = v + 0.5 * dt * np.where(free, state.forces, 0.0) / m


@dataclass(frozen=True)
class _Bath:
    """The exact solution of friction and noise over one step: v ← c v + noise ξ."""

    keep: Array
    noise: Array
    seed: int

    @classmethod
    def of(cls, m: Array, free: BoolArray, dt: float, temperature: float, friction: ArrayLike, seed: int) -> _Bath:
        gamma = np.asarray(friction, dtype=float)
        if gamma.shape == (len(m),):
            gamma = gamma[:, None]
        if gamma.shape not in ((), (len(m), 1), (len(m), 3)) or not (np.isfinite(gamma).all() and (gamma >= 0).all()):
            raise MultiscaleError(
                f"the friction must be one number, or one per dof ({len(m)},) or component ({len(m)}, 3), each 0 or more, got shape "
                f"{gamma.shape}"
            )
        if not (np.isfinite(temperature) and temperature >= 0):
            raise MultiscaleError(f"the temperature of a thermostat must be 0 K or more, got {temperature!r}")
        keep = np.exp(-dt * gamma)
        noise = np.where(free, np.sqrt((1.0 - keep**2) * KB * temperature / m), 0.0)
        return cls(np.broadcast_to(keep, free.shape), noise, int(seed))

    def __call__(self, v: Array, index: int) -> Array:
        return self.keep * v + self.noise * np.random.default_rng([self.seed, index]).normal(size=v.shape)


def _start(model: Model, q: Array, velocities: Array, masses: Array | None) -> tuple[Array, BoolArray, Array, Array]:
    """Masses (n_q, 1), which components move, positions and velocities."""
    m = np.asarray(model.interface.masses() if masses is None else masses, dtype=float)[:, None]
    if not (np.isfinite(m).all() and (m > 0).all()):
        bad = int(np.flatnonzero(~((m[:, 0] > 0) & np.isfinite(m[:, 0])))[0])
        raise MultiscaleError(
            f"dynamics needs a positive mass on every shared dof, but dof {bad} has {m[bad, 0]!r}; give masses=, finite ones (dofs that "
            "are not to move are fixed in the interface)"
        )
    free = ~model.interface.fixed
    return m, free, np.array(q, dtype=float), np.where(free, velocities, 0.0)
