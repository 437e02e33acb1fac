"""Atoms in a mesh, in two and three dimensions: patch tests, ledgers, gradients, relaxation and bad input of every coupler.

A homogeneous state is an equilibrium of a Bravais crystal and of any mesh, whatever the continuum's law; what forces there are
on the inside are the coupler's own.
"""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("multiscale.continuum.laws", exc_type=ImportError)  # needs DOLFINx

from blocks import Block, SharpBlock, gradient, material, settle  # noqa: E402

from couplers import EnergyBlend, ForceBlend, GhostCorrected, SharpPad  # noqa: E402
from multiscale import HybridModel, Interface, Nested, Sphere  # noqa: E402
from multiscale.elastic import bulk_modulus  # noqa: E402
from multiscale.embedding import select  # noqa: E402
from multiscale.types import MultiscaleError  # noqa: E402

STRETCHES = (0.0, 0.005, 0.02, -0.02)
#: Pads of two reaches: the forces of a many-body model on counted atoms depend on the neighbours of their neighbours.
ALUMINIUM = {"free": 5.0, "blend": 5.8, "pad": 11.2, "half": 23.0}
SILICON = {"free": 6.5, "blend": 4.2, "half": 21.0}


def patch(block, coupler, stretches=STRETCHES):
    """Largest force on any dof that is not fixed, eV/Å, prepared and evaluated at homogeneous states."""
    model, out = block.model(coupler), []
    for s in stretches:
        q = block.stretched(gradient(block.dim, s))
        model.prepare(q)
        out.append(float(np.abs(model.evaluate(q).forces[block.interior()]).max()))
    return np.array(out)


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize(("kind", "settings"), [("lj", {}), ("al", ALUMINIUM)])
def test_patch_of_corrected_and_force_methods(kind, settings, dim):
    """Found 1e-14 … 4e-14 eV/Å."""
    block = Block(kind, dim, **settings)
    for coupler in (ForceBlend(), GhostCorrected()):
        assert patch(block, coupler).max() <= 1e-10, coupler


@pytest.mark.parametrize("dim", [2, 3])
def test_ghost_force_of_energy_blending_falls_with_the_width(dim):
    """Found 8.3e-2 and 3.6e-2 eV/Å (2-D), 7.3e-2 and 3.7e-2 (3-D) for blends of 4.8 and 9.6 Å."""
    narrow, wide = (
        patch(Block("lj", dim), EnergyBlend()),
        patch(Block("lj", dim, blend=9.6, half=20.5, cells=10), EnergyBlend()),
    )
    assert (narrow > 1e-2).all() and (wide < 0.8 * narrow).all()
    assert wide[0] < 0.55 * narrow[0]


@pytest.mark.parametrize("dim", [2, 3])
def test_pads_of_one_reach_are_too_thin_for_forces_of_many_body_models(dim):
    """Embedded atoms at the pad's edge miss density; energies of counted sites do not care, forces on them do."""
    thin = Block("al", dim, **(ALUMINIUM | {"pad": 5.6}))
    assert (patch(thin, ForceBlend(), (0.0, 0.005)) > 1e-5).all()
    thick = Block("al", dim, **ALUMINIUM)
    assert np.allclose(patch(thin, EnergyBlend(), (0.005,)), patch(thick, EnergyBlend(), (0.005,)), rtol=1e-10)


@pytest.mark.parametrize("dim", [2, 3])
def test_inner_shifts_of_silicon(dim):
    """With the inner shift the patch error is of second order in the strain; without it, or with its wrong sign, of first."""
    strains = (0.0025, 0.005)
    right, none, wrong = (
        patch(Block("si", dim, shift_sign=s, **SILICON), ForceBlend(), strains) for s in (1.0, 0.0, -1.0)
    )
    # Found in 2-D 4.6e-5, 1.5e-2 and 2.9e-2 eV/Å at 0.5 %.
    assert right[1] / right[0] == pytest.approx(4.0, rel=0.05)
    assert none[1] / none[0] == pytest.approx(2.0, rel=0.05) and wrong[1] / wrong[0] == pytest.approx(2.0, rel=0.05)
    assert (wrong > 10.0 * right).all() and (none > 10.0 * right).all() and (wrong > none).all()
    corrected = patch(Block("si", dim, **SILICON), GhostCorrected(), strains)
    assert np.allclose(corrected, right, rtol=1e-6)


