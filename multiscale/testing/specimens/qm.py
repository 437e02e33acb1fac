"""A molecule in GFN1-xTB: total energies only."""

from __future__ import annotations

import numpy as np
from ase.build import molecule

from ...regions.qm import QMRegion
from ..specimen import Specimen


def disilane() -> Specimen:
    """Si2H6; energies converge to about 1e-8 eV, so that differences over 1e-4 Å are good to 1e-4 eV/Å."""
    atoms = molecule("Si2H6")
    atoms.positions += np.random.default_rng(2).normal(0, 0.03, atoms.positions.shape)
    return Specimen(lambda: QMRegion(atoms), atoms.positions, 1e-4)
