"""What acts across an interface of silicon, the law that was measured on it, and the load that takes its ghost force off."""

from __future__ import annotations

from functools import cache

import numpy as np

from ...adhesion.ghost import GhostLoad
from ...adhesion.law import InterfaceLaw, extract
from ...adhesion.slabs import Slabs
from ...models import Tersoff
from ...region import Region
from ...regions.across import AcrossRegion
from ...regions.cohesive import CohesiveRegion
from ...regions.ml import MLRegion
from ...types import Array
from ..specimen import Specimen


@cache
def _slabs() -> Slabs:
    return Slabs.of("Si", 5.432)


@cache
def _law() -> InterfaceLaw:
    b = 5.432 / np.sqrt(2)
    region = MLRegion(Tersoff(), _slabs().atoms)
    lattice = [[5.432 * np.sqrt(6) / 4, 0.5 * b], [0.0, b]]
    return extract(region, _slabs(), {"potential": "Tersoff"}, grid=(5, 5), lattice=lattice, opened=4.0, spacing=0.2)


def _opened() -> Array:
    x = _slabs().opened(0.25, (0.2, -0.1))
    return np.asarray(x + np.random.default_rng(0).normal(0, 0.03, x.shape))


def _in_cell(region: Region, deform: Array) -> Region:
    assert isinstance(region, MLRegion | AcrossRegion)
    return region.with_cell(region.cell @ deform.T)


def bodies() -> Specimen:
    """Atoms of two bodies that do not see each other."""
    s = _slabs()
    return Specimen(lambda: MLRegion(Tersoff(), s.atoms, bodies=s.bodies), _opened(), 1e-6, _in_cell)


def across() -> Specimen:
    """What the atoms of two bodies feel of each other."""
    s = _slabs()
    return Specimen(
        lambda: AcrossRegion(Tersoff(), s.atoms, s.bodies, area=s.facing().of_atoms), _opened(), 1e-6, _in_cell
    )


def interface_law() -> Specimen:
    """The measured law between atoms, sliding included."""
    return Specimen(lambda: CohesiveRegion(_slabs().facing(), _law(), modulus=np.inf), _opened(), 1e-6)


def _ghost(table: tuple[float, ...]) -> GhostLoad:
    s = _slabs()
    return GhostLoad.of(AcrossRegion(Tersoff(), s.atoms, s.bodies), s.facing(), _law(), openings=table)


def ghost_load() -> Specimen:
    """A load that fades as the interface opens."""
    return Specimen(lambda: _ghost((-0.1, 0.0, 0.4, 1.0, 3.5)), _opened(), 1e-6)
