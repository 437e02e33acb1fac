"""Cauchy–Born laws: the energy density of a homogeneously deformed crystal, from the model that its atoms have.

    W(F) = min_p Ŵ(F, p),      Ŵ = E(F, p)/V      V the volume of the undeformed cell, p the shifts of its atoms

    P = Ŵ_F            𝔸 = Ŵ_FF − Ŵ_Fp Ŵ_pp⁻¹ Ŵ_pF            dp/dF = −Ŵ_pp⁻¹ Ŵ_pF            at the minimum

One atom per cell has no p. With more, p is found by Newton's method for all points at once. Shifts are counted in the deformed frame
and F is not split into rotation and stretch, so that W(QF) = W(F) and the derivative of the rotation is never forgotten: there is none.

The crystal is plane where the mesh is: F has no out-of-plane components but those of plane strain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..lattice import Lattice
from ..models.base import SiteModel
from ..models.crystal import Crystal
from ..types import GPA_PER_EV_A3, Array, IntArray, MultiscaleError
from .laws import SampledLaw, TaylorLaw
from .voigt import PAIRS, embed

#: Most steps of Newton's method for the shifts, and the longest of them, Å.
MOST_STEPS, LONGEST = 40, 0.2


@dataclass(frozen=True)
class _State:
    """What is known at the gradients H: in the order of the distinct ones, and where each point finds its own."""

    H: Array
    where: IntArray
    F: Array
    p: Array
    order: int
    energy: Array
    slope: Array
    curvature: Array | None


class CauchyBorn(SampledLaw):
    """The Cauchy–Born law of a crystal.

    Parameters
    ----------
    model : SiteModel
        Any that is twice differentiable: Stillinger–Weber, EAM, MACE, ….
    cell : (3, 3) array
        Cell vectors of the reference crystal as rows, Å, in the frame of the mesh. Displacement gradients are counted from it.
    symbols : sequence of str
        Elements of its n_basis atoms.
    positions : (n_basis, 3) array, optional
        Å; one atom at the origin unless told.
    pbc : bool or (3,) array of bool
        An open axis of a plane lattice needs a vector of 1 Å: densities are per volume of the cell.
    tolerance : float
        eV/Å; largest force on an atom of the cell that counts as zero.

    Raises
    ------
    MultiscaleError
        At evaluation, if the shifts find no stable minimum, with the point's number and gradient.

    References
    ----------
    Blanc, Le Bris & Lions, ARMA 164 (2002) 341, https://doi.org/10.1007/s00205-002-0218-5 (the limit); Tadmor, Smith, Bernstein &
    Kaxiras, Phys. Rev. B 59 (1999) 235, https://doi.org/10.1103/PhysRevB.59.235 (inner shifts).

    Examples
    --------
    >>> from multiscale.models import EAM
    >>> a = 4.032
    >>> law = CauchyBorn(EAM.ercolessi_adams(), a / 2 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]), ["Al"])
    >>> float(round(law.density(np.zeros((1, 3, 3)))[0] * law.crystal.volume, 4))
    -3.36
    """

    def __init__(
        self,
        model: SiteModel,
        cell: ArrayLike,
        symbols: Sequence[str],
        positions: ArrayLike | None = None,
        *,
        pbc: ArrayLike = True,
        tolerance: float = 1e-10,
    ) -> None:
        self.crystal = Crystal(model, cell, symbols, positions, pbc)
        self.tolerance = tolerance
        self.lattice = Lattice(self.crystal.cell, self.crystal.X, self.crystal.pbc)
        self._last: _State | None = None
        #: Shifts (n_basis − 1, 3) at F = 1, and their derivative by F.
        self._rest: tuple[Array, Array] | None = None

    @property
    def site_volume(self) -> float:
        """Å³ of the undeformed crystal per atom."""
        return self.crystal.volume / self.crystal.n_basis

    # -- the law ------------------------------------------------------------------------------------------------

    def density(self, gradient: Array) -> Array:
        """W (n,), eV/Å³."""
        s = self._state(gradient, 0)
        return (s.energy / self.crystal.volume)[s.where]

    def stress(self, gradient: Array) -> Array:
        """P (n, 3, 3), eV/Å³."""
        s = self._state(gradient, 1)
        # At the minimum the shifts' own change does no work.
        return (s.slope[:, :9].reshape(-1, 3, 3) / self.crystal.volume)[s.where]

    def tangent(self, gradient: Array) -> Array:
        """𝔸 (n, 3, 3, 3, 3), eV/Å³: ∂P_iJ/∂F_kL with the shifts condensed."""
        s = self._state(gradient, 2)
        assert s.curvature is not None
        a, _ = _condensed(s.curvature)
        return (a.reshape(-1, 3, 3, 3, 3) / self.crystal.volume)[s.where]

    def shifts(self, gradient: Array) -> Array:
        """The shifts p (n, n_basis, 3), Å: the atoms of the cell lie at F·X_b + p_b, the first at p = 0."""
        s = self._state(gradient, 1)
        return s.p[s.where]

    def shift_tangent(self, gradient: Array) -> Array:
        """Their derivative dp/dF (n, n_basis, 3, 3, 3), Å."""
        s = self._state(gradient, 2)
        assert s.curvature is not None
        _, dp = _condensed(s.curvature)
        full = np.pad(dp.reshape(len(dp), -1, 3, 3, 3), ((0, 0), (1, 0), (0, 0), (0, 0), (0, 0)))
        return full[s.where]

    def elastic_constants(self, gradient: Array | None = None) -> Array:
        """C (6, 6), GPa, Voigt order, at a state free of stress (the reference unless told)."""
        H = np.zeros((1, 3, 3)) if gradient is None else np.asarray(gradient, dtype=float)[None]
        a = self.tangent(H)[0] * GPA_PER_EV_A3
        return np.array([[a[i, j, k, m] for k, m in PAIRS] for i, j in PAIRS])

    def linearised(self, gradient: Array | None = None) -> TaylorLaw:
        """The law to second order about one displacement gradient (dim, dim), the reference unless told; quick to evaluate.

        The error is of third order in H − H₀, and it is not objective: for the far field of a crystal that does not turn.
        """
        H = embed(np.zeros((1, 3, 3)) if gradient is None else np.asarray(gradient, dtype=float)[None])
        return TaylorLaw(H[0], float(self.density(H)[0]), self.stress(H)[0], self.tangent(H)[0])

    # -- states -------------------------------------------------------------------------------------------------

    def _state(self, gradient: Array, order: int) -> _State:
        """Everything up to ``order`` at the gradients (n, dim, dim), worked out once for equal ones and kept until others come."""
        H = embed(np.asarray(gradient, dtype=float))
        last = self._last
        same = last is not None and last.H.shape == H.shape and np.array_equal(last.H, H)
        if same and last is not None and last.order >= order:
            return last
        if same and last is not None:
            where, F, p = last.where, last.F, last.p
        else:
            distinct, where = np.unique(H.reshape(-1, 9), axis=0, return_inverse=True)
            where = where.reshape(-1)
            F = np.eye(3) + distinct.reshape(-1, 3, 3)
            p = self._relaxed(F)
        # The slope costs little beside the energy, and is what is asked for next.
        e, slope, curvature = self.crystal.evaluate(F, p, max(order, 1))
        assert slope is not None
        self._last = _State(H, where, F, p, max(order, 1), e, slope, curvature)
        return self._last

    def _relaxed(self, F: Array) -> Array:
        """The shifts (n, n_basis, 3) of least energy, by Newton's method on those points that are not there yet."""
        n, nb = len(F), self.crystal.n_basis
        if nb == 1 or n == 0:
            return np.zeros((n, nb, 3))
        return self._minimum(F, self._guess(F))

    def _guess(self, F: Array) -> Array:
        """Shifts (n, n_basis, 3) to first order in the Green–Lagrange strain, turned as the crystal is; saves Newton steps, no more."""
        if self._rest is None:
            one = np.eye(3)[None]
            p = self._minimum(one, np.zeros((1, self.crystal.n_basis, 3)))
            curvature = self.crystal.evaluate(one, p, 2)[2]
            assert curvature is not None
            self._rest = p[0, 1:], _condensed(curvature)[1].reshape(-1, 3, 3, 3)
        p, response = self._rest
        strain = 0.5 * (F.transpose(0, 2, 1) @ F - np.eye(3))
        u, _, vt = np.linalg.svd(F)
        shifts = np.einsum("nij,nbj->nbi", u @ vt, p + np.einsum("bikl,nkl->nbi", response, strain))
        return np.pad(shifts, ((0, 0), (1, 0), (0, 0)))

    def _minimum(self, F: Array, p: Array) -> Array:
        """Newton's method from the shifts ``p``."""
        n, nb = len(F), self.crystal.n_basis
        active = np.arange(n)
        for _ in range(MOST_STEPS):
            _, slope, stiffness = self.crystal.evaluate(F[active], p[active], 2, held=True)
            assert slope is not None and stiffness is not None
            force = -slope
            far = np.abs(force).max(axis=1) > self.tolerance
            low, modes = np.linalg.eigh(stiffness)
            if (low[~far, 0] <= 0).any():
                k = np.flatnonzero(~far & (low[:, 0] <= 0))[0]
                raise MultiscaleError(self._unstable(F[active[k]], float(low[k, 0])))
            active, force, low, modes = active[far], force[far], low[far], modes[far]
            if not len(active):
                return p
            # Downhill also where the curvature is negative on the way; what counts is the curvature at the end.
            along = np.einsum("nki,nk->ni", modes, force) / np.maximum(
                np.abs(low), 1e-3 * np.abs(low).max(axis=1)[:, None]
            )
            move = np.einsum("nki,ni->nk", modes, along).reshape(len(active), nb - 1, 3)
            longest = np.linalg.norm(move, axis=2).max(axis=1)
            p[active, 1:] += move * np.minimum(1.0, LONGEST / np.maximum(longest, 1e-300))[:, None, None]
        raise MultiscaleError(
            f"the inner shifts of {len(active)} of {n} states did not settle in {MOST_STEPS} steps, the first at F = "
            f"{np.round(F[active[0]], 4).tolist()}; load in smaller steps, or refine the mesh where it is strained most"
        )

    def _unstable(self, F: Array, low: float) -> str:
        return (
            f"the crystal has no stable inner shifts at F = {np.round(F, 4).tolist()} (lowest curvature {low:.3g} eV/Å²); the strain "
            "is beyond what the law can describe: make the atomistic region larger there or load less"
        )


def _condensed(curvature: Array) -> tuple[Array, Array]:
    """𝔸 V (n, 9, 9) and dp/dF (n, 3 (n_basis − 1), 9) of ∂²E/∂z² (n, m, m)."""
    ff, fp, pp = curvature[:, :9, :9], curvature[:, :9, 9:], curvature[:, 9:, 9:]
    if not pp.shape[1]:
        return ff, np.zeros((len(ff), 0, 9))
    dp: Any = -np.linalg.solve(pp, fp.transpose(0, 2, 1))
    return ff + fp @ dp, dp
