"""Silicon with a dangling bond in GFN1-xTB, its energy divided into atoms."""

from __future__ import annotations

import numpy as np
from ase.build import molecule

from ...regions.tight_binding import TightBindingRegion
from ..specimen import Specimen


def disilyl() -> Specimen:
    """Si2H5: the dangling bond makes occupations fractional and lets them respond; differences are good to 1e-9."""
    atoms = molecule("Si2H6")
    del atoms[7]
    atoms.positions += np.random.default_rng(2).normal(0, 0.03, atoms.positions.shape)
    return Specimen(lambda: TightBindingRegion(atoms), atoms.positions, 1e-7)
