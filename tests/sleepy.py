"""A chain whose regions take as long as they are told, for tests of who waits for whom."""

from __future__ import annotations

import time

import numpy as np

from multiscale.embedding import select
from multiscale.interface import Interface
from multiscale.partition import Nested
from multiscale.regions.chain import ChainElements, ChainRegion, MorsePair
from multiscale.shapes import Slab
from multiscale.types import Team

N = 40
Q = np.zeros((N, 3))
Q[:, 0] = 0.99 * np.arange(N)
SEGMENT = np.arange(14, 26)


class Sleeps:
    """Takes ``cost`` seconds, shared by its team, besides what it does."""

    cost = 0.0

    def evaluate(self, x, query):
        if self.cost:
            part = self.team.share(self.n_sites)
            time.sleep(self.cost * len(range(self.n_sites)[part]) / self.n_sites)
        return super().evaluate(x, query)


class Atoms(Sleeps, ChainRegion):
    pass


class Elements(Sleeps, ChainElements):
    pass


class Alone(Sleeps, ChainRegion):
    """Evaluated by one process, as a quantum cluster is: the others' share is empty."""

    def __init__(self, *args):
        super().__init__(*args)
        self.reach = float("inf")

    def bind(self, team):
        super().bind(Team(team.rank, 1))


class Meets(Atoms):
    """All ranks of the team meet, once their own share is done."""

    def evaluate(self, x, query):
        answer = super().evaluate(x, query)
        if self.team.comm is not None:
            self.team.comm.Barrier()
        return answer


def interface(atoms=0.0, fem=0.0, qm=0.0, kinds=None):
    """Atoms in a finite-element chain, and a segment described twice: ``atoms``, ``fem``, ``qm``, ``ml_qm``."""
    kinds = {"atoms": Atoms, "ml_qm": Atoms, "qm": Alone} | (kinds or {})
    segment = select(SEGMENT, N)
    regions = {"qm": (kinds["qm"](Q[SEGMENT], MorsePair(alpha=4.4)), segment), "atoms": kinds["atoms"](Q)}
    regions |= {"fem": Elements(Q), "ml_qm": (kinds["ml_qm"](Q[SEGMENT]), segment)}
    found = Interface(Q, regions, Nested([("atoms", Slab((19.3, 0, 0), (1, 0, 0), 9.0), 6.0)], rest="fem"))
    for name, cost in {"atoms": atoms, "fem": fem, "qm": qm}.items():
        found.regions[name].cost = cost
    return found
