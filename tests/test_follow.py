"""Clusters that follow their core: members, booked energy, momentum, restart, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from pulses import HIGH, LOW, START, A, M, N, X, around, built, following, plain, pulse, strained, total, trajectory

from couplers import EnergyBlend, ForceMixing, GhostCorrected, Subtractive
from multiscale import HybridModel, Interface, Nested, Overlay, Ranks, Sphere
from multiscale.checkpoint import Checkpoint, load, save
from multiscale.drive import Follow, Within, agree, relax, verlet, watch
from multiscale.drive import load as raise_load
from multiscale.embedding import select
from multiscale.ranks import World
from multiscale.regions.chain import ChainRegion
from multiscale.run import Run
from multiscale.shapes import SmoothUnion
from multiscale.testing.problems import moving
from multiscale.testing.threads import on_ranks
from multiscale.types import MultiscaleError


class Unbooked(Follow):
    """Forgets to book."""

    def evaluate(self, q):
        return self.model.evaluate(q)


def test_a_pulse_is_followed_and_nothing_is_lost():
    model = following()
    before = set(model.membership)
    steps = trajectory(model)
    changed = [s for s in steps if s.event]
    assert len(changed) == len(model.changes) >= 3
    assert all(c.jump is not None and c.update == s.index + 1 for c, s in zip(model.changes, changed, strict=True))
    assert not before >= set(model.membership) and model.fits(steps[-1].q)
    energies = np.array([total(s) for s in steps])
    finer = np.array([total(s) for s in trajectory(following(), dt=0.005, steps=600)])
    # Verlet's own error, of order dt², and nothing else: the jumps are a hundred times larger.
    worst, half = np.abs(energies - energies[0]).max(), np.abs(finer - finer[0]).max()
    assert worst / half == pytest.approx(4.0, rel=0.15)
    jumps = [abs(c.jump) for c in model.changes]
    assert max(jumps) > 0.01
    momentum = np.array([(M[:, None] * s.velocities).sum(axis=0) for s in steps])
    assert np.abs(momentum - momentum[0]).max() < 1e-12


def test_energy_is_continuous_through_a_change_to_round_off():
    model = following()
    for step in trajectory(model, steps=150)[::10]:
        held = model.evaluate(step.q).energy
        event = model.update(step.q)
        assert abs(model.evaluate(step.q).energy - held) <= 1e-12 * abs(held), event
    fresh = following()
    e = fresh.evaluate(step.q).energy
    assert fresh.update(step.q) and fresh.booked != 0.0
    assert fresh.evaluate(step.q).energy == pytest.approx(e, abs=1e-11)
    assert fresh.evaluate(step.q).parts["booked"] == fresh.booked
    assert fresh.model.evaluate(step.q).energy == pytest.approx(e - fresh.booked, abs=1e-11)


def test_forgotten_bookings_are_caught():
    honest, careless = (np.array([total(s) for s in trajectory(following(kind=k))]) for k in (Follow, Unbooked))
    assert np.abs(careless - careless[0]).max() > 5 * np.abs(honest - honest[0]).max()


def test_hysteresis():
    """To and fro by less than outer − inner changes nothing; beyond it there is one change, and none on the way back."""
    place = [40.0]
    model = following(core=lambda q: around(q, place[0]), q=X)
    first = model.membership
    for there in (41.0, 42.0, 38.5, 40.0):
        place[0] = there
        assert model.update(X) == "" and model.fits(X)
    place[0] = 44.0
    assert not model.fits(X)
    assert "members +" in model.update(X) and model.membership != first
    for there in (43.0, 42.0):
        place[0] = there
        assert model.update(X) == ""
    assert len(model.changes) == 1
    change = model.changes[0]
    assert change.entered and change.left and change.members == len(model.membership)
    assert model.buffer(X) >= model.inner


def test_forces_are_the_gradient_between_changes():
    model = following()
    q = START + 0.05 * np.random.default_rng(1).normal(size=X.shape) * [1, 0, 0]
    v, h = np.random.default_rng(2).normal(size=X.shape) * [1, 0, 0], 1e-5
    slope = (model.evaluate(q + h * v).energy - model.evaluate(q - h * v).energy) / (2 * h)
    assert slope == pytest.approx(-float(np.sum(model.evaluate(q).forces * v)), rel=1e-6)


def test_a_restart_is_exact(tmp_path):
    """From a checkpoint in the middle, members, booked energy and every bit of the trajectory are the same."""
    whole = following()
    steps = verlet(whole, START, pulse(at=40), dt=0.01, steps=200, masses=M)
    for step in steps:
        if step.index == 120:
            assert whole.changes
            arrays = {"velocities": step.velocities, **whole.snapshot()}
            save(tmp_path / "c.npz", Checkpoint(step.index, step.q, arrays), {"a": 1})
    kept = load(tmp_path / "c.npz", {"a": 1})
    again = following()
    again.restore(kept.arrays)
    rest = trajectory(again, q=kept.q, v=kept.arrays["velocities"], steps=80)
    assert np.array_equal(rest[-1].q, step.q) and rest[-1].energy == step.energy
    assert again.membership == whole.membership and again.booked == whole.booked and again.updates - 1 == whole.updates
    with pytest.raises(MultiscaleError, match="cannot be restored without follow_members"):
        again.restore({})


def test_an_empty_core_is_an_error_or_a_stated_fallback():
    with pytest.raises(MultiscaleError, match="has become empty"):
        following(q=X)
    model = following()
    with pytest.raises(MultiscaleError, match="has become empty"):
        model.update(X)
    model = following(empty=plain)
    e = model.evaluate(X).energy
    assert "no core is left" in model.update(X) and model.membership == ()
    assert model.evaluate(X).energy == pytest.approx(e, abs=1e-12)
    assert model.update(X) == "" and model.fits(X)
    again = following(empty=plain)
    again.restore(model.snapshot())
    assert again.membership == () and again.evaluate(X).energy == model.evaluate(X).energy
    e = model.evaluate(START).energy
    assert "members +" in model.update(START) and model.membership
    assert model.evaluate(START).energy == pytest.approx(e, abs=1e-12)


def test_a_core_that_grows_too_large_is_an_error_or_stays_as_it_is():
    with pytest.raises(MultiscaleError, match="more than max_atoms = 5"):
        following(max_atoms=5)
    wide = X * [1.1, 1, 1]
    with pytest.raises(MultiscaleError, match="a cluster of 96 atoms, more than max_atoms = 40"):
        following(max_atoms=40).update(wide)
    model = following(max_atoms=40, crowded="keep")
    members = model.membership
    assert "kept: 96 would be more" in model.update(wide) and model.update(wide) == ""
    assert model.membership == members and len(model.changes) == 1


def test_bad_settings_are_refused():
    with pytest.raises(MultiscaleError, match="0 ≤ inner < outer"):
        Follow(built(), strained, START, inner=5.0, outer=5.0)
    with pytest.raises(MultiscaleError, match="'error' or 'keep'"):
        following(crowded="maybe")

    def other(q, members):
        return moving().model(EnergyBlend())

    with pytest.raises(MultiscaleError, match="model of 65 shared dofs, but there are 96"):
        Follow(other, strained, START, inner=3.0, outer=5.0)


def test_relaxation_restarts_where_members_change():
    """The last walk minimises the energy of the last members; no memory of another energy is left."""
    place = [40.0]
    model = following(core=lambda q: around(q, place[0] + 40 * (q[:, 0] - X[:, 0]).max()), q=X)
    start = X + 0.15 * np.sin(np.arange(N) / 3.0)[:, None] * [1, 0, 0]
    steps = list(relax(model, start, fmax=1e-8))
    assert steps[-1].converged and any(s.event for s in steps)
    assert all(not s.converged for s in steps if s.event)
    fixed = following(core=lambda q: around(q, place[0]), q=X)
    fixed.restore(model.snapshot())
    assert np.abs(fixed.evaluate(steps[-1].q).forces).max() <= 1e-8
    index = [s.index for s in steps]
    assert index == sorted(index)
    # Of one function, if asked for.
    held = following(core=lambda q: around(q, place[0] + 40 * (q[:, 0] - X[:, 0]).max()), q=X)
    members = held.membership
    assert list(relax(held, start, fmax=1e-8, follow=False))[-1].converged and held.membership == members


class Forceful:
    """The plain model, which has lost its energy."""

    def __init__(self, q):
        self._inner = plain(q)

    def __getattr__(self, name):
        return getattr(self._inner, name)

    def evaluate(self, q):
        return replace(self._inner.evaluate(q), energy=None, parts={})


def test_relaxation_asks_anew_whether_there_is_an_energy():
    """After a change to a model without an energy the walk is that of such a model from there on; the other way round too."""
    strain = 0.15 * np.sin(np.arange(N) / 3.0)[:, None] * [1, 0, 0]
    for first, then in ((built(), Forceful), (lambda q, members: Forceful(q), plain)):
        model = Follow(first, lambda q: around(q, 40.0) & (np.abs(q - X).max() > 0.14), X + strain,
                       inner=3.5 * A, outer=6.5 * A, empty=then)  # fmt: skip
        steps = list(relax(model, X + strain, fmax=1e-8))
        (change,) = [k for k, s in enumerate(steps) if s.event]
        alone = list(relax(then(X), steps[change].q, fmax=1e-8))
        assert len(alone) > 3 and steps[-1].converged
        assert (steps[-1].energy is None) == (then is Forceful) != (steps[0].energy is None)
        assert all(np.array_equal(a.q, b.q) for a, b in zip(steps[change + 1 :], alone[1:], strict=True))


def test_an_energy_that_vanishes_on_the_way_is_an_error():
    class Vanishing(Forceful):
        def evaluate(self, q):
            return self._inner.evaluate(q) if np.array_equal(q, START) else super().evaluate(q)

    with pytest.raises(MultiscaleError, match="gave an energy and then none"):
        list(relax(Vanishing(X), START))


def corrected(q, members):
    return HybridModel(built()(q, members).interface, GhostCorrected(inner=Subtractive()))


def test_new_members_are_prepared_where_the_old_ones_were():
    """At the state of the preparation the corrected forces are those of the cheaper model alone, whoever the members are."""
    place = [40.0]

    def fresh():
        return Follow(corrected, lambda q: around(q, place[0]), X, inner=3.5 * A, outer=6.5 * A)

    model, predicted = fresh(), X * 1.02
    want = plain(X).evaluate(predicted).forces
    unprepared = model.evaluate(predicted).forces
    model.prepare(predicted)
    kept = model.snapshot()
    place[0] = 44.0
    assert model.update(START)
    assert np.abs(model.evaluate(predicted).forces - want).max() < 1e-12 < 1e-2 < np.abs(unprepared - want).max()
    # Anew from a snapshot; a state before the change; with the same members prepared elsewhere; and never prepared.
    again = fresh()
    again.restore(model.snapshot())
    assert np.array_equal(again.evaluate(START).forces, model.evaluate(START).forces)
    again.restore(kept)
    assert 33 in again.membership and np.abs(again.evaluate(predicted).forces - want).max() < 1e-12
    again.prepare(X)
    again.restore(kept)
    assert np.abs(again.evaluate(predicted).forces - want).max() < 1e-12
    place[0] = 40.0
    again = fresh()
    never = again.snapshot()
    again.prepare(predicted)
    again.restore(never)
    assert np.array_equal(again.evaluate(predicted).forces, unprepared)


def test_relaxation_that_goes_round_in_circles_ends():
    turn = [0]

    def restless(q):
        turn[0] += 1
        return around(q, 30.0 + 30.0 * (turn[0] % 2))

    with pytest.raises(MultiscaleError, match="changed its members 21 times"):
        list(relax(following(core=restless, q=X), START, fmax=1e-12))


def test_a_rejected_load_step_takes_its_members_back():
    """A trial that is halved leaves no trace in the members or the booked energy."""
    seen = []

    class Observed(Follow):
        def restore(self, state):
            super().restore(state)
            seen.append(self.membership)

    fixed = np.zeros(N, dtype=bool)
    fixed[[0, 1, -2, -1]] = True

    def build(q, members):
        place = select(members, N)
        regions = {
            "all": ChainRegion(X, LOW),
            "qm": (ChainRegion(X[members], HIGH), place),
            "ml_qm": (ChainRegion(X[members], LOW), place),
        }
        return HybridModel(Interface(X, regions, Nested([], rest="all"), fixed), Subtractive())

    model = Observed(build, lambda q: around(q, 40.0 + 400 * (q[-1, 0] / X[-1, 0] - 1.0)), X, inner=3.0, outer=6.0)
    steps = list(
        raise_load(
            model, X, lambda q, a, b: q * (b / a), start=1.0, stop=1.04, step=0.04, resolution=0.02, fmax=1e-6,
            event=lambda q: "far" if q[-1, 0] > 1.03 * X[-1, 0] else "",
        )
    )  # fmt: skip
    assert [round(s.load, 3) for s in steps] == [1.0, 1.02, 1.04]
    assert len(seen) == 1 and 40 in seen[0] and model.changes


def test_its_ledger_adds_up_and_its_report_is_the_present_models(tmp_path):
    """What is booked is a row; times and calls are those since the members were chosen; a case can report it by name."""
    model = following()
    steps = trajectory(model, steps=150)
    q = steps[-1].q
    ledger, e = model.ledger(q), model.evaluate(q)
    rows = {row.region: row for row in ledger.rows}
    assert model.changes and rows["booked"].energy == model.booked != 0.0
    assert ledger.energy == e.energy and sum(row.energy for row in ledger.rows) == pytest.approx(e.energy, abs=1e-11)
    assert ledger.matter == pytest.approx(N, abs=1e-9) and ledger.coverage == pytest.approx((1.0, 1.0), abs=1e-12)
    found = model.report()
    assert found.evaluations == model.model.evaluations < model.evaluations
    assert {row.region: row.calls for row in found.regions}["qm"] == found.evaluations
    run = Run("followed", "small", {}, tmp_path, World(), silent=True)
    run.report(model, "followed")
    run.report_all(model)
    assert list(run.finish()["reports"]) == ["followed"]


def test_images_of_different_members_do_not_compare():
    a, b = following(), following(core=lambda q: around(q, 60.0), q=X)
    agree([a, following()])
    with pytest.raises(MultiscaleError, match="images 0 and 1 are described by clusters of different members"):
        agree([a, b])
    there = following()
    there.update(trajectory(following())[-1].q)
    back = following()
    back.restore({**there.snapshot(), "follow_members": back.snapshot()["follow_members"]})
    with pytest.raises(MultiscaleError, match="booked energies that differ"):
        agree([a, back])
    agree([plain(X), plain(X)])


def test_as_an_ase_calculator():
    """One function by default, which refuses positions that its members do not fit; dynamics may follow."""
    ase = pytest.importorskip("ase")
    from multiscale.calculator import HybridCalculator

    far = trajectory(following())[-1].q
    atoms = ase.Atoms(f"H{N}", positions=START)
    atoms.calc = HybridCalculator(following())
    assert atoms.get_potential_energy() == pytest.approx(following().evaluate(START).energy)
    atoms.positions = far
    with pytest.raises(MultiscaleError, match="too close to the border of its cluster"):
        atoms.get_potential_energy()
    model = following()
    atoms.calc = HybridCalculator(model, follow=True)
    held = atoms.get_potential_energy()
    assert model.changes and model.fits(far)
    assert model.evaluate(far).energy == pytest.approx(held, abs=1e-11)


def test_it_does_not_depend_on_the_number_of_ranks():
    alone = trajectory(following(), steps=120)[-1]

    def work(world):
        model = following(ranks=Ranks(world=world))
        last = trajectory(model, steps=120)[-1]
        return last.q, last.energy, model.membership, model.booked

    for size in (2, 3):
        answers = on_ranks(size, work)
        for q, energy, members, booked in answers:
            assert np.array_equal(q, answers[0][0]) and (members, booked) == answers[0][2:]
            assert np.abs(q - alone.q).max() < 1e-12 and energy == pytest.approx(alone.energy, rel=1e-13)


def test_one_rank_decides_about_the_members():
    """Ranks whose distances fall on either side of ``inner`` and ``outer`` have the same members and agree whether these fit."""

    def work(world):
        q, place, ranks = X * (1.0 + 1e-9 * world.rank), [40], Ranks(world=world)
        # On rank 0 alone the sixth neighbour is within ``outer``, and the fourth, where the core has come to, within ``inner``.
        model = Follow(
            built(ranks), lambda q: np.arange(N) == place[0], q, inner=4 * A + 1e-9, outer=6 * A + 1e-9, ranks=ranks
        )
        first = model.membership
        place[0] = 43
        return first, model.buffer(q), model.fits(q), model.update(q), model.membership

    alone = on_ranks(1, work)[0]
    assert [len(alone[k]) for k in (0, 4)] == [13, 13] and not alone[2] and alone[3]
    assert on_ranks(3, work) == [alone] * 3


def test_methods_without_an_energy_follow_without_booking():
    def build(q, members):
        regions = {"all": ChainRegion(X, LOW), "qm": (ChainRegion(X[members], HIGH), select(members, N))}
        core = Sphere(tuple(q[members].mean(axis=0)), 2.0 * A)
        return HybridModel(
            Interface(X, regions, Nested([], rest="all"), overlays={"qm": Overlay(core)}), ForceMixing(high="qm")
        )

    model = Follow(build, strained, START, inner=3.5 * A, outer=6.5 * A)
    steps = trajectory(model, steps=200)
    assert steps[-1].energy is None and model.changes and model.booked == 0.0
    assert all(c.jump is None for c in model.changes)
    ledger = model.ledger(START)
    assert ledger.energy is None and "booked" not in {row.region for row in ledger.rows}


def test_the_members_of_a_ring_are_found_across_its_ends():
    cell = np.diag([N * A, 50.0, 50.0])
    model = following(core=lambda q: np.arange(N) == 0, q=X, cell=cell, pbc=(True, False, False))
    assert model.membership == tuple(sorted([*range(7), *range(N - 6, N)]))
    assert Within(SmoothUnion((0,), 2.5 * A))(X).sum() == 3
    assert not [1 for a, b in pairwise(model.membership) if a >= b]


def test_watch_says_when_a_zone_has_shrunk_to_nothing():
    problem = moving()
    model = problem.model(EnergyBlend())
    q = model.interface.reference.copy()
    region = model.interface.partition.levels[0][0]
    away = q.copy()
    away[-1, 0] += 1e4
    there = list(relax(model, q, max_steps=0))
    gone = list(relax(model, away, max_steps=0))
    assert [s.event for s in watch(there, model, region)] == [""]
    with pytest.raises(MultiscaleError, match=f"'{region}' counts no atom any more at step 0"):
        list(watch(gone, model, region))
    events = [s.event for s in watch([*there, *gone, *gone, *there], model, region, empty="log")]
    assert "go on alone" in events[1] and events[2] == "" and "is back" in events[3]
    with pytest.raises(MultiscaleError, match="watch was given region 'x'"):
        watch(there, model, "x")
