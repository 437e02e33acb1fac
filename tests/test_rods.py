"""Rods: quantum regions without ends along a periodic axis, their energy per period, and a crack with one over its tip."""

from __future__ import annotations

import inspect

import ase
import numpy as np
import pytest
from ase.calculators.lj import LennardJones
from processes import ROOT

pytest.importorskip("torch")

from couplers import EnergyBlend, ForceMixing, Subtractive
from multiscale import HybridModel, Overlay, catalogue
from multiscale.continuum.meshing import gmsh
from multiscale.fracture.lattice import SHUFFLE_111, diamond
from multiscale.neighbours import NeighbourList
from multiscale.region import Can, Query
from multiscale.regions.qm import QMRegion
from multiscale.regions.quantum_rod import QuantumRod
from multiscale.regions.rods import carve_rod, rod_cell
from multiscale.shapes import Cylinder
from multiscale.types import MultiscaleError

A = 5.43
BOND = A * np.sqrt(3.0) / 4.0
ALL = Query(Can.ENERGY | Can.FORCES)


def pairwise(**changes):
    """An engine whose energy is exactly extensive: shifted pairs within 5 Å, the same for silicon and caps."""
    return LennardJones(**{"sigma": 2.0, "epsilon": 0.3, "rc": 5.0, "ro": 4.0, "smooth": True, **changes})


@pytest.fixture(scope="module")
def crystal():
    return diamond(SHUFFLE_111, A, 14.0)


@pytest.fixture(scope="module")
def cell(crystal):
    return np.diag([0.0, 0.0, crystal.period])


def rod_of(crystal, cell, **settings):
    x = crystal.positions
    core = np.flatnonzero(np.hypot(x[:, 0], x[:, 1]) < 2.6)
    return carve_rod(["Si"] * len(x), x, cell, core, bond_length=1.2 * BOND, **settings)


@pytest.mark.parametrize("hops", [0, 1, 2])
def test_every_bond_is_kept_or_capped(crystal, cell, hops):
    """Four bonds per atom, images included; no atom outside has two; caps are where they should be."""
    rod, x = rod_of(crystal, cell, hops=hops), crystal.positions
    m = len(rod.symbols)
    pairs = NeighbourList(1.2 * BOND, cell, [False, False, True], 0.0).pairs(x[rod.index])
    bonds = np.bincount(pairs.i, minlength=m) + np.bincount(rod.links[:, 0], minlength=m)
    assert (bonds == 4).all() and not rod.shift.any()
    assert len(np.unique(rod.links[:, 1])) == len(rod.links) and not np.isin(rod.links[:, 1], rod.index).any()
    at = rod.positions(x, cell)
    assert np.linalg.norm(at[m:] - at[rod.links[:, 0]], axis=1) == pytest.approx(1.48)
    assert rod.core.sum() == (np.hypot(x[:, 0], x[:, 1]) < 2.6).sum()


def test_energy_and_forces_are_those_of_one_period(crystal, cell):
    """An extensive engine gives the same per period whatever the number of repeats; the zeros are one period's, too."""
    rod = rod_of(crystal, cell, hops=1)
    x = rod.positions(crystal.positions, cell)
    x[:, :] += 0.05 * np.random.default_rng(0).normal(size=x.shape)
    atoms = ase.Atoms(rod.all_symbols, x, cell=rod_cell(x, cell), pbc=True)
    settings = {
        "link_atoms": rod.link_atoms,
        "length_scale": 1.01,
        "energy_scale": 0.9,
        "energy_zero": {"Si": -1.5, "H": 0.2},
    }
    one, three = (QMRegion(atoms, pairwise(), repeat=(1, 1, n), **settings) for n in (1, 3))
    a, b = one.evaluate(x, ALL), three.evaluate(x, ALL)
    assert b.energy == pytest.approx(a.energy, abs=1e-10)
    assert np.abs(b.forces - a.forces).max() < 1e-11
    # Caps and atoms of one period, whatever is calculated.
    assert b.forces.shape == x.shape and three.n_sites == len(x)


def test_rods_and_repeats_that_make_no_sense_are_refused(crystal, cell):
    x = crystal.positions
    with pytest.raises(MultiscaleError, match="empty core"):
        carve_rod(["Si"] * len(x), x, cell, [])
    with pytest.raises(MultiscaleError, match="max_atoms = 10"):
        rod_of(crystal, cell, hops=2, max_atoms=10)
    atoms = ase.Atoms("Si", cell=np.eye(3) * 9.0, pbc=[False, False, True])
    for repeat in ((2, 1, 1), (1, 1, 0), (1, 2)):
        with pytest.raises(MultiscaleError, match="above 1 only along periodic axes"):
            QMRegion(atoms, pairwise(), repeat=repeat)


