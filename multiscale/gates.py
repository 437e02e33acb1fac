"""Gates: what must hold before anything expensive runs.

    capability   every region a coupler evaluates offers what it needs
    coverage     Σ_r w_r = 1 at every site of every sharing region, wherever there is matter
    interfaces   Σ_r Σ_s w_s a_s is the area of the interface that regions share
    joined       atoms that a law joins are seen by no region that does not share with it
    zone         a switching zone is at least one reach wide
    surroundings a site that is counted sees all its neighbours: the region goes on for one reach around it
    overlays     a region that lies over the partition has a core with at least one atom in it

All are pure functions of the interface, so that every rank raises the same error and nobody hangs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from .coupler import Coupler
from .interface import Interface
from .region import Can, Region
from .types import Array, BoolArray, IntArray, MultiscaleError

#: Largest deviation of coverage from one that is round-off.
ROUND_OFF = 1e-10
#: Å; two sites nearer than this are the same particle.
SAME = 1e-3


def capability(
    interface: Interface, coupler: Coupler, installed: Callable[[], Iterable[tuple[str, Can]]] = tuple
) -> None:
    """Refuse a coupler whose needs a region does not meet, naming the region, its offer, and couplers that would do."""
    frame = interface.partition.frame
    if frame not in coupler.frames:
        raise MultiscaleError(
            f"{type(coupler).__name__} works with weights in the {' or '.join(coupler.frames)} frame, but the partition's are in the "
            f"{frame} frame; use Nested(..., frame='{coupler.frames[0]}')"
        )
    for name, needs in coupler.required(interface).items():
        if name not in interface.regions:
            raise MultiscaleError(
                f"{type(coupler).__name__} evaluates a region named '{name}', but the regions are {sorted(interface.regions)}; "
                "name the region so, or tell the coupler its name"
            )
        lacking = needs & ~interface.regions[name].can
        if lacking:
            offer = interface.regions[name].can
            fit = [c for c, n in installed() if not n & ~offer]
            raise MultiscaleError(
                f"{type(coupler).__name__} needs {lacking.names()} of region '{name}', which offers {offer.names()}"
                f"{interface.regions[name].reserved()}; "
                f"couplers that would accept it: {', '.join(fit) if fit else 'none of the installed ones'}"
            )


def coverage(interface: Interface, coupler: Coupler, q: Array) -> dict[str, Array]:
    """How often each site's place is counted, (n_sites,) per region; 1 everywhere if matter is counted once.

    Particles are matched by their positions; fields are asked whether they cover the place. Sites that only overlays have
    (images in a quantum cluster, say) are expected to cancel and are returned as 1 + their sum.
    """
    counts = coupler.count(q, interface)
    at = q if interface.moving else interface.reference
    X = {r: interface.regions[r].sites(interface.place(r, at)) for r in counts}
    asked = {r: interface.weighing_points(r, at) for r in X}
    shares = {r: interface.partition(asked[r], at) for r in X}
    out = {}
    place, held, taken = _places(interface, X, counts)
    for r, points in X.items():
        region, total = interface.regions[r], np.zeros(len(points))
        # Sites of an overlay are judged where they are a sharing region's particles; images elsewhere must cancel.
        known = np.full(len(points), r in interface.shared)
        if region.discrete:
            total += held[place[r]]
            known |= taken[place[r]]
        for s in interface.shared:
            if not (region.discrete and interface.regions[s].discrete):
                total += np.where(known, shares[r][s][0] * interface.regions[s].covers(asked[r]), 0.0)
        out[r] = np.where(region.matter > 0, np.where(known, total, 1.0 + total), 1.0)
    return out


def covered(interface: Interface, coupler: Coupler) -> None:
    """Refuse regions that leave matter out or count it twice, naming the first such site."""
    for name in interface.shared:
        region = interface.regions[name]
        X = region.sites(interface.place(name, interface.reference))
        points = interface.weighing_points(name, interface.reference)
        shares = interface.partition(points, interface.reference)
        for group in interface.partition.groups:
            if name in group:
                total = sum(shares[r][0] for r in group)
                _name_first(name, region, X, np.asarray(total), "the partition's weights add up to")
    for name, c in coverage(interface, coupler, interface.reference).items():
        region = interface.regions[name]
        X = region.sites(interface.place(name, interface.reference))
        _name_first(name, region, X, c, "the regions count it")


def counted_area(interface: Interface, coupler: Coupler, q: Array) -> dict[tuple[str, ...], tuple[float, float]]:
    """Å² of interface that is counted, and Å² that there is, of every group of regions that share one between them.

    Groups of which only one region has an area are left out: what the others count of it is not known.
    """
    counts, out = coupler.count(q, interface), {}
    for group in interface.partition.groups:
        whole = [float(interface.regions[r].area.sum()) for r in group]
        if sum(a > 0 for a in whole) > 1:
            out[group] = sum(float(counts[r] @ interface.regions[r].area) for r in group), max(whole)
    return out


def interfaces(interface: Interface, coupler: Coupler) -> None:
    """Refuse an interface that is counted twice, or in part."""
    for group, (counted, whole) in counted_area(interface, coupler, interface.reference).items():
        if abs(counted - whole) > ROUND_OFF * whole:
            raise MultiscaleError(
                f"of {whole:.6g} Å² of interface between the bodies, {' and '.join(group)} count {counted:.6g} ({counted / whole:.6g} "
                "times): what acts across is to be counted once; give all of them the same area, and the weights of atoms at the places of "
                "the law's sites (Interface(anchors={...: Facing.anchors}))"
            )


def joined(interface: Interface) -> None:
    """Refuse a law between atoms that a region counts as each other's neighbours without sharing the interface with the law."""
    laws = [r for r in interface.shared if interface.regions[r].joins is not None]
    weights = interface.weights(interface.reference) if laws else {}
    for law in laws:
        pairs = interface.regions[law].joins
        assert pairs is not None
        at = interface.place(law, interface.reference)[pairs]
        for name in interface.shared:
            region = interface.regions[name]
            if not region.discrete or any({law, name} <= set(group) for group in interface.partition.groups):
                continue
            own = region.sites(interface.place(name, interface.reference))
            off, k = cKDTree(own).query(at, distance_upper_bound=SAME)
            there = np.flatnonzero(np.isfinite(off).all(axis=1) & (weights[law] > 0))
            i, j = k[there].T
            twice = region.sees(i, j) & (weights[name][i] > 0) & (weights[name][j] > 0)
            if twice.any():
                s = int(np.flatnonzero(twice)[0])
                raise MultiscaleError(
                    f"atoms {i[s]} and {j[s]} of region '{name}' feel each other, and '{law}' joins them, too: what acts across is counted "
                    f"twice at {int(twice.sum())} of {len(pairs)} sites; give '{name}' separate bodies (MLRegion(bodies=...)), let the two "
                    "share the interface by one partition, or set strict=False to study it"
                )


