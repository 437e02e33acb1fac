"""Site-energy models: exact values, ASE's implementations, smoothness at the cutoff, invariances."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.eam import EAM as AseEAM
from ase.calculators.lj import LennardJones as AseLJ

import multiscale.models
from multiscale.calculator import RegionCalculator
from multiscale.models import EAM, Edges, LennardJones, Morse, StillingerWeber, Tersoff
from multiscale.region import Can, Query
from multiscale.regions.ml import MLRegion
from multiscale.types import MultiscaleError

AL = Path(multiscale.models.__file__).parent / "data" / "Al_EA.eam.alloy"
MODELS = [LennardJones(), Morse(), EAM.ercolessi_adams(), StillingerWeber(), Tersoff()]
IDS = [model.name for model in MODELS]
ALL = Can.ENERGY | Can.FORCES | Can.SITE_ENERGIES


def rattled(model, seed=0, amplitude=0.1):
    """A small periodic crystal the model knows, off its sites."""
    lattice = {"Ar": 5.3, "Cu": 3.61, "Al": 4.03, "Si": 5.43}
    symbol = model.symbols[0]
    atoms = bulk(symbol, a=lattice[symbol], cubic=True)
    atoms.positions += np.random.default_rng(seed).normal(0, amplitude, atoms.positions.shape)
    return atoms


def test_silicon_energy_and_surface_energy_are_exact():
    """−2ε per atom; γ(111) = 2ε/(√3 a0²): one bond of energy ε per surface atom is cut."""
    a0 = 2 ** (1 / 6) * 4 / np.sqrt(3) * 2.0951
    for strength in (21.0, 42.0):
        model = StillingerWeber(three_body_strength=strength)
        crystal = MLRegion(model, bulk("Si", a=a0))
        assert crystal.evaluate(crystal.reference, Query()).energy == pytest.approx(-4 * 2.1683, abs=1e-6)
        # In the primitive cell stacked along its third vector the cell boundary is a shuffle plane of {111}.
        slab = bulk("Si", a=a0) * (1, 1, 6)
        normal = np.cross(slab.cell[0], slab.cell[1])
        area = np.linalg.norm(normal)
        normal *= np.sign(normal @ slab.cell[2]) / area
        closed = MLRegion(model, slab)
        opened = closed.with_cell(np.vstack([slab.cell[:2], slab.cell[2] + 10.0 * normal]))
        energies = [region.evaluate(slab.positions, Query()).energy for region in (closed, opened)]
        gamma = (energies[1] - energies[0]) / (2 * area)
        assert gamma == pytest.approx(2 * 2.1683 / (np.sqrt(3) * a0**2), rel=1e-6)


def test_lennard_jones_equals_ase_inside_the_onset():
    rng = np.random.default_rng(1)
    atoms = Atoms("Ar12", 3.5 * np.argwhere(np.ones((3, 2, 2))) + rng.normal(0, 0.2, (12, 3)))
    region = MLRegion(LennardJones(epsilon=0.0103, sigma=3.4, cutoff=30.0, onset=20.0), atoms)
    ours = region.evaluate(region.reference, Query())
    atoms.calc = AseLJ(epsilon=0.0103, sigma=3.4, rc=30.0, ro=20.0, smooth=True)
    assert ours.energy == pytest.approx(atoms.get_potential_energy(), rel=1e-12)
    assert np.abs(ours.forces - atoms.get_forces()).max() < 1e-12


def test_eam_equals_ase():
    """ASE interpolates φ, this package r·φ, as LAMMPS does; the tables are fine enough for 1e-5 eV either way."""
    atoms = rattled(EAM.ercolessi_adams(), seed=2) * (3, 3, 3)
    region = MLRegion(EAM.ercolessi_adams(), atoms)
    ours = region.evaluate(region.reference, Query())
    atoms.calc = AseEAM(potential=str(AL), form="alloy")
    assert ours.energy / len(atoms) == pytest.approx(atoms.get_potential_energy() / len(atoms), abs=1e-6)
    assert np.abs(ours.forces - atoms.get_forces()).max() < 2e-5


def test_tersoff_equals_matscipy():
    """Energy and forces of a rattled crystal, of a dimer, whose bond has no company, and of a surface."""
    many = pytest.importorskip("matscipy.calculators.manybody")
    forms = pytest.importorskip("matscipy.calculators.manybody.explicit_forms.tersoff_brenner")
    slab = rattled(Tersoff(), seed=3) * (2, 2, 2)
    slab.pbc = (True, True, False)
    for atoms in (
        rattled(Tersoff(), seed=3) * (2, 2, 2),
        slab,
        Atoms("Si2", [[0, 0, 0], [2.2, 0.3, 0]], cell=np.eye(3) * 20),
    ):
        region = MLRegion(Tersoff(), atoms)
        ours = region.evaluate(region.reference, Query())
        atoms.calc = many.Manybody(**forms.TersoffBrenner(forms.Tersoff_PRB_39_5566_Si_C))
        assert ours.energy == pytest.approx(atoms.get_potential_energy(), rel=1e-12)
        assert np.abs(ours.forces - atoms.get_forces()).max() < 1e-11


def test_two_element_eam_reads_its_own_table(tmp_path):
    """The aluminium table written twice, as Al and as X = Cu: an alloy of equal elements is aluminium."""
    lines = AL.read_text().splitlines()
    values = " ".join(lines[5:]).split()
    block, phi = values[: 4 + 1000], values[4 + 1000 :]
    body = [*block, *block, *phi, *phi, *phi]
    path = tmp_path / "two.eam.alloy"
    path.write_text("\n".join([*lines[:3], "2 Al Cu", lines[4], *body]))
    x = rattled(EAM.ercolessi_adams(), seed=3)
    mixed = x.copy()
    mixed.symbols[[0, 2]] = "Cu"
    one, two = MLRegion(EAM.ercolessi_adams(), x), MLRegion(EAM(path), mixed)
    assert two.evaluate(x.positions, Query()).energy == pytest.approx(
        one.evaluate(x.positions, Query()).energy, rel=1e-13
    )


def test_morse_dimer():
    for r in (2.0, 2.866, 4.0):
        region = MLRegion(
            Morse(depth=0.3, alpha=1.4, r0=2.866, cutoff=9.0, onset=7.0), Atoms("Cu2", [[0, 0, 0], [r, 0, 0]])
        )
        expected = 0.3 * ((1 - np.exp(-1.4 * (r - 2.866))) ** 2 - 1)
        assert region.evaluate(region.reference, Query()).energy == pytest.approx(expected, rel=1e-13)


def test_pair_tables_per_element():
    """Two elements that do not see each other: the energy is the sum of the two bodies' energies."""
    model = LennardJones(epsilon=[[0.1, 0.0], [0.0, 0.2]], sigma=3.0, cutoff=9.0, symbols=("Ar", "Kr"))
    x = np.array([[0.0, 0, 0], [3.3, 0, 0], [0, 3.2, 0], [3.3, 3.4, 0]])
    both = MLRegion(model, Atoms("ArArKrKr", x)).evaluate(x, Query()).energy
    apart = [
        MLRegion(model, Atoms(s, x[k])).evaluate(x[k], Query()).energy for s, k in (("Ar2", [0, 1]), ("Kr2", [2, 3]))
    ]
    assert both == pytest.approx(sum(apart), rel=1e-13)


