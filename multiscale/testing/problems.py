"""Problems on which couplers are examined: small, exact, and complete enough for every kind of method.

    chain     a ring of Morse atoms with second neighbours beside its Cauchy–Born elements, with a 'quantum' segment over it
    open      the same chain with free ends: an isolated body
    moving    two potentials mixed by weights that ride on a seed atom, in the current frame
    twins     every region the same functional: coupling must change nothing
    limit     all weight on one region: the hybrid must be that region

Every problem has the regions ``qm`` and ``ml_qm`` (a segment described twice) for subtractive and force-mixing methods, so that a coupler
that names its regions by the defaults can be built without arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..coupler import Coupler
from ..embedding import Embedding, select
from ..interface import Interface, Overlay
from ..model import HybridModel
from ..partition import Nested
from ..ranks import Ranks, World
from ..region import Region
from ..regions.chain import ChainElements, ChainRegion, MorsePair, Pair
from ..shapes import Slab, SmoothUnion
from ..switching import Quintic, Switch
from ..types import Array, BoolArray


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
    cluster = np.arange(n // 2 - 7, n // 2 + 8)
    regions: dict[str, Region | tuple[Region, Embedding]] = {
        "atoms": ChainRegion(q, pairs["atoms"], ring),
        "fem": second(q, pairs["fem"], ring),
        "qm": (ChainRegion(q[cluster], pairs["qm"]), select(cluster, n)),
        "ml_qm": (ChainRegion(q[cluster], pairs["atoms"]), select(cluster, n)),
    }
    partition = Nested([("atoms", Slab((middle, 0, 0), (1, 0, 0), core), blend * a)], rest="fem", switch=switch)
    overlays = {"qm": Overlay(Slab((n // 2 * a, 0, 0), (1, 0, 0), 1.5 * a), 3.0 * a)}
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
        everything, cluster = select(np.arange(n), n + 1), np.arange(n // 2 - 7, n // 2 + 8)
        # Equal wells: energy zeros are aligned, as they must be before weights move.
        regions = {
            "atoms": (ChainRegion(q[:n], MorsePair(alpha=4.4)), everything),
            "fem": (ChainRegion(q[:n], MorsePair()), everything),
            "qm": (ChainRegion(q[cluster], MorsePair(depth=1.1)), select(cluster, n + 1)),
            "ml_qm": (ChainRegion(q[cluster], MorsePair()), select(cluster, n + 1)),
        }
        partition = Nested(
            [("atoms", SmoothUnion((n,), 5.0 * a, 1.0), 5.0 * a)],
            rest="fem",
            switch=switch or Quintic(),
            frame="current",
        )
        overlays = {"qm": Overlay(Slab((n // 2 * a, 0, 0), (1, 0, 0), 1.5 * a), 3.0 * a)}
        return Interface(q, regions, partition, overlays=overlays)

    return Problem("moving", build, np.zeros(n + 1, dtype=bool), True, lambda s: _line(n, a * s))


def standard() -> dict[str, Problem]:
    """All problems by name."""
    problems = [chain(), chain(period=False), moving(), chain(twins=True), chain(limit=True)]
    return {p.name: p for p in problems}
