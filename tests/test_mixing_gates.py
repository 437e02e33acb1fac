"""Gates of mixing two atomistic levels: silicon of 512 atoms, two Stillinger–Weber variants (ε +5 %, λ 25).

A core of 3.5 Å and a zone of 5 Å, fixed in the laboratory or riding on an atom; displacements of 300 K.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from ase import units
from ase.build import bulk

from couplers import EnergyBlend
from multiscale import Claims, Cubic, Evaluation, HybridModel, Interface, Linear, Nested, Quintic, Sphere
from multiscale.align import align, bulk_energy_zeros
from multiscale.drive import verlet
from multiscale.embedding import select
from multiscale.models import LennardJones, StillingerWeber
from multiscale.region import Can, Query
from multiscale.regions.ml import MLRegion
from multiscale.regions.qm import QMRegion
from multiscale.shapes import SmoothUnion
from multiscale.types import MultiscaleError

A0, CORE, ZONE = 5.43095, 3.5, 5.0
LOW, HIGH = StillingerWeber(), StillingerWeber(25.0, epsilon=1.05 * 2.1683)
FRAMES = ("laboratory", "seed")


def crystal(n=4):
    return bulk("Si", a=A0, cubic=True) * (n, n, n)


SILICON = crystal()
X = SILICON.positions
SEED = int(np.argmin(np.linalg.norm(X - 0.5 * SILICON.cell.lengths(), axis=1)))
ZEROS = align(MLRegion(HIGH, SILICON), MLRegion(LOW, SILICON), SILICON.get_chemical_symbols())


def thermal(atoms, seed=0):
    """0.076 Å per component: silicon's at 300 K, from its Debye–Waller factor 8π²⟨u²⟩ = 0.46 Å²."""
    return atoms.positions + np.random.default_rng(seed).normal(0, 0.076, atoms.positions.shape)


Q = thermal(SILICON)


def mixed(
    frame="laboratory", *, switch=None, core=CORE, aligned=True, dtype="float64", coupler=None, atoms=SILICON, zone=ZONE
):
    seed = int(np.argmin(np.linalg.norm(atoms.positions - 0.5 * atoms.cell.lengths(), axis=1)))
    shape = SmoothUnion((seed,), core) if frame == "seed" else Sphere(tuple(atoms.positions[seed] + 0.3), core)
    zeros = ZEROS.zeros if aligned else None
    regions = {
        "high": MLRegion(HIGH, atoms, dtype=dtype, energy_zero=zeros),
        "low": MLRegion(LOW, atoms, dtype=dtype),
    }
    partition = Nested([("high", shape, zone)], rest="low", switch=switch or Quintic(), frame="current")
    return HybridModel(Interface(atoms.positions, regions, partition), coupler or EnergyBlend())


@dataclass(frozen=True)
class WithoutGradient(EnergyBlend):
    """What a code does that switches energies and forgets that the weights move."""

    claims: ClassVar[Claims] = Claims(conservative=False, momentum=True, patch=False)

    def evaluate(self, q, interface, ask, prepared):
        w = interface.weights(q)
        answers = ask(q, {r: Query(Can.ENERGY | Can.FORCES, w[r]) for r in w})
        forces = np.sum([interface.pull(r, a.forces) for r, a in answers.items()], axis=0)
        return Evaluation(sum(a.energy for a in answers.values()), forces)


@pytest.mark.parametrize("frame", FRAMES)
def test_forces_are_the_gradient_of_the_mixed_energy(frame):
    """Found 1e-8 eV/Å at h = 1e-4 Å, on the seed, in the zone and at its edges; single precision within 1e-5."""
    model = mixed(frame)
    forces = model.evaluate(Q).forces
    w = model.interface.weights(Q)["high"]
    zone = np.flatnonzero((w > 0) & (w < 1))
    assert len(zone) > 100
    h, worst = 1e-4, 0.0
    for atom in (SEED, *zone[np.argsort(w[zone])][[0, 30, 60, 90, -1]]):
        for k in range(3):
            d = np.zeros_like(Q)
            d[atom, k] = h
            slope = (model.evaluate(Q + d).energy - model.evaluate(Q - d).energy) / (2 * h)
            worst = max(worst, abs(slope + forces[atom, k]))
    assert worst <= 1e-6
    single = mixed(frame, dtype="float32").evaluate(Q).forces
    assert 0 < np.abs(single - forces).max() <= 1e-3


@pytest.mark.parametrize("frame", FRAMES)
def test_aligned_zeros_leave_no_force_on_the_perfect_lattice(frame):
    """Both variants have one lattice constant: found 2e-8 eV/Å."""
    assert ZEROS.residual < 1e-12
    assert np.abs(mixed(frame).evaluate(X).forces).max() <= 1e-5


