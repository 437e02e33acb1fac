"""Cases: what is recorded, judged, shown and left on disk."""

import json

import numpy as np
import pytest

from multiscale.case import Case
from multiscale.expect import Expect, from_reference
from multiscale.output import write_json
from multiscale.types import MultiscaleError


class Third(Case):
    """A third, recorded."""

    name = "third"
    sizes = {"small": {"n": 3, "fast": True}, "full": {"n": 4, "fast": True}}
    expectations = (
        Expect("fraction", 1 / 3, tolerance=1e-12, source="arithmetic", unit="Å", sizes=("small",)),
        Expect("ratio", 1.05, source="design", kind="at most"),
    )
    citations = ("doi:10.1000/a",)

    def build(self, run):
        return run.settings["n"]

    def measure(self, run, model):
        run.record("fraction", np.float64(1) / model)
        run.record("ratio", 1.0)
        run.record("steps", [s for s in run.follow(range(3), "load")])
        run.timings({"qm": 0.5})
        run.timings({"qm": 0.25})
        run.cite("doi:10.1000/a", "doi:10.1000/b")
        run.write_atoms("atoms.extxyz", ["Ar"], np.zeros((1, 3)))
        return {"fraction": 1 / model}

    def plot(self, run, data):
        (run.out / "figure.txt").write_text(str(data["fraction"]))


def test_the_record(tmp_path, capsys):
    found = Third().run("small", tmp_path)
    assert json.loads((tmp_path / "result.json").read_text()) == found
    assert list(found) == [
        "case", "size", "status", "ranks", "devices", "versions", "quantities", "timings", "memory_MiB", "citations",
    ]  # fmt: skip
    assert (found["case"], found["size"], found["status"], found["ranks"]) == ("third", "small", "done", 1)
    assert found["quantities"]["fraction"] == {
        "value": 1 / 3, "unit": "Å", "expected": 1 / 3, "tolerance": 1e-12, "source": "arithmetic", "ok": True,
    }  # fmt: skip
    assert found["quantities"]["ratio"]["ok"] and found["quantities"]["steps"]["ok"] is None
    assert found["timings"]["qm"] == 0.75 and found["timings"]["total"] > 0
    assert found["citations"] == ["doi:10.1000/a", "doi:10.1000/b"]
    assert 10 < found["memory_MiB"] < 1e5 and found["versions"]["numpy"] == np.__version__
    assert (tmp_path / "figure.txt").exists() and (tmp_path / "atoms.extxyz").exists()
    said = capsys.readouterr().out
    for text in ("load: 2", "quantity", "measured", "expected", "source", "0.333333 Å", "≤ 1.05", "✓"):
        assert text in said


def test_exit_status(tmp_path, capsys, monkeypatch):
    class Wrong(Third):
        expectations = (Expect("fraction", 0.5, tolerance=1e-3, source="a mistake"),)

    for case, argv, code in ((Third, [], 0), (Wrong, [], 1), (Third, ["--size", "none"], 2), (Third, ["--help"], 0)):
        with pytest.raises(SystemExit) as status:
            case().main([*argv, "--out", str(tmp_path)])
        assert status.value.code == code, (case, argv)
    assert "✗" in capsys.readouterr().out


def test_settings_on_the_command_line_are_not_judged(tmp_path):
    with pytest.raises(SystemExit) as status:
        Third().main(["--n", "7", "--no-fast", "--out", str(tmp_path)])
    found = json.loads((tmp_path / "result.json").read_text())
    assert status.value.code == 0 and found["size"] == "small, n=7, fast=False"
    assert found["quantities"]["fraction"]["value"] == 1 / 7 and found["quantities"]["fraction"]["ok"] is None


def test_what_was_expected_but_not_measured_is_missed(tmp_path):
    class Forgetful(Third):
        expectations = (Expect("forgotten", 1.0, tolerance=1.0, source="memory"),)

    assert Forgetful().run("small", tmp_path, silent=True)["quantities"]["forgotten"]["ok"] is False


