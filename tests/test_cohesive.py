"""Cohesive interfaces: laws against finite differences, the jump operator, refusals, regions, and the case at size small."""

import numpy as np
import pytest
from processes import ROOT

from multiscale import catalogue
from multiscale.region import Can, Query
from multiscale.types import MultiscaleError

pytest.importorskip("meshio")
from multiscale.continuum.cohesive import Joint, zone_length  # noqa: E402
from multiscale.continuum.cohesive_laws import Damaging, Reversible  # noqa: E402
from multiscale.continuum.cut import cut  # noqa: E402
from multiscale.continuum.graded import rectangle  # noqa: E402
from multiscale.continuum.mesh import SimplexMesh  # noqa: E402
from multiscale.continuum.traction import Bilinear, Exponential, Tabulated, of_atoms  # noqa: E402
from multiscale.regions.cohesive import CohesiveRegion, Together  # noqa: E402
from multiscale.testing.regions import examine_region  # noqa: E402

CARDS = catalogue.cards([ROOT / "cases"])
SMOOTH = Exponential(20.0, 0.1)


def table(n=400):
    x = np.linspace(0.0, 30 * SMOOTH.peak, n)
    return Tabulated(x, np.append(SMOOTH.traction(x)[:-1], 0.0))


CURVES = {"bilinear": Bilinear(1e4, 20.0, 0.1), "exponential": SMOOTH, "tabulated": table()}
LAWS = {f"{law.__name__}, {name}": law(curve, 0.7) for law in (Reversible, Damaging) for name, curve in CURVES.items()}
LAWS["stiff contact"] = Damaging(SMOOTH, 0.0, 1e6)


def halves(dim, degree):
    """A body cut through at y = 0."""
    if dim == 2:
        grid = rectangle(np.array([0.0, 1.0, 1.5, 3.0]), np.linspace(-1, 1, 3), degree)
    else:
        box = SimplexMesh.box((0, -1, 0), (2, 1, 1), (2, 2, 1), degree)
        grid = SimplexMesh(box.points * [1.0, 1.0, 1.3], box.cells, degree)
    return cut(grid, lambda X: np.abs(X[:, 1]) < 1e-9, lambda X: X[:, 1] > 0)


# -- laws -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CURVES)
def test_curves(name):
    """T = φ′, T′, K₀, the strength and ∫T dλ = Gc."""
    c = CURVES[name]
    x = np.random.default_rng(0).uniform(0, 6, 400) * c.toughness / c.strength
    h = 1e-6 * c.toughness / c.strength
    assert c.traction(x) == pytest.approx((c.energy(x + h) - c.energy(x - h)) / (2 * h), abs=1e-6 * c.strength)
    kinked = np.isin(name, ["bilinear"]) & (
        np.abs(x[:, None] - [c.strength / c.stiffness, 2 * c.toughness / c.strength]).min(axis=1) < 2 * h
    )
    slope = (c.traction(x + h) - c.traction(x - h)) / (2 * h)
    assert c.slope(x)[~kinked] == pytest.approx(slope[~kinked], abs=1e-6 * c.stiffness)
    far = np.array([1e3 * c.toughness / c.strength])
    assert c.energy(far) == pytest.approx(c.toughness, rel=1e-12) and c.traction(far) == pytest.approx(0.0, abs=1e-12)
    assert c.secant(np.zeros(1)) == pytest.approx(c.stiffness) and c.energy(np.zeros(1)) == 0.0
    fine = np.linspace(0, 2 * c.toughness / c.strength, 200_001)
    assert c.traction(fine).max() == pytest.approx(c.strength, rel=1e-6) and c.strength == pytest.approx(20.0, rel=1e-5)


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("name", LAWS)
def test_laws_are_potentials_at_given_history(name, dim):
    law, rng = LAWS[name], np.random.default_rng(1)
    scale = law.curve.toughness / law.curve.strength
    d, past, h = scale * rng.normal(size=(300, dim)), scale * np.abs(rng.normal(size=300)), 1e-6 * scale
    t, D = law.traction(d, past), law.tangent(d, past)
    for i in range(dim):
        e = h * np.eye(dim)[i]
        slope = (law.energy(d + e, past) - law.energy(d - e, past)) / (2 * h)
        assert t[:, i] == pytest.approx(slope, abs=1e-7 * np.abs(t).max())
        bend = (law.traction(d + e, past) - law.traction(d - e, past)) / (2 * h)
        assert D[:, :, i] == pytest.approx(bend, abs=1e-7 * np.abs(D).max())
    assert D == pytest.approx(D.transpose(0, 2, 1))