def _name_first(name: str, region: Region, X: Array, c: Array, what: str) -> None:
    wrong = np.flatnonzero(np.abs(c - 1.0) > ROUND_OFF)
    if len(wrong) == 0:
        return
    k = int(wrong[np.argmax(np.abs(c[wrong] - 1.0))])
    kind = "atom" if region.discrete else "quadrature point"
    missing = c[k] < 1.0
    raise MultiscaleError(
        f"{kind} {k} of region '{name}' at ({X[k, 0]:.3f}, {X[k, 1]:.3f}, {X[k, 2]:.3f}) Å is "
        f"{'not fully covered' if missing else 'counted more than once'} ({what} {c[k]:.6g} times; {len(wrong)} such sites): "
        f"{'extend a region or move the partition' if missing else 'give the matter to one region or blend them by one partition'}"
    )


def _places(
    interface: Interface, X: dict[str, Array], counts: dict[str, Array]
) -> tuple[dict[str, IntArray], Array, BoolArray]:
    """Number the places of particles: of each region's sites, how often each place is counted, and whether a sharing region has it.

    One tree for all regions: adaptive partitioning has a hundred of them, and every pair of them would need a search.
    """
    names = [r for r in X if interface.regions[r].discrete]
    points = np.concatenate([X[r] for r in names]) if names else np.zeros((0, 3))
    near = cKDTree(points).query_pairs(SAME, output_type="ndarray") if len(points) else np.zeros((0, 2), dtype=int)
    graph = coo_matrix((np.ones(len(near)), (near[:, 0], near[:, 1])), shape=(len(points),) * 2)
    n, label = connected_components(graph, directed=False)
    ends = np.cumsum([len(X[r]) for r in names])[:-1]
    place = dict(zip(names, np.split(label, ends), strict=True)) if names else {}
    held, taken = np.zeros(n), np.zeros(n, dtype=bool)
    for r in names:
        np.add.at(held, place[r], counts[r] * (interface.regions[r].matter > 0))
        taken[place[r]] |= r in interface.shared
    return place, held, taken


