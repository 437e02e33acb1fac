"""The problem: one vacancy in a cubic crystal, by atoms alone and by methods that couple them to a mesh.

    aluminium    the sites of the refined lattice are vertices and atoms at once; atoms of the pad follow the mesh
    silicon      cells of two atoms: those within ``core`` are free, the others follow the mesh with their inner shift

u = 0 on the outer sphere (all atoms: beyond ``core``). Lengths are counted in r₀ = (√2 v₀)^{1/3}, without a strain the distance of
neighbouring sites of the lattice.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import torch  # noqa: F401 - has to come before DOLFINx
from ase.build import bulk
from couplings import Less
from layouts import Slaved, Vertices

from couplers import EnergyBlend, ForceBlend, GhostCorrected
from multiscale import Cubic, HybridModel, Interface
from multiscale.continuum.cauchy_born import CauchyBorn
from multiscale.continuum.lattice_mesh_3d import LatticeMesh3D, bravais
from multiscale.elastic import elastic_constants, lattice_constant
from multiscale.embedding import select
from multiscale.models import EAM, SiteModel, StillingerWeber
from multiscale.nodal import Nodal, refined
from multiscale.regions import ContinuumRegion, MLRegion
from multiscale.types import Array, MultiscaleError

METHODS = ("ATM", "BQCE", "BQCF", "BGFC")
#: Of strains, symmetric.
DIRECTION = np.array([[1.0, 0.5, 0.0], [0.5, -0.3, 0.3], [0.0, 0.3, 0.2]])
#: Cells are no larger than this part of their distance from the vacancy.
GRADE = 0.3


@dataclass(frozen=True, eq=False)
class Material:
    """A cubic crystal as its model has it.

    Attributes
    ----------
    a : float
        Å, at zero stress and without a strain.
    cell : (3, 3) array
        Primitive cell of the (strained) fcc lattice, rows, Å.
    C : (6, 6) array
        GPa, with relaxed inner shifts.
    basis : (n_basis, 3) array
        Å; atoms about the centre of their cell.
    shifts : (n_basis, 3, 3, 3) array
        Å per strain; see :func:`multiscale.elastic.elastic_constants`.
    """

    model: SiteModel
    symbol: str
    a: float
    cell: Array
    C: Array
    basis: Array
    shifts: Array

    @property
    def r0(self) -> float:
        """Distance of neighbouring sites of the lattice, Å."""
        return float((np.sqrt(2.0) * self.volume) ** (1.0 / 3.0))

    @property
    def volume(self) -> float:
        """Of a primitive cell, Å³."""
        return float(abs(np.linalg.det(self.cell)))

    @property
    def reach(self) -> float:
        """Å from the centre of a cell to that of another whose atoms its own may see."""
        spread = float(np.linalg.norm(self.basis[:, None] - self.basis, axis=2).max())
        return float(self.model.cutoff) + spread

    @cached_property
    def law(self) -> CauchyBorn:
        """The Cauchy–Born law of the model."""
        return CauchyBorn(self.model, self.cell, [self.symbol] * len(self.basis), self.basis)

    @cached_property
    def cohesive(self) -> float:
        """Energy of an atom of the perfect crystal, eV."""
        return float(self.law.density(np.zeros((1, 3, 3)))[0]) * self.law.crystal.volume / len(self.basis)


@lru_cache
def material(name: str, strain: float = 0.0) -> Material:
    """Aluminium ("Al", Ercolessi & Adams) or silicon ("Si", Stillinger & Weber), at rest or strained by strain · ``DIRECTION``.

    The strained crystal is the reference configuration: everything else, the law and the inner shifts too, is about that state.
    """
    known = {"Al": (EAM.ercolessi_adams, "fcc", 4.03), "Si": (StillingerWeber, "diamond", 5.431)}
    if name not in known:
        raise MultiscaleError(f"vacancy_3d knows no material {name!r}; choose from {', '.join(known)}")
    make, structure, guess = known[name]
    model = make()
    start = MLRegion(model, bulk(name, structure, a=guess))
    a = lattice_constant(start.with_cell, start.reference, start.cell, guess)
    F = np.eye(3) + strain * DIRECTION
    crystal = MLRegion(model, bulk(name, structure, a=a))
    elastic = elastic_constants(crystal.with_cell, crystal.reference @ F, crystal.cell @ F)
    basis = elastic.positions - elastic.positions.mean(axis=0)
    return Material(model, name, a, 0.5 * a * (1.0 - np.eye(3)) @ F, elastic.relaxed, basis, elastic.inner_shift)


@lru_cache(maxsize=2)
def meshed(of: Material, edge: float, radius: float, exponent: float, grade: float, most: Any) -> LatticeMesh3D:
    """The mesh without a vacancy, whose site is the first vertex; Å. Methods on the same mesh follow one another."""

    def size(x: Array) -> float:
        h = grade * float(np.sqrt(x @ x))
        return h if most is None else min(h, most(x))

    return bravais(of.cell, edge, radius, exponent=exponent, size=size, vacant=np.zeros((1, 3)), vacancies=False)


@dataclass(frozen=True)
class Problem:
    """One method on one mesh.

    Attributes
    ----------
    material : str
        "Al" or "Si".
    method : str
        One of ``METHODS``.
    core : float
        r₀; radius of what counts fully as atoms, or of the free atoms where there are no others.
    blend : float, optional
        r₀; how far the blend goes on: as far as the core's radius unless told.
    outer : float, optional
        r₀; radius of the domain, 3 core^{5/3} + 20 unless told.
    exponent, grade : float
        Cells are of size r₀ (r/(core + blend))^exponent, and no larger than grade · r.
    vacancy : bool
        Whether the defect is there.
    linear : bool
        Whether the continuum's law is taken to second order about the crystal at rest.
    size : callable, optional
        Size (Å) that cells at a point have at most.
    strain : float
        Of the crystal far away from the vacancy; see :func:`material`.
    """

    material: str
    method: str
    core: float
    blend: float | None = None
    outer: float | None = None
    exponent: float = 1.6
    grade: float = GRADE
    vacancy: bool = True
    linear: bool = False
    size: Any = None
    strain: float = 0.0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise MultiscaleError(f"vacancy_3d has no method '{self.method}'; choose from {', '.join(METHODS)}")

    @property
    def of(self) -> Material:
        """The crystal."""
        return material(self.material, self.strain)

    @property
    def atomistic(self) -> bool:
        """Whether there are only atoms."""
        return self.method == "ATM"

    @property
    def edge(self) -> float:
        """Where atoms cease to count, Å."""
        return (self.core + (self.core if self.blend is None else self.blend)) * self.of.r0

    @property
    def radius(self) -> float:
        """Of the domain, Å."""
        outer = 3.0 * self.core ** (5.0 / 3.0) + 20.0 if self.outer is None else self.outer
        return float(outer * self.of.r0)

    @property
    def twin(self) -> Problem:
        """The same without the defect."""
        return replace(self, vacancy=False)

    @cached_property
    def lattice(self) -> LatticeMesh3D:
        """Lattice and mesh; the site of the vacancy is the first vertex where it is not vacant."""
        size = self.core * self.of.r0 + 2.0 * self.of.reach if self.atomistic else self.edge
        full = meshed(self.of, size, 0.0 if self.atomistic else self.radius, self.exponent, self.grade, self.size)
        return full.vacate(int(self.vacancy))

    @cached_property
    def beta(self) -> Array:
        """Atomistic weights (n,) of the vertices."""
        if self.atomistic:
            return np.ones(len(self.lattice.refined))
        return self.weight(self.lattice.mesh.points)

    def weight(self, X: Array) -> Array:
        """β by the distance from the vacancy."""
        inner = self.core * self.of.r0
        return np.asarray(Cubic()((np.linalg.norm(X, axis=1) - inner) / (self.edge - inner)))

    @cached_property
    def layout(self) -> Any:
        """Dofs, atoms and embeddings: of vertices (one atom per cell) or of free and slaved atoms (more)."""
        return (Vertices if len(self.of.basis) == 1 else Slaved)(self)

    def regions(self) -> tuple[dict[str, Any], Nodal]:
        """Atoms and continuum, and how they share the matter."""
        place = self.layout
        atoms = (
            MLRegion(self.of.model, symbols=[self.of.symbol] * len(place.X), positions=place.X, skin=0.5),
            place.embedding,
        )
        if self.atomistic:
            return {"atoms": atoms}, Nodal(place.weights, {"atoms": np.ones(len(place.weights.nodes))})
        law = self.of.law.linearised() if self.linear else self.of.law
        mesh, nodes = place.continuum
        fem = ContinuumRegion(mesh, law, site_volume=self.of.volume / len(self.of.basis)), select(nodes, place.n)
        return {"atoms": atoms, "fem": fem}, Nodal(place.weights, {"atoms": place.beta}, rest="fem")

    def model(self, coupler: Any = None) -> HybridModel:
        """The hybrid model, prepared at rest."""
        place = self.layout
        if not self.atomistic:
            refined(self.lattice.mesh.volumes, self.lattice.mesh.cells, self.beta, self.lattice.cell_volume)
        regions, partition = self.regions()
        anchors = {"atoms": place.anchors}
        interface = Interface(place.reference, regions, partition, place.fixed, anchors=anchors, strict=False)
        model = HybridModel(interface, self.coupler() if coupler is None else coupler)
        model.prepare(place.reference)
        return model

    def coupler(self) -> Any:
        """The coupling method; the ghost force of the corrected one is that of the lattice without the defect."""
        if self.method == "BQCF":
            return ForceBlend()
        if self.method != "BGFC" or not self.vacancy:
            return GhostCorrected() if self.method == "BGFC" else EnergyBlend()
        twin = self.twin
        ghost = twin.model(EnergyBlend()).evaluate(twin.layout.reference).forces
        ghost = np.where(twin.layout.fixed, 0.0, ghost)[twin.layout.kept]
        return GhostCorrected(reference_forces=lambda: Less(ghost))

    def rest(self) -> float | None:
        """Energy of the same model without the defect, at rest, eV."""
        if self.method == "BQCF":
            return None
        twin = self.twin
        energy = twin.model(EnergyBlend()).evaluate(twin.layout.reference).energy
        return None if energy is None else float(energy)

    def formation(self, energy: float | None) -> float | None:
        """E_f = E(vacancy) − E(perfect) + e₀, eV."""
        rest = self.rest() if energy is not None else None
        return None if energy is None or rest is None else energy - rest + self.of.cohesive
