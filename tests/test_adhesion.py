"""Adhesion counted once: bodies, laws measured on potentials, loads that take ghost forces off, audits; and what each of them refuses."""

import dataclasses

import numpy as np
import pytest
from processes import ROOT

pytest.importorskip("torch")
from couplers import EnergyBlend, GhostCorrected  # noqa: E402
from multiscale import Cylinder, HybridModel, Interface, Nested, catalogue  # noqa: E402
from multiscale.adhesion.audit import mask_error, pairs_across  # noqa: E402
from multiscale.adhesion.curve import MeasuredCurve  # noqa: E402
from multiscale.adhesion.facing import Facing  # noqa: E402
from multiscale.adhesion.fits import ParkPaulinoRoesler, fit_exponential, fit_ppr  # noqa: E402
from multiscale.adhesion.ghost import GhostLoad  # noqa: E402
from multiscale.adhesion.joined import joined  # noqa: E402
from multiscale.adhesion.law import InterfaceLaw, extract, measure  # noqa: E402
from multiscale.adhesion.separation import gamma_surface, separate  # noqa: E402
from multiscale.adhesion.slabs import Slabs  # noqa: E402
from multiscale.adhesion.sliding import GammaSurface  # noqa: E402
from multiscale.bodies import labelled, parted  # noqa: E402
from multiscale.continuum.traction import Exponential  # noqa: E402
from multiscale.fracture.lattice import Orientation  # noqa: E402
from multiscale.models import StillingerWeber, Tersoff  # noqa: E402
from multiscale.region import Can, Query  # noqa: E402
from multiscale.regions.across import AcrossRegion  # noqa: E402
from multiscale.regions.cohesive import CohesiveRegion  # noqa: E402
from multiscale.regions.ml import MLRegion  # noqa: E402
from multiscale.sharing import Alike, Everything, Separately  # noqa: E402
from multiscale.testing.specimens.mace import random_mace  # noqa: E402
from multiscale.types import GPA_PER_EV_A3, J_M2_PER_EV_A2, MultiscaleError, Team  # noqa: E402

CARDS = catalogue.cards([ROOT / "cases"])
A0 = 2 ** (1 / 6) * 4 / np.sqrt(3) * 2.0951
LATTICE = np.array([[A0 * np.sqrt(6) / 4, A0 / np.sqrt(8)], [0.0, A0 / np.sqrt(2)]])
ALL = Can.ENERGY | Can.FORCES | Can.SITE_ENERGIES


@pytest.fixture(scope="module")
def sw():
    slabs = Slabs.of("Si", A0)
    law = extract(
        MLRegion(StillingerWeber(), slabs.atoms), slabs, {"potential": "SW"}, grid=(6, 6), lattice=LATTICE, opened=5.0
    )
    return slabs, law


# -- bodies -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "model", [StillingerWeber(), Tersoff(), random_mace(num_elements=2)], ids=["SW", "Tersoff", "MACE"]
)
def test_bodies_apart_are_separate_graphs(model):
    """Energy, forces and site energies of bodies that do not see each other are those of each body alone, shaken and pressed together."""
    slabs = Slabs.of("Si", A0)
    x = slabs.opened(-0.2) + np.random.default_rng(0).normal(0, 0.05, slabs.atoms.positions.shape)
    apart, full = MLRegion(model, slabs.atoms, bodies=slabs.bodies), MLRegion(model, slabs.atoms)
    a, f = apart.evaluate(x, Query(ALL)), full.evaluate(x, Query(ALL))
    for body in (0, 1):
        mine = np.flatnonzero(slabs.bodies == body)
        alone = MLRegion(model, slabs.atoms[mine]).evaluate(x[mine], Query(ALL))
        assert a.forces[mine] == pytest.approx(alone.forces, abs=1e-12)
        assert a.site_energies[mine] == pytest.approx(alone.site_energies, abs=1e-12)
    assert abs(mask_error(apart, x)) < 1e-10
    # A region that saw its neighbours would be off by what acts across.
    with pytest.raises(MultiscaleError, match="no bodies to audit"):
        mask_error(full, x)
    across = AcrossRegion(model, slabs.atoms, slabs.bodies)
    w = np.random.default_rng(1).uniform(size=len(x))
    c = across.evaluate(x, Query(ALL, w))
    full_w, apart_w = full.evaluate(x, Query(ALL, w)), apart.evaluate(x, Query(ALL, w))
    assert c.energy == pytest.approx(full_w.energy - apart_w.energy, abs=1e-10)
    assert c.forces == pytest.approx(full_w.forces - apart_w.forces, abs=1e-11)
    assert c.site_energies == pytest.approx(f.site_energies - a.site_energies, abs=1e-11)
    far = slabs.opened(across.reach + 1.0)
    assert not across.near(far).any() and across.evaluate(far, Query()).energy == 0.0


