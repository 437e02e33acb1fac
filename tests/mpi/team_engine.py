"""QM engines and MPI, on two ranks; rank 0 prints JSON, one line.

team_engine.py together    a calculator that both ranks of the region's team call, also where one of them fails
team_engine.py program     a calculator on the last rank that starts an MPI program of its own
team_engine.py recursive   the same without hiding this run's launcher
"""

import json
import subprocess
import sys
from contextlib import nullcontext

import numpy as np
from ase import Atoms
from ase.calculators.calculator import CalculationFailed, Calculator, all_changes

from couplers import ForceBlend
from multiscale import HybridModel, Interface, Nested, Ranks
from multiscale.ranks import world
from multiscale.region import Query
from multiscale.regions.engines import Engine
from multiscale.regions.qm import QMRegion
from multiscale.types import MultiscaleError, Team

ATOMS = Atoms("H8", np.random.default_rng(0).normal(size=(8, 3)) + 1.5 * np.arange(8)[:, None])


class Springs(Calculator):
    """½ Σ_{i<j} (r_ij − 1)², atoms shared out over the team; the sum over its communicator is everybody's result."""

    implemented_properties = ("energy", "forces")

    def __init__(self, team, **settings):
        self.team, self.fail = team, {"member": None, "how": None}
        super().__init__(**settings)

    def set(self, **settings):
        self.fail = {"member": None, "how": None} if settings.pop("sound", False) else self.fail
        return super().set(**settings)

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        x = atoms.positions
        mine = np.arange(len(x))[self.team.share(len(x))]
        d = x[mine, None] - x[None]
        r = np.linalg.norm(d, axis=2)
        near = (r > 0).astype(float)
        share = np.zeros(1 + x.size)
        share[0] = 0.25 * (near * (r - 1.0) ** 2).sum()
        f = np.zeros_like(x)
        f[mine] = -((near * (r - 1.0) / np.where(r > 0, r, 1.0))[..., None] * d).sum(axis=1)
        share[1:] = f.ravel()
        if self.team.comm is not None:
            share = self.team.comm.allreduce(share)
        # After its communication: who leaves in the middle of it lets the others wait, whoever calls the calculator.
        if self.fail["member"] == self.team.rank:
            raise self.fail["how"]
        self.results = {"energy": float(share[0]), "forces": share[1:].reshape(-1, 3)}


def failing(member, how):
    """A factory of calculators that fail on one member of the team."""

    def make(team):
        calculator = Springs(team)
        calculator.fail = {"member": member, "how": how}
        return calculator

    return make


class Program(Springs):
    """The same energies after an MPI program of two processes, started as ASE's file calculators start theirs."""

    def __init__(self):
        super().__init__(Team())

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        child = (
            "from mpi4py import MPI; c = MPI.COMM_WORLD; n = c.allreduce(c.rank + 1); print(n) if c.rank == 0 else None"
        )
        command = ["mpirun", "--oversubscribe", "--allow-run-as-root", "-n", "2", sys.executable, "-c", child]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        if done.returncode or done.stdout.split() != ["3"]:
            raise CalculationFailed(f"the program said {done.stdout!r} {' '.join(done.stderr.split())[:200]!r}")
        super().calculate(atoms, properties, system_changes)


def measure(calculator, shares, **settings):
    """Energy and forces of the model, or what it says instead."""
    try:
        region = QMRegion(ATOMS, calculator, **settings)
        interface = Interface(ATOMS.positions, {"qm": region}, Nested([], rest="qm"))
        e = HybridModel(interface, ForceBlend(), Ranks({"qm": shares})).ask(ATOMS.positions, {"qm": Query()})["qm"]
    except MultiscaleError as error:
        return {"error": str(error)}
    return {
        "energy": e.energy,
        "forces": e.forces.tolist(),
        "retries": region.retries,
        "evaluations": region.evaluations,
    }


def main():
    mode, size = sys.argv[1], world().size
    if mode == "together":
        everyone = list(range(size))
        sound = {"ladder": [{"sound": True}]}
        found = {
            "together": measure(Springs, everyone),
            "retried": measure(failing(size - 1, RuntimeError("planted")), everyone, **sound),
            "failed": measure(failing(size - 1, ValueError("planted")), everyone),
            "sentence": measure(failing(size - 1, MultiscaleError("a planted sentence")), everyone, **sound),
            "alone": measure(lambda: Springs(Team()), [size - 1]),
        }
    else:
        if mode == "recursive":
            Engine.surroundings = lambda self: nullcontext()
        found = {"program": measure(Program, [size - 1])}
    everyone = world().gather(found)
    if world().rank == 0:
        sys.stdout.write(json.dumps(everyone) + "\n")


if __name__ == "__main__":
    main()
