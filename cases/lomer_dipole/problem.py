"""The specimen: aluminium seen along [1-10], a dipole of Lomer dislocations on (001), a held rim, a load by simple shear.

u(x, y) = b/2π [ θ + xy/(2(1−ν) r²) ],   −b/2π [ (1−2ν)/(4(1−ν)) ln r² + (x²−y²)/(4(1−ν) r²) ]      one edge dislocation
dipole:   −u at X₁ = +d/2, +u at X₁ = −d/2: the upper half has slipped by b between them, the way that γ > 0 goes on slipping it
rim:      u₁ = γ X₂,  without the dipole
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from multiscale.atoms_in_mesh import AtomsInMesh
from multiscale.continuum.cauchy_born import CauchyBorn
from multiscale.continuum.net_mesh import Net, NetMesh, strip, whole
from multiscale.models import EAM
from multiscale.types import Array, BoolArray

#: Lattice constant, Å, and half the distance of the dislocations, Å, of benchmark B4.
A0, HALF = 4.032, 20.0


@dataclass(frozen=True)
class Specimen:
    """A block of crystal; benchmark B4's unless told.

    Attributes
    ----------
    columns, low, high : int
        See :class:`multiscale.continuum.net_mesh.Net`.
    half : float
        Å; half the distance of the dislocations at the start.
    """

    columns: int = 139
    low: int = -98
    high: int = 100
    half: float = HALF

    @cached_property
    def model(self) -> EAM:
        """Ercolessi and Adams."""
        return EAM.ercolessi_adams()

    @cached_property
    def net(self) -> Net:
        """The sites."""
        return Net.fcc(A0, self.columns, self.low, self.high)

    @property
    def rim(self) -> float:
        """Å; two cutoffs: forces on free atoms do not know that the block ends."""
        return 2.0 * self.model.cutoff

    @cached_property
    def law(self) -> CauchyBorn:
        """The continuum."""
        return CauchyBorn(self.model, self.net.primitive, ["Al"])

    @cached_property
    def poisson(self) -> float:
        """Isotropic: Voigt's average of the model's elastic constants."""
        C = self.law.elastic_constants()
        K = (C[:3, :3].sum()) / 9.0
        G = (np.trace(C[:3, :3]) - (C[0, 1] + C[1, 2] + C[0, 2]) + 3.0 * np.trace(C[3:, 3:])) / 15.0
        return float((3.0 * K - 2.0 * G) / (2.0 * (3.0 * K + G)))

    def free(self, m: Array, k: Array) -> BoolArray:
        """Whether sites are free to move."""
        wide, low, high = self.net.inner(self.rim)
        return (np.abs(m) <= wide) & (k >= low) & (k <= high)

    def dipole(self, X: Array) -> Array:
        """The elastic displacement (n, 3) of both dislocations at positions X (n, 3), Å."""
        left, right = (edge(X - [x, 0.0, 0.0], self.net.b, self.poisson) for x in (-self.half, self.half))
        return right - left

    def all_atoms(self) -> NetMesh:
        """The mesh of the reference solution."""
        return whole(self.net)

    def mesh(self, height: float) -> NetMesh:
        """Refined for |X₂| ≤ height, Å, and one row more on both sides, where continuum begins."""
        k = int(np.floor(height / self.net.h + 0.5))
        return strip(self.net, (-k, k + 1), self.rim)

    def within(self, mesh: NetMesh) -> AtomsInMesh:
        """The atoms in a mesh."""
        n = self.net
        return AtomsInMesh(
            mesh.mesh,
            n.positions,
            "Al",
            self.model,
            n.cell,
            (False, False, True),
            0.5 * n.b * n.h,
            n.site_volume,
            n.period,
        )


def edge(x: Array, b: float, nu: float) -> Array:
    """An edge dislocation at the origin with its cut along X₁ < 0: u₁ jumps by −b from below to above."""
    X, Y, r2 = x[:, 0], x[:, 1], x[:, 0] ** 2 + x[:, 1] ** 2
    u = np.arctan2(Y, X) + X * Y / (2.0 * (1.0 - nu) * r2)
    v = -((1.0 - 2.0 * nu) * np.log(r2) + (X**2 - Y**2) / r2) / (4.0 * (1.0 - nu))
    return b / (2.0 * np.pi) * np.stack([u, v, np.zeros(len(x))], axis=1)
