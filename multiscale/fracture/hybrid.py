"""A crack whose tip is atoms and whose far field is a mesh: the shared dofs, regions and loads.

r < r_free              free atoms (the atomistic region; a quantum core may lie over its middle)
r_free … + blend        atoms slaved to the mesh, weights blending from the atoms to the continuum
… + two reaches         pad: slaved atoms that only surround counted ones
… R                     finite elements; the K-field on the outer circle, free crack faces

q = [free atoms, mesh nodes],     x_slaved = X + u(X) + Z : sym ∇u
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from ..continuum.kfield import crack_faces
from ..continuum.laws import Law, LinearElastic
from ..continuum.mesh import SimplexMesh
from ..continuum.meshing import cracked_disc
from ..embedding import Embedding, select, slaved, stack
from ..interface import Interface, Overlay
from ..partition import Nested
from ..region import Region
from ..regions.carve import Cluster, carve
from ..regions.continuum import ContinuumRegion
from ..regions.ml import MLRegion
from ..regions.rods import carve_rod
from ..shapes import Cylinder
from ..switching import Quintic, Switch
from ..types import Array, BoolArray
from .crack import Crack, free_first
from .lattice import CrackCrystal
from .material import CrystalOfCrack


@dataclass(frozen=True, eq=False)
class HybridCrack(Crack):
    """Geometry and embeddings of a crack in atoms within a mesh; see the module's docstring for the rings.

    Parameters
    ----------
    material : CrystalOfCrack
    mesh : SimplexMesh
        An annulus with a slit whose hole is ``free_radius`` wide, so that every cell is full of slaved atoms or counted itself:
        nodes in between would be held by nothing.
    free_radius, blend : float
        Å.
    law : Law, optional
        Of the continuum; linear elasticity with the material's constants by default.
    switch : Switch
    """

    material: CrystalOfCrack
    mesh: SimplexMesh
    free_radius: float
    blend: float = 8.0
    law: Law | None = None
    switch: Switch = field(default_factory=Quintic)

    @classmethod
    def disc(
        cls,
        material: CrystalOfCrack,
        free_radius: float,
        radius: float,
        h_inner: float,
        h_outer: float,
        **settings: Any,
    ) -> HybridCrack:
        """A crack in a disc of ``radius`` (Å) with cells from ``h_inner`` to ``h_outer`` (Å), quadratic; needs gmsh."""
        return cls(material, cracked_disc(radius, free_radius, h_inner, h_outer, degree=2), free_radius, **settings)

    def __post_init__(self) -> None:
        reach = self.material.model.cutoff * self.material.model.layers
        # Forces on counted atoms, which force-based couplers ask for, depend on the neighbours of their neighbours.
        m, radius = self.material, self.free_radius + self.blend + 2.0 * reach + self.material.bond
        crystal = m.crystal(radius)
        crystal, n = free_first(crystal, np.hypot(crystal.cells[:, 0], crystal.cells[:, 1]) <= self.free_radius)
        object.__setattr__(self, "crystal", crystal)
        object.__setattr__(self, "n_free", n)

    crystal: CrackCrystal = field(init=False)
    n_free: int = field(init=False)

    # -- geometry ----------------------------------------------------------------------------------------------

    @property
    def reference(self) -> Array:
        """The closed, unloaded crack (n_q, 3)."""
        return np.concatenate([self.crystal.positions[: self.n_free], self.mesh.nodes])

    def fixed(self) -> BoolArray:
        """K-field circle, z of the plane mesh's nodes, and of all where motion is planar."""
        mask = np.zeros((self.n_q, 3), dtype=bool)
        mask[:, 2] = self.material.planar
        mask[self.n_free :, 2] = True
        radius = np.hypot(*self.mesh.nodes[:, :2].T)
        outer = self.mesh.boundary_nodes()
        outer = outer[radius[outer] > 0.98 * radius.max()]
        mask[self.n_free + outer] = True
        return mask

    def displacement(self, K: object, tip: tuple[float, float] = (0.0, 0.0)) -> Array:
        """The K-field at every shared dof (n_q, 3), Å; K in MPa·√m."""
        kfield, n = self.material.field, self.n_free
        atoms = self.shifted_field(self.crystal.positions[:n], self.crystal.basis[:n], K, tip)
        return np.concatenate(
            [atoms, kfield.displacement(self.mesh.nodes, K, tip, crack_faces(self.mesh, tip).astype(float))]
        )

    # -- regions -----------------------------------------------------------------------------------------------

    def atoms(self) -> tuple[MLRegion, Embedding]:
        """All atoms: the free ones, then those slaved to the mesh."""
        return self.region(), self._rows

    @property
    def margin(self) -> float:
        """The width of the blend, Å."""
        return self.blend

    def place(self, q: Array) -> Array:
        """Where all atoms are (n, 3), Å, for shared dofs q (n_q, 3)."""
        return self._rows.place(q)

    @cached_property
    def _rows(self) -> Embedding:
        c, m = self.crystal, self.material
        rest = slice(self.n_free, None)
        # The atoms of a cell whose centre is just outside the hole may lie half a bond inside it.
        edge = 0.5 * m.bond + 0.5
        follow = slaved(self.mesh, c.positions[rest], self.nodes, self.n_q, m.inner_shift[c.basis[rest]], edge)
        return stack(select(np.arange(self.n_free), self.n_q), follow)

    def continuum(self) -> tuple[ContinuumRegion, Embedding]:
        """The mesh, one period thick, with enough quadrature points for weights that vary within cells."""
        region = ContinuumRegion(
            self.mesh,
            self.law or LinearElastic(self.material.C),
            thickness=self.crystal.period,
            site_volume=self.crystal.site_volume,
            atom_mass=self.material.mass,
            quadrature_degree=4,
        )
        return region, select(self.nodes, self.n_q)

    def interface(
        self, extra: dict[str, tuple[Region, Embedding]] | None = None, overlays: dict[str, Overlay] | None = None
    ) -> Interface:
        """The interface of atoms (``ml``) and mesh (``fem``), with further regions laid over it."""
        core = Cylinder((0.0, 0.0, 0.0), self.free_radius)
        partition = Nested([("ml", core, self.blend)], rest="fem", switch=self.switch)
        regions: dict[str, Any] = {"ml": self.atoms(), "fem": self.continuum(), **(extra or {})}
        return Interface(
            self.reference, regions, partition, self.fixed(), overlays=overlays, anchors={"ml": self.crystal.cells}
        )

    def with_model(self, model: Any) -> HybridCrack:
        """The same dofs, mesh and continuum with another interatomic model: its stiffness preconditions where one's own is dear."""
        return replace(self, material=replace(self.material, model=model))  # type: ignore[type-var]

    # -- a quantum core ----------------------------------------------------------------------------------------

    def cluster(self, state: Array, radius: float, *, hops: int = 2, periods: int = 3, centre: float = 0.0) -> Cluster:
        """Carve a cluster about the tip from the atoms at ``state`` (n_q, 3): bonds broken there stay open, cut ones are capped.

        Parameters
        ----------
        state : (n_q, 3) array
            A loaded, relaxed state: its bonds are the topology.
        radius : float
            Å about x = ``centre`` on the crack plane; the core.
        hops : int
            Depth of the buffer in bonds.
        periods : int
            Periods of the core along the front.
        centre : float
            Å.
        """
        x = self.place(state)
        near = np.hypot(self.crystal.positions[:, 0] - centre, self.crystal.positions[:, 1]) <= radius
        core = np.flatnonzero(near[: self.n_free])
        pbc = (False, False, True)
        symbols = [self.material.symbol] * len(x)
        limit = 1.25 * self.material.bond
        # The crystal is one period thick, thinner than any buffer: its atoms' images along the front are meant.
        return carve(
            symbols, x, self.cell, pbc, core, hops=hops, periods=(1, 1, periods), images=True, bond_length=limit
        )

    def rod(self, state: Array, radius: float, *, hops: int = 1, centre: float = 0.0) -> Cluster:
        """One period of a rod along the front about the tip, from the atoms at ``state`` (n_q, 3), as :meth:`cluster` but without ends.

        Its energy is one period's, as the crack's: it can be added to the crack's energy, and another model's be taken off.
        """
        x, X = self.place(state), self.crystal.positions[: self.n_free]
        core = np.flatnonzero(np.hypot(X[:, 0] - centre, X[:, 1]) <= radius)
        symbols = [self.material.symbol] * len(x)
        return carve_rod(symbols, x, self.cell, core, hops=hops, bond_length=1.25 * self.material.bond)

    def over(self, cluster: Cluster) -> Embedding:
        """The affine rows of a cluster's atoms and link atoms over the shared dofs."""
        return cluster.embedding(self.cell, self._rows.n_x).after(self._rows)
