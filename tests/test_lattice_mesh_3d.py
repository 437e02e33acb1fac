"""Meshes that are a lattice inside: volumes, sites, quality, conformity, weights and affine states, for three lattices."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("multiscale.continuum.laws", exc_type=ImportError)  # needs DOLFINx
pytest.importorskip("gmsh", exc_type=(ImportError, OSError))

from scipy.spatial import Delaunay, cKDTree  # noqa: E402

from multiscale.continuum import lattice_mesh_3d as lm  # noqa: E402
from multiscale.continuum.laws import LinearElastic  # noqa: E402
from multiscale.continuum.mesh import SimplexMesh  # noqa: E402
from multiscale.continuum.voigt import cubic_stiffness  # noqa: E402
from multiscale.nodal import Nodal, refined  # noqa: E402
from multiscale.region import Can, Query  # noqa: E402
from multiscale.regions.continuum import ContinuumRegion  # noqa: E402
from multiscale.types import MultiscaleError  # noqa: E402

A = 4.0
CELLS = {
    "fcc": A / 2 * (1.0 - np.eye(3)),
    "bcc": A / 2 * (1.0 - 2.0 * np.eye(3)),
    "sc": A * np.eye(3),
    "skew": A * np.array([[1.0, 0.0, 0.0], [3.0, 1.0, 0.0], [1.0, -2.0, 1.0]]),
}
CORE = {"fcc": 7.5, "bcc": 8.0, "sc": 9.0, "skew": 9.0}


def gradual(x):
    return 0.4 * float(np.sqrt(x @ x))


@pytest.fixture(scope="module", params=CELLS)
def made(request):
    name = request.param
    return name, lm.bravais(CELLS[name], CORE[name], 40.0, size=gradual, vacant=[(0, 0, 0)], vacancies=False)


def test_selling():
    """A basis of the same lattice whose superbase is obtuse, also of a badly skewed cell."""
    for cell in CELLS.values():
        b = lm.reduced(cell)
        v = np.vstack([b, -b.sum(axis=0)])
        assert np.linalg.det(b) == pytest.approx(abs(np.linalg.det(cell)))
        change = b @ np.linalg.inv(cell)
        assert np.abs(change - np.round(change)).max() < 1e-12
        assert ((v @ v.T)[~np.eye(4, dtype=bool)] < 1e-12).all()


def test_kuhn_cells_are_delaunay():
    """No site lies within the circumsphere of a cell of the lattice: a saboteur's basis fails."""

    def deepest(basis):
        X, cells, _ = lm._refined(basis, np.zeros((1, 3)), 1.5 * A)
        edges = X[cells[:, 1:]] - X[cells[:, :1]]
        half = np.linalg.solve(edges, 0.5 * (edges**2).sum(axis=2)[..., None])[..., 0]
        radius, centre = np.linalg.norm(half, axis=1), X[cells[:, 0]] + half
        return (cKDTree(X).query(centre)[0] - radius).min()

    for cell in CELLS.values():
        assert deepest(lm.reduced(cell)) > -1e-9
    assert deepest(CELLS["fcc"]) < -0.1


def test_volumes_add_up(made):
    """To the polyhedron of the outer surface; the refined part is of equal cells, and coarse cells are none of these."""
    name, m = made
    hull = Delaunay(m.mesh.points[m.outer])
    p = m.mesh.points[m.outer][hull.convex_hull]
    wanted = np.abs(np.linalg.det(p)).sum() / 6.0  # the origin is inside
    assert m.mesh.volumes.sum() == pytest.approx(wanted, rel=1e-9)
    own = m.whole[m.mesh.cells].any(axis=1)
    assert np.abs(m.mesh.volumes[own] / m.cell_volume - 1).max() < 1e-9
    assert m.cell_volume == pytest.approx(abs(np.linalg.det(CELLS[name])) / 6)
    assert m.mesh.volumes.max() > 20 * m.cell_volume


def test_vertices_of_the_refined_part_are_the_sites(made):
    name, m = made
    X = m.mesh.points[m.refined]
    index = X @ np.linalg.inv(CELLS[name])
    assert np.abs(index - np.round(index)).max() < 1e-9
    r = np.linalg.norm(m.mesh.points, axis=1)
    assert (r[m.whole].max() <= CORE[name] + 1e-6) or name != "fcc"
    sites = m.sites((0, 0, 0), CORE[name])
    found = cKDTree(m.mesh.points[m.whole]).query(sites)[0]
    assert found.max() < 1e-9
    assert not m.whole[~m.refined].any()
    assert np.linalg.norm(m.mesh.points[m.outer], axis=1) == pytest.approx(40.0)


def test_24_cells_meet_at_each_whole_site(made):
    """So that Σ |T ∩ C_ℓ| = v₀, and nodal weights count energy exactly; on the edge it would not be so."""
    _, m = made
    own = m.mesh.cells[m.refined[m.mesh.cells].all(axis=1) & (np.abs(m.mesh.volumes / m.cell_volume - 1) < 1e-9)]
    count = np.bincount(own.ravel(), minlength=len(m.whole))
    assert (count[m.whole] == 24).all()
    assert (count[m.refined & ~m.whole] < 24).any()


