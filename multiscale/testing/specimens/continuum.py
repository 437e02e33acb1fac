"""Continua: hyperelastic, in plane strain, of revolution, damaged, cut or parted by an interface, and crystals by Cauchy–Born laws."""

from __future__ import annotations

import numpy as np
from ase.build import bulk

from ...continuum.cauchy_born import CauchyBorn
from ...continuum.cohesive import Joint
from ...continuum.cohesive_laws import Reversible
from ...continuum.cut import cut
from ...continuum.gap import Gap
from ...continuum.gap_laws import HalfSpaces
from ...continuum.laws import LinearElastic, NeoHookean, StVenantKirchhoff
from ...continuum.mesh import SimplexMesh
from ...continuum.surface import Surface
from ...continuum.traction import Exponential
from ...continuum.voigt import cubic_stiffness
from ...models import StillingerWeber
from ...regions.cohesive import CohesiveRegion, Together
from ...regions.continuum import ContinuumRegion
from ...regions.damaged import Damaged
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


def axial() -> Specimen:
    """A body of revolution with its axis, quadratic triangles, neo-Hookean."""
    mesh = SimplexMesh.rectangle((0, 0), (12, 6), (4, 2), degree=2)
    law, X = NeoHookean(0.6, 0.9), mesh.nodes
    # Nothing leaves the axis.
    x = X + np.random.default_rng(2).normal(0.0, 0.03, X.shape) * [1.0, 1.0, 0.0] * (X[:, :1] > 0)
    return Specimen(lambda: ContinuumRegion(mesh, law, site_volume=20.0, atom_mass=28.0, symmetry="axial"), x)


def damaged() -> Specimen:
    """Three dimensions, linear tetrahedra, with a general damage."""
    mesh = SimplexMesh.box((0, 0, 0), (10, 8, 9), (2, 2, 2))
    damage = np.random.default_rng(1).uniform(0.0, 0.9, len(mesh.points))

    def make() -> Damaged:
        region = Damaged(ContinuumRegion(mesh, LinearElastic(C), site_volume=20.0, atom_mass=28.0, quadrature_degree=2))
        region.degrade(damage)
        return region

    return Specimen(make)


def cohesive() -> Specimen:
    """Plane strain, quadratic triangles, cut through along y = 0 by an interface that opens, closes and slides; its law is a potential."""
    whole = SimplexMesh.rectangle((0, -4), (12, 4), (3, 2), degree=2)
    joint = Joint(cut(whole, lambda X: np.abs(X[:, 1]) < 1e-9, lambda X: X[:, 1] > 0), thickness=3.84)
    law = Reversible(Exponential(0.2, 0.17), shear=0.7)  # eV/Å³, eV/Å²: a surface of 1.4 J/m²

    def make() -> Together:
        body = ContinuumRegion(joint.mesh, LinearElastic(C), site_volume=20.0, thickness=3.84, atom_mass=28.0)
        return Together([body, CohesiveRegion(joint, law, modulus=np.inf)])

    X = joint.mesh.nodes
    x = X + np.random.default_rng(2).normal(0.0, 0.02, X.shape) * [1.0, 1.0, 0.0]
    # Farther open than the peak of the law at one end, pressed together at the other: opening changes sign between Gauss points.
    side = np.zeros(len(X))
    side[joint.upper], side[joint.lower] = 1.0, -1.0
    x[:, 1] += side * (0.02 * X[:, 0] - 0.05)
    return Specimen(make, x)


def gap() -> Specimen:
    """Two bodies with meshes that do not match, and an adhesive gap between their curved and flat faces."""
    lower = SimplexMesh.rectangle((0, -6), (12, 0), (3, 1), degree=2)
    flat = SimplexMesh.rectangle((0, 1.6), (12, 6), (4, 1))
    upper = SimplexMesh(flat.points + np.outer(flat.points[:, 0] ** 2 / 200.0, [0.0, 1.0]), flat.cells)
    faces = (
        Surface(lower, lambda X: np.abs(X[:, 1]) < 1e-6, thickness=3.84),
        Surface(upper, lambda X: X[:, 1] < 3.0, thickness=3.84),
    )
    between, law = Gap(*faces), HalfSpaces(0.17, 1.5)
    one, two, both = between.dofs

    def make() -> Together:
        bodies = [
            ContinuumRegion(mesh, LinearElastic(C), site_volume=20.0, thickness=3.84, atom_mass=28.0)
            for mesh in (lower, upper)
        ]
        return Together([*bodies, CohesiveRegion(between, law, modulus=np.inf)], [one, two, both])

    return Specimen(make, bound=1e-6)


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
