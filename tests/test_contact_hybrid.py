"""Hybrid contacts: springs of ghost loads, atoms and meshes about an interface, pulling through instabilities, two small cases."""

import dataclasses
import inspect

import numpy as np
import pytest
import scipy.sparse as sp
from processes import ROOT

pytest.importorskip("torch")
pytest.importorskip("multiscale.continuum.laws", exc_type=ImportError)  # needs DOLFINx
from couplers import EnergyBlend  # noqa: E402
from multiscale import HybridModel, Interface, Slab, catalogue  # noqa: E402
from multiscale.adhesion.ghost import GhostLoad, default_openings  # noqa: E402
from multiscale.adhesion.hybrid import HybridContact  # noqa: E402
from multiscale.adhesion.joined import joined  # noqa: E402
from multiscale.adhesion.law import extract  # noqa: E402
from multiscale.adhesion.pulling import of_slabs, pull, relaxed_curve, tension  # noqa: E402
from multiscale.adhesion.slabs import Slabs  # noqa: E402
from multiscale.adhesion.springs import Springs  # noqa: E402
from multiscale.continuum.graded import rectangle  # noqa: E402
from multiscale.fracture.material import CrackMaterial  # noqa: E402
from multiscale.models import StillingerWeber, Tersoff  # noqa: E402
from multiscale.regions.across import AcrossRegion  # noqa: E402
from multiscale.regions.ml import MLRegion  # noqa: E402
from multiscale.sharing import Everything  # noqa: E402
from multiscale.types import GPA_PER_EV_A3, MultiscaleError  # noqa: E402

CARDS = catalogue.cards([ROOT / "cases"])


@pytest.fixture(scope="module")
def silicon():
    return CrackMaterial.of(StillingerWeber())


@pytest.fixture(scope="module")
def law(silicon):
    slabs = Slabs.of("Si", silicon.a)
    return extract(MLRegion(silicon.model, slabs.atoms), slabs, {}, opened=5.0)


def test_springs_are_the_matrix():
    """½ u G u of a matrix whose blocks are symmetric; the same when all atoms move alike; the family is weighed member by member."""
    rng, n = np.random.default_rng(0), 5
    full = rng.normal(size=(2, n, n, 3, 3))
    full = full + full.transpose(0, 1, 2, 4, 3)  # symmetric blocks
    full = full + full.transpose(0, 2, 1, 3, 4)  # symmetric matrix
    for k in range(2):
        for i in range(n):
            full[k, i, i] = -sum(full[k, i, j] for j in range(n) if j != i)
    dense = full.transpose(0, 1, 3, 2, 4).reshape(2, 3 * n, 3 * n)
    springs = Springs([sp.csr_matrix(d) for d in dense])
    assert len(springs) == n * (n - 1) // 2 and springs.left_out < 1e-12
    u = rng.normal(size=(n, 3))
    want = 0.5 * np.einsum("i,kij,j->k", u.ravel(), dense, u.ravel())
    assert springs.energies(u).sum(axis=1) == pytest.approx(want)
    assert springs.energies(u + [1.0, -2.0, 3.0]) == pytest.approx(springs.energies(u))
    w = np.array([[0.3], [0.7]]) * np.ones(len(springs))
    assert springs.stiffness(w).toarray() == pytest.approx(0.3 * dense[0] + 0.7 * dense[1])


def test_second_order_responds_as_all_atoms_do():
    """A closed interface under a small uniform strain: forces of law and load are much nearer to the potential's to second order."""
    slabs, model = Slabs.of("Si", 5.432), Tersoff()
    law = extract(MLRegion(model, slabs.atoms), slabs, {}, opened=4.5, spacing=0.2)
    x0 = slabs.atoms.positions
    full = HybridModel(Interface(x0, {"full": MLRegion(model, slabs.atoms)}, Everything("full")), EnergyBlend())
    off = {}
    for order in (1, 2):
        hybrid = HybridModel(joined(model, slabs, law, ghost=order), EnergyBlend())
        off[order] = []
        for strain in (0.002, 0.004):
            x = x0 * [1.0, 1.0 + strain, 1.0]
            off[order].append(float(np.abs(hybrid.evaluate(x).forces - full.evaluate(x).forces).max()))
    assert off[1][1] > 3 * off[2][1]
    assert off[1][1] / off[1][0] == pytest.approx(2.0, rel=0.2)


