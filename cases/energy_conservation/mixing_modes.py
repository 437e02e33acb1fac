"""The ways of mixing two levels that the case compares, on periodic silicon; and one that is broken on purpose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import ase
import numpy as np
from ase.build import bulk

from couplers import EnergyBlend, ForceMixing
from multiscale import Claims, Cubic, Evaluation, HybridModel, Interface, Linear, Nested, Overlay, Quintic, Sphere
from multiscale.align import align
from multiscale.descriptors import DescriptorField
from multiscale.embedding import select
from multiscale.models import StillingerWeber
from multiscale.models.descriptors import CentroSymmetry
from multiscale.region import Can, Query
from multiscale.regions.ml import MLRegion
from multiscale.shapes import Shape, SmoothUnion

A0, CORE, ZONE = 5.43095, 3.5, 5.0
LOW, HIGH = StillingerWeber(), StillingerWeber(25.0, epsilon=1.05 * 2.1683)
SWITCHES = {"linear": Linear(), "cubic": Cubic(), "quintic": Quintic()}

ENERGY = ("energy mixing, fixed centre", "energy mixing, seed-attached", "energy mixing, descriptor-driven")
BROKEN = "energy mixing without the ∇s force"
FORCE = tuple(f"force mixing, {name}" for name in ("step", *SWITCHES))
MODES = ("pure model", *ENERGY, BROKEN, *FORCE)


@dataclass(frozen=True)
class WithoutGradient(EnergyBlend):
    """What a code does that switches energies and forgets that the weights move. Broken on purpose."""

    claims: ClassVar[Claims] = Claims(conservative=False, momentum=True, patch=False)

    def evaluate(self, q: Any, interface: Interface, ask: Any, prepared: Any) -> Evaluation:
        """Weighted energies and forces at fixed weights."""
        w = interface.weights(q)
        answers = ask(q, {r: Query(Can.ENERGY | Can.FORCES, w[r]) for r in w})
        forces = np.sum([interface.pull(r, a["forces"]) for r, a in answers.items()], axis=0)
        return Evaluation(sum(a["energy"] for a in answers.values()), forces)


class Silicon:
    """Periodic silicon, the centre of the region and the two models' energy zeros."""

    def __init__(self, cells: int):
        self.atoms: ase.Atoms = bulk("Si", a=A0, cubic=True) * (cells, cells, cells)
        self.X = self.atoms.positions
        self.seed = int(np.argmin(np.linalg.norm(self.X - 0.5 * self.atoms.cell.lengths(), axis=1)))
        symbols = self.atoms.get_chemical_symbols()
        self.zeros: Mapping[str, float] = align(MLRegion(HIGH, self.atoms), MLRegion(LOW, self.atoms), symbols).zeros

    def regions(self, aligned: bool = True) -> dict[str, MLRegion]:
        """Both levels on all atoms."""
        zeros = self.zeros if aligned else None
        return {"high": MLRegion(HIGH, self.atoms, energy_zero=zeros), "low": MLRegion(LOW, self.atoms)}

    def sphere(self, core: float = CORE) -> Sphere:
        """The core at rest in the laboratory, a little off the atom."""
        return Sphere(tuple(self.X[self.seed] + 0.3), core)

    def field(self) -> DescriptorField:
        """A field that thermal motion alone drives through all of its zone: centro-symmetry is 0.33 ± 0.08 Å² at 300 K."""
        descriptor = MLRegion(CentroSymmetry(), self.atoms)
        cell = self.atoms.cell.array
        return DescriptorField(descriptor, 0.15, 0.55, radius=6.0, length=ZONE, cell=cell, pbc=True)

    def blend(self, shape: Shape, *, switch: Any = None, aligned: bool = True, coupler: Any = None) -> HybridModel:
        """Energy mixing with weights that move."""
        partition = Nested([("high", shape, ZONE)], rest="low", switch=switch or Quintic(), frame="current")
        return HybridModel(Interface(self.X, self.regions(aligned), partition), coupler or EnergyBlend())

    def force_mixing(self, kind: str) -> tuple[HybridModel, HybridModel]:
        """Force mixing over a sphere at rest, χ at current positions; and the energy blend of the same χ, the energy to look at."""
        # A step is where the switches are one half, and so narrow that an atom crosses it in less than a time step.
        step = kind == "step"
        width, switch = (0.01, Quintic()) if step else (ZONE, SWITCHES[kind])
        shape = self.sphere(CORE + 0.5 * ZONE if step else CORE)
        overlay = {"high": Overlay(shape, width, switch, "current")}
        mixed = Interface(self.X, self.regions(), Nested([], rest="low"), overlays=overlay)
        partition = Nested([("high", shape, width)], rest="low", switch=switch, frame="current")
        blend = Interface(self.X, self.regions(), partition, strict=not step)
        return HybridModel(mixed, ForceMixing(high="high")), HybridModel(blend, EnergyBlend())

    def mode(self, name: str) -> tuple[HybridModel, HybridModel]:
        """The model of a mode, and the model whose energy is looked at (the same where it has one)."""
        if name in FORCE:
            return self.force_mixing(name.split(", ")[1])
        if name == "pure model":
            model = HybridModel(
                Interface(self.X, {"low": MLRegion(LOW, self.atoms)}, Nested([], rest="low")), EnergyBlend()
            )
        elif name == BROKEN:
            model = self.blend(self.sphere(), coupler=WithoutGradient())
        else:
            shapes = (self.sphere(), SmoothUnion((self.seed,), CORE), self.field())
            model = self.blend(dict(zip(ENERGY, shapes, strict=True))[name])
        return model, model

    def sweep(self, switch: Any, Q: Any, h: float) -> float:
        """Largest jump of dF/dx on one atom, eV/Å², while the zone's inner edge sweeps over it in steps of h Å.

        The zone rides on a shared dof that is no atom; its edge is over the atom at a point of the grid for every h.
        """
        n, reference = len(self.X), np.concatenate([self.X, self.X[self.seed : self.seed + 1]])
        everything = select(np.arange(n), n + 1)
        regions = {name: (region, everything) for name, region in self.regions().items()}
        partition = Nested([("high", SmoothUnion((n,), CORE), ZONE)], rest="low", switch=switch, frame="current")
        model = HybridModel(Interface(reference, regions, partition), EnergyBlend())
        atom = int(np.argsort(np.linalg.norm(self.X - self.X[self.seed], axis=1))[8])
        u = (self.X[self.seed] - Q[atom]) / np.linalg.norm(self.X[self.seed] - Q[atom])
        forces = []
        for s in h * np.arange(-round(0.02 / h), round(0.02 / h) + 1):
            forces.append(model.evaluate(np.concatenate([Q, [Q[atom] + (CORE + s) * u]])).forces[atom])
        return float(np.abs(np.diff(forces, 2, axis=0)).max() / h)