@pytest.mark.parametrize("frame", FRAMES)
def test_unaligned_zeros_push_by_the_offset_times_the_slope(frame):
    """5 % of the well depth, 0.217 eV, over 5 Å: (e_high − e_low) s′/b, at most 0.217 · 1.875/5 = 0.081 eV/Å."""
    model = mixed(frame, aligned=False)
    forces = model.evaluate(X).forces
    shape = model.interface.partition.levels[0][1]
    d, direction = shape.distance(X, X)
    expected = -ZEROS.zeros["Si"] * (Quintic().d1(d / ZONE) / ZONE)[:, None] * direction
    away = np.arange(len(X)) != SEED if frame == "seed" else np.ones(len(X), dtype=bool)
    assert np.abs(forces - expected)[away].max() < 1e-6
    worst = np.linalg.norm(forces, axis=1).max()
    assert 0.08 <= worst <= 0.13
    assert worst <= abs(ZEROS.zeros["Si"]) * 1.875 / ZONE + 1e-6


def slope_jump(switch, h):
    """Largest jump of dF/dx on one atom, eV/Å², while the zone's inner edge sweeps over it in steps of h Å."""
    n, reference = len(X), np.concatenate([X, X[SEED : SEED + 1]])
    everything = select(np.arange(n), n + 1)
    zeros = ZEROS.zeros
    regions = {
        "high": (MLRegion(HIGH, SILICON, energy_zero=zeros), everything),
        "low": (MLRegion(LOW, SILICON), everything),
    }
    partition = Nested([("high", SmoothUnion((n,), CORE), ZONE)], rest="low", switch=switch, frame="current")
    model = HybridModel(Interface(reference, regions, partition), EnergyBlend())
    atom = int(np.argsort(np.linalg.norm(X - X[SEED], axis=1))[8])
    u = (X[SEED] - Q[atom]) / np.linalg.norm(X[SEED] - Q[atom])
    forces = []
    # The edge is over the atom exactly in the middle, at a point of the grid for every h.
    for s in h * np.arange(-round(0.02 / h), round(0.02 / h) + 1):
        q = np.concatenate([Q, [Q[atom] + (CORE + s) * u]])
        forces.append(model.evaluate(q).forces[atom])
    return float(np.abs(np.diff(forces, 2, axis=0)).max() / h)


@pytest.mark.parametrize(
    ("switch", "ratio"), [(Linear(), 0.5), (Cubic(), 1.0), (Quintic(), 2.0)], ids=["C0", "C1", "C2"]
)
def test_smoothness_as_the_zone_sweeps_over_an_atom(switch, ratio):
    """The jump halves with the step for C² weights, stays for C¹, and grows for C⁰, whose force itself jumps."""
    coarse, fine = slope_jump(switch, 0.002), slope_jump(switch, 0.001)
    assert coarse / fine == pytest.approx(ratio, abs=0.1)
    # Jumps found at 0.002 Å: 0.31, 7.5e-4 and 7.8e-6 eV/Å².
    assert coarse < {0.5: 1.0, 1.0: 3e-3, 2.0: 5e-5}[ratio]


def test_the_core_has_pure_forces_one_receptive_field_inside():
    """Beyond the cutoff from the zone found 1e-14; within it the zone is felt: the core gets a guard shell."""
    for frame in FRAMES:
        model = mixed(frame, core=8.0)
        pure = model.interface.regions["high"].evaluate(Q, Query()).forces
        error = np.linalg.norm(model.evaluate(Q).forces - pure, axis=1)
        depth = model.interface.partition.levels[0][1].distance(Q, Q)[0]
        inside = depth <= -HIGH.cutoff
        shell = (depth > -HIGH.cutoff) & (depth <= 0)
        assert inside.sum() > 10 and shell.sum() > 50
        if frame == "seed":
            # The seed carries the reaction to the weights' forces on all others: momentum has to go somewhere.
            assert inside[SEED] and error[SEED] > 1e-6
            inside[SEED] = False
        assert error[inside].max() <= 1e-10
        assert error[shell].max() > 1e-4


def test_momentum():
    """A seed-attached zone conserves it; one fixed in the laboratory exerts a force, the documented exception."""
    riding, fixed = (np.linalg.norm(mixed(f).evaluate(Q).forces.sum(axis=0)) for f in ("seed", "laboratory"))
    assert riding <= 1e-12 * len(X)
    assert fixed > 1e-3
    without = mixed("laboratory", coupler=WithoutGradient()).evaluate(Q).forces.sum(axis=0)
    assert np.linalg.norm(without) <= 1e-12 * len(X)


