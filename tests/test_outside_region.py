"""The tutorial's region: a package of its own, examined, and coupled to a region like itself."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from outside import EXAMPLES, install, python

from couplers import EnergyBlend
from multiscale import HybridModel, Interface, Nested, Sphere
from multiscale.drive import relax
from multiscale.testing.regions import examine_region


@pytest.fixture
def springs(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES / "outside_region"))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield __import__("spring_network")
    sys.modules.pop("spring_network", None)


def test_it_keeps_the_contract_of_regions(springs):
    results = examine_region(springs.specimen().make)
    assert not [str(r) for r in results if not r.ok]
    assert {r.check for r in results} >= {"forces", "site energies", "stress", "team", "reach", "subsets"}


@pytest.mark.parametrize("fault", ["forces", "site energies", "reach"])
def test_faults_are_found(springs, fault):
    class Faulty(springs.Springs):
        def evaluate(self, x, query):
            a = super().evaluate(x, query)
            if fault == "forces" and a.forces is not None:
                return springs.Answer(a.energy, 1.001 * a.forces, a.site_energies, a.stress)
            if fault == "site energies" and a.site_energies is not None:
                return springs.Answer(a.energy, a.forces, 0.5 * a.site_energies, a.stress)
            return a

    def make():
        like = springs.specimen().make()
        region = Faulty(like.reference, like.k, like.cutoff)
        region.reach = 2.6 if fault == "reach" else region.reach
        return region

    assert fault in {r.check for r in examine_region(make) if not r.ok}


def test_it_is_found_by_its_entry_point(tmp_path):
    path = install("outside_region", tmp_path)
    code = "from multiscale.registry import specimens; print(specimens()['springs'].load()().make().describe())"
    done = python(["-c", code], path)
    assert "Springs with 64 sites" in done.stdout, done.stderr


def test_hard_and_soft_springs_mix_and_relax(springs):
    """Both are at rest in the same state, to which the hybrid returns; every atom is counted once."""
    x = springs.specimen().make().reference
    regions = {"hard": springs.Springs(x, 6.0, 3.6), "soft": springs.Springs(x, 3.0, 3.6)}
    partition = Nested([("hard", Sphere((3.75, 3.75, 3.75), 1.0), 4.0)], rest="soft")
    model = HybridModel(Interface(x, regions, partition), EnergyBlend())
    start = x + np.random.default_rng(0).uniform(-0.05, 0.05, x.shape)
    *_, last = relax(model, start, fmax=1e-5)
    ledger = model.ledger(last.q)
    assert last.converged and last.energy == pytest.approx(0.0, abs=1e-8)
    assert ledger.coverage == pytest.approx((1.0, 1.0), abs=1e-12) and ledger.matter == pytest.approx(64.0)
