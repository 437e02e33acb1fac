"""A quantum rod in a thin slice: the pair of regions that a subtractive coupling adds and takes off.

    ΔE(q) = E_QM(c_L P q; n periods)/n − E_cheap(P q)          P places one period of the rod and its link atoms

Both terms see the same atoms and the same caps, so that what a cheap model knows of the caps cancels. A rod has no ends
(:mod:`.rods`), and its energy is one period's, as the slice's is: the two can be added.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ase
import numpy as np
from numpy.typing import ArrayLike

from ..embedding import Embedding
from ..region import Region
from ..types import Array
from .carve import Cluster
from .ml import MLRegion
from .qm import QMRegion
from .rods import rod_cell


@dataclass(frozen=True, eq=False)
class QuantumRod:
    """One period of a rod along z, to be described by a quantum engine and by the slice's own model.

    Parameters
    ----------
    cluster : Cluster
        From :func:`~multiscale.regions.rods.carve_rod`.
    rows : Embedding
        Its atoms and link atoms over the shared dofs.
    cell : (3, 3) array
        Of the slice, Å.
    reference, state : (n_q, 3) array
        Of the shared dofs, Å: the reference of both regions, and where the vacuum around the rod is measured.
    """

    cluster: Cluster
    rows: Embedding
    cell: Array
    reference: Array
    state: Array

    def quantum(self, repeat: int = 1, vacuum: float = 20.0, **engine: Any) -> QMRegion:
        """The quantum region; n = ``repeat`` periods along z, ``vacuum`` (Å) across; further settings are :class:`QMRegion`'s.

        Faces with dangling bonds are a half-filled band along the rod: only warm electrons make it converge with few periods.
        """
        cell = rod_cell(self.rows.place(self.state), self.cell, vacuum=vacuum)
        atoms = self._atoms(cell, True)
        return QMRegion(atoms, link_atoms=self.cluster.link_atoms, repeat=(1, 1, repeat), **engine)

    def cheap(self, model: Any) -> MLRegion:
        """The slice's own model on the same atoms and link atoms."""
        return MLRegion(model, self._atoms(self.cell, (False, False, True)), link_atoms=self.cluster.link_atoms)

    def pair(
        self, model: Any, repeat: int = 1, names: tuple[str, str] = ("qm", "ml_qm"), **engine: Any
    ) -> dict[str, tuple[Region, Embedding]]:
        """Both regions with their rows, named for :class:`~couplers.Subtractive`."""
        return {names[0]: (self.quantum(repeat, **engine), self.rows), names[1]: (self.cheap(model), self.rows)}

    def _atoms(self, cell: ArrayLike, pbc: ArrayLike) -> ase.Atoms:
        x = self.rows.place(self.reference)
        return ase.Atoms(self.cluster.all_symbols, x, cell=np.asarray(cell), pbc=pbc)
