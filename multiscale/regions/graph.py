"""The graph that one rank of a team evaluates: its own sites, what they see, and who computes what they see.

    R_0 = {i : w_i ≠ 0},     R_k = R_{k−1} ∪ neighbours(R_{k−1}),      layer ℓ of L is needed on R_{L−ℓ} and nowhere else

Two ways to spread a message-passing model over ranks, and one interface:

    exchange   every rank computes layer ℓ on its own part of R_{L−ℓ} and gets its neighbours' rows from their owners
    wide       every rank computes all that its own part of R_0 depends on; nobody talks

A strictly local model (L = 1) needs neither. Sites are dealt out by measured cost when neighbour lists are built; the graph is
kept until the next list, or until other sites count.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..alarm import Alarm
from ..domains import bisect, unfold
from ..models.base import Placement, SiteModel
from ..models.exchange import Exchange
from ..neighbours import NeighbourList, Stored
from ..types import Array, BoolArray, IntArray, Team
from .balance import IDLE, Balance
from .engines import agreed, spoken

Halo = Literal["exchange", "wide"]


@dataclass(frozen=True)
class _Plan:
    """What holds from one neighbour list to the next, as long as the same sites count."""

    active: BoolArray
    centres: IntArray
    nodes: IntArray
    levels: tuple[int, ...]
    stored: Stored
    #: Nodes at the two ends of the stored pairs.
    ends: tuple[IntArray, IntArray]
    exchange: Exchange | None
    #: How many edges each own site receives in all layers: what it costs.
    cost: Array


@dataclass(frozen=True)
class Local:
    """One graph, in numpy; what :class:`~multiscale.models.base.Edges` is made from.

    Attributes
    ----------
    vectors : (n_edges, 3) array
        Å.
    i, j : (n_edges,) int arrays
        Nodes at the two ends.
    nodes : (n_nodes,) int array
        The atom that each node is.
    centres : (n_centres,) int array
        The sites that this rank evaluates: the first nodes.
    levels, place, exchange
        As ``levels``, ``placement`` and ``exchange`` of the edges.
    """

    vectors: Array
    i: IntArray
    j: IntArray
    nodes: IntArray
    centres: IntArray
    levels: tuple[int, ...]
    place: Placement | None
    exchange: Exchange | None


class Graph:
    """Graphs around the sites that a rank owns.

    Parameters
    ----------
    model : SiteModel
    cell, pbc, skin
        As for :class:`~multiscale.neighbours.NeighbourList`.
    team : Team
        Without a communicator every member evaluates its part alone, and goes wide.
    halo : {"exchange", "wide"}
        How the layers of a message-passing model are spread. ``"exchange"`` falls back to ``"wide"`` where the model has no
        exchange, or one layer.
    bodies : (n,) int array, optional
        Which body each atom belongs to; there are no edges between bodies.
    balance : float or None
        Imbalance (largest over mean time of a rank, minus one) above which sites are dealt out anew; None never measures.

    Attributes
    ----------
    exchanges : bool
        Whether features are exchanged.
    list : NeighbourList
    """

    def __init__(
        self,
        model: SiteModel,
        cell: Array,
        pbc: BoolArray,
        skin: float,
        team: Team,
        halo: Halo,
        balance: float | None,
        bodies: IntArray | None = None,
    ) -> None:
        self.model, self.team, self.halo = model, team, halo
        self.exchanges = team.comm is not None and bool(model.exchanges) and halo == "exchange"
        self.list = NeighbourList(model.cutoff, cell, pbc, skin, bodies)
        self.balance, self.alarm = Balance(team, balance), Alarm(team)
        self._owner: IntArray | None = None
        self._mine: IntArray = np.zeros(0, dtype=np.int64)
        self._plan: _Plan | None = None
        self.seconds, self._exchanged = 0.0, 0.0

    def owned(self, x: Array) -> IntArray:
        """The sites of this rank, ascending; dealt out at x (n, 3) if they have not been yet."""
        if self._owner is None:
            self._deal(x, np.ones(len(x), dtype=bool))
        return self._mine

    def around(self, x: Array, active: BoolArray) -> Local:
        """The graph at x (n, 3), Å, of the sites that count, (n,) bool; both alike on all ranks of the team. Collective."""
        start, talked = time.perf_counter(), self.exchanging
        plan = self._current(x, active)
        near, vectors = self.list.within(x, plan.stored)
        place = None
        if self.model.needs_placement:
            place = Placement(x[plan.nodes], self.list.cell, self.list.pbc, plan.stored.shift(near))
        ends = np.take(plan.ends[0], near), np.take(plan.ends[1], near)
        self.seconds += time.perf_counter() - start - (self.exchanging - talked)
        return Local(vectors, *ends, plan.nodes, plan.centres, plan.levels, place, plan.exchange)

    # -- one evaluation among several ranks --------------------------------------------------------------------

    def begin(self) -> None:
        """An evaluation starts; the same number of them on every rank."""
        self.alarm.begin()

    def end(self, seconds: float) -> None:
        """An evaluation is over; it took so long on this rank, waiting for others left out."""
        self.alarm.end()
        self.balance.note(seconds)

    def abandon(self, error: Exception) -> None:
        """Tell the ranks that wait for this one, or are going to, why they do so in vain."""
        self.alarm.tell(error, spoken)

    @property
    def exchanging(self) -> float:
        """Seconds spent on exchanges so far, waiting included."""
        now = self._plan.exchange.seconds if self._plan is not None and self._plan.exchange is not None else 0.0
        return self._exchanged + now

    @property
    def halo_sites(self) -> int:
        """Nodes of the present graph that are not centres."""
        return 0 if self._plan is None else len(self._plan.nodes) - len(self._plan.centres)

    # -- plans -------------------------------------------------------------------------------------------------

    def _current(self, x: Array, active: BoolArray) -> _Plan:
        """The plan for this state. Ranks with the same x and the same sites that count make new ones together."""
        measured = None
        if self._plan is not None and self.balance.due(self.alarm.number):
            self.alarm.meet()
            measured = self.balance.costs(len(x), self._mine, self._plan.cost)
        if measured is not None or self.list.stale(x):
            self._together(lambda: self._list(x, active))
            self._drop()
        if self._plan is None or not np.array_equal(self._plan.active, active):
            self._drop()
            if self.exchanges:
                self.alarm.meet()
            self._plan = self._arranged(active)
        return self._plan

    def _drop(self) -> None:
        self._exchanged, self._plan = self.exchanging, None

    def _list(self, x: Array, active: BoolArray) -> None:
        if self.team.size == 1:
            self._mine = np.arange(len(x))
            self._owner = np.zeros(len(x), dtype=np.int64)
            self.list.build(x)
            return
        self._deal(x, active)
        self.list.build(x, self._mine, 1 if self.exchanges else self.model.layers)

    def _deal(self, x: Array, active: BoolArray) -> None:
        points, _ = unfold(x, self.list.cell, self.list.pbc)
        self._owner = bisect(points, self.balance.known(active), self.team.size)
        self._mine = np.flatnonzero(self._owner == self.team.rank)

    def _together(self, work: Any) -> None:
        """Do it on every rank of the team, or fail on every one of them."""
        self.alarm.meet()
        error: Exception | None = None
        try:
            work()
        except Exception as e:
            error = e
        failed = agreed(error, self.team)
        if failed is not None:
            raise failed

    def _arranged(self, active: BoolArray) -> _Plan:
        """Number the nodes for these sites."""
        return self._with_exchange(active) if self.exchanges else self._alone(active)

    def _alone(self, active: BoolArray) -> _Plan:
        """Own centres, then what is one hop away, and so on: rows of all receivers are this rank's own work."""
        centres = self._mine[active[self._mine]]
        local = np.full(len(active), -1, dtype=np.int64)
        local[centres] = np.arange(len(centres))
        nodes, levels, stored = centres, [len(centres)], self.list.stored(centres)
        for hop in range(self.model.layers):
            if hop:
                stored = self.list.stored(nodes)
            new = _first_seen(stored.j, local)
            local[new] = len(nodes) + np.arange(len(new))
            nodes = np.concatenate([nodes, new])
            levels.append(len(nodes))
        cost = self._cost(self._mine, stored.i, local, levels[:-1])
        return _Plan(
            active.copy(), centres, nodes, tuple(levels), stored, (local[stored.i], local[stored.j]), None, cost
        )

    def _with_exchange(self, active: BoolArray) -> _Plan:
        """Own receivers by hop, then ghosts whose features are sent here, then ghosts of which the species is enough."""
        assert self._owner is not None
        layers = self.model.layers
        hop = self._hops(active)
        order = np.argsort(hop[self._mine], kind="stable")
        own = self._mine[order][: int((hop[self._mine] < layers).sum())]
        levels = [int((hop[own] <= k).sum()) for k in range(layers)]
        local = np.full(len(active), -1, dtype=np.int64)
        local[own] = np.arange(len(own))
        # The first layer's results are read by the receivers of the second.
        seen = _first_seen(self.list.stored(own[: levels[layers - 2]]).j, local)
        ghosts = seen[self._owner[seen] != self.team.rank]
        ghosts = ghosts[np.argsort(self._owner[ghosts], kind="stable")]
        local[ghosts] = len(own) + np.arange(len(ghosts))
        stored = self.list.stored(own)
        others = _first_seen(stored.j, local)
        local[others] = len(own) + len(ghosts) + np.arange(len(others))
        nodes = np.concatenate([own, ghosts, others])
        exchange = self._exchange(own, ghosts, len(nodes), local)
        cost = self._cost(self._mine, stored.i, local, levels)
        ends = local[stored.i], local[stored.j]
        return _Plan(active.copy(), own[: levels[0]], nodes, (*levels, len(nodes)), stored, ends, exchange, cost)

    def _hops(self, active: BoolArray) -> IntArray:
        """Hops (n,) from the nearest site that counts, of own sites; ``layers`` for more than matter."""
        layers = self.model.layers
        hop = np.where(active, 0, layers)
        stored = self.list.stored(self._mine)
        for k in range(1, layers):
            found = np.unique(stored.i[(hop[stored.j] == k - 1) & (hop[stored.i] == layers)])
            hop[found] = k
            if k + 1 < layers:  # whose neighbours the next ones are may be another rank's
                for others in self.team.comm.allgather(found):
                    hop[others] = k
        return hop

    def _exchange(self, own: IntArray, ghosts: IntArray, n_nodes: int, local: IntArray) -> Exchange:
        """Ask the owners for the ghosts; collective."""
        assert self._owner is not None
        of = self._owner[ghosts]
        wanted = [ghosts[of == rank] for rank in range(self.team.size)]
        asked = self.team.comm.alltoall(wanted)
        rows = [np.where(local[ids] < len(own), local[ids], -1) for ids in asked]
        return Exchange(
            self.alarm, len(own),
            [(rank, r) for rank, r in enumerate(rows) if len(r)],
            [(rank, len(w)) for rank, w in enumerate(wanted) if len(w)], n_nodes,
        )  # fmt: skip

    @staticmethod
    def _cost(mine: IntArray, i: IntArray, local: IntArray, levels: list[int]) -> Array:
        """Edges received in all layers, and one for being there, of own sites."""
        node, cost = local[mine], np.full(len(mine), IDLE)
        received = np.bincount(local[i], minlength=len(local))
        depth = np.zeros(len(mine))
        for n in levels:
            depth += (node >= 0) & (node < n)
        counts = depth > 0
        cost[counts] = 1.0 + received[node[counts]] * depth[counts]
        return cost


def _first_seen(j: IntArray, local: IntArray) -> IntArray:
    """Atoms among ``j`` that have no number yet, ascending."""
    new = np.zeros(len(local), dtype=bool)
    new[j] = True
    new &= local < 0
    return np.flatnonzero(new)
