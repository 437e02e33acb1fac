"""How well a model reproduces the reference: RMSE by type, with the scale of what is reproduced.

RMSE_F = sqrt(⟨|ΔF|²⟩/3),      RMSE_E = sqrt(⟨(ΔE/N)²⟩),      relative: RMSE_F over the RMS of the reference forces
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import ase
import numpy as np

from ..models.base import SiteModel
from ..region import Query
from ..regions.ml import MLRegion
from ..regions.qm import QMRegion
from ..types import Array

#: Energy (eV) and forces (n, 3), eV/Å, of a configuration.
Evaluate = Callable[[ase.Atoms], tuple[float, Array]]


@dataclass(frozen=True)
class Errors:
    """Errors on the configurations of one type.

    Attributes
    ----------
    kind : str
        Type, or ``"all"``.
    count, atoms : int
        Configurations and atoms.
    energy : float
        RMSE, eV per atom.
    force : float
        RMSE of force components, eV/Å.
    force_rms : float
        RMS of the reference's force components, eV/Å.
    """

    kind: str
    count: int
    atoms: int
    energy: float
    force: float
    force_rms: float

    @property
    def relative(self) -> float:
        """Force RMSE over the RMS of the forces."""
        return self.force / self.force_rms if self.force_rms else float("nan")


def by_model(model: SiteModel, dtype: str = "float32") -> Evaluate:
    """Energy and forces by a site-energy model."""

    def evaluate(atoms: ase.Atoms) -> tuple[float, Array]:
        region = MLRegion(model, atoms, dtype=dtype)
        answer = region.evaluate(region.reference, Query())
        assert answer.energy is not None and answer.forces is not None
        return answer.energy, answer.forces

    return evaluate


def predict(evaluate: Evaluate, atoms: ase.Atoms) -> tuple[float, Array]:
    """Energy and forces of the atoms without their labels."""
    return evaluate(ase.Atoms(atoms.symbols, atoms.positions, cell=atoms.cell, pbc=atoms.pbc))


def validate(evaluate: Evaluate, configurations: Sequence[ase.Atoms]) -> list[Errors]:
    """Errors against the labels, one entry per type in alphabetical order, and ``"all"`` last."""
    return errors_of(configurations, [predict(evaluate, atoms) for atoms in configurations])


def errors_of(configurations: Sequence[ase.Atoms], answers: Sequence[tuple[float, Array]]) -> list[Errors]:
    """Errors of given energies and forces against the labels, as :func:`validate` lists them."""
    de: dict[str, list[float]] = {}
    df: dict[str, list[Array]] = {}
    f: dict[str, list[Array]] = {}
    for atoms, (energy, forces) in zip(configurations, answers, strict=True):
        for kind in (str(atoms.info["config_type"]), "~all"):
            de.setdefault(kind, []).append((energy - float(atoms.info["REF_energy"])) / len(atoms))
            df.setdefault(kind, []).append(forces - atoms.arrays["REF_forces"])
            f.setdefault(kind, []).append(atoms.arrays["REF_forces"])

    def rms(values: list[Array]) -> float:
        return float(np.sqrt(np.mean(np.concatenate(values) ** 2)))

    return [
        Errors(kind.lstrip("~"), len(de[kind]), sum(map(len, f[kind])), float(np.sqrt(np.mean(np.square(de[kind])))),
               rms(df[kind]), rms(f[kind]))
        for kind in sorted(de)
    ]  # fmt: skip


def by_reference(atoms: ase.Atoms) -> tuple[float, Array]:
    """Energy and forces by the reference method, GFN1-xTB as in :class:`~multiscale.regions.qm.QMRegion`."""
    region = QMRegion(atoms)
    answer = region.evaluate(region.reference, Query())
    assert answer.energy is not None and answer.forces is not None
    return answer.energy, answer.forces
