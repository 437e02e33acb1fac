"""Atoms in a mesh, crystals in rows, cluster summation, Hessians of pair functionals, and the dislocation dipole that uses them."""

import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

pytest.importorskip("torch")
pytest.importorskip("multiscale.continuum.laws", exc_type=ImportError)  # needs DOLFINx
import torch
from ase.build import bulk

from couplers import EnergyBlend, ForceBlend, GhostCorrected, SharpPad
from multiscale import HybridModel
from multiscale.atoms_in_mesh import AtomsInMesh
from multiscale.continuum.net_mesh import Net, strip, whole
from multiscale.models import EAM
from multiscale.neighbours import NeighbourList
from multiscale.region import Can, Query
from multiscale.regions import MLRegion
from multiscale.regions.clusters import ClusterRegion
from multiscale.regions.hessian import edge_hessian, gradient
from multiscale.types import MultiscaleError

CASE = Path(__file__).parents[1] / "cases" / "lomer_dipole"


@pytest.fixture(scope="module")
def case():
    sys.path.insert(0, str(CASE))
    try:
        import methods
        import problem

        yield problem, methods
    finally:
        sys.path.remove(str(CASE))
        for name in ("methods", "problem"):
            sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def specimen(case):
    return case[0].Specimen(49, -32, 34)


# -- Hessians of pair functionals --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shaken():
    atoms = bulk("Al", a=4.032, cubic=True) * (3, 2, 1)
    atoms.positions += np.random.default_rng(0).normal(0, 0.1, atoms.positions.shape)
    return MLRegion(EAM.ercolessi_adams(), atoms)


def probed(region, w):
    edges, nodes, centres = region._edges(region.reference, w != 0)
    vectors = edges.vectors.requires_grad_(True)
    total = (torch.as_tensor(w[centres]) * region._site_energies(edges)).sum()
    return edge_hessian(edges, nodes, gradient(total, vectors, keep=True), region.n_dofs)


def test_the_hessian_of_embedded_atoms_is_the_differentiated_one(shaken):
    w = np.random.default_rng(1).random(shaken.n_sites)
    w[3] = 0.0
    want = probed(shaken, w)
    assert abs(shaken.stiffness(shaken.reference, w) - want).max() < 1e-12 * abs(want).max()


@pytest.mark.parametrize("part", ["slope", "curvature", "density_slope", "embedding_curvature"])
def test_every_part_of_the_hessian_is_needed(shaken, part, monkeypatch):
    """Saboteur: one of the derivatives doubled."""
    from dataclasses import replace

    right = EAM.pair_functional
    monkeypatch.setattr(
        EAM, "pair_functional", lambda self, e: replace(p := right(self, e), **{part: 2 * getattr(p, part)})
    )
    w = np.ones(shaken.n_sites)
    want = probed(shaken, w)
    assert abs(shaken.stiffness(shaken.reference, w) - want).max() > 1e-3 * abs(want).max()


def test_pairs_with_open_and_periodic_axes_are_those_of_a_brute_search():
    x = np.random.default_rng(2).random((40, 3)) * [20.0, 14.0, 3.0] - [4.0, 9.0, 1.0]
    x = x[[0] + [k for k in range(1, 40) if np.linalg.norm(x[k] - x[:k], axis=1).min() > 0.5]]
    found = NeighbourList(5.0, np.diag([0.0, 0.0, 3.0]), (False, False, True), 0.0).pairs(x)
    shifts = np.arange(-3, 4)
    d = x[None, :, None] + shifts[:, None] * np.array([0, 0, 3.0]) - x[:, None, None]
    near = np.linalg.norm(d, axis=-1) < 5.0
    near[np.arange(len(x)), np.arange(len(x)), 3] = False
    assert sorted(zip(found.i, found.j, found.shift[:, 2], strict=True)) == [
        (i, j, shifts[s]) for i, j, s in np.argwhere(near)
    ]


# -- meshes ------------------------------------------------------------------------------------------------------


def test_the_block_of_the_benchmark_has_27760_atoms():
    net = Net.fcc(4.032, 139, -98, 100)
    assert len(net.m) == 27760 and net.period == pytest.approx(2.851, abs=1e-3)
    assert net.site_volume == pytest.approx(4.032**3 / 4)