def test_history_unloads_to_the_origin_and_books_what_it_spends():
    law, zero = Damaging(SMOOTH), np.zeros(1)
    out = np.array([[2.0 * SMOOTH.peak, 0.0]])
    past = law.remember(out, zero)
    assert past == pytest.approx(2.0 * SMOOTH.peak)
    half = law.traction(0.5 * out, past)
    assert half == pytest.approx(0.5 * law.traction(out, zero))
    spent, stored = law.spent(past), 0.5 * law.traction(out, past)[0] @ out[0]
    assert law.energy(0 * out, past) == pytest.approx(spent) and law.energy(out, past) == pytest.approx(spent + stored)
    assert law.remember(0.5 * out, past) == pytest.approx(past)
    free = Reversible(SMOOTH)
    assert free.traction(0.5 * out, past) == pytest.approx(free.traction(0.5 * out, zero)) and free.spent(past) == 0.0
    assert not free.remembers and law.remembers


def test_contact_pushes_back():
    law = Reversible(SMOOTH, contact=1e7)
    t = law.traction(np.array([[-1e-4, 0.0]]), np.zeros(1))
    assert t[0] == pytest.approx([-1e3, 0.0])
    with pytest.raises(MultiscaleError, match="pass through one another"):
        Reversible(SMOOTH, contact=0.0)


def test_refused_curves():
    with pytest.raises(MultiscaleError, match="before its peak"):
        Bilinear(1e3, 20.0, 0.1)
    with pytest.raises(MultiscaleError, match="starts at \\(0, 0\\)"):
        Tabulated(np.arange(5.0), np.array([1.0, 2, 1, 0.5, 0]))
    with pytest.raises(MultiscaleError, match="ends at T = 0"):
        Tabulated(np.arange(5.0), np.array([0.0, 2, 1, 0.5, 0.2]))
    with pytest.raises(MultiscaleError, match="positive"):
        Exponential(-1.0, 0.1)
    assert of_atoms(160.21766208, 16.021766208) == pytest.approx((1.0, 1.0))


# -- geometry ---------------------------------------------------------------------------------------------------


# Sites at the nodes exist in the plane.
@pytest.mark.parametrize(
    ("dim", "degree", "points"),
    [(2, 1, "gauss"), (2, 2, "gauss"), (3, 1, "gauss"), (3, 2, "gauss"), (2, 1, "nodes"), (2, 2, "nodes")],
)
def test_jumps_of_polynomials_are_exact(dim, degree, points):
    slit = halves(dim, degree)
    joint = Joint(slit, thickness=2.0 if dim == 2 else 1.0, points=points)
    X = slit.mesh.nodes
    up = np.zeros(len(X), dtype=bool)
    up[slit.mesh.cell_nodes[slit.mesh.centroids[:, 1] > 0]] = True

    def field(x):
        return np.column_stack([1.0 + x[:, 0] ** degree, 2.0 - x[:, 0], x[:, 2] + 3.0])[:, :3] * [1, 1, dim == 3]

    u = np.where(up[:, None], 1.0, 0.25) * field(X)
    at = joint.middle @ X
    jump = 0.75 * field(at)
    assert joint.area.sum() == pytest.approx(6.0 if dim == 2 else 2.6)
    delta = joint.opening(u)
    assert delta[:, 0] == pytest.approx(jump[:, 1])
    assert np.linalg.norm(delta, axis=1) == pytest.approx(np.linalg.norm(jump, axis=1))
    assert np.abs(joint.opening(np.ones_like(u))).max() < 1e-13
    assert len(joint.pairs()) == (slit.sides() == 1).sum() and np.array_equal(
        X[joint.pairs()[:, 0]], X[joint.pairs()[:, 1]]
    )


def test_too_few_elements_in_the_zone_are_refused():
    law = Reversible(Bilinear(1e5, 20.0, 0.1))
    assert zone_length(76923.0, law.curve) == pytest.approx(9 * np.pi / 32 * 19.23, rel=1e-3)
    assert zone_length(76923.0, law.curve, arm=1.0) == pytest.approx(19.23**0.25, rel=1e-3)
    joint = Joint(halves(2, 1))  # facets of 1.5
    with pytest.raises(MultiscaleError, match="refine the interface to 0.419"):
        CohesiveRegion(joint, law, modulus=76923.0, arm=1.0)
    CohesiveRegion(joint, law, modulus=76923.0)  # 17 long: fine
    with pytest.raises(MultiscaleError, match="5 are needed"):
        CohesiveRegion(joint, Reversible(Bilinear(1e6, 60.0, 0.1)), modulus=76923.0)


