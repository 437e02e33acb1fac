"""Preconditions of mixing: every number beside an independent computation of it, and a saboteur that its gate catches."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from processes import ROOT, mpi

from couplers import EnergyBlend, ForceBlend, ForceMixing, GhostCorrected, SiteSubtractive, Subtractive
from multiscale import Box, HybridModel, Interface, Nested, Overlay, Quintic, Sphere
from multiscale.align import aligned
from multiscale.embedding import select
from multiscale.models import StillingerWeber
from multiscale.preconditions import (
    Crystal,
    Gates,
    Preconditions,
    buffer_convergence,
    bulk_match,
    cluster_match,
    examine,
    interface_numbers,
    judged,
    jump_row,
    mixings,
)
from multiscale.region import Can, Query
from multiscale.regions.ml import MLRegion
from multiscale.regions.qm import QMRegion
from multiscale.regions.rescale import Rescaling
from multiscale.shapes import SmoothUnion
from multiscale.types import MultiscaleError

A0, CORE, ZONE = 5.43095, 3.5, 5.0
LOW, HIGH = StillingerWeber(), StillingerWeber(25.0, epsilon=1.05 * 2.1683)
#: 0.5 % larger; the three-body strength and depth of LOW.
LARGER = StillingerWeber(sigma=1.005 * 2.0951)
CELL, SILICON = bulk("Si", a=A0), bulk("Si", a=A0, cubic=True) * (4, 4, 4)
X, SYMBOLS = SILICON.positions, SILICON.get_chemical_symbols()
SEED = int(np.argmin(np.linalg.norm(X - 0.5 * SILICON.cell.lengths(), axis=1)))
Q = X + np.random.default_rng(0).normal(0, 0.076, X.shape)
CRYSTAL = Crystal.of(CELL, A0)
SOFT = Gates(stiffness=0.2)


def zeros(model):
    return aligned(lambda a: MLRegion(model, a), lambda a: MLRegion(LOW, a), [CELL])


def engines(model=HIGH, zero=None):
    return MLRegion(model, CELL, energy_zero=zero).with_cell, MLRegion(LOW, CELL).with_cell


def mixed(
    model=HIGH,
    *,
    core=CORE,
    zero=True,
    partition=Nested,
    switch=None,
    frame="current",
    shape=None,
    coupler=None,
    dtype="float64",
):
    shape = shape or Sphere(tuple(X[SEED] + 0.3), core)
    high = MLRegion(model, SILICON, energy_zero=zeros(model) if zero else None, dtype=dtype)
    levels = partition([("high", shape, ZONE)], rest="low", switch=switch, frame=frame)
    return HybridModel(Interface(X, {"high": high, "low": MLRegion(LOW, SILICON)}, levels), coupler or EnergyBlend())


def test_two_aligned_potentials_pass(capsys):
    numbers = {"engines": engines(zero=zeros(HIGH)), "crystal": CRYSTAL, "gates": SOFT, "jumps": False}
    table = examine(mixed(core=7.0), Q, perfect=True, **numbers)
    assert table.ok and table.require() is table
    shown = capsys.readouterr().out
    assert "lattice constant" in shown and str(table["C11"].note) in shown and shown.count("✗") == 0
    assert abs(table["lattice constant"].value) < 1e-9
    assert table["C11"].value == pytest.approx(169.00 / 151.42 - 1, abs=1e-4)
    assert abs(table["energy offset of Si"].value) < 1e-12
    assert table["ghost force"].value < 1e-5
    assert "lattice constant" in str(table)
    assert examine(mixed(), perfect=True, jumps=False, print=False)["ε_F"].value > 0.01
    assert capsys.readouterr().out == ""


def test_the_numbers_of_the_zone():
    """ε_F, max |∇s||ΔE| and the counts, worked out from the two regions alone."""
    for shape in (Sphere(tuple(X[SEED] + 0.3), 8.0), SmoothUnion((SEED,), 8.0)):
        model = mixed(shape=shape)
        rows = Preconditions(interface_numbers(model, Q))
        a, b = (r.evaluate(Q, Query(Can.FORCES | Can.SITE_ENERGIES)) for r in model.interface.regions.values())
        d, _ = shape.distance(Q, Q)
        inside = (d > 0) & (d < ZONE)
        difference = np.linalg.norm(a.forces - b.forces, axis=1)[inside]
        assert rows["ε_F, "].value == pytest.approx(np.sqrt(np.mean(difference**2)), rel=1e-12)
        scale = np.sqrt(np.mean(np.linalg.norm(a.forces, axis=1)[inside] ** 2))
        assert rows["ε_F relative"].value == pytest.approx(rows["ε_F, "].value / scale, rel=1e-12)
        spurious = np.abs(Quintic().d1(d / ZONE)) / ZONE * np.abs(a.site_energies - b.site_energies)
        assert rows["max |∇s||ΔE|"].value == pytest.approx(spurious.max(), rel=1e-12)
        assert rows["core"].value == (d <= 0).sum() and rows["zone"].value == inside.sum()
        # The force of the weights is what moves the whole against the regions' own weighted forces.
        w = model.interface.weights(Q)
        own = sum(r.evaluate(Q, Query(Can.FORCES, w[n])).forces for n, r in model.interface.regions.items())
        left = np.linalg.norm(model.evaluate(Q).forces - own, axis=1)
        assert rows["force of the weights"].value == pytest.approx(left.max(), rel=1e-9)
        error = np.linalg.norm(model.evaluate(Q).forces - a.forces, axis=1)
        pure = error[d <= 0] < 1e-10
        assert 0 < rows["pure core"].value <= pure.sum() and rows["pure core"].ok
    thin = Preconditions(interface_numbers(mixed(shape=SmoothUnion((SEED,), CORE)), Q))
    assert thin["pure core"].value == 0
    with pytest.raises(MultiscaleError, match="at least 1.*make the core larger by one receptive field"):
        thin.require()


def test_unaligned_offset_is_caught():
    """5 % of the well depth, 0.217 eV over 5 Å: 0.08 … 0.13 eV/Å on the perfect lattice."""
    model = mixed(zero=False, core=7.0)
    table = examine(model, perfect=True, symbols=SYMBOLS, jumps=False, print=False)
    assert table["energy offset of Si"].ok is False
    assert table["energy offset of Si"].value == pytest.approx(-2 * 0.05 * 2.1683, abs=1e-4)
    assert table["ghost force"].ok is False and 0.08 <= table["ghost force"].value <= 0.13
    assert table["max |∇s||ΔE|"].value > 0.07
    with pytest.raises(MultiscaleError, match="'ghost force' is 0.08.*1e-05.*align the energy zeros"):
        table.require()
    rows = bulk_match(*engines(), CRYSTAL)
    assert Preconditions(rows)["energy offset of Si"].ok is False
    with pytest.raises(MultiscaleError, match="energy_zero=aligned"):
        Preconditions(rows[-1:]).require()


def test_lattice_mismatch_is_caught():
    """0.5 %: 0.055 … 0.07 eV/Å on the perfect lattice; judged only where lattice constants are not known to differ."""
    model = mixed(LARGER)
    numbers = {"engines": engines(LARGER, zeros(LARGER)), "crystal": CRYSTAL}
    table = examine(model, Q, perfect=True, jumps=False, print=False, **numbers)
    assert table["lattice constant"].ok is False and table["lattice constant"].value == pytest.approx(5e-3, rel=1e-3)
    assert 0.055 <= table["ghost force"].value <= 0.07 and table["ghost force"].ok is None
    assert "ghost_corrected" in table["ghost force"].note
    # ε/σ³ is softer by three times the strain.
    assert table["C11"].value == pytest.approx(1.005**-3 - 1, abs=1e-4)
    assert examine(model, Q, perfect=True, jumps=False, print=False)["ghost force"].ok is False
    with pytest.raises(MultiscaleError, match="lattice constant.*rescale the better level"):
        Preconditions(table.rows[:1]).require()
    # What the note advises works: a dead load, prepared at the lattice.
    cured = mixed(LARGER, coupler=GhostCorrected())
    assert examine(cured, Q, perfect=True, jumps=False, print=False)["ghost force"].value < 1e-10


class Leaky(Quintic):
    """Ends at 0.05 and drops to 0."""

    def _rise(self, t):
        return 0.95 * super()._rise(t)


class Hard(Nested):
    """Membership is decided at a fraction of the zone; gradients are forgotten."""

    at = 1.0

    def compact(self, X, q=None):
        d, _ = self.levels[0][1].distance(X, q)
        inside = (d <= self.at * self.levels[0][2]).astype(float)
        nowhere = np.zeros((0, 3))
        return {"high": inside, "low": 1.0 - inside}, np.zeros(0, dtype=int), {"high": nowhere, "low": nowhere}


class HalfWay(Hard):
    at = 0.5


@pytest.mark.parametrize(
    "shape", [Sphere(tuple(X[SEED] + 0.3), CORE), SmoothUnion((SEED,), CORE)], ids=["laboratory", "seed"]
)
def test_jumps_of_the_energy_are_caught(shape):
    """The jump is Δs·(e_high − e_low) of the atom that crosses."""

    def jump(**changes):
        model = mixed(shape=shape, **changes)
        return jump_row(model, Q, mixings(model.interface, model.coupler)[0])

    smooth, hard = jump(), jump(partition=Hard)
    assert smooth.ok and smooth.value < 1e-10 and hard.ok is False
    assert "inner edge, middle, outer edge" in smooth.note
    if not shape.rides_on():
        leaky, half = jump(switch=Leaky()), jump(partition=HalfWay)
        assert leaky.ok is False and leaky.value == pytest.approx(0.05 * hard.value, rel=1e-6)
        with pytest.raises(MultiscaleError, match="use a switch that is continuous"):
            Preconditions((half,)).require()
    # The nearest atom to the outer edge, taken there; its neighbours feel its move.
    d, normal = shape.distance(Q, Q)
    atom = int(np.argmin(np.abs(d - ZONE)))
    at = Q.copy()
    at[atom] += (ZONE - d[atom]) * normal[atom]
    regions = mixed(shape=shape).interface.regions
    e = [r.evaluate(at, Query(Can.SITE_ENERGIES)).site_energies[atom] for r in regions.values()]
    assert hard.value == pytest.approx(abs(e[0] - e[1]), rel=1e-6)


def test_noise_does_not_pass_for_a_jump():
    """Single precision: the energy is uncertain by 1e-5 eV, at edges as elsewhere."""
    model = mixed(dtype="float32")
    row = jump_row(model, Q, mixings(model.interface, model.coupler)[0])
    assert row.ok is None and row.value > 1e-9 and "noise" in row.note


def test_weights_that_rest_and_boxes():
    rest = mixed(frame="reference")
    table = examine(rest, Q, print=False)
    assert table["ΔE_max"].value is None and "rest" in table["ΔE_max"].note
    assert table["max |∇s||ΔE|"].value > 0 and "no force" in table["max |∇s||ΔE|"].note
    box = mixed(shape=Box(tuple(X[SEED]), (4.0, 4.0, 4.0)))
    row = jump_row(box, Q, mixings(box.interface, box.coupler)[0])
    assert row.ok and "outer edge" in row.note


def part(radius=9.0):
    """Atoms within a radius of the seed, free of the cell."""
    inside = np.flatnonzero(np.linalg.norm(X - X[SEED], axis=1) < radius)
    atoms = SILICON[inside]
    atoms.set_pbc(False)
    return atoms, inside


def overlaid(coupler, overlay, names=("high", "below")):
    """A cluster of the better level over all atoms, and the cheaper one on the same cluster."""
    atoms, inside = part()
    at = select(inside, len(X))
    models = dict(zip(("high", "below"), (HIGH, LOW), strict=True))
    regions = {n: (MLRegion(models[n], atoms, energy_zero=zeros(models[n])), at) for n in names}
    regions["low"] = MLRegion(LOW, SILICON)
    interface = Interface(X, regions, Nested([], rest="low"), overlays=overlay, strict=False)
    return HybridModel(interface, coupler)


def test_overlays():
    """The pair is the cluster's two levels, or the cluster and what is below it."""
    shape = Sphere(tuple(X[SEED]), 2.5)
    site = overlaid(SiteSubtractive("high", "below"), {"high": Overlay(shape, 3.9, frame="current")})
    (pair,) = mixings(site.interface, site.coupler)
    assert (pair.high, pair.low, pair.moving) == ("high", "below", True)
    table = examine(site, Q, perfect=True, print=False)
    a, b = (
        site.interface.regions[r].evaluate(Q[part()[1]], Query(Can.FORCES | Can.SITE_ENERGIES))
        for r in ("high", "below")
    )
    d = np.linalg.norm(Q[part()[1]] - X[SEED], axis=1) - 2.5
    inside = (d > 0) & (d < 3.9)
    left = np.linalg.norm(a.forces - b.forces, axis=1)[inside]
    assert table["ε_F, high/below"].value == pytest.approx(np.sqrt(np.mean(left**2)), rel=1e-12)
    spurious = np.abs(Quintic().d1(d / 3.9)) / 3.9 * np.abs(a.site_energies - b.site_energies)
    assert table["max |∇s||ΔE|"].value == pytest.approx(spurious.max(), rel=1e-12)
    assert table["ΔE_max"].ok and table["ghost force"].ok and abs(table["energy offset"].value) < 1e-12
    forces = ForceMixing("high")
    mixing = overlaid(forces, {"high": Overlay(shape, 3.9)}, names=("high",))
    (pair,) = mixings(mixing.interface, mixing.coupler)
    assert (pair.high, pair.low, pair.moving) == ("high", "low", False)
    assert Preconditions(interface_numbers(mixing, Q))["ε_F, high/low"].value > 0.05
    whole = Subtractive("high", "below")
    table = examine(overlaid(whole, {}), Q, print=False)
    assert "no switching zone" in table["ε_F, high/below"].note and table["zone"].value == len(part()[1])