def test_quantities_survive_an_interruption(tmp_path):
    class Breaks(Third):
        def measure(self, run, model):
            run.record("fraction", 1 / model)
            assert json.loads((tmp_path / "result.json").read_text())["status"] == "running"
            raise RuntimeError

    with pytest.raises(RuntimeError):
        Breaks().run("small", tmp_path, silent=True)
    assert json.loads((tmp_path / "result.json").read_text())["quantities"]["fraction"]["ok"]


def test_a_benchmark_is_not_judged_at_tiny_size(tmp_path):
    class Bench(Third):
        benchmark = True
        sizes = {"tiny": {"n": 9}, "full": {"n": 4}}
        expectations = (Expect("ratio", 0.5, source="design", kind="at most"),)

    assert Bench().run("tiny", tmp_path, silent=True)["quantities"]["ratio"]["ok"] is None
    assert Bench().run("full", tmp_path, silent=True)["quantities"]["ratio"]["ok"] is False


def test_unknown_sizes_and_settings_are_refused(tmp_path):
    with pytest.raises(MultiscaleError, match="no size 'huge'; choose from small, full"):
        Third().run("huge", tmp_path)
    with pytest.raises(MultiscaleError, match="no setting 'm'; it has n, fast"):
        Third().run("small", tmp_path, m=1)


@pytest.mark.parametrize(
    ("expect", "good", "bad"),
    [
        (Expect("x", 2.0, tolerance=0.1, source="s"), (2.0, 2.0999, 1.9001), (2.11, 1.89, float("nan"), None, [2.0])),
        (Expect("x", 200.0, tolerance=0.01, relative=True, source="s"), (201.9, 198.1), (202.1,)),
        (Expect("x", -200.0, tolerance=0.01, relative=True, source="s"), (-201.9,), (-202.1, 200.0)),
        (Expect("x", 1.05, kind="at most", source="s"), (1.05, 0.1), (1.06, float("nan"), float("inf"))),
        (Expect("x", 3.0, kind="at least", source="s"), (3.0, 9.0), (2.9, float("-inf"))),
        (Expect("x", [1.0, 2.0], tolerance=0.1, source="s"), ([1.05, 1.95],), ([1.2, 2.0], [1.0], 1.0)),
        (Expect("x", "bond 3", source="s"), ("bond 3",), ("bond 4", 3, None)),
        (Expect("x", 4, source="s"), (4,), (5,)),
    ],
)
def test_verdicts(expect, good, bad):
    assert [expect.met(v) for v in good] == [True] * len(good)
    assert [expect.met(v) for v in bad] == [False] * len(bad)


@pytest.mark.parametrize("tolerance", [float("inf"), float("nan"), -1.0])
def test_a_tolerance_that_cannot_fail_is_refused(tolerance):
    with pytest.raises(MultiscaleError, match="must be finite"):
        Expect("x", 1.0, tolerance=tolerance, source="s")


def test_an_expectation_needs_a_source():
    with pytest.raises(MultiscaleError, match="has no source"):
        Expect("x", 1.0)


def test_reference_files(tmp_path):
    path = tmp_path / "reference.json"
    quantities = {"K": {"value": 0.65, "tolerance": 0.01, "unit": "MPa√m", "sizes": ["small"]}}
    write_json(path, {"made_by": "an all-atom run", "quantities": quantities})
    source = "reference.json: an all-atom run"
    assert from_reference(path) == (Expect("K", 0.65, 0.01, source, "MPa√m", sizes=("small",)),)
    by_size = [
        {"value": 1.0, "tolerance": 0.1, "sizes": ["small"]},
        {"value": 1.1, "tolerance": 0.1, "sizes": ["full"]},
    ]
    path.write_text(json.dumps({"made_by": "hand", "quantities": {"K": by_size}}))
    assert [(e.value, e.sizes) for e in from_reference(path)] == [(1.0, ("small",)), (1.1, ("full",))]
    write_json(path, {"quantities": quantities})
    with pytest.raises(MultiscaleError, match="needs 'made_by'"):
        from_reference(path)
