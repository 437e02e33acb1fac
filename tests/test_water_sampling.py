"""The water box's trajectories: interrupted is uninterrupted, members and jumps included; its radial distribution; its relaxations."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from ase import Atoms, units
from processes import ROOT

pytest.importorskip("tblite")

from multiscale import catalogue
from multiscale.models.water import FlexibleWater
from multiscale.ranks import World
from multiscale.regions.ml import MLRegion
from multiscale.types import MultiscaleError

ZONE = 2.6, 0.3


@pytest.fixture(scope="module")
def case():
    """The case's module; what it imports from beside it is in no table of modules any more."""
    return sys.modules[type(catalogue.load(catalogue.cards([ROOT / "cases"])["water_box"].script)).__module__]


@pytest.fixture(scope="module")
def box(case):
    """A droplet in the cell, SPC/Fw's own shape in place of quantum mechanics."""

    class Quick(case.Box):
        def high(self, q, dofs):
            return MLRegion(FlexibleWater(self.cutoff), self.atoms(q, dofs), skin=1.0)

    whole = case.Box.read(64)
    return Quick(whole.start[whole.dofs(np.argsort(whole.distances(whole.start.positions))[:16])])


def runner(out, world=None, first=True):
    return SimpleNamespace(out=out, settings={"dt": 1.0}, world=world or World(), first=first, say=lambda *_: None)


def looks(patch, record, act):
    """Call ``act(number)`` whenever the recording looks at a step."""
    seen, kinetic = [], record.__globals__["kinetic_energy"]

    def energy(m, v):
        seen.append(0)
        act(len(seen) - 1)
        return kinetic(m, v)

    patch.setitem(record.__globals__, "kinetic_energy", energy)


def interrupt(number):
    if number == 8:
        raise KeyboardInterrupt


@pytest.mark.parametrize("name", ["force_mixing", "energy_mixing"])
def test_an_interrupted_trajectory_is_the_uninterrupted_one(name, case, box, tmp_path, monkeypatch):
    monkeypatch.setitem(case.record.__globals__, "EVERY", 6)
    q = box.start.positions + box.images(box.start.positions)
    v, d = np.zeros_like(q), box.distances(q)
    # The nearest molecule that is not in the zone comes in, so that members change before the checkpoint.
    molecule = int(np.argmin(np.where(d > sum(ZONE) + 0.3, d, np.inf)))
    atoms, out = slice(3 * molecule, 3 * molecule + 3), (q[3 * molecule] - q[box.oxygen]) / d[molecule]
    q[atoms] += (sum(ZONE) + 0.32 - d[molecule]) * out
    v[atoms] = -0.045 / units.fs * out
    plan = case.Plan(1.0, 10, 0.005 if name == "force_mixing" else None, 3, 2)

    def go(out):
        out.mkdir(exist_ok=True)
        mixing = {
            "force_mixing": lambda: box.force_mixing(q, *ZONE, 0.6, 1.0),
            "energy_mixing": lambda: box.energy_mixing(q, *ZONE),
        }
        model = mixing[name]()
        return case.record(runner(out), "a stage", model, box, q, v, plan, ZONE), model

    whole, model = go(tmp_path / "whole")
    assert [time for time, _ in whole.events][0] < 6
    with monkeypatch.context() as patch:
        looks(patch, case.record, interrupt)
        with pytest.raises(KeyboardInterrupt):
            go(tmp_path / "cut")
    again, resumed = go(tmp_path / "cut")
    assert again.events == whole.events and len(again.q) == len(whole.q) == 6
    assert np.allclose(again.rows, whole.rows, rtol=0, atol=1e-9, equal_nan=True)
    assert np.allclose(again.q, whole.q, rtol=0, atol=1e-10) and np.allclose(again.v, whole.v, rtol=0, atol=1e-10)
    kept, other = model.snapshot(), resumed.snapshot()
    # Steps of the resumed run count from where it goes on, where the model is asked once more.
    assert kept.keys() == other.keys() and all(
        np.allclose(kept[key], other[key], rtol=0, atol=1e-9) for key in kept if key != "follow_updates"
    )
    # A run that is finished is read, not moved; the model has what it had at the end, whose jumps the case reports.
    with monkeypatch.context() as patch:
        seen = []
        looks(patch, case.record, seen.append)
        finished, last = go(tmp_path / "cut")
    assert seen == [] and finished.events == whole.events and np.array_equal(finished.q, again.q)
    assert name == "force_mixing" or (len(last.jumps) == 1 and last.jumps == resumed.jumps)


