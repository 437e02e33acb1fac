"""Bodies of revolution: exact fields, the thick-walled cylinder, forces, curvature, shares of a team, refusals."""

import numpy as np
import pytest

from multiscale.region import Can, Query
from multiscale.testing.regions import examine_region
from multiscale.types import GPA_PER_EV_A3, MultiscaleError, Team

laws = pytest.importorskip("multiscale.continuum.laws", exc_type=ImportError)
from multiscale.continuum.axial import circumference  # noqa: E402
from multiscale.continuum.brittle import isotropic_stiffness  # noqa: E402
from multiscale.continuum.mesh import SimplexMesh  # noqa: E402
from multiscale.continuum.voigt import cubic_stiffness  # noqa: E402
from multiscale.regions.continuum import ContinuumRegion  # noqa: E402

E, NU = 3.0, 0.3
SOLID = laws.LinearElastic(isotropic_stiffness(E, NU) * GPA_PER_EV_A3)


def body(mesh, law=SOLID, **settings):
    return ContinuumRegion(mesh, law, site_volume=2.0, atom_mass=5.0, symmetry="axial", **settings)


def cylinder(inner, n, degree):
    mesh = SimplexMesh.rectangle((inner, 0.0), (2.0, 1.0), n, degree)
    shifted = mesh.points.copy()
    inside = (np.abs(shifted - [0.5 * (inner + 2.0), 0.5]) < [0.5 * (2.0 - inner) - 1e-9, 0.5 - 1e-9]).all(axis=1)
    shifted[inside] += np.random.default_rng(1).normal(0.0, 0.02, (inside.sum(), 2))
    return SimplexMesh(shifted, mesh.cells, degree)


@pytest.mark.parametrize(("degree", "rule"), [(1, 1), (1, 2), (2, 2), (2, 4)])
def test_patch(degree, rule):
    """u = (a r, b z): the same strain everywhere, hoop strain a; held at the ends and the rim, found inside."""
    region = body(cylinder(0.0, (4, 3), degree), quadrature_degree=rule)
    X = region.reference
    exact = X * [1.01, 0.98, 1.0]
    rim = (X[:, 0] > 2 - 1e-9) | (np.abs(X[:, 1] - 0.5) > 0.5 - 1e-9)
    fixed = np.repeat(rim[:, None], 3, axis=1)
    fixed[X[:, 0] < 1e-9, 0] = True
    x = region.solve(np.where(fixed, exact, X), fixed, rtol=1e-13)
    assert np.abs(x - exact).max() < 1e-10
    strain = np.array([0.01, -0.02, 0.01, 0, 0, 0])
    W = 0.5 * strain @ isotropic_stiffness(E, NU) @ strain
    energy = region.evaluate(exact, Query(Can.ENERGY)).energy
    # The circumference is linear, so that even one point per cell has the volume right.
    assert energy == pytest.approx(W * 4 * np.pi, rel=1e-12)
    assert region.matter.sum() == pytest.approx(4 * np.pi / 2.0, rel=1e-12)
    assert region.masses().sum() == pytest.approx(5.0 * region.matter.sum(), rel=1e-12) and region.masses().min() > 0
    stress = region.cell_stress(exact) / GPA_PER_EV_A3 / GPA_PER_EV_A3
    assert stress[:, [0, 1, 2], [0, 1, 2]] == pytest.approx(
        np.broadcast_to((isotropic_stiffness(E, NU) @ strain)[:3], (len(stress), 3)) / GPA_PER_EV_A3, rel=1e-9
    )


