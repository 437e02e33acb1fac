"""A disc that follows its tip: lattice vectors, states carried over, what repeats, the books, overlays that move along, and leaving."""

from __future__ import annotations

import numpy as np
import pytest
from ase.calculators.lj import LennardJones

pytest.importorskip("torch")
pytest.importorskip("multiscale.continuum.laws", exc_type=ImportError)  # needs DOLFINx

from couplers import EnergyBlend, ForceMixing, SiteSubtractive, Subtractive
from multiscale import HybridModel, Overlay
from multiscale.continuum.kfield import crack_faces
from multiscale.continuum.meshing import gmsh
from multiscale.drive import relax, verlet
from multiscale.embedding import select
from multiscale.fracture import carry, tracking
from multiscale.fracture.atomistic_j import atomistic_j
from multiscale.fracture.band import BandCrack
from multiscale.fracture.carry import lattice_vector, recentred
from multiscale.fracture.hexagonal import hexagonal
from multiscale.fracture.hybrid import HybridCrack
from multiscale.fracture.lattice import CLEAVAGE_110, SHUFFLE_111, Orientation, diamond
from multiscale.fracture.leaving import Bounds, contained
from multiscale.fracture.material import CrackMaterial
from multiscale.fracture.tracking import track
from multiscale.fracture.window import until_event
from multiscale.models import StillingerWeber
from multiscale.regions.ml import MLRegion
from multiscale.regions.quantum_rod import QuantumRod
from multiscale.shapes import Cylinder
from multiscale.types import J_M2_PER_EV_A2, MultiscaleError

pytestmark = pytest.mark.skipif(gmsh is None, reason="gmsh is not installed")
#: K/K_G between K₋ and K₊, and above K₊ = 1.447 of this disc.
WITHIN, ABOVE = 1.3, 1.46


@pytest.fixture(scope="module")
def material():
    return CrackMaterial.of(StillingerWeber(three_body_strength=42.0))


@pytest.fixture(scope="module")
def crack(material):
    return HybridCrack.disc(material, 14.0, 60.0, 5.0, 15.0, blend=6.0)


@pytest.fixture(scope="module")
def model(crack):
    return HybridModel(crack.interface(), EnergyBlend())


def settle(model, q, fmax=1e-6):
    *_, last = relax(model, q, fmax=fmax)
    assert last.converged
    return last


@pytest.fixture(scope="module")
def pair(crack, model):
    """Two equilibria at one K in one K-field: with its tip where the field's is, and a bond period ahead of it."""
    K = crack.material.K_griffith
    a = settle(model, crack.at(WITHIN * K))
    grown = settle(model, crack.advance(a.q, WITHIN * K, ABOVE * K))
    b = settle(model, crack.advance(grown.q, ABOVE * K, WITHIN * K))
    fronts = [crack.watch().front(s.q[: crack.n_free]) for s in (a, b)]
    assert fronts[1] - fronts[0] == pytest.approx(crack.crystal.spacing)
    return a, b


CRYSTALS = {
    "(111)[1-10]": diamond(SHUFFLE_111, 5.0, 18.0),
    "(110)[1-10]": diamond(CLEAVAGE_110, 5.0, 18.0),
    "(111)[11-2]": diamond(Orientation((-1, 1, 0), (1, 1, 1), (1, 1, -2)), 5.0, 18.0),
    "hexagonal": hexagonal(2.83, 2.96, 18.0),
}


@pytest.mark.parametrize("name", CRYSTALS)
def test_the_shift_is_a_lattice_vector(name):
    """It takes each atom well inside to one of its own sublattice, and no shorter one along x does."""
    c = CRYSTALS[name]
    t = lattice_vector(c)
    inside = np.hypot(*c.positions[:, :2].T) < 16.0 - t[0]
    there = carry.same_atom(c, t)
    assert (there[inside] >= 0).all() and np.array_equal(c.basis[there[inside]], c.basis[inside])
    assert t[0] >= c.spacing - 1e-9 and t[0] / c.spacing == pytest.approx(round(t[0] / c.spacing))
    for k in range(1, round(t[0] / c.spacing)):
        for z in (0.0, 0.5 * c.period):
            assert (carry.same_atom(c, np.array([k * c.spacing, 0.0, z]))[inside] < 0).any()


