"""The problem and its models: a row of vacancies in the triangular lattice, by all atoms and by every coupling method.

q = vertices of the mesh, which are atoms in its refined part; the far field F0 X is held on the outermost ring. The continuum has the
cells in which the atoms' weights fall below one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.spatial import ConvexHull

from couplers import EnergyBlend, ForceBlend, GhostCorrected
from multiscale import Cubic, HybridModel, Interface, Quintic
from multiscale.continuum.cauchy_born import CauchyBorn
from multiscale.continuum.lattice_mesh import BONDS, CELL_AREA, SITE_AREA, LatticeMesh, triangular
from multiscale.embedding import select
from multiscale.models import ToyEAM
from multiscale.nodal import Nodal, apart, complete, min_hessian, refined
from multiscale.reconstruction import grac_23, interface_sites, weights
from multiscale.regions import ContinuumRegion, MLRegion
from multiscale.regions.stars import StarRegion
from multiscale.types import Array, MultiscaleError

#: Benchmark B2: sizes of the atomistic region, layers of all-atom clusters, and the far field F0 = LOAD × ground state; the benchmark
#: prints ten digits of F0, and its energies need more.
K0 = (3, 4, 6, 8, 11, 16, 22)
ATM = (9, 12, 17, 23, 33, 46, 65)
LOAD = ((1.0, 0.02), (0.0, 1.03))
GROUND_STATE = 0.9838046719169292
#: What ends the name of a method tells its blend, and is min-Hessian unless told.
SWITCHES = {"cubic": Cubic(), "quintic": Quintic()}
METHODS = ("ATM", "QCE", "BQCE", "BQCE cubic", "BQCE quintic", "BQCF", "BGFC", "GRAC")


@dataclass(frozen=True)
class Defect:
    """A row of 2·half + 1 vacancies in a crystal of strength c, sheared and stretched.

    Attributes
    ----------
    half : int
    c : float
        eV; strength of the many-body term.
    """

    half: int = 0
    c: float = 10.0

    @cached_property
    def model(self) -> ToyEAM:
        """The interatomic model."""
        return ToyEAM(c=self.c)

    @cached_property
    def law(self) -> CauchyBorn:
        """Its Cauchy–Born law; a plane cell is 1 Å thick."""
        cell = np.zeros((3, 3))
        cell[:2, :2], cell[2, 2] = BONDS[:2], 1.0
        return CauchyBorn(self.model, cell, self.model.symbols, pbc=(True, True, False))

    @cached_property
    def F(self) -> Array:
        """The far field (3, 3): sheared by 2 % and stretched by 3 % from the ground state."""
        out = np.eye(3)
        # The benchmark's ground state was relaxed to 1e-6 eV/Å only: 6e-9 from the true one.
        out[:2, :2] = np.array(LOAD) * (GROUND_STATE if self.c == 10.0 else self.ground_state())
        return out

    def ground_state(self) -> float:
        """The distance of nearest neighbours in the crystal without load, Å."""

        def pressure(s: float) -> float:
            P = self.law.stress((s - 1.0) * np.eye(2)[None])[0]
            return float(P[0, 0] + P[1, 1])

        return float(brentq(pressure, 0.85, 1.1, xtol=1e-14))

    def density(self) -> float:
        """W(F0), eV per site."""
        return float(self.law.density((self.F - np.eye(3))[None])[0] * SITE_AREA)


@dataclass(frozen=True)
class Problem:
    """One method on one mesh.

    Attributes
    ----------
    method : str
        One of ``METHODS``.
    K0 : int
        Layers of atoms that the method has for the defect; for ATM all that there are.
    defect : Defect
    outer, exponent : float, optional
        Size of the domain (K0² + 10) and of the cells; see :func:`multiscale.continuum.lattice_mesh.triangular`.
    vacancies : bool
        Whether the defect is there.
    """

    method: str
    K0: int
    defect: Defect = field(default_factory=Defect)
    outer: float | None = None
    exponent: float = 1.5
    vacancies: bool = True

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise MultiscaleError(f"point_defect_2d has no method '{self.method}'; choose from {', '.join(METHODS)}")

    @cached_property
    def lattice(self) -> LatticeMesh:
        """The mesh of benchmark B2 for the method."""
        k = self.K0
        core = {"ATM": k, "QCE": k + 1, "GRAC": k + 2}.get(self.method, 2 * k)
        half = self.defect.half
        outer = half + k if self.method == "ATM" else (k**2 + 10 if self.outer is None else self.outer)
        return mesh(core, outer, half, self.exponent, self.vacancies)

    @property
    def n(self) -> int:
        """Number of nodes."""
        return len(self.lattice.refined)

    @cached_property
    def beta(self) -> Array:
        """Atomistic weights (n,) of the nodes: functions of the number of bonds to the edge of the refined part."""
        hops, width = self.lattice.hops, self.K0
        if self.method == "ATM":
            return np.ones(self.n)
        if self.method in ("QCE", "GRAC"):
            return (hops >= 1).astype(float)
        switch = SWITCHES.get(self.method.rpartition(" ")[2])
        if switch is not None:
            return switch(1.0 - np.maximum(hops, 0) / width)
        # Zero on the two outermost layers of atoms, one from width + 1 bonds on.
        known = np.where(hops < 2, 0.0, np.where(hops > width, 1.0, np.nan))
        return min_hessian(self.lattice.lines, known)

    @property
    def start(self) -> Array:
        """F0 X (n, 3)."""
        return np.asarray(self.lattice.mesh.nodes @ self.defect.F.T)

    def displacement(self, q: Array) -> Array:
        """Displacements u = q − F0 X (n, 3), Å."""
        return np.asarray(q - self.start)

    def fixed(self) -> Array:
        """The outermost ring, with all atoms alone the two outermost layers; and everything out of the plane."""
        out = np.zeros((self.n, 3), dtype=bool)
        out[:, 2] = True
        out[self.lattice.hops <= 1 if self.method == "ATM" else self.lattice.outer] = True
        return out

    def coupler(self) -> Any:
        """The coupling method."""
        return {"BQCF": ForceBlend, "BGFC": GhostCorrected}.get(self.method, EnergyBlend)()

    def model(self) -> HybridModel:
        """The hybrid model, prepared at F0 X."""
        lattice, beta = self.lattice, self.beta
        refined(lattice.mesh.volumes, lattice.mesh.cells, beta, CELL_AREA)
        if self.method != "ATM":
            layers = 2 if self.method in ("BQCF", "BGFC") else 1
            complete(lattice.neighbours, beta, layers, bare=lattice.at_defect)
            apart(lattice.neighbours, beta, lattice.at_defect)
        regions, partition = (self._grac if self.method == "GRAC" else self._blend)()
        # The exact check above takes the place of the gate's probes, which look for neighbours out of the plane too.
        interface = Interface(lattice.mesh.nodes, regions, partition, self.fixed(), strict=False)
        model = HybridModel(interface, self.coupler())
        model.prepare(self.start)
        return model

    def _blend(self) -> tuple[dict[str, Any], Nodal]:
        regions = {"atoms": self._atoms(self.lattice.refined)}
        if self.method == "ATM":
            return regions, Nodal(self.lattice.mesh, {"atoms": self.beta})
        return regions | {"fem": self._fem()}, Nodal(self.lattice.mesh, {"atoms": self.beta}, rest="fem")

    def _grac(self) -> tuple[dict[str, Any], Nodal]:
        lattice, atoms = self.lattice, self.beta > 0
        sites, stars = grac_23(lattice.neighbours, atoms)
        positions = stars.place(lattice.mesh.nodes).reshape(-1, 7, 3)
        star = StarRegion(self.defect.model, positions, self.defect.model.symbols[0]), stars
        table = weights(interface_sites(lattice.neighbours, atoms), atoms)
        regions = {"atoms": self._atoms(atoms), "stars": star, "fem": self._fem()}
        return regions, Nodal(lattice.mesh, table, rest="fem")

    def _atoms(self, which: Array) -> tuple[MLRegion, Any]:
        index = np.flatnonzero(which)
        symbols, X = self.defect.model.symbols * len(index), self.lattice.mesh.nodes[index]
        return MLRegion(self.defect.model, symbols=symbols, positions=X, skin=0.1), select(index, self.n)

    def _fem(self) -> tuple[ContinuumRegion, Any]:
        mesh, nodes = self.lattice.part((self.beta[self.lattice.mesh.cells] < 1.0).any(axis=1))
        return ContinuumRegion(mesh, self.defect.law, site_volume=SITE_AREA), select(nodes, self.n)


def seminorm(lattice: LatticeMesh, u: Array) -> float:
    """|u|_{1,2} = (∫ |∇u|² dX)^½ of nodal values (n, 3), Å."""
    mesh = lattice.mesh
    middle = np.full((len(mesh.cells), 3), 1.0 / 3.0)
    slopes = [g @ u for g in mesh.gradient_in(np.arange(len(mesh.cells)), middle)]
    return float(np.sqrt(sum((s**2).sum(axis=1) @ mesh.volumes for s in slopes)))


def onto(reference: LatticeMesh, lattice: LatticeMesh, u: Array) -> Array:
    """Nodal values (n, 3) of one mesh interpolated at the nodes of another; 0 outside."""
    inside, rows = between(reference, lattice)
    out = np.zeros((len(reference.refined), 3))
    out[inside] = rows @ u
    return out


@lru_cache(maxsize=64)
def between(reference: LatticeMesh, lattice: LatticeMesh) -> tuple[Array, Any]:
    """Which nodes of a mesh lie in another one, which is convex but for the vacancies, and the interpolation there."""
    points = reference.mesh.nodes
    hull = np.unique(ConvexHull(lattice.mesh.points[lattice.outer]).equations.round(9), axis=0)
    inside = np.flatnonzero((points[:, :2] @ hull[:, :2].T + hull[:, 2] < 1e-6).all(axis=1))
    return inside, lattice.mesh.shape(points[inside], 1e-5)


@lru_cache(maxsize=64)
def mesh(core: int, outer: float, half: int, exponent: float, vacancies: bool) -> LatticeMesh:
    """Meshes are shared by the methods that need the same one."""
    return triangular(core, outer, half=half, exponent=exponent, vacancies=vacancies)


def reference(defect: Defect, K: int = 48) -> Problem:
    """The reference solution's problem: GRAC with K layers of the lattice in a domain of K² layers."""
    return Problem("GRAC", K - 2, defect, float(K * K), 1.25)
