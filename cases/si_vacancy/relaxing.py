"""Relaxation of a few hundred atoms whose exact stiffness is dear: ASE's BFGS on the hybrid's energy and forces."""

from __future__ import annotations

from dataclasses import dataclass

import ase
import numpy as np
from ase.constraints import FixAtoms
from ase.optimize import BFGS

from multiscale import HybridModel
from multiscale.calculator import HybridCalculator
from multiscale.types import MultiscaleError


@dataclass(frozen=True)
class Minimum:
    """A relaxed state: positions (n_q, 3) in Å, energy in eV, and the number of evaluations."""

    q: np.ndarray
    energy: float
    evaluations: int


def minimum(model: HybridModel, q: np.ndarray, fmax: float = 0.01, max_steps: int = 200) -> Minimum:
    """Relax all free dofs until no force exceeds ``fmax`` (eV/Å); collective.

    Raises
    ------
    MultiscaleError
        If that takes more than ``max_steps`` steps.
    """
    atoms = ase.Atoms("X" * len(q), q)
    atoms.set_constraint(FixAtoms(np.flatnonzero(model.interface.fixed.all(axis=1))))
    atoms.calc = HybridCalculator(model)
    before = model.evaluations
    optimizer = BFGS(atoms, logfile=None, maxstep=0.1)
    if not optimizer.run(fmax=fmax, steps=max_steps):
        raise MultiscaleError(
            f"the host did not relax below {fmax} eV/Å in {max_steps} steps; start nearer to a minimum or raise max_steps"
        )
    return Minimum(atoms.positions.copy(), float(atoms.get_potential_energy()), model.evaluations - before)
