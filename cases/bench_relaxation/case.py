"""Relaxation of a crack: evaluations to 1e-4 eV/Å, atoms in a mesh against atoms alone.

Both start from the K-field at K_G and, relaxed there, from the predictor of the next load step, and both use the driver of this package; a
well-known preconditioned optimiser (ASE's PreconLBFGS) relaxes the atoms alone as the peer. Stillinger–Weber silicon, λ = 42.
"""

from __future__ import annotations

import time
from typing import Any

import ase
import numpy as np
from ase.constraints import FixAtoms
from ase.optimize.precon import Exp, PreconLBFGS

from couplers import EnergyBlend
from multiscale import Case, Expect, HybridModel, Interface, Nested
from multiscale.calculator import RegionCalculator
from multiscale.drive import relax
from multiscale.fracture.hybrid import HybridCrack
from multiscale.fracture.lattice import diamond
from multiscale.fracture.material import CrackMaterial
from multiscale.models import StillingerWeber
from multiscale.regions.ml import MLRegion
from multiscale.types import Array

#: eV/Å.
FMAX = 1e-4
#: Å; two cutoffs and a little, held at the K-field.
SKIN = 7.74


class Relaxation(Case):
    """Evaluations, site evaluations and time to relax a crack: hybrid, all-atom, and all-atom by ASE's PreconLBFGS."""

    name = "bench_relaxation"
    benchmark = True
    sizes = {
        "tiny": {"free_radius": 12.0, "radius": 60.0, "all_atom_radius": 20.0, "step": 0.02},
        "small": {"free_radius": 20.0, "radius": 200.0, "all_atom_radius": 50.0, "step": 0.02},
        "full": {"free_radius": 20.0, "radius": 200.0, "all_atom_radius": 100.0, "step": 0.02},
    }
    expectations = (
        Expect("evaluations, hybrid / all-atom, K-field start", 1.5, source="goal of the project", kind="at most"),
        Expect("evaluations, hybrid / all-atom, load step", 1.5, source="goal of the project", kind="at most"),
    )
    citations = ("10.1063/1.4947024",)

    def build(self, run):
        """The same crack twice: in a mesh, and in atoms alone."""
        s, material = run.settings, CrackMaterial.of(StillingerWeber(three_body_strength=42.0))
        crack = run.world.bcast(
            HybridCrack.disc(material, s["free_radius"], s["radius"], 7.0, 25.0) if run.first else None
        )
        return {"hybrid": Hybrid(crack), "all-atom": AllAtom(material, s["all_atom_radius"])}

    def measure(self, run, systems):
        """Relax from the K-field, then take one load step; the peer does the same on the all-atom system."""
        found = {}
        for name, system in systems.items():
            run.record(f"{name}: free atoms", system.free_atoms)
            found[name] = self._ours(run, name, system, run.settings["step"])
        peer = self._peer(systems["all-atom"], run.settings["step"]) if run.first else None
        found["all-atom, PreconLBFGS"] = run.world.bcast(peer)
        for stage in ("K-field start", "load step"):
            for name in found:
                n, seconds = found[name][stage][:2]
                run.record(f"{name}, {stage}: evaluations", n)
                run.record(f"{name}, {stage}: time", seconds, "s")
            a, b = found["hybrid"][stage], found["all-atom"][stage]
            run.record(f"evaluations, hybrid / all-atom, {stage}", a[0] / b[0])
            run.record(
                f"site evaluations, all-atom / hybrid, {stage}",
                b[0] * systems["all-atom"].sites / (a[0] * systems["hybrid"].sites),
            )
            run.record(f"time, all-atom / hybrid, {stage}", b[1] / a[1])
        return found

    @staticmethod
    def _ours(run: Any, name: str, system: Any, step: float) -> dict[str, tuple[int, float, list[float]]]:
        K, out = system.material.K_griffith, {}
        q = system.reference + system.displacement(K)
        for stage in ("K-field start", "load step"):
            start = time.perf_counter()
            steps = list(relax(system.model, q, fmax=FMAX))
            out[stage] = (steps[-1].evaluations, time.perf_counter() - start, [s.max_force for s in steps])
            if not steps[-1].converged:
                run.say(f"{name}, {stage}: not converged")
            q = steps[-1].q + system.displacement(step * K)
        return out

    @staticmethod
    def _peer(system: AllAtom, step: float) -> dict[str, tuple[int, float, list[float]]]:
        """ASE's preconditioned L-BFGS with its exponential preconditioner, Packwood et al. 2016."""
        # A region of this rank alone: the model's own one answers with its rank's share only.
        region, K, out = system.fresh(), system.material.K_griffith, {}
        counter = Counting(region)
        q = system.reference + system.displacement(K)
        for stage in ("K-field start", "load step"):
            atoms = ase.Atoms(region.symbols, q, cell=region.cell, pbc=region.pbc)
            atoms.calc, counter.calls = counter, 0
            atoms.set_constraint(FixAtoms(mask=system.held))
            start = time.perf_counter()
            optimiser = PreconLBFGS(atoms, precon=Exp(A=3.0), logfile=None, use_armijo=True)
            forces: list[float] = []
            optimiser.attach(lambda a=atoms, f=forces: f.append(float(np.linalg.norm(a.get_forces(), axis=1).max())))
            optimiser.run(fmax=FMAX, steps=1000)
            out[stage] = (counter.calls, time.perf_counter() - start, forces)
            q = atoms.positions + system.displacement(step * K)
        return out

    def plot(self, run, found):
        """Largest force against evaluations."""
        import matplotlib.pyplot as plt

        figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), sharey=True)
        for axis, stage in zip(axes, ("K-field start", "load step"), strict=True):
            for name, stages in found.items():
                forces = stages[stage][2]
                axis.semilogy(
                    np.arange(1, len(forces) + 1), forces, "o-", ms=3, label=f"{name}: {stages[stage][0]} evaluations"
                )
            axis.axhline(FMAX, color="#c1121f", ls="--", lw=1)
            axis.set(xlabel="step", title=stage)
            axis.legend(fontsize=8)
        axes[0].set_ylabel("largest force on a free dof, eV/Å")
        figure.tight_layout()
        run.save_figure(figure, "bench_relaxation.png")


