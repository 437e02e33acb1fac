"""Neighbour lists against a brute-force enumeration, and the skin."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from multiscale.neighbours import NeighbourList, complete_cell
from multiscale.types import MultiscaleError


def brute_force(x, cell, pbc, cutoff):
    shifts = np.array(list(itertools.product(*(range(-12, 13) if p else (0,) for p in pbc))))
    found = []
    for i, j in itertools.product(range(len(x)), repeat=2):
        distance = np.linalg.norm(x[j] + shifts @ cell - x[i], axis=1)
        near = (distance < cutoff) & ((i != j) | shifts.any(axis=1))
        found += [(i, j, *s) for s in shifts[near].tolist()]
    return sorted(found)


@pytest.mark.parametrize("seed", range(24))
def test_same_pairs_as_brute_force(seed):
    """Thin, triclinic and open cells, atoms outside the cell."""
    rng = np.random.default_rng(seed)
    cell = np.diag(rng.uniform(2.0, 6.0, 3))
    if seed % 2:
        cell = cell + rng.uniform(-0.8, 0.8, (3, 3))
    pbc = np.array([(seed >> k) & 1 for k in range(3)], dtype=bool)
    x = rng.uniform(-1.0, 2.0, (7, 3)) @ cell
    if seed % 5 == 0:
        cell[~pbc] = 0.0
    neighbours = NeighbourList(3.0, cell, pbc, skin=0.4)
    pairs = neighbours.pairs(x)
    got = [tuple(row) for row in np.column_stack([pairs.i, pairs.j, pairs.shift]).tolist()]
    assert got == brute_force(x, neighbours.cell, pbc, 3.0)
    assert np.allclose(pairs.vectors, x[pairs.j] + pairs.shift @ neighbours.cell - x[pairs.i], atol=1e-13)


def test_chosen_centres_come_in_their_order():
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 6, (20, 3))
    neighbours = NeighbourList(3.0, 6 * np.eye(3), True)
    everything = neighbours.pairs(x)
    some = neighbours.pairs(x, np.array([7, 2]))
    expected = np.concatenate([everything.j[everything.i == k] for k in (7, 2)])
    assert np.array_equal(some.j, expected)
    assert len(neighbours.pairs(x, np.zeros(0, dtype=int)).i) == 0


def test_rebuilt_only_after_half_a_skin():
    x = np.array([[0.0, 0, 0], [2.9, 0, 0], [3.4, 2, 0]])
    neighbours = NeighbourList(3.0, 20 * np.eye(3), True, skin=1.0)
    neighbours.pairs(x)
    x[1, 0] += 0.4
    assert neighbours.builds == 1
    assert (0, 1) not in zip(*(lambda p: (p.i, p.j))(neighbours.pairs(x)), strict=True)
    assert neighbours.builds == 1
    x[2, 0] -= 0.6
    assert brute_force(x, 20 * np.eye(3), [0, 0, 0], 3.0) == sorted(
        (i, j, *s) for i, j, s in (lambda p: zip(p.i, p.j, p.shift.tolist(), strict=True))(neighbours.pairs(x))
    )
    assert neighbours.builds == 2


def test_the_skin_never_misses_a_pair():
    """A random walk with steps below half a skin: the kept list always contains the fresh one."""
    rng = np.random.default_rng(3)
    x = rng.uniform(0, 7, (30, 3))
    kept = NeighbourList(2.5, 7 * np.eye(3), True, skin=0.6)
    for _ in range(20):
        x = x + rng.uniform(-0.08, 0.08, x.shape)
        fresh = NeighbourList(2.5, 7 * np.eye(3), True, skin=0.0).pairs(x)
        pairs = kept.pairs(x)
        assert np.array_equal(pairs.i, fresh.i) and np.array_equal(pairs.j, fresh.j)
        assert np.array_equal(pairs.shift, fresh.shift)
    assert 1 < kept.builds < 20


def test_errors_say_which_atoms():
    with pytest.raises(MultiscaleError, match="Atoms 1 and 2 are 0.05"):
        NeighbourList(3.0, 9 * np.eye(3), False).pairs(np.array([[0.0, 0, 0], [2, 0, 0], [2.05, 0, 0]]))
    with pytest.raises(MultiscaleError, match="position of atom 1"):
        NeighbourList(3.0, 9 * np.eye(3), False).pairs(np.array([[0.0, 0, 0], [np.nan, 0, 0]]))
    with pytest.raises(MultiscaleError, match="no vector along a periodic axis"):
        NeighbourList(3.0, np.diag([5.0, 5.0, 0.0]), True)
    with pytest.raises(MultiscaleError, match="no volume"):
        complete_cell([[1, 0, 0], [2, 0, 0], [0, 0, 1]], True)


def test_no_atoms():
    assert len(NeighbourList(3.0, np.eye(3), True).pairs(np.zeros((0, 3))).i) == 0
