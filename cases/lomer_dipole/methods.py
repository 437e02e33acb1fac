"""The methods, as weights and couplers on one mesh per size: what each of the published ones is in these symbols.

sharp        β = 1 in the strip |X₂| ≤ w, 0 outside                   QC/CLS, QC-GFC, CADD/FEAt
handshake    β from 1 to 0 over 10 Å outside of the strip             BD, AtC, AtC-GFC; BQCE, BGFC, BQCF with a C² blend
clusters     no continuum: atoms outside follow the mesh, and the site energies (or forces) of clusters stand for them: CQC
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from problem import Specimen
from scipy.spatial import cKDTree

from couplers import EnergyBlend, ForceBlend, GhostCorrected, SharpPad
from multiscale import HybridModel, Interface, Linear, Quintic
from multiscale.atoms_in_mesh import AtomsInMesh
from multiscale.coupler import Claims, Coupler, Evaluation
from multiscale.nodal import Nodal
from multiscale.region import Can, Query
from multiscale.regions.clusters import ClusterRegion
from multiscale.types import Array, BoolArray

#: Å; width of the handshake of the methods that have one.
HANDSHAKE = 10.0


@dataclass(frozen=True)
class NoForces(Coupler):
    """Zero: what the forces of a homogeneously strained crystal are, exactly."""

    needs = Can.NOTHING
    claims = Claims(conservative=False, momentum=True, patch=True)

    def evaluate(self, q: Array, interface: Interface, ask: Any, prepared: Any) -> Evaluation:
        """No forces."""
        return Evaluation(None, np.zeros_like(q))


@dataclass(frozen=True)
class ClusterForces(Coupler):
    """Cluster summation of forces: F = Pᵀ (n ∘ F_atoms), n how often each atom is counted; the energy does not exist."""

    counted: Array
    needs = Can.FORCES
    claims = Claims(conservative=False, momentum=False, patch=True)
    references = ("10.1016/S0022-5096(01)00034-5",)

    def evaluate(self, q: Array, interface: Interface, ask: Any, prepared: Any) -> Evaluation:
        """Forces of whole neighbourhoods on the atoms of clusters, each as often as it is counted."""
        answer = ask(q, {"atoms": Query(Can.FORCES)})["atoms"]
        return Evaluation(None, interface.pull("atoms", self.counted[:, None] * answer["forces"]))


@dataclass(frozen=True)
class Method:
    """One coupling method.

    Attributes
    ----------
    coupler : Coupler
    layers : int
        How far the atoms go on around counted ones: 1 for energies, 2 for forces.
    switch : Switch, optional
        Of the handshake; none is a sharp edge.
    cluster : int
        Atoms per cluster; 0 where there is a continuum.
    forces : bool
        Whether clusters sum forces.
    at_affine : bool
        Whether the coupler is prepared at the homogeneous strain, instead of the predicted state.
    """

    coupler: Coupler
    layers: int = 1
    switch: Any = None
    cluster: int = 0
    forces: bool = False
    at_affine: bool = False


CORRECTED = GhostCorrected(EnergyBlend(), NoForces)
METHODS = {
    "CADD/FEAt": Method(SharpPad(), 2),
    "QC-GFC": Method(GhostCorrected(), 2),
    "AtC-GFC": Method(GhostCorrected(), 2, Linear()),
    "BD": Method(EnergyBlend(), 1, Linear()),
    "QC/CLS": Method(EnergyBlend()),
    "CQC(13)-E": Method(EnergyBlend(), cluster=13),
    "CQC(1)-GFC": Method(CORRECTED, cluster=1, at_affine=True),
    "CQC(1)-E": Method(EnergyBlend(), cluster=1),
    "CQC(13)-F": Method(EnergyBlend(), 2, cluster=13, forces=True),
    "AtC": Method(ForceBlend(), 2, Linear()),
    "BQCE": Method(EnergyBlend(), 1, Quintic()),
    "BGFC": Method(GhostCorrected(), 2, Quintic()),
    "BQCF": Method(ForceBlend(), 2, Quintic()),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Problem:
    """One method at one size; None is all atoms."""

    specimen: Specimen
    method: Method | None
    height: float = 0.0
    name: str = field(default="all atoms")

    @cached_property
    def net_mesh(self) -> Any:
        """Its mesh."""
        if self.method is None:
            return self.specimen.all_atoms()
        return self.specimen.mesh(self.height + (HANDSHAKE if self.method.switch else 0.0))

    @cached_property
    def atoms(self) -> AtomsInMesh:
        """All atoms in it."""
        return self.specimen.within(self.net_mesh)

    @cached_property
    def beta(self) -> Array:
        """Atomistic weights of the vertices."""
        y = np.abs(self.atoms.reference[:, 1])
        if self.method is None:
            return np.ones(len(y))
        out = (y <= self.height).astype(float)
        if self.method.switch:
            out = np.maximum(
                out, np.where(y > self.height, self.method.switch(np.maximum(y - self.height, 0) / HANDSHAKE), 1.0)
            )
        return out

    def fixed(self) -> BoolArray:
        """The rim, and X₃: the problem is symmetric in it."""
        net, sites = self.specimen.net, self.net_mesh.sites
        out = np.ones((self.atoms.n_q, 3), dtype=bool)
        out[self.specimen.free(net.m[sites], net.k[sites]), :2] = False
        return out

    @cached_property
    def start(self) -> Array:
        """The elastic dipole on free vertices."""
        X = self.atoms.reference
        return np.asarray(X + np.where(self.fixed()[:, :2].all(axis=1)[:, None], 0.0, self.specimen.dipole(X)))

    def sheared(self, gamma: float) -> Array:
        """The perfect crystal under simple shear."""
        out = self.atoms.reference.copy()
        out[:, 0] += gamma * out[:, 1]
        return out

    def displacement(self, q: Array) -> Array:
        """Of all atoms (n, 3), Å."""
        return np.asarray(self.atoms.place.place(q) - self.atoms.positions)

    def model(self) -> HybridModel:
        """The hybrid model."""
        m = self.method
        if m is None:
            return HybridModel(self.atoms.interface(None, self.beta, self.fixed()), EnergyBlend())
        if m.cluster:
            return self._clusters(m)
        interface = self.atoms.interface(self.specimen.law, self.beta, self.fixed(), layers=m.layers)
        return HybridModel(interface, m.coupler)

    # -- cluster summation ---------------------------------------------------------------------------------------

    @cached_property
    def share(self) -> Any:
        """How often each atom is counted for each vertex (nv, n): n_a/|C_a| in its cluster; clusters of one in the strip."""
        A, size = self.atoms, self.method.cluster if self.method else 1
        n_a = np.asarray(A.mesh.shape(A.positions).sum(axis=0)).ravel()
        if size == 1:
            near = A.vertices[:, None]
        else:
            # Neighbours along X₃ are images of atoms that are listed: the cluster is the vertex, its 2 images and 10 others.
            near = self._nearest()
        near = np.where((self.beta > 0)[:, None], A.vertices[:, None], near)
        rows = np.repeat(np.arange(A.n_q), near.shape[1])
        return sp.csr_matrix(
            (np.repeat(n_a / near.shape[1], near.shape[1]), (rows, near.ravel())), shape=(A.n_q, len(A.positions))
        )

    def _nearest(self) -> Any:
        """The 13 atoms of fcc's first shell about each vertex, images folded back."""
        A = self.atoms
        X, period = A.positions, self.specimen.net.period
        images = np.concatenate([X + [0, 0, s * period] for s in (-1, 0, 1)])
        distance, found = cKDTree(images).query(A.reference, k=13)
        near = found % len(X)
        # At the edge of the block shells are not whole: clusters of one there, where everything is held.
        return np.where((distance[:, -1] > 1.1 * period)[:, None], A.vertices[:, None], near)

    def _clusters(self, m: Method) -> HybridModel:
        A = self.atoms
        counted = np.asarray(self.share.sum(axis=0)).ravel()
        index = np.flatnonzero(A.seen(counted > 0, m.layers))
        which = np.zeros(len(A.positions), dtype=bool)
        which[index] = True
        region, place = A.atoms(which)
        ones = Nodal(A.mesh, {"atoms": np.ones(A.n_q)})
        if m.forces:
            coupler: Coupler = ClusterForces(counted[index])
            return HybridModel(
                Interface(A.reference, {"atoms": (region, place)}, ones, self.fixed(), strict=False), coupler
            )
        number = np.full(len(A.positions), -1)
        number[index] = np.arange(len(index))
        clusters = ClusterRegion(region, self.share[:, index], number[A.vertices])
        return HybridModel(
            Interface(A.reference, {"atoms": (clusters, place)}, ones, self.fixed(), strict=False), m.coupler
        )
