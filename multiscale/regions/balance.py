"""What sites cost, measured: each rank's seconds, shared out to its sites in proportion to the edges that they receive.

    c_i = t_rank · n_i / Σ_{own} n_i,          imbalance = max_rank t / mean_rank t − 1

Nothing is measured before it has something to say: times below a millisecond are noise, and a team of one has nobody to share with.
"""

from __future__ import annotations

import numpy as np

from ..types import Array, BoolArray, IntArray, MultiscaleError, Team

#: Evaluations between two looks at the times.
EVERY = 20
#: Seconds of an evaluation below which imbalance costs less than looking into it.
WORTH = 2e-3
#: Cost of a site that does not count, relative to one that does: it is listed as somebody's neighbour.
IDLE = 0.01


class Balance:
    """The measured cost of a team's sites.

    Parameters
    ----------
    team : Team
    bound : float or None
        Imbalance above which costs are asked for; None never does.

    Attributes
    ----------
    imbalance : float or None
        The last one that was measured.
    rebalances : int
    """

    def __init__(self, team: Team, bound: float | None) -> None:
        if bound is not None and not (np.isfinite(bound) and bound > 0.0):
            raise MultiscaleError(
                f"balance={bound} was given; it is the imbalance of times above which sites are dealt out anew: give a positive number "
                "such as 0.1, or None"
            )
        self.team, self.bound = team, bound
        self.imbalance: float | None = None
        self.rebalances = 0
        self._costs: Array | None = None
        self._times: list[float] = []
        self._looked, self._now = 0, 0

    def note(self, seconds: float) -> None:
        """An evaluation took so long on this rank, waiting left out."""
        self._times.append(seconds)

    def due(self, evaluation: int) -> bool:
        """Whether it is time to look, in the evaluation of this number; the same on every rank of the team."""
        self._now = evaluation
        return self.bound is not None and self.team.comm is not None and evaluation - self._looked >= EVERY

    def known(self, active: BoolArray) -> Array:
        """The cost (n,) of every site, as far as it is known; replicated."""
        if self._costs is None or len(self._costs) != len(active):
            return np.where(active, 1.0, IDLE)
        return self._costs

    def costs(self, n: int, mine: IntArray, edges: Array) -> Array | None:
        """The cost (n,) of every site if the team is out of balance, else None; collective.

        Parameters
        ----------
        n : int
            Number of sites.
        mine : (m,) int array
            The sites of this rank.
        edges : (m,) array
            How many edges each of them receives.
        """
        self._looked = self._now
        # The median: the first evaluations compile and allocate.
        mine_took = float(np.median(self._times)) if self._times else 0.0
        self._times.clear()
        times = np.array(self.team.comm.allgather(mine_took))
        self.imbalance = float(times.max() / times.mean() - 1.0) if times.mean() > 0.0 else 0.0
        assert self.bound is not None
        if times.mean() < WORTH or self.imbalance <= self.bound:
            return None
        share = edges * (mine_took / edges.sum()) if len(mine) else np.zeros(0)
        costs = np.zeros(n)
        for sites, cost in self.team.comm.allgather((mine, share)):
            costs[sites] = cost
        self._costs = costs
        self.rebalances += 1
        return costs