def test_silicon_blends_first_order_ghost_forces():
    """Plain energy blending of a multilattice leaves a force ~ stress·∇β, however smooth β; none without strain."""
    forces = patch(Block("si", 2, **SILICON), EnergyBlend(), (0.0, 0.0025, 0.005))
    assert forces[0] < 1e-10
    assert forces[2] / forces[1] == pytest.approx(2.0, rel=0.05) and forces[1] > 1e-3


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("kind", ["lj", "si"])
def test_the_ledger_counts_everything_once(kind, dim):
    block = Block(kind, dim, **(SILICON if kind == "si" else {}))
    model = block.model(EnergyBlend())
    ledger = model.ledger(block.stretched(gradient(dim, 0.005)))
    assert ledger.coverage == pytest.approx((1.0, 1.0), abs=1e-12)
    assert sum(row.energy for row in ledger.rows) == pytest.approx(ledger.energy, rel=1e-13)
    # Sites sample the blend: the number of atoms is right within the quadrature of the weights, the box's volume exactly.
    m = block.material
    volume = (2 * block.half) ** dim * (m.a if dim == 2 else 1.0)
    assert ledger.matter == pytest.approx(volume * 4 * len(m.basis) / m.a**3, rel=1e-2)


@pytest.mark.parametrize("coupler", [EnergyBlend(), GhostCorrected()], ids=["blend", "corrected"])
@pytest.mark.parametrize("dim", [2, 3])
def test_forces_are_the_gradient_of_the_energy(dim, coupler):
    """Fourth-order differences along random directions of atoms, of nodes, and of both."""
    block = Block("si", dim, **SILICON)
    model = block.model(coupler)
    rng = np.random.default_rng(0)
    model.prepare(block.stretched(gradient(dim, 0.005)))
    q = block.stretched(gradient(dim, 0.004)) + 0.05 * rng.uniform(-1, 1, block.reference.shape) * block.interior()
    forces = model.evaluate(q).forces
    atoms, h = np.arange(block.n_q)[:, None] < block.n_free, 1e-3
    for part in (atoms, ~atoms, np.ones_like(atoms)):
        v = rng.normal(size=q.shape) * part * block.interior()
        e = {s: model.evaluate(q + s * h * v).energy for s in (-2, -1, 1, 2)}
        slope = (8 * (e[1] - e[-1]) - (e[2] - e[-2])) / (12 * h)
        assert slope == pytest.approx(-float(np.sum(forces * v)), rel=1e-7, abs=1e-7)


@pytest.mark.parametrize(
    "coupler", [EnergyBlend(), GhostCorrected(), ForceBlend()], ids=["blend", "corrected", "forces"]
)
def test_relaxation_of_a_vacancy(coupler):
    """By energies or by Anderson mixing: the vacancy's neighbours move, the far field hardly does."""
    block = Block("lj", 3, vacancy=True)
    model = block.model(coupler)
    start = block.stretched(gradient(3, 0.005))
    model.prepare(start)
    last = settle(model, start, fmax=1e-5, max_steps=60)
    assert last.converged and last.index <= 40
    moved = np.linalg.norm(last.q - start, axis=1)
    nearest = np.argsort(np.linalg.norm(start[: block.n_free], axis=1))[:12]
    assert moved[nearest].min() > 1e-3


# -- sharp pads ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1.0, 1.3], ids=["coincident", "fitted"])
@pytest.mark.parametrize("dim", [2, 3])
def test_sharp_pad(dim, size):
    """FEAt's form: pad atoms follow the mesh, the edge of its hole follows the free atoms. Found 2e-14 … 8e-14 eV/Å."""
    block = SharpBlock("lj", dim, size=size)
    assert patch(block, SharpPad()).max() <= 1e-10
    fem, place = block.fem()
    edge = place.own < 0
    assert edge.sum() > 10 and np.abs(place.place(block.reference) - fem.reference).max() < 1e-12
    q = block.stretched(gradient(dim, 0.02))
    deformed = fem.reference @ (np.eye(3) + gradient(dim, 0.02)).T
    assert np.abs(place.place(q) - deformed).max() < 1e-10


def test_sharp_pads_of_many_body_models_are_two_reaches_thick():
    """One reach of pad leaves 6e-2 eV/Å in aluminium, two leave round-off."""
    assert patch(SharpBlock("al", 2), SharpPad(), (0.005,))[0] > 1e-2
    assert patch(SharpBlock("al", 2, pad=11.2), SharpPad()).max() <= 1e-10