def test_no_slivers(made):
    _, m = made
    assert m.quality.min() > 0.2
    flat = np.array([[[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0.01]]], dtype=float)
    assert lm.quality(flat)[0] < 0.1
    regular = np.array([[[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]], dtype=float)
    assert lm.quality(regular)[0] == pytest.approx(1.0)


def test_conforming(made):
    """Each inner face belongs to two cells, and those that belong to one are on the outer sphere."""
    _, m = made
    assert m.outer[m.mesh.boundary()].all()
    open_ = SimplexMesh(
        m.mesh.points, m.mesh.cells[m.refined[m.mesh.cells].sum(axis=1) != 1]
    )  # without a layer: a hole
    assert not m.outer[open_.boundary()].all()


def test_affine_patch(made):
    """A uniform gradient is an equilibrium of the whole mesh, and the blend's weights count every piece of matter once."""
    _, m = made
    region = ContinuumRegion(m.mesh, LinearElastic(cubic_stiffness(114.0, 62.0, 32.0)), site_volume=6 * m.cell_volume)
    H = 0.01 * np.array([[1.0, 0.5, 0.0], [0.0, -0.3, 0.3], [0.2, 0.0, 0.2]])
    x = region.reference @ (np.eye(3) + H).T
    forces = region.evaluate(x, Query(Can.FORCES)).forces
    assert np.abs(forces[~m.outer]).max() < 1e-12 < np.abs(forces[m.outer]).max()
    beta = np.where(m.whole, np.clip(1.5 - np.linalg.norm(m.mesh.points, axis=1) / 8.0, 0, 1), 0.0)
    refined(m.mesh.volumes, m.mesh.cells, beta, m.cell_volume)
    weights = Nodal(m.mesh, {"atoms": beta}, rest="fem")
    fem = weights(region.sites(region.reference))["fem"][0]
    total = beta.sum() + fem @ region.matter
    assert total == pytest.approx(m.mesh.volumes.sum() / (6 * m.cell_volume), rel=1e-12)


def test_a_blend_beyond_the_refined_part_is_refused(made):
    _, m = made
    beta = np.where(m.refined, 0.5, 0.0)
    with pytest.raises(MultiscaleError, match="coarser than the blend needs"):
        refined(m.mesh.volumes, m.mesh.cells, beta, m.cell_volume)


def test_vacancies():
    """The same mesh less one vertex and its 24 cells."""
    full = lm.bravais(CELLS["fcc"], 6.0, 25.0, vacant=[(0, 2, 2)], vacancies=False)
    hole = lm.bravais(CELLS["fcc"], 6.0, 25.0, vacant=[(0, 2, 2)])
    assert np.array_equal(hole.mesh.points, full.mesh.points[1:]) and np.array_equal(full.mesh.points[0], [0, 2, 2])
    assert len(full.mesh.cells) - len(hole.mesh.cells) == 24
    assert np.array_equal(hole.removed, [[0, 2, 2]])
    assert len(hole.sites((0, 0, 0), 3.0)) == len(full.sites((0, 0, 0), 3.0)) - 1 == 12


def test_two_centres_far_apart():
    """Two islands of the lattice in one mesh: two inner surfaces."""
    centres = [(-16.0, 0.0, 0.0), (16.0, 0.0, 0.0)]
    m = lm.bravais(CELLS["fcc"], 6.0, 45.0, centres=centres)
    r = cKDTree(centres).query(m.mesh.points)[0]
    assert (r[m.whole] <= 6.0 + 1e-6).all() and m.whole.sum() == 2 * (1 + 12 + 6 + 24 + 12)
    assert m.quality.min() > 0.1


def test_the_same_every_time():
    a, b = (lm.bravais(CELLS["bcc"], 6.0, 25.0) for _ in range(2))
    assert np.array_equal(a.mesh.points, b.mesh.points) and np.array_equal(a.mesh.cells, b.mesh.cells)


def test_surfaces_that_are_no_manifolds_are_found():
    """Two tetrahedra that share a vertex, or an edge; and two that share a face, which is fine."""
    faces = [
        lm.boundary(np.array(c))
        for c in ([[0, 1, 2, 3], [0, 4, 5, 6]], [[0, 1, 2, 3], [0, 1, 4, 5]], [[0, 1, 2, 3], [1, 2, 3, 4]])
    ]
    assert [lm._pinched(f, 7).tolist() for f in faces] == [[0], [0, 1], []]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"cell": [[1, 0, 0], [0, 1, 0], [1, 1, 0]]}, "span space"),
        ({"core": 1.0}, "core ≥"),
        ({"outer": 8.0}, "outer = 0 or"),
        ({"vacant": [(1.0, 0, 0)]}, "nearest site"),
        ({"vacant": [(0, 0, 0), (0, 0, 0)]}, "named twice"),
        ({"vacant": [(6.0, 6.0, 0.0)]}, "not within|nearest site"),
    ],
)
def test_bad_input(change, sentence):
    given = {"cell": CELLS["fcc"], "core": 6.0, "outer": 25.0, **change}
    with pytest.raises(MultiscaleError, match=sentence) as error:
        lm.bravais(given.pop("cell"), given.pop("core"), given.pop("outer"), **given)
    assert "\n" not in str(error.value)
