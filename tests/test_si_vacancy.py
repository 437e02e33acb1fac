"""The case si_vacancy: its hosts, and the two forms of its mixed energy on a small one."""

import sys

import numpy as np
import pytest
from processes import ROOT

pytest.importorskip("mace")
pytest.importorskip("dxtb")


@pytest.fixture(scope="module")
def parts():
    sys.path.insert(0, str(ROOT / "cases" / "si_vacancy"))
    try:
        import describe
        import host

        from multiscale.models import default_potential
        from multiscale.regions import MLRegion
        from multiscale.regions.tight_binding import TightBindingRegion
    finally:
        sys.path.pop(0)
    potential = default_potential()
    cheap = lambda atoms, links: MLRegion(potential, atoms, link_atoms=links)  # noqa: E731
    dear = lambda atoms, links: TightBindingRegion(atoms, link_atoms=links)  # noqa: E731
    return host.Host(5.43, 2), describe, cheap, dear


def test_the_mirrored_vacancy_is_the_same_state(parts):
    host, describe, cheap, _ = parts
    model = describe.alone(host, True, cheap)
    q = np.delete(host.perfect.positions, host.gone, axis=0)
    q = q + np.random.default_rng(0).normal(0, 0.05, q.shape)
    there, back = host.mirrored(q), host.mirrored(host.mirrored(q))
    assert back == pytest.approx(q, abs=1e-12)
    assert np.abs(there - q).max() > 1.0
    assert model.evaluate(there).energy == pytest.approx(model.evaluate(q).energy, abs=1e-8)


def test_weights_of_one_everywhere_are_the_sharp_form(parts):
    """A core that holds the whole cluster, caps included: E_ML(all) + E_QM − E_ML to round-off, and its forces."""
    host, describe, cheap, dear = parts
    q = host.perfect.positions + np.random.default_rng(1).normal(0, 0.03, host.perfect.positions.shape)
    sharp = describe.mixed(host, False, dear, cheap, 1, 0.0, 0.0).evaluate(q)
    smooth = describe.mixed(host, False, dear, cheap, 1, 12.0, 2.0).evaluate(q)
    assert smooth.energy == pytest.approx(sharp.energy, abs=1e-7)
    assert smooth.forces == pytest.approx(sharp.forces, abs=1e-7)


@pytest.mark.parametrize("zone", [0.0, 2.0])
def test_the_mixed_force_is_the_gradient(parts, zone):
    host, describe, cheap, dear = parts
    model = describe.mixed(host, False, dear, cheap, 1, 2.6, zone)
    q = host.perfect.positions + np.random.default_rng(2).normal(0, 0.03, host.perfect.positions.shape)
    # Along a direction that moves the cluster, its caps' outer ends and the rest.
    d = np.random.default_rng(3).normal(size=q.shape)
    h = 1e-4
    difference = (model.evaluate(q - h * d).energy - model.evaluate(q + h * d).energy) / (2.0 * h)
    assert float(np.sum(model.evaluate(q).forces * d)) == pytest.approx(difference, abs=2e-5)


def test_settings_are_looked_at_before_anything_is_calculated(tmp_path):
    from multiscale import catalogue
    from multiscale.types import MultiscaleError

    case = catalogue.load(catalogue.cards([ROOT / "cases"])["si_vacancy"].script)
    for wrong, what in (
        ({"zones": "2"}, "zone 0"),
        ({"host": 4}, "no stored"),
        ({"clusters": "x"}, "numbers separated"),
    ):
        with pytest.raises(MultiscaleError, match=what):
            case.run("small", tmp_path, silent=True, **wrong)