def test_bad_bodies():
    with pytest.raises(MultiscaleError, match="atom 1 is on more than one list"):
        parted(4, [0, 1], [1, 2, 3])
    with pytest.raises(MultiscaleError, match="atom 3 is on none of the lists"):
        parted(4, [0, 1], [2])
    with pytest.raises(MultiscaleError, match="numbered from 0"):
        parted(4, [0, 1], [2, 4])
    with pytest.raises(MultiscaleError, match="two bodies or more"):
        labelled(np.zeros(4, int), 4)
    with pytest.raises(MultiscaleError, match="one integer per atom"):
        labelled([0, 1], 4)
    assert parted(3, [2], [0, 1]).tolist() == [1, 1, 0]


def test_bodies_that_overlap():
    slabs = Slabs.of("Si", A0)
    with pytest.raises(
        MultiscaleError, match=r"bodies overlap: at site \d+ of \d+ \(atoms \d+ and \d+\) the upper face lies"
    ):
        Facing.bonds(slabs.atoms, slabs.bodies, -slabs.normal, slabs.area, 2.8)
    with pytest.raises(MultiscaleError, match="bodies overlap: at site 0"):
        Facing.faces(
            slabs.atoms.positions, slabs.upper[:2], np.flatnonzero(slabs.bodies == 0)[-2:], slabs.normal, slabs.area
        )
    with pytest.raises(MultiscaleError, match="no bonds"):
        Facing.bonds(slabs.atoms, slabs.bodies, slabs.normal, slabs.area, 1.0)


# -- laws -------------------------------------------------------------------------------------------------------


def test_law_of_stillinger_weber(sw):
    """W = 4ε/(√3 a₀²) and the strength of independent codes; the table is exact where it is asked."""
    slabs, law = sw
    c = law.curve
    assert c.toughness == pytest.approx(4 * 2.1683 / (np.sqrt(3) * A0**2), rel=1e-9)
    assert c.strength * GPA_PER_EV_A3 == pytest.approx(36.23, abs=0.02) and c.peak == pytest.approx(0.59, abs=2e-3)
    region = MLRegion(StillingerWeber(), slabs.atoms)
    at = np.array([-0.21, 0.123, 0.777, 1.321])
    true = separate(region, slabs, at)
    assert c.traction(at) == pytest.approx(true.traction[:, 0], abs=2e-4 * c.strength)
    assert c.energy(at) == pytest.approx(true.energy, abs=1e-6 * c.toughness)
    assert abs(true.work - c.toughness) < 1e-12 and abs(measure(region, slabs).closure) < 1e-5


def test_law_is_a_potential(sw):
    """Traction and tangent against differences, sliding included; a slide by a translation costs nothing."""
    law, rng, h, past = sw[1], np.random.default_rng(0), 1e-5, np.zeros(60)
    for zero in ("apart", "closed"):
        law = law.counted_from(zero)
        d = np.column_stack([rng.uniform(-0.3, 6.0, 60), rng.normal(0, 2, (60, 2))])
        for i in range(3):
            e = h * np.eye(3)[i]
            slope = (law.energy(d + e, past) - law.energy(d - e, past)) / (2 * h)
            assert law.traction(d, past)[:, i] == pytest.approx(slope, abs=1e-8)
            bend = (law.traction(d + e, past) - law.traction(d - e, past)) / (2 * h)
            assert law.tangent(d, past)[:, :, i] == pytest.approx(bend, abs=1e-6)
        plane = law.traction(d[:, :2], past)
        assert plane == pytest.approx(law.traction(np.column_stack([d[:, :2], np.zeros(60)]), past)[:, :2])
    slid = np.zeros((1, 3))
    slid[0, 1:] = LATTICE[0] - 3 * LATTICE[1]
    assert law.energy(slid, past[:1]) == pytest.approx(0.0, abs=1e-13)


