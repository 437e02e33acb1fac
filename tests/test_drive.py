"""Drivers on the chain: relaxation, loading with events, dynamics."""

from __future__ import annotations

import numpy as np
import pytest

from couplers import EnergyBlend, ForceBlend, GhostCorrected
from multiscale.drive import load, relax, verlet
from multiscale.interface import Interface
from multiscale.model import HybridModel
from multiscale.partition import Nested
from multiscale.regions.chain import ChainElements, ChainRegion, MorsePair
from multiscale.shapes import Slab
from multiscale.testing.checks import shaken
from multiscale.testing.problems import chain, moving
from multiscale.types import MultiscaleError

A = MorsePair().equilibrium()


def _open(n=120, coupler=None):
    q = np.zeros((n, 3))
    q[:, 0] = A * np.arange(n)
    fixed = np.zeros(n, dtype=bool)
    fixed[[0, 1, -2, -1]] = True
    partition = Nested([("atoms", Slab((A * n / 2, 0, 0), (1, 0, 0), 12.0), 10.0)], rest="fem")
    return HybridModel(
        Interface(q, {"atoms": ChainRegion(q), "fem": ChainElements(q)}, partition, fixed), coupler or EnergyBlend()
    )


@pytest.mark.parametrize("coupler", [EnergyBlend, ForceBlend, GhostCorrected], ids=lambda c: c.__name__)
def test_relax_converges_in_few_evaluations(coupler):
    """With or without an energy; the preconditioner makes the number of steps small."""
    model = _open(coupler=coupler())
    q = model.interface.reference.copy()
    model.prepare(q)
    start = np.where(model.interface.fixed, q, shaken(q, 0.02))
    steps = list(relax(model, start, fmax=1e-8))
    assert steps[-1].converged and steps[-1].max_force <= 1e-8
    assert steps[-1].evaluations <= 20
    assert np.abs(steps[-1].q - start)[model.interface.fixed].max() == 0
    if steps[-1].energy is not None:
        energies = [s.energy for s in steps]
        assert (np.diff(energies) <= 1e-9).all()


def test_relaxed_states_of_energy_and_force_methods_agree_after_correction():
    """The corrected energy and the force blend have the same equilibrium at the state where the correction is computed."""
    ends = []
    for coupler in (GhostCorrected(), ForceBlend()):
        model = _open(coupler=coupler)
        q = model.interface.reference.copy()
        for _ in range(6):
            model.prepare(q)
            q = list(relax(model, q, fmax=1e-10))[-1].q
        ends.append(q)
    assert np.abs(ends[0] - ends[1]).max() < 1e-8


def test_load_finds_the_critical_stretch_and_brackets_it():
    """A chain under growing stretch breaks where its tangent loses stability; the bracket is as narrow as asked."""
    model = _open()
    x0 = model.interface.reference.copy()

    def advance(q, old, new):
        return q * (new / old)

    def broken(q):
        return "broken" if np.diff(q[:, 0]).max() > 1.6 else ""

    steps = list(
        load(
            model,
            x0,
            advance,
            start=1.0,
            stop=1.3,
            step=0.04,
            resolution=0.005,
            event=broken,
            fmax=1e-6,
            max_steps=2000,
        )
    )
    first = next(s for s in steps if s.event)
    last = max((s for s in steps if s.load < first.load), key=lambda s: s.load)
    assert first.load - last.load == pytest.approx(0.005, abs=1e-9)
    # 1.1625 with these end conditions is the uniform chain's critical stretch (B1: 1.164); a step of load may pass it.
    assert 1.14 < last.load < 1.19
    assert [s.load for s in steps] == sorted(s.load for s in steps)


def test_load_says_when_it_cannot_relax():
    """Not a silent, unconverged state."""
    model = _open()
    with pytest.raises(MultiscaleError, match="relaxation stopped after 1 steps"):
        list(
            load(
                model,
                shaken(model.interface.reference, 0.1),
                lambda q, a, b: q,
                start=0.0,
                stop=1.0,
                step=1.0,
                max_steps=1,
                fmax=1e-10,
            )
        )


def test_dynamics_conserves_energy_with_moving_weights():
    """The total energy's fluctuation falls as dt²; momentum is conserved to round-off."""
    spread = []
    for dt in (0.02, 0.01):
        model = moving().model(EnergyBlend())
        q = model.interface.reference
        rng = np.random.default_rng(4)
        v = 0.05 * rng.normal(size=q.shape) * [1, 0, 0]
        m = np.ones(len(q))
        total = []
        for s in verlet(model, q, v, dt=dt, steps=int(6 / dt), masses=m):
            total.append(s.energy + 0.5 * float(np.sum(m[:, None] * s.velocities**2)))
        assert np.abs((m[:, None] * (s.velocities - v)).sum()) < 1e-12
        spread.append(np.std(total))
    assert spread[0] / spread[1] == pytest.approx(4.0, rel=0.2)


def test_dynamics_needs_masses():
    """The dof on which weights ride has none of its own."""
    model = moving().model(EnergyBlend())
    q = model.interface.reference
    with pytest.raises(MultiscaleError, match="positive mass on every shared dof, but dof 64"):
        next(verlet(model, q, np.zeros_like(q), dt=0.01, steps=1))
    heavy = np.where(np.arange(len(q)) == 3, np.inf, 1.0)
    with pytest.raises(MultiscaleError, match="dof 3 has inf.* fixed in the interface"):
        next(verlet(model, q, np.zeros_like(q), dt=0.01, steps=1, masses=heavy))
    assert chain().model(EnergyBlend()).interface.masses() == pytest.approx(1.0)


def test_loading_goes_on_exactly_from_any_state():
    """A run that starts again from a yielded state gives bit for bit what the uninterrupted run gives."""

    def run(q, start, step):
        model = _open()

        def broken(q):
            return "broken" if np.diff(q[:, 0]).max() > 1.6 else ""

        return list(
            load(
                model,
                q,
                lambda q, a, b: q * (b / a),
                start=start,
                stop=1.16,
                step=step,
                resolution=0.01,
                event=broken,
                fmax=1e-5,
            )
        )

    whole = run(_open().interface.reference.copy(), 1.0, 0.04)
    rest = run(whole[2].q, whole[2].load, whole[2].increment)
    assert len(whole) > 4
    assert [s.load for s in rest] == [s.load for s in whole[2:]]
    assert all((a.q == b.q).all() for a, b in zip(rest, whole[2:], strict=True))


def test_load_halves_a_step_that_does_not_relax():
    """With too few steps of relaxation for the increment asked for, the driver takes smaller ones."""
    model = _open()
    q = model.interface.reference.copy()

    def sheared(at, old, new):
        return at * (new / old) + 0.02 * np.sin(at * (new - old) / 0.01)

    settings = {"start": 1.0, "stop": 1.04, "step": 0.04, "fmax": 1e-6}
    with pytest.raises(MultiscaleError, match="relaxation stopped after 4 steps"):
        list(load(model, q, sheared, max_steps=4, **settings))
    steps = list(load(model, q, sheared, max_steps=4, resolution=0.0025, **settings))
    assert steps[-1].load == pytest.approx(1.04) and len(steps) > 2 and all(s.converged for s in steps)
