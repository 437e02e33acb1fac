"""The box of water and its three descriptions: all cheap, force mixing, energy mixing about one molecule.

Shared dofs are atoms, O H H of one molecule after another, never wrapped into the cell while they move. Quantum clusters are
open, so that the models get the molecules' images nearest to the centre: E(q) is the same for all of them, and so are the forces.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.io import read
from renew import Adaptive, Imaged

from couplers import AdaptivePartitioning, EnergyBlend, ForceMixing
from multiscale import HybridModel, Interface, Nested, Quintic, Ranks, SmoothUnion
from multiscale.adaptive import AdaptiveRegions, membership, subset_regions
from multiscale.drive import Follow, Within
from multiscale.embedding import Embedding, select
from multiscale.groups import Groups
from multiscale.models.water import FlexibleWater
from multiscale.overlay import Overlay
from multiscale.regions import MLRegion, QMRegion

#: amu; heavy water: averages over classical positions do not depend on masses, and the steps may be longer.
DEUTERIUM = 2.014
ENGINE = "GFN2-xTB"
#: Å and degrees: the lone molecule of GFN2-xTB, which the classical one is given, so that crossing the zone does not strain it.
MOLECULE = {"length": 0.9592, "angle": 107.23}
#: Å, from wide to narrow (no O moves half of the last one in 1 fs), and how many molecules may be within the zone and its margin.
MARGINS, FEW = (0.3, 0.2, 0.1, 0.05), 4
#: Molecules in the zone that are still calculated; mostly there are 1 to 5, and for moments of a trajectory of some ps 9 with the margin.
MOST = 10


class Molecular(Overlay):
    """A mixing weight that the three atoms of a molecule share, the one of its O.

    Atoms of one molecule with weights of their own feel different bonds at its two ends, which do work on the stiffest vibrations.
    """

    def __call__(self, X: np.ndarray, q: np.ndarray | None = None) -> np.ndarray:
        """χ (n,) at whole molecules X (n, 3)."""
        return np.repeat(super().__call__(X[::3], q), 3)


@dataclass
class Box:
    """Molecules in a periodic cube, one of them the centre.

    Attributes
    ----------
    start : ase.Atoms
        O H H after one another, molecules whole; H is made deuterium.
    centre : int
        Number of the molecule in the middle.
    cutoff : float
        Å, of the classical model.
    accuracy : float
        Of the quantum calculations.
    matched : bool
        Whether the classical molecule has the quantum one's shape, or SPC/Fw's own.
    zero : float
        eV a molecule, taken off the quantum energies.
    ranks : Ranks
        All models share them.
    """

    start: Atoms
    centre: int = 0
    cutoff: float = 8.0
    accuracy: float = 0.1
    matched: bool = True
    zero: float = 0.0
    ranks: Ranks = field(default_factory=Ranks)

    def __post_init__(self) -> None:
        self.start = self.start.copy()
        self.start.set_masses(np.where(self.start.numbers == 1, DEUTERIUM, self.start.get_masses()))

    @classmethod
    def read(cls, molecules: int, **settings: Any) -> Box:
        """The box of that many molecules that is shipped beside this file."""
        return cls(read(Path(__file__).parent / f"box{molecules}.extxyz.xz"), **settings)

    @property
    def n(self) -> int:
        """Number of molecules."""
        return len(self.start) // 3

    @property
    def cell(self) -> tuple[tuple[float, ...], ...]:
        """Cell vectors, Å."""
        return tuple(map(tuple, self.start.cell.array.tolist()))

    @property
    def edge(self) -> float:
        """Å."""
        return float(self.start.cell[0, 0])

    @property
    def oxygen(self) -> int:
        """The dof in the middle."""
        return 3 * self.centre

    @property
    def others(self) -> np.ndarray:
        """Numbers of all molecules but the centre."""
        return np.delete(np.arange(self.n), self.centre)

    def masses(self) -> np.ndarray:
        """Masses (n_q,), amu."""
        return self.start.get_masses()

    def distances(self, q: np.ndarray) -> np.ndarray:
        """From the centre's O to every O (n,), nearest images, Å."""
        d = q[::3] - q[self.oxygen]
        return np.linalg.norm(d - self.edge * np.round(d / self.edge), axis=1)

    def weight(self, q: np.ndarray, radius: float, width: float) -> np.ndarray:
        """Quantum weight (n,) of the molecules by their O."""
        return Quintic()((self.distances(q) - radius) / width)

    def images(self, q: np.ndarray) -> np.ndarray:
        """Lattice vectors (n_q, 3) that bring every molecule to its image nearest to the centre."""
        return np.repeat(-self.edge * np.round((q[::3] - q[self.oxygen]) / self.edge), 3, axis=0)

    def dofs(self, molecules: Any) -> np.ndarray:
        """Their atoms, ascending."""
        return (3 * np.sort(np.asarray(molecules, dtype=np.int64))[:, None] + np.arange(3)).ravel()

    @cached_property
    def water(self) -> FlexibleWater:
        """The classical model."""
        return FlexibleWater(self.cutoff, **(MOLECULE if self.matched else {}))

    # -- regions -----------------------------------------------------------------------------------------------

    def atoms(self, q: np.ndarray, dofs: np.ndarray) -> Atoms:
        """Some atoms in the open."""
        return Atoms(self.start.symbols[dofs], q[dofs], masses=self.masses()[dofs])

    def cheap(self, q: np.ndarray) -> MLRegion:
        """All atoms in the periodic box."""
        atoms = Atoms(self.start.symbols, q, cell=self.cell, pbc=True, masses=self.masses())
        return MLRegion(self.water, atoms, skin=1.0)

    def low(self, q: np.ndarray, dofs: np.ndarray) -> MLRegion:
        """Some molecules in the open, cheaply."""
        return MLRegion(self.water, self.atoms(q, dofs), skin=1.0)

    def high(self, q: np.ndarray, dofs: np.ndarray) -> QMRegion:
        """Some molecules in the open, by quantum mechanics."""
        return QMRegion(
            self.atoms(q, dofs), ENGINE, electronic_temperature=300.0, accuracy=self.accuracy,
            energy_zero={"O": self.zero, "H": 0.0},
        )  # fmt: skip

    # -- models ------------------------------------------------------------------------------------------------

    def ball(self, radius: float) -> SmoothUnion:
        """A ball about the centre's O, riding on it."""
        return SmoothUnion((self.oxygen,), radius, smoothing=0.05, cell=self.cell)

    def all_cheap(self, q: np.ndarray) -> Any:
        """No quantum mechanics."""
        return Imaged(HybridModel(self._interface(q, {}, {}), EnergyBlend(), self.ranks), 0.0 * q)

    def force_mixing(
        self, q: np.ndarray, radius: float, width: float, inner: float, outer: float, *, whole: bool = True
    ) -> Follow:
        """Quantum forces within ``radius`` of the centre, of a cluster of whole molecules with a buffer.

        ``whole``: one mixing weight per molecule, else one per atom.
        """
        overlay = (Molecular if whole else Overlay)(self.ball(radius), width, frame="current")

        def build(q: np.ndarray, oxygens: np.ndarray) -> Imaged:
            shift, dofs = self.images(q), self.dofs(oxygens // 3)
            x = q + shift
            parts = {"qm": (self.high(x, dofs), self.select(dofs))}
            coupler = ForceMixing(conserve_momentum=True, spread="mass")
            return Imaged(HybridModel(self._interface(x, parts, {"qm": overlay}), coupler, self.ranks), shift)

        # An atom that enters the zone in the next step must be in the cluster already.
        core, oxygens = Within(self.ball(radius), width + 0.15), np.arange(0, 3 * self.n, 3)
        return Follow(
            build, core, q, inner=inner, outer=outer, cell=self.cell, pbc=True, atoms=oxygens, ranks=self.ranks
        )

    def energy_mixing(self, q: np.ndarray, radius: float, width: float) -> Adaptive:
        """Molecules within ``radius`` of the centre by quantum energies, all subsets of those in the zone."""
        groups = Groups.by_first(tuple(range(3 * m, 3 * m + 3)) for m in self.others)
        overlay = Overlay(self.ball(radius), width, frame="current", groups=groups)

        def build(q: np.ndarray) -> tuple[Imaged, AdaptiveRegions, float]:
            # A wide margin saves renewals, and costs subsets that are built and rarely calculated.
            margin = next((m for m in MARGINS if len(membership(overlay, q, m).zone) <= FEW), MARGINS[-1])
            shift = self.images(q)
            x = q + shift
            made = subset_regions(
                overlay, x, lambda k: self.high(x, k), lambda k: self.low(x, k), always=self.dofs([self.centre]),
                margin=margin, high="qm", low="low", limit=MOST,
            )  # fmt: skip
            interface = self._interface(x, made.regions, {"zone": overlay})
            coupler = AdaptivePartitioning(high="qm", low="low", zone="zone")
            return Imaged(HybridModel(interface, coupler, self.ranks), shift), made, margin

        return Adaptive(build, overlay, q)

    def select(self, dofs: np.ndarray) -> Embedding:
        """The embedding of some atoms."""
        return select(dofs, len(self.start))

    def _interface(self, q: np.ndarray, parts: dict[str, Any], overlays: dict[str, Overlay]) -> Interface:
        return Interface(q, {"cheap": self.cheap(q), **parts}, Nested([], rest="cheap"), overlays=overlays)
