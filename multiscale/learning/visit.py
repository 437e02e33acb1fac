"""Configurations that a model itself visits: where it is wrong is where it goes.

    m ẍ = F_model(x) − γ m ẋ + thermal noise,      or      downhill along F_model

Clusters move with all their atoms free, so that Si–H bonds, reconstructed surfaces and relaxed defects are sampled as
the model sees them; labelled by the reference method, they teach it where it was misled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import ase
import numpy as np
from ase import units
from ase.calculators.calculator import BaseCalculator
from ase.md.langevin import Langevin
from ase.optimize import FIRE

from .structures import crowded


def dynamics(
    starts: Iterable[ase.Atoms],
    calculator: Callable[[ase.Atoms], BaseCalculator],
    rng: np.random.Generator,
    *,
    kelvin: tuple[float, float] = (200.0, 1200.0),
    steps: tuple[int, int] = (60, 160),
    timestep: float = 0.75,
) -> Iterator[ase.Atoms]:
    """The end of a short Langevin run (timestep in fs) from each start, at a temperature drawn from ``kelvin``."""
    for start in starts:
        atoms = ase.Atoms(start.symbols, start.positions)
        atoms.calc = calculator(atoms)
        motion = Langevin(atoms, timestep * units.fs, temperature_K=rng.uniform(*kelvin), friction=0.03 / units.fs,
                          fixcm=False, rng=rng)  # fmt: skip
        motion.run(int(rng.integers(*steps)))
        if not crowded(atoms):
            yield _named(atoms, start, "md")


def downhill(
    starts: Iterable[ase.Atoms],
    calculator: Callable[[ase.Atoms], BaseCalculator],
    rng: np.random.Generator,
    *,
    steps: tuple[int, int] = (15, 80),
) -> Iterator[ase.Atoms]:
    """A configuration on the way from each start to the model's minimum of energy."""
    for start in starts:
        atoms = ase.Atoms(start.symbols, start.positions)
        atoms.calc = calculator(atoms)
        FIRE(atoms, logfile=None).run(fmax=0.02, steps=int(rng.integers(*steps)))
        if not crowded(atoms):
            yield _named(atoms, start, "relaxed")


def _named(atoms: ase.Atoms, start: ase.Atoms, kind: str) -> ase.Atoms:
    bare = ase.Atoms(atoms.symbols, atoms.positions)
    bare.info.update(config_type=kind, group=f"{kind}-{start.info.get('group', '')}")
    return bare
