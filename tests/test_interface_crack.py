"""Laws of interfaces for meshed bodies, and arms of a crystal that they join."""

import sys

import numpy as np
import pytest
from processes import ROOT

from multiscale import catalogue

pytest.importorskip("torch")
from multiscale.adhesion.curve import MeasuredCurve  # noqa: E402
from multiscale.adhesion.excess import ExcessCurve, steepest  # noqa: E402
from multiscale.adhesion.fits import ParkPaulinoRoesler  # noqa: E402
from multiscale.adhesion.law import extract  # noqa: E402
from multiscale.adhesion.slabs import Slabs  # noqa: E402
from multiscale.continuum.cohesive_laws import Reversible  # noqa: E402
from multiscale.continuum.traction import Exponential  # noqa: E402
from multiscale.models import StillingerWeber, Tersoff  # noqa: E402
from multiscale.regions.ml import MLRegion  # noqa: E402
from multiscale.types import MultiscaleError  # noqa: E402

CARDS = catalogue.cards([ROOT / "cases"])


def measured(model, a):
    slabs = Slabs.of("Si", a)
    return extract(MLRegion(model, slabs.atoms), slabs, {}, opened=5.0).curve


@pytest.fixture(scope="module")
def sw():
    return measured(StillingerWeber(), 5.43095)


# -- excess laws ------------------------------------------------------------------------------------------------


def curves(sw):
    return (
        ExcessCurve(sw, 50.0),
        ExcessCurve(sw, 3.0, crystal=4.0 * sw.stiffness),
        ExcessCurve(Exponential(0.2, 0.17), 20.0),
        ExcessCurve(ParkPaulinoRoesler(0.2, 0.15, 3.0, 0.2), 20.0),
    )


def test_excess_laws_are_potentials_with_the_work_and_the_strength_of_the_rigid_ones(sw):
    """T = dφ/dδ′ and its slope against differences, pressed too; ∫T dδ′ = W by a rule of its own, to 1e-10."""
    for c in curves(sw):
        last = 12.0 * c.toughness / c.strength
        x, h = np.random.default_rng(0).uniform(-0.05, 3.0, 200), 1e-6
        assert c.traction(x) == pytest.approx((c.energy(x + h) - c.energy(x - h)) / (2 * h), abs=2e-8)
        bend = (c.traction(x + h) - c.traction(x - h)) / (2 * h)
        assert c.slope(x) == pytest.approx(bend, abs=1e-4 * c.stiffness)
        # Substituted: ∫T(δ) (1 − κT′) dδ by Gauss points between the knots of the spline.
        rigid = c.rigid
        knots = (
            rigid.openings[rigid.openings > 0] if isinstance(rigid, MeasuredCurve) else np.linspace(0, 40.0, 400)[1:]
        )
        knots = np.unique(np.concatenate([[0.0], knots, [getattr(rigid, "final", knots[-1])]]))
        p, w = np.polynomial.legendre.leggauss(12)
        half = 0.5 * np.diff(knots)[:, None]
        d = knots[:-1, None] + half * (1.0 + p)
        work = float((half * w * rigid.traction(d) * (1.0 - c.taken * rigid.slope(d))).sum())
        assert work == pytest.approx(c.toughness, rel=1e-10) and c.toughness == rigid.toughness
        assert float(c.energy(np.array([last * 10.0]))[0]) == pytest.approx(rigid.toughness, rel=1e-12)
        fine = np.linspace(0.0, last, 8_001)
        assert c.traction(fine).max() == pytest.approx(rigid.strength, rel=1e-5) and c.strength == rigid.strength
        assert float(c.slope(np.zeros(1))[0]) == pytest.approx(c.stiffness, rel=1e-9)
        assert (np.diff(c.rigid_opening(fine)) > 0).all()


def test_opening_of_a_law_for_meshes_lacks_what_the_mesh_has(sw):
    """A column of height L and its interface in series: L/C′ of a crystal, however stiff; with the rigid law 1/K₀ more."""
    height, modulus, pull = 20.0, 1.1, 1e-6

    def compliance(curve):
        jump = np.array([pull / curve.stiffness])
        for _ in range(3):
            jump -= (curve.traction(jump) - pull) / curve.slope(jump)
        return height / modulus + float(jump[0]) / pull

    k0 = sw.stiffness
    assert compliance(sw) == pytest.approx(height / modulus + 1 / k0, rel=1e-6)
    for ratio in (20.0, 100.0):
        assert compliance(ExcessCurve(sw, ratio)) == pytest.approx(height / modulus + 1 / (ratio * k0), rel=1e-6)
    # An interface that is weaker than a plane of the crystal: what it adds is the difference of the two.
    assert compliance(ExcessCurve(sw, 50.0, crystal=4.0 * k0)) == pytest.approx(height / modulus + 0.75 / k0, rel=1e-6)


