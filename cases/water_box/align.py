"""Energy zeros of the two descriptions of a water molecule: what adds to a cluster when one molecule more is described better.

    Δ(S) = E_QM(S) − E_cheap(S),       ε = Δ(one relaxed molecule),    or    ε = ⟨Δ(core + g) − Δ(core)⟩ over molecules g in the zone

A molecule that crosses the zone feels the force −(Δ(core + g) − Δ(core) − ε) ∇P: with the second ε its mean vanishes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from ase import Atoms
from box import Box

from multiscale import Query
from multiscale.calculator import RegionCalculator, relax_atoms


@dataclass(frozen=True)
class Zeros:
    """What aligning measures; energies in eV a molecule.

    Attributes
    ----------
    alone : float
        ε of the relaxed molecule, each description at its own minimum.
    liquid : float
        ε of the mean molecule in the zone.
    spread, error : float
        Standard deviation of its samples, and the mean's standard error.
    sizes, gains : (k,) arrays
        Numbers of molecules in clusters of the liquid, and (Δ − n ε_liquid)/n of each.
    """

    alone: float
    liquid: float
    spread: float
    error: float
    sizes: np.ndarray
    gains: np.ndarray


def gain(box: Box, q: np.ndarray, molecules: Any) -> float:
    """Δ of some molecules, eV."""
    dofs = box.dofs(molecules)
    energies = [region.evaluate(q[dofs], Query()).energy for region in (box.high(q, dofs), box.low(q, dofs))]
    return float(energies[0] - energies[1])


def relaxed(region: Any, atoms: Atoms, steps: int = 200) -> float:
    """The least energy of a small cluster, eV; raises MultiscaleError if it is not found."""
    atoms = atoms.copy()
    atoms.calc = RegionCalculator(region)
    return relax_atoms(atoms, 1e-3, steps, maxstep=0.05)


def measure(box: Box, radius: float, width: float, centres: int) -> Zeros:
    """Both zeros, from the start box with ``centres`` molecules in the middle one after another."""
    bare = replace(box, zero=0.0)
    q, dofs = bare.start.positions, bare.dofs([0])
    one = bare.atoms(q, dofs)
    alone = relaxed(bare.high(q, dofs), one) - relaxed(bare.low(q, dofs), one)
    steps, sizes, totals = [], [], []
    for centre in range(centres):
        about = replace(bare, centre=centre)
        x, d = q + about.images(q), about.distances(q)
        core = np.flatnonzero(d < radius)
        inner = gain(about, x, core)
        sizes.append(len(core))
        totals.append(inner)
        zone = np.flatnonzero((d >= radius) & (d < radius + width))
        steps += [gain(about, x, [*core, g]) - inner for g in zone]
    mean, n = float(np.mean(steps)), np.array(sizes)
    return Zeros(
        alone, mean, float(np.std(steps)), float(np.std(steps) / np.sqrt(len(steps))), n, np.array(totals) / n - mean
    )
