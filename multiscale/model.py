"""The hybrid model: one energy (or none) and one set of forces over shared dofs, evaluated by all ranks together.

    ask(q, {r: query_r})  =  Σ_ranks (each rank's share of every region it works on)

``ask`` is the only collective: a rank evaluates the regions of its teams, then one sum makes every answer complete on every rank.
Teams without a rank in common work at the same time; a rank of several teams comes to the larger ones first, where others wait for it.
q is replicated (the point of coupling is that q stays small); meshes, neighbour lists and halos are distributed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import scipy.sparse as sp

from . import gates, registry
from .besides import Besides
from .coupler import Coupler, Evaluation
from .interface import Interface
from .ledger import Ledger, LedgerRow
from .packing import layout_of, packed, unpacked
from .ranks import Ranks
from .region import Answer, Can, Query
from .report import Report, spent_by
from .same_crystal import same_crystal
from .types import Array, MultiscaleError

T = TypeVar("T")


class HybridModel:
    """Regions on shared dofs, joined by a coupler, spread over ranks.

    Parameters
    ----------
    interface : Interface
    coupler : Coupler
    ranks : Ranks, optional
        Which ranks evaluate which region; by default all share all, and total-energy QM has ranks of its own.

    Raises
    ------
    MultiscaleError
        When a gate of :mod:`multiscale.gates` fails; the same on every rank, before any region is built.

    Attributes
    ----------
    teams : mapping of region to Team or None
        This rank's place in every region's team.
    timings, calls : mapping of region to float, int
        Seconds that this rank has spent on its share of every region's answers, and how often it was asked.
    wall : float
        Seconds inside this model's methods.
    waiting, summing : float
        Seconds until the other ranks were ready and the answers summed; and the part of it that is the sum.
    assembling : float
        Seconds spent on this rank's share of stiffness matrices.
    evaluations : int
    """

    def __init__(self, interface: Interface, coupler: Coupler, ranks: Ranks | None = None):
        self.interface, self.coupler = interface, coupler
        self.ranks = ranks or Ranks()
        gates.finite(interface.reference)
        gates.capability(interface, coupler, _installed)
        gates.overlapping(interface, interface.reference)
        gates.covered(interface, coupler)
        gates.interfaces(interface, coupler)
        if interface.strict:
            gates.zones(interface)
            gates.surroundings(interface)
            gates.joined(interface)
            same_crystal(interface)
            gates.overlays(interface)
        self.wall = self.waiting = self.summing = self.assembling = 0.0
        self._inside = False
        self._besides: Besides | None = None
        self.teams = self.ranks.teams(interface.regions)
        self._together("building the regions", self._bind)
        self.waiting = 0.0  # regions are built once: that is no part of what evaluations cost
        self.timings: dict[str, float] = dict.fromkeys(interface.regions, 0.0)
        self.calls: dict[str, int] = dict.fromkeys(interface.regions, 0)
        self.evaluations = 0
        self.prepare(interface.reference)

    # -- evaluation --------------------------------------------------------------------------------------------

    def prepare(self, q: Array) -> None:
        """Let the coupler prepare itself at the predicted state q, once per load step: ghost forces, projections."""
        with self._clocked():
            self._prepared: Any = self.coupler.prepare(np.asarray(q, dtype=float), self.interface, self.ask)

    def evaluate(self, q: Array) -> Evaluation:
        """Energy and forces at q (n_q, 3) Å; collective, and the same on every rank."""
        q = np.asarray(q, dtype=float)
        if q.shape != self.interface.reference.shape:
            raise MultiscaleError(f"the model needs positions of shape {self.interface.reference.shape}, got {q.shape}")
        # Row by row only to name the culprit: that is slower than everything else here.
        if not np.isfinite(q).all():
            gates.finite(q)
        self.evaluations += 1
        with self._clocked():
            return self.coupler.evaluate(q, self.interface, self.ask, self._prepared)

    def ask(self, q: Array, queries: Mapping[str, Query]) -> dict[str, Answer]:
        """Evaluate regions at the shared positions q; every region at once, each on its team; collective.

        Parameters
        ----------
        q : (n_q, 3) array
        queries : mapping of region name to Query

        Returns
        -------
        dict of name to Answer
            Complete answers (sums over ranks), the same on every rank.
        """
        if self._besides is not None:
            queries = self._besides.join(q, queries)
        places = {}
        for name, query in queries.items():
            if name not in self.interface.regions:
                raise MultiscaleError(
                    f"the coupler asks for region '{name}', but the regions are {sorted(self.interface.regions)}"
                )
            places[name] = self.interface.place(name, q)
            self.interface.regions[name].check(places[name], query)
        with self._clocked():
            layout = layout_of(self.interface.regions, queries)
            # Packed within: who has left something out must not let the others wait for the sum.
            values = self._together("evaluating", lambda: packed(self._shares(places, queries), layout))
            answers = unpacked(self.interface.regions, layout, self._summed(values))
        if self._besides is not None:
            self._besides.take(answers)
        return answers

    @contextmanager
    def asking(self, q: Array, wanted: Mapping[str, Query]) -> Iterator[dict[str, Answer]]:
        """Within it, what the coupler asks at q is asked along with ``wanted``, and answered here as it comes; the same on every rank.

        Regions that the coupler asks with weights in no proportion to the wanted ones, or not at all, stay missing: ask for them.
        """
        self._besides = Besides(q, wanted)
        try:
            yield self._besides.answers
        finally:
            self._besides = None

    def _summed(self, values: list[Array]) -> list[Array]:
        """Σ_ranks of what this rank has packed."""
        if self.ranks.world.size == 1 or not values:  # the share is the answer: no need to copy it
            return values
        clock = time.perf_counter()
        flat = [v.ravel() for v in values]
        total = self.ranks.world.sum(np.concatenate(flat))
        spent = time.perf_counter() - clock
        self.waiting, self.summing = self.waiting + spent, self.summing + spent
        return np.split(total, np.cumsum([len(v) for v in flat])[:-1])

    def stiffness(self, q: Array) -> Any:
        """Σ_r M_rᵀ K_r(w_r) M_r over the sharing regions that offer one: sparse (3 n_q, 3 n_q), eV/Å²; collective.

        It preconditions: overlays (a quantum core) are left out, and so are regions without STIFFNESS.
        """
        q = np.asarray(q, dtype=float)
        with self._clocked():
            weights = self.interface.weights(q)
            clock, waited = time.perf_counter(), self.waiting
            mine = self._together("assembling the stiffness", lambda: self._stiffness(q, weights))
            self.assembling += time.perf_counter() - clock - (self.waiting - waited)
            clock, world = time.perf_counter(), self.ranks.world
            pieces = world.gather(mine)
            total = world.bcast(sum(pieces[1:], start=pieces[0]) if pieces else None)
            spent = time.perf_counter() - clock
            self.waiting, self.summing = self.waiting + spent, self.summing + spent
        return total

    def _stiffness(self, q: Array, weights: Mapping[str, Array]) -> Any:
        """This rank's share of the sum."""

        def one(name: str) -> Any:
            region, m = self.interface.regions[name], self.interface.embeddings[name].matrix
            return m.T @ region.stiffness(self.interface.place(name, q), weights[name]) @ m

        able = [name for name in weights if Can.STIFFNESS in self.interface.regions[name].can]
        total = sp.csr_matrix((3 * self.interface.n_q,) * 2)
        for piece in self._each(able, one).values():
            total = total + piece
        return total.tocsr()

    def jacobian(self, q: Array) -> Any:
        """−∂F/∂q of the coupler, *this rank's share*: sparse (3 n_q, 3 n_q), eV/Å²; the sum over ranks is the matrix; collective.

        It is not gathered: a distributed solver adds the shares up row by row where they belong.

        Raises
        ------
        MultiscaleError
            If a region that the coupler evaluates has no STIFFNESS.
        """
        q = np.asarray(q, dtype=float)
        regions = self.interface.regions
        for name in self.coupler.required(self.interface):
            if Can.STIFFNESS not in regions[name].can:
                raise MultiscaleError(
                    f"Newton's method needs STIFFNESS of region '{name}', which offers {regions[name].can.names()}"
                    f"{regions[name].reserved()}; relax by forces alone (multiscale.drive.relax)"
                )

        wanted: list[tuple[str, Array | None]] = []

        def note(name: str, weights: Array | None) -> Any:
            wanted.append((name, weights))
            return sp.csr_matrix((3 * regions[name].n_dofs,) * 2)

        with self._clocked():
            clock, waited = time.perf_counter(), self.waiting
            # First to learn what the coupler asks for: regions are then asked in the order in which nobody waits for who has failed.
            self._together(
                "assembling the Jacobian", lambda: self.coupler.jacobian(q, self.interface, note, self._prepared)
            )
            given = self._together("assembling the Jacobian", lambda: self._stiffnesses(q, wanted))
            answers = iter(given)
            share = self._together(
                "assembling the Jacobian",
                lambda: self.coupler.jacobian(q, self.interface, lambda name, _: next(answers), self._prepared),
            )
            self.assembling += time.perf_counter() - clock - (self.waiting - waited)
        return sp.csr_matrix(share)

    def _stiffnesses(self, q: Array, wanted: Sequence[tuple[str, Array | None]]) -> list[Any]:
        """This rank's shares of the regions' stiffness matrices, as they were asked for; empty ones of regions of other ranks."""
        regions = self.interface.regions
        asked: dict[str, list[int]] = {}
        for k, (name, _) in enumerate(wanted):
            asked.setdefault(name, []).append(k)
        mine = self._each(
            asked,
            lambda name: [regions[name].stiffness(self.interface.place(name, q), wanted[k][1]) for k in asked[name]],
        )
        out = [sp.csr_matrix((3 * regions[name].n_dofs,) * 2) for name, _ in wanted]
        for name, found in mine.items():
            for k, matrix in zip(asked[name], found, strict=True):
                out[k] = matrix
        return out

    def ledger(self, q: Array) -> Ledger:
        """Matter, interface area and energy per region, and how often every piece of matter is counted."""
        q = np.asarray(q, dtype=float)
        counts = self.coupler.count(q, self.interface)
        cover = np.concatenate(list(gates.coverage(self.interface, self.coupler, q).values()))
        e = self.evaluate(q)
        rows = [
            LedgerRow(
                r,
                float(w @ self.interface.regions[r].matter),
                float(w @ self.interface.regions[r].area),
                e.parts.get(r),
            )
            for r, w in counts.items()
        ]
        rows += [LedgerRow(name, 0.0, 0.0, value) for name, value in e.parts.items() if name not in counts]
        areas = list(gates.counted_area(self.interface, self.coupler, q).values())
        area = (sum(a for a, _ in areas), sum(b for _, b in areas)) if areas else None
        return Ledger(tuple(rows), (float(cover.min()), float(cover.max())), e.energy, area)

    def report(self) -> Report:
        """Where the time of this model's evaluations went, on all ranks: by region, by team, messages, neighbour lists; collective."""
        waited, world = self.waiting, self.ranks.world
        mine = self._together("reporting", lambda: spent_by(self))
        self.waiting = waited  # reporting is no part of what it reports
        mine["node"] = min(world.on_node(world.rank)[0])
        return Report.of(self, world.bcast(world.gather(mine)))

    # -- a model whose members never change: see multiscale.protocol -------------------------------------------

    @property
    def membership(self) -> tuple[int, ...]:
        """Empty: no region of this model changes its members."""
        return ()

    def update(self, q: Array) -> str:
        """Nothing to adapt; weights that move do so inside :meth:`evaluate`."""
        return ""

    def fits(self, q: Array) -> bool:
        """Always: the members are what they are."""
        return True

    def snapshot(self) -> dict[str, Array]:
        """Nothing to keep."""
        return {}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Nothing to go back to."""

    # -- distribution ------------------------------------------------------------------------------------------

    def _bind(self) -> None:
        for name, team in self.teams.items():
            if team is not None:
                self.interface.regions[name].bind(team)

    def _shares(self, places: Mapping[str, Array], queries: Mapping[str, Query]) -> dict[str, Answer]:
        def one(name: str) -> Answer:
            clock = time.perf_counter()
            try:
                return self.interface.regions[name].evaluate(places[name], queries[name])
            finally:
                self.timings[name] += time.perf_counter() - clock
                self.calls[name] += 1

        return self._each(queries, one)

    def _each(self, names: Iterable[str], work: Callable[[str], T]) -> dict[str, T]:
        """Work on the regions of this rank's teams, one after another."""
        out: dict[str, T] = {}
        error: Exception | None = None
        for name in self._in_turn(names):
            try:
                out[name] = work(name)
            except Exception as e:
                # The other regions' turn comes all the same: a mesh compiles its forms with all of its team when it is
                # first evaluated, and whoever left before would let the others wait for ever.
                error = error or e
                self.interface.regions[name].abandon(e)
        if error is not None:
            raise error
        return out

    @contextmanager
    def _clocked(self) -> Iterator[None]:
        """Count the time inside as this model's, once where methods call one another."""
        if self._inside:
            yield
            return
        self._inside, clock = True, time.perf_counter()
        try:
            yield
        finally:
            self._inside, self.wall = False, self.wall + time.perf_counter() - clock

    def _in_turn(self, names: Iterable[str]) -> list[str]:
        """This rank's regions, those of larger teams first; the same order on all ranks.

        The members of a team may wait for one another, and what a rank does before it meets them lets all of them wait, whereas
        what comes after does not.
        """
        mine = [(team.size, name) for name in names if (team := self.teams[name]) is not None]
        return [name for _, name in sorted(mine, key=lambda entry: -entry[0])]

    def _together(self, doing: str, work: Any) -> Any:
        """Do this rank's work; if any rank fails, raise on all of them and name it, so that nobody waits for ever."""
        result, error = None, None
        try:
            result = work()
        except Exception as e:
            error = e
        world = self.ranks.world
        clock = time.perf_counter()
        failures = world.failures(error)
        self.waiting += time.perf_counter() - clock
        if failures:
            rank, message = failures[0]
            where = f" (rank {rank} of {world.size}, {doing})" if world.size > 1 else ""
            raise MultiscaleError(f"{message}{where}") from error
        return result


def _installed() -> list[tuple[str, Can]]:
    """Installed couplers and their needs, for error messages."""
    return [(name, c.needs) for name, c in registry.couplers().items()]