def test_zero_of_energy(sw):
    law, far, shut = sw[1], np.array([[9.0, 0, 0]]), np.zeros((1, 3))
    assert law.energy(far, np.zeros(1)) == pytest.approx(0.0, abs=1e-12)
    assert law.energy(shut, np.zeros(1)) == pytest.approx(-law.curve.toughness)
    other = law.counted_from("closed")
    assert other.energy(shut, np.zeros(1)) == pytest.approx(0.0, abs=1e-15)
    with pytest.raises(MultiscaleError, match="counted_from\\('apart'\\)"):
        joined(StillingerWeber(), sw[0], other)


def test_law_outside_its_range(sw):
    with pytest.raises(MultiscaleError, match="outside its measured range: compressed by 0.6 Å, measured down to 0.4"):
        sw[1].traction(np.array([[-0.6, 0.0, 0.0]]), np.zeros(1))
    x = np.linspace(-0.3, 3.0, 40)
    t = np.asarray(Exponential(0.2, 0.15).traction(x))
    with pytest.raises(MultiscaleError, match="measure farther, until nothing holds"):
        MeasuredCurve(x, t)
    with pytest.raises(MultiscaleError, match="the tail would hold"):
        MeasuredCurve(x[:20], t[:20], tail="exponential")
    with pytest.raises(MultiscaleError, match="never vanish"):
        MeasuredCurve(x[10:], t[10:], tail="exponential")
    with pytest.raises(MultiscaleError, match="do not belong together"):
        MeasuredCurve(x, t, energies=2 * np.asarray(Exponential(0.2, 0.15).energy(x)), tail="exponential")


def test_tails():
    """An exponential tail goes on as the law does; Hamaker's finds A of half-spaces whose pairs fall off as r⁻⁶."""
    smooth = Exponential(0.2, 0.15)
    x = np.linspace(-0.3, 4.0, 60)
    c = MeasuredCurve(x, np.asarray(smooth.traction(x)), tail="exponential")
    assert c.toughness == pytest.approx(smooth.toughness, rel=0.01)
    out = np.array([4.5, 6.0, 30.0])
    h = 1e-5
    assert c.traction(out) == pytest.approx((c.energy(out + h) - c.energy(out - h)) / (2 * h), abs=1e-10)
    assert c.slope(out) == pytest.approx((c.traction(out + h) - c.traction(out - h)) / (2 * h), abs=1e-9)
    assert c.energy(np.array([1e3])) == pytest.approx(c.toughness)
    # p = A/6πh³ with h counted from a contact distance of 2 Å, and a wall in front of it.
    hamaker, z = 1.3, 2.0
    h3 = np.linspace(-0.25, 12.0, 400)
    p = hamaker / (6 * np.pi) * ((h3 + z) ** -3 - z**6 * (h3 + z) ** -9)
    c = MeasuredCurve(h3, p, tail="hamaker")
    assert c.hamaker == pytest.approx(hamaker, rel=1e-3)
    assert c.traction(np.array([30.0])) == pytest.approx(hamaker / (6 * np.pi) * 32.0**-3, rel=1e-2)
    assert np.isnan(MeasuredCurve(h3, p, tail="exponential").hamaker)


@pytest.mark.parametrize("law", ["exponential", "ppr"])
def test_fits_find_their_own_form(law):
    own = Exponential(0.2, 0.15) if law == "exponential" else ParkPaulinoRoesler(0.2, 0.15, 3.0, 0.2)
    fit = (fit_exponential if law == "exponential" else fit_ppr)(own)
    assert abs(fit.strength) < 1e-3 and fit.root_mean_square < 2e-3 and abs(fit.opening) < 1e-2
    assert "strength" in str(fit)


def test_park_paulino_roesler():
    c = ParkPaulinoRoesler(0.2, 0.15, 3.0, 0.15)
    x, h = np.linspace(0.01, 1.2 * c.final, 200), 1e-6
    assert c.traction(x) == pytest.approx((c.energy(x + h) - c.energy(x - h)) / (2 * h), abs=1e-7)
    assert c.slope(x) == pytest.approx((c.traction(x + h) - c.traction(x - h)) / (2 * h), abs=1e-5)
    fine = np.linspace(0, c.final, 100_001)
    assert c.traction(fine).max() == pytest.approx(0.2, rel=1e-8) and fine[
        np.argmax(c.traction(fine))
    ] == pytest.approx(0.15 * c.final, rel=1e-3)
    assert c.energy(np.array([2 * c.final])) == pytest.approx(0.15) and c.stiffness == pytest.approx(
        float(c.slope(np.array([0.0]))[0])
    )
    with pytest.raises(MultiscaleError, match="λ < 1/√shape"):
        ParkPaulinoRoesler(0.2, 0.15, 3.0, 0.7)


