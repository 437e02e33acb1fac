"""Traction and energy of an interface against rigid separation and sliding, by any region of atoms: a potential or a quantum engine.

    φ(δ) = [E(δ) − E(0)]/A,     T(δ) = dφ/dδ = −Σ_{i in the upper body} F_i/A        δ = (normal, x, z), Å

Energies and tractions are asked for together: the first is the second's integral, which :attr:`Separation.closure` checks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.interpolate import CubicSpline

from ..region import Answer, Can, Query, Region
from ..types import GPA_PER_EV_A3, J_M2_PER_EV_A2, Array, MultiscaleError
from .slabs import Slabs


@dataclass(frozen=True, eq=False)
class Separation:
    """What was measured.

    Attributes
    ----------
    opening : (n,) array
        Ascending, Å.
    energy : (n,) array
        φ, eV/Å², zero where closed.
    traction : (n, 3) array
        Normal, along x and along z, eV/Å³.
    work : float
        W = [E(body 0) + E(body 1) − E(closed)]/A, eV/Å².
    """

    opening: Array
    energy: Array
    traction: Array
    work: float

    @property
    def strength(self) -> float:
        """Largest normal traction of the table, eV/Å³; :class:`~multiscale.adhesion.curve.MeasuredCurve` finds the spline's."""
        return float(self.traction[:, 0].max())

    @property
    def closure(self) -> float:
        """(∫T dδ − [φ(last) − φ(first)])/W by the cubic spline through T; round-off and the table's spacing, nothing else."""
        x, t = self.opening, self.traction[:, 0]
        integral = CubicSpline(x, t).integrate(x[0], x[-1])
        return float((integral - (self.energy[-1] - self.energy[0])) / self.work)

    def report(self) -> dict[str, float]:
        """W in J/m², strength in GPa, where it is, and stiffness at the closed interface in GPa/Å."""
        t = self.traction[:, 0]
        k = int(np.argmax(t))
        return {
            "work": self.work * J_M2_PER_EV_A2,
            "strength": float(t[k]) * GPA_PER_EV_A3,
            "opening at strength": float(self.opening[k]),
            "stiffness": float(np.gradient(t, self.opening)[np.argmin(np.abs(self.opening))]) * GPA_PER_EV_A3,
        }


def separate(
    region: Region,
    slabs: Slabs,
    openings: ArrayLike,
    sliding: tuple[float, float] = (0.0, 0.0),
    apart: float | None = None,
) -> Separation:
    """Move the upper slab rigidly and ask the region for energy and forces.

    Parameters
    ----------
    region : Region
        Over the slabs' atoms, unmasked.
    slabs : Slabs
    openings : (n,) array
        Ascending, Å; 0 need not be among them.
    sliding : (2,) float
        Å along x and z, at all openings.
    apart : float, optional
        Energy of the two bodies without each other, eV. Unless given, that at an opening of the region's reach: a region of infinite
        reach (a quantum engine) needs it, or is asked at the last opening, which must then be far.

    Raises
    ------
    MultiscaleError
        If the region has not the slabs' atoms, or is periodic along the normal.
    """
    delta = np.asarray(openings, dtype=float)
    if delta.ndim != 1 or len(delta) < 2 or (np.diff(delta) <= 0).any():
        raise MultiscaleError(f"openings ascend, two or more of them; got {delta[:5]} …")
    if region.n_dofs != len(slabs.atoms):
        raise MultiscaleError(
            f"the region has {region.n_dofs} atoms and the slabs {len(slabs.atoms)}; make it of slabs.atoms"
        )
    pbc = getattr(region, "pbc", np.zeros(3, bool))
    if pbc[1]:
        raise MultiscaleError(
            "the region is periodic along the interface's normal, where the other ends of the slabs would meet; make axis 1 open"
        )

    def ask(opening: float, side: tuple[float, float]) -> Answer:
        return region.evaluate(slabs.opened(opening, side), Query(Can.ENERGY | Can.FORCES))

    found = [ask(d, sliding) for d in delta.tolist()]
    closed = float(ask(0.0, (0.0, 0.0))["energy"])
    if apart is None:
        far = float(np.ptp(slabs.atoms.positions[:, 1])) + region.reach
        apart = float(ask(far, (0.0, 0.0))["energy"]) if np.isfinite(region.reach) else float(found[-1]["energy"])
    forces = np.array([a["forces"][slabs.upper].sum(axis=0) for a in found])
    energy = np.array([float(a["energy"]) for a in found]) - closed
    return Separation(
        delta, energy / slabs.area, -forces[:, [1, 0, 2]] / slabs.area, (float(apart) - closed) / slabs.area
    )


def gamma_surface(
    region: Region, slabs: Slabs, shape: Sequence[int], lattice: ArrayLike, opening: float = 0.0
) -> Array:
    """φ on a grid of sliding vectors over one cell of the interface's translations, eV/Å².

    Parameters
    ----------
    region, slabs
        As for :func:`separate`.
    shape : (2,) int
        Points along the two translations.
    lattice : (2, 2) array
        Å; translations along (x, z), as rows, that leave the closed interface as it is.
    opening : float
        Å.

    Returns
    -------
    (n1, n2) array
        Relative to the closed interface without sliding.

    Raises
    ------
    MultiscaleError
        If a row of ``lattice`` is no translation of the interface: energies there differ by more than 1e-6 eV/Å².
    """
    cell = np.array(lattice, dtype=float).reshape(2, 2)

    def energy(s: Array) -> float:
        x = slabs.opened(opening, (float(s[0]), float(s[1])))
        return float(region.evaluate(x, Query(Can.ENERGY))["energy"]) / slabs.area

    start = energy(np.zeros(2))
    for row in cell:
        off = abs(energy(row) - start)
        if off > 1e-6:
            raise MultiscaleError(
                f"sliding by {row.tolist()} Å changes the energy by {off:.3g} eV/Å²: it is no translation of the interface; give those of "
                "its surface lattice"
            )
    closed = float(region.evaluate(slabs.opened(0.0), Query(Can.ENERGY))["energy"]) / slabs.area
    steps = [np.arange(n) / n for n in shape]
    return np.array([[energy(np.array([u, v]) @ cell) - closed for v in steps[1]] for u in steps[0]])
