"""Cracks' crystals, the trapping window, continuation through folds, and stability."""

import numpy as np
import pytest
from processes import ROOT

pytest.importorskip("torch")
pytest.importorskip("multiscale.continuum.laws", exc_type=ImportError)  # needs DOLFINx

from couplers import EnergyBlend
from multiscale import HybridModel, Interface, Nested, catalogue
from multiscale.drive import relax
from multiscale.drive.continuation import arc_length
from multiscale.fracture.disc import AtomicCrack
from multiscale.fracture.lattice import CLEAVAGE_110, SHUFFLE_111, Orientation, diamond, orthogonal_cell
from multiscale.fracture.material import CrackMaterial
from multiscale.fracture.window import bracket, until_event
from multiscale.models import StillingerWeber
from multiscale.neighbours import NeighbourList
from multiscale.regions.chain import ChainRegion, MorsePair
from multiscale.types import MultiscaleError


@pytest.fixture(scope="module")
def material():
    return CrackMaterial.of(StillingerWeber(three_body_strength=42.0))


@pytest.fixture(scope="module")
def crack(material):
    return AtomicCrack(material, 14.0)


@pytest.fixture(scope="module")
def model(crack):
    return HybridModel(crack.interface(), EnergyBlend())


def rise(model, crack, stop, q=None):
    K = crack.material.K_griffith
    start = crack.at(K) if q is None else q
    return list(until_event(model, crack, start, start=K, stop=stop * K, step=0.08 * K, resolution=0.01 * K, fmax=1e-4))


@pytest.mark.parametrize("orientation", [SHUFFLE_111, CLEAVAGE_110, Orientation((0, -1, 1), (1, 0, 0), (0, 1, 1))])
def test_crystals_are_diamond_around_a_crossing_bond(orientation):
    """Four bonds of √3/4 for all atoms inside, y = 0 midway between layers, x = 0 in the middle of a crossing bond, the right density."""
    c = diamond(orientation, 5.0, 16.0)
    pairs = NeighbourList(0.5 * 5.0, np.diag([0, 0, c.period]), [False, False, True], 0.0).pairs(c.positions)
    inside = np.hypot(*c.positions[:, :2].T) < 11.0
    assert (np.bincount(pairs.i, minlength=len(c.positions))[inside] == 4).all()
    layers = np.unique(np.round(c.positions[:, 1], 9))
    below, above = layers[layers < 0].max(), layers[layers > 0].min()
    assert below == pytest.approx(-above, abs=1e-9)
    lower, upper = pairs.i[c.positions[pairs.i, 1] < 0], pairs.j[c.positions[pairs.i, 1] < 0]
    crossing = c.positions[upper, 1] > 0
    middle = 0.5 * (c.positions[lower, 0] + c.positions[upper, 0])[crossing]
    assert np.abs(middle).min() < 1e-9
    assert np.ptp(middle) / (len(np.unique(np.round(middle, 6))) - 1) == pytest.approx(c.spacing, rel=0.1)
    atoms, side = orthogonal_cell(orientation, 5.0, 2)
    assert len(atoms) * c.site_volume == pytest.approx(side.prod())


def test_orientations_must_be_right_handed():
    with pytest.raises(MultiscaleError, match="right-handed"):
        Orientation((1, 1, -2), (1, 1, 1), (-1, 1, 0))


def test_surface_energies_have_the_ratio_of_cut_bonds():
    """Stillinger–Weber: √3/√2 between (110) and (111), exactly, as bonds cut per area (fracture_adhesion: 1.6657 and 1.3600 J/m²)."""
    gamma = [CrackMaterial.of(StillingerWeber(), orientation=o).gamma for o in (SHUFFLE_111, CLEAVAGE_110)]
    assert gamma == pytest.approx([1.3600, 1.6657], abs=1e-4)


def test_trapping_window(model, crack):
    """The bond ahead breaks where the known potential lets it, the one behind heals below K_G; brackets are as wide as asked."""
    K = crack.material.K_griffith
    up = rise(model, crack, 1.8)
    plus = bracket(crack, up)
    assert plus.what == "grows" and 1.40 < plus.after / K < 1.48
    assert plus.after - plus.before == pytest.approx(0.01 * K)
    minus = bracket(crack, rise(model, crack, 0.4, up[0].q))
    assert minus.what == "heals" and 0.55 < minus.after / K < 0.75


def test_nothing_happens_within_the_window(model, crack):
    found = bracket(crack, rise(model, crack, 1.1))
    assert found.what == "" and "no bond changed" in found.words


