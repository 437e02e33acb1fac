"""Rescaling a quantum method to the bulk phase of the model around it: E'(x) = c_E E(c_L x).

    c_L = a_QM/a,      c_E = B/(c_L³ B_QM)

with a, B the lattice constant and bulk modulus that the surroundings have. a_QM and B_QM are those of capped
clusters, since that is what a QM region is. In a uniformly scaled cluster (caps moved along) the energy is, to good
accuracy, additive over bonds, E = n_b e_b(a) + n_h e_h(a), and two clusters of different size with n_h caps and n_b
bonds give the crystal's 2 e_b(a) per atom:

    e_b = [E_2 − (h_2/h_1) E_1] / [b_2 − b_1 h_2/h_1]

:func:`bond_energy`, :func:`equilibrium`, :func:`shear_moduli` and :func:`inner_softening` ask for energies alone, so that any method can
be measured with them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import ase
import numpy as np
from numpy.typing import ArrayLike

from ..region import Can, Query
from ..types import GPA_PER_EV_A3, Array, MultiscaleError
from .carve import Cluster, carve
from .qm import QMRegion

#: The diamond structure: fractional positions of the eight atoms in the cubic cell.
DIAMOND = np.array([[0, 0, 0], [0, 2, 2], [2, 0, 2], [2, 2, 0], [1, 1, 1], [1, 3, 3], [3, 1, 3], [3, 3, 1]]) / 4.0

#: Energy of the crystal, eV per atom up to a constant: of the cubic cell's vectors (3, 3), Å, and of what the second sublattice is
#: moved by against the first, (3,) array, Å.
PerAtom = Callable[[Array, Array], float]
#: No inner displacement.
NONE = np.zeros(3)


@dataclass(frozen=True)
class Rescaling:
    """What :func:`tune_rescaling` measures.

    Attributes
    ----------
    length_scale, energy_scale : float
        c_L and c_E, the arguments of :class:`~multiscale.regions.qm.QMRegion`.
    lattice_constant : float
        Å, of the QM method's clusters, before rescaling.
    bulk_modulus, tetragonal, shear : float
        GPa, before rescaling: B, C' = (C11 − C12)/2, and C44 without inner relaxation.
    rescaled : (3,) tuple
        GPa: B, C', C44 (unrelaxed) after rescaling; the first equals the target.
    target : (3,) tuple
        GPa: the same of the surroundings; the last two NaN if not given. What differs is the mismatch that rescaling
        leaves.
    clusters : tuple of str
        Formulas of the clusters used.
    """

    length_scale: float
    energy_scale: float
    lattice_constant: float
    bulk_modulus: float
    tetragonal: float
    shear: float
    rescaled: tuple[float, float, float]
    target: tuple[float, float, float]
    clusters: tuple[str, ...]

    def report(self) -> dict[str, Any]:
        """Everything as a plain dictionary, with the remaining mismatch relative to the target."""
        left = [r / t - 1.0 for r, t in zip(self.rescaled, self.target, strict=True)]
        return asdict(self) | {"mismatch": dict(zip(("B", "C'", "C44 unrelaxed"), left, strict=True))}


def tune_rescaling(
    a: float,
    bulk_modulus: float,
    calculator: Any = None,
    *,
    symbol: str = "Si",
    stiffness: ArrayLike | None = None,
    hops: tuple[int, int] = (1, 2),
    cap: str = "H",
    cap_bond: float = 1.48,
    **settings: Any,
) -> Rescaling:
    """Measure a diamond-structure crystal's QM lattice constant and moduli on two capped clusters, and fit c_L and c_E.

    Parameters
    ----------
    a, bulk_modulus : float
        Å and GPa, of the model around the QM region.
    calculator : optional
        As for :class:`~multiscale.regions.qm.QMRegion`; GFN1-xTB unless given.
    symbol : str
        Element.
    stiffness : (6, 6) array, optional
        GPa; *unrelaxed* stiffness of the model in cubic axes, only to report what mismatch is left.
    hops : (int, int)
        Sizes of the two clusters: 1, 2, 3 are Si5H12, Si35H36, Si71H60. For GFN1-xTB the pair (1, 2) gives the lattice
        constant of the pair (2, 3) within 1e-3 Å and the bulk modulus within 1.5 %, in 20 s instead of 3 minutes.
    cap, cap_bond : str, float
        Element and bond length (Å, at the lattice constant a) of the link atoms.
    **settings
        Passed on to QMRegion.

    Raises
    ------
    MultiscaleError
        If the QM method has no minimum within 6 % of a.
    """
    clusters = [diamond_cluster(a, symbol, hops=n, cap=cap, cap_bond=cap_bond) for n in hops]
    regions = [QMRegion(atoms, calculator, link_atoms=c.link_atoms, **settings) for c, atoms in clusters]

    def energy(k: int, x: Array) -> float:
        return float(regions[k].evaluate(x, Query(Can.ENERGY)).energy or 0.0)

    per_atom = bond_energy((clusters[0][0], clusters[1][0]), energy)
    a_qm, b_qm, _ = equilibrium(per_atom, a)
    c_length = a_qm / a
    tetragonal, shear = shear_moduli(per_atom, a_qm)
    c_energy = bulk_modulus / (c_length**3 * b_qm)
    factor = c_energy * c_length**3
    c = np.full((6, 6), np.nan) if stiffness is None else np.asarray(stiffness, dtype=float)
    return Rescaling(
        c_length, c_energy, a_qm, b_qm, tetragonal, shear,
        (factor * b_qm, factor * tetragonal, factor * shear),
        (bulk_modulus, float(c[0, 0] - c[0, 1]) / 2.0, float(c[3, 3])),
        (str(clusters[0][1].symbols), str(clusters[1][1].symbols)),
    )  # fmt: skip


def diamond_cluster(
    a: float,
    symbol: str = "Si",
    core: Sequence[int] = (0,),
    *,
    hops: int = 0,
    radius: float | None = None,
    cap: str = "H",
    cap_bond: float = 1.48,
) -> tuple[Cluster, ase.Atoms]:
    """A capped cluster of the perfect diamond structure with lattice constant ``a``, Å.

    Parameters
    ----------
    a, symbol : float, str
        Lattice constant, Å, and element.
    core : ints
        Atoms of :data:`DIAMOND` in the middle.
    hops, radius : int, float
        Size, as for :func:`~multiscale.regions.carve.carve`.
    cap, cap_bond : str, float
        Element and bond length, Å, of the link atoms.
    """
    crystal, cell = a * DIAMOND, a * np.eye(3)
    bond = 1.2 * a * np.sqrt(3.0) / 4.0
    cluster = carve([symbol] * 8, crystal, cell, True, list(core), hops=hops, radius=radius, images=True, bond_length=bond, cap=cap,
                    cap_bond=cap_bond)  # fmt: skip
    return cluster, ase.Atoms(cluster.all_symbols, cluster.positions(crystal, cell))


def crystal_positions(cell: Array, shift: Array = NONE) -> Array:
    """The eight atoms (8, 3), Å, of the cubic cell with vectors ``cell`` (3, 3), the second sublattice moved by ``shift`` (3,)."""
    x = DIAMOND @ cell
    x[4:] += shift
    return x


def bond_energy(clusters: tuple[Cluster, Cluster], energy: Callable[[int, Array], float]) -> PerAtom:
    """The crystal's energy per atom from two capped clusters, a smaller and a larger one.

    Parameters
    ----------
    clusters : (Cluster, Cluster)
        Of :func:`diamond_cluster`.
    energy : callable (k, x) -> float
        eV, of cluster k with atoms and caps at x (n, 3), Å.

    Raises
    ------
    MultiscaleError
        If the two are too alike to tell bonds from caps.
    """
    caps = [len(cluster.links) for cluster in clusters]
    bonds = [(4 * len(cluster.symbols) - h) / 2 for cluster, h in zip(clusters, caps, strict=True)]
    ratio = caps[1] / caps[0]
    if bonds[1] - ratio * bonds[0] < 1.0:
        raise MultiscaleError(
            "bond_energy was given clusters too alike to tell bonds from caps; use two different hops, smaller first"
        )

    def per_atom(cell: Array, shift: Array = NONE) -> float:
        x = crystal_positions(cell, shift)
        e = [energy(k, cluster.positions(x, cell)) for k, cluster in enumerate(clusters)]
        return float(2.0 * (e[1] - ratio * e[0]) / (bonds[1] - ratio * bonds[0]))

    return per_atom


def equilibrium(per_atom: PerAtom, a: float) -> tuple[float, float, float]:
    """Lattice constant (Å), bulk modulus (GPa) and energy (eV per atom) of the crystal with the least energy near ``a`` Å.

    Raises
    ------
    MultiscaleError
        If there is no minimum within 6 % of ``a``.
    """

    def fit(scales: Array, degree: int) -> np.polynomial.Polynomial:
        return np.polynomial.Polynomial.fit(scales, [per_atom(s * a * np.eye(3), NONE) for s in scales], degree)

    scale = _minimum(fit(1.0 + np.array([-0.02, 0.0, 0.02, 0.04]), 3))
    # Around the first estimate, a symmetric set of points fixes curvature and minimum to fourth order.
    polynomial = fit(scale * (1.0 + np.array([-0.02, -0.01, 0.0, 0.01, 0.02])), 4)
    scale = _minimum(polynomial)
    volume = (scale * a) ** 3 / 8.0
    bulk = float(polynomial.deriv(2)(scale)) * scale**2 / (9.0 * volume) * GPA_PER_EV_A3
    return scale * a, bulk, per_atom(scale * a * np.eye(3), NONE)


def _minimum(polynomial: np.polynomial.Polynomial) -> float:
    """The scale of lowest energy, between 0.94 and 1.06."""
    roots = np.asarray(polynomial.deriv().roots())
    real = roots[np.abs(roots.imag) < 1e-9].real
    found = [float(s) for s in real if 0.94 < s < 1.06 and polynomial.deriv(2)(s) > 0.0]
    if not found:
        raise MultiscaleError(
            "no equilibrium was found within 6 % of the given lattice constant; check the element, the link atoms and the calculator"
        )
    return min(found, key=lambda s: float(polynomial(s)))


def _strained(per_atom: PerAtom, a: float) -> Callable[[Array, float], float]:
    """The energy density above the crystal's, GPa, for a strain (3, 3) and an inner displacement along x, Å."""
    volume, zero = a**3 / 8.0, per_atom(a * np.eye(3), NONE)
    x = np.array([1.0, 0.0, 0.0])
    return lambda strain, u: (per_atom(a * (np.eye(3) + strain), u * x) - zero) / volume * GPA_PER_EV_A3


