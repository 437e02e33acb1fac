"""Teams of ranks: who works at the same time, who should do what, and where the time went."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from processes import mpi
from sleepy import Atoms, Q, interface

from couplers import EnergyBlend, GhostCorrected, Subtractive
from multiscale import HybridModel, Ranks, registry
from multiscale.case import Case
from multiscale.shares import BUDGET, _improved, _order, _Search, allot, loads, spoken
from multiscale.testing.problems import chain
from multiscale.testing.threads import on_ranks
from multiscale.types import MultiscaleError

pytestmark = pytest.mark.alone

SCRIPT = str(Path(__file__).parent / "mpi" / "team_ranks.py")
launcher = pytest.mark.skipif(shutil.which("mpirun") is None, reason="no mpirun here")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What the script measures on two and on three ranks."""

    def on(ranks):
        done = mpi(ranks, SCRIPT, cwd=tmp_path_factory.mktemp(f"on{ranks}"), timeout=120)
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.splitlines()[-1])

    return {ranks: on(ranks) for ranks in (2, 3)}


# -- at the same time ------------------------------------------------------------------------------------------


@launcher
def test_disjoint_teams_evaluate_at_the_same_time(found):
    """Two regions of 0.3 s: 0.3 s on disjoint ranks, 0.6 s on one; a coupler that asks twice is found out."""
    took = found[2]["side_by_side"]
    assert 0.3 <= took["apart"] < 0.45
    assert took["together"] > 0.6 and took["one by one"] > 0.6
    assert np.ptp(took["energies"]) <= 1e-12 * abs(took["energies"][0])


@launcher
def test_nobody_waits_inside_a_shared_region(found):
    """0.2 s for each rank alone and a region in which both meet: 0.2 s in any order of the question, where others take 0.4 s."""
    took = found[2]["larger_teams_first"]
    assert all(0.2 <= t < 0.3 for t in took["HybridModel"])
    assert min(took["AsAsked"][:2]) > 0.4


def asks(coupler, monkeypatch):
    """How often a coupler asks in one evaluation on the chain."""
    model, calls = chain().model(coupler), []
    inner = model.ask
    monkeypatch.setattr(model, "ask", lambda q, queries: calls.append(list(queries)) or inner(q, queries))
    model.evaluate(model.interface.reference)
    return len(calls)


@pytest.mark.parametrize("name", sorted(registry.couplers()))
def test_every_coupler_asks_once(name, monkeypatch):
    """All regions in one question, also where one method wraps another: what is asked apart is not evaluated side by side."""
    assert asks(registry.coupler(name)(), monkeypatch) == 1


def test_a_coupler_that_asks_twice_is_caught(monkeypatch):
    class Twice(EnergyBlend):
        def evaluate(self, q, interface, ask, prepared):
            super().evaluate(q, interface, ask, prepared)
            return super().evaluate(q, interface, ask, prepared)

    assert asks(Twice(), monkeypatch) == 2 and asks(Subtractive(inner=GhostCorrected()), monkeypatch) == 1


def test_a_stiffness_that_fails_keeps_nobody_waiting():
    """The first region's fails on rank 0; the second one's needs both ranks, and has them."""

    def run(world):
        class Fails(Atoms):
            def stiffness(self, x, weights=None):
                if world.rank == 0:
                    raise ValueError("no luck")
                return super().stiffness(x, weights)

        both = Ranks({"atoms": [0, 1], "fem": [0, 1]}, world)
        model = HybridModel(interface(kinds={"atoms": Fails}), EnergyBlend(), both)
        inner = model.interface.regions["fem"].stiffness

        def together(*a):
            world.barrier()
            return inner(*a)

        model.interface.regions["fem"].stiffness = together
        with pytest.raises(MultiscaleError, match="no luck .rank 0 of 2, assembling the stiffness"):
            model.stiffness(Q)

    on_ranks(2, run)


# -- who should do what ----------------------------------------------------------------------------------------


def brute(regions, size):
    """The least time of the slowest rank, by looking at everything."""
    teams = [t for n in range(1, size + 1) for t in itertools.combinations(range(size), n)]
    options = [teams if divisible else teams[:size] for _, divisible, _ in regions]
    best = np.inf
    for chosen in itertools.product(*options):
        t = np.zeros(size)
        for (w, _, eta), team in zip(regions, chosen, strict=True):
            t[list(team)] += w if len(team) == 1 else w / (len(team) * eta)
        best = min(best, t.max())
    return best


