"""QM regions: derivatives, rescaling, teams, history, failures; the rescaling fit on an exactly solvable method."""

from __future__ import annotations

import json
import logging
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Barrier
from typing import ClassVar

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.calculator import CalculationFailed, Calculator, all_changes
from ase.calculators.emt import EMT
from ase.io import read
from processes import ROOT, mpi
from tblite.ase import TBLite

from multiscale.calculator import RegionCalculator
from multiscale.region import Can, Query
from multiscale.regions import engines
from multiscale.regions.carve import carve
from multiscale.regions.engines import RUNAWAY, takes_team, xtb_ladder
from multiscale.regions.failures import keep
from multiscale.regions.launching import launcher_hidden
from multiscale.regions.qm import QMRegion
from multiscale.regions.rescale import tune_rescaling
from multiscale.types import GPA_PER_EV_A3, MultiscaleError, Team


def cluster(hops=1):
    """Si5H12 with silicon's own spacing."""
    si = bulk("Si", a=5.43095, cubic=True)
    cut = carve(si.get_chemical_symbols(), si.positions, si.cell.array, True, [0], hops=hops)
    return Atoms(cut.all_symbols, cut.positions(si.positions, si.cell.array)), cut.link_atoms


@pytest.mark.parametrize(("length", "energy"), [(1.0, 1.0), (1.02, 0.97)])
def test_forces_are_minus_the_gradient_also_when_rescaled(length, energy):
    atoms, links = cluster()
    atoms.rattle(0.05, seed=1)
    region = QMRegion(atoms, link_atoms=links, length_scale=length, energy_scale=energy, accuracy=0.01)
    x = atoms.positions
    forces = region.evaluate(x, Query()).forces
    v = np.random.default_rng(0).normal(size=x.shape)
    v /= np.linalg.norm(v)
    plus, minus = (region.evaluate(x + s * 5e-3 * v, Query(Can.ENERGY)).energy for s in (1, -1))
    assert (forces * v).sum() == pytest.approx(-(plus - minus) / 1e-2, abs=1e-4)
    assert np.abs(forces.sum(axis=0)).max() < 1e-6


def test_rescaling_and_zeros_against_the_bare_calculator():
    atoms, links = cluster()
    zeros = {"Si": -50.0, "H": -12.0}
    region = QMRegion(atoms, link_atoms=links, length_scale=1.02, energy_scale=0.97, energy_zero=zeros)
    bare = atoms.copy()
    bare.positions *= 1.02
    bare.calc = TBLite(method="GFN1-xTB", verbosity=0, electronic_temperature=1000.0, accuracy=0.1)
    answer = region.evaluate(atoms.positions, Query())
    assert answer.energy == pytest.approx(0.97 * (bare.get_potential_energy() + 5 * 50 + 12 * 12), abs=1e-8)
    assert np.abs(answer.forces - 0.97 * 1.02 * bare.get_forces()).max() < 1e-8
    with pytest.raises(MultiscaleError, match="atoms also contain H"):
        QMRegion(atoms, energy_zero={"Si": -50.0})


def test_link_atoms_are_no_matter():
    atoms, links = cluster()
    region = QMRegion(atoms, link_atoms=links)
    assert region.matter.sum() == 5 and region.n_sites == 17 and not region.area.any()
    assert region.covers(atoms.positions[:5] + 0.5).all()
    assert not region.covers(atoms.positions[:1] + 20.0).any()
    assert "12 of them link atoms" in region.describe()
    core = np.arange(17) == 0
    assert (
        "12 of them link atoms, 1 core and 4 buffer atoms (" in QMRegion(atoms, link_atoms=links, core=core).describe()
    )
    with pytest.raises(MultiscaleError, match="none of them may be a link atom"):
        QMRegion(atoms, link_atoms=links, core=links)


def test_only_the_first_member_of_a_team_calculates():
    atoms = molecule("SiH4")
    parts = []
    for rank in range(3):
        region = QMRegion(atoms)
        region.bind(Team(rank=rank, size=3))
        parts.append(region.evaluate(atoms.positions, Query()))
        assert region.evaluations == (1 if rank == 0 else 0)
    alone = QMRegion(atoms).evaluate(atoms.positions, Query())
    assert sum(p.energy for p in parts) == alone.energy
    assert np.array_equal(sum(p.forces for p in parts), alone.forces)


