"""ASE's test_forceqmmm with ForceMixing: a vacancy in copper, EMT in the core, Lennard-Jones around it, 31 atoms.

ASE's own ``ForceQMMM`` runs beside it on the same system. The cell is smaller than core and buffer, so that ASE, too,
computes the better forces of all atoms: the comparison is exact.
"""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.calculators.qmmm import ForceQMMM
from ase.neighborlist import neighbor_list
from ase.optimize import FIRE
from ase.units import fs

from couplers import ForceBlend, ForceMixing
from multiscale import HybridModel, Interface, Nested, Sphere
from multiscale.calculator import HybridCalculator
from multiscale.drive import relax
from multiscale.embedding import select
from multiscale.interface import Overlay
from multiscale.partition import Partition
from multiscale.regions.ml import MLRegion
from multiscale.regions.qm import QMRegion
from multiscale.shapes import Shape
from multiscale.types import MultiscaleError

CUBE = bulk("Cu", cubic=True)
BOND = (CUBE * 2).get_distance(0, 1)
SIGMA = BOND * 2.0 ** (-1.0 / 6)
RADII = (3.0, 7.0)
#: Å; two cutoffs of EMT, which knows its cutoff only once it has calculated.
BUFFER = 2 * 5.37


class Minimum(Shape):
    """The ball about the origin and all its periodic images, as ASE measures distances."""

    def __init__(self, cell, radius):
        self.lengths, self.radius = np.diag(cell), radius

    def distance(self, X, q=None):
        r = X - self.lengths * np.round(X / self.lengths)
        norm = np.linalg.norm(r, axis=1)
        return norm - self.radius, r / norm[:, None]


def low_calculator():
    return LennardJones(sigma=SIGMA, epsilon=0.05)


def vacancy(n=2):
    """The crystal without atom 0, and the distances of the others from where it was."""
    atoms = CUBE * n
    r = atoms.get_distances(0, np.arange(1, len(atoms)), mic=True)
    del atoms[0]
    return atoms, r


def everything() -> Partition:
    """All matter in one region."""
    return Nested([], rest="low")


def mixing(atoms, radius, zero_mean=True, cluster=None):
    """ForceMixing of EMT (over all atoms, or a buffered cluster of them) and LJ, core r < radius."""
    inside = np.arange(len(atoms)) if cluster is None else np.flatnonzero(cluster)
    part = atoms[inside]
    if cluster is not None:
        part.set_pbc(False)
    regions = {
        "low": QMRegion(atoms, low_calculator),
        "high": (QMRegion(part, EMT), select(inside, len(atoms))),
    }
    overlays = {"high": Overlay(Minimum(atoms.cell.array, radius - 1e-9))}
    interface = Interface(atoms.positions, regions, everything(), overlays=overlays)
    return HybridModel(interface, ForceMixing("high", inner=ForceBlend(), conserve_momentum=zero_mean))


def strain_error(at0, u_ref, u, mask):
    """Σ |(u_ref − u)_i − (u_ref − u)_j|² over neighbours, its root; as in ASE's test."""
    i, j = np.array([(a, b) for a, b in zip(*neighbor_list("ij", at0, 1.5 * SIGMA), strict=True) if mask[a]]).T
    v = u_ref - u
    return float(np.linalg.norm(np.linalg.norm(v[i] - v[j], axis=1)))


def test_the_strain_error_of_ase():
    """Local error 1.6e-2 at R = 3 Å and below 1e-10 at 7 Å, by ASE's optimiser on ASE's own and on our forces."""
    at0, r = vacancy()
    assert len(at0) == 31
    reference = at0.copy()
    reference.calc = EMT()
    FIRE(reference, logfile=None).run(fmax=1e-3)
    u_ref = reference.positions - at0.positions
    ours, theirs = [], []
    for radius in RADII:
        theirs.append(fire(ForceQMMM(at0, r < radius, EMT(), low_calculator(), buffer_width=BUFFER), at0))
        ours.append(fire(mean_free(at0, radius), at0))
        assert np.abs(ours[-1] - theirs[-1]).max() < 1e-8
    near, all_of_it = r < 3.0, np.ones(len(r), dtype=bool)
    local = [strain_error(at0, u_ref, u, near) for u in ours]
    whole = [strain_error(at0, u_ref, u, all_of_it) for u in ours]
    assert local[0] == pytest.approx(1.593e-2, rel=1e-3)
    assert local[1] < 1e-10 and whole[1] < 1e-10 < whole[0]


def fire(calculator, at0):
    """Displacements that ASE's FIRE finds with a calculator."""
    atoms = at0.copy()
    atoms.calc = calculator
    FIRE(atoms, logfile=None).run(fmax=1e-3)
    return atoms.positions - at0.positions


def mean_free(at0, radius):
    """Our forces, their mean taken off all atoms and the energy zero, which is what ``ForceQMMM`` returns."""

    class LikeForceQMMM(HybridCalculator):
        def calculate(self, atoms=None, properties=("forces",), system_changes=()):
            super().calculate(atoms, properties, system_changes)
            self.results["forces"] = self.results["forces"] - self.results["forces"].mean(axis=0)
            self.results["energy"] = self.results["free_energy"] = 0.0

    calculator = LikeForceQMMM(mixing(at0, radius, zero_mean=False))
    calculator.implemented_properties += ["energy", "free_energy"]
    return calculator


