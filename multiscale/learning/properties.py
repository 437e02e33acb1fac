"""Properties of silicon by any method on the same finite objects, so that a method without k-points is a fair reference.

    crystal     e_b = [E_2 − (h_2/h_1) E_1] / [b_2 − b_1 h_2/h_1],   E_atom = 2 e_b       (two capped clusters)
    stiffness   E_atom(F, u):  B from uniform, C' from tetragonal strain;  C44 = C44⁰ − (∂²U/∂γ∂u)²/(∂²U/∂u²),  U = E_atom/V
    surface     [E(two halves far apart) − E(whole)] / number of broken bonds
    vacancy     E(cluster without its middle atom) + E_atom − E(cluster)

Deformations carry the caps along. The inner displacement u moves one sublattice against the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import ase
import numpy as np
from ase.build import bulk as bulk_atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.constraints import FixAtoms

from ..calculator import relax_atoms
from ..elastic import elastic_constants, lattice_constant
from ..models.base import SiteModel
from ..region import Can, Query
from ..regions.carve import Cluster
from ..regions.ml import MLRegion
from ..regions.rescale import (
    DIAMOND,
    PerAtom,
    bond_energy,
    diamond_cluster,
    equilibrium,
    inner_softening,
    shear_moduli,
)
from ..types import Array
from .errors import Evaluate

#: Å; lattice constant at which caps have the bond length of silane, 1.48 Å. They are scaled with the cluster.
A_CAPS = 5.431


class FunctionCalculator(Calculator):
    """ASE calculator of a function atoms → (energy, forces)."""

    def __init__(self, evaluate: Evaluate) -> None:
        super().__init__()
        self.evaluate = evaluate
        # ASE reads this from the object.
        self.implemented_properties = ["energy", "forces", "free_energy"]

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:  # type: ignore[no-untyped-def]
        """Call the function."""
        super().calculate(atoms, properties, system_changes)
        energy, forces = self.evaluate(self.atoms)
        self.results = {"energy": energy, "free_energy": energy, "forces": forces}


def relax(atoms: ase.Atoms, evaluate: Evaluate, fmax: float, steps: int) -> float:
    """:func:`~multiscale.calculator.relax_atoms` by the method ``evaluate``."""
    atoms.calc = FunctionCalculator(evaluate)
    return relax_atoms(atoms, fmax, steps)


def _cluster(a: float, core: Sequence[int], *, hops: int = 0, radius: float | None = None) -> tuple[Cluster, ase.Atoms]:
    """A capped cluster of silicon with lattice constant ``a`` Å; caps at 1.48 Å when a is :data:`A_CAPS`."""
    return diamond_cluster(a, core=core, hops=hops, radius=radius, cap_bond=1.48 * a / A_CAPS)


def silane(a: float) -> ase.Atoms:
    """Si35H36: a capped ball of the crystal with lattice constant ``a`` Å."""
    return _cluster(a, [0], radius=0.9 * a)[1]


@dataclass(frozen=True)
class Crystal:
    """Lattice constant (Å), stiffness (GPa) and energy per atom (eV); ``c44_0`` without inner relaxation."""

    a0: float
    c11: float
    c12: float
    c44: float
    c44_0: float
    atom: float

    @property
    def bulk(self) -> float:
        """Bulk modulus, GPa."""
        return (self.c11 + 2.0 * self.c12) / 3.0


def by_bonds(evaluate: Evaluate, hops: tuple[int, int] = (1, 2)) -> PerAtom:
    """The crystal's energy per atom by two capped clusters, whose difference leaves bonds without caps."""
    small, large = (_cluster(A_CAPS, [0], hops=n)[0] for n in hops)

    def energy(k: int, x: Array) -> float:
        return evaluate(ase.Atoms((small, large)[k].all_symbols, x))[0]

    return bond_energy((small, large), energy)


def measured(per_atom: PerAtom, guess: float = 5.45, e: float = 0.01) -> Crystal:
    """The crystal from energies of deformed crystals alone: C11 = B + 4/3 C', C12 = B − 2/3 C', C44 = C44⁰ − B_eu²/D_uu."""
    a, bulk, atom = equilibrium(per_atom, guess)
    c_prime, c44_0 = shear_moduli(per_atom, a, e)
    c44 = c44_0 - inner_softening(per_atom, a, e)
    return Crystal(a, bulk + 4.0 / 3.0 * c_prime, bulk - 2.0 / 3.0 * c_prime, c44, c44_0, atom)


