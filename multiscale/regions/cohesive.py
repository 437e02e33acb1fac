"""An interface as a region.

    E(x; w) = Σ_s w_s a_s φ(g + G (x − X))_s          sites s: quadrature points of facets, with area a_s and no matter

g is how far apart faces are in the reference, 0 in a mesh that was cut. The area counts where matter does not: :attr:`Region.area` is a_s,
so that a partition of unity counts every piece of interface once, as it does matter. History, if the law has one, moves on only by
:meth:`CohesiveRegion.commit`: in between, the region is one function of x.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import scipy.sparse as sp

from ..continuum.cohesive_laws import CohesiveLaw
from ..region import Answer, Can, Query, Region
from ..types import Array, BoolArray, IntArray
from .together import Together

__all__ = ["CohesiveRegion", "Faces", "Together"]

_CAN = Can.ENERGY | Can.FORCES | Can.SITE_ENERGIES | Can.SITE_WEIGHTS | Can.HVP | Can.STIFFNESS


class Faces(Protocol):
    """What a cohesive region has to know of two faces, be they of a cut mesh, of separate meshes, or of two bodies of atoms.

    Attributes
    ----------
    reference : (n_dofs, 3) array
        Å; nodes or atoms.
    dim, n_sites : int
        Components of an opening, normal first; points at which openings are taken.
    area : (n_sites,) array
        Å² of each point.
    size : array
        Lengths of the facets, Å; an opening at a site is taken from no dof farther away than the longest.
    jump : sparse matrix (n_sites · dim, 3 n_dofs)
        Displacements to openings.
    middle : sparse matrix (n_sites, n_dofs)
        Positions to places of the sites.
    """

    dim: int
    n_sites: int
    area: Array

    @property
    def reference(self) -> Array: ...  # noqa: D102

    @property
    def size(self) -> Array: ...  # noqa: D102

    @property
    def jump(self) -> sp.csr_matrix: ...  # noqa: D102

    @property
    def middle(self) -> sp.csr_matrix: ...  # noqa: D102

    def opening(self, u: Array) -> Array: ...  # noqa: D102

    def check(self, law: CohesiveLaw, modulus: float, arm: float | None = None, elements: int = 5) -> None: ...  # noqa: D102


class CohesiveRegion(Region):
    """A cohesive interface between two faces.

    Parameters
    ----------
    interface : Faces
        :class:`~multiscale.continuum.cohesive.Joint` of a mesh that was cut, or others.
    law : CohesiveLaw
        In eV/Å², Å (or, with the constants of the bodies, in any consistent units).
    modulus : float
        E′ of the bodies, in the unit of the law's tractions, to see whether the facets resolve the zone that softens; infinite for rigid
        bodies.
    arm : float, optional
        Thickness of arms that bend.
    elements : int
        Facets that the zone must have.
    """

    discrete = False
    can = _CAN

    def __init__(
        self, interface: Faces, law: CohesiveLaw, *, modulus: float, arm: float | None = None, elements: int = 5
    ) -> None:
        interface.check(law, modulus, arm, elements)
        self.interface, self.law = interface, law
        self.n_dofs, self.n_sites = len(interface.reference), interface.n_sites
        self.area, self.matter = interface.area, np.zeros(interface.n_sites)
        #: Å; a site feels the nodes of its facet, half of an opening away.
        self.reach = float(interface.size.max())
        #: What the sites remember: the largest effective opening (n_sites,).
        self.past = np.zeros(self.n_sites)

    # -- geometry -----------------------------------------------------------------------------------------------

    @property
    def reference(self) -> Array:
        """Reference positions of the dofs (n_dofs, 3), Å."""
        return self.interface.reference

    @property
    def joins(self) -> IntArray | None:
        """Of an interface between atoms, bond by bond."""
        return getattr(self.interface, "bonded", None)

    def sites(self, x: Array) -> Array:
        """Points halfway between the faces (n_sites, 3), Å."""
        return np.asarray(self.interface.middle @ x)

    def pull_sites(self, v: Array) -> Array:
        """Vectors at the sites (n_sites, 3) gathered to the nodes (n_dofs, 3)."""
        return np.asarray(self.interface.middle.T @ v)

    def covers(self, points: Array) -> BoolArray:
        """Nowhere: an interface is no matter."""
        return np.zeros(len(points), dtype=bool)

    def masses(self) -> Array:
        """None (n_dofs,)."""
        return np.zeros(self.n_dofs)

    # -- evaluation ---------------------------------------------------------------------------------------------

    def opening(self, x: Array) -> Array:
        """δ (n_sites, dim), normal first, Å."""
        return self.interface.opening(np.asarray(x) - self.reference)

    def traction(self, x: Array) -> Array:
        """T (n_sites, dim) at x, with the past as it is."""
        return self.law.traction(self.opening(x), self.past)

    def evaluate(self, x: Array, query: Query) -> Answer:
        """This member's share: a contiguous piece of the sites."""
        self.check(x, query)
        mine, want, dim = self.team.share(self.n_sites), query.want, self.interface.dim
        G = self.interface.jump[mine.start * dim : mine.stop * dim]
        delta = self.opening(x)[mine]
        past, w = self.past[mine], np.ones(self.n_sites) if query.weights is None else query.weights
        counted = (w * self.area)[mine]
        energy = e = forces = hvp = None
        if want & (Can.ENERGY | Can.SITE_ENERGIES):
            e = np.zeros(self.n_sites)
            e[mine] = self.area[mine] * self.law.energy(delta, past)
            energy = float(w @ e)
        if Can.FORCES in want:
            forces = -(G.T @ (counted[:, None] * self.law.traction(delta, past)).ravel()).reshape(-1, 3)
        if Can.HVP in want and query.vector is not None:
            along = (G @ query.vector.ravel()).reshape(-1, dim)
            change = np.einsum("nij,nj->ni", self.law.tangent(delta, past), along)
            hvp = (G.T @ (counted[:, None] * change).ravel()).reshape(-1, 3)
        return Answer(
            energy if Can.ENERGY in want else None, forces, e if Can.SITE_ENERGIES in want else None, None, hvp
        )

    def stiffness(self, x: Array, weights: Array | None = None) -> sp.csr_matrix:
        """Gᵀ diag(w a ∂t/∂δ) G over this member's sites, (3 n_dofs, 3 n_dofs); it softens where the interface does."""
        mine, dim = self.team.share(self.n_sites), self.interface.dim
        G = self.interface.jump[mine.start * dim : mine.stop * dim]
        delta = self.opening(x)[mine]
        counted = (self.area if weights is None else weights * self.area)[mine]
        blocks = counted[:, None, None] * self.law.tangent(delta, self.past[mine])
        n = len(counted)
        D = sp.bsr_matrix((blocks, np.arange(n), np.arange(n + 1)), shape=(n * dim, n * dim))
        return (G.T @ D @ G).tocsr()

    # -- history ------------------------------------------------------------------------------------------------

    def commit(self, x: Array) -> None:
        """Accept the state x: what it has opened is remembered. Call on every rank, once per load step."""
        self.past = self.law.remember(self.opening(x), self.past)

    def spent(self) -> float:
        """Energy that closing would not give back, of all sites (laws that remember)."""
        return float(self.area @ self.law.spent(self.past))