def test_law_in_a_file(sw, tmp_path):
    law = sw[1]
    law.write(tmp_path / "law.json")
    again = InterfaceLaw.read(tmp_path / "law.json")
    d = np.array([[0.3, 0.2, -0.7], [-0.1, 0.0, 0.0], [7.0, 1.0, 1.0]])
    assert again.energy(d, np.zeros(3)) == pytest.approx(law.energy(d, np.zeros(3)), abs=1e-15)
    assert again.curve.provenance["potential"] == "SW" and again.curve.provenance["atoms"] == 24
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(MultiscaleError, match="is no interface law"):
        InterfaceLaw.read(tmp_path / "other.json")


def test_gamma_surface(sw):
    slabs, law = sw
    g, h = law.gamma, 1e-5
    s = np.random.default_rng(0).normal(0, 3, (20, 2))
    for i in range(2):
        e = h * np.eye(2)[i]
        assert g.gradient(s)[:, i] == pytest.approx((g.energy(s + e) - g.energy(s - e)) / (2 * h), abs=1e-8)
        assert g.hessian(s)[:, :, i] == pytest.approx((g.gradient(s + e) - g.gradient(s - e)) / (2 * h), abs=1e-7)
    assert g.energy(np.zeros((1, 2))) == pytest.approx(0.0, abs=1e-15)
    grid = np.array([[i / 6, j / 6] for i in range(6) for j in range(6)]) @ LATTICE
    assert g.energy(grid) == pytest.approx(g.values.ravel(), abs=1e-12)
    with pytest.raises(MultiscaleError, match="no translation of the interface"):
        gamma_surface(MLRegion(StillingerWeber(), slabs.atoms), slabs, (3, 3), [[2.0, 0.0], [0.0, 3.84]])
    with pytest.raises(MultiscaleError, match="parallel"):
        GammaSurface(np.zeros((3, 3)), [[1.0, 0.0], [2.0, 0.0]])
    with pytest.raises(MultiscaleError, match="needs both"):
        InterfaceLaw(law.curve, gamma=g)


def test_law_of_a_quantum_engine():
    """Ammonia borane pulled apart by GFN1-xTB: tractions are the energy's, and W is that of two molecules calculated alone."""
    pytest.importorskip("tblite")
    from ase import Atoms

    from multiscale.regions.qm import QMRegion

    turns = 2.0 * np.pi / 3.0 * np.arange(3)
    ring = 1.19 * np.column_stack([np.cos(turns), np.zeros(3), np.sin(turns)])
    lower = Atoms("BH3", np.vstack([np.zeros(3), ring - [0.0, 0.25, 0.0]]))
    upper = Atoms("NH3", np.vstack([[0.0, 1.7, 0.0], 0.8 * ring + [0.0, 2.08, 0.0]]))
    atoms = lower + upper
    atoms.set_cell([5.0, 0.0, 5.0])  # an area of 25 Å²; nothing is periodic
    slabs = Slabs(atoms, parted(8, range(4), range(4, 8)), 1.7)
    found = measure(QMRegion(atoms, accuracy=0.1), slabs, opened=9.0, spacing=0.2)
    assert abs(found.closure) < 1e-4
    halves = [QMRegion(atoms[np.flatnonzero(slabs.bodies == k)], accuracy=0.1) for k in (0, 1)]
    whole = QMRegion(atoms, accuracy=0.1).evaluate(atoms.positions, Query()).energy
    apart = sum(h.evaluate(h.reference, Query()).energy for h in halves)
    assert found.work * slabs.area == pytest.approx(apart - whole, abs=5e-3)  # what is left of it at 9 Å
    curve = MeasuredCurve(found.opening, found.traction[:, 0], found.energy, tail="exponential")
    assert curve.toughness > found.work > 0.5 * curve.toughness


