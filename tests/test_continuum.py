"""Continuum regions: derivatives, patch tests, masses, equilibrium, independence of the number of ranks."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from multiscale.continuum.mesh import SimplexMesh
from multiscale.continuum.voigt import cubic_stiffness
from multiscale.region import Can, Query
from multiscale.testing import regions
from multiscale.types import GPA_PER_EV_A3, MultiscaleError, Team

laws = pytest.importorskip("multiscale.continuum.laws", exc_type=ImportError)  # needs DOLFINx
ContinuumRegion = pytest.importorskip("multiscale.regions.continuum", exc_type=ImportError).ContinuumRegion

C = cubic_stiffness(151.42, 76.42, 56.45)
C[0, 5] = C[5, 0] = 8.933  # a crack's frame has such constants
LAWS = {"linear": laws.LinearElastic(C), "kirchhoff": laws.StVenantKirchhoff(C), "hooke": laws.NeoHookean(60.0, 50.0)}
MESHES = {
    "2d-p1": SimplexMesh.rectangle((0, 0), (20, 30), (4, 4), 1),
    "2d-p2": SimplexMesh.rectangle((0, 0), (20, 30), (4, 4), 2),
    "3d-p1": SimplexMesh.box((0, 0, 0), (20, 30, 10), (3, 3, 2), 1),
    "3d-p2": SimplexMesh.box((0, 0, 0), (20, 30, 10), (2, 2, 2), 2),
}
GRADIENT = np.array([[0.02, 0.013, 0.0], [0.005, -0.01, 0.004], [0.01, 0.0, 0.012]])
EVERYTHING = Can.ENERGY | Can.FORCES | Can.SITE_ENERGIES | Can.HVP


@pytest.fixture(params=MESHES)
def mesh(request):
    return MESHES[request.param]


@pytest.fixture(params=LAWS)
def law(request):
    return LAWS[request.param]


def region_of(mesh, law, **keywords):
    thickness = 3.84 if mesh.dim == 2 else 1.0
    return ContinuumRegion(mesh, law, site_volume=20.0, thickness=thickness, **keywords)


def plane(mesh):
    g = GRADIENT.copy()
    g[mesh.dim :] = g[:, mesh.dim :] = 0
    return g


def test_derivatives(mesh, law):
    region = region_of(mesh, law)
    rng = np.random.default_rng(0)
    x = mesh.nodes + 0.2 * rng.standard_normal(mesh.nodes.shape)
    w, v = rng.random(region.n_sites), rng.standard_normal(x.shape)
    a = region.evaluate(x, Query(EVERYTHING, w, v))
    h = 1e-5
    hi, lo = (region.evaluate(x + s * h * v, Query(weights=w)) for s in (1, -1))
    assert -(a.forces * v).sum() == pytest.approx((hi.energy - lo.energy) / (2 * h), rel=2e-8)
    assert np.abs(a.hvp + (hi.forces - lo.forces) / (2 * h)).max() < 1e-8 * np.abs(a.hvp).max()
    K = region.stiffness(x, w)
    assert np.abs(K @ v.ravel() - a.hvp.ravel()).max() < 1e-12 * np.abs(a.hvp).max()
    assert abs(K - K.T).max() < 1e-12 * abs(K).max()
    # E is linear in w: e = ∂E/∂w exactly, without a difference step.
    assert w @ a.site_energies == pytest.approx(a.energy, rel=1e-14)
    other = rng.random(region.n_sites)
    assert region.evaluate(x, Query(Can.ENERGY, other)).energy == pytest.approx(other @ a.site_energies, rel=1e-13)
    assert np.abs(a.forces.sum(axis=0)).max() < 1e-11
    if mesh.dim == 2:
        assert not a.forces[:, 2].any() and not a.hvp[:, 2].any()


def test_none_is_weight_one_and_unasked_is_none(mesh):
    region = region_of(mesh, LAWS["linear"])
    x = mesh.nodes * 1.01
    one = region.evaluate(x, Query(weights=np.ones(region.n_sites)))
    none = region.evaluate(x, Query())
    assert none.energy == pytest.approx(one.energy, rel=1e-14) and np.array_equal(none.forces, one.forces)
    assert none.site_energies is none.hvp is none.stress is region.evaluate(x, Query(Can.FORCES)).energy is None


def test_numpy_law_is_the_ufl_law(mesh, law):
    region = region_of(mesh, law)
    x = mesh.nodes + 0.2 * np.random.default_rng(1).standard_normal(mesh.nodes.shape)
    u = (x - mesh.nodes)[:, : mesh.dim]
    gradients = mesh.gradient_in(*mesh.quadrature_points(region.quadrature_degree))
    H = np.stack([g @ u for g in gradients], axis=2)
    a = region.evaluate(x, Query(Can.SITE_ENERGIES | Can.FORCES))
    assert a.site_energies == pytest.approx(region.volumes * law.density(H), rel=1e-11)
    P = law.stress(H)[:, : mesh.dim, : mesh.dim] * region.volumes[:, None, None]
    forces = -sum(g.T @ P[:, :, j] for j, g in enumerate(gradients))
    assert np.abs(a.forces[:, : mesh.dim] - forces).max() < 1e-12 * np.abs(forces).max()


@pytest.mark.parametrize("dim", [2, 3])
def test_stress_of_numpy_laws_is_the_derivative_of_the_density(law, dim):
    H = 0.1 * np.random.default_rng(2).standard_normal((5, dim, dim))
    P = law.stress(H)
    for i in range(dim):
        for j in range(dim):
            d = np.zeros((dim, dim))
            d[i, j] = 1e-5
            slope = (law.density(H + d) - law.density(H - d)) / 2e-5
            assert P[:, i, j] == pytest.approx(slope, abs=1e-9)


def test_hyperelastic_laws_are_objective_and_agree_at_small_strain():
    c, s = np.cos(0.7), np.sin(0.7)
    R = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])
    F = np.eye(3) + GRADIENT
    for name in ("kirchhoff", "hooke"):
        one, two = (LAWS[name].density((f - np.eye(3))[None])[0] for f in (F, R @ F))
        assert two == pytest.approx(one, rel=1e-12)
    small = 1e-6 * GRADIENT[None]
    lame = laws.LinearElastic(cubic_stiffness(50 + 120, 50, 60))
    assert LAWS["hooke"].stress(small) == pytest.approx(lame.stress(small), rel=1e-4, abs=1e-12)
    assert LAWS["kirchhoff"].stress(small) == pytest.approx(LAWS["linear"].stress(small), rel=1e-4, abs=1e-12)


def test_homogeneous_strain_has_the_exact_energy_and_stress(mesh, law):
    region = region_of(mesh, law)
    g = plane(mesh)
    x = mesh.nodes @ (np.eye(3) + g).T
    want = Can.ENERGY | Can.FORCES | (Can.STRESS & region.can)
    a = region.evaluate(x, Query(want))
    H = g[None, : mesh.dim, : mesh.dim]
    assert a.energy == pytest.approx(law.density(H)[0] * region.volumes.sum(), rel=1e-12)
    inner = np.setdiff1d(np.arange(region.n_dofs), mesh.boundary_nodes())
    assert np.abs(a.forces[inner]).max() < 1e-13
    assert region.cell_stress(x)[0] == pytest.approx(law.stress(H)[0] * GPA_PER_EV_A3, abs=1e-10)


def test_virial_is_the_strain_derivative(law):
    region = region_of(MESHES["3d-p1"], law)
    rng = np.random.default_rng(3)
    x = region.reference + 0.2 * rng.standard_normal(region.reference.shape)
    w = rng.random(region.n_sites)
    stress = region.evaluate(x, Query(Can.STRESS, w)).stress
    for _ in range(2):
        e = rng.standard_normal((3, 3))
        e, h = e + e.T, 1e-6
        hi, lo = (region.evaluate(x @ (np.eye(3) + s * h * e), Query(Can.ENERGY, w)).energy for s in (1, -1))
        assert (stress * e).sum() == pytest.approx((hi - lo) / (2 * h), rel=1e-6)


def test_plane_regions_offer_no_stress():
    region = region_of(MESHES["2d-p1"], LAWS["linear"])
    with pytest.raises(MultiscaleError, match="STRESS"):
        region.evaluate(region.reference, Query(Can.STRESS))


def test_matter_and_masses(mesh):
    region = region_of(mesh, LAWS["linear"], atom_mass=28.085)
    volume = 6000.0 if mesh.dim == 3 else 600.0 * 3.84
    assert region.matter.sum() == pytest.approx(volume / 20.0, rel=1e-13)
    m = region.masses()
    assert m.min() > 0 and m.sum() == pytest.approx(28.085 * volume / 20.0, rel=1e-13)
    # Lumping keeps the centre of mass.
    assert m @ region.reference / m.sum() == pytest.approx(region.volumes @ region.sites(region.reference) / volume)
    with pytest.raises(MultiscaleError, match="atom_mass"):
        region_of(mesh, LAWS["linear"]).masses()


def test_sites_and_their_adjoint(mesh):
    region = region_of(mesh, LAWS["linear"], quadrature_degree=4)
    rng = np.random.default_rng(4)
    x, v = rng.standard_normal((region.n_dofs, 3)), rng.standard_normal((region.n_sites, 3))
    assert (region.sites(x) * v).sum() == pytest.approx((x * region.pull_sites(v)).sum(), rel=1e-12)
    assert np.abs(region.sites(region.reference) - mesh.quadrature(4)[0]).max() < 1e-13
    assert region.covers(region.sites(region.reference)).all()
    assert not region.covers(region.reference + [100.0, 0, 0]).any()


def test_patch_test_of_the_solver(mesh, law):
    region = region_of(mesh, law)
    edge = mesh.boundary_nodes()
    fixed = np.zeros((region.n_dofs, 3), dtype=bool)
    fixed[edge] = True
    exact = mesh.nodes @ (np.eye(3) + plane(mesh)).T
    x = mesh.nodes.copy()
    x[edge] = exact[edge]
    solved = region.solve(x, fixed, rtol=1e-12)
    assert np.abs(solved - exact).max() < 1e-9
    assert np.array_equal(solved[edge], exact[edge])
    weighted = region.solve(x, fixed, weights=np.full(region.n_sites, 0.3), rtol=1e-12)
    assert np.abs(weighted - exact).max() < 1e-9


@pytest.mark.parametrize("name", ["2d-p2", "3d-p1"])
def test_solution_balances_dead_loads(name, law):
    mesh = MESHES[name]
    region = region_of(mesh, law)
    fixed = np.zeros((region.n_dofs, 3), dtype=bool)
    fixed[mesh.boundary_nodes(lambda X: X[:, 0] == 0)] = True
    load = np.zeros((region.n_dofs, 3))
    load[mesh.boundary_nodes(lambda X: X[:, 0] == 20)] = [0.1, 0.02, 0.0]
    w = np.random.default_rng(5).uniform(0.2, 1, region.n_sites)
    x = region.solve(mesh.nodes, fixed, weights=w, forces=load)
    assert np.abs((region.evaluate(x, Query(Can.FORCES, w)).forces + load)[~fixed]).max() < 1e-8
    assert np.abs(x - mesh.nodes).max() > 0.05
    again = region.solve(mesh.nodes, fixed, weights=w, forces=load, start=x)
    assert np.abs(again - x).max() < 1e-7


def test_nodes_without_weight_stay_where_they_are():
    mesh = MESHES["2d-p2"]
    region = region_of(mesh, LAWS["linear"])
    w = (region.sites(mesh.nodes)[:, 0] < 10).astype(float)
    fixed = np.zeros((region.n_dofs, 3), dtype=bool)
    fixed[mesh.nodes[:, 0] == 0] = True
    x = mesh.nodes + [0.1, 0.2, 0.3]
    solved = region.solve(x, fixed, weights=w)
    assert np.abs(solved - x).max() < 1e-9  # a rigid shift of the living part; the dead part keeps x


def test_failures_say_what_to_do():
    mesh = MESHES["2d-p1"]
    region = region_of(mesh, LAWS["linear"])
    with pytest.raises(MultiscaleError, match="fixed of shape"):
        region.solve(mesh.nodes, np.zeros(3, dtype=bool))
    with pytest.raises(MultiscaleError, match="no thickness"):
        ContinuumRegion(MESHES["3d-p1"], LAWS["linear"], site_volume=20, thickness=2.0)
    with pytest.raises(MultiscaleError, match="positive definite"):
        laws.LinearElastic(np.diag([1.0, 1, 1, 1, 1, -1]))
    with pytest.raises(MultiscaleError, match="μ > 0"):
        laws.NeoHookean(-1.0, 1.0)


def test_fields_for_paraview(tmp_path):
    meshio = pytest.importorskip("meshio")
    region = region_of(MESHES["3d-p2"], LAWS["linear"])
    region.write(tmp_path / "fields.vtu", region.reference * 1.01)
    back = meshio.read(tmp_path / "fields.vtu")
    assert back.point_data["displacement"] == pytest.approx(0.01 * region.reference)
    assert len(back.cell_data["stress"][0]) == len(region.mesh.cells)


def ranks(n):
    """What ``tests/mpi/continuum_ranks.py`` prints on ``n`` ranks."""
    script = Path(__file__).parent / "mpi" / "continuum_ranks.py"
    env = dict(os.environ, OMP_NUM_THREADS="1", OMPI_MCA_mpi_yield_when_idle="1")
    env |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    env["PYTHONPATH"] = os.pathsep.join([str(script.parents[2]), env.get("PYTHONPATH", "")])
    command = [
        "mpirun",
        "--bind-to",
        "none",
        "--oversubscribe",
        "-n",
        str(n),
        sys.executable,
        "-m",
        "mpi4py",
        str(script),
    ]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.skipif(shutil.which("mpirun") is None, reason="mpirun is not installed")
def test_answers_do_not_depend_on_the_number_of_ranks():
    one = ranks(1)
    for n in (2, 3):
        for problem, b in ranks(n).items():
            a = one[problem]
            assert b["replicated"] and b["cells"] == a["cells"]
            assert b["energy"] == pytest.approx(a["energy"], rel=1e-12)
            for name in ("forces", "site_energies", "hvp", "stiffness"):
                scale = np.abs(a[name]).max()
                assert np.abs(np.subtract(b[name], a[name])).max() < 1e-12 * scale, (problem, name)
            assert np.abs(np.subtract(b["solved"], a["solved"])).max() < 1e-8, problem


@pytest.mark.parametrize("name", ["2d-p2", "3d-p1"])
def test_conformance(name, law):
    results = regions.examine_region(lambda: region_of(MESHES[name], law, atom_mass=28.0))
    assert len(results) > 8
    assert not [f"{r.check}: {r.measured:.3g} > {r.bound:.3g}" for r in results if not r.ok]


def test_members_without_cells_add_nothing():
    mesh = SimplexMesh.rectangle((0, 0), (10, 10), (1, 1), 2)
    x = mesh.nodes * 1.02
    whole = region_of(mesh, LAWS["linear"]).evaluate(x, Query(EVERYTHING, vector=x))
    shares = []
    for rank in range(3):
        member = region_of(mesh, LAWS["linear"])
        member.bind(Team(rank, 3))
        shares.append(member.evaluate(x, Query(EVERYTHING, vector=x)))
        with pytest.raises(MultiscaleError, match="communicator"):
            member.solve(x, np.ones(x.shape, dtype=bool))
    assert shares[0].energy == 0.0
    for name in ("energy", "forces", "site_energies", "hvp"):
        total = sum(getattr(s, name) for s in shares)
        assert total == pytest.approx(getattr(whole, name), rel=1e-12, abs=1e-13)
