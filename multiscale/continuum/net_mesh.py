"""Plane meshes of a crystal in rows, refined in a strip: fcc seen along [1-10], bcc along [110] and other centred rectangular nets.

    sites:    X = (½ m b, (k − ½) h),   m + k even      the slip plane X₂ = 0 lies between two rows
    refined:  all sites of the rows near X₂ = 0 are vertices; their cells are the net's own triangles, of area ½ b h
    outside:  rows 2 (or 3), 4, then ``gap`` apart, with vertices 2, 4, then ``spacing`` b apart; all of them sites
    cells:    Delaunay's

Every vertex is a site, so that atoms can be representatives of the others, and all sites lie in the mesh.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import Delaunay

from ..types import Array, BoolArray, IntArray, MultiscaleError
from .mesh import SimplexMesh


@dataclass(frozen=True, eq=False)
class Net:
    """A block of a crystal whose atoms, seen along X₃, are a centred rectangular net; odd rows end farther out than even ones.

    Parameters
    ----------
    b, h : float
        Å; distance of neighbours in a row, and of rows.
    period : float
        Å along X₃; atoms of even rows lie at X₃ = 0, those of odd rows at half of it.
    columns : int
        Odd number; atoms of odd rows lie at |X₁| ≤ ½ columns b.
    low, high : int
        The lowest and the highest row; both even.

    Examples
    --------
    >>> net = Net.fcc(4.032, 139, -98, 100)
    >>> len(net.m), net.period == net.b
    (27760, True)
    """

    b: float
    h: float
    period: float
    columns: int
    low: int
    high: int

    def __post_init__(self) -> None:
        if (
            self.columns % 2 == 0
            or self.low % 2
            or self.high % 2
            or not (self.low < 0 < self.high and self.columns > 0)
        ):
            raise MultiscaleError(
                f"a Net needs an odd number of columns and even rows low < 0 < high, got {self.columns}, {self.low} and {self.high}; odd "
                "rows would stand out of the hull of the others"
            )
        k = np.arange(self.low, self.high + 1)
        # m has the parity of k, and odd rows the larger |m|.
        rows = [np.arange(-self.columns + (n % 2 == 0), self.columns + 1, 2) for n in k]
        object.__setattr__(self, "m", np.concatenate(rows))
        object.__setattr__(self, "k", np.repeat(k, [len(r) for r in rows]))

    @classmethod
    def fcc(cls, a: float, columns: int, low: int, high: int) -> Net:
        """X₁ ∥ [110], X₂ ∥ [001], X₃ ∥ [1-10]; lattice constant a, Å."""
        b = a / np.sqrt(2.0)
        return cls(b, 0.5 * a, b, columns, low, high)

    m: IntArray = None  # type: ignore[assignment]
    k: IntArray = None  # type: ignore[assignment]

    @property
    def positions(self) -> Array:
        """(n, 3), Å."""
        return np.stack([0.5 * self.b * self.m, self.h * (self.k - 0.5), 0.5 * self.period * (self.k % 2)], axis=1)

    @property
    def primitive(self) -> Array:
        """Vectors of the primitive cell as rows, Å."""
        return np.array([[self.b, 0, 0], [0, 0, self.period], [0.5 * self.b, self.h, 0.5 * self.period]])

    @property
    def cell(self) -> Array:
        """The block's cell, periodic along X₃ only."""
        return np.diag([0.0, 0.0, self.period])

    @property
    def site_volume(self) -> float:
        """Å³."""
        return self.b * self.h * self.period

    def inner(self, rim: float) -> tuple[int, int, int]:
        """The largest |m|, and the lowest and the highest row, of sites with all sites within ``rim`` (Å) of them in the block."""
        m = int(np.floor((0.5 * (self.columns - 1) * self.b - rim) / (0.5 * self.b) + 1e-9))
        rows = int(np.floor(rim / self.h - 1e-9)) + 1
        low, high = self.low + rows, self.high - rows
        if m < 1 or low >= 0 or high <= 1:
            raise MultiscaleError(f"nothing is left of the block within a rim of {rim:.4g} Å; make the block larger")
        return m, low, high