def test_separation_refuses():
    slabs = Slabs.of("Si", A0)
    region = MLRegion(StillingerWeber(), slabs.atoms)
    with pytest.raises(MultiscaleError, match="openings ascend"):
        separate(region, slabs, [0.1, 0.1])
    atoms = slabs.atoms.copy()
    atoms.pbc = True
    with pytest.raises(MultiscaleError, match="periodic along the interface's normal"):
        separate(MLRegion(StillingerWeber(), atoms), slabs, [0.0, 0.1])
    with pytest.raises(MultiscaleError, match="make it of slabs.atoms"):
        separate(region, Slabs.of("Si", A0, repeats=(2, 1)), [0.0, 0.1])
    with pytest.raises(MultiscaleError, match="thinner grips"):
        slabs.gripped(9.0)


# -- counted once -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["law alone", "atoms and law"])
def test_joined_bodies_have_one_energy(sw, name):
    """F = −∂E/∂q and the Jacobian; closed they are the full model; matter and interface are counted once."""
    _, law = sw
    slabs = Slabs.of("Si", A0, repeats=(4, 1))
    x0 = slabs.atoms.positions
    where = (Cylinder((13.0, 0.0, 0.0), 3.0), 4.0) if name == "atoms and law" else None
    interface = joined(StillingerWeber(), slabs, law, by_atoms=where)
    model = HybridModel(interface, EnergyBlend())
    full = MLRegion(StillingerWeber(), slabs.atoms).evaluate(x0, Query()).energy
    e = model.evaluate(x0)
    assert e.energy == pytest.approx(full, abs=1e-9) and np.abs(e.forces).max() < 1e-7
    ledger = model.ledger(x0)
    assert ledger.coverage == (1.0, 1.0)
    if where is not None:
        assert ledger.interface == pytest.approx((slabs.area, slabs.area), rel=1e-13)
        assert "Å² counted, 1.0000" in str(ledger)
        pairs = pairs_across(interface, "across", "law")
        assert pairs.least == pytest.approx(1.0, abs=1e-13) and pairs.largest == pytest.approx(1.0, abs=1e-13)
        assert 0.1 < pairs.by_law < 0.9
    rng, h = np.random.default_rng(0), 1e-5
    x, v = slabs.opened(0.3, (0.1, 0.2)) + rng.normal(0, 0.03, x0.shape), rng.normal(size=x0.shape)
    slope = (model.evaluate(x + h * v).energy - model.evaluate(x - h * v).energy) / (2 * h)
    assert slope == pytest.approx(-float(np.sum(model.evaluate(x).forces * v)), rel=1e-7)
    bend = (model.evaluate(x + h * v).forces - model.evaluate(x - h * v).forces) / (2 * h)
    assert (model.jacobian(x) @ v.ravel()).reshape(-1, 3) == pytest.approx(-bend, abs=1e-5)


def test_both_ways_of_sharing_are_the_same(sw):
    """Bodies with what acts across, or full and apart with a law like the latter: the same energy and forces."""
    slabs = Slabs.of("Si", A0, repeats=(4, 1))
    facing, law = slabs.facing(), CohesiveRegion(slabs.facing(), sw[1], modulus=np.inf)
    core, zone = Cylinder((13.0, 0.0, 0.0), 3.0), 4.0
    one = joined(StillingerWeber(), slabs, sw[1], by_atoms=(core, zone), ghost=0)
    full = MLRegion(StillingerWeber(), slabs.atoms)
    full.area = facing.of_atoms
    regions = {"full": full, "apart": MLRegion(StillingerWeber(), slabs.atoms, bodies=slabs.bodies), "law": law}
    partition = Alike(Nested([("full", core, zone)], rest="apart"), {"law": "apart"})
    assert partition.groups == (("full", "apart"), ("full", "law"))
    anchors = dict.fromkeys(("full", "apart"), facing.anchors)
    two = Interface(slabs.atoms.positions, regions, partition, anchors=anchors)
    x = slabs.opened(0.3) + np.random.default_rng(0).normal(0, 0.03, slabs.atoms.positions.shape)
    a, b = (HybridModel(i, EnergyBlend()) for i in (one, two))
    assert a.evaluate(x).energy == pytest.approx(b.evaluate(x).energy, abs=1e-9)
    assert a.evaluate(x).forces == pytest.approx(b.evaluate(x).forces, abs=1e-10)
    assert b.ledger(x).interface == pytest.approx((slabs.area, slabs.area), rel=1e-13)


