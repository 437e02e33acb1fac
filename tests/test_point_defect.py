"""The case point_defect_2d and what it needs: meshes of the lattice, nodal weights, reconstructed stars, and its published errors."""

from __future__ import annotations

import sys
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from processes import ROOT

pytest.importorskip("multiscale.continuum.laws", exc_type=ImportError)  # needs DOLFINx

from couplers import EnergyBlend, ForceBlend  # noqa: E402
from multiscale import Cubic, HybridModel, Interface, Quintic, catalogue  # noqa: E402
from multiscale.continuum.lattice_mesh import BONDS, CELL_AREA, SITE_AREA, radii, triangular  # noqa: E402
from multiscale.drive import newton  # noqa: E402
from multiscale.models import EAM, ToyEAM  # noqa: E402
from multiscale.nodal import Nodal, apart, complete, min_hessian, one_per_cell, refined  # noqa: E402
from multiscale.reconstruction import grac_23, interface_sites, weights  # noqa: E402
from multiscale.region import Can, Query  # noqa: E402
from multiscale.regions.ml import MLRegion  # noqa: E402
from multiscale.regions.stars import StarRegion  # noqa: E402
from multiscale.testing.regions import examine_region  # noqa: E402
from multiscale.types import MultiscaleError  # noqa: E402

NODES = {
    "ATM": (270, 468, 918, 1656, 3366, 6486, 12870),
    "QCE": (132, 192, 402, 750, 1320, 2496, 4686),
    "BQCE": (264, 480, 1158, 2016, 3984, 8718, 16776),
    "GRAC": (210, 294, 522, 912, 1518, 2970, 5004),
}
HYBRIDS = ("QCE", "BQCE", "BQCE cubic", "BQCE quintic", "BQCF", "BGFC", "GRAC")
STRAINS = (np.zeros((2, 2)), np.array([[0.02, -0.01], [0.015, -0.02]]), np.array([[-0.015, 0.02], [0.0, 0.01]]))


@pytest.fixture(scope="module")
def pd():
    sys.path.insert(0, str(ROOT / "cases" / "point_defect_2d"))
    try:
        import problem
    finally:
        sys.path.pop(0)
        sys.modules.pop("problem", None)
    return problem


def deformed(X, H):
    """The homogeneous state (1 + H) X of plane nodes."""
    out = X.copy()
    out[:, :2] += X[:, :2] @ np.asarray(H).T
    return out


def inner(problem, forces):
    return float(np.abs(np.where(problem.fixed(), 0.0, forces)).max())


# -- meshes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", NODES)
def test_meshes_are_the_published_ones(pd, method):
    sizes = pd.ATM if method == "ATM" else pd.K0
    assert tuple(pd.Problem(method, k).n for k in sizes) == NODES[method]


def test_reference_mesh(pd):
    assert pd.reference(pd.Defect()).n == 30888


def test_the_refined_part_is_the_lattice():
    lattice = triangular(6, 26)
    X, near = lattice.mesh.points, lattice.neighbours
    whole = (near >= 0).all(axis=1)
    assert whole.sum() == lattice.refined.sum() - 6 - 36  # but for the vacancy's neighbours and the edge
    assert np.allclose(X[near[whole]] - X[whole][:, None], BONDS, atol=1e-12)
    cells = lattice.refined[lattice.mesh.cells].all(axis=1)
    assert np.allclose(lattice.mesh.volumes[cells], CELL_AREA, rtol=1e-12)
    # Six triangles are gone with the vacancy; outside, cells fill the hexagon.
    assert lattice.mesh.volumes.sum() == pytest.approx(6 * 26**2 * np.sqrt(3) / 4 - 6 * CELL_AREA, rel=1e-12)
    layer = np.round(np.abs(X[lattice.refined] @ (np.roll(BONDS, 1, axis=0) + BONDS)[:3].T).max(axis=1) / 1.5).astype(
        int
    )
    assert np.array_equal(lattice.hops[lattice.refined], 6 - layer) and (lattice.hops[~lattice.refined] == -1).all()