@pytest.mark.parametrize("model", MODELS, ids=IDS)
def test_smooth_at_the_cutoff(model):
    """Energy, force and curvature of a dimer just inside the cutoff are as good as zero, its value outside."""

    def dimer(r):
        d = torch.tensor([[r, 0.0, 0.0], [-r, 0.0, 0.0]], dtype=torch.float64, requires_grad=True)
        edges = Edges(d, torch.tensor([0, 1]), torch.tensor([1, 0]), torch.zeros(2, dtype=torch.long), (2, 2))
        energy = model(edges).sum()
        (g,) = torch.autograd.grad(energy, d, create_graph=True)
        (h,) = torch.autograd.grad(g[0, 0], d)
        return abs(energy.item()), abs(g[0, 0].item()), abs(h[0, 0].item())

    inside = dimer(model.cutoff * (1 - 1e-7))
    scale = dimer(0.5 * model.cutoff)
    assert inside[0] < 1e-6 * scale[0]
    assert inside[1] < 1e-5 * scale[1]
    # An EAM table ends with its author's curvature, Tersoff's cosine with one; the other models are C² by construction.
    assert isinstance(model, EAM | Tersoff) or inside[2] < 1e-4 * scale[2]


@pytest.mark.parametrize("model", MODELS, ids=IDS)
def test_no_edges_no_centres(model):
    for n in (0, 3):
        d = torch.zeros((0, 3), dtype=torch.float64, requires_grad=True)
        none = torch.zeros(0, dtype=torch.long)
        energies = model(Edges(d, none, none, torch.zeros(n, dtype=torch.long), (n, n)))
        assert energies.shape == (n,) and torch.isfinite(energies).all()


