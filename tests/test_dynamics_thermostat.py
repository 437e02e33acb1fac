"""Temperature: velocities, the thermostat and its books, and the energy that velocity Verlet really conserves."""

from __future__ import annotations

import numpy as np
import pytest

from couplers import EnergyBlend, ForceBlend
from multiscale import HybridModel, Interface, Nested
from multiscale.drive import (
    drift,
    kinetic_energy,
    kinetic_temperature,
    langevin,
    record_energy,
    thermal_velocities,
    verlet,
)
from multiscale.drive.motion import Bath
from multiscale.drive.thermal import KB
from multiscale.regions.chain import ChainRegion, MorsePair
from multiscale.testing.problems import chain
from multiscale.types import MultiscaleError

N = 64
A = MorsePair().equilibrium()
X = np.zeros((N, 3))
X[:, 0] = A * np.arange(N)
M = np.where(np.arange(N) % 2, 1.0, 3.0)
#: K; kT = 0.002 of the bonds' depth, where the chain is nearly harmonic.
T = 0.002 / KB
FIXED = np.ones((N, 3), dtype=bool)
FIXED[:, 0] = False


def ring():
    region = ChainRegion(X, MorsePair(), N * A)
    return HybridModel(Interface(X, {"all": region}, Nested([], rest="all"), FIXED), EnergyBlend())


def start(seed=1):
    return thermal_velocities(M, 2 * T, seed, fixed=FIXED)


def bath(v, *, steps, dt=0.05, friction=0.5, temperature=T, seed=7, q=X, **more):
    return langevin(
        ring(), q, v, dt=dt, steps=steps, temperature=temperature, friction=friction, seed=seed, masses=M, **more
    )


def test_thermal_velocities():
    m = np.full(4000, 28.0)
    v = thermal_velocities(m, 300.0, seed=1)
    assert np.abs(m @ v).max() < 1e-9
    # 12 000 components: the relative standard deviation of T is √(2/12000) = 1.3 %.
    assert kinetic_temperature(m, v) == pytest.approx(300.0, rel=0.05)
    assert np.array_equal(v, thermal_velocities(m, 300.0, seed=1)) and (v != thermal_velocities(m, 300.0, seed=2)).any()
    mixed = start()
    assert not mixed[:, 1:].any() and mixed[:, 0].all() and abs(M @ mixed[:, 0]) < 1e-12
    assert abs((m @ thermal_velocities(m, 300.0, 1, at_rest=False))[0]) > 1.0
    assert kinetic_energy(M, mixed) == pytest.approx(0.5 * np.sum(M[:, None] * mixed**2))
    with pytest.raises(MultiscaleError, match="0 K or more and positive masses"):
        thermal_velocities(m, -1.0, 1)


def test_the_thermostat_gives_its_temperature_to_light_and_heavy():
    """Kinetic temperature over 280 time units, against a standard error of about 2 %."""
    light = np.flatnonzero(M == 1.0)
    heavy = np.flatnonzero(M == 3.0)
    seen = {"light": [], "heavy": []}
    for s in bath(start(), steps=6000):
        if s.index > 400:
            for name, who in (("light", light), ("heavy", heavy)):
                seen[name].append(kinetic_temperature(M[who], s.velocities[who], moving=len(who)))
    for name, values in seen.items():
        assert np.mean(values) == pytest.approx(T, rel=0.06), name


@pytest.mark.parametrize("friction", [0.5, np.linspace(0.0, 2.0, N)], ids=["one", "per dof"])
def test_noise_and_friction_balance(friction):
    """Fluctuation and dissipation: m noise² = (1 − c²) kT, which keeps m⟨v²⟩ = kT whatever the friction; held components get none."""
    found = Bath.of(M[:, None], ~FIXED, 0.05, T, friction, 7)
    keep = np.exp(-0.05 * np.broadcast_to(friction, N))
    assert np.allclose(found.keep[:, 0], keep, rtol=1e-15) and not found.noise[FIXED].any()
    assert np.allclose(found.noise[:, 0] ** 2 * M, (1.0 - keep**2) * KB * T, rtol=1e-13, atol=0.0)


