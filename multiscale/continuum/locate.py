"""Point location in a simplex mesh: λ(X) ≥ 0 in the cell that holds X.

A cell holds a point only if the point is no farther from the cell's centroid than its farthest vertex. Cells are
sorted into classes of similar radius, one KD-tree each, so that the search is exact on strongly graded meshes too.
Most points are settled by the first pass over the nearest centroids.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from ..types import Array, IntArray, MultiscaleError
from .reference import closest_distance

#: Barycentric slack within which a point counts as inside: round-off of the affine map, not a tolerance in Å.
_ROUND_OFF = 1e-10


class Locator:
    """Finds the cells of points; built once per mesh.

    Parameters
    ----------
    corners : (nc, dim + 1, dim) array
        Vertex positions of every cell, Å.
    """

    def __init__(self, corners: Array) -> None:
        self.corners = corners
        self.inverse = np.linalg.inv((corners[:, 1:] - corners[:, :1]).transpose(0, 2, 1))
        centroid = corners.mean(axis=1)
        radius = np.linalg.norm(corners - centroid[:, None], axis=2).max(axis=1)
        self.tree = cKDTree(centroid)
        octave = np.floor(np.log2(radius / radius.min())).astype(int)
        self.classes: list[tuple[IntArray, cKDTree, float]] = []
        for k in np.unique(octave):
            cells = np.flatnonzero(octave == k)
            self.classes.append((cells, cKDTree(centroid[cells]), float(radius[cells].max())))

    def barycentric(self, cell: IntArray, points: Array) -> Array:
        """λ (n, dim + 1) of points (n, dim) in the given cells (n,); negative outside."""
        t = np.einsum("nij,nj->ni", self.inverse[cell], points - self.corners[cell, 0])
        return np.column_stack([1.0 - t.sum(axis=1), t])

    def find(self, points: Array) -> tuple[IntArray, Array]:
        """Cells (n,) holding the points, or −1, and λ (n, dim + 1) there.

        A point shared by cells gets one of them, the same on every rank.
        """
        n = len(points)
        k = min(8, len(self.corners))
        _, near = self.tree.query(points, k=k)
        near = np.reshape(near, (n, k))
        cell, least = near[:, 0].astype(np.int64), np.full(n, -np.inf)
        for j in range(k):
            worst = self.barycentric(near[:, j], points).min(axis=1)
            better = worst > np.maximum(least, -_ROUND_OFF)
            better &= least < _ROUND_OFF  # the nearest centroid keeps points that it holds strictly
            cell[better], least[better] = near[better, j], worst[better]
        todo = np.flatnonzero(least < -_ROUND_OFF)
        if len(todo):
            cell[todo] = self._search(points[todo])
        return cell, self.barycentric(np.maximum(cell, 0), points)

    def _candidates(self, points: Array, slack: float) -> tuple[IntArray, IntArray]:
        """All (point, cell) pairs whose bounding balls, widened by ``slack`` in Å, overlap."""
        which, cells = [], []
        for members, tree, radius in self.classes:
            found = tree.query_ball_point(points, radius + slack + 1e-9 * radius)
            count = [len(f) for f in found]
            which.append(np.repeat(np.arange(len(points)), count))
            cells.append(members[np.concatenate([np.asarray(f, dtype=np.int64) for f in found])])
        return np.concatenate(which), np.concatenate(cells)

    def _search(self, points: Array) -> IntArray:
        """The exhaustive pass: the cell in which the smallest λ is largest, −1 if none holds the point."""
        who, cells = self._candidates(points, 0.0)
        worst = self.barycentric(cells, points[who]).min(axis=1)
        keep = worst >= -_ROUND_OFF
        who, cells, worst = who[keep], cells[keep], worst[keep]
        order = np.lexsort((cells, -worst, who))
        first = order[np.unique(who[order], return_index=True)[1]]
        out = np.full(len(points), -1, dtype=np.int64)
        out[who[first]] = cells[first]
        return out

    def nearest(self, points: Array, tolerance: float) -> IntArray:
        """The nearest cell of points outside the mesh, −1 where none is within ``tolerance`` (Å)."""
        out = np.full(len(points), -1, dtype=np.int64)
        if tolerance <= 0 or not len(points):
            return out
        who, cells = self._candidates(points, tolerance)
        dist = closest_distance(points[who], self.corners[cells]) if len(who) else np.zeros(0)
        keep = dist <= tolerance
        who, cells, dist = who[keep], cells[keep], dist[keep]
        order = np.lexsort((cells, dist, who))
        first = order[np.unique(who[order], return_index=True)[1]]
        out[who[first]] = cells[first]
        return out

    def locate(self, points: Array, tolerance: float) -> tuple[IntArray, Array]:
        """As :meth:`find`, with points up to ``tolerance`` outside given to the nearest cell; others are an error."""
        cell, lam = self.find(points)
        out = np.flatnonzero(cell < 0)
        if len(out):
            cell[out] = self.nearest(points[out], tolerance)
            lost = np.flatnonzero(cell < 0)
            if len(lost):
                p = points[lost[0]]
                far = closest_distance(p, self.corners).min()
                raise MultiscaleError(
                    f"{len(lost)} of {len(points)} points lie outside the mesh, the first (number {lost[0]}) at "
                    f"{[round(float(c), 6) for c in p]} Å is {far:.3g} Å away where at most {tolerance:g} Å is "
                    "extrapolated; enlarge the mesh or the tolerance"
                )
            lam[out] = self.barycentric(cell[out], points[out])
        return cell, lam
