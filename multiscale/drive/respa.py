"""Multiple time steps: a dear description of the shared dofs is asked every n-th step, a cheap one at every step.

    v ← v + n Δt/2 (F_dear − F_cheap)/m
    n times:   v ← v + F_cheap Δt/2m;   q ← q + v Δt;   v ← v + F_cheap(q) Δt/2m
    v ← v + n Δt/2 (F_dear(q) − F_cheap(q))/m

What is slow is the *difference* of the two: it acts in impulses, n steps apart. The motion is reversible and, where both forces are
gradients, symplectic; E_dear + kinetic energy is then conserved but for an oscillation of order Δt² for given n. With n = 1 this is
velocity Verlet (or BAOAB, with a bath) under the dear description alone.

**Resonance.** Impulses h = n Δt apart drive an oscillation of period T where h is a multiple of T/2. With ω = 2π/T under the cheap forces
and κ = ∂²(E_dear − E_cheap)/m along it, a stride multiplies (q, v) by a matrix of trace

    ½ tr = cos ω h − κ h/2ω · sin ω h,     unstable where |½ tr| > 1

just below ω h = π if κ > 0, just above it if κ < 0. Keep n Δt below half of the fastest period.

Reference: M. Tuckerman, B. J. Berne & G. J. Martyna, J. Chem. Phys. 97 (1992) 1990, DOI 10.1063/1.463137.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from ..constraint import Constraint
from ..coupler import Evaluation
from ..protocol import Model
from ..types import Array, MultiscaleError
from .motion import Bath, Motion, begin, free_flight, largest
from .step import Step


def respa(
    dear: Model,
    cheap: Model,
    q: Array,
    velocities: Array,
    *,
    dt: float,
    every: int,
    steps: int,
    masses: Array | None = None,
    temperature: ArrayLike | None = None,
    friction: ArrayLike = 0.0,
    seed: int = 0,
    start: int = 0,
    heat: float = 0.0,
) -> Iterator[Step]:
    """Integrate the motion under ``dear`` with its forces asked every ``every`` steps; a generator of those (start included), collective.

    Parameters
    ----------
    dear, cheap : Model
        Of the same shared dofs, fixed components and constraint: a hybrid with a quantum core, say, and the same without it.
    q, velocities : (n_q, 3) arrays
        Å, and Å per ASE time unit; fixed components do not move.
    dt : float
        ASE time units; of the cheap steps.
    every : int
        n.
    steps : int
        Cheap steps from ``start`` on, a multiple of ``every``: ``dear`` is evaluated ``steps``/``every`` times, and once at the start.
    masses : (n_q,) array, optional
        amu; by default those of the dear model's coupler.
    temperature : float or (n_q,) array, optional
        K; with it the cheap steps are Langevin's, as in :func:`~multiscale.drive.dynamics.langevin`.
    friction : float, (n_q,) or (n_q, 3) array
        γ per ASE time unit; only with a temperature.
    seed : int
        Of the random numbers, which depend on it and the step's index alone.
    start : int
        Index of the first step, to go on from a checkpoint.
    heat : float
        eV put in before, to go on from a checkpoint.

    Yields
    ------
    Step
        After every ``every`` steps, ``index`` counting the cheap ones: time is ``index * dt``. Energy, forces and ``evaluations`` are the
        dear model's. Where the two have an energy, energy + kinetic energy (− ``heat`` with a bath) is conserved up to an oscillation of
        order Δt². Where a model has none (force mixing), the first step's ``event`` says so; it also says when a model has changed its
        members, which it may do at these steps.

    Raises
    ------
    MultiscaleError
        If ``steps`` is no multiple of ``every``, or the models do not move the same dofs under the same constraint.
    """
    if every < 1 or steps % max(every, 1) or start % max(every, 1):
        raise MultiscaleError(
            f"multiple time steps need a number of steps (and a start) in whole strides of every = {every!r} ≥ 1, got steps = {steps} and "
            f"start = {start}"
        )
    _alike(dear, cheap)
    m, free, q, v = begin(dear, q, velocities, masses)
    bath = None if temperature is None else Bath.of(m, free, dt, temperature, friction, seed)
    drift, booked = (free_flight(dt), None) if bath is None else (bath.drift(dt, m), heat)

    def made() -> tuple[Motion, Motion]:
        # The dear model never drifts: its kick is n steps long.
        return Motion.of(dear, m, free, drift, every * dt), Motion.of(cheap, m, free, drift, dt)

    slow, fast = made()
    q, v = fast.body.started(q, v)
    (F, state), (f, below), count = slow.forces(q), fast.forces(q), 1
    said = _without_energy(dear, state, cheap, below)
    for index in range(start, start + steps + 1, every):
        changed = "; ".join(t for t in (dear.update(q), cheap.update(q)) if t)
        if changed:
            slow, fast = made()
            (F, state), (f, _), count = slow.forces(q), fast.forces(q), count + 1
        event, said = "; ".join(t for t in (said, changed) if t), ""
        last = index == start + steps
        yield Step(index, q, state.energy, F, largest(F, free), count, last, event=event, velocities=v, heat=booked)
        if last:
            return
        v = v + slow.kick * (F - f)
        for k in range(index, index + every):
            q, v, booked, f, _ = fast.step(q, v, f, booked, k)
        F, state = slow.forces(q)
        v = fast.body.kicked(v + slow.kick * (F - f))
        count += 1


def _without_energy(dear: Model, state: Evaluation, cheap: Model, below: Evaluation) -> str:
    """What to say where a method has no energy."""
    none = [
        f"{type(model.coupler).__name__} ({name})"
        for name, model, e in (("dear", dear, state), ("cheap", cheap, below))
        if e.energy is None
    ]
    if not none:
        return ""
    return f"no energy: {' and '.join(none)} gives forces that are no gradient, so that nothing is conserved that could be looked at"


def _alike(dear: Model, cheap: Model) -> None:
    """Refuse models that do not move the same dofs."""
    a, b = dear.interface, cheap.interface
    if a.n_q != b.n_q:
        raise MultiscaleError(
            f"multiple time steps need two models of the same shared dofs, but the dear one has {a.n_q} and the cheap one {b.n_q}; build "
            "both on one reference, with further regions laid over it"
        )
    if not np.array_equal(a.fixed, b.fixed):
        k = int(np.flatnonzero((a.fixed != b.fixed).any(axis=1))[0])
        raise MultiscaleError(
            f"multiple time steps need two models that hold the same components, but dof {k} differs; give both interfaces one mask"
        )
    if not _same(dear.coupler.constraint(a), cheap.coupler.constraint(b)):
        raise MultiscaleError(
            "multiple time steps need two models whose couplers tie the same dofs together, but their constraints differ; use one inner "
            "method for both"
        )


def _same(a: Constraint | None, b: Constraint | None) -> bool:
    """Whether two constraints are one."""
    if a is None or b is None:
        return a is b
    if a.lumped != b.lumped or a.matrix.shape != b.matrix.shape or abs(a.matrix - b.matrix).max() > 0:
        return False
    return bool(np.array_equal(a.value, b.value))
