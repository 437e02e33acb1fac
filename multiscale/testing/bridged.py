"""A chain that goes over into long elements: atoms to the left, a mesh to the right, both in an overlap, each with dofs of its own.

    atoms     …, −2a, −a, 0, a, …, (o − 1) a | oa …            those from oa on follow the mesh
    nodes                    0,      na,      2na, …           n atoms' worth per element
    weight    1 ─────────────┐  from 1 to 0  └───── 0          of the atoms, over the overlap of o spacings

It is the problem on which methods that tie atoms to nodes are examined, and the chain of benchmark B5.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..embedding import Embedding, select, slaved, stack
from ..interface import Interface, Overlay
from ..partition import Nested
from ..region import Region
from ..regions.chain import ChainElements, ChainRegion, Pair
from ..shapes import Slab
from ..switching import Quintic, Switch
from ..types import Array, IntArray
from .problems import CORE, MorsePair, Problem, over_atoms

#: Spacings by which the zone keeps clear of the atoms at its ends, lest round-off decide whether they are in it.
_CLEAR = 1e-9


@dataclass(frozen=True)
class Line:
    """The geometry, in numbers of spacings.

    Attributes
    ----------
    pair : Pair
    spacing : float
        a, Å.
    left, overlap, right : int
        Atoms to the left of 0; spacings in the overlap, and from 0 to the last node.
    per_element : int
        Atoms' worth per element.
    neighbours : int
        Of an atom, to either side.
    switch : Switch
    exact : bool
        Whether the elements' weights are sums over their atoms' places in an overlap; if not, those at midpoints.
    """

    pair: Pair
    spacing: float
    left: int
    overlap: int
    right: int
    per_element: int
    neighbours: int = 2
    switch: Switch = Quintic()
    exact: bool = True

    @property
    def atoms(self) -> IntArray:
        """Numbers of the sites with atoms that are dofs; for no overlap the one at 0 included, which is the first node, too."""
        return np.arange(-self.left, max(self.overlap, 1))

    @property
    def nodes(self) -> IntArray:
        """Numbers of the sites with nodes that are dofs."""
        return np.arange(0 if self.overlap else self.per_element, self.right + 1, self.per_element)

    @property
    def sites(self) -> IntArray:
        """Numbers of the sites of all shared dofs, atoms first."""
        return np.concatenate([self.atoms, self.nodes])

    def points(self, sites: IntArray) -> Array:
        """Reference positions (n, 3), Å."""
        out = np.zeros((len(sites), 3))
        out[:, 0] = self.spacing * sites
        return out

    def interface(self, *, others: bool = False) -> Interface:
        """Atoms and elements, and (``others``) the regions and overlays that all problems have."""
        q, n = self.points(self.sites), len(self.atoms)
        a, on_nodes = self.spacing, np.arange(n, len(q))
        if not self.overlap:
            on_nodes = np.concatenate([[n - 1], on_nodes])
        fem = ChainElements(
            q[on_nodes],
            self.pair,
            neighbours=self.neighbours,
            spacing=a,
            quadrature="lattice" if self.exact and self.overlap else "midpoint",
        )
        at = select(np.arange(n), len(q))
        pad = self.points(self.overlap + np.arange(self.neighbours if self.overlap else 0))
        if len(pad):
            at = stack(at, slaved(fem, pad, on_nodes, len(q)))
        atoms = ChainRegion(np.concatenate([q[:n], pad]), self.pair, neighbours=self.neighbours)
        # The slab ends at 0; its other end is far beyond the first atom.
        reach = (10 * self.left + _CLEAR) * a
        core = Slab((-10 * self.left * a, 0, 0), (1, 0, 0), reach)
        partition = Nested([("atoms", core, max(self.overlap - 3 * _CLEAR, 0.0) * a)], rest="fem", switch=self.switch)
        regions: dict[str, Region | tuple[Region, Embedding]] = {
            "atoms": (atoms, at),
            "fem": (fem, select(on_nodes, len(q))),
        }
        overlays: dict[str, Overlay] = {}
        if others:
            middle = self.left // 2
            zone = Slab((q[middle, 0], 0, 0), (1, 0, 0), CORE)
            more, overlays = over_atoms(q, middle, MorsePair(alpha=4.4, depth=1.1), self.pair, zone)
            regions |= more
        # A sharp seam cuts neighbourhoods off, which is what it is there to show.
        fixed = np.tile([False, True, True], (len(q), 1))
        return Interface(q, regions, partition, fixed, overlays, strict=self.overlap > 0)


def bridged(*, switch: Switch | None = None) -> Problem:
    """Atoms with second neighbours in an open chain, an overlap of 20 spacings, elements of four atoms' worth."""
    a = MorsePair().equilibrium()
    line = Line(MorsePair(), a, 36, 20, 60, 4, switch=switch or Quintic())
    x = line.points(line.sites)
    interior = (x[:, 0] > x[:, 0].min() + 8 * a) & (x[:, 0] < x[:, 0].max() - 8 * a)
    return Problem("bridged", lambda: line.interface(others=True), interior, True, lambda s: x * [s, 1.0, 1.0])