def test_a_mesh_without_its_defect_has_the_same_other_vertices():
    with_it, without = triangular(5, 20, half=2), triangular(5, 20, half=2, vacancies=False)
    assert len(with_it.removed) == 5 and np.allclose(without.mesh.points[:5], with_it.removed)
    assert np.array_equal(without.mesh.points[5:], with_it.mesh.points)
    assert with_it.at_defect.sum() == 14 and not without.at_defect.any()


def test_radii_never_shrink_and_end_where_they_should():
    for K, outer in ((4, 19), (12, 46), (48, 2304)):
        r = radii(K, outer, 1.5 if K < 48 else 1.25)
        assert r[0] == K and r[-2] == pytest.approx(outer, rel=1e-12)
        assert (np.diff(r[1:-1], 2) >= -1e-9).all()


# -- the model ------------------------------------------------------------------------------------------------------


def test_the_toy_model_is_its_formula():
    rng = np.random.default_rng(0)
    x = np.vstack([np.zeros((1, 3)), np.pad(BONDS, ((0, 0), (0, 1))) + rng.normal(0, 0.03, (6, 3))])
    s = np.linalg.norm(x[1:], axis=1)
    e = np.exp(-4.0 * (s - 1))
    rho = np.exp(-3.0 * s).sum() - 6 * np.exp(-2.7)
    want = 0.5 * (e**2 - 2 * e).sum() + 10.0 * (rho**2 + rho**4)
    region = MLRegion(ToyEAM(), symbols=["X"] * 7, positions=x)
    found = region.evaluate(x, Query(Can.SITE_ENERGIES))["site_energies"][0]
    assert found == pytest.approx(want, rel=1e-14)
    assert ToyEAM().strays(x) == 0 and ToyEAM().strays(1.44 * x) > 0


def test_the_toy_model_as_a_region():
    X = triangular(2, 2, vacancies=False).mesh.nodes
    rng = np.random.default_rng(1)
    results = examine_region(
        lambda: MLRegion(ToyEAM(), symbols=["X"] * len(X), positions=X), X + rng.normal(0, 0.04, X.shape)
    )
    assert [str(r) for r in results if not r.ok] == []


def test_stars_as_a_region():
    lattice = triangular(3, 3, vacancies=False)
    sites, stars = grac_23(lattice.neighbours, lattice.hops > 0)
    x = stars.place(lattice.mesh.nodes)
    make = partial(StarRegion, ToyEAM(), x.reshape(-1, 7, 3), "X")
    results = examine_region(make, x + np.random.default_rng(2).normal(0, 0.04, x.shape))
    assert [str(r) for r in results if not r.ok] == [] and {"forces", "stiffness"} <= {r.check for r in results}
    assert np.allclose(make().sites(x), lattice.mesh.nodes[sites])


def test_energy_of_the_cluster_of_nine_layers(pd):
    problem = pd.Problem("ATM", 9)
    steps = list(newton(problem.model(), problem.start, fmax=1e-8))
    assert len(steps) <= 5
    assert steps[-1].energy == pytest.approx(-699.365047811, abs=1e-8)


def test_the_law_is_the_model_at_the_far_field(pd):
    defect = pd.Defect()
    lattice = triangular(3, 3, vacancies=False)
    x = lattice.mesh.nodes @ defect.F.T
    e = MLRegion(defect.model, symbols=["X"] * len(x), positions=x).evaluate(x, Query(Can.SITE_ENERGIES))
    assert e["site_energies"][0] == pytest.approx(defect.density(), abs=1e-13)
    assert defect.density() == pytest.approx(-2.884811586, abs=1e-9)
    assert defect.ground_state() == pytest.approx(pd.GROUND_STATE, abs=1e-8)


