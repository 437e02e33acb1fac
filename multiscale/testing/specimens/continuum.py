"""An anisotropic hyperelastic block of quadratic elements and a linear one in plane strain."""

from __future__ import annotations

from ...continuum.laws import LinearElastic, StVenantKirchhoff
from ...continuum.mesh import SimplexMesh
from ...continuum.voigt import cubic_stiffness
from ...regions.continuum import ContinuumRegion
from ..specimen import Specimen

C = cubic_stiffness(151.42, 76.42, 56.45)


def plane() -> Specimen:
    """Plane strain, quadratic triangles, linear elasticity."""
    mesh = SimplexMesh.rectangle((0, 0), (12, 9), (3, 2), degree=2)
    return Specimen(lambda: ContinuumRegion(mesh, LinearElastic(C), thickness=3.84, site_volume=20.0, atom_mass=28.0))


def block() -> Specimen:
    """Three dimensions, linear tetrahedra, St. Venant–Kirchhoff."""
    mesh = SimplexMesh.box((0, 0, 0), (10, 8, 9), (2, 2, 2))
    return Specimen(lambda: ContinuumRegion(mesh, StVenantKirchhoff(C), site_volume=20.0, atom_mass=28.0))
