"""Vibrations: of a finite cluster by any method, of the crystal by a model.

D_ij = −∂F_i/∂x_j / √(m_i m_j),      ω² = eigenvalues of D
"""

from __future__ import annotations

import ase
import numpy as np
from ase.build import bulk

from ..lazy import REMEDIES
from ..models.base import SiteModel
from ..region import Can, Query
from ..regions.ml import MLRegion
from ..types import Array, missing
from .errors import Evaluate

try:
    from phonopy import Phonopy
    from phonopy.structure.atoms import PhonopyAtoms
except ImportError as error:  # pragma: no cover - the environment of the tests has it
    raise missing("phonopy", "Phonons", REMEDIES["phonopy"]) from error

#: Γ–X–K–Γ–L of the face-centred cubic lattice.
PATH = (("Γ", (0, 0, 0)), ("X", (0.5, 0, 0.5)), ("K|U", (0.375, 0.375, 0.75)), ("Γ", (0, 0, 0)), ("L", (0.5, 0.5, 0.5)))


def _phonopy(atoms: ase.Atoms, supercell: int = 1) -> Phonopy:
    unit = PhonopyAtoms(symbols=atoms.get_chemical_symbols(), positions=atoms.positions, cell=atoms.cell.array)
    return Phonopy(unit, np.eye(3, dtype=int) * supercell, primitive_matrix=np.eye(3), symprec=1e-2)


def cluster_frequencies(atoms: ase.Atoms, evaluate: Evaluate, box: float = 30.0, step: float = 0.01) -> Array:
    """Frequencies (THz) of a relaxed cluster, ascending, without the six of free motion.

    A cubic box shows phonopy the cluster's point group, which spares most of the displacements.
    """
    boxed = ase.Atoms(atoms.symbols, atoms.positions - atoms.positions[0], cell=box * np.eye(3))
    vibration = _phonopy(boxed)
    vibration.generate_displacements(distance=step)
    forces = []
    for cell in vibration.supercells_with_displacements or []:
        # Undo the wrapping into the box: the cluster is about the origin.
        x = cell.scaled_positions
        forces.append(evaluate(ase.Atoms(cell.symbols, (x - np.round(x)) @ cell.cell))[1])
    vibration.forces = np.array(forces)
    vibration.produce_force_constants()
    values = vibration.get_frequencies((0, 0, 0))
    return np.delete(np.sort(values), np.argsort(np.abs(np.sort(values)))[:6])


def bands(
    model: SiteModel, a: float, supercell: int = 4, points: int = 31
) -> tuple[Array, Array, list[tuple[float, str]]]:
    """Distances along the path, frequencies (n, 6) in THz, and the special points of the diamond-structure crystal."""
    primitive = bulk("Si", a=a)
    vibration = _phonopy(primitive, supercell)
    vibration.generate_displacements(distance=0.01)
    forces = []
    for cell in vibration.supercells_with_displacements or []:
        atoms = ase.Atoms(cell.symbols, cell.positions, cell=cell.cell, pbc=True)
        answer = MLRegion(model, atoms).evaluate(atoms.positions, Query(Can.FORCES))
        forces.append(answer["forces"])
    vibration.forces = np.array(forces)
    vibration.produce_force_constants()
    reciprocal = np.linalg.inv(primitive.cell.array).T
    distances, frequencies, ticks, at = [], [], [(0.0, PATH[0][0])], 0.0
    for (_, start), (name, end) in zip(PATH[:-1], PATH[1:], strict=True):
        start_q, end_q = np.array(start, dtype=float), np.array(end, dtype=float)
        length = float(np.linalg.norm((end_q - start_q) @ reciprocal))
        for t in np.linspace(0.0, 1.0, points):
            distances.append(at + t * length)
            frequencies.append(vibration.get_frequencies(start_q + t * (end_q - start_q)))
        at += length
        ticks.append((at, name))
    return np.array(distances), np.array(frequencies), ticks
