"""Multiple time steps: Verlet at n = 1, reversibility, what is conserved and at which price, resonance, and what they refuse."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from couplers import EnergyBlend, ForceMixing
from multiscale import HybridModel, Interface, Nested, Overlay
from multiscale.drive import kinetic_energy, langevin, respa, thermal_velocities, verlet
from multiscale.drive.thermal import KB
from multiscale.regions.bonds import HarmonicPair
from multiscale.regions.chain import ChainRegion, MorsePair
from multiscale.shapes import Slab
from multiscale.types import MultiscaleError

N = 48
A = MorsePair().equilibrium()
X = np.zeros((N, 3))
X[:, 0] = A * np.arange(N)
M = np.where(np.arange(N) % 2, 1.0, 3.0)
T = 0.004 / KB
FIXED = np.ones((N, 3), dtype=bool)
FIXED[:, 0] = False
START = thermal_velocities(M, 2 * T, 1, fixed=FIXED)


def ring(alpha=4.0, depth=1.0):
    region = ChainRegion(X, MorsePair(alpha, depth), N * A)
    return HybridModel(Interface(X, {"all": region}, Nested([], rest="all"), FIXED), EnergyBlend())


def dear():
    """A tenth deeper and a little narrower than the cheap one: what is slow is their difference."""
    return ring(3.9, 1.1)


class Wrapped:
    """A model whose evaluations are changed on the way."""

    def __init__(self, model, change):
        self.model, self.change = model, change

    def __getattr__(self, name):
        return getattr(self.model, name)

    def evaluate(self, q):
        return self.change(q, self.model.evaluate(q))


def run(a, b, *, dt=0.02, every=4, steps=400, q=X, v=START, **more):
    return list(respa(a, b, q, v, dt=dt, every=every, steps=steps, masses=M, **more))


def totals(steps):
    return np.array([s.energy + kinetic_energy(M, s.velocities) - (s.heat or 0.0) for s in steps])


def test_one_step_is_verlet_and_baoab_with_the_dear_model():
    a, b = run(dear(), ring(), every=1, steps=100), list(verlet(dear(), X, START, dt=0.02, steps=100, masses=M))
    assert [s.index for s in a] == [s.index for s in b] and a[-1].converged
    assert np.abs(a[-1].q - b[-1].q).max() < 1e-12 and np.abs(a[-1].velocities - b[-1].velocities).max() < 1e-12
    assert a[-1].energy == pytest.approx(b[-1].energy, abs=1e-11) and a[-1].heat is None
    bath = {"temperature": T, "friction": 0.3, "seed": 5}
    a = run(dear(), ring(), every=1, steps=100, **bath)
    b = list(langevin(dear(), X, START, dt=0.02, steps=100, masses=M, **bath))
    assert np.abs(a[-1].q - b[-1].q).max() < 1e-12 and a[-1].heat == pytest.approx(b[-1].heat, abs=1e-11)


def test_time_reversal():
    there = run(dear(), ring())[-1]
    back = run(dear(), ring(), q=there.q, v=-there.velocities)[-1]
    assert np.abs(there.q - X).max() > 0.03
    assert np.abs(back.q - X).max() < 1e-9 and np.abs(back.velocities + START).max() < 1e-9


def test_the_dear_model_is_asked_every_nth_step():
    a, b = dear(), ring()
    made = a.evaluations, b.evaluations
    steps = run(a, b, every=5, steps=100)
    assert a.evaluations - made[0] == 100 // 5 + 1 == steps[-1].evaluations and b.evaluations - made[1] == 101
    assert [s.index for s in steps] == list(range(0, 101, 5))


def wander(a, dt, every, time=24.0):
    steps = run(a, ring(), dt=dt, every=every, steps=every * round(time / dt / every))
    return float(np.std(totals(steps)))


def check_order(a):
    """Halving Δt at given n divides what E_dear + K wanders by four, and it does not drift away."""
    coarse, fine = wander(a, 0.02, 4), wander(a, 0.01, 4)
    assert coarse / fine == pytest.approx(4.0, rel=0.15)
    assert wander(a, 0.02, 4, 96.0) < 1.5 * coarse


def test_energy_is_conserved_to_second_order_and_for_long():
    check_order(dear())


def forgetful(a):
    """The impulse F_dear instead of F_dear − F_cheap: forces of both together, from which F_cheap is then taken."""
    cheap = ring()
    return Wrapped(a, lambda q, e: replace(e, forces=e.forces + cheap.evaluate(q).forces))


def test_forgetting_the_cheap_forces_is_caught():
    broken = forgetful(dear())
    with pytest.raises(AssertionError):
        check_order(broken)
    a = run(broken, ring(), every=1, steps=20)
    b = list(verlet(dear(), X, START, dt=0.02, steps=20, masses=M))
    assert np.abs(a[-1].q - b[-1].q).max() > 1e-3


def test_at_equal_cost_the_error_is_smaller_than_verlets():
    """As many dear evaluations: Verlet with steps of n Δt."""
    plain = totals(list(verlet(dear(), X, START, dt=0.08, steps=300, masses=M)))
    assert wander(dear(), 0.02, 4) < 0.25 * np.std(plain)


@pytest.mark.parametrize("stiffer", [1.2, 0.8])
def test_resonance_where_the_formula_has_it(stiffer):
    """Two masses on a spring: energies grow exactly where |cos ωh − κh/2ω sin ωh| > 1, next to half of the period."""
    x = np.zeros((2, 3))
    x[1, 0] = 1.0
    free = np.ones((2, 3), dtype=bool)
    free[:, 0] = False

    def pair(k):
        region = ChainRegion(x, HarmonicPair(k, 1.0), neighbours=1)
        return HybridModel(Interface(x, {"all": region}, Nested([], rest="all"), free), EnergyBlend())

    q, k = x + np.array([[-0.05, 0, 0], [0.05, 0, 0]]), 1.0
    omega, kappa, n = np.sqrt(2.0 * k), 2.0 * k * (stiffer - 1.0), 20
    found = []
    for phase in np.pi * np.array([0.5, 0.9, 1.0 + 0.02 * np.sign(1.0 - stiffer), 1.1]):
        h = phase / omega
        trace = np.cos(phase) - kappa * h / (2.0 * omega) * np.sin(phase)
        steps = list(respa(pair(stiffer * k), pair(k), q, 0 * q, dt=h / n, every=n, steps=40 * n, masses=np.ones(2)))
        grown = max(s.energy for s in steps) / steps[0].energy
        assert (grown > 50.0) == (abs(trace) > 1.0), (phase, trace, grown)
        found.append(abs(trace) > 1.0)
    assert any(found) and not found[0]


def mixed(high=3.9):
    """The cheap ring with forces of another one in its middle: no energy."""
    core = Overlay(Slab(X[N // 2], (1, 0, 0), 4.0), 3.0)
    regions = {"all": ChainRegion(X, MorsePair(), N * A), "qm": ChainRegion(X, MorsePair(high, 1.1), N * A)}
    interface = Interface(X, regions, Nested([], rest="all"), FIXED, overlays={"qm": core})
    return HybridModel(interface, ForceMixing(conserve_momentum=True))


def test_force_mixing_has_no_energy_and_says_so():
    steps = run(mixed(), ring(), steps=40)
    assert all(s.energy is None for s in steps) and "ForceMixing (dear)" in steps[0].event
    assert not any(s.event for s in steps[1:]) and not run(dear(), ring(), steps=4)[0].event
    assert "EnergyBlend (cheap)" in run(dear(), Wrapped(ring(), lambda q, e: replace(e, energy=None)), steps=4)[0].event
    a, b = run(mixed(), ring(), every=1, steps=50)[-1], list(verlet(mixed(), X, START, dt=0.02, steps=50, masses=M))[-1]
    assert np.abs(a.q - b.q).max() < 1e-12
    assert abs(M @ steps[-1].velocities[:, 0] - M @ START[:, 0]) < 1e-10


def test_a_bath_in_the_cheap_steps_is_booked_and_goes_on_exactly():
    """At 0 K, where no random number hides the order: what friction takes is booked but for an error of order Δt²."""
    spread, bath = [], {"temperature": T, "friction": 0.2, "seed": 3}
    for dt in (0.02, 0.01):
        steps = run(dear(), ring(), dt=dt, every=4, steps=round(24 / dt), **bath | {"temperature": 0.0})
        assert np.ptp([s.heat for s in steps]) > 10 * np.ptp(totals(steps))
        spread.append(np.std(totals(steps)))
    assert spread[0] / spread[1] == pytest.approx(4.0, rel=0.15)
    whole = run(dear(), ring(), steps=80, **bath)
    at = whole[10]
    rest = run(dear(), ring(), q=at.q, v=at.velocities, start=at.index, heat=at.heat, steps=40, **bath)
    assert np.array_equal(rest[-1].q, whole[-1].q) and rest[-1].heat == whole[-1].heat


def test_members_may_change_between_strides():
    """The model says so, and its new forces are used from there on."""
    a, swapped, seen = ring(), ring(3.5), []

    class Changing(Wrapped):
        def update(self, q):
            seen.append(q)
            if len(seen) != 3:
                return ""
            self.model = swapped
            return "members +1"

    steps = run(Changing(a, lambda q, e: e), ring(), every=2, steps=8)
    assert [s.event for s in steps] == ["", "", "members +1", "", ""]
    assert np.array_equal(steps[2].forces, swapped.evaluate(steps[2].q).forces)
    # The dear model was evaluated once more.
    assert steps[-1].evaluations == 6


def test_constraints_are_kept_and_have_to_be_the_same():
    from multiscale.constraint import Constraint

    tie = np.zeros((1, N))
    tie[0, [3, 4]] = 1.0, -1.0

    class Tied(EnergyBlend):
        def constraint(self, interface):
            return Constraint.of([tie], interface.reference)

    def tied(model):
        return HybridModel(model.interface, Tied())

    v = START.copy()
    a = run(tied(dear()), tied(ring()), every=1, steps=50, v=v)[-1]
    b = list(verlet(tied(dear()), X, v, dt=0.02, steps=50, masses=M))[-1]
    assert np.abs(a.q - b.q).max() < 1e-12
    far = run(tied(dear()), tied(ring()), v=v)
    assert max(np.abs(tie @ (s.q - X)).max() for s in far) < 1e-12 and np.ptp(totals(far)) < 5e-3
    with pytest.raises(MultiscaleError, match="their constraints differ"):
        run(tied(dear()), ring())


def test_refusals():
    with pytest.raises(MultiscaleError, match="whole strides"):
        run(dear(), ring(), every=3, steps=10)
    other = HybridModel(
        Interface(X, {"all": ChainRegion(X, MorsePair(), N * A)}, Nested([], rest="all")), EnergyBlend()
    )
    with pytest.raises(MultiscaleError, match="hold the same components"):
        run(dear(), other)
    short = X[:-1]
    region = ChainRegion(short, MorsePair(), (N - 1) * A)
    small = HybridModel(Interface(short, {"all": region}, Nested([], rest="all"), FIXED[:-1]), EnergyBlend())
    with pytest.raises(MultiscaleError, match="same shared dofs"):
        run(dear(), small)
