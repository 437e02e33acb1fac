"""Rings around a crack tip on a plane mesh: quadrature of ∫ f · ∇q dX with q = 1 inside r₁, 0 outside r₂.

q = 1 − t²(3 − 2t),  t = (r − r₁)/(r₂ − r₁):  a smooth q, so that points at the ring's edges carry little
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..types import Array, IntArray, MultiscaleError
from .mesh import SimplexMesh
from .reference import rule


def ring_weight(r: Array, r1: float, r2: float) -> Array:
    """The weight q (n,) at distances r (n,), Å, from the tip."""
    t = np.clip((r - r1) / (r2 - r1), 0.0, 1.0)
    return 1.0 - t**2 * (3.0 - 2.0 * t)


@dataclass(frozen=True)
class Ring:
    """The quadrature points of the cells that a ring passes through.

    Attributes
    ----------
    cell, barycentric : (n,), (n, 3) arrays
        Where the points are in the mesh.
    d : (n, 2) array
        X − X_tip, Å.
    area : (n,) array
        Å².
    grad_q : (n, 2) array
        1/Å.
    """

    cell: IntArray
    barycentric: Array
    d: Array
    area: Array
    grad_q: Array

    @classmethod
    def of(cls, mesh: SimplexMesh, r1: float, r2: float, tip: object = (0.0, 0.0)) -> Ring:
        """The ring r₁ < r < r₂, Å, about ``tip``; degree four."""
        centre = np.asarray(tip, dtype=float)
        far = np.linalg.norm(mesh.points - centre, axis=1)
        if not 0 <= r1 < r2 <= far.max() * (1 + 1e-9):
            raise MultiscaleError(
                f"a ring needs 0 ≤ r₁ < r₂ ≤ {far.max():.4g} Å (the mesh's edge), got {r1} and {r2} Å"
            )
        radius = far[mesh.cells]
        near = np.flatnonzero((radius.max(axis=1) > r1) & (radius.min(axis=1) - mesh.h < r2))
        lam, w = rule(2, 4)
        cell, lam = np.repeat(near, len(w)), np.tile(lam, (len(near), 1))
        d = np.einsum("nk,nkd->nd", lam, mesh.points[mesh.cells[cell]]) - centre
        r = np.linalg.norm(d, axis=1)
        t = np.clip((r - r1) / (r2 - r1), 0.0, 1.0)
        grad_q = (-6.0 * t * (1.0 - t) / (r2 - r1))[:, None] * d / r[:, None]
        return cls(cell, lam, d, np.outer(mesh.volumes[near], w).ravel(), grad_q)

    def gradient(self, mesh: SimplexMesh, u: Array) -> Array:
        """∂u_i/∂X_J (n, k, 2) of nodal values u (n_nodes, k)."""
        return np.stack([g @ u for g in mesh.gradient_in(self.cell, self.barycentric)], axis=2)
