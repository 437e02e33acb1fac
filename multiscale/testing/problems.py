"""Problems on which couplers are examined: small, exact, and complete enough for every kind of method.

    chain     a ring of Morse atoms with second neighbours beside its Cauchy–Born elements, with a 'quantum' segment over it
    open      the same chain with free ends: an isolated body
    moving    two potentials mixed by weights that ride on a seed atom, in the current frame
    riding    the same atoms under overlays that ride on a seed atom, for methods that lay regions over the partition
    twins     every region the same functional: coupling must change nothing
    limit     all weight on one region: the hybrid must be that region

Every problem has the regions ``qm`` and ``ml_qm`` (a segment described twice) for subtractive and force-mixing methods, with an
overlay ``qm``, and the regions ``qm[…]`` and ``ml_qm[…]`` of a core and every subset of two groups, with an overlay ``adaptive`` of
groups of three atoms, so that a coupler that names its regions by the defaults can be built without arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..adaptive import subset_regions
from ..coupler import Coupler
from ..embedding import Embedding, select
from ..groups import Groups
from ..interface import Interface, Overlay
from ..model import HybridModel
from ..partition import Frame, Nested
from ..ranks import Ranks, World
from ..region import Region
from ..regions.chain import ChainElements, ChainRegion, MorsePair, Pair
from ..shapes import Shape, Slab, SmoothUnion
from ..switching import Quintic, Switch
from ..types import Array, BoolArray

#: Å; half-width of the overlays' core: an atom and its neighbours.
CORE = 1.6


@dataclass(frozen=True)
class Problem:
    """A problem that any coupler can be put to.

    Attributes
    ----------
    name : str
    interface : callable () -> Interface
        Builds a fresh one (regions hold state).
    interior : (n_q,) bool array
        Dofs on which a homogeneous deformation is an equilibrium.
    isolated : bool
        No boundary and no laboratory-fixed weights: momentum is conserved by a method that claims it.
    stretch : callable (float) -> (n_q, 3) array
        The homogeneous deformation by a stretch.
    pure : str
        For twins and limits: the region that the hybrid must equal.
    """

    name: str
    interface: Callable[[], Interface]
    interior: BoolArray
    isolated: bool
    stretch: Callable[[float], Array]
    pure: str = ""

    def model(self, coupler: Coupler, world: World | None = None) -> HybridModel:
        """The problem under a coupler, on this process or on the ranks of ``world``."""
        return HybridModel(self.interface(), coupler, Ranks(world=world or World()))


def _line(n: int, spacing: float) -> Array:
    q = np.zeros((n, 3))
    q[:, 0] = spacing * np.arange(n)
    return q


def over_atoms(
    q: Array, middle: int, better: Pair, cheaper: Pair, core: Shape, frame: Frame = "reference"
) -> tuple[dict[str, Region | tuple[Region, Embedding]], dict[str, Overlay]]:
    """Regions that lie over the partition around atom ``middle``, described twice, and their overlays around ``core``.

    Groups of three atoms: the middle one is in the core, its neighbours vary, those beyond are outside, also after the core has
    moved by one and a half spacings.
    """
    n, cluster = len(q), np.arange(middle - 7, middle + 8)
    regions: dict[str, Region | tuple[Region, Embedding]] = {
        "qm": (ChainRegion(q[cluster], better), select(cluster, n)),
        "ml_qm": (ChainRegion(q[cluster], cheaper), select(cluster, n)),
    }
    groups = Groups(tuple((k - 1, k, k + 1) for k in range(middle - 6, middle + 7, 3)))
    zone = Overlay(core, 2.5, frame=frame, groups=groups)
    found = subset_regions(
        zone, q, lambda dofs: ChainRegion(q[dofs], better), lambda dofs: ChainRegion(q[dofs], cheaper)
    )
    return regions | dict(found.regions), {"qm": Overlay(core, 3.0, frame=frame), "adaptive": zone}


def _chain_interface(
    n: int,
    period: bool,
    pairs: dict[str, Pair],
    switch: Switch,
    second: Callable[[Array, Pair, float | None], Region],
    blend: int,
    core: float,
) -> Interface:
    a = MorsePair().equilibrium()
    q = _line(n, a)
    ring = n * a if period else None
    middle = 0.5 * (n - 1) * a
    over, overlays = over_atoms(q, n // 2, pairs["qm"], pairs["atoms"], Slab((n // 2 * a, 0, 0), (1, 0, 0), CORE))
    regions = {"atoms": ChainRegion(q, pairs["atoms"], ring), "fem": second(q, pairs["fem"], ring), **over}
    partition = Nested([("atoms", Slab((middle, 0, 0), (1, 0, 0), core), blend * a)], rest="fem", switch=switch)
    return Interface(q, regions, partition, overlays=overlays)


def chain(
    *,
    period: bool = True,
    n: int = 96,
    blend: int = 8,
    switch: Switch | None = None,
    twins: bool = False,
    limit: bool = False,
) -> Problem:
    """The chain: atoms in the middle, elements around, a blend of ``blend`` atoms between."""
    a = MorsePair().equilibrium()
    morse = MorsePair()
    better = morse if twins or limit else MorsePair(alpha=4.4, depth=1.1)
    pairs: dict[str, Pair] = {"atoms": morse, "fem": morse, "qm": better}
    second = (lambda q, p, ring: ChainRegion(q, p, ring)) if twins else (lambda q, p, ring: ChainElements(q, p, ring))
    core = 2.0 * n * a if limit else 12.0 * a

    def build() -> Interface:
        return _chain_interface(n, period, pairs, switch or Quintic(), second, blend, core)

    interior = np.ones(n, dtype=bool)
    if not period:
        interior[:8] = interior[-8:] = False
    name = "twins" if twins else "limit" if limit else "chain" if period else "open"
    return Problem(
        name, build, interior, not period, lambda s: _stretched(n, a, s, period), "atoms" if twins or limit else ""
    )


def _stretched(n: int, a: float, s: float, period: bool) -> Array:
    # A ring keeps its length, so that its homogeneous states are the reference and its rigid shifts; an open chain stretches.
    return _line(n, a) if period else _line(n, a * s)


def moving(*, n: int = 64, switch: Switch | None = None) -> Problem:
    """Two potentials on one open chain; the weights ride on a dof of their own, so that they can sweep over resting atoms."""
    a = MorsePair().equilibrium()

    def build() -> Interface:
        q = np.concatenate([_line(n, a), [[0.5 * (n - 1) * a, 0.0, 0.0]]])
        everything = select(np.arange(n), n + 1)
        over, overlays = over_atoms(
            q, n // 2, MorsePair(depth=1.1), MorsePair(), Slab((n // 2 * a, 0, 0), (1, 0, 0), CORE)
        )
        # Equal wells: energy zeros are aligned, as they must be before weights move.
        regions = {
            "atoms": (ChainRegion(q[:n], MorsePair(alpha=4.4)), everything),
            "fem": (ChainRegion(q[:n], MorsePair()), everything),
            **over,
        }
        partition = Nested(
            [("atoms", SmoothUnion((n,), 5.0 * a, 1.0), 5.0 * a)],
            rest="fem",
            switch=switch or Quintic(),
            frame="current",
        )
        return Interface(q, regions, partition, overlays=overlays)

    return Problem("moving", build, np.zeros(n + 1, dtype=bool), True, lambda s: _line(n, a * s))


def riding(*, n: int = 64) -> Problem:
    """One chain of atoms beside another that shares it by resting weights; overlays ride on a dof of their own and sweep over the atoms."""
    a = MorsePair().equilibrium()

    def build() -> Interface:
        q = np.concatenate([_line(n, a), [[n // 2 * a, 0.0, 0.0]]])
        everything = select(np.arange(n), n + 1)
        over, overlays = over_atoms(
            q, n // 2, MorsePair(alpha=4.4), MorsePair(), SmoothUnion((n,), CORE, 1.0), frame="current"
        )
        regions = {
            "atoms": (ChainRegion(q[:n], MorsePair()), everything),
            "fem": (ChainRegion(q[:n], MorsePair(alpha=4.1)), everything),
            **over,
        }
        partition = Nested([("atoms", Slab((n // 2 * a, 0, 0), (1, 0, 0), 10.0 * a), 8.0 * a)], rest="fem")
        return Interface(q, regions, partition, overlays=overlays)

    return Problem("riding", build, np.zeros(n + 1, dtype=bool), True, lambda s: _line(n, a * s))


def standard() -> dict[str, Problem]:
    """All problems by name."""
    problems = [chain(), chain(period=False), moving(), riding(), chain(twins=True), chain(limit=True)]
    return {p.name: p for p in problems}
