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
from .reference import rule


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
    far = np.linalg.norm(mesh.points - np.asarray(tip), axis=1)
    out = [_ring(mesh, law, u, far, r1, r2, np.asarray(tip, dtype=float)) for r1, r2 in rings]
    return np.array(out) * J_M2_PER_EV_A2


def _ring(mesh: SimplexMesh, law: Law, u: Array, far: Array, r1: float, r2: float, tip: Array) -> float:
    if not 0 <= r1 < r2 <= far.max() * (1 + 1e-9):
        raise MultiscaleError(f"a ring needs 0 ≤ r₁ < r₂ ≤ {far.max():.4g} Å (the mesh's edge), got {r1} and {r2} Å")
    radius = far[mesh.cells]
    near = np.flatnonzero((radius.max(axis=1) > r1) & (radius.min(axis=1) - mesh.h < r2))
    lam, w = rule(2, 4)
    cell, lam = np.repeat(near, len(w)), np.tile(lam, (len(near), 1))
    v = np.outer(mesh.volumes[near], w).ravel()
    H = np.stack([g @ u for g in mesh.gradient_in(cell, lam)], axis=2)
    d = np.einsum("nk,nkd->nd", lam, mesh.points[mesh.cells[cell]]) - tip
    r = np.linalg.norm(d, axis=1)
    t = np.clip((r - r1) / (r2 - r1), 0.0, 1.0)
    # A smooth q: q = 1 − t²(3 − 2t), so that points at the ring's edges carry little.
    grad_q = (-6.0 * t * (1.0 - t) / (r2 - r1))[:, None] * d / r[:, None]
    flux = np.einsum("niJ,ni->nJ", law.stress(H)[:, :2, :2], H[:, :, 0])
    flux[:, 0] -= law.density(H)
    return float(v @ (flux * grad_q).sum(axis=1))
