"""Self-certification: sound engines pass, each saboteur fails at what is wrong with it, and the gate quotes the number."""

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from typer.testing import CliRunner

from couplers import EnergyBlend, ForceMixing, Subtractive
from multiscale import HybridModel, Interface, Nested, Overlay, Sphere
from multiscale.certificate import Certificate, Measurement
from multiscale.certify import certified, certify
from multiscale.cli import app
from multiscale.models import StillingerWeber
from multiscale.region import Can, Query
from multiscale.regions import MLRegion
from multiscale.regions.chain import ChainRegion
from multiscale.types import MultiscaleError

SW = StillingerWeber()


class Silicon(MLRegion):
    """Nothing wrong with it."""

    def __init__(self, atoms, dtype="float64"):
        super().__init__(SW, atoms, dtype=dtype)


class WrongForces(Silicon):
    """One per cent too much."""

    def evaluate(self, x, query):
        a = super().evaluate(x, query)
        return a if a.forces is None else replace(a, forces=1.01 * a.forces)


class WrongWeightedGradient(Silicon):
    """As from an implicit gradient that lets go of the weights: Σ w ∂e of the wrong sites, right at equal weights."""

    def evaluate(self, x, query):
        if query.weights is None or Can.FORCES not in query.want:
            return super().evaluate(x, query)
        rest = super().evaluate(x, Query(query.want & ~Can.FORCES, query.weights, query.vector))
        plain = super().evaluate(x, Query(Can.FORCES))
        return replace(rest, forces=query.weights[:, None] * plain["forces"])


class SitesDoNotSum(Silicon):
    """Site energies of another partition, which forgot a part."""

    def evaluate(self, x, query):
        a = super().evaluate(x, query)
        return a if a.site_energies is None else replace(a, site_energies=a.site_energies + 1e-5)


class Anchored(Silicon):
    """Feels where it is in space, consistently: energy and forces of a potential k x."""

    def evaluate(self, x, query):
        a = super().evaluate(x, query)
        w = np.ones(len(x)) if query.weights is None else query.weights
        pull = np.zeros_like(x)
        pull[:, 0] = 1e-3 * w
        return replace(
            a,
            energy=None if a.energy is None else a.energy + float(np.sum(pull * x)),
            forces=None if a.forces is None else a.forces - pull,
            site_energies=None if a.site_energies is None else a.site_energies + 1e-3 * x[:, 0],
        )


class Counts(Silicon):
    """Its energy depends on the order of its atoms."""

    def evaluate(self, x, query):
        a, e = super().evaluate(x, query), 1e-3 * np.cos(np.arange(len(x)))
        w = np.ones(len(x)) if query.weights is None else query.weights
        return replace(
            a,
            energy=None if a.energy is None else a.energy + float(w @ e),
            site_energies=None if a.site_energies is None else a.site_energies + e,
        )


class NotExtensive(Silicon):
    """Normalised by the size of the system, as by a batch statistic."""

    def evaluate(self, x, query):
        a, f = super().evaluate(x, query), 1.0 + 1e-3 / len(x)
        parts = {n: getattr(a, n) for n in ("energy", "forces", "site_energies", "stress", "hvp")}
        return replace(a, **{n: v if v is None else f * v for n, v in parts.items()})


SABOTEURS = {
    WrongForces: ("forces", Can.FORCES | Can.SUBSETS),
    WrongWeightedGradient: ("weighted gradient", Silicon.can & ~(Can.SITE_ENERGIES | Can.SITE_WEIGHTS)),
    SitesDoNotSum: ("site energies", Silicon.can & ~(Can.SITE_ENERGIES | Can.SITE_WEIGHTS)),
    Anchored: ("translation", Can.FORCES | Can.SUBSETS),
    Counts: ("permutation", Can.FORCES | Can.SUBSETS),
    NotExtensive: ("doubled cell", Can.FORCES | Can.SUBSETS),
}
CELL = bulk("Si", a=5.43, cubic=True)
CLUSTER = Atoms("Si8", CELL.positions)


