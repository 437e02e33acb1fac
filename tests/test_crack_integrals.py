"""Strip loading, mixed-mode interaction integrals, J from atoms, and the configurational force on the tip."""

import numpy as np
import pytest
from test_kfield import FRAME, GAMMA_111, SW, SW42, rotated

from multiscale.types import J_M2_PER_EV_A2, MultiscaleError

pytest.importorskip("multiscale.regions.continuum", exc_type=ImportError)  # needs DOLFINx
pytest.importorskip("multiscale.regions.ml", exc_type=ImportError)  # needs torch

from couplers import EnergyBlend
from multiscale import HybridModel
from multiscale.continuum.generalised import solve_generalised
from multiscale.continuum.interaction import stress_intensities
from multiscale.continuum.jintegral import j_integral
from multiscale.continuum.kfield import KField, crack_faces
from multiscale.continuum.laws import LinearElastic
from multiscale.continuum.mesh import SimplexMesh
from multiscale.continuum.meshing import _open_slit, cracked_disc, gmsh
from multiscale.continuum.rings import ring_weight
from multiscale.continuum.stroh import StrohField
from multiscale.drive import relax
from multiscale.fracture.atomistic_j import _images, atomistic_j, driving_force
from multiscale.fracture.configurational import field_derivative, load_derivative, tip_force
from multiscale.fracture.disc import AtomicCrack
from multiscale.fracture.hybrid import HybridCrack
from multiscale.fracture.material import CrackMaterial
from multiscale.fracture.strip import ClampedStrip
from multiscale.models import StillingerWeber
from multiscale.regions.continuum import ContinuumRegion

RINGS = [(25.0, 45.0), (45.0, 65.0), (65.0, 85.0)]
COUPLED = [[1, -1, 0], [1, 1, 1], [1, 1, -2]]
meshed = pytest.mark.skipif(gmsh is None, reason="gmsh is not installed")


@pytest.fixture(scope="module")
def silicon():
    return CrackMaterial.of(StillingerWeber(three_body_strength=42.0))


@pytest.fixture(scope="module")
def disc(silicon):
    """Free atoms within 30 Å."""
    crack = AtomicCrack(silicon, 30.0)
    return crack, HybridModel(crack.interface(), EnergyBlend())


def relaxed(model, q, fmax=1e-6, **settings):
    *_, last = relax(model, q, fmax=fmax, **settings)
    assert last.converged
    return last


# -- a strip -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("C, modulus, strain", [(SW, 176.7, 0.05549), (SW42, 222.1, 0.04949)])
def test_griffith_strain_of_silicon_strips(C, modulus, strain):
    strip = ClampedStrip(rotated(C, FRAME), 100.0)
    assert strip.modulus == pytest.approx(modulus, abs=0.05)
    assert strip.griffith_strain(GAMMA_111) == pytest.approx(strain, abs=1e-5)
    assert strip.energy_release_rate(strip.strain(3.1)) == pytest.approx(3.1, rel=1e-12)


def test_guess_for_a_strip():
    strip, strain, tip = ClampedStrip(rotated(SW42, FRAME), 100.0), 0.05, 3.0
    X = np.random.default_rng(0).uniform((-60, -49), (60, 49), (200, 2))
    h = 1e-3
    u, H = strip.displacement(X, strain, tip), strip.displacement_gradient(X, strain, tip)
    around = [[strip.displacement(X + s * d, strain, tip) for s in (1, -1)] for d in h * np.eye(2)]
    assert np.abs(np.stack([(a - b) / (2 * h) for a, b in around], axis=2) - H[:, :, :2]).max() < 1e-6
    second = [((a + b - 2 * u) / h**2)[:, 1] for a, b in around]
    assert np.abs(strip.C[5, 5] * second[0] + strip.C[1, 1] * second[1]).max() < 1e-4 * strip.modulus * strain / 4
    edge = np.array([[-300.0, 50.0], [3.0, -50.0], [40.0, 60.0]])
    assert strip.gripped(edge).all() and not strip.gripped(X).any()
    assert strip.displacement(edge, strain, tip) == pytest.approx(strip.boundary_displacement(edge, strain))
    far = np.array([[400.0, 20.0], [-400.0, 20.0], [-400.0, -0.0], [1e6, -10.0]])
    assert strip.displacement(far, strain, tip)[:, 1] == pytest.approx([1.0, 2.5, -2.5, -0.5], abs=1e-5)
    assert np.abs(strip.displacement_gradient(np.array([[-30.0, 0.0]]), strain)[0, :, 1]).max() < 1e-12  # free faces
    assert strip.displacement_gradient(far[3:], strain)[0, 1] == pytest.approx([0, strain, 0])


