"""The hexagonal crystal, cracks whose mesh follows atoms, their equilibrium by turns, and the case that measures K₋ and K₊."""

import json

import numpy as np
import pytest
from processes import ROOT

pytest.importorskip("torch")
pytest.importorskip("gmsh")
pytest.importorskip("multiscale.continuum.laws", exc_type=ImportError)  # needs DOLFINx

from couplers import EnergyBlend, SharpPad
from multiscale import HybridModel, catalogue
from multiscale.fracture.disc import AtomicCrack
from multiscale.fracture.hexagonal import HexagonalMaterial, hexagonal
from multiscale.fracture.hybrid import HybridCrack
from multiscale.fracture.material import CrackMaterial
from multiscale.fracture.padded import PaddedCrack
from multiscale.fracture.turns import Turns
from multiscale.models import EAM, StillingerWeber
from multiscale.neighbours import NeighbourList
from multiscale.types import MPA_SQRT_M_PER_EV_A25 as UNIT
from multiscale.types import MultiscaleError

STRAIN = np.array([[0.003, 0.001, 0.0], [0.002, -0.004, 0.0], [0.0, 0.0, 0.0]])


@pytest.fixture(scope="module")
def material():
    return HexagonalMaterial.of(EAM.ercolessi_adams())


@pytest.fixture(scope="module")
def crack(material):
    return PaddedCrack.disc(material, 9.9, 200.0, 4.0, 60.0)


def strained(crack):
    return crack.reference + crack.reference @ STRAIN.T


def away_from_faces(crack):
    X = crack.reference
    return ~((np.abs(X[:, 1]) < 1e-6) & (X[:, 0] < 0))


def test_crystal_is_a_close_packed_layer():
    """Six neighbours at a inside, y = 0 midway between rows, a crossing bond's middle at x = 0, a two-fold axis there, the density."""
    c = hexagonal(3.0, 2.5, 21.0)
    X = c.positions
    pairs = NeighbourList(3.3, np.diag([0, 0, 60.0]), [False, False, True], 0.0).pairs(X)
    inside = np.hypot(X[:, 0], X[:, 1]) < 17.0
    assert (np.bincount(pairs.i, minlength=len(X))[inside] == 6).all()
    assert np.linalg.norm(X[pairs.j] - X[pairs.i], axis=1) == pytest.approx(3.0)
    assert np.abs(X[:, 1]).min() == pytest.approx(0.25 * np.sqrt(3) * 3.0)
    across = X[pairs.i, 1] * X[pairs.j, 1] < 0
    assert np.abs(0.5 * (X[pairs.i, 0] + X[pairs.j, 0])[across]).min() < 1e-9
    turned = -X[:, :2]
    assert max(np.linalg.norm(X[:, :2] - p, axis=1).min() for p in turned) < 1e-9
    assert inside.sum() * c.site_volume / c.period == pytest.approx(np.pi * 17.0**2, rel=0.03)


def test_constants_are_the_published_ones(material):
    """10.1016/j.jmps.2003.09.023: a₀ = 2.83 Å and C₁₁ = C₂₂, C₁₂, C₆₆; the crystal that has them all is free of stress along z too."""
    assert material.a == pytest.approx(2.83, abs=0.005)
    assert material.constants == pytest.approx([0.9581, 0.9581, 0.5747, 0.1917], abs=5e-4)
    C11, _, C12, C66 = material.constants
    assert C66 == pytest.approx(0.5 * (C11 - C12), abs=1e-6)
    assert material.sliding < 0 < material.C[3, 3]
    assert 0 < material.gamma_relaxed < material.gamma


def test_a_guess_far_from_any_crystal_is_refused():
    with pytest.raises(MultiscaleError, match="guess"):
        HexagonalMaterial.of(EAM.ercolessi_adams(), guess=(7.0, 7.0))


def test_atoms_stay_in_the_plane_by_symmetry_and_by_mask(material):
    """What the mask forbids, symmetry does not ask for: forces along z are zero in the K-field. Diamond moves in space."""
    disc = AtomicCrack(material, 9.9)
    model = HybridModel(disc.interface(), EnergyBlend())
    assert np.abs(model.evaluate(disc.at(0.28 * UNIT)).forces[:, 2]).max() < 1e-10
    hybrid = HybridCrack.disc(material, 9.9, 100.0, 5.0, 30.0)
    assert disc.fixed()[:, 2].all() and hybrid.fixed()[:, 2].all()
    diamond = AtomicCrack(CrackMaterial.of(StillingerWeber(three_body_strength=42.0)), 8.0)
    assert not diamond.fixed()[: diamond.n_free].any()