@pytest.mark.parametrize("size", [1, 2, 3])
def test_shares_are_the_best_there_are(size):
    """Within the one per cent by which equal ones may differ; the approximation for many ranks is no better, and not much worse."""
    rng, worst = np.random.default_rng(size), 1.0
    for _ in range(20):
        regions = [(float(w), bool(d), float(e)) for w, d, e in zip(
            rng.uniform(0.1, 3.0, 4), rng.uniform(size=4) < 0.6, rng.uniform(0.6, 1.0, 4), strict=True
        )]  # fmt: skip
        names = "abcd"
        work, divisible, eta = ({n: r[k] for n, r in zip(names, regions, strict=True)} for k in range(3))
        shares, best = allot(work, divisible, size, eta), brute(regions, size)
        slowest = loads(work, shares, size, eta).max()
        assert best * (1 - 1e-12) <= slowest <= 1.01 * best * (1 + 1e-12)
        assert all(divisible[n] or len(shares[n]) == 1 for n in names)
        near = dict(zip(names, _improved(regions, size), strict=True))
        worst = max(worst, loads(work, near, size, eta).max() / best)
    assert 1.0 <= worst < 1.5


def test_equal_shares_are_the_smallest_and_the_first():
    """Two equal regions on two ranks: one each, not both on both; the same whatever order they are named in."""
    even = {"a": True, "b": True}
    assert allot({"a": 1.0, "b": 1.0}, even, 2) == {"a": (0,), "b": (1,)}
    assert allot({"b": 1.0, "a": 1.0}, even, 2) == {"a": (0,), "b": (1,)}
    assert allot({"qm": 9.0, "ml": 1.0, "fem": 0.5}, {"qm": False, "ml": True, "fem": True}, 4) == {
        "qm": (0,), "ml": (1,), "fem": (2,),
    }  # fmt: skip
    assert allot({"a": 1.0}, {"a": True}, 2, {"a": 0.5}) == {"a": (0,)}  # two ranks at half the pace are no gain


def test_many_ranks_are_shared_out_without_looking_at_everything():
    """A quantum cluster as long as the rest on 31 ranks; and one so long that it decides alone."""
    divisible = {"qm": False, "ml": True, "fem": True, "low": True}
    work = {"qm": 1.0, "ml": 25.0, "fem": 5.0, "low": 1.0}
    eta = dict.fromkeys(work, 1.0)
    shares = allot(work, divisible, 32)
    regions = sorted(((w, divisible[n], 1.0) for n, w in work.items()), key=lambda r: (r[1], -r[0]))
    assert _Search(regions, 32).best() is None, f"not beyond {BUDGET} any more"
    assert loads(work, shares, 32, eta).max() <= 1.05 * sum(work.values()) / 32
    assert loads(work | {"qm": 40.0}, allot(work | {"qm": 40.0}, divisible, 32), 32, eta).max() == 40.0
    assert allot(work, divisible, 32) == shares


def test_order_prefers_fewer_memberships_then_even_times():
    assert _order(((0,), (1,)), (1.0, 1.0)) < _order(((0, 1), (1,)), (0.5, 1.0))
    assert _order(((0,), (1,)), (1.0, 1.0)) < _order(((0,), (0,)), (2.0, 0.0))


def test_a_suggestion_of_one_rank():
    """Everything on the one rank there is; what is not asked says so; wrong input is refused."""
    model = HybridModel(interface(atoms=0.005), EnergyBlend())
    found = Ranks.suggest(model, repeats=1)
    assert set(found.shares.values()) == {(0,)} and found.work["qm"] == found.work["ml_qm"] == 0.0
    assert found.work["atoms"] >= 0.005 and sum(found.before) == pytest.approx(sum(found.after))
    assert "not asked" in str(found) and "nothing to gain" in str(found) and model.evaluations == 2
    again = HybridModel(interface(), EnergyBlend(), found.ranks())
    assert again.evaluate(Q).energy == pytest.approx(model.evaluate(Q).energy, rel=1e-14)
    with pytest.raises(MultiscaleError, match="efficiency 1.5 of region 'atoms'"):
        Ranks.suggest(model, efficiency={"atoms": 1.5})
    with pytest.raises(MultiscaleError, match="efficiency 0.5 of region 'ml'"):
        Ranks.suggest(model, efficiency={"ml": 0.5})
    with pytest.raises(MultiscaleError, match="repeats=0"):
        Ranks.suggest(model, repeats=0)