def test_ghost_load_refuses(silicon, law):
    slabs = Slabs.of("Si", silicon.a)
    across = AcrossRegion(silicon.model, slabs.atoms, slabs.bodies)
    ghost = GhostLoad.of(across, slabs.facing(), law, 1, openings=[-0.1, 0.0, 0.5, 4.0])
    assert ghost.openings.tolist() == [-0.1, 0.0, 0.5, 4.0] and ghost.springs is None
    table = default_openings(law)
    assert (np.diff(table) > 0).all() and table[0] == -0.2 and table[-1] > 1.2
    with pytest.raises(MultiscaleError, match="four or more ascending openings"):
        GhostLoad(slabs.facing(), [0.0, 1.0], np.zeros((2, 24, 3)), slabs.bodies, np.eye(3), np.zeros(3, bool))


def test_pulling_goes_through_the_instability(silicon):
    """T(Δ) of all atoms, unstable branch included: work is energy, and a rigid machine would snap."""
    slabs = Slabs.of("Si", silicon.a)
    at, measure, fixed, held = of_slabs(slabs, 2.0)
    x0 = slabs.atoms.positions
    model = HybridModel(
        Interface(x0, {"full": MLRegion(silicon.model, slabs.atoms)}, Everything("full"), fixed=fixed), EnergyBlend()
    )
    faces = np.concatenate([np.arange(0.0, 1.5, 0.05), [2.0, 3.5, 5.0]])
    found = pull(model, at, measure, faces, held, slabs.normal, slabs.area)
    assert found.opening.max() > 4.0 and np.diff(found.opening).min() < -0.2  # the grips go back
    assert found.strength * GPA_PER_EV_A3 == pytest.approx(34.53, abs=0.05)
    assert found.stiffness * GPA_PER_EV_A3 == pytest.approx(12.7, abs=0.3)
    assert abs(found.closure(slabs.area)) < 1e-3
    opening, traction = found.snapped()
    assert (np.diff(opening) > 0).all() and traction[-1] == pytest.approx(0.0, abs=1e-3)
    with pytest.raises(MultiscaleError, match="softer than interface and bodies"):
        relaxed_curve(found, lambda t: 5.0 * t, 16.0, 10.0)
    with pytest.raises(MultiscaleError, match="upper grip holds no fixed dof"):
        pull(model, at, measure, faces, ~fixed, slabs.normal, slabs.area)


def test_relaxed_law_does_not_depend_on_the_height(silicon):
    """Six and twelve bilayers: one law once the crystal's own strain is taken off; linear elasticity leaves Ångströms."""
    strain, c22 = tension(silicon.cauchy_born()), silicon.C[1, 1] / GPA_PER_EV_A3
    curves, linear = [], []
    for k in (1, 2):
        slabs = Slabs.of("Si", silicon.a, cells=(k, k))
        at, measure, fixed, held = of_slabs(slabs, 2.0)
        x0 = slabs.atoms.positions
        full = Interface(x0, {"full": MLRegion(silicon.model, slabs.atoms)}, Everything("full"), fixed=fixed)
        faces = np.concatenate([np.arange(0.0, 1.5, 0.05), np.arange(1.5, 3.0, 0.25)])
        found = pull(HybridModel(full, EnergyBlend()), at, measure, faces, held, slabs.normal, slabs.area)
        # A homogeneous strain takes the gripped bilayers' inner atoms where planes of this height go.
        y = np.unique(np.round(x0[:, 1], 6))
        height = 2.0 * (y[-2] + silicon.inner_shift[1, 1, 1, 1])
        curves.append(relaxed_curve(found, strain, height, 129.4 / GPA_PER_EV_A3))
        top = int(np.argmax(found.traction))
        linear.append(float(found.opening[top] - height * found.traction[top] / c22))
    work = 4 * 2.1683 / (np.sqrt(3) * silicon.a**2)
    x = np.linspace(0.02, 1.4, 200)
    assert curves[0].traction(x) == pytest.approx(curves[1].traction(x), abs=1e-3 * curves[0].strength)
    for c in curves:
        assert c.toughness == pytest.approx(work, rel=1e-3)
        assert c.strength * GPA_PER_EV_A3 == pytest.approx(34.53, rel=1e-3)
    with pytest.raises(MultiscaleError, match="bears"):
        strain(np.array([1.0]))
    assert linear[1] - linear[0] > 2.0


