"""Linear response of a self-consistent density, and the gradient of weighted site energies from it.

The charges are the fixed point q = Q(v(q, x), x) of the self-consistent field. For E_w = Σ_i w_i e_i(x, P, G, q) the adjoint q̄
of the charges, their whole influence on E_w, obeys one linear equation at the converged state,

    (1 − J χ) q̄ = b + J v̄₀,      χ = ∂Q/∂v  (a sum over states),      J = ∂v/∂q,      b = ∂E_w/∂q,

with v̄₀ the potential's influence through P and G at fixed q. χ and J are symmetric, so that the matrix is the transpose of that of a
Newton step for the charges, (1 − χ J) δq = Q − q: the two share :class:`Response`. With q̄ known,

    dE_w/dx = tr(H̄⁰ dH⁰/dx) + tr(S̄ dS/dx) + tr(Γ̄ dΓ/dx) + Σ_i w_i ∂e_i(classical)/∂x

is one reverse pass with fixed matrices, at the cost of a force. With all weights equal q̄ = w v solves the equation, H̄ vanishes,
and the ordinary force is left. No derivative goes through an eigensolver: eigenvectors of (nearly) degenerate levels have none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from ..types import MultiscaleError
from .tb_fermi import Occupation
from .tb_model import GFN1, Geometry


@dataclass
class Krylov:
    """What a solution of a linear equation found out about its matrix.

    Attributes
    ----------
    size : int
        Products with the matrix.
    lowest : float
        Real part of the lowest Ritz value, an estimate of the lowest eigenvalue.
    direction : tensor or None
        Its vector.
    """

    size: int = 0
    lowest: float = 1.0
    direction: Any = None


@dataclass(frozen=True)
class State:
    """The levels in the potential of the charges ``q_in``, and the charges ``q`` that they make; e, Hartree.

    Attributes
    ----------
    C, SC : (n, n) tensors
        Eigenvectors (columns), Cᵀ S C = 1, and S C.
    """

    model: GFN1
    geometry: Geometry
    q_in: Any
    v: Any
    occupation: Occupation
    C: Any
    SC: Any
    q: Any

    @classmethod
    def of(cls, model: GFN1, geometry: Geometry, q_in: Any, spins: Any, kT: float) -> State:
        """Diagonalise in the potential of ``q_in`` and fill the levels."""
        v = model.potential(geometry, q_in)
        half = 0.5 * v[model.shell_of]
        h = geometry.H0 - geometry.S * (half[:, None] + half[None, :])
        levels, vectors = torch.linalg.eigh(geometry.inverse.T @ h @ geometry.inverse)
        occupation = Occupation(levels, spins, kT)
        c, sc = geometry.inverse @ vectors, geometry.L @ vectors
        q = model.reference - model.by_shell((c * sc) @ occupation.f)
        return cls(model, geometry, q_in, v, occupation, c, sc, q)

    @property
    def residual(self) -> Any:
        """Q(v(q)) − q (shells,), e."""
        return self.q - self.q_in

    @cached_property
    def density(self) -> Any:
        """P (n, n)."""
        return self._filled(self.occupation.f)

    def _filled(self, a: Any) -> Any:
        """C a Cᵀ (n, n) for one number per level, zero for empty ones."""
        c = self.C[:, : self.occupation.m]
        return (c * a[: self.occupation.m]) @ c.T

    def _between(self, u: Any) -> Any:
        """Cᵀ [S ∘ ½(u ⊕ u)] C between the levels (m, n), for one number ``u`` per orbital (n,)."""
        m, half = self.occupation.m, 0.5 * u[:, None]
        return (half * self.C[:, :m]).T @ self.SC + (half * self.SC[:, :m]).T @ self.C

    def _halved(self, a: Any) -> Any:
        """``a`` (m, n) between the levels, halved where its transpose is there too."""
        a = a.clone()
        a[:, : len(a)] *= 0.5
        return a

    def _charges(self, p: Any) -> Any:
        """−Σ_{μ∈s} (P S)_μμ (shells,) of P = C p Cᵀ with ``p`` (m, n) between the levels."""
        m, p = len(p), self._halved(p).T
        orbitals = ((self.SC @ p) * self.C[:, :m] + (self.C @ p) * self.SC[:, :m]).sum(1)
        return -self.model.by_shell(orbitals)

    def _back(self, a: Any) -> Any:
        """C a Cᵀ (n, n) with ``a`` (m, n) between the levels."""
        half = self.C[:, : len(a)] @ (self._halved(a) @ self.C.T)
        return half + half.T

    def chi(self, dv: Any) -> Any:
        """χ δv (shells,): the charges that a change of the shells' potentials makes at fixed positions."""
        return self._charges(self.occupation.density(-self._between(dv[self.model.shell_of])))

    def newton(self, accuracy: float, krylov: Krylov) -> Any:
        """δq (shells,) with (1 − χ J) δq = Q − q to the relative ``accuracy``."""

        def apply(dq: Any) -> Any:
            return dq - self.chi(self.model.stiffness(self.geometry, self.q_in, dq))

        r = self.residual
        return gmres(apply, r, r, accuracy * float(r.norm()), krylov)

    def site_energies(self) -> Any:
        """e_i (atoms,), Hartree; their sum is the free energy."""
        model, m = self.model, self.occupation.m
        entropy = (self.C[:, :m] * self.SC[:, :m]) @ self.occupation.g[:m]
        orbitals = (self.density * self.geometry.H0).sum(1) + entropy
        shells = 0.5 * self.q * (self.geometry.coulomb @ self.q)
        third = model.third * model.by_atom(self.q) ** 3 / 3.0
        return model.by_atom(orbitals) + model.by_atom(shells) + third + self.geometry.classical

    def gradient(self, weights: Any, tolerance: float = 1e-11) -> tuple[Any, int]:
        """∂(Σ w_i e_i)/∂x (atoms, 3), Hartree/Bohr, and the number of response iterations.

        Parameters
        ----------
        weights : (atoms,) tensor
        tolerance : float
            Largest norm of the adjoint equation's residual, Hartree/e.
        """
        model, geometry, shell = self.model, self.geometry, self.model.shell_of
        w, w_shell = weights[model.atom_of], weights[model.atom_of_shell]
        band, entropy = self._weighted_band(w), self._between(w)
        b = 0.5 * (w_shell * (geometry.coulomb @ self.q) + geometry.coulomb @ (w_shell * self.q))
        b = b + (weights * model.third * model.by_atom(self.q).square())[model.atom_of_shell]
        b = b + model.stiffness(geometry, self.q, self._charges(self.occupation.pull(band, entropy)[0]))

        def apply(u: Any) -> Any:
            return u - model.stiffness(geometry, self.q, self.chi(u))

        krylov = Krylov()
        adjoint = gmres(apply, b, w_shell * self.v, tolerance, krylov)
        at_h, at_s = self.occupation.pull(band - self._between(adjoint[shell]), entropy)
        at_gamma = torch.outer(0.5 * w_shell * self.q + self._charges(at_h), self.q)
        at_h, at_s = self._back(at_h), self._back(at_s)
        w_pair, v_pair, q_pair = (0.5 * (u[:, None] + u[None, :]) for u in (w, self.v[shell], adjoint[shell]))
        at_s += w_pair * self._filled(self.occupation.g) - at_h * v_pair - self.density * q_pair
        at_h += w_pair * self.density
        return model.pull(geometry, weights, at_h, at_s, at_gamma), krylov.size

    def _weighted_band(self, w: Any) -> Any:
        """Cᵀ [H⁰ ∘ ½(w ⊕ w)] C between the levels (m, n)."""
        filled, half, h0 = self.C[:, : self.occupation.m], 0.5 * w[:, None], self.geometry.H0
        return (h0 @ (half * filled) + half * (h0 @ filled)).T @ self.C


