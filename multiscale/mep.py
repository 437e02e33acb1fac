"""Is it a minimum-energy path? What a relaxed band must satisfy on and between its images.

    perpendicular force     F⊥ = F − (F·t) t → 0 at the images, and no jump between them
    work                    E_b − E_a = −∫_a^b F·dq       (a jump of the energy breaks it, however small the forces)
    curvature               second differences of E along the path equal differences of −F·t

A change of membership of a quantum region in the middle of a path, a force that is not the gradient of the energy, or a band
that stopped early each break one of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline

from .model import HybridModel
from .neb import Path, energy_of
from .types import Array


@dataclass(frozen=True)
class MepCheck:
    """What :func:`check_mep` measures, on the images and the points midway between them along a spline.

    Attributes
    ----------
    arc : (m,) array
        Length of the path, Å, at images and midpoints in turn.
    energies, along : (m,) arrays
        eV, and the force along the path F·t, eV/Å.
    across : (m,) array
        eV/Å; the largest perpendicular force on one dof.
    perpendicular : float
        eV/Å; the largest at the inner images.
    jump : float
        eV/Å; by how much the perpendicular force midway differs, at most, from the mean of its neighbours'.
    work : float
        eV; the largest difference, over intervals, between the energy gained and the work done against the force.
    curvature : float
        eV/Å²; the largest difference between second differences of the energy and differences of the force along the path.
    """

    arc: Array
    energies: Array
    along: Array
    across: Array
    perpendicular: float
    jump: float
    work: float
    curvature: float

    @property
    def stiffness(self) -> float:
        """The largest curvature of the energy along the path, eV/Å², to compare :attr:`curvature` with."""
        return float(np.abs(np.diff(self.along) / np.diff(self.arc)).max())


def check_mep(model: HybridModel, path: Path) -> MepCheck:
    """Examine a path; evaluates the model at the images and midway between them; collective.

    Parameters
    ----------
    model : HybridModel
    path : Path
        As :func:`multiscale.neb.neb` gives it; at least 3 images.
    """
    s = path.arc
    spline = CubicSpline(s, path.images.reshape(len(s), -1))
    arc = np.sort(np.concatenate([s, 0.5 * (s[:-1] + s[1:])]))
    states = spline(arc).reshape(-1, *path.images.shape[1:])
    found = [model.evaluate(q) for q in states]
    energies = np.array([energy_of(e) for e in found])
    forces = np.where(model.interface.fixed, 0.0, np.array([e.forces for e in found]))
    slope = spline(arc, 1)
    flat = forces.reshape(len(arc), -1)
    tangent = slope / np.linalg.norm(slope, axis=1)[:, None]
    along = np.einsum("ij,ij->i", flat, tangent)
    normal = (flat - along[:, None] * tangent).reshape(forces.shape)
    across = np.linalg.norm(normal, axis=2).max(axis=1)
    gap = normal[1:-1:2] - 0.5 * (normal[:-2:2] + normal[2::2])
    return MepCheck(
        arc, energies, along, across,
        perpendicular=float(across[2:-2:2].max(initial=0.0)),
        jump=float(np.linalg.norm(gap, axis=2).max()),
        work=_work(flat, slope, arc, energies),
        curvature=_curvature(arc, energies, along),
    )  # fmt: skip


def _work(flat: Array, slope: Array, arc: Array, energies: Array) -> float:
    """Simpson's rule over every interval (image, midpoint, image) against the energies."""
    power = np.einsum("ij,ij->i", flat, slope)
    width = arc[2::2] - arc[:-2:2]
    work = width / 6.0 * (power[:-2:2] + 4.0 * power[1:-1:2] + power[2::2])
    return float(np.abs(energies[2::2] - energies[:-2:2] + work).max())


def _curvature(arc: Array, energies: Array, along: Array) -> float:
    """Second differences of the energy against first differences of the force, at the midpoints of intervals."""
    h = 0.5 * (arc[2::2] - arc[:-2:2])
    by_energy = (energies[2::2] - 2.0 * energies[1:-1:2] + energies[:-2:2]) / h**2
    by_force = -(along[2::2] - along[:-2:2]) / (2.0 * h)
    return float(np.abs(by_energy - by_force).max())
