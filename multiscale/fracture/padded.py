"""A crack of atoms with a pad in a mesh whose inner nodes follow atoms: nothing is weighed, each is the other's boundary (CADD, FEAt).

    r < r_free                   free atoms
    … + two reaches              pad: atoms slaved to the mesh,     x_a = X_a + Σ_v N_v(X_a) u_v
    r_free − overlap … R         finite elements; K-field on the outer circle, free crack faces
    r = r_free − overlap         nodes slaved to atoms,             u_v = Σ_k b_k(X_v) u_k      b: of a quadratic fit to free atoms

q = [free atoms, nodes outside of the hole's rim]. Linear displacements are handed over exactly both ways, so that the patch test is
passed. In CADD the nodes at the edge *are* atoms (overlap 0); with an overlap (FEAt's transition zone) any mesh will do. What is wrong in
the displacements handed over, ε, is a strain ε/overlap there: hence quadratic cells, a quadratic fit, and an overlap of 1½ bonds.

References: L. E. Shilkrot, R. E. Miller & W. A. Curtin, J. Mech. Phys. Solids 52 (2004) 755, DOI 10.1016/j.jmps.2003.09.023; S. Kohlhoff,
P. Gumbsch & H. F. Fischmeister, Phil. Mag. A 64 (1991) 851, DOI 10.1080/01418619108213953.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

from ..continuum.kfield import crack_faces
from ..continuum.laws import Law, LinearElastic
from ..continuum.mesh import SimplexMesh
from ..continuum.meshing import cracked_disc
from ..embedding import Embedding, select, slaved, stack
from ..interface import Interface, Overlay
from ..partition import Nested
from ..region import Region
from ..regions.continuum import ContinuumRegion
from ..shapes import Cylinder
from ..types import Array, BoolArray, IntArray, MultiscaleError
from .crack import Crack, free_first
from .lattice import CrackCrystal
from .material import CrystalOfCrack

#: How many atoms a node on the hole's edge follows: a quadratic has six coefficients.
AROUND = 12


@dataclass(frozen=True, eq=False)
class PaddedCrack(Crack):
    """Geometry and embeddings of a crack for the sharp coupling of atoms with a pad; see the module's docstring for the rings.

    Parameters
    ----------
    material : CrystalOfCrack
        Of one atom per cell: inner nodes cannot follow atoms that shift within their cells.
    mesh : SimplexMesh
        An annulus with a slit; its hole lies among the free atoms.
    free_radius : float
        Å.
    law : Law, optional
        Of the continuum; linear elasticity with the material's constants by default.

    Raises
    ------
    MultiscaleError
        If the crystal has a basis, or the hole is not wholly among the free atoms.
    """

    material: CrystalOfCrack
    mesh: SimplexMesh
    free_radius: float
    law: Law | None = None
    crystal: CrackCrystal = field(init=False)
    n_free: int = field(init=False)

    @classmethod
    def disc(
        cls,
        material: CrystalOfCrack,
        free_radius: float,
        radius: float,
        h_inner: float,
        h_outer: float,
        *,
        overlap: float | None = None,
        **settings: Any,
    ) -> PaddedCrack:
        """A crack in a disc of ``radius`` (Å) with cells from ``h_inner`` to ``h_outer`` (Å), quadratic; needs gmsh.

        ``overlap`` (Å) of mesh and free atoms is 1½ bonds unless told.
        """
        hole = free_radius - (1.5 * material.bond if overlap is None else overlap)
        mesh = cracked_disc(radius, hole, h_inner, h_outer, degree=2)
        return cls(material, mesh, free_radius, **settings)

    def __post_init__(self) -> None:
        m = self.material
        if len(m.inner_shift) > 1:
            raise MultiscaleError(
                f"nodes cannot follow the atoms of a crystal with {len(m.inner_shift)} atoms in its cell, which shift against one another; "
                "take a HybridCrack, with a coupler that blends"
            )
        # Forces on free atoms depend on the neighbours of their neighbours.
        crystal = m.crystal(self.free_radius + 2.0 * m.model.cutoff * m.model.layers + 0.2)
        crystal, n = free_first(crystal, np.hypot(crystal.cells[:, 0], crystal.cells[:, 1]) <= self.free_radius)
        object.__setattr__(self, "crystal", crystal)
        object.__setattr__(self, "n_free", n)
        hole = np.hypot(*self.mesh.nodes[self.rim, :2].T).max() if len(self.rim) else 0.0
        if not 0.0 < hole < self.free_radius:
            raise MultiscaleError(
                f"the mesh's hole (radius {hole:.4g} Å) has to lie among the free atoms, within {self.free_radius:.4g} Å; give "
                "cracked_disc a hole smaller by a bond"
            )

    # -- geometry ----------------------------------------------------------------------------------------------

    @cached_property
    def rim(self) -> IntArray:
        """Nodes of the mesh on the hole's edge."""
        edge = self.mesh.boundary_nodes()
        radius = np.hypot(*self.mesh.nodes[edge, :2].T)
        # Straight edges leave the middle nodes a little inside the circle.
        return edge[radius <= radius.min() / np.cos(np.pi / 8)] if radius.min() > 0 else edge[:0]

    @cached_property
    def own_nodes(self) -> IntArray:
        """Nodes of the mesh that are shared dofs, in their order."""
        return np.setdiff1d(np.arange(len(self.mesh.nodes)), self.rim)

    @property
    def reference(self) -> Array:
        """The closed, unloaded crack (n_q, 3)."""
        return np.concatenate([self.crystal.positions[: self.n_free], self.mesh.nodes[self.own_nodes]])

    def fixed(self) -> BoolArray:
        """K-field circle, z of the plane mesh's nodes, and of all where motion is planar."""
        mask = np.zeros((self.n_q, 3), dtype=bool)
        mask[:, 2] = self.material.planar
        mask[self.n_free :, 2] = True
        outer = np.zeros(len(self.mesh.nodes), dtype=bool)
        edge, radius = self.mesh.boundary_nodes(), np.hypot(*self.mesh.nodes[:, :2].T)
        outer[edge[radius[edge] > 0.98 * radius.max()]] = True
        mask[self.n_free :][outer[self.own_nodes]] = True
        return mask

    def displacement(self, K: object, tip: tuple[float, float] = (0.0, 0.0)) -> Array:
        """The K-field at every shared dof (n_q, 3), Å; K in MPa·√m."""
        kfield, n = self.material.field, self.n_free
        faces = crack_faces(self.mesh, tip).astype(float)[self.own_nodes]
        nodes = kfield.displacement(self.mesh.nodes[self.own_nodes], K, tip, faces)
        return np.concatenate([kfield.displacement(self.crystal.positions[:n], K, tip), nodes])

    def place(self, q: Array) -> Array:
        """Where all atoms are (n, 3), Å, for shared dofs q (n_q, 3)."""
        return self._rows.place(q)

    # -- embeddings --------------------------------------------------------------------------------------------

    @cached_property
    def field_rows(self) -> Embedding:
        """All nodes of the mesh: their own dofs, and on the hole's edge what a fit to the atoms around each says."""
        nodes, n = self.mesh.nodes, self.n_free
        atoms, b = self._among_atoms(nodes[self.rim], crack_faces(self.mesh)[self.rim])
        rows = np.repeat(np.arange(len(self.rim)), AROUND)
        scalar = sp.csr_matrix((b.ravel(), (rows, atoms.ravel())), shape=(len(self.rim), self.n_q))
        offset = nodes[self.rim] - scalar @ self.reference
        follow = Embedding(
            sp.kron(scalar, sp.identity(3), format="csr"), offset, np.full(len(self.rim), -1, dtype=np.int64)
        )
        both = stack(select(n + np.arange(len(self.own_nodes)), self.n_q), follow)
        return both.take(np.argsort(np.concatenate([self.own_nodes, self.rim])))

    @cached_property
    def _rows(self) -> Embedding:
        rest, nodes = self.crystal.positions[self.n_free :], self.mesh.nodes
        follow = slaved(self.mesh, rest, np.arange(len(nodes)), len(nodes), None, 0.5).after(self.field_rows)
        return stack(select(np.arange(self.n_free), self.n_q), follow)

    def _among_atoms(self, points: Array, faces: IntArray) -> tuple[IntArray, Array]:
        """Free atoms (n, AROUND) near points on the same side of the crack, and the weights (n, AROUND) of a quadratic fit to them."""
        X = self.crystal.positions[: self.n_free, :2]
        side = np.where(points[:, 0] > 0, 0, np.where(faces != 0, faces, np.sign(points[:, 1]))).astype(int)
        chosen, weights = np.empty((len(points), AROUND), dtype=np.int64), np.empty((len(points), AROUND))
        for k, (x, s) in enumerate(zip(points[:, :2], side, strict=True)):
            d = (X - x) / self.material.bond
            far = np.hypot(d[:, 0], d[:, 1]) + np.where((s == 0) | (X[:, 1] * s > 0), 0.0, 1e3)
            # Rounded, since equal distances must not be ordered by round-off.
            near = np.lexsort([np.arange(len(far)), np.round(far, 6)])[:AROUND]
            (u, v), w = d[near].T, np.exp(-0.5 * (far[near] / 1.5) ** 2)
            basis = np.stack([np.ones_like(u), u, v, u * u, u * v, v * v], axis=1)
            fit = np.linalg.pinv(w[:, None] * basis, rcond=1e-8) * w
            chosen[k], weights[k] = near, fit[0]
        return chosen, weights

    # -- regions -----------------------------------------------------------------------------------------------

    def interface(
        self, extra: dict[str, tuple[Region, Embedding]] | None = None, overlays: dict[str, Overlay] | None = None
    ) -> Interface:
        """The interface of atoms (``ml``) and mesh (``fem``), with further regions laid over it; the mesh counts from r_free outwards."""
        m, c = self.material, self.crystal
        law = self.law or LinearElastic(m.C)
        mesh = ContinuumRegion(
            self.mesh, law, thickness=c.period, site_volume=c.site_volume, atom_mass=m.mass, quadrature_degree=4
        )
        regions: dict[str, Any] = {"ml": (self.region(), self._rows), "fem": (mesh, self.field_rows), **(extra or {})}
        partition = Nested([("ml", Cylinder((0.0, 0.0, 0.0), self.free_radius), 0.0)], rest="fem")
        return Interface(self.reference, regions, partition, self.fixed(), overlays=overlays)

    def atoms_held(self) -> Interface:
        """All atoms (:meth:`place`) as dofs of their own, with the pad held: the free ones then have an energy to go down."""
        X, held = self.crystal.positions, np.zeros(self.crystal.positions.shape, dtype=bool)
        held[:, 2], held[self.n_free :] = self.material.planar, True
        return Interface(X, {"ml": self.region()}, Nested([], rest="ml"), held)
