"""The anisotropic crack-tip field against published numbers, matscipy, and itself."""

import numpy as np
import pytest

from multiscale.continuum.kfield import KField, crack_faces
from multiscale.continuum.meshing import cracked_disc, gmsh
from multiscale.continuum.voigt import cubic_stiffness
from multiscale.types import GPA_PER_EV_A3, J_M2_PER_EV_A2, MPA_SQRT_M_PER_EV_A25, MultiscaleError

VOIGT = [(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]
SW = cubic_stiffness(151.42, 76.42, 56.45)
SW42 = cubic_stiffness(201.43, 51.42, 90.51)
#: Exact for unrelaxed Stillinger–Weber (111): 2ε / (√3 a0²).
GAMMA_111 = 2 * 2.1683 / (np.sqrt(3) * 5.43095**2) * J_M2_PER_EV_A2
FRAME = [[1, 1, -2], [1, 1, 1], [1, -1, 0]]


def rotated(C, axes):
    """Elastic constants in the frame whose axes are the rows (by the tensor, slowly and surely)."""
    R = np.array(axes, dtype=float)
    R /= np.linalg.norm(R, axis=1)[:, None]
    t = np.zeros((3, 3, 3, 3))
    for a, (i, j) in enumerate(VOIGT):
        for b, (k, m) in enumerate(VOIGT):
            t[i, j, k, m] = t[j, i, k, m] = t[i, j, m, k] = t[j, i, m, k] = C[a, b]
    t = np.einsum("ai,bj,ck,dl,ijkl", R, R, R, R, t, optimize=True)
    return np.array([[t[p + q] for q in VOIGT] for p in VOIGT])


def isotropic(mu=60.0, nu=0.25):
    lam = 2 * mu * nu / (1 - 2 * nu)
    return cubic_stiffness(lam + 2 * mu, lam, mu)


@pytest.mark.parametrize(
    "C, axes, ratio, antiplane, expected",
    [
        (SW, FRAME, 1, "clamped", 0.6152),
        (SW42, FRAME, 1, "clamped", 0.7487),
        # The front [11-2] couples to antiplane shear; the quoted numbers leave that out.
        (SW, [[1, -1, 0], [1, 1, 1], [1, 1, -2]], 1, "free", 0.6122),
        (SW42, [[1, -1, 0], [1, 1, 1], [1, 1, -2]], 1, "free", 0.7480),
        (SW, [[1, -1, 0], [1, 1, 0], [0, 0, 1]], np.sqrt(1.5), "clamped", 0.6594),
        (SW42, [[1, -1, 0], [1, 1, 0], [0, 0, 1]], np.sqrt(1.5), "clamped", 0.8149),
    ],
)
def test_griffith_loads_of_silicon(C, axes, ratio, antiplane, expected):
    # Sih–Paris–Irwin from elastic constants and surface energies.
    assert KField(rotated(C, axes), antiplane).griffith(ratio * GAMMA_111) == pytest.approx(expected, abs=1.0e-4)


def test_field_of_silicon_at_the_griffith_load():
    C = rotated(SW, FRAME)
    assert [C[0, 5], C[1, 5], C[1, 1]] == pytest.approx([8.933, 0, 176.687], abs=1e-3)
    field = KField(C)
    K = field.griffith(GAMMA_111)
    X = np.array([[100.0, 0.0], [0.0, 100.0]])
    u, s = field.displacement(X, K), field.stress(X, K) * GPA_PER_EV_A3
    assert u[0] == pytest.approx([2.07106, 0, 0], abs=1e-4)
    assert u[1] == pytest.approx([3.02584, 3.08418, 0], abs=1e-4)
    assert [s[0, 0, 0], s[0, 1, 1]] == pytest.approx([2.3930, 2.4546], abs=1e-4)
    assert [s[1, 0, 0], s[1, 1, 1], s[1, 0, 1]] == pytest.approx([0.8586, 2.7427, -0.8470], abs=1e-4)
    # Ahead of the tip σ_yy = K/√(2πr), by the definition of K.
    assert s[0, 1, 1] == pytest.approx(K / np.sqrt(2 * np.pi * 100) * 100, rel=1e-12)
    field = KField(rotated(SW42, FRAME))
    u = field.displacement(np.array([[-100.0, 0.0]]), field.griffith(GAMMA_111))
    assert u[0] == pytest.approx([-0.10196, 5.79810, 0], abs=2e-4)


def test_against_matscipy():
    crack = pytest.importorskip("matscipy.fracture_mechanics.crack")
    C = rotated(SW, FRAME)
    S = np.linalg.inv(C)
    s = S - np.outer(S[:, 2], S[2]) / S[2, 2]
    theirs = crack.RectilinearAnisotropicCrack()
    theirs.set_plane_stress(s[0, 0], s[1, 1], s[0, 1], s[0, 5], s[1, 5], s[5, 5])
    theta, r, K = np.linspace(-3, 3, 13), np.full(13, 50.0), 0.7
    X = 50 * np.column_stack([np.cos(theta), np.sin(theta)])
    field = KField(C)
    # matscipy has mode I only; with C in GPa its K is in GPa·√Å.
    u = np.column_stack(theirs.displacements(r, theta, K * 100))
    assert np.abs(field.displacement(X, K)[:, :2] - u).max() < 1e-10
    stress = np.column_stack(theirs.stresses(r, theta, K * 100))
    ours = field.stress(X, (K, 0.0)) * GPA_PER_EV_A3
    assert np.abs(ours[:, [0, 1, 0], [0, 1, 1]] - stress).max() < 1e-9


@pytest.mark.parametrize("antiplane", ["clamped", "free"])
@pytest.mark.parametrize("C", [rotated(SW, FRAME), rotated(SW, [[1, -1, 0], [1, 1, 1], [1, 1, -2]]), isotropic()])
def test_field_is_compatible_in_equilibrium_and_free_on_the_faces(C, antiplane):
    field = KField(C, antiplane)
    rng = np.random.default_rng(0)
    X = np.pad(rng.uniform(1, 5, (40, 2)) * rng.choice([-1, 1], (40, 2)), ((0, 0), (0, 1)))
    K, h = (0.6, 0.35), 1e-4
    steps = [np.array([h, 0, 0]), np.array([0, h, 0])]
    H = np.stack([(field.displacement(X + d, K) - field.displacement(X - d, K)) / (2 * h) for d in steps], axis=2)
    assert np.abs(H - field.displacement_gradient(X, K)[:, :, :2]).max() < 1e-7
    div = sum((field.stress(X + d, K) - field.stress(X - d, K))[:, :, j] / (2 * h) for j, d in enumerate(steps))
    assert np.abs(div[:, :2]).max() < 1e-6 * np.abs(field.stress(X, K)).max()
    faces = np.array([[-3.0, 0.0], [-3.0, -0.0]])
    s = field.stress(faces, K)
    assert np.abs(s[:, :2, 1]).max() < 1e-6 * np.abs(s).max()


@pytest.mark.parametrize("C", [isotropic(), rotated(SW, FRAME)])
def test_energy_release_rate_is_the_work_of_closing_the_crack(C):
    # Irwin: G = lim 1/(2δ) ∫_0^δ σ_iy(x) Δu_i(δ − x) dx; both are pure powers, ∫_0^1 √((1 − t)/t) dt = π/2.
    field = KField(C)
    for K in (0.5, (0.0, 0.7), (0.5, -0.3)):
        s = field.stress(np.array([[1.0, 0.0]]), K)[0, :, 1]
        jump = np.diff(field.displacement(np.array([[-1.0, -0.0], [-1.0, 0.0]]), K), axis=0)[0]
        assert field.energy_release_rate(K) == pytest.approx(0.5 * (s @ jump) * np.pi / 2 * J_M2_PER_EV_A2, rel=1e-6)


def test_isotropic_limit_is_the_textbook():
    mu, nu, K = 60.0, 0.25, 0.8
    field = KField(isotropic(mu, nu))
    E = 2 * mu * (1 + nu)
    assert field.energy_release_rate((K, 0.3)) == pytest.approx((1 - nu**2) * (K**2 + 0.3**2) / E * 1e3, rel=1e-6)
    theta = np.linspace(-np.pi + 1e-6, np.pi - 1e-6, 21)
    u = field.displacement(10 * np.column_stack([np.cos(theta), np.sin(theta)]), K)
    # Williams: u = K/2μ √(r/2π) (κ − cos θ) (cos θ/2, sin θ/2), κ = 3 − 4ν.
    scale = (K / MPA_SQRT_M_PER_EV_A25) / (2 * mu / GPA_PER_EV_A3) * np.sqrt(10 / (2 * np.pi)) * (2 - np.cos(theta))
    assert np.abs(u[:, 0] - scale * np.cos(theta / 2)).max() < 1e-6
    assert np.abs(u[:, 1] - scale * np.sin(theta / 2)).max() < 1e-6


def test_sides_of_the_crack():
    field = KField(rotated(SW42, FRAME))
    X = np.array([[-2.0, 0.0], [-2.0, -0.0], [-2.0, 0.0], [-2.0, 0.0], [2.0, 0.0]])
    u = field.displacement(X, 1.0, face=np.array([0, 0, -1, 1, -1]))
    assert u[0] == pytest.approx(-u[1]) and u[2] == pytest.approx(u[1]) and u[3] == pytest.approx(u[0])
    assert u[4] == pytest.approx(field.displacement(X[4:], 1.0)[0])
    above = field.displacement(np.array([[-2.0, 1e-9]]), 1.0)[0]
    assert u[0] == pytest.approx(above, abs=1e-8)
    moved = field.displacement(X + np.array([1.0, 0.5]), 1.0, tip=(1.0, 0.5), face=np.array([1, -1, -1, 1, -1]))
    assert moved == pytest.approx(u, abs=1e-12)


@pytest.mark.skipif(gmsh is None, reason="gmsh is not installed")
@pytest.mark.parametrize("hole, degree", [(0, 2), (5, 1)])
def test_faces_of_a_slit(hole, degree):
    mesh = cracked_disc(30, hole, 1, 5, degree)
    face = crack_faces(mesh)
    upper, lower = (np.sort(mesh.nodes[face == s], axis=0) for s in (1, -1))
    assert len(upper) > 8 and np.array_equal(upper, lower)
    assert not crack_faces(cracked_disc(30, hole, 1, 5, degree, slit=False)).any()


def test_errors_say_what_is_needed():
    with pytest.raises(MultiscaleError, match="positive definite"):
        KField(cubic_stiffness(100, 90, 50) - 95 * np.pad(np.ones((3, 3)), (0, 3)))
    with pytest.raises(MultiscaleError, match="symmetric"):
        KField(SW + np.triu(np.ones((6, 6)), 1))
    with pytest.raises(MultiscaleError, match="mode I"):
        KField(SW).displacement(np.ones((1, 2)), [1, 2, 3])
