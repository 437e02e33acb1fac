"""Embeddings: affine, with exact adjoints."""

from __future__ import annotations

import numpy as np
import pytest

from multiscale.embedding import link_atoms, select, slaved, stack
from multiscale.types import MultiscaleError

RNG = np.random.default_rng(2)


class Bar:
    """A one-element mesh: a bar from x = 0 to x = 2."""

    nodes = np.array([[0.0, 0, 0], [2.0, 0, 0]])

    def shape(self, points, tolerance=0.0):
        t = points[:, 0] / 2
        return np.stack([1 - t, t], axis=1)

    def gradient(self, points, tolerance=0.0):
        return [np.tile([-0.5, 0.5], (len(points), 1))]


def _all():
    n = 7
    images = select([1, 4, 4], n, np.array([[0, 0, 0], [0, 0, 3.84], [0, 0, -3.84]]))
    caps = link_atoms(
        np.array([0, 2]), np.array([5, 6]), np.array([0.63, 0.7]), n, outer_shift=np.array([[0, 0, 3.84], [0, 0, 0]])
    )
    z = RNG.normal(size=(2, 3, 3, 3))
    mesh = slaved(Bar(), np.array([[0.5, 0, 0], [1.7, 0, 0]]), np.array([3, 6]), n, z)
    return stack(images, caps, mesh)


def test_place_pull_push_are_adjoint_and_affine():
    """⟨f, P(q + v) − P(q)⟩ = ⟨Pᵀ f, v⟩ exactly."""
    e = _all()
    q, v, f = RNG.normal(size=(7, 3)), RNG.normal(size=(7, 3)), RNG.normal(size=(e.n_x, 3))
    assert np.abs(e.place(q + v) - e.place(q) - e.push(v)).max() < 1e-14
    assert abs(np.sum(f * e.push(v)) - np.sum(e.pull(f) * v)) < 1e-13
    assert list(e.own) == [1, 4, 4, -1, -1, -1, -1]
    kept = e.restrict(f)
    assert np.abs(kept[1] - f[0]).max() == 0 and np.abs(kept[4] - f[1] - f[2]).max() < 1e-15
    assert np.abs(np.delete(kept, [1, 4], axis=0)).max() == 0


def test_link_atoms_carry_the_whole_force():
    """A cap's force is shared by its two ends, none is lost."""
    e = link_atoms(np.array([0]), np.array([1]), np.array([0.63]), 2)
    f = np.array([[1.0, -2.0, 3.0]])
    assert np.allclose(e.pull(f), [0.37 * f[0], 0.63 * f[0]], atol=1e-15)
    assert np.allclose(e.place(np.array([[0.0, 0, 0], [2.0, 0, 0]])), [[1.26, 0, 0]])


def test_slaved_atoms_follow_affine_fields_with_their_inner_shift():
    """u = G X gives x = X + G X + Z : sym G."""
    z = RNG.normal(size=(1, 3, 3, 3))
    point = np.array([[0.8, 0, 0]])
    e = slaved(Bar(), point, np.array([0, 1]), 2, z)
    assert np.abs(e.place(Bar.nodes) - point).max() < 1e-15
    g = np.zeros((3, 3))
    g[:, 0] = [0.01, 0.02, -0.03]
    x = e.place(Bar.nodes + Bar.nodes @ g.T)
    zs = 0.5 * (z + z.transpose(0, 1, 3, 2))
    want = point + point @ g.T + np.einsum("aijk,jk->ai", zs, 0.5 * (g + g.T))
    assert np.abs(x - want).max() < 1e-14


def test_chains_of_embeddings():
    """after() composes: place and own."""
    e = _all()
    part = select([4, 0], e.n_x).after(e)
    q = RNG.normal(size=(7, 3))
    assert np.abs(part.place(q) - e.place(q)[[4, 0]]).max() < 1e-14
    assert list(part.own) == [-1, 1]
    assert np.abs(e.take([4, 0]).place(q) - part.place(q)).max() < 1e-14


def test_bad_input():
    """Indices outside, and parts over different dofs."""
    with pytest.raises(MultiscaleError, match="must lie in"):
        select([3], 3)
    with pytest.raises(MultiscaleError, match="same shared dofs"):
        stack(select([0], 2), select([0], 3))