def test_results_do_not_depend_on_history():
    """Restarted from another geometry's charges, or fresh: the same within the SCF's tolerance."""
    atoms, _ = cluster()
    rng = np.random.default_rng(2)
    travelled, fresh = QMRegion(atoms), QMRegion(atoms, restart=False)
    for _ in range(4):
        travelled.evaluate(atoms.positions + rng.normal(0, 0.1, (17, 3)), Query())
    a, b = (r.evaluate(atoms.positions, Query()) for r in (travelled, fresh))
    assert a.energy == pytest.approx(b.energy, abs=1e-6)
    assert np.abs(a.forces - b.forces).max() < 1e-4


def test_weights_and_site_energies_are_refused():
    region = QMRegion(molecule("SiH4"))
    with pytest.raises(MultiscaleError, match="no site weights"):
        region.evaluate(region.reference, Query(weights=np.ones(5)))
    with pytest.raises(MultiscaleError, match="SITE_ENERGIES"):
        region.evaluate(region.reference, Query(Can.SITE_ENERGIES))


def test_any_ase_calculator_will_do():
    copper = molecule("CH3CH2OH")
    expected = copper.copy()
    expected.calc = EMT()
    for engine in (EMT(), EMT, "emt"):
        region = QMRegion(copper, engine)
        assert region.evaluate(copper.positions, Query()).energy == pytest.approx(expected.get_potential_energy())
    through = copper.copy()
    through.calc = RegionCalculator(QMRegion(copper, EMT))
    assert np.abs(through.get_forces() - expected.get_forces()).max() < 1e-12


def impatient():
    """A real engine that gives up after two iterations."""
    return TBLite(method="GFN1-xTB", verbosity=0, max_iterations=2)


def test_a_failed_calculation_is_retried_and_recorded(tmp_path):
    atoms, _ = cluster()
    region = QMRegion(atoms, impatient, ladder=({"max_iterations": 3}, {"max_iterations": 300}), failures=tmp_path)
    answer = region.evaluate(atoms.positions, Query())
    expected = QMRegion(atoms, electronic_temperature=300.0).evaluate(atoms.positions, Query())
    assert region.retries == [(1, 2)]
    assert answer.energy == pytest.approx(expected.energy, abs=1e-5)
    assert not list(tmp_path.iterdir())


def test_another_electronic_temperature_is_announced(caplog):
    atoms, _ = cluster()
    region = QMRegion(atoms, impatient, ladder=({"max_iterations": 300, "electronic_temperature": 4000.0},))
    with caplog.at_level(logging.WARNING):
        region.evaluate(atoms.positions, Query())
    assert "4000 K (rung 1), which is another functional" in caplog.text


def test_every_rung_of_the_default_ladder_is_accepted_by_the_engine():
    """Forced down the ladder one rung at a time, annealing included; the first three give the same energy."""
    atoms, _ = cluster()
    region = QMRegion(atoms)
    energies = []
    for settings in region.ladder:
        raw = region._attempt(region._make(settings), atoms)
        assert isinstance(raw, tuple), raw
        energies.append(raw[0])
    expected = region.evaluate(atoms.positions, Query()).energy
    assert np.abs(np.array(energies[:3]) - expected).max() < 1e-5


def test_a_hopeless_geometry_is_saved_and_named(tmp_path):
    atoms, _ = cluster()
    where = {"link_atoms": atoms.numbers == 1, "core": np.arange(17) == 0}
    region = QMRegion(atoms, impatient, ladder=({"max_iterations": 3},), failures=tmp_path / "new", **where)
    with pytest.raises(
        MultiscaleError, match="1 core and 4 buffer atoms.*did not converge in evaluation 1.*qm-failure-001.extxyz"
    ):
        region.evaluate(atoms.positions + 0.5, Query())
    saved = read(tmp_path / "new" / "qm-failure-001.extxyz")
    assert saved.arrays["role"].tolist() == ["core"] + 4 * ["buffer"] + 12 * ["link"]
    assert np.abs(saved.positions - atoms.positions - 0.5).max() < 1e-7
    with pytest.raises(MultiscaleError, match="calculator object"):
        QMRegion(atoms, impatient(), ladder=({"max_iterations": 3},))
    with pytest.raises(MultiscaleError, match="'no-such-code'"):
        QMRegion(atoms, "no-such-code").evaluate(atoms.positions, Query())


