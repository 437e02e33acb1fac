"""Cauchy–Born laws: derivatives, shifts, objectivity, the atomistic cell they stand for, and the mesh that uses them."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk

pytest.importorskip("multiscale.continuum.laws", exc_type=ImportError)  # needs DOLFINx

from multiscale.continuum.cauchy_born import CauchyBorn  # noqa: E402
from multiscale.continuum.laws import SampledLaw  # noqa: E402
from multiscale.continuum.mesh import SimplexMesh  # noqa: E402
from multiscale.elastic import elastic_constants, relax_basis  # noqa: E402
from multiscale.models import EAM, LennardJones, StillingerWeber  # noqa: E402
from multiscale.region import Can, Query  # noqa: E402
from multiscale.regions.continuum import ContinuumRegion  # noqa: E402
from multiscale.regions.ml import MLRegion  # noqa: E402
from multiscale.testing.specimens.mace import random_mace  # noqa: E402
from multiscale.types import GPA_PER_EV_A3, MultiscaleError  # noqa: E402

A_SI, A_AL = 5.430949777364731, 4.0320


def silicon(strength=42.0, **keywords):
    atoms = bulk("Si", a=A_SI)
    return CauchyBorn(StillingerWeber(strength), atoms.cell.array, ["Si", "Si"], atoms.positions, **keywords)


def aluminium():
    return CauchyBorn(EAM.ercolessi_adams(), bulk("Al", a=A_AL).cell.array, ["Al"])


def lennard_jones():
    """A Bravais lattice with a smooth potential: splines of third order, as tabulated ones have, spoil orders of convergence."""
    model = LennardJones(0.3, 2.6, cutoff=4.6, onset=4.2, symbols=("Al",))
    return CauchyBorn(model, bulk("Al", a=4.03).cell.array, ["Al"])


LAWS = {"Si": silicon, "LJ": lennard_jones}


def strains(n=3, size=0.03, seed=0):
    return size * np.random.default_rng(seed).standard_normal((n, 3, 3))


def rotation(seed=1):
    q, r = np.linalg.qr(np.random.default_rng(seed).standard_normal((3, 3)))
    q = q * np.sign(np.diag(r))
    return q if np.linalg.det(q) > 0 else -q


def taylor(value, slope, H, direction):
    """Errors of a central difference against the derivative at steps h and h/2: their ratio is 4."""
    out = []
    for h in (2e-3, 1e-3):
        difference = (value(H + h * direction) - value(H - h * direction)) / (2 * h)
        out.append(np.abs(difference - slope).max())
    return np.array(out)


@pytest.fixture(params=LAWS)
def law(request):
    return LAWS[request.param]()


# -- derivatives ----------------------------------------------------------------------------------------------------


def test_stress_and_tangent_are_derivatives(law):
    """Taylor tests: what is left of a central difference is of third order in the step, so the error of second."""
    H, d = strains(), strains(seed=5, size=1.0)
    power = np.einsum("nij,nij->n", law.stress(H), d)
    errors = taylor(law.density, power, H, d)
    assert errors[0] / errors[1] == pytest.approx(4.0, rel=0.03) and errors[1] < 1e-3
    change = np.einsum("nijkl,nkl->nij", law.tangent(H), d)
    errors = taylor(law.stress, change, H, d)
    assert errors[0] / errors[1] == pytest.approx(4.0, rel=0.03)
    a = law.tangent(H)
    assert np.abs(a - a.transpose(0, 3, 4, 1, 2)).max() < 1e-12 * np.abs(a).max()


def test_the_taylor_test_catches_shifts_that_are_not_condensed():
    """With 𝔸 = Ŵ_FF the error does not fall with the step: the crystal's inner relaxation is missing."""
    law = silicon()
    H, d = strains(), strains(seed=5, size=1.0)
    state = law._state(H, 2)
    frozen = state.curvature[:, :9, :9].reshape(-1, 3, 3, 3, 3)[state.where] / law.crystal.volume
    errors = taylor(law.stress, np.einsum("nijkl,nkl->nij", frozen, d), H, d)
    assert errors[0] / errors[1] < 1.1 and errors[1] > 1e-2


def test_shifts_follow_their_tangent():
    law = silicon()
    H, d = strains(), strains(seed=5, size=1.0)
    change = np.einsum("nbikl,nkl->nbi", law.shift_tangent(H), d)
    errors = taylor(law.shifts, change, H, d)
    assert errors[0] / errors[1] == pytest.approx(4.0, rel=0.03)
    assert not law.shifts(H)[:, 0].any() and np.abs(law.shifts(H)[:, 1]).max() > 0.01


