"""What is timed: crystals by their name, the models on them, and atoms that move as at room temperature.

    x_i(t) = X_i + √2 σ cos(2π ν_i t + φ_i),      t = k fs

Independent oscillators with the amplitude σ of the crystal at 300 K and the frequencies of its phonons leave half the skin of a
neighbour list about as often as a trajectory does (LAMMPS at the same skin: see ``lists per step``), and cost nothing to follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk

from multiscale import models
from multiscale.benchmark import MACE
from multiscale.neighbours import NeighbourList

SKIN = 0.5  # Å


@dataclass(frozen=True)
class Crystal:
    """A cubic crystal and how its atoms move: lattice constant (Å), σ (Å), range of frequencies (THz = 1/ps)."""

    symbol: str
    a: float
    sigma: float
    frequencies: tuple[float, float]


#: σ at 300 K from Debye–Waller factors; frequencies from the acoustic maximum's neighbourhood to the highest phonon.
SILICON = Crystal("Si", 5.43095, 0.076, (4.0, 15.5))
ALUMINIUM = Crystal("Al", 4.032, 0.10, (3.0, 9.7))
#: Model → crystal, precision.
KINDS = {
    "MACE": (SILICON, "float32"),
    "MACE, 1 layer": (SILICON, "float32"),
    "Stillinger–Weber": (SILICON, "float64"),
    "EAM": (ALUMINIUM, "float64"),
}


def module(layers: int) -> Any:
    """The mace-torch module, float64."""
    # Only who asks for it waits for mace: its import takes longer than most of what is timed.
    build = import_module("multiscale.models.mace_file").build
    return build("ScaleShiftMACE", MACE | {"num_interactions": layers}, seed=0)


def model(kind: str) -> models.SiteModel:
    """The model of that name."""
    if kind == "Stillinger–Weber":
        return models.StillingerWeber()
    if kind == "EAM":
        return models.EAM.ercolessi_adams()
    return models.Mace(module(1 if "1 layer" in kind else 2))


def crystal(kind: str, cells: Sequence[int]) -> Atoms:
    """The periodic crystal of ``cells`` cubic cells along the axes."""
    c = KINDS[kind][0]
    return bulk(c.symbol, a=c.a, cubic=True) * tuple(cells)


class Motion:
    """Positions (n, 3), Å, at step k."""

    def __init__(self, kind: str, atoms: Atoms) -> None:
        c, rng = KINDS[kind][0], np.random.default_rng(0)
        shape = atoms.positions.shape
        self.start, self.amplitude = atoms.positions, np.sqrt(2.0) * c.sigma
        self.turn, self.phase = 2e-3 * np.pi * rng.uniform(*c.frequencies, shape), rng.uniform(0, 2 * np.pi, shape)

    def __call__(self, k: float) -> Any:
        """Positions k femtoseconds after the start."""
        return self.start + self.amplitude * np.cos(self.turn * k + self.phase)


def builds_per_step(kind: str, cells: Sequence[int], steps: int) -> float:
    """How often the list of the model is built, per step of 1 fs."""
    atoms = crystal(kind, cells)
    move, cutoff = Motion(kind, atoms), {"Stillinger–Weber": 3.77118, "EAM": 5.55805}.get(kind, MACE["r_max"])
    listed, one = NeighbourList(cutoff, atoms.cell.array, atoms.pbc, SKIN), np.zeros(1, dtype=np.int64)
    for k in range(steps + 1):
        listed.pairs(move(k), one)
    # The first belongs to no step.
    return (listed.builds - 1) / steps
