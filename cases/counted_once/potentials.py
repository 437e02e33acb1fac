"""The three potentials that the case examines, silicon as each of them has it, and its (111) interface."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ase.build import bulk

from multiscale.adhesion.slabs import Slabs
from multiscale.elastic import lattice_constant
from multiscale.models import StillingerWeber, Tersoff, default_potential
from multiscale.regions.ml import MLRegion
from multiscale.types import Array


@dataclass(frozen=True)
class Silicon:
    """A potential and its lattice constant, Å."""

    model: Any
    a: float

    @property
    def translations(self) -> Array:
        """Of the (111) plane (2, 2), Å, along [11-2] and [1-10]."""
        b = self.a / np.sqrt(2)
        return np.array([[self.a * np.sqrt(6) / 4, 0.5 * b], [0.0, b]])

    def slabs(self, width: int = 1, cells: tuple[int, int] = (1, 1)) -> Slabs:
        """Slabs of three bilayers each (times ``cells``) on a cell of 25.5 Å² (times ``width``)."""
        return Slabs.of("Si", self.a, repeats=(width, 1), cells=cells)


MODELS = {
    "Stillinger-Weber": (StillingerWeber, 5.43095),
    "Tersoff": (Tersoff, 5.432),
    "MACE": (default_potential, 5.542),
}


def silicon(name: str) -> Silicon:
    """Silicon of one of the potentials, at its own lattice constant."""
    make, guess = MODELS[name]
    model = make()
    start = MLRegion(model, bulk("Si", a=guess))
    return Silicon(model, lattice_constant(start.with_cell, start.reference, start.cell, guess))
