"""An interface as a region, and regions together as one.

    E(x; w) = Σ_s w_s a_s φ(G (x − X))_s          sites s: quadrature points of facets, with area a_s and no matter

The area counts where matter does not: :attr:`Region.area` is a_s, so that a partition of unity counts every piece of interface once, as it
does matter. History, if the law has one, moves on only by :meth:`CohesiveRegion.commit`: in between, the region is one function of x.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

from ..continuum.cohesive import Joint
from ..continuum.cohesive_laws import CohesiveLaw
from ..region import Answer, Can, Query, Region
from ..types import Array, BoolArray, MultiscaleError, Team

_CAN = Can.ENERGY | Can.FORCES | Can.SITE_ENERGIES | Can.SITE_WEIGHTS | Can.HVP | Can.STIFFNESS


class CohesiveRegion(Region):
    """A cohesive interface on the nodes of a mesh that was cut.

    Parameters
    ----------
    interface : Joint
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
        self, interface: Joint, law: CohesiveLaw, *, modulus: float, arm: float | None = None, elements: int = 3
    ) -> None:
        interface.check(law, modulus, arm, elements)
        self.interface, self.law, self.mesh = interface, law, interface.mesh
        self.n_dofs, self.n_sites = len(self.mesh.nodes), interface.n_sites
        self.area, self.matter = interface.area, np.zeros(interface.n_sites)
        #: Å; a site feels the nodes of its facet, half of an opening away.
        self.reach = float(interface.size.max())
        #: What the sites remember: the largest effective opening (n_sites,).
        self.past = np.zeros(self.n_sites)

    # -- geometry -----------------------------------------------------------------------------------------------

    @property
    def reference(self) -> Array:
        """Reference positions of the nodes (n_dofs, 3), Å."""
        return self.mesh.nodes

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
        delta = (G @ (np.asarray(x) - self.reference).ravel()).reshape(-1, dim)
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
        delta = (G @ (np.asarray(x) - self.reference).ravel()).reshape(-1, dim)
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


class Together(Region):
    """Several regions on the same dofs as one: its sites are theirs, one after another.

    A body with an interface is a volume and an area on the same nodes. As one region it takes one share of a partition of unity, at the
    points of the volume and at those of the interface alike.

    Parameters
    ----------
    regions : sequence of Region
        With the same reference dofs; the first one that covers a point has its matter.
    """

    discrete = False

    def __init__(self, regions: Sequence[Region]) -> None:
        first = regions[0]
        for r in regions:
            if r.discrete or r.n_dofs != first.n_dofs or not np.array_equal(r.reference, first.reference):
                raise MultiscaleError(
                    f"regions go together as one if they have the same nodes, but {type(r).__name__} has {r.n_dofs} dofs and "
                    f"{type(first).__name__} {first.n_dofs}; make them from the same mesh"
                )
        self.regions = tuple(regions)
        self.can = first.can
        for r in self.regions:
            self.can &= r.can
        self.can &= ~Can.STRESS
        self.n_dofs, self.n_sites = first.n_dofs, sum(r.n_sites for r in regions)
        self.reach = max(r.reach for r in regions)
        self.matter = np.concatenate([r.matter for r in regions])
        self.area = np.concatenate([r.area for r in regions])
        self.lattice = first.lattice
        self._ends = np.cumsum([r.n_sites for r in regions])[:-1]

    @property
    def reference(self) -> Array:
        """Theirs."""
        return self.regions[0].reference

    def bind(self, team: Team) -> None:
        """Bind all of them to the team."""
        super().bind(team)
        for r in self.regions:
            r.bind(team)

    def abandon(self, error: Exception) -> None:
        """Tell all of them."""
        for r in self.regions:
            r.abandon(error)

    def sites(self, x: Array) -> Array:
        """Their sites, in their order."""
        return np.concatenate([r.sites(x) for r in self.regions])

    def pull_sites(self, v: Array) -> Array:
        """The sum of what they pull."""
        return np.sum([r.pull_sites(p) for r, p in zip(self.regions, np.split(v, self._ends), strict=True)], axis=0)

    def covers(self, points: Array) -> BoolArray:
        """Where any of them has matter."""
        return np.any([r.covers(points) for r in self.regions], axis=0)

    def masses(self) -> Array:
        """The sum of theirs."""
        return np.sum([r.masses() for r in self.regions], axis=0)

    def _split(self, weights: Array | None) -> list[Array | None]:
        return [None] * len(self.regions) if weights is None else list(np.split(weights, self._ends))

    def evaluate(self, x: Array, query: Query) -> Answer:
        """The sum of their answers; site energies one after another."""
        self.check(x, query)
        answers = [
            r.evaluate(x, Query(query.want, w, query.vector, query.uncounted))
            for r, w in zip(self.regions, self._split(query.weights), strict=True)
        ]

        def total(name: str, flag: Can) -> Any:
            return sum(a[name] for a in answers) if flag in query.want else None

        sites = np.concatenate([a["site_energies"] for a in answers]) if Can.SITE_ENERGIES in query.want else None
        return Answer(total("energy", Can.ENERGY), total("forces", Can.FORCES), sites, None, total("hvp", Can.HVP))

    def stiffness(self, x: Array, weights: Array | None = None) -> sp.csr_matrix:
        """The sum of theirs."""
        return sum(r.stiffness(x, w) for r, w in zip(self.regions, self._split(weights), strict=True))
