"""A crack that goes on from atoms into a phase field: one function, weights, surface counted once, ranks, and the case at size small."""

import numpy as np
import pytest
from processes import ROOT, mpi

pytest.importorskip("torch")
pytest.importorskip("multiscale.continuum.laws", exc_type=ImportError)  # needs DOLFINx
pytest.importorskip("gmsh", exc_type=(ImportError, OSError))

from couplers import EnergyBlend, ForceBlend
from multiscale import HybridModel, catalogue
from multiscale.continuum.brittle import BrittleSolid, isotropic_stiffness
from multiscale.continuum.graded import graded, rectangle
from multiscale.continuum.phase_field import PhaseField
from multiscale.continuum.track import row_nodes, tracked_disc
from multiscale.drive import relax
from multiscale.fracture.bonds import BondWatch
from multiscale.fracture.handover import Handover
from multiscale.fracture.hybrid import HybridCrack
from multiscale.fracture.material import CrackMaterial
from multiscale.models import StillingerWeber
from multiscale.types import J_M2_PER_EV_A2, MultiscaleError

CARDS = catalogue.cards([ROOT / "cases"])
H, ELL = 2.0, 5.0


@pytest.fixture(scope="module")
def crack():
    material = CrackMaterial.of(StillingerWeber(three_body_strength=42.0))
    return HybridCrack(material, tracked_disc(70.0, 12.0, H, 44.0, 10.0, 5.0, 15.0), 12.0)


@pytest.fixture(scope="module")
def rest(crack):
    """The crack in its atoms, at a load that it can stand (tip between the bonds at 0 and 3.3 Å), with that load."""
    K = 0.95 * crack.material.K_griffith
    front = 0.5 * crack.crystal.spacing
    *_, last = relax(HybridModel(crack.interface(), EnergyBlend()), crack.at(K, (front, 0.0)), fmax=1e-5)
    return last.q, K, front


def handed(crack, **settings):
    hand = Handover(crack, H, ELL, **settings)
    return hand, HybridModel(hand.interface, EnergyBlend())


# -- the mesh ---------------------------------------------------------------------------------------------------


def test_only_the_row_crosses_the_crack_plane(crack):
    mesh = crack.mesh
    y = mesh.points[mesh.cells, 1]
    crossing = (y.min(axis=1) < -1e-9) & (y.max(axis=1) > 1e-9)
    assert np.allclose(np.abs(y[crossing]), H / 2) and (mesh.centroids[crossing, 0] > 0).all()
    x = np.sort(mesh.points[np.isfinite(row_nodes(mesh, H)) & (mesh.points[:, 1] > 0), 0])
    assert np.diff(x[x < 44.0]) == pytest.approx(H, rel=0.05) and x[-1] == pytest.approx(70.0, abs=0.02)
    # Both halves have the same points, the slit's nodes twice.
    image = {tuple(p) for p in np.round(mesh.points * [1, -1], 9)}
    assert image == {tuple(p) for p in np.round(mesh.points, 9)}
    assert mesh.volumes.sum() == pytest.approx(np.pi * (70**2 - 12**2), rel=0.02)


def test_what_cannot_be_is_refused(crack):
    with pytest.raises(MultiscaleError, match="need 0 < h"):
        tracked_disc(70.0, 12.0, 2.0, 80.0, 10.0, 5.0, 15.0)
    with pytest.raises(MultiscaleError, match="tracked_disc"):
        Handover(crack, 1.7, ELL)
    with pytest.raises(MultiscaleError, match="within it"):
        Handover(HybridCrack(crack.material, tracked_disc(70.0, 12.0, 2.5, 44.0, 10.0, 5.0, 15.0), 12.0), 2.5, ELL)
    hand, model = handed(crack)
    with pytest.raises(MultiscaleError, match="not settled in 1 sweeps"):
        hand.settle(model, hand.opened(crack.at(0.7), 0.7, 0.0), tolerance=1e-9, max_sweeps=1)
    with pytest.raises(MultiscaleError, match="reaches into the blend"):
        hand.near_j(crack.reference, 25.0, (8.0, 12.0))


