"""The flexible water model: an independent sum over molecules and images, exact limits, refusals; the case water_box."""

from __future__ import annotations

import math
import sys
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.io import read
from processes import ROOT
from pulses import START, following, trajectory
from scipy.spatial.transform import Rotation
from scipy.special import erfc

from couplers import AdaptivePartitioning
from multiscale import HybridModel, catalogue
from multiscale.models.water import FlexibleWater
from multiscale.region import Can, Query
from multiscale.regions.ml import MLRegion
from multiscale.types import MultiscaleError

SHAPE = np.array([[0.0, 0, 0], [0.845, 0.557, 0], [-0.845, 0.557, 0]])


def waters(n, edge, seed=0):
    """n bent and stretched molecules on a grid, turned at random, O H H after one another."""
    rng, side = np.random.default_rng(seed), math.ceil(n ** (1 / 3))
    cells = np.argwhere(np.ones((side,) * 3))[:n]
    turns = Rotation.random(n, random_state=seed + 1)
    x = np.concatenate([c * edge / side + t.apply(SHAPE) for c, t in zip(cells, turns, strict=True)])
    return Atoms("OH2" * n, x + rng.normal(0, 0.03, x.shape), cell=[edge] * 3, pbc=True)


def by_molecules(atoms, R=9.0, onset=8.0, a=0.2, images=2, self_energy=True):
    """The energy, eV, from molecule numbers and explicit images, in kcal/mol and e²/Å inside; no neighbour list, no torch."""
    kcal, coulomb = 1 / 23.060547830619, 14.39964547842567
    x, n = atoms.positions, len(atoms)
    q = np.where(atoms.numbers == 8, -0.82, 0.41)
    molecule = np.arange(n) // 3
    shifts = np.argwhere(np.ones((2 * images + 1,) * 3)) - images if atoms.pbc.any() else np.zeros((1, 3))
    f, df = erfc(a * R) / R, -erfc(a * R) / R**2 - 2 * a / np.sqrt(np.pi) * np.exp(-((a * R) ** 2)) / R
    energy = 0.0
    for shift in shifts:
        r = np.linalg.norm(x[None] + shift @ atoms.cell.array - x[:, None], axis=2)
        home = not np.any(shift)
        for i in range(n):
            for j in range(n):
                if (home and i == j) or r[i, j] >= R:
                    continue
                v = erfc(a * r[i, j]) / r[i, j] - f - (r[i, j] - R) * df
                if home and molecule[i] == molecule[j]:
                    v -= 1 / r[i, j]
                energy += 0.5 * coulomb * q[i] * q[j] * v
                if i % 3 == 0 and j % 3 == 0:
                    s6 = (3.165492 / r[i, j]) ** 6
                    t = np.clip((r[i, j] - onset) / (R - onset), 0, 1)
                    energy += 0.5 * kcal * 4 * 0.1554253 * (s6**2 - s6) * (1 - 10 * t**3 + 15 * t**4 - 6 * t**5)
    for o in range(0, n, 3):
        d1, d2 = x[o + 1] - x[o], x[o + 2] - x[o]
        r1, r2 = np.linalg.norm(d1), np.linalg.norm(d2)
        theta = np.arccos(d1 @ d2 / (r1 * r2))
        energy += 0.5 * kcal * (1059.162 * ((r1 - 1.012) ** 2 + (r2 - 1.012) ** 2))
        energy += 0.5 * kcal * 75.90 * (theta - np.radians(113.24)) ** 2
    return energy - 0.5 * coulomb * (f - R * df + 2 * a / np.sqrt(np.pi)) * np.sum(q**2)


def box_and_cluster():
    box, cluster = waters(8, 6.6), waters(8, 6.4, seed=3)
    cluster.pbc, cluster.cell = False, None
    return box, cluster


def test_equals_a_sum_over_molecules_and_images():
    """A box thinner than the cutoff, where atoms see several images of one another and of themselves, and an open cluster."""
    for atoms in box_and_cluster():
        region = MLRegion(FlexibleWater(), atoms)
        a = region.evaluate(atoms.positions, Query(Can.ENERGY | Can.SITE_ENERGIES))
        assert a.energy == pytest.approx(by_molecules(atoms), abs=1e-10)
        assert a.site_energies.sum() == pytest.approx(a.energy, abs=1e-11)


class EveryHydrogenApart(FlexibleWater):
    """A saboteur: the two H of a molecule interact as if they were strangers."""

    def _same_molecule(self, edges, bonded, hydrogens):
        return hydrogens & False


def test_that_sum_catches_a_forgotten_exclusion():
    for atoms in box_and_cluster():
        wrong = MLRegion(EveryHydrogenApart(), atoms).evaluate(atoms.positions, Query()).energy
        assert abs(wrong - by_molecules(atoms)) > 1.0


