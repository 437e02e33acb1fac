"""What a law contributes to the forms of a mesh: E[v] = ∫ w W(∇u) dX and its first two derivatives.

    symbolic   R = D_u ∫ w W(∇u) dX                  K = D_u R                        everything from one UFL expression
    sampled    R = ∫ w P : ∇v dX                     K = ∫ w (𝔸 : ∇δ) : ∇v dX         P and 𝔸 are fields at quadrature points

In a body of revolution (:mod:`.axial`) ∇u has the hoop strain as a third diagonal entry.

A sampled law is an *external operator*: it is called with all gradients of this rank's cells at once whenever u has changed, and
consistent, because 𝔸 is the derivative of P that the law itself gives.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any

import numpy as np

from ..types import Array
from . import dolfinx_compat as fx
from .axial import Symmetry
from .laws import Law, SampledLaw, SymbolicLaw
from .reference import rule


class Terms(ABC):
    """The forms of one law on one space.

    Parameters
    ----------
    space : function space
    u, w : Function
        Displacement, and site weights at the quadrature points.
    degree : int
        Of the quadrature rule.
    symmetry : {"plane", "axial"}
    """

    def __init__(self, space: Any, u: Any, w: Any, degree: int, symmetry: Symmetry = "plane") -> None:
        self.space, self.u, self.w, self.degree, self.symmetry = space, u, w, degree, symmetry
        self.domain = space.mesh
        #: Rows of ∇u: those of space in a body of revolution.
        self.dim = 3 if symmetry == "axial" else int(self.domain.geometry.dim)
        self.dx = fx.measure(self.domain, degree)
        self.points = rule(int(self.domain.geometry.dim), degree)[0][:, 1:]

    def strain(self, u: Any) -> Any:
        """∇u (dim, dim) of a Function or an argument, a UFL expression."""
        H = fx.ufl.grad(u)
        return fx.with_hoop(H, u, self.domain) if self.symmetry == "axial" else H

    @cached_property
    def _gradient(self) -> fx.PointExpression:
        return fx.PointExpression(self.strain(self.u), self.points, self.domain)

    def gradients(self) -> Array:
        """H = ∇u (owned cells × nq, dim, dim)."""
        return self._gradient().reshape(-1, self.dim, self.dim)

    def refresh(self, order: int) -> None:
        """Bring fields that the forms contain up to date with u: P (order 1), 𝔸 too (order 2). Not collective."""
        return

    @property
    @abstractmethod
    def residual(self) -> Any:
        """D_u E, a linear form."""

    @abstractmethod
    def derivative(self, direction: Any) -> Any:
        """D_u R along a Function (a linear form) or a TrialFunction (a bilinear one)."""

    @abstractmethod
    def density(self) -> Array:
        """W (owned cells, nq), eV/Å³."""

    @abstractmethod
    def tangent(self) -> Array:
        """𝔸 (owned cells, nq, dim, dim, dim, dim), eV/Å³."""


def terms(law: Law, space: Any, u: Any, w: Any, degree: int, symmetry: Symmetry = "plane") -> Terms:
    """The terms of a law of either kind."""
    if isinstance(law, SymbolicLaw):
        return SymbolicTerms(law, space, u, w, degree, symmetry)
    assert isinstance(law, SampledLaw)
    return SampledTerms(law, space, u, w, degree, symmetry)


class SymbolicTerms(Terms):
    """A law that UFL differentiates."""

    def __init__(self, law: SymbolicLaw, *settings: Any) -> None:
        super().__init__(*settings)
        self.law = law

    @cached_property
    def residual(self) -> Any:
        """D_u ∫ w W(∇u) dX."""
        energy = self.w * self.law.energy(self.strain(self.u)) * self.dx
        return fx.ufl.derivative(energy, self.u, fx.ufl.TestFunction(self.space))

    def derivative(self, direction: Any) -> Any:
        """D_u R."""
        return fx.ufl.derivative(self.residual, self.u, direction)

    @cached_property
    def _density(self) -> fx.PointExpression:
        return fx.PointExpression(self.law.energy(self.strain(self.u)), self.points, self.domain)

    @cached_property
    def _tangent(self) -> fx.PointExpression:
        H = fx.ufl.variable(self.strain(self.u))
        return fx.PointExpression(fx.ufl.diff(fx.ufl.diff(self.law.energy(H), H), H), self.points, self.domain)

    def density(self) -> Array:
        """W of UFL's expression."""
        return self._density()[:, :, 0]

    def tangent(self) -> Array:
        """𝔸 of UFL's expression, or of the law where it is constant."""
        dim, nc = self.dim, fx.owned_cells(self.domain)
        shape = (nc, len(self.points), dim, dim, dim, dim)
        if not self.law.linear:
            return self._tangent().reshape(shape)
        # P is linear: the columns of 𝔸 are the answers to unit gradients, but for the stress that is there without any.
        units = np.concatenate([np.zeros((1, dim, dim)), np.eye(dim * dim).reshape(-1, dim, dim)])
        stress = self.law.stress(units)[:, :dim, :dim]
        columns = (stress[1:] - stress[0]).reshape(dim, dim, dim, dim)
        return np.broadcast_to(columns.transpose(2, 3, 0, 1), shape)


class SampledTerms(Terms):
    """A law that is called with the gradients at the quadrature points of this rank's own cells."""

    def __init__(self, law: SampledLaw, *settings: Any) -> None:
        super().__init__(*settings)
        self.law, d = law, self.dim
        self._P = fx.fem.Function(fx.quadrature_space(self.domain, self.degree, (d, d)))
        self._A = fx.fem.Function(fx.quadrature_space(self.domain, self.degree, (d * d, d * d)))
        owned = fx.owned_cells(self.domain)
        self._rows = fx.dofs(self._P.function_space, len(self.points))[:owned].ravel()

    def refresh(self, order: int) -> None:
        """Ask the law at the present gradients."""
        H, d = self.gradients(), self.dim
        if order > 1:
            a = self.law.tangent(H)[:, :d, :d, :d, :d]
            self._A.x.array.reshape(-1, d**4)[self._rows] = a.reshape(-1, d**4)
        self._P.x.array.reshape(-1, d * d)[self._rows] = self.law.stress(H)[:, :d, :d].reshape(-1, d * d)

    @cached_property
    def residual(self) -> Any:
        """∫ w P : ∇v dX."""
        return self.w * fx.ufl.inner(self._P, self.strain(fx.ufl.TestFunction(self.space))) * self.dx

    def derivative(self, direction: Any) -> Any:
        """∫ w (𝔸 : ∇δ) : ∇v dX."""
        v = self._flat(self.strain(fx.ufl.TestFunction(self.space)))
        return self.w * fx.ufl.inner(self._A * self._flat(self.strain(direction)), v) * self.dx

    def _flat(self, H: Any) -> Any:
        return fx.ufl.as_vector([H[i, j] for i, j in np.ndindex(self.dim, self.dim)])

    def density(self) -> Array:
        """W that the law gives."""
        return self.law.density(self.gradients()).reshape(-1, len(self.points))

    def tangent(self) -> Array:
        """𝔸 that the law gives."""
        d = self.dim
        a = self.law.tangent(self.gradients())[:, :d, :d, :d, :d]
        return a.reshape(-1, len(self.points), d, d, d, d)
