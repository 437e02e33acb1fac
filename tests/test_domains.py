"""Recursive bisection, and the boxes around what a rank owns."""

import numpy as np
import pytest
from ase.build import bulk

from multiscale.domains import around, bisect, unfold
from multiscale.neighbours import NeighbourList
from multiscale.regions.balance import EVERY, Balance
from multiscale.types import MultiscaleError, Team

OBLIQUE = np.array([[7.0, 0.0, 0.0], [3.0, 6.0, 0.0], [-2.0, 1.0, 9.0]])


@pytest.mark.parametrize("parts", [1, 2, 3, 4, 7])
def test_parts_are_equal_in_cost(parts):
    rng = np.random.default_rng(parts)
    points, cost = rng.uniform(0, 20, (3000, 3)), rng.uniform(0.0, 1.0, 3000)
    cost[points[:, 0] < 5.0] *= 30.0
    owner = bisect(points, cost, parts)
    shares = np.bincount(owner, cost, parts)
    # Each of the cuts is off by one site at most.
    assert np.abs(shares - cost.sum() / parts).max() <= np.ceil(np.log2(parts)) * cost.max() + 1e-9
    equal = np.bincount(bisect(points, np.ones(3000), parts), cost, parts)
    assert parts == 1 or np.ptp(equal) > 3 * np.ptp(shares)


def test_more_parts_than_points_and_sites_without_cost():
    assert sorted(bisect(np.zeros((2, 3)), np.ones(2), 5).tolist()) != [0, 0]
    assert len(bisect(np.zeros((0, 3)), np.zeros(0), 3)) == 0
    assert np.bincount(bisect(np.arange(30.0).reshape(10, 3), np.zeros(10), 2)).tolist() == [5, 5]


@pytest.mark.parametrize("pbc", [(True, True, True), (False, True, False), (False, False, False)])
def test_the_box_holds_all_neighbours(pbc):
    """Of random owners, also where the crystal's images are the neighbours; and it is not everything."""
    rng = np.random.default_rng(0)
    x, pbc = rng.uniform(-5, 25, (400, 3)), np.array(pbc)
    cell = 3.0 * OBLIQUE
    points, heights = unfold(x, cell, pbc)
    pairs = NeighbourList(2.5, cell, pbc, skin=0.0)
    pairs.build(x)
    owner = bisect(points, np.ones(len(x)), 5)
    for part in range(5):
        inside = np.flatnonzero(owner == part)
        near = around(points, heights, pbc, inside, 2.5)
        assert near[pairs.stored(inside).j].all() and near[inside].all()
        # Saboteur: a box that is too small loses some.
        if part == 0:
            assert near.sum() < len(x)
            assert not around(points, heights, pbc, inside, 1.0)[pairs.stored(inside).j].all()


def test_lists_of_parts_are_the_parts_of_the_list():
    atoms = bulk("Si") * (5, 3, 2)
    atoms.rattle(0.1, seed=1)
    whole = NeighbourList(4.0, atoms.cell.array, True)
    everything = whole.pairs(atoms.positions)
    points, _ = unfold(atoms.positions, whole.cell, whole.pbc)
    owner = bisect(points, np.ones(len(atoms)), 3)
    for part in range(3):
        mine = np.flatnonzero(owner == part)
        listed = NeighbourList(4.0, atoms.cell.array, True)
        listed.build(atoms.positions, mine)
        pairs, kept = listed.pairs(atoms.positions, mine), np.isin(everything.i, mine)
        for name in ("i", "j", "shift", "vectors"):
            np.testing.assert_array_equal(getattr(pairs, name), getattr(everything, name)[kept])


class Alone:
    """A communicator whose other member took ``took`` seconds."""

    def __init__(self, took):
        self.took = took

    def allgather(self, value):
        return (
            [value, self.took] if isinstance(value, float) else [value, (np.array([2, 3]), np.full(2, self.took / 2))]
        )


def test_costs_are_those_measured():
    balance = Balance(Team(0, 2, Alone(0.3)), 0.1)
    assert balance.known(np.array([True, False])).tolist() == [1.0, 0.01]
    for k in range(EVERY):
        assert not balance.due(k)
        balance.note(0.1)
    assert balance.due(EVERY)
    costs = balance.costs(4, np.array([0, 1]), np.array([30.0, 10.0]))
    np.testing.assert_allclose(costs, [0.075, 0.025, 0.15, 0.15])
    assert balance.imbalance == pytest.approx(0.5) and balance.rebalances == 1
    assert not balance.due(EVERY + 1) and balance.known(np.ones(4, bool)) is costs


@pytest.mark.parametrize(("mine", "other"), [(0.1, 0.105), (1e-4, 3e-4)])
def test_little_is_left_as_it_is(mine, other):
    """Less imbalance than the bound, or times that are all noise."""
    balance = Balance(Team(0, 2, Alone(other)), 0.1)
    assert balance.due(EVERY)
    balance.note(mine)
    assert balance.costs(4, np.array([0, 1]), np.ones(2)) is None and balance.rebalances == 0


def test_nothing_is_measured_unless_it_is_wanted():
    assert not Balance(Team(0, 2, Alone(0.3)), None).due(99) and not Balance(Team(), 0.1).due(99)
    with pytest.raises(MultiscaleError, match=r"balance=-0\.1 was given"):
        Balance(Team(), -0.1)