def test_forces_are_slopes_of_that_sum():
    _, atoms = box_and_cluster()
    f = MLRegion(FlexibleWater(), atoms).evaluate(atoms.positions, Query()).forces
    h = 1e-4
    for i, k in ((0, 0), (1, 1), (14, 2)):
        e = []
        for s in (2, 1, -1, -2):
            moved = atoms.copy()
            moved.positions[i, k] += s * h
            e.append(by_molecules(moved))
        assert f[i, k] == pytest.approx(-(8 * (e[1] - e[2]) - (e[0] - e[3])) / (12 * h), abs=1e-8)


def test_without_damping_a_lone_molecule_becomes_harmonic():
    """Its charges interact by nothing but the shifted force's Σ q_i q_j r/R², which is gone in the limit of far cutoffs."""
    half = np.radians(113.24) / 2
    x = 1.012 * np.array([[0, 0, 0], [np.sin(half), np.cos(half), 0], [-np.sin(half), np.cos(half), 0]])
    for stretch in (1.0, 1.05):
        y = x * np.array([1.0, stretch, 1.0])[:, None]
        harmonic = 0.5 * 1059.162 * ((stretch - 1.0) * 1.012) ** 2 / 23.060548
        near, far = (
            MLRegion(FlexibleWater(cutoff=R, damping=0.0), Atoms("OH2", y)).evaluate(y, Query()).energy - harmonic
            for R in (100.0, 200.0)
        )
        r = np.linalg.norm(y[[0, 0, 1]] - y[[1, 2, 2]], axis=1)
        assert far == pytest.approx(14.3996 * (r @ [-0.82 * 0.41, -0.82 * 0.41, 0.41**2]) / 200.0**2, rel=1e-3)
        assert near == pytest.approx(4 * far, rel=1e-3)


def test_no_force_jumps_at_the_cutoff():
    """Two molecules, moved through the cutoff: energy and force of the pairs go to zero there with the distance squared."""
    half = np.concatenate([SHAPE, SHAPE @ np.diag([1.0, -1.0, 1.0])])
    force = []
    for gap in (12.0, 9.0 - 1e-3, 9.0 - 2e-3):
        x = half.copy()
        x[3:, 2] += gap
        atoms = Atoms("OH2OH2", x)
        force.append(MLRegion(FlexibleWater(), atoms).evaluate(x, Query()).forces[:3].sum(axis=0))
    assert np.abs(force[0]).max() < 1e-13
    assert 0 < np.abs(force[1]).max() < 1e-4
    assert np.abs(force[2]).max() == pytest.approx(2 * np.abs(force[1]).max(), rel=0.05)


def test_broken_molecules_and_bad_settings_are_refused():
    _, atoms = box_and_cluster()
    atoms.positions[1] += 0.4 * (atoms.positions[1] - atoms.positions[0])
    with pytest.raises(MultiscaleError, match="outside whole molecules"):
        MLRegion(FlexibleWater(), atoms).evaluate(atoms.positions, Query())
    for settings in ({"damping": -1.0}, {"bond_limit": 1.8}, {"cutoff": 2.0, "onset": 1.0}, {"onset": 9.5}):
        with pytest.raises(MultiscaleError):
            FlexibleWater(**settings)


@pytest.fixture(scope="module")
def water_box():
    """The case's module, with its models of a box."""
    pytest.importorskip("tblite")
    case = catalogue.load(catalogue.cards([ROOT / "cases"])["water_box"].script)
    return case, sys.modules[type(case).__module__]


def test_water_box_runs_through(water_box, tmp_path):
    """Models of all three kinds move; what is an identity holds at any size."""
    pytest.importorskip("matplotlib")
    found = water_box[0].run("tiny", tmp_path, silent=True)["quantities"]
    assert [name for name, q in found.items() if q["ok"] is False] == []
    assert sum(q["ok"] is True for q in found.values()) >= 6
    frames = read(tmp_path / "atoms.extxyz", ":")
    assert len(frames) == 5 and frames[-1].arrays["w_qm"].max() == 1.0 and frames[-1].arrays["w_cheap"].max() == 1.0
    for name in ("water_box.png", "radial.png", "snapshot.png"):
        assert (tmp_path / name).stat().st_size > 10_000
    assert not list(tmp_path.glob("*.checkpoint.npz"))


def test_water_box_has_one_source_of_masses(water_box):
    """What moves the atoms is what the net force is spread by: heavy water."""
    box = water_box[1].Box.read(64)
    q = box.start.positions
    model = box.force_mixing(q, 2.6, 0.6, 2.0, 3.0)
    assert set(np.round(box.masses(), 3)) == {15.999, 2.014}
    assert np.array_equal(model.interface.masses(), box.masses())
    own = model.interface.embeddings["qm"].own
    assert np.array_equal(model.interface.regions["qm"].masses(), box.masses()[own])


