"""An anisotropic hyperelastic block, a linear one in plane strain, and crystals by Cauchy–Born laws, with shifts hidden and as dofs."""

from __future__ import annotations

from ase.build import bulk

from ...continuum.cauchy_born import CauchyBorn
from ...continuum.laws import LinearElastic, StVenantKirchhoff
from ...continuum.mesh import SimplexMesh
from ...continuum.voigt import cubic_stiffness
from ...models import StillingerWeber
from ...regions.continuum import ContinuumRegion
from ...regions.multilattice import MultilatticeRegion
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


def _silicon() -> CauchyBorn:
    atoms = bulk("Si", a=5.431)
    return CauchyBorn(StillingerWeber(), atoms.cell.array, ["Si", "Si"], atoms.positions)


def crystal() -> Specimen:
    """Silicon by its Cauchy–Born law, linear tetrahedra: an external operator in the forms."""
    mesh, law = SimplexMesh.box((0, 0, 0), (20, 16, 18), (2, 2, 2)), _silicon()
    return Specimen(lambda: ContinuumRegion(mesh, law, site_volume=law.site_volume, atom_mass=28.0))


def multilattice() -> Specimen:
    """The same with the inner shifts as dofs, quadratic triangles in plane strain."""
    mesh, law = SimplexMesh.rectangle((0, 0), (20, 16), (2, 2), degree=2), _silicon()
    return Specimen(lambda: MultilatticeRegion(mesh, law, site_volume=law.site_volume, thickness=5.431, atom_mass=28.0))
