"""Rods: clusters that go on for ever along one periodic axis, their broken bonds saturated by link atoms.

    E per period = E(n periods, periodic)/n,      x = one period of the rod, its link atoms placed as in :mod:`multiscale.regions.carve`

In a thin slice, periodic along a crack's front or a dislocation's line, a cluster of finite length ends in caps on images of the atoms that
matter, and has the energy of several periods. A rod has no ends, is as symmetric as the slice, and its energy is one period's: so
it can be added to the slice's own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from ..neighbours import NeighbourList
from ..types import Array, IntArray, MultiscaleError
from .carve import Cluster

#: A bond of an atom in the home cell: the neighbour, and the lattice shift to it.
Bond = tuple[int, int, int, int]


def carve_rod(
    symbols: Sequence[str],
    positions: ArrayLike,
    cell: ArrayLike,
    core: ArrayLike,
    *,
    axis: int = 2,
    hops: int = 0,
    bond_length: float = 1.2 * 2.35,
    cap: str = "H",
    cap_bond: float = 1.48,
    max_atoms: int = 200,
) -> Cluster:
    """Choose one period of a rod about ``core`` atoms, and find the bonds to saturate.

    Atoms outside that have two or more bonds to the rod, whichever images they go to, are absorbed, again and again.

    Parameters
    ----------
    symbols : sequence of str
        Elements of the large system.
    positions, cell : (n, 3), (3, 3)
        Of the large system, Å; one period along ``axis``, which alone is periodic here.
    core : int array or (n,) bool array
        Atoms that must be inside.
    axis : int
        Which cell vector the rod goes along.
    hops : int
        Buffer: the bonds' neighbours to this depth are inside too.
    bond_length : float
        Å; atoms closer than this at ``positions`` are bonded. Default: silicon's bond and a fifth.
    cap, cap_bond : str, float
        Element and bond length (Å) of the link atoms. Default: Si–H of silane.
    max_atoms : int
        Refuse thicker rods (without link atoms).

    Returns
    -------
    Cluster
        Its atoms are all in the home cell; link atoms may point to images.

    Raises
    ------
    MultiscaleError
        If the core is empty, or the rod grows beyond ``max_atoms``.

    Examples
    --------
    >>> chain = [[0, 0, 0], [0, 1.3, 2.0], [0, -2.0, 0.8], [0, 3.3, 1.2]]  # zigzag along z, a neighbour on either side
    >>> rod = carve_rod(["Si"] * 4, chain, np.diag([0, 0, 4.0]), [0, 1], bond_length=2.5)
    >>> len(rod.symbols), len(rod.links)
    (2, 2)
    """
    x, cell = np.asarray(positions, dtype=float), np.asarray(cell, dtype=float)
    chosen = np.asarray(core)
    chosen = np.flatnonzero(chosen) if chosen.dtype == bool else chosen.astype(np.int64).ravel()
    if not len(chosen):
        raise MultiscaleError("carve_rod was given an empty core; name at least one atom of the large system")
    bonded = _bonds(x, cell, axis, bond_length)
    inside = _absorbed(_deep(set(chosen.tolist()), bonded, hops), bonded, max_atoms)
    first = set(chosen.tolist())
    order = sorted(inside, key=lambda i: (i not in first, i))
    number = {i: k for k, i in enumerate(order)}
    cut = np.array(
        [(number[i], *bond) for i in order for bond in bonded[i] if bond[0] not in inside], dtype=np.int64
    ).reshape(-1, 5)
    index, inner, outer, shift = np.array(order, dtype=np.int64), cut[:, 0], cut[:, 1], cut[:, 2:]
    lengths = np.linalg.norm(x[outer] + shift @ cell - x[index[inner]], axis=1)
    return Cluster(
        symbols=tuple(symbols[i] for i in order),
        index=index,
        shift=np.zeros((len(order), 3), dtype=np.int64),
        core=np.isin(index, chosen),
        links=np.stack([inner, outer], axis=1),
        outer_shift=shift,
        ratio=cap_bond / lengths,
        cap=cap,
    )


def rod_cell(positions: Array, cell: ArrayLike, axis: int = 2, vacuum: float = 20.0) -> Array:
    """A cell (3, 3) for engines whose electrostatics are periodic in three dimensions: ``vacuum`` Å around the rod at ``positions``."""
    sides = np.ptp(positions, axis=0) + vacuum
    out = np.diag(sides)
    out[axis] = np.asarray(cell, dtype=float)[axis]
    return out


def _bonds(x: Array, cell: Array, axis: int, length: float) -> list[list[Bond]]:
    """For each atom, its bonded neighbours and the lattice shifts to them."""
    pairs = NeighbourList(length, cell, [k == axis for k in range(3)], skin=0.0).pairs(x)
    table: list[list[Bond]] = [[] for _ in range(len(x))]
    for i, j, s in zip(pairs.i.tolist(), pairs.j.tolist(), pairs.shift.tolist(), strict=True):
        table[i].append((j, s[0], s[1], s[2]))
    return table


def _deep(core: set[int], bonded: list[list[Bond]], hops: int) -> set[int]:
    inside, shell = set(core), set(core)
    for _ in range(hops):
        shell = {bond[0] for i in shell for bond in bonded[i]} - inside
        inside |= shell
    return inside


def _absorbed(inside: set[int], bonded: list[list[Bond]], max_atoms: int) -> set[int]:
    """Take in outer atoms with two or more bonds to the rod until there is none."""
    while True:
        outer: IntArray = np.array([b[0] for i in inside for b in bonded[i] if b[0] not in inside], dtype=np.int64)
        found, times = np.unique(outer, return_counts=True)
        doubly = set(found[times > 1].tolist())
        inside = inside | doubly
        if len(inside) > max_atoms:
            raise MultiscaleError(
                f"carve_rod found a rod of more than max_atoms = {max_atoms} atoms per period; choose a smaller core or buffer, or raise "
                "max_atoms"
            )
        if not doubly:
            return inside