def test_an_interface_counted_twice_is_refused(sw):
    """Saboteurs: weights that do not add up, areas that are not each other's, regions shared under two names."""
    slabs = Slabs.of("Si", A0, repeats=(4, 1))
    interface = joined(StillingerWeber(), slabs, sw[1], by_atoms=(Cylinder((13.0, 0.0, 0.0), 3.0), 4.0), ghost=0)
    regions = {r: interface.regions[r] for r in ("bodies", "law", "across")}
    both = Separately(Everything("bodies"), Separately(Everything("law"), Everything("across")))
    x0 = slabs.atoms.positions
    with pytest.raises(MultiscaleError, match="'across' feel each other, and 'law' joins them, too"):
        HybridModel(Interface(x0, regions, both), EnergyBlend())  # said to be two interfaces
    with pytest.raises(MultiscaleError, match="of 102.174 Å² of interface between the bodies, across and law count"):
        HybridModel(Interface(x0, regions, interface.partition), EnergyBlend())  # no anchors
    with pytest.raises(MultiscaleError, match="different regions"):
        Separately(Everything("law"), Everything("law"))
    with pytest.raises(MultiscaleError, match="under new names"):
        Alike(Everything("law"), {"law": "law"})


def test_a_law_over_atoms_that_see_each_other_is_refused(sw):
    """Forgotten bodies: the gate names it; taken off, the energy is wrong by the work of separation."""
    slabs, law = Slabs.of("Si", A0), sw[1]
    regions = {
        "full": MLRegion(StillingerWeber(), slabs.atoms),
        "law": CohesiveRegion(slabs.facing(), law, modulus=np.inf),
    }
    both, x0 = Separately(Everything("full"), Everything("law")), slabs.atoms.positions
    with pytest.raises(MultiscaleError, match="'full' feel each other, and 'law' joins them, too"):
        HybridModel(Interface(x0, regions, both), EnergyBlend())
    twice = HybridModel(Interface(x0, regions, both, strict=False), EnergyBlend()).evaluate(x0).energy
    true = HybridModel(joined(StillingerWeber(), slabs, law, ghost=0), EnergyBlend()).evaluate(x0).energy
    assert twice - true == pytest.approx(-slabs.area * law.curve.provenance["work of separation"], abs=1e-8)


def test_weights_of_pairs_are_those_of_sites(sw):
    """Saboteur: without anchors atoms are weighed at their own places, the law at its sites, and pairs do not add up."""
    slabs = Slabs.of("Si", A0, repeats=(4, 1))
    interface = joined(StillingerWeber(), slabs, sw[1], by_atoms=(Cylinder((13.0, 0.0, 0.0), 3.0), 4.0), ghost=0)
    bare = Interface(slabs.atoms.positions, dict(interface.regions), interface.partition)
    pairs = pairs_across(bare, "across", "law")
    assert pairs.least < 1.0 - 1e-3
    with pytest.raises(MultiscaleError, match="no law between faces of atoms"):
        pairs_across(bare, "across", "bodies")


def test_what_acts_across_has_no_mass(sw):
    """Atoms weigh once, whoever counts the adhesion."""
    slabs = Slabs.of("Si", A0, repeats=(4, 1))
    interface = joined(StillingerWeber(), slabs, sw[1], by_atoms=(Cylinder((13.0, 0.0, 0.0), 3.0), 4.0))
    assert EnergyBlend().masses(interface) == pytest.approx(slabs.atoms.get_masses())


def test_audits_are_of_whole_regions(sw):
    """A region that ranks share answers with its share; energy zeros and precision are the region's own."""
    slabs = Slabs.of("Si", A0)
    apart = MLRegion(StillingerWeber(), slabs.atoms, bodies=slabs.bodies, energy_zero={"Si": -4.0})
    assert abs(mask_error(apart, slabs.atoms.positions)) < 1e-10
    apart.bind(Team(0, 2))
    with pytest.raises(MultiscaleError, match="shared by 2 ranks"):
        mask_error(apart, slabs.atoms.positions)


