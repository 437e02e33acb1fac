"""Frames of interfaces in space: the normal and two tangents that do not depend on how facets are numbered.

    t = (1 − n⊗n) e / |…|,  e: the first axis with |e·n| < 0.8;     b = t × n

so that the tangents of a plane whose normal is y are x and z; laws that know directions along the interface (γ-surfaces) rely on it.
"""

from __future__ import annotations

import numpy as np

from ..types import Array


def frames(normals: Array) -> Array:
    """Normal and tangents by rows (n, 3, 3) of unit normals (n, 3)."""
    n = np.asarray(normals, dtype=float)
    # The first axis that is not nearly the normal: round-off does not choose.
    t = np.eye(3)[np.argmax(np.abs(n) < 0.8, axis=1)]
    t = t - np.einsum("ni,ni->n", t, n)[:, None] * n
    t /= np.linalg.norm(t, axis=1)[:, None]
    return np.stack([n, t, np.cross(t, n)], axis=1)