def test_a_law_that_is_steeper_than_the_springs_of_the_mesh_is_refused(sw):
    """Tersoff's cutoff: tractions rise eleven times as fast as where closed. Weakened, the interface has a law."""
    curve = measured(Tersoff(), 5.432)
    slope, at = steepest(curve)
    assert slope / curve.stiffness == pytest.approx(10.65, abs=0.05) and 0.3 < at < 0.4
    with pytest.raises(MultiscaleError, match="no useful one exists: take the rigid law itself"):
        ExcessCurve(curve, 20.0)
    weak = MeasuredCurve(curve.openings, 0.02 * curve.tractions, 0.02 * curve.energies)
    assert ExcessCurve(weak, 50.0, curve.stiffness).toughness == pytest.approx(0.02 * curve.toughness)
    # A little steeper than where closed: up to a ratio there is one.
    x = np.linspace(-0.3, 4.0, 400)
    t = x * (1.0 + 2.0 * x) * np.exp(-((x / 0.5) ** 2))
    bent = MeasuredCurve(x, np.where(np.abs(t) < 1e-12, 0.0, t))
    slope, _ = steepest(bent)
    most = slope / (slope - bent.stiffness)
    assert slope > 1.001 * bent.stiffness and most > 2.0
    with pytest.raises(MultiscaleError, match=f"it exists up to ratio = {most:.3g}"):
        ExcessCurve(bent, 1.05 * most)
    assert ExcessCurve(bent, 0.95 * most).strength == bent.strength
    for wrong in ({"ratio": 1.0}, {"crystal": 0.0}):
        with pytest.raises(MultiscaleError, match="ratio > 1 and a positive stiffness"):
            ExcessCurve(sw, **wrong)


def test_excess_law_with_directions(sw):
    """In a cohesive law, sliding and pressing included."""
    law, rng, h = Reversible(ExcessCurve(sw, 20.0), 0.7), np.random.default_rng(1), 1e-6
    d, past = rng.normal(0.0, [0.5, 0.5], (60, 2)), np.zeros(60)
    d[:, 0] = np.abs(d[:, 0]) - 0.02
    t, D = law.traction(d, past), law.tangent(d, past)
    for i in range(2):
        e = h * np.eye(2)[i]
        assert t[:, i] == pytest.approx((law.energy(d + e, past) - law.energy(d - e, past)) / (2 * h), abs=1e-7)
        bend = (law.traction(d + e, past) - law.traction(d - e, past)) / (2 * h)
        assert D[:, :, i] == pytest.approx(bend, abs=1e-4 * law.curve.stiffness)


# -- the case ---------------------------------------------------------------------------------------------------


def test_interface_crack(tmp_path):
    """Arms of Stillinger–Weber silicon; Tersoff's takes the case's own sizes."""
    pytest.importorskip("multiscale.continuum.laws", exc_type=ImportError)  # needs DOLFINx
    pytest.importorskip("matplotlib")
    case = catalogue.load(CARDS["interface_crack"].script)
    kept = [e for e in case.expected() if e.quantity.startswith("Stillinger-Weber") and "full" not in e.sizes]
    found = case.run("small", tmp_path, silent=True, potentials="Stillinger-Weber")["quantities"]
    assert [e.quantity for e in kept if not e.met(found[e.quantity]["value"])] == [] and len(kept) > 12
    assert (tmp_path / "interface_crack.png").stat().st_size > 10_000


def test_arms_of_a_crystal_refuse_facets_longer_than_a_fifth_of_the_zone(sw):
    pytest.importorskip("multiscale.continuum.laws", exc_type=ImportError)
    arms = sys.modules[type(catalogue.load(CARDS["interface_crack"].script)).__module__]
    C = np.diag([160.0, 160.0, 160.0, 60.0, 60.0, 60.0]) + np.pad(np.full((3, 3), 60.0) - 60.0 * np.eye(3), (0, 3))
    with pytest.raises(MultiscaleError, match="5 are needed; refine the interface"):
        arms.Arms(C, Reversible(ExcessCurve(sw)), arms.Sizes(20.0, 60.0, 4.0, 1.0))
