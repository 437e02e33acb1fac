"""Silicon and aluminium in sheared periodic cells."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase.build import bulk

from ...models import EAM, Committee, StillingerWeber, Tersoff
from ...region import Region
from ...regions.ml import MLRegion
from ...types import Array
from ..specimen import Specimen


def _in_cell(region: Region, deform: Array) -> Region:
    assert isinstance(region, MLRegion)
    return region.with_cell(region.cell @ deform.T)


def _specimen(model: Any, symbol: str, a: float, bound: float) -> Specimen:
    rng = np.random.default_rng(0)
    atoms = bulk(symbol, a=a) * (3, 2, 2)
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + rng.uniform(-0.03, 0.03, (3, 3))), scale_atoms=True)
    atoms.positions += rng.normal(0, 0.04, atoms.positions.shape)
    return Specimen(lambda: MLRegion(model, atoms), atoms.positions, bound, _in_cell)


def stillinger_weber() -> Specimen:
    """Silicon with three-body terms."""
    return _specimen(StillingerWeber(), "Si", 5.431, 1e-7)


def tersoff() -> Specimen:
    """Silicon with bond orders; its cutoff function has kinks in the second derivative."""
    return _specimen(Tersoff(), "Si", 5.432, 1e-6)


def committee() -> Specimen:
    """The mean of two potentials that disagree about bond angles."""
    return _specimen(Committee([StillingerWeber(20.0), StillingerWeber(24.0)]), "Si", 5.431, 1e-7)


def eam() -> Specimen:
    """Aluminium; the tables' splines have kinks in the third derivative, which differences feel."""
    return _specimen(EAM.ercolessi_adams(), "Al", 4.03, 1e-6)
