"""J on a cracked disc under the K-field: the energy release rate, in every ring."""

import numpy as np
import pytest
from test_kfield import FRAME, GAMMA_111, SW, rotated

from multiscale.continuum.kfield import KField, crack_faces
from multiscale.continuum.meshing import cracked_disc, gmsh
from multiscale.types import MultiscaleError

laws = pytest.importorskip("multiscale.continuum.laws", exc_type=ImportError)  # needs DOLFINx
regions = pytest.importorskip("multiscale.regions.continuum", exc_type=ImportError)
jintegral = pytest.importorskip("multiscale.continuum.jintegral", exc_type=ImportError)
LinearElastic, StVenantKirchhoff = laws.LinearElastic, laws.StVenantKirchhoff
j_integral = jintegral.j_integral

pytestmark = pytest.mark.skipif(gmsh is None, reason="gmsh is not installed")
RINGS = [(25.0, 45.0), (45.0, 65.0), (65.0, 85.0)]


def loaded(law, mesh, K):
    """The disc with the K-field on its rim and free faces, in equilibrium."""
    face = crack_faces(mesh)
    u = KField(law.C).displacement(mesh.nodes, K, face=face)
    rim = mesh.boundary_nodes(lambda X: np.hypot(X[:, 0], X[:, 1]) > 0.99 * 100)
    fixed = np.zeros(u.shape, dtype=bool)
    fixed[rim] = True
    return regions.ContinuumRegion(mesh, law, site_volume=20.0).solve(mesh.nodes + u, fixed)


@pytest.fixture(scope="module")
def mesh():
    return cracked_disc(100, 0, 0.25, 8)


def test_griffith_load_gives_twice_the_surface_energy(mesh):
    law = LinearElastic(rotated(SW, FRAME))
    J = j_integral(mesh, law, loaded(law, mesh, KField(law.C).griffith(GAMMA_111)), RINGS)
    assert J == pytest.approx([2.7201] * 3, rel=2e-3)  # 2 γ


def test_mixed_mode(mesh):
    law = LinearElastic(rotated(SW, FRAME))
    K = (0.4, 0.3)
    J = j_integral(mesh, law, loaded(law, mesh, K), RINGS)
    assert J == pytest.approx([KField(law.C).energy_release_rate(K)] * 3, rel=5e-3)


def test_error_falls_with_refinement():
    law = LinearElastic(rotated(SW, FRAME))
    K = KField(law.C).griffith(GAMMA_111)
    error = []
    for h in (2.0, 0.5):
        disc = cracked_disc(100, 0, h, 16 * h)
        error.append(np.abs(j_integral(disc, law, loaded(law, disc, K), RINGS) / (2 * GAMMA_111) - 1).max())
    assert error[1] < 0.3 * error[0]


def test_hyperelastic_law_at_small_load(mesh):
    # Where strains are small W is quadratic, and J/K² tends to the linear value.
    law = StVenantKirchhoff(rotated(SW, FRAME))
    K = 0.02
    J = j_integral(mesh, law, loaded(law, mesh, K), RINGS)
    assert J == pytest.approx([KField(law.C).energy_release_rate(K)] * 3, rel=1e-2)


def test_hyperelastic_rings_agree_at_full_load(mesh):
    # Path independence is exact for any hyperelastic law; the value differs from the linear one.
    law = StVenantKirchhoff(rotated(SW, FRAME))
    J = j_integral(mesh, law, loaded(law, mesh, 0.4), RINGS)
    assert np.ptp(J) < 5e-3 * J.mean()


def test_rigid_rotation_has_no_j(mesh):
    law = StVenantKirchhoff(rotated(SW, FRAME))
    c, s = np.cos(0.3), np.sin(0.3)
    x = mesh.nodes @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])
    assert np.abs(j_integral(mesh, law, x, RINGS)).max() < 1e-10


def test_rings_beyond_the_mesh_are_refused(mesh):
    law = LinearElastic(SW)
    with pytest.raises(MultiscaleError, match="r₁ < r₂"):
        j_integral(mesh, law, mesh.nodes, [(50.0, 200.0)])
