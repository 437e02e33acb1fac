"""Hosts of a vacancy: nearly round pieces of silicon about the middle of a bond, their broken bonds capped by hydrogen.

Removing one end of that bond makes the vacancy; the other end jumps into it. Every description (all quantum, all
interatomic, mixed) gets the same host, so that its surface and its clamped rim are the same in all.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import ase
import numpy as np
from ase.build import bulk

from multiscale.embedding import Embedding, link_atoms, select, stack
from multiscale.regions.carve import Cluster, carve

#: Å; the caps' distance from silicon.
CAP = 1.48


@dataclass(frozen=True)
class Host:
    """A capped piece of a crystal with lattice constant ``a`` (Å), ``hops`` bonds around the bond in its middle.

    Its atoms are those of ``cluster`` in their order, then the caps; ``gone`` is removed for the vacancy, ``jumps`` jumps.
    """

    a: float
    hops: int

    @cached_property
    def crystal(self) -> ase.Atoms:
        """A crystal that the host and every cluster within it are carved from, the bond near its middle."""
        n = 3 + self.hops
        return bulk("Si", a=self.a, cubic=True) * (n, n, n)

    @cached_property
    def bond(self) -> tuple[int, int]:
        """The two ends of the bond, atoms of the crystal: (vacancy, jumping atom)."""
        middle = self.crystal.cell.array.sum(axis=0) / 2
        first = int(np.argmin(np.linalg.norm(self.crystal.positions - middle, axis=1)))
        return first, int(np.argsort(self.crystal.get_distances(first, np.arange(len(self.crystal))))[1])

    def carved(self, hops: int) -> Cluster:
        """A cluster of the perfect crystal around the bond."""
        c = self.crystal
        bond = 1.2 * self.a * np.sqrt(3.0) / 4.0
        return carve(
            c.get_chemical_symbols(),
            c.positions,
            c.cell.array,
            False,
            self.bond,
            hops=hops,
            bond_length=bond,
            cap_bond=CAP,
        )

    @cached_property
    def cluster(self) -> Cluster:
        """The host itself."""
        return self.carved(self.hops)

    @cached_property
    def gone(self) -> int:
        """The atom of the host that is removed."""
        return int(np.flatnonzero(self.cluster.index == self.bond[0])[0])

    @cached_property
    def jumps(self) -> int:
        """The atom of the host that jumps."""
        return int(np.flatnonzero(self.cluster.index == self.bond[1])[0])

    @cached_property
    def perfect(self) -> ase.Atoms:
        """The perfect host at the crystal's lattice constant, unrelaxed."""
        return ase.Atoms(
            self.cluster.all_symbols, self.cluster.positions(self.crystal.positions, self.crystal.cell.array)
        )

    @cached_property
    def rim(self) -> np.ndarray:
        """Mask of the atoms that are held: caps, and the silicon atoms that carry them."""
        mask = self.cluster.link_atoms
        mask[np.unique(self.cluster.links[:, 0])] = True
        return mask

    @property
    def middle(self) -> np.ndarray:
        """The middle of the bond, Å."""
        return 0.5 * (self.perfect.positions[self.gone] + self.perfect.positions[self.jumps])

    def mirrored(self, q: np.ndarray) -> np.ndarray:
        """The state with the vacancy at the other end of the bond: the image of ``q`` (without ``gone``) by inversion.

        The middle of a bond is a centre of inversion of the crystal and of the host.
        """
        x = self.perfect.positions
        image = 2.0 * self.middle - x
        partner = np.array([int(np.argmin(np.linalg.norm(x - p, axis=1))) for p in image])
        keep = np.delete(np.arange(len(x)), self.gone)
        full = np.full_like(x, np.nan)
        full[keep] = q
        out = 2.0 * self.middle - full[partner]
        # The jumping atom has gone over to where the vacancy was.
        out[self.jumps] = out[self.gone]
        return np.asarray(out[keep])

    def within(self, hops: int, vacancy: bool) -> tuple[ase.Atoms, np.ndarray, Embedding]:
        """A capped cluster in the host: its atoms, the mask of its link atoms, and how the host's dofs place it.

        Where the cluster reaches the host's surface its caps are the host's own. With ``vacancy`` the host's dofs, and the cluster,
        are without the atom ``gone``; the bonds it leaves behind stay open.
        """
        inner, n = self.carved(hops), len(self.perfect)
        number = {int(parent): k for k, parent in enumerate(self.cluster.index)}
        caps = {(int(i), int(o)): len(number) + k for k, (i, o) in enumerate(self.cluster.links)}
        own = np.array([number[int(p)] for p in inner.index])
        outside = [(own[i], int(o), c) for (i, o), c in zip(inner.links, inner.ratio, strict=True)]
        shared = [caps[int(i), o] for i, o, _ in outside if o not in number]
        cut = [(int(i), number[o], c) for i, o, c in outside if o in number]
        renumber = np.arange(n)
        if vacancy:
            own = own[own != self.gone]
            renumber = np.where(np.arange(n) < self.gone, np.arange(n), np.arange(n) - 1)
            n -= 1
        rows = renumber[np.concatenate([own, np.array(shared, dtype=int)])]
        parts = [select(rows, n)]
        if cut:
            ends = np.array([(i, o) for i, o, _ in cut])
            parts.append(link_atoms(renumber[ends[:, 0]], renumber[ends[:, 1]], np.array([c for *_, c in cut]), n))
        embedding = stack(*parts)
        symbols = ["Si"] * len(own) + ["H"] * (len(shared) + len(cut))
        reference = self.perfect.positions
        if vacancy:
            reference = np.delete(reference, self.gone, axis=0)
        links = np.arange(len(symbols)) >= len(own) + len(shared)
        return ase.Atoms(symbols, embedding.place(reference)), links, embedding