def periodic(model: SiteModel, guess: float = 5.45) -> Crystal:
    """The periodic crystal of a model, from its stresses (:mod:`multiscale.elastic`)."""
    start = MLRegion(model, bulk_atoms("Si", a=guess))
    a = lattice_constant(start.with_cell, start.reference, start.cell, guess)
    region = MLRegion(model, bulk_atoms("Si", a=a))
    C = elastic_constants(region.with_cell, region.reference, region.cell)
    energy = region.evaluate(region.reference, Query(Can.ENERGY)).energy
    assert energy is not None
    c11, c12, c44 = (float(C.relaxed[k]) for k in ((0, 0), (0, 1), (3, 3)))
    return Crystal(a, c11, c12, c44, float(C.unrelaxed[3, 3]), energy / region.n_dofs)


#: Cleavage planes: normal, and bonds cut per a² of area.
PLANES = {
    "111": ((1, 1, 1), 4.0 / np.sqrt(3.0)),
    "110": ((1, 1, 0), 2.0 * np.sqrt(2.0)),
    "100": ((1, 0, 0), 4.0),
}


def cleavage(
    evaluate: Evaluate, a: float, plane: str, radius: float = 5.2, gap: float = 8.0
) -> tuple[float, float, int]:
    """Unrelaxed work of separation of a capped cluster: eV per broken bond, J/m² (both faces), and the bonds broken."""
    normal = np.array(PLANES[plane][0], dtype=float)
    normal /= np.linalg.norm(normal)
    cluster, whole = _cluster(a, [0, _partner(normal)], radius=radius)
    x = whole.positions
    silicon = ~cluster.link_atoms
    bond = 0.25 * np.sqrt(3.0) * a
    d = np.linalg.norm(x[:, None] - x[None], axis=-1)
    # The plane cuts the bond between the two core atoms, which come first.
    height = (x - 0.5 * (x[0] + x[1])) @ normal
    # Caps belong to the silicon atom that carries them.
    owner = np.concatenate([np.flatnonzero(silicon), cluster.links[:, 0]])
    upper = height[owner] > 0.0
    cut = (d < 1.1 * bond) & silicon[:, None] & silicon[None] & upper[:, None] & ~upper[None]
    apart = whole.copy()
    apart.positions[upper] += gap * normal
    bonds = int(cut.sum())
    per_bond = (evaluate(apart)[0] - evaluate(whole)[0]) / bonds
    return per_bond, per_bond * PLANES[plane][1] / a**2 * 16.0217663, bonds


def _partner(normal: Array) -> int:
    """The neighbour of atom 0 in the cubic cell whose bond is steepest to the plane."""
    vectors = DIAMOND[4:] - DIAMOND[0]
    vectors -= np.round(vectors)
    return 4 + int(np.argmax(np.abs(vectors @ normal) - 1e-3 * np.linalg.norm(DIAMOND[4:], axis=1)))


def vacancy(evaluate: Evaluate, a: float, atom: float, *, hops: int = 2, steps: int = 40) -> tuple[float, float]:
    """Formation energy (eV) of a vacancy in the middle of a capped cluster: unrelaxed, and with the inside relaxed.

    Parameters
    ----------
    evaluate : function
        The method.
    a, atom : float
        Lattice constant, Å, and energy of an atom in the crystal, eV, by the same method.
    hops : int
        Size of the cluster.
    steps : int
        Most steps of relaxation; caps and the atoms that carry them stay where they are.

    Raises
    ------
    MultiscaleError
        If the inside does not relax in so many steps.
    """
    cluster, whole = _cluster(a, [0], hops=hops)
    broken = whole.copy()
    del broken[0]
    perfect = evaluate(whole)[0]
    rigid = evaluate(broken)[0] + atom - perfect
    carriers = np.unique(cluster.links[:, 0])
    fixed = np.concatenate([carriers, np.flatnonzero(cluster.link_atoms)]) - 1
    broken.set_constraint(FixAtoms(fixed))
    return float(rigid), relax(broken, evaluate, 0.03, steps) + atom - perfect