@pytest.mark.parametrize("refined", [(-4, 5), (-9, 10)])
def test_a_strip_covers_all_sites_and_is_the_net_where_it_is_refined(refined):
    net = Net.fcc(4.032, 139, -98, 100)
    made = strip(net, refined, 11.2)
    assert made.mesh.contains(net.positions, 1e-6).all()
    assert made.mesh.volumes.sum() == pytest.approx(whole(net).mesh.volumes.sum(), rel=0.01)
    rows = net.k[made.sites][made.mesh.cells]
    inside = (rows >= refined[0]).all(axis=1) & (rows <= refined[1]).all(axis=1)
    assert made.mesh.volumes[inside] == pytest.approx(0.5 * net.b * net.h)
    wide, low, high = net.inner(11.2)
    free = (np.abs(net.m) <= wide) & (net.k >= low) & (net.k <= high)
    # Free atoms lie in cells with a free vertex, but for those cut off by the diagonals of the four corners.
    x = net.positions[free]
    held = made.mesh.cells[~free[made.sites][made.mesh.cells].any(axis=1)]
    cell, lam = made.mesh.locate(x)
    alone = np.isin(cell, np.flatnonzero(~free[made.sites][made.mesh.cells].any(axis=1))) & (lam.min(axis=1) > 1e-6)
    k = net.k[free]
    corner = (np.abs(net.m[free]) > wide - 2 * 8) & ((k > high - 11) | (k < low + 11))
    assert len(held) and not (alone & ~corner).any()


def test_rows_without_room_are_refused():
    with pytest.raises(MultiscaleError, match="no room for coarser"):
        strip(Net.fcc(4.032, 49, -32, 34), (-24, 25), 11.2)
    with pytest.raises(MultiscaleError, match="odd number of columns"):
        Net.fcc(4.032, 50, -32, 34)


# -- atoms in a mesh ---------------------------------------------------------------------------------------------


def worst(problem, model, q):
    return np.abs(np.where(problem.fixed(), 0.0, model.evaluate(q).forces)).max()


@pytest.mark.parametrize("name", ["CADD/FEAt", "QC-GFC", "AtC-GFC", "AtC", "BGFC", "BQCF", "CQC(13)-F"])
def test_sheared_crystals_are_in_equilibrium(case, specimen, name):
    problem = case[1].Problem(specimen, case[1].METHODS[name], 8.0, name)
    model, q = problem.model(), problem.sheared(0.01)
    model.prepare(q)
    assert worst(problem, model, q) < 1e-10


@pytest.mark.parametrize("name", ["QC/CLS", "BD", "BQCE", "CQC(1)-E", "CQC(13)-E"])
def test_energies_without_correction_leave_ghost_forces(case, specimen, name):
    """The saboteurs of the test above."""
    problem = case[1].Problem(specimen, case[1].METHODS[name], 8.0, name)
    assert worst(problem, problem.model(), problem.sheared(0.01)) > 1e-3


def test_one_reach_of_atoms_is_too_thin_for_forces(case, specimen):
    problem = case[1].Problem(specimen, case[1].METHODS["CADD/FEAt"], 8.0)
    thin = problem.atoms.interface(specimen.law, problem.beta, problem.fixed(), layers=1)
    assert worst(problem, HybridModel(thin, SharpPad()), problem.sheared(0.01)) > 1e-3


@pytest.mark.parametrize("coupler", [EnergyBlend(), GhostCorrected()])
def test_forces_are_the_slope_of_the_energy(case, specimen, coupler):
    problem = case[1].Problem(specimen, case[1].METHODS["BGFC"], 8.0)
    model = HybridModel(problem.atoms.interface(specimen.law, problem.beta, problem.fixed(), layers=2), coupler)
    rng = np.random.default_rng(3)
    q = problem.start + 0.02 * rng.normal(size=problem.start.shape)
    v, h = rng.normal(size=q.shape), 1e-5
    model.prepare(problem.start)
    slope = (model.evaluate(q + h * v).energy - model.evaluate(q - h * v).energy) / (2 * h)
    assert slope == pytest.approx(-np.sum(model.evaluate(q).forces * v), rel=1e-6)


def test_matter_is_counted_once(case, specimen):
    problem = case[1].Problem(specimen, case[1].METHODS["BQCE"], 8.0)
    ledger = problem.model().ledger(problem.atoms.reference)
    assert max(abs(c - 1) for c in ledger.coverage) < 1e-12