def test_quantum_levels_without_site_energies():
    copper = bulk("Cu", a=3.61, cubic=True) * (3, 3, 3)
    regions = {"high": QMRegion(copper, EMT), "low": QMRegion(copper, lambda: EMT(asap_cutoff=True))}
    shape = Sphere(tuple(copper.positions[40]), 3.0)
    interface = Interface(copper.positions, regions, Nested([], rest="low"), overlays={"high": Overlay(shape, 3.0)})
    model = HybridModel(interface, ForceMixing("high", inner=ForceBlend()))
    table = examine(model, perfect=True, print=False)
    assert table["max |∇s||ΔE|"].value is None and "no site energies" in table["max |∇s||ΔE|"].note
    assert table["energy offset"].value is None and table["ΔE_max"].value is None
    assert table["pure core"].ok is None and "forces are mixed" in table["pure core"].note
    assert table["ε_F relative"].value > 1e-3


def test_levels_that_have_only_total_energies():
    """Lattice constants by the lowest energy; elastic constants by clusters."""
    cell = bulk("Cu", a=3.6)

    def emt(box):
        at = cell.copy()
        at.set_cell(box, scale_atoms=True)
        return QMRegion(at, EMT)

    table = Preconditions(bulk_match(emt, emt, Crystal.of(cell, 3.6)))
    assert table["lattice constant"].ok and "3.5898" in table["lattice constant"].note
    assert table["elastic constants"].value is None and "cluster_match" in table["elastic constants"].note
    low = engines()[1]
    B, tetragonal, shear = (151.4152 + 2 * 76.4234) / 3, (151.4152 - 76.4234) / 2, 109.7565
    r = Rescaling(
        1.01, 1.2, 1.01 * A0, 95.0, 40.0, 70.0, (B, 0.8 * tetragonal, shear), (B, tetragonal, shear), ("a", "b")
    )
    applied = Preconditions(cluster_match(r, low, CRYSTAL))
    assert applied["lattice constant"].ok and applied["B"].ok and applied["C44 unrelaxed"].ok
    assert applied["C′"].value == pytest.approx(-0.2, abs=1e-3) and applied["C′"].ok is False
    raw = Preconditions(cluster_match(r, low, CRYSTAL, applied=False))
    assert raw["lattice constant"].value == pytest.approx(0.01, abs=1e-6) and raw["B"].ok is False


