"""Clusters carved from a larger system, their broken bonds saturated by link atoms.

    x_link = x_in + c (x_out − x_in),      c = (link bond length)/(reference bond length)

Every row is affine in the positions of the large system, so that forces on link atoms are passed on to the two atoms
that place them by the transpose of the same matrix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial import cKDTree

from ..embedding import Embedding, link_atoms, select, stack
from ..neighbours import NeighbourList, Pairs
from ..types import Array, BoolArray, IntArray, MultiscaleError
from .cover import periodic_images
from .wraps import Node, refuse_images


@dataclass(frozen=True)
class Cluster:
    """A carved cluster: m atoms of the large system (or periodic images of them), and n_links link atoms after them.

    Attributes
    ----------
    symbols : tuple of str
        Of the m atoms.
    index : (m,) int array
        Parent atom of each atom.
    shift : (m, 3) int array
        Lattice vectors added to the parent's position.
    core : (m,) bool array
        The atoms that were asked for; the others are buffer.
    links : (n_links, 2) int array
        Inner atom (cluster index) and outer atom (parent index in the large system) of each broken bond.
    outer_shift : (n_links, 3) int array
        Lattice vectors added to the outer atom's position.
    ratio : (n_links,) array
        c.
    cap : str
        Element of the link atoms.
    """

    symbols: tuple[str, ...]
    index: IntArray
    shift: IntArray
    core: BoolArray
    links: IntArray
    outer_shift: IntArray
    ratio: Array
    cap: str

    @property
    def all_symbols(self) -> tuple[str, ...]:
        """Symbols of atoms and link atoms (m + n_links,)."""
        return self.symbols + (self.cap,) * len(self.links)

    @property
    def link_atoms(self) -> BoolArray:
        """Mask (m + n_links,) of the link atoms."""
        return np.arange(len(self.symbols) + len(self.links)) >= len(self.symbols)

    def positions(self, x: ArrayLike, cell: ArrayLike) -> Array:
        """Place atoms and link atoms (m + n_links, 3), Å, for ``x`` (n, 3) and ``cell`` (3, 3) of the large system."""
        x, cell = np.asarray(x, dtype=float), np.asarray(cell, dtype=float)
        atoms = x[self.index] + self.shift @ cell
        inner, outer = atoms[self.links[:, 0]], x[self.links[:, 1]] + self.outer_shift @ cell
        return np.concatenate([atoms, inner + self.ratio[:, None] * (outer - inner)])

    def embedding(self, cell: ArrayLike, n: int) -> Embedding:
        """The affine rows that place the cluster over the ``n`` atoms of the large system with ``cell`` (3, 3), Å.

        Only the home cell's copies own their dofs: an image's force belongs to the image.
        """
        cell = np.asarray(cell, dtype=float)
        inner, outer = self.links.T
        shifts = self.shift[inner] @ cell, self.outer_shift @ cell
        rows = stack(
            select(self.index, n, self.shift @ cell), link_atoms(self.index[inner], outer, self.ratio, n, *shifts)
        )
        image = np.concatenate([self.shift.any(axis=1), np.ones(len(self.links), dtype=bool)])
        return Embedding(rows.matrix, rows.offset, np.where(image, -1, rows.own))


def carve(
    symbols: Sequence[str],
    positions: ArrayLike,
    cell: ArrayLike,
    pbc: ArrayLike,
    core: ArrayLike,
    *,
    hops: int = 0,
    radius: float | None = None,
    periods: Sequence[int] = (1, 1, 1),
    images: bool = False,
    bond_length: float = 1.2 * 2.35,
    cap: str = "H",
    cap_bond: float = 1.48,
    max_atoms: int = 500,
) -> Cluster:
    """Choose a cluster around ``core`` atoms and find the bonds to saturate.

    Atoms outside that are bonded to two or more cluster atoms are absorbed, again and again: they would be replaced
    by two link atoms that come too close. In a tetrahedral crystal the result is bounded by {111} facets.

    Parameters
    ----------
    symbols : sequence of str
        Elements of the large system.
    positions, cell, pbc : (n, 3), (3, 3), (3,)
        Reference positions and cell of the large system, Å, and its periodic axes.
    core : int array or (n,) bool array
        Atoms that must be inside.
    hops : int
        Buffer: the bonds' neighbours to this depth are inside too.
    radius : float, optional
        Buffer: whatever is within this distance (Å) of a core atom is inside too.
    periods : three int
        How many periods of the core to take along each periodic axis, centred about the home cell; a core in a cell one
        period thick gives a cluster several periods thick. Along axes of more than one period the cluster may contain
        images of its own atoms.
    images : bool
        Whether it may do so along all periodic axes: for clusters of a crystal that is given by a small cell, and whose
        energies are not added to those of that cell.
    bond_length : float
        Å; atoms closer than this in the reference configuration are bonded. Default: silicon's bond and a fifth.
    cap, cap_bond : str, float
        Element and bond length (Å) of the link atoms. Default: Si–H of silane.
    max_atoms : int
        Refuse larger clusters (without link atoms).

    Raises
    ------
    MultiscaleError
        If the core is empty, the cluster grows beyond ``max_atoms``, or it meets its own image: the cell is too small for
        the core and its buffer.

    Examples
    --------
    >>> from ase.build import bulk
    >>> si = bulk("Si", a=5.43)
    >>> cluster = carve(si.get_chemical_symbols(), si.positions, si.cell.array, True, [0], hops=1, images=True)
    >>> len(cluster.symbols), len(cluster.links)
    (5, 12)
    """
    x = np.asarray(positions, dtype=float)
    chosen = np.asarray(core)
    chosen = np.flatnonzero(chosen) if chosen.dtype == bool else chosen.astype(np.int64).ravel()
    if not len(chosen):
        raise MultiscaleError("carve was given an empty core; name at least one atom of the large system")
    bonds = NeighbourList(bond_length, cell, pbc, skin=0.0)
    pairs = bonds.pairs(x)
    bonded = _bond_table(pairs, len(x))
    seeds = _core_nodes(chosen, bonds.pbc, periods)
    inside = _with_buffer(seeds, bonded, hops)
    if radius is not None:
        inside |= _within(seeds, x, bonds.cell, bonds.pbc, radius)
    allowed = np.array([images or p > 1 for p in periods]) & bonds.pbc
    refuse_images(inside, [], x, bonds.cell, bonds.pbc, allowed)
    inside = _absorb(inside, bonded, max_atoms)
    order = sorted(inside, key=lambda node: (node not in seeds, node))
    number = {node: k for k, node in enumerate(order)}
    broken = [
        (number[node], neighbour)
        for node in order
        for neighbour in _neighbours(node, bonded)
        if neighbour not in inside
    ]
    refuse_images(inside, [(order[k], node) for k, node in broken], x, bonds.cell, bonds.pbc, allowed)
    outer = np.array([node for _, node in broken], dtype=np.int64).reshape(-1, 4)
    inner = np.array([k for k, _ in broken], dtype=np.int64)
    nodes = np.array(order, dtype=np.int64)
    at = x[nodes[:, 0]] + nodes[:, 1:] @ bonds.cell
    lengths = np.linalg.norm(x[outer[:, 0]] + outer[:, 1:] @ bonds.cell - at[inner], axis=1)
    return Cluster(
        symbols=tuple(symbols[k] for k in nodes[:, 0]),
        index=nodes[:, 0],
        shift=nodes[:, 1:],
        core=np.array([node in seeds for node in order]),
        links=np.stack([inner, outer[:, 0]], axis=1),
        outer_shift=outer[:, 1:],
        ratio=cap_bond / lengths,
        cap=cap,
    )


def _bond_table(pairs: Pairs, n: int) -> list[list[Node]]:
    """For each atom in the home cell, its bonded neighbours."""
    table: list[list[Node]] = [[] for _ in range(n)]
    for i, j, s in zip(pairs.i.tolist(), pairs.j.tolist(), pairs.shift.tolist(), strict=True):
        table[i].append((j, s[0], s[1], s[2]))
    return table


def _neighbours(node: Node, bonded: list[list[Node]]) -> list[Node]:
    i, a, b, c = node
    return [(j, a + p, b + q, c + r) for j, p, q, r in bonded[i]]


def _core_nodes(core: IntArray, pbc: BoolArray, periods: Sequence[int]) -> set[Node]:
    """The core atoms in ``periods`` periods, the home cell among them."""
    if len(periods) != 3 or min(periods) < 1 or any(p > 1 and not open_ for p, open_ in zip(periods, pbc, strict=True)):
        raise MultiscaleError(
            f"carve was given periods={tuple(periods)} with periodic axes {pbc.tolist()}; give three numbers ≥ 1, "
            "above 1 only along "
            "periodic axes"
        )
    shifts = [range(-((p - 1) // 2), p - (p - 1) // 2) for p in periods]
    return {(int(i), a, b, c) for i in core for a, b, c in product(*shifts)}


def _with_buffer(seeds: set[Node], bonded: list[list[Node]], hops: int) -> set[Node]:
    inside, shell = set(seeds), set(seeds)
    for _ in range(hops):
        shell = {n for node in shell for n in _neighbours(node, bonded)} - inside
        inside |= shell
    return inside


def _within(seeds: set[Node], x: Array, cell: Array, pbc: BoolArray, radius: float) -> set[Node]:
    """Every atom or image within ``radius`` of a seed."""
    nodes = np.array(sorted(seeds))
    centres = x[nodes[:, 0]] + nodes[:, 1:] @ cell
    images, shifts = periodic_images(x, cell, pbc, centres, radius)
    near = np.flatnonzero(cKDTree(centres).query(images, distance_upper_bound=radius)[0] <= radius)
    found = np.column_stack([near % len(x), shifts[near // len(x)]])
    return {(i, a, b, c) for i, a, b, c in found.tolist()}


def _absorb(inside: set[Node], bonded: list[list[Node]], max_atoms: int) -> set[Node]:
    """Take in outer atoms with two or more bonds to the cluster until there is none."""
    while True:
        count: dict[Node, int] = {}
        for node in inside:
            for neighbour in _neighbours(node, bonded):
                if neighbour not in inside:
                    count[neighbour] = count.get(neighbour, 0) + 1
        doubly = {node for node, bonds in count.items() if bonds > 1}
        inside = inside | doubly
        if len(inside) > max_atoms:
            raise MultiscaleError(
                f"carve found a cluster of more than max_atoms = {max_atoms} atoms; choose a smaller core or buffer, "
                "or raise max_atoms"
            )
        if not doubly:
            return inside
