"""Constants of a brittle crystal, all computed from one interatomic model: nothing is put in by hand.

C_ij and inner shifts by strain differences, γ from a slab, K_G from (C, γ), all in the crack's frame
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from ase.build import bulk
from ase.data import atomic_masses, atomic_numbers

from ..continuum.cauchy_born import CauchyBorn
from ..continuum.kfield import KField
from ..elastic import Elastic, elastic_constants, lattice_constant, rotate_stiffness
from ..region import Query
from ..regions.ml import MLRegion
from ..types import J_M2_PER_EV_A2, Array
from .lattice import SHUFFLE_111, CrackCrystal, Orientation, diamond, orthogonal_cell


class CrystalOfCrack(ABC):
    """What a crack needs to know of its crystal; all tensors are in the crack's frame.

    Attributes
    ----------
    model : SiteModel
    symbol : str
    C : (6, 6) array
        GPa.
    inner_shift : (n_basis, 3, 3, 3) array
        Å per strain, per sublattice.
    gamma : float
        Energy of the unrelaxed surface that the crack makes, J/m².
    planar : bool
        Whether atoms move in the plane of the crack's cross-section only.
    """

    model: Any
    symbol: str
    C: Array
    inner_shift: Array
    gamma: float
    planar: ClassVar[bool] = False

    @property
    @abstractmethod
    def bond(self) -> float:
        """First-neighbour distance, Å."""

    @abstractmethod
    def crystal(self, radius: float) -> CrackCrystal:
        """All primitive cells whose centre lies within ``radius`` (Å) of the front, one period thick."""

    @property
    def field(self) -> KField:
        """The K-field of this material."""
        return KField(self.C)

    @property
    def K_griffith(self) -> float:
        """MPa·√m."""
        return self.field.griffith(self.gamma)

    @property
    def mass(self) -> float:
        """Of an atom, amu."""
        return float(atomic_masses[atomic_numbers[self.symbol]])


@dataclass(frozen=True)
class CrackMaterial(CrystalOfCrack):
    """A diamond crystal as an interatomic model has it, in a crack's frame.

    Attributes
    ----------
    model : SiteModel
    symbol : str
    a : float
        Lattice constant, Å.
    elastic : Elastic
        In the crystal's cubic frame.
    C : (6, 6) array
        GPa, relaxed, in the crack's frame.
    inner_shift : (2, 3, 3, 3) array
        Å per strain, per sublattice of :func:`~multiscale.fracture.lattice.diamond`, in the crack's frame.
    gamma : float
        Energy of the unrelaxed surface that the crack makes, J/m².
    orientation : Orientation
    """

    model: Any
    symbol: str
    a: float
    elastic: Elastic
    C: Array
    inner_shift: Array
    gamma: float
    orientation: Orientation = SHUFFLE_111

    @classmethod
    def of(
        cls, model: Any, symbol: str = "Si", guess: float = 5.43, orientation: Orientation = SHUFFLE_111
    ) -> CrackMaterial:
        """Measure everything from the model; takes about a second for a classical potential."""
        start = MLRegion(model, bulk(symbol, "diamond", a=guess))
        a = lattice_constant(start.with_cell, start.reference, start.cell, guess)
        region = MLRegion(model, bulk(symbol, "diamond", a=a))
        elastic = elastic_constants(region.with_cell, region.reference, region.cell)
        R = orientation.axes
        C = rotate_stiffness(elastic.relaxed, R)
        shift = np.einsum("ia,jb,kc,nabc->nijk", R, R, R, elastic.inner_shift)
        # Sublattice 0 of the crack crystal is the lower end of its bond; the first of the cell's atoms has its bonds along ±(1 1 1), ….
        if ((elastic.positions[1] - elastic.positions[0]).sum() < 0) != orientation.inverted:
            shift = shift[::-1]
        return cls(model, symbol, a, elastic, C, shift, surface_energy(model, symbol, a, orientation), orientation)

    @property
    def bond(self) -> float:
        """First-neighbour distance, Å."""
        return self.a * np.sqrt(3) / 4

    def cauchy_born(self) -> CauchyBorn:
        """The crystal's own nonlinear law, in the crack's frame."""
        primitive = 0.5 * self.a * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) @ self.orientation.axes.T
        half = 0.5 * self.a * self.orientation.bond
        return CauchyBorn(self.model, primitive, [self.symbol] * 2, np.stack([-half, half]))

    def crystal(self, radius: float) -> CrackCrystal:
        """A disc of diamond."""
        return diamond(self.orientation, self.a, radius)


def surface_energy(
    model: Any, symbol: str, a: float, orientation: Orientation = SHUFFLE_111, thickness: float = 15.0
) -> float:
    """Energy of the unrelaxed surface of a crack at y = 0, J/m²: half of (slab with a gap − the same slab closed) per area.

    Parameters
    ----------
    model : SiteModel
    symbol : str
    a : float
        Lattice constant, Å.
    orientation : Orientation
    thickness : float
        Å; the slab has as many whole cells as it takes.
    """
    energies = []
    for gap in (20.0, 0.0):
        positions, side = orthogonal_cell(orientation, a, int(np.ceil(thickness / (a * orientation.repeats[1]))))
        region = MLRegion(
            model,
            symbols=[symbol] * len(positions),
            positions=positions,
            cell=np.diag(side + [0.0, gap, 0.0]),
            pbc=True,
        )
        energies.append(float(region.evaluate(positions, Query()).energy or 0.0))
    return (energies[0] - energies[1]) / (2.0 * side[0] * side[2]) * J_M2_PER_EV_A2
