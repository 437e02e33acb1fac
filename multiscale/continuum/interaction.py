"""K_I, K_II and K_III of a mesh solution, by the interaction integral with auxiliary crack-tip fields.

    J(u + λ U_m) = J(u) + λ I_m + λ² J(U_m),     I_m = ∫ (σ_iJ ∂U_i/∂X + Σ_iJ ∂u_i/∂X − σ:∇U δ_1J) ∂q/∂X_J dX
    J = Kᵀ B K  ⇒  I_m = 2 (B K)_m  ⇒  K = ½ B⁻¹ I

U_m are the fields of unit K_m about the tip, Σ their stresses, q as in :mod:`multiscale.continuum.rings`. Exact for linear
elasticity with free faces parallel to x and no body force; J alone gives one number of the three.

References: Yau, Wang & Corten, J. Appl. Mech. 47 (1980) 335, DOI 10.1115/1.3153665; Stern, Becker & Dunham, Int. J. Fract. 12
(1976) 359, DOI 10.1007/BF00032831.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..types import MPA_SQRT_M_PER_EV_A25, Array, MultiscaleError
from .mesh import SimplexMesh
from .rings import Ring
from .tipfield import TipField


def stress_intensities(
    mesh: SimplexMesh,
    field: TipField,
    x: Array,
    rings: Sequence[tuple[float, float]],
    tip: tuple[float, float] = (0.0, 0.0),
) -> Array:
    """Stress-intensity factors of the state ``x`` in every ring, MPa·√m.

    Parameters
    ----------
    mesh : SimplexMesh
        Plane, with a slit on y = y_tip, x < x_tip.
    field : TipField
        The auxiliary fields, in the constants of the mesh's linear law: a :class:`~multiscale.continuum.kfield.KField` for plane
        strain (u_z = 0), a :class:`~multiscale.continuum.stroh.StrohField` for states with a u_z(x, y).
    x : (n_nodes, 3) array
        Current positions, Å; u = x − X, its z component included.
    rings : pairs of float
        Inner and outer radius r₁ < r₂ of each ring about the tip, Å.
    tip : pair of float
        x, y of the crack tip in the reference configuration, Å.

    Returns
    -------
    (n_rings, field.modes) array
        K_I, K_II and, of a Stroh field, K_III; equal in all rings up to discretisation if the state is in equilibrium. Where the law
        is not linear, rings differ by how far strains are from small.
    """
    if mesh.dim != 2 or np.shape(x) != mesh.nodes.shape:
        raise MultiscaleError(
            f"the interaction integral needs a plane mesh and positions of shape {mesh.nodes.shape}, got {mesh.dim} dimensions "
            f"and {np.shape(x)}"
        )
    u = np.asarray(x, dtype=float) - mesh.nodes
    out = [_interaction(mesh, field, u, Ring.of(mesh, r1, r2, tip)) for r1, r2 in rings]
    return 0.5 * np.array(out) @ np.linalg.inv(field.irwin) * MPA_SQRT_M_PER_EV_A25


def _interaction(mesh: SimplexMesh, field: TipField, u: Array, ring: Ring) -> Array:
    """I_m (modes,), eV/Å² per eV/Å³·√Å."""
    # The faces have no quadrature point: the side is the sign of y.
    auxiliary = np.pad(field.unit(ring.d, np.sign(ring.d[:, 1]), 1), ((0, 0), (0, 0), (0, 0), (0, 1)))
    H = np.pad(ring.gradient(mesh, u), ((0, 0), (0, 0), (0, 1)))
    s, out = field.stress_of(H), np.zeros(field.modes)
    for m in range(field.modes):
        A = auxiliary[:, :, m]
        flux = np.einsum("niJ,ni->nJ", s, A[:, :, 0]) + np.einsum("niJ,ni->nJ", field.stress_of(A), H[:, :, 0])
        flux[:, 0] -= np.einsum("niJ,niJ->n", s, A)
        out[m] = ring.area @ (flux[:, :2] * ring.grad_q).sum(axis=1)
    return out
