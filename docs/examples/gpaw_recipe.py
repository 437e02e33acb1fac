"""GPAW as the engine of a QM region: a molecule, and a capped cluster in a crystal of Stillinger–Weber silicon.

    gpaw_recipe.py socket [N]      GPAW in processes of its own (N ranks), through a socket
    gpaw_recipe.py team            GPAW in this process, on all ranks of this run (scripts/mpi.sh 2 …)

Prints energies, and forces against differences of the energy, with times. docs/qm_engines.md has the set-up and the numbers.
"""

import os
import subprocess
import sys
import time
from itertools import count
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.socketio import SocketIOCalculator
from ase.io import write
from ase.parallel import DummyMPI

from couplers import EnergyBlend, Subtractive
from multiscale import HybridModel, Interface, Nested, Ranks
from multiscale.models import StillingerWeber
from multiscale.ranks import world
from multiscale.region import Can, Query
from multiscale.regions import MLRegion, QMRegion
from multiscale.regions.carve import carve

#: Where its packages are unpacked; docs/qm_engines.md says how.
ROOT = Path(os.environ.get("GPAW_ROOT", Path.home() / "gpaw"))
PATHS = {
    "PYTHONPATH": str(ROOT / "usr/lib/python3/dist-packages"),
    "LD_LIBRARY_PATH": str(ROOT / "usr/lib/x86_64-linux-gnu"),
    "GPAW_SETUP_PATH": str(ROOT / "usr/share/gpaw-setups"),
}
SOCKETS = count()
OPEN = []


def through_socket(ranks):
    """A factory of calculators that start GPAW's own Python, on ``ranks`` ranks, when they are first asked."""

    def launch(atoms, properties=None, port=None, unixsocket=None):
        folder = Path(mkdtemp(prefix="gpaw-"))
        write(folder / "start.xyz", atoms, format="extxyz", parallel=False)
        server = ["/usr/bin/python3", str(Path(__file__).resolve().parent / "gpaw_server.py")]
        parallel = ["mpirun", "--bind-to", "none", "-n", str(ranks)] if ranks > 1 else []
        command = [*parallel, *server, unixsocket, str(folder / "start.xyz")]
        # Here the environment has no trace of this run's launcher: the region has hidden it.
        return subprocess.Popen(command, cwd=folder, env={**os.environ, **PATHS})

    def factory():
        name = f"qm-{os.getpid()}-{next(SOCKETS)}"
        # Without comm=, ASE would broadcast to all ranks of this run, most of which know nothing of this region.
        OPEN.append(SocketIOCalculator(launch_client=launch, unixsocket=name, comm=DummyMPI()))
        return OPEN[-1]

    return factory


def in_team(team):
    """A calculator that all members of the team call together; the team is all ranks of the run."""
    from gpaw import GPAW, mpi

    assert team.size == mpi.world.size
    tight = {"energy": 1e-6, "density": 1e-6, "eigenstates": 1e-10}
    return GPAW(mode="lcao", basis="dzp", xc="PBE", h=0.2, convergence=tight, txt=None)


def say(text):
    """Once, whatever the number of ranks."""
    if world().rank == 0:
        print(text, flush=True)


def boxed(atoms, vacuum=3.5):
    """The atoms in a box of their own, which GPAW's grid fills; open axes."""
    atoms.center(vacuum=vacuum)
    atoms.set_pbc(False)
    return atoms


def compare(title, x, energy, forces, v, h=0.01):
    """Force along v against the difference of energies, eV/Å."""
    clock = time.perf_counter()
    e, f = energy(x), forces(x)
    first = time.perf_counter() - clock
    slope = (energy(x + h * v) - energy(x - h * v)) / (2 * h)
    say(f"{title}: E = {e:.4f} eV, F·v = {(f * v).sum():.4f}, −dE/dv = {-slope:.4f} eV/Å, {first:.1f} s")


def hybrid(engine, ranks):
    """Si5H12 in GPAW over Stillinger–Weber silicon, by subtraction."""
    si = bulk("Si", a=5.43095, cubic=True) * (2, 2, 2)
    cell = si.cell.array
    cut = carve(si.get_chemical_symbols(), si.positions, cell, True, [0], hops=1)
    inside = boxed(Atoms(cut.all_symbols, cut.positions(si.positions, cell)))
    # The crystal goes where the box is.
    si.positions += inside.positions[0] - cut.positions(si.positions, cell)[0]
    x0, caps = si.positions.copy(), cut.link_atoms
    rows = cut.embedding(cell, len(si))
    low = MLRegion(StillingerWeber(), symbols=cut.symbols, positions=inside.positions[~caps])
    regions = {
        "ml": MLRegion(StillingerWeber(), si),
        "qm": (QMRegion(inside, engine, link_atoms=caps), rows),
        "ml_qm": (low, rows.take(np.flatnonzero(~caps))),
    }
    model = HybridModel(Interface(x0, regions, Nested([], rest="ml")), Subtractive(inner=EnergyBlend()), ranks)
    return model, x0, cut.index[cut.core]


def main():
    """The molecule and the hybrid, by the mode of the command line."""
    mode = sys.argv[1]
    n, everyone = world().size, list(range(world().size))
    engine = in_team if mode == "team" else through_socket(int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    ranks = Ranks({"qm": everyone}) if mode == "team" else Ranks()
    say(f"{mode}, {n} ranks of this run")
    if n == 1:
        silane = boxed(molecule("SiH4"))
        silane.positions[1] += [0.05, 0.0, 0.0]
        region, v = QMRegion(silane, engine), np.zeros((5, 3))
        v[1] = np.ones(3) / np.sqrt(3.0)
        compare(
            "SiH4", silane.positions, lambda x: region.evaluate(x, Query(Can.ENERGY)).energy,
            lambda x: region.evaluate(x, Query()).forces, v,
        )  # fmt: skip
    model, x0, core = hybrid(engine, ranks)
    x = x0 + np.random.default_rng(3).normal(0, 0.05, x0.shape)
    v = np.zeros_like(x)
    v[core] = np.array([1.0, 1.0, 0.0]) / np.sqrt(2.0)
    compare("Si5H12 in silicon", x, lambda y: model.evaluate(y).energy, lambda y: model.evaluate(y).forces, v)
    for calculator in OPEN:
        calculator.close()


if __name__ == "__main__":
    main()
