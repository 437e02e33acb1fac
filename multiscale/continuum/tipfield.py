"""What all crack-tip fields have in common: u = Σ_m K_m U_m(X − X_tip), each U_m homogeneous of degree ½.

    ∂u/∂X_J, ∂²u/∂X_J∂X_L      the same sums with derivatives of U_m
    ∂u/∂α = −∂u/∂X_1           of a tip at (α, 0): the field rides on it
    ∂u/∂K_m = U_m
    G = Kᵀ B K                 B: Irwin's matrix, from the work of closing the crack

Stress-intensity factors are those of the tractions ahead of the tip: (σ_yy, σ_xy, σ_yz) = (K_I, K_II, K_III)/√(2πr).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ..types import J_M2_PER_EV_A2, MPA_SQRT_M_PER_EV_A25, Array, MultiscaleError
from .voigt import strain_vector, stress_matrix

_NAMES = ("mode I", "K_I, K_II", "K_I, K_II, K_III")


class TipField(ABC):
    """A crack-tip field that does not vary along the front.

    The frame: x the direction of growth, y the normal of the crack plane, z the front; faces lie on y = y_tip, x < x_tip.
    Subclasses implement :meth:`unit` and :attr:`irwin`, and have elastic constants.

    Attributes
    ----------
    modes : int
        How many stress-intensity factors it takes: 2 (K_I, K_II) or 3 (K_I, K_II, K_III). Fewer are padded with zeros.
    stiffness : (6, 6) array
        eV/Å³; stress = stiffness · strain for displacement gradients of this field.
    """

    modes: ClassVar[int]

    @property
    @abstractmethod
    def stiffness(self) -> Array:
        """Elastic constants (6, 6) that the field answers to, eV/Å³."""

    @property
    @abstractmethod
    def irwin(self) -> Array:
        """The matrix B (modes, modes) of G = Kᵀ B K, Å³/eV, K in eV/Å³·√Å."""

    @abstractmethod
    def unit(self, d: Array, side: Array, order: int) -> Array:
        """The fields of unit K, or their derivatives.

        Parameters
        ----------
        d : (n, 2) array
            X − X_tip, Å.
        side : (n,) array
            On which side of the crack plane points behind the tip are: +1 or −1.
        order : int
            0, 1 or 2.

        Returns
        -------
        (n, 3, modes), (n, 3, modes, 2) or (n, 3, modes, 2, 2) array
            Å per eV/Å³·√Å, and its derivatives with respect to x, y.
        """

    # -- fields -------------------------------------------------------------------------------------------------

    def displacement(self, X: Array, K: object, tip: object = (0.0, 0.0), face: Array | None = None) -> Array:
        """Displacements (n, 3), Å, at reference points X (n, 2) or (n, 3), Å, of a crack whose tip is ``tip`` (x, y).

        ``face`` (n,) tells for points on the crack plane behind the tip on which face they are: +1 upper, −1 lower,
        0 by the sign of y − y_tip, where −0.0 is below. :func:`~multiscale.continuum.kfield.crack_faces` gives it for a mesh
        with a slit.
        """
        return self.unit(*self._about(X, tip, face), 0) @ self.factors(K)

    def displacement_gradient(self, X: Array, K: object, tip: object = (0.0, 0.0), face: Array | None = None) -> Array:
        """∂u_i/∂X_J (n, 3, 3); infinite at the tip."""
        with np.errstate(divide="ignore", invalid="ignore"):
            H = np.einsum("nimj,m->nij", self.unit(*self._about(X, tip, face), 1), self.factors(K))
        return np.pad(H, ((0, 0), (0, 0), (0, 1)))

    def second_gradient(self, X: Array, K: object, tip: object = (0.0, 0.0), face: Array | None = None) -> Array:
        """∂²u_i/∂X_J∂X_L (n, 3, 3, 3), 1/Å; infinite at the tip."""
        with np.errstate(divide="ignore", invalid="ignore"):
            H = np.einsum("nimjl,m->nijl", self.unit(*self._about(X, tip, face), 2), self.factors(K))
        return np.pad(H, ((0, 0), (0, 0), (0, 1), (0, 1)))

    def stress(self, X: Array, K: object, tip: object = (0.0, 0.0), face: Array | None = None) -> Array:
        """Stress (n, 3, 3), eV/Å³, σ_zz included."""
        return self.stress_of(self.displacement_gradient(X, K, tip, face))

    def stress_of(self, gradient: Array) -> Array:
        """Stress (n, 3, 3), eV/Å³, of displacement gradients (n, 3, 3) in the solid of this field."""
        return stress_matrix(strain_vector(0.5 * (gradient + gradient.transpose(0, 2, 1))) @ self.stiffness)

    # -- derivatives with respect to what a crack is given by ---------------------------------------------------

    def tip_derivative(self, X: Array, K: object, tip: object = (0.0, 0.0), face: Array | None = None) -> Array:
        """∂u/∂α (n, 3) when the tip moves along x at fixed K: −∂u/∂X_1."""
        return -self.displacement_gradient(X, K, tip, face)[:, :, 0]

    def mode_derivatives(self, X: Array, tip: object = (0.0, 0.0), face: Array | None = None) -> Array:
        """∂u/∂K_m (n, 3, modes), Å per MPa·√m: the field is linear in K, so that these are the fields of unit K."""
        return self.unit(*self._about(X, tip, face), 0) / MPA_SQRT_M_PER_EV_A25

    # -- energy -------------------------------------------------------------------------------------------------

    def energy_release_rate(self, K: object) -> float:
        """G = Kᵀ B K, J/m²; K²/E′ in mode I."""
        k = self.factors(K)
        return float(k @ self.irwin @ k) * J_M2_PER_EV_A2

    def griffith(self, gamma: float) -> float:
        """K_G in mode I, MPa·√m, of a crack that makes two surfaces of energy ``gamma``, J/m²: G(K_G) = 2γ."""
        if gamma <= 0:
            raise MultiscaleError(f"a surface energy is positive, got {gamma} J/m²")
        return float(np.sqrt(2.0 * gamma / self.energy_release_rate(1.0)))

    # -- details ------------------------------------------------------------------------------------------------

    def factors(self, K: object) -> Array:
        """K (modes,) in eV/Å³·√Å, of a number or a sequence in MPa·√m."""
        k = np.atleast_1d(np.asarray(K, dtype=float))
        if k.ndim != 1 or not 1 <= len(k) <= self.modes or not np.isfinite(k).all():
            allowed = " or ".join(f"({names})" for names in _NAMES[1 : self.modes])
            raise MultiscaleError(
                f"K of a {type(self).__name__} is a number (mode I) or {allowed} in MPa·√m, got {K!r}"
                + ("; mode III needs a StrohField" if len(k) == 3 and self.modes == 2 else "")
            )
        return np.pad(k, (0, self.modes - len(k))) / MPA_SQRT_M_PER_EV_A25

    @staticmethod
    def _about(X: Array, tip: object, face: Array | None) -> tuple[Array, Array]:
        """X − X_tip (n, 2) and the side (n,) of the crack plane that each point is on."""
        points = np.asarray(X, dtype=float)
        if points.ndim != 2 or points.shape[1] not in (2, 3):
            raise MultiscaleError(f"need points of shape (n, 2) or (n, 3), got {points.shape}")
        d = points[:, :2] - np.asarray(tip, dtype=float)
        side = np.where(np.signbit(d[:, 1]), -1.0, 1.0)  # −0.0 − 0.0 is −0.0
        if face is not None:
            f = np.asarray(face, dtype=float)
            if f.shape != (len(points),):
                raise MultiscaleError(f"face needs one of +1, −1, 0 per point, shape ({len(points)},), got {f.shape}")
            side = np.where(f != 0, np.sign(f), side)
        return d, side


def branched_sqrt(d: Array, side: Array, roots: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """√(x + μ_β y) (n, n_roots), continuous except across the faces, where z is negative and the side gives the sign."""
    z = d[:, :1] + roots * d[:, 1:]
    root = np.sqrt(z)
    return np.where((z.real < 0) & (root.imag * side[:, None] < 0), -root, root)