def test_interfaces_that_cannot_be_shared_or_made(sw):
    """(100): two bonds per atom; three bodies; rows that are no means; provenance that is no text."""
    slabs = Slabs.of("Si", A0, orientation=Orientation((0, 1, 1), (1, 0, 0), (0, 1, -1)), repeats=(4, 1))
    with pytest.raises(MultiscaleError, match="up to 2 bonds across it"):
        joined(StillingerWeber(), slabs, sw[1], by_atoms=(Cylinder((8.0, 0.0, 0.0), 3.0), 4.0), ghost=0)
    s = Slabs.of("Si", A0)
    with pytest.raises(MultiscaleError, match="got 3 bodies"):
        Facing.bonds(s.atoms, np.arange(len(s.atoms)) % 3, [0, 1, 0], 1.0, 3.0)
    rows = np.eye(2)
    with pytest.raises(MultiscaleError, match="sum to one"):
        Facing(np.array([[0.0, 0, 0], [0, 2, 0]]), 0.5 * rows[:1], rows[1:], [1.0], [0, 1, 0])
    with pytest.raises(MultiscaleError, match="positive area"):
        Facing.bonds(s.atoms, s.bodies, [0, 1, 0], -1.0, 3.0)


def test_provenance_may_have_numbers_of_numpy(sw, tmp_path):
    """Written after an expensive measurement: it must not fail there."""
    law = dataclasses.replace(
        sw[1], curve=dataclasses.replace(sw[1].curve, provenance={"n": np.int64(3), "cell": np.eye(2)})
    )
    law.write(tmp_path / "law.json")
    assert InterfaceLaw.read(tmp_path / "law.json").curve.provenance == {"n": 3, "cell": [[1.0, 0.0], [0.0, 1.0]]}


def test_ghost_force_of_relaxing_surfaces():
    """Tersoff's faces pull themselves in by 0.873 eV/Å (independent codes); with the load nothing is left, and it fades when they part."""
    slabs = Slabs.of("Si", 5.432)
    model = Tersoff()
    law = extract(MLRegion(model, slabs.atoms), slabs, {}, opened=4.5, spacing=0.2)
    across = AcrossRegion(model, slabs.atoms, slabs.bodies)
    ghost = GhostLoad.of(across, slabs.facing(), law)
    region = CohesiveRegion(slabs.facing(), law, modulus=np.inf)
    x0 = slabs.atoms.positions
    full = MLRegion(model, slabs.atoms).evaluate(x0, Query()).forces  # the outer surfaces relax, too
    plain = HybridModel(joined(model, slabs, law, ghost=0), EnergyBlend()).evaluate(x0).forces
    assert np.abs(plain - full).max() == pytest.approx(0.873, abs=1e-3)
    assert np.abs(HybridModel(joined(model, slabs, law), EnergyBlend()).evaluate(x0).forces - full).max() < 1e-8
    missed = ghost.missed(across, region, np.array([slabs.opened(d) for d in (0.0, 0.3, 0.5, 4.0)]))
    assert missed[0] < 1e-8 and missed[-1] < 1e-5 and missed[1:3].max() > 1e-3
    assert ghost.residual < 1e-4
    # Where it is as large as it gets, a dead load would still pull on free surfaces.
    dead = HybridModel(joined(model, slabs, law, ghost=0), GhostCorrected())
    free = MLRegion(model, slabs.atoms, bodies=slabs.bodies).evaluate(slabs.opened(4.0), Query()).forces
    assert HybridModel(joined(model, slabs, law), EnergyBlend()).evaluate(slabs.opened(4.0)).forces == pytest.approx(
        free, abs=1e-5
    )
    assert dead.coupler.claims.conservative
    with pytest.raises(MultiscaleError, match="ghost load needs four"):
        GhostLoad(slabs.facing(), [0.0, 1.0, 2.0, 3.0], x0[:3], slabs.bodies, np.eye(3), np.zeros(3, bool))


def test_counted_once(tmp_path):
    """The case with the potential whose surfaces relax; the others take the case's own sizes."""
    pytest.importorskip("matplotlib")
    case = catalogue.load(CARDS["counted_once"].script)
    kept = [e for e in case.expected() if e.quantity.startswith("Tersoff")]
    found = case.run("small", tmp_path, silent=True, potentials="Tersoff")["quantities"]
    missed = [e.quantity for e in kept if not e.met(found[e.quantity]["value"])]
    assert missed == [] and len(kept) > 11
    assert (tmp_path / "counted_once.png").stat().st_size > 10_000
    law = InterfaceLaw.read(tmp_path / "Tersoff.law.json")
    assert law.curve.toughness * J_M2_PER_EV_A2 == pytest.approx(2.5728, abs=1e-3)


def test_fading_needs_an_end(sw):
    law = sw[1]
    bad = law.fading.copy()
    bad[1] += 0.1
    with pytest.raises(MultiscaleError, match="d = 0 at the last"):
        dataclasses.replace(law, fading=bad)