# -- weights --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", HYBRIDS)
def test_matter_is_counted_once(pd, method):
    """Σβ + Σω is the area over the area per site, to round-off; every place is covered once."""
    problem = pd.Problem(method, 4, vacancies=False)
    model = problem.model()
    ledger = model.ledger(problem.start)
    assert max(abs(c - 1.0) for c in ledger.coverage) < 1e-12
    total = sum(row.matter for row in ledger.rows)
    assert total == pytest.approx(problem.lattice.mesh.volumes.sum() / SITE_AREA, rel=1e-12)


def test_least_curvature_in_one_dimension_is_a_cubic():
    known = np.full(20, np.nan)
    known[:5], known[-5:] = 1.0, 0.0
    beta = min_hessian(np.arange(18)[:, None] + np.arange(3), known)
    assert np.abs(np.diff(beta[3:17], 4)).max() < 1e-12
    assert np.allclose(beta + beta[::-1], 1.0) and (np.diff(beta) <= 1e-12).all()


def test_least_curvature_has_less_than_any_switch(pd):
    lattice, width = triangular(12, 46), 6
    hops = lattice.hops
    known = np.where(hops < 2, 0.0, np.where(hops > width, 1.0, np.nan))

    def curvature(beta):
        left, centre, right = beta[lattice.lines].T
        return float(((left - 2 * centre + right) ** 2).sum())

    best = min_hessian(lattice.lines, known)
    others = [s(1 - np.clip((hops - 1) / width, 0, 1)) for s in (Cubic(), Quintic())]
    assert all(np.array_equal(o[~np.isnan(known)], known[~np.isnan(known)]) for o in others)
    bumped = best + 1e-3 * np.isnan(known) * np.random.default_rng(0).uniform(-1, 1, len(best))
    assert curvature(best) < min(curvature(b) for b in (*others, bumped))


# -- ghost forces ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("H", STRAINS)
def test_grac_passes_the_patch_test(pd, H):
    problem = pd.Problem("GRAC", 3, vacancies=False)
    model = problem.model()
    q = deformed(problem.lattice.mesh.nodes, H)
    assert inner(problem, model.evaluate(q).forces) < 1e-11


def with_constant(pd, constant, elements=None):
    """GRAC with another constant, or other element weights."""
    problem = pd.Problem("GRAC", 3, vacancies=False)
    lattice, atoms = problem.lattice, problem.beta > 0
    regions, partition = problem._grac()
    regions["stars"] = (regions["stars"][0], grac_23(lattice.neighbours, atoms, constant)[1])
    if elements is not None:
        table = weights(interface_sites(lattice.neighbours, atoms), atoms)
        partition = Nodal(
            lattice.mesh, {"atoms": table["atoms"] + 0.5 * table["stars"], "stars": 0.5 * table["stars"]}, "fem"
        )
    return problem, HybridModel(
        Interface(lattice.mesh.nodes, regions, partition, problem.fixed(), strict=False), EnergyBlend()
    )


def test_sabotaged_reconstructions_have_ghost_forces(pd):
    for problem, model in (with_constant(pd, 0.6), with_constant(pd, 1.0), with_constant(pd, 2 / 3, elements="half")):
        q = deformed(problem.lattice.mesh.nodes, STRAINS[1])
        assert inner(problem, model.evaluate(q).forces) > 1e-2
    problem, model = with_constant(pd, 2 / 3)
    assert inner(problem, model.evaluate(problem.start).forces) < 1e-11


def test_ghost_forces_of_the_others(pd):
    found = {}
    for method in HYBRIDS:
        problem = pd.Problem(method, 6, vacancies=False)
        found[method] = inner(problem, problem.model().evaluate(problem.start).forces)
    assert max(found[m] for m in ("BQCF", "BGFC", "GRAC")) < 1e-11
    # Found 0.116, 0.016, 0.013 and 0.006 eV/Å.
    assert found["QCE"] > 5 * found["BQCE quintic"] > 5 * found["BQCE cubic"] * 0.9 > 0.01
    assert 1e-3 < found["BQCE"] < 0.6 * found["BQCE cubic"]