@pytest.mark.parametrize("precision", ["double", "single"])
@pytest.mark.parametrize("atoms", [CELL, CLUSTER], ids=["crystal", "cluster"])
def test_sound_engines_pass(atoms, precision):
    dtype = "float64" if precision == "double" else "float32"
    found = certify(lambda a: Silicon(a, dtype), atoms, precision=precision)
    assert found.ok and not found.unmeasured, str(found)
    region = Silicon(atoms, dtype)
    assert certified(region, found) is region and found.refuses(Can.SITE_WEIGHTS) is None
    checks = {m.check.partition(",")[0] for m in found.measurements}
    assert {"forces", "weighted gradient", "site energies", "translation", "rotation", "permutation"} < checks
    assert ("doubled cell" if atoms.pbc.all() else "two far copies") in checks


@pytest.mark.parametrize("engine", SABOTEURS)
def test_saboteurs_fail_at_what_is_wrong_with_them(engine):
    check, left = SABOTEURS[engine]
    found = certify(engine, CELL)
    failed = {m.check.partition(",")[0] for m in found.failed}
    assert check in failed
    # Nothing is blamed but what follows: a doubled cell puts atoms elsewhere and gives them other numbers.
    follows = {
        WrongForces: {"weighted gradient"},
        Anchored: {"rotation", "doubled cell"},
        Counts: {"doubled cell"},
    }
    assert failed <= {check} | follows.get(engine, set())
    assert found.allowed(Silicon.can) == left
    assert check in found.refuses(Can.SITE_WEIGHTS)


def test_every_check_has_a_saboteur():
    cluster = certify(NotExtensive, Atoms("Si2", [[0, 0, 0], [2.2, 0.4, 0.3]]))
    assert "two far copies" in {m.check.partition(",")[0] for m in cluster.failed}
    anchored = {m.check.partition(",")[0] for m in certify(Anchored, CELL).failed}
    assert {"translation", "rotation"} <= anchored
    measured = {m.check.partition(",")[0] for m in certify(Silicon, CELL).measurements}
    assert measured <= {check for check, _ in SABOTEURS.values()} | anchored


class Gaps(Silicon):
    """An energy that is no number in one evaluation of many, as of a self-consistency that fails there."""

    at, weighted = 0, False

    def evaluate(self, x, query):
        a = super().evaluate(x, query)
        if a.energy is None or (query.weights is not None) != self.weighted:
            return a
        self.at -= 1
        return replace(a, energy=float("nan")) if self.at == 0 else a


@pytest.mark.parametrize(
    ("at", "weighted", "check"),
    # Of five directions with four energies each: in the first, the second and the last; then the two energies of ∂E/∂w.
    [
        (1, False, "forces"),
        (6, False, "forces"),
        (20, False, "forces"),
        (6, True, "weighted gradient"),
        (21, True, "site energies"),
    ],
)
def test_a_single_gap_fails(at, weighted, check):
    region = Gaps(CELL)
    region.at, region.weighted = at, weighted
    found = certify(region)
    assert {m.check.partition(",")[0] for m in found.failed} == {check}
    assert any(np.isnan(m.measured) for m in found.failed)
    assert not found.allowed(Silicon.can) & Can.SITE_WEIGHTS


class Infinite(Silicon):
    """One site of infinite energy, which widens the gates that are relative to it."""

    def evaluate(self, x, query):
        a = super().evaluate(x, query)
        if a.site_energies is None:
            return a
        return replace(a, site_energies=np.where(np.arange(len(x)) == 3, np.inf, a.site_energies))


def test_what_is_infinite_fails():
    assert "site energies" in {m.check for m in certify(Infinite, CELL).failed}
    assert not Measurement("forces", float("inf"), float("inf"), "eV/Å", Can.ENERGY).ok


class Endless(Silicon):
    """A reach without end, as of an engine with k-points."""

    def __init__(self, atoms):
        super().__init__(atoms)
        self.reach = float("inf")


class ForcesAlone(Silicon):
    can = Can.FORCES


