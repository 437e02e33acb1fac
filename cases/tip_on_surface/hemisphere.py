"""A half shell of tetrahedra: rings of triangles on half a sphere, drawn out along the radius.

Ring k of n has 6 k points at the polar angle k π/2n, so that the rim is a circle of points on the flat face.
"""

from __future__ import annotations

import numpy as np

from multiscale.types import Array, IntArray


def half_shell(layers: int, rings: int) -> tuple[IntArray, Array, Array, IntArray]:
    """Layer (n,) of every point, its polar angle over π/2 (n,) and azimuth (n,), and the cells (nc, 4); layers + 1 layers of points."""
    polar, azimuth = [0.0], [0.0]
    for k in range(1, rings + 1):
        polar += [k / rings] * (6 * k)
        azimuth += (2.0 * np.pi * np.arange(6 * k) / (6 * k)).tolist()
    flat, count = _triangles(rings), len(polar)
    # A prism between two layers has three tetrahedra, by the order of its points, so that neighbours cut common faces alike.
    a, b, c = np.sort(flat, axis=1).T
    prism = np.concatenate(
        [
            np.column_stack([a, b, c, c + count]),
            np.column_stack([a, b, b + count, c + count]),
            np.column_stack([a, a + count, b + count, c + count]),
        ]
    )
    cells = np.concatenate([prism + k * count for k in range(layers)])
    layer = np.repeat(np.arange(layers + 1), count)
    return layer, np.tile(polar, layers + 1), np.tile(azimuth, layers + 1), cells


def _triangles(rings: int) -> IntArray:
    """Of a disc of rings (nt, 3): six sectors, each with a triangle more in every ring."""
    start = [0, *(1 + 3 * k * (k - 1) for k in range(1, rings + 1))]
    out = []
    for k in range(rings):
        inner, outer = max(6 * k, 1), 6 * (k + 1)
        for s in range(6):
            for i in range(k + 1):
                here, there = start[k] + (s * k + i) % inner, s * (k + 1) + i
                out.append([here, start[k + 1] + there % outer, start[k + 1] + (there + 1) % outer])
                if i < k:
                    out.append([here, start[k + 1] + (there + 1) % outer, start[k] + (s * k + i + 1) % inner])
    return np.array(out, dtype=np.int64)
