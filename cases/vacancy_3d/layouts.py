"""Which dofs there are, which atoms, and how these follow from those.

    Vertices    q = vertices of the mesh, atoms at those of its refined part; further atoms, two reaches beyond the blend, follow the mesh
    Slaved      q = free atoms, then nodes of a mesh with a hole; the atoms of the blend and the pad follow the mesh with their inner shift

Both know the twin without a defect: its first dof is the vacancy's.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from multiscale.continuum.lattice_mesh_3d import SAME, LatticeMesh3D
from multiscale.continuum.mesh import SimplexMesh
from multiscale.embedding import Embedding, select, slaved, stack
from multiscale.types import Array, BoolArray, IntArray, MultiscaleError


class Vertices:
    """Atoms are vertices."""

    def __init__(self, problem: Any) -> None:
        self.problem = problem
        self.lattice: LatticeMesh3D = problem.lattice

    @property
    def reference(self) -> Array:
        """Dofs at rest (n, 3)."""
        return self.lattice.mesh.nodes

    @property
    def n(self) -> int:
        """Number of dofs."""
        return len(self.reference)

    @property
    def weights(self) -> SimplexMesh:
        """The mesh of the nodal weights."""
        return self.lattice.mesh

    @property
    def beta(self) -> Array:
        """Atomistic weights there."""
        return self.problem.beta

    @cached_property
    def fixed(self) -> BoolArray:
        """Where u = 0 (n, 3)."""
        held = self.lattice.outer
        if self.problem.atomistic:
            held = np.linalg.norm(self.reference, axis=1) > self.problem.core * self.problem.of.r0 + SAME
        return np.repeat(held[:, None], 3, axis=1)

    @property
    def kept(self) -> IntArray:
        """The dofs of the twin without a defect that the problem with one has."""
        return np.arange(int(not self.problem.vacancy), self.n)

    @cached_property
    def pad(self) -> Array:
        """Sites that are no vertices, as far out as a counted atom's forces feel."""
        p = self.problem
        if p.atomistic:
            return np.zeros((0, 3))
        reach = p.edge + (2.0 if p.method in ("BQCF", "BGFC") else 1.0) * p.of.reach
        X = self.lattice.sites((0.0, 0.0, 0.0), reach)
        if reach > 0.95 * p.radius:
            raise MultiscaleError(
                f"the pad of atoms ends at {reach:.4g} Å and the domain at {p.radius:.4g} Å; enlarge the domain"
            )
        return X[cKDTree(self.reference[self.lattice.refined]).query(X)[0] > SAME]

    @cached_property
    def X(self) -> Array:
        """Atoms at rest: vertices, then the pad."""
        return np.concatenate([self.reference[self.lattice.refined], self.pad])

    @property
    def anchors(self) -> Array:
        """Where their weights are taken."""
        return self.X

    @cached_property
    def embedding(self) -> Embedding:
        """Atoms of dofs."""
        own = select(np.flatnonzero(self.lattice.refined), self.n)
        if not len(self.pad):
            return own
        return stack(own, slaved(self.lattice.mesh, self.pad, np.arange(self.n), self.n))

    @cached_property
    def continuum(self) -> tuple[SimplexMesh, IntArray]:
        """The cells that count as continuum, and their nodes."""
        return self.lattice.part((self.beta[self.lattice.mesh.cells] < 1.0).any(axis=1))

    def field(self, q: Array) -> tuple[LatticeMesh3D, Array]:
        """Displacements of the vertices."""
        return self.lattice, q - self.reference

    @property
    def free(self) -> int:
        """Number of points that move."""
        return int((~self.fixed[:, 0]).sum())