def test_what_is_not_measured_is_listed():
    """Extensivity where the cell leaves no room for copies and the reach no doubled cell; quantities that the engine lacks."""
    (crystal,) = certify(Endless, CELL).unmeasured
    assert crystal.startswith("extensivity, by a doubled cell: the engine's reach is infinite")
    slab = CELL.copy()
    slab.pbc = [True, True, False]
    found = certify(Endless, slab)
    assert "extensivity along the periodic axes" in found.unmeasured[0] and "open axis" not in found.unmeasured[0]
    assert "two far copies" in {m.check.partition(",")[0] for m in found.measurements}
    assert not certify(Endless, CLUSTER).unmeasured
    lines = certify(ForcesAlone, CLUSTER).unmeasured
    assert [line.partition(":")[0] for line in lines] == [
        "forces against energies", "site energies and weights",
        "energies, site energies of moved, turned, reordered and doubled structures",
    ]  # fmt: skip


def two_regions(core):
    atoms = CELL * (4, 4, 4)
    cheap = Silicon(atoms)
    sphere = Sphere(atoms.positions.mean(axis=0), 4.0)
    blend = Interface(
        atoms.positions, {"core": core(atoms), "rest": cheap}, Nested([("core", sphere, 4.5)], rest="rest")
    )
    return atoms, cheap, sphere, blend


def test_the_coupler_is_refused_with_the_number_and_force_mixing_is_not():
    found = certify(WrongForces, CELL)
    number = next(m for m in found.failed if m.check == "forces").measured
    atoms, cheap, sphere, blend = two_regions(lambda atoms: certified(WrongForces(atoms), found))
    with pytest.raises(MultiscaleError, match="EnergyBlend needs ENERGY . SITE_WEIGHTS of region 'core'") as error:
        HybridModel(blend, EnergyBlend())
    assert f"forces {number:.2g} eV/Å (gate" in str(error.value) and "force_mixing" in str(error.value)
    over = Interface(
        atoms.positions,
        {"rest": cheap, "core": certified(WrongForces(atoms), found)},
        Nested([], rest="rest"),
        overlays={"core": Overlay(sphere, 0.0)},
    )
    with pytest.raises(MultiscaleError, match="certification of MLRegion"):
        HybridModel(over, Subtractive("core", "rest"))
    mixed = HybridModel(over, ForceMixing("core")).evaluate(atoms.positions)
    assert mixed.energy is None and np.isfinite(mixed.forces).all()


def test_a_certified_region_refuses_by_itself():
    region = certified(WrongForces(CELL), certify(WrongForces, CELL))
    assert region.can == Can.FORCES | Can.SUBSETS and WrongForces(CELL).can == Silicon.can
    assert region.evaluate(region.reference, Query(Can.FORCES)).forces is not None
    with pytest.raises(MultiscaleError, match="asked for ENERGY.*certification.*forces"):
        region.evaluate(region.reference, Query(Can.ENERGY))


def test_a_single_region_is_certified_as_far_as_it_goes():
    x = np.zeros((12, 3))
    x[:, 0] = np.arange(12)
    found = certify(ChainRegion(x))
    assert found.ok and "other structures" in found.unmeasured[0]
    assert {m.check for m in found.measurements} >= {"forces", "weighted gradient", "site energies"}


def test_what_is_not_a_number_fails():
    assert not Measurement("forces", float("nan"), 1e-6, "eV/Å", Can.ENERGY).ok
    assert not Certificate("x", "double", (Measurement("forces", float("nan"), 1e-6, "eV/Å", Can.ENERGY),)).ok


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: certify(Silicon, CELL, precision="half"), "'double' or 'single'"),
        (lambda: certify(Silicon), "no atoms"),
    ],
)
def test_unsuitable_questions_are_refused(call, sentence):
    with pytest.raises(MultiscaleError, match=sentence):
        call()


def test_the_command_line_certifies_registered_regions():
    done = CliRunner().invoke(app, ["certify", "chain"])
    assert done.exit_code == 0 and "weighted gradient" in done.output and "not measured" in done.output
    assert CliRunner().invoke(app, ["certify", "nobody"]).exit_code == 2
