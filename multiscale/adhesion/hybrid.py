"""Two bodies in contact whose interface is atoms and whose bulk is meshes: slabs, or a tip on a surface.

d(X) ≤ 0                free atoms, which see each other across the interface y = 0 (or leave that to a law)
d … blend               atoms slaved to their body's mesh, weights blending from the atoms to the continuum
d … two reaches more    pad: slaved atoms that only surround counted ones
beyond                  two meshes, one period thick or in space, and a law in the gap between their surfaces

q = [free atoms, nodes of the lower mesh, nodes of the upper one],      x_slaved = X + u(X) + Z : sym ∇u

The reference is the closed interface of one crystal; the upper body is then moved by Δ along y. Meshes stop where the atoms are free.
What acts across the interface is counted once: between atoms by their potential, between meshes by the law that was measured on it,
and in the blend each has its share, since law and meshes are one region (:class:`~multiscale.regions.together.Together`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import ase
import numpy as np

from ..continuum.cauchy_born import CauchyBorn
from ..continuum.gap import Gap
from ..continuum.laws import Law, LinearElastic
from ..continuum.mesh import SimplexMesh
from ..embedding import Embedding, select, slaved, stack
from ..fracture.lattice import CrackCrystal, patch
from ..fracture.material import CrackMaterial
from ..interface import Interface
from ..partition import Nested, Partition
from ..region import Region
from ..regions.across import AcrossRegion
from ..regions.carve import Cluster
from ..regions.cohesive import CohesiveRegion
from ..regions.continuum import ContinuumRegion
from ..regions.ml import MLRegion
from ..regions.rods import carve_rod
from ..regions.together import Together
from ..shapes import Shape
from ..sharing import Alike, Everything, Separately
from ..types import Array, BoolArray, IntArray, MultiscaleError
from .facing import Facing
from .ghost import GhostLoad
from .law import InterfaceLaw


@dataclass(frozen=True, eq=False)
class HybridContact:
    """Atoms about an interface in two meshed bodies.

    Parameters
    ----------
    material : CrackMaterial
        Its frame: x along the interface, y its normal, z along the periodic direction.
    lower, upper : SimplexMesh
        Meshes of the two bodies, without the part where atoms are free: plane ones, for a contact that is periodic along z, or in space.
    core : Shape
        Where atoms are free; about the interface.
    blend : float
        Å; one reach of the model at least.
    width : float, optional
        Å; period along x (of slabs), with x = 0 and x = width as sides of the meshes; none unless given.
    profile : callable X (n, 3) -> (n,), optional
        Height of the upper body's surface above the interface; atoms of it are those above. A plane unless given.
    continuum : Law, optional
        Linear elasticity with the material's constants unless given; :meth:`cauchy_born` makes the crystal's own.
    gap : (Gap, InterfaceLaw), optional
        Between the meshes' surfaces; where its energy is counted from is a constant.
    inside : float
        Å; how far above the profile atoms have to be, so that chords of the mesh leave none of them out.
    held : callable X (n_q, 3) -> (n_q,) bool, optional
        Which nodes the machine holds; the bottom of the lower mesh and the top of the upper one unless given.
    """

    material: CrackMaterial
    lower: SimplexMesh
    upper: SimplexMesh
    core: Shape
    blend: float
    width: float | None = None
    profile: Callable[[Array], Array] | None = None
    continuum: Law | None = None
    gap: tuple[Gap, InterfaceLaw] | None = None
    inside: float = 0.0
    held: Callable[[Array], BoolArray] | None = None
    crystal: CrackCrystal = field(init=False)
    n_free: int = field(init=False)

    def __post_init__(self) -> None:
        m = self.material
        self._refuse()
        reach = m.model.cutoff * m.model.layers
        far = self.blend + 2.0 * reach + m.bond
        crystal = self._crystal(far)
        free = self.core.value(crystal.cells, None, beyond=far) <= 0.0
        order = np.concatenate([np.flatnonzero(free), np.flatnonzero(~free)])
        object.__setattr__(self, "crystal", crystal.sorted(order))
        object.__setattr__(self, "n_free", int(free.sum()))
        if not free.any():
            raise MultiscaleError(
                "the core has no atoms; put it about the interface y = 0, and make it wider than a bond"
            )

    def _refuse(self) -> None:
        """A width that is no period of crystal and meshes, and a gap with another thickness than the bodies'."""
        m = self.material
        if self.lower.dim != self.upper.dim or (self.in_space and self.width is not None):
            raise MultiscaleError(
                f"both bodies have plane meshes, or both have meshes in space and no width; got dimensions {self.lower.dim} and "
                f"{self.upper.dim}, width {self.width}"
            )
        if self.width is not None:
            period = m.a * float(m.orientation.repeats[0])
            n = round(self.width / period)
            if n < 1 or abs(self.width - n * period) > 1e-6 * period:
                raise MultiscaleError(
                    f"a contact that is periodic along x has a whole number of the crystal's periods, {period:.6g} Å each, got a width of "
                    f"{self.width:.6g} Å"
                )
            for mesh in (self.lower, self.upper):
                ends = float(mesh.points[:, 0].min()), float(mesh.points[:, 0].max())
                if np.abs(np.array(ends) - [0.0, self.width]).max() > 1e-6 * period:
                    raise MultiscaleError(
                        f"the sides of the meshes are x = 0 and x = width ({self.width:.6g} Å), got {ends[0]:.6g} and {ends[1]:.6g} Å"
                    )
        if self.gap is not None:
            given, depth = (
                self.gap[0].surface.thickness,
                1.0 if self.in_space else m.a * float(m.orientation.repeats[2]),
            )
            if abs(given - depth) > 1e-6 * depth:
                raise MultiscaleError(
                    f"the gap's surfaces are {given:.6g} Å thick, the bodies {depth:.6g} Å; give Surface(..., thickness={depth:.6g})"
                )

    def _crystal(self, far: float) -> CrackCrystal:
        """All atoms within ``far`` of the core, of bodies as large as their meshes."""
        o, a = self.material.orientation, self.material.a
        low, high = (np.array([f(m.points, axis=0) for m in (self.lower, self.upper)]) for f in (np.min, np.max))
        slack = 1e-6 * a
        if self.width is None:
            x = float(low[:, 0].min()), float(high[:, 0].max())
        else:
            x = (-a, self.width + a)
        z = (float(low[:, 2].min()), float(high[:, 2].max())) if self.in_space else None
        c = patch(o, a, x, (float(low[:, 1].min()), float(high[:, 1].max())), self._near(far), z)
        keep = filled(c.positions - [0.0, self.inside, 0.0], self.profile)
        if self.width is not None:
            keep &= (c.positions[:, 0] > -slack) & (c.positions[:, 0] < self.width - slack)
        return c.sorted(np.flatnonzero(keep))

    def _near(self, far: float) -> Any:
        return lambda X: self.core.value(X, None, beyond=far) <= far

    # -- dofs ---------------------------------------------------------------------------------------------------

    @property
    def in_space(self) -> bool:
        """Whether bodies end along z, too."""
        return self.lower.dim == 3

    @property
    def n_q(self) -> int:
        """Number of shared dofs."""
        return self.n_free + len(self.lower.nodes) + len(self.upper.nodes)

    @property
    def nodes(self) -> tuple[IntArray, IntArray]:
        """The shared dofs of the two meshes."""
        a, b = self.n_free, self.n_free + len(self.lower.nodes)
        return np.arange(a, b), np.arange(b, self.n_q)

    @cached_property
    def reference(self) -> Array:
        """The closed interface (n_q, 3), Å."""
        return np.concatenate([self.crystal.positions[: self.n_free], self.lower.nodes, self.upper.nodes])

    @property
    def is_upper(self) -> BoolArray:
        """Which shared dofs (n_q,) belong to the upper body."""
        out = np.zeros(self.n_q, dtype=bool)
        out[: self.n_free] = self.bodies[: self.n_free] == 1
        out[self.nodes[1]] = True
        return out

    @property
    def bodies(self) -> IntArray:
        """0 or 1 for every atom (n,)."""
        return (self.crystal.positions[:, 1] > 0).astype(np.int64)

    def at(self, opening: float) -> Array:
        """The upper body moved rigidly by ``opening`` along y: (n_q, 3)."""
        return self.reference + opening * np.outer(self.is_upper, [0.0, 1.0, 0.0])

    @cached_property
    def ends(self) -> tuple[BoolArray, BoolArray]:
        """The dofs (n_q,) of the lower mesh's bottom and of the upper mesh's top."""
        out = []
        for mesh, dofs, end in ((self.lower, self.nodes[0], np.min), (self.upper, self.nodes[1], np.max)):
            y = mesh.nodes[:, 1]
            mask = np.zeros(self.n_q, dtype=bool)
            mask[dofs[np.abs(y - end(y)) < 1e-6]] = True
            out.append(mask)
        return out[0], out[1]

    def fixed(self) -> BoolArray:
        """What the machine holds, z of all nodes in plane strain, and x of all nodes where x is periodic; (n_q, 3)."""
        mask = np.zeros((self.n_q, 3), dtype=bool)
        mask[self.n_free :, 2] = not self.in_space
        mask[self.n_free :, 0] |= self.width is not None
        mask[(self.ends[0] | self.ends[1]) if self.held is None else self.held(self.reference)] = True
        mask[: self.n_free] = False
        return mask

    # -- regions ------------------------------------------------------------------------------------------------

    @cached_property
    def rows(self) -> Embedding:
        """All atoms over the shared dofs: free ones, then those slaved to their own body's mesh."""
        c, m = self.crystal, self.material
        index = np.arange(self.n_free, len(c.positions))
        # Steps of a curved surface, and atoms of a cell whose centre is just outside of the core, stand out of the mesh.
        edge = m.bond + 0.5
        parts, order = [select(np.arange(self.n_free), self.n_q)], [np.arange(self.n_free)]
        for body, (mesh, dofs) in enumerate(zip((self.lower, self.upper), self.nodes, strict=True)):
            mine = index[self.bodies[index] == body]
            if len(mine):
                parts.append(slaved(mesh, c.positions[mine], dofs, self.n_q, m.inner_shift[c.basis[mine]], edge))
                order.append(mine)
        return stack(*parts).take(np.argsort(np.concatenate(order)))

    def place(self, q: Array) -> Array:
        """Where all atoms are (n, 3), Å."""
        return self.rows.place(q)

    @property
    def cell(self) -> Array:
        """Periods along x and z, Å."""
        return np.diag([self.width or 0.0, 0.0, 0.0 if self.in_space else self.crystal.period])

    @property
    def pbc(self) -> tuple[bool, bool, bool]:
        """Periodic axes."""
        return (self.width is not None, False, not self.in_space)

    @property
    def anchors(self) -> Array:
        """Where atoms' weights are taken (n, 3): at the centre of their cell; at their own place where a surface cuts it in two."""
        c = self.crystal
        # As far inside as atoms are: chords of the mesh leave out what is nearer to a curved surface.
        whole = filled(c.cells - [0.0, self.inside, 0.0], self.profile) | (np.abs(c.cells[:, 1]) < 1e-6)
        return np.where(whole[:, None], c.cells, c.positions)

    def atoms(self) -> tuple[MLRegion, Embedding]:
        """Atoms that see each other, across the interface too."""
        c = self.crystal
        region = MLRegion(
            self.material.model, symbols=[self.material.symbol] * len(c.positions), positions=c.positions, cell=self.cell, pbc=self.pbc
        )  # fmt: skip
        if self.profile is not None:
            region.fills = lambda X: filled(X, self.profile)
        return region, self.rows

    def cauchy_born(self) -> CauchyBorn:
        """The crystal's own nonlinear law, in this frame."""
        return self.material.cauchy_born()

    def meshes(self) -> tuple[Any, Embedding]:
        """Both bodies, and the gap between them, as one region."""
        n, m = len(self.lower.nodes), len(self.upper.nodes)
        regions: list[Region] = [
            ContinuumRegion(
                mesh, self.continuum or LinearElastic(self.material.C), thickness=1.0 if self.in_space else self.crystal.period,
                site_volume=self.crystal.site_volume, atom_mass=self.material.mass, quadrature_degree=4,
            )
            for mesh in (self.lower, self.upper)
        ]  # fmt: skip
        dofs = [np.arange(n), n + np.arange(m)]
        if self.gap is not None:
            gap, law = self.gap
            first = gap.surface.mesh is self.lower
            regions.append(CohesiveRegion(gap, law, modulus=np.inf))
            dofs.append(np.concatenate(dofs if first else dofs[::-1]))
        return Together(regions, dofs), select(np.arange(self.n_free, self.n_q), self.n_q)

    def interface(
        self,
        law: InterfaceLaw | None = None,
        ghost: Literal[0, 1, 2] = 2,
        extra: dict[str, tuple[Region, Embedding]] | None = None,
    ) -> Interface:
        """The interface of atoms (``ml``) and meshes with their gap (``fem``).

        Parameters
        ----------
        law : InterfaceLaw, optional
            Given, atoms of the two bodies do not see each other, and the law (``law``) joins them, with a load (``ghost``) that takes
            its ghost force off; for slabs, all of whose interface is atoms.
        ghost : {0, 1, 2}
            As for :func:`~multiscale.adhesion.joined.joined`.
        extra : dict, optional
            Further regions laid over it, with their rows: a quantum rod and what is taken off for it.
        """
        share = Nested([("ml", self.core, self.blend)], rest="fem")
        regions: dict[str, Any] = {"fem": self.meshes(), **(extra or {})}
        if law is None:
            regions["ml"] = self.atoms()
            return Interface(self.reference, regions, share, self.fixed(), anchors={"ml": self.anchors})
        if self.width is None:
            raise MultiscaleError("a law joins the atoms of slabs; a tip's atoms see each other, give law=None")
        law.require_apart()
        c, bodies = self.crystal, self.bodies
        atoms = ase.Atoms([self.material.symbol] * len(bodies), c.positions, cell=self.cell, pbc=self.pbc)
        facing = Facing.bonds(atoms, bodies, [0, 1, 0], self.width * c.period, 1.2 * self.material.bond)
        regions["ml"] = (MLRegion(self.material.model, atoms, bodies=bodies), self.rows)
        regions["law"] = (CohesiveRegion(facing, law, modulus=np.inf), self.rows)
        alike: Partition = Everything("law")
        if ghost:
            across = AcrossRegion(self.material.model, atoms, bodies)
            regions["ghost"] = (GhostLoad.of(across, facing, law, ghost), self.rows)
            alike = Alike(alike, {"ghost": "law"})
        return Interface(self.reference, regions, Separately(share, alike), self.fixed(), anchors={"ml": self.anchors})

    def rod(self, state: Array, radius: float, *, hops: int = 0) -> Cluster:
        """One period of a rod along the contact, from the atoms at ``state`` (n_q, 3) whose reference is within ``radius`` of its centre.

        Bonds between the bodies are inside of it or absent: a cap at a bond that is pulled apart would go with both of its ends.

        Raises
        ------
        MultiscaleError
            If the rod would cut a bond across the interface, or the contact is periodic along x.
        """
        if self.width is not None or self.in_space:
            raise MultiscaleError(
                "a rod goes on for ever along z, which alone has to be periodic; carve it from a plane tip's contact, which is"
            )
        x, X = self.place(state), self.crystal.positions[: self.n_free]
        inside = float(-self.core.value(np.zeros((1, 3)), None, beyond=radius)[0])
        if radius > inside:
            raise MultiscaleError(
                f"a rod of radius {radius:g} Å is thicker than the free atoms about it reach ({inside:.4g} Å); make the core wider"
            )
        core = np.flatnonzero(np.hypot(X[:, 0], X[:, 1]) <= radius)
        found = carve_rod(
            [self.material.symbol] * len(x), x, self.cell, core, hops=hops, bond_length=1.25 * self.material.bond
        )
        inner, outer = self.bodies[found.index[found.links[:, 0]]], self.bodies[found.links[:, 1]]
        if (inner != outer).any():
            raise MultiscaleError(
                f"a rod of radius {radius:g} Å cuts {int((inner != outer).sum())} bonds between the two bodies; choose a radius that has "
                "both of their ends inside, or neither, or carve it from a state with fewer bonds"
            )
        return found

    def over(self, cluster: Cluster) -> Embedding:
        """The affine rows of a cluster's atoms and link atoms over the shared dofs."""
        return cluster.embedding(self.cell, self.rows.n_x).after(self.rows)

    def with_model(self, model: Any) -> HybridContact:
        """The same dofs and meshes with another interatomic model."""
        return replace(self, material=replace(self.material, model=model))


def filled(X: Array, profile: Callable[[Array], Array] | None) -> BoolArray:
    """Which places (n,) belong to a body: all below the interface, and above it those over the profile."""
    height = np.zeros(len(X)) if profile is None else np.asarray(profile(X))
    return np.asarray((X[:, 1] <= 0) | (X[:, 1] > height))