# -- energies ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["AT1", "AT2"])
def test_the_blend_shares_a_crack_as_it_shares_matter(kind):
    """A crack across a blend costs the mesh toughness × ∫ w dx exactly as one of weight one: the atoms' share is 1 − w."""
    h, ell = 0.25, 1.0
    up = graded(h / 2, 8.0, (h / 2, 2.5), h)
    mesh = rectangle(np.linspace(0, 6, 25), np.concatenate([-up[::-1], up]))
    solid = BrittleSolid(isotropic_stiffness(1.0, 0.2), 1.0, ell, kind)
    crack = (np.abs(mesh.nodes[:, 1]) < 0.6 * h).astype(float)
    X, volumes = mesh.quadrature(2)
    share = 0.1 + 0.8 * (X[:, 0] / 6.0) ** 2
    cost = [PhaseField(mesh, solid, damage=crack, weights=w).start for w in (None, share, 1.0 - share)]
    assert cost[0] == pytest.approx(6.0 * solid.toughness(h), rel=0.01)
    # ∫ w dx along the crack, by the mesh's own points.
    assert cost[1] / cost[0] == pytest.approx(volumes @ share / volumes.sum(), rel=1e-6)
    # AT2's profile is found to the tolerance of the bounded solver, and each time from another start.
    assert cost[1] + cost[2] == pytest.approx(cost[0], rel=1e-6)


def test_atoms_mesh_and_damage_minimise_one_function(crack, rest):
    """The stiffness that nodes feel is the one that damage is worked out with; forces are −∂E/∂q; coverage is one."""
    q, K, front = rest
    hand, model = handed(crack)
    found = hand.settle(model, hand.opened(q, K, front), tolerance=1e-3)
    hand.field.damage_at(found.q[crack.nodes] - crack.mesh.nodes)
    hand.region.degrade(hand.field.damages.gathered(hand.field.forms.d.x.array))
    inside = hand.field.forms.energies()[0] * crack.crystal.period
    assert model.evaluate(found.q).parts["fem"] == pytest.approx(inside, rel=1e-12)
    ledger = model.ledger(found.q)
    assert max(abs(c - 1.0) for c in ledger.coverage) < 1e-12
    v = np.random.default_rng(0).normal(size=q.shape)
    v[:, 2] *= ~hand.interface.fixed[:, 2]
    e = [model.evaluate(found.q + s * 1e-4 * v).energy for s in (1, -1, 2, -2)]
    slope = (8 * (e[0] - e[1]) - (e[2] - e[3])) / 12e-4
    assert -(model.evaluate(found.q).forces * v).sum() == pytest.approx(slope, rel=1e-6)


def test_the_surface_is_counted_once(crack, rest):
    """Hand-overs to two places at one load: what the longer crack costs more, and what it releases, is toughness × its length."""
    q, K, front = rest
    area, found = crack.crystal.period / J_M2_PER_EV_A2, []
    for place in (24.0, 32.0):
        hand, model = handed(crack, to=place)
        end = np.nanmax(np.where(hand.row <= place, hand.row, -np.inf))
        state = hand.settle(model, hand.opened(q, K, front), tolerance=3e-4)
        found.append((end, state.energy / area, hand.far_j(state.q, [(52.0, 68.0)])[0], state.crack / area))
    (a, E0, J0, c0), (b, E1, J1, c1) = found
    toughness = hand.solid.toughness(H) * J_M2_PER_EV_A2
    assert J1 < J0 < toughness
    assert (E1 - E0) / (b - a) + 0.5 * (J0 + J1) == pytest.approx(toughness, rel=0.02)
    assert (c1 - c0) / (b - a) == pytest.approx(toughness, rel=0.02)


