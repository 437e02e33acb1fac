"""Rescaling a quantum method to the bulk phase of the model around it: E'(x) = c_E E(c_L x).

    c_L = a_QM/a,      c_E = B/(c_L³ B_QM)

with a, B the lattice constant and bulk modulus that the surroundings have. a_QM and B_QM are those of capped
clusters, since that is what a QM region is. In a uniformly scaled cluster (caps moved along) the energy is, to good
accuracy, additive over bonds, E = n_b e_b(a) + n_h e_h(a), and two clusters of different size with n_h caps and n_b
bonds give the crystal's 2 e_b(a) per atom:

    e_b = [E_2 − (h_2/h_1) E_1] / [b_2 − b_1 h_2/h_1]
"""

from __future__ import annotations

from collections.abc import Callable
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

#: A cluster ready to be calculated, and its formula.
Capped = tuple[QMRegion, Cluster, str]


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
    small, large = (_cluster(a, symbol, n, calculator, cap, cap_bond, settings) for n in hops)
    per_atom = _bond_energy(small, large)
    scales = 1.0 + np.array([-0.02, 0.0, 0.02, 0.04])
    polynomial = np.polynomial.Polynomial.fit(scales, [per_atom(s * np.eye(3)) for s in scales], 3)
    c_length = _minimum(polynomial)
    # Around the first estimate, a symmetric set of points fixes curvature and minimum to fourth order.
    scales = c_length * (1.0 + np.array([-0.02, -0.01, 0.0, 0.01, 0.02]))
    energies = np.array([per_atom(s * np.eye(3)) for s in scales])
    polynomial = np.polynomial.Polynomial.fit(scales, energies, 4)
    c_length = _minimum(polynomial)
    volume = (c_length * a) ** 3 / 8.0
    b_qm = float(polynomial.deriv(2)(c_length)) * c_length**2 / (9.0 * volume) * GPA_PER_EV_A3
    tetragonal, shear = _shear_moduli(per_atom, c_length, volume)
    c_energy = bulk_modulus / (c_length**3 * b_qm)
    factor = c_energy * c_length**3
    c = np.full((6, 6), np.nan) if stiffness is None else np.asarray(stiffness, dtype=float)
    return Rescaling(
        c_length, c_energy, c_length * a, b_qm, tetragonal, shear,
        (factor * b_qm, factor * tetragonal, factor * shear),
        (bulk_modulus, float(c[0, 0] - c[0, 1]) / 2.0, float(c[3, 3])),
        (small[2], large[2]),
    )  # fmt: skip


def _cluster(
    a: float, symbol: str, hops: int, calculator: Any, cap: str, cap_bond: float, settings: dict[str, Any]
) -> Capped:
    """A capped cluster about one atom of the diamond structure, ready to be calculated."""
    crystal, cell = a * DIAMOND, a * np.eye(3)
    bond = 1.2 * a * np.sqrt(3.0) / 4.0
    settings_of_cut = {"bond_length": bond, "cap": cap, "cap_bond": cap_bond}
    cluster = carve([symbol] * 8, crystal, cell, True, [0], hops=hops, images=True, **settings_of_cut)
    atoms = ase.Atoms(cluster.all_symbols, cluster.positions(crystal, cell))
    return QMRegion(atoms, calculator, link_atoms=cluster.link_atoms, **settings), cluster, str(atoms.symbols)


def _bond_energy(small: Capped, large: Capped) -> Callable[[Array], float]:
    """The function deformation (3, 3) → crystal energy per atom, eV, up to a constant."""
    caps = [len(cluster.links) for _, cluster, _ in (small, large)]
    bonds = [(4 * len(cluster.symbols) - h) / 2 for (_, cluster, _), h in zip((small, large), caps, strict=True)]
    ratio = caps[1] / caps[0]
    if bonds[1] - ratio * bonds[0] < 1.0:
        raise MultiscaleError(
            "tune_rescaling was given clusters too alike to tell bonds from caps; use two different hops, smaller first"
        )

    def per_atom(deform: Array) -> float:
        e = [float(r.evaluate(r.reference @ deform, Query(Can.ENERGY)).energy or 0.0) for r, _, _ in (small, large)]
        return 2.0 * (e[1] - ratio * e[0]) / (bonds[1] - ratio * bonds[0])

    return per_atom


def _minimum(polynomial: np.polynomial.Polynomial) -> float:
    """The scale of lowest energy, between 0.94 and 1.06."""
    roots = np.asarray(polynomial.deriv().roots())
    real = roots[np.abs(roots.imag) < 1e-9].real
    found = [float(s) for s in real if 0.94 < s < 1.06 and polynomial.deriv(2)(s) > 0.0]
    if not found:
        raise MultiscaleError(
            "tune_rescaling found no equilibrium within 6 % of the given lattice constant; check the element, the "
            "link atoms and the "
            "calculator"
        )
    return min(found, key=lambda s: float(polynomial(s)))


def _shear_moduli(
    per_atom: Callable[[Array], float], scale: float, volume: float, e: float = 0.02
) -> tuple[float, float]:
    """C' and unrelaxed C44, GPa, from U = 3/2 C' e² (tetragonal, trace-free) and U = 2 C44 e² (ε_yz = ε_zy = e)."""
    tetragonal, shear = np.diag([e, -0.5 * e, -0.5 * e]), np.zeros((3, 3))
    shear[1, 2] = shear[2, 1] = e
    zero = per_atom(scale * np.eye(3))

    def curvature(strain: Array) -> float:
        ends = (per_atom(scale * (np.eye(3) + sign * strain)) for sign in (1.0, -1.0))
        return (sum(ends) - 2.0 * zero) / (2.0 * volume) * GPA_PER_EV_A3

    return curvature(tetragonal) / (1.5 * e**2), curvature(shear) / (2.0 * e**2)
