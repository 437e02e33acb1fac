"""Minimum-energy paths of a hybrid model: climbing-image nudged elastic band over its shared dofs.

    path q(s), s ∈ [0, 1],     F⊥ = F − (F·t) t = 0,     t = dq/ds / |dq/ds|

The band is ASE's (improved tangent, climbing image), the energies and forces are the hybrid's, weights, links and mesh
included: one functional for minimisers, paths, dynamics and Hessians. :mod:`multiscale.mep` examines the result.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ase
import numpy as np
from ase.constraints import FixCartesian
from ase.mep import NEB
from ase.mep.neb import NEBOptimizer

from .calculator import HybridCalculator
from .coupler import Evaluation
from .model import HybridModel
from .types import Array, MultiscaleError


@dataclass(frozen=True)
class Path:
    """A chain of states between two minima.

    Attributes
    ----------
    images : (n_images, n_q, 3) array
        Shared positions, Å, the two ends included.
    energies : (n_images,) array
        eV.
    forces : (n_images, n_q, 3) array
        eV/Å; −∂E/∂q, not projected.
    residual : float
        eV/Å; the largest force of the band on one dof when it stopped.
    converged : bool
        Whether that is below the tolerance asked for.
    iterations, evaluations : int
        Of the band, and of the model.
    """

    images: Array
    energies: Array
    forces: Array
    residual: float
    converged: bool
    iterations: int
    evaluations: int

    @property
    def barrier(self) -> float:
        """Height of the highest image above the first, eV."""
        return float(self.energies.max() - self.energies[0])

    @property
    def saddle(self) -> int:
        """Number of the highest image."""
        return int(np.argmax(self.energies))

    @property
    def arc(self) -> Array:
        """Length of the path up to each image (n_images,), Å, in all coordinates together."""
        steps = np.linalg.norm(np.diff(self.images, axis=0).reshape(len(self.images) - 1, -1), axis=1)
        return np.concatenate([[0.0], np.cumsum(steps)])


def neb(
    model: HybridModel,
    start: Array,
    end: Array,
    *,
    images: int = 7,
    between: Array | None = None,
    fmax: float = 0.02,
    max_steps: int = 200,
    spring: float = 0.1,
    climb: bool = True,
    report: Callable[[int, Array, float], None] | None = None,
) -> Path:
    """Relax a band between two minima; collective.

    Parameters
    ----------
    model : HybridModel
        With a coupler that has an energy. Dofs fixed in its interface do not move.
    start, end : (n_q, 3) arrays
        Relaxed end states, Å, in the same numbering.
    images : int
        Number of states, the ends included; at least 3.
    between : (images − 2, n_q, 3) array, optional
        First guess of the inner states; straight interpolation unless given.
    fmax : float
        eV/Å; the largest force of the band on one dof.
    max_steps : int
        Of the optimiser, over both stages (first without, then with climbing).
    spring : float
        eV/Å².
    climb : bool
        Let the highest image climb to the saddle point, once the band is within 5 fmax.
    report : callable, optional
        Called after every step with its number, the energies (images,) and the residual.

    Raises
    ------
    MultiscaleError
        For ends of the wrong shape, a coupler without an energy, or fixed dofs that differ between the ends.

    References
    ----------
    G. Henkelman, B. P. Uberuaga and H. Jónsson, J. Chem. Phys. 113 (2000) 9901, https://doi.org/10.1063/1.1329672.
    """
    states = _guess(model, start, end, images, between)
    calculator = HybridCalculator(model, np.arange(model.interface.n_q))
    atoms = [_atoms(model, calculator, q) for q in states]
    band = _Band(atoms, k=spring, climb=False, method="improvedtangent", allow_shared_calculator=True)
    before, record = model.evaluations, _Progress(band, report)
    stages = [(False, 5.0 * fmax), (True, fmax)] if climb else [(False, fmax)]
    done = False
    for climbing, tolerance in stages:
        band.climb = climbing
        left = max_steps - record.steps
        if left <= 0:
            break
        optimizer = NEBOptimizer(band, logfile=None, verbose=0)
        optimizer.attach(record)
        done = bool(optimizer.run(fmax=tolerance, steps=left))
        # An optimiser that gives up leaves the band at the trial that it has just rejected.
        band.set_positions(record.accepted)
    band.get_forces()
    residual = float(band.get_residual())
    final = np.array([a.positions for a in atoms])
    evaluations = [model.evaluate(q) for q in final]
    energies = np.array([energy_of(e) for e in evaluations])
    forces = np.array([e.forces for e in evaluations])
    converged = done and band.climb == climb and residual <= fmax
    return Path(final, energies, forces, residual, converged, record.steps, model.evaluations - before)


def energy_of(e: Evaluation) -> float:
    """The energy, eV, which must exist.

    Raises
    ------
    MultiscaleError
        If the method has none.
    """
    if e.energy is None:
        raise MultiscaleError(
            "a path needs energies, but the model's method has none; couple it by a method with an energy"
        )
    return e.energy


class _Band(NEB):
    """ASE's band, whose own residual leaves the climbing image out, and is not defined where there is no other."""

    def get_forces(self) -> Array:
        """Forces of the band on its inner images (n_atoms · (n_images − 2), 3), eV/Å."""
        forces: Array = super().get_forces()
        self.largest = float(np.linalg.norm(forces, axis=1).max(initial=0.0))
        return forces

    def get_residual(self) -> float:
        """The largest force of the band on one atom, eV/Å."""
        return self.largest


