"""Atoms tied to a mesh in the plane: overlap, constraint and friction as on the chain, with a real mesh and a real potential."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("multiscale.continuum.laws", exc_type=ImportError)  # needs DOLFINx

from blocks import Block  # noqa: E402

from couplers import BridgingDomain  # noqa: E402
from multiscale import HybridModel, Interface, Nested  # noqa: E402
from multiscale.drive import FineFriction, kinetic_energy, relax, thermal_velocities, verlet  # noqa: E402
from multiscale.shapes import Cylinder  # noqa: E402


@dataclass(frozen=True, eq=False)
class Loose(Block):
    """Atoms in the blend are dofs of their own; only those beyond it follow the mesh."""

    free: float = 16.0
    blend: float = 0.0
    half: float = 30.0
    cells: int = 12
    inner: float = 6.0

    def interface(self, **more: Any) -> Interface:
        core = Cylinder((0, 0, 0), self.inner)
        partition = Nested([("ml", core, self.free - self.inner + 1e-6)], rest="fem")
        regions, fixed = {"ml": self.ml(), "fem": self.fem()}, self.fixed()
        # Nodes that only have cells which do not count are nobody's.
        fixed[BridgingDomain().masses(Interface(self.reference, regions, partition)) == 0] = True
        return Interface(self.reference, regions, partition, fixed, **more)


BLOCK = Loose("lj", 2)


@pytest.fixture(scope="module")
def model():
    return HybridModel(BLOCK.interface(), BridgingDomain())


def test_the_overlap_and_its_ties(model):
    """Homogeneous deformations are allowed, there are as many rows as nodes, and all mass is there once."""
    ties, bridge = model.coupler.constraint(model.interface), model.interface.bridge("fem")
    assert 20 < len(bridge.nodes) == len(ties.value) < len(bridge.dofs) < BLOCK.n_free
    H = np.array([[0.02, 0.01, 0.0], [-0.01, 0.005, 0.0], [0.0, 0.0, 0.0]])
    assert np.abs(ties.residual(BLOCK.stretched(H))).max() < 1e-11
    mass = model.coupler.masses(model.interface)
    idle = model.interface.fixed.all(axis=1) & (np.abs(BLOCK.reference).max(axis=1) < BLOCK.inner)
    # Quadrature of the blend, 0.5 %; the atoms are 26.98 amu, the mesh's 27.
    assert ((mass > 0) == ~idle).all() and idle.any() and not idle[bridge.nodes].any()
    assert mass.sum() == pytest.approx(27.0 * model.ledger(BLOCK.reference).matter, rel=5e-3)


def test_relaxation(model):
    """To an equilibrium under the ties, from a shaken state."""
    ties = model.coupler.constraint(model.interface)
    start = BLOCK.reference + 0.05 * np.random.default_rng(1).normal(size=BLOCK.reference.shape) * [1, 1, 0]
    start = np.where(model.interface.fixed, BLOCK.reference, start)
    *_, last = relax(model, start, fmax=1e-5)
    assert last.converged and np.abs(ties.residual(last.q)).max() < 1e-11
    # Weighted energies of a model with second neighbours leave a ghost force, and it moves atoms by little.
    assert np.abs(last.q - BLOCK.reference).max() < 0.05


def test_dynamics_with_the_absorber(model):
    """The ties are kept, what friction takes is booked, and without friction energy is conserved as dt²."""
    ties, mass = model.coupler.constraint(model.interface), model.coupler.masses(model.interface)
    mass = np.where(mass > 0, mass, 27.0)
    v = thermal_velocities(mass, 100.0, seed=1, fixed=model.interface.fixed)
    v[:, 2] = 0.0
    friction = FineFriction(model.interface.bridge("fem"), 1.0)
    wander = []
    for rate, dt, count in ((None, 0.1, 60), (None, 0.05, 120), (friction, 0.05, 120)):
        steps = list(verlet(model, BLOCK.reference, v, dt=dt, steps=count, masses=mass, friction=rate))
        assert max(np.abs(ties.residual(s.q)).max() for s in steps) < 1e-11
        assert np.abs(ties.matrix @ steps[-1].velocities).max() < 1e-12
        books = np.array([s.energy + kinetic_energy(mass, s.velocities) - (s.heat or 0.0) for s in steps])
        wander.append(np.abs(books - books[0]).max())
    assert wander[0] / wander[1] == pytest.approx(4.0, rel=0.3) and wander[2] < 2.0 * wander[1]
    assert steps[-1].heat < -0.05 * kinetic_energy(mass, steps[0].velocities) and -steps[-1].heat > 20.0 * wander[2]
