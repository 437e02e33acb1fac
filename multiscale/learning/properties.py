"""Properties of silicon by any method on the same finite objects, so that a method without k-points is a fair reference.

    crystal     e_b = [E_2 − (h_2/h_1) E_1] / [b_2 − b_1 h_2/h_1],   E_atom = 2 e_b       (two capped clusters)
    elastic     E_atom(F, u):  C11, C12 from uniform and tetragonal strain;  C44 = C44⁰ − (∂²E/∂e∂u)²/(∂²E/∂u²)/V…
    surface     [E(two halves far apart) − E(whole)] / number of broken bonds
    vacancy     E(cluster without its middle atom) + E_atom − E(cluster)

Deformations carry the caps along. The inner displacement u moves one sublattice against the other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import ase
import numpy as np
from ase.calculators.calculator import Calculator, all_changes
from ase.constraints import FixAtoms
from ase.optimize import BFGS

from ..models.base import SiteModel
from ..region import Can, Query
from ..regions.carve import Cluster, carve
from ..regions.ml import MLRegion
from ..regions.rescale import DIAMOND
from ..types import GPA_PER_EV_A3, Array, MultiscaleError
from .errors import Evaluate

#: Sublattice of each atom of the cubic cell.
_SECOND = np.arange(8) >= 4


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


def diamond_cluster(
    a: float, core: list[int], *, hops: int = 0, radius: float | None = None
) -> tuple[Cluster, ase.Atoms]:
    """A capped cluster of the perfect crystal with lattice constant ``a`` Å; caps at 1.48 Å when a is 5.431 Å."""
    crystal, cell = a * DIAMOND, a * np.eye(3)
    cluster = carve(["Si"] * 8, crystal, cell, True, core, hops=hops, radius=radius, images=True, bond_length=0.52 * a,
                    cap_bond=1.48 * a / 5.431)  # fmt: skip
    return cluster, ase.Atoms(cluster.all_symbols, cluster.positions(crystal, cell))


@dataclass(frozen=True)
class Elastic:
    """Lattice constant (Å) and stiffness (GPa) of the crystal; ``c44_0`` without inner relaxation."""

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


def bond_crystal(evaluate: Evaluate, hops: tuple[int, int] = (1, 2)) -> Callable[[Array, float], float]:
    """The function (lattice vectors (3, 3) Å, inner displacement along x in Å) → energy per atom, by two clusters."""
    clusters = [diamond_cluster(5.431, [0], hops=n)[0] for n in hops]
    caps = [len(c.links) for c in clusters]
    bonds = [(4 * len(c.symbols) - h) / 2 for c, h in zip(clusters, caps, strict=True)]
    ratio = caps[1] / caps[0]

    def per_atom(cell: Array, shift: float = 0.0) -> float:
        x = DIAMOND @ cell
        x[_SECOND, 0] += shift
        e = [evaluate(ase.Atoms(c.all_symbols, c.positions(x, cell)))[0] for c in clusters]
        return float(2.0 * (e[1] - ratio * e[0]) / (bonds[1] - ratio * bonds[0]))

    return per_atom


def periodic_crystal(model: SiteModel) -> Callable[[Array, float], float]:
    """The same function by a model on the periodic crystal itself."""

    def per_atom(cell: Array, shift: float = 0.0) -> float:
        x = DIAMOND @ cell
        x[_SECOND, 0] += shift
        answer = MLRegion(model, ase.Atoms("Si8", x, cell=cell, pbc=True)).evaluate(x, Query(Can.ENERGY))
        assert answer.energy is not None
        return answer.energy / 8.0

    return per_atom


def elastic(
    per_atom: Callable[[Array, float], float], guess: float = 5.45, e: float = 0.01, u: float = 0.03
) -> Elastic:
    """Lattice constant and stiffness from energies per atom of deformed crystals."""
    for _ in range(2):
        a = guess * (1.0 + np.linspace(-0.02, 0.02, 5))
        curve = np.polynomial.Polynomial.fit(a, [per_atom(s * np.eye(3), 0.0) for s in a], 4)
        roots = np.asarray(curve.deriv().roots())
        real = roots[(np.abs(roots.imag) < 1e-9) & (np.abs(roots.real - guess) < 0.05 * guess)].real
        if not len(real):
            raise MultiscaleError(f"elastic found no energy minimum within 5 % of a = {guess} Å; give a better guess")
        guess = float(min(real, key=lambda s: float(curve(s))))
    a0, volume = guess, guess**3 / 8.0
    bulk = float(curve.deriv(2)(a0)) * a0**2 / (9.0 * volume)
    zero = per_atom(a0 * np.eye(3), 0.0)

    def energy(strain: Array, shift: float = 0.0) -> float:
        return (per_atom(a0 * (np.eye(3) + strain), shift) - zero) / volume

    tetragonal, shear = np.diag([e, -0.5 * e, -0.5 * e]), np.zeros((3, 3))
    shear[1, 2] = shear[2, 1] = 0.5 * e
    c_prime = (energy(tetragonal) + energy(-tetragonal)) / (1.5 * e**2)
    # ½ A e² + B e u + ½ D u² per volume, e the engineering shear.
    a_ee = (energy(shear) + energy(-shear)) / e**2
    d_uu = (energy(0.0 * shear, u) + energy(0.0 * shear, -u)) / u**2
    b_eu = (energy(shear, u) + energy(-shear, -u) - energy(shear, -u) - energy(-shear, u)) / (4.0 * e * u)
    c = np.array([bulk + 4.0 / 3.0 * c_prime, bulk - 2.0 / 3.0 * c_prime, a_ee - b_eu**2 / d_uu, a_ee]) * GPA_PER_EV_A3
    return Elastic(a0, c11=float(c[0]), c12=float(c[1]), c44=float(c[2]), c44_0=float(c[3]), atom=zero)


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
    cluster, whole = diamond_cluster(a, [0, _partner(normal)], radius=radius)
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
        Of relaxation; caps and the atoms that carry them stay where they are.
    """
    cluster, whole = diamond_cluster(a, [0], hops=hops)
    broken = whole.copy()
    del broken[0]
    perfect = evaluate(whole)[0]
    rigid = evaluate(broken)[0] + atom - perfect
    carriers = np.unique(cluster.links[:, 0])
    fixed = np.concatenate([carriers, np.flatnonzero(cluster.link_atoms)]) - 1
    broken.set_constraint(FixAtoms(fixed))
    broken.calc = FunctionCalculator(evaluate)
    BFGS(broken, logfile=None).run(fmax=0.03, steps=steps)
    return float(rigid), float(broken.get_potential_energy() + atom - perfect)
