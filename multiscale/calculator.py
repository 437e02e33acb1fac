"""Regions and hybrids as ASE calculators, so that ASE's optimisers, dynamics and viewers work on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ase
import numpy as np
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from .region import Can, Query, Region
from .types import MultiscaleError


class RegionCalculator(Calculator):
    """One region as an ASE calculator: energy, forces, and stress and energies per atom where the region offers them.

    Parameters
    ----------
    region : Region
        The region; its dofs are the atoms, in the same order. The stress is the region's virial over the volume of
        the atoms' cell, in eV/Å³, and only given if all three axes are periodic.

    Notes
    -----
    A region keeps its own cell; where the atoms' cell differs, a region that has ``with_cell`` is rebuilt with the new
    one through ``rebuild``, others refuse.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from multiscale.models import StillingerWeber
    >>> from multiscale.regions.ml import MLRegion
    >>> silicon = bulk("Si", a=5.43095)
    >>> region = MLRegion(StillingerWeber(), silicon)
    >>> silicon.calc = RegionCalculator(region, rebuild=region.with_cell)
    >>> round(float(silicon.get_potential_energy()), 4)
    -8.6732
    """

    def __init__(self, region: Region, *, rebuild: Any = None) -> None:
        super().__init__()
        # ASE reads this from the object; which properties there are depends on the region.
        self.region, self.rebuild = region, rebuild
        offered = {"energy": Can.ENERGY, "forces": Can.FORCES, "stress": Can.STRESS, "energies": Can.SITE_ENERGIES}
        self.implemented_properties = [name for name, flag in offered.items() if flag in region.can]
        if "energy" in self.implemented_properties:
            self.implemented_properties.append("free_energy")
        self._cell: Any = None

    def calculate(
        self,
        atoms: ase.Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Evaluate the region at the atoms' positions."""
        super().calculate(atoms, properties, system_changes)
        if self.atoms is None:
            raise MultiscaleError("RegionCalculator was given no atoms; attach it to an ase.Atoms object or pass one")
        self._follow(self.atoms)
        want = self.region.can & (Can.ENERGY | Can.FORCES)
        per_atom = self.region.n_sites == len(self.atoms)
        if "energies" in properties and per_atom:
            want |= self.region.can & Can.SITE_ENERGIES
        if "stress" in properties and self.atoms.pbc.all():
            want |= self.region.can & Can.STRESS
        answer = self.region.evaluate(self.atoms.get_positions(), Query(want))
        if answer.energy is not None:
            self.results["energy"] = self.results["free_energy"] = answer.energy
        if answer.forces is not None:
            self.results["forces"] = answer.forces
        if answer.site_energies is not None:
            self.results["energies"] = answer.site_energies
        if answer.stress is not None:
            self.results["stress"] = full_3x3_to_voigt_6_stress(answer.stress / self.atoms.get_volume())

    def _follow(self, atoms: ase.Atoms) -> None:
        """Give the region the atoms' cell if that has changed."""
        cell = atoms.cell.array.copy()
        if self._cell is not None and not np.array_equal(cell, self._cell):
            if self.rebuild is None:
                raise MultiscaleError(
                    "RegionCalculator was given atoms whose cell has changed, but its region keeps the cell it "
                    "was built with; "
                    "pass rebuild=region.with_cell (an MLRegion has it) or keep the cell fixed"
                )
            self.region = self.rebuild(cell)
        self._cell = cell
