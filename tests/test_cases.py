"""The cases of this repository: they run through, and measure what they expect."""

import json

import pytest
from processes import ROOT

from multiscale import catalogue

pytest.importorskip("matplotlib")
CARDS = catalogue.cards([ROOT / "cases"])
BENCHMARKS = sorted(name for name, card in CARDS.items() if card.benchmark)


def test_ghost_force(tmp_path):
    found = catalogue.load(CARDS["ghost_force"].script).run("small", tmp_path, silent=True)
    assert [name for name, q in found["quantities"].items() if q["ok"] is False] == []
    assert sum(q["ok"] is True for q in found["quantities"].values()) >= 19
    assert (tmp_path / "ghost_force.png").stat().st_size > 10_000


@pytest.mark.parametrize("name", BENCHMARKS)
def test_benchmarks_run_through(name, tmp_path):
    pytest.importorskip("multiscale.continuum.laws", exc_type=ImportError)  # needs DOLFINx
    catalogue.load(CARDS[name].script).run("tiny", tmp_path, silent=True)
    assert json.loads((tmp_path / "result.json").read_text())["status"] == "done"
    assert (tmp_path / f"{name}.png").exists()
