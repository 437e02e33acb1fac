"""Shapes and partitions: gradients, the flow back to seeds, and Σ w = 1."""

from __future__ import annotations

import numpy as np
import pytest

from multiscale.overlay import Overlay
from multiscale.partition import Nested
from multiscale.shapes import Box, Cylinder, Slab, SmoothUnion, Sphere
from multiscale.types import MultiscaleError

RNG = np.random.default_rng(0)
X = RNG.uniform(-6, 6, (200, 3))
Q = RNG.uniform(-2, 2, (5, 3))
SHAPES = {
    "sphere": Sphere((0.3, -0.2, 0.1), 2.0),
    "cylinder": Cylinder((0.1, 0.2, 0.0), 2.0, (0.2, 0.1, 1.0)),
    "slab": Slab((0.5, 0, 0), (1.0, 2.0, 0.5), 1.0),
    "box": Box((0.1, 0.0, 0.0), (1.5, 2.0, np.inf)),
    "union": SmoothUnion((0, 3, 4), 1.5, 0.7),
    "complement": ~Sphere((0.3, -0.2, 0.1), 2.0),
    "outside union": ~SmoothUnion((1, 2), 1.5, 0.7),
}


@pytest.mark.parametrize("name", SHAPES)
def test_gradient_of_distance(name):
    """∇d against differences, outside the core where a switch looks."""
    shape, h = SHAPES[name], 1e-5
    d, g = shape.distance(X, Q)
    far = np.abs(d) > 0.05
    for k in range(3):
        step = h * np.eye(3)[k]
        fd = (shape.distance(X + step, Q)[0] - shape.distance(X - step, Q)[0]) / (2 * h)
        assert np.abs(fd - g[:, k])[far].max() < 1e-7


@pytest.mark.parametrize("name", ["union", "outside union"])
def test_gradient_flows_back_to_seeds(name):
    """pull_seeds is the adjoint of ∂d/∂q."""
    shape, h = SHAPES[name], 1e-5
    c = RNG.normal(size=len(X))
    pulled = shape.pull_seeds(X, Q, c)
    v = RNG.normal(size=Q.shape)
    fd = c @ (shape.distance(X, Q + h * v)[0] - shape.distance(X, Q - h * v)[0]) / (2 * h)
    assert abs(fd - np.sum(pulled * v)) < 1e-7 * abs(fd)


def _three():
    return Nested(
        [("qm", SmoothUnion((0, 3), 1.0, 0.5), 2.0), ("ml", Sphere((0, 0, 0), 3.5), 2.5)], rest="fem", frame="current"
    )


def test_partition_of_unity_and_its_gradients():
    """Σ w = 1 and Σ ∇w = 0 to round-off; each ∇w against differences; the flow back to seeds."""
    p, h = _three(), 1e-5
    w = p(X, Q)
    assert np.abs(sum(v for v, _ in w.values()) - 1).max() < 1e-15
    assert np.abs(sum(g for _, g in w.values())).max() < 1e-15
    for k in range(3):
        up, down = p(X + h * np.eye(3)[k], Q), p(X - h * np.eye(3)[k], Q)
        for r in p.regions:
            assert np.abs((up[r][0] - down[r][0]) / (2 * h) - w[r][1][:, k]).max() < 1e-8
    cot = {r: RNG.normal(size=len(X)) for r in p.regions}
    v = RNG.normal(size=Q.shape)
    fd = sum(cot[r] @ (p(X, Q + h * v)[r][0] - p(X, Q - h * v)[r][0]) / (2 * h) for r in p.regions)
    assert abs(fd - np.sum(p.pull_seeds(X, Q, cot) * v)) < 1e-7 * abs(fd)


def test_seams_are_smooth_to_second_order():
    """Second differences of w along a path through every seam stay bounded as the step shrinks."""
    p = _three()

    def curvature(n):
        line = np.linspace(-7, 7, n)[:, None] * np.array([[1.0, 0.3, 0.2]])
        w = np.stack([p(line, Q)[r][0] for r in p.regions], axis=1)
        return np.abs(np.diff(w, 3, axis=0)).max() * (n / 14) ** 3

    assert curvature(4000) / curvature(2000) < 1.2  # third difference bounded: second derivative continuous


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: Sphere((0, 0, 0), -1.0), "positive length"),
        (lambda: Cylinder((0, 0, 0), 1.0, (0, 0, 0)), "zero vector"),
        (lambda: SmoothUnion((), 1.0), "at least one seed"),
        (lambda: Nested([("a", Sphere((0, 0, 0), 1.0), 0.0)], rest="b", frame="current"), "would jump"),
        (lambda: Nested([("a", SmoothUnion((0,), 1.0), 1.0)], rest="b"), "rides on seed"),
        (lambda: Nested([("a", Sphere((0, 0, 0), 1.0), 1.0)], rest="a"), "names each region once"),
        (lambda: ~Box((0, 0, 0), (1, 1, 1)), "no Complement"),
    ],
)
def test_bad_input_gets_a_sentence(build, says):
    """What was given, what is needed."""
    with pytest.raises(MultiscaleError, match=says):
        build()


@pytest.mark.parametrize("union", [(0,), (0, 3, 4)])
@pytest.mark.parametrize("cell", [None, ((11.0, 0, 0), (1.0, 12.0, 0), (0, 0.5, 13.0))])
def test_a_distance_may_be_left_open_beyond_the_zone(union, cell):
    """The value alone is the distance up to ``beyond``, and anything above it there."""
    shape = SmoothUnion(union, 1.0, 0.3, cell=cell)
    d, near = shape.distance(X, Q)[0], shape.value(X, Q, beyond=2.0)
    assert np.abs(shape.value(X, Q) - d).max() < 1e-14
    assert np.abs(np.minimum(near, 2.0) - np.minimum(d, 2.0)).max() < 1e-14


def test_compact_shares_are_the_dense_ones():
    """Points that are left out have no gradient; those in a zone have the one of the dense form, level by level."""
    p = _three()
    weights, rows, slopes = p.compact(X, Q)
    assert 0 < len(rows) < len(X)
    for name, (w, g) in p(X, Q).items():
        assert np.array_equal(w, weights[name]) and np.array_equal(g[rows], slopes[name])
        assert np.abs(np.delete(g, rows, axis=0)).max() == 0.0


def test_distances_that_are_not_numbers_are_refused():
    class Broken(Sphere):
        def distance(self, X, q=None):
            return np.full(len(X), np.nan), np.zeros((len(X), 3))

    with pytest.raises(MultiscaleError, match="Broken gave distances that are not numbers at 200 points"):
        Nested([("qm", Broken((0, 0, 0), 1.0), 2.0)], rest="ml")(X)
    for width in (0.0, 2.0):
        overlay = Overlay(Broken((0, 0, 0), 1.0), width)
        for ask in (overlay, overlay.gradient):
            with pytest.raises(MultiscaleError, match="Broken gave distances that are not numbers at 200 points"):
                ask(X)
