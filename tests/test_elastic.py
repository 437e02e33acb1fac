"""Elastic constants against published values, and the tensor algebra."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk

from multiscale.elastic import (
    VOIGT,
    bulk_modulus,
    elastic_constants,
    full_tensor,
    hessian,
    lattice_constant,
    rotate_stiffness,
)
from multiscale.models import EAM, StillingerWeber
from multiscale.region import Can, Query
from multiscale.regions.ml import MLRegion
from multiscale.types import GPA_PER_EV_A3, MultiscaleError

# C11, C12, C44 relaxed, C44 unrelaxed, GPa: computed with matscipy and LAMMPS (independent codes;
# λ = 42 also in matscipy's tests of the Cauchy–Born corrector).
SILICON = {21.0: (151.42, 76.42, 56.45, 109.76), 42.0: (201.43, 51.42, 90.51, 118.09)}


def silicon(strength):
    return MLRegion(StillingerWeber(strength), bulk("Si", a=5.43095))


@pytest.mark.parametrize("strength", [21.0, 42.0])
def test_silicon(strength):
    region = silicon(strength)
    C = elastic_constants(region.with_cell, region.reference, region.cell)
    found = (C.relaxed[0, 0], C.relaxed[0, 1], C.relaxed[3, 3], C.unrelaxed[3, 3])
    assert np.abs(np.subtract(found, SILICON[strength])).max() < 0.01
    assert np.abs(C.stress).max() < 1e-3
    assert bulk_modulus(C.relaxed) == pytest.approx(101.42, abs=0.01)


def test_inner_shift():
    """∂x/∂γ_yz of the atom at (¼, ¼, ¼) relative to the one at the origin: −0.549975395 Å (matscipy's tests)."""
    region = silicon(42.0)
    z = elastic_constants(region.with_cell, region.reference, region.cell).inner_shift
    assert region.reference[1].min() > 1.0
    relative = z[1] - z[0]
    assert relative[0, 1, 2] == pytest.approx(-0.549975395, abs=1e-6)
    for a, j, k in ((0, 2, 1), (1, 0, 2), (2, 1, 0)):
        assert relative[a, j, k] == pytest.approx(relative[0, 1, 2], abs=1e-9)
    assert np.abs(z.sum(axis=0)).max() < 1e-12
    assert np.abs(relative[0, 0]).max() < 1e-9


def test_rotated_crystal_gives_the_rotated_tensor():
    """The crystal in the crack frame x = [11-2], y = [111], z = [1-10]: C22 = 176.687, C16 = 8.933 GPa."""
    frame = np.array([[1, 1, -2], [1, 1, 1], [1, -1, 0]]) / np.sqrt([[6], [3], [2]])
    region = silicon(21.0)
    C = elastic_constants(region.with_cell, region.reference, region.cell)
    atoms = bulk("Si", a=5.43095)
    turned = MLRegion(StillingerWeber(), symbols=["Si", "Si"], positions=atoms.positions @ frame.T,
                      cell=atoms.cell.array @ frame.T, pbc=True)  # fmt: skip
    D = elastic_constants(turned.with_cell, turned.reference, turned.cell)
    rotated = rotate_stiffness(C.relaxed, frame)
    assert np.abs(rotated - D.relaxed).max() < 1e-3
    assert rotated[1, 1] == pytest.approx(176.687, abs=0.01)
    assert rotated[0, 5] == pytest.approx(8.933, abs=0.01) and rotated[1, 5] == pytest.approx(0, abs=1e-6)
    z = np.einsum("ia,jb,kc,nabc->nijk", frame, frame, frame, C.inner_shift)
    assert np.abs(z - D.inner_shift).max() < 1e-6
    assert bulk_modulus(rotated) == pytest.approx(bulk_modulus(C.relaxed), rel=1e-12)


def test_energy_is_quadratic_in_strain_with_these_constants():
    """½ V ε:C:ε against the energy of the strained, relaxed crystal: constants and shifts from another quantity."""
    region = silicon(42.0)
    C = elastic_constants(region.with_cell, region.reference, region.cell)
    rng = np.random.default_rng(0)
    strain = rng.uniform(-1, 1, (3, 3)) * 2e-4
    strain = 0.5 * (strain + strain.T)
    volume = abs(np.linalg.det(region.cell))
    x = region.reference
    energies = []
    for sign in (1, -1, 0):
        deform = np.eye(3) + sign * strain
        shift = sign * np.einsum("nijk,jk->ni", C.inner_shift, strain)
        energies.append(region.with_cell(region.cell @ deform).evaluate(x @ deform + shift, Query(Can.ENERGY)).energy)
    density = 0.5 * np.einsum("ij,ijkl,kl", strain, full_tensor(C.relaxed), strain) / GPA_PER_EV_A3
    assert 0.5 * (energies[0] + energies[1]) - energies[2] == pytest.approx(volume * density, rel=1e-4)


def test_lattice_constants():
    region = silicon(21.0)
    a0 = 2 ** (1 / 6) * 4 / np.sqrt(3) * 2.0951
    assert lattice_constant(region.with_cell, region.reference, region.cell, 5.43095) == pytest.approx(a0, abs=1e-6)
    aluminium = MLRegion(EAM.ercolessi_adams(), bulk("Al", a=4.1))
    a = lattice_constant(aluminium.with_cell, aluminium.reference, aluminium.cell, 4.1)
    assert a == pytest.approx(4.0320, abs=2e-4)
    at_rest = MLRegion(EAM.ercolessi_adams(), bulk("Al", a=a))
    assert at_rest.evaluate(at_rest.reference, Query()).energy == pytest.approx(-3.3600, abs=1e-5)

    class EnergyOnly(MLRegion):
        can = Can.ENERGY

    poor = EnergyOnly(StillingerWeber(), bulk("Si", a=5.6))
    found = lattice_constant(poor.with_cell, poor.reference, poor.cell, 5.6)
    assert found == pytest.approx(a0, abs=1e-4)


def test_hessian_from_products_equals_the_assembled_one():
    class NoStiffness(MLRegion):
        can = MLRegion.can & ~Can.STIFFNESS

    region = silicon(21.0)
    other = NoStiffness(StillingerWeber(), bulk("Si", a=5.43095))
    assert np.abs(hessian(region, region.reference) - hessian(other, other.reference)).max() < 1e-12


def test_refusals():
    region = silicon(21.0)
    with pytest.raises(MultiscaleError, match="orthogonal"):
        rotate_stiffness(np.eye(6), 2 * np.eye(3))
    with pytest.raises(MultiscaleError, match="No equilibrium lattice constant within 8% of 7.0"):
        lattice_constant(region.with_cell, region.reference * 7 / 5.43095, region.cell * 7 / 5.43095, 7.0)
    assert VOIGT[3] == (1, 2)
