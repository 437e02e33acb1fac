"""Surfaces that face one another across a gap: distances at quadrature points, by one sparse operator.

    h_s(u) = g_s + (G u)_s         G u = ±[ (N' u'_z)(X_s) − (N u_z)(X_s) ]      along the axis, from here to there
    E(u) = Σ_s w_s a_s Ψ(h_s),     F = −Gᵀ (w a p),     K = Gᵀ diag(w a p') G

What lies opposite is found once, in the reference, at the same lateral coordinate: surfaces may come and go along the axis as far as
they like, but slide and tilt only by a little of what separates their features. Nothing has to match, neither meshes nor degrees: in plane
meshes the sites are Gauss points on the pieces into which both sides' facets cut the line, so that a uniform pressure is one on either
side; in space they are those of the first surface alone. a_s is the area *seen along the axis* (2πr dr in bodies of revolution), as
Derjaguin's rule has it: so it is the same from either side.

A rigid counterpart has one node, the :class:`Stamp`'s, among the dofs. Its height D is a dof like others, and needs no machinery of its
own: held and moved by a rigid machine, free under a dead load, or found by a driver that holds something else
(:mod:`multiscale.drive.held`); the load is the force on it, −∂E/∂D.

Facets have to resolve the zone where adhesion acts, or the edge of contact sticks to them. For a gap of curvature 1/R facets of degree k
may have 0.1 k √(εR)/(1 + μ^1.5/k), μ³ = R w²/(E*² ε³) (Tabor's parameter), ε the range of the law, wherever the edge may come: within
(2√μ + 1.5) √(εR) of the middle; five linear ones lie in the zone then. Flat gaps open as cracks do, over :func:`.cohesive.zone_length`.

References: Greenwood, Proc. R. Soc. Lond. A 453 (1997) 1277, DOI 10.1098/rspa.1997.0070; Derjaguin, Kolloid-Z. 69 (1934) 155,
DOI 10.1007/BF01433225.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from ..types import Array, BoolArray, IntArray, MultiscaleError
from .cohesive import zone_length
from .cohesive_laws import CohesiveLaw
from .gap_laws import PEAK
from .surface import Surface


@dataclass(frozen=True)
class Stamp:
    """A rigid counterpart: its node stands at the height ``height``, its face at a distance f ≥ 0 behind.

    Parameters
    ----------
    height : float
        Of the node on the axis, in the reference.
    profile : callable X (n, 3) -> (n,), optional
        f at reference points; a plane unless told.
    radius : float
        Of curvature, where the profile has one.
    """

    height: float
    profile: Callable[[Array], Array] = lambda X: np.zeros(len(X))
    radius: float = np.inf

    @classmethod
    def paraboloid(cls, radius: float, height: float, dim: int = 2) -> Stamp:
        """The profile r²/2R about the axis, of plane meshes (x or r) or in space (x, y)."""
        if not radius > 0:
            raise MultiscaleError(f"a paraboloid has a positive radius, got {radius}")
        return cls(height, lambda X: (X[:, : dim - 1] ** 2).sum(axis=1) / (2.0 * radius), radius)


class Gap:
    """The gap between a surface and what lies opposite: an interface of :class:`~multiscale.regions.cohesive.CohesiveRegion`.

    Its dofs are the nodes of the surface's mesh, then those of the other's, or the stamp's one node; a gap within one mesh (two bodies of
    one material) has that mesh's nodes once.

    Parameters
    ----------
    surface : Surface
        Where the sites are. All of it needs something opposite: take the smaller one.
    opposite : Stamp or Surface
    closed : float
        The distance that counts as opening zero: where laws of :mod:`.cohesive_laws` change from attraction to contact. Laws of a distance
        (:class:`.gap_laws.HalfSpaces`) take 0.
    radius : float, optional
        R of the gap's curvature, for :meth:`check`; a stamp's is known.

    Attributes
    ----------
    reference : (n_dofs, 3) array
    start : (n_sites,) array
        Opening of the reference.
    """

    dim = 1

    def __init__(
        self, surface: Surface, opposite: Stamp | Surface, closed: float = 0.0, radius: float | None = None
    ) -> None:
        if (
            isinstance(opposite, Surface)
            and opposite.mesh.dim == surface.mesh.dim == 2
            and opposite.axis == surface.axis == 1
        ):
            surface = surface.split(opposite.mesh.points[opposite.facets][:, :, 0].ravel())
        self.surface, self.opposite, self.closed = surface, opposite, closed
        self.n_sites, self.area = len(surface.area), surface.area
        k, n, X = surface.axis, len(surface.mesh.nodes), surface.mesh.nodes
        here, behind = surface.matrix, np.zeros(self.n_sites)
        if isinstance(opposite, Stamp):
            if k != surface.mesh.dim - 1:
                raise MultiscaleError(
                    f"a stamp comes along the mesh's last coordinate, but the surface faces along coordinate {k}; leave its axis out"
                )
            node = np.zeros((1, 3))
            node[0, k] = opposite.height
            self.reference = np.vstack([X, node])
            there = sp.csr_matrix(
                (np.ones(self.n_sites), (np.arange(self.n_sites), np.full(self.n_sites, n))),
                shape=(self.n_sites, n + 1),
            )
            behind, self.radius = np.asarray(opposite.profile(surface.points), dtype=float), opposite.radius
        else:
            within = opposite.mesh is surface.mesh
            if opposite.axis != k or opposite.facing == surface.facing:
                raise MultiscaleError(
                    f"surfaces lie opposite each other if one faces up and the other down along the same axis, got {surface.axis}, "
                    f"{surface.facing:+d} and {opposite.axis}, {opposite.facing:+d}; choose other facets"
                )
            if (opposite.symmetry, opposite.thickness) != (surface.symmetry, surface.thickness):
                raise MultiscaleError(
                    f"the two surfaces of a gap have one symmetry and one thickness, got {surface.symmetry}, {surface.thickness:g} and "
                    f"{opposite.symmetry}, {opposite.thickness:g}"
                )
            self.reference = X if within else np.vstack([X, opposite.mesh.nodes])
            there = opposite.at(surface.points)
            if not within:
                there = sp.hstack([sp.csr_matrix((self.n_sites, n)), there]).tocsr()
            self.radius = np.inf
        self.radius = self.radius if radius is None else radius
        here = sp.csr_matrix((here.data, here.indices, here.indptr), shape=(self.n_sites, len(self.reference)))
        #: Positions to places of the sites, on the surface (n_sites, n_dofs).
        self.middle = here
        difference = (surface.facing * (there - here)).tocsr()
        difference.eliminate_zeros()
        heights = self.reference[:, k]
        self.start = difference @ heights + behind - closed
        #: G (n_sites, 3 n_dofs).
        self.jump = sp.csr_matrix(
            (difference.data, 3 * difference.indices + k, difference.indptr),
            shape=(self.n_sites, 3 * len(self.reference)),
        )

    @property
    def dofs(self) -> tuple[IntArray, ...]:
        """The dofs of the surface's mesh, those of the other's (the stamp's), and all of them: for two bodies and their gap together."""
        n, total = len(self.surface.mesh.nodes), len(self.reference)
        return np.arange(n), np.arange(n if total > n else 0, total), np.arange(total)

    @property
    def stamp(self) -> int:
        """The stamp's number among the dofs: the last one."""
        if not isinstance(self.opposite, Stamp):
            raise MultiscaleError("this gap is between two meshes; a stamp is given as opposite=Stamp(...)")
        return len(self.reference) - 1

    @cached_property
    def size(self) -> Array:
        """The distance (n_sites,) from each site to the farthest dof that it feels: a stamp's node may be far."""
        rows = self.jump.tocoo()
        away = np.linalg.norm(self.reference[rows.col // 3] - self.surface.points[rows.row], axis=1)
        out = np.zeros(self.n_sites)
        np.maximum.at(out, rows.row, away)
        return out * (1.0 + 1e-9)

    def opening(self, u: Array) -> Array:
        """δ (n_sites, 1), the distance less what counts as closed, of displacements (n_dofs, 3)."""
        return (self.start + self.jump @ np.asarray(u).ravel())[:, None]

    def distance(self, x: Array) -> Array:
        """H (n_sites,) at positions x (n_dofs, 3)."""
        return self.opening(np.asarray(x) - self.reference)[:, 0] + self.closed

    # -- checks -------------------------------------------------------------------------------------------------

    def check(self, law: CohesiveLaw, modulus: float, arm: float | None = None, elements: int = 5) -> None:
        """Refuse bodies that overlap, and facets that are too long for the zone where ``law`` acts.

        ``modulus`` is E* of both bodies together, 1/E* = Σ (1 − ν²)/E; infinite for rigid ones.
        """
        if not modulus > 0:
            raise MultiscaleError(
                f"the modulus E* of the bodies is positive, or infinite if they are rigid; got {modulus}"
            )
        k = int(np.argmin(self.start))
        if not self.start[k] > law.nearest:
            raise MultiscaleError(
                f"bodies overlap: the gap at {np.round(self.surface.points[k], 4).tolist()} is {self.start[k]:.4g} "
                f"({int((self.start <= law.nearest).sum())} such points), and {type(law).__name__} needs more than {law.nearest:g}; start "
                f"farther apart by more than {law.nearest - self.start[k]:.4g}"
            )
        limit, within, why = self._needed(law, modulus, arm, elements)
        h = float(self.surface.size[within].max(initial=0.0))
        if h > limit * (1 + 1e-6):
            raise MultiscaleError(
                f"the surface has facets of {h:.3g}, {limit:.3g} is needed {why}; refine it there, or the edge of contact will stick to "
                "the facets"
            )

    def _needed(
        self, law: CohesiveLaw, modulus: float, arm: float | None, elements: int
    ) -> tuple[float, BoolArray, str]:
        """The longest facet, which facets it is asked of, and a reason."""
        w, reach = law.curve.toughness, PEAK * law.curve.toughness / law.curve.strength
        facets = np.ones(len(self.surface.size), dtype=bool)
        if not np.isfinite(self.radius):
            zone = zone_length(modulus, law.curve, arm)
            return zone / elements, facets, f"({elements} in the zone of {zone:.3g} where it opens)"
        mu = tabor(self.radius, w, modulus, reach)
        length = np.sqrt(reach * self.radius)
        wide = (2.0 * np.sqrt(mu) + 1.5) * length
        lateral = self.surface.centres - self.surface.points[np.argmin(self.start)]
        lateral[:, self.surface.axis] = 0.0
        facets = np.linalg.norm(lateral, axis=1) < wide
        degree = self.surface.mesh.degree
        limit = 0.5 * length * degree / (1.0 + mu**1.5 / degree) / max(elements, 5)
        return limit, facets, f"within {wide:.3g} of the middle (Tabor's parameter is {mu:.3g})"


def tabor(radius: float, work: float, modulus: float, distance: float) -> float:
    """μ = (R w²/(E*² ε³))^(1/3): the elastic height of a neck over the range of adhesion."""
    return float((radius * (work / modulus) ** 2 / distance**3) ** (1.0 / 3.0))
