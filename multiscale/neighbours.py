"""Neighbour lists: all (i, j, S) with |x_j + S·cell − x_i| < cutoff, each pair in both directions.

The list is built with cutoff + skin and kept until some atom has moved farther than skin/2: until then no pair can
have come within the cutoff unnoticed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .domains import around, unfold
from .types import Array, BoolArray, IntArray, MultiscaleError, missing

try:
    import vesin
except ImportError as error:  # pragma: no cover - vesin is a declared dependency
    raise missing("vesin", "A neighbour list", "install it with 'pip install vesin'") from error

#: Å; atoms closer than this are an error of the structure, not an interaction.
OVERLAP = 0.1
#: Pairs that are looked at at once: their arrays stay in the caches.
PIECE = 1 << 14


@dataclass(frozen=True)
class Pairs:
    """Directed pairs, sorted by centre, then neighbour, then shift.

    Attributes
    ----------
    i, j : (n_pairs,) int array
        Centre and neighbour.
    shift : (n_pairs, 3) int array
        S, the number of cell vectors added to the neighbour's position.
    vectors : (n_pairs, 3) array
        D = x_j + S·cell − x_i, Å.
    """

    i: IntArray
    j: IntArray
    shift: IntArray
    vectors: Array


@dataclass(frozen=True)
class Stored:
    """Pairs that may be within the cutoff: ``i``, ``j`` as in :class:`Pairs`; S is ``shifts[code]``, S·cell ``offsets[code]``, Å."""

    i: IntArray
    j: IntArray
    code: NDArray[np.int32]
    shifts: IntArray
    offsets: Array

    def shift(self, rows: IntArray) -> IntArray:
        """S (k, 3) of some of the pairs."""
        return self.shifts[self.code[rows]]


def complete_cell(cell: ArrayLike, pbc: ArrayLike) -> Array:
    """The cell (3, 3), Å, with missing (zero) vectors of open axes replaced by unit vectors normal to the others.

    Raises
    ------
    MultiscaleError
        If a periodic axis has no cell vector, or the cell vectors are not independent.
    """
    full, periodic = np.array(cell, dtype=float).reshape(3, 3), np.broadcast_to(np.asarray(pbc, dtype=bool), (3,))
    empty = ~full.any(axis=1)
    if np.any(empty & periodic):
        raise MultiscaleError(
            f"The cell {full.tolist()} has no vector along a periodic axis (pbc={periodic.tolist()}); "
            "give that axis a length or make it open"
        )
    if empty.any():
        # The right singular vectors beyond the rank of the given rows are an orthonormal basis of what they leave out.
        given = full[~empty]
        normals = np.linalg.svd(given)[2][len(given) :] if len(given) else np.eye(3)
        full[empty] = normals
    if abs(np.linalg.det(full)) < 1e-8 * np.prod(np.linalg.norm(full, axis=1)):
        raise MultiscaleError(f"The cell {full.tolist()} has no volume; give three independent cell vectors")
    return full


class NeighbourList:
    """A neighbour list that is rebuilt only when it has to be.

    Parameters
    ----------
    cutoff : float
        Å.
    cell : (3, 3) array
        Cell vectors as rows, Å; zero rows are allowed on open axes.
    pbc : bool or (3,) array of bool
        Which axes are periodic.
    skin : float
        Å; zero rebuilds at every change of position.
    bodies : (n,) int array, optional
        Which body each atom belongs to; atoms of different bodies are no neighbours.

    Attributes
    ----------
    builds : int
        How often the list has been built.

    Notes
    -----
    Cells may be thinner than the cutoff (a pair then occurs with several shifts, an atom also with itself),
    triclinic, and open along any axes; atoms may lie outside the cell. The work is done by vesin
    (https://github.com/Luthaf/vesin).

    Examples
    --------
    >>> chain = NeighbourList(1.5, np.diag([1.0, 9.0, 9.0]), (True, False, False))
    >>> chain.pairs(np.zeros((1, 3))).shift.tolist()
    [[-1, 0, 0], [1, 0, 0]]
    """

    def __init__(
        self, cutoff: float, cell: ArrayLike, pbc: ArrayLike, skin: float = 0.5, bodies: IntArray | None = None
    ) -> None:
        if cutoff <= 0.0 or skin < 0.0:
            raise MultiscaleError(
                f"A neighbour list was given cutoff {cutoff} Å and skin {skin} Å; it needs cutoff > 0 and skin ≥ 0"
            )
        self.cutoff, self.skin = float(cutoff), float(skin)
        self.pbc: BoolArray = np.array(np.broadcast_to(np.asarray(pbc, dtype=bool), (3,)))
        self.cell = complete_cell(cell, self.pbc)
        self.bodies = bodies
        self.builds = 0
        self._built_at: Array | None = None
        self._i: IntArray = np.zeros(0, dtype=np.int64)
        self._j: IntArray = np.zeros(0, dtype=np.int64)
        # Few different shifts occur: a number per pair takes a twelfth of the memory of S and S·cell.
        self._code: NDArray[np.int32] = np.zeros(0, dtype=np.int32)
        self._shifts: IntArray = np.zeros((0, 3), dtype=np.int64)
        self._first: IntArray = np.zeros(1, dtype=np.int64)

    def pairs(self, x: Array, centres: IntArray | None = None) -> Pairs:
        """Pairs within the cutoff whose centre is among ``centres`` (all atoms unless given).

        Parameters
        ----------
        x : (n, 3) array
            Positions, Å.
        centres : (m,) int array, optional
            Atoms whose pairs are wanted; the pairs come in the order of this array.

        Raises
        ------
        MultiscaleError
            If positions are not finite, or two atoms are closer than 0.1 Å.
        """
        if self.stale(x):
            self.build(x)
        stored = self.stored(np.arange(len(x)) if centres is None else centres)
        near, vectors = self.within(x, stored)
        return Pairs(stored.i[near], stored.j[near], stored.shift(near), vectors)

    def stored(self, centres: IntArray) -> Stored:
        """The pairs of ``centres`` (m,) as they were stored, within cutoff + skin of where atoms were; in the order of this array."""
        rows = self._rows(centres)
        return Stored(self._i[rows], self._j[rows], self._code[rows], self._shifts, self._shifts @ self.cell)

    def within(self, x: Array, stored: Stored) -> tuple[IntArray, Array]:
        """Which of the stored pairs are within the cutoff now (k,), and their vectors (k, 3), Å.

        Raises
        ------
        MultiscaleError
            If two atoms are closer than 0.1 Å.
        """
        near, vectors = [], []
        for first in range(0, max(len(stored.i), 1), PIECE):
            rows, d = self._within(x, stored, slice(first, first + PIECE))
            near.append(rows + first)
            vectors.append(d)
        return np.concatenate(near), np.concatenate(vectors)

    def _within(self, x: Array, stored: Stored, piece: slice) -> tuple[IntArray, Array]:
        i, j, code = stored.i[piece], stored.j[piece], stored.code[piece]
        vectors = np.take(x, j, axis=0)
        vectors += np.take(stored.offsets, code, axis=0)
        vectors -= np.take(x, i, axis=0)
        square = np.einsum("ij,ij->i", vectors, vectors)
        near: IntArray = np.flatnonzero(square < self.cutoff**2)
        if len(square) and square.min() < OVERLAP**2:
            worst = int(square.argmin())
            raise MultiscaleError(
                f"Atoms {i[worst]} and {j[worst]} are {np.sqrt(square[worst]):.3g} Å apart (closer than {OVERLAP} Å); "
                "remove the duplicate or check the step that moved them"
            )
        return near, np.take(vectors, near, axis=0)

    def _rows(self, centres: IntArray) -> IntArray:
        """Rows of the stored list that belong to ``centres``, in their order."""
        start, count = self._first[centres], self._first[centres + 1] - self._first[centres]
        # Row k of the result is start[c] + (k − number of rows before c): one ramp, with a jump at each centre.
        jump = np.subtract(start, np.cumsum(count) - count)
        return np.add(np.repeat(jump, count), np.arange(count.sum()))

    def stale(self, x: Array) -> bool:
        """Whether some atom has moved farther than half the skin since the list was built; the same on ranks with the same ``x``.

        Raises
        ------
        MultiscaleError
            If positions are not finite.
        """
        if not np.isfinite(x).all():
            bad = int(np.flatnonzero(~np.isfinite(x).all(axis=1))[0])
            raise MultiscaleError(
                f"The position of atom {bad} is {x[bad].tolist()}; positions must be finite, check the last step"
            )
        if self._built_at is None or self._built_at.shape != x.shape:
            return True
        moved = x - self._built_at
        return bool(np.einsum("ij,ij->i", moved, moved).max(initial=0.0) > (0.5 * self.skin) ** 2)

    def build(self, x: Array, mine: IntArray | None = None, hops: int = 1) -> None:
        """List the pairs anew.

        Parameters
        ----------
        x : (n, 3) array
            Positions, Å.
        mine : (m,) int array, optional
            The atoms that this rank owns. Unless given, all pairs are listed; else only those whose centre is within ``hops`` − 1
            hops of them, at least.
        hops : int
        """
        self.builds += 1
        self._built_at = np.array(x, dtype=float)
        if mine is None:
            i, j, shift = self._search(self._built_at)
        else:
            points, heights = unfold(self._built_at, self.cell, self.pbc)
            far = self.cutoff + self.skin
            atoms = np.flatnonzero(around(points, heights, self.pbc, mine, hops * far))
            i, j, shift = self._search(self._built_at[atoms])
            centre = np.zeros(len(x), dtype=bool)
            centre[mine] = True
            if hops > 1:
                centre |= around(points, heights, self.pbc, mine, (hops - 1) * far)
            kept = centre[atoms][i]
            i, j, shift = atoms[i[kept]], atoms[j[kept]], shift[kept]
        if self.bodies is not None:
            same = self.bodies[i] == self.bodies[j]
            i, j, shift = i[same], j[same], shift[same]
        shifts, code = _distinct(shift)
        order = _order(i, j, code, len(x), len(shifts))
        self._i, self._j, self._shifts, self._code = i[order], j[order], shifts, code[order]
        self._first = np.searchsorted(self._i, np.arange(len(x) + 1))

    def _search(self, x: Array) -> tuple[IntArray, IntArray, NDArray[np.int32]]:
        if len(x) == 0:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros((0, 3), dtype=np.int32)
        # One thread: the ranks already share the cores out, and vesin takes all of them by default.
        engine = vesin.NeighborList(cutoff=self.cutoff + self.skin, full_list=True, n_threads=1)
        i, j, shift = engine.compute(x, *self._box(x), "ijS")
        return i.astype(np.int64), j.astype(np.int64), shift.astype(np.int32)

    def _box(self, x: Array) -> tuple[Array, BoolArray]:
        """The cell and periodic axes as vesin gets them.

        It searches cells with open and periodic axes thirty times more slowly than others. With open axes made periodic, but longer than
        the structure by more than the cutoff, the pairs are the same, and none of them has a shift along these axes.
        """
        if self.pbc.all() or not self.pbc.any():
            return self.cell, self.pbc
        inverse = np.linalg.inv(self.cell)
        spread = np.ptp(x @ inverse, axis=0)
        room = spread + 1.01 * (self.cutoff + self.skin) * np.linalg.norm(inverse, axis=0)
        return np.where(self.pbc, 1.0, room)[:, None] * self.cell, np.ones(3, dtype=bool)


def _distinct(shift: NDArray[np.int32]) -> tuple[IntArray, NDArray[np.int32]]:
    """The different rows (m, 3) of shifts (n, 3), ascending, and which of them each is (n,)."""
    low = [int(s.min(initial=0)) for s in shift.T]
    extent = [int(s.max(initial=0)) - k + 1 for s, k in zip(shift.T, low, strict=True)]
    code = ((shift[:, 0] - low[0]) * extent[1] + (shift[:, 1] - low[1])) * extent[2] + (shift[:, 2] - low[2])
    there = np.zeros(int(np.prod(extent)), dtype=bool)
    there[code] = True
    found = np.unravel_index(np.flatnonzero(there), extent)
    number = (np.cumsum(there) - 1).astype(np.int32)
    return np.stack(found, axis=1) + np.array(low), number[code]


def _order(i: IntArray, j: IntArray, code: NDArray[np.int32], n: int, n_shifts: int) -> IntArray:
    """The order by centre, then neighbour, then shift; it does not hang on where atoms were when the list was built."""
    if float(n) ** 2 * n_shifts < 2.0**62:
        # One number per pair sorts several times as fast as three.
        return np.argsort((i * n + j) * n_shifts + code)
    return np.lexsort((code, j, i))