def test_the_crack_goes_through_the_blend(crack, rest):
    """Opened, the bonds of the blend are cut as the mesh is; without that they bridge the crack."""
    q, K, front = rest
    watch = BondWatch.of(crack.crystal.positions, crack.crystal.period, crack.material.bond)
    fronts = []
    for opened in (True, False):
        hand, model = handed(crack)
        state = hand.settle(model, hand.opened(q, K, front) if opened else q, tolerance=1e-3)
        fronts.append(watch.front(crack.place(state.q)))
        assert state.tip > crack.free_radius + crack.blend - H and state.d.max() == 1.0
    spacing = crack.crystal.spacing
    assert fronts[0] > crack.free_radius + crack.blend - 1.5 * spacing and fronts[1] < spacing


def test_without_damage_it_is_the_crack_as_it_was(crack, rest):
    q, K, _ = rest
    hand, model = handed(crack, to=float("-inf"))
    state = hand.settle(model, q, tolerance=1e-4)
    before = HybridModel(crack.interface(), EnergyBlend()).evaluate(q).energy
    # The residual stiffness is a millionth of the mesh's own, and nodes at the hole, which count for nothing, may pass the strength.
    assert state.crack < 1e-4 and state.energy == pytest.approx(before, abs=1e-4) and state.tip == float("-inf")


def test_couplers_without_an_energy_are_refused_before_any_work(crack, rest):
    q, K, front = rest
    hand, _ = handed(crack)
    model = HybridModel(hand.interface, ForceBlend())
    with pytest.raises(MultiscaleError, match="energy_blend"):
        hand.settle(model, hand.opened(q, K, front))
    assert model.evaluations == 1


# -- ranks ------------------------------------------------------------------------------------------------------

SCRIPT = """
import numpy as np
from couplers import EnergyBlend, ForceBlend
from multiscale import HybridModel
from multiscale.continuum.track import tracked_disc
from multiscale.fracture.handover import Handover
from multiscale.fracture.hybrid import HybridCrack
from multiscale.fracture.material import CrackMaterial
from multiscale.models import StillingerWeber
from multiscale.types import Team


def run(team):
    material = CrackMaterial.of(StillingerWeber(three_body_strength=42.0))
    mesh = tracked_disc(60.0, 12.0, 2.0, 36.0, 8.0, 5.0, 15.0) if team.rank == 0 else None
    mesh = mesh if team.comm is None else team.comm.bcast(mesh)
    crack = HybridCrack(material, mesh, 12.0)
    hand = Handover(crack, 2.0, 5.0, team=team)
    model = HybridModel(hand.interface, EnergyBlend())
    K = 1.1 * material.K_griffith
    s = hand.settle(model, hand.opened(crack.at(K), K, 0.0), tolerance=1e-5)
    s = hand.settle(model, s.q + np.where(model.interface.fixed, crack.displacement(0.05 * K), 0.0), tolerance=1e-5)
    J = hand.far_j(s.q, [(44.0, 58.0)])[0]
    return [float(v) for v in (s.energy, s.crack, s.work, s.tip, s.d.sum(), J, hand.near_j(s.q, 45.0, (12.0, 14.0)))]


if __name__ == "__main__":
    from mpi4py import MPI

    c = MPI.COMM_WORLD
    found = run(Team(c.rank, c.size, c))
    if c.rank == 0:
        print("FOUND", *found)
    assert c.bcast(found) == found
"""


def test_ranks_agree(tmp_path):
    script = tmp_path / "ranks.py"
    script.write_text(SCRIPT)
    names: dict = {"__name__": "serial"}
    exec(SCRIPT, names)
    from multiscale.types import Team

    alone = names["run"](Team())
    assert alone[1] > 1.0 and alone[2] > 0.1
    done = mpi(2, str(script))
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("FOUND")] or [done.stdout + done.stderr]
    assert [float(v) for v in line.split()[1:]] == pytest.approx(alone, rel=1e-4)


# -- the case ---------------------------------------------------------------------------------------------------


def test_case(tmp_path):
    found = catalogue.load(CARDS["handover"].script).run("small", tmp_path, silent=True)
    assert [n for n, q in found["quantities"].items() if q["ok"] is False] == []
    assert sum(q["ok"] is True for q in found["quantities"].values()) >= 6
    assert (tmp_path / "handover.png").stat().st_size > 10_000
