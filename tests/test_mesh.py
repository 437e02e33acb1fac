"""Meshes: numbering, exact interpolation, location, generators; no DOLFINx."""

import numpy as np
import pytest

from multiscale.continuum import meshing
from multiscale.continuum.mesh import SimplexMesh
from multiscale.continuum.reference import closest_distance, rule
from multiscale.types import MissingPackage, MultiscaleError

MESHES = [
    pytest.param(SimplexMesh.rectangle((0, 0), (2, 3), (5, 4), 1), id="2d-p1"),
    pytest.param(SimplexMesh.rectangle((0, 0), (2, 3), (5, 4), 2), id="2d-p2"),
    pytest.param(SimplexMesh.box((0, 0, 0), (2, 3, 1), (4, 3, 2), 1), id="3d-p1"),
    pytest.param(SimplexMesh.box((0, 0, 0), (2, 3, 1), (4, 3, 2), 2), id="3d-p2"),
]


def inside(mesh, n=500):
    points = np.random.default_rng(1).random((n, mesh.dim)) * mesh.points.max(axis=0)
    return np.pad(points, ((0, 0), (0, 3 - mesh.dim)))


def polynomial(mesh, X):
    """A polynomial of the mesh's degree, with its gradient."""
    x, y, z = X.T
    if mesh.degree == 1:
        return 2 * x - y + 3, np.column_stack([2 + 0 * x, -1 + 0 * x, 0 * x])
    value = x * x - 2 * x * y + y + (z * x if mesh.dim == 3 else 0)
    return value, np.column_stack([2 * x - 2 * y + (z if mesh.dim == 3 else 0), 1 - 2 * x, x])


@pytest.mark.parametrize("mesh", MESHES)
def test_interpolation_and_gradient_reproduce_polynomials(mesh):
    X = inside(mesh)
    value, slope = polynomial(mesh, X)
    nodal = polynomial(mesh, mesh.nodes)[0]
    assert np.abs(mesh.shape(X) @ nodal - value).max() < 1e-13
    for j, g in enumerate(mesh.gradient(X)):
        assert np.abs(g @ nodal - slope[:, j]).max() < 1e-12
    assert np.abs(mesh.shape(X).sum(axis=1) - 1).max() < 1e-13


@pytest.mark.parametrize("mesh", MESHES)
def test_volume_is_exact_and_cells_are_positive(mesh):
    assert mesh.volumes.min() > 0
    assert mesh.volumes.sum() == pytest.approx(6.0, rel=1e-14)
    flipped = SimplexMesh(mesh.points, mesh.cells[:, [1, 0, *range(2, mesh.dim + 1)]], mesh.degree)
    assert np.allclose(flipped.volumes, mesh.volumes, rtol=1e-13)


@pytest.mark.parametrize("dim, degree", [(2, 1), (2, 2), (2, 3), (2, 4), (3, 1), (3, 2), (3, 4)])
def test_quadrature_is_exact_for_its_degree(dim, degree):
    lam, w = rule(dim, degree)
    assert w.min() > 0
    for power in range(degree + 1):
        # ∫ x^a y^b dV / |T| = d! a! b! / (a + b + d)!
        for a in range(power + 1):
            exact = np.prod(np.arange(1.0, dim + 1)) * np.prod(np.arange(1.0, a + 1))
            exact *= np.prod(np.arange(1.0, power - a + 1)) / np.prod(np.arange(1.0, power + dim + 1))
            assert w @ (lam[:, 1] ** a * lam[:, 2] ** (power - a)) == pytest.approx(exact, rel=1e-12)


def test_negative_weights_are_refused():
    with pytest.raises(MultiscaleError, match="positive weights"):
        rule(3, 3)


@pytest.mark.parametrize("mesh", MESHES)
def test_quadrature_points_are_ordered_by_cell(mesh):
    X, v = mesh.quadrature(2)
    cell, lam = mesh.quadrature_points(2)
    assert np.abs(mesh.shape_in(cell, lam) @ mesh.nodes - X).max() < 1e-13
    assert np.array_equal(mesh.locate(X)[0], cell)
    assert np.allclose(np.bincount(cell, v), mesh.volumes, rtol=1e-13)


def test_numbering_of_nodes_follows_the_input_only():
    mesh = SimplexMesh.box((0, 0, 0), (1, 1, 1), (2, 2, 2), 2)
    order = np.random.default_rng(0).permutation(len(mesh.cells))
    other = SimplexMesh(mesh.points, mesh.cells[order], 2)
    assert np.array_equal(other.nodes, mesh.nodes)
    assert np.array_equal(other.cell_nodes, mesh.cell_nodes[order])
    assert np.array_equal(mesh.nodes[: len(mesh.points)], mesh.points)


@pytest.mark.parametrize("mesh", MESHES)
def test_points_outside_are_extrapolated_within_the_tolerance_only(mesh):
    edge = np.array([[-0.05, 1.0, 0.4], [0.7, 1.0, 0.4], [2.3, 1.0, 0.4]])
    assert mesh.contains(edge).tolist() == [False, True, False]
    assert mesh.contains(edge, 0.1).tolist() == [True, True, False]
    assert mesh.shape(edge[:2], 0.1) @ mesh.nodes[:, 0] == pytest.approx([-0.05, 0.7])
    with pytest.raises(MultiscaleError, match=r"2 of 3 points .*number 0\) at .*is 0\.05 Å away where"):
        mesh.shape(edge)