def test_buffers():
    """The thickness of the run is judged against the thickest, by the user's gates."""
    gates = Gates(buffer_force=0.02, buffer_energy=0.1)
    rows = Preconditions(buffer_convergence((1, 2, 3), (0.35, 0.013, 0.0), (0.5, 0.24, 0.0), gates))
    assert rows["buffer, force"].ok and rows["buffer, site energy"].ok is False
    assert "2 bonds against 3" in rows["buffer, force"].note
    assert buffer_convergence((1, 2, 3), (0.35, 0.013, 0.0), None, gates, used=1)[0].ok is False
    with pytest.raises(MultiscaleError, match="0.24 eV.*more hops of buffer"):
        rows.require()
    with pytest.raises(MultiscaleError, match="cannot be judged"):
        buffer_convergence((1, 2), (0.1, 0.0), used=2)
    with pytest.raises(MultiscaleError, match="two or more"):
        buffer_convergence((1,), (0.1,))


def test_the_page_shows_what_the_example_prints(capsys):
    """Digits of round-off aside."""
    example = runpy.run_path(str(ROOT / "docs" / "examples" / "preconditions.py"))
    page = (ROOT / "docs" / "preconditions.md").read_text(encoding="utf-8")
    shown = {
        line[:34].strip(): line[34:].split() for line in page.splitlines() if line.startswith("  ") and "│" not in line
    }
    assert capsys.readouterr().out.strip() == str(example["table"]).strip()
    for row in example["table"].rows:
        value, *rest = shown[row.quantity]
        assert {True: "✓", False: "✗", None: "–"}[row.ok] in rest
        if row.value is not None and abs(row.value) > 1e-5:
            assert float(value) == pytest.approx(row.value, rel=2e-3), row.quantity


