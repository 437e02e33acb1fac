"""A cohesive interface between the two faces of a cut: openings at quadrature points of zero-thickness facets.

    δ_s = R_s Σ_a N_a(X_s) (u_a⁺ − u_a⁻) = (G u)_s       R_s: rows are the facet's normal (from lower to upper) and tangents
    E(u) = Σ_s w_s a_s φ(δ_s),    F = −Gᵀ (w a t),    K = Gᵀ diag(w a ∂t/∂δ) G

Nodes of the two faces are paired by their numbers in the mesh that was cut, so that nothing depends on coordinates or ranks. Normals are
those of the reference: openings may be large, rotations of the interface may not.

A softening interface needs five elements or more in the zone where it softens, or else the load–displacement curve is one of elements that
break one by one. :func:`zone_length` estimates the zone; :class:`Joint` refuses coarser meshes.

References: Rice (1980) and Hui et al. (2003), DOI 10.1098/rsta.2002.1057 (9π/32 E′Gc/σ²); Yang & Cox, Int. J. Fract. 133 (2005) 107, DOI
10.1007/s10704-005-4729-6 (slender arms); Turon et al., Eng. Fract. Mech. 74 (2007) 1665, DOI 10.1016/j.engfracmech.2006.08.025 (elements).
"""

from __future__ import annotations

from functools import cached_property
from typing import Literal

import numpy as np
import scipy.sparse as sp

from ..types import Array, BoolArray, IntArray, MultiscaleError
from .cohesive_laws import CohesiveLaw
from .cut import Cut, face_nodes
from .frames import frames
from .reference import rule, shape
from .traction import Curve


def zone_length(modulus: float, curve: Curve, arm: float | None = None) -> float:
    """Length over which an interface softens ahead of a crack: 9π/32 E′Gc/σ_c², in slender arms at most (E′Gc/σ_c²)^¼ arm^¾.

    Parameters
    ----------
    modulus : float
        E′ of the bodies (E/(1−ν²) in plane strain), in the unit of the curve's strength.
    curve : Curve
    arm : float, optional
        Thickness of an arm that bends.
    """
    length = modulus * curve.toughness / curve.strength**2
    thick = 9.0 * np.pi / 32.0 * length
    return float(thick if arm is None else min(thick, length**0.25 * arm**0.75))


