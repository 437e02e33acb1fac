"""Neighbour lists: all (i, j, S) with |x_j + S·cell − x_i| < cutoff, each pair in both directions.

The list is built with cutoff + skin and kept until some atom has moved farther than skin/2: until then no pair can
have come within the cutoff unnoticed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .types import Array, BoolArray, IntArray, MultiscaleError, missing

try:
    import vesin
except ImportError as error:  # pragma: no cover - vesin is a declared dependency
    raise missing("vesin", "A neighbour list", "install it with 'pip install vesin'") from error

#: Å; atoms closer than this are an error of the structure, not an interaction.
OVERLAP = 0.1


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

    def __init__(self, cutoff: float, cell: ArrayLike, pbc: ArrayLike, skin: float = 0.5) -> None:
        if cutoff <= 0.0 or skin < 0.0:
            raise MultiscaleError(
                f"A neighbour list was given cutoff {cutoff} Å and skin {skin} Å; it needs cutoff > 0 and skin ≥ 0"
            )
        self.cutoff, self.skin = float(cutoff), float(skin)
        self.pbc: BoolArray = np.array(np.broadcast_to(np.asarray(pbc, dtype=bool), (3,)))
        self.cell = complete_cell(cell, self.pbc)
        self.builds = 0
        self._built_at: Array | None = None
        self._i: IntArray = np.zeros(0, dtype=np.int64)
        self._j: IntArray = np.zeros(0, dtype=np.int64)
        self._shift: IntArray = np.zeros((0, 3), dtype=np.int64)
        self._offset: Array = np.zeros((0, 3))
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
        if self._stale(x):
            self._build(x)
        rows: IntArray = np.arange(len(self._i)) if centres is None else self._rows(centres)
        i, j = self._i[rows], self._j[rows]
        vectors = x[j] + self._offset[rows] - x[i]
        square = np.einsum("ij,ij->i", vectors, vectors)
        near: IntArray = np.flatnonzero(square < self.cutoff**2)
        rows, i, j, vectors, square = rows[near], i[near], j[near], vectors[near], square[near]
        if len(square) and square.min() < OVERLAP**2:
            worst = int(square.argmin())
            raise MultiscaleError(
                f"Atoms {i[worst]} and {j[worst]} are {np.sqrt(square[worst]):.3g} Å apart (closer than {OVERLAP} Å); "
                "remove the duplicate or check the step that moved them"
            )
        return Pairs(i, j, self._shift[rows], vectors)

    def _rows(self, centres: IntArray) -> IntArray:
        """Rows of the stored list that belong to ``centres``, in their order."""
        start, count = self._first[centres], self._first[centres + 1] - self._first[centres]
        # Row k of the result is start[c] + (k − number of rows before c): one ramp, with a jump at each centre.
        jump = np.subtract(start, np.cumsum(count) - count)
        return np.add(np.repeat(jump, count), np.arange(count.sum()))

    def _stale(self, x: Array) -> bool:
        """Whether some atom has moved farther than half the skin since the list was built."""
        if not np.isfinite(x).all():
            bad = int(np.flatnonzero(~np.isfinite(x).all(axis=1))[0])
            raise MultiscaleError(
                f"The position of atom {bad} is {x[bad].tolist()}; positions must be finite, check the last step"
            )
        if self._built_at is None or self._built_at.shape != x.shape:
            return True
        moved = x - self._built_at
        return bool(np.einsum("ij,ij->i", moved, moved).max(initial=0.0) > (0.5 * self.skin) ** 2)

    def _build(self, x: Array) -> None:
        self.builds += 1
        self._built_at = np.array(x, dtype=float)
        n = len(x)
        if n:
            # One thread: the ranks already share the cores out, and vesin takes all of them by default.
            engine = vesin.NeighborList(cutoff=self.cutoff + self.skin, full_list=True, n_threads=1)
            i, j, shift = engine.compute(self._built_at, self.cell, self.pbc, "ijS")
        else:
            i, j, shift = np.zeros(0), np.zeros(0), np.zeros((0, 3))
        shift = shift.astype(np.int64)
        order = np.lexsort((shift[:, 2], shift[:, 1], shift[:, 0], j, i))
        self._i, self._j = i[order].astype(np.int64), j[order].astype(np.int64)
        self._shift = shift[order]
        self._offset = self._shift @ self.cell
        self._first = np.searchsorted(self._i, np.arange(n + 1))
