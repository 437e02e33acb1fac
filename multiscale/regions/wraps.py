"""Clusters in cells that are too small for them: whether a cluster meets its own periodic image.

    extent of the cluster along the normal of two opposite faces + one bond  ≤  distance of the faces

suffices for it not to. What is refused is exact: an atom that is in the cluster twice, through different images, and a
cut bond between the cluster and an image of itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ..types import Array, BoolArray, IntArray, MultiscaleError

#: An atom of the cluster: parent atom and lattice shift.
Node = tuple[int, int, int, int]


def refuse_images(
    inside: Iterable[Node],
    broken: Sequence[tuple[Node, Node]],
    x: Array,
    cell: Array,
    pbc: BoolArray,
    allowed: BoolArray,
) -> None:
    """Refuse a cluster that meets its own image along an axis along which that is not ``allowed``.

    Parameters
    ----------
    inside : nodes
        The cluster.
    broken : sequence of (node, node)
        Its cut bonds: atom inside, atom outside.
    x, cell, pbc : (n, 3), (3, 3), (3,)
        Positions and cell of the large system, Å, and its periodic axes.
    allowed : (3,) bool array
        Axes along which images are meant.

    Raises
    ------
    MultiscaleError
        With the lengths of cluster and cell.
    """
    nodes = sorted(inside)
    found: dict[int, list[Node]] = {}
    for node in nodes:
        found.setdefault(node[0], []).append(node)
    twice = ((copies[0], other, "is in it twice") for copies in found.values() for other in copies[1:])
    touching = (
        (copy, outer, f"is in it and, through another image, bonded to atom {inner[0]} of it from outside")
        for inner, outer in broken
        for copy in found.get(outer[0], [])
    )
    for first, second, how in (*twice, *touching):
        shift: IntArray = np.array(second[1:], dtype=np.int64) - np.array(first[1:], dtype=np.int64)
        axes = np.flatnonzero((shift != 0) & ~allowed)
        if len(axes):
            raise MultiscaleError(_sentence(first, shift, how, axes, np.array(nodes), x, cell, pbc))


def _sentence(
    node: Node, shift: IntArray, how: str, axes: IntArray, nodes: IntArray, x: Array, cell: Array, pbc: BoolArray
) -> str:
    normals = np.linalg.inv(cell).T
    heights = 1.0 / np.linalg.norm(normals, axis=1)
    at = x[nodes[:, 0]] + nodes[:, 1:] @ cell
    along = at @ (normals * heights[:, None]).T
    extent = np.ptp(along, axis=0)
    lengths = "; ".join(
        f"along axis {k} the cluster is {extent[k]:.2f} Å long and the cell {heights[k]:.2f} Å" for k in axes
    )
    return (
        f"carve found a cluster of {len(nodes)} atoms that meets its own periodic image: atom {node[0]} {how}, "
        f"{np.linalg.norm(shift @ cell):.2f} Å apart ({lengths}, periodic axes {pbc.tolist()}); use a larger cell, a "
        "smaller core or buffer, or say that images are meant: periods above 1 along such an axis, or images=True"
    )
