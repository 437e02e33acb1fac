"""The reference simplex: shape functions and quadrature rules, ∫ f dV ≈ |T| Σ_q ŵ_q f(λ_q).

Points are given by barycentric coordinates λ = (λ_0, …, λ_d) of the cell's vertices. The numbering of edges and of
quadrature points is that of basix (and so of DOLFINx), so that a site means the same point on both sides; the rules
are those of basix' default scheme, which ``regions.continuum`` verifies when it binds.
"""

from __future__ import annotations

import numpy as np

from ..types import Array, MultiscaleError

#: Vertex pairs of the edges of a cell, by dimension, in basix order.
EDGES: dict[int, tuple[tuple[int, int], ...]] = {
    2: ((1, 2), (0, 2), (0, 1)),
    3: ((2, 3), (1, 3), (1, 2), (0, 3), (0, 2), (0, 1)),
}
#: Vertices of the facet opposite each vertex.
FACETS: dict[int, tuple[tuple[int, ...], ...]] = {
    2: ((1, 2), (0, 2), (0, 1)),
    3: ((1, 2, 3), (0, 2, 3), (0, 1, 3), (0, 1, 2)),
}
#: Cell names of basix and DOLFINx.
CELL_NAMES = {2: "triangle", 3: "tetrahedron"}

_A4, _B4 = 0.816847572980459, 0.091576213509771  # Dunavant (1985), DOI 10.1002/nme.1620210612, degree 4
_C4, _D4 = 0.10810301816807, 0.445948490915965
_P3, _Q3, _R3 = 0.659027622374092, 0.231933368553031, 0.109039009072877  # Strang & Fix (1973), degree 3
_K2, _L2 = 0.585410196624969, 0.138196601125011  # Keast (1986), DOI 10.1016/0045-7825(86)90059-9, degree 2
_S4, _T4 = 0.6984197043243866, 0.1005267652252045  # Keast, degree 4
_U4, _V4 = 0.0568813795204234, 0.3143728734931922

# Cartesian points in the reference cell and their weights as fractions of its volume.
_RULES: dict[tuple[int, int], tuple[list[tuple[float, ...]], list[float]]] = {
    (2, 1): ([(1 / 3, 1 / 3)], [1.0]),
    (2, 2): ([(1 / 6, 1 / 6), (1 / 6, 2 / 3), (2 / 3, 1 / 6)], [1 / 3] * 3),
    (2, 3): ([(_P3, _Q3), (_P3, _R3), (_Q3, _P3), (_Q3, _R3), (_R3, _P3), (_R3, _Q3)], [1 / 6] * 6),
    (2, 4): (
        [(_A4, _B4), (_B4, _A4), (_B4, _B4), (_C4, _D4), (_D4, _C4), (_D4, _D4)],
        [0.109951743655322] * 3 + [0.223381589678011] * 3,
    ),
    (3, 1): ([(0.25, 0.25, 0.25)], [1.0]),
    (3, 2): ([(_K2, _L2, _L2), (_L2, _K2, _L2), (_L2, _L2, _K2), (_L2, _L2, _L2)], [0.25] * 4),
    (3, 4): (
        [
            (0.0, 0.5, 0.5), (0.5, 0.0, 0.5), (0.5, 0.5, 0.0), (0.5, 0.0, 0.0), (0.0, 0.5, 0.0), (0.0, 0.0, 0.5),
            (_S4, _T4, _T4), (_T4, _T4, _T4), (_T4, _T4, _S4), (_T4, _S4, _T4),
            (_U4, _V4, _V4), (_V4, _V4, _V4), (_V4, _V4, _U4), (_V4, _U4, _V4),
        ],
        [0.0190476190476190] * 6 + [0.0885898247429807] * 4 + [0.1328387466855907] * 4,
    ),
}  # fmt: skip


def rule(dim: int, degree: int) -> tuple[Array, Array]:
    """Quadrature on the simplex: barycentric points (nq, dim + 1) and weights (nq,) that sum to one.

    Rules with a negative weight (tetrahedra, degree 3) are left out: a site is a piece of matter, and there is no
    negative matter.
    """
    if (dim, degree) not in _RULES:
        known = sorted(q for d, q in _RULES if d == dim)
        raise MultiscaleError(
            f"no quadrature rule of degree {degree} with positive weights in {dim} dimensions; choose from {known}"
        )
    points, weights = _RULES[dim, degree]
    p = np.array(points)
    w = np.array(weights)
    return np.column_stack([1.0 - p.sum(axis=1), p]), w / w.sum()


def shape(lam: Array, degree: int) -> Array:
    """Values (n, nb) of the Lagrange basis at barycentric points (n, dim + 1).

    N_a = λ_a, or λ_a (2 λ_a − 1) at vertices and 4 λ_a λ_b at edges.
    """
    if degree == 1:
        return lam
    edges = [4.0 * lam[:, a] * lam[:, b] for a, b in EDGES[lam.shape[1] - 1]]
    return np.column_stack([lam * (2.0 * lam - 1.0), *edges])


def shape_derivative(lam: Array, degree: int) -> Array:
    """∂N_a/∂λ_b, (n, nb, dim + 1), with the λ_b taken as independent."""
    n, k = lam.shape
    d = np.zeros((n, k, k))
    if degree == 1:
        d[:, range(k), range(k)] = 1.0
        return d
    d[:, range(k), range(k)] = 4.0 * lam - 1.0
    e = np.zeros((n, len(EDGES[k - 1]), k))
    for i, (a, b) in enumerate(EDGES[k - 1]):
        e[:, i, a] = 4.0 * lam[:, b]
        e[:, i, b] = 4.0 * lam[:, a]
    return np.concatenate([d, e], axis=1)


def closest_distance(point: Array, corners: Array) -> Array:
    """Distances (n,) from a point (dim,) or points (n, dim) outside to the simplices ``corners`` (n, dim + 1, dim).

    The closest point lies in the interior of exactly one face (vertex, edge, …) whose affine hull the point projects
    into; all proper faces are tried, which is exact and needs no iteration.
    """
    n, k, dim = corners.shape
    p = np.broadcast_to(point, (n, dim))
    best = np.full(n, np.inf)
    for mask in range(1, 2**k - 1):
        face = corners[:, [a for a in range(k) if mask >> a & 1]]
        edges = face[:, 1:] - face[:, :1]
        r = p - face[:, 0]
        gram = edges @ edges.transpose(0, 2, 1)
        t = np.linalg.solve(gram, (edges @ r[:, :, None]))[..., 0] if edges.shape[1] else np.zeros((n, 0))
        inside = (t >= 0).all(axis=1) & (t.sum(axis=1) <= 1.0)
        dist = np.linalg.norm(r - np.einsum("nk,nkd->nd", t, edges), axis=1)
        best = np.where(inside & (dist < best), dist, best)
    return best