class Counting(RegionCalculator):
    """Counts calculations, the peer's evaluations."""

    calls = 0

    def calculate(self, *args: Any, **kwargs: Any) -> None:
        """One more."""
        self.calls += 1
        super().calculate(*args, **kwargs)


class Hybrid:
    """The crack in a mesh."""

    def __init__(self, crack: HybridCrack):
        self.material, self.reference, self.displacement = crack.material, crack.reference, crack.displacement
        self.model = HybridModel(crack.interface(), EnergyBlend())
        self.free_atoms = crack.n_free
        self.sites = int((self.model.interface.weights(crack.reference)["ml"] > 0).sum())


class AllAtom:
    """The same crack in atoms alone, those beyond a radius held at the K-field."""

    def __init__(self, material: CrackMaterial, radius: float):
        crystal = diamond(material.orientation, material.a, radius + SKIN)
        self.material, self.reference, self.basis = material, crystal.positions, crystal.basis
        self.period = crystal.period
        self.held = np.hypot(crystal.cells[:, 0], crystal.cells[:, 1]) > radius
        interface = Interface(crystal.positions, {"ml": self.fresh()}, Nested([], rest="ml"), self.held)
        self.model = HybridModel(interface, EnergyBlend())
        self.free_atoms, self.sites = int((~self.held).sum()), len(self.held)

    def fresh(self) -> MLRegion:
        """A region of all atoms that belongs to no team yet."""
        symbols = [self.material.symbol] * len(self.reference)
        place = {"cell": np.diag([0.0, 0.0, self.period]), "pbc": (False, False, True)}
        return MLRegion(self.material.model, symbols=symbols, positions=self.reference, **place)

    def displacement(self, K: float) -> Array:
        """The K-field with the inner shift of its strain, Å."""
        field, X = self.material.field, self.reference
        shift = np.einsum("nijk,njk->ni", self.material.inner_shift[self.basis], field.displacement_gradient(X, K))
        return field.displacement(X, K) + shift


if __name__ == "__main__":
    Relaxation().main()
