"""Silicon with an interstitial that is shot along a ⟨110⟩ channel, and the ways in which a better model follows it."""

from __future__ import annotations

from typing import Any

import ase
import numpy as np
from ase.build import bulk

from couplers import EnergyBlend, Subtractive
from multiscale import HybridModel, Interface, Nested, Quintic, Ranks
from multiscale.align import align
from multiscale.descriptors import DescriptorField
from multiscale.drive import Follow, Within, thermal_velocities
from multiscale.embedding import select
from multiscale.models import StillingerWeber
from multiscale.models.descriptors import CentroSymmetry
from multiscale.regions.ml import MLRegion
from multiscale.shapes import Shape, SmoothUnion

A0 = 5.43095
LOW, HIGH = StillingerWeber(), StillingerWeber(25.0, epsilon=1.05 * 2.1683)
SEEDED, DRIVEN, FOLLOWED = "seed-attached", "descriptor-driven", "followed cluster"
ALL_CHEAP, ALL_BETTER = "all cheap", "all expensive"


class Walk:
    """The crystal, the interstitial (the last atom) and its start; the models.

    Parameters
    ----------
    cells : int
        Cubic cells along each side.
    energy : float
        Kinetic energy of the interstitial, eV.
    temperature : float
        K, of the crystal's velocities at the start.
    core, zone : float
        Å, of the seed-attached region.
    better : SiteModel
        The expensive model.
    """

    def __init__(self, cells: int, energy: float, temperature: float, core: float, zone: float, better: Any = HIGH):
        crystal = bulk("Si", a=A0, cubic=True) * (cells, cells, cells)
        # Hexagonal sites follow one another along [110] at this height.
        start = A0 * (np.array([0.625, 0.625, 0.625]) + max(cells // 2 - 1, 0))
        self.atoms = crystal + ase.Atoms("Si", positions=[start])
        self.atoms.cell, self.atoms.pbc = crystal.cell, True
        self.X, self.cell = self.atoms.positions, self.atoms.cell.array
        self.walker = len(self.atoms) - 1
        self.better, self.core, self.zone = better, float(core), float(zone)
        symbols = crystal.get_chemical_symbols()
        self.zeros = align(MLRegion(better, crystal), MLRegion(LOW, crystal), symbols).zeros
        self.ranks = Ranks()
        self.masses = MLRegion(LOW, self.atoms).masses()
        v = thermal_velocities(self.masses, temperature, seed=3)
        v[self.walker] = np.sqrt(energy / self.masses[self.walker]) * np.array([1.0, 1.0, 0.0])
        self.v = v - (self.masses @ v) / self.masses.sum()

    def descriptor(self) -> MLRegion:
        """Centro-symmetry of every atom."""
        return MLRegion(CentroSymmetry(), self.atoms)

    def field(self) -> DescriptorField:
        """Its local average; thermal motion at 300 K gives 0.33 ± 0.08 Å²."""
        return DescriptorField(self.descriptor(), 0.4, 1.0, radius=6.0, length=self.zone, cell=self.cell, pbc=True)

    def ball(self) -> SmoothUnion:
        """The core around the interstitial."""
        cell = tuple(tuple(float(c) for c in row) for row in self.cell)
        return SmoothUnion((self.walker,), self.core, cell=cell)

    def shape(self, mode: str) -> Shape:
        """What the weights of a mode ride on."""
        return self.field() if mode == DRIVEN else self.ball()

    def expensive(self) -> MLRegion:
        """The better model on all atoms."""
        return MLRegion(self.better, self.atoms, energy_zero=self.zeros)

    def model(self, mode: str) -> Any:
        """The model of a mode."""
        if mode == FOLLOWED:
            return self.followed()
        if mode in (ALL_CHEAP, ALL_BETTER):
            region = self.expensive() if mode == ALL_BETTER else MLRegion(LOW, self.atoms)
            return HybridModel(Interface(self.X, {"one": region}, Nested([], rest="one")), EnergyBlend(), self.ranks)
        regions = {"high": self.expensive(), "low": MLRegion(LOW, self.atoms)}
        partition = Nested([("high", self.shape(mode), self.zone)], rest="low", switch=Quintic(), frame="current")
        return HybridModel(Interface(self.X, regions, partition), EnergyBlend(), self.ranks)

    def weights(self, mode: str, model: Any, q: Any) -> Any:
        """How much of each atom the better model describes (n,); members of a cluster count whole."""
        if mode == FOLLOWED:
            return np.isin(np.arange(len(q)), model.membership).astype(float)
        if mode in (SEEDED, DRIVEN):
            return model.interface.weights(q)["high"]
        return np.full(len(q), 1.0 if mode == ALL_BETTER else 0.0)

    def followed(self) -> Follow:
        """E_low(all) + E_high(cluster) − E_low(cluster), the cluster carved anew where the interstitial goes."""
        return Follow(
            self.cluster, Within(self.ball()), self.X, inner=self.zone - 1.5, outer=self.zone, cell=self.cell, pbc=True,
            max_atoms=300, ranks=self.ranks,
        )  # fmt: skip

    def cluster(self, q: Any, members: Any) -> HybridModel:
        """One cluster: an open one, whose surface both models see, so that it cancels as far as they agree."""
        at = q[members]
        # In one piece around the interstitial.
        shift = -np.round((at - q[self.walker]) @ np.linalg.inv(self.cell)) @ self.cell
        place = select(members, len(q), shift)
        symbols = ["Si"] * len(members)
        regions = {
            "all": MLRegion(LOW, symbols=["Si"] * len(q), positions=q, cell=self.cell, pbc=True),
            "qm": (MLRegion(self.better, symbols=symbols, positions=at + shift, energy_zero=self.zeros), place),
            "ml_qm": (MLRegion(LOW, symbols=symbols, positions=at + shift), place),
        }
        return HybridModel(Interface(q, regions, Nested([], rest="all")), Subtractive(), self.ranks)
