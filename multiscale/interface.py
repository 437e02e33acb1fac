"""The interface: regions on shared dofs q, glued by a partition of unity.

    x_r = P_r(q)                                       embeddings
    Σ_r w_r = 1 for every piece of matter              partition (and overlays that sum to zero)
    F(q) = −Σ_r (∂P_r/∂q)ᵀ [ ∂E_r/∂x + (∂X_r/∂x)ᵀ (e_r ∇w_r) ]  −  Σ_r e_r ∂w_r/∂seeds

The interface holds the geometry and the weights; it evaluates nothing. Couplers read it, :class:`multiscale.model.HybridModel`
evaluates the regions. It is the same on every rank.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .embedding import Embedding, select
from .partition import Partition
from .region import Region
from .shapes import Shape
from .switching import Quintic, Switch
from .types import Array, BoolArray, MultiscaleError


@dataclass(frozen=True)
class Overlay:
    """Where a region lies *over* the partition instead of sharing it: force mixing's quantum core.

    The mixing weight of a dof at X is χ = s(d(X)/width): 1 in the core, 0 in the buffer.
    """

    shape: Shape
    width: float = 0.0
    switch: Switch = Quintic()

    def __call__(self, X: Array) -> Array:
        """χ (n,) at reference positions X (n, 3)."""
        d, _ = self.shape.distance(X)
        return self.switch(d / self.width) if self.width > 0 else np.where(d <= 0, 1.0, 0.0)


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
        Mixing weights of force-mixed regions.
    anchors : mapping of name to (n_sites, 3) array, optional
        Material points at which a region's reference-frame weights are taken instead of at its sites: the centres of the
        primitive cells of a multilattice, whose atoms must share one weight.
    strict : bool
        Apply the geometric gates of :mod:`multiscale.gates` (zone no narrower than one reach, complete neighbourhoods).
        Studies of bad interfaces switch them off; coverage is checked always.

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
        self._fit()
        self._weights = {} if self.moving else {r: w for r, (w, _) in self._shares(self.reference).items()}

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
        return {r: w for r, (w, _) in self._shares(q).items()} if self.moving else dict(self._weights)

    def dof_weights(self, name: str, q: Array) -> Array:
        """The region's share (n_dofs,) at its dofs rather than its sites; for force blending."""
        x = self.place(name, q if self.moving else self.reference)
        return self.partition(x, q)[name][0]

    def overlay_weights(self, name: str) -> Array:
        """The overlay's mixing weight χ (n_q,) at the shared dofs, by their reference positions."""
        if name not in self.overlays:
            raise MultiscaleError(
                f"region '{name}' has no mixing weight; give Interface(..., overlays={{'{name}': Overlay(shape, width)}})"
            )
        return self.overlays[name](self.reference)

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
        for name, e in site_energies.items():
            region = self.regions[name]
            x = self.place(name, q)
            X = region.sites(x)
            _, grad = self.partition(X, q)[name]
            out -= self.pull(name, region.pull_sites(e[:, None] * grad))
            out -= self.partition.pull_seeds(X, q, {name: e})
        return out

    def masses(self) -> Array:
        """Lumped masses of the shared dofs (n_q,), amu: each region's masses, weighed by its share at its dofs."""
        out = np.zeros(self.n_q)
        for name in self.shared:
            m = self.regions[name].masses() * self.dof_weights(name, self.reference)
            spread = abs(self.embeddings[name].matrix).T @ np.repeat(m, 3)
            out += spread.reshape(-1, 3).max(axis=1)
        return out

    # -- construction ------------------------------------------------------------------------------------------

    def weighing_points(self, name: str, q: Array) -> Array:
        """Where the weights of a region's sites are taken (n_sites, 3): its anchors, or the sites themselves."""
        anchors = self.anchors.get(name)
        return self.regions[name].sites(self.place(name, q)) if anchors is None else anchors

    def _shares(self, q: Array) -> dict[str, tuple[Array, Array]]:
        return {name: self.partition(self.weighing_points(name, q), q)[name] for name in self.shared}

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

    def _fit(self) -> None:
        unknown = [r for r in self.shared if r not in self.regions]
        if unknown:
            raise MultiscaleError(
                f"the partition shares matter with {unknown}, but the regions are {sorted(self.regions)}; "
                "use the same names in both"
            )
        for name, anchors in self.anchors.items():
            if self.moving or name not in self.shared or anchors.shape != (self.regions[name].n_sites, 3):
                raise MultiscaleError(
                    f"anchors for '{name}' need one point per site of a sharing region and weights in the reference frame, got shape "
                    f"{anchors.shape} in the {self.partition.frame} frame"
                )
        lost = [r for r in self.overlays if r not in self.regions]
        self._fit_overlays(lost)
        for name, region in self.regions.items():
            e = self.embeddings[name]
            if e.n_q != self.n_q or e.n_x != region.n_dofs:
                raise MultiscaleError(
                    f"the embedding of region '{name}' maps {e.n_q} shared dofs to {e.n_x}, but there are {self.n_q} and the "
                    f"region takes {region.n_dofs}; build it with the interface's numbering"
                )
            if len(e.own) == 0:
                raise MultiscaleError(f"region '{name}' is empty; leave it out of the interface")
            off = np.linalg.norm(e.place(self.reference) - region.reference, axis=1)
            if off.max() > 0.5:
                raise MultiscaleError(
                    f"the embedding of region '{name}' puts dof {int(off.argmax())} {off.max():.2f} Å away from the region's own "
                    "reference position; check the order of atoms and nodes"
                )

    def _fit_overlays(self, lost: list[str]) -> None:
        if lost:
            raise MultiscaleError(f"overlays are given for {lost}, but the regions are {sorted(self.regions)}")
        moved = np.zeros(self.n_q, dtype=bool)
        for r in self.shared:
            own = self.embeddings[r].own
            moved[own[own >= 0]] = True
        for name in self.overlays:
            own = self.embeddings[name].own
            bare = moved & (self.overlay_weights(name) > 0)
            bare[own[own >= 0]] = False
            if bare.any():
                raise MultiscaleError(
                    f"the overlay '{name}' has a mixing weight at {int(bare.sum())} dofs that the region does not have, the first is dof "
                    f"{int(np.flatnonzero(bare)[0])}; carve a larger region or make the overlay smaller"
                )