def test_refusals_and_verdicts():
    with pytest.raises(MultiscaleError, match="needs? both"):
        examine(mixed(), engines=engines())
    with pytest.raises(MultiscaleError, match="no two of the regions"):
        interface_numbers(
            HybridModel(Interface(X, {"low": MLRegion(LOW, SILICON)}, Nested([], rest="low")), EnergyBlend())
        )
    with pytest.raises(MultiscaleError, match="crystal of 2 atoms"):
        bulk_match(lambda box: MLRegion(LOW, SILICON), engines()[1], CRYSTAL)
    assert judged("x", float("nan"), "", 1.0).ok is False
    rows = Preconditions((judged("a", 2e-3, "", 1e-3), judged("b", 5.0, "", 1.0), judged("c", float("nan"), "", 1.0)))
    with pytest.raises(MultiscaleError, match="'c' is nan and needs .*2 other numbers fail too"):
        rows.require()
    with pytest.raises(MultiscaleError, match="'b' is 5 and needs to be at most 1"):
        Preconditions(rows.rows[:2]).require()
    with pytest.raises(MultiscaleError, match="no precondition is called 'z'; there are a, b, c"):
        rows["z"]
    assert len((rows + [judged("d", 0.0)]).rows) == 4


def test_the_table_is_the_same_on_all_ranks(tmp_path):
    """Two ranks share both regions; rank 0 alone prints."""
    script = Path(__file__).parent / "mpi" / "precondition_ranks.py"
    done = mpi(2, str(script), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    *shown, last = done.stdout.splitlines()
    found = json.loads(last)
    assert found["same"] and sum("ghost force" in line for line in shown) == 1
    for one, two in zip(runpy.run_path(str(script))["values"], found["values"], strict=True):
        assert (one is None) == (two is None) and (one is None or two == pytest.approx(one, rel=1e-9, abs=1e-10))