def test_a_quantum_polymer_has_a_periodic_energy():
    """Polysilane in GFN1-xTB: forces are minus the gradient, and have no net force; two periods per cell or a cell of two are the same."""
    pytest.importorskip("tblite")
    period, y = 3.84, 0.55
    si = [[0.0, -y, 0.0], [0.0, y, 0.5 * period]]
    h = [[s * 1.2, p[1] + np.sign(p[1]) * 0.87, p[2]] for p in si for s in (-1.0, 1.0)]
    x = np.array(si + h) + 0.03 * np.random.default_rng(0).normal(size=(6, 3))
    # In a cell much wider than long, tblite's Ewald sums leave 1e-4 eV/Å.
    atoms = ase.Atoms("Si2H4", x, cell=rod_cell(x, np.diag([0, 0, period]), vacuum=8.0), pbc=True)
    region = QMRegion(atoms, repeat=(1, 1, 2))
    found = region.evaluate(x, ALL)
    twice = atoms.repeat((1, 1, 2))
    whole = QMRegion(twice).evaluate(twice.positions, ALL)
    assert found.energy == pytest.approx(0.5 * whole.energy, abs=1e-5)
    assert np.abs(found.forces - whole.forces[:6]).max() < 1e-4
    assert np.abs(found.forces.sum(axis=0)).max() < 1e-6
    v, step = np.random.default_rng(1).normal(size=x.shape), 0.01
    v /= np.linalg.norm(v)
    e = [region.evaluate(x + s * step * v, Query(Can.ENERGY)).energy for s in (1, -1, 2, -2)]
    slope = (8.0 * (e[0] - e[1]) - (e[2] - e[3])) / (12.0 * step)
    assert -float((found.forces * v).sum()) == pytest.approx(slope, abs=2e-5)


@pytest.fixture(scope="module")
def crack():
    pytest.importorskip("multiscale.continuum.laws", exc_type=ImportError)  # needs DOLFINx
    if gmsh is None:
        pytest.skip("gmsh is not installed")
    from multiscale.fracture.hybrid import HybridCrack
    from multiscale.fracture.material import CrackMaterial
    from multiscale.models import StillingerWeber

    return HybridCrack.disc(
        CrackMaterial.of(StillingerWeber(three_body_strength=42.0)), 14.0, 60.0, 5.0, 15.0, blend=6.0
    )


def tip(crack, q, repeat, coupler, high=None, overlays=None):
    """The crack with a rod in two pair potentials, the better one repeated."""
    regions = pair(crack, crack.rod(q, 2.6, hops=1), q, repeat, high or pairwise())
    if overlays is not None:
        del regions["ml_qm"]
    return HybridModel(crack.interface(regions, overlays), coupler)


def pair(of, cluster, q, repeat, high):
    """Two engines on a rod of a crack or a contact."""
    rod = QuantumRod(cluster, of.over(cluster), of.cell, of.reference, q)
    return {
        "qm": (rod.quantum(repeat, calculator=high), rod.rows),
        "ml_qm": (rod.quantum(1, calculator=pairwise()), rod.rows),
    }


def slope(model, q, v, h=1e-3):
    """dE/dv by differences of fourth order."""
    e = [model.evaluate(q + s * h * v).energy for s in (1, -1, 2, -2)]
    return (8.0 * (e[0] - e[1]) - (e[2] - e[3])) / (12.0 * h)


def test_the_energy_of_a_rod_replaces_one_period_of_the_crack(crack):
    """The same engine on both sides changes nothing, however many periods; another one gives forces that are minus the gradient."""
    q = crack.at(1.2 * crack.material.K_griffith)
    q[: crack.n_free] += 0.02 * np.random.default_rng(2).normal(size=(crack.n_free, 3))
    plain = HybridModel(crack.interface(), Subtractive().inner).evaluate(q)
    same = tip(crack, q, 3, Subtractive()).evaluate(q)
    assert same.energy == pytest.approx(plain.energy, abs=1e-9)
    assert np.abs(same.forces - plain.forces).max() < 1e-10

    model = tip(crack, q, 2, Subtractive(), pairwise(epsilon=0.7, sigma=2.1))
    cover = model.ledger(q).coverage
    assert max(abs(c - 1.0) for c in cover) < 1e-12
    f = model.evaluate(q).forces
    assert np.abs(f - plain.forces).max() > 0.1
    # Link atoms hang on atoms outside of the rod, which have to be among those that move.
    v = np.where(model.interface.fixed, 0.0, np.random.default_rng(3).normal(size=q.shape))
    v /= np.linalg.norm(v)
    assert float((f * v).sum()) == pytest.approx(-slope(model, q, v), abs=1e-6)


