"""A crack in a strip: its window, what enters and leaves, and the case."""

import numpy as np
import pytest
from processes import ROOT

pytest.importorskip("torch")
pytest.importorskip("multiscale.continuum.laws", exc_type=ImportError)  # needs DOLFINx

from couplers import EnergyBlend
from multiscale import HybridModel, catalogue
from multiscale.drive import relax
from multiscale.fracture.band import BandCrack
from multiscale.fracture.material import CrackMaterial
from multiscale.models import StillingerWeber
from multiscale.types import J_M2_PER_EV_A2, MultiscaleError


@pytest.fixture(scope="module")
def crack():
    return BandCrack(CrackMaterial.of(StillingerWeber(three_body_strength=42.0)), 18, 76.0, 8.0, 5.0)


@pytest.fixture(scope="module")
def model(crack):
    return HybridModel(crack.interface(), EnergyBlend())


def test_moving_window_keeps_what_stays(crack):
    """Every dof but a column's gets the position of the one a period ahead, in the new frame; what enters is the strip far ahead."""
    q = crack.reference + 0.1 * np.sin(np.arange(crack.reference.size)).reshape(-1, 3)
    ahead = crack.at(0.05, (-1e4, 0.0))
    new, v = crack.moved(q, ahead, np.ones_like(q))
    source = crack._shifted(1)
    there = source >= 0
    assert 0 < (~there).sum() == len(q) // crack.columns or (~there).sum() < 1.1 * len(q) / crack.columns
    assert np.allclose(crack.reference[source[there]] - crack.reference[there], [crack.period, 0, 0], atol=1e-9)
    assert np.array_equal(new[there], q[source[there]] - [crack.period, 0.0, 0.0])
    assert np.array_equal(new[~there], ahead[~there])
    assert not v[crack.fixed()].any() and v[~crack.fixed()].any()


def test_uniform_strip_is_in_equilibrium_and_has_the_energy_of_its_strain(crack, model):
    """Small strains: G is the linear theory's; and forces vanish where nothing holds, up to the ends' own."""
    strain = 0.004
    q, G = crack.uniform(model, strain, fmax=1e-6)
    # Of second order in the strain: a third of a per cent of it per per mille is what the potential's anharmonicity makes.
    assert G == pytest.approx(crack.strip.energy_release_rate(strain), rel=0.02)
    assert np.abs(np.where(crack.fixed(), 0.0, model.evaluate(q).forces)).max() < 2e-6


def test_moving_the_window_costs_what_the_crack_took(crack, model):
    """E′ − E = (G − 2γ) P t at rest, within half a per cent of the surface energy; the crack is a period nearer to the window's start."""
    gamma = crack.material.gamma
    strain = crack.strain(1.2 * 2.0 * gamma)
    ahead, G = crack.uniform(model, strain, fmax=1e-5)
    right = crack.fixed().any(axis=1) & (crack.reference[:, 0] > 30.0)
    start = np.where(right[:, None], ahead, crack.at(strain, (-6.0, 0.0)))
    *_, rest = relax(model, start, fmax=1e-4)
    watch, n = crack.watch(), crack.n_free
    new, _ = crack.moved(rest.q, ahead)
    area = crack.period * crack.crystal.period / J_M2_PER_EV_A2
    booked = model.evaluate(new).energy - rest.energy
    assert abs(booked - (G - 2.0 * gamma) * area) < 0.01 * 2.0 * gamma * area
    assert watch.front(new[:n]) == pytest.approx(watch.front(rest.q[:n]) - crack.period, abs=1e-6)
    worst = max(abs(c - 1.0) for c in model.ledger(new).coverage)
    assert worst < 1e-10


def test_strips_without_room_are_refused(crack):
    with pytest.raises(MultiscaleError, match="make the strip higher"):
        BandCrack(crack.material, 30, 40.0)
    with pytest.raises(MultiscaleError, match="columns"):
        BandCrack(crack.material, 8, 90.0)


def test_running_crack(tmp_path):
    """Three fast bond periods at a high load: the case runs through, energy is conserved and the ledger counts once."""
    pytest.importorskip("matplotlib")
    script = catalogue.cards([ROOT / "cases"])["running_crack"].script
    found = catalogue.load(script).run("small", tmp_path, silent=True)["quantities"]
    assert [name for name, q in found.items() if q["ok"] is False] == []
    assert (tmp_path / "running_crack.png").exists() and (tmp_path / "running_crack.gif").exists()
    assert found["G = 3.2·2γ: velocity"]["value"] > 2000.0
