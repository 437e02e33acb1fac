"""PySCF for real: derivatives of molecules and of a hybrid with a capped cluster, free energies, failures, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.calculator import CalculationFailed
from ase.units import Bohr, Hartree

pytest.importorskip("pyscf")
from pyscf import lib

from couplers import EnergyBlend, Subtractive
from multiscale import HybridModel, Interface, Nested
from multiscale.models import StillingerWeber
from multiscale.region import Can, Query
from multiscale.regions.carve import carve
from multiscale.regions.engines import pyscf_ladder
from multiscale.regions.ml import MLRegion
from multiscale.regions.pyscf_engine import PySCFMolecule
from multiscale.regions.qm import QMRegion
from multiscale.types import MultiscaleError

H = 2e-3  # Å
#: eV/Å; what the engine's conv_tol_grad of 1e-6 hartree per rotation of orbitals leaves in forces.
TOLERANCE = 1e-6 * Hartree / Bohr


def water():
    atoms = molecule("H2O")
    atoms.rattle(0.05, seed=1)
    return atoms


def slip(region, x, seed=0):
    """F·v + dE/dv along a random direction v, eV/Å, by central differences of fourth order; and the net force."""
    v = np.random.default_rng(seed).normal(size=x.shape)
    v /= np.linalg.norm(v)
    forces = region.evaluate(x, Query()).forces
    e = {k: region.evaluate(x + k * H * v, Query(Can.ENERGY)).energy for k in (-2, -1, 1, 2)}
    slope = (8 * (e[1] - e[-1]) - (e[2] - e[-2])) / (12 * H)
    return (forces * v).sum() + slope, np.abs(forces.sum(axis=0)).max()


@pytest.mark.parametrize(
    "settings",
    [
        {"xc": "pbe", "basis": "def2-svp"},
        {"xc": "hf"},
        {"electronic_temperature": 20000.0},
        {"charge": 1, "spin": 1},
        {"charge": 1, "spin": 1, "electronic_temperature": 15000.0},
    ],
    ids=lambda s: " ".join(map(str, s.values())),
)
def test_forces_of_water_are_minus_the_gradient(settings):
    atoms = water()
    region = QMRegion(atoms, "pyscf", **({"basis": "sto-3g", "grid_level": 0} | settings))
    off, net = slip(region, atoms.positions)
    assert abs(off) < 2e-6
    assert net < 1e-9


def test_silane_and_its_scaling():
    atoms = molecule("SiH4")
    atoms.rattle(0.05, seed=2)
    region = QMRegion(atoms, "pyscf", grid_level=0, length_scale=1.01, energy_scale=0.9)
    assert abs(slip(region, atoms.positions)[0]) < 5e-6
    assert "pyscf pbe/def2-svp" in region.describe()


def test_forces_that_ignore_the_grid_are_caught():
    """The saboteur of the checks above: on a coarse grid that the forces do not follow."""
    atoms = water()
    off, net = slip(QMRegion(atoms, "pyscf", basis="sto-3g", grid_level=0, grid_response=False), atoms.positions)
    assert abs(off) > 1e-2 and net > 1e-2


def test_the_free_energy_belongs_to_the_forces_and_not_the_energy():
    atoms = water()
    region = QMRegion(atoms, "pyscf", basis="sto-3g", grid_level=0, electronic_temperature=20000.0)
    energy = region.evaluate(atoms.positions, Query()).energy
    scf = region._calculator._method
    assert energy < scf.e_tot * Hartree - 0.05 and scf.entropy > 0


def test_a_quantum_cluster_in_silicon_by_link_atoms():
    """Si5H12 in DFT over Stillinger–Weber by subtraction: the force on the crystal is minus the gradient of the sum.

    The cheaper description of the capped cluster is Stillinger–Weber of its silicon, which does not feel the caps.
    """
    si = bulk("Si", a=5.43095, cubic=True) * (2, 2, 2)
    x0, cell, n = si.positions.copy(), si.cell.array, len(si)
    cut = carve(si.get_chemical_symbols(), x0, cell, True, [0], hops=1)
    rows = cut.embedding(cell, n)
    caps, start = cut.link_atoms, cut.positions(x0, cell)
    core = np.concatenate([cut.core, np.zeros(len(cut.links), bool)])
    high = QMRegion(
        Atoms(cut.all_symbols, start),
        "pyscf",
        link_atoms=caps,
        core=core,
        xc="lda,vwn",
        basis="sto-3g",
        grid_level=0,
        density_fit=False,
    )
    low = MLRegion(StillingerWeber(), symbols=cut.symbols, positions=start[~caps])
    regions = {
        "ml": MLRegion(StillingerWeber(), si),
        "qm": (high, rows),
        "ml_qm": (low, rows.take(np.flatnonzero(~caps))),
    }
    model = HybridModel(Interface(x0, regions, Nested([], rest="ml")), Subtractive(inner=EnergyBlend()))

    def energy(at):
        alone = model.ask(at, {r: Query(Can.ENERGY) for r in regions})
        return alone["ml"].energy + alone["qm"].energy - alone["ml_qm"].energy

    x = x0 + np.random.default_rng(3).normal(0, 0.05, x0.shape)
    e = model.evaluate(x)
    of_caps = np.where(caps[:, None], model.ask(x, {"qm": Query()})["qm"].forces, 0.0)
    assert e.energy == pytest.approx(energy(x), abs=1e-10)
    near = np.unique(np.concatenate([cut.index, cut.links[:, 1]]))
    v = np.zeros_like(x)
    v[near] = np.random.default_rng(4).normal(size=(len(near), 3))
    v /= np.linalg.norm(v)
    slope = (energy(x + H * v) - energy(x - H * v)) / (2 * H)
    assert (e.forces * v).sum() == pytest.approx(-slope, abs=1e-4)
    assert np.abs(e.forces.sum(axis=0)).max() < 1e-8
    # The caps' share counts: without it the same check fails by far.
    bare = e.forces - model.interface.pull("qm", of_caps)
    assert abs((bare * v).sum() + slope) > 1e-2


def test_a_restart_gives_what_a_fresh_start_gives():
    atoms, rng = water(), np.random.default_rng(5)
    travelled, fresh = (QMRegion(atoms, "pyscf", basis="sto-3g", grid_level=0, restart=r) for r in (True, False))
    cycles = []
    for _ in range(3):
        travelled.evaluate(atoms.positions + rng.normal(0, 0.1, (3, 3)), Query(Can.ENERGY))
    a, b = (r.evaluate(atoms.positions, Query()) for r in (travelled, fresh))
    assert a.energy == pytest.approx(b.energy, abs=1e-8)
    assert np.abs(a.forces - b.forces).max() < TOLERANCE
    for region in (travelled, fresh):
        region.evaluate(atoms.positions + 1e-3, Query(Can.ENERGY))
        cycles.append(region._calculator._method.cycles)
    assert cycles[0] < cycles[1]


@pytest.mark.parametrize("temperature", [0.0, 20000.0])
def test_every_rung_of_the_ladder_gives_the_same_result(temperature):
    atoms = water()
    settings = {"basis": "sto-3g", "grid_level": 0, "electronic_temperature": temperature}
    expected = QMRegion(atoms, "pyscf", **settings).evaluate(atoms.positions, Query())
    for rung in pyscf_ladder(temperature):
        atoms.calc = PySCFMolecule(**(settings | rung))
        assert np.abs(atoms.get_forces() - expected.forces).max() < TOLERANCE, rung
        assert atoms.get_potential_energy() == pytest.approx(expected.energy, abs=1e-8), rung


def test_a_calculation_that_does_not_converge_climbs_the_ladder(tmp_path):
    """Two cycles are too few; the second-order solver with its hundred is enough, two cycles again are not."""
    atoms = water()
    few = {"basis": "sto-3g", "grid_level": 0, "max_cycle": 2}
    region = QMRegion(atoms, "pyscf", failures=tmp_path, **few)
    assert np.isfinite(region.evaluate(atoms.positions, Query()).energy) and region.retries == [(1, 1)]
    hopeless = QMRegion(atoms, "pyscf", failures=tmp_path, ladder=({"damping": 0.5},), core=[True, False, False], **few)
    with pytest.raises(
        MultiscaleError, match="1 core and 2 buffer atoms.*did not converge.*not converge in 2 cycles.*001"
    ):
        hopeless.evaluate(atoms.positions, Query())
    with pytest.raises(CalculationFailed, match="did not converge in 2 cycles"):
        PySCFMolecule(**few).get_potential_energy(atoms)


def test_threads_are_set_for_the_calculation_and_put_back():
    atoms = water()
    seen = []

    class Watched(PySCFMolecule):
        def _forces(self):
            seen.append(lib.num_threads())
            return super()._forces()

    with lib.with_omp_threads(2):
        QMRegion(atoms, lambda: Watched(basis="sto-3g", grid_level=0)).evaluate(atoms.positions, Query())
        assert seen == [1] and lib.num_threads() == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"functional": "pbe"}, "was given functional; its settings are xc, basis"),
        ({"xc": "no-such-functional"}, "which libxc does not have"),
        ({"basis": "no-such-basis"}, "basis='no-such-basis', which it does not have"),
        ({"spin": 1}, "10 electrons .charge 0. and spin=1 unpaired"),
        ({"accuracy": 0.1}, "give conv_tol"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    atoms = water()
    with pytest.raises(MultiscaleError, match=message):
        QMRegion(atoms, "pyscf", **settings).evaluate(atoms.positions, Query())


def test_periodic_cells_are_refused():
    atoms = water()
    atoms.set_cell([9, 9, 9])
    atoms.set_pbc(True)
    with pytest.raises(MultiscaleError, match="periodic axes .True, True, True.; it describes molecules"):
        QMRegion(atoms, "pyscf", basis="sto-3g").evaluate(atoms.positions, Query())