# -- regions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("law", [Reversible(Exponential(0.2, 0.17), 0.7), Damaging(Bilinear(0.7, 0.2, 0.17))])
@pytest.mark.parametrize(("dim", "degree"), [(2, 2), (3, 1)])
def test_region(dim, degree, law):
    joint = Joint(halves(dim, degree))
    opened = joint.mesh.nodes + np.random.default_rng(2).normal(size=joint.mesh.nodes.shape) * [
        0.05,
        0.05,
        0.05 * (dim == 3),
    ]
    opened[:, 1] += 0.4 * np.sign(opened[:, 1])
    checks = ("forces", "site energies", "curvature", "reach", "team", "subsets", "purity", "site adjoint")
    results = examine_region(lambda: CohesiveRegion(joint, law, modulus=np.inf), opened, only=checks, bound=1e-6)
    assert not [str(r) for r in results if not r.ok] and len(results) >= 8
    wrong = CohesiveRegion(joint, law, modulus=np.inf)
    wrong.law = type(
        "Wrong", (type(law),), {"traction": lambda self, d, p: 1.001 * super(type(self), self).traction(d, p)}
    )(law.curve, law.shear)
    caught = examine_region(lambda: wrong, opened, only=("forces",), bound=1e-6)
    assert not any(r.ok for r in caught)


def test_body_and_interface_are_one_region():
    laws = pytest.importorskip("multiscale.continuum.laws", exc_type=ImportError)
    from multiscale.continuum.voigt import cubic_stiffness
    from multiscale.regions.continuum import ContinuumRegion

    joint = Joint(halves(2, 2))

    def make():
        solid = ContinuumRegion(
            joint.mesh, laws.LinearElastic(cubic_stiffness(150, 70, 60)), site_volume=20.0, atom_mass=28.0
        )
        return Together([solid, CohesiveRegion(joint, Reversible(Exponential(0.2, 0.17)), modulus=np.inf)])

    x = joint.mesh.nodes + np.random.default_rng(2).normal(size=joint.mesh.nodes.shape) * [0.02, 0.02, 0.0]
    x[:, 1] += 0.2 * (joint.mesh.nodes[:, 1] > 0)
    results = examine_region(
        make, x, only=("forces", "site energies", "curvature", "reach", "team", "subsets", "purity", "site adjoint")
    )
    assert not [str(r) for r in results if not r.ok]
    one = make()
    assert one.area.sum() == pytest.approx(3.0) and one.matter.sum() == pytest.approx(6.0 / 20.0)
    with pytest.raises(MultiscaleError, match="same nodes"):
        Together([one.regions[0], CohesiveRegion(Joint(halves(2, 1)), Reversible(SMOOTH), modulus=np.inf)])


def test_commit_moves_history_on():
    joint = Joint(halves(2, 1))
    region = CohesiveRegion(joint, Damaging(SMOOTH), modulus=np.inf)
    X = joint.mesh.nodes
    lift = np.zeros_like(X)
    lift[joint.upper, 1] = 2.0 * SMOOTH.peak
    first = region.evaluate(X + lift, Query(Can.ENERGY)).energy
    region.commit(X + lift)
    assert region.evaluate(X + lift, Query(Can.ENERGY)).energy == pytest.approx(first)
    assert (
        region.evaluate(X, Query(Can.ENERGY)).energy == pytest.approx(region.spent())
        and region.spent() > 0.1 * 3.0 * 0.1
    )


# -- the case ---------------------------------------------------------------------------------------------------


def test_double_cantilever(tmp_path):
    pytest.importorskip("multiscale.continuum.laws", exc_type=ImportError)  # needs DOLFINx
    found = catalogue.load(CARDS["double_cantilever"].script).run("small", tmp_path, silent=True)
    assert [n for n, q in found["quantities"].items() if q["ok"] is False] == []
    assert sum(q["ok"] is True for q in found["quantities"].values()) >= 10
    assert (tmp_path / "double_cantilever.png").stat().st_size > 10_000
