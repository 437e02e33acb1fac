"""Evaluate every coupler on atoms in a mesh with a quantum overlay, on all ranks; rank 0 prints JSON, one line.

hybrid_ranks.py            energies and forces at a fixed q
hybrid_ranks.py raise      the last rank raises inside its region
hybrid_ranks.py kill       the last rank is killed inside its region
hybrid_ranks.py hollow     the last rank's share lacks the forces that were asked for
"""

import json
import os
import signal
import sys
from functools import cached_property
from pathlib import Path

import torch  # noqa: F401 - has to come before DOLFINx

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np  # noqa: E402
from ase import Atoms  # noqa: E402
from ase.calculators.emt import EMT  # noqa: E402
from blocks import Block, SharpBlock, gradient  # noqa: E402

from couplers import EnergyBlend, ForceBlend, ForceMixing, GhostCorrected, SharpPad, Subtractive  # noqa: E402
from multiscale.continuum.mesh import SimplexMesh  # noqa: E402
from multiscale.embedding import select  # noqa: E402
from multiscale.interface import Overlay  # noqa: E402
from multiscale.ranks import world  # noqa: E402
from multiscale.region import Answer  # noqa: E402
from multiscale.regions.ml import MLRegion  # noqa: E402
from multiscale.regions.qm import QMRegion  # noqa: E402
from multiscale.shapes import Sphere  # noqa: E402

COUPLERS = {
    "energy_blend": EnergyBlend(),
    "force_blend": ForceBlend(),
    "ghost_corrected": GhostCorrected(),
    "subtractive": Subtractive(),
    "force_mixing": ForceMixing(),
    "sharp_pad": SharpPad(),
}


class Holed(Block):
    """Without the cells among the free atoms: a mesh node within the quantum core would be a dof that it lacks."""

    @cached_property
    def mesh(self):
        full = super().mesh
        kept = full.cells[np.linalg.norm(full.points[full.cells], axis=2).max(axis=1) > self.free]
        used, cells = np.unique(kept, return_inverse=True)
        return SimplexMesh(full.points[used], cells.reshape(-1, self.dim + 1))


def overlay(block):
    """The free atoms as a cluster of EMT aluminium, and the same cluster in the block's own model."""
    n = block.n_free
    atoms, place = Atoms(f"Al{n}", block.reference[:n]), select(np.arange(n), block.n_q)
    extra = {"qm": (QMRegion(atoms, EMT), place), "ml_qm": (MLRegion(block.material.model, atoms), place)}
    return {"extra": extra, "overlays": {"qm": Overlay(Sphere((0, 0, 0), 2.0), 1.2)}}


def measure(name, coupler, dim):
    """Energy and forces at a general state, prepared at a homogeneous one."""
    quantum = name in ("subtractive", "force_mixing")
    make = Holed if quantum else Block
    block = SharpBlock("lj", dim) if name == "sharp_pad" else make("lj", dim, free=7.0, half=17.5, cells=10)
    model = block.model(coupler, **(overlay(block) if quantum else {}))
    model.prepare(block.stretched(gradient(dim, 0.005)))
    shaken = 0.05 * np.random.default_rng(0).uniform(-1, 1, block.reference.shape) * block.interior()
    e = model.evaluate(block.stretched(gradient(dim, 0.004)) + shaken)
    k = model.stiffness(block.reference) @ shaken.ravel()
    return {"energy": e.energy, "forces": e.forces.ravel().tolist(), "stiffness": k.tolist(), "same": same(e.forces)}


def same(forces):
    """Whether all ranks have bitwise the same forces."""
    everyone = world().gather(forces.tobytes())
    return everyone is None or len(set(everyone)) == 1


class Fails(MLRegion):
    """Atoms whose last rank goes astray in the middle of an evaluation."""

    def evaluate(self, x, query):
        if self.team.size > 1 and self.team.rank == self.team.size - 1:
            if "kill" in sys.argv:
                os.kill(os.getpid(), signal.SIGKILL)
            if "hollow" in sys.argv:
                return Answer(super().evaluate(x, query).energy)
            raise RuntimeError("planted in a region")
        return super().evaluate(x, query)


class Failing(Block):
    """A block whose atoms fail."""

    def ml_region(self):
        region = super().ml_region()
        return Fails(region.model, symbols=region.symbols, positions=region.reference, cell=region.cell, pbc=region.pbc)


def main():
    if len(sys.argv) > 1:
        block = Failing("lj", 2)
        block.model(EnergyBlend()).evaluate(block.reference)
        sys.stdout.write("unreachable\n")
        return
    problems = [(name, 2) for name in COUPLERS] + [("energy_blend", 3)]
    out = {f"{name} {dim}": measure(name, COUPLERS[name], dim) for name, dim in problems}
    if world().rank == 0:
        sys.stdout.write(json.dumps(out) + "\n")


if __name__ == "__main__":
    main()
