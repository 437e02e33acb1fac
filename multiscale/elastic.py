"""Elastic constants, inner shifts and lattice constants of a crystal described by a region.

    C_ij = dσ_i/dε_j at ε = 0,      σ = (1/V) dE/dε,      V dσ/dε with the atoms either moved affinely (unrelaxed) or
    relaxed within the strained cell (relaxed):      x_b(ε) = (1 + ε) x_b + Z_b : ε + O(ε²)

Strains act on row vectors from the right, x → x (1 + ε), cell → cell (1 + ε). Voigt order is xx, yy, zz, yz, xz, xy
with engineering shear γ_yz = 2ε_yz.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq, minimize_scalar

from .region import Can, Query, Region
from .types import GPA_PER_EV_A3, Array, MultiscaleError

#: A region for a given cell (3, 3), Å; ``MLRegion.with_cell`` is one.
RegionOf = Callable[[Array], Region]

VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


@dataclass(frozen=True)
class Elastic:
    """What :func:`elastic_constants` measures.

    Attributes
    ----------
    relaxed, unrelaxed : (6, 6) array
        GPa, Voigt, with and without inner relaxation.
    inner_shift : (n_basis, 3, 3, 3) array
        Å; Z_b[a, j, k], symmetric in j, k: atom b moves by Σ_jk Z_b[a, j, k] ε_jk beyond the affine motion. Therefore
        Z_b[a, 1, 2] = ∂x_a/∂γ_yz. The mean over b is zero: only differences between atoms mean anything.
    stress : (3, 3) array
        GPa, of the reference state; the constants are those of an unstressed crystal only if it is negligible.
    positions : (n_basis, 3) array
        Å, the relaxed reference positions.
    """

    relaxed: Array
    unrelaxed: Array
    inner_shift: Array
    stress: Array
    positions: Array


def elastic_constants(region_of: RegionOf, x: Array, cell: ArrayLike, *, step: float = 1e-4) -> Elastic:
    """Elastic constants and inner shifts by central differences of the stress.

    Parameters
    ----------
    region_of : callable
        cell (3, 3) → Region with STRESS and FORCES, and STIFFNESS or HVP; ``MLRegion(...).with_cell``.
    x : (n_basis, 3) array
        Å; atoms of one cell, relaxed first within it.
    cell : (3, 3) array
        Å, of the crystal at its equilibrium lattice constant.
    step : float
        Strain of the central differences.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from multiscale.models import StillingerWeber
    >>> from multiscale.regions.ml import MLRegion
    >>> silicon = MLRegion(StillingerWeber(), bulk("Si", a=5.43095))
    >>> C = elastic_constants(silicon.with_cell, silicon.reference, silicon.cell)
    >>> [round(float(c)) for c in (C.relaxed[0, 0], C.relaxed[0, 1], C.relaxed[3, 3], C.unrelaxed[3, 3])]
    [151, 76, 56, 110]
    """
    cell = np.asarray(cell, dtype=float)
    x0: Array = relax_basis(region_of(cell), np.asarray(x, dtype=float))
    relaxed, unrelaxed, shift = np.zeros((6, 6)), np.zeros((6, 6)), np.zeros((len(x0), 3, 3, 3))
    for column, (j, k) in enumerate(VOIGT):
        strain = np.zeros((3, 3))
        # ε_jk = ε_kj = γ/2 for shear, so that the column belongs to a unit of engineering strain.
        strain[j, k] += 0.5 * step
        strain[k, j] += 0.5 * step
        ends = []
        for sign in (1.0, -1.0):
            deform = np.eye(3) + sign * strain
            box, affine = np.dot(cell, deform), np.dot(x0, deform)
            region = region_of(box)
            inner = relax_basis(region, affine)
            ends.append((cauchy(region, affine, box), cauchy(region, inner, box), inner - affine))
        plus, minus = ends
        unrelaxed[:, column] = (plus[0] - minus[0]) / (2.0 * step)
        relaxed[:, column] = (plus[1] - minus[1]) / (2.0 * step)
        moved = (plus[2] - minus[2]) / (2.0 * step)
        shift[:, :, j, k] = shift[:, :, k, j] = moved - moved.mean(axis=0)
    sigma = cauchy(region_of(cell), x0, cell)
    full = sigma[[[0, 5, 4], [5, 1, 3], [4, 3, 2]]]
    return Elastic(0.5 * (relaxed + relaxed.T), 0.5 * (unrelaxed + unrelaxed.T), shift, full, x0)


def cauchy(region: Region, x: Array, cell: Array) -> Array:
    """Cauchy stress (6,), GPa, Voigt: the virial per current volume."""
    virial = region.evaluate(x, Query(Can.STRESS)).stress
    if virial is None:
        raise MultiscaleError(f"{region.describe()} returned no stress; elastic constants need a region with STRESS")
    sigma = virial / abs(np.linalg.det(cell)) * GPA_PER_EV_A3
    return np.array([sigma[j, k] for j, k in VOIGT])


def relax_basis(region: Region, x: Array, *, tolerance: float = 1e-9, max_steps: int = 30) -> Array:
    """Relax the atoms of a cell by Newton's method, eV/Å tolerance on the largest force; the mean position stays.

    Raises
    ------
    MultiscaleError
        If it does not converge, or if the start is not near a minimum (Newton steps of more than 0.5 Å).
    """
    for _ in range(max_steps):
        forces = forces_of(region, x)
        # The sum of forces is round-off; it must not move the crystal as a whole.
        forces = forces - forces.mean(axis=0)
        if np.abs(forces).max(initial=0.0) < tolerance:
            return x
        # The pseudo-inverse leaves out rigid translations, the only zero modes of a stable crystal.
        move = (np.linalg.pinv(hessian(region, x), rcond=1e-7, hermitian=True) @ forces.ravel()).reshape(x.shape)
        if np.abs(move).max() > 0.5:
            break
        x = x + move
    raise MultiscaleError(
        f"The basis of {region.describe()} did not relax (largest force {np.abs(forces).max():.2g} eV/Å); start "
        "closer to the "
        "minimum or check that the crystal is stable at this lattice constant"
    )


def forces_of(region: Region, x: Array) -> Array:
    """Forces (n, 3), eV/Å, of a region evaluated by this process alone."""
    forces = region.evaluate(x, Query(Can.FORCES)).forces
    if forces is None:
        raise MultiscaleError(f"{region.describe()} returned no forces; relaxation needs a region with FORCES")
    return forces


def hessian(region: Region, x: Array) -> Array:
    """Dense Hessian (3n, 3n), eV/Å², from STIFFNESS or, column by column, from HVP."""
    n = region.n_dofs
    if Can.STIFFNESS in region.can:
        h = np.asarray(region.stiffness(x).toarray())
    elif Can.HVP in region.can:
        h = np.empty((3 * n, 3 * n))
        for column, direction in enumerate(np.eye(3 * n).reshape(-1, n, 3)):
            h[:, column] = np.asarray(region.evaluate(x, Query(Can.HVP, vector=direction)).hvp).ravel()
    else:
        raise MultiscaleError(
            f"{region.describe()} offers {region.can.names()}; inner relaxation needs STIFFNESS or HVP"
        )
    return 0.5 * (h + h.T)


def full_tensor(C: ArrayLike) -> Array:
    """The tensor (3, 3, 3, 3) of a Voigt stiffness (6, 6)."""
    voigt = np.asarray(C, dtype=float)
    index = np.array([[0, 5, 4], [5, 1, 3], [4, 3, 2]])
    tensor: Array = voigt[index[:, :, None, None], index[None, None, :, :]]
    return tensor


def rotate_stiffness(C: ArrayLike, R: ArrayLike) -> Array:
    """Voigt stiffness (6, 6) in other axes: C'_ijkl = R_ip R_jq R_kr R_ls C_pqrs.

    Parameters
    ----------
    C : (6, 6) array
        Stiffness in the old axes.
    R : (3, 3) array
        Rotation whose rows are the new axes in the old ones.

    Examples
    --------
    >>> C = np.diag([3.0, 3, 3, 1, 1, 1]) + np.pad(np.ones((3, 3)) - np.eye(3), (0, 3))
    >>> bool(np.allclose(rotate_stiffness(C, [[0, 1, 0], [-1, 0, 0], [0, 0, 1]]), C))
    True
    """
    r = np.asarray(R, dtype=float)
    if r.shape != (3, 3) or not np.allclose(r @ r.T, np.eye(3), atol=1e-8):
        raise MultiscaleError(
            f"rotate_stiffness was given R = {r.tolist()}; it needs an orthogonal (3, 3) matrix, new axes as rows"
        )
    tensor = np.einsum("ip,jq,kr,ls,pqrs->ijkl", r, r, r, r, full_tensor(C), optimize=True)
    return np.array([[tensor[j, k, m, n] for m, n in VOIGT] for j, k in VOIGT])


def bulk_modulus(C: ArrayLike) -> float:
    """Bulk modulus, in the units of C, from uniform compression (Voigt's; exact for cubic crystals)."""
    return float(np.asarray(C, dtype=float)[:3, :3].sum() / 9.0)


def lattice_constant(region_of: RegionOf, x: Array, cell: ArrayLike, a: float, *, within: float = 0.08) -> float:
    """Equilibrium lattice constant, Å, of a cubic crystal: the scale of lowest energy at fixed fractional coordinates.

    Parameters
    ----------
    region_of : callable
        cell (3, 3) → Region; with STRESS the zero of the pressure is found, else the minimum of the energy.
    x : (n_basis, 3) array
        Å; atoms of one cell.
    cell : (3, 3) array
        Å, cell to scale.
    a : float
        Å; the lattice constant that ``x`` and ``cell`` stand for.
    within : float
        Search between (1 − within)·a and (1 + within)·a.
    """
    x, cell = np.asarray(x, dtype=float), np.asarray(cell, dtype=float)

    def pressure(s: float) -> float:
        return float(np.trace(np.asarray(region_of(cell * s).evaluate(x * s, Query(Can.STRESS)).stress)))

    def energy(s: float) -> float:
        return float(region_of(cell * s).evaluate(x * s, Query(Can.ENERGY)).energy or 0.0)

    low, high = 1.0 - within, 1.0 + within
    if Can.STRESS in region_of(cell).can:
        if pressure(low) >= 0.0 or pressure(high) <= 0.0:
            raise MultiscaleError(
                f"No equilibrium lattice constant within {within:.0%} of {a} Å; start from a better one"
            )
        return a * float(brentq(pressure, low, high, xtol=1e-12))
    found = minimize_scalar(energy, bounds=(low, high), method="bounded", options={"xatol": 1e-6})
    if min(found.x - low, high - found.x) < 1e-4:
        raise MultiscaleError(f"No equilibrium lattice constant within {within:.0%} of {a} Å; start from a better one")
    return a * float(found.x)