def test_objectivity(law):
    """W(QF) = W(F), P(QF) = Q P(F), and 𝔸 turns with its first and third index."""
    H, Q = strains(), rotation()
    turned = Q @ (np.eye(3) + H) - np.eye(3)
    assert law.density(turned) == pytest.approx(law.density(H), rel=1e-13)
    assert law.stress(turned) == pytest.approx(Q @ law.stress(H), abs=1e-11)
    expected = np.einsum("ai,bk,niJkL->naJbL", Q, Q, law.tangent(H))
    assert np.abs(law.tangent(turned) - expected).max() < 1e-9


def test_derivative_of_the_shift_of_a_turned_and_strained_crystal():
    """dp/dF at F = Q U holds dQ χ(U) too: an infinitesimal turn ω moves the shift by ω × p, whatever the strain."""
    law, H = silicon(), strains(1)
    turned = rotation() @ (np.eye(3) + H) - np.eye(3)
    omega = np.array([[0, -0.3, 0.2], [0.3, 0, -0.1], [-0.2, 0.1, 0]])
    p, dp = law.shifts(turned)[0, 1], law.shift_tangent(turned)[0, 1]
    moved = np.einsum("ikl,kl->i", dp, omega @ (np.eye(3) + turned[0]))
    assert moved == pytest.approx(omega @ p, abs=1e-9) and np.linalg.norm(omega @ p) > 1e-3


# -- the crystal it stands for --------------------------------------------------------------------------------------


@pytest.mark.parametrize("F", [np.eye(3) + h for h in strains(2, 0.04, 3)], ids=["one", "other"])
def test_it_is_the_periodic_cell_under_the_same_deformation(F):
    """Energy, stress and shifts of an atomistic cell with relaxed basis, found by another code path."""
    atoms = bulk("Si", a=A_SI)
    region = MLRegion(StillingerWeber(42.0), symbols=["Si", "Si"], positions=atoms.positions @ F.T,
                      cell=atoms.cell.array @ F.T, pbc=True)  # fmt: skip
    x = relax_basis(region, region.reference, tolerance=1e-11)
    a = region.evaluate(x, Query(Can.ENERGY | Can.STRESS))
    law, H = silicon(), (F - np.eye(3))[None]
    assert law.density(H)[0] * law.crystal.volume == pytest.approx(a.energy, rel=1e-13)
    # dE/dε = V P Fᵀ, the Kirchhoff stress times the reference volume.
    assert law.crystal.volume * law.stress(H)[0] @ F.T == pytest.approx(a.stress, abs=1e-9)
    p = law.shifts(H)[0]
    assert p[1] - p[0] == pytest.approx((x[1] - x[0]) - F @ (atoms.positions[1] - atoms.positions[0]), abs=1e-9)


def test_silicon_against_published_constants():
    """B6: C11, C12, C44 of Stillinger–Weber with λ = 42, GPa, and the shift ∂x/∂γ_yz of matscipy's tests."""
    law = silicon()
    C = law.elastic_constants()
    assert [C[0, 0], C[0, 1], C[3, 3]] == pytest.approx([201.43, 51.42, 90.51], abs=0.01)
    bare = law._state(np.zeros((1, 3, 3)), 2).curvature[0, :9, :9].reshape(3, 3, 3, 3) / law.crystal.volume
    assert bare[1, 2, 1, 2] * GPA_PER_EV_A3 == pytest.approx(118.09, abs=0.01)
    dp = law.shift_tangent(np.zeros((1, 3, 3)))[0, 1]
    assert 0.5 * (dp[0, 1, 2] + dp[0, 2, 1]) == pytest.approx(-0.549975395, abs=1e-6)
    region = MLRegion(StillingerWeber(42.0), bulk("Si", a=A_SI))
    by_stress = elastic_constants(region.with_cell, region.reference, region.cell).relaxed
    assert np.abs(C - by_stress).max() < 1e-2


def test_second_derivatives_of_the_shift():
    """B6: ∂²x/∂ε₁∂γ₄ and ∂²x/∂ε₂∂γ₄ of the shift for stretches U without rotation, in the Green–Lagrange strain."""
    law, h = silicon(), 1e-3

    def shift(e, k, gamma):
        E = np.zeros((3, 3))
        E[k, k] = e
        E[1, 2] = E[2, 1] = 0.5 * gamma
        low, modes = np.linalg.eigh(np.eye(3) + 2 * E)
        U = (modes * np.sqrt(low)) @ modes.T
        return law.shifts((U - np.eye(3))[None])[0, 1, 0]

    found = [(shift(h, k, h) - shift(h, k, -h) - shift(-h, k, h) + shift(-h, k, -h)) / (4 * h * h) for k in (0, 1)]
    assert found == pytest.approx([0.101979, 0.456156], abs=2e-4)