@pytest.mark.parametrize("model", MODELS, ids=IDS)
def test_invariances(model):
    """Translation, rotation of atoms and cell, exchange of atoms: same energy, forces go along."""
    atoms = rattled(model, seed=4)
    region = MLRegion(model, atoms)
    at = region.evaluate(atoms.positions, Query(ALL))
    shifted = region.evaluate(atoms.positions + [0.3, -7.0, 11.0], Query(ALL))
    assert shifted.energy == pytest.approx(at.energy, rel=1e-12)
    turn = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))[0]
    turned = region.with_cell(region.cell @ turn).evaluate(atoms.positions @ turn, Query(ALL))
    assert turned.energy == pytest.approx(at.energy, rel=1e-12)
    assert np.abs(turned.forces - at.forces @ turn).max() < 1e-11
    order = np.random.default_rng(6).permutation(len(atoms))
    swapped = MLRegion(model, atoms[order]).evaluate(atoms.positions[order], Query(ALL))
    assert np.abs(swapped.forces - at.forces[order]).max() < 1e-11
    assert np.abs(swapped.site_energies - at.site_energies[order]).max() < 1e-12


def test_ase_calculator_gives_the_same_stress_as_differences():
    atoms = rattled(StillingerWeber())
    region = MLRegion(StillingerWeber(), atoms)
    atoms.calc = RegionCalculator(region, rebuild=region.with_cell)
    stress = atoms.get_stress(voigt=False)
    numerical = np.zeros((3, 3))
    for i in range(3):
        ends = []
        for sign in (1, -1):
            strained = atoms.copy()
            deform = np.eye(3)
            deform[i, i] += sign * 1e-5
            strained.set_cell(atoms.cell @ deform, scale_atoms=True)
            strained.calc = atoms.calc
            ends.append(strained.get_potential_energy())
        numerical[i, i] = (ends[0] - ends[1]) / (2e-5 * atoms.get_volume())
    assert np.abs(np.diag(stress - numerical)).max() < 1e-8
    assert atoms.get_potential_energies().sum() == pytest.approx(atoms.get_potential_energy(), rel=1e-12)


def test_unknown_elements_and_broken_files_are_refused(tmp_path):
    with pytest.raises(MultiscaleError, match="given the element Ge, but it knows only Si"):
        MLRegion(StillingerWeber(), bulk("Ge", a=5.6))
    broken = tmp_path / "broken.eam.alloy"
    broken.write_text("\n".join(AL.read_text().splitlines()[:50]))
    with pytest.raises(MultiscaleError, match="not a complete setfl"):
        EAM(broken)
    with pytest.raises(MultiscaleError, match="0 < onset < cutoff"):
        LennardJones(cutoff=5.0, onset=6.0)