@launcher
@pytest.mark.parametrize("ranks", [2, 3])
def test_a_suggestion_is_faster_and_changes_no_energy(found, ranks):
    """From everything on rank 0 (125 ms) to the best there is (65 and 60 ms), as expected; the same proposal on every rank."""
    s = found[ranks]["suggestion"]
    assert s["same"] and len(s["shares"]["qm"]) == 1 and s["shares"]["atoms"] != s["shares"]["qm"]
    assert s["shares"]["fem"] == ([1] if ranks == 2 else [2])
    assert s["before"] == pytest.approx(0.125, rel=0.25)
    assert s["after"] == pytest.approx({2: 0.065, 3: 0.06}[ranks], rel=0.25)
    assert s["wall"][1] < 0.75 * s["wall"][0]
    alone = HybridModel(interface(), Subtractive()).evaluate(Q).energy
    assert s["energies"] == pytest.approx([alone, alone], rel=1e-12)
    assert s["again"] == s["shares"]
    assert "one rank at a time" in s["text"] and "ms expected" in s["text"]


# -- where the time went ---------------------------------------------------------------------------------------


@launcher
@pytest.mark.parametrize("ranks", [2, 3])
def test_the_report_says_who_waits(found, ranks):
    """60 ms on rank 0 and 20 ms on rank 1, five times: rank 1 waits 0.2 s, rank 0 nothing to speak of; all ranks say the same."""
    r = found[ranks]["report"]
    rows = {row["region"]: row for row in r["report"]["regions"]}
    waiting = {tuple(t["ranks"]): t["waiting"]["mean"] for t in r["report"]["teams"]}
    assert r["same"] and rows["atoms"]["calls"] == 5 == rows["fem"]["calls"] and rows["qm"]["calls"] == 0
    assert rows["atoms"]["seconds"]["mean"] / 5 == pytest.approx(0.06, rel=0.5)
    assert waiting[1,] - waiting[0,] == pytest.approx(0.2, rel=0.3)
    wall = r["report"]["wall"]["most"]
    assert all(0.0 <= rest < 0.2 * wall for rest in r["rest"])
    assert "not asked: qm, ml_qm" in r["text"] and "waiting, s" in r["text"]


def test_a_serial_report_adds_up():
    """Regions, stiffness and the rest make up the time in the model; nothing waits; what regions count is shown."""

    class Counts(Atoms):
        def counters(self):
            return {"neighbour lists built": 3.0, "exchange seconds": 0.25}

    model = HybridModel(interface(atoms=0.01, kinds={"atoms": Counts}), GhostCorrected())
    for _ in range(3):
        model.evaluate(Q)
    model.stiffness(Q)
    r = model.report()
    own = sum(row.seconds.mean for row in r.regions)
    assert r.wall.mean == pytest.approx(
        own + r.waiting.mean + r.summing.mean + r.assembling.mean + r.rest.mean, rel=1e-9
    )
    assert r.summing.most < 1e-3 > r.waiting.most and 0.0 < r.rest.mean < r.wall.mean - own
    rows = {row.region: row for row in r.regions}
    # Prepared at the reference by two questions, then once per evaluation.
    assert rows["atoms"].calls == 5 and rows["atoms"].seconds.mean >= 0.05 and rows["atoms"].share > 0.5
    assert rows["atoms"].counters["exchange seconds"].most == 0.25 and rows["fem"].counters == {}
    text, again = str(r), model.report()
    assert again.waiting == r.waiting and again.wall == r.wall
    assert "atoms: neighbour lists built 3; exchange 0.250 s" in text and "waiting" not in text
    json.dumps(r.as_dict())


def test_only_the_working_rank_of_a_cluster_counts():
    """On two ranks, one of which does all of it: its time is the region's, not half of it."""

    def run(world):
        ranks = Ranks({"qm": [0, 1]}, world)
        model = HybridModel(interface(qm=0.02), Subtractive(), ranks)
        model.evaluate(Q)
        return {row.region: row for row in model.report().regions}["qm"].seconds.mean

    assert all(mean >= 0.02 for mean in on_ranks(2, run))


def test_a_case_ends_with_the_report(tmp_path, capsys):
    """Of what it built, and of other models that it names; once each."""

    class Timed(Case):
        name = "timed"

        def build(self, run):
            return "text", HybridModel(interface(), EnergyBlend())

        def measure(self, run, built):
            other = HybridModel(interface(), EnergyBlend())
            for model in (built[1], other, other):
                model.evaluate(Q)
            run.report(other, "the other")

    found = Timed().run("small", tmp_path)
    assert json.loads((tmp_path / "result.json").read_text()) == found
    assert {name: r["evaluations"] for name, r in found["reports"].items()} == {"the other": 2, "model": 1}
    assert found["reports"]["model"]["regions"][1]["region"] == "atoms"
    said = capsys.readouterr().out
    assert said.count("ms each, mean") == 2 and "the other: " in said


def test_ranks_as_text():
    assert [spoken(r) for r in ((0,), (2, 0, 1), (5, 0, 1, 2, 7))] == ["0", "0-2", "0-2, 5, 7"]
