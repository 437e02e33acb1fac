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

from collections.abc import Iterator

from numpy.typing import ArrayLike

from ..protocol import Model
from ..types import Array, BoolArray
from .friction import Friction
from .motion import Bath, Drift, Motion, begin, free_flight, largest
from .step import Step


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
    m, free, q, v = begin(model, q, velocities, masses)
    yield from _integrate(model, q, v, m, free, free_flight(dt), dt=dt, start=0, steps=steps, friction=friction)


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
    m, free, q, v = begin(model, q, velocities, masses)
    drift = Bath.of(m, free, dt, temperature, friction, seed).drift(dt, m)
    yield from _integrate(model, q, v, m, free, drift, dt=dt, start=start, steps=steps, heat=heat)


def _integrate(
    model: Model,
    q: Array,
    v: Array,
    m: Array,
    free: BoolArray,
    drift: Drift,
    *,
    dt: float,
    start: int,
    steps: int,
    heat: float | None = None,
    friction: Friction | None = None,
) -> Iterator[Step]:
    """One :class:`Motion` after another; members change between steps."""
    motion = Motion.of(model, m, free, drift, dt, friction)
    q, v = motion.body.started(q, v)
    heat = 0.0 if friction is not None else heat
    f, state, count = *motion.forces(q), 1
    for index in range(start, start + steps + 1):
        event = model.update(q)
        if event:
            motion = Motion.of(model, m, free, drift, dt, friction)
            f, state, count = *motion.forces(q), count + 1
        last = index == start + steps
        yield Step(index, q, state.energy, f, largest(f, free), count, last, event=event, velocities=v, heat=heat)
        if last:
            return
        q, v, heat, f, state = motion.step(q, v, f, heat, index)
        count += 1