@pytest.mark.parametrize(
    ("shape", "pure"), [(Sphere((11.0, 11.0, 11.0), 60.0), "high"), (Sphere((900.0, 0.0, 0.0), 3.5), "low")]
)
def test_limits(shape, pure):
    regions = {"high": MLRegion(HIGH, SILICON), "low": MLRegion(LOW, SILICON)}
    model = HybridModel(
        Interface(X, regions, Nested([("high", shape, ZONE)], rest="low", frame="current")), EnergyBlend()
    )
    got, want = model.evaluate(Q), regions[pure].evaluate(Q, Query())
    assert got.energy == pytest.approx(want.energy, rel=1e-12)
    assert np.abs(got.forces - want.forces).max() <= 1e-12 * np.abs(want.forces).max()


def drift(coupler, dt):
    """Total energy (eV) of 64 atoms at 300 K, from its start, once every femtosecond for 200 fs."""
    atoms = crystal(2)
    model = mixed(coupler=coupler, atoms=atoms, core=2.0, zone=4.0)
    m = model.interface.masses()
    v = np.random.default_rng(3).normal(size=atoms.positions.shape) * np.sqrt(units.kB * 300.0 / m)[:, None]
    steps = verlet(model, thermal(atoms), v, dt=dt * units.fs, steps=round(200 / dt), masses=m)
    e = np.array([s.energy + 0.5 * float(m @ (s.velocities**2).sum(axis=1)) for s in steps])
    return (e - e[0])[:: round(1 / dt)]


def test_energy_conservation_needs_the_gradient_of_the_weights():
    """Verlet's own error is of order dt² and extrapolates away; the work of the missing force stays."""

    def left(coupler):
        coarse, fine = drift(coupler, 1.0), drift(coupler, 0.5)
        return float(np.abs(coarse).max()), float(np.abs(4.0 * fine - coarse).max() / 3.0)

    (verlet_error, full), (_, without) = left(EnergyBlend()), left(WithoutGradient())
    # Found 1.6e-2 eV at 1 fs, of which extrapolation leaves 1.4e-5 with the force and 2.8e-3 without.
    assert full < 0.1 * verlet_error
    assert without > 10.0 * full


def test_zeros_of_alloys_and_of_total_energies():
    argon = bulk("Ar", a=5.3, cubic=True) * (2, 2, 2)
    symbols = ["Ar"] * 16 + ["Kr"] * 16
    pairs = {"epsilon": [[0.0103, 0.012], [0.012, 0.014]], "sigma": [[3.4, 3.5], [3.5, 3.6]]}

    def alloy(offset):
        model = LennardJones(**pairs, cutoff=7.0, symbols=("Ar", "Kr"))
        return MLRegion(
            model, symbols=symbols, positions=argon.positions, cell=argon.cell.array, pbc=True, energy_zero=offset
        )

    found = align(alloy({"Ar": -1.5, "Kr": 0.25}), alloy(None), symbols)
    assert found.zeros["Ar"] == pytest.approx(1.5, abs=1e-12) and found.zeros["Kr"] == pytest.approx(-0.25, abs=1e-12)
    assert found.residual < 1e-12
    again = alloy({"Ar": -1.5 + found.zeros["Ar"], "Kr": 0.25 + found.zeros["Kr"]})
    assert again.evaluate(argon.positions, Query()).energy == pytest.approx(
        alloy(None).evaluate(argon.positions, Query()).energy
    )
    with pytest.raises(MultiscaleError, match="give every element a zero"):
        alloy({"Ar": 1.0})
    from ase.calculators.emt import EMT

    copper = bulk("Cu", a=3.61, cubic=True)
    region = QMRegion(copper, EMT)
    total = region.evaluate(region.reference, Query(Can.ENERGY)).energy
    assert bulk_energy_zeros(region, ["Cu"] * 4)["Cu"] == pytest.approx(total / 4)
    assert np.isnan(align(region, region, ["Cu"] * 4).residual)
    with pytest.raises(MultiscaleError, match="only a total energy"):
        bulk_energy_zeros(QMRegion(bulk("CuAu", "rocksalt", a=4.0), EMT), ["Cu", "Au"])


def test_zeros_change_nothing_but_the_energy():
    plain, shifted = MLRegion(LOW, SILICON), MLRegion(LOW, SILICON, energy_zero={"Si": -4.0})
    w = np.random.default_rng(5).uniform(0, 1, len(X))
    want = Can.ENERGY | Can.FORCES | Can.SITE_ENERGIES | Can.STRESS
    a, b = (r.evaluate(Q, Query(want, w)) for r in (plain, shifted))
    assert b.energy == pytest.approx(a.energy + 4.0 * w.sum(), rel=1e-13)
    assert np.abs(b.site_energies - a.site_energies - 4.0).max() < 1e-12
    assert np.array_equal(a.forces, b.forces) and np.array_equal(a.stress, b.stress)