def test_slabs_with_meshes(silicon, law):
    """Twelve bilayers, four free atoms: closed they are at rest with the energy of the crystal, matter and interface counted once."""
    side = silicon.a * silicon.orientation.repeats
    y = np.array([1.6, 6.0, 11.0, 16.3])
    x = np.array([0.0, side[0]])
    contact = HybridContact(
        silicon, rectangle(x, -y[::-1], 2), rectangle(x, y, 2), Slab((0, 0, 0), (0, 1, 0), 1.6), 4.0, float(side[0])
    )
    assert contact.n_free == 4 and contact.fixed()[: contact.n_free].sum() == 0
    energies = []
    for interface in (contact.interface(), contact.interface(law), contact.interface(law, 0)):
        model = HybridModel(interface, EnergyBlend())
        e = model.evaluate(contact.reference)
        energies.append(e.energy)
        assert np.abs(e.forces[: contact.n_free]).max() < 1e-8
        q = contact.at(0.05) + np.random.default_rng(0).normal(0, 0.01, contact.reference.shape)
        v, h = np.random.default_rng(1).normal(size=q.shape), 1e-5
        slope = (model.evaluate(q + h * v).energy - model.evaluate(q - h * v).energy) / (2 * h)
        assert slope == pytest.approx(-float(np.sum(model.evaluate(q).forces * v)), rel=1e-6)
        ledger = model.ledger(contact.reference)
        assert max(abs(c - 1) for c in ledger.coverage) < 1e-10
    assert energies[1] == pytest.approx(energies[0], abs=1e-8) and energies[2] == pytest.approx(energies[0], abs=1e-8)
    with pytest.raises(MultiscaleError, match="whole number of the crystal's periods"):
        dataclasses.replace(contact, width=1.1 * float(side[0]))
    with pytest.raises(MultiscaleError, match="sides of the meshes are x = 0"):
        dataclasses.replace(contact, width=2.0 * float(side[0]))
    with pytest.raises(MultiscaleError, match="use law.counted_from"):
        contact.interface(law.counted_from("closed"))
    with pytest.raises(MultiscaleError, match="alone has to be periodic"):
        contact.rod(contact.reference, 2.0)
    with pytest.raises(MultiscaleError, match="core has no atoms"):
        HybridContact(silicon, contact.lower, contact.upper, Slab((0, 40.0, 0), (0, 1, 0), 0.5), 4.0, float(side[0]))


def test_slab_pull_off(tmp_path):
    """Slopes of the case, with large steps; the peaks take the case's own."""
    pytest.importorskip("matplotlib")
    case = catalogue.load(CARDS["slab_pull_off"].script)
    found = case.run("small", tmp_path, silent=True, potentials="Stillinger-Weber", heights="2", strains=5, step=0.5)
    found = {name: q["value"] for name, q in found["quantities"].items()}
    assert found["Stillinger-Weber: law, second order: slope over all atoms'"] == pytest.approx(1.0, abs=0.02)
    assert found["Stillinger-Weber: law: slope over all atoms'"] == pytest.approx(1.0, abs=0.06)
    assert abs(found["thick slabs: worst slope over all atoms', less one"]) < 0.02
    assert found["thick slabs: coverage error of matter"] < 1e-10
    assert (tmp_path / "slab_pull_off.png").stat().st_size > 10_000