class Joint:
    """Facets, quadrature points and the jump operator of a cut.

    Parameters
    ----------
    cut : Cut
    bonded : (nf,) bool array, optional
        Which facets hold; all unless told. The others are a crack that is there already.
    thickness : float
        Of a plane mesh.
    points : {"gauss", "nodes"}
        Gauss points (2 for linear facets, 3 for quadratic), or the Lobatto points that are the nodes: with a stiff penalty the tractions at
        nodes do not oscillate. In space Gauss points only.

    Attributes
    ----------
    area : (n_sites,) array
        Of each point.
    size : (nf,) array
        Longest edge of each facet.
    """

    def __init__(
        self,
        cut: Cut,
        bonded: BoolArray | None = None,
        thickness: float = 1.0,
        points: Literal["gauss", "nodes"] = "gauss",
    ) -> None:
        kept = np.ones(len(cut.lower), dtype=bool) if bonded is None else np.asarray(bonded, dtype=bool)
        if kept.shape != (len(cut.lower),) or not kept.any():
            raise MultiscaleError(
                f"bonded needs one value per facet of the cut, ({len(cut.lower)},), and one that is true; got {kept.shape}"
            )
        if points not in ("gauss", "nodes") or (points == "nodes" and cut.mesh.dim == 3):
            raise MultiscaleError(
                f"points are 'gauss', or 'nodes' of a plane mesh; got {points!r} in {cut.mesh.dim} dimensions"
            )
        self.mesh, self.dim, self.points = cut.mesh, cut.mesh.dim, points
        self.lower, self.upper = (face_nodes(cut.mesh, f[kept]) for f in (cut.lower, cut.upper))
        self._normal = cut.normal[kept]
        x = self.mesh.points[cut.lower[kept]]
        sides = x[:, [1, 2, 0]] - x if self.dim == 3 else x[:, 1:] - x[:, :1]
        self.size = np.linalg.norm(sides, axis=2).max(axis=1)
        measure = self.size if self.dim == 2 else 0.5 * np.linalg.norm(np.cross(sides[:, 0], sides[:, 1]), axis=1)
        self._values, weights = self._rule()
        self.area = np.outer(measure * thickness, weights).ravel()
        self.n_sites = len(self.area)

    def _rule(self) -> tuple[Array, Array]:
        """Shape functions (nq, nb) of a facet at its points, and weights (nq,) that sum to one."""
        degree = self.mesh.degree
        if self.dim == 3:
            lam, w = rule(2, 2 * degree)
            return shape(lam, degree), w
        if self.points == "gauss":
            t, w = np.polynomial.legendre.leggauss(degree + 1)
        else:
            t, w = (
                np.array(v)
                for v in (([-1.0, 1.0], [1.0, 1.0]) if degree == 1 else ([-1.0, 1.0, 0.0], [1 / 3, 1 / 3, 4 / 3]))
            )
        a, b = 0.5 * (1.0 - t), 0.5 * (1.0 + t)
        values = [a, b] if degree == 1 else [a * (2 * a - 1), b * (2 * b - 1), 4 * a * b]
        return np.column_stack(values), 0.5 * w

    @property
    def reference(self) -> Array:
        """Nodes of the mesh (n_nodes, 3), Å."""
        return self.mesh.nodes

    @cached_property
    def frames(self) -> Array:
        """R (nf, dim, dim): the normal and the tangents of each facet, by rows."""
        n = self._normal
        if self.dim == 2:
            return np.stack([n, np.column_stack([n[:, 1], -n[:, 0]])], axis=1)
        return frames(n)

    @cached_property
    def jump(self) -> sp.csr_matrix:
        """G (n_sites · dim, 3 n_nodes)."""
        nq, dim, nf = len(self._values), self.dim, len(self.lower)
        entry = np.einsum("qa,fij->fqiaj", self._values, self.frames)  # row (f, q, i), column (node a, component j)
        rows = np.broadcast_to(np.arange(nf * nq * dim).reshape(nf, nq, dim, 1, 1), entry.shape)
        parts = []
        for nodes, sign in ((self.upper, 1.0), (self.lower, -1.0)):
            columns = np.broadcast_to((3 * nodes[:, :, None] + np.arange(dim))[:, None, None], entry.shape)
            parts.append(
                sp.csr_matrix(
                    (sign * entry.ravel(), (rows.ravel(), columns.ravel())),
                    shape=(nf * nq * dim, 3 * len(self.mesh.nodes)),
                )
            )
        total = (parts[0] + parts[1]).tocsr()
        total.eliminate_zeros()  # where the faces meet nothing opens
        return total

    @cached_property
    def middle(self) -> sp.csr_matrix:
        """The matrix (n_sites, n_nodes) that gives the points between the faces, where the sites are."""
        nf, (nq, nb) = len(self.lower), self._values.shape
        data = 0.5 * np.broadcast_to(self._values, (nf, nq, nb)).ravel()
        rows = np.broadcast_to(np.arange(nf * nq).reshape(nf, nq, 1), (nf, nq, nb)).ravel()
        shape_ = (nf * nq, len(self.mesh.nodes))
        return sum(
            (
                sp.csr_matrix((data, (rows, np.broadcast_to(n[:, None], (nf, nq, nb)).ravel())), shape=shape_)
                for n in (self.upper, self.lower)
            ),
            start=sp.csr_matrix(shape_),
        )

    def opening(self, u: Array) -> Array:
        """δ (n_sites, dim), the normal component first, of displacements (n_nodes, 3)."""
        return np.asarray(self.jump @ np.asarray(u).ravel()).reshape(-1, self.dim)

    def check(self, law: CohesiveLaw, modulus: float, arm: float | None = None, elements: int = 5) -> None:
        """Refuse facets that are too long for the zone in which ``law`` softens; see :func:`zone_length`.

        ``modulus`` is E′ of the bodies; infinite for rigid ones, which soften all at once.
        """
        if not modulus > 0:
            raise MultiscaleError(
                f"the modulus E′ of the bodies is positive, or infinite if they are rigid; got {modulus}"
            )
        zone, h = zone_length(modulus, law.curve, arm), float(self.size.max())
        if zone < elements * h:
            raise MultiscaleError(
                f"the interface softens over {zone:.3g} (E′ = {modulus:.4g}, Gc = {law.curve.toughness:.4g}, σ_c = {law.curve.strength:.4g}"
                f"{'' if arm is None else f', arms of {arm:.4g}'}), but its facets are {h:.3g} long: {zone / h:.1f} in the zone, "
                f"{elements} are needed; refine the interface to {zone / elements:.3g}, or lower the strength at the same toughness"
            )

    def pairs(self) -> IntArray:
        """Nodes (n, 2) of the lower and the upper face that were one, each pair once."""
        both = np.column_stack([self.lower.ravel(), self.upper.ravel()])
        return np.unique(both[both[:, 0] != both[:, 1]], axis=0)