def test_location_is_exact_on_a_graded_mesh():
    x = np.cumsum(np.r_[0, 1.5 ** np.arange(25)])
    grid = SimplexMesh.rectangle((0, 0), (1, 1), (25, 25))
    index = np.rint(grid.points * 25).astype(int)
    mesh = SimplexMesh(x[index], grid.cells)
    points = np.exp(np.random.default_rng(2).uniform(0, np.log(x[-1]), (3000, 2)))
    cell, lam = mesh.locate(points)
    assert lam.min() > -1e-9
    assert np.abs(np.einsum("nk,nkd->nd", lam, mesh.points[mesh.cells[cell]]) - points).max() < 1e-9 * x[-1]


def test_distance_to_a_simplex():
    tet = np.array([[[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]])
    for point, d in (((0.2, 0.2, -0.5), 0.5), ((1, 1, 1), 2 / np.sqrt(3)), ((-1, -1, 0.5), np.sqrt(2)), ((3, 0, 0), 2)):
        assert closest_distance(np.array(point, dtype=float), tet)[0] == pytest.approx(d)


@pytest.mark.parametrize("mesh", MESHES)
def test_boundary(mesh):
    lo, hi = mesh.nodes.min(axis=0)[: mesh.dim], mesh.nodes.max(axis=0)[: mesh.dim]
    X = mesh.nodes[:, : mesh.dim]
    assert np.array_equal(mesh.boundary_nodes(), np.flatnonzero(((X == lo) | (X == hi)).any(axis=1)))
    assert np.array_equal(mesh.boundary_nodes(lambda X: X[:, 0] == 0), np.flatnonzero(X[:, 0] == 0))
    x = mesh.points[mesh.boundary()]
    size = np.linalg.norm(x[:, 1] - x[:, 0], axis=1)
    if mesh.dim == 3:
        size = np.linalg.norm(np.cross(x[:, 1] - x[:, 0], x[:, 2] - x[:, 0]), axis=1) / 2
    assert size.sum() == pytest.approx(10.0 if mesh.dim == 2 else 22.0)


@pytest.mark.parametrize("mesh", MESHES)
def test_files_keep_order_and_fields(mesh, tmp_path):
    meshio = pytest.importorskip("meshio")
    mesh.write(tmp_path / "a.vtu", {"u": mesh.nodes}, {"volume": mesh.volumes})
    back = meshio.read(tmp_path / "a.vtu")
    assert np.array_equal(back.points, mesh.nodes)
    assert np.array_equal(back.cell_data["volume"][0], mesh.volumes)
    if mesh.degree == 2:  # VTK's edges: each middle node lies between the vertices that VTK says
        pairs = [(0, 1), (1, 2), (2, 0)] if mesh.dim == 2 else [(0, 1), (1, 2), (2, 0), (0, 3), (1, 3), (2, 3)]
        cells = back.cells[0].data
        for k, (a, b) in enumerate(pairs):
            middle = mesh.nodes[cells[:, [a, b]]].mean(axis=1)
            assert np.abs(middle - mesh.nodes[cells[:, mesh.dim + 1 + k]]).max() < 1e-14


def test_bad_meshes_are_refused():
    square = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]])
    for points, cells, degree, words in (
        (square, [[0, 1, 2]], 1, "drop the points"),
        (square, [[0, 1, 2], [0, 2, 3]], 3, "degree 3"),
        (np.array([[0.0, 0], [1, 0], [2, 0]]), [[0, 1, 2]], 1, "no volume"),
        (np.zeros((3, 4)), [[0, 1, 2]], 1, "dim 2 or 3"),
    ):
        with pytest.raises(MultiscaleError, match=words):
            SimplexMesh(points, np.array(cells), degree)


def test_missing_gmsh_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(meshing, "gmsh", None)
    with pytest.raises(MissingPackage, match="python3-gmsh"):
        meshing.cracked_disc(10, 0, 1, 2)


needs_gmsh = pytest.mark.skipif(meshing.gmsh is None, reason="gmsh is not installed")


@needs_gmsh
@pytest.mark.parametrize("hole", [0.0, 4.0])
def test_cracked_disc(hole):
    mesh = meshing.cracked_disc(40, hole, 1, 6)
    twin = meshing.cracked_disc(40, hole, 1, 6, slit=False)
    again = meshing.cracked_disc(40, hole, 1, 6)
    assert np.array_equal(mesh.nodes, again.nodes) and np.array_equal(mesh.cells, again.cells)
    nv = len(twin.points)
    assert np.array_equal(mesh.points[:nv], twin.points) and np.allclose(mesh.volumes, twin.volumes)
    on = (twin.points[:, 1] == 0) & (twin.points[:, 0] < -1e-9)
    assert len(mesh.points) - nv == on.sum() > 5
    assert np.array_equal(mesh.points[nv:], twin.points[on])
    # The slit turns inner edges into boundary: twice its length, and it leaves the rest alone.
    extra = len(mesh.boundary()) - len(twin.boundary())
    assert extra == 2 * (on.sum() - (1 if hole else 0))
    r = np.linalg.norm(mesh.centroids, axis=1)
    assert mesh.h[r < hole + 2].max() < 2 and 4 < mesh.h.max() < 8
    mirror = mesh.centroids * [1, -1, 1]
    assert np.abs(np.sort(mirror @ [1, 1e3, 0]) - np.sort(mesh.centroids @ [1, 1e3, 0])).max() < 1e-8
    assert mesh.volumes.sum() == pytest.approx(np.pi * (40**2 - hole**2), rel=0.01)


@needs_gmsh
def test_holed_rectangle():
    mesh = meshing.holed_rectangle(40, 30, 5, 1, 4)
    assert mesh.volumes.sum() == pytest.approx(1200 - np.pi * 25, rel=0.01)
    assert not mesh.contains(np.zeros((1, 3)))[0]
    rim = mesh.boundary_nodes(lambda X: np.hypot(X[:, 0], X[:, 1]) < 6)
    assert len(rim) > 40
