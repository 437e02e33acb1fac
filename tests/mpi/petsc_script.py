"""A script without a case that has PETSc and a mesh: rank 1 raises while the others solve."""

import numpy as np

from multiscale.continuum.laws import LinearElastic
from multiscale.continuum.mesh import SimplexMesh
from multiscale.continuum.voigt import cubic_stiffness
from multiscale.ranks import world
from multiscale.regions.continuum import ContinuumRegion
from multiscale.types import Team

ranks = world()
mesh = SimplexMesh.box((0, 0, 0), (10, 10, 10), (3, 3, 3))
region = ContinuumRegion(mesh, LinearElastic(cubic_stiffness(151.4, 76.4, 56.4)), site_volume=20.0)
region.bind(Team(ranks.rank, ranks.size, ranks.comm))
if ranks.rank == 1:
    raise RuntimeError("planted after PETSc was started")
region.solve(region.reference, np.zeros((region.n_dofs, 3), dtype=bool) | (region.reference[:, :1] == 0))
ranks.barrier()