class Slaved:
    """Whole cells are free or follow the mesh."""

    def __init__(self, problem: Any) -> None:
        self.problem = problem
        #: The lattice without a hole: weights are taken at the centres of cells, the vacancy's own too.
        self.full: LatticeMesh3D = problem.twin.lattice if problem.vacancy else problem.lattice

    @cached_property
    def cells(self) -> Array:
        """Centres of the cells that have atoms (n_cells, 3), nearest first."""
        p = self.problem
        if p.atomistic:
            return self.full.sites((0.0, 0.0, 0.0), p.core * p.of.r0 + 2.0 * p.of.reach)
        reach = p.edge + (2.0 if p.method in ("BQCF", "BGFC") else 1.0) * p.of.reach
        if reach > 0.95 * p.radius:
            raise MultiscaleError(
                f"the pad of atoms ends at {reach:.4g} Å and the domain at {p.radius:.4g} Å; enlarge the domain"
            )
        return self.full.sites((0.0, 0.0, 0.0), reach)

    @cached_property
    def n_atoms(self) -> int:
        """How many atoms are free; the first ones."""
        inside = np.linalg.norm(self.cells, axis=1) <= self.problem.core * self.problem.of.r0 + SAME
        return int(inside.sum()) * len(self.problem.of.basis) - int(self.problem.vacancy)

    @cached_property
    def sublattice(self) -> IntArray:
        """Of each atom."""
        b = len(self.problem.of.basis)
        return np.tile(np.arange(b), len(self.cells))[int(self.problem.vacancy) :]

    @cached_property
    def anchors(self) -> Array:
        """Centres of the atoms' cells: all atoms of one share a weight."""
        return np.repeat(self.cells, len(self.problem.of.basis), axis=0)[int(self.problem.vacancy) :]

    @property
    def X(self) -> Array:
        """Atoms at rest: free ones, then slaved ones (all atoms: fixed ones)."""
        return self.anchors + self.problem.of.basis[self.sublattice]

    @cached_property
    def ring(self) -> tuple[SimplexMesh, IntArray]:
        """The mesh around the free cells, and which vertices of the lattice's it has."""
        far = np.linalg.norm(self.full.mesh.points, axis=1) > self.problem.core * self.problem.of.r0 + SAME
        return self.full.part(far[self.full.mesh.cells].any(axis=1))

    @cached_property
    def reference(self) -> Array:
        """Dofs at rest (n, 3)."""
        return self.X if self.problem.atomistic else np.concatenate([self.X[: self.n_atoms], self.ring[0].nodes])

    @property
    def n(self) -> int:
        """Number of dofs."""
        return len(self.reference)

    @property
    def weights(self) -> SimplexMesh:
        """The mesh of the nodal weights."""
        return self.full.mesh

    @property
    def beta(self) -> Array:
        """Atomistic weights there."""
        return np.asarray(self.problem.weight(self.full.mesh.points))

    @cached_property
    def fixed(self) -> BoolArray:
        """Where u = 0 (n, 3)."""
        held = np.arange(self.n) >= self.n_atoms
        if not self.problem.atomistic:
            held[self.n_atoms :] = self.full.outer[self.ring[1]]
        return np.repeat(held[:, None], 3, axis=1)

    @property
    def kept(self) -> IntArray:
        """The dofs of the twin without a defect that the problem with one has."""
        gone = int(not self.problem.vacancy)
        return np.arange(gone, self.n)

    @cached_property
    def embedding(self) -> Embedding:
        """Atoms of dofs."""
        if self.problem.atomistic:
            return select(np.arange(self.n), self.n)
        own, shifts = select(np.arange(self.n_atoms), self.n), self.problem.of.shifts[self.sublattice[self.n_atoms :]]
        nodes = np.arange(self.n_atoms, self.n)
        return stack(own, slaved(self.ring[0], self.X[self.n_atoms :], nodes, self.n, shifts))

    @property
    def continuum(self) -> tuple[SimplexMesh, IntArray]:
        """The mesh that counts as continuum, and its nodes among the dofs."""
        return self.ring[0], np.arange(self.n_atoms, self.n)

    def field(self, q: Array) -> tuple[LatticeMesh3D, Array]:
        """Displacements of the lattice's vertices: of nodes, or the mean of a cell's atoms."""
        u = np.zeros(self.full.mesh.points.shape)
        if not self.problem.atomistic:
            u[self.ring[1]] = (q - self.reference)[self.n_atoms :]
        moved, X = (q - self.reference)[: self.n_atoms], self.anchors[: self.n_atoms]
        _, vertex = cKDTree(self.full.mesh.points).query(X)
        count = np.bincount(vertex, minlength=len(u))
        total = np.stack([np.bincount(vertex, moved[:, k], len(u)) for k in range(3)], axis=1)
        u[count > 0] = total[count > 0] / count[count > 0, None]
        lattice = self.problem.lattice
        return lattice, u[len(u) - len(lattice.mesh.points) :]

    @property
    def free(self) -> int:
        """Number of points that move."""
        return int((~self.fixed[:, 0]).sum())
