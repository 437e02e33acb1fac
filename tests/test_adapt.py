"""The a-posteriori driver: jumps, residuals, marking, refining, transfer, and a sequence that finds where to look."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("multiscale.continuum.laws", exc_type=ImportError)  # needs DOLFINx

from multiscale.adapt import Estimate, adapt, finer, jumps, mark, residual, transfer  # noqa: E402
from multiscale.continuum.mesh import SimplexMesh  # noqa: E402
from multiscale.types import MultiscaleError  # noqa: E402


def square(n, dim=2):
    make = SimplexMesh.rectangle if dim == 2 else SimplexMesh.box
    return make((0,) * dim, (1,) * dim, (n,) * dim)


def true_error(mesh, slope):
    """∫|∇(u − I u)|² by a fine rule, for u of one variable x."""
    total = 0.0
    for X, v in zip(mesh.points[mesh.cells], mesh.volumes, strict=True):
        u = slope(X[:, 0])[0]
        edges = X[1:] - X[:1]
        g = np.linalg.solve(edges, u[1:] - u[:1])
        lam = np.random.default_rng(0).dirichlet(np.ones(len(X)), 200)
        d = slope((lam @ X)[:, 0])[1]
        exact = np.zeros((200, X.shape[1]))
        exact[:, 0] = d
        total += v * ((exact - g) ** 2).sum(axis=1).mean()
    return total


def bump(x):
    return np.sin(3 * x), 3 * np.cos(3 * x)


@pytest.mark.parametrize("dim", [2, 3])
def test_jumps_follow_the_error_of_interpolation(dim):
    """Within a factor, at the rate h², and nothing for a linear field."""
    found = []
    for n in (4, 8):
        mesh = square(n, dim)
        u = np.zeros((len(mesh.points), 3))
        u[:, 0] = bump(mesh.points[:, 0])[0]
        found.append((jumps(mesh, u).sum(), true_error(mesh, bump)))
    (coarse, e_coarse), (fine, e_fine) = found
    assert coarse / fine == pytest.approx(4.0, rel=0.25) and e_coarse / e_fine == pytest.approx(4.0, rel=0.25)
    assert 0.3 < np.sqrt(fine / e_fine) < 3.0
    linear = mesh.points @ np.array([[1.0, 2.0, 0.5], [0.3, 0.1, 0.2], [0.7, 0.4, 0.0]])[:dim]
    assert jumps(mesh, linear).max() < 1e-25


def test_jumps_of_one_kink():
    """Two rows of cells with slopes 0 and 1: the faces between, each with one half for either side."""
    mesh = square(2)
    u = np.zeros((9, 3))
    u[:, 1] = np.maximum(mesh.points[:, 0] - 0.5, 0.0)
    e = jumps(mesh, u)
    at = np.isclose(mesh.points[mesh.cells][:, :, 0], 0.5).sum(axis=1) == 2
    assert (e[at] > 0).all() and np.abs(e[~at]).max() < 1e-25
    assert jumps(mesh, u, ~at).max() < 1e-25


def test_residual_is_a_dual_norm():
    """With P the matrix itself rᵀ K⁻¹ r is the energy of the error; a single stiffness underestimates long waves."""
    n = 40
    K = 2 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)
    error = np.sin(np.pi * np.arange(1, n + 1) / (n + 1))
    r = np.zeros((n, 3))
    r[:, 0] = K @ error

    def inverse(f):
        return np.linalg.solve(K, f)

    energy = error @ K @ error
    assert residual(r, inverse).sum() == pytest.approx(energy)
    assert residual(r, 2.0).sum() < 0.01 * energy
    assert residual(r, inverse, 2.0).sum() == pytest.approx(2 * energy)
    with pytest.raises(MultiscaleError, match="positive stiffness"):
        residual(r, 0.0)


def test_marking():
    shares = np.array([0.1, 0.5, 0.0, 0.3, -0.2])
    assert mark(shares, 0.5).tolist() == [False, True, False, False, False]
    assert mark(shares, 0.6).tolist() == [False, True, False, True, False]
    assert mark(shares, 1.0).tolist() == [True, True, False, True, False]
    assert not mark(np.zeros(3), 0.5).any()
    with pytest.raises(MultiscaleError, match="between 0 and 1"):
        mark(shares, 1.5)


@pytest.mark.parametrize("dim", [2, 3])
def test_finer_sizes(dim):
    mesh = square(4, dim)
    left = mesh.centroids[:, 0] < 0.5
    size = finer(mesh, left, 0.5)
    a, b = size(np.full(dim, 0.2)), size(np.full(dim, 0.8))
    assert a == pytest.approx(0.5 * b) and 0.1 < b < 0.5
    with pytest.raises(MultiscaleError, match="factor between 0 and 1"):
        finer(mesh, left, 1.0)


def test_transfer_is_exact_for_linear_fields_and_zero_outside():
    coarse = square(3, 3)
    H = np.random.default_rng(0).normal(size=(3, 3))
    points = np.vstack([np.random.default_rng(1).random((20, 3)), [[2.0, 0.0, 0.0]]])
    found = transfer(coarse, coarse.points @ H, points)
    assert np.abs(found[:-1] - points[:-1] @ H).max() < 1e-12
    assert not found[-1].any()


class Line:
    """A kinked function on an interval, by piecewise interpolation: what adapts is a set of nodes."""

    def __init__(self, x):
        self.x = x


def f(x):
    return np.arctan(60 * (x - 0.3))


def sequence(improve, levels=12, tolerance=0.05):
    def solve(problem, start):
        return f(problem.x)

    def estimate(problem, u):
        h, g = np.diff(problem.x), np.diff(u) / np.diff(problem.x)
        jump = np.concatenate([[0.0], np.diff(g) ** 2, [0.0]])
        return Estimate(np.zeros((0, 3)), np.zeros(0), h**1 * (jump[:-1] + jump[1:]) * h / h / 24 / (h @ g**2))

    return list(adapt(Line(np.linspace(0, 1, 6)), solve, estimate, improve, tolerance=tolerance, max_levels=levels))


def halve(problem, u, e):
    m = mark(e.cells, 0.5)
    x = problem.x
    return Line(np.sort(np.concatenate([x, (0.5 * (x[1:] + x[:-1]))[m]]))), None


def everywhere(problem, u, e):
    x = problem.x
    return Line(np.sort(np.concatenate([x, 0.5 * (x[1:] + x[:-1])]))), None


def test_a_sequence_refines_where_the_kink_is():
    """Fewer nodes than halving all of them for the same estimate, and most of them at the kink."""
    adaptive, uniform = sequence(halve, 30), sequence(everywhere, 30)
    assert adaptive[-1].converged and uniform[-1].converged
    a, b = adaptive[-1].problem.x, uniform[-1].problem.x
    assert len(a) < 0.5 * len(b)
    assert np.median(np.abs(a - 0.3)) < 0.1
    assert [level.index for level in adaptive] == list(range(len(adaptive)))
    assert all(not level.converged for level in adaptive[:-1])


def test_a_saboteur_that_refines_elsewhere_does_not_converge():
    def wrong(problem, u, e):
        return halve(problem, u, Estimate(e.points, e.sites, e.cells[::-1]))

    assert not sequence(wrong, 8)[-1].converged


def test_bad_settings():
    with pytest.raises(MultiscaleError, match="positive tolerance"):
        sequence(halve, tolerance=0.0)
