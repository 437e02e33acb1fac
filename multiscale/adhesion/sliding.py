"""A γ-surface as a smooth periodic function: what sliding a closed interface costs.

    γ(s) = Σ_k c_k [cos 2π k·f − 1] + s_k sin 2π k·f,      s = f·lattice: trigonometric interpolation of the measured grid, γ(0) = 0

All derivatives are exact, and a slide by a translation of the interface costs nothing to round-off.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..types import Array, MultiscaleError


@dataclass(frozen=True, eq=False)
class GammaSurface:
    """Energy per area of sliding, eV/Å².

    Parameters
    ----------
    values : (n1, n2) array
        On the grid f = (i/n1, j/n2) of one cell; the first is that of the closed interface, zero.
    lattice : (2, 2) array
        Å; translations along the two tangents, as rows.
    """

    values: Array
    lattice: Array

    def __post_init__(self) -> None:
        v, cell = np.array(self.values, dtype=float), np.array(self.lattice, dtype=float)
        if v.ndim != 2 or min(v.shape) < 3 or not np.isfinite(v).all() or cell.shape != (2, 2):
            raise MultiscaleError(
                f"a γ-surface needs finite values on a grid of 3 × 3 points or more and a (2, 2) lattice, got shapes {v.shape} and "
                f"{cell.shape}"
            )
        if abs(np.linalg.det(cell)) < 1e-8:
            raise MultiscaleError(f"the translations {cell.tolist()} Å of a γ-surface are parallel")
        object.__setattr__(self, "values", v)
        object.__setattr__(self, "lattice", cell)

    @cached_property
    def _waves(self) -> tuple[Array, Any]:
        """Wave vectors (m, 2), 1/Å times 2π, and complex amplitudes (m,)."""
        c = np.fft.fft2(self.values) / self.values.size
        numbers = [np.fft.fftfreq(n, 1.0 / n) for n in self.values.shape]
        k = np.stack(np.meshgrid(*numbers, indexing="ij"), axis=-1).reshape(-1, 2)
        return 2.0 * np.pi * k @ np.linalg.inv(self.lattice).T, c.ravel()

    def _at(self, sliding: Array) -> tuple[Array, Any, Any]:
        k, c = self._waves
        return k, c, np.exp(1j * (np.asarray(sliding) @ k.T))

    def energy(self, sliding: Array) -> Array:
        """γ (n,) at slides (n, 2)."""
        _, c, e = self._at(sliding)
        return np.asarray((e @ c).real - c.sum().real)

    def gradient(self, sliding: Array) -> Array:
        """∂γ/∂s (n, 2)."""
        k, c, e = self._at(sliding)
        return np.asarray((e @ (1j * c[:, None] * k)).real)

    def hessian(self, sliding: Array) -> Array:
        """∂²γ/∂s² (n, 2, 2)."""
        k, c, e = self._at(sliding)
        return np.asarray(np.einsum("nm,m,mi,mj->nij", e, -c, k, k).real)

    def largest(self) -> Array:
        """The slide (2,) of the grid's largest value, Å."""
        at = np.unravel_index(int(np.argmax(self.values)), self.values.shape)
        return np.array(at) / np.array(self.values.shape) @ self.lattice
