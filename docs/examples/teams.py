"""Shares of ranks, measured and proposed, and where the time went: a quantum core in silicon. A minute on two busy cores.

scripts/mpi.sh 2 docs/examples/teams.py [cells along an axis, 4 unless given]
"""

import sys

import ase
import numpy as np
from ase.build import bulk

from couplers import ForceMixing
from multiscale import HybridModel, Interface, Nested, Overlay, Ranks, Sphere
from multiscale.models import default_potential
from multiscale.ranks import world
from multiscale.regions import MLRegion, QMRegion
from multiscale.regions.carve import carve

cells = int(sys.argv[1]) if len(sys.argv) > 1 else 4
atoms = bulk("Si", a=5.43095, cubic=True) * (cells, cells, cells)
x, cell = atoms.positions, atoms.cell.array
middle = int(np.linalg.norm(x - x.mean(axis=0), axis=1).argmin())
cluster = carve(atoms.get_chemical_symbols(), x, cell, True, [middle], hops=1)


def hybrid(ranks: Ranks | None = None) -> HybridModel:
    """All atoms (512 unless told otherwise) by the shipped potential; the force on one of them by GFN1-xTB, with a buffer of one bond."""
    quantum = QMRegion(ase.Atoms(cluster.all_symbols, cluster.positions(x, cell)), link_atoms=cluster.link_atoms)
    regions = {"ml": MLRegion(default_potential(), atoms), "qm": (quantum, cluster.embedding(cell, len(atoms)))}
    core = {"qm": Overlay(Sphere(tuple(x[middle]), 1.0), 1.0)}
    return HybridModel(Interface(x, regions, Nested([], rest="ml"), overlays=core), ForceMixing(), ranks)


def run(model: HybridModel, steps: int) -> str:
    """The report of some evaluations at positions that move by 0.02 Å."""
    rng = np.random.default_rng(1)
    for _ in range(steps):
        model.evaluate(x + 0.02 * rng.uniform(-1.0, 1.0, x.shape))
    return str(model.report())


suggestion = Ranks.suggest(hybrid())
texts = [str(suggestion), run(hybrid(), 5), run(hybrid(suggestion.ranks()), 5)]
if world().rank == 0:
    print("\n\n".join(texts))
