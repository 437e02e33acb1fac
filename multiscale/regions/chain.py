"""The 1-D reference problem: a chain with first and second neighbours, and its Cauchy–Born elements.

    atoms     e_i = ½ Σ_{j = i±1, i±2} φ(|x_j − x_i|)
    elements  e_e = a₀ W(F_e) = φ(a₀F_e) + φ(2a₀F_e),     a₀F_e = x_{e+1} − x_e

All couplers are examined on it in seconds, without torch, FEniCSx or a GPU. Positions have three columns like everywhere; only
the first is used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp

from ..region import Answer, Can, Query, Region
from ..types import Array, BoolArray, IntArray, MultiscaleError


@dataclass(frozen=True)
class MorsePair:
    """φ(r) = ε (e^{−2α(r−1)} − 2 e^{−α(r−1)}), benchmark B1's with α = 4, ε = 1 (r in Å, φ in eV)."""

    alpha: float = 4.0
    depth: float = 1.0

    def __call__(self, r: Array) -> tuple[Array, Array, Array]:
        """φ, φ′ and φ″."""
        a, e = self.alpha, np.exp(-self.alpha * (r - 1.0))
        return self.depth * (e * e - 2 * e), 2 * a * self.depth * (e - e * e), 2 * a * a * self.depth * (2 * e * e - e)

    def equilibrium(self) -> float:
        """The spacing F_eq at which the chain with two neighbours is free of stress, by Newton's method."""
        f = 0.99
        for _ in range(60):
            _, d1, d2 = self(np.array([f, 2 * f]))
            step = (d1[0] + 2 * d1[1]) / (d2[0] + 4 * d2[1])
            f -= step
            if abs(step) < 1e-16:
                break
        return float(f)


Pair = Callable[[Array], tuple[Array, Array, Array]]


