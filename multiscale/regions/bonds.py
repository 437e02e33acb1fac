"""What the chain's atoms and elements have in common: sites made of bonds of one pair potential.

    E(x ; w) = Σ_s w_s e_s,     e_s = Σ_b c_sb m_b φ(L_b/n_b)

A bond counts c to its site; one that stands for m atoms over n spacings has m times the energy of one n-th of its length.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from ..region import Answer, Can, Query, Region
from ..types import Array, BoolArray, IntArray, MultiscaleError, Team


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


@dataclass(frozen=True)
class HarmonicPair:
    """φ(r) = ½ k (r − r₀)², benchmark B5's chain with k = 57.1464 and r₀ = 2^{1/6}, the curvature of Lennard-Jones pairs at rest."""

    stiffness: float = 57.1464
    length: float = 2.0 ** (1.0 / 6.0)

    def __call__(self, r: Array) -> tuple[Array, Array, Array]:
        """φ, φ′ and φ″."""
        d = r - self.length
        return 0.5 * self.stiffness * d * d, self.stiffness * d, np.full_like(d, self.stiffness)


Pair = Callable[[Array], tuple[Array, Array, Array]]


@dataclass(frozen=True)
class _Counted:
    """Bonds of one rank under given weights: their sites, ends, laps around a ring, and what they count."""

    team: Team
    weights: Array | None
    site: IntArray
    i: IntArray
    j: IntArray
    shift: Array
    share: Array
    worth: tuple[Array, Array] | None


def _same(a: Array | None, b: Array | None) -> bool:
    return a is b if a is None or b is None else np.array_equal(a, b)


class Bonds(Region):
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
        #: How many atoms' worth each bond counts, and over how many spacings it goes; None where all are one.
        self._worth: tuple[Array, Array] | None = None
        self._kept: dict[bool, _Counted] = {}
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
        bonds = self._counted(query.weights, Can.SITE_ENERGIES in query.want)
        s, i, j, c = bonds.site, bonds.i, bonds.j, bonds.share
        at = np.ascontiguousarray(x[:, 0])
        d = at[j] - at[i] + bonds.shift
        phi, d1, d2 = self._scaled(np.abs(d), bonds.worth)
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

    def _counted(self, weights: Array | None, everywhere: bool) -> _Counted:
        """This rank's bonds that count, or all of its bonds; kept until the weights change, since resting ones never do."""
        kept = self._kept.get(everywhere)
        if kept is not None and kept.team is self.team and _same(kept.weights, weights):
            return kept
        mine = np.zeros(self.n_sites)
        mine[self.team.share(self.n_sites)] = 1.0
        w = mine if weights is None else mine * weights
        active = np.flatnonzero(mine[self._site] if everywhere else (w != 0)[self._site])
        s = self._site[active]
        worth = None if self._worth is None else (self._worth[0][active], self._worth[1][active])
        self._kept[everywhere] = _Counted(
            self.team,
            None if weights is None else weights.copy(),
            s,
            self._i[active],
            self._j[active],
            self._shift[active],
            w[s] * self._share,
            worth,
        )
        return self._kept[everywhere]

    def _scaled(self, d: Array, worth: tuple[Array, Array] | None) -> tuple[Array, Array, Array]:
        """M φ(d/n) and its derivatives with respect to d, for m atoms in a bond over n spacings (None: one and one)."""
        if worth is None:
            return self.pair(d)
        m, n = worth
        phi, d1, d2 = self.pair(d / n)
        return m * phi, m / n * d1, m / n**2 * d2

    def _scatter(self, i: IntArray, j: IntArray, slope: Array) -> Array:
        f = np.zeros((self.n_dofs, 3))
        f[:, 0] = np.bincount(i, slope, self.n_dofs) - np.bincount(j, slope, self.n_dofs)
        return f

    def stiffness(self, x: Array, weights: Array | None = None) -> Any:
        """The exact sparse Hessian of this rank's sites (3n, 3n)."""
        w = np.zeros(self.n_sites)
        mine = self.team.share(self.n_sites)
        w[mine] = 1.0 if weights is None else weights[mine]
        _, _, d2 = self._scaled(np.abs(x[self._j, 0] - x[self._i, 0] + self._shift), self._worth)
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
