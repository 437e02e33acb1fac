"""Gaps between surfaces: the law, the operator, bodies that attract and press, control through folds, ranks, refusals, the case."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from processes import ROOT, mpi
from scipy.integrate import quad
from scipy.optimize import brentq

from couplers import EnergyBlend
from multiscale import HybridModel, Interface, Nested, catalogue
from multiscale.region import Can, Query
from multiscale.testing.regions import examine_region
from multiscale.types import GPA_PER_EV_A3, MultiscaleError

laws = pytest.importorskip("multiscale.continuum.laws", exc_type=ImportError)
from multiscale.continuum.brittle import isotropic_stiffness  # noqa: E402
from multiscale.continuum.cohesive_laws import Reversible  # noqa: E402
from multiscale.continuum.gap import Gap, Stamp, tabor  # noqa: E402
from multiscale.continuum.gap_laws import PEAK, HalfSpaces, LennardJones  # noqa: E402
from multiscale.continuum.graded import rectangle  # noqa: E402
from multiscale.continuum.mesh import SimplexMesh  # noqa: E402
from multiscale.continuum.surface import Surface  # noqa: E402
from multiscale.continuum.traction import Bilinear, Exponential  # noqa: E402
from multiscale.drive import arc_length, control, newton  # noqa: E402
from multiscale.regions.cohesive import CohesiveRegion, Together  # noqa: E402
from multiscale.regions.continuum import ContinuumRegion  # noqa: E402

CASE = ROOT / "cases" / "jkr_to_bradley"
#: Work of adhesion 0.8, distance 1.5.
LAW = HalfSpaces(0.8, 1.5)
E, NU = 6.0, 0.3
C = isotropic_stiffness(E, NU)


def solid(mesh, symmetry="plane"):
    law = laws.LinearElastic(C * GPA_PER_EV_A3)
    return ContinuumRegion(mesh, law, site_volume=1.0, atom_mass=1.0, symmetry=symmetry, quadrature_degree=4)


def top(mesh, height=0.0, **settings):
    return Surface(mesh, lambda X: np.abs(X[:, mesh.dim - 1] - height) < 1e-6, **settings)


def block(width=3.0, n=(3, 2), degree=2, low=-2.0, high=0.0):
    return SimplexMesh.rectangle((0.0, low), (width, high), n, degree)


# -- the law ----------------------------------------------------------------------------------------------------


def test_half_spaces():
    h, past = np.linspace(0.9, 6.0, 40)[:, None], np.zeros(40)
    d = 1e-5
    slope = (LAW.energy(h + d, past) - LAW.energy(h - d, past)) / (2 * d)
    assert LAW.traction(h, past)[:, 0] == pytest.approx(slope, abs=1e-8 * np.abs(slope).max())
    bend = (LAW.traction(h + d, past) - LAW.traction(h - d, past))[:, 0] / (2 * d)
    assert LAW.tangent(h, past)[:, 0, 0] == pytest.approx(bend, abs=1e-7 * np.abs(bend).max())
    at = np.array([[1.5], [1.5 * 3 ** (1 / 6)], [1e9]])
    assert LAW.energy(at, past[:3])[[0, 2]] == pytest.approx([-0.8, 0.0], abs=1e-15)
    assert LAW.traction(at, past[:3])[:, 0] == pytest.approx([0.0, PEAK * 0.8 / 1.5, 0.0], abs=1e-15)
    assert quad(lambda x: float(LAW.traction(np.array([[x]]), past[:1])[0, 0]), 1.5, np.inf)[0] == pytest.approx(0.8)
    curve = LennardJones(0.8, 1.5)
    away = h[h > 1.5] - 1.5
    assert curve.traction(away) == pytest.approx(LAW.traction(h[h > 1.5][:, None], away)[:, 0])
    assert curve.energy(away) == pytest.approx(LAW.energy(h[h > 1.5][:, None], away) + 0.8)
    assert curve.stiffness == pytest.approx(curve.slope(np.zeros(1))[0])
    assert curve.strength == pytest.approx(curve.traction(np.linspace(0, 2, 20001)).max(), rel=1e-7)
    for bad in ((0.0, 1.0), (1.0, -1.0), (np.nan, 1.0)):
        with pytest.raises(MultiscaleError, match="positive work of adhesion"):
            HalfSpaces(*bad)
    with pytest.raises(MultiscaleError, match="passed through one another"):
        LAW.energy(np.array([[1.0], [-0.1]]), np.zeros(2))


# -- the operator -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("degree", [1, 2])
def test_gap_to_a_stamp(degree):
    mesh = block(degree=degree)
    surface = top(mesh, symmetry="axial")
    gap = Gap(surface, Stamp.paraboloid(4.0, 1.5))
    X = gap.reference
    assert gap.area.sum() == pytest.approx(9 * np.pi) and gap.stamp == len(X) - 1 and surface.facing == 1
    r = surface.points[:, 0]
    assert gap.distance(X) == pytest.approx(1.5 + r**2 / 8.0)
    u = np.zeros_like(X)
    u[:, 1] = 0.1 + 0.02 * X[:, 0] ** degree
    u[gap.stamp, 1] = 0.3
    assert gap.distance(X + u) == pytest.approx(1.5 + r**2 / 8.0 + 0.3 - 0.1 - 0.02 * r**degree)
    u[:, [0, 2]] += 1.0  # lateral motion opens nothing
    assert gap.distance(X + u) == pytest.approx(1.7 + r**2 / 8.0 - 0.02 * r**degree)
    assert Surface(mesh, lambda X: X[:, 1] > -1e-9, thickness=2.0).area.sum() == pytest.approx(6.0)


@pytest.mark.parametrize("degree", [1, 2])
@pytest.mark.parametrize("dim", [2, 3])
def test_gap_between_meshes_that_do_not_match(dim, degree):
    if dim == 2:
        lower, upper = block(2.0, (3, 1), degree), block(3.0, (5, 1), 3 - degree, 1.0, 2.0)
    else:
        lower = SimplexMesh.box((0, 0, -1), (2, 2, 0), (2, 3, 1), degree)
        upper = SimplexMesh.box((-0.1, 0, 1), (2, 2.5, 2), (3, 2, 1), 3 - degree)
    here, there = top(lower), top(upper, 1.0)
    assert (here.facing, there.facing) == (1, -1)
    gap = Gap(here, there)
    X = gap.reference
    assert gap.area.sum() == pytest.approx(2.0 ** (dim - 1)) and gap.start == pytest.approx(1.0)
    u = np.zeros_like(X)
    n, k = len(lower.nodes), dim - 1
    u[:n, k], u[n:, k] = 0.3 * X[:n, 0] - 0.1, 0.2 - 0.1 * X[n:, 0]
    if dim == 3:
        u[n:, k] += 0.05 * X[n:, 1]
    P = gap.surface.points  # on the pieces into which both sides cut the line
    assert gap.distance(X + u) == pytest.approx(1.3 - 0.4 * P[:, 0] + 0.05 * P[:, 1] * (dim == 3))
    assert np.abs(gap.jump @ np.ones(X.size)).max() < 1e-13
    with pytest.raises(MultiscaleError, match="nothing lies opposite the point"):
        Gap(there, here)


def test_the_area_is_the_same_from_either_side_and_the_force_balances():
    """A dome under a flat body, seen along the axis: what one side feels is what the other gives."""
    x = np.linspace(0.0, 2.0, 9)
    flat = rectangle(np.linspace(0.0, 2.0, 6), np.linspace(2.0, 3.0, 2))
    dome = rectangle(x, np.array([-1.0, 0.0]))
    bent = dome.points.copy()
    bent[bent[:, 1] > -0.5, 1] -= 0.2 * bent[bent[:, 1] > -0.5, 0] ** 2
    dome = SimplexMesh(bent, dome.cells)
    round_ = Surface(dome, lambda X: np.abs(X[:, 1] + 0.2 * X[:, 0] ** 2) < 0.01)
    level = top(flat, 2.0)
    assert round_.area.sum() == pytest.approx(2.0) == level.area.sum()
    gap = Gap(round_, level)
    region = CohesiveRegion(gap, LAW, modulus=np.inf)
    forces = region.evaluate(gap.reference, Query(Can.FORCES)).forces
    n = len(dome.nodes)
    assert forces[:n].sum(axis=0) == pytest.approx(-forces[n:].sum(axis=0)) and np.abs(forces[:n, 1]).sum() > 0.1


def test_a_gap_within_one_mesh_has_its_nodes_once():
    lower, upper = block(2.0, (3, 1), 1), block(2.0, (4, 1), 1, 1.2, 2.0)
    mesh = SimplexMesh(
        np.vstack([lower.points, upper.points]), np.vstack([lower.cells, upper.cells + len(lower.points)])
    )
    gap = Gap(top(mesh), top(mesh, 1.2))
    assert len(gap.reference) == len(mesh.nodes) and gap.start == pytest.approx(1.2)
    assert [len(d) for d in gap.dofs] == [len(mesh.nodes)] * 3


# -- regions ----------------------------------------------------------------------------------------------------


def body_and_stamp(symmetry="axial", law=LAW, closed=0.0):
    mesh = block(n=(8, 2))
    gap = Gap(top(mesh, symmetry=symmetry), Stamp.paraboloid(4.0, 1.6), closed)
    body, _, everything = gap.dofs
    return Together([solid(mesh, symmetry), CohesiveRegion(gap, law, modulus=np.inf)], [body, everything]), gap


@pytest.mark.parametrize(
    ("law", "closed"), [(LAW, 0.0), (Reversible(Exponential(0.5, 0.8)), 1.8), (Reversible(LennardJones(0.8, 1.5)), 1.5)]
)
def test_region(law, closed):
    make = lambda: body_and_stamp(law=law, closed=closed)[0]  # noqa: E731
    X = make().reference
    x = X + np.random.default_rng(2).normal(0.0, 0.03, X.shape) * [1, 1, 0]
    checks = ("forces", "site energies", "curvature", "reach", "team", "subsets", "purity", "site adjoint")
    results = examine_region(make, x, only=checks, bound=1e-6)
    assert not [str(r) for r in results if not r.ok] and len(results) >= 8


def test_a_wrong_pressure_is_caught():
    class Wrong(HalfSpaces):
        def traction(self, opening, past):
            return 1.001 * super().traction(opening, past)

    wrong = examine_region(lambda: body_and_stamp(law=Wrong(0.8, 1.5))[0], only=("forces",), bound=1e-6)
    assert not any(r.ok for r in wrong)


def test_a_failing_region_leaves_the_others_their_turn():
    """Whoever leaves before a collective call lets the other ranks wait for ever."""
    mesh = block(n=(8, 2))
    gap = Gap(top(mesh), Stamp.paraboloid(4.0, 1.6))
    body, _, everything = gap.dofs
    asked, told = [], []

    def stiffness(x, weights=None):
        asked.append("stiffness")
        return np.eye(3 * len(body))

    for order in ((0, 1), (1, 0)):
        parts = [(solid(mesh), body), (CohesiveRegion(gap, LAW, modulus=np.inf), everything)]
        both = Together([parts[k][0] for k in order], [parts[k][1] for k in order])
        parts[0][0].evaluate, parts[0][0].stiffness = (lambda x, query: asked.append("energy")), stiffness
        parts[1][0].abandon = told.append
        x = both.reference - np.outer(np.arange(len(both.reference)) == len(both.reference) - 1, [0.0, 2.0, 0.0])
        with pytest.raises(MultiscaleError, match="passed through"):
            both.evaluate(x, Query(Can.ENERGY))
        with pytest.raises(MultiscaleError, match="passed through"):
            both.stiffness(x)
    assert asked == ["energy", "stiffness"] * 2 and len(told) == 4


def test_surfaces_face_along_any_coordinate():
    """The same two blocks, stacked along z or along y: the same gaps; stamps come along the last coordinate only."""
    found = []
    for k, turn in ((2, [0, 1, 2]), (1, [0, 2, 1])):
        low = SimplexMesh.box((0, 0, -1), (3, 2, 0), (2, 2, 1), 2)
        up = SimplexMesh.box((0, 0, 1.5), (3, 2, 2), (3, 1, 1))
        low, up = (SimplexMesh(m.points[:, turn], m.cells, m.degree) for m in (low, up))
        faces = [Surface(m, lambda X, h=h, k=k: np.abs(X[:, k] - h) < 1e-6, axis=k) for m, h in ((low, 0.0), (up, 1.5))]
        gap = Gap(*faces)
        region = CohesiveRegion(gap, LAW, modulus=np.inf)
        x = gap.reference + np.outer(np.arange(len(gap.reference)) >= len(low.nodes), np.eye(3)[k]) * 0.2
        answer = region.evaluate(x, Query(Can.ENERGY | Can.FORCES))
        found.append((answer.energy, answer.forces[:, k].sum(), np.abs(answer.forces).sum(), gap.area.sum()))
        assert gap.start == pytest.approx(1.5)
    assert found[0] == pytest.approx(found[1]) and found[0][3] == pytest.approx(6.0)
    with pytest.raises(MultiscaleError, match="a stamp comes along the mesh's last coordinate"):
        Gap(faces[0], Stamp.paraboloid(4.0, 1.6, 3))
    flat = block(), block(low=1.0, high=2.0)
    with pytest.raises(MultiscaleError, match="one symmetry and one thickness, got plane, 3 and plane, 1"):
        Gap(top(flat[0], thickness=3.0), top(flat[1], 1.0))


def test_bodies_of_two_meshes_and_their_gap_together():
    lower, upper = block(2.0, (3, 1), 2), block(2.0, (4, 1), 1, 1.5, 3.0)
    gap = Gap(top(lower), top(upper, 1.5))
    one, two, all_ = gap.dofs
    make = lambda: Together([solid(lower), solid(upper), CohesiveRegion(gap, LAW, modulus=np.inf)], [one, two, all_])  # noqa: E731
    results = examine_region(make, only=("forces", "site energies", "curvature", "team", "site adjoint"), bound=1e-6)
    assert not [str(r) for r in results if not r.ok]
    region = make()
    assert region.matter.sum() == pytest.approx(4.0 + 3.0) and region.area.sum() == pytest.approx(2.0)
    assert region.masses().sum() == pytest.approx(7.0)
    with pytest.raises(MultiscaleError, match="one for each"):
        Together([solid(lower), solid(upper)], [one, one[:3]])
    with pytest.raises(MultiscaleError, match="elsewhere"):
        Together([solid(lower), solid(upper)], [one, two - 3])
    with pytest.raises(MultiscaleError, match="belong to no region"):
        Together([solid(lower)], [one + 1])


# -- equilibria -------------------------------------------------------------------------------------------------


def test_two_blocks_across_a_gap_bear_what_the_law_says():
    """Uniaxial strain, meshes that do not match: h from p(h) = C (Δ − h + g)/(2H), to round-off; pressed and pulled."""
    lower, upper = block(2.0, (3, 2), 2), block(2.0, (5, 1), 1, 1.5, 3.5)
    gap = Gap(top(lower), top(upper, 1.5))
    interface = CohesiveRegion(gap, LAW, modulus=np.inf)
    region = Together([solid(lower), solid(upper), interface], gap.dofs)
    X = region.reference
    fixed = np.zeros(X.shape, dtype=bool)
    fixed[:, [0, 2]] = True
    ends = [X[:, 1] < -2 + 1e-9, X[:, 1] > 3.5 - 1e-9]
    fixed[ends[0] | ends[1]] = True
    model = HybridModel(Interface(X, {"bodies": region}, Nested([], rest="bodies"), fixed), EnergyBlend())
    p = lambda h: float(LAW.traction(np.array([[h]]), np.zeros(1))[0, 0])  # noqa: E731
    for pull in (-0.3, 0.05):
        h = brentq(lambda h, pull=pull: C[1, 1] * (1.5 + pull - h) / 4.0 - p(h), 1.2, 1.8, xtol=1e-15)
        q = X.copy()
        q[ends[1], 1] += pull
        *_, last = newton(model, q, fmax=1e-11)
        assert np.abs(gap.distance(last.q) - h).max() < 1e-10
        assert last.forces[ends[1], 1].sum() == pytest.approx(-2.0 * p(h), rel=1e-9)


def test_curves_press_by_a_penalty():
    """A bilinear curve from 1.4 on: pressed by Δ the faces are σ/k_c nearer than that, pulled they open by σ/K₀."""
    mesh = block(2.0, (2, 1), 1)
    gap = Gap(top(mesh), Stamp(1.4), closed=1.4)
    law = Reversible(Bilinear(50.0, 2.0, 0.8), contact=200.0)
    region = Together([solid(mesh), CohesiveRegion(gap, law, modulus=np.inf)], [gap.dofs[0], gap.dofs[2]])
    X = region.reference
    fixed = np.zeros(X.shape, dtype=bool)
    fixed[:, [0, 2]] = fixed[gap.stamp] = fixed[X[:, 1] < -2 + 1e-9] = True
    fixed[:, [0, 2]] = True
    model = HybridModel(Interface(X, {"bodies": region}, Nested([], rest="bodies"), fixed), EnergyBlend())
    for pull, k in ((-0.1, 200.0), (0.01, 50.0)):
        q = X.copy()
        q[gap.stamp, 1] += pull
        *_, last = newton(model, q, fmax=1e-11)
        stress = pull / (2.0 / C[1, 1] + 1.0 / k)
        assert gap.distance(last.q) == pytest.approx(1.4 + stress / k, abs=1e-11)
        assert last.forces[gap.stamp, 1] == pytest.approx(-2.0 * stress)


def flat(stiffness=0.6):
    """A round block, held at its side, under a flat stamp: u = H p(h)/C everywhere, so that D = h + H p(h)/C."""
    mesh = block(1.0, (2, 1), 2)
    gap = Gap(top(mesh, symmetry="axial"), Stamp(3.0))
    law = laws.LinearElastic(C * GPA_PER_EV_A3 * stiffness / C[1, 1])
    body = ContinuumRegion(mesh, law, site_volume=1.0, symmetry="axial", quadrature_degree=4)
    region = Together([body, CohesiveRegion(gap, LAW, modulus=np.inf)], [gap.dofs[0], gap.dofs[2]])
    X = region.reference
    fixed = np.zeros(X.shape, dtype=bool)
    fixed[:, [0, 2]] = True
    fixed[X[:, 1] < -2 + 1e-9] = fixed[gap.stamp] = True
    model = HybridModel(Interface(X, {"bodies": region}, Nested([], rest="bodies"), fixed), EnergyBlend())

    def at(D):
        q = X.copy()
        q[gap.stamp, 1] = D
        return q

    measure = np.zeros(X.shape)
    centre = np.argmin(np.abs(X[:, :2]).sum(axis=1))
    measure[gap.stamp, 1], measure[centre, 1] = 1.0, -1.0
    return model, gap, at, measure


def test_control_goes_through_folds_and_arc_length_along():
    model, gap, at, measure = flat()
    p = lambda h: LAW.traction(np.asarray(h)[:, None], np.zeros(len(h)))[:, 0]  # noqa: E731
    gaps = np.array([4.0, 3.0, 2.4, 2.1, 1.9, 1.8, 1.7, 1.6, 1.5, 1.45])
    exact = gaps + 2.0 * p(gaps) / 0.6
    assert (np.sign(np.diff(exact)) != np.sign(np.diff(exact)[0])).any()  # D turns back, and again
    points = list(control(model, at, at(4.0), measure, gaps - 3.0, start=4.0, load_scale=1.0, fmax=1e-9))
    assert [pt.load for pt in points] == pytest.approx(exact, abs=1e-8)
    for h, load, pt in zip(gaps, np.pi * p(gaps), points, strict=True):
        assert gap.distance(pt.q) == pytest.approx(h, abs=1e-9)
        assert pt.forces[gap.stamp, 1] == pytest.approx(-load, abs=1e-7)
    assert points[4].direction == pytest.approx(1.0 + 2.0 / 0.6 * LAW.tangent(gaps[4:5, None], np.zeros(1))[0, 0, 0])
    found = []
    walk = arc_length(
        model, at, points[0].q, start=exact[0], load_scale=1.0, length_scale=3.0, step=0.1, decreasing=True, fmax=1e-9
    )
    for pt in walk:
        h = gap.distance(pt.q)
        assert np.ptp(h) < 1e-8 and pt.load == pytest.approx(float(h[0] + 2.0 * p(h[:1])[0] / 0.6), abs=1e-8)
        found.append(pt.direction)
        if h[0] < 1.5:
            break
    assert min(found) < 0 < max(found)
    with pytest.raises(MultiscaleError, match="a measure of shape"):
        next(control(model, at, at(4.0), measure[:3], gaps, start=4.0, load_scale=1.0))
    with pytest.raises(MultiscaleError, match="no equilibrium with a measure"):
        next(control(model, at, at(4.0), measure, [-4.0], start=4.0, load_scale=1.0))


@pytest.mark.parametrize("symmetry", ["axial", "plane"])
def test_rigid_paraboloid(symmetry):
    """Derjaguin: the force is 2πR times the energy per area at the closest distance, so that pull-off is 2πwR, exactly."""
    mesh = rectangle(
        np.concatenate([np.linspace(0, 60, 121), np.geomspace(60, 4000, 60)[1:]]), np.array([-1.0, 0.0]), 2
    )
    gap = Gap(top(mesh, symmetry=symmetry), Stamp.paraboloid(100.0, 1.5))
    region = CohesiveRegion(gap, LAW, modulus=np.inf)
    for D in (1.3, 1.5, 2.0):
        q = gap.reference.copy()
        q[gap.stamp, 1] = D
        force = region.evaluate(q, Query(Can.FORCES)).forces[gap.stamp, 1]
        if symmetry == "axial":
            psi = float(LAW.energy(np.array([[D]]), np.zeros(1))[0])
            assert force == pytest.approx(2 * np.pi * 100.0 * psi, rel=1e-4)
        else:
            line = quad(
                lambda x, D=D: float(LAW.traction(np.array([[D + x**2 / 200]]), np.zeros(1))[0, 0]), 0, 4000, limit=500
            )
            assert force == pytest.approx(-line[0], rel=1e-5)


# -- refusals ---------------------------------------------------------------------------------------------------


def test_refusals():
    mesh = block(30.0, (60, 2))
    surface = top(mesh, symmetry="axial")
    with pytest.raises(
        MultiscaleError, match=r"bodies overlap: the gap at \[0\..* is -0.*farther apart by more than 0\.2"
    ):
        CohesiveRegion(Gap(surface, Stamp.paraboloid(50.0, -0.25)), LAW, modulus=np.inf)
    CohesiveRegion(Gap(surface, Stamp.paraboloid(50.0, -0.25)), Reversible(Bilinear(50.0, 2.0, 0.8)), modulus=np.inf)
    # Rigid: √(εR) = √75, two tenths of it for quadratic facets, within 1.5 of it.
    with pytest.raises(
        MultiscaleError, match=r"facets of 2, 1\.73 is needed within 13 of the middle \(Tabor's parameter is 0\)"
    ):
        coarse = top(block(30.0, (15, 2)), symmetry="axial")
        CohesiveRegion(Gap(coarse, Stamp.paraboloid(50.0, 2.0)), LAW, modulus=np.inf)
    # μ = 4: five times as many, farther out.
    soft = np.sqrt(50.0 * 0.8**2 / 1.5**3) / 8.0
    with pytest.raises(MultiscaleError, match=r"facets of 0\.5, 0\.346 is needed within 47\.6 of .* parameter is 4\)"):
        CohesiveRegion(Gap(surface, Stamp.paraboloid(50.0, 2.0)), LAW, modulus=soft)
    with pytest.raises(MultiscaleError, match="positive, or infinite"):
        CohesiveRegion(Gap(surface, Stamp(2.0)), LAW, modulus=0.0)
    with pytest.raises(MultiscaleError, match="in the zone of"):
        CohesiveRegion(Gap(surface, Stamp(2.0)), LAW, modulus=0.1)
    with pytest.raises(MultiscaleError, match="positive radius"):
        Stamp.paraboloid(0.0, 1.0)
    with pytest.raises(MultiscaleError, match="0 … 1, got axis=2"):
        Surface(mesh, lambda X: X[:, 1] > -1e-9, axis=2)
    with pytest.raises(MultiscaleError, match="none of the mesh's"):
        Surface(mesh, lambda X: X[:, 1] > 1.0)
    with pytest.raises(MultiscaleError, match="stands on edge"):
        Surface(mesh, lambda X: X[:, 0] > 29.9)
    with pytest.raises(MultiscaleError, match="face up and"):
        Surface(mesh, lambda X: np.abs(X[:, 1] + 1.0) > 0.99)
    with pytest.raises(MultiscaleError, match="opposite each other if one faces up"):
        Gap(surface, top(block(30.0, (4, 1), 1, 1.0, 2.0), 2.0))
    with pytest.raises(MultiscaleError, match="one symmetry"):
        Gap(surface, top(block(30.0, (4, 1), 1, 1.0, 2.0), 1.0))
    with pytest.raises(MultiscaleError, match="between two meshes"):
        _ = Gap(surface, top(block(30.0, (4, 1), 1, 1.0, 2.0), 1.0, symmetry="axial")).stamp
    assert tabor(100.0, 1.0, np.sqrt(100.0 / 8.0), 1.0) == pytest.approx(2.0)


# -- ranks and the case -----------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("mpirun") is None, reason="no mpirun here")
def test_ranks_agree(tmp_path):
    done = mpi(2, str(Path(__file__).parent / "mpi" / "contact_ranks.py"), cwd=tmp_path, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "ranks agree" in done.stdout


def test_jkr_to_bradley(tmp_path):
    pytest.importorskip("matplotlib")
    pytest.importorskip("gmsh")
    found = catalogue.load(CASE / "case.py").run("tiny", tmp_path, silent=True)
    assert [n for n, q in found["quantities"].items() if q["ok"] is False] == []
    assert sum(q["ok"] is True for q in found["quantities"].values()) >= 8
    assert (tmp_path / "jkr_to_bradley.png").stat().st_size > 10_000
