"""A ridge-shaped tip on a surface: two bodies within a circle, structured meshes outside of the contact, and all atoms of the same bodies.

    substrate   y < 0,            tip   y > x²/2R,          both within r < r_out of the origin, where the tip's apex touches the surface
    meshes      r_in < r < r_out in polar cells that grow outwards; the tip's follow its profile

One period thick along z: a ridge, not a cone; what is measured is per length of it.
"""

from __future__ import annotations

import ase
import numpy as np

from multiscale import Cylinder
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

#: Å; atoms of the tip lie at least this far inside of its profile, so that chords of the mesh leave none of them out.
INSIDE = 0.25


def profile(radius: float, x: Array) -> Array:
    """Height of the tip's surface, Å."""
    return np.asarray(x) ** 2 / (2.0 * radius)


def _angle(radius: float, r: Array) -> Array:
    """Where the profile crosses circles of radius r: r sin θ = (r cos θ)²/2R."""
    s = (-radius + np.sqrt(radius**2 + r**2)) / r
    return np.asarray(np.arcsin(s))


def _polar(radii: Array, first: Array, sides: int) -> SimplexMesh:
    """Cells between the angles first(r) and π − first(r); quadratic."""
    grid = rectangle(np.arange(len(radii)), np.linspace(0.0, 1.0, sides + 1), 2)
    k = np.rint(grid.points[:, 0]).astype(int)
    theta = first[k] + grid.points[:, 1] * (np.pi - 2.0 * first[k])
    return SimplexMesh(radii[k][:, None] * np.column_stack([np.cos(theta), np.sin(theta)]), grid.cells, 2)


def _radii(r_in: float, r_out: float, h: float, most: float) -> Array:
    """From r_in to r_out in steps of h r/r_in, or ``most`` (Å) where that is less; three at least."""
    radii = [r_in]
    while radii[-1] < r_out:
        radii.append(radii[-1] + min(h * radii[-1] / r_in, most, (r_out - r_in) / 3.0))
    return r_in + (np.array(radii) - r_in) * (r_out - r_in) / (radii[-1] - r_in)


def meshes(radius: float, r_in: float, r_out: float, h: float) -> tuple[SimplexMesh, SimplexMesh]:
    """Substrate and tip, with cells from about h (Å) at r_in, growing as r, but not beyond chords that the tip's atoms stand out of."""
    sides = max(8, 2 * round(0.5 * np.pi * r_in / h))
    radii = _radii(r_in, r_out, h, np.sqrt(8.0 * radius * INSIDE))
    tip = _polar(radii, _angle(radius, radii), sides)
    # The substrate's surface reaches as far in as the tip's, seen along y.
    inner = r_in * float(np.cos(_angle(radius, np.array([r_in]))[0]))
    below = _polar(inner + (radii - r_in) * (r_out - inner) / (r_out - r_in), np.zeros(len(radii)), sides)
    return SimplexMesh(below.points * [1.0, -1.0], below.cells, 2), tip


def hybrid(
    m: CrackMaterial, radius: float, core: float, blend: float, r_out: float, h: float, law: InterfaceLaw | None
) -> HybridContact:
    """Atoms within ``core`` of the apex free, meshes beyond, and the law in the gap between their surfaces."""
    below, tip = meshes(radius, core, r_out, h)
    gap = None
    if law is not None:
        top = Surface(below, lambda X: np.abs(X[:, 1]) < 1e-6, thickness=m.a * float(m.orientation.repeats[2]))
        face = Surface(
            tip,
            lambda X: np.abs(X[:, 1] - profile(radius, X[:, 0])) < 1.0,
            thickness=m.a * float(m.orientation.repeats[2]),
        )
        gap = Gap(face, top), law
    return HybridContact(
        m, below, tip, Cylinder((0.0, 0.0, 0.0), core), blend, profile=lambda x: profile(radius, x), gap=gap, inside=INSIDE,
        # An edge's middle lies a little inside of the circle.
        held=lambda X: np.hypot(X[:, 0], X[:, 1]) > 0.98 * r_out,
    )  # fmt: skip


def all_atoms(m: CrackMaterial, radius: float, r_out: float) -> tuple[Interface, BoolArray]:
    """Every atom of both bodies, and two reaches of held ones outside of the circle; and which belong to the tip."""
    rim = r_out + 2.0 * m.model.cutoff * m.model.layers
    c = patch(m.orientation, m.a, (-rim, rim), (-rim, rim))
    inside = (np.hypot(*c.positions[:, :2].T) < rim) & filled(
        c.positions - [0.0, INSIDE, 0.0], lambda x: profile(radius, x)
    )
    X = c.positions[inside]
    atoms = ase.Atoms([m.symbol] * len(X), X, cell=[0, 0, c.period], pbc=(False, False, True))
    fixed = np.hypot(X[:, 0], X[:, 1]) > r_out
    return Interface(X, {"atoms": MLRegion(m.model, atoms)}, Everything("atoms"), fixed=fixed), X[:, 1] > 0