class _Bonds(Region):
    """Sites made of bonds: e_s = Σ_b c_sb φ(L_b). Atoms and elements differ only in the table of bonds."""

    can = (
        Can.ENERGY
        | Can.FORCES
        | Can.SITE_ENERGIES
        | Can.SITE_WEIGHTS
        | Can.STRESS
        | Can.HVP
        | Can.SUBSETS
        | Can.STIFFNESS
    )

    def __init__(self, reference: Array, pair: Pair, period: float | None):
        self._reference = np.array(reference, dtype=float)
        if self._reference.ndim != 2 or self._reference.shape[1] != 3:
            raise MultiscaleError(f"a chain needs positions of shape (n, 3), got {self._reference.shape}")
        self.pair, self.period = pair, period
        self.n_dofs = len(self._reference)
        self.spacing = float(np.median(np.diff(self._reference[:, 0])))
        if self.spacing <= 0:
            raise MultiscaleError("a chain's atoms must be numbered from left to right; sort them by x")

    def _set_bonds(self, sites: IntArray, left: IntArray, right: IntArray, share: float, n_sites: int) -> None:
        """Bond b joins dofs ``left`` and ``right`` (numbers may run past the end of a ring) and gives ``share`` to its site."""
        n = self.n_dofs
        if self.period is None:
            keep = (right < n) & (right >= 0) & (left < n) & (left >= 0)
            sites, left, right = sites[keep], left[keep], right[keep]
        self._site, self._share = sites, share
        self._i, self._j = left % n, right % n
        laps = (right // n - left // n).astype(float)
        self._shift = laps * (self.period or 0.0)
        self.n_sites = n_sites

    @property
    def reference(self) -> Array:
        """Reference positions (n_dofs, 3)."""
        return self._reference

    def masses(self) -> Array:
        """Unit masses, amu."""
        return np.ones(self.n_dofs)

    def evaluate(self, x: Array, query: Query) -> Answer:
        """This rank's sites only; the others contribute nothing."""
        self.check(x, query)
        mine = np.zeros(self.n_sites)
        mine[self.team.share(self.n_sites)] = 1.0
        w = mine if query.weights is None else mine * query.weights
        active = (
            np.flatnonzero((w != 0)[self._site])
            if Can.SITE_ENERGIES not in query.want
            else np.flatnonzero(mine[self._site])
        )
        s, i, j = self._site[active], self._i[active], self._j[active]
        d = x[j, 0] - x[i, 0] + self._shift[active]
        phi, d1, d2 = self.pair(np.abs(d))
        c = w[s] * self._share
        slope = c * d1 * np.sign(d)
        out: dict[str, Any] = {}
        if Can.ENERGY in query.want:
            out["energy"] = float(np.sum(c * phi))
        if Can.FORCES in query.want:
            out["forces"] = self._scatter(i, j, slope)
        if Can.SITE_ENERGIES in query.want:
            out["site_energies"] = np.bincount(s, self._share * phi, self.n_sites)
        if Can.STRESS in query.want:
            out["stress"] = np.zeros((3, 3))
            out["stress"][0, 0] = float(np.sum(slope * d))
        if Can.HVP in query.want and query.vector is not None:
            v = query.vector[:, 0]
            out["hvp"] = -self._scatter(i, j, c * d2 * (v[j] - v[i]))
        return Answer(**out)

    def _scatter(self, i: IntArray, j: IntArray, slope: Array) -> Array:
        f = np.zeros((self.n_dofs, 3))
        f[:, 0] = np.bincount(i, slope, self.n_dofs) - np.bincount(j, slope, self.n_dofs)
        return f

    def stiffness(self, x: Array, weights: Array | None = None) -> Any:
        """The exact sparse Hessian of this rank's sites (3n, 3n)."""
        w = np.zeros(self.n_sites)
        mine = self.team.share(self.n_sites)
        w[mine] = 1.0 if weights is None else weights[mine]
        _, _, d2 = self.pair(np.abs(x[self._j, 0] - x[self._i, 0] + self._shift))
        k = w[self._site] * self._share * d2
        i, j, n = 3 * self._i, 3 * self._j, 3 * self.n_dofs
        rows, cols = np.concatenate([i, j, i, j]), np.concatenate([i, j, j, i])
        return sp.csr_matrix((np.concatenate([k, k, -k, -k]), (rows, cols)), shape=(n, n))

    def covers(self, points: Array) -> BoolArray:
        """Between the first and the last atom, or anywhere on a ring."""
        if self.period is not None:
            return np.ones(len(points), dtype=bool)
        pad = 0.5 * self.spacing + 1e-9
        return (points[:, 0] >= self._reference[0, 0] - pad) & (points[:, 0] <= self._reference[-1, 0] + pad)


class ChainRegion(_Bonds):
    """Atoms of the chain; each site owns half of its four bonds.

    Parameters
    ----------
    reference : (n, 3) array
        Å, from left to right.
    pair : callable
        φ, φ′, φ″ of a distance.
    period : float, optional
        Length of the ring in Å; None for an open chain.
    """

    def __init__(self, reference: Array, pair: Pair | None = None, period: float | None = None):
        super().__init__(reference, pair or MorsePair(), period)
        i = np.arange(self.n_dofs)
        steps = (-2, -1, 1, 2)
        left, right = np.tile(i, 4), np.concatenate([i + s for s in steps])
        self._set_bonds(np.tile(i, 4), left, right, 0.5, self.n_dofs)
        self.matter, self.area = np.ones(self.n_sites), np.zeros(self.n_sites)
        self.reach = 2.0 * self.spacing

    def sites(self, x: Array) -> Array:
        """The atoms themselves."""
        return x

    def pull_sites(self, v: Array) -> Array:
        """The identity."""
        return v


class ChainElements(_Bonds):
    """Cauchy–Born elements between neighbouring nodes; a site is an element, at its midpoint.

    Parameters
    ----------
    reference : (n, 3) array
        Nodes from left to right, one per atom, Å.
    pair, period
        As for :class:`ChainRegion`.
    """

    discrete: ClassVar[bool] = False

    def __init__(self, reference: Array, pair: Pair | None = None, period: float | None = None):
        base = pair or MorsePair()
        super().__init__(reference, lambda r: _cauchy_born(base, r), period)
        n = self.n_dofs if period is not None else self.n_dofs - 1
        e = np.arange(n)
        self._set_bonds(e, e, e + 1, 1.0, n)
        self.matter, self.area = np.ones(n), np.zeros(n)
        self.reach = self.spacing

    def sites(self, x: Array) -> Array:
        """Midpoints of the elements (n_sites, 3)."""
        mid = 0.5 * (x[self._i] + x[self._j])
        mid[:, 0] += 0.5 * self._shift
        return mid

    def pull_sites(self, v: Array) -> Array:
        """Half to each node."""
        out = np.zeros((self.n_dofs, 3))
        np.add.at(out, self._i, 0.5 * v)
        np.add.at(out, self._j, 0.5 * v)
        return out


def _cauchy_born(pair: Pair, r: Array) -> tuple[Array, Array, Array]:
    a, b = pair(r), pair(2.0 * r)
    return a[0] + b[0], a[1] + 2.0 * b[1], a[2] + 4.0 * b[2]