class _Progress:
    """Counts the optimiser's steps, keeps the last band that it accepted, and reports each."""

    def __init__(self, band: NEB, report: Callable[[int, Array, float], None] | None) -> None:
        self.band, self.report, self.steps = band, report, -1
        self.accepted: Array = band.get_positions().copy()

    def __call__(self) -> None:
        self.steps += 1
        self.accepted = self.band.get_positions().copy()
        if self.report is not None:
            self.report(self.steps, np.array(self.band.energies), float(self.band.get_residual()))


def _guess(model: HybridModel, start: Array, end: Array, images: int, between: Array | None) -> Array:
    """All states of the first band (images, n_q, 3), Å; refuses what cannot become a path."""
    interface = model.interface
    start, end = np.asarray(start, dtype=float), np.asarray(end, dtype=float)
    wanted = interface.reference.shape
    if start.shape != wanted or end.shape != wanted:
        raise MultiscaleError(f"neb needs end states of shape {wanted}, got {start.shape} and {end.shape}")
    if not model.coupler.claims.conservative:
        raise MultiscaleError(
            f"neb was given a model coupled by {type(model.coupler).__name__}, which has no energy; use a coupler with one, "
            "or integrate its forces along a path that another model has relaxed (multiscale.drive.virtual_work)"
        )
    if images < 3:
        raise MultiscaleError(f"neb was given {images} images; it needs the two ends and at least one between")
    moved = np.abs(end - start)[interface.fixed]
    if moved.max(initial=0.0) > 1e-8:
        raise MultiscaleError(
            f"the ends of the path differ by {moved.max():.3g} Å at dofs that are fixed; relax both with the same fixed dofs"
        )
    share = np.linspace(0.0, 1.0, images)[:, None, None]
    states = (1.0 - share) * start + share * end
    if between is not None:
        if np.shape(between) != (images - 2, *wanted):
            raise MultiscaleError(f"neb needs inner states of shape {(images - 2, *wanted)}, got {np.shape(between)}")
        states[1:-1] = between
    return np.asarray(states)


def _atoms(model: HybridModel, calculator: HybridCalculator, q: Array) -> ase.Atoms:
    """The shared dofs, atoms and mesh nodes alike, as ASE sees them; their elements play no part in a path."""
    atoms = ase.Atoms("X" * len(q), q)
    fixed = model.interface.fixed
    constraints: list[Any] = [
        FixCartesian(np.flatnonzero((fixed == mask).all(axis=1)), mask=list(mask))
        for mask in np.unique(fixed[fixed.any(axis=1)], axis=0)
    ]
    atoms.set_constraint(constraints)
    atoms.calc = calculator
    return atoms