@dataclass(frozen=True, eq=False)
class NetMesh:
    """A mesh whose vertices are sites of a net.

    Attributes
    ----------
    mesh : SimplexMesh
    sites : (nv,) ints
        The site that each vertex is.
    refined : (n,) bool array
        Sites of the refined rows.
    """

    mesh: SimplexMesh
    sites: IntArray
    refined: BoolArray


def strip(net: Net, refined: tuple[int, int], rim: float, *, spacing: int = 7, gap: int = 10) -> NetMesh:
    """Refined rows from one edge of a block to the other, and coarser ones below and above.

    Parameters
    ----------
    net : Net
    refined : (int, int)
        The lowest and the highest refined row; even ones give way to the next odd ones outside, which end on the hull.
    rim : float
        Å; sites nearer to the edge are held: vertices of the coarse rows lie on both sides of the line between held and free ones, so
        that no cell is cut by it. (Diagonals may cut off the four corners: the free sites there are in cells of held vertices.)
    spacing, gap : int
        Of the coarsest cells along a row, in b, and across, in rows (an even number).

    Raises
    ------
    MultiscaleError
        If the refined rows leave no room for coarse ones.
    """
    refined = (refined[0] - 1 + refined[0] % 2, refined[1] + 1 - refined[1] % 2)
    m_free, low, high = net.inner(rim)
    # First held sites: coarse rows are odd, as long as the longest.
    m_held = m_free + 1 if m_free % 2 == 0 else m_free + 2
    top, bottom = high + 1 + (high % 2), low - 1 - (low % 2)
    above = _rows(refined[1], top, gap)
    below = [1 - k for k in _rows(1 - refined[0], 1 - bottom, gap, odd=False)]
    rows = [
        (k, s) for k, s in [*_spaced(above, spacing), *_spaced(below, spacing)] if not refined[0] <= k <= refined[1]
    ]
    rows += [(net.high - 1, spacing), (net.high, spacing), (net.low + 1, spacing), (net.low, spacing)]
    chosen = (net.k >= refined[0]) & (net.k <= refined[1])
    inside = chosen.copy()
    for k, s in rows:
        chosen |= (net.k == k) & np.isin(net.m, _places(net, k, s, m_held))
    sites = np.flatnonzero(chosen)
    points = net.positions[sites, :2]
    cells = Delaunay(points).simplices.astype(np.int64)
    corner = points[cells]
    area = 0.5 * np.abs(np.linalg.det(corner[:, 1:] - corner[:, :1]))
    cells = cells[area > 1e-6 * net.b * net.h]  # vertices in a line at the hull
    return NetMesh(SimplexMesh(points, cells), sites, inside)


def whole(net: Net) -> NetMesh:
    """The net's own triangles: all sites are vertices."""
    points = net.positions[:, :2]
    cells = Delaunay(points).simplices.astype(np.int64)
    return NetMesh(SimplexMesh(points, cells), np.arange(len(points)), np.ones(len(points), dtype=bool))


def _rows(edge: int, held: int, gap: int, odd: bool = True) -> list[int]:
    """Coarse rows from the refined ``edge`` to the first ``held`` one: gaps of 2 or 3, 4, then about ``gap``."""
    parity = 1 if odd else 0
    first = edge + (2 if edge % 2 == parity else 3)
    second = first + 4
    if held - second < gap:
        raise MultiscaleError(
            f"refined rows up to {edge} leave no room for coarser ones before the held row {held}; refine fewer rows, or enlarge the block"
        )
    n = max(1, round((held - second) / gap))
    return [first, *(second + 2 * int(round((held - second) / 2 * i / n)) for i in range(n + 1))]


def _spaced(rows: list[int], spacing: int) -> list[tuple[int, int]]:
    return [(k, min(s, spacing)) for k, s in zip(rows, [2, 4] + [spacing] * len(rows), strict=False)]


def _places(net: Net, k: int, spacing: int, held: int) -> IntArray:
    """M of the vertices of a coarse row: evenly between the first held ones, and the ends of the row."""
    end = net.columns if k % 2 else net.columns - 1
    held = held if k % 2 else held + 1
    n = max(1, round(held / spacing))
    m = -held + 2 * np.round(held * np.arange(n + 1) / n).astype(int)
    return np.concatenate([[-end], m, [end]])