def test_members_that_save_nothing_name_no_file(tmp_path):
    """Of a team that calls its calculator together: the first one keeps the geometry, the others cannot know whether it could."""
    atoms, said = cluster()[0], []
    for rank in (1, 0):
        region = QMRegion(atoms, lambda team: impatient(), failures=tmp_path / "kept")
        region.bind(Team(rank=rank, size=2))
        with pytest.raises(MultiscaleError, match="did not converge") as failed:
            region.evaluate(atoms.positions, Query())
        said.append(str(failed.value))
        assert (tmp_path / "kept").exists() == (rank == 0)
    assert "; the geometry is left to rank 0 of its team to keep: look" in said[0] and str(tmp_path) not in said[0]
    assert f"; the geometry is in {tmp_path / 'kept' / 'qm-failure-001.extxyz'}: look" in said[1]


def test_a_geometry_that_cannot_be_saved_does_not_hide_what_failed(tmp_path):
    atoms, _ = cluster()
    (tmp_path / "taken").write_text("a file, where the folder should be")
    region = QMRegion(atoms, impatient, failures=tmp_path / "taken")
    with pytest.raises(
        MultiscaleError, match=r"did not converge.*geometry could not be saved \(FileExistsError.*look for"
    ):
        region.evaluate(atoms.positions, Query())


def test_no_two_failures_share_a_file(tmp_path):
    atoms = molecule("SiH4")
    barrier = Barrier(8)

    def fail(_):
        barrier.wait()
        return keep(tmp_path, "some", atoms, ["atom"] * 5)

    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(fail, range(8)))
    assert len(set(said)) == 8 and len(list(tmp_path.iterdir())) == 8
    assert all(len(read(path)) == 5 for path in tmp_path.iterdir())


def test_isotopes_keep_their_masses_and_periodic_clusters_their_images():
    heavy = Atoms("CuCu", [[0.0, 0, 0], [9.0, 0, 0]], cell=[10.0] * 3, pbc=[True, False, False], masses=[63.0, 65.0])
    region = QMRegion(heavy, EMT)
    assert region.masses().tolist() == [63.0, 65.0] and region.symbols == ("Cu", "Cu")
    np.testing.assert_allclose(region.distances(heavy.positions, 0), [0.0, 1.0], atol=1e-12)


class Odd(EMT):
    """Energies only; or answers that are no forces."""

    implemented_properties = ("energy",)


class Wrong(EMT):
    """Forces of a wrong shape, or energies that are no numbers, or another code's exception."""

    def __init__(self, how):
        super().__init__()
        self.how = how

    def calculate(self, *arguments):
        super().calculate(*arguments)
        if self.how == "raises":
            raise LookupError("no such orbital")
        self.results["forces"] = np.zeros((1, 3)) if self.how == "shape" else self.results["forces"]
        self.results["free_energy"] = float("nan") if self.how == "nan" else self.results["energy"]


def test_calculators_without_forces_are_refused_before_any_work():
    atoms = molecule("CH3CH2OH")
    with pytest.raises(MultiscaleError, match="Odd, which offers energy; it needs the forces too"):
        QMRegion(atoms, Odd())
    with pytest.raises(MultiscaleError, match="Odd, which offers energy"):
        QMRegion(atoms, Odd).bind(Team())


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("shape", r"forces of shape \(1, 3\) for 9 atoms"),
        ("nan", "not finite"),
        ("raises", "LookupError: 'no such orbital"),
    ],
)
def test_what_is_no_answer_is_an_error(how, said, tmp_path):
    atoms = molecule("CH3CH2OH")
    with pytest.raises(MultiscaleError, match=said.replace("'", "")):
        QMRegion(atoms, Wrong(how), failures=tmp_path).evaluate(atoms.positions, Query())


