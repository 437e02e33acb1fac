"""The 1-D reference problem: a chain with first and second neighbours, and its Cauchy–Born elements.

    atoms     e_i = ½ Σ_{j = i±1, i±2} φ(|x_j − x_i|)
    elements  e_e = n_e a₀ W(F_e) = n_e [ φ(a₀F_e) + φ(2a₀F_e) ],     a₀F_e = (x_{e+1} − x_e)/n_e,     n_e = L_e/a₀ atoms' worth

All couplers are examined on it in seconds, without torch, FEniCSx or a GPU. Positions have three columns like everywhere; only
the first is used.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
import scipy.sparse as sp

from ..types import Array, BoolArray, IntArray, MultiscaleError
from .bonds import Bonds, HarmonicPair, MorsePair, Pair

__all__ = ["ChainElements", "ChainRegion", "HarmonicPair", "MorsePair", "Pair"]


class ChainRegion(Bonds):
    """Atoms of the chain; each site owns half of its bonds.

    Parameters
    ----------
    reference : (n, 3) array
        Å, from left to right.
    pair : callable
        φ, φ′, φ″ of a distance.
    period : float, optional
        Length of the ring in Å; None for an open chain.
    neighbours : int
        How many neighbours to either side an atom has bonds with.
    """

    def __init__(self, reference: Array, pair: Pair | None = None, period: float | None = None, *, neighbours: int = 2):
        super().__init__(reference, pair or MorsePair(), period)
        i = np.arange(self.n_dofs)
        steps = [s for s in range(-neighbours, neighbours + 1) if s]
        left, right = np.tile(i, len(steps)), np.concatenate([i + s for s in steps])
        self._set_bonds(np.tile(i, len(steps)), left, right, 0.5, self.n_dofs)
        self.matter, self.area = np.ones(self.n_sites), np.zeros(self.n_sites)
        self.reach = neighbours * self.spacing

    def sites(self, x: Array) -> Array:
        """The atoms themselves."""
        return x

    def pull_sites(self, v: Array) -> Array:
        """The identity."""
        return v


class ChainElements(Bonds):
    """Cauchy–Born elements between neighbouring nodes; a site is an element, at its midpoint, or an atom that it stands for.

    Parameters
    ----------
    reference : (n, 3) array
        Nodes from left to right, Å.
    pair, period
        As for :class:`ChainRegion`.
    neighbours : int
        As of the atoms that the elements stand for.
    spacing : float, optional
        Å between these atoms; the distance of the nodes unless given, one node per atom.
    quadrature : {"midpoint", "lattice"}
        Where an element's sites are. On the lattice they are the places of its atoms, those at its nodes half in each neighbour
        (the trapezoidal rule): weights that vary within an element then count, with those of the atoms, every atom exactly once.

    Raises
    ------
    MultiscaleError
        If sites are to be on the lattice and an element's length is no number of spacings.
    """

    discrete: ClassVar[bool] = False

    def __init__(
        self,
        reference: Array,
        pair: Pair | None = None,
        period: float | None = None,
        *,
        neighbours: int = 2,
        spacing: float | None = None,
        quadrature: Literal["midpoint", "lattice"] = "midpoint",
    ):
        base = pair or MorsePair()
        super().__init__(reference, lambda r: _cauchy_born(base, r, neighbours), period)
        n = self.n_dofs if period is not None else self.n_dofs - 1
        self._ends = np.arange(n), np.arange(1, n + 1) % self.n_dofs
        self._lengths = (self._reference[self._ends[1], 0] - self._reference[self._ends[0], 0]) % (period or np.inf)
        worth = np.ones(n) if spacing is None else self._lengths / spacing
        e, t, m = _lattice(worth) if quadrature == "lattice" else (np.arange(n), np.full(n, 0.5), worth)
        self._t: Array = t
        self._set_bonds(np.arange(len(e)), e, e + 1, 1.0, len(e))
        self.matter, self.area = m, np.zeros(len(e))
        self.reach = self.spacing
        if spacing is not None:
            self._worth = m, worth[e]
            self.reach = float(self._lengths.max())

    def sites(self, x: Array) -> Array:
        """Where the sites are in their elements (n_sites, 3)."""
        t = self._t[:, None]
        at = (1.0 - t) * x[self._i] + t * x[self._j]
        at[:, 0] += self._t * self._shift
        return at

    def pull_sites(self, v: Array) -> Array:
        """To the nodes on either side, to the nearer one more."""
        out = np.zeros((self.n_dofs, 3))
        np.add.at(out, self._i, (1.0 - self._t[:, None]) * v)
        np.add.at(out, self._j, self._t[:, None] * v)
        return out

    def masses(self) -> Array:
        """Half of each element's atoms to each of its nodes, amu; with one node per atom unit masses, as its atoms have."""
        if self._worth is None:
            return super().masses()
        return self.pull_sites(np.repeat(self.matter[:, None], 3, axis=1))[:, 0]

    @property
    def nodes(self) -> Array:
        """Reference positions of the nodes (n_dofs, 3), Å."""
        return self._reference

    def shape(self, points: Array, tolerance: float = 1e-6) -> Any:
        """Linear shape functions (n, n_dofs), sparse, at reference points (n, 3); up to ``tolerance`` (Å) outside they are extrapolated."""
        e, t = self._locate(points, tolerance)
        return self._rows(e, 1.0 - t, t)

    def gradient(self, points: Array, tolerance: float = 1e-6) -> list[Any]:
        """Their slopes, 1/Å: one sparse matrix (n, n_dofs)."""
        e, _ = self._locate(points, tolerance)
        slope = 1.0 / self._lengths[e]
        return [self._rows(e, -slope, slope)]

    def interpolation(self, points: Array) -> Any:
        """The shape functions."""
        return self.shape(points)

    def covers(self, points: Array) -> BoolArray:
        """Between the first and the last node; with one node per atom up to half a spacing beyond, as its atoms do."""
        if self._worth is None or self.period is not None:
            return super().covers(points)
        x = points[:, 0]
        return np.asarray((x >= self._reference[0, 0] - 1e-6) & (x <= self._reference[-1, 0] + 1e-6))

    def _rows(self, e: IntArray, left: Array, right: Array) -> Any:
        rows, columns = np.tile(np.arange(len(e)), 2), np.concatenate([end[e] for end in self._ends])
        return sp.csr_matrix((np.concatenate([left, right]), (rows, columns)), shape=(len(e), self.n_dofs))

    def _locate(self, points: Array, tolerance: float) -> tuple[IntArray, Array]:
        """The element of each point, and how far through it the point is, 0 … 1."""
        left, x = self._reference[0, 0], np.asarray(points, dtype=float)[:, 0]
        if self.period is not None:
            x = left + (x - left) % self.period
        e = np.clip(np.searchsorted(self._reference[:, 0], x, side="right") - 1, 0, len(self._lengths) - 1)
        t = (x - self._reference[self._ends[0][e], 0]) / self._lengths[e]
        off = np.maximum(-t, t - 1.0) * self._lengths[e]
        if len(off) and off.max() > tolerance:
            k = int(off.argmax())
            raise MultiscaleError(
                f"point {k} at x = {x[k]:.4f} Å lies {off[k]:.3g} Å outside the chain's elements; interpolate only where the region covers"
            )
        return e, t


def _lattice(worth: Array) -> tuple[IntArray, Array, Array]:
    """The element of every site on the lattice, how far through it the site is, and how many atoms' worth it is."""
    n = np.round(worth).astype(int)
    off = np.abs(worth - n)
    if (off > 1e-6).any() or (n < 1).any():
        k = int(off.argmax())
        raise MultiscaleError(
            f"element {k} is {worth[k]:.6g} spacings long, but sites on the lattice need a whole number; put the nodes on atoms' places, "
            "or use quadrature='midpoint'"
        )
    e = np.repeat(np.arange(len(n)), n + 1)
    at = np.concatenate([np.arange(m + 1) for m in n])
    return e, at / n[e], np.where((at == 0) | (at == n[e]), 0.5, 1.0)


def _cauchy_born(pair: Pair, r: Array, neighbours: int = 2) -> tuple[Array, Array, Array]:
    w, d1, d2 = pair(r)
    for s in range(2, neighbours + 1):
        a = pair(float(s) * r)
        w, d1, d2 = w + a[0], d1 + s * a[1], d2 + s * s * a[2]
    return w, d1, d2
