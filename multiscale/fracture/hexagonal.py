"""One close-packed layer over itself: the simple hexagonal crystal seen along its six-fold axis, in a crack's frame.

    X = (¼ a + n a + ½ a k, (k + ½) h),   h = ½ √3 a,   k, n whole;   the layer repeats itself after c along z

x runs along a close-packed row, y = 0 lies midway between two of them, and x = 0 in the middle of a crossing bond. A six-fold axis makes
the plane isotropic, C₆₆ = ½ (C₁₁ − C₁₂), and a crystal of one atom has no inner shifts. The mirror plane z = 0 keeps motion in the plane:
layers that lie over one another may well want to slide (aluminium's do, C₄₄ < 0), but one that repeats itself cannot.
The crack plane is no mirror plane: rows are staggered. What it has is the two-fold axis through x = y = 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.optimize import root

from ..elastic import cauchy, elastic_constants, relax_basis
from ..region import Query
from ..regions.ml import MLRegion
from ..types import GPA_PER_EV_A3, J_M2_PER_EV_A2, Array, MultiscaleError
from .lattice import CrackCrystal
from .material import CrystalOfCrack


def hexagonal(a: float, c: float, radius: float) -> CrackCrystal:
    """All atoms of a layer within ``radius`` (Å) of x = y = 0.

    Parameters
    ----------
    a, c : float
        Å; neighbours in the layer, and from layer to layer.
    radius : float

    Examples
    --------
    >>> crystal = hexagonal(2.83, 2.96, 9.9)
    >>> len(crystal.positions), bool(np.abs(crystal.positions[:, 1]).min() > 1.2)
    (42, True)
    """
    h = 0.5 * np.sqrt(3.0) * a
    rows = np.arange(-np.ceil(radius / h) - 1, np.ceil(radius / h) + 1)
    columns = np.arange(-np.ceil(1.6 * radius / a) - 2, np.ceil(1.6 * radius / a) + 3)
    k, n = (g.ravel() for g in np.meshgrid(rows, columns, indexing="ij"))
    X = np.stack([a * (0.25 + n + 0.5 * k), h * (k + 0.5), np.zeros_like(n)], axis=1)
    X = X[np.hypot(X[:, 0], X[:, 1]) <= radius * (1.0 + 1e-9)]
    # Sorting by rounded keys makes the numbering the same on every machine.
    X = X[np.lexsort(np.round(np.column_stack([X[:, :2], np.hypot(X[:, 0], X[:, 1])]), 6).T)]
    return CrackCrystal(X, np.zeros(len(X), dtype=np.int64), X, c, 0.5 * a, a * h * c)


@dataclass(frozen=True)
class HexagonalMaterial(CrystalOfCrack):
    """A simple hexagonal crystal at its own equilibrium, as an interatomic model has it.

    Attributes
    ----------
    model : SiteModel
    symbol : str
    a, c : float
        Å; neighbours in the layer, and from layer to layer.
    C : (6, 6) array
        GPa; with C₆₆ in the place of C₄₄ and C₅₅, which play no part in the plane and need not be positive.
    sliding : float
        C₄₄ as it is, GPa.
    inner_shift : (1, 3, 3, 3) array
        Zeros.
    gamma, gamma_relaxed : float
        Energy of the surface along a close-packed row, J/m², with the atoms where the crystal has them, and relaxed.
    """

    model: Any
    symbol: str
    a: float
    c: float
    C: Array
    sliding: float
    inner_shift: Array
    gamma: float
    gamma_relaxed: float
    planar: ClassVar[bool] = True

    @classmethod
    def of(cls, model: Any, symbol: str = "Al", guess: tuple[float, float] = (2.83, 2.96)) -> HexagonalMaterial:
        """Measure everything from the model, starting from a guess of a and c (Å).

        Raises
        ------
        MultiscaleError
            If no stress-free crystal is found near the guess.
        """
        atom = np.zeros((1, 3))
        region = MLRegion(model, symbols=[symbol], positions=atom, cell=_cell(*guess), pbc=True)

        def stress(size: Array) -> Array:
            cell = _cell(*size)
            return cauchy(region.with_cell(cell), atom, cell)[[0, 2]]

        found = root(stress, np.array(guess), tol=1e-10)
        a, c = (float(v) for v in found.x)
        C = elastic_constants(region.with_cell, atom, _cell(a, c)).relaxed
        # Atoms out of reach of one another are free of stress too.
        if np.abs(stress(found.x)).max() > 1e-5 or np.linalg.eigvalsh(C[:3, :3])[0] < 1e-3:
            raise MultiscaleError(
                f"no hexagonal crystal of {symbol} at a minimum of its energy found from a, c = {guess} Å (stopped at {a:.3f}, {c:.3f} Å "
                f"with stresses {stress(found.x)} GPa); give a guess nearer to one"
            )
        sliding = float(C[3, 3])
        C[[3, 4], [3, 4]] = C[5, 5]
        gamma, relaxed = surface_energies(model, symbol, a, c)
        return cls(model, symbol, a, c, C, sliding, np.zeros((1, 3, 3, 3)), gamma, relaxed)

    @property
    def bond(self) -> float:
        """First-neighbour distance in the layer, Å."""
        return self.a

    @property
    def cell(self) -> Array:
        """Of one atom, as rows, Å; for Cauchy–Born laws."""
        return _cell(self.a, self.c)

    @property
    def constants(self) -> Array:
        """C₁₁, C₂₂, C₁₂, C₆₆, eV/Å³."""
        return self.C[[0, 1, 0, 5], [0, 1, 1, 5]] / GPA_PER_EV_A3

    @property
    def K_relaxed(self) -> float:
        """Griffith's K for the relaxed surfaces, MPa·√m: between K₋ and K₊ in a crystal that cleaves."""
        return self.field.griffith(self.gamma_relaxed)

    def crystal(self, radius: float) -> CrackCrystal:
        """A disc of one layer."""
        return hexagonal(self.a, self.c, radius)


def surface_energies(model: Any, symbol: str, a: float, c: float, rows: int = 20) -> tuple[float, float]:
    """Energies of the surface along a close-packed row, J/m², unrelaxed and relaxed: half of (slab − as many atoms of bulk) per area.

    Parameters
    ----------
    model : SiteModel
    symbol : str
    a, c : float
        Å.
    rows : int
        Thickness of the slab; an even number.
    """
    h, k = 0.5 * np.sqrt(3.0) * a, np.arange(rows)
    X = np.stack([0.5 * a * (k % 2), h * k, 0.0 * k], axis=1)
    energies = []
    for gap in (0.0, 20.0):
        cell = np.diag([a, rows * h + gap, c])
        region = MLRegion(model, symbols=[symbol] * rows, positions=X, cell=cell, pbc=True)
        energies.append(float(region.evaluate(X, Query()).energy or 0.0))
    relaxed = float(region.evaluate(relax_basis(region, X), Query()).energy or 0.0)
    unrelaxed, relaxed = ((e - energies[0]) / (2.0 * a * c) * J_M2_PER_EV_A2 for e in (energies[1], relaxed))
    return unrelaxed, relaxed


def _cell(a: float, c: float) -> Array:
    """Of one atom, as rows, Å."""
    return np.array([[a, 0.0, 0.0], [0.5 * a, 0.5 * np.sqrt(3.0) * a, 0.0], [0.0, 0.0, c]])
