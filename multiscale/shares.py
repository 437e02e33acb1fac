"""Who should evaluate what: measured work per region, dealt out to equal ranks.

    t_k = Σ_{r : k ∈ R_r} W_r / (|R_r| η_r)          time of rank k in one evaluation of the model, η = 1 on one rank
    shares = argmin max_k t_k                        over the ranks R_r of every region

W_r is what region r costs in one evaluation of *this* coupler (which may ask it twice, or for some of its sites alone), not what it
would cost by itself. Shares within one per cent of the best count as equal: of these, those that the model has already are kept; else
those with the fewest memberships are taken (a team that nobody needs costs memory and messages), then the most even ones, then the
first in order of ranks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from .types import Array, MultiscaleError

if TYPE_CHECKING:
    from .model import HybridModel
    from .ranks import Ranks

Shares = dict[str, tuple[int, ...]]
#: Partial assignments that the exact search may look at; what takes more is improved step by step.
BUDGET = 20_000
#: Shares whose slowest rank is slower than the best one's by no more than this part are equal: timings are no better.
EQUAL = 0.01
#: Å by which positions are moved between evaluations that are measured, so that nothing is answered from memory.
MOVE = 5e-3


@dataclass(frozen=True)
class Suggestion:
    """Shares of ranks that make the slowest rank as fast as can be, by measured times.

    Attributes
    ----------
    shares : mapping of region to ranks
        Every region that was asked, and those that were not with the ranks that they have now.
    work : mapping of region to float
        Seconds of one rank per evaluation of the model; 0 for a region that was not asked.
    present : mapping of region to ranks
        Who evaluates it now.
    divisible : mapping of region to bool
        Whether several ranks share its work.
    before, after : tuple of float
        Seconds per evaluation of every rank, measured now and expected of the suggestion.
    """

    shares: Shares
    work: dict[str, float]
    present: Shares
    divisible: dict[str, bool]
    before: tuple[float, ...]
    after: tuple[float, ...]
    new: Callable[[Shares], Ranks] = field(repr=False, compare=False)

    def ranks(self) -> Ranks:
        """To be given to a new :class:`~multiscale.model.HybridModel` of the same regions."""
        return self.new(self.shares)

    def __str__(self) -> str:
        lines = [f"{'region':<18}{'ms per evaluation':>18}  {'ranks now':<16}{'suggested':<16}"]
        for name, spent in self.work.items():
            note = "not asked" if spent == 0.0 else "" if self.divisible[name] else "one rank at a time"
            row = (
                f"{name:<18}{1e3 * spent:18.2f}  {spoken(self.present[name]):<16}{spoken(self.shares[name]):<16}{note}"
            )
            lines.append(row.rstrip())
        kept = ": nothing to gain" if self.shares == self.present else ""
        lines.append(
            f"slowest rank: {1e3 * max(self.before):.2f} ms now, {1e3 * max(self.after):.2f} ms expected{kept}"
        )
        return "\n".join(lines)


def spoken(ranks: Sequence[int]) -> str:
    """Ranks as text: ``0-3, 5``."""
    runs: list[list[int]] = []
    for r in sorted(ranks):
        if runs and r == runs[-1][-1] + 1:
            runs[-1].append(r)
        else:
            runs.append([r])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def suggested(
    model: HybridModel,
    q: ArrayLike | None,
    repeats: int,
    efficiency: Mapping[str, float],
    new: Callable[[Shares], Ranks],
) -> Suggestion:
    """What :meth:`multiscale.ranks.Ranks.suggest` returns; ``new`` makes ranks of shares."""
    regions, world = model.interface.regions, model.ranks.world
    for name, value in efficiency.items():
        if name not in regions or not 0.0 < value <= 1.0:
            raise MultiscaleError(
                f"suggest was given the efficiency {value} of region '{name}'; it needs numbers above 0 and up to 1, for regions of "
                f"{sorted(regions)}"
            )
    eta = {name: float(efficiency.get(name, 1.0)) for name in regions}
    divisible, present = {n: r.divisible for n, r in regions.items()}, model.ranks.of(regions)
    table = measured(model, np.asarray(model.interface.reference if q is None else q, dtype=float), repeats)
    columns = dict(zip(regions, table.T, strict=True))
    # Of a region that one rank evaluates alone, the others of its team only come by.
    work = {n: float(t.sum() if divisible[n] else t.max()) for n, t in columns.items()}
    found = allot({n: w for n, w in work.items() if w > 0.0}, divisible, world.size, eta)
    shares = {n: found.get(n, present[n]) for n in regions}
    after = loads(work, shares, world.size, eta)
    possible = all(divisible[n] or len(present[n]) == 1 for n in regions)
    now = loads(work, present, world.size, eta)
    if possible and now.max() <= (1.0 + EQUAL) * after.max():
        shares, after = present, now
    return Suggestion(
        shares, work, present, divisible, tuple(table.sum(axis=1).tolist()), tuple(after.tolist()), new
    )  # fmt: skip


def measured(model: HybridModel, q: Array, repeats: int) -> Array:
    """Seconds (ranks, regions) per evaluation, the median of ``repeats``, waiting for other ranks' features left out; collective."""
    if repeats < 1:
        raise MultiscaleError(f"suggest was given repeats={repeats}; one evaluation at least has to be measured")
    names, rng = list(model.interface.regions), np.random.default_rng(0)

    def spent() -> Array:
        own = np.array([model.timings[n] for n in names])
        talk = [model.interface.regions[n].counters() if model.teams[n] is not None else {} for n in names]
        return own - np.array([t.get("exchange seconds", 0.0) for t in talk])

    def once() -> Array:
        before = spent()
        model.evaluate(q + MOVE * rng.uniform(-1.0, 1.0, q.shape))
        return spent() - before

    once()  # forms are compiled, neighbour lists built and charges guessed at the first evaluation
    mine = np.median([once() for _ in range(repeats)], axis=0)
    world = model.ranks.world
    everyone = world.gather(mine)
    table: Array = world.bcast(None if everyone is None else np.array(everyone))
    return np.maximum(table, 0.0)


