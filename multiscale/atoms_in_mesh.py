"""Atoms in a mesh whose vertices are atoms where it is refined: one set of dofs, every coupling between atoms and continuum.

    q      = vertices;   atoms that are vertices move with them, all others follow:   x_a = X_a + Σ_v N_v(X_a) (q_v − X_v)
    atoms    those with a weight β > 0, and all that they see: one reach for energies, two for forces on them
    fem      cells with a vertex of β < 1
    w_atoms  = Σ_v N_v β_v,     w_fem = 1 − w_atoms

The mesh may be plane and the atoms a crystal one period thick: vertices take the third coordinate of their atoms.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree

from .continuum.mesh import SimplexMesh
from .drive.precondition import Preconditioner
from .embedding import Embedding, select, slaved, stack
from .interface import Interface
from .models.base import SiteModel
from .nodal import Nodal, refined
from .regions.continuum import ContinuumRegion
from .regions.ml import MLRegion
from .types import Array, BoolArray, IntArray, MultiscaleError

#: Å; a vertex this near to an atom is that atom.
SAME = 1e-6


@dataclass(frozen=True, eq=False)
class AtomsInMesh:
    """Atoms and a mesh that covers all of them.

    Parameters
    ----------
    mesh : SimplexMesh
        Linear.
    positions : (n, 3) array
        All atoms of the problem, Å, whether they are ever evaluated or not.
    symbol : str
        Their element.
    model : SiteModel
    cell, pbc : (3, 3), (3,)
        Of the atoms.
    simplex : float
        Å³ (Å² of a plane mesh); the volume of the lattice's own cells, of which a blend has to consist.
    site_volume : float
        Å³ per atom.
    thickness : float
        Å; of a plane mesh.

    Raises
    ------
    MultiscaleError
        If the mesh is quadratic or does not cover an atom.
    """

    mesh: SimplexMesh
    positions: Array
    symbol: str
    model: SiteModel
    cell: Array
    pbc: tuple[bool, bool, bool]
    simplex: float
    site_volume: float
    thickness: float = 1.0
    #: The atom (nv,) that each vertex is, −1 where it is none.
    vertices: IntArray = field(init=False)

    def __post_init__(self) -> None:
        if self.mesh.degree != 1:
            raise MultiscaleError(f"atoms at vertices need a linear mesh, got degree {self.mesh.degree}")
        bare = ~self.mesh.contains(self.positions, SAME)
        if bare.any():
            k = int(np.flatnonzero(bare)[0])
            raise MultiscaleError(
                f"atom {k} at {np.round(self.positions[k], 3).tolist()} Å lies outside of the mesh ({int(bare.sum())} such atoms); "
                "give a mesh that covers all of them"
            )
        dim = self.mesh.dim
        distance, atom = cKDTree(self.positions[:, :dim]).query(self.mesh.points)
        object.__setattr__(self, "vertices", np.where(distance < SAME, atom, -1))

    # -- dofs ---------------------------------------------------------------------------------------------------

    @property
    def n_q(self) -> int:
        """Number of vertices, which are the shared dofs."""
        return len(self.vertices)

    @cached_property
    def reference(self) -> Array:
        """(n_q, 3), Å."""
        out = self.mesh.nodes.copy()
        at = self.vertices >= 0
        out[at] = self.positions[self.vertices[at]]
        return out

    @cached_property
    def nodes(self) -> Embedding:
        """The mesh's nodes, in its own plane."""
        return select(np.arange(self.n_q), self.n_q, self.mesh.nodes - self.reference)

    @cached_property
    def place(self) -> Embedding:
        """All atoms: copies of their vertices, or slaved to the mesh."""
        n = len(self.positions)
        vertex = np.full(n, -1)
        at = np.flatnonzero(self.vertices >= 0)
        vertex[self.vertices[at]] = at
        copies, rest = np.flatnonzero(vertex >= 0), np.flatnonzero(vertex < 0)
        parts = [select(vertex[copies], self.n_q)]
        if len(rest):
            parts.append(slaved(self.mesh, self.positions[rest], np.arange(self.n_q), self.n_q).after(self.nodes))
        return stack(*parts).take(np.argsort(np.concatenate([copies, rest])))

    # -- regions ------------------------------------------------------------------------------------------------

    def atomic_weights(self, beta: Array) -> Array:
        """The weights (n,) of the atoms for nodal ones (n_q,)."""
        return np.asarray(self.mesh.shape(self.positions) @ beta)

    def seen(self, counted: BoolArray, layers: int) -> BoolArray:
        """Atoms (n,) that the counted ones (n,) see: within one reach for their energies, two for the forces on them."""
        if not counted.any():
            raise MultiscaleError("no atom is counted; give some of the vertices that are atoms a weight")
        x, reach = self.positions, layers * self.model.cutoff * self.model.layers
        full = np.where(np.asarray(self.pbc)[:, None], self.cell, 0.0)
        # Distances in the plane of the open axes are shorter than true ones: never too few atoms.
        open_axes = ~(np.abs(full).sum(axis=0) > 0)
        near = cKDTree(x[counted][:, open_axes]).query(x[:, open_axes], distance_upper_bound=reach + 1e-9)[0]
        return counted | np.isfinite(near)

    def atoms(self, which: BoolArray, skin: float = 0.5) -> tuple[MLRegion, Embedding]:
        """The atoms ``which`` (n,) as a region on the vertices."""
        index = np.flatnonzero(which)
        region = MLRegion(
            self.model, symbols=[self.symbol] * len(index), positions=self.positions[index], cell=self.cell, pbc=self.pbc, skin=skin
        )  # fmt: skip
        return region, self.place.take(index)

    def continuum(self, law: Any, keep: BoolArray) -> tuple[ContinuumRegion, Embedding]:
        """Some of the cells (nc,) as a region on the vertices."""
        used, cells = np.unique(self.mesh.cells[keep], return_inverse=True)
        mesh = SimplexMesh(self.mesh.points[used], cells.reshape(-1, self.mesh.dim + 1))
        return ContinuumRegion(mesh, law, site_volume=self.site_volume, thickness=self.thickness), self.nodes.take(used)

    def preconditioner(self, law: Any, fixed: BoolArray) -> Preconditioner:
        """The linearised continuum on all of the mesh, factorised: as cheap for all atoms as the mesh is, and right for long waves.

        Atoms' own Hessians reach two cutoffs far, and their factors fill up; see :func:`multiscale.drive.relax.relax`.
        """
        region, place = self.continuum(law.linearised(), np.ones(len(self.mesh.cells), dtype=bool))
        free = ~fixed
        index = np.flatnonzero(free.ravel())
        k = (place.matrix.T @ region.stiffness(region.reference) @ place.matrix)[index][:, index]
        loaded = np.asarray(abs(k).sum(axis=1)).ravel() > 0
        k = (k + sp.diags(np.where(loaded, 0.0, 1.0))).tocsc()
        return Preconditioner(
            free, splu(k, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}), 0.0
        )

    def interface(self, law: Any, beta: Array, fixed: BoolArray, *, layers: int = 1, exact: bool = True) -> Interface:
        """Atoms (``atoms``) and continuum (``fem``) with the nodal weights β.

        Parameters
        ----------
        law : Law or None
            Of the continuum; None where all atoms are counted.
        beta : (n_q,) array
            Atomistic weights of the vertices: 0 where they are no atoms.
        fixed : (n_q, 3) bool array
        layers : int
            1 for couplings by energies, 2 for those by forces.
        exact : bool
            Refuse blends with cells that are no simplices of the lattice, where the energy would not be counted exactly.

        Raises
        ------
        MultiscaleError
            If vertices that are no atoms have a weight, or the mesh is coarser than the blend needs.
        """
        bare = (self.vertices < 0) & (beta > 0)
        if bare.any():
            k = int(np.flatnonzero(bare)[0])
            raise MultiscaleError(
                f"vertex {k} has an atomistic weight of {beta[k]:.3g} but is no atom ({int(bare.sum())} such vertices); refine "
                "the mesh as far as the blend goes"
            )
        if exact:
            refined(self.mesh.volumes, self.mesh.cells, np.where(beta < 1, beta, 0.0), self.simplex)
        outside = (beta[self.mesh.cells] < 1).any(axis=1)
        regions: dict[str, Any] = {"atoms": self.atoms(self.seen(self.atomic_weights(beta) > 0, layers))}
        if outside.any():
            regions["fem"] = self.continuum(law, outside)
        rest = "fem" if outside.any() else None
        return Interface(self.reference, regions, Nodal(self.mesh, {"atoms": beta}, rest=rest), fixed)
