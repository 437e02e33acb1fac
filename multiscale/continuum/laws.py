"""Material laws: an energy density W(∇u) in eV/Å³ of the displacement gradient H = ∇u, F = I + H.

    first Piola–Kirchhoff stress   P = ∂W/∂H,      tangent   𝔸 = ∂²W/∂H²

Two kinds. A *symbolic* law is a frozen dataclass with ``energy(H)`` for UFL, from which DOLFINx derives forces and tangents, and the
same functions of numpy arrays for post-processing. A *sampled* law has functions of numpy arrays only, called with the gradients at all
quadrature points at once; P and 𝔸 enter the forms as external operators. In two dimensions H is embedded with zero out-of-plane
components, so that every law is plane strain and may be anisotropic. Constants are in GPa, Voigt order xx, yy, zz, yz, xz, xy.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..lattice import Lattice
from ..types import GPA_PER_EV_A3, Array, MultiscaleError
from . import dolfinx_compat as fx
from .voigt import PAIRS, embed, strain_vector, stress_matrix, voigt_stiffness


class Law(ABC):
    """An energy density, eV/Å³, of the displacement gradient.

    Attributes
    ----------
    linear : bool
        Whether P is linear in H (up to a constant), so that one linear solve finds equilibrium.
    lattice : Lattice or None
        The reference crystal, of laws that come from one.
    """

    linear: bool = False
    lattice: Lattice | None = None

    @abstractmethod
    def density(self, gradient: Array) -> Array:
        """W (n,), eV/Å³, of displacement gradients (n, dim, dim)."""

    @abstractmethod
    def stress(self, gradient: Array) -> Array:
        """P (n, 3, 3), eV/Å³, of displacement gradients (n, dim, dim)."""


class SymbolicLaw(Law):
    """A law that UFL can differentiate."""

    @abstractmethod
    def energy(self, H: Any) -> Any:
        """W as a UFL expression of the UFL displacement gradient H (dim, dim)."""


class SampledLaw(Law):
    """A law that is known by its values: a table, an atomistic model, somebody else's subroutine."""

    @abstractmethod
    def tangent(self, gradient: Array) -> Array:
        """𝔸 (n, 3, 3, 3, 3), eV/Å³, ∂P_iJ/∂H_kL at displacement gradients (n, dim, dim)."""


def _quadratic(C: Array, strain: Any) -> Any:
    """½ C_IJ e_I e_J for UFL, the zeros of C left out of the generated code; shears count twice in e."""
    e = [strain[i, j] * (1 if i == j else 2) for i, j in PAIRS]
    c = C / GPA_PER_EV_A3
    terms = [float(c[i, j]) * (0.5 if i == j else 1.0) * e[i] * e[j] for i in range(6) for j in range(i, 6) if c[i, j]]
    return sum(terms[1:], terms[0])


@dataclass(frozen=True, eq=False)
class LinearElastic(SymbolicLaw):
    """W = ½ ε:C:ε with ε = sym H. Plane strain in two dimensions, C16 and C26 included.

    Parameters
    ----------
    C : (6, 6) array
        Elastic constants, GPa, Voigt order, in the frame of the mesh.
    """

    C: Array
    linear = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "C", voigt_stiffness(self.C))

    def energy(self, H: Any) -> Any:
        """½ ε:C:ε."""
        h = fx.embed(H)
        return _quadratic(self.C, 0.5 * (h + h.T))

    def density(self, gradient: Array) -> Array:
        """W (n,), eV/Å³."""
        h = embed(gradient)
        e = strain_vector(0.5 * (h + h.transpose(0, 2, 1)))
        return 0.5 * np.einsum("ni,ij,nj->n", e, self.C / GPA_PER_EV_A3, e)

    def stress(self, gradient: Array) -> Array:
        """σ = C:ε (n, 3, 3), eV/Å³."""
        h = embed(gradient)
        e = strain_vector(0.5 * (h + h.transpose(0, 2, 1)))
        return stress_matrix(e @ (self.C / GPA_PER_EV_A3))