def loads(
    work: Mapping[str, float], shares: Mapping[str, Sequence[int]], size: int, efficiency: Mapping[str, float]
) -> Array:
    """t_k (size,): seconds of every rank per evaluation."""
    t = np.zeros(size)
    for name, ranks in shares.items():
        t[list(ranks)] += _piece(work[name], len(ranks), efficiency[name])
    return t


def allot(
    work: Mapping[str, float], divisible: Mapping[str, bool], size: int, efficiency: Mapping[str, float] | None = None
) -> Shares:
    """The shares of regions with some work, W_r > 0, on ``size`` equal ranks.

    Exact for few regions and ranks. Beyond ``BUDGET`` partial assignments: regions in order of work, those that cannot be divided
    first, each to the number of least busy ranks that serves best; then regions are dealt out anew, one at a time, as long as
    that helps.

    Examples
    --------
    >>> allot({"qm": 3.0, "ml": 2.0, "fem": 1.0}, {"qm": False, "ml": True, "fem": True}, 3)
    {'qm': (0,), 'ml': (1,), 'fem': (2,)}
    >>> allot({"qm": 1.0, "ml": 3.0}, {"qm": False, "ml": True}, 4)
    {'qm': (0,), 'ml': (1, 2, 3)}
    """
    eta = {n: 1.0 for n in work} if efficiency is None else efficiency
    order = sorted(work, key=lambda n: (divisible[n], -work[n], n))
    regions = [(work[n], divisible[n], eta[n]) for n in order]
    found = _Search(regions, size).best() or _improved(regions, size)
    named = dict(zip(order, found, strict=True))
    return {n: named[n] for n in work}


Region = tuple[float, bool, float]
Teams = tuple[tuple[int, ...], ...]


def _piece(work: float, members: int, efficiency: float) -> float:
    return work if members == 1 else work / (members * efficiency)


class _Exhausted(Exception):
    pass


class _Search:
    """All assignments that differ by more than the names of equally busy ranks."""

    def __init__(self, regions: Sequence[Region], size: int):
        self.regions, self.size, self.left, self.bound = regions, size, BUDGET, math.inf

    def best(self) -> Teams | None:
        """The best assignment, or None when looking for it takes too long."""
        try:
            self.bound = math.inf
            for _, t in self._under():
                self.bound = min(self.bound, max(t))
            self.bound *= 1.0 + EQUAL
            return min(self._under(), key=lambda found: _order(*found))[0]
        except _Exhausted:
            return None

    def _under(self) -> Iterator[tuple[Teams, tuple[float, ...]]]:
        """Assignments whose slowest rank is not slower than the bound, with the ranks' times."""

        def extend(teams: Teams, t: tuple[float, ...]) -> Iterator[tuple[Teams, tuple[float, ...]]]:
            if len(teams) == len(self.regions):
                yield teams, t
                return
            for team in self._teams(len(teams), t):
                self.left -= 1
                if self.left < 0:
                    raise _Exhausted
                after = _add(t, team, self.regions[len(teams)])
                if max(after) <= self.bound:
                    yield from extend((*teams, team), after)

        return extend((), (0.0,) * self.size)

    def _teams(self, k: int, t: tuple[float, ...]) -> Iterator[tuple[int, ...]]:
        """Teams for the k-th region; of ranks that are equally busy the first ones."""
        alike: dict[float, list[int]] = {}
        for rank, busy in enumerate(t):
            alike.setdefault(busy, []).append(rank)
        if not self.regions[k][1]:
            yield from ((ranks[0],) for ranks in alike.values())
            return
        for counts in product(*(range(len(ranks) + 1) for ranks in alike.values())):
            team = sorted(r for ranks, n in zip(alike.values(), counts, strict=True) for r in ranks[:n])
            if team:
                yield tuple(team)


def _add(t: tuple[float, ...], team: tuple[int, ...], region: Region) -> tuple[float, ...]:
    piece = _piece(region[0], len(team), region[2])
    return tuple(busy + piece if k in team else busy for k, busy in enumerate(t))


def _order(teams: Teams, t: tuple[float, ...]) -> tuple[int, tuple[float, ...], Teams]:
    """Fewest memberships, then the most even times, then the first ranks."""
    return sum(map(len, teams)), tuple(sorted(t, reverse=True)), teams


def _improved(regions: Sequence[Region], size: int) -> Teams:
    """The documented approximation of :func:`allot`."""
    teams: list[tuple[int, ...]] = [()] * len(regions)

    def busy(leaving: int) -> tuple[float, ...]:
        t = (0.0,) * size
        for k, team in enumerate(teams):
            if team and k != leaving:
                t = _add(t, team, regions[k])
        return t

    def place(k: int) -> tuple[float, int]:
        t = busy(k)
        idle = sorted(range(size), key=lambda rank: (t[rank], rank))
        options = [tuple(sorted(idle[:n])) for n in range(1, (size if regions[k][1] else 1) + 1)]
        value = {team: (max(_add(t, team, regions[k])), len(team)) for team in options}
        if not teams[k] or min(value.values()) < (max(_add(t, teams[k], regions[k])), len(teams[k])):
            teams[k] = min(options, key=lambda team: value[team])
        return max(_add(t, teams[k], regions[k])), sum(map(len, teams))

    for k in range(len(regions)):
        reached = place(k)
    while True:
        for k in range(len(regions)):
            now = place(k)
        if now >= reached:
            return tuple(teams)
        reached = now
