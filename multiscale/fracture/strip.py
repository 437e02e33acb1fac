"""A crack in a strip between clamped boundaries: G = ½ C′₂₂ ε² H, independent of the crack's length.

Far ahead of the tip the strip is strained uniformly along y and along nothing else, so that the modulus is the *uniaxial* C′₂₂ of the
crack's frame (E′ = E/(1 − ν²) is a crack-tip quantity); far behind it is unloaded. A tip that advances by da turns the one into the
other. G(ε_G) = 2γ gives Griffith's strain ε_G = √(4γ/(C′₂₂ H)).

The starting guess is the exact opening of the strip where u_x = u_z = 0, which has the same G: C₂₂ ∂²u/∂y² + C₆₆ ∂²u/∂x² = 0, in the
upper half

    u_y = ½ εH [1 − (2/π) Re arcsin(e^{πζ/H})],      ζ = x √(C₂₂/C₆₆) + i y,  measured from the tip; odd in y

with u_y = ±½ εH on the boundaries, free faces, √r at the tip, ε y far ahead and ±½ εH far behind.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..continuum.voigt import voigt_stiffness
from ..types import Array, BoolArray, MultiscaleError


@dataclass(frozen=True, eq=False)
class ClampedStrip:
    """Loading of a strip |y| ≤ H/2 with a crack on y = 0 behind the tip.

    Parameters
    ----------
    C : (6, 6) array
        Elastic constants, GPa, Voigt order, in the crack's frame: x the direction of growth, y the normal of the crack plane.
    height : float
        H between the clamped boundaries, Å.

    Examples
    --------
    >>> from multiscale.continuum.voigt import cubic_stiffness
    >>> strip = ClampedStrip(cubic_stiffness(200.0, 100.0, 50.0), height=100.0)
    >>> float(round(strip.energy_release_rate(strip.griffith_strain(1.36)), 9))
    2.72
    """

    C: Array
    height: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "C", voigt_stiffness(self.C))
        if not (np.isfinite(self.height) and self.height > 0):
            raise MultiscaleError(f"a strip has a positive height in Å, got {self.height}")

    @property
    def modulus(self) -> float:
        """The uniaxial modulus C′₂₂, GPa."""
        return float(self.C[1, 1])

    def energy_release_rate(self, strain: float) -> float:
        """G = ½ C′₂₂ ε² H, J/m² (1 GPa·Å = 0.1 J/m²)."""
        return 0.5 * self.modulus * strain**2 * self.height * 0.1

    def strain(self, G: float) -> float:
        """The strain at which the energy release rate is ``G``, J/m²."""
        if G < 0:
            raise MultiscaleError(f"an energy release rate is not negative, got {G} J/m²")
        return float(np.sqrt(2.0 * G / (0.1 * self.modulus * self.height)))

    def griffith_strain(self, gamma: float) -> float:
        """ε_G of a crack that makes two surfaces of energy ``gamma``, J/m²."""
        if gamma <= 0:
            raise MultiscaleError(f"a surface energy is positive, got {gamma} J/m²")
        return self.strain(2.0 * gamma)

    def boundary_displacement(self, X: Array, strain: float) -> Array:
        """What the grips impose (n, 3), Å, at reference points X: u_y = ±½ ε H by the side of the crack plane, and nothing else."""
        y = np.asarray(X, dtype=float)[:, 1]
        u = np.zeros((len(y), 3))
        u[:, 1] = np.copysign(0.5 * strain * self.height, y)
        return u

    def gripped(self, X: Array, depth: float = 0.0) -> BoolArray:
        """Which points X (n, 2) or (n, 3) lie on the boundaries, or within ``depth`` (Å) of them, or beyond."""
        return np.abs(np.asarray(X, dtype=float)[:, 1]) >= 0.5 * self.height - depth - 1e-9 * self.height

    def displacement(self, X: Array, strain: float, tip: float = 0.0) -> Array:
        """The starting guess (n, 3), Å, at reference points X; beyond the boundaries it moves with them.

        Parameters
        ----------
        X : (n, 2) or (n, 3) array
            Å; points on the crack plane behind the tip belong to the face that the sign of y tells (−0.0: the lower one).
        strain : float
        tip : float
            x of the tip, Å.
        """
        z, side = self._plane(X, tip)
        s = np.exp(np.minimum(z.real, 300.0) + 1j * z.imag)  # as far ahead as that u = ε y to the last digit
        u = np.zeros((len(z), 3))
        u[:, 1] = side * 0.5 * strain * self.height * (1.0 - 2.0 / np.pi * np.arcsin(s).real)
        return u

    def displacement_gradient(self, X: Array, strain: float, tip: float = 0.0) -> Array:
        """∂u_i/∂X_J (n, 3, 3) of the starting guess, infinite at the tip: atoms of a multilattice shift with its strain."""
        z, side = self._plane(X, tip)
        with np.errstate(divide="ignore", invalid="ignore"):
            # d arcsin(eᶻ)/dz = eᶻ/√(1 − e²ᶻ) = 1/√(e⁻²ᶻ − 1), which does not overflow ahead of the tip.
            root = np.sqrt(np.exp(-2.0 * (np.maximum(z.real, -300.0) + 1j * z.imag)) - 1.0)
            # Re √ ≥ 0 is the branch in the upper half plane where arcsin is continuous if its imaginary part is negative.
            slope = -strain / np.where(root.imag > 0, -root, root)
        H = np.zeros((len(z), 3, 3))
        H[:, 1, 0] = side * slope.real * np.sqrt(self.C[1, 1] / self.C[5, 5])
        # u is odd in y and z depends on |y|: ∂u/∂y is even.
        H[:, 1, 1] = -slope.imag
        return H

    def _plane(self, X: Array, tip: float) -> tuple[NDArray[np.complex128], Array]:
        """πζ/H (n,) in the upper half of the strip, and the side (n,) of the crack plane."""
        points = np.asarray(X, dtype=float)
        if points.ndim != 2 or points.shape[1] not in (2, 3):
            raise MultiscaleError(f"need points of shape (n, 2) or (n, 3), got {points.shape}")
        x, y = points[:, 0] - tip, np.clip(points[:, 1], -0.5 * self.height, 0.5 * self.height)
        zeta = x * np.sqrt(self.C[1, 1] / self.C[5, 5]) + 1j * np.abs(y)
        return np.pi * zeta / self.height, np.where(np.signbit(points[:, 1]), -1.0, 1.0)