def test_sharp_pad_passes_the_patch_test(crack):
    """Atoms, pad, mesh and rim share one linear displacement: no force but on the crack's faces."""
    q = strained(crack)
    model = HybridModel(crack.interface(), SharpPad())
    assert crack.place(q) == pytest.approx(crack.crystal.positions @ (np.eye(3) + STRAIN).T, abs=1e-10)
    assert crack.field_rows.place(q) == pytest.approx(crack.mesh.nodes @ (np.eye(3) + STRAIN).T, abs=1e-10)
    forces = np.where(model.interface.fixed, 0.0, model.evaluate(q).forces)
    assert np.abs(forces[away_from_faces(crack)]).max() < 1e-10


def test_a_rim_that_follows_the_wrong_atoms_fails_the_patch_test(material, monkeypatch):
    right = PaddedCrack._among_atoms
    monkeypatch.setattr(
        PaddedCrack, "_among_atoms", lambda self, p, f: (right(self, p, f)[0], right(self, p, f)[1][:, ::-1])
    )
    wrong = PaddedCrack.disc(material, 9.9, 200.0, 4.0, 60.0)
    forces = HybridModel(wrong.interface(), SharpPad()).evaluate(strained(wrong)).forces
    assert np.abs(np.where(wrong.fixed(), 0.0, forces)[away_from_faces(wrong)]).max() > 1e-3


def test_rim_nodes_follow_atoms_of_their_own_side(crack):
    """Opening the crack by moving the upper atoms moves the upper rim behind the tip, and nothing of the lower one."""
    q = crack.reference
    q[: crack.n_free, 1] += np.where(q[: crack.n_free, 1] > 0, 1.0, 0.0)
    moved = (crack.field_rows.place(q) - crack.mesh.nodes)[crack.rim, 1]
    X = crack.mesh.nodes[crack.rim]
    behind = X[:, 0] < -1.0
    assert moved[behind & (X[:, 1] > 1e-9)] == pytest.approx(1.0)
    assert moved[behind & (X[:, 1] < -1e-9)] == pytest.approx(0.0)
    on_face = behind & (np.abs(X[:, 1]) < 1e-9)
    assert sorted(moved[on_face]) == pytest.approx([0.0, 1.0])


def test_what_a_padded_crack_refuses(material, crack):
    with pytest.raises(MultiscaleError, match="2 atoms in its cell"):
        PaddedCrack(CrackMaterial.of(StillingerWeber()), crack.mesh, 9.9)
    with pytest.raises(MultiscaleError, match="hole"):
        PaddedCrack(material, crack.mesh, 5.0)


def test_turns_end_where_all_forces_vanish(crack):
    """A root of the coupled forces, where atoms with the pad held are at a minimum; one that runs is reported as it breaks a bond."""
    model = HybridModel(crack.interface(), SharpPad())
    turns = Turns(crack, model, HybridModel(crack.atoms_held(), EnergyBlend()), fmax=1e-6)
    rest = turns.settle(crack.at(0.27 * UNIT))
    assert rest.converged
    assert np.abs(np.where(model.interface.fixed, 0.0, model.evaluate(rest.q).forces)).max() < 1e-6
    held = turns.atoms.evaluate(crack.place(rest.q)).forces
    assert np.abs(np.where(turns.atoms.interface.fixed, 0.0, held)).max() < 2e-6
    watch, n = crack.watch(1.4 * crack.material.bond), crack.n_free
    name = watch.state(rest.q[:n])
    q = crack.advance(rest.q, 0.27 * UNIT, 0.33 * UNIT)
    broken = turns.settle(q, lambda at: watch.state(at[:n]) != name)
    assert not broken.converged and watch.front(broken.q[:n]) > watch.front(rest.q[:n])


def test_case(tmp_path):
    """A crack in 42 atoms grows and heals within the published range, by every coupler."""
    case = catalogue.load(catalogue.cards([ROOT / "cases"])["al_crack"].script)
    case.run("small", tmp_path, silent=True, free="9.9", far=200.0, step=0.016, resolution=0.004, all_atom="20")
    found = {n: q["value"] for n, q in json.loads((tmp_path / "result.json").read_text())["quantities"].items()}
    for coupler in ("sharp pad", "energy blend", "ghost corrected"):
        assert found[f"{coupler}, 9.9 Å: what happens at K₊"] == "grows"
        assert found[f"{coupler}, 9.9 Å: what happens at K₋"] == "heals"
        K = [*found[f"{coupler}, 9.9 Å: K₋, bracket"], *found[f"{coupler}, 9.9 Å: K₊, bracket"]]
        assert 0.25 <= min(K) and max(K) <= 0.30
    assert found["all atoms: K_J₊"] == pytest.approx(0.281, abs=0.003)
    assert found["all atoms: K_J₋"] == pytest.approx(0.2565, abs=0.003)
    assert (tmp_path / "al_crack.png").exists() and (tmp_path / "far_field.vtu").exists()