def test_clamped_strip_on_a_mesh_has_the_uniaxial_modulus():
    strip, strain = ClampedStrip(rotated(SW, FRAME), 100.0), 0.01
    plain = SimplexMesh.rectangle((-200, -50), (200, 50), (128, 32))
    points = np.where(np.abs(plain.points) < 1e-9, 0.0, plain.points)
    mesh = SimplexMesh(*_open_slit(points, plain.cells), degree=2)
    face = crack_faces(mesh)
    X = mesh.nodes + np.where(face[:, None] < 0, [0.0, -0.0, 0.0], 0.0)
    X[face < 0, 1] = -0.0
    start = mesh.nodes + strip.displacement(X, strain)
    held = np.repeat((strip.gripped(mesh.nodes) | (np.abs(mesh.nodes[:, 0]) > 199.9))[:, None], 3, axis=1)
    law = LinearElastic(strip.C)
    x = ContinuumRegion(mesh, law, site_volume=20.0).solve(start, held)
    J = j_integral(mesh, law, x, [(10.0, 25.0), (25.0, 45.0)])
    assert J == pytest.approx([strip.energy_release_rate(strain)] * 2, rel=1e-2)


# -- the interaction integral ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def graded():
    return cracked_disc(100, 0, 0.5, 9)


def held_rim(mesh):
    held = np.zeros(mesh.nodes.shape, dtype=bool)
    held[mesh.boundary_nodes(lambda X: np.hypot(X[:, 0], X[:, 1]) > 99)] = True
    return held


@meshed
@pytest.mark.parametrize("K", [(0.5, 0.0), (0.0, 0.4), (0.4, -0.3)])
def test_mixed_mode_in_plane_strain(graded, K):
    law = LinearElastic(rotated(SW, FRAME))
    field = KField(law.C)
    start = graded.nodes + field.displacement(graded.nodes, K, face=crack_faces(graded))
    x = ContinuumRegion(graded, law, site_volume=20.0).solve(start, held_rim(graded))
    found = stress_intensities(graded, field, x, RINGS)
    assert np.abs(found - K).max() < 1.5e-3 * np.linalg.norm(K)
    J = j_integral(graded, law, x, RINGS)
    assert J == pytest.approx([field.energy_release_rate(k) for k in found], rel=3e-3)


@meshed
@pytest.mark.parametrize("axes", [COUPLED, FRAME])
def test_three_modes_in_generalised_plane_strain(graded, axes):
    field, K = StrohField(rotated(SW, axes)), (0.4, -0.3, 0.2)
    start = graded.nodes + field.displacement(graded.nodes, K, face=crack_faces(graded))
    x = solve_generalised(graded, field.C, start, held_rim(graded))
    found = stress_intensities(graded, field, x, RINGS)
    assert np.abs(found - K).max() < 1.5e-3 * np.linalg.norm(K)
    if axes is COUPLED:  # auxiliary fields that leave the coupling out are no solutions, and their K is wrong
        error = np.abs(found - K).max()
        for option in ("clamped", "free"):
            plane = stress_intensities(graded, KField(field.C, option), x, RINGS)
            assert np.abs(plane - K[:2]).max() > 10 * error


@meshed
def test_generalised_plane_strain_is_the_mesh_region_where_nothing_couples(graded):
    law, K = LinearElastic(rotated(SW, FRAME)), (0.4, 0.1)
    start = graded.nodes + KField(law.C).displacement(graded.nodes, K, face=crack_faces(graded))
    plane = ContinuumRegion(graded, law, site_volume=20.0).solve(start, held_rim(graded))
    assert np.abs(solve_generalised(graded, law.C, start, held_rim(graded)) - plane).max() < 1e-8
    with pytest.raises(MultiscaleError, match="holds u_z"):
        solve_generalised(graded, law.C, start, held_rim(graded) & [True, True, False])


