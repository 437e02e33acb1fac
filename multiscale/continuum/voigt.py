"""Voigt notation: σ_I = C_IJ e_J with e = (ε_xx, ε_yy, ε_zz, 2ε_yz, 2ε_xz, 2ε_xy).

Elastic constants are in GPa, as they are printed; strains and stresses are arrays of matrices.
"""

from __future__ import annotations

import numpy as np

from ..types import Array, MultiscaleError

#: The tensor indices of the Voigt components.
PAIRS = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


def voigt_stiffness(C: Array) -> Array:
    """Check elastic constants (6, 6) for symmetry and positive definiteness and return them as an array, GPa."""
    c = np.array(C, dtype=float)
    if c.shape != (6, 6) or not np.isfinite(c).all():
        raise MultiscaleError(f"elastic constants must be a finite (6, 6) Voigt matrix in GPa, got shape {c.shape}")
    off = float(np.abs(c - c.T).max())
    if off > 1e-6 * np.abs(c).max():
        raise MultiscaleError(
            f"elastic constants must be symmetric, got a difference of {off:.3g} GPa; symmetrise them"
        )
    c = 0.5 * (c + c.T)
    low = float(np.linalg.eigvalsh(c)[0])
    if low <= 0:
        raise MultiscaleError(
            f"elastic constants must be positive definite, got the eigenvalue {low:.3g} GPa; such a solid is unstable"
        )
    return c


def cubic_stiffness(c11: float, c12: float, c44: float) -> Array:
    """Elastic constants (6, 6), GPa, of a cubic crystal in its cube axes."""
    c = np.diag([c11 - c12] * 3 + [c44] * 3).astype(float)
    c[:3, :3] += c12
    return voigt_stiffness(c)


def embed(gradient: Array) -> Array:
    """Plane gradients (n, 2, 2) as (n, 3, 3), plane strain; (n, 3, 3) unchanged."""
    return np.pad(gradient, ((0, 0), (0, 3 - gradient.shape[1]), (0, 3 - gradient.shape[2])))


def strain_vector(strain: Array) -> Array:
    """Strains (n, 3, 3) as Voigt vectors (n, 6), shears counted twice."""
    return np.stack([strain[:, i, j] * (1 if i == j else 2) for i, j in PAIRS], axis=1)


def stress_matrix(s: Array) -> Array:
    """Voigt stresses (n, 6) as matrices (n, 3, 3)."""
    return s[:, [[0, 5, 4], [5, 1, 3], [4, 3, 2]]]
