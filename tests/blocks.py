"""Crystals whose middle is atoms and whose rest is a structured mesh: ML/FEM problems for tests, small and exact.

|X| < free               free atoms
… free + blend           atoms slaved to the mesh, weights blending from atoms to mesh
… + one reach            pad
box                      finite elements, fixed at its outer faces

q = [free atoms, mesh nodes]; in two dimensions everything is one lattice period thick along z
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import torch  # noqa: F401 - has to come before DOLFINx
from ase.build import bulk
from scipy.sparse import csr_matrix
from scipy.spatial import cKDTree

from multiscale import HybridModel, Interface, Nested, Quintic
from multiscale.continuum.laws import LinearElastic
from multiscale.continuum.mesh import SimplexMesh
from multiscale.drive import relax
from multiscale.elastic import elastic_constants, lattice_constant
from multiscale.embedding import Embedding, select, slaved, stack
from multiscale.models import EAM, LennardJones, SiteModel, StillingerWeber
from multiscale.regions.continuum import ContinuumRegion
from multiscale.regions.ml import MLRegion
from multiscale.shapes import Box, Cylinder, Sphere


@dataclass(frozen=True, eq=False)
class Material:
    """A cubic crystal as a model has it: constants in GPa and Å, sublattices with their inner shifts."""

    model: SiteModel
    symbol: str
    a: float
    C: Any
    basis: Any
    shifts: Any


@lru_cache
def material(kind: str) -> Material:
    """Lennard-Jones (lj) and aluminium (al) are Bravais lattices, silicon (si) is not."""
    model, symbol, structure, guess = {
        "lj": (LennardJones(0.3, 2.6, cutoff=4.6, onset=4.2, symbols=("Al",)), "Al", "fcc", 4.03),
        "al": (EAM.ercolessi_adams(), "Al", "fcc", 4.03),
        "si": (StillingerWeber(), "Si", "diamond", 5.431),
    }[kind]
    start = MLRegion(model, bulk(symbol, structure, a=guess))
    a = lattice_constant(start.with_cell, start.reference, start.cell, guess)
    cell = MLRegion(model, bulk(symbol, structure, a=a))
    elastic = elastic_constants(cell.with_cell, cell.reference, cell.cell)
    return Material(model, symbol, a, elastic.relaxed, elastic.positions, elastic.inner_shift)


@dataclass(frozen=True, eq=False)
class Block:
    """One problem; every test changes what it needs."""

    kind: str = "lj"
    dim: int = 3
    free: float = 5.5
    blend: float = 4.8
    half: float = 15.5
    cells: int = 8
    shift_sign: float = 1.0
    pad: float | None = None
    vacancy: bool = False

    @cached_property
    def material(self) -> Material:
        return material(self.kind)

    @cached_property
    def atoms(self) -> tuple[Any, Any, Any]:
        """Positions, sublattices and cell centres, free atoms first; all within the counted zone and its pad."""
        m, reach = self.material, self.material.model.cutoff
        # Cells are kept whole: atoms may lie half a bond away from their centres.
        spread = 2.0 * np.linalg.norm(m.basis - m.basis.mean(axis=0), axis=1).max()
        outer = self.free + self.blend + (reach + spread if self.pad is None else self.pad)
        n = int(np.ceil(outer / m.a)) + 2
        k = [np.arange(-n, n + 1)] * self.dim + [np.arange(1)] * (3 - self.dim)
        corners = np.stack(np.meshgrid(*k, indexing="ij"), -1).reshape(-1, 3) * m.a
        face = np.array([[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]]) * m.a / 2
        cells = (corners[:, None] + face).reshape(-1, 3)
        X = cells[:, None] + (m.basis - m.basis.mean(axis=0))
        radius = self.radius(cells)
        keep = radius <= outer + 1e-6
        if self.vacancy:
            keep &= np.linalg.norm(cells, axis=1) > 0.1
        order = np.flatnonzero(keep)[np.argsort(~(radius[keep] <= self.free), kind="stable")]
        b = len(m.basis)
        return X[order].reshape(-1, 3), np.tile(np.arange(b), len(order)), np.repeat(cells[order], b, axis=0)

    def radius(self, X: Any) -> Any:
        return np.linalg.norm(X[:, : self.dim], axis=1)

    @cached_property
    def n_free(self) -> int:
        return int((self.radius(self.atoms[2]) <= self.free).sum())

    @cached_property
    def mesh(self) -> SimplexMesh:
        make = SimplexMesh.box if self.dim == 3 else SimplexMesh.rectangle
        return make((-self.half,) * self.dim, (self.half,) * self.dim, (self.cells,) * self.dim)

    @cached_property
    def n_q(self) -> int:
        return self.n_free + len(self.mesh.nodes)

    @cached_property
    def nodes(self) -> Any:
        return np.arange(self.n_free, self.n_q)

    @cached_property
    def reference(self) -> Any:
        return np.concatenate([self.atoms[0][: self.n_free], self.mesh.nodes])

    def fixed(self) -> Any:
        mask = np.zeros((self.n_q, 3), dtype=bool)
        mask[self.nodes, self.dim :] = True
        mask[self.n_free + self.mesh.boundary_nodes(lambda X: np.abs(X).max(axis=1) > self.half - 1e-6)] = True
        return mask

    def stretched(self, H: Any) -> Any:
        """The homogeneous state q = (1 + H) X, with the inner shifts of the free atoms and z of plane nodes at rest."""
        _, basis, _ = self.atoms
        shift = np.einsum("nijk,jk->ni", self.material.shifts[basis[: self.n_free]], 0.5 * (H + H.T))
        q = self.reference @ (np.eye(3) + H).T
        q[: self.n_free] += shift
        return q

    def ml_region(self) -> MLRegion:
        X, m = self.atoms[0], self.material
        cell, pbc = np.diag([0.0] * self.dim + [m.a] * (3 - self.dim)), [k >= self.dim for k in range(3)]
        return MLRegion(m.model, symbols=[m.symbol] * len(X), positions=X, cell=cell, pbc=pbc)

    def slaved(self, nodes: Any, n_q: int) -> Embedding:
        """All atoms that are not free, by the mesh nodes ``nodes`` of ``n_q`` dofs."""
        X, basis, _ = self.atoms
        shift = self.shift_sign * self.material.shifts[basis[self.n_free :]]
        return slaved(self.mesh, X[self.n_free :], nodes, n_q, shift)

    def ml(self) -> tuple[MLRegion, Embedding]:
        follow = self.slaved(self.nodes, self.n_q)
        return self.ml_region(), stack(select(np.arange(self.n_free), self.n_q), follow)

    def fem_region(self, mesh: SimplexMesh) -> ContinuumRegion:
        m = self.material
        thick = {"thickness": m.a} if self.dim == 2 else {}
        volume = m.a**3 / (4 * len(m.basis))
        return ContinuumRegion(
            mesh, LinearElastic(m.C), site_volume=volume, atom_mass=27.0, quadrature_degree=2, **thick
        )

    def fem(self) -> tuple[ContinuumRegion, Embedding]:
        return self.fem_region(self.mesh), select(self.nodes, self.n_q)

    def core(self) -> Any:
        return Sphere((0, 0, 0), self.free) if self.dim == 3 else Cylinder((0, 0, 0), self.free)

    def interface(self, **more: Any) -> Interface:
        partition = Nested([("ml", self.core(), self.blend)], rest="fem", switch=Quintic())
        regions = {"ml": self.ml(), "fem": self.fem(), **more.pop("extra", {})}
        anchors = {"ml": self.atoms[2]}
        return Interface(self.reference, regions, partition, self.fixed(), anchors=anchors, **more)

    def interior(self) -> Any:
        return ~self.fixed()

    def model(self, coupler: Any, **more: Any) -> HybridModel:
        return HybridModel(self.interface(**more), coupler)


class Cloud:
    """Interpolation between atoms: affine functions are exact, the sum of squared weights of the nearest is least."""

    def __init__(self, atoms: Any, neighbours: int = 12) -> None:
        self.nodes, self.neighbours = atoms, neighbours

    def shape(self, points: Any, tolerance: float = 0.0) -> Any:
        near = cKDTree(self.nodes).query(points, k=self.neighbours)[1]
        rows = []
        for p, k in zip(points, near, strict=True):
            moments = np.vstack([np.ones(len(k)), (self.nodes[k] - p).T])
            rows.append(np.linalg.pinv(moments, rcond=1e-9)[:, 0])
        index = np.repeat(np.arange(len(points)), self.neighbours)
        return csr_matrix((np.ravel(rows), (index, near.ravel())), shape=(len(points), len(self.nodes)))

    def gradient(self, points: Any, tolerance: float = 0.0) -> Any:
        raise NotImplementedError("mesh nodes have no inner shift")


@dataclass(frozen=True, eq=False)
class SharpBlock(Block):
    """The sharp form: a mesh with a hole, whose edge follows the free atoms inside, and a pad that follows the mesh.

    With cells as large as the lattice constant (``size`` 1) the edge's nodes are atoms; otherwise they are fitted to
    the nearest ones. The edge's nodes are no dofs of their own.
    """

    hole_cells: int = 2
    half_cells: int = 5
    size: float = 1.0
    blend: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "free", self.hole_cells * self.h + 1e-6)
        object.__setattr__(self, "half", self.half_cells * self.h)

    @cached_property
    def h(self) -> float:
        return self.size * self.material.a

    def radius(self, X: Any) -> Any:
        return np.abs(X[:, : self.dim]).max(axis=1)

    @cached_property
    def mesh(self) -> SimplexMesh:
        make = SimplexMesh.box if self.dim == 3 else SimplexMesh.rectangle
        full = make((-self.half,) * self.dim, (self.half,) * self.dim, (2 * self.half_cells,) * self.dim)
        kept = full.cells[np.abs(full.centroids).max(axis=1) > self.free]
        used, cells = np.unique(kept, return_inverse=True)
        return SimplexMesh(full.points[used], cells.reshape(-1, self.dim + 1))

    @cached_property
    def edge(self) -> Any:
        """Whether a mesh node lies on the hole's edge."""
        return np.abs(self.mesh.nodes).max(axis=1) <= self.free

    @cached_property
    def n_q(self) -> int:
        return self.n_free + int((~self.edge).sum())

    @cached_property
    def reference(self) -> Any:
        return np.concatenate([self.atoms[0][: self.n_free], self.mesh.nodes[~self.edge]])

    def fixed(self) -> Any:
        mask = np.zeros((self.n_q, 3), dtype=bool)
        mask[self.n_free :, self.dim :] = True
        outer = self.radius(self.reference[self.n_free :]) > self.half - 1e-6
        mask[self.n_free + np.flatnonzero(outer)] = True
        return mask

    def fem(self) -> tuple[ContinuumRegion, Embedding]:
        free, points = self.atoms[0][: self.n_free], self.mesh.nodes[self.edge]
        distance, atom = cKDTree(free[:, : self.dim]).query(points[:, : self.dim])
        cloud = One(free, atom) if distance.max() < 1e-3 else Cloud(free)
        follow = slaved(cloud, points, np.arange(self.n_free), self.n_q)
        rest = select(np.arange(self.n_free, self.n_q), self.n_q)
        where = np.argsort(np.concatenate([np.flatnonzero(self.edge), np.flatnonzero(~self.edge)]))
        return self.fem_region(self.mesh), stack(follow, rest).take(where)

    def ml(self) -> tuple[MLRegion, Embedding]:
        place = self.fem()[1]
        follow = self.slaved(np.arange(place.n_x), place.n_x).after(place)
        return self.ml_region(), stack(select(np.arange(self.n_free), self.n_q), follow)

    def core(self) -> Any:
        lengths = [self.free + 1e-3] * self.dim + [np.inf] * (3 - self.dim)
        return Box((0.0, 0.0, 0.0), tuple(lengths))


class One:
    """Every point follows one given atom."""

    def __init__(self, atoms: Any, which: Any) -> None:
        self.nodes, self.which = atoms, which

    def shape(self, points: Any, tolerance: float = 0.0) -> Any:
        n = len(points)
        return csr_matrix((np.ones(n), (np.arange(n), self.which)), shape=(n, len(self.nodes)))


def gradient(dim: int, s: float) -> Any:
    """A general displacement gradient of size s within the problem's dimensions."""
    H = s * np.array([[1.0, 0.5, 0.0], [0.0, -0.3, 0.3], [0.0, 0.0, 0.2]])
    H[dim:] = H[:, dim:] = 0.0
    return H


def settle(model: HybridModel, q: Any, **settings: Any) -> Any:
    """The last step of a relaxation."""
    return deque(relax(model, q, **settings), maxlen=1).pop()