def test_a_round_tip_in_space(silicon):
    """Atoms and tetrahedra: closed it is the crystal, forces are the energy's, matter is counted once, and the gap's law has its area."""
    module = inspect.getmodule(type(catalogue.load(CARDS["tip_on_surface"].script)))
    slabs = Slabs.of("Si", silicon.a)
    law = extract(MLRegion(silicon.model, slabs.atoms), slabs, {}, opened=5.0)
    tip = module.Tip(12.0, 8.0, 24.0, 5.0, True)
    contact = tip.hybrid(silicon, 4.0, law)
    assert contact.pbc == (False, False, False) and not contact.fixed()[: contact.n_free].any()
    model = HybridModel(contact.interface(), EnergyBlend())
    assert np.abs(model.evaluate(contact.reference).forces[: contact.n_free]).max() < 1e-8
    ledger = model.ledger(contact.reference)
    assert max(abs(c - 1) for c in ledger.coverage) < 1e-10
    # Seen along y, the gap is a polygon in the ring between the circles where the tip's surface crosses the two spheres.
    inner, outer = (np.sqrt(2.0) * np.sqrt(12.0 * np.sqrt(144.0 + r**2) - 144.0) for r in (8.0, 24.0))
    assert contact.gap[0].area.sum() == pytest.approx(np.pi * (outer**2 - inner**2), rel=0.02)
    # The two meshes are as large as their half spheres, less what chords cut off.
    assert contact.lower.volumes.sum() == pytest.approx(2 * np.pi / 3 * (24.0**3 - inner**3), rel=0.08)
    q = contact.at(0.3) + np.random.default_rng(0).normal(0, 0.01, contact.reference.shape)
    v, h = np.random.default_rng(1).normal(size=q.shape), 1e-5
    slope = (model.evaluate(q + h * v).energy - model.evaluate(q - h * v).energy) / (2 * h)
    assert slope == pytest.approx(-float(np.sum(model.evaluate(q).forces * v)), rel=1e-6)
    with pytest.raises(MultiscaleError, match="got dimensions 3 and 2"):
        dataclasses.replace(contact, upper=rectangle(np.array([0.0, 1.0]), np.array([1.0, 2.0])))
    with pytest.raises(MultiscaleError, match="no width"):
        dataclasses.replace(contact, width=6.65)
    full, upper = tip.all_atoms(silicon)
    assert upper.any() and not full.regions["atoms"].pbc.any()


def test_tip_on_surface(tmp_path):
    """Contact and the first half Ångström of pulling; jumps take the case's own size."""
    pytest.importorskip("matplotlib")
    case = catalogue.load(CARDS["tip_on_surface"].script)
    with pytest.raises(MultiscaleError, match="caps are hydrogen"):
        case.run("small", tmp_path, silent=True, quantum=4.6)
    with pytest.raises(MultiscaleError, match="a round tip has no rod"):
        case.run("quantum", tmp_path, silent=True, round=True)
    with pytest.raises(MultiscaleError, match="knows the potentials"):
        case.run("small", tmp_path, silent=True, potential="lj")
    found = case.run("small", tmp_path, silent=True, step=0.5, high=1.5, press=0.0, pull=0.5, circle=35.0)
    found = {name: q["value"] for name, q in found["quantities"].items()}
    assert found["energy of contact over all atoms'"] == pytest.approx(1.0, abs=1e-3)
    assert found["stiffness of the contact over all atoms'"] == pytest.approx(1.0, abs=0.03)
    assert found["coverage error of matter"] < 1e-10
    # Every height is on disk as soon as it is found.
    for name in ("hybrid", "all atoms"):
        kept, ledger = ((tmp_path / f).read_text().splitlines() for f in (f"{name}.csv", "ledger.csv"))
        assert len(kept) == len(ledger) > 3
    assert (tmp_path / "ledger.csv").read_text().startswith("height Å") and (tmp_path / "tip.vtu").exists()
    assert (tmp_path / "tip_on_surface.png").stat().st_size > 10_000
