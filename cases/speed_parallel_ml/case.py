"""Speed of the interatomic region, on one rank and on two, against mace-torch's calculator and LAMMPS.

Five questions, answered in one run by ratios of medians; contestants are processes of their own that are asked in turn, with one
thread each (``worker.py``), moving atoms as at 300 K:

* one rank: the region against mace-torch's calculator for ASE, with the same model, precision and allocator;
* overhead: (step − forward and backward pass)/(forward and backward pass), lists as often as a trajectory needs them;
* two ranks against one, for a message-passing and for strictly local models;
* time and memory of classical potentials against the number of atoms, beside LAMMPS where it is installed;
* what is replicated on every rank, and the modelled scaling that follows (``scaling.py``).

LAMMPS is looked for in ``$LAMMPS`` (path of ``lmp``) and on ``PATH``; without it its columns are left out.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import lammps_peer
import measures
from children import Worker
from picture import draw

from multiscale import Case, Expect
from multiscale.types import MultiscaleError

GOAL = "goal of the project"
JUDGED = ("small", "full")
FASTER = tuple(
    Expect(f"MACE, {n} atoms: region over calculator, {how}", 1.2, kind="at least", source=GOAL, sizes=JUDGED)
    for n in (512, 4096)
    for how in ("both with the default allocator", "both with the keeping allocator", "as users run them")
)
SMALL_OVERHEAD = tuple(
    Expect(f"MACE, {n} atoms per rank, {ranks}: overhead", bound, kind="at most", source=GOAL, unit="%", sizes=JUDGED)
    for n, bound in ((64, 5.0), (256, 3.0), (2048, 1.0))
    for ranks in ("1 rank", "2 ranks")
)
TWICE = tuple(
    Expect(f"{kind}, {n} atoms: two ranks over one", 1.9, kind="at least", source=GOAL, sizes=JUDGED)
    for kind in ("MACE", "MACE, 1 layer", "Stillinger–Weber")
    for n in (512, 4096)
)
LINEAR = tuple(
    Expect(f"{kind}: exponent of {what}", 1.0, tolerance=0.05, source="a sum over sites", sizes=JUDGED)
    for kind in ("Stillinger–Weber", "EAM")
    for what in ("time", "memory")
)

COMMON: dict[str, Any] = {
    "calculator": ((4, 4, 4), (8, 8, 8)), "allocators": ("default", "keeping"),
    "overhead": ((2, 2, 2), (4, 4, 2), (8, 8, 4)), "overhead_kind": "MACE",
    "two": ((4, 4, 4), (8, 8, 8)), "two_kinds": ("MACE", "MACE, 1 layer", "Stillinger–Weber"),
    "replicated": (1e5, 1e6), "classical_kinds": ("Stillinger–Weber", "EAM"), "apart": True, "walk": 400, "few_steps": 40,
}  # fmt: skip


class SpeedParallelML(Case):
    """Atoms per second, overhead, two ranks over one, and cost against size of the interatomic region."""

    name = "speed_parallel_ml"
    benchmark = True
    # Cells of 8 atoms (silicon); ``seconds`` is how long a burst of steps may take, ``walk`` how many steps count lists.
    sizes = {
        "tiny": {
            "calculator": ((2, 2, 2),), "allocators": ("default",), "overhead": ((2, 2, 2),), "overhead_kind": "Stillinger–Weber",
            "two": ((2, 2, 2),), "two_kinds": ("Stillinger–Weber",), "replicated": (1000,),
            "classical": (200, 400), "classical_kinds": ("Stillinger–Weber",),
            "apart": False, "rounds": 1, "repeats": 1, "seconds": 0.05, "walk": 50, "few_steps": 50,
        },
        "small": COMMON | {"classical": (1e3, 1e4, 1e5), "rounds": 5, "repeats": 3, "seconds": 2.0},
        "full": COMMON | {"classical": (1e3, 1e4, 1e5, 1e6), "rounds": 5, "repeats": 3, "seconds": 2.0},
    }  # fmt: skip
    expectations = FASTER + SMALL_OVERHEAD + TWICE + LINEAR
    citations = (
        "10.48550/arXiv.2206.07697",
        "10.1103/PhysRevB.31.5262",
        "10.1209/0295-5075/26/8/005",
        "10.1016/j.cpc.2021.108171",
    )

    def build(self, run):
        """Nothing in this process: the workers build."""
        if run.world.size > 1:
            raise MultiscaleError(
                f"{self.title} was started on {run.world.size} ranks; it starts its own on one and two ranks, start it without mpirun"
            )
        if lammps_peer.found() is None:
            run.say("LAMMPS is not installed (no lmp on PATH, and $LAMMPS is not its path): its columns are left out")

    def measure(self, run, nothing):
        """The five measurements, one after another."""
        found: dict[str, Any] = {}
        with run.timed("calculator"):
            found["calculator"] = measures.against_calculator(run)
        with ExitStack() as stack:
            workers = {ranks: stack.enter_context(Worker(f"{ranks} ranks", ranks)) for ranks in (1, 2)}
            with run.timed("overhead"):
                found["overhead"] = measures.overhead(run, workers)
            with run.timed("two ranks"):
                found["two ranks"] = measures.two_ranks(run, workers)
            with run.timed("replicated"):
                found["replicated"] = measures.replicated(run, workers)
        with run.timed("classical"):
            found["classical"] = measures.classical(run)
        return found

    def plot(self, run, found):
        """Six panels."""
        run.save_figure(draw(found), "speed_parallel_ml.png")


if __name__ == "__main__":
    SpeedParallelML().main()