def test_original_potential_fails_off_the_plane():
    crack = AtomicCrack(CrackMaterial.of(StillingerWeber()), 14.0)
    assert bracket(crack, rise(HybridModel(crack.interface(), EnergyBlend()), crack, 1.8)).what == "off-plane"


def test_continuation_passes_the_fold_onto_the_unstable_branch(model, crack):
    """Stable before the fold, one negative eigenvalue behind it; the fold is where searching with events finds K₊, forces vanish."""
    stability = pytest.importorskip("multiscale.drive.stability", exc_type=ImportError)
    K = crack.material.K_griffith
    up = rise(model, crack, 1.8)
    near = up[-2]
    *_, rest = relax(model, near.q, fmax=1e-6)
    walk = arc_length(model, crack.at, rest.q, start=near.load, load_scale=K, step=0.02, max_points=14)
    points = list(walk)
    falling = [p for p in points if p.direction < 0]
    assert falling and points[0].direction > 0
    assert max(p.load for p in points) / K == pytest.approx(up[-1].load / K, abs=0.02)
    for p in points[:: len(points) // 3]:
        assert np.abs(np.where(model.interface.fixed, 0.0, model.evaluate(p.q).forces)).max() < 1e-6
        assert np.abs((p.q - crack.at(p.load))[crack.n_free :]).max() < 1e-12
    before, behind = stability.lowest_modes(model, points[0].q, 2), stability.lowest_modes(model, falling[-1].q, 2)
    assert before.stable and not behind.stable
    assert behind.values[0] < -0.05 and behind.values[1] > 0


def test_continuation_goes_on_exactly_from_a_point(model, crack):
    K = crack.material.K_griffith
    *_, rest = relax(model, crack.at(K), fmax=1e-6)
    whole = list(arc_length(model, crack.at, rest.q, start=K, load_scale=K, step=0.03, max_points=3))
    p = whole[1]
    rest_of_it = list(
        arc_length(model, crack.at, p.q, start=p.load, load_scale=K, step=p.step, max_points=2, tangent=p.tangent)
    )
    assert rest_of_it[-1].load == pytest.approx(whole[-1].load, rel=1e-9)


def test_modes_are_those_of_the_dense_matrix():
    """A chain: the whole spectrum by numpy; a stretched bond beyond its inflection makes it unstable, and is found."""
    stability = pytest.importorskip("multiscale.drive.stability", exc_type=ImportError)
    x = np.zeros((24, 3))
    x[:, 0] = np.arange(24.0)
    fixed = np.ones((24, 3), dtype=bool)
    fixed[1:-1, 0] = False
    for stretch, stable in ((1.0, True), (1.45, False)):
        region = ChainRegion(x, MorsePair(alpha=4.0))
        model = HybridModel(Interface(x, {"chain": region}, Nested([], rest="chain"), fixed), EnergyBlend())
        q = x * [stretch, 1.0, 1.0]
        dense = model.jacobian(q).toarray().reshape(24, 3, 24, 3)[1:-1, 0, 1:-1, 0]
        exact = np.linalg.eigvalsh(dense)
        found = stability.lowest_modes(model, q, 3)
        assert found.values == pytest.approx(exact[:3], rel=1e-7)
        assert found.stable is stable
        residual = np.einsum("ij,j->i", dense, found.modes[0][1:-1, 0]) - found.values[0] * found.modes[0][1:-1, 0]
        assert np.abs(residual).max() < 1e-6 * np.abs(exact).max()


def test_continuation_says_when_its_start_is_no_equilibrium(model, crack):
    K = crack.material.K_griffith
    with pytest.raises(MultiscaleError, match="load_scale"):
        next(arc_length(model, crack.at, crack.at(K), start=K, load_scale=0.0))
    far = crack.at(K) + 0.6 * np.sin(np.arange(crack.reference.size)).reshape(-1, 3)
    with pytest.raises(MultiscaleError):
        next(arc_length(model, crack.at, far, start=K, load_scale=K))


def test_si_lattice_trapping(tmp_path):
    """86 atoms in a mesh find both ends of the window of discs of atoms; the crystal that does not cleave is told apart."""
    pytest.importorskip("matplotlib")
    script = catalogue.cards([ROOT / "cases"])["si_lattice_trapping"].script
    found = catalogue.load(script).run("small", tmp_path, silent=True)["quantities"]
    assert [name for name, q in found.items() if q["ok"] is False] == []
    assert (tmp_path / "si_lattice_trapping.png").exists()
