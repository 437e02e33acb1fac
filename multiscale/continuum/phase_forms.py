"""The forms of a phase field: its energy as DOLFINx assembles it, and what is derived from it.

    E(u, d) = ∫ w [(1−d)² + k] ½ ε:C:ε dX + (Gc/c) ∫ w [w_d(d)/ℓ + ℓ |∇d|²] dX         w: site weights, 1 unless another region shares
    ∂E/∂u, ∂²E/∂u²;      ∂E/∂d, ∂²E/∂d²;      J = ∫ (σ_ij u_i,x − W δ_xj) ∂q/∂x_j dX

u is linear or quadratic, as the mesh's nodes are, d linear on its vertices. See :mod:`.phase_field`.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from ..types import Array, MultiscaleError
from . import dolfinx_compat as fx
from .brittle import BrittleSolid
from .distributed import DistributedMesh
from .reference import rule

_PAIRS = {2: [(0, 0), (1, 1), (0, 1)], 3: [(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]}


class PhaseForms:
    """Compiled forms on a distributed mesh; collective.

    Parameters
    ----------
    parts : DistributedMesh
    solid : BrittleSolid
    damage : (n_points,) array
        At the start.
    weights : (n_sites,) array or None
        At the quadrature points of :attr:`degree`, by input cells.

    Attributes
    ----------
    displacements, damages : Field
    u, d : Function
    degree : int
        Of the quadrature: (1−d)² ε² is of degree 2, or 4 with quadratic displacements.
    elastic, crack, residual, slope, tangent, curvature : UFL forms
    """

    def __init__(self, parts: DistributedMesh, solid: BrittleSolid, damage: Array, weights: Array | None) -> None:
        self.parts, self.solid, self.dim = parts, solid, parts.mesh.dim
        self.degree = 2 * parts.mesh.degree
        self.displacements, self.damages = parts.vectors(), parts.scalars()
        self.u, self.d = self.displacements.function(), self.damages.function(damage)
        self.w = self._weights(weights)
        ufl, d = fx.ufl, self.d
        length, cost = self._constant(solid.length), self._constant(solid.Gc / solid.normalisation)
        local = (d if solid.kind == "AT1" else d**2) / length
        self.elastic = self.w * self.density * self.dx
        self.crack = cost * self.w * (local + length * ufl.inner(ufl.grad(d), ufl.grad(d))) * self.dx
        self.residual = ufl.derivative(self.elastic, self.u, ufl.TestFunction(self.displacements.space))
        self.tangent = ufl.derivative(self.residual, self.u, ufl.TrialFunction(self.displacements.space))
        self.slope, self.curvature = self.derivatives(self.elastic + self.crack)
        self._energies = fx.form(self.elastic), fx.form(self.crack)

    def _constant(self, value: Any) -> Any:
        # A coefficient of the form, not a number in its code: one compilation serves all materials.
        return fx.fem.Constant(self.parts.domain, np.asarray(value, dtype=float))

    def _weights(self, values: Array | None) -> Any:
        mesh = self.parts.mesh
        per_cell = len(rule(self.dim, self.degree)[1])
        n = len(mesh.cells) * per_cell
        given = np.ones(n) if values is None else np.asarray(values, dtype=float)
        if given.shape != (n,) or given.min() < 0.0:
            raise MultiscaleError(
                f"a phase field on {len(mesh.cells)} cells needs weights that are not negative, ({n},), at the quadrature points of degree "
                f"{self.degree}; got {given.shape}"
            )
        space = fx.quadrature_space(self.parts.domain, self.degree)
        w = fx.fem.Function(space)
        w.x.array[fx.dofs(space, per_cell)] = given.reshape(-1, per_cell)[self.parts.original]
        return w

    @property
    def dx(self) -> Any:
        """The volume measure."""
        return fx.measure(self.parts.domain, self.degree)

    def derivatives(self, energy: Any) -> tuple[Any, Any]:
        """∂/∂d and ∂²/∂d² of an energy."""
        slope = fx.ufl.derivative(energy, self.d, fx.ufl.TestFunction(self.damages.space))
        return slope, fx.ufl.derivative(slope, self.d, fx.ufl.TrialFunction(self.damages.space))

    @cached_property
    def stress(self) -> Any:
        """Degraded stress (dim, dim), a UFL expression."""
        dim, pairs, H = self.dim, _PAIRS[self.dim], fx.ufl.grad(self.u)
        e = fx.ufl.as_vector([H[i, j] if i == j else H[i, j] + H[j, i] for i, j in pairs])
        s = fx.ufl.dot(self._constant(self.solid.stiffness(dim)), e)
        place = {pair: k for k, pair in enumerate(pairs)}
        rows = [[s[place[min(i, j), max(i, j)]] for j in range(dim)] for i in range(dim)]
        return self.degradation * fx.ufl.as_matrix(rows)

    @cached_property
    def degradation(self) -> Any:
        """(1−d)² + k, a UFL expression."""
        return (1.0 - self.d) ** 2 + self._constant(self.solid.residual)

    @property
    def density(self) -> Any:
        """Degraded elastic energy density, a UFL expression."""
        return 0.5 * fx.ufl.inner(self.stress, fx.ufl.grad(self.u))

    def energies(self) -> tuple[float, float]:
        """Elastic and crack energy of all ranks."""
        elastic, crack = (self.parts.sum(fx.integral(f)) for f in self._energies)
        return elastic, crack

    # -- energy release -----------------------------------------------------------------------------------------

    @cached_property
    def _domain_integral(self) -> tuple[Any, Any]:
        q = self.damages.function()
        grad_q, H, s = fx.ufl.grad(q), fx.ufl.grad(self.u), self.stress
        flux = [sum(s[i, j] * H[i, 0] for i in range(self.dim)) for j in range(self.dim)]
        flux[0] -= self.density
        return q, fx.form(sum(flux[j] * grad_q[j] for j in range(self.dim)) * self.dx)

    def release(self, q: Array) -> float:
        """J with the weight q (n_points,), of all ranks."""
        if np.shape(q) != (len(self.parts.mesh.points),):
            raise MultiscaleError(f"q needs one value per vertex, ({len(self.parts.mesh.points)},), got {np.shape(q)}")
        function, compiled = self._domain_integral
        self.damages.fill(function, q)
        return self.parts.sum(fx.integral(compiled))
