"""Atoms as a region: what all descriptions of atoms have in common, whatever gives them their energies.

    sites = dofs = atoms,     matter_i = 1 (0 of a link atom),     m_i = the mass that the atom was given

A reference configuration with its cell, link atoms that saturate broken bonds and are no matter of the problem, and the part of space
that the atoms fill. Subclasses add the energies.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import ase
import numpy as np
from numpy.typing import ArrayLike

from ..region import Region
from ..types import Array, BoolArray, MultiscaleError
from .cover import covered, nearest_images


class AtomicRegion(Region):
    """Atoms; subclasses implement :meth:`evaluate`.

    Parameters
    ----------
    atoms : ase.Atoms
        Elements, masses, reference positions, cell and periodic axes; nothing else of it is kept.
    link_atoms : (n,) bool array, optional
        Which atoms saturate broken bonds.

    Attributes
    ----------
    symbols : tuple of str
        Chemical symbols (n_sites,).
    link_atoms : (n_sites,) bool array
    fills : callable X (n, 3) -> (n,) bool, or None
        Which places the body has that the atoms stand for, where it is known: atoms of a curved surface stand in steps, the mesh that
        they are blended with does not. Without it a place is filled that has an atom next to it.

    Raises
    ------
    MultiscaleError
        If there is not one entry of ``link_atoms`` per atom.
    """

    def __init__(self, atoms: ase.Atoms, link_atoms: ArrayLike | None = None) -> None:
        self._atoms = ase.Atoms(
            atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc, masses=atoms.get_masses()
        )
        self.symbols: tuple[str, ...] = tuple(self._atoms.get_chemical_symbols())
        self.n_dofs = self.n_sites = len(self.symbols)
        self.link_atoms = self._mask("link_atoms", link_atoms)
        self.fills: Callable[[Array], BoolArray] | None = None
        self.matter, self.area = (~self.link_atoms).astype(float), np.zeros(self.n_sites)

    @property
    def reference(self) -> Array:
        """Reference positions (n_dofs, 3), Å."""
        return np.asarray(self._atoms.positions)

    @property
    def cell(self) -> Array:
        """Cell vectors as rows (3, 3), Å."""
        return np.asarray(self._atoms.cell.array)

    @property
    def pbc(self) -> BoolArray:
        """Periodic axes (3,)."""
        return np.asarray(self._atoms.pbc)

    def sites(self, x: Array) -> Array:
        """Positions of the sites: the atoms (n_sites, 3), Å."""
        return x

    def pull_sites(self, v: Array) -> Array:
        """The adjoint of the identity."""
        return v

    def masses(self) -> Array:
        """Masses of the atoms (n_dofs,), amu: those that they were given (of isotopes, say), else those of their elements."""
        return np.array(self._atoms.get_masses())

    def covers(self, points: Array) -> BoolArray:
        """Whether a reference atom or image (no link atom) is a neighbour's distance from each point (n, 3), or :attr:`fills`."""
        if self.fills is not None:
            return np.asarray(self.fills(points), dtype=bool)
        return covered(points, self.reference[~self.link_atoms], self.cell, self.pbc)

    def distances(self, x: Array, k: int) -> Array:
        """Distance (n_sites,), Å, from every site to the nearest image of atom ``k``."""
        return nearest_images(x, k, self.cell, self.pbc)

    def _mask(self, name: str, given: ArrayLike | None) -> BoolArray:
        """One bool per atom; none of them unless given."""
        mask = np.zeros(self.n_sites, bool) if given is None else np.array(given, dtype=bool)
        if mask.shape != (self.n_sites,):
            raise MultiscaleError(
                f"{type(self).__name__} was given {name} of shape {mask.shape}; it needs ({self.n_sites},)"
            )
        return mask


def structure(
    symbols: Sequence[str] | None, positions: ArrayLike | None, cell: ArrayLike | None, pbc: ArrayLike
) -> ase.Atoms:
    """Atoms from symbols and positions (n, 3), Å; refuses what does not go together."""
    if symbols is None or positions is None:
        raise MultiscaleError("MLRegion was given neither atoms nor symbols with positions; give one of the two")
    x = np.array(positions, dtype=float).reshape(-1, 3)
    if len(x) != len(symbols):
        raise MultiscaleError(f"MLRegion was given {len(symbols)} symbols and {len(x)} positions; numbers must agree")
    return ase.Atoms(list(symbols), x, cell=None if cell is None else np.asarray(cell, dtype=float), pbc=pbc)