def test_blends_beyond_the_refined_part_are_refused(case, specimen):
    problem = case[1].Problem(specimen, case[1].METHODS["QC/CLS"], 8.0)
    beta = np.clip(2.0 - np.abs(problem.atoms.reference[:, 1]) / 10.0, 0.0, 1.0)
    with pytest.raises(MultiscaleError, match="coarser than the blend needs"):
        problem.atoms.interface(specimen.law, beta, problem.fixed())


def test_meshes_have_to_cover_the_atoms(specimen):
    made = specimen.mesh(8.0)
    far = np.vstack([specimen.net.positions, [[500.0, 0.0, 0.0]]])
    with pytest.raises(MultiscaleError, match="lies outside of the mesh"):
        AtomsInMesh(made.mesh, far, "Al", specimen.model, specimen.net.cell, (False, False, True), 1.0, 1.0)


# -- clusters ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 13])
def test_clusters_stand_for_all_atoms(case, specimen, size):
    name = f"CQC({size})-E"
    problem = case[1].Problem(specimen, case[1].METHODS[name], 8.0)
    region = problem.model().interface.regions["atoms"]
    assert region.matter.sum() == pytest.approx(len(specimen.net.m), abs=1e-9)
    x = region.reference + 0.01 * np.random.default_rng(4).normal(size=region.reference.shape)
    w = np.random.default_rng(5).random(region.n_sites)
    answer = region.evaluate(x, Query(Can.ENERGY | Can.SITE_ENERGIES | Can.FORCES, w))
    assert answer.energy == pytest.approx(w @ answer.site_energies)
    v, h = np.random.default_rng(6).normal(size=x.shape), 1e-5
    e = [region.evaluate(x + s * h * v, Query(Can.ENERGY, w)).energy for s in (1, -1)]
    assert (e[0] - e[1]) / (2 * h) == pytest.approx(-np.sum(answer.forces * v), rel=1e-6)


def test_negative_shares_are_refused():
    atoms = MLRegion(EAM.ercolessi_adams(), bulk("Al", a=4.032, cubic=True))
    with pytest.raises(MultiscaleError, match="none of them negative"):
        ClusterRegion(atoms, -sp.eye(4), np.arange(4))


# -- the dipole --------------------------------------------------------------------------------------------------


def test_the_elastic_dipole_slips_by_a_burgers_vector_between_its_cores(case, specimen):
    above, below = np.array([[0.0, 1e-9, 0.0]]), np.array([[0.0, -1e-9, 0.0]])
    jump = specimen.dipole(above) - specimen.dipole(below)
    assert jump[0] == pytest.approx([specimen.net.b, 0.0, 0.0], abs=1e-6)
    outside = np.array([[40.0, 0.0, 0.0]])
    jump = specimen.dipole(outside + above) - specimen.dipole(outside + below)
    assert np.abs(jump).max() < 1e-6


def test_the_elastic_field_is_an_equilibrium_of_an_isotropic_body(case):
    """div σ = 0 by differences; with another Poisson's ratio in the law it is not."""
    x0, h, nu = np.array([3.0, 2.0, 0.0]), 1e-3, 0.32

    def u(x):
        return case[0].edge(np.atleast_2d(x), 2.85, nu)[0, :2]

    second = np.zeros((2, 2, 2))
    for i in range(2):
        for j in range(2):
            ei, ej = h * np.eye(3)[i], h * np.eye(3)[j]
            second[:, i, j] = (u(x0 + ei + ej) - u(x0 + ei - ej) - u(x0 - ei + ej) + u(x0 - ei - ej)) / (4 * h * h)

    def residual(ratio):
        lam = 2 * ratio / (1 - 2 * ratio)  # in units of the shear modulus
        return [
            (lam + 1) * sum(second[j, j, i] for j in range(2)) + second[i, 0, 0] + second[i, 1, 1] for i in range(2)
        ]

    scale = np.abs(second).max()
    assert np.abs(residual(nu)).max() < 1e-4 * scale < 1e-2 * scale < np.abs(residual(0.25)).max()


def test_force_and_energy_blends_share_the_interface(case, specimen):
    problem = case[1].Problem(specimen, case[1].METHODS["BQCF"], 8.0)
    model = problem.model()
    assert isinstance(model.coupler, ForceBlend) and model.evaluate(problem.start).energy is None
