"""Relaxation of atoms and mesh nodes together.

    with an energy     preconditioned L-BFGS, Armijo backtracking, P⁻¹ as the initial inverse Hessian
    without one        preconditioned Anderson mixing on F(q) = 0

Both start from the same factorised stiffness (:mod:`multiscale.drive.precondition`), so that a step of length one is nearly a
Newton step. One evaluation of the model per step is the rule.

Where the coupler ties dofs together, A q = b, forces are those with the constraint's reactions, F − Aᵀ(AAᵀ)⁻¹A F, and steps keep A q: both
methods then move in the constraint's null space and do not know it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from ..constraint import Multipliers, held
from ..coupler import Evaluation
from ..protocol import Model
from ..types import Array, BoolArray, MultiscaleError
from .precondition import Preconditioner, precondition
from .step import Step

Precondition = Callable[[Array], Array]

#: A relaxation that changes the members of its model more often than this goes round in circles.
MOST_CHANGES = 20


def relax(
    model: Model,
    q: Array,
    *,
    fmax: float = 1e-4,
    max_steps: int = 500,
    max_move: float = 0.2,
    memory: int = 20,
    fixed: BoolArray | None = None,
    preconditioner: Precondition | None = None,
    energy_noise: float = 1e-9,
    refresh: int = 40,
    follow: bool = True,
    make: Callable[[Model, Array, BoolArray], Precondition] = precondition,
) -> Iterator[Step]:
    """Relax the free dofs until no force on them exceeds ``fmax``; a generator of steps, collective.

    Parameters
    ----------
    model : Model
    q : (n_q, 3) array
        Start, Å; with a constraint, the nearest state that keeps to it.
    fmax : float
        eV/Å.
    max_steps : int
    max_move : float
        Å; the longest move of any dof in one step.
    memory : int
        Pairs of steps that L-BFGS or Anderson mixing remembers.
    fixed : (n_q, 3) bool array, optional
        Instead of the interface's mask.
    preconditioner : callable, optional
        P⁻¹ on (n_q, 3) arrays to start with; by default what ``make`` gives at ``q``.
    energy_noise : float
        eV; energies closer than this are equal (set it to the SCF tolerance of a quantum region).
    refresh : int
        The stiffness is assembled anew whenever this many steps have not been enough (12 at most without an energy).
    follow : bool
        Whether a model that can may change its members at accepted steps; if not, one function is minimised, and the caller asks
        ``model.fits(q)`` in the end.
    make : callable (model, q, free) -> P⁻¹
        Makes the preconditioner, also when it is made anew; by default the regions' stiffness, factorised. Where that is dear (models
        that pass messages), another model's will do.

    Yields
    ------
    Step
        The last one has ``converged`` set, unless ``max_steps`` ran out. A step with an ``event`` is one where the model has changed its
        members: from there on another energy is minimised, without memory of the one before.

    Raises
    ------
    MultiscaleError
        If the model changes its members more than ``MOST_CHANGES`` times.
    """
    free = ~(model.interface.fixed if fixed is None else fixed)
    ties = _ties(model, free)
    q = np.array(q, dtype=float) if ties is None else ties.nearest(np.asarray(q, dtype=float))
    p = _within(ties, preconditioner or make(model, q, free))
    w = _Walk(_held(model, ties), free, p, fmax, max_move, memory, energy_noise)
    state = w.evaluate(q)
    steps, evaluations, changes = 0, 0, 0
    while True:
        # Each time, since a change of members may bring a method with an energy or take it away. Without an energy to go down, only
        # a fresh stiffness leads through an instability to the next equilibrium.
        walk, span = (_lbfgs, refresh) if state.energy is not None else (_anderson, min(refresh, 12))
        last, event = None, ""
        for last in walk(w, q, state, min(span, max_steps - steps)):
            event = model.update(last.q) if follow else ""
            # A walk begins with the state that the one before it ended with.
            if last.index > 0 or steps == 0 or last.converged:
                done = last.converged and not event
                yield replace(
                    last,
                    index=steps + last.index,
                    evaluations=evaluations + last.evaluations,
                    converged=done,
                    event=event,
                )
            if event:
                break
        assert last is not None
        steps, evaluations = steps + last.index, evaluations + last.evaluations - 1
        if (last.converged and not event) or steps >= max_steps:
            return
        q, state = last.q, Evaluation(last.energy, last.forces)
        if event:
            changes, evaluations, ties = _counted(changes), evaluations + 1, _ties(model, free)
            w = replace(w, evaluate=_held(model, ties))
            state = w.evaluate(q)
        w = replace(w, p=_within(ties, make(model, q, free)))


def _counted(changes: int) -> int:
    if changes >= MOST_CHANGES:
        raise MultiscaleError(
            f"the model changed its members {changes + 1} times during one relaxation, each time to minimise another energy; widen the "
            "gap between the inner and the outer buffer, or relax with fixed members"
        )
    return changes + 1


def _ties(model: Model, free: BoolArray) -> Multipliers | None:
    # At rest there is nothing to lump: the published method's fixed points are those of the exact one.
    return held(model.coupler.constraint(model.interface), free, exact=True)


def _held(model: Model, ties: Multipliers | None) -> Callable[[Array], Evaluation]:
    """The model's evaluation, with the constraint's reactions in its forces."""
    if ties is None:
        return model.evaluate

    def evaluate(q: Array) -> Evaluation:
        e = model.evaluate(q)
        return replace(e, forces=ties.forces(e.forces))

    return evaluate


def _within(ties: Multipliers | None, p: Precondition) -> Precondition:
    """P⁻¹ on steps that keep to the constraint."""
    return p if ties is None else lambda f: ties.velocities(p(ties.velocities(f)))


@dataclass(frozen=True)
class _Walk:
    """What stays the same on the way from one stiffness to the next."""

    evaluate: Callable[[Array], Evaluation]
    free: BoolArray
    p: Precondition
    fmax: float
    max_move: float
    memory: int
    noise: float


def _largest(forces: Array, free: BoolArray) -> float:
    return float(np.linalg.norm(np.where(free, forces, 0.0), axis=1).max(initial=0.0))


def _cap(d: Array, max_move: float) -> Array:
    longest = float(np.linalg.norm(d, axis=1).max(initial=0.0))
    return d if longest <= max_move else d * (max_move / longest)


def _lbfgs(w: _Walk, q: Array, state: Evaluation, max_steps: int) -> Iterator[Step]:
    pairs: deque[tuple[Array, Array, float]] = deque(maxlen=w.memory)
    evaluations = 1
    for index in range(max_steps + 1):
        g = -np.where(w.free, state.forces, 0.0)
        worst = _largest(state.forces, w.free)
        done = worst <= w.fmax
        yield Step(index, q, state.energy, state.forces, worst, evaluations, done)
        if done or index == max_steps:
            return
        d = _two_loop(g, pairs, w.p)
        slope = float(np.sum(g * d))
        if slope >= 0:
            pairs.clear()
            d = -w.p(g)
            slope = float(np.sum(g * d))
        capped = _cap(d, w.max_move)
        slope *= float(np.linalg.norm(capped)) / max(float(np.linalg.norm(d)), 1e-300)
        q_new, new, tried = _backtrack(w, q, state, capped, slope)
        evaluations += tried
        s, y = q_new - q, -np.where(w.free, new.forces, 0.0) - g
        sy = float(np.sum(s * y))
        if sy > 1e-12 * float(np.linalg.norm(s) * np.linalg.norm(y)):
            pairs.append((s, y, 1.0 / sy))
        elif tried > 1:
            pairs.clear()
        q, state = q_new, new


def _two_loop(g: Array, pairs: deque[tuple[Array, Array, float]], p: Precondition) -> Array:
    """The L-BFGS direction −H g with H₀ = P⁻¹ (Nocedal & Wright, algorithm 7.4)."""
    r, alphas = g.copy(), []
    for s, y, rho in reversed(pairs):
        a = rho * float(np.sum(s * r))
        alphas.append(a)
        r -= a * y
    r = p(r)
    for (s, y, rho), a in zip(pairs, reversed(alphas), strict=True):
        r += s * (a - rho * float(np.sum(y * r)))
    return -r


def _energy(state: Evaluation) -> float:
    if state.energy is None:
        raise MultiscaleError(
            "the model gave an energy and then none, without a change of members; relax a model that has an energy always, or never"
        )
    return state.energy


def _backtrack(w: _Walk, q: Array, state: Evaluation, d: Array, slope: float) -> tuple[Array, Evaluation, int]:
    """Halve the step until the energy falls enough; where energies are equal within noise, until the forces do not grow."""
    t, now, start = 1.0, np.linalg.norm(np.where(w.free, state.forces, 0.0)), _energy(state)
    tolerance = max(w.noise, 4e-15 * sum(abs(e) for e in (*state.parts.values(), start)))
    tried = 0
    while True:
        trial, tried = q + t * d, tried + 1
        new = w.evaluate(trial)
        rise = _energy(new) - start
        enough = rise <= 1e-4 * t * slope
        level = abs(rise) <= tolerance and np.linalg.norm(np.where(w.free, new.forces, 0.0)) <= 1.5 * now
        if enough or level or tried == 12:
            return trial, new, tried
        # The minimum of the parabola through E(0), E'(0) and E(t), kept within [0.1, 0.5] of the last try.
        parabola = -0.5 * slope * t / max(rise - slope * t, 1e-300)
        t *= min(max(parabola, 0.1), 0.5)


def _anderson(w: _Walk, q: Array, state: Evaluation, max_steps: int) -> Iterator[Step]:
    """Anderson mixing (Walker & Ni 2011, 10.1137/10078356X) of the fixed point q ← q + P⁻¹ F(q)."""
    dq: deque[Array] = deque(maxlen=w.memory)
    dr: deque[Array] = deque(maxlen=w.memory)
    best, damping = np.inf, 1.0
    r = w.p(np.where(w.free, state.forces, 0.0))
    for index in range(max_steps + 1):
        worst = _largest(state.forces, w.free)
        done = worst <= w.fmax
        yield Step(index, q, state.energy, state.forces, worst, index + 1, done)
        if done or index == max_steps:
            return
        size = float(np.linalg.norm(r))
        if size > 4.0 * best:
            # The history describes another basin than the one the walk is in: start it anew, more carefully.
            dq.clear()
            dr.clear()
            damping = max(0.5 * damping, 0.05)
            best = size
        best = min(best, size)
        step = damping * r
        if dr:
            a = np.stack([v[w.free] for v in dr], axis=1)
            gamma = np.linalg.lstsq(a, r[w.free], rcond=1e-10)[0]
            for c, x, y in zip(gamma, dq, dr, strict=True):
                step = step - c * (x + damping * y)
        step = _cap(np.where(w.free, step, 0.0), w.max_move)
        q_new = q + step
        state = w.evaluate(q_new)
        r_new = w.p(np.where(w.free, state.forces, 0.0))
        dq.append(q_new - q)
        dr.append(r_new - r)
        q, r = q_new, r_new


__all__ = ["Preconditioner", "precondition", "relax"]
