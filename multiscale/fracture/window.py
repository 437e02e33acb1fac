"""Lattice trapping: the loads K₋ < K₊ between which a crack neither grows nor heals.

    K₊     the first K, rising from K_G, at which a crossing bond ahead of the front is longer than the limit
    K₋     the first K, falling from K_G, at which one behind it is shorter again

each bracketed by the last state before and the first after it. A bond off the crack plane that breaks first ends the search: the crystal
does not cleave on this plane.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from ..drive.load import load
from ..drive.step import Step
from ..protocol import Model
from ..types import Array
from .crack import Crack
from .leaving import contained


@dataclass(frozen=True)
class Bracket:
    """Where something happened.

    Attributes
    ----------
    before, after : float
        MPa·√m; the last load without it and the first with it.
    what : str
        "grows", "heals", "off-plane", or nothing if the search came to its end without an event.
    words : str
        For people.
    """

    before: float
    after: float
    what: str
    words: str


def until_event(
    model: Model,
    crack: Crack,
    q: Array,
    *,
    start: float,
    stop: float,
    step: float,
    resolution: float,
    limit: float = 3.0,
    **settings: Any,
) -> Iterator[Step]:
    """Load quasi-statically until a watched bond breaks or closes; a generator of relaxed states, collective.

    Parameters
    ----------
    model : Model
        Of the crack.
    crack : Crack
    q : (n_q, 3) array
        A state near equilibrium at K = ``start``, Å.
    start, stop, step, resolution : float
        MPa·√m; the step is halved down to the resolution where something happens. ``stop`` < ``start`` unloads.
    limit : float
        Å; longer bonds are broken.
    **settings
        Of :func:`multiscale.drive.load.load`.

    Yields
    ------
    Step
        ``event`` is what the bonds look like, in every state; the last state's differs from the one's before, unless ``stop`` was reached.

    Raises
    ------
    MultiscaleError
        If the front has come to the edge of the free atoms (:mod:`multiscale.fracture.leaving`).
    """
    watch, n = crack.watch(limit), crack.n_free

    def event(at: Array) -> str:
        return watch.state(at[:n])

    signed = abs(step) if stop > start else -abs(step)
    states = load(
        model, q, crack.advance, start=start, stop=stop, step=signed, resolution=resolution, event=event, **settings
    )
    first = None
    for state in contained(states, crack, limit):
        here = event(state.q)
        yield replace(state, event=here)
        first = here if first is None else first
        if here != first:
            return


def bracket(crack: Crack, states: list[Step], limit: float = 3.0) -> Bracket:
    """What ended a search and between which loads; ``states`` are those of :func:`until_event`."""
    watch, n = crack.watch(limit), crack.n_free
    last = states[-1]
    load = float(last.load or 0.0)
    if len(states) < 2 or states[-1].event == states[-2].event:
        return Bracket(load, load, "", f"no bond changed up to {load:.4f} MPa·√m")
    before, after = watch.broken(states[-2].q[:n]), watch.broken(last.q[:n])
    broke, closed = after & ~before, before & ~after
    off = (broke | closed) & ~watch.crossing
    if off.any():
        what = "off-plane"
    else:
        what = "grows" if broke.sum() >= closed.sum() else "heals"
    words = f"{int(broke.sum())} bonds broke, {int(closed.sum())} closed, {int(off.sum())} of them off the crack plane; {last.event}"
    return Bracket(float(states[-2].load or 0.0), load, what, words)
