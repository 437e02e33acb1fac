"""The vacancy in space: equilibria, errors, silicon's ghost forces and the case itself; and a saboteur for each."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
from processes import ROOT

pytest.importorskip("multiscale.continuum.laws", exc_type=ImportError)  # needs DOLFINx
pytest.importorskip("gmsh", exc_type=(ImportError, OSError))
from couplers import EnergyBlend, ForceBlend, GhostCorrected  # noqa: E402
from multiscale import catalogue  # noqa: E402
from multiscale.embedding import select, slaved, stack  # noqa: E402
from multiscale.types import MultiscaleError  # noqa: E402

# Other cases have files of the same names.
with catalogue._beside(ROOT / "cases" / "vacancy_3d"):
    from adaptive import estimate
    from problem import Problem, material
    from solving import error, gradients, onto, seminorm, solve
    from strained import uniform

SMALL = {"core": 2.0, "linear": True}


@lru_cache
def found(name, method, core=2.0, **more):
    return solve(Problem(name, method, core, linear=True, strain=0.01 if name == "Si" else 0.0, **more))


def shifted(p, factor):
    """The embedding with inner shifts times a factor."""
    place = p.layout
    shifts = factor * p.of.shifts[place.sublattice[place.n_atoms :]]
    follow = slaved(place.ring[0], place.X[place.n_atoms :], np.arange(place.n_atoms, place.n), place.n, shifts)
    return stack(select(np.arange(place.n_atoms), place.n), follow)


@pytest.mark.parametrize("name", ["Al", "Si"])
@pytest.mark.parametrize("method", ["BQCF", "BGFC"])
def test_the_perfect_crystal_is_at_rest(name, method):
    p = Problem(name, method, **SMALL, vacancy=False, strain=0.01 if name == "Si" else 0.0)
    forces = np.where(p.layout.fixed, 0.0, p.model().evaluate(p.layout.reference).forces)
    assert np.abs(forces).max() < 1e-10
    blended = np.where(p.layout.fixed, 0.0, p.model(EnergyBlend()).evaluate(p.layout.reference).forces)
    assert np.abs(blended).max() > 1e-3


def test_corrected_energies_and_blended_forces_agree_and_energies_alone_do_not():
    """With no ghost force both methods leave errors of mesh and law (4.5 %), and differ by less."""
    a, b, c = (found("Al", m) for m in ("BGFC", "BQCF", "BQCE"))
    assert error(a, b) < 0.045
    assert error(c, b) > 1.0


def test_the_ghost_force_of_the_lattice_without_the_defect():
    """Computed with the vacancy in place it is another one as far as forces feel both vacancy and blend, and the same farther out."""
    p = Problem("Al", "BGFC", **SMALL)
    clean = p.model()
    dirty = p.model(GhostCorrected())
    x = p.layout.reference
    free = ~p.layout.fixed
    blend = p.model(ForceBlend()).evaluate(x).forces
    away = np.linalg.norm(x, axis=1) > 3.5 * p.of.reach
    difference = (clean.evaluate(x).forces - dirty.evaluate(x).forces)[free.any(axis=1) & ~away]
    assert np.abs(difference).max() > 1e-4
    far = (clean.evaluate(x).forces - blend)[free.any(axis=1) & away]
    assert np.abs(far).max() < 1e-10


def test_newton_finds_the_same():
    """Exact Jacobians against the preconditioned walk."""
    p = Problem("Al", "ATM", 2.0)
    a, b = solve(p, fmax=1e-8), solve(p, fmax=1e-8, newtons=True)
    assert np.abs(a.q - b.q).max() < 1e-7
    assert a.energy == pytest.approx(b.energy, abs=1e-9)
    assert b.evaluations < a.evaluations


def test_formation_energy():
    """0.693 eV of all atoms (test of the limit in the case's full size) by 180 atoms and by 1400 points."""
    e = {m: found("Al", m).problem.formation(found("Al", m).energy) for m in ("ATM", "BGFC", "BQCE")}
    assert e["BGFC"] == pytest.approx(0.6933, abs=2e-3)
    assert abs(e["ATM"] - 0.6933) < 0.02
    assert abs(e["BQCE"] - 0.6933) > 0.1
    assert found("Al", "BQCF").energy is None


def test_full_law_and_its_second_order_agree():
    a, b = found("Al", "BGFC"), solve(Problem("Al", "BGFC", 2.0))
    assert error(a, b) < 0.01


def test_silicon_without_strain_does_not_relax():
    """Perfect bonds and angles: Stillinger–Weber's vacancy is at rest where it is."""
    p = Problem("Si", "ATM", 2.0)
    assert np.abs(p.model().evaluate(p.layout.reference).forces).max() < 1e-10
    assert solve(p).evaluations == 1


def test_silicon_follows_atoms_alone():
    """Free atoms and slaved ones with their shifts; ghost forces, or shifts of the wrong sign, make it worse."""
    a, b = found("Si", "BGFC"), found("Si", "ATM", 4.0)
    right = error(a, b)
    assert right < 0.25
    assert error(found("Si", "BQCE"), b) > 2.0 * right
    wrong = Problem("Si", "BGFC", 2.0, linear=True, strain=0.01)
    wrong.layout.__dict__["embedding"] = shifted(wrong, -1.0)
    assert error(solve(wrong), b) > 1.5 * right


def test_ghost_forces_of_strained_silicon():
    """Energy blending: in proportion to the strain. Corrected at the strain: to its square."""
    p = Problem("Si", "BGFC", **SMALL, vacancy=False)
    free = ~p.layout.fixed
    plain, fresh = p.model(EnergyBlend()), p.model()
    rows = []
    for strain in (0.0025, 0.005):
        q = uniform(p, strain)
        fresh.prepare(q)
        rows.append([np.abs(m.evaluate(q).forces[free]).max() for m in (plain, fresh)])
    (a, c), (b, d) = rows
    assert b / a == pytest.approx(2.0, rel=0.1)
    assert d / c == pytest.approx(4.0, rel=0.2)
    assert d < 0.05 * b


def test_error_of_known_fields():
    """Itself, twice itself, and nothing."""
    a = found("Al", "BGFC")
    lattice, u = a.field
    assert error(a, a) < 1e-12
    scale = seminorm(lattice.mesh, u)
    assert seminorm(lattice.mesh, onto(lattice.mesh, lattice.mesh, 2 * u) - u) == pytest.approx(scale)
    H = np.random.default_rng(0).normal(size=(3, 3))
    assert np.abs(gradients(lattice.mesh, lattice.mesh.points @ H.T) - H).max() < 1e-10


def test_estimate_sees_what_is_wrong():
    """The residual of energy blending is large, that of the corrected one small, each within a factor of the true error."""
    reference = found("Al", "BGFC", 3.0)
    bad, good = found("Al", "BQCE"), found("Al", "BGFC")
    e_bad, e_good = estimate(bad.problem, bad), estimate(good.problem, good)
    # Relative to the solution itself, which ghost forces make larger.
    true = error(bad, reference)
    assert 0.2 * true / (1 + true) < e_bad.model < 5 * true
    assert e_good.total < 0.3 * e_bad.total
    assert 0.2 < e_good.total / error(good, reference) < 5


def test_bad_input():
    with pytest.raises(MultiscaleError, match="no method"):
        Problem("Al", "QCE", 2.0)
    with pytest.raises(MultiscaleError, match="no material"):
        material("Cu")
    with pytest.raises(MultiscaleError, match="enlarge the domain"):
        solve(Problem("Al", "BGFC", 2.0, outer=8.25, linear=True))


@pytest.mark.timeout(600)
def test_case(tmp_path):
    pytest.importorskip("matplotlib")
    case = catalogue.load(ROOT / "cases" / "vacancy_3d" / "case.py")
    q = case.run("small", tmp_path, silent=True)["quantities"]
    assert [name for name, entry in q.items() if entry["ok"] is False] == []
    value = {name: entry["value"] for name, entry in q.items()}
    assert value["Al BGFC, 3 r₀: error"] < 0.4 * value["Al BGFC, 2 r₀: error"] < 0.05
    assert value["Al BQCE, 3 r₀: error"] > 1.0
    assert -0.6 < value["Al ATM: order"] < -0.4
    for name in ("vacancy_3d.png", "atoms.extxyz", "far_field.vtu"):
        assert (tmp_path / name).stat().st_size > 1000