@pytest.mark.parametrize("radius", RADII)
def test_forces_are_those_of_ase(radius):
    """Where the definitions agree: abrupt mixing, no correction of the mean. Round-off is 1e-14."""
    at0, r = vacancy()
    at0.positions += np.random.default_rng(1).normal(0, 0.05, at0.positions.shape)
    theirs = ForceQMMM(at0, r < radius, EMT(), low_calculator(), buffer_width=BUFFER, zero_mean=False)
    ours = mixing(vacancy()[0], radius, zero_mean=False).evaluate(at0.positions)
    assert np.abs(ours.forces - theirs.get_forces(at0)).max() < 1e-12
    assert ours.energy is None


def test_a_buffered_cluster_of_a_larger_crystal():
    """255 atoms, core 3 Å, buffer 4.5 Å: ASE's cluster in vacuum has our forces; and momentum where it is restored."""
    at0, r = vacancy(4)
    # The cluster must not be cut by the cell's faces: the vacancy is moved into the middle.
    shift = 0.5 * at0.cell.lengths()
    moved = at0.copy()
    moved.positions = (at0.positions + shift) % at0.cell.lengths()
    core = r < 3.0
    x = moved.positions + np.random.default_rng(2).normal(0, 0.03, moved.positions.shape)
    moved.positions = x
    theirs = ForceQMMM(moved, core, EMT(), low_calculator(), buffer_width=4.5, zero_mean=False)
    want = theirs.get_forces(moved)
    cluster = theirs.qm_buffer_mask
    assert core.sum() < cluster.sum() < len(moved) and not theirs.get_qm_cluster(moved).pbc.any()
    part = moved[np.flatnonzero(cluster)]
    part.set_pbc(False)
    regions = {
        "low": QMRegion(moved, low_calculator),
        "high": (QMRegion(part, EMT), select(np.flatnonzero(cluster), len(moved))),
    }
    overlay = Overlay(Sphere(tuple(shift), 3.3))
    interface = Interface(x, regions, everything(), overlays={"high": overlay})
    assert np.array_equal(interface.overlay_weights("high") == 1, core)
    for conserve in (False, True):
        model = HybridModel(interface, ForceMixing("high", inner=ForceBlend(), conserve_momentum=conserve))
        forces = model.evaluate(x).forces
        if conserve:
            assert np.abs(forces.sum(axis=0)).max() < 1e-11
        else:
            assert np.abs(forces - want).max() < 1e-12
            assert np.abs(forces.sum(axis=0)).max() > 1e-3
    ledger = model.ledger(x)
    assert ledger.matter == pytest.approx(len(moved)) and ledger.coverage == pytest.approx((1.0, 1.0), abs=1e-12)


def test_relaxation_and_dynamics_without_an_energy():
    """Anderson mixing finds the state of ASE's FIRE; ASE's dynamics takes the forces, its optimisers want an energy."""
    from ase.calculators.calculator import PropertyNotImplementedError
    from ase.md.verlet import VelocityVerlet

    at0, _ = vacancy()
    model = mixing(at0, 3.0)
    start = model.interface.reference
    # No region offers a stiffness here; the curvature of a copper bond serves.
    last = deque(relax(model, start, fmax=1e-4, preconditioner=lambda f: f / 8.0), maxlen=1).pop()
    assert last.converged and last.energy is None
    atoms = at0.copy()
    atoms.calc = HybridCalculator(model)
    with pytest.raises(PropertyNotImplementedError):
        atoms.get_potential_energy()
    VelocityVerlet(atoms, 2 * fs).run(3)
    assert np.abs(atoms.positions - at0.positions).max() > 1e-4


def test_a_total_energy_cannot_be_blended():
    """EnergyBlend as the inner method needs site weights, which a total energy does not have: said in one sentence."""
    at0, _ = vacancy()
    interface = Interface(at0.positions, {"low": QMRegion(at0, EMT), "high": QMRegion(at0, EMT)}, everything(),
                          overlays={"high": Overlay(Sphere((0.0, 0.0, 0.0), 3.0))})  # fmt: skip
    with pytest.raises(MultiscaleError, match="SITE_WEIGHTS of region 'low'.*force_blend"):
        HybridModel(interface, ForceMixing("high"))
    from multiscale.models import LennardJones as Pairs

    sites = MLRegion(Pairs(0.05, SIGMA, symbols=("Cu",), cutoff=5.0), at0)
    interface = Interface(at0.positions, {"low": sites, "high": QMRegion(at0, EMT)}, everything(),
                          overlays={"high": Overlay(Sphere((0.0, 0.0, 0.0), 3.0))})  # fmt: skip
    assert np.isfinite(HybridModel(interface, ForceMixing("high")).evaluate(at0.positions).forces).all()
