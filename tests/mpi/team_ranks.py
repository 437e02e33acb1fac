"""Teams on real ranks and real clocks; rank 0 prints JSON, one line: see tests/test_teams.py."""

import json
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np  # noqa: E402
from sleepy import Meets, Q, interface  # noqa: E402

from couplers import EnergyBlend, Subtractive  # noqa: E402
from multiscale import HybridModel, Query, Ranks  # noqa: E402
from multiscale.devices import gpu_aware  # noqa: E402
from multiscale.ranks import world  # noqa: E402

RANKS = world()


def wall(work, repeats=3):
    """Seconds of the fastest of some calls, until the slowest rank is done: one delay by whatever else runs here is no measurement."""
    best = np.inf
    for _ in range(repeats):
        RANKS.barrier()
        start = time.perf_counter()
        work()
        best = min(best, RANKS.allreduce_max(time.perf_counter() - start))
    return best


class OneByOne(EnergyBlend):
    """The saboteur: asks for one region after another."""

    def evaluate(self, q, interface, ask, prepared):
        def apart(at, queries):
            return {r: ask(at, {r: query})[r] for r, query in queries.items()}

        return super().evaluate(q, interface, apart, prepared)


def side_by_side():
    """Two regions of 0.3 s on disjoint ranks, on the same rank, and on disjoint ranks asked one after the other."""
    out, energies = {}, []
    for name, shares, coupler in (
        ("apart", {"atoms": [0], "fem": [1]}, EnergyBlend()),
        ("together", {"atoms": [0], "fem": [0]}, EnergyBlend()),
        ("one by one", {"atoms": [0], "fem": [1]}, OneByOne()),
    ):
        model = HybridModel(interface(atoms=0.3, fem=0.3), coupler, Ranks(shares))
        out[name] = wall(lambda model=model: energies.append(model.evaluate(Q).energy))
    return out | {"energies": energies}


class AsAsked(HybridModel):
    """The saboteur: regions in the order in which they are asked for."""

    def _in_turn(self, names):
        return [name for name in names if self.teams[name] is not None]


def larger_teams_first():
    """A region that both ranks share, beside one of each: nobody waits in it, in whatever order they are asked for."""
    out = {}
    for kind in (HybridModel, AsAsked):
        found = interface(atoms=0.2, fem=0.2, kinds={"ml_qm": Meets})
        model = kind(found, EnergyBlend(), Ranks({"atoms": [1], "ml_qm": [0, 1], "fem": [0], "qm": [0]}))
        orders = (("atoms", "ml_qm", "fem"), ("fem", "ml_qm", "atoms"), ("ml_qm", "atoms", "fem"))
        out[kind.__name__] = [
            wall(lambda names=names, model=model: model.ask(Q, {r: Query() for r in names})) for names in orders
        ]
    return out


def suggestion():
    """Measured on rank 0 alone, proposed for all, and what the proposal really costs and gives."""
    costs = {"atoms": 0.045, "fem": 0.02, "qm": 0.06}
    everything = dict.fromkeys(("atoms", "fem", "qm", "ml_qm"), [0])
    model = HybridModel(interface(**costs), Subtractive(), Ranks(everything))
    found = Ranks.suggest(model)
    better = HybridModel(interface(**costs), Subtractive(), found.ranks())
    energies = [m.evaluate(Q).energy for m in (model, better)]
    took = [wall(lambda m=m: m.evaluate(Q)) for m in (model, better)]
    everyone = RANKS.bcast(RANKS.gather((found.shares, found.work, str(found), energies)))
    again = Ranks.suggest(better)
    return {
        "shares": found.shares, "again": again.shares, "work": found.work, "same": all(e == everyone[0] for e in everyone), "wall": took,
        "before": max(found.before), "after": max(found.after), "energies": energies, "text": str(found),
    }  # fmt: skip


def report():
    """Rank 0 works, the others wait."""
    model = HybridModel(interface(atoms=0.06, fem=0.02), EnergyBlend(), Ranks({"atoms": [0], "fem": [1]}))
    for _ in range(5):
        model.evaluate(Q)
    model.stiffness(Q)
    found = model.report()
    everyone = RANKS.bcast(RANKS.gather(found))
    spent = sum(model.timings.values()) + model.waiting + model.assembling
    return {
        "report": found.as_dict(), "text": str(found), "same": all(e == everyone[0] for e in everyone),
        "rest": RANKS.gather(model.wall - spent),
    }  # fmt: skip


def devices():
    """Numbers on the node; and among those that see the same GPUs, two of three here."""
    os.environ["CUDA_VISIBLE_DEVICES"] = "2,3" if RANKS.rank == 1 else "0,1"
    turns = RANKS.gather((RANKS.local_rank(), RANKS.turn()))
    del os.environ["CUDA_VISIBLE_DEVICES"]
    return {"turns": turns, "aware": gpu_aware()}


def main():
    works = (
        [suggestion, report, devices]
        if RANKS.size > 2
        else [side_by_side, larger_teams_first, suggestion, report, devices]
    )
    out = {work.__name__: work() for work in works}
    if RANKS.rank == 0:
        sys.stdout.write(json.dumps(out) + "\n")


if __name__ == "__main__":
    main()
