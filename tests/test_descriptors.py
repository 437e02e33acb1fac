"""Regions driven by descriptors: smooth fields, exact gradients, conserved energy and momentum."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from couplers import EnergyBlend
from multiscale import HybridModel, Interface, Nested, Ranks, Sphere
from multiscale.align import align
from multiscale.descriptors import DescriptorField, RegionDescriptor
from multiscale.models import StillingerWeber
from multiscale.models.committee import Committee, Disagreement
from multiscale.models.descriptors import CentroSymmetry, Coordination
from multiscale.region import Can, Query
from multiscale.regions.ml import MLRegion
from multiscale.shapes import SmoothUnion, Union
from multiscale.testing.threads import on_ranks
from multiscale.types import MultiscaleError, Team

LOW, HIGH = StillingerWeber(), StillingerWeber(25.0, epsilon=1.05 * 2.1683)
SILICON = bulk("Si", a=5.43095, cubic=True) * (3, 3, 3)
X = SILICON.positions
Q = X + np.random.default_rng(0).normal(0, 0.076, X.shape)
CELL = SILICON.cell.array


def field(atoms=SILICON, model=None, low=0.15, high=0.55, radius=5.0, length=4.0, **more):
    region = MLRegion(model or CentroSymmetry(), atoms)
    return DescriptorField(region, low, high, radius=radius, length=length, cell=CELL, pbc=atoms.pbc, **more)


def blended(shape, atoms=SILICON, width=4.0, world=None):
    zeros = align(MLRegion(HIGH, SILICON), MLRegion(LOW, SILICON), SILICON.get_chemical_symbols()).zeros
    regions = {"high": MLRegion(HIGH, atoms, energy_zero=zeros), "low": MLRegion(LOW, atoms)}
    partition = Nested([("high", shape, width)], rest="low", frame="current")
    return HybridModel(Interface(atoms.positions, regions, partition), EnergyBlend(), Ranks(world=world))


def worst_force_error(model, q, atoms, h=1e-4):
    forces, worst = model.evaluate(q).forces, 0.0
    for k, atom in enumerate(atoms):
        d = np.zeros_like(q)
        d[atom, k % 3] = h
        slope = (model.evaluate(q + d).energy - model.evaluate(q - d).energy) / (2 * h)
        worst = max(worst, abs(slope + forces[atom, k % 3]))
    return worst


def per_atom(model, atoms):
    region = MLRegion(model, atoms)
    return region.evaluate(region.reference, Query(Can.SITE_ENERGIES)).site_energies


@pytest.mark.parametrize("crystal", ["Si", "Cu"])
def test_centro_symmetry_vanishes_in_crystals_also_strained_and_grows_at_defects(crystal):
    a, shells = (5.43095, (2.7, 3.6)) if crystal == "Si" else (3.61, (2.8, 3.4))
    atoms = bulk(crystal, a=a, cubic=True) * (3, 3, 3)
    model = CentroSymmetry(*shells, symbols=(crystal,))
    assert np.abs(per_atom(model, atoms)).max() < 1e-20
    strained = atoms.copy()
    strained.set_cell(atoms.cell.array @ (np.eye(3) + [[0.01, 0.02, 0], [0.02, 0, 0], [0, 0, -0.02]]), scale_atoms=True)
    assert np.abs(per_atom(model, strained)).max() < 1e-20
    neighbours = np.flatnonzero(np.linalg.norm(atoms.positions - atoms.positions[60], axis=1) < shells[0])
    holed = atoms[[k for k in range(len(atoms)) if k != 60]]
    c = per_atom(model, holed)
    # A neighbour of the vacancy has lost one bond vector; the others none.
    bond = np.linalg.norm(atoms.positions - atoms.positions[60], axis=1)
    bond = np.sort(bond)[1]
    assert np.sort(c)[-len(neighbours) + 1 :] == pytest.approx(bond**2)
    assert (c > 1e-20).sum() == {"Si": 4, "Cu": 12}[crystal]


def test_coordination_counts_neighbours():
    assert np.abs(per_atom(Coordination(4.0), SILICON)).max() < 1e-20
    assert per_atom(Coordination(5.0), SILICON) == pytest.approx(1.0)
    with pytest.raises(MultiscaleError, match="onset"):
        Coordination(4.0, 3.0, 2.0)


def test_the_field_is_the_average_and_images_count():
    """Against a plain double loop over all images."""
    f = field()
    shifts = np.array([[i, j, k] for i in (-1, 0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1)]) @ CELL
    images, c = (Q[None] + shifts[:, None]).reshape(-1, 3), np.tile(f.values(Q), 27)
    points = np.concatenate([Q[:5], Q[:5] + 0.7, [[0.1, 0.1, 0.1]]])
    r = np.linalg.norm(points[:, None] - images[None], axis=2)
    kernel = np.where(r < 5.0, (1 - (r / 5.0) ** 2) ** 3, 0.0)
    assert f.field(points, Q) == pytest.approx((kernel @ c) / kernel.sum(1), rel=1e-12)
    assert f.field(points + CELL[0] - 2 * CELL[1], Q) == pytest.approx(f.field(points, Q), rel=1e-12)
    d = f.distance(points, Q)[0]
    assert d == pytest.approx((0.55 - f.field(points, Q)) / 0.4 * 4.0)


def test_the_field_falls_smoothly_to_zero_where_there_are_no_atoms():
    atom = Atoms("Si2", positions=[[0, 0, 0], [2.4, 0, 0]])
    f = DescriptorField(MLRegion(CentroSymmetry(), atom), 0.5, 2.0, radius=4.0, length=3.0)
    line = np.zeros((2001, 3))
    line[:, 0] = np.linspace(4.0, 8.0, 2001)
    phi = f.field(line, atom.positions)
    assert phi[0] == pytest.approx(2.4**2) and phi[-1] == 0.0
    step = line[1, 0] - line[0, 0]
    assert np.abs(np.diff(phi)).max() / step < 40 and np.abs(np.diff(phi, 3)).max() < 1e-3 * phi[0]


def test_moving_lists_are_as_good_as_fresh_ones():
    old, rng = field(), np.random.default_rng(2)
    q = Q.copy()
    for _ in range(8):
        q = q + rng.normal(0, 0.05, q.shape)
        assert old.distance(q, q)[0] == pytest.approx(field().distance(q, q)[0], abs=1e-12)
    assert len(old._list._lists) > 1


def test_gradients_of_the_field_are_exact():
    f, rng = field(), np.random.default_rng(3)
    points, g = Q[:20] + rng.normal(0, 0.3, (20, 3)), rng.normal(size=20)
    u, v = rng.normal(size=points.shape), rng.normal(size=Q.shape)
    h = 1e-5
    slope = (f.distance(points + h * u, Q)[0] - f.distance(points - h * u, Q)[0]) / (2 * h)
    assert slope == pytest.approx(np.einsum("nj,nj->n", f.distance(points, Q)[1], u), abs=1e-7)
    along = float(g @ (f.distance(points, Q + h * v)[0] - f.distance(points, Q - h * v)[0])) / (2 * h)
    assert along == pytest.approx(float(np.sum(f.pull_seeds(points, Q, g) * v)), rel=1e-6)


def test_energy_and_momentum_of_a_driven_region():
    """Thermal motion alone drives every atom through the zone."""
    model = blended(field())
    w = model.interface.weights(Q)["high"]
    assert ((w > 0) & (w < 1)).mean() > 0.9
    assert worst_force_error(model, Q, (0, 7, 50, 100, 150, 215)) <= 1e-6
    assert np.abs(model.evaluate(Q).forces.sum(axis=0)).max() <= 1e-12 * len(Q)


def test_a_driven_region_does_not_depend_on_the_number_of_ranks():
    """The descriptor is evaluated whole on every rank, the regions in shares."""
    alone = blended(field()).evaluate(Q)
    for e in on_ranks(2, lambda world: blended(field(), world=world).evaluate(Q)):
        assert e.energy == pytest.approx(alone.energy, rel=1e-12)
        assert np.abs(e.forces - alone.forces).max() <= 1e-12 * np.abs(alone.forces).max()


def test_the_field_of_a_crystal_at_300_K():
    """The number by which docs/moving_regions.md chooses thresholds."""
    phi = field(radius=6.0).field(Q, Q)
    assert (phi.mean(), phi.std()) == pytest.approx((0.35, 0.08), abs=0.005)


def test_an_open_body_feels_no_torque():
    ball = SILICON[np.linalg.norm(X - X.mean(0), axis=1) < 7.0]
    ball.pbc = False
    model = blended(field(ball, low=1.0, high=6.0), ball)
    q = ball.positions + np.random.default_rng(5).normal(0, 0.05, ball.positions.shape)
    w = model.interface.weights(q)["high"]
    assert 0.05 < w.min() + w.max() and w.max() > 0.3
    forces = model.evaluate(q).forces
    assert np.abs(forces.sum(axis=0)).max() < 1e-12 * len(q)
    assert np.abs(np.cross(q - q.mean(0), forces).sum(axis=0)).max() < 1e-11 * len(q)


class Deaf(RegionDescriptor):
    """A descriptor whose gradient is forgotten."""

    def pull(self, x, cotangent):
        return np.zeros_like(x)


def test_a_forgotten_gradient_of_the_descriptor_is_caught():
    """Only the path through the kernel is left; momentum is conserved all the same, differences of the energy tell."""
    region = MLRegion(CentroSymmetry(), SILICON)
    shape = DescriptorField(Deaf(region), 0.15, 0.55, radius=5.0, length=4.0, cell=CELL, pbc=True, dofs=range(len(X)))
    model = blended(shape)
    assert worst_force_error(model, Q, (0, 50, 100)) > 1e-3
    assert np.abs(model.evaluate(Q).forces.sum(axis=0)).max() <= 1e-12 * len(Q)


def test_the_disagreement_of_a_committee_drives_a_region():
    """The error bar of a committee as the descriptor: where its members disagree, the better model is asked."""
    doubt = Disagreement(Committee([StillingerWeber(20.0), StillingerWeber(22.0)]))
    shape = field(model=doubt)
    sigma = shape.values(Q)
    assert shape.field(X, X).max() == pytest.approx(doubt.epsilon, rel=0.01) and sigma.mean() > 10 * doubt.epsilon
    low, high = np.quantile(shape.field(Q, Q), [0.1, 0.9])
    model = blended(field(model=doubt, low=low, high=high))
    w = model.interface.weights(Q)["high"]
    assert ((w > 0) & (w < 1)).mean() > 0.7
    assert worst_force_error(model, Q, (0, 50, 100, 150), h=2e-5) <= 1e-6
    assert np.abs(model.evaluate(Q).forces.sum(axis=0)).max() <= 1e-12 * len(Q)


def test_the_descriptor_is_evaluated_once_per_state():
    calls = []

    class Counted(RegionDescriptor):
        def values(self, x):
            calls.append("values")
            return super().values(x)

        def pull(self, x, cotangent):
            calls.append("pull")
            return super().pull(x, cotangent)

    counted = Counted(MLRegion(CentroSymmetry(), SILICON))
    shape = DescriptorField(counted, 0.15, 0.55, radius=5.0, length=4.0, cell=CELL, pbc=True, dofs=range(len(X)))
    model = blended(shape)
    calls.clear()
    model.evaluate(Q)
    assert calls.count("values") == 1 and calls.count("pull") <= 2


def test_some_dofs_may_be_the_atoms():
    n = len(X)
    more = np.concatenate([np.zeros((2, 3)), Q])
    plain = field()
    shifted = field(dofs=np.arange(2, n + 2))
    assert shifted.distance(Q, more)[0] == pytest.approx(plain.distance(Q, Q)[0])
    g = np.random.default_rng(1).normal(size=n)
    pulled = shifted.pull_seeds(Q, more, g)
    assert pulled[2:] == pytest.approx(plain.pull_seeds(Q, Q, g)) and not pulled[:2].any()


def test_a_union_of_a_descriptor_and_a_seed():
    shape = Union((field(low=0.4, high=0.9), SmoothUnion((100,), 2.0, cell=tuple(map(tuple, CELL)))), smoothing=0.5)
    assert shape.rides_on() == tuple(range(len(X)))
    model = blended(shape)
    assert worst_force_error(model, Q, (100, 0, 50, 101)) <= 1e-6
    assert np.abs(model.evaluate(Q).forces.sum(axis=0)).max() <= 1e-12 * len(Q)
    fixed = Union((Sphere((0, 0, 0), 2.0), Sphere((1, 0, 0), 2.0)))
    assert fixed.rides_on() == () and not fixed.pull_seeds(X, Q, np.ones(len(X))).any()
    with pytest.raises(MultiscaleError, match="at least one shape"):
        Union(())


def test_balls_on_seeds_go_across_the_boundary_of_a_cell():
    cell = tuple(map(tuple, CELL))
    shape = SmoothUnion((0, 100), 2.0, smoothing=0.7, cell=cell)
    model = blended(shape)
    # Atom 0 is at the corner: its ball is in eight pieces.
    w = model.interface.weights(Q)["high"]
    far = np.linalg.norm(X - X[0], axis=1) > 10
    assert (w[far] > 0.5).sum() >= 3
    assert worst_force_error(model, Q, (0, 100, int(np.flatnonzero(far & (w > 0.1) & (w < 0.9))[0]))) <= 1e-6
    across = Q.copy()
    across[0] -= CELL[0]
    assert model.evaluate(across).energy == pytest.approx(model.evaluate(Q).energy, abs=1e-9)
    assert np.abs(model.evaluate(Q).forces.sum(axis=0)).max() <= 1e-12 * len(Q)
    d, g = SmoothUnion((0,), 2.0, cell=cell).distance(Q, Q)
    plain = SmoothUnion((0,), 2.0).distance(Q, Q)
    near = np.linalg.norm(Q - Q[0], axis=1) < 4
    assert d[near] == pytest.approx(plain[0][near], abs=1e-3)
    with pytest.raises(MultiscaleError, match="three independent vectors"):
        SmoothUnion((0,), 2.0, cell=((1, 0, 0), (2, 0, 0), (0, 0, 1)))


def test_bad_fields_are_refused():
    region = MLRegion(CentroSymmetry(), SILICON)
    with pytest.raises(MultiscaleError, match="low < high"):
        field(low=1.0, high=0.5)
    with pytest.raises(MultiscaleError, match="radius of a DescriptorField must be a positive length"):
        field(radius=0.0)
    with pytest.raises(MultiscaleError, match="give their shared dofs"):
        DescriptorField(RegionDescriptor(region), 0.1, 0.2, radius=4.0, length=4.0)
    with pytest.raises(MultiscaleError, match="as well as the points"):
        field().distance(X)
    shared = MLRegion(CentroSymmetry(), SILICON)
    shared.bind(Team(0, 2))
    with pytest.raises(MultiscaleError, match="shared by 2 ranks"):
        RegionDescriptor(shared).values(X)

    class Total(MLRegion):
        can = Can.ENERGY | Can.FORCES

    with pytest.raises(MultiscaleError, match="use an MLRegion of a descriptor model"):
        RegionDescriptor(Total(LOW, SILICON))
