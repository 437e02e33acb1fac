"""Quasi-static loading with events: raise the load, relax, and bisect the step at which something happens.

    q_pred = advance(q, λ → λ + Δλ);    prepare(q_pred);    relax;    what happened?

A load step in which the event changes, or whose relaxation does not converge, is taken back and halved until it is no
longer than ``resolution``; then the event is accepted (and a relaxation that does not converge is an error). The event's
load is thus bracketed by the last step without it and the first with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from ..protocol import Model
from ..types import Array, BoolArray, MultiscaleError
from .precondition import precondition
from .relax import relax
from .step import Step


def load(
    model: Model,
    q: Array,
    advance: Callable[[Array, float, float], Array],
    *,
    start: float,
    stop: float,
    step: float,
    resolution: float | None = None,
    event: Callable[[Array], str] = lambda q: "",
    fmax: float = 1e-3,
    max_steps: int = 300,
    energy_noise: float = 1e-9,
    each: Callable[[Step], None] = lambda s: None,
    refresh: int = 40,
    preconditioner: Callable[[Model, Array, BoolArray], Callable[[Array], Array]] = precondition,
    sure: Callable[[Array], bool] = lambda q: False,
) -> Iterator[Step]:
    """Load quasi-statically; a generator of relaxed states, collective.

    Parameters
    ----------
    model : Model
    q : (n_q, 3) array
        A state near equilibrium at load ``start``, Å.
    advance : callable (q, λ, λ') -> q'
        Predictor from load λ to λ', including the new positions of fixed dofs.
    start, stop, step : float
        Load parameter and its first increment (negative steps unload).
    resolution : float, optional
        Shortest step when bisecting an event; by default ``step`` (no bisection).
    event : callable q -> str
        Names the state of things (which bonds are broken); a change is an event.
    fmax, max_steps, energy_noise
        As for :func:`multiscale.drive.relax.relax`.
    each : callable
        Sees every step of every relaxation, for progress.
    refresh : int
        The preconditioner is rebuilt at every accepted state, and whenever this many steps of a relaxation have not been enough.

    preconditioner : callable (model, q, free) -> P⁻¹
        Makes the preconditioner at a state; by default the regions' stiffness, factorised.
    sure : callable q -> bool
        Whether the event has happened for good at a state on the way to rest (a bond is so long that it will not close again): the
        relaxation ends there, and so does the loading where the step is short enough, with a last state that is not ``converged``. The
        way to the next equilibrium takes several times as many evaluations as are needed to know that there is none before it.

    Yields
    ------
    Step
        A relaxed state per accepted load, with ``load``, the ``increment`` that comes next and, where it changed, ``event``. The
        generator ends at ``stop``.

    Notes
    -----
    To go on exactly from a state that was yielded, start anew with ``q``, ``start=state.load``, ``step=state.increment`` and the same
    ``resolution``.
    """
    free = ~model.interface.fixed
    p = preconditioner(model, q, free)

    def settle(at: Array) -> Step:
        nonlocal p
        model.prepare(at)
        last = None
        steps = relax(
            model,
            at,
            fmax=fmax,
            max_steps=max_steps,
            preconditioner=p,
            energy_noise=energy_noise,
            refresh=refresh,
            make=preconditioner,
        )
        for last in steps:
            each(last)
            if sure(last.q):
                break
        assert last is not None
        return last

    now = _converged(settle(np.asarray(q, dtype=float)), fmax)
    value, name, size, count = start, event(now.q), float(step), 0
    finest = abs(step) if resolution is None else resolution
    failed = np.inf * np.sign(step)
    yield replace(now, index=0, load=value, event=name, increment=float(size))
    while (stop - value) * np.sign(step) > 1e-12:
        size = np.sign(step) * min(abs(size), abs(stop - value))
        # A load that was taken back is tried again with the shortest step alone.
        while abs(size) > finest * (1 + 1e-9) and (value + size - failed) * np.sign(step) > -1e-9 * abs(finest):
            size = np.sign(step) * max(0.5 * abs(size), finest)
        kept = model.snapshot()
        trial = settle(advance(now.q, value, value + size))
        here = event(trial.q)
        if (here != name or not trial.converged) and abs(size) > finest * (1 + 1e-9):
            failed = value + size
            size = np.sign(step) * max(0.5 * abs(size), finest)
            model.restore(kept)
            continue
        lost = not trial.converged and sure(trial.q)
        if not lost:
            _converged(trial, fmax)
        count += 1
        value, now = value + size, trial
        yield replace(now, index=count, load=value, event=here if here != name else "", increment=float(size))
        if lost:
            return
        name, failed = here, np.inf * np.sign(step) if here != name else failed
        # At every accepted state, so that a run that starts again from it does exactly the same.
        p = preconditioner(model, now.q, free)


def _converged(state: Step, fmax: float) -> Step:
    if not state.converged:
        raise MultiscaleError(
            f"relaxation stopped after {state.index} steps at max|F| = {state.max_force:.2e} eV/Å, above {fmax:.0e}; "
            "take smaller load steps or raise max_steps"
        )
    return state
