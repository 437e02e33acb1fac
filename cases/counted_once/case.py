"""Every interaction across an interface is counted once: by the potential, or by the law that was measured on it.

Two slabs of silicon meet in a (111) plane. Their energies are those of two separate bodies (message passing included), and the adhesion
between them is a cohesive law measured on the same potential; in one part of a wide interface the atoms count it instead of the law. What
has to be zero is zero, what is wrong if an interaction is counted twice is wrong by the work of separation, and the force that a law
exerts on relaxing surfaces is measured and taken off.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from picture import draw
from potentials import MODELS, Silicon, silicon

from couplers import EnergyBlend, GhostCorrected
from multiscale import Case, Cylinder, Expect, HybridModel
from multiscale.adhesion.audit import mask_error, pairs_across
from multiscale.adhesion.fits import fit_exponential, fit_ppr
from multiscale.adhesion.joined import joined
from multiscale.adhesion.law import InterfaceLaw, extract
from multiscale.adhesion.slabs import Slabs
from multiscale.drive import relax
from multiscale.interface import Interface
from multiscale.regions.cohesive import CohesiveRegion
from multiscale.regions.ml import MLRegion
from multiscale.sharing import Everything, Separately
from multiscale.types import GPA_PER_EV_A3, J_M2_PER_EV_A2, MultiscaleError

EXACT = "by construction"
OWN = "independent codes with the same potential"
#: Of the ghost load: the second order needs Hessians, which are dear where messages are passed, and changes no closed interface.
ORDER = 1
#: Potentials as they are written in quantities.
SW, TERSOFF, MACE = MODELS


def expectations() -> tuple[Expect, ...]:
    """What holds for every potential, and what is known of two of them."""
    out = []
    for name in MODELS:
        out += [
            Expect(f"{name}: mask audit", 0.0, 1e-9, "masked total = bodies alone", "eV"),
            Expect(f"{name}: weight of pairs across, potential and law", [1.0, 1.0], 1e-12, EXACT),
            Expect(f"{name}: coverage of the interface", 1.0, 1e-12, EXACT),
            Expect(f"{name}: closure, unrelaxed", 0.0, 1e-8, "E_hybrid(closed) = E_full", "eV"),
            Expect(f"{name}: the control is refused", True, source="gate against counting twice"),
            Expect(f"{name}: double counting of the control + A W", 0.0, 1e-8, "exact amount", "eV"),
            Expect(f"{name}: ∫T dδ/(E_A + E_B − E_AB) − 1", 0.0, 1e-4, "work of separation"),
            Expect(f"{name}: registry", 0.0, 1e-8, "slide by a lattice vector", "eV"),
            Expect(f"{name}: partition moved by a period", 0.0, 1e-8, "bulk state", "eV"),
            Expect(f"{name}: force on closed interface, corrected", 0.0, 1e-7, "forces of all atoms", "eV/Å"),
            Expect(
                f"{name}: closure, relaxed and corrected",
                0.0,
                1e-3 if name == MACE else 1e-4,
                "all atoms at rest",
                "J/m²",
            ),
        ]
    return (
        *out,
        Expect(f"{SW}: W", 2.7201, 1e-4, f"4ε/(√3 a₀²); {OWN}", "J/m²"),
        Expect(f"{SW}: strength", 36.23, 0.02, OWN, "GPa"),
        Expect(f"{SW}: opening at strength", 0.590, 2e-3, OWN, "Å"),
        Expect(f"{SW}: control, wrong by", -4.337, 1e-3, OWN, "eV per 25.54 Å²"),
        Expect(f"{TERSOFF}: control, wrong by", -4.103, 1e-3, OWN, "eV per 25.54 Å²"),
        Expect(f"{SW}: ghost force", 0.0, 1e-6, "its surfaces do not relax", "eV/Å"),
        Expect(f"{TERSOFF}: ghost force", 0.873, 1e-3, OWN, "eV/Å"),
        Expect(f"{SW}: closure, relaxed", 0.0, 1e-6, "its surfaces do not relax", "J/m²"),
        Expect(f"{TERSOFF}: closure, relaxed", -0.120, 5e-3, OWN, "J/m²"),
    )


class CountedOnce(Case):
    """Adhesion without double counting: audits, closure, the negative control and ghost forces for three potentials."""

    name = "counted_once"
    sizes = {
        "small": {"potentials": f"{SW},{TERSOFF},{MACE}", "grid": 6, "core": 3.0, "zone": 1.0},
        "full": {"potentials": f"{SW},{TERSOFF},{MACE}", "grid": 12, "core": 6.0, "zone": 2.0},
    }
    expectations = expectations()
    citations = ("10.1103/PhysRevB.31.5262", "10.1103/PhysRevB.38.9902", "10.1016/j.jmps.2008.10.003")

    def build(self, run):
        """Silicon as each potential has it."""
        return {name: silicon(name) for name in run.settings["potentials"].split(",")}

    def measure(self, run, crystals):
        """The law of each potential, and its audit."""
        out = {}
        for name, crystal in crystals.items():
            with run.timed(f"{name}: law"):
                law = self._law(run, name, crystal)
            with run.timed(f"{name}: audit"):
                self._cell(run, name, crystal, law)
                data = self._wide(run, name, crystal, law)
            out[name] = {"law": law, **data}
        return out

    @staticmethod
    def _law(run: Any, name: str, crystal: Silicon) -> InterfaceLaw:
        """Measured on the slabs of the audit, and kept with its provenance; by every rank for itself, which costs no message."""
        slabs, n = crystal.slabs(), run.settings["grid"]
        region = MLRegion(crystal.model, slabs.atoms, balance=None)
        where = {"potential": crystal.model.name, "doi": crystal.model.doi, "lattice constant": crystal.a}
        law = extract(
            region, slabs, {**where, "plane": "(111), shuffle"}, grid=(n, n), lattice=crystal.translations,
            opened=region.reach + 1.5, spacing=0.1,
        )  # fmt: skip
        c, found = law.curve, law.curve.provenance
        run.record(f"{name}: W", c.toughness * J_M2_PER_EV_A2, "J/m²")
        run.record(f"{name}: strength", c.strength * GPA_PER_EV_A3, "GPa")
        run.record(f"{name}: opening at strength", c.peak, "Å")
        run.record(f"{name}: stiffness", c.stiffness * GPA_PER_EV_A3, "GPa/Å")
        run.record(f"{name}: ∫T dδ/(E_A + E_B − E_AB) − 1", found["tractions' integral over W, less one"])
        run.record(f"{name}: largest γ of the grid", float(law.gamma.values.max()) * J_M2_PER_EV_A2, "J/m²")
        run.record(
            f"{name}: sliding, rms missed", found["sliding: rms of φ_n + γ d − φ over rms of γ, off its maximum"]
        )
        for form, fit in (("universal binding", fit_exponential(c)), ("Park–Paulino–Roesler", fit_ppr(c))):
            run.say(f"{name}: {fit}")
            run.record(f"{name}: {form}, misfit of strength", fit.strength)
            run.record(f"{name}: {form}, rms misfit", fit.root_mean_square)
        if run.first:
            law.write(run.out / f"{name}.law.json")
        return law

    @staticmethod
    def _cell(run: Any, name: str, crystal: Silicon, law: InterfaceLaw) -> None:
        """One cell of 25.5 Å², all of whose adhesion the law counts."""
        slabs = crystal.slabs()
        x0 = slabs.atoms.positions
        true = HybridModel(_alone(crystal, slabs), EnergyBlend())
        full, forces = true.evaluate(x0).energy, true.evaluate(x0).forces
        plain = HybridModel(joined(crystal.model, slabs, law, ghost=0), EnergyBlend())
        mended = HybridModel(joined(crystal.model, slabs, law, ghost=ORDER), EnergyBlend())
        closed, e = plain.evaluate(x0), mended.evaluate(x0)
        run.record(f"{name}: closure, unrelaxed", closed.energy - full, "eV")
        run.record(
            f"{name}: mask audit", mask_error(MLRegion(crystal.model, slabs.atoms, bodies=slabs.bodies), x0), "eV"
        )
        # The control counts the adhesion twice: the law over atoms that see each other. A gate refuses it, unless told not to.
        twice = {
            "full": MLRegion(crystal.model, slabs.atoms),
            "law": CohesiveRegion(slabs.facing(), law, modulus=np.inf),
        }
        both = Separately(Everything("full"), Everything("law"))
        try:
            HybridModel(Interface(x0, twice, both), EnergyBlend())
        except MultiscaleError as refusal:
            run.say(f"{name}: the control is refused: {refusal}")
            run.record(f"{name}: the control is refused", True)
        else:
            run.record(f"{name}: the control is refused", False)
        wrong = HybridModel(Interface(x0, twice, both, strict=False), EnergyBlend()).evaluate(x0).energy - full
        run.record(f"{name}: control, wrong by", wrong, "eV per 25.54 Å²")
        run.record(
            f"{name}: double counting of the control + A W",
            wrong + slabs.area * law.curve.provenance["work of separation"],
            "eV",
        )
        slid = slabs.opened(0.0, tuple(crystal.translations[0]))
        run.record(f"{name}: registry", plain.evaluate(slid).energy - closed.energy, "eV")
        # Bodies alone are what they are at their outer surfaces, too: only what differs from all atoms is the interface's doing.
        run.record(f"{name}: ghost force", float(np.abs(closed.forces - forces).max()), "eV/Å")
        run.record(f"{name}: force on closed interface, corrected", float(np.abs(e.forces - forces).max()), "eV/Å")
        fixed = np.zeros((len(x0), 3), dtype=bool)
        fixed[np.concatenate(slabs.gripped(2.0))] = True
        gain = {
            label: _relaxed(model, x0, fixed) - full
            for label, model in (("all", true), ("", plain), (" and corrected", mended))
        }
        for label in ("", " and corrected"):
            off = (gain[label] - gain["all"]) / slabs.area * J_M2_PER_EV_A2
            run.record(f"{name}: closure, relaxed{label}", off, "J/m²")

    @staticmethod
    def _wide(run: Any, name: str, crystal: Silicon, law: InterfaceLaw) -> dict[str, Any]:
        """A wide interface whose middle the atoms count: coverage, pairs, and a partition that moves."""
        s = run.settings
        reach = crystal.model.cutoff * crystal.model.layers
        zone, period = max(s["zone"], 1.0) * reach, crystal.a * np.sqrt(6) / 2
        slabs = crystal.slabs(int(np.ceil(2.0 * (s["core"] + zone + 1.0) / period)) + 1)
        x0 = slabs.atoms.positions
        at = 0.5 * (x0[:, 0].min() + x0[:, 0].max())
        energies = []
        for k in (0.0, 1.0):
            interface = joined(
                crystal.model,
                slabs,
                law,
                by_atoms=(Cylinder((at + 0.5 * k * period, 0.0, 0.0), s["core"]), zone),
                ghost=ORDER,
            )
            model = HybridModel(interface, EnergyBlend())
            energies.append(model.evaluate(x0).energy)
        ledger, pairs = model.ledger(x0), pairs_across(interface, "across", "law")
        run.say(f"{name}\n{ledger}")
        run.record(f"{name}: partition moved by a period", energies[1] - energies[0], "eV")
        run.record(f"{name}: weight of pairs across, potential and law", [pairs.least, pairs.largest])
        run.record(f"{name}: pairs across", pairs.number)
        run.record(f"{name}: coverage of the interface", ledger.interface[0] / ledger.interface[1])
        run.record(f"{name}: share of the law", pairs.by_law)
        full = HybridModel(_alone(crystal, slabs), EnergyBlend()).evaluate(x0)
        run.record(f"{name}: closure of the blend", energies[0] - full.energy, "eV")
        off = np.abs(model.evaluate(x0).forces - full.forces).max()
        run.record(f"{name}: ghost force of the blend", float(off), "eV/Å")
        off = np.abs(HybridModel(interface, GhostCorrected()).evaluate(x0).forces - full.forces).max()
        run.record(f"{name}: the same, taken off as a dead load", float(off), "eV/Å")
        return {"atoms": slabs, "weights": interface.weights(x0)}

    def plot(self, run, data):
        """Laws of all potentials with their fits, what slides, and who counts what."""
        run.save_figure(draw(data), "counted_once.png")


def _relaxed(model: HybridModel, x: Any, fixed: Any) -> float:
    """Energy at rest, eV."""
    last = list(relax(model, x, fmax=1e-5, fixed=fixed))[-1]
    if not last.converged:
        raise MultiscaleError(f"not at rest after {last.evaluations} evaluations: {last.line()}")
    return float(last.energy)


def _alone(crystal: Silicon, slabs: Slabs) -> Any:
    """The slabs as one region of atoms that see each other."""
    return Interface(slabs.atoms.positions, {"full": MLRegion(crystal.model, slabs.atoms)}, Everything("full"))


if __name__ == "__main__":
    CountedOnce().main()
