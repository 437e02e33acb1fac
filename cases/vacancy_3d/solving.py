"""Equilibria and what they are measured by.

    relax      preconditioned by the elastic stiffness of all cells, K_el, the lattice's own included: conjugate gradients with multigrid
    newton     where the atoms' Hessian is cheap (few neighbours)
    error      ‖∇(I u_h − u_ref)‖ / ‖∇u_ref‖ with I u_h the nodal interpolant on the reference's mesh, u_h = 0 outside its own

Errors are those of the vertices: in silicon of the mean of a cell's atoms.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from petsc4py import PETSc
from problem import Problem

from multiscale.continuum.lattice_mesh_3d import LatticeMesh3D
from multiscale.continuum.laws import LinearElastic
from multiscale.continuum.mesh import SimplexMesh
from multiscale.drive import newton, relax
from multiscale.regions import ContinuumRegion
from multiscale.types import Array, BoolArray, MultiscaleError


class Elastic:
    """P⁻¹ = K_el⁻¹ on the free dofs of a mesh; symmetric to the tolerance of the iteration."""

    def __init__(self, mesh: SimplexMesh, C: Array, free: BoolArray, rtol: float = 1e-3) -> None:
        region = ContinuumRegion(mesh, LinearElastic(C), site_volume=1.0)
        self.free = free
        index = np.flatnonzero(free.ravel())
        self._K = region.stiffness(region.reference)
        K = self._K[index][:, index].tocsr()
        A = PETSc.Mat().createAIJ(K.shape, csr=(K.indptr, K.indices, K.data), bsize=3, comm=PETSc.COMM_SELF)
        A.setNearNullSpace(_rigid(mesh.nodes, index))
        self.ksp = PETSc.KSP().create(PETSc.COMM_SELF)
        self.ksp.setOperators(A)
        self.ksp.setType("cg")
        self.ksp.getPC().setType("gamg")
        self.ksp.setTolerances(rtol=rtol, max_it=200)
        self.x, self.b = A.createVecs()

    def product(self, u: Array) -> Array:
        """K_el u (n_q, 3), eV/Å."""
        return np.asarray((self._K @ u.ravel()).reshape(-1, 3))

    def __call__(self, f: Array) -> Array:
        """P⁻¹ f, (n_q, 3)."""
        self.b.array[:] = f[self.free]
        self.ksp.solve(self.b, self.x)
        out = np.zeros_like(f)
        out[self.free] = self.x.array_r
        return out


def _rigid(X: Array, index: Any) -> Any:
    """Rigid-body modes of the free components, orthonormal, for multigrid."""
    modes = [np.tile(e, (len(X), 1)).ravel()[index] for e in np.eye(3)]
    modes += [np.cross(e, X - X.mean(axis=0)).ravel()[index] for e in np.eye(3)]
    q = np.linalg.qr(np.stack(modes, axis=1))[0]
    return PETSc.NullSpace().create(
        vectors=[PETSc.Vec().createWithArray(v.copy(), bsize=3, comm=PETSc.COMM_SELF) for v in q.T]
    )


@dataclass(frozen=True, eq=False)
class Found:
    """A solution."""

    problem: Problem
    model: Any
    q: Array
    energy: float | None
    evaluations: int
    seconds: float

    @property
    def field(self) -> tuple[LatticeMesh3D, Array]:
        """Mesh and displacement of its vertices (n, 3), Å."""
        return self.problem.layout.field(self.q)


def solve(problem: Problem, *, fmax: float = 1e-5, start: Array | None = None, newtons: bool = False) -> Found:
    """The equilibrium from the crystal at rest, or from ``start``."""
    clock = time.perf_counter()
    model, place = problem.model(), problem.layout
    q = place.reference if start is None else start
    steps: Any
    if newtons or len(problem.of.basis) > 1:
        # Factors of a matrix with slaved atoms in space are much fuller than those of a mesh.
        steps = newton(model, q, fmax=fmax, linear="krylov")
    else:
        p = Elastic(problem.lattice.mesh, problem.of.C, ~place.fixed)
        steps = relax(model, q, fmax=fmax, preconditioner=p, max_steps=150, refresh=150)
    last = deque(steps, maxlen=1).pop()
    if not last.converged:
        raise MultiscaleError(
            f"{problem.method} with a core of {problem.core:g} r₀ has {last.max_force:.3g} eV/Å left after {last.index} steps; start nearer"
        )
    return Found(problem, model, last.q, last.energy, last.evaluations, time.perf_counter() - clock)


def gradients(mesh: SimplexMesh, u: Array) -> Array:
    """∇u (nc, 3, 3) of linear elements."""
    n = len(mesh.cells)
    dn = mesh.shape_gradients(np.arange(n), np.full((n, 4), 0.25))
    return np.einsum("cai,caj->cij", u[mesh.cells], dn)


def seminorm(mesh: SimplexMesh, u: Array) -> float:
    """(∫|∇u|² dX)^½, Å^{3/2}."""
    return float(np.sqrt((gradients(mesh, u) ** 2).sum(axis=(1, 2)) @ mesh.volumes))


def onto(mesh: SimplexMesh, other: SimplexMesh, u: Array) -> Array:
    """Nodal values of ``other`` interpolated at the vertices of ``mesh``; 0 outside."""
    inside = np.flatnonzero(other.contains(mesh.points, 1e-6))
    out = np.zeros(mesh.points.shape)
    out[inside] = other.shape(mesh.points[inside], 1e-5) @ u
    return out


def error(found: Found, reference: Found) -> float:
    """Relative error of the displacement gradient in L²."""
    (lattice, u), (exact, v) = found.field, reference.field
    return seminorm(exact.mesh, onto(exact.mesh, lattice.mesh, u) - v) / seminorm(exact.mesh, v)


def order(rows: list[tuple[float, float]]) -> float:
    """The slope of log error against log dofs."""
    n, e = np.array(rows).T
    return float(np.polyfit(np.log(n), np.log(e), 1)[0])
