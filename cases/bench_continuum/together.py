"""A vacancy among free atoms in a cube of finite elements: one system of atoms and nodes, the mesh as large as asked for.

|X| < free           free atoms, Lennard-Jones
… free + blend       atoms slaved to the mesh, weights from atoms to mesh
… + one reach        pad
cube                 linear tetrahedra, linear elastic, fixed at the outer faces
"""

from __future__ import annotations

import resource
import sys
import time
from typing import Any

import numpy as np
from ase.build import bulk

from couplers import EnergyBlend
from multiscale import HybridModel, Interface, Nested, Sphere
from multiscale.continuum.laws import LinearElastic
from multiscale.continuum.mesh import SimplexMesh
from multiscale.drive import newton
from multiscale.elastic import elastic_constants, lattice_constant
from multiscale.embedding import select, slaved, stack
from multiscale.models import LennardJones
from multiscale.ranks import Ranks
from multiscale.regions.continuum import ContinuumRegion
from multiscale.regions.ml import MLRegion

FREE, BLEND, CELL = 8.0, 5.0, 4.0


def build(n: int, world: Any) -> tuple[HybridModel, Any]:
    """The model with n³ intervals of 4 Å, and the state strained by 0.5 %."""
    potential = LennardJones(0.3, 2.6, cutoff=4.6, onset=4.2, symbols=("Al",))
    start = MLRegion(potential, bulk("Al", a=4.03))
    a = lattice_constant(start.with_cell, start.reference, start.cell, 4.03)
    crystal = MLRegion(potential, bulk("Al", a=a))
    C = elastic_constants(crystal.with_cell, crystal.reference, crystal.cell).relaxed
    outer = FREE + BLEND + potential.cutoff
    atoms = bulk("Al", a=a, cubic=True) * ((2 * int(outer / a) + 4,) * 3)
    X = atoms.positions - a * (int(outer / a) + 2)
    r = np.linalg.norm(X, axis=1)
    X = X[(r <= outer) & (r > 0.1)]
    X = X[np.argsort(np.linalg.norm(X, axis=1) > FREE, kind="stable")]
    n_free = int((np.linalg.norm(X, axis=1) <= FREE).sum())
    half = 0.5 * CELL * n
    mesh = SimplexMesh.box((-half,) * 3, (half,) * 3, (n,) * 3)
    n_q = n_free + len(mesh.nodes)
    nodes = np.arange(n_free, n_q)
    reference = np.concatenate([X[:n_free], mesh.nodes])
    ml = MLRegion(potential, symbols=["Al"] * len(X), positions=X, cell=np.zeros((3, 3)), pbc=False)
    place = stack(select(np.arange(n_free), n_q), slaved(mesh, X[n_free:], nodes, n_q))
    fem = ContinuumRegion(mesh, LinearElastic(C), site_volume=a**3 / 4)
    fixed = np.zeros((n_q, 3), dtype=bool)
    fixed[n_free + mesh.boundary_nodes()] = True
    partition = Nested([("atoms", Sphere((0, 0, 0), FREE), BLEND)], rest="fem")
    interface = Interface(reference, {"atoms": (ml, place), "fem": (fem, select(nodes, n_q))}, partition, fixed)
    return HybridModel(interface, EnergyBlend(), Ranks(world=world)), reference * 1.005


def measure(run: Any, n: int) -> dict[str, float]:
    """Solve to 1e-8 eV/Å; dofs, Newton steps, seconds, and the largest rank's peak memory in MiB."""
    model, q = build(n, run.world)
    start = time.perf_counter()
    *_, last = newton(model, q, fmax=1e-8, linear="krylov", rtol=1e-8)
    seconds = time.perf_counter() - start
    # Linux counts in KiB, macOS in bytes.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    found = {
        "dofs": float((~model.interface.fixed).sum()),
        "steps": float(last.index),
        "seconds": seconds,
        "peak": run.world.allreduce_max(peak),
        "left": last.max_force,
    }
    return {name: run.world.bcast(value) for name, value in found.items()}
