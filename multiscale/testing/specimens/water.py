"""Water in a sheared periodic cell thinner than the cutoff."""

from __future__ import annotations

import numpy as np
from ase import Atoms

from ...models.water import FlexibleWater
from ...region import Region
from ...regions.ml import MLRegion
from ...types import Array
from ..specimen import Specimen

#: Å; O H H.
_SHAPE = np.array([[0.0, 0.0, 0.0], [0.845, 0.557, 0.0], [-0.845, 0.557, 0.0]])


def _in_cell(region: Region, deform: Array) -> Region:
    assert isinstance(region, MLRegion)
    return region.with_cell(region.cell @ deform.T)


def flexible_water() -> Specimen:
    """Twelve molecules: bonds, angles and what is excluded within one; its Hessian jumps at the cutoff, which differences feel."""
    rng = np.random.default_rng(0)
    cell = np.diag([6.6, 6.6, 9.9]) @ (np.eye(3) + rng.uniform(-0.03, 0.03, (3, 3)))
    positions = []
    for place in np.argwhere(np.ones((2, 2, 3))):
        turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        positions.append(place / [2, 2, 3] @ cell + _SHAPE @ turn)
    x = np.concatenate(positions) + rng.normal(0, 0.03, (36, 3))
    atoms = Atoms("OH2" * 12, x, cell=cell, pbc=True)
    return Specimen(lambda: MLRegion(FlexibleWater(7.0), atoms), x, 1e-6, _in_cell)