def test_settings_that_would_not_reach_the_engine_are_refused():
    atoms = molecule("CH3CH2OH")
    for settings in ({"charge": 1}, {"electronic_temperature": 300.0}, {"accuracy": 0.1}, {"mixer": 3}):
        with pytest.raises(MultiscaleError, match=f"{next(iter(settings))} for EMT, which it would not reach"):
            QMRegion(atoms, EMT, **settings)
    cation = QMRegion(molecule("SiH4"), charge=1, spin=1).evaluate(molecule("SiH4").positions, Query()).energy
    damped = QMRegion(molecule("SiH4"), charge=1, spin=1, mixer_damping=0.2)
    assert damped.evaluate(damped.reference, Query()).energy == pytest.approx(cation, abs=1e-6)


@pytest.mark.parametrize(
    "settings",
    [{"electronic_temperatur": 300.0}, {"accuracy": 0.1, "mixer_dampin": 0.1}, {"ladder": ({"max_iteration": 9},)}],
)
def test_misspelt_settings_of_tblite_are_refused(settings):
    """Its calculator would take them and calculate with its own."""
    names = [n for n in ("electronic_temperatur", "mixer_dampin", "max_iteration") if n in str(settings)]
    with pytest.raises(MultiscaleError, match=f"given {names[0]} for GFN1-xTB.*would ignore; its settings are charge"):
        QMRegion(molecule("SiH4"), **settings)


@pytest.mark.parametrize("name", ["electronic_temperature", "accuracy", "length_scale", "energy_scale"])
@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_numbers_that_are_none_are_refused(name, value):
    with pytest.raises(MultiscaleError, match=f"{name}=({value}|1.0 and energy_scale={value})"):
        QMRegion(molecule("SiH4"), **{name: value})


def test_an_accuracy_of_zero_is_refused_and_a_temperature_of_zero_is_not():
    with pytest.raises(MultiscaleError, match="accuracy=0"):
        QMRegion(molecule("SiH4"), accuracy=0.0)
    assert QMRegion(molecule("SiH4"), electronic_temperature=0.0).engine.temperature == 0.0


def test_energies_per_atom_are_there_where_the_engine_has_them():
    atoms, links = cluster()
    region = QMRegion(atoms, link_atoms=links, energy_zero={"Si": -50.0, "H": -12.0}, energy_scale=0.9)
    energy = region.evaluate(atoms.positions, Query()).energy
    assert region.atom_energies.shape == (17,) and region.atom_energies.sum() == pytest.approx(energy, abs=1e-8)
    other = QMRegion(molecule("CH3CH2OH"), EMT)
    other.evaluate(other.reference, Query())
    assert other.atom_energies is None or other.atom_energies.shape == (9,)


def test_energies_alone_cost_no_forces():
    class Counting(EMT):
        asked = []

        def get_property(self, name, *arguments, **options):
            self.asked.append(name)
            return super().get_property(name, *arguments, **options)

    region = QMRegion(molecule("CH3CH2OH"), Counting)
    answer = region.evaluate(region.reference, Query(Can.ENERGY))
    assert answer.forces is None and "forces" not in Counting.asked


def test_programs_do_not_see_the_launcher_of_this_run(monkeypatch):
    launcher = {"OMPI_COMM_WORLD_RANK": "1", "PMIX_RANK": "1", "OMPI_MCA_orte_hnp_uri": "x", "SLURM_PROCID": "1"}
    settings = {"OMPI_MCA_mpi_yield_when_idle": "1", "OMP_NUM_THREADS": "1", "SLURM_JOB_ID": "7"}
    for name, value in (launcher | settings).items():
        monkeypatch.setenv(name, value)
    before = dict(os.environ)
    with pytest.raises(RuntimeError, match="planted"), launcher_hidden():
        assert not launcher.keys() & os.environ.keys() and settings.items() <= os.environ.items()
        raise RuntimeError("planted")
    assert dict(os.environ) == before


def test_which_factories_take_the_team():
    assert (
        takes_team(lambda team: None) and not takes_team(lambda: None) and not takes_team(EMT) and not takes_team(dict)
    )


SCRIPT = str(Path(__file__).parent / "mpi" / "team_engine.py")
needs_mpi = pytest.mark.skipif(shutil.which("mpirun") is None, reason="no mpirun here")


def on(ranks, mode, folder):
    done = mpi(ranks, SCRIPT, mode, cwd=folder, timeout=90)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@needs_mpi