def test_the_correction_is_that_of_the_perfect_lattice(pd):
    """The energy blend's force less the force blend's is the same with and without the defect; the energy blend's alone is not."""
    problem, perfect = pd.Problem("BGFC", 4), pd.Problem("BQCE", 4, vacancies=False)
    model = problem.model()
    _, _, ghost = model._prepared
    want = perfect.model().evaluate(perfect.start).forces
    held = perfect.fixed()
    assert np.abs(np.where(held[1:], 0.0, ghost - want[1:])).max() < 1e-12
    plain = pd.Problem("BQCE", 4).model().evaluate(problem.start).forces
    assert np.abs(np.where(held[1:], 0.0, plain - want[1:])).max() > 0.5


@pytest.mark.parametrize("method", ["QCE", "BQCE", "BGFC", "GRAC"])
def test_forces_are_the_gradient(pd, method):
    problem = pd.Problem(method, 3)
    model, rng = problem.model(), np.random.default_rng(3)
    free = ~problem.fixed()
    q = problem.start + 0.02 * rng.normal(size=problem.start.shape) * free
    v, h = rng.normal(size=q.shape) * free, 1e-4
    e = {k: model.evaluate(q + k * h * v).energy for k in (-2, -1, 1, 2)}
    slope = (8 * (e[1] - e[-1]) - (e[2] - e[-2])) / (12 * h)
    assert slope == pytest.approx(-float((model.evaluate(q).forces * v).sum()), rel=1e-8)


# -- bad input ------------------------------------------------------------------------------------------------------


def test_blends_that_do_not_fit(pd):
    with pytest.raises(
        MultiscaleError, match="touches the stencil of the defect: atom .* has an atomistic weight of 0"
    ):
        pd.Problem("BQCE", 2).model()
    with pytest.raises(MultiscaleError, match="has not all its neighbours within 2 bonds"):
        lattice = triangular(6, 26)
        complete(lattice.neighbours, (lattice.hops > 0).astype(float), 2, bare=lattice.at_defect)
    with pytest.raises(
        MultiscaleError, match="coarser than the blend needs: cell .* times the volume of the lattice's cells"
    ):
        lattice = triangular(6, 26)
        refined(lattice.mesh.volumes, lattice.mesh.cells, (lattice.hops >= -1) * 0.5, CELL_AREA)
    lattice = triangular(6, 26)
    apart(lattice.neighbours, (lattice.hops > 2).astype(float), lattice.at_defect)
    with pytest.raises(MultiscaleError, match="touches the stencil"):
        apart(lattice.neighbours, (lattice.hops > 4).astype(float), lattice.at_defect)


def test_bad_tables():
    mesh = triangular(3, 3).mesh
    n = len(mesh.nodes)
    with pytest.raises(MultiscaleError, match="one number for each of 36 nodes"):
        Nodal(mesh, {"atoms": np.ones(3)})
    with pytest.raises(MultiscaleError, match="weights at node 0 add up to 0.4; name the region"):
        Nodal(mesh, {"atoms": np.full(n, 0.4)})
    with pytest.raises(MultiscaleError, match="weight of 'fem' at node 0 is -0.2"):
        Nodal(mesh, {"atoms": np.full(n, 0.6), "stars": np.full(n, 0.6)}, rest="fem")
    with pytest.raises(MultiscaleError, match="takes the rest, and has weights"):
        Nodal(mesh, {"fem": np.ones(n)}, rest="fem")
    with pytest.raises(MultiscaleError, match="node 3 of the blend is in no second difference"):
        min_hessian(np.array([[0, 1, 2]]), np.array([1.0, np.nan, 0.0, np.nan]))