def test_a_message_passing_model_is_no_exception():
    """MACE with random weights: the law is the periodic cell's energy, and its stress the derivative."""
    model = random_mace()
    atoms = bulk("Si", a=A_SI)
    law = CauchyBorn(model, atoms.cell.array, ["Si", "Si"], atoms.positions)
    crystal, F = law.crystal, np.eye(3) + strains(4, 0.02, 7)
    p = np.zeros((4, 2, 3))
    p[:, 1] = 0.05 * np.random.default_rng(3).standard_normal((4, 3))
    e, g, _ = crystal.evaluate(F, p, 1)
    for k in range(4):
        cell = MLRegion(model, symbols=["Si", "Si"], positions=atoms.positions @ F[k].T + p[k],
                        cell=atoms.cell.array @ F[k].T, pbc=True)  # fmt: skip
        a = cell.evaluate(cell.reference, Query(Can.ENERGY | Can.FORCES | Can.STRESS))
        assert e[k] == pytest.approx(a.energy, rel=1e-12)
        assert g[k, 9:] == pytest.approx(-a.forces[1], abs=1e-10)


def test_a_tabulated_potential():
    """EAM aluminium: stress by a small difference, and the cell's energy and stress."""
    law, H = aluminium(), strains()
    d, h = strains(seed=5, size=1.0), 1e-5
    power = np.einsum("nij,nij->n", law.stress(H), d)
    assert (law.density(H + h * d) - law.density(H - h * d)) / (2 * h) == pytest.approx(power, rel=1e-6)
    change = np.einsum("nijkl,nkl->nij", law.tangent(H), d)
    assert (
        np.abs((law.stress(H + h * d) - law.stress(H - h * d)) / (2 * h) - change).max() < 1e-4 * np.abs(change).max()
    )
    F = np.eye(3) + H[0]
    cell = MLRegion(EAM.ercolessi_adams(), symbols=["Al"], positions=np.zeros((1, 3)),
                    cell=bulk("Al", a=A_AL).cell.array @ F.T, pbc=True)  # fmt: skip
    a = cell.evaluate(cell.reference, Query(Can.ENERGY | Can.STRESS))
    assert law.density(H[:1])[0] * law.crystal.volume == pytest.approx(a.energy, rel=1e-13)
    assert law.crystal.volume * law.stress(H[:1])[0] @ F.T == pytest.approx(a.stress, abs=1e-9)


def test_neighbours_that_come_within_reach_are_seen():
    """Compressed by 30 %, a crystal sees neighbours that no list of the undeformed one has."""
    law = aluminium()
    F = 0.7 * np.eye(3)
    cell = MLRegion(EAM.ercolessi_adams(), bulk("Al", a=0.7 * A_AL))
    energy = cell.evaluate(cell.reference, Query(Can.ENERGY)).energy
    assert law.density((F - np.eye(3))[None])[0] * law.crystal.volume == pytest.approx(energy, rel=1e-12)


# -- economy --------------------------------------------------------------------------------------------------------


def test_equal_strains_are_evaluated_once(monkeypatch):
    law, seen = silicon(), []
    evaluate = law.crystal.evaluate
    monkeypatch.setattr(
        law.crystal, "evaluate", lambda F, *more, **how: seen.append(len(F)) or evaluate(F, *more, **how)
    )
    H = np.repeat(strains(2), 50, axis=0)
    law.stress(H)
    assert max(seen) == 2
    n = len(seen)
    law.density(H)
    law.stress(H)
    assert len(seen) == n  # kept until other strains come
    assert law.density(H)[:50] == pytest.approx(law.density(H[:1])[0], rel=1e-15)


def test_linearised(law):
    """To second order: the error of the density is of third order, about the reference and about another state."""
    for H0 in (np.zeros((3, 3)), strains(1, 0.02, 9)[0]):
        flat, d = law.linearised(H0), strains(1, 1.0, 4)
        e = [abs(flat.density(H0 + h * d) - law.density(H0 + h * d))[0] for h in (4e-3, 2e-3)]
        assert e[0] / e[1] == pytest.approx(8.0, rel=0.1)
        assert flat.stress(H0[None]) == pytest.approx(law.stress(H0[None]), abs=1e-13)