def test_rank_0_looks_for_the_checkpoint(case, tmp_path):
    """A rank that sees no file goes on as rank 0 does; what rank 0 cannot read is an error on every rank."""
    found, path = case.record.__globals__["_found"], tmp_path / "a.checkpoint.npz"
    told = SimpleNamespace(failures=lambda error: [], bcast=lambda state: "what rank 0 read")
    assert found(runner(tmp_path, told, first=False), path, {}) == "what rank 0 read"
    assert found(runner(tmp_path), path, {}) is None
    path.write_bytes(b"half of a file")
    with pytest.raises(MultiscaleError, match="not a checkpoint"):
        found(runner(tmp_path), path, {})
    # Rank 1 sees the file too, and leaves reading it to rank 0.
    assert found(runner(tmp_path, told, first=False), path, {}) == "what rank 0 read"


def test_the_first_peak_is_where_it_is(case):
    """g(r) with a steep inner and a slow outer flank, 2.80 Å at its maximum, as that of water has."""
    edge, n = 12.0, 60_000
    r = np.linspace(2.0, 6.0, 200_001)
    g = 2.6 * np.exp(-0.5 * (np.log(np.maximum(r - 2.2, 1e-9) / 0.6) / 0.28) ** 2) + 0.9 / (1 + np.exp(-8 * (r - 3.6)))
    assert r[np.argmax(g)] == pytest.approx(2.80, abs=1e-3)
    share = np.cumsum(g * r**2)
    distances = np.interp((np.arange(n) + 0.5) / n, share / share[-1], r)
    turns = np.random.default_rng(0).normal(size=(n, 3))
    places = distances[:, None] * turns / np.linalg.norm(turns, axis=1)[:, None]
    q = np.repeat(np.concatenate([np.zeros((1, 3)), places]), 3, axis=0).reshape(-1, 3)
    found = case.radial(SimpleNamespace(edge=edge, n=n + 1), [q], [0])
    assert found.peak == pytest.approx(2.80, abs=0.012)


def test_a_molecule_that_does_not_relax_has_no_zero(case):
    relaxed = case.measure_zeros.__globals__["relaxed"]
    one = Atoms("OH2", [[0.0, 0, 0], [0.8, 0.557, 0], [-0.845, 0.6, 0]])
    region = MLRegion(FlexibleWater(), one)
    with pytest.raises(MultiscaleError, match="not relaxed after 2 steps"):
        relaxed(region, one, 2)
    assert relaxed(region, one) == pytest.approx(relaxed(region, one, 100), abs=1e-4)


def test_a_new_box_is_equilibrated_by_the_drivers(case):
    """start.py: the shipped thermostat brings molecules of a grid to its temperature's order, and keeps them whole."""
    with catalogue._beside(ROOT / "cases" / "water_box"):
        import start
    atoms = start.grid(8)
    assert atoms.get_positions().shape == (24, 3)
    steps = list(start.equilibrate(atoms, True, 20, 0.5, 0.1, 2))
    assert [s.index for s in steps] == list(range(21)) and np.array_equal(atoms.positions, steps[-1].q)
    assert np.allclose(atoms.get_velocities(), steps[-1].velocities) and "BAOAB" not in start.__doc__
    drive = sys.modules["multiscale.drive.dynamics"]
    assert start.langevin is drive.langevin
