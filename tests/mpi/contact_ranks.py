"""A round body under a stamp: its answers and a walk on all ranks, against the same with one rank."""

import numpy as np
from mpi4py import MPI

from couplers import EnergyBlend
from multiscale import HybridModel, Interface, Nested
from multiscale.continuum.brittle import isotropic_stiffness
from multiscale.continuum.gap import Gap, Stamp
from multiscale.continuum.gap_laws import HalfSpaces
from multiscale.continuum.laws import LinearElastic
from multiscale.continuum.mesh import SimplexMesh
from multiscale.continuum.surface import Surface
from multiscale.drive import control
from multiscale.region import Can, Query
from multiscale.regions.cohesive import CohesiveRegion, Together
from multiscale.regions.continuum import ContinuumRegion
from multiscale.types import Team

comm = MPI.COMM_WORLD
mesh = SimplexMesh.rectangle((0.0, -4.0), (6.0, 0.0), (12, 4), degree=2)


def make():
    gap = Gap(Surface(mesh, lambda X: X[:, 1] > -1e-9, "axial"), Stamp.paraboloid(8.0, 2.0))
    body = ContinuumRegion(
        mesh, LinearElastic(isotropic_stiffness(200.0, 0.3)), site_volume=1.0, symmetry="axial", quadrature_degree=4
    )
    adhesion = CohesiveRegion(gap, HalfSpaces(0.5, 1.0), modulus=np.inf)
    return Together([body, adhesion], [gap.dofs[0], gap.dofs[2]]), gap


together, alone = make()[0], make()[0]
together.bind(Team(comm.rank, comm.size, comm))
X = together.reference
rng = np.random.default_rng(0)
x, v = X + 0.05 * rng.normal(size=X.shape) * [1, 1, 0], rng.normal(size=X.shape)
w = rng.uniform(0.2, 1.0, together.n_sites)
query = Query(Can.ENERGY | Can.FORCES | Can.SITE_ENERGIES | Can.HVP, w, v)
mine, whole = together.evaluate(x, query), alone.evaluate(x, query)
for name in ("energy", "forces", "site_energies", "hvp"):
    total = comm.allreduce(mine[name])
    assert np.abs(total - whole[name]).max() < 1e-12 * np.abs(whole[name]).max(), name
share, K = together.stiffness(x, w), alone.stiffness(x, w)
assert np.abs(comm.allreduce(share.toarray()) - K.toarray()).max() < 1e-12 * np.abs(K).max()

region, gap = make()
fixed = np.zeros(X.shape, dtype=bool)
fixed[:, 2] = fixed[gap.stamp] = fixed[X[:, 1] < -4 + 1e-9] = True
fixed[:, 2] = True
fixed[X[:, 0] < 1e-9, 0] = True
model = HybridModel(Interface(X, {"bodies": region}, Nested([], rest="bodies"), fixed), EnergyBlend())
measure = np.zeros(X.shape)
measure[gap.stamp, 1], measure[np.argmin(np.abs(X[:, :2]).sum(axis=1)), 1] = 1.0, -1.0


def at(D):
    q = X.copy()
    q[gap.stamp, 1] = D
    return q


points = list(control(model, at, at(2.0), measure, np.linspace(0.0, -1.0, 5), start=2.0, load_scale=1.0, fmax=1e-9))
loads = [float(p.forces[gap.stamp, 1]) for p in points]
assert comm.allgather(loads) == [loads] * comm.size
if comm.rank == 0:
    print("loads", np.round(loads, 9).tolist())
    print("ranks agree")
