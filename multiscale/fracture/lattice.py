"""Diamond-structure crystals in a crack's frame: x the direction of growth, y the normal of the crack plane, z the front.

    X = g ∓ b/2,     g in the fcc lattice,     b the steepest bond across the plane y = 0 (lower end: sublattice 0)

so that y = 0 lies midway between two planes of atoms and x = 0 in the middle of a crossing bond. On (111) that is the shuffle gap:
bonds cross it along y and repeat every a√6/4 along [11-2]; one period along the front [1-10] is a/√2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..types import Array, BoolArray, IntArray, MultiscaleError

#: The fcc lattice's primitive vectors and the bonds of the first sublattice, in units of the lattice constant.
_FCC = 0.5 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]])
_BONDS = 0.25 * np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])


@dataclass(frozen=True)
class Orientation:
    """A crack system: Miller indices of the direction of growth, the plane's normal and the front.

    Attributes
    ----------
    growth, normal, front : triples of int
        Orthogonal and right-handed.

    Examples
    --------
    >>> SHUFFLE_111.name, round(float(SHUFFLE_111.spacing), 6)
    ('(1 1 1)[1 -1 0]', 0.612372)
    """

    growth: tuple[int, int, int]
    normal: tuple[int, int, int]
    front: tuple[int, int, int]

    def __post_init__(self) -> None:
        m = np.array([self.growth, self.normal, self.front])
        gram = m @ m.T
        if np.linalg.det(m) <= 0 or (gram - np.diag(np.diag(gram))).any():
            raise MultiscaleError(
                f"a crack system needs three orthogonal, right-handed directions, got growth {self.growth}, normal {self.normal} and "
                f"front {self.front}; the front is growth × normal"
            )

    @property
    def name(self) -> str:
        """(plane)[front]."""
        return f"({' '.join(map(str, self.normal))})[{' '.join(map(str, self.front))}]"

    @cached_property
    def axes(self) -> Array:
        """The crack frame's axes (3, 3) as rows in the crystal's frame."""
        m = np.array([self.growth, self.normal, self.front], dtype=float)
        return np.asarray(m / np.linalg.norm(m, axis=1)[:, None])

    @cached_property
    def repeats(self) -> Array:
        """Shortest lattice vectors (3,) along x, y and z, in units of the lattice constant."""
        out = []
        for direction in (self.growth, self.normal, self.front):
            v = np.array(direction) // np.gcd.reduce(direction)
            # Lattice vectors have whole or half components whose sum is whole.
            out.append(np.linalg.norm(v) * (0.5 if v.sum() % 2 == 0 else 1.0))
        return np.array(out)

    @cached_property
    def bond(self) -> Array:
        """The steepest bond (3,) in the crack's frame and units of the lattice constant, pointing up; y = 0 cuts it in the middle."""
        b = np.vstack([_BONDS, -_BONDS]) @ self.axes.T
        steepest = b[b[:, 1] > b[:, 1].max() - 1e-9]
        # Of several any would do, but always the same one.
        return np.asarray(steepest[np.lexsort(np.round(steepest[:, [2, 0]], 9).T)[-1]])

    @cached_property
    def inverted(self) -> bool:
        """Whether the lower end of :attr:`bond` has the bonds −(1 1 1)/4 instead of (1 1 1)/4 and so on."""
        return bool(np.abs(_BONDS @ self.axes.T - self.bond).sum(axis=1).min() > 1e-9)

    @cached_property
    def spacing(self) -> float:
        """Mean distance along x of the bonds that cross y = 0, in units of the lattice constant."""
        own = _BONDS @ self.axes.T * (-1.0 if self.inverted else 1.0)
        size = self.repeats
        positions, basis, _ = _cells(self, 1.0, (-1.0, size[0] + 1.0), (-1.0, 1.0))
        home = (positions[:, 0] > -1e-6) & (positions[:, 0] < size[0] - 1e-6)
        low = positions[home, 1:2]
        up = low + np.where(basis[home][:, None] == 0, own[:, 1], -own[:, 1])
        return float(size[0] / ((low < 0) & (up > 0)).sum())


#: The two crack systems of silicon that are looked at most.
SHUFFLE_111 = Orientation((1, 1, -2), (1, 1, 1), (1, -1, 0))
CLEAVAGE_110 = Orientation((0, 0, -1), (1, 1, 0), (1, -1, 0))


