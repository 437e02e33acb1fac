"""A tip on a surface: two bodies about their contact, structured meshes outside of it, and all atoms of the same bodies.

    substrate   y < 0,            tip   y > ρ²/2R,          both within r < r_out of the origin, where the tip's apex touches the surface
    meshes      r_in < r < r_out in cells that grow outwards; the tip's follow its profile

Round: a paraboloid of revolution in space, ρ² = x² + z². Otherwise a ridge, ρ = x, one period thick along z, whose numbers are per length.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ase
import numpy as np
from hemisphere import half_shell

from multiscale import Cylinder, Sphere
from multiscale.adhesion.hybrid import HybridContact, filled
from multiscale.adhesion.law import InterfaceLaw
from multiscale.continuum.gap import Gap
from multiscale.continuum.graded import rectangle
from multiscale.continuum.mesh import SimplexMesh
from multiscale.continuum.surface import Surface
from multiscale.fracture.lattice import patch
from multiscale.fracture.material import CrackMaterial
from multiscale.interface import Interface
from multiscale.regions.ml import MLRegion
from multiscale.sharing import Everything
from multiscale.types import Array, BoolArray


@dataclass(frozen=True)
class Tip:
    """A tip and the surface under it.

    Parameters
    ----------
    radius : float
        R, Å.
    core, circle : float
        r_in and r_out, Å.
    cell : float
        Å; size of the cells at r_in.
    round : bool
    """

    radius: float
    core: float
    circle: float
    cell: float
    round: bool = False

    @property
    def inside(self) -> float:
        """Å; atoms of the tip lie at least this far inside of its profile, so that chords of the mesh leave none of them out."""
        return 0.5 if self.round else 0.25

    @property
    def dim(self) -> int:
        """Of the meshes."""
        return 3 if self.round else 2

    def profile(self, X: Array) -> Array:
        """Height (n,) of the tip's surface over X (n, 3), Å."""
        return self.away(X * [1.0, 0.0, 1.0]) ** 2 / (2.0 * self.radius)

    def away(self, X: Array) -> Array:
        """Distance (n,) from the apex, a point or a line, Å."""
        return np.asarray(np.linalg.norm(X if self.round else X[:, :2], axis=1))

    # -- meshes -------------------------------------------------------------------------------------------------

    def meshes(self) -> tuple[SimplexMesh, SimplexMesh]:
        """Substrate and tip."""
        radii, r_in, r_out = self._radii(), self.core, self.circle
        tip = self._shell(radii, _angle(self.radius, radii))
        # The substrate's surface reaches as far in as the tip's, seen along y.
        inner = r_in * float(np.cos(_angle(self.radius, radii[:1])[0]))
        below = self._shell(inner + (radii - r_in) * (r_out - inner) / (r_out - r_in), np.zeros(len(radii)))
        mirror = np.array([1.0, -1.0, 1.0])[: self.dim]
        return SimplexMesh(below.points * mirror, below.cells, 2), tip

    def _radii(self) -> Array:
        """From r_in to r_out in steps of cell·r/r_in, or less where chords would leave atoms out; three at least."""
        most, radii = np.sqrt(8.0 * self.radius * self.inside), [self.core]
        while radii[-1] < self.circle:
            radii.append(radii[-1] + min(self.cell * radii[-1] / self.core, most, (self.circle - self.core) / 3.0))
        return self.core + (np.array(radii) - self.core) * (self.circle - self.core) / (radii[-1] - self.core)

    def _shell(self, radii: Array, first: Array) -> SimplexMesh:
        """Cells at elevations from first(r) up to the pole; quadratic."""
        if self.round:
            rings = max(4, round(0.5 * np.pi * self.core / self.cell))
            k, polar, azimuth, cells = half_shell(len(radii) - 1, rings)
            angle = polar * (0.5 * np.pi - first[k])
            across = np.sin(angle)
            way = np.column_stack([across * np.cos(azimuth), np.cos(angle), across * np.sin(azimuth)])
            return SimplexMesh(radii[k][:, None] * way, cells, 2)
        sides = max(8, 2 * round(0.5 * np.pi * self.core / self.cell))
        grid = rectangle(np.arange(len(radii)), np.linspace(0.0, 1.0, sides + 1), 2)
        k = np.rint(grid.points[:, 0]).astype(int)
        theta = first[k] + grid.points[:, 1] * (np.pi - 2.0 * first[k])
        return SimplexMesh(radii[k][:, None] * np.column_stack([np.cos(theta), np.sin(theta)]), grid.cells, 2)

    # -- systems ------------------------------------------------------------------------------------------------

    def hybrid(self, m: CrackMaterial, blend: float, law: InterfaceLaw | None, linear: bool = True) -> HybridContact:
        """Atoms within the core free, meshes beyond (linear, or the crystal's own law), and the law in the gap between their surfaces."""
        below, tip = self.meshes()
        how: dict[str, Any] = {"axis": 1, "thickness": 1.0 if self.round else m.a * float(m.orientation.repeats[2])}
        gap = None
        if law is not None:
            top = Surface(below, lambda X: np.abs(X[:, 1]) < 1e-6, **how)
            face = Surface(tip, self._on_profile, **how)
            gap = Gap(face, top), law
        core: Any = Sphere((0.0, 0.0, 0.0), self.core) if self.round else Cylinder((0.0, 0.0, 0.0), self.core)
        return HybridContact(
            m, below, tip, core, blend, profile=self.profile, gap=gap, inside=self.inside,
            continuum=None if linear else m.cauchy_born(),
            # The middles of edges and faces lie a little inside of the circle.
            held=lambda X: self.away(X) > 0.97 * self.circle,
        )  # fmt: skip

    def _on_profile(self, X: Array) -> BoolArray:
        # Middles of facets: chords lie above the profile by less than their sag, other facets far from it or upright.
        sag = 0.25 * float(np.diff(self._radii()).max()) ** 2 / self.radius
        return np.asarray(np.abs(X[:, 1] - self.profile(X)) < min(1.0, sag + 0.1) + 0.02 * self.away(X))

    def all_atoms(self, m: CrackMaterial) -> tuple[Interface, BoolArray]:
        """Every atom of both bodies, and two reaches of held ones outside of the circle; and which belong to the tip."""
        rim = self.circle + 2.0 * m.model.cutoff * m.model.layers
        c = patch(m.orientation, m.a, (-rim, rim), (-rim, rim), None, (-rim, rim) if self.round else None)
        inside = (self.away(c.positions) < rim) & filled(c.positions - [0.0, self.inside, 0.0], self.profile)
        X = c.positions[inside]
        periodic = not self.round
        atoms = ase.Atoms(
            [m.symbol] * len(X), X, cell=[0, 0, c.period if periodic else 0.0], pbc=(False, False, periodic)
        )
        fixed = self.away(X) > self.circle
        return Interface(X, {"atoms": MLRegion(m.model, atoms)}, Everything("atoms"), fixed=fixed), X[:, 1] > 0


def _angle(radius: float, r: Array) -> Array:
    """Elevation where the profile crosses circles of radius r: r sin θ = (r cos θ)²/2R."""
    s = (-radius + np.sqrt(radius**2 + r**2)) / r
    return np.asarray(np.arcsin(s))