# -- J from atoms ------------------------------------------------------------------------------------------------


def test_lattice_translations_conserve(disc):
    # Any state of a whole crystal, at rest or not: the flux is −Σ q F·δu, up to third order in the change of strain over a period.
    crack, model = disc
    X, (r1, r2) = crack.crystal.positions, (4.0, 22.0)
    q = ring_weight(np.hypot(X[:, 0], X[:, 1]), r1, r2)
    t, before, after = _images(crack.crystal)
    assert t == pytest.approx(crack.crystal.spacing)
    ahead = np.where(after >= 0, q[after], 0.0)
    k = np.flatnonzero((q > 0) | (ahead > 0))
    errors = []
    for size in (0.01, 0.02, 0.04):
        wave = np.stack([np.sin(0.3 * X[:, 0] + 0.2 * X[:, 1]), np.cos(0.25 * X[:, 0]), np.sin(0.2 * X[:, 1])], axis=1)
        u = size * wave + 0.01 * X[:, [1, 0, 2]] * [1, 1, 0]
        F = model.evaluate(X + u).forces[k]
        work = 0.5 * F * (q[k, None] * (u[k] - u[before[k]]) + ahead[k, None] * (u[after[k]] - u[k]))
        flux = driving_force(model, crack, X + u, [(r1, r2)])[0] / J_M2_PER_EV_A2 * t * crack.crystal.period
        errors.append(abs(flux + work.sum()))
        # The sum itself nearly cancels: it is judged by its terms.
        assert errors[-1] < 1e-3 * np.abs(work).sum()
    assert np.divide(errors[1:], errors[:-1]) == pytest.approx([8, 8], rel=0.02)


def test_j_of_atoms_is_that_of_the_load_in_every_ring(disc, silicon):
    crack, model = disc
    rings = [(8.0, 14.0), (10.0, 18.0), (14.0, 22.0), (8.0, 24.0)]
    for load, offset in ((0.8, 0.03), (1.0, 0.015), (1.3, 0.02)):
        K = load * silicon.K_griffith
        q = relaxed(model, crack.at(K)).q
        J = atomistic_j(model, crack, q, rings)
        assert np.ptp(J) < 3e-4 * J.mean()
        # The disc is small and the crystal not linear: see docs/crack_fields.md for both and for the limit.
        assert J.mean() == pytest.approx(silicon.field.energy_release_rate(K), rel=offset)
        # A change of what is in the core changes no ring, a force on an atom of a ring does.
        core = np.hypot(*crack.crystal.positions[:, :2].T) < 3.0
        assert atomistic_j(model, crack, q + 0.01 * core[:, None], rings[2:3]) == pytest.approx(J[2], rel=1e-12)
    with pytest.raises(MultiscaleError, match="smaller ring"):
        atomistic_j(model, crack, q, [(10.0, 45.0)])


@meshed
def test_j_of_the_atoms_of_a_hybrid(silicon):
    crack = HybridCrack.disc(silicon, 20.0, 100.0, 7.0, 15.0)
    model = HybridModel(crack.interface(), EnergyBlend())
    K = silicon.K_griffith
    q = relaxed(model, crack.at(K), 1e-5).q
    J = atomistic_j(model, crack, q, [(5.0, 11.0), (8.0, 16.0)])
    assert np.ptp(J) < 5e-4 * J.mean()
    mesh = j_integral(crack.mesh, model.interface.regions["fem"].law, q[crack.n_free :], [(32.0, 55.0), (55.0, 90.0)])
    G = silicon.field.energy_release_rate(K)
    assert J == pytest.approx([G] * 2, rel=0.015) and mesh == pytest.approx([G] * 2, rel=0.015)
    # What the blend loses between them: see docs/crack_fields.md.
    assert 0.0 < mesh.mean() / J.mean() - 1.0 < 0.025


# -- the configurational force -----------------------------------------------------------------------------------


def differences(f, h):
    """Richardson's central difference."""
    return (8 * (f(h / 2) - f(-h / 2)) - (f(h) - f(-h))) / (6 * h)


