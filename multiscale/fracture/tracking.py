"""A disc that follows its tip: when the front has moved by whole bond periods, atoms, blend, mesh and overlays are centred on it again.

    q'(X) = X + u(X + k t) + …      t a lattice vector along the crack plane; :mod:`multiscale.fracture.carry`

Crystal and mesh look the same from the new tip, so that geometry, weights and model stay what they are and only q changes; regions that are
made for a state (a quantum cluster) are made anew. Matter leaves behind and enters ahead, and the boundary's field moves:

    E' − E = (G − 2γ) k t_x b − …        b the period along the front; the field held about the old tip had released less, by O(k t_x/R)

measured with the nodes at rest and the atoms where they were, and booked, so that energy + booked goes on without a jump. At constant K
each period of growth then releases as much as the one before: what the jumps of a trapped crack dissipate, (G − 2γ) t_x b of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from .. import gates
from ..drive.relax import relax
from ..drive.step import Step
from ..protocol import Model
from ..types import J_M2_PER_EV_A2, Array, BoolArray, MultiscaleError
from .carry import exchanged, lattice_vector, recentred
from .hybrid import HybridCrack
from .leaving import Bounds

#: A crack that turns round more often than this at one load goes to and fro.
MOST_TURNS = 3


@dataclass(frozen=True)
class Recentring:
    """One move of the disc.

    Attributes
    ----------
    periods : int
        Bond periods; negative where the crack has healed.
    before, after : float or None
        eV; of the old disc, relaxed, and of the new one with nodes relaxed and atoms where they were. None without an energy.
    expected : float
        (G − 2γ) k t_x b, eV: ``after`` − ``before`` in a large disc.
    entered, left : int
        Atoms that have become free, and that are free no more.
    coverage : float
        Largest deviation from one of how often a piece of matter is counted.
    """

    periods: int
    before: float | None
    after: float | None
    expected: float
    entered: int
    left: int
    coverage: float

    def __str__(self) -> str:
        """In words."""
        jump = "" if self.before is None or self.after is None else f", {self.after - self.before:+.4f} eV booked"
        return f"centred anew by {self.periods:+d} bond periods: +{self.entered} −{self.left} free atoms{jump}"


@dataclass(frozen=True)
class Tracked:
    """A relaxed state of a crack that is followed.

    Attributes
    ----------
    state : Step
        In the disc's own frame; ``load`` is K, ``event`` says how the bonds are, and that the disc has been centred anew.
    origin : (3,) array
        Where the disc's centre is in the laboratory, Å, a lattice vector: atoms are at ``crack.place(q) + origin``.
    front : float
        In the laboratory, Å.
    booked : float or None
        eV; Σ (before − after) of all moves so far. ``state.energy + booked`` changes by loading and relaxing alone.
    moved : Recentring or None
        The move that came before this state.
    """

    state: Step
    origin: Array
    front: float
    booked: float | None
    moved: Recentring | None = None


def track(
    build: Callable[[Array], Model],
    crack: HybridCrack,
    q: Array,
    loads: Iterable[float],
    *,
    start: float,
    periods: int = 1000,
    home: float | None = None,
    limit: float = 3.0,
    fmax: float = 1e-3,
    max_steps: int = 300,
    energy_noise: float = 1e-9,
    each: Callable[[Step], None] = lambda s: None,
) -> Iterator[Tracked]:
    """Load a crack quasi-statically and follow its tip; a generator of relaxed states, collective.

    At each load the crack is relaxed. As long as its front has moved by a bond period or more, the disc is centred on it anew and relaxed
    again: one load above K₊ makes it grow for ever.

    Parameters
    ----------
    build : callable q -> Model
        The model of the crack for a state (n_q, 3); called anew after every move, so that clusters are carved where the bonds now are.
        Overlays move with the tip. ``lambda q: model`` where there is nothing to carve.
    crack : HybridCrack
    q : (n_q, 3) array
        A state near equilibrium at K = ``start``, Å.
    loads : iterable of float
        K, MPa·√m, one after another.
    start : float
        K of ``q``.
    periods : int
        End after so many bond periods of growth (or healing).
    home : float, optional
        Å; the front, in the disc's frame, of a crack that needs no move; by default that of the first relaxed state.
    limit : float
        Å; longer bonds are broken.
    fmax, max_steps, energy_noise
        Of :func:`multiscale.drive.relax.relax`.
    each : callable
        Sees every step of every relaxation, for progress.

    Yields
    ------
    Tracked

    Raises
    ------
    MultiscaleError
        If a relaxation does not converge, the front has come to the edge of the free atoms in one go, or the crack goes to and fro: an
        overlay that covers the bond at the tip alone leaves it to the model below when it moves on, and that may close it.
    """
    disc = _Disc(crack, Bounds.of(crack, limit), lattice_vector(crack.crystal), each, fmax, max_steps, energy_noise)
    model, load, origin, gone, index = build(q), start, np.zeros(3), 0, 0
    booked: float | None = 0.0
    for K in loads:
        state, moved = disc.rest(model, crack.advance(q, load, K)), None
        load, ways = K, list[int]()
        while True:
            front = disc.front(state.q)
            home = front if home is None else home
            booked = None if state.energy is None else booked
            event = "; ".join(str(s) for s in (moved, state.event) if s)
            yield Tracked(replace(state, index=index, load=K, event=event), origin, front + origin[0], booked, moved)
            index, ahead = index + 1, disc.whole(front - home)
            if abs(gone) >= periods:
                return
            if not ahead:
                break
            ways.append(ahead)
            _not_to_and_fro(ways)
            at = recentred(crack, state.q, K, ahead)
            model = build(at)
            at, moved = disc.settled(model, at, state, K, ahead)
            origin, gone = origin + ahead * disc.t, gone + ahead
            if booked is not None and moved.before is not None and moved.after is not None:
                booked += moved.before - moved.after
            state = disc.rest(model, at)
        q = state.q


def _not_to_and_fro(ways: list[int]) -> None:
    turns = sum(a * b < 0 for a, b in zip(ways, ways[1:], strict=False))
    if turns > MOST_TURNS:
        raise MultiscaleError(
            f"the followed crack goes to and fro: it has turned round {turns} times at one load; make overlays cover the bonds behind the "
            "tip too, which their models hold open and those below would close, or load in smaller steps"
        )


@dataclass(frozen=True)
class _Disc:
    """What stays the same while the disc moves."""

    crack: HybridCrack
    inside: Bounds
    t: Array
    each: Callable[[Step], None]
    fmax: float
    max_steps: int
    energy_noise: float

    def front(self, q: Array) -> float:
        """In the disc's frame, Å."""
        found = self.inside.watch.front(q[: self.crack.n_free])
        if not np.isfinite(found):
            raise MultiscaleError(
                f"no bond across the crack plane is open within {self.crack.free_radius:.4g} Å: there is no front to follow; load the "
                "crack more, make free_radius larger, or give a smaller limit for open bonds"
            )
        return found

    def whole(self, way: float) -> int:
        """Bond periods of a way (Å), towards zero."""
        return int(np.fix(way / self.t[0] + np.sign(way) * 1e-6))

    def relaxed(self, model: Model, q: Array, held: BoolArray | None = None) -> Step:
        """The relaxed state; with more components held than the crack's own where given."""
        last = None
        for last in relax(
            model, q, fmax=self.fmax, max_steps=self.max_steps, energy_noise=self.energy_noise, fixed=held
        ):
            self.each(last)
        assert last is not None
        if not last.converged:
            raise MultiscaleError(
                f"relaxation of a followed crack stopped after {last.index} steps at max|F| = {last.max_force:.2e} eV/Å, above "
                f"{self.fmax:.0e}; take smaller load steps or raise max_steps"
            )
        return last

    def rest(self, model: Model, q: Array) -> Step:
        """The relaxed state from a guess, its front still inside."""
        model.prepare(q)
        last = self.relaxed(model, q)
        self.inside(last.q)
        return replace(last, event=self.inside.watch.state(last.q[: self.crack.n_free]))

    def settled(self, model: Model, q: Array, state: Step, K: float, periods: int) -> tuple[Array, Recentring]:
        """Nodes relaxed about atoms that stay where they are, where there is an energy to book; and the books."""
        crack, after = self.crack, None
        if state.energy is not None:
            model.prepare(q)
            held = crack.fixed()
            held[: crack.n_free] = True
            last = self.relaxed(model, q, held)
            q, after = last.q, last.energy
        m = crack.material
        area = periods * self.t[0] * crack.crystal.period
        expected = (m.field.energy_release_rate(K) - 2.0 * m.gamma) * area / J_M2_PER_EV_A2
        cover = gates.coverage(model.interface, model.coupler, q).values()
        off = max(float(np.abs(c - 1.0).max(initial=0.0)) for c in cover)
        entered, left = exchanged(crack, periods * self.t)
        return q, Recentring(periods, state.energy, after, expected, entered, left, off)