def test_images_change_their_members_as_the_model_inside_does(water_box):
    """Shown another image, a model that follows its core still does, and its snapshot is that of the members."""
    box = water_box[1].Box.read(64)
    Imaged = type(box.all_cheap(box.start.positions))
    far, shift = trajectory(following())[-1].q, np.array([[0.0, 3.0, 0.0]])
    bare, imaged = following(), Imaged(following(), shift)
    assert imaged.membership == bare.membership and imaged.fits(START - shift) and not imaged.fits(far - shift)
    assert imaged.update(far - shift) == bare.update(far) != ""
    again = Imaged(following(), shift)
    again.restore(imaged.snapshot())
    assert again.membership == imaged.membership == bare.membership
    assert again.evaluate(far - shift).energy == pytest.approx(bare.evaluate(far).energy, rel=1e-12)


def test_images_report_and_account_as_the_model_inside_does(water_box):
    Imaged = type(water_box[1].Box.read(64).all_cheap(water_box[1].Box.read(64).start.positions))
    bare, shift = following(), np.array([[0.0, 3.0, 0.0]])
    imaged = Imaged(bare, shift)
    assert imaged.ledger(START - shift) == bare.ledger(START) and imaged.report().evaluations == bare.model.evaluations


def test_adaptive_water_is_restored(water_box):
    """A snapshot brings back regions, images and the list of jumps, on either side of a renewal."""
    box = water_box[1].Box.read(64)
    q = box.start.positions + box.images(box.start.positions)
    molecule = int(np.argmin(np.abs(box.distances(q) - 5.0)))
    moved = q.copy()
    # From outside into the middle of the zone.
    moved[3 * molecule : 3 * molecule + 3] -= 0.42 * (q[3 * molecule] - q[box.oxygen])
    model = box.energy_mixing(q, 2.6, 0.6)
    first, members = model.snapshot(), model.regions.membership
    assert not model.fits(moved)
    model._renew(moved)
    model.jumps.append(0.125)
    again = box.energy_mixing(q, 2.6, 0.6)
    again.restore(model.snapshot())
    assert again.regions.membership == model.regions.membership != members
    assert again.jumps == [0.125] and np.array_equal(again.shift, model.shift) and again.fits(moved)
    again.restore(first)
    assert again.regions.membership == members and again.jumps == []
    with pytest.raises(MultiscaleError, match="cannot be restored without adaptive_built_at, adaptive_jumps"):
        again.restore({})


class WeightsAtRest(AdaptivePartitioning):
    """A saboteur: the weights of the subsets move, and their force is forgotten."""

    def evaluate(self, q, interface, ask, prepared):
        whole = super().evaluate(q, interface, ask, prepared)
        weights, slopes = self._weights(q, interface)
        high, low = interface.subsets(self.high), interface.subsets(self.low)
        c = sum((whole.parts[high[S]] + whole.parts[low[S]]) / w * slopes[S] for S, w in weights.items())
        return replace(whole, forces=whole.forces - interface.group_forces(self.zone, q, c))


def test_energy_mixing_of_water_has_forces_of_its_energy_and_does_not_jump(water_box):
    """Along a molecule's way through the zone; images and renewed regions change nothing."""
    module = water_box[1]
    box = module.Box.read(64, accuracy=0.01)
    box.zero = -137.9
    q = box.start.positions + box.images(box.start.positions)
    molecule = int(np.argmin(np.abs(box.distances(q) - 2.9)))
    v = np.zeros_like(q)
    v[3 * molecule : 3 * molecule + 3] = (q[3 * molecule] - q[box.oxygen]) / np.linalg.norm(q[3 * molecule] - q[0])
    model, h = box.energy_mixing(q, 2.6, 0.6), 1e-3
    e = [model.evaluate(q + s * h * v).energy for s in (2, 1, -1, -2)]
    slope = (8 * (e[1] - e[2]) - (e[0] - e[3])) / (12 * h)
    here = model.evaluate(q)
    assert slope == pytest.approx(-float(np.sum(here.forces * v)), abs=2e-4)
    wrong = HybridModel(model.interface, WeightsAtRest("qm", "low", "zone")).evaluate(q)
    assert wrong.energy == pytest.approx(here.energy, abs=1e-7)
    assert abs(slope + float(np.sum(wrong.forces * v))) > 1e-2
    # Built anew at a state 0.02 Å away, with a molecule of the zone taken from another cell.
    moved = q - 0.02 * v
    moved[3 * molecule : 3 * molecule + 3] += box.start.cell.array[1]
    other = box.energy_mixing(moved, 2.6, 0.6).evaluate(moved)
    assert other.energy == pytest.approx(model.evaluate(q - 0.02 * v).energy, abs=1e-6)
