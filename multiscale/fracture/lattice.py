"""Diamond-structure crystals in a crack's frame: x the direction of growth, y the normal of the crack plane, z the front.

(111)[1-10]: x = [11-2], y = [111], z = [1-10]; y = 0 lies in the shuffle gap and x = 0 on a crossing bond. One period along z is
a/√2, crossing bonds repeat every a√6/4 along x.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..types import Array, IntArray

#: Rows are the crack frame's axes in the crystal's frame.
SHUFFLE_111 = np.array([[1, 1, -2], [1, 1, 1], [1, -1, 0]]) / np.sqrt([[6.0], [3.0], [2.0]])


@dataclass(frozen=True)
class CrackCrystal:
    """Atoms of a diamond crystal around the line x = y = 0, one period thick along z.

    Attributes
    ----------
    positions : (n, 3) array
        Å, sorted by distance from the line.
    basis : (n,) int array
        Sublattice, 0 or 1.
    cells : (n, 3) array
        Centre of the primitive cell (the bond along y) that the atom belongs to, Å.
    period : float
        Å along z.
    spacing : float
        Å between crossing bonds along x.
    site_volume : float
        Å³ per atom.
    """

    positions: Array
    basis: IntArray
    cells: Array
    period: float
    spacing: float
    site_volume: float


def diamond_111(a: float, radius: float) -> CrackCrystal:
    """All bonds along y whose centre lies within ``radius`` (Å) of the front, both atoms of each; lattice constant ``a`` in Å."""
    bond = a * np.sqrt(3) / 4
    fcc = 0.5 * a * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]])
    n = int(np.ceil(2.5 * radius / a)) + 3
    grid = np.stack(np.meshgrid(*[np.arange(-n, n + 1)] * 3, indexing="ij"), -1).reshape(-1, 3)
    centres = grid @ fcc @ SHUFFLE_111.T
    period = a / np.sqrt(2)
    centres = centres[(centres[:, 2] > -1e-6) & (centres[:, 2] < period - 1e-6)]
    centres = centres[np.hypot(centres[:, 0], centres[:, 1]) <= radius]
    # Sorting by rounded keys makes the numbering the same on every machine.
    order = np.lexsort(np.round(np.column_stack([centres, np.hypot(centres[:, 0], centres[:, 1])]), 6).T)
    centres = centres[order]
    half = np.array([0.0, 0.5 * bond, 0.0])
    positions = np.stack([centres - half, centres + half], axis=1).reshape(-1, 3)
    basis = np.tile([0, 1], len(centres))
    return CrackCrystal(positions, basis, np.repeat(centres, 2, axis=0), period, a * np.sqrt(6) / 4, a**3 / 8)
