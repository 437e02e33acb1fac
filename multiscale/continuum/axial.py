"""Bodies of revolution: a plane mesh (r, z) stands for all angles θ about the axis r = 0, and nothing depends on θ.

    E = ∫ 2πr W(H) dr dz,      H = [[∂u_r/∂r, ∂u_r/∂z, 0], [∂u_z/∂r, ∂u_z/∂z, 0], [0, 0, u_r/r]]        order r, z, θ

Two things are new against plane strain, and both are local: the hoop strain u_r/r, a third diagonal entry of the displacement gradient, and
the circumference 2πr, a weight of the quadrature points. Every law that takes a gradient in space serves, if it is the same for all θ:
W(Q H Qᵀ) = W(H) for rotations Q about the axis. On the axis u_r = 0 has to be held; quadrature points never lie on it.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from ..types import Array, MultiscaleError
from .laws import Law
from .mesh import SimplexMesh

#: What a plane mesh stands for: a slab in plane strain, or a body of revolution about x = 0.
Symmetry = Literal["plane", "axial"]


def circumference(points: Array) -> Array:
    """2πr (n,) of points (n, ≥ 2), Å."""
    return 2.0 * np.pi * points[:, 0]


def check(mesh: SimplexMesh, law: Law, symmetry: str) -> None:
    """Refuse meshes and laws that are no bodies of revolution, where one is asked for."""
    if symmetry not in ("plane", "axial"):
        raise MultiscaleError(f"a mesh stands for a 'plane' or an 'axial' body, got {symmetry!r}")
    if symmetry == "plane":
        return
    low = float(mesh.points[:, 0].min())
    if mesh.dim != 2 or low < -1e-9 * float(np.abs(mesh.points).max()):
        raise MultiscaleError(
            f"a body of revolution needs a plane mesh (r, z) with r ≥ 0, got {mesh.dim} dimensions and x down to {low:.4g}; mesh half of "
            "the section, with the axis at x = 0"
        )
    H = 0.02 * np.random.default_rng(0).normal(size=(4, 3, 3))
    c, s = np.cos(0.7), np.sin(0.7)
    Q = np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])  # r and θ turn into one another, z stays
    W, turned = law.density(H), law.density(Q @ H @ Q.T)
    if np.abs(turned - W).max() > 1e-8 * np.abs(W).max():
        raise MultiscaleError(
            f"{type(law).__name__} is not the same in all directions about the axis (a turn by 0.7 rad changes W by "
            f"{np.abs(turned / W - 1.0).max():.1%}), so that its body would not stay one of revolution; give constants that are isotropic "
            "in the plane of r and θ (indices 1 and 3), or a mesh in space"
        )


def with_hoop(gradient: Array, u: Array, r: Array) -> Array:
    """Gradients in space (n, 3, 3), of plane ones (n, 2, 2) and radial displacements (n,) at radii (n,)."""
    out = np.zeros((len(gradient), 3, 3))
    out[:, :2, :2] = gradient
    out[:, 2, 2] = u / r
    return out
