"""Constants of a brittle crystal, all computed from one interatomic model: nothing is put in by hand.

C_ij and inner shifts by strain differences, γ from a slab, K_G from (C, γ), all in the crack's frame
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ase.build import bulk

from ..continuum.kfield import KField
from ..elastic import Elastic, elastic_constants, lattice_constant, rotate_stiffness
from ..region import Query
from ..regions.ml import MLRegion
from ..types import J_M2_PER_EV_A2, Array
from .lattice import SHUFFLE_111


@dataclass(frozen=True)
class CrackMaterial:
    """A diamond crystal as an interatomic model has it, in the frame of a (111)[1-10] crack.

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
        Å per strain, per sublattice of :func:`~multiscale.fracture.lattice.diamond_111`, in the crack's frame.
    gamma : float
        Energy of the unrelaxed (111) shuffle surface, J/m².
    """

    model: Any
    symbol: str
    a: float
    elastic: Elastic
    C: Array
    inner_shift: Array
    gamma: float

    @classmethod
    def of(cls, model: Any, symbol: str = "Si", guess: float = 5.43) -> CrackMaterial:
        """Measure everything from the model; takes about a second for a classical potential."""
        start = MLRegion(model, bulk(symbol, "diamond", a=guess))
        a = lattice_constant(start.with_cell, start.reference, start.cell, guess)
        region = MLRegion(model, bulk(symbol, "diamond", a=a))
        elastic = elastic_constants(region.with_cell, region.reference, region.cell)
        R = SHUFFLE_111
        C = rotate_stiffness(elastic.relaxed, R)
        shift = np.einsum("ia,jb,kc,nabc->nijk", R, R, R, elastic.inner_shift)
        # Sublattice 0 of the crack crystal is the lower end of the bond along +y = [111].
        if (elastic.positions[1] - elastic.positions[0]).sum() < 0:
            shift = shift[::-1]
        return cls(model, symbol, a, elastic, C, shift, surface_energy(model, symbol, a))

    @property
    def field(self) -> KField:
        """The K-field of this material."""
        return KField(self.C)

    @property
    def K_griffith(self) -> float:
        """MPa·√m."""
        return self.field.griffith(self.gamma)

    @property
    def bond(self) -> float:
        """First-neighbour distance, Å."""
        return self.a * np.sqrt(3) / 4


def surface_energy(model: Any, symbol: str, a: float, layers: int = 6) -> float:
    """Energy of the unrelaxed (111) shuffle surface, J/m²: half of (slab with a gap − the same slab closed) per area."""
    step = 0.5 * a * SHUFFLE_111 @ np.array([0.0, 1.0, 1.0])
    half = np.array([0.0, a * np.sqrt(3) / 8, 0.0])
    # A bilayer is the upper end of a bond along y and the lower end of the next one: cutting between bilayers cuts those bonds.
    bilayer = np.stack([half, step - half])
    positions = np.concatenate([bilayer + k * step for k in range(layers)])
    width, period = a * np.sqrt(6) / 4, a / np.sqrt(2)
    lateral = np.array([[width, 0.0, 0.5 * period], [0.0, 0.0, period]])
    energies = []
    for gap in (20.0, 0.0):
        cell = np.array([lateral[0], layers * step + [0.0, gap, 0.0], lateral[1]])
        region = MLRegion(model, symbols=[symbol] * len(positions), positions=positions, cell=cell, pbc=True)
        energies.append(float(region.evaluate(positions, Query()).energy or 0.0))
    return (energies[0] - energies[1]) / (2.0 * width * period) * J_M2_PER_EV_A2