def test_a_calculator_that_all_members_call_together(tmp_path):
    """The same as on one rank; what fails on one member fails, or is tried again, on all."""
    two, (alone,) = on(2, "together", tmp_path), on(1, "together", tmp_path)
    for found in two:
        for case in ("together", "retried", "alone"):
            assert found[case]["energy"] == pytest.approx(alone["together"]["energy"], rel=1e-12)
            assert np.abs(np.subtract(found[case]["forces"], alone["together"]["forces"])).max() < 1e-10
        assert found["together"]["evaluations"] == 1 and found["retried"]["retries"] == [[1, 1]]
        assert "ValueError: planted (member 1 of the region's 2)" in found["failed"]["error"]
        assert found["sentence"]["error"].startswith("a planted sentence (member 1")
    assert [found["alone"]["evaluations"] for found in two] == [0, 1]


@needs_mpi
def test_a_calculator_that_starts_an_mpi_program_on_a_rank(tmp_path):
    """Its launcher refuses to run inside another one, unless that is hidden from it: the saboteur shows the refusal."""
    first, last = on(2, "program", tmp_path)
    assert first["program"]["energy"] == last["program"]["energy"] and last["program"]["evaluations"] == 1
    for found in on(2, "recursive", tmp_path):
        assert "CalculationFailed" in found["program"]["error"] or "the program said" in found["program"]["error"]
    # Written by the last rank: not only rank 0 keeps what failed.
    assert len(read(tmp_path / "qm-failure-001.extxyz")) == 8


class Springs(Calculator):
    """½ k (r − r0)² per Si–Si bond, anything per Si–H bond: exactly additive over bonds."""

    implemented_properties = ("energy", "forces")
    k, r0 = 9.0, 2.40

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        d = np.linalg.norm(atoms.positions[:, None] - atoms.positions[None], axis=2)
        h = atoms.numbers == 1
        si = np.triu(np.outer(~h, ~h), 1) & (d < 1.15 * 2.4)
        caps = np.outer(~h, h) & (d < 1.8)
        energy = 0.5 * self.k * ((d[si] - self.r0) ** 2).sum() + (3.0 * (d[caps] - 1.4) ** 2).sum()
        self.results = {"energy": energy, "forces": np.zeros((len(atoms), 3))}


def test_rescaling_is_exact_for_bond_additive_energies():
    """Nearest-neighbour springs in diamond: a = 4 r0/√3, B = C44 (unrelaxed) = 2 k r0²/(9 V), C' = 0 (V per atom)."""
    a = 4 * Springs.r0 / np.sqrt(3)
    B = 2 * Springs.k * Springs.r0**2 / (9 * a**3 / 8) * GPA_PER_EV_A3
    found = tune_rescaling(5.43095, 100.0, Springs, ladder=())
    assert found.lattice_constant == pytest.approx(a, abs=1e-5)
    assert found.bulk_modulus == pytest.approx(B, rel=1e-4)
    assert found.shear == pytest.approx(B, rel=2e-3) and abs(found.tetragonal) < 2e-3 * B
    assert found.length_scale == pytest.approx(a / 5.43095, abs=1e-6)
    assert found.rescaled[0] == pytest.approx(100.0, rel=1e-12)
    assert found.energy_scale * found.length_scale**3 * B == pytest.approx(100.0, rel=1e-4)


def test_rescaling_of_gfn1():
    """The two smallest clusters against the next pair, Si35H36 and Si71H60: 5.5431 Å, 95.2 GPa (same function)."""
    stiffness = np.zeros((6, 6))
    stiffness[:3, :3] = 76.42
    stiffness[range(3), range(3)] = 151.42
    stiffness[3, 3] = 109.76
    found = tune_rescaling(5.43095, 101.42, stiffness=stiffness)
    assert found.clusters == ("Si5H12", "Si35H36")
    assert found.lattice_constant == pytest.approx(5.5431, abs=1e-3)
    assert found.bulk_modulus == pytest.approx(95.2, rel=0.02)
    # The numbers that are stored for the shipped potential's validation belong to the same clusters.
    stored = json.loads((ROOT / "multiscale" / "learning" / "data" / "reference.json").read_text())["properties"]
    assert (stored["c11"] - stored["c12"]) / 2 == pytest.approx(found.tetragonal, rel=5e-3)
    assert stored["c44_0"] == pytest.approx(found.shear, rel=5e-3)
    assert (stored["c11"] + 2 * stored["c12"]) / 3 == pytest.approx(found.bulk_modulus, rel=5e-3)
    report = found.report()
    assert set(report["mismatch"]) == {"B", "C'", "C44 unrelaxed"} and abs(report["mismatch"]["B"]) < 1e-12