@pytest.mark.parametrize("dim", [2, 3])
def test_sharp_pad_relaxes_a_vacancy(dim):
    """Anderson mixing, for there is no energy; found 7 to 10 steps. The state does not depend on the start."""
    block = SharpBlock("lj", dim, vacancy=True)
    model = block.model(SharpPad())
    start = block.stretched(gradient(dim, 0.005))
    last = settle(model, start, fmax=1e-6, max_steps=60)
    assert last.converged and last.energy is None and last.index <= 30
    shaken = start + 0.03 * np.random.default_rng(1).uniform(-1, 1, start.shape) * block.interior()
    again = settle(model, shaken, fmax=1e-6, max_steps=60)
    assert again.converged and np.abs(again.q - last.q).max() < 1e-5


def test_sharp_pad_and_corrected_blend_agree_on_a_vacancy():
    """Two methods, one crystal: the neighbours' relaxation differs by less than a tenth of itself."""
    moves = []
    for block, coupler in (
        (SharpBlock("lj", 3, vacancy=True), SharpPad()),
        (Block("lj", 3, free=8.2, half=19.0, vacancy=True), ForceBlend()),
    ):
        model = block.model(coupler)
        last = settle(model, block.reference, fmax=1e-5, max_steps=80)
        assert last.converged
        near = np.argsort(np.linalg.norm(block.reference[: block.n_free], axis=1))[:12]
        moves.append(np.linalg.norm(last.q[near] - block.reference[near], axis=1).mean())
    assert moves[0] == pytest.approx(moves[1], rel=0.1) and moves[0] > 1e-3


# -- bad input -------------------------------------------------------------------------------------------------------


def test_a_mesh_that_does_not_contain_its_pad():
    with pytest.raises(MultiscaleError, match="points lie outside the mesh, the first .* enlarge the mesh"):
        Block("lj", 3, half=12.0).interface()


def test_a_region_without_a_pad():
    with pytest.raises(
        MultiscaleError, match="atom .* of region 'ml' is counted .* add a pad of atoms slaved to the mesh"
    ):
        Block("lj", 3, pad=0.0).model(EnergyBlend())


@pytest.mark.parametrize(("hole", "who"), [(6, "atom"), (2, "quadrature point")])
def test_matter_that_nobody_covers(hole, who):
    """A partition that ends before the atoms do, and one that ends before the mesh begins."""
    block = SharpBlock("lj", 2, hole_cells=hole, half_cells=hole + 3)
    radius = block.free + (-4.0 if who == "atom" else 0.0)
    regions = {"ml": block.ml(), "fem": block.fem()}
    if who == "quadrature point":
        # Atoms of the middle only: the ring between them and the mesh's share has none.
        ml, place = regions["ml"]
        few = np.flatnonzero(np.linalg.norm(ml.reference[:, :2], axis=1) < 3.0)
        from multiscale.regions.ml import MLRegion

        small = MLRegion(ml.model, symbols=["Al"] * len(few), positions=ml.reference[few], cell=ml.cell, pbc=ml.pbc)
        regions["ml"] = (small, place.take(few))
        radius = block.free + 6.0
    partition = Nested([("ml", Sphere((0, 0, 0), radius), 0.0)], rest="fem")
    with pytest.raises(
        MultiscaleError, match=f"{who} .* is not fully covered .* extend a region or move the partition"
    ):
        HybridModel(Interface(block.reference, regions, partition, block.fixed(), strict=False), SharpPad())


def test_a_mesh_somewhere_else():
    """An embedding that puts the mesh's nodes far from where the region has them."""
    block = Block("lj", 2)
    fem, _ = block.fem()
    regions = {"ml": block.ml(), "fem": (fem, select(block.nodes[::-1], block.n_q))}
    partition = Nested([("ml", block.core(), block.blend)], rest="fem")
    with pytest.raises(
        MultiscaleError, match="embedding of region 'fem' puts dof .* check the order of atoms and nodes"
    ):
        Interface(block.reference, regions, partition, block.fixed())


def test_the_materials_are_stable_and_bravais_lattices_have_no_inner_shift():
    for kind in ("lj", "al", "si"):
        m = material(kind)
        assert bulk_modulus(m.C) > 50.0 and np.linalg.eigvalsh(m.C)[0] > 0
        assert (np.abs(m.shifts).max() > 0.1) == (kind == "si")
