"""Regions for adaptive partitioning: a pair for every subset of the groups in the zone.

    core    P_g = 1 at the state q (farther inside than the margin), and the atoms that are always in
    zone    the N groups between: 2^N subsets, each with the core, described twice
    outside P_g = 0 (farther out than the margin)

The margin is a hysteresis: groups that are nearly in the zone get their subsets too, so that regions are built anew rarely, and a
rebuild never happens while a group has a weight strictly between 0 and 1 that the old regions do not know.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from .embedding import Embedding, select
from .groups import subset_name
from .overlay import Overlay
from .region import Region
from .types import Array, IntArray, MultiscaleError

#: Builds the region of some shared dofs (ascending), with the embedding of its caps where it has some.
Make = Callable[[IntArray], "Region | tuple[Region, Embedding]"]
#: Groups in the zone beyond which the number of calculations, 2^N, is out of proportion.
LIMIT = 6


@dataclass(frozen=True)
class Membership:
    """Which groups are where, by number."""

    core: tuple[int, ...]
    zone: tuple[int, ...]
    outside: tuple[int, ...]


@dataclass(frozen=True)
class AdaptiveRegions:
    """What :func:`subset_regions` builds.

    Attributes
    ----------
    regions : mapping of name to (Region, Embedding)
        To be given to the interface beside the regions that share the matter.
    membership : Membership
    overlay : Overlay
        The zone, to be given as ``overlays={"adaptive": ...}``.
    """

    regions: dict[str, tuple[Region, Embedding]] = field(repr=False)
    membership: Membership
    overlay: Overlay

    def hold(self, q: Array) -> bool:
        """Whether they still describe the state q: the core's groups have P = 1, and those outside P = 0."""
        d = _distances(self.overlay, q)
        core, out = list(self.membership.core), list(self.membership.outside)
        return bool((d[core] <= 0.0).all() and (d[out] >= self.overlay.width).all())


def membership(overlay: Overlay, q: Array, margin: float = 0.0) -> Membership:
    """Sort the groups of an overlay by their distance to its core set at q; within ``margin`` (Å) of the zone is in the zone."""
    d = _distances(overlay, q)
    core, outside = d <= -margin, d >= overlay.width + margin
    found = (np.flatnonzero(m) for m in (core, ~core & ~outside, outside & ~core))
    return Membership(*(tuple(int(g) for g in numbers) for numbers in found))


def subset_regions(
    overlay: Overlay,
    q: Array,
    make_high: Make,
    make_low: Make,
    *,
    always: Iterable[int] = (),
    margin: float = 0.0,
    high: str = "qm",
    low: str = "ml_qm",
    limit: int = LIMIT,
) -> AdaptiveRegions:
    """Build a pair of regions for the core and every subset of the groups in the zone.

    Parameters
    ----------
    overlay : Overlay
        With groups, in the frame of :class:`~multiscale.interface.Interface`.
    q : (n_q, 3) array
        Å; the state (in the current frame) or the reference (in the reference frame).
    make_high, make_low : callable (indices) -> Region or (Region, Embedding)
        Factories of both descriptions of some shared dofs; without an embedding the region takes exactly those dofs.
    always : ints
        Shared dofs that are in the core besides its groups: a solute, a surface.
    margin : float
        Å by which a group may be short of the zone and count as in it; more subsets, fewer rebuilds. Subsets of weight zero
        are built but never calculated.
    high, low : str
        The coupler's names.
    limit : int
        Refuse more groups than this in the zone.

    Raises
    ------
    MultiscaleError
        For a zone with too many groups, an empty core, or an overlay without groups.
    """
    if overlay.groups is None or overlay.width == 0.0:
        raise MultiscaleError(
            "adaptive partitioning needs an overlay with groups and a width; give Overlay(shape, width, groups=Groups(...))"
        )
    found = membership(overlay, q, margin)
    n = len(found.zone)
    if n > limit:
        raise MultiscaleError(
            f"{n} groups lie in the zone of adaptive partitioning, which takes 2^{n} = {2**n} calculations of both descriptions; make the "
            f"zone or the margin thinner, choose larger groups, or raise limit={limit}"
        )
    core = sorted({*map(int, always), *(k for g in found.core for k in overlay.groups.members[g])})
    if not core:
        raise MultiscaleError(
            "the core of adaptive partitioning holds no group and no atom that is always in; enlarge its shape or name atoms in always="
        )
    regions: dict[str, tuple[Region, Embedding]] = {}
    for subset in (s for k in range(n + 1) for s in combinations(found.zone, k)):
        dofs = np.array(sorted({*core, *(k for g in subset for k in overlay.groups.members[g])}), dtype=np.int64)
        for prefix, make in ((high, make_high), (low, make_low)):
            made = make(dofs)
            pair = made if isinstance(made, tuple) else (made, select(dofs, len(q)))
            regions[subset_name(prefix, subset)] = pair
    return AdaptiveRegions(regions, found, overlay)


def _distances(overlay: Overlay, q: Array) -> Array:
    if overlay.groups is None:
        raise MultiscaleError(
            "the overlay weighs single dofs, but groups are needed; give Overlay(..., groups=Groups(members))"
        )
    return overlay.shape.distance(overlay.groups.centres(q), q)[0]