def gmres(apply: Callable[[Any], Any], b: Any, x: Any, tolerance: float, krylov: Krylov) -> Any:
    """Solve A x = b from the guess ``x`` until |b − A x| ≤ ``tolerance``; not restarted, so that it must end.

    Reference: Y. Saad and M. H. Schultz, SIAM J. Sci. Stat. Comput. 7 (1986) 856, https://doi.org/10.1137/0907058.
    """
    r = b - apply(x)
    size = float(r.norm())
    if size <= tolerance:
        return x
    basis, h, left = [r / size], np.zeros((len(b) + 1, len(b))), size
    for k in range(len(b)):
        new = apply(basis[k])
        # Twice is enough: the basis stays orthogonal to round-off.
        for _ in range(2):
            stack = torch.stack(basis)
            along = stack @ new
            new = new - stack.T @ along
            h[: k + 1, k] += along.cpu().numpy()
        h[k + 1, k] = float(new.norm())
        target = np.zeros(k + 2)
        target[0] = size
        y, *_ = np.linalg.lstsq(h[: k + 2, : k + 1], target, rcond=None)
        left = float(np.linalg.norm(target - h[: k + 2, : k + 1] @ y))
        if left <= tolerance or h[k + 1, k] <= 1e-300:
            values, vectors = np.linalg.eig(h[: k + 1, : k + 1])
            low = int(values.real.argmin())
            krylov.size, krylov.lowest = k + 1, float(values[low].real)
            krylov.direction = torch.stack(basis).T @ b.new_tensor(vectors[:, low].real)
            return x + torch.stack(basis).T @ b.new_tensor(y)
        basis.append(new / h[k + 1, k])
    raise MultiscaleError(
        f"the response equation of {len(b)} charges was left with a residual of {left:.1e} where {tolerance:.1e} is needed; its "
        "matrix is singular at this state, where two self-consistent solutions meet: raise the electronic temperature"
    )
