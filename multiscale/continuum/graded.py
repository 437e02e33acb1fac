"""Rectangles with cells of one size along a path and larger ones away from it: the meshes of cracks whose way is known.

x_k = k h where it is fine, and spacings that grow by a constant factor outside. Triangles are those of :meth:`SimplexMesh.rectangle`.
"""

from __future__ import annotations

import numpy as np

from ..types import Array, MultiscaleError
from .mesh import SimplexMesh


def graded(start: float, stop: float, fine: tuple[float, float], h: float, growth: float = 1.3) -> Array:
    """Ascending coordinates from ``start`` to ``stop``: spacing ``h`` within ``fine``, growing by ``growth`` outside.

    ``h`` is adjusted to divide the fine stretch, and the growing spacings are shrunk together to fit.

    Examples
    --------
    >>> graded(0.0, 10.0, (0.0, 3.0), 1.0, growth=2.0).tolist()
    [0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 10.0]
    """
    a, b = fine
    if not (start <= a < b <= stop and 0 < h and growth >= 1):
        raise MultiscaleError(
            f"need start ≤ fine[0] < fine[1] ≤ stop, h > 0 and growth ≥ 1, got {start}, {fine}, {stop}, {h} and {growth}"
        )
    middle = np.linspace(a, b, max(1, round((b - a) / h)) + 1)
    return np.concatenate([a - _growing(a - start, h, growth)[::-1], middle, b + _growing(stop - b, h, growth)])


def _growing(length: float, h: float, growth: float) -> Array:
    """Distances from the fine part, the last one ``length``."""
    if length <= 1e-9 * h:
        return np.zeros(0)
    sizes = [h * growth]
    while sum(sizes) < length * (1 - 1e-9):
        sizes.append(sizes[-1] * growth)
    out = np.cumsum(sizes) * (length / sum(sizes))
    out[-1] = length
    return out


def rectangle(x: Array, y: Array, degree: int = 1) -> SimplexMesh:
    """Triangles on the grid of the coordinates x and y, both ascending."""
    nx, ny = len(x) - 1, len(y) - 1
    mesh = SimplexMesh.rectangle((0, 0), (nx, ny), (nx, ny))
    i, j = np.rint(mesh.points).astype(int).T
    return SimplexMesh(np.column_stack([np.asarray(x)[i], np.asarray(y)[j]]), mesh.cells, degree)