def test_without_the_offset_along_the_front_no_atom_is_found():
    c = CRYSTALS["(111)[1-10]"]
    t = lattice_vector(c)
    assert t == pytest.approx([c.spacing, 0.0, 0.5 * c.period])
    assert (carry.same_atom(c, t * [1.0, 1.0, 0.0]) < 0).all()


def test_affine_states_are_carried_over_exactly(crack):
    """Atoms from atoms, nodes from the mesh and in the old hole from cells' means: a homogeneous strain is no interpolation's error."""
    H = 0.01 * np.array([[1.0, 0.5, 0], [-0.3, -0.4, 0], [0, 0, 0]])
    c, n, t = crack.crystal, crack.n_free, lattice_vector(crack.crystal)
    q = crack.reference @ (np.eye(3) + H).T
    shift = np.einsum("nijk,jk->ni", crack.material.inner_shift[c.basis[:n]], 0.5 * (H + H.T))
    q[:n] += shift
    near = np.hypot(*crack.reference[:, :2].T) < crack.free_radius + crack.blend
    for k in (1, 2, -1):
        u = recentred(crack, q, 0.0, k) - crack.reference
        expected = (crack.reference + k * t * [1, 0, 0]) @ H.T
        expected[:n] += shift
        # Points of the faces are looked up a little within the material.
        assert np.abs(u - expected)[near].max() < 0.02 * carry.INTO


def test_the_field_of_a_tip_ahead_is_carried_over_to_its_place(crack, monkeypatch):
    """A K-field about the next bond becomes one about the centre, on both faces; mixing the faces up is caught."""
    K, t = crack.material.K_griffith, lattice_vector(crack.crystal)
    near = np.hypot(*crack.reference[:, :2].T) < crack.free_radius + crack.blend
    q, there = crack.at(K, (t[0], 0.0)), crack.at(K)
    off = np.abs(recentred(crack, q, K, 1) - there)
    was_free = carry.same_atom(crack.crystal, t)[: crack.n_free]
    assert off[: crack.n_free][was_free < crack.n_free].max() < 1e-9
    # The rest is interpolation between nodes 5 Å apart and cells; faces are 1.7 Å and more apart there.
    assert off[near].max() < 0.1
    monkeypatch.setattr(carry, "crack_faces", lambda mesh: -crack_faces(mesh))
    assert np.abs(recentred(crack, q, K, 1) - there)[near].max() > 0.5


def test_the_configuration_repeats(crack, model, pair):
    """Centred on the tip ahead and relaxed, it is the state whose tip was at the centre all along; and back again."""
    (a, b), K = pair, WITHIN * crack.material.K_griffith
    ahead = settle(model, recentred(crack, b.q, K, 1))
    assert np.abs(ahead.q - a.q).max() < 1e-6 and ahead.energy == pytest.approx(a.energy, abs=1e-9)
    back = settle(model, recentred(crack, a.q, K, -1))
    assert np.abs(back.q - b.q).max() < 1e-6 and back.energy == pytest.approx(b.energy, abs=1e-9)


def test_energy_of_a_period_is_what_the_continuum_says(crack, model, pair):
    """E(tip at the centre) − E(tip ahead) = ∫ (J − 2γ) b ds, J of the atoms falling as the tip runs ahead of its field."""
    a, b = pair
    period = lattice_vector(crack.crystal)[0] * crack.crystal.period / J_M2_PER_EV_A2
    J = [atomistic_j(model, crack, s.q, [(5.0, 10.0)])[0] for s in pair]
    G = crack.material.field.energy_release_rate(WITHIN * crack.material.K_griffith)
    assert J[0] / G == pytest.approx(1.0, abs=0.03) and J[1] < J[0]
    expected = (0.5 * sum(J) - 2.0 * crack.material.gamma) * period
    assert a.energy - b.energy == pytest.approx(expected, abs=0.004 * G * period)


def follow(build, crack, **settings):
    K = crack.material.K_griffith
    return list(track(build, crack, crack.at(K), [K, ABOVE * K], start=K, **{"fmax": 1e-5} | settings))