def test_what_the_bath_puts_in_is_booked():
    """Energy + kinetic energy − heat wanders as dt²; without the books it goes where the bath takes it."""
    spread = []
    for dt in (0.05, 0.025):
        steps = list(bath(start(), steps=round(30 / dt), dt=dt))
        total = np.array([s.energy + kinetic_energy(M, s.velocities) for s in steps])
        heat = np.array([s.heat for s in steps])
        assert np.ptp(heat) > 10 * np.ptp(total - heat)
        spread.append(np.std(total - heat))
    assert spread[0] / spread[1] == pytest.approx(4.0, rel=0.4)
    assert next(iter(verlet(ring(), X, start(), dt=0.1, steps=1, masses=M))).heat is None


def test_without_friction_it_is_newtons_equation():
    a = list(bath(start(), steps=100, friction=0.0))[-1]
    b = list(verlet(ring(), X, start(), dt=0.05, steps=100, masses=M))[-1]
    assert np.abs(a.q - b.q).max() < 1e-12 and a.heat == 0.0


def test_a_run_goes_on_exactly_from_any_step():
    whole = list(bath(start(), steps=60))
    at = whole[25]
    rest = list(bath(at.velocities, q=at.q, steps=35, start=25, heat=at.heat))
    assert [s.index for s in rest] == list(range(25, 61)) and rest[-1].converged
    assert np.array_equal(rest[-1].q, whole[-1].q) and rest[-1].heat == whole[-1].heat
    other = list(bath(start(), steps=60, seed=8))[-1]
    assert np.abs(other.q - whole[-1].q).max() > 1e-3