def test_a_rod_along_a_contact_has_no_caps_between_the_bodies(crack):
    """The same engine on both sides changes nothing while the bodies part; a rod that would cut a bond between them is refused."""
    script = catalogue.cards([ROOT / "cases"])["tip_on_surface"].script
    tip = inspect.getmodule(type(catalogue.load(script))).Tip(30.0, 14.0, 50.0, 4.0)
    contact = tip.hybrid(crack.material, 8.0, None)
    rod = contact.rod(contact.reference, 4.6)
    assert (len(rod.symbols), len(rod.links)) == (20, 14) and (contact.bodies[rod.index] == 1).sum() == 10
    q = contact.at(1.5)
    q[: contact.n_free] += 0.02 * np.random.default_rng(2).normal(size=(contact.n_free, 3))
    plain = HybridModel(contact.interface(), EnergyBlend()).evaluate(q)
    same = HybridModel(contact.interface(extra=pair(contact, rod, q, 2, pairwise())), Subtractive()).evaluate(q)
    assert same.energy == pytest.approx(plain.energy, abs=1e-9)
    assert np.abs(same.forces - plain.forces).max() < 1e-10
    extra = pair(contact, rod, q, 2, pairwise(epsilon=0.7, sigma=2.1))
    model = HybridModel(contact.interface(extra=extra), Subtractive())
    v = np.where(model.interface.fixed, 0.0, np.random.default_rng(3).normal(size=q.shape))
    v /= np.linalg.norm(v)
    assert float((model.evaluate(q).forces * v).sum()) == pytest.approx(-slope(model, q, v), abs=1e-6)
    oblique = contact.at(-0.3) + np.outer(contact.is_upper, [1.7, 0.0, 0.96])
    with pytest.raises(MultiscaleError, match="bonds between the two bodies"):
        contact.rod(oblique, 2.0)


def test_forces_of_a_rod_are_mixed_per_period(crack):
    """Force mixing has the home period's forces, whatever the number of periods."""
    q = crack.at(1.2 * crack.material.K_griffith)
    zone = {"qm": Overlay(Cylinder((0.0, 0.0, 0.0), 1.5), 1.5)}
    one, three = (tip(crack, q, n, ForceMixing(), pairwise(epsilon=0.7), zone).evaluate(q) for n in (1, 3))
    assert one.energy is None and np.abs(one.forces - three.forces).max() < 1e-10


def test_a_load_step_need_not_come_to_rest_once_the_event_is_sure(crack):
    """The same bracket in fewer evaluations; the last state says that it is not at rest, and the first failure is not tried again."""
    from multiscale.drive import load
    from multiscale.drive.relax import relax

    K_G, watch, n = crack.material.K_griffith, crack.watch(), crack.n_free
    brackets, evaluations = [], []
    *_, start = relax(HybridModel(crack.interface(), Subtractive().inner), crack.at(1.3 * K_G), fmax=1e-3)
    whole = ~watch.broken(start.q[:n])
    for sure in (lambda q: False, lambda q: bool((watch.lengths(q[:n])[whole] > 4.0).any())):
        model = HybridModel(crack.interface(), Subtractive().inner)
        states = []
        for at in load(
            model, start.q, crack.advance, start=1.3 * K_G, stop=1.7 * K_G, step=0.16 * K_G, resolution=0.02 * K_G,
            event=lambda q: watch.state(q[:n]), fmax=1e-3, sure=sure,
        ):  # fmt: skip
            states.append(at)
            if at.event and len(states) > 1:
                break
        brackets.append([s.load / K_G for s in states[-2:]])
        evaluations.append(model.evaluations)
        assert states[-1].converged == (len(brackets) == 1)
    assert brackets[0] == pytest.approx(brackets[1]) and brackets[0][0] < 1.447 < brackets[0][1] + 0.01
    assert evaluations[1] < evaluations[0]