def shear_moduli(per_atom: PerAtom, a: float, e: float = 0.02) -> tuple[float, float]:
    """C' and unrelaxed C44, GPa, from U = 3/2 C' e² (tetragonal, trace-free) and U = 2 C44 e² (ε_yz = ε_zy = e).

    Parameters
    ----------
    per_atom, a : callable, float
        The crystal and its lattice constant, Å.
    e : float
        Strain of the central differences.
    """
    energy, shear = _strained(per_atom, a), np.zeros((3, 3))
    tetragonal = np.diag([e, -0.5 * e, -0.5 * e])
    shear[1, 2] = shear[2, 1] = e
    both = [0.5 * (energy(strain, 0.0) + energy(-strain, 0.0)) for strain in (tetragonal, shear)]
    return both[0] / (1.5 * e**2), both[1] / (2.0 * e**2)


def inner_softening(per_atom: PerAtom, a: float, e: float = 0.02, u: float = 0.03) -> float:
    """What inner relaxation takes off C44, GPa: B²/D of U = ½ C44⁰ γ² + B γ u + ½ D u², γ = 2e, u (Å) along x."""
    energy, shear = _strained(per_atom, a), np.zeros((3, 3))
    shear[1, 2] = shear[2, 1] = e
    b = sum(s * t * energy(s * shear, t * u) for s in (1, -1) for t in (1, -1)) / (8.0 * e * u)
    d = (energy(0.0 * shear, u) + energy(0.0 * shear, -u)) / u**2
    return b**2 / d