def lame(n, degree):
    """Root mean square error of u_r at the nodes over u_r: radii 1 and 2, a pressure within, smooth end plates."""
    region = body(SimplexMesh.rectangle((1.0, 0.0), (2.0, 1.0), (n, n), degree), quadrature_degree=2 * degree)
    X, p = region.reference, 0.01
    wall = np.flatnonzero(X[:, 0] < 1 + 1e-9)
    wall = wall[np.argsort(X[wall, 1])]
    load = np.zeros_like(X)
    share = np.ones(n + 1) / n
    share[[0, -1]] /= 2
    if degree == 2:
        share = np.empty(2 * n + 1)
        share[::2], share[1::2] = 2 / (6 * n), 4 / (6 * n)
        share[[0, -1]] /= 2
    load[wall, 0] = 2 * np.pi * p * share
    fixed = np.zeros(X.shape, dtype=bool)
    fixed[:, 2] = fixed[(X[:, 1] < 1e-9) | (X[:, 1] > 1 - 1e-9), 1] = True
    u = (region.solve(X, fixed, forces=load, rtol=1e-12) - X)[:, 0]
    exact = (1 + NU) / E * p / 3.0 * ((1 - 2 * NU) * X[:, 0] + 4.0 / X[:, 0])
    return np.sqrt(np.mean((u / exact - 1) ** 2))


@pytest.mark.parametrize(("degree", "order"), [(1, 1.9), (2, 3.2)])
def test_thick_walled_cylinder(degree, order):
    coarse, fine = lame(8, degree), lame(16, degree)
    assert np.log2(coarse / fine) > order
    assert fine < (7e-4 if degree == 1 else 1.5e-6)


@pytest.mark.parametrize("law", [SOLID, laws.NeoHookean(100.0, 150.0)])
def test_region(law):
    mesh = cylinder(0.0, (4, 2), 2)
    x = np.pad(mesh.nodes[:, :2], ((0, 0), (0, 1)))
    x += np.random.default_rng(2).normal(0.0, 0.01, x.shape) * [1, 1, 0] * (x[:, :1] > 0)
    checks = ("forces", "site energies", "curvature", "reach", "team", "subsets", "purity", "site adjoint", "weights")
    results = examine_region(lambda: body(mesh, law), x, only=checks)
    assert not [str(r) for r in results if not r.ok] and len(results) >= 8


def test_a_body_is_the_sum_of_its_teams_shares():
    mesh = cylinder(0.0, (5, 4), 2)
    x = mesh.nodes + np.random.default_rng(3).normal(0.0, 0.01, mesh.nodes.shape) * [1, 1, 0]
    whole = body(mesh)
    K = whole.stiffness(x)
    total = 0.0
    for rank in range(3):
        part = body(mesh)
        part.bind(Team(rank, 3))
        total = total + part.evaluate(x, Query(Can.FORCES)).forces
    forces = whole.evaluate(x, Query(Can.FORCES)).forces
    assert np.abs(total - forces).max() < 1e-12 * np.abs(forces).max()
    assert np.abs(K @ (x - mesh.nodes).ravel() + forces.ravel()).max() < 1e-11 * np.abs(forces).max()
    assert K.toarray() == pytest.approx(K.toarray().T, abs=1e-12 * np.abs(K).max())


def test_refusals():
    mesh = SimplexMesh.rectangle((0.0, 0.0), (1.0, 1.0), (2, 2))
    with pytest.raises(MultiscaleError, match="isotropic in the plane of r and θ"):
        body(mesh, laws.LinearElastic(cubic_stiffness(150.0, 70.0, 60.0)))
    hexagonal = np.diag([0.0, 0.0, 0.0, 30.0, 0.0, 30.0])
    hexagonal[:3, :3] = [[160.0, 60.0, 80.0], [60.0, 180.0, 60.0], [80.0, 60.0, 160.0]]
    hexagonal[4, 4] = 40.0
    body(mesh, laws.LinearElastic(hexagonal))  # about its own axis
    with pytest.raises(MultiscaleError, match="r ≥ 0"):
        body(SimplexMesh.rectangle((-1.0, 0.0), (1.0, 1.0), (2, 2)))
    with pytest.raises(MultiscaleError, match="3 dimensions"):
        body(SimplexMesh.box((0, 0, 0), (1, 1, 1), (1, 1, 1)))
    with pytest.raises(MultiscaleError, match="no thickness"):
        body(mesh, thickness=2.0)
    with pytest.raises(MultiscaleError, match="'plane' or an 'axial'"):
        ContinuumRegion(mesh, SOLID, site_volume=1.0, symmetry="spherical")
    assert circumference(np.array([[2.0, 1.0, 0.0]])) == pytest.approx([4 * np.pi])