def test_one_weight_per_cell():
    cell = np.array([1, 0, 0, 1, 7])
    one_per_cell(np.array([0.5, 1.0, 1.0, 0.5, 0.0]), cell)
    with pytest.raises(MultiscaleError, match="atoms of cell 1 have weights from 0.2 to 0.5 .1 such cells"):
        one_per_cell(np.array([0.5, 1.0, 1.0, 0.2, 0.0]), cell)


def test_bad_geometry(pd):
    with pytest.raises(MultiscaleError, match="outer ≥ half"):
        triangular(6, 5)
    lattice = triangular(6, 26)
    with pytest.raises(MultiscaleError, match="has only 5 of its six neighbours"):
        grac_23(lattice.neighbours, lattice.hops > 4)
    with pytest.raises(MultiscaleError, match="no common edge"):
        grac_23(lattice.neighbours, np.zeros(len(lattice.refined), dtype=bool))
    with pytest.raises(MultiscaleError, match="no method 'QCEE'"):
        pd.Problem("QCEE", 3)
    with pytest.raises(MultiscaleError, match="needs positions of shape"):
        StarRegion(ToyEAM(), np.zeros((3, 3)), "X")
    deep = SimpleNamespace(layers=2, name="MACE")
    with pytest.raises(MultiscaleError, match="needs a strictly local model"):
        StarRegion(deep, np.zeros((1, 7, 3)), "X")
    with pytest.raises(MultiscaleError, match="c must not be negative"):
        ToyEAM(c=-1.0)
    assert EAM.ercolessi_adams().layers == 1


# -- the case -------------------------------------------------------------------------------------------------------


def test_second_defect_of_the_family(pd):
    """Five vacancies and a stronger many-body term, by parameters alone: Newton's steps stay few, and the blends keep their order."""
    defect = pd.Defect(half=2, c=20.0)
    exact = pd.Problem("GRAC", 14, defect, 256.0)
    *_, last = newton(exact.model(), exact.start, fmax=1e-8)
    u, errors = exact.displacement(last.q), {}
    for method in ("QCE", "BQCE", "BGFC", "GRAC"):
        problem = pd.Problem(method, 4, defect)
        *_, last = newton(problem.model(), problem.start, fmax=1e-8)
        assert last.converged and last.index <= 6
        found = pd.onto(exact.lattice, problem.lattice, problem.displacement(last.q))
        errors[method] = pd.seminorm(exact.lattice, found - u) / pd.seminorm(exact.lattice, u)
    assert errors["GRAC"] < errors["QCE"] and errors["BGFC"] < errors["BQCE"] < errors["QCE"]


def test_force_blending_has_no_energy_and_the_same_errors(pd):
    a, b = pd.Problem("BQCF", 4), pd.Problem("BGFC", 4)
    u = []
    for problem in (a, b):
        *_, last = newton(problem.model(), problem.start, fmax=1e-8)
        u.append(problem.displacement(last.q))
    assert ForceBlend().claims.conservative is False and a.model().evaluate(a.start).energy is None
    # Two methods without ghost forces, on the same mesh: they differ by less than either errs (0.055).
    assert pd.seminorm(a.lattice, u[0] - u[1]) < 0.02 * pd.seminorm(a.lattice, u[0])


@pytest.mark.timeout(600)
def test_published_errors(tmp_path):
    pytest.importorskip("matplotlib")
    card = catalogue.cards([ROOT / "cases"])["point_defect_2d"]
    found = catalogue.load(card.script).run("small", tmp_path, silent=True)
    assert [name for name, q in found["quantities"].items() if q["ok"] is False] == []
    assert sum(q["ok"] is True for q in found["quantities"].values()) >= 45
    assert (tmp_path / "point_defect_2d.png").stat().st_size > 10_000
    assert (tmp_path / "atoms.extxyz").exists() and (tmp_path / "far_field.vtu").exists()
