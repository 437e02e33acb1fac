"""Where atoms are: periodic images, and the points that count as covered by them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial import cKDTree

from ..neighbours import complete_cell
from ..types import Array, BoolArray, IntArray

#: Å; covers a lone atom, and caps the nearest-neighbour distance found in sparse structures.
LONE, SPARSE = 2.5, 4.0


def periodic_images(x: Array, cell: ArrayLike, pbc: BoolArray, points: Array, margin: float) -> tuple[Array, IntArray]:
    """All images of atoms that may be within ``margin`` Å of some points.

    Parameters
    ----------
    x : (n, 3) array
        Atoms, Å.
    cell, pbc : (3, 3), (3,)
        Cell vectors, Å, and periodic axes.
    points : (m, 3) array
        Å.

    Returns
    -------
    images : (k·n, 3) array
        Atom i shifted by shifts[s] is row s·n + i.
    shifts : (k, 3) int array
        Nearest first, so that the atoms themselves come first.
    """
    full = complete_cell(cell, pbc)
    inverse = np.linalg.inv(full)
    fractions, atoms = points @ inverse, x @ inverse
    spread = margin * np.linalg.norm(inverse, axis=0)  # margin over the distance between opposite faces
    low = np.where(pbc, np.minimum(np.floor(fractions.min(0) - spread - atoms.max(0)), 0), 0).astype(int)
    high = np.where(pbc, np.maximum(np.ceil(fractions.max(0) + spread - atoms.min(0)), 0), 0).astype(int)
    axes = [np.arange(a, b + 1) for a, b in zip(low, high, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    shifts = grid[np.argsort(np.abs(grid).sum(1), kind="stable")]
    images: Array = (x[None] + (shifts @ full)[:, None]).reshape(-1, 3)
    return images, shifts


def covered(points: ArrayLike, x: Array, cell: ArrayLike, pbc: BoolArray) -> BoolArray:
    """Whether an atom of ``x`` (n, 3) or an image is within a nearest-neighbour distance of each point (m, 3)."""
    points = np.asarray(points, dtype=float).reshape(-1, 3)
    if not len(points) or not len(x):
        return np.zeros(len(points), dtype=bool)
    around = np.concatenate([points, x])
    images = periodic_images(x, cell, pbc, around, SPARSE)[0]
    tree = cKDTree(images)
    # The largest holes of a crystal are about a bond length away from the next atoms.
    nearest = tree.query(x, k=2)[0][:, 1] if len(images) > 1 else np.array([LONE])
    near = 1.05 * float(np.median(np.minimum(nearest, SPARSE)))
    return np.asarray(tree.query(points)[0] <= near)


def nearest_images(x: Array, k: int, cell: ArrayLike, pbc: BoolArray) -> Array:
    """Distance (n,), Å, from every atom of ``x`` (n, 3) to the nearest periodic image of atom ``k``."""
    # No point of space is farther from the nearest lattice point than half of all the cell vectors together.
    margin = 0.5 * float(np.linalg.norm(np.asarray(cell, dtype=float)[pbc], axis=1).sum())
    images, _ = periodic_images(x[k : k + 1], cell, pbc, x, margin)
    return np.asarray(cKDTree(images).query(x)[0], dtype=float)
