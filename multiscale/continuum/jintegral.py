"""Domain form of the J integral over rings around a crack tip, in the reference configuration.

    J = ∫ (P_iJ ∂u_i/∂X − W δ_1J) ∂q/∂X_J dX,      q = 1 inside r₁, 0 outside r₂

with growth along +x, traction-free faces parallel to x and no body force. P is the first Piola–Kirchhoff stress, so
that the same line serves linear and hyperelastic laws.

References: Li, Shih & Needleman, Eng. Fract. Mech. 21 (1985) 405, DOI 10.1016/0013-7944(85)90029-3.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..types import J_M2_PER_EV_A2, Array, MultiscaleError
from .laws import Law
from .mesh import SimplexMesh
from .rings import Ring


def j_integral(
    mesh: SimplexMesh,
    law: Law,
    x: Array,
    rings: Sequence[tuple[float, float]],
    tip: tuple[float, float] = (0.0, 0.0),
) -> Array:
    """J of the state ``x`` in every ring, J/m².

    Parameters
    ----------
    mesh, law
        Those of the continuum region; the mesh is plane.
    x : (n_nodes, 3) array
        Current positions, Å.
    rings : pairs of float
        Inner and outer radius r₁ < r₂ of each ring about the tip, Å. Rings lie where the continuum has full weight.
    tip : pair of float
        x, y of the crack tip in the reference configuration, Å.

    Returns
    -------
    (n_rings,) array
        Equal in all rings, up to discretisation, if the field is in equilibrium.
    """
    if mesh.dim != 2 or np.shape(x) != mesh.nodes.shape:
        raise MultiscaleError(
            f"the J integral needs a plane mesh and positions of shape {mesh.nodes.shape}, got {mesh.dim} dimensions "
            f"and {np.shape(x)}"
        )
    u = (np.asarray(x) - mesh.nodes)[:, :2]
    out = [_ring(mesh, law, u, Ring.of(mesh, r1, r2, tip)) for r1, r2 in rings]
    return np.array(out) * J_M2_PER_EV_A2


def _ring(mesh: SimplexMesh, law: Law, u: Array, ring: Ring) -> float:
    H = ring.gradient(mesh, u)
    flux = np.einsum("niJ,ni->nJ", law.stress(H)[:, :2, :2], H[:, :, 0])
    flux[:, 0] -= law.density(H)
    return float(ring.area @ (flux * ring.grad_q).sum(axis=1))
