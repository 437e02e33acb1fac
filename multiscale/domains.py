"""Which rank of a team owns which sites: recursive bisection by cost; and which atoms lie around what a rank owns.

    cut the longest extent where  Σ cost (one side) / Σ cost  =  ranks of that side / ranks;     repeat on both sides

Lengths are measured along the normals of the cell's faces, so that a distance r never spans more than r along any of them,
however oblique the cell. Everything here is a function of replicated numbers: ranks agree without a word.

References
----------
M. J. Berger, S. H. Bokhari, IEEE Trans. Comput. C-36 (1987) 570, https://doi.org/10.1109/TC.1987.1676942.
"""

from __future__ import annotations

import numpy as np

from .types import Array, BoolArray, IntArray


def unfold(x: Array, cell: Array, pbc: BoolArray) -> tuple[Array, Array]:
    """Coordinates (n, 3) along the normals of the cell's faces, folded into the cell on periodic axes; and its heights (3,), Å.

    Examples
    --------
    >>> unfold(np.array([[5.0, 1.0, 7.0]]), np.diag([4.0, 4.0, 4.0]), np.array([True, True, False]))[0].tolist()
    [[1.0, 1.0, 7.0]]
    """
    inverse = np.linalg.inv(cell)
    heights = 1.0 / np.linalg.norm(inverse, axis=0)
    fraction = x @ inverse
    fraction[:, pbc] -= np.floor(fraction[:, pbc])
    return fraction * heights, heights


def bisect(points: Array, cost: Array, parts: int) -> IntArray:
    """The part (n,) of every point, 0 … parts − 1, of nearly equal cost and compact.

    Parameters
    ----------
    points : (n, 3) array
        Å.
    cost : (n,) array
        Not negative; where all are zero, points are counted.
    parts : int
        Any number, also more than there are points: then some parts are empty.

    Examples
    --------
    >>> bisect(np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0], [3, 0, 0]]), np.array([3.0, 1, 1, 1]), 2).tolist()
    [0, 1, 1, 1]
    """
    owner = np.zeros(len(points), dtype=np.int64)
    todo: list[tuple[IntArray, int, int]] = [(np.arange(len(points)), 0, parts)]
    while todo:
        index, first, count = todo.pop()
        if count == 1 or len(index) == 0:
            owner[index] = first
            continue
        left = count // 2
        p = points[index]
        # Stable: points of equal coordinates keep the order of their numbers, on every rank.
        order = np.argsort(p[:, int(np.argmax(np.ptp(p, axis=0)))], kind="stable")
        share = np.cumsum(cost[index][order])
        if share[-1] <= 0.0:
            share = np.arange(1.0, len(index) + 1.0)
        target = share[-1] * left / count
        cut = int(np.searchsorted(share, target))
        # The site on the cut goes to the side that it makes more equal.
        before = share[cut - 1] if cut else 0.0
        if cut < len(share) and share[cut] - target <= target - before:
            cut += 1
        todo += [(index[order[:cut]], first, left), (index[order[cut:]], first + left, count - left)]
    return owner


def around(points: Array, heights: Array, pbc: BoolArray, inside: IntArray, margin: float) -> BoolArray:
    """Which points (n,) may lie within ``margin`` Å of the points ``inside``: those in the box around these, widened by it.

    The box is that of where the points are, not of where they were when they were dealt out.
    """
    near = np.ones(len(points), dtype=bool)
    if len(inside) == 0:
        return ~near
    for axis in range(3):
        p = points[:, axis]
        low, high = p[inside].min() - margin, p[inside].max() + margin
        if not pbc[axis]:
            near &= (p >= low) & (p <= high)
        elif high - low < heights[axis]:
            near &= np.mod(p - low, heights[axis]) <= high - low
    return near