@dataclass(frozen=True, eq=False)
class StVenantKirchhoff(SymbolicLaw):
    """W = ½ E:C:E with the Green–Lagrange strain E = ½ (FᵀF − I): objective and anisotropic.

    It softens without bound in strong compression; keep it to the strains of a crystal's far field.

    Parameters
    ----------
    C : (6, 6) array
        Elastic constants, GPa, Voigt order, in the frame of the mesh.
    """

    C: Array

    def __post_init__(self) -> None:
        object.__setattr__(self, "C", voigt_stiffness(self.C))

    def energy(self, H: Any) -> Any:
        """½ E:C:E, with E = ½ (H + Hᵀ + HᵀH), which loses no digits at small strain."""
        h = fx.embed(H)
        return _quadratic(self.C, 0.5 * (h + h.T + h.T * h))

    def density(self, gradient: Array) -> Array:
        """W (n,), eV/Å³."""
        e = strain_vector(self._green(embed(gradient)))
        return 0.5 * np.einsum("ni,ij,nj->n", e, self.C / GPA_PER_EV_A3, e)

    def stress(self, gradient: Array) -> Array:
        """P = F (C:E) (n, 3, 3), eV/Å³."""
        h = embed(gradient)
        s = stress_matrix(strain_vector(self._green(h)) @ (self.C / GPA_PER_EV_A3))
        return s + h @ s

    @staticmethod
    def _green(h: Array) -> Array:
        t = h.transpose(0, 2, 1)
        return 0.5 * (h + t + t @ h)


@dataclass(frozen=True)
class NeoHookean(SymbolicLaw):
    """W = ½ μ (tr FᵀF − 3) − μ ln J + ½ λ (ln J)², J = det F.

    Parameters
    ----------
    mu, lam : float
        Lamé constants of small strains, GPa.
    """

    mu: float
    lam: float

    def __post_init__(self) -> None:
        if not (self.mu > 0 and 3 * self.lam + 2 * self.mu > 0):
            raise MultiscaleError(
                f"a NeoHookean solid needs μ > 0 and 3λ + 2μ > 0, got μ = {self.mu} and λ = {self.lam} GPa"
            )

    def energy(self, H: Any) -> Any:
        """W, with tr FᵀF − 3 = 2 tr H + H:H."""
        h = fx.embed(H)
        log_j = fx.ufl.ln(fx.ufl.det(fx.ufl.Identity(3) + h))
        mu, lam = self.mu / GPA_PER_EV_A3, self.lam / GPA_PER_EV_A3
        return mu * (fx.ufl.tr(h) + 0.5 * fx.ufl.inner(h, h)) - mu * log_j + 0.5 * lam * log_j**2

    def density(self, gradient: Array) -> Array:
        """W (n,), eV/Å³."""
        h = embed(gradient)
        log_j = np.log(np.linalg.det(np.eye(3) + h))
        trace = np.trace(h, axis1=1, axis2=2) + 0.5 * (h * h).sum(axis=(1, 2))
        return (self.mu * (trace - log_j) + 0.5 * self.lam * log_j**2) / GPA_PER_EV_A3

    def stress(self, gradient: Array) -> Array:
        """P = μ (F − F⁻ᵀ) + λ ln J F⁻ᵀ (n, 3, 3), eV/Å³."""
        f = np.eye(3) + embed(gradient)
        inverse = np.linalg.inv(f).transpose(0, 2, 1)
        log_j = np.log(np.linalg.det(f))[:, None, None]
        return (self.mu * (f - inverse) + self.lam * log_j * inverse) / GPA_PER_EV_A3


@dataclass(frozen=True, eq=False)
class TaylorLaw(SymbolicLaw):
    """W = W₀ + P₀:(H − H₀) + ½ (H − H₀):𝔸₀:(H − H₀), a law to second order about one state.

    Parameters
    ----------
    H0 : (3, 3) array
        Displacement gradient of that state.
    W0 : float
        eV/Å³.
    P0 : (3, 3) array
        eV/Å³.
    A0 : (3, 3, 3, 3) array
        eV/Å³; ∂P_iJ/∂H_kL.
    """

    H0: Array
    W0: float
    P0: Array
    A0: Array
    linear = True

    def energy(self, H: Any) -> Any:
        """W, without the terms that are zero."""
        h = fx.embed(H)
        d = [h[i, j] - float(self.H0[i, j]) for i, j in np.ndindex(3, 3)]
        a, slope = self.A0.reshape(9, 9), self.P0.ravel()
        a = np.where(np.abs(a) > 1e-12 * np.abs(a).max(), a, 0.0)
        terms = [float(p) * e for p, e in zip(slope, d, strict=True) if p]
        terms += [
            float(a[m, n]) * (0.5 if m == n else 1.0) * d[m] * d[n] for m in range(9) for n in range(m, 9) if a[m, n]
        ]
        return sum(terms, fx.ufl.as_ufl(self.W0))

    def density(self, gradient: Array) -> Array:
        """W (n,), eV/Å³."""
        d = embed(gradient) - self.H0
        return self.W0 + np.einsum("ij,nij->n", self.P0, d) + 0.5 * np.einsum("nij,ijkl,nkl->n", d, self.A0, d)

    def stress(self, gradient: Array) -> Array:
        """P = P₀ + 𝔸₀:(H − H₀) (n, 3, 3), eV/Å³."""
        return self.P0 + np.einsum("ijkl,nkl->nij", self.A0, embed(gradient) - self.H0)
