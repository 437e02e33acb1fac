"""Friction on the fine scale alone: what it takes, what it leaves, and its books."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy.linalg import expm

from couplers import BridgingDomain, EnergyBlend
from multiscale import HybridModel, Interface, Linear, Nested, Query, Slab
from multiscale.constraint import held
from multiscale.drive import FineFriction, kinetic_energy, leapfrog_energy, verlet
from multiscale.region import Can
from multiscale.regions.chain import ChainElements, ChainRegion, HarmonicPair
from multiscale.testing.bridged import Line
from multiscale.types import MultiscaleError

PAIR = HarmonicPair()
#: Atoms −150 … 39, nodes 0, 5, …, 300.
LINE = Line(PAIR, PAIR.length, 150, 40, 300, 5, neighbours=1)
RATE, DT = 2.0, 0.02
COUPLERS = {
    "L2": BridgingDomain(),
    "pointwise": BridgingDomain(projection="pointwise"),
    "lumped": BridgingDomain(projection="pointwise", lumped=True),
}


@dataclass(frozen=True)
class Total(FineFriction):
    """A saboteur: friction on all of the motion."""

    def matrix(self, masses):
        return np.diag(self.gamma * masses[self.bridge.dofs])


def packet(wavelength, width=25.0, middle=-75.0):
    """Right-going, on all sites."""
    x = np.arange(-1024, 1024)
    u = 0.01 * np.exp(-(((x - middle) / width) ** 2)) * np.cos(2 * np.pi * (x - middle) / wavelength)
    omega = 2 * np.sqrt(PAIR.stiffness) * np.sin(np.pi * np.fft.rfftfreq(len(x)))
    v = np.fft.irfft(-1j * omega * np.fft.rfft(u), len(x))
    return u[LINE.sites + 1024], v[LINE.sites + 1024]


def cross(wavelength, coupler="L2", friction=None, time=35.0):
    """The energies left of 0 and everywhere at the end, over the first; the leapfrog energies and what is booked."""
    m = HybridModel(LINE.interface(), COUPLERS[coupler])
    q, v = m.interface.reference.copy(), np.zeros_like(m.interface.reference)
    u, v[:, 0] = packet(wavelength)
    q[:, 0] += u
    mass = m.coupler.masses(m.interface)
    steps = list(
        verlet(m, q, v, dt=DT, steps=round(time / DT), friction=friction and friction(m.interface.bridge("fem")))
    )
    energies = np.array([leapfrog_energy(s, mass, DT, m.interface.fixed) for s in steps[::20]])
    booked = np.array([s.heat or 0.0 for s in steps[::20]])
    end, left = steps[-1], m.interface.reference[:, 0] < -1e-6
    sites = m.ask(end.q, {"atoms": Query(Can.SITE_ENERGIES)})["atoms"]["site_energies"][: left.sum()].sum()
    back = float(sites) + kinetic_energy(mass[left], end.velocities[left])
    return back / energies[0], energies[-1] / energies[0], energies, booked


def fine(bridge, rate=RATE):
    return FineFriction(bridge, rate)


def test_the_friction_is_one():
    """Symmetric, positive, blind to what the mesh can do; it grows from nothing at the atomistic side."""
    interface = LINE.interface()
    bridge, mass = interface.bridge("fem"), COUPLERS["L2"].masses(interface)
    friction = fine(bridge)
    g = friction.matrix(mass)
    values = np.linalg.eigvalsh(g)
    n = bridge.shape[:, bridge.nodes].toarray()
    assert np.allclose(g, g.T) and values.min() > -1e-12 and values.max() > 0.1
    assert np.abs(g @ n).max() < 1e-12 and np.abs(g.sum(axis=0)).max() < 1e-12
    assert (
        friction.gamma[0] == 0.0 < friction.gamma[1] < 1e-3 * RATE
        and friction.gamma[-1] > 0.999 * RATE
        and (np.diff(friction.gamma) > 0).all()
    )


@pytest.mark.parametrize("tied", [True, False])
def test_its_flow_is_exact(tied):
    """Against the exponential of the whole system, multipliers eliminated; halves add up; the constraint and the momentum are kept."""
    m = HybridModel(LINE.interface(), COUPLERS["L2"])
    free, mass = ~m.interface.fixed, m.coupler.masses(m.interface)
    ties = held(m.coupler.constraint(m.interface), free, mass) if tied else None
    friction, t, n = fine(m.interface.bridge("fem")), 0.3, len(mass)
    v = np.random.default_rng(0).normal(size=(n, 1)) * [1.0, 0, 0]
    v = v if ties is None else ties.velocities(v)
    gamma = np.zeros((n, n))
    gamma[np.ix_(friction.bridge.dofs, friction.bridge.dofs)] = friction.matrix(mass)
    rate = -gamma / mass[:, None]
    if ties is not None:
        columns = [ties.velocities(c[:, None] * [1.0, 0, 0])[:, 0] for c in rate.T]
        rate = np.array(columns).T
    slower = friction.flow(t, mass, free, ties)(v)
    assert np.abs(slower[:, 0] - expm(t * rate) @ v[:, 0]).max() < 1e-11
    half = friction.flow(0.5 * t, mass, free, ties)
    assert np.abs(half(half(v)) - slower).max() < 1e-11 and kinetic_energy(mass, slower) < 0.997 * kinetic_energy(
        mass, v
    )
    assert mass @ slower[:, 0] == pytest.approx(mass @ v[:, 0], rel=1e-10)
    if ties is not None:
        assert np.abs(ties.constraint.matrix @ slower).max() < 1e-11


def test_fixed_components_stay_and_others_are_damped_alike():
    interface = LINE.interface()
    friction, n = fine(interface.bridge("fem")), interface.n_q
    v, free = np.random.default_rng(1).normal(size=(n, 3)), np.ones((n, 3), dtype=bool)
    held_atom = friction.bridge.dofs[20]
    free[held_atom, 1] = False
    v[:, 1:] = v[:, :1]
    v[held_atom, 1] = 0.0
    slower = friction.flow(0.2, np.ones(n), free, None)(v)
    assert (
        slower[held_atom, 1] == 0.0 and np.array_equal(slower[:, 0], slower[:, 2]) and (slower[:, 0] != v[:, 0]).any()
    )
    assert np.abs(slower[:, 1] - slower[:, 0]).max() > 1e-3


def test_long_waves_pass_and_short_ones_do_not_come_back():
    """λ = 60 goes through undiminished, with friction or without; λ = 6 comes back without it, and not with it."""
    for friction in (None, fine):
        back, rest, *_ = cross(60.0, friction=friction)
        assert back < 1e-4 and rest > 0.995
    back, rest, *_ = cross(6.0)
    assert back > 0.9 and rest == pytest.approx(1.0, abs=1e-10)
    back, rest, *_ = cross(6.0, friction=fine)
    assert back < 0.02 and rest < 0.02


def test_friction_on_the_total_velocity_kills_the_long_wave():
    """The saboteur: as good with short waves, and the long one is gone."""
    _, rest, energies, booked = cross(60.0, friction=lambda bridge: Total(bridge, RATE))
    assert rest < 0.5
    # Its books are in order all the same.
    assert np.abs(energies - booked - energies[0]).max() < 1e-9 * energies[0]


@pytest.mark.parametrize("wavelength", [60.0, 6.0])
def test_the_balance_closes(wavelength):
    """Energy at any time + energy absorbed = energy at the start, to round-off; far inside of the 1e-6 that is asked for."""
    _, _, energies, booked = cross(wavelength, friction=fine)
    assert booked[-1] < 0 and (np.diff(booked) <= 1e-15 * energies[0]).all()
    assert np.abs(energies - booked - energies[0]).max() < 1e-9 * energies[0]


def test_atoms_tied_one_by_one_have_no_fine_scale_to_absorb():
    """Exact multipliers for every atom leave no fluctuation: the short wave meets a wall, friction or not."""
    back, rest, energies, booked = cross(6.0, "pointwise", fine)
    assert back > 0.99 and rest == pytest.approx(1.0, abs=1e-9) and abs(booked).max() < 1e-12 * energies[0]


def test_the_balance_catches_a_loss_that_nobody_booked():
    """Lumped multipliers beside the friction: what they take is in no book."""
    _, _, energies, booked = cross(20.0, "lumped", fine)
    assert np.abs(energies - booked - energies[0]).max() > 1e-2 * energies[0]


def test_bad_input():
    interface = LINE.interface()
    bridge = interface.bridge("fem")
    with pytest.raises(MultiscaleError, match="rates of 0 or more at the 40 particles"):
        FineFriction(bridge, -1.0)
    with pytest.raises(MultiscaleError, match=r"a profile of shape \(3,\)"):
        FineFriction(bridge, 1.0, np.ones(3))
    assert FineFriction(bridge, 2.0, np.ones(40)).gamma.tolist() == [2.0] * 40
    # One atom at the edge of a long element.
    one = replace(bridge, dofs=bridge.dofs[1:2], share=bridge.share[1:2], shape=bridge.shape[1:2])
    with pytest.raises(MultiscaleError, match="1 particles do not determine 'fem' at the 2 nodes"):
        FineFriction(one, 1.0).matrix(np.ones(interface.n_q))
    wide = replace(LINE, left=30, overlap=4200, right=4300, switch=Linear())
    with pytest.raises(MultiscaleError, match="4000 at most"):
        FineFriction(wide.interface().bridge("fem"), 1.0).flow(1.0, np.ones(9999), np.ones((9999, 3), dtype=bool), None)


def test_without_an_overlap_there_is_nothing_to_absorb():
    X = np.zeros((9, 3))
    X[:, 0] = PAIR.length * np.arange(9)
    regions = {"atoms": ChainRegion(X, PAIR), "fem": ChainElements(X, PAIR)}
    partition = Nested([("atoms", Slab((0, 0, 0), (1, 0, 0), 3.0), 3.0)], rest="fem")
    m = HybridModel(Interface(X, regions, partition), EnergyBlend())
    friction = FineFriction(m.interface.bridge("fem"), 1.0)
    *_, last = verlet(m, X, 0.1 * np.ones_like(X), dt=0.02, steps=3, masses=np.ones(9), friction=friction)
    assert last.heat == 0.0
