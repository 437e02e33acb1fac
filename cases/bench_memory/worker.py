"""One process for one size: build, evaluate once, print the number of atoms or dofs and the peak of resident memory.

python worker.py plain 10  →  {"count": 8000, "built": 310.2, "peak": 371.9}      (MiB)
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from ase.build import bulk

from couplers import EnergyBlend
from multiscale import HybridModel, Interface, Nested, Sphere
from multiscale.continuum.laws import LinearElastic
from multiscale.continuum.mesh import SimplexMesh
from multiscale.continuum.voigt import cubic_stiffness
from multiscale.models import StillingerWeber
from multiscale.region import Query
from multiscale.regions.continuum import ContinuumRegion
from multiscale.regions.ml import MLRegion

#: What a kind gives: the number of atoms or dofs, and the evaluation.
Built = tuple[int, Callable[[], object]]


def peak() -> float:
    """The largest resident memory of this process so far, MiB."""
    status = Path("/proc/self/status")
    if status.exists():
        # Not ru_maxrss, which on Linux begins with what the parent process had at the fork.
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return float(line.split()[1]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def plain(cells: int) -> Built:
    """Periodic silicon, one Stillinger–Weber region."""
    atoms = bulk("Si", a=5.43095, cubic=True) * (cells, cells, cells)
    region = MLRegion(StillingerWeber(), atoms)
    return region.n_dofs, lambda: region.evaluate(region.reference, Query())


def hybrid(cells: int, strict: bool = True) -> Built:
    """The same atoms with two regions: a ball of another model, a fixed share of the matter whatever the size.

    In the current frame, where every site energy is kept.
    """
    atoms = bulk("Si", a=5.43095, cubic=True) * (cells, cells, cells)
    length = float(atoms.cell.lengths()[0])
    # At least one reach wide, which a gate asks for.
    ball, zone = Sphere((length / 2, length / 2, length / 2), length / 5), max(4.0, length / 12)
    regions = {"high": MLRegion(StillingerWeber(25.0), atoms), "low": MLRegion(StillingerWeber(), atoms)}
    partition = Nested([("high", ball, zone)], rest="low", frame="current")
    model = HybridModel(Interface(atoms.positions, regions, partition, strict=strict), EnergyBlend())
    return len(atoms), lambda: model.evaluate(atoms.positions)


def unchecked(cells: int) -> Built:
    """The hybrid built without the geometric gates, which look around every counted atom at once."""
    return hybrid(cells, strict=False)


def continuum(intervals: int) -> Built:
    """A square of quadratic triangles; two dofs per node."""
    mesh = SimplexMesh.rectangle((0.0, 0.0), (100.0, 100.0), (intervals, intervals), degree=2)
    law = LinearElastic(cubic_stiffness(151.4, 76.4, 56.4))
    region = ContinuumRegion(mesh, law, site_volume=20.0)
    return 2 * region.n_dofs, lambda: region.evaluate(1.001 * np.asarray(region.reference), Query())


KINDS = {"plain": plain, "hybrid": hybrid, "unchecked": unchecked, "continuum": continuum}


if __name__ == "__main__":
    count, evaluate = KINDS[sys.argv[1]](int(sys.argv[2]))
    built = peak()
    evaluate()
    print(json.dumps({"count": count, "built": built, "peak": peak()}))