def configurational_checks(crack, loads, alpha=0.6):
    model, tip = HybridModel(crack.interface(), EnergyBlend()), (alpha, 0.0)
    for load in loads:
        K = load * crack.material.K_griffith

        def moved(h, K=K):
            return crack.displacement(K, (alpha + h, 0.0)) - crack.displacement(K, tip)

        rate = (moved(1e-3) - moved(-1e-3)) / 2e-3
        assert np.abs(rate - field_derivative(crack, K, tip)).max() < 1e-6 * np.abs(rate).max()
        raw = crack.at(K, tip)
        force = tip_force(model, crack, raw, K, tip)
        slope = -differences(lambda h, raw=raw: model.evaluate(raw + moved(h)).energy, 1e-3)
        assert force.total == pytest.approx(slope, rel=1e-6)
        q = relaxed(model, raw).q
        force = tip_force(model, crack, q, K, tip)
        slope = -differences(lambda h, q=q: relaxed(model, q + moved(h)).energy, 2e-3)
        assert force.held == pytest.approx(slope, rel=1e-5)
        assert force.total == pytest.approx(slope, rel=1e-5)
        assert abs(force.interior) < 1e-5  # equilibrium


def test_configurational_force_is_the_derivative_of_the_energy_in_atoms(silicon):
    configurational_checks(AtomicCrack(silicon, 16.0), (0.7, 1.0, 1.3))


@meshed
def test_configurational_force_is_the_derivative_of_the_energy_in_a_hybrid(silicon):
    configurational_checks(HybridCrack.disc(silicon, 12.0, 50.0, 7.0, 12.0), (0.7, 1.0, 1.3))


def test_mean_force_on_the_tip_is_j_less_what_the_surfaces_cost(silicon):
    crack = AtomicCrack(silicon, 35.0)
    model, field = HybridModel(crack.interface(), EnergyBlend()), silicon.field
    theta = (np.arange(720) + 0.5) * 2 * np.pi / 720
    n = np.column_stack([np.cos(theta), np.sin(theta)])
    for load in (0.7, 1.0, 1.3):
        K = load * silicon.K_griffith
        tips = [((k + 0.5) * crack.crystal.spacing / 12, 0.0) for k in range(12)]
        forces = [tip_force(model, crack, crack.at(K, tip), K, tip) for tip in tips]
        J, cost = field.energy_release_rate(K), 2 * silicon.gamma
        mean = np.mean([f.per_area() for f in forces])
        assert mean == pytest.approx(J - cost, abs=0.02 * J)
        # With the rim's reactions the boundary's work is in it: ∮ W n_1 takes the place of J.
        W = 0.5 * (field.stress(n, K) * field.displacement_gradient(n, K)).sum(axis=(1, 2))
        total = 2 * np.pi * (W * n[:, 0]).mean() * J_M2_PER_EV_A2
        assert total == pytest.approx(0.194 * J, rel=1e-2)
        assert np.mean([f.per_area("total") for f in forces]) == pytest.approx(total - cost, abs=0.02 * J)


def test_derivative_by_the_load(silicon):
    crack = AtomicCrack(silicon, 12.0)
    assert np.abs(0.7 * load_derivative(crack) - crack.displacement(0.7)).max() < 1e-12
    assert np.abs(0.7 * load_derivative(crack, mode=1) - crack.displacement((0.0, 0.7))).max() < 1e-12


def test_errors_say_what_is_needed(silicon):
    crack = AtomicCrack(silicon, 12.0)
    model = HybridModel(crack.interface(), EnergyBlend())
    with pytest.raises(MultiscaleError, match="forces of shape"):
        tip_force(model, crack, crack.reference, 0.7, forces=np.zeros((3, 3)))
    with pytest.raises(MultiscaleError, match="r₁ < r₂"):
        atomistic_j(model, crack, crack.reference, [(9.0, 8.0)])
    with pytest.raises(MultiscaleError, match="positive height"):
        ClampedStrip(SW, -1.0)
    with pytest.raises(MultiscaleError, match="plane mesh"):
        stress_intensities(SimplexMesh.box((0, 0, 0), (1, 1, 1), (1, 1, 1)), StrohField(SW), np.zeros((8, 3)), [(1, 2)])
