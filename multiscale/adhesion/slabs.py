"""Two slabs of one crystal that meet in a plane: what a cohesive law is measured on.

x: along the interface, y: its normal from body 0 to body 1, z: along it; periodic in x and z, open in y
"""

from __future__ import annotations

from dataclasses import dataclass

import ase
import numpy as np

from ..fracture.lattice import SHUFFLE_111, Orientation, orthogonal_cell
from ..types import Array, IntArray, MultiscaleError
from .facing import Facing


@dataclass(frozen=True, eq=False)
class Slabs:
    """A closed interface of two bodies of atoms.

    Attributes
    ----------
    atoms : ase.Atoms
        The closed interface, with cell and periodic axes; y is open.
    bodies : (n,) int array
        0 below the interface, 1 above.
    bond : float
        Å; atoms nearer than 1.2 times this are bonded.
    """

    atoms: ase.Atoms
    bodies: IntArray
    bond: float

    @classmethod
    def of(
        cls,
        symbol: str,
        a: float,
        *,
        cells: tuple[int, int] = (1, 1),
        repeats: tuple[int, int] = (1, 1),
        orientation: Orientation = SHUFFLE_111,
    ) -> Slabs:
        """Two slabs of diamond that meet in a crack plane of ``orientation`` at y = 0.

        Parameters
        ----------
        symbol : str
        a : float
            Lattice constant, Å.
        cells : (2,) int
            How many orthogonal cells high the lower and the upper slab are (three bilayers of (111) each).
        repeats : (2,) int
            Of the cell along x and z.
        orientation : Orientation
        """
        if min(*cells, *repeats) < 1:
            raise MultiscaleError(
                f"slabs need one cell or more in every direction, got {cells} high and {repeats} wide"
            )
        x, side = orthogonal_cell(orientation, a, sum(cells))
        x = x - [0.0, side[1] * cells[0] / sum(cells), 0.0]
        atoms = ase.Atoms([symbol] * len(x), x, cell=np.diag(side), pbc=(True, False, True))
        atoms = atoms * (repeats[0], 1, repeats[1])
        return cls(atoms, (atoms.positions[:, 1] > 0).astype(np.int64), a * np.sqrt(3) / 4)

    @property
    def normal(self) -> Array:
        """The y axis."""
        return np.array([0.0, 1.0, 0.0])

    @property
    def area(self) -> float:
        """Å² of interface."""
        cell = self.atoms.cell.array
        return float(np.linalg.norm(np.cross(cell[0], cell[2])))

    @property
    def upper(self) -> IntArray:
        """Atoms of the upper body."""
        return np.flatnonzero(self.bodies == 1)

    def opened(self, opening: float, sliding: tuple[float, float] = (0.0, 0.0)) -> Array:
        """Positions (n, 3) with the upper body moved rigidly by ``opening`` along y and ``sliding`` along x and z, Å."""
        x = np.array(self.atoms.positions)
        x[self.bodies == 1] += [sliding[0], opening, sliding[1]]
        return x

    def facing(self) -> Facing:
        """A site per bond that crosses the interface."""
        return Facing.bonds(self.atoms, self.bodies, self.normal, self.area, 1.2 * self.bond)

    def gripped(self, depth: float) -> tuple[IntArray, IntArray]:
        """Atoms within ``depth`` (Å) of the lower slab's bottom and of the upper slab's top."""
        y = self.atoms.positions[:, 1]
        low, high = np.flatnonzero(y < y.min() + depth), np.flatnonzero(y > y.max() - depth)
        if len(low) + len(high) >= len(y):
            raise MultiscaleError(
                f"grips of {depth:g} Å take all {len(y)} atoms of slabs that are {np.ptp(y):.3g} Å high; thinner grips or thicker slabs"
            )
        return low, high