def check_repeats(crack, states, n):
    """N moves by one period each, every one to the same state in the disc's frame."""
    moves = [s.moved for s in states if s.moved]
    assert [m.periods for m in moves] == [1] * n and all(m.coverage < 1e-12 for m in moves)
    assert all(m.entered == m.left > 0 for m in moves)
    t = lattice_vector(crack.crystal)
    assert states[-1].origin == pytest.approx(n * t)
    fronts = np.array([s.front for s in states[-n:]])
    assert np.diff(fronts) == pytest.approx(t[0])
    for s in states[-n + 1 :]:
        assert np.abs(s.state.q - states[-n].state.q).max() < 1e-4
    return moves


def test_a_crack_above_its_load_is_followed(crack, model):
    """Held above K₊ it grows for ever; every period releases the same energy, and energy + booked falls by nothing else."""
    states = follow(lambda q: model, crack, periods=5)
    moves = check_repeats(crack, states, 5)
    jumps = np.array([m.after - m.before for m in moves])
    assert np.ptp(jumps) < 1e-6 and states[-1].booked == pytest.approx(-jumps.sum(), abs=1e-12)
    # E itself comes back: all that is released is in the books.
    assert states[-1].state.energy == pytest.approx(states[1].state.energy, abs=1e-6)
    total = np.array([s.state.energy + s.booked for s in states[1:]])
    assert np.diff(total) == pytest.approx(-jumps, abs=1e-6)
    G = crack.material.field.energy_release_rate(ABOVE * crack.material.K_griffith)
    period = crack.crystal.spacing * crack.crystal.period / J_M2_PER_EV_A2
    assert moves[0].expected == pytest.approx((G - 2 * crack.material.gamma) * period)
    # In a disc of 60 Å the field about the old tip has released less: by κ (½ t + x₀)/R of G, κ = 1.7.
    assert 0.0 < moves[0].expected - jumps[0] < 0.08 * G * period
    assert "+1 bond periods" in states[-1].state.event and "booked" in str(moves[0])


def second_model(crack, lab=0.0, energy=True):
    """Another potential over the tip, which rides on the disc; ``lab`` leaves it behind by so much per move."""
    seen = []

    def build(q):
        at = -lab * len(seen)
        seen.append(q)
        X = crack.crystal.positions[: crack.n_free]
        near = np.flatnonzero(np.hypot(X[:, 0] - at, X[:, 1]) < 12.6)
        symbols, pbc = ["Si"] * len(near), (False, False, True)

        def region(strength):
            potential = StillingerWeber(three_body_strength=strength)
            atoms = MLRegion(potential, symbols=symbols, positions=X[near], cell=crack.cell, pbc=pbc)
            return atoms, select(near, len(crack.reference))

        extra = {"qm": region(48.0)} | ({"ml_qm": region(42.0)} if energy else {})
        overlays = {"qm": Overlay(Cylinder((at, 0.0, 0.0), 2.5), 2.0)}
        return HybridModel(crack.interface(extra, overlays), SiteSubtractive() if energy else ForceMixing())

    return build, seen


def test_overlays_move_with_the_tip(crack, model):
    """A second model over it, with an energy: everything repeats, and not as without it."""
    build, seen = second_model(crack)
    states = follow(build, crack, periods=3)
    moves = check_repeats(crack, states, 3)
    assert len(seen) == 4
    jumps = np.array([m.after - m.before for m in moves])
    assert np.ptp(jumps) < 1e-6 and states[-1].booked == pytest.approx(-jumps.sum())
    bare = follow(lambda q: model, crack, periods=1)
    assert np.abs(bare[-1].state.q - states[-1].state.q).max() > 1e-3
    with pytest.raises(AssertionError):
        build, _ = second_model(crack, lab=0.4)
        check_repeats(crack, follow(build, crack, periods=2), 2)


def test_methods_without_an_energy_book_nothing(crack):
    build, _ = second_model(crack, energy=False)
    states = follow(build, crack, periods=2, fmax=1e-4)
    moves = check_repeats(crack, states, 2)
    assert all(s.booked is None and s.state.energy is None for s in states)
    assert all(m.before is None and m.after is None for m in moves) and "booked" not in states[-1].state.event


