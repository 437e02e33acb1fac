"""Watching bonds: which bond breaks, ahead of the crack, behind it, or off its plane."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..neighbours import NeighbourList
from ..types import Array, BoolArray, IntArray


@dataclass(frozen=True)
class BondWatch:
    """First-neighbour bonds of the reference crystal.

    Attributes
    ----------
    i, j : (n_bonds,) int arrays
        Atoms; the second one is taken at ``shift``.
    shift : (n_bonds, 3) array
        Å.
    crossing : (n_bonds,) bool array
        Bonds across the crack plane y = 0.
    x : (n_bonds,) array
        Position of the bond along the direction of growth in the reference crystal, Å.
    limit : float
        Å; longer bonds are broken.
    """

    i: IntArray
    j: IntArray
    shift: Array
    crossing: BoolArray
    x: Array
    limit: float = 3.0

    @classmethod
    def of(cls, positions: Array, period: float, bond: float, limit: float = 3.0) -> BondWatch:
        """Bonds shorter than 1.2 ``bond`` in the perfect crystal ``positions`` (n, 3), periodic along z."""
        cell = np.diag([0.0, 0.0, period])
        pairs = NeighbourList(1.2 * bond, cell, [False, False, True], 0.0).pairs(positions)
        i, j = pairs.i, pairs.j
        shift = pairs.shift @ cell
        once = (i < j) | ((i == j) & (shift[:, 2] > 0))
        i, j, shift = i[once], j[once], shift[once]
        y_i, y_j = positions[i, 1], positions[j, 1]
        middle = 0.5 * (positions[i, 0] + positions[j, 0])
        return cls(i, j, shift, y_i * y_j < 0, middle, limit)

    def lengths(self, x: Array) -> Array:
        """Bond lengths (n_bonds,) in Å for atoms at ``x`` (n, 3)."""
        return np.linalg.norm(x[self.j] + self.shift - x[self.i], axis=1)

    def broken(self, x: Array) -> BoolArray:
        """Which bonds (n_bonds,) are longer than the limit."""
        return self.lengths(x) > self.limit

    def front(self, x: Array) -> float:
        """X of the last broken crossing bond of the unbroken row of them, Å (−∞ if none is broken)."""
        order = np.argsort(self.x[self.crossing])
        at, gone = self.x[self.crossing][order], self.broken(x)[self.crossing][order]
        first = int(np.argmin(gone)) if not gone.all() else len(gone)
        return float(at[first - 1]) if first else float("-inf")

    def state(self, x: Array) -> str:
        """Crossing bonds broken up to where, and bonds broken off the plane, in words; equal states give equal words."""
        gone = self.broken(x)
        off = int((gone & ~self.crossing).sum())
        away = f", {off} bonds broken off the crack plane" if off else ""
        return f"front at x = {self.front(x):.2f} Å ({int((gone & self.crossing).sum())} crossing bonds open{away})"