def test_friction_may_differ_between_dofs():
    """At 0 K in a ring of which one half is damped; the same as components; a dof without friction takes no heat of its own."""
    per_dof = np.where(np.arange(N) < N // 2, 0.5, 0.0)
    steps = list(bath(start(), steps=400, friction=per_dof, temperature=0.0))
    total = [s.energy + kinetic_energy(M, s.velocities) for s in steps]
    assert steps[-1].heat < 0 and total[-1] < total[0]
    same = list(bath(start(), steps=400, friction=np.repeat(per_dof[:, None], 3, axis=1), temperature=0.0))
    assert np.array_equal(steps[-1].q, same[-1].q)
    free = bath(np.zeros_like(X), steps=1, friction=np.where(np.arange(N) == 5, 0.5, 0.0), dt=1e-3)
    moved = np.flatnonzero(list(free)[-1].velocities[:, 0] ** 2 > 1e-12)
    assert moved.tolist() == [5]


@pytest.mark.parametrize("friction", [-0.1, np.nan, np.ones(3), np.ones((N, 2))])
def test_bad_frictions_are_refused(friction):
    with pytest.raises(MultiscaleError, match="friction must be one number"):
        next(bath(start(), steps=1, friction=friction))


def test_bad_temperatures_are_refused():
    with pytest.raises(MultiscaleError, match="temperature of a thermostat"):
        next(bath(start(), steps=1, temperature=-1.0))


def test_the_shadow_energy_is_conserved_to_fourth_order():
    """K + E wanders as dt², H̃ as dt⁴."""
    total, shadow = [], []
    for dt in (0.1, 0.05):
        record = record_energy(verlet(ring(), X, start(), dt=dt, steps=round(30 / dt), masses=M), M, dt)
        total.append(np.std(record.total))
        shadow.append(np.std(record.shadow))
    assert total[0] / total[1] == pytest.approx(4.0, rel=0.1)
    assert shadow[0] / shadow[1] == pytest.approx(16.0, rel=0.25)
    assert shadow[1] < 0.05 * total[1]


def test_held_ends_have_no_part_in_the_shadow_energy():
    """A stretched open chain whose ends are held: the forces on these, if they counted, would make it wander as dt²."""
    q, held = X * 1.05, FIXED.copy()
    held[[0, -1]] = True
    model = HybridModel(Interface(q, {"all": ChainRegion(q)}, Nested([], rest="all"), held), EnergyBlend())
    v = thermal_velocities(M, 2 * T, 1, fixed=held)
    spread = {"held": [], "loose": []}
    for dt in (0.1, 0.05):
        steps = list(verlet(model, q, v, dt=dt, steps=round(30 / dt), masses=M))
        for name, mask in (("held", held), ("loose", None)):
            spread[name].append(np.std(record_energy(steps, M, dt, fixed=mask).shadow))
    assert spread["held"][0] / spread["held"][1] == pytest.approx(16.0, rel=0.25)
    assert spread["loose"][0] / spread["loose"][1] == pytest.approx(4.0, rel=0.1)


def test_a_planted_heating_is_measured():
    """Forces with an added negative friction heat; the drift of H̃ is the work they do."""

    class Heated:
        def __init__(self, inner):
            self.inner, self.interface, self.velocity = inner, inner.interface, np.zeros_like(X)
            self.update, self.coupler = inner.update, inner.coupler

        def evaluate(self, q):
            e = self.inner.evaluate(q)
            return type(e)(e.energy, e.forces + 2e-4 * M[:, None] * self.velocity, e.parts)

    model, dt = Heated(ring()), 0.05
    work = [0.0]

    def each(step):
        model.velocity = step.velocities
        work.append(work[-1] + dt * 2e-4 * 2 * kinetic_energy(M, step.velocities))

    record = record_energy(verlet(model, X, start(), dt=dt, steps=1500, masses=M), M, dt, each=each)
    rate, error = drift(record.times, record.shadow)
    assert rate == pytest.approx(work[-1] / (dt * 1500), rel=0.1) and rate > 10 * error
    still, its = drift(*(getattr(record_energy(verlet(ring(), X, start(), dt=dt, steps=1500, masses=M), M, dt), k)
                         for k in ("times", "shadow")))  # fmt: skip
    assert abs(still) < 1e-3 * rate and its < 1e-3 * rate


def test_energies_are_recorded_of_methods_that_have_one():
    problem = chain()
    model = problem.model(ForceBlend())
    q = model.interface.reference
    steps = list(verlet(model, q, np.zeros_like(q), dt=0.01, steps=4))
    with pytest.raises(MultiscaleError, match="the coupler has none"):
        record_energy(steps, np.ones(len(q)), 0.01)
    record = record_energy(steps, np.ones(len(q)), 0.01, energy=lambda s: float(s.index))
    assert record.total == pytest.approx([1, 2, 3], abs=1e-3)
    with pytest.raises(MultiscaleError, match="three values or more"):
        drift(record.times[:2], record.total[:2])


def test_zones_of_a_thermostat_have_their_own_temperatures():
    """Each half comes to its own temperature, and a bath of 0 K only takes."""
    n = 4000
    m, warm = np.full(n, 28.0), np.where(np.arange(n) < n // 2, 300.0, 0.0)
    zones = Bath.of(m[:, None], np.ones((n, 3), dtype=bool), 1.0, warm, 0.5, 1)
    v = thermal_velocities(m, 100.0, seed=3)
    for index in range(40):
        v = zones(v, index)
    found = [kinetic_temperature(m[half], v[half]) for half in (slice(n // 2), slice(n // 2, n))]
    # 6 000 components: a temperature is known to 1.8 %; four standard errors.
    assert found[0] == pytest.approx(300.0, rel=4 * np.sqrt(2 / (3 * n / 2)))
    assert found[1] < 1e-9


def test_thermostat_refuses_temperatures_of_the_wrong_shape():
    with pytest.raises(MultiscaleError, match="one per dof"):
        next(bath(start(), steps=1, temperature=np.ones(3)))