def torn():
    """Si7H18: Si8H18 about a bond, without one end of it; three silyl radicals and what is left of the other end."""
    crystal = bulk("Si", a=5.43, cubic=True) * 4
    first = int(np.argmin(np.linalg.norm(crystal.positions - crystal.cell.array.sum(axis=0) / 2, axis=1)))
    second = int(np.argsort(crystal.get_distances(first, np.arange(len(crystal))))[1])
    symbols, x, cell = crystal.get_chemical_symbols(), crystal.positions, crystal.cell.array
    cluster = carve(symbols, x, cell, False, [first, second], hops=1)
    atoms = Atoms(cluster.all_symbols, cluster.positions(x, cell))
    del atoms[int(np.flatnonzero(cluster.index == first)[0])]
    return atoms


def test_charges_that_run_away_are_no_result(tmp_path):
    """With annealing the engine itself calls this converged, 10 000 eV below any state of matter; or it gives up, on another machine."""
    atoms, annealed = torn(), xtb_ladder(1000.0)[1]
    bare = atoms.copy()
    bare.calc = TBLite(
        **{"method": "GFN1-xTB", "electronic_temperature": 1000.0, "accuracy": 0.1, "verbosity": 0, **annealed}
    )
    # Which of the two happens hangs on the last bit of the linear algebra; neither may come out of the region.
    with suppress(CalculationFailed):
        assert bare.get_potential_energy() < -5000.0
    # The rung that runs away is passed over for the next one, although nothing in it says that it failed.
    region = QMRegion(atoms, ladder=(annealed, xtb_ladder(1000.0)[3]), failures=tmp_path)
    assert -700.0 < region.evaluate(atoms.positions, Query()).energy < -500.0
    assert region.retries == [(1, 2)]


class Runaway(Calculator):
    """Gives the energy and the charge of atom 1 that it is told, zero forces."""

    implemented_properties = ("energy", "forces", "charges")
    default_parameters: ClassVar[dict] = {"charge": 0.0, "energy": -1.0}

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        charges = np.zeros(len(self.atoms))
        charges[1] = self.parameters.charge
        self.results = {
            "energy": self.parameters.energy, "forces": np.zeros((len(self.atoms), 3)), "charges": charges,
        }  # fmt: skip


def test_a_charge_that_no_atom_has_is_a_failed_calculation(tmp_path, monkeypatch):
    """The guard by itself, on a calculator in tblite's place: a charge below the bound is a result, one above it is not, of either sign."""
    monkeypatch.setattr(engines, "_tblite", lambda method: Runaway)
    atoms = Atoms("H3", [[0.0, 0.0, k] for k in range(3)])
    rungs = ({"charge": 4.1, "energy": -2.0}, {"charge": -4.1, "energy": -3.0}, {"charge": -3.9, "energy": -4.0})
    region = QMRegion(atoms, charge=12, ladder=rungs, failures=tmp_path)
    assert region.evaluate(atoms.positions, Query()).energy == -4.0
    assert region.retries == [(1, 3)]
    region = QMRegion(atoms, charge=12, ladder=(), failures=tmp_path)
    with pytest.raises(MultiscaleError, match=r"charges ran away: atom 1 \(H\) has \+12\.0 e"):
        region.evaluate(atoms.positions, Query())


def test_formal_charges_of_another_calculator_are_accepted(tmp_path):
    """As an object and made by a callable; xTB's are looked at however its calculator is made."""
    atoms = Atoms("H3", [[0.0, 0.0, k] for k in range(3)])
    for source in (lambda: Runaway(charge=6.0), Runaway(charge=-6.0)):
        region = QMRegion(atoms, source, failures=tmp_path)
        assert region.evaluate(atoms.positions, Query()).energy == -1.0 and region.retries == []
    bounds = [QMRegion(molecule("SiH4"), source).engine for source in (None, impatient, impatient(), EMT)]
    assert [e.largest_charge(e.make(Team(), {})) for e in bounds] == [RUNAWAY, RUNAWAY, RUNAWAY, float("inf")]