def zones(interface: Interface) -> None:
    """Refuse a switching zone narrower than one reach of the particles that share it."""
    for name, (_, width) in interface.partition.zones.items():
        reaches = {r: interface.regions[r].reach for r in interface.shared if interface.regions[r].discrete}
        finite = {r: v for r, v in reaches.items() if np.isfinite(v)}
        if width > 0 and finite and width < max(finite.values()) * (1 - 1e-9):
            worst = max(finite, key=lambda r: finite[r])
            raise MultiscaleError(
                f"the switching zone of '{name}' is {width:.3g} Å wide, narrower than one reach of region '{worst}' "
                f"({finite[worst]:.3g} Å); widen it, or set strict=False to study it"
            )


def surroundings(interface: Interface) -> None:
    """Refuse counted particles whose neighbourhood the region cuts off although another region has matter there."""
    directions = np.array(
        [[i, j, k] for i in (-1, 0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1) if i or j or k], dtype=float
    )
    directions /= np.linalg.norm(directions, axis=1)[:, None]
    weights = interface.weights(interface.reference)
    for name in interface.shared:
        region = interface.regions[name]
        others = [interface.regions[r] for r in interface.shared if r != name and _goes_beyond(interface, r, name)]
        if not (region.discrete and others and np.isfinite(region.reach)):
            continue
        counted = np.flatnonzero(weights[name] > 0)
        if len(counted) == 0:
            continue
        X = region.sites(interface.place(name, interface.reference))[counted]
        cut = np.zeros(len(counted), dtype=bool)
        for part in np.array_split(
            np.arange(len(counted)), len(counted) // 2000 + 1
        ):  # 26 probes of all would fill the memory
            probe = (X[part, None, :] + 0.9 * region.reach * directions).reshape(-1, 3)
            bare = np.flatnonzero(~region.covers(probe))
            elsewhere = np.any([o.covers(probe[bare]) for o in others], axis=0)
            cut[part[bare[elsewhere] // len(directions)]] = True
        if cut.any():
            k = int(counted[np.flatnonzero(cut)[0]])
            raise MultiscaleError(
                f"atom {k} of region '{name}' is counted (weight {weights[name][k]:.3g}) but the region ends within one reach "
                f"({region.reach:.3g} Å) of it while other regions go on ({int(cut.sum())} such atoms): the switching zone reaches "
                "outside the region; add a pad of atoms slaved to the mesh, or move the zone inwards"
            )


def overlays(interface: Interface) -> None:
    """Refuse an overlay that weighs nothing, or whose core holds no particle of its region; the interface refuses larger ones."""
    for name, overlay in interface.overlays.items():
        if overlay.groups is not None:
            continue
        region, x = interface.regions[name], interface.place(name, interface.reference)
        X = region.sites(x)[region.matter > 0]
        d = overlay.shape.distance(X, interface.reference)[0]
        if len(d) and d.min() > 0.0:
            nothing = overlay(X, interface.reference).max() == 0.0
            what = "has shrunk to nothing" if nothing else "has no core"
            raise MultiscaleError(
                f"the overlay '{name}' {what}: the region's nearest atom lies {d.min():.3g} Å outside its core set, which has a zone of "
                f"{overlay.width:.3g} Å; enlarge the shape or move it over the region, or set strict=False to study it"
            )


def _goes_beyond(interface: Interface, other: str, name: str) -> bool:
    """Whether a region may have matter where another has none: it is a field, or has particles that the other has not."""
    if not interface.regions[other].discrete:
        return True
    mine, theirs = interface.embeddings[name].own, interface.embeddings[other].own
    return bool((theirs < 0).any()) or not np.isin(theirs, mine).all()


def overlapping(interface: Interface, q: Array, nearest: float = 0.5) -> None:
    """Refuse particles of one region that lie on top of one another."""
    for name, region in interface.regions.items():
        if not region.discrete:
            continue
        # Sites, not dofs: neighbours that only serve a site (arms of a star) may be copies of one another.
        x = region.sites(interface.place(name, q))
        pairs = cKDTree(x).query_pairs(nearest, output_type="ndarray")
        if len(pairs):
            i, j = (int(v) for v in pairs[0])
            raise MultiscaleError(
                f"atoms {i} and {j} of region '{name}' are only {np.linalg.norm(x[i] - x[j]):.3f} Å apart ({len(pairs)} such pairs); "
                "remove duplicates or check the embedding"
            )


def finite(q: Array, fixed: Array | None = None) -> None:
    """Refuse positions that are not numbers, naming the first dof."""
    bad = ~np.isfinite(q).all(axis=1)
    if bad.any():
        raise MultiscaleError(
            f"shared dof {int(np.flatnonzero(bad)[0])} has no finite position ({int(bad.sum())} such dofs); "
            "the last step went astray: restart from a good state with a smaller step"
        )
