"""The interface: regions on shared dofs q, glued by a partition of unity.

    x_r = P_r(q)                                       embeddings
    Σ_r w_r = 1 for every piece of matter              partition (and overlays that sum to zero)
    F(q) = −Σ_r (∂P_r/∂q)ᵀ [ ∂E_r/∂x + (∂X_r/∂x)ᵀ (e_r ∇w_r) ]  −  Σ_r e_r ∂w_r/∂seeds

Regions that lie *over* the partition have a mixing weight χ of their own (:mod:`multiscale.overlay`), at the shared dofs for forces, at
their sites for site energies, or one per group of dofs. The force of a moving χ is −Σ_i c_i ∂χ_i/∂q, with the same two terms.

The interface holds the geometry and the weights; it evaluates nothing. Couplers read it, :class:`multiscale.model.HybridModel`
evaluates the regions. It is the same on every rank.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from . import fit
from .bridge import Bridge, between
from .embedding import Embedding, select
from .groups import Groups, subset_of
from .overlay import Overlay
from .partition import Compact, Partition
from .region import Region
from .types import Array, BoolArray, MultiscaleError

__all__ = ["Interface", "Overlay"]


class Interface:
    """Regions, their embeddings and the weights that share the matter among them.

    Parameters
    ----------
    reference : (n_q, 3) array
        Shared dofs (atoms, then mesh nodes, in any fixed order) in the reference configuration, Å.
    regions : mapping of name to Region or (Region, Embedding)
        A region without an embedding takes all shared dofs as they are.
    partition : Partition
        Shares the matter of the regions it names. Regions it does not name are overlays: they are used by
        subtractive couplers (+1, −1) or force mixing and add no matter of their own.
    fixed : (n_q, 3) or (n_q,) bool array, optional
        Dofs whose positions are prescribed (Dirichlet data); drivers move only the others.
    overlays : mapping of name to Overlay, optional
        Mixing weights of regions that lie over the partition (force mixing, site-wise subtraction), by the region's name; overlays of
        groups (adaptive partitioning) by a name of their own.
    anchors : mapping of name to (n_sites, 3) array, optional
        Material points at which a region's reference-frame weights are taken instead of at its sites: the centres of the
        primitive cells of a multilattice, whose atoms must share one weight.
    strict : bool
        Apply the geometric gates of :mod:`multiscale.gates` (zone no narrower than one reach, complete neighbourhoods, overlays that
        lie within their regions and have a core). Studies of bad interfaces switch them off; coverage is checked always.

    Raises
    ------
    MultiscaleError
        If an embedding does not fit its region or the partition names an unknown region.
    """

    def __init__(
        self,
        reference: Array,
        regions: Mapping[str, Region | tuple[Region, Embedding]],
        partition: Partition,
        fixed: BoolArray | None = None,
        overlays: Mapping[str, Overlay] | None = None,
        anchors: Mapping[str, Array] | None = None,
        strict: bool = True,
    ):
        self.reference = np.array(reference, dtype=float)
        self.partition = partition
        self.overlays = dict(overlays or {})
        self.anchors = {name: np.array(a, dtype=float) for name, a in (anchors or {}).items()}
        self.strict = strict
        self.regions: dict[str, Region] = {}
        self.embeddings: dict[str, Embedding] = {}
        if self.reference.ndim != 2 or self.reference.shape[1] != 3:
            raise MultiscaleError(f"the shared dofs need shape (n, 3), got {self.reference.shape}")
        for name, entry in regions.items():
            region, embedding = entry if isinstance(entry, tuple) else (entry, select(np.arange(self.n_q), self.n_q))
            self.regions[name], self.embeddings[name] = region, embedding
        self.fixed = self._mask(fixed)
        fit.names(self)
        fit.embeddings(self)
        #: Which shared dofs are moved by a sharing region, and which each overlay's region has.
        self._moved = self._owned(self.shared)
        self._over = {r: self._owned((r,)) for r, o in self.overlays.items() if o.groups is None}
        self._state: Array | None = None
        self._known: list[tuple[Array, Compact]] = []
        self._subsets: dict[str, dict[tuple[int, ...], str]] = {}
        self._weights = {} if self.moving else self._shares(self.reference)
        self._chi = {r: self._weighed(r, self.reference) for r in self._over if not self.overlays[r].moving}
        for name in self._over:
            self.overlay_weights(name)

    @property
    def n_q(self) -> int:
        """Number of shared dofs, each with three components."""
        return len(self.reference)

    @property
    def moving(self) -> bool:
        """Whether weights depend on q, so that site energies enter the forces."""
        return self.partition.frame == "current"

    @property
    def shared(self) -> tuple[str, ...]:
        """Names of the regions that share the matter."""
        return self.partition.regions

    def place(self, name: str, q: Array) -> Array:
        """Positions of the region's dofs, P_r(q), (n_dofs, 3) Å."""
        return self.embeddings[name].place(q)

    def pull(self, name: str, f: Array) -> Array:
        """Forces on the region's dofs, pulled back to the shared dofs; (n_q, 3)."""
        return self.embeddings[name].pull(f)

    def restrict(self, name: str, f: Array) -> Array:
        """Forces on the region's own dofs only, those on slaved ones discarded; (n_q, 3)."""
        return self.embeddings[name].restrict(f)

    def weights(self, q: Array) -> dict[str, Array]:
        """Site weights (n_sites,) of every sharing region at q."""
        # Copies: what couplers do with them must not change what is kept.
        return {r: w.copy() for r, w in (self._shares(q) if self.moving else self._weights).items()}

    def dof_weights(self, name: str, q: Array) -> Array:
        """The region's share (n_dofs,) at its dofs rather than its sites; for force blending."""
        at = q if self.moving else self.reference
        return self._at(self.place(name, at), at)[0][name].copy()

    def weight_forces(self, q: Array, site_energies: Mapping[str, Array]) -> Array:
        """The force −Σ_r e_r ∂w_r/∂q of moving weights, (n_q, 3) eV/Å; zeros for weights that belong to the material.

        Parameters
        ----------
        q : (n_q, 3) array
        site_energies : mapping of name to (n_sites,) array
            e_r in eV; they should carry aligned energy zeros, since a constant offset times ∇w is a spurious force.
        """
        out = np.zeros_like(self.reference)
        if not self.moving:
            return out
        # Regions with the same sites (all of the atoms, mostly) pass on to the seeds together.
        riding: dict[int, tuple[Array, dict[str, Array]]] = {}
        for name, e in site_energies.items():
            X = self.weighing_points(name, q)
            shares = self._at(X, q)
            _, rows, slopes = shares
            push = np.zeros(X.shape)
            push[rows] = e[rows, None] * slopes[name]
            out -= self.pull(name, self.regions[name].pull_sites(push))
            some = rows if self.partition.local else slice(None)
            riding.setdefault(id(shares), (X[some], {}))[1][name] = e[some]
        if self.partition.rides_on_seeds:
            for X, energies in riding.values():
                out -= self.partition.pull_seeds(X, q, energies)
        return out

    # -- overlays ----------------------------------------------------------------------------------------------

    def overlay(self, name: str) -> Overlay:
        """The overlay of that name.

        Raises
        ------
        MultiscaleError
            If there is none.
        """
        if name not in self.overlays:
            raise MultiscaleError(
                f"'{name}' has no mixing weight; give Interface(..., overlays={{'{name}': Overlay(shape, width)}})"
            )
        return self.overlays[name]

    def overlay_weights(self, name: str, q: Array | None = None) -> Array:
        """The overlay's mixing weight χ (n_q,) at the shared dofs: at q in the current frame, else by their reference positions.

        Zero at dofs that the overlay's region does not have, which is an error unless the interface is not strict.

        Raises
        ------
        MultiscaleError
            If χ > 0 at atoms that the region does not have: the overlay is larger than its cluster, or has moved out of it.
        """
        self._regional(name)
        moving = self.overlay(name).moving and q is not None
        if name not in self._chi or moving:
            chi = self._weighed(name, self.reference if q is None else q)
        else:
            chi = self._chi[name]
        bare = self._moved & (chi > 0) & ~self._over[name]
        if self.strict and bare.any():
            raise MultiscaleError(
                f"the overlay '{name}' has a mixing weight at {int(bare.sum())} dofs that the region does not have, the first is dof "
                f"{int(np.flatnonzero(bare)[0])}; "
                + ("carve the region anew around it" if moving else "carve a larger region or make the overlay smaller")
            )
        return np.where(self._over[name], chi, 0.0)

    def overlay_site_weights(self, name: str, q: Array) -> Array:
        """χ (n_sites,) at the sites of the overlay's region. A link atom is no matter; its χ is the field's value where it is."""
        self._regional(name)
        overlay = self.overlay(name)
        if overlay.moving and self.strict:
            self.overlay_weights(name, q)
        at = q if overlay.moving else self.reference
        return overlay(self.regions[name].sites(self.place(name, at)), at)

    def overlay_forces(self, name: str, q: Array, c: Array) -> Array:
        """The force −Σ_i c_i ∂χ_i/∂q of an overlay's weights at its region's sites, through sites and seeds; (n_q, 3) eV/Å.

        Parameters
        ----------
        name : str
        q : (n_q, 3) array
        c : (n_sites,) array
            eV; what χ multiplies in the energy: e_high − e_low. Zeros come back for an overlay of the reference frame.
        """
        overlay = self.overlay(name)
        if not overlay.moving:
            return np.zeros_like(self.reference)
        region, x = self.regions[name], self.place(name, q)
        X = region.sites(x)
        out = self.pull(name, region.pull_sites(c[:, None] * overlay.gradient(X, q)))
        return -(out + overlay.pull_seeds(X, q, c))

    def groups(self, name: str) -> Groups:
        """The groups of an overlay that weighs groups."""
        groups = self.overlay(name).groups
        if groups is None:
            raise MultiscaleError(
                f"the overlay '{name}' weighs single dofs, but groups are needed; give Overlay(..., groups=Groups(members))"
            )
        return groups

    def group_weights(self, name: str, q: Array) -> Array:
        """P (n_groups,), the weight of each group at its point."""
        overlay, at = self.overlay(name), q if self.overlay(name).moving else self.reference
        return overlay(self.groups(name).centres(at), at)

    def group_forces(self, name: str, q: Array, c: Array) -> Array:
        """The force −Σ_g c_g ∂P_g/∂q of the groups' weights, through members and seeds; (n_q, 3) eV/Å, for c (n_groups,) in eV."""
        overlay, groups = self.overlay(name), self.groups(name)
        if not overlay.moving:
            return np.zeros_like(self.reference)
        X = groups.centres(q)
        out = groups.pull(c[:, None] * overlay.gradient(X, q), self.n_q)
        return -(out + overlay.pull_seeds(X, q, c))

    def subsets(self, prefix: str) -> dict[tuple[int, ...], str]:
        """The regions that describe a core and a subset of groups, named by :func:`multiscale.groups.subset_name`: subset to name."""
        if prefix not in self._subsets:
            found = {name: subset_of(prefix, name) for name in self.regions}
            self._subsets[prefix] = {subset: name for name, subset in found.items() if subset is not None}
        return dict(self._subsets[prefix])

    def bridge(self, field: str) -> Bridge:
        """Where particles and a field are both counted, each with dofs of its own; see :mod:`multiscale.bridge`."""
        return between(self, field)

    def masses(self, shares: Mapping[str, Array] | None = None) -> Array:
        """Lumped masses of the shared dofs (n_q,), amu: each region's masses, weighed by its share at its dofs.

        Parameters
        ----------
        shares : mapping of name to (n_dofs,) array, optional
            Other shares of the sharing regions at their dofs.

        Raises
        ------
        MultiscaleError
            If two regions of atoms that share a dof give it different masses; a mesh's lumped mass is another matter.
        """
        out, own = np.zeros(self.n_q), {r: self.regions[r].masses() for r in self.shared}
        shares = {r: self.dof_weights(r, self.reference) for r in self.shared} if shares is None else dict(shares)
        fit.masses(self, own, shares)
        for name in self.shared:
            spread = abs(self.embeddings[name].matrix).T @ np.repeat(own[name] * shares[name], 3)
            out += spread.reshape(-1, 3).max(axis=1)
        return out

    # -- construction ------------------------------------------------------------------------------------------

    def weighing_points(self, name: str, q: Array) -> Array:
        """Where the weights of a region's sites are taken (n_sites, 3): its anchors, or the sites themselves."""
        anchors = self.anchors.get(name)
        return self.regions[name].sites(self.place(name, q)) if anchors is None else anchors

    def _shares(self, q: Array) -> dict[str, Array]:
        return {name: self._at(self.weighing_points(name, q), q)[0][name] for name in self.shared}

    def _at(self, X: Array, q: Array) -> Compact:
        """The partition at the points X: worked out once per state and set of points, since couplers ask for it several times."""
        if self._state is None or not np.array_equal(self._state, q):
            self._state, self._known = q.copy(), []
        for points, shares in self._known:
            if points.shape == X.shape and np.array_equal(points, X):
                return shares
        self._known.append((X, self.partition.compact(X, q)))
        return self._known[-1][1]

    def _owned(self, names: tuple[str, ...]) -> BoolArray:
        """Which shared dofs some of the regions have as their own."""
        out = np.zeros(self.n_q, dtype=bool)
        for r in names:
            own = self.embeddings[r].own
            out[own[own >= 0]] = True
        return out

    def _weighed(self, name: str, q: Array) -> Array:
        return self.overlays[name](q, q)

    def _regional(self, name: str) -> None:
        if self.overlay(name).groups is not None:
            raise MultiscaleError(
                f"the overlay '{name}' weighs groups, not the dofs of a region; couple it by adaptive partitioning, or leave groups out"
            )

    def _mask(self, fixed: BoolArray | None) -> BoolArray:
        if fixed is None:
            return np.zeros(self.reference.shape, dtype=bool)
        mask = np.asarray(fixed, dtype=bool)
        if mask.shape == (self.n_q,):
            mask = np.repeat(mask[:, None], 3, axis=1)
        if mask.shape != self.reference.shape:
            raise MultiscaleError(
                f"the mask of fixed dofs needs shape ({self.n_q}, 3) or ({self.n_q},), got {mask.shape}"
            )
        return mask.copy()
