"""An a-posteriori driver: where the atoms have to go on, and where the mesh is too coarse.

    sites     η_ℓ² = r_ℓ · (P⁻¹ r)_ℓ          r_ℓ the true atomistic force at the interpolated solution, outside the core
    cells     η_T² = Σ_faces h_f |f| |[∇u]|²/24     the jumps of the gradient, each shared by two cells (exact for equal cells on a line)

P is a stiffness, so that Σ η_ℓ² estimates the energy of the error as a dual norm of the residual: K⁻¹ (an elastic solve) or, cheaper, the
stiffness of one site. Both are divided by the same measure of the solution. Sites that carry most of the residual join the atomistic
region; cells that carry most of the jumps are cut; the state is interpolated on the new mesh, where the next solution starts.

References: arXiv:2308.16467, arXiv:2309.13255 (residual estimates for blended methods); Dörfler, SIAM J. Numer. Anal. 33 (1996) 1106,
https://doi.org/10.1137/0733054 (marking).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from scipy.spatial import cKDTree

from .types import Array, BoolArray, IntArray, MultiscaleError

__all__ = ["Estimate", "Level", "adapt", "finer", "jumps", "mark", "residual", "transfer"]

#: Of the jumps: ∫|e'|² = h³u''²/12 for a linear element of length h, whose two ends have half of h (h u'')² each.
_LINE = 1.0 / 24.0


class Simplices(Protocol):
    """What is needed of a mesh of linear simplices."""

    points: Array
    cells: IntArray

    @property
    def volumes(self) -> Array:
        """(nc,)."""

    @property
    def nodes(self) -> Array:
        """(n, 3)."""

    def contains(self, points: Array, tolerance: float = 0.0) -> BoolArray:
        """Whether points (n, 3) are in the mesh."""

    def shape(self, points: Array, tolerance: float = 1e-6) -> Any:
        """The interpolation matrix."""


@dataclass(frozen=True, eq=False)
class Estimate:
    """Squares of the estimated relative error.

    Attributes
    ----------
    points : (n, 3) array
        Sites where forces were sampled, Å.
    sites : (n,) array
        Their shares; single ones may be negative, their sum is not.
    cells : (nc,) array
        Shares of the cells.
    """

    points: Array
    sites: Array
    cells: Array

    @property
    def total(self) -> float:
        """Estimated relative error."""
        return float(np.sqrt(max(self.sites.sum(), 0.0) + self.cells.sum()))

    @property
    def model(self) -> float:
        """The part that more atoms would remove."""
        return float(np.sqrt(max(self.sites.sum(), 0.0)))

    @property
    def mesh(self) -> float:
        """The part that smaller cells would remove."""
        return float(np.sqrt(self.cells.sum()))


@dataclass(frozen=True, eq=False)
class Level:
    """One solution of the sequence."""

    index: int
    problem: Any
    solution: Any
    estimate: Estimate
    converged: bool


def residual(forces: Array, inverse: Callable[[Array], Array] | float, share: Array | float = 1.0) -> Array:
    """η_ℓ² (n,) of atomistic forces at sampled sites.

    Parameters
    ----------
    forces : (n, 3) array
        eV/Å; zero at sites of the core and at those that were not sampled.
    inverse : callable or float
        P⁻¹ on (n, 3) arrays, or the stiffness of one site, eV/Å².
    share : (n,) array or float
        How many sites each sampled one stands for.
    """
    if callable(inverse):
        moved = inverse(forces)
    elif inverse > 0:
        moved = forces / inverse
    else:
        raise MultiscaleError(
            f"a residual is scaled by a positive stiffness, got {inverse:g} eV/Å²; give that of a site in the crystal"
        )
    return np.asarray(share * np.einsum("ni,ni->n", forces, moved))


def jumps(mesh: Simplices, u: Array, keep: BoolArray | None = None) -> Array:
    """η_T² (nc,) of the jumps of ∇u over the faces between cells.

    Parameters
    ----------
    mesh : mesh of linear simplices, dim 2 or 3
    u : (n, k) array
        Nodal values.
    keep : (nc,) bool array, optional
        Cells to be estimated; others get nothing, and faces between two others none either. The lattice's own cells are no
        approximation: leave them out.
    """
    X, cells = mesh.points, mesh.cells
    n, d = len(cells), X.shape[1]
    faces = np.stack([np.delete(cells, k, axis=1) for k in range(d + 1)], axis=1).reshape(-1, d)
    owner = np.repeat(np.arange(n), d + 1)
    order = np.lexsort(np.sort(faces, axis=1).T)
    key = np.sort(faces, axis=1)[order]
    twin = np.flatnonzero((key[1:] == key[:-1]).all(axis=1))
    a, b, corners = owner[order[twin]], owner[order[twin + 1]], X[key[twin]]
    size, distance = _measure(corners), np.linalg.norm(X[cells[a]].mean(axis=1) - X[cells[b]].mean(axis=1), axis=1)
    slope = _gradients(X, cells, u)
    # Centroids of equal cells on a line are h apart.
    square = _LINE * distance * size * ((slope[a] - slope[b]) ** 2).sum(axis=(1, 2))
    out = np.bincount(a, square, n) + np.bincount(b, square, n)
    return np.asarray(out if keep is None else np.where(keep, out, 0.0), dtype=float)


def _measure(corners: Array) -> Array:
    """Lengths of segments (n, 2, 2) or areas of triangles (n, 3, 3)."""
    e = corners[:, 1:] - corners[:, :1]
    gram = np.einsum("nai,nbi->nab", e, e)
    return np.asarray(np.sqrt(np.linalg.det(gram)) / (1.0 if corners.shape[1] == 2 else 2.0))


def _gradients(X: Array, cells: IntArray, u: Array) -> Array:
    """∇u (nc, k, d)."""
    edges, steps = X[cells[:, 1:]] - X[cells[:, :1]], u[cells[:, 1:]] - u[cells[:, :1]]
    return np.asarray(np.linalg.solve(edges, steps).transpose(0, 2, 1))


def mark(shares: Array, fraction: float) -> BoolArray:
    """The smallest set (n,) with at least this fraction of the sum of all positive shares.

    Raises
    ------
    MultiscaleError
        If the fraction is not between 0 and 1.
    """
    if not 0.0 < fraction <= 1.0:
        raise MultiscaleError(
            f"marking takes a fraction between 0 and 1 of the estimated error, got {fraction:g}; a half is usual"
        )
    positive = np.maximum(shares, 0.0)
    order = np.argsort(-positive, kind="stable")
    reached = np.cumsum(positive[order])
    out = np.zeros(len(shares), dtype=bool)
    if len(shares) and reached[-1] > 0:
        out[order[: int(np.searchsorted(reached, fraction * reached[-1] * (1 - 1e-12))) + 1]] = True
    return out


def finer(mesh: Simplices, marked: BoolArray, factor: float = 0.6) -> Callable[[Array], float]:
    """Sizes for a new mesh: those of the present cells, ``factor`` times as large where marked.

    Returns
    -------
    callable
        Size (Å) at a point (dim,): that of the cell with the nearest centroid.
    """
    if not 0.0 < factor < 1.0:
        raise MultiscaleError(f"refining makes cells smaller by a factor between 0 and 1, got {factor:g}")
    d = mesh.points.shape[1]
    regular = np.sqrt(2.0) / 12.0 if d == 3 else np.sqrt(3.0) / 4.0
    h = (mesh.volumes / regular) ** (1.0 / d) * np.where(marked, factor, 1.0)
    tree = cKDTree(mesh.points[mesh.cells].mean(axis=1))

    def size(x: Array) -> float:
        return float(h[tree.query(x)[1]])

    return size


def transfer(mesh: Simplices, u: Array, points: Array) -> Array:
    """The field u of a mesh at points (n, 3): interpolated, and zero outside."""
    inside = np.flatnonzero(mesh.contains(points, 1e-6))
    out = np.zeros((len(points), u.shape[1]))
    out[inside] = mesh.shape(points[inside], 1e-5) @ u
    return out


def adapt(
    problem: Any,
    solve: Callable[[Any, Any], Any],
    estimate: Callable[[Any, Any], Estimate],
    improve: Callable[[Any, Any, Estimate], tuple[Any, Any]],
    *,
    tolerance: float,
    max_levels: int = 10,
) -> Iterator[Level]:
    """Solve, estimate, improve, until the estimated error is small enough; a generator of levels.

    Parameters
    ----------
    problem
        The first one; whatever the functions take it for.
    solve : callable
        (problem, start) → solution; the first start is None.
    estimate : callable
        (problem, solution) → :class:`Estimate`.
    improve : callable
        (problem, solution, estimate) → the next problem and the state to start it from.
    tolerance : float
        Of the estimated relative error.
    max_levels : int

    Yields
    ------
    Level
        The last one has ``converged`` set, unless ``max_levels`` ran out.
    """
    if not tolerance > 0 or max_levels < 1:
        raise MultiscaleError(
            f"adapt needs a positive tolerance and at least one level, got {tolerance:g} and {max_levels}"
        )
    start = None
    for index in range(max_levels):
        solution = solve(problem, start)
        found = estimate(problem, solution)
        done = found.total <= tolerance
        yield Level(index, problem, solution, found, done)
        if done or index == max_levels - 1:
            return
        problem, start = improve(problem, solution, found)
