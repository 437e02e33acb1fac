"""What a quantum tip needs along a crack's front: a rod's forces by its periods, and a finite cluster's beside them.

    python docs/examples/quantum_rods.py            # about five minutes of one core

The shipped potential's crack in silicon at K_G (a disc as in ``si_crack``, size small), relaxed; GFN1-xTB at 3000 K. Printed are
differences of the forces on the atoms of the home period within 2.6 Å of the front, eV/Å.
"""

from __future__ import annotations

import time
from typing import Any

import ase
import numpy as np

from couplers import EnergyBlend, Subtractive
from multiscale import HybridModel
from multiscale.drive import relax
from multiscale.drive.precondition import precondition
from multiscale.fracture.hybrid import HybridCrack
from multiscale.fracture.material import CrackMaterial
from multiscale.models import StillingerWeber, default_potential
from multiscale.region import Can, Query
from multiscale.regions.carve import Cluster
from multiscale.regions.ml import MLRegion
from multiscale.regions.qm import QMRegion
from multiscale.regions.quantum_rod import QuantumRod
from multiscale.regions.rods import rod_cell
from multiscale.types import Array

CORE, CENTRE, HOT = 4.6, -0.5, 3000.0
FORCES = Query(Can.FORCES)


def rest(crack: HybridCrack) -> Array:
    """ML/FEM at K_G, relaxed to 0.01 eV/Å with the stiffness of a stand-in."""
    stand_in = HybridModel(crack.with_model(StillingerWeber(three_body_strength=42.0)).interface(), EnergyBlend())

    def make(_: Any, q: Array, free: Any) -> Any:
        return precondition(stand_in, q, free)

    *_, last = relax(
        HybridModel(crack.interface(), EnergyBlend()), crack.at(crack.material.K_griffith), fmax=1e-2, make=make
    )
    return last.q


def quantum(cluster: Cluster, x: Array, cell: Array | None, periods: int, **settings: Any) -> QMRegion:
    """GFN1-xTB on a rod (with its cell) or a cluster (without) at x, Å."""
    atoms = ase.Atoms(cluster.all_symbols, x, cell=cell, pbc=cell is not None)
    settings = {"accuracy": 1.0, "electronic_temperature": HOT, "repeat": (1, 1, periods)} | settings
    return QMRegion(atoms, link_atoms=cluster.link_atoms, **settings)


def main() -> None:
    """All of it."""
    crack = HybridCrack.disc(CrackMaterial.of(default_potential(0), guess=5.45), 14.0, 200.0, 7.0, 25.0, blend=10.0)
    q = rest(crack)
    x, X = crack.place(q), crack.crystal.positions
    rod = crack.rod(q, CORE, hops=0, centre=CENTRE)
    at = rod.positions(x, crack.cell)
    cell, m = rod_cell(at, crack.cell), len(rod.symbols)
    core = np.flatnonzero(np.hypot(X[rod.index, 0], X[rod.index, 1]) <= 2.6)
    print(f"the rod: {m} Si and {len(rod.links)} H per period, {len(core)} atoms are compared")
    cheap = MLRegion(
        crack.material.model, symbols=list(rod.all_symbols), positions=at, cell=crack.cell, pbc=(False, False, True)
    )
    model = cheap.evaluate(at, FORCES).forces
    forces = {}
    for n in (1, 2, 3, 4):
        start = time.perf_counter()
        forces[n] = quantum(rod, at, cell, n).evaluate(at, FORCES).forces
        off = difference(forces[n] - model, core)
        print(f"{n} periods: {off} from the potential, {time.perf_counter() - start:.1f} s", flush=True)
    for n in (1, 2, 3):
        print(f"{n} periods: {difference(forces[n] - forces[4], core)} from 4 periods")
    for vacuum in (6.0, 10.0, 30.0):
        wide = quantum(rod, at, rod_cell(at, crack.cell, vacuum=vacuum), 2).evaluate(at, FORCES).forces
        print(f"2 periods, {vacuum:g} Å of vacuum: {difference(wide - forces[2], core)} from 20 Å", flush=True)
    for periods in (1, 2, 3):
        cluster = crack.cluster(q, 2.6, hops=1, periods=periods)
        there = cluster.positions(x, crack.cell)
        found = quantum(cluster, there, None, 1).evaluate(there, FORCES).forces
        home, images = [], []
        for k in core:
            for i in np.flatnonzero(cluster.index == rod.index[k]):
                (images if cluster.shift[i].any() else home).append(np.linalg.norm(found[i] - forces[4][k]))
        print(
            f"cluster of {periods} periods and a bond around ({len(cluster.symbols)} Si, {len(cluster.links)} H): "
            f"{rms(home):.3f} RMS in the home period, {rms(images):.3f} in the others, from 4 periods of the rod",
            flush=True,
        )
    conservation(crack, q, rod)


def conservation(crack: HybridCrack, q: Array, rod: Cluster) -> None:
    """QM/ML/FEM: force against differences of fourth order, along a random direction of all free atoms within 9 Å."""
    v = np.zeros_like(q)
    near = np.flatnonzero(np.hypot(*crack.reference[: crack.n_free, :2].T) < 9.0)
    v[near] = np.random.default_rng(1).normal(size=(len(near), 3))
    v /= np.linalg.norm(v)
    both = QuantumRod(rod, crack.over(rod), crack.cell, crack.reference, q)
    for accuracy in (1.0, 0.1):
        pair = both.pair(crack.material.model, 2, accuracy=accuracy, electronic_temperature=HOT)
        model = HybridModel(crack.interface(pair), Subtractive())
        force = float(np.sum(model.evaluate(q).forces * v))
        for h in (0.02, 0.01, 0.005):
            e = [model.evaluate(q + k * h * v).energy or 0.0 for k in (1, -1, 2, -2)]
            slope = (8.0 * (e[0] - e[1]) - (e[2] - e[3])) / (12.0 * h)
            print(f"accuracy {accuracy:g}, step {h:g} Å: F·v + dE/dv = {force + slope:+.1e} eV/Å", flush=True)


def difference(f: Array, core: Array) -> str:
    """RMS and largest norm on the core's atoms."""
    size = np.linalg.norm(f[core], axis=1)
    return f"{rms(size):.3f} RMS, {size.max():.3f} max"


def rms(values: Any) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(np.square(values)))) if len(values) else float("nan")


if __name__ == "__main__":
    main()