@dataclass(frozen=True)
class CrackCrystal:
    """Atoms of a diamond crystal around the line x = y = 0, one period thick along z (or as deep as was asked for).

    Attributes
    ----------
    positions : (n, 3) array
        Å.
    basis : (n,) int array
        Sublattice, 0 or 1.
    cells : (n, 3) array
        Centre of the primitive cell (the bond along ``Orientation.bond``) that the atom belongs to, Å.
    period : float
        Å along z.
    spacing : float
        Å, mean distance of crossing bonds along x.
    site_volume : float
        Å³ per atom.
    """

    positions: Array
    basis: IntArray
    cells: Array
    period: float
    spacing: float
    site_volume: float

    def sorted(self, order: IntArray) -> CrackCrystal:
        """The same atoms in another order (n,), or some of them."""
        parts = (self.positions[order], self.basis[order], self.cells[order])
        return CrackCrystal(*parts, self.period, self.spacing, self.site_volume)


def patch(
    o: Orientation,
    a: float,
    x: tuple[float, float],
    y: tuple[float, float],
    keep: Callable[[Array], BoolArray] | None = None,
    z: tuple[float, float] | None = None,
) -> CrackCrystal:
    """All primitive cells whose centre lies in the rectangle x₀ ≤ x ≤ x₁, y₀ ≤ y ≤ y₁ (Å) and satisfies ``keep``, both atoms of each.

    Parameters
    ----------
    o : Orientation
    a : float
        Lattice constant, Å.
    x, y : pairs of float
        Å.
    keep : callable, optional
        Centres (m, 3), Å, to which ones (m,) are wanted.
    z : pair of floats, optional
        Å; one period from 0 unless given.
    """
    positions, basis, centres = _cells(o, a, x, y, keep, z)
    return CrackCrystal(positions, basis, centres, a * float(o.repeats[2]), a * o.spacing, a**3 / 8)


def _cells(
    o: Orientation,
    a: float,
    x: tuple[float, float],
    y: tuple[float, float],
    keep: Callable[[Array], BoolArray] | None = None,
    z: tuple[float, float] | None = None,
) -> tuple[Array, IntArray, Array]:
    """Positions, sublattices and centres of the cells of :func:`patch`."""
    period, slack = a * float(o.repeats[2]), 1e-6 * a
    # Of one period, its end is the next one's beginning.
    depth = (0.0, period - 2.0 * slack) if z is None else z
    corners = np.array([[u, v, w] for u in x for v in y for w in depth])
    # Whole coordinates in the primitive vectors of all corners, and one more.
    n = corners @ np.linalg.inv(a * _FCC @ o.axes.T)
    grids = [np.arange(np.floor(lo) - 1, np.ceil(hi) + 2) for lo, hi in zip(n.min(0), n.max(0), strict=True)]
    centres = np.stack(np.meshgrid(*grids, indexing="ij"), -1).reshape(-1, 3) @ (a * _FCC @ o.axes.T)
    for axis, (low, high) in enumerate((x, y, depth)):
        centres = centres[(centres[:, axis] >= low - slack) & (centres[:, axis] <= high + slack)]
    if keep is not None:
        centres = centres[keep(centres)]
    # Sorting by rounded keys makes the numbering the same on every machine.
    order = np.lexsort(np.round(np.column_stack([centres, np.hypot(centres[:, 0], centres[:, 1])]), 6).T)
    centres, half = centres[order], 0.5 * a * o.bond
    positions = np.stack([centres - half, centres + half], axis=1).reshape(-1, 3)
    return positions, np.tile([0, 1], len(centres)), np.repeat(centres, 2, axis=0)


def diamond(o: Orientation, a: float, radius: float) -> CrackCrystal:
    """All primitive cells whose centre lies within ``radius`` (Å) of the front, both atoms of each; lattice constant ``a`` in Å."""
    return patch(o, a, (-radius, radius), (-radius, radius), lambda c: np.hypot(c[:, 0], c[:, 1]) <= radius)


def orthogonal_cell(o: Orientation, a: float, ny: int = 1) -> tuple[Array, Array]:
    """Atoms (n, 3) and sides (3,), Å, of ``ny`` orthogonal cells on top of each other; y = 0 is a crack plane."""
    side = a * o.repeats * [1.0, ny, 1.0]
    c = patch(o, a, (-a, side[0] + a), (-a, side[1] + a))
    # Positions, not centres: all atoms in the box, each once.
    inside = ((c.positions[:, :2] > -1e-6 * a) & (c.positions[:, :2] < side[:2] - 1e-6 * a)).all(axis=1)
    return c.positions[inside], side