def test_quantum_rods_are_carved_anew_where_the_tip_is(crack):
    """A subtractive rod has no ends and an energy: it is carved anew after every move, and the states come to repeat."""
    sizes = []

    def engine(epsilon):
        # As if a better engine had bonds that are a little stronger at range.
        return LennardJones(sigma=2.0, epsilon=epsilon, rc=5.0, ro=4.0, smooth=True)

    def build(q):
        cluster = crack.rod(q, 4.0, hops=0)
        sizes.append((len(cluster.symbols), len(cluster.links)))
        rod = QuantumRod(cluster, crack.over(cluster), crack.cell, crack.reference, q)
        pair = {
            "qm": (rod.quantum(2, calculator=engine(0.302)), rod.rows),
            "ml_qm": (rod.quantum(1, calculator=engine(0.3)), rod.rows),
        }
        return HybridModel(crack.interface(pair), Subtractive())

    K = crack.material.K_griffith
    states = list(track(build, crack, crack.at(K), [K, 1.6 * K], start=K, periods=5, fmax=1e-5))
    moves = [s.moved for s in states if s.moved]
    assert [m.periods for m in moves] == [1] * 5 and all(m.coverage < 1e-12 for m in moves)
    # Caps are placed by the bonds that are cut, where they are when it is carved: what repeats is found within some periods.
    off = [np.abs(s.state.q - states[-1].state.q).max() for s in states[1:-1]]
    assert (np.diff(off) < 0).all() and off[-1] < 1e-4
    jumps = np.array([m.after - m.before for m in moves])
    assert len(sizes) == 6 and len(set(sizes)) == 1 and states[-1].booked == pytest.approx(-jumps.sum())


def test_healing_is_followed_backwards(crack, model, pair):
    """Unloaded below K₋ from a state ahead of its field."""
    _, b = pair
    K = crack.material.K_griffith
    first = crack.watch().front(b.q[: crack.n_free])
    states = list(track(lambda q: model, crack, b.q, [WITHIN * K, 0.65 * K], start=WITHIN * K, periods=2, fmax=1e-4))
    assert states[-1].moved.periods < 0 and states[-1].origin[0] < 0 and states[-1].front < first


def test_going_to_and_fro_ends(crack, model, pair, monkeypatch):
    """A front that is said to be ahead and behind by turns."""
    K, ways = WITHIN * crack.material.K_griffith, iter([1, -1] * 9)
    monkeypatch.setattr(tracking._Disc, "whole", lambda self, way: next(ways))
    with pytest.raises(MultiscaleError, match="to and fro"):
        list(track(lambda q: model, crack, pair[1].q, [K], start=K, periods=9))


# -- leaving -----------------------------------------------------------------------------------------------------


def test_a_crack_that_leaves_its_atoms_is_stopped(crack, model):
    """Searching for an event, following, and running: one error, before the edge of the atoms has a say."""
    K = crack.material.K_griffith
    inside = Bounds.of(crack)
    assert inside.margin == crack.blend and 0.0 < crack.free_radius - inside.edge < 3.0
    with pytest.raises(MultiscaleError, match=r"leaving its atoms.*within 6.00 Å.*track.*phase field"):
        list(until_event(model, crack, crack.at(K), start=K, stop=1.8 * K, step=0.8 * K, resolution=0.8 * K))
    with pytest.raises(MultiscaleError, match="leaving its atoms"):
        list(track(lambda q: model, crack, crack.at(K), [K, 1.8 * K], start=K))
    far, mass = crack.at(ABOVE * K, (13.0, 0.0)), np.full(len(crack.reference), 28.0)
    with pytest.raises(MultiscaleError, match="leaving its atoms"):
        next(contained(verlet(model, far, 0 * far, dt=0.1, steps=1, masses=mass), crack))
    here = crack.at(K)
    assert len(list(contained(verlet(model, here, 0 * here, dt=0.1, steps=2, masses=mass), crack))) == 3


def test_windows_that_stay_behind_are_found(material):
    crack = BandCrack(material, 24, 90.0, 8.0, 5.0)
    strain, end, inside = 0.08, 12 * crack.period, Bounds.of(crack)
    assert inside.margin == 5.0 and end - 2 * material.model.cutoff - crack.period < inside.edge < end
    inside(crack.at(strain, (-10.0, 0.0)))
    with pytest.raises(MultiscaleError, match=r"leaving its atoms.*BandCrack.moved"):
        inside(crack.at(strain, (end, 0.0)))


def test_a_closed_crack_has_no_front_to_follow(crack, model):
    with pytest.raises(MultiscaleError, match="no bond across the crack plane is open"):
        next(track(lambda q: model, crack, crack.reference, [0.0], start=0.0))