# -- in a mesh ------------------------------------------------------------------------------------------------------

MESHES = {
    "2d-p1": SimplexMesh.rectangle((0, 0), (40, 30), (3, 3), 1),
    "2d-p2": SimplexMesh.rectangle((0, 0), (40, 30), (2, 2), 2),
    "3d-p1": SimplexMesh.box((0, 0, 0), (30, 20, 20), (2, 2, 2), 1),
    "3d-p2": SimplexMesh.box((0, 0, 0), (30, 20, 20), (1, 1, 1), 2),
}


@pytest.fixture(params=MESHES)
def mesh(request):
    return MESHES[request.param]


def test_region(mesh, law):
    """Forces, products and stiffness against differences; site energies add up with random weights."""
    region = ContinuumRegion(mesh, law, site_volume=law.site_volume)
    rng = np.random.default_rng(0)
    x = mesh.nodes + 0.3 * rng.standard_normal(mesh.nodes.shape)
    w, v = rng.random(region.n_sites), rng.standard_normal(x.shape)
    a = region.evaluate(x, Query(Can.ENERGY | Can.FORCES | Can.SITE_ENERGIES | Can.HVP, w, v))
    h = 1e-4
    hi, lo = (region.evaluate(x + s * h * v, Query(weights=w)) for s in (1, -1))
    assert -(a.forces * v).sum() == pytest.approx((hi.energy - lo.energy) / (2 * h), rel=1e-6)
    assert np.abs(a.hvp + (hi.forces - lo.forces) / (2 * h)).max() < 1e-6 * np.abs(a.hvp).max()
    assert np.abs(region.stiffness(x, w) @ v.ravel() - a.hvp.ravel()).max() < 1e-12 * np.abs(a.hvp).max()
    assert w @ a.site_energies == pytest.approx(a.energy, rel=1e-14)


def test_equilibrium_of_the_mesh(mesh, law):
    """Newton's method through the external operator: prescribed homogeneous boundary values give a homogeneous state."""
    region = ContinuumRegion(mesh, law, site_volume=law.site_volume)
    g = np.zeros((3, 3))
    g[: mesh.dim, : mesh.dim] = strains(1, 0.02, 11)[0][: mesh.dim, : mesh.dim]
    x = mesh.nodes @ (np.eye(3) + g).T
    fixed = np.zeros(x.shape, dtype=bool)
    fixed[mesh.boundary_nodes()] = True
    start = mesh.nodes.copy()
    assert np.abs(region.solve(x, fixed, start=start, rtol=1e-10) - x).max() < 1e-7


# -- refusals -------------------------------------------------------------------------------------------------------


def test_unstable_shifts_are_an_error():
    """Stretched by 30 % in all directions, silicon's inner shift has no stable minimum."""
    with pytest.raises(MultiscaleError, match="no stable inner shifts"):
        silicon().stress(0.3 * np.eye(3)[None])


def test_collapse_is_an_error():
    with pytest.raises(MultiscaleError, match="compressed to 0.3"):
        aluminium().density(np.diag([-0.7, 0, 0])[None])


def test_crystals_that_do_not_fit_are_refused():
    atoms = bulk("Si", a=A_SI)
    with pytest.raises(MultiscaleError, match="1 symbols and 2 positions"):
        CauchyBorn(StillingerWeber(), atoms.cell.array, ["Si"], atoms.positions)
    with pytest.raises(MultiscaleError, match="knows only Si"):
        CauchyBorn(StillingerWeber(), atoms.cell.array, ["Si", "C"], atoms.positions)
    blind = StillingerWeber()
    blind.needs_placement = True
    with pytest.raises(MultiscaleError, match="function of edge vectors"):
        CauchyBorn(blind, atoms.cell.array, ["Si", "Si"], atoms.positions)


class Refusing(SampledLaw):
    """A law that refuses one of the cells."""

    def density(self, gradient):
        """Never."""
        raise MultiscaleError("no such strain")

    stress = tangent = density


def test_a_law_that_refuses_is_heard_through_the_solver():
    mesh = MESHES["2d-p1"]
    region = ContinuumRegion(mesh, Refusing(), site_volume=20.0)
    with pytest.raises(MultiscaleError, match="no such strain"):
        region.solve(mesh.nodes, np.zeros(mesh.nodes.shape, dtype=bool) | (mesh.nodes[:, :1] == 0))
