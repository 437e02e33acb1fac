"""ML regions: derivatives against differences for random weights, teams, thin cells, precision, message passing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk

from multiscale.models import EAM, LennardJones, Morse, SiteModel, StillingerWeber
from multiscale.region import Can, Query
from multiscale.regions.ml import MLRegion
from multiscale.types import MultiscaleError, Team

ALL = Can.ENERGY | Can.FORCES | Can.SITE_ENERGIES | Can.STRESS | Can.HVP


class TwoLayers(SiteModel):
    """A message-passing model small enough to think about: e_i = ρ_i² + Σ_j g(r_ij) ρ_j, ρ_i = Σ_j g(r_ij)."""

    cutoff, layers, symbols, name, doi = 3.2, 2, ("Si",), "two layers", ""

    def forward(self, edges):
        r = edges.lengths()
        g = (1 - (r / self.cutoff) ** 2) ** 3 * (1 + 0.1 * edges.vectors[:, 0])
        rho = g.new_zeros(edges.levels[1]).index_add(0, edges.centre, g)
        here = edges.centre < edges.n_centres
        message = (g * rho[edges.neighbour.clamp(max=len(rho) - 1)])[here]
        out = g.new_zeros(edges.n_centres).index_add(0, edges.centre[here], message)
        return out + rho[: edges.n_centres] ** 2


def systems():
    """Each model on a thin, sheared, rattled crystal, and on a cluster."""
    rng = np.random.default_rng(0)
    cases = []
    for model, symbol, a in (
        (StillingerWeber(42.0), "Si", 5.43),
        (EAM.ercolessi_adams(), "Al", 4.03),
        (LennardJones(cutoff=7.0), "Ar", 5.3),
        (Morse(cutoff=5.0), "Cu", 3.61),
        (TwoLayers(), "Si", 5.43),
    ):
        atoms = bulk(symbol, a=a) * (2, 1, 1)
        atoms.set_cell(atoms.cell @ (np.eye(3) + rng.uniform(-0.04, 0.04, (3, 3))), scale_atoms=True)
        atoms.positions += rng.normal(0, 0.12, atoms.positions.shape)
        cases.append(pytest.param(model, atoms, id=f"{model.name} crystal"))
    flake = bulk("Si", a=5.43, cubic=True)
    flake.set_pbc((False, False, True))
    flake.positions += rng.normal(0, 0.1, flake.positions.shape) + [40.0, -3.0, 9.0]
    cases.append(pytest.param(StillingerWeber(), flake, id="wire outside its cell"))
    cases.append(pytest.param(TwoLayers(), flake, id="two layers, wire"))
    return cases


@pytest.mark.parametrize(("model", "atoms"), systems())
def test_derivatives_for_random_weights(model, atoms):
    """F = −∂E/∂x, e = ∂E/∂w, Σ w e = E, H v = −∂F, stress = ∂E/∂ε, stiffness = the matrix of all H v."""
    rng = np.random.default_rng(1)
    region, x = MLRegion(model, atoms), atoms.positions
    w, v = rng.uniform(0, 1, region.n_sites), rng.normal(size=x.shape)
    w[0] = 0.0
    a = region.evaluate(x, Query(ALL, w, v))
    assert a.energy == pytest.approx(w @ a.site_energies, rel=1e-13)
    h = 1e-4
    for i, k in ((0, 0), (1, 2), (region.n_sites - 1, 1)):
        d = np.zeros_like(x)
        d[i, k] = h
        plus, minus = (region.evaluate(x + s * d, Query(Can.ENERGY, w)).energy for s in (1, -1))
        assert a.forces[i, k] == pytest.approx(-(plus - minus) / (2 * h), abs=2e-6)
    plus, minus = (region.evaluate(x + s * 1e-5 * v, Query(Can.FORCES, w)).forces for s in (1, -1))
    assert np.abs(a.hvp + (plus - minus) / 2e-5).max() < 1e-6 * np.abs(a.hvp).max()
    for i, k in ((0, 0), (1, 2), (0, 1)):
        strain = np.zeros((3, 3))
        strain[i, k] += 0.5e-5
        strain[k, i] += 0.5e-5
        ends = []
        for s in (1, -1):
            deform = np.eye(3) + s * strain
            ends.append(region.with_cell(region.cell @ deform).evaluate(x @ deform, Query(Can.ENERGY, w)).energy)
        assert a.stress[i, k] == pytest.approx((ends[0] - ends[1]) / 2e-5, abs=1e-6)
    for i in (0, region.n_sites - 1):
        unit = np.arange(region.n_sites) == i
        only = region.evaluate(x, Query(Can.ENERGY, unit.astype(float))).energy
        assert only == pytest.approx(a.site_energies[i], abs=1e-12)
    stiffness = region.stiffness(x, w)
    assert np.abs(stiffness @ v.ravel() - a.hvp.ravel()).max() < 1e-11 * np.abs(a.hvp).max()
    assert np.abs((stiffness - stiffness.T).toarray()).max() < 1e-11 * np.abs(stiffness.toarray()).max()


@pytest.mark.parametrize("size", [2, 3, 11])
@pytest.mark.parametrize(("model", "atoms"), systems())
def test_the_sum_over_a_team_is_the_answer(model, atoms, size):
    """Also with more members than atoms: members without sites return zeros."""
    rng = np.random.default_rng(2)
    x, w, v = atoms.positions, rng.uniform(0, 1, len(atoms)), rng.normal(size=(len(atoms), 3))
    whole = MLRegion(model, atoms)
    expected = whole.evaluate(x, Query(ALL, w, v))
    parts, stiffness = [], 0.0
    for rank in range(size):
        member = MLRegion(model, atoms)
        member.bind(Team(rank=rank, size=size))
        parts.append(member.evaluate(x, Query(ALL, w, v)))
        stiffness = stiffness + member.stiffness(x, w)
    for name in ("energy", "forces", "site_energies", "stress", "hvp"):
        one = np.asarray(getattr(expected, name))
        assert np.abs(sum(getattr(p, name) for p in parts) - one).max() <= 1e-12 * max(1.0, np.abs(one).max()), name
    assert np.abs((stiffness - whole.stiffness(x, w)).toarray()).max() < 1e-11


def test_sites_of_zero_weight_are_not_evaluated():
    class Counting(Morse):
        def forward(self, edges):
            seen.append(edges.n_centres)
            return super().forward(edges)

    seen: list[int] = []
    atoms = bulk("Cu", a=3.61, cubic=True) * (2, 2, 2)
    region = MLRegion(Counting(cutoff=5.0), atoms)
    w = np.zeros(32)
    w[[3, 8]] = 0.5
    answer = region.evaluate(atoms.positions, Query(Can.ENERGY | Can.FORCES, w))
    region.evaluate(atoms.positions, Query(Can.ENERGY | Can.SITE_ENERGIES, w))
    assert seen == [2, 32] and answer.site_energies is None and answer.hvp is None


def test_reach_is_the_farthest_influence():
    """A site energy changes with an atom just inside the reach, and not with one just outside."""
    model = TwoLayers()
    for step, felt in ((3.19, True), (3.3, False)):
        chain = Atoms("Si3", [[0, 0, 0], [3.0, 0, 0], [3.0 + step, 0, 0]])
        region = MLRegion(model, chain)
        assert region.reach == pytest.approx(6.4)
        answer = region.evaluate(chain.positions, Query(Can.FORCES, np.array([1.0, 0, 0])))
        assert (np.abs(answer.forces[2]).max() > 0) == felt


def test_single_precision_model_with_double_precision_results():
    rng = np.random.default_rng(3)
    atoms = bulk("Si", a=5.43, cubic=True)
    atoms.positions += rng.normal(0, 0.05, atoms.positions.shape)
    model = StillingerWeber()
    double, single = MLRegion(model, atoms), MLRegion(model, atoms, dtype="float32")
    a, b = (r.evaluate(atoms.positions, Query(ALL, vector=np.ones((8, 3)))) for r in (double, single))
    assert b.forces.dtype == np.float64
    assert a.energy == pytest.approx(b.energy, rel=1e-6) and a.energy != b.energy
    assert np.abs(a.forces - b.forces).max() < 1e-4


def test_a_model_is_never_changed_by_a_region():
    model = EAM.ercolessi_adams()
    atoms = bulk("Al", a=4.03)
    MLRegion(model, atoms, dtype="float32").evaluate(atoms.positions, Query())
    assert all(b.dtype == torch.float64 for b in model.buffers())


def test_atoms_far_apart_and_no_atoms():
    lonely = MLRegion(StillingerWeber(), Atoms("Si2", [[0, 0, 0], [50, 0, 0]]))
    answer = lonely.evaluate(lonely.reference, Query(ALL, vector=np.ones((2, 3))))
    assert answer.energy == 0.0 and not answer.forces.any() and not answer.hvp.any() and not answer.stress.any()
    assert lonely.stiffness(lonely.reference).nnz == 0
    nobody = MLRegion(StillingerWeber(), symbols=[], positions=np.zeros((0, 3)))
    assert nobody.evaluate(np.zeros((0, 3)), Query()).energy == 0.0


def test_covers_the_crystal_and_its_images_only():
    slab = bulk("Si", a=5.43, cubic=True) * (2, 2, 2)
    slab.set_pbc((True, True, False))
    region = MLRegion(StillingerWeber(), slab)
    rng = np.random.default_rng(4)
    inside = rng.uniform(0, 1, (200, 3)) * [30.0, 30.0, 9.0] - [10.0, 10.0, 0.0]
    assert region.covers(inside).all()
    assert not region.covers(inside * [1, 1, 0] + [0, 0, 13.0]).any()
    assert not region.covers(inside * [1, 1, 0] + [0, 0, -4.0]).any()


def test_refusals():
    si = bulk("Si", a=5.43)
    region = MLRegion(StillingerWeber(), si)
    with pytest.raises(MultiscaleError, match=r"shape \(2, 3\)"):
        region.evaluate(np.zeros((3, 3)), Query())
    with pytest.raises(MultiscaleError, match="float16"):
        MLRegion(StillingerWeber(), si, dtype="float16")
    with pytest.raises(MultiscaleError, match="neither atoms nor symbols"):
        MLRegion(StillingerWeber())

    class Broken(StillingerWeber):
        def forward(self, edges):
            return super().forward(edges) / torch.tensor([1.0, 0.0])

    with pytest.raises(MultiscaleError, match="not finite, first at atom 1"):
        MLRegion(Broken(), si).evaluate(si.positions, Query())
