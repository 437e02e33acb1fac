"""A silicon tip on a silicon surface: atoms at the contact, meshes around it, a measured law in the gap, against all atoms.

A tip of radius R (a paraboloid in size "full", else a ridge, one period thick) comes down on a (111) surface until they bond in registry,
is pressed a little and pulled off (a rigid machine). The cap of the tip and the patch of the surface within the core are atoms that see
each other; beyond, two bodies of finite elements attract each other by the cohesive law that was measured on the same potential. What
acts across is counted once, step by step: by atoms where atoms are, by the law where meshes are. The same bodies of atoms alone are the
reference. In size "quantum" the potential is the shipped one, and a rod along the contact is GFN1-xTB's, which the potential was fitted
to: the closed contact is pulled off with and without it.
"""

from __future__ import annotations

import csv
from typing import Any

import numpy as np
from compare import compare, work_less_energy
from geometry import Tip
from machine import Path, travel
from picture import draw
from quantum import check, slope_error, stiffness, with_rod

from couplers import EnergyBlend
from multiscale import Case, Expect, HybridModel
from multiscale.adhesion.law import extract
from multiscale.adhesion.slabs import Slabs
from multiscale.fracture.material import CrackMaterial
from multiscale.models import StillingerWeber, default_potential
from multiscale.regions.ml import MLRegion
from multiscale.types import MultiscaleError

ATOMS = "all atoms, in the same run"
BESIDE = ("small", "full")
WORK = "work − energy of a step over the largest force times the step, median"


class TipOnSurface(Case):
    """Approach and pull-off of an atomistic tip in meshed bodies: forces, energies and jumps against all atoms."""

    name = "tip_on_surface"
    sizes = {
        "small": {
            "potential": "sw", "linear": True, "round": False, "radius": 30.0, "circle": 50.0, "core": 14.0, "blend": 8.0,
            "cell": 4.0, "high": 2.0, "pull": 9.0, "step": 0.25, "press": 0.25, "fmax": 2e-3, "all_atoms": True,
            "quantum": 0.0, "repeat": 2, "accuracy": 1.0,
        },
        "full": {
            "potential": "sw", "linear": True, "round": True, "radius": 15.0, "circle": 32.0, "core": 11.0, "blend": 8.0,
            "cell": 4.0, "high": 2.0, "pull": 5.0, "step": 0.25, "press": 0.25, "fmax": 5e-4, "all_atoms": True,
            "quantum": 0.0, "repeat": 2, "accuracy": 1.0,
        },
        "quantum": {
            "potential": "mace", "linear": True, "round": False, "radius": 8.0, "circle": 50.0, "core": 14.0, "blend": 10.0,
            "cell": 3.5, "high": 0.0, "pull": 5.0, "step": 0.5, "press": 0.0, "fmax": 2e-2, "all_atoms": False,
            "quantum": 4.6, "repeat": 2, "accuracy": 1.0,
        },
    }  # fmt: skip
    expectations = (
        Expect("energy of contact over all atoms'", 1.0, 0.01, ATOMS, sizes=BESIDE),
        Expect("pull-off force over all atoms'", 1.0, 0.05, ATOMS, sizes=BESIDE),
        Expect("stiffness of the contact over all atoms'", 1.0, 0.05, ATOMS, sizes=BESIDE),
        Expect("largest difference of forces while in contact, over the pull-off force", 0.1, source=ATOMS, kind="at most", sizes=BESIDE),
        Expect("first height without contact, less all atoms'", 0.0, 0.2501, f"{ATOMS}: within a step", "Å", sizes=BESIDE),
        Expect("coverage error of matter", 0.0, 1e-10, "every piece of matter is counted once"),
        # A learned tip necks, and every step of it dissipates: there the energy's slope is asked for.
        Expect(WORK, 0.01, source="F = −∂E/∂Δ", kind="at most", sizes=BESIDE),
        Expect("QM: force minus difference of the energy", 0.0, 1e-3, "F = −∂E/∂x", "eV/Å", sizes=("quantum",)),
    )  # fmt: skip
    citations = ("10.1103/PhysRevB.31.5262", "10.1103/PhysRevLett.80.746")

    def build(self, run):
        """The crystal, the law of its interface, and the hybrid contact."""
        s = run.settings
        check(s["potential"], s["quantum"], s["round"])
        m = run.world.bcast(material(s["potential"]) if run.first else None)
        slabs = Slabs.of("Si", m.a)
        region = MLRegion(m.model, slabs.atoms, balance=None)
        law = extract(region, slabs, {"potential": m.model.name, "doi": m.model.doi}, opened=region.reach + 1.5)
        tip = Tip(s["radius"], s["core"], s["circle"], s["cell"], s["round"])
        return m, tip, tip.hybrid(m, s["blend"], law, s["linear"])

    def measure(self, run, built):
        """The hybrid's way, all atoms' way and that of a quantum contact, and what they have in common."""
        s, (m, shape, contact) = run.settings, built
        down = np.arange(s["high"], -s["press"] - 1e-9, -s["step"])
        up = np.arange(down[-1] + s["step"], s["pull"] + 1e-9, s["step"])
        heights, how = np.concatenate([down, up]), {"keep": s["round"], **stiffness(contact)}
        # A ridge's numbers are per length of it.
        length = 1.0 if s["round"] else m.a * float(m.orientation.repeats[2])
        energy, force = ("eV", "eV/Å") if s["round"] else ("eV/Å", "eV/Å²")
        run.record("atoms that are counted", float(contact.n_free))
        data = {"contact": contact, "settings": s}
        if s["quantum"]:
            # Made first: a rod that cannot be carved is refused before anything is relaxed.
            with_quantum, data["rod"] = with_rod(run, contact)
        with run.timed("hybrid"):
            model = HybridModel(contact.interface(), EnergyBlend())
            ours = travel(run, "hybrid", model, contact.is_upper, heights, s["fmax"], **how)
        data["hybrid"] = ours
        run.record("energy of contact", ours.bound / length, energy)
        run.record("pull-off force", ours.pull_off / length, force)
        run.record(WORK, work_less_energy(ours))
        if s["all_atoms"]:
            full, tip = shape.all_atoms(m)
            run.record("atoms in all", len(tip))
            with run.timed("all atoms"):
                true = travel(run, "all atoms", HybridModel(full, EnergyBlend()), tip, heights, s["fmax"], **how)
            data["all atoms"] = true
            self._compare(run, ours, true)
        if s["quantum"]:
            with run.timed("quantum contact"):
                quantum = travel(
                    run, "QM", with_quantum, contact.is_upper, heights, s["fmax"], energy_noise=1e-4, **how
                )
            data["QM"] = quantum
            for name, value in compare(quantum, ours, s["step"]).items():
                run.record(f"QM: {name}, against the potential's", value)
            run.record(
                "QM: force minus difference of the energy",
                slope_error(with_quantum, contact, quantum.states[0]),
                "eV/Å",
            )
        paths = {name: data[name] for name in ("hybrid", "all atoms", "QM") if name in data}
        for name, p in paths.items():
            run.record(f"{name}: dissipated by jumps", p.work() / length, energy)
            run.record(f"{name}: evaluations", p.evaluations)
        run.record("coverage error of matter", max(p.coverage for p in paths.values()))
        self._write(run, contact, paths)
        return data

    @staticmethod
    def _compare(run: Any, ours: Path, true: Path) -> None:
        found = compare(ours, true, run.settings["step"])
        for name in ("energy of contact", "pull-off force", "stiffness of the contact"):
            run.record(f"{name} over all atoms'", found[name])
        name = "largest difference of forces while in contact"
        run.record(f"{name}, over the pull-off force", found[name])
        run.record("first height without contact, less all atoms'", found["first height without contact"], "Å")

    @staticmethod
    def _write(run: Any, contact: Any, paths: dict[str, Path]) -> None:
        """ledger.csv, the ways' files in one; the contact where it is pressed most, and the meshes."""
        if not run.first:
            return
        with (run.out / "ledger.csv").open("w", newline="") as file:
            rows = csv.writer(file)
            columns = [(name, part) for name, p in paths.items() for part in p.parts[0]]
            head = [f"{name}: {what}" for name in paths for what in ("force eV/Å", "energy eV")]
            rows.writerow(["height Å", *head, *(f"{name}: {part} eV" for name, part in columns)])
            for k, height in enumerate(paths["hybrid"].heights):
                sums = [v for p in paths.values() for v in (p.forces[k], p.energies[k])]
                rows.writerow([height, *sums, *(paths[name].parts[k][part] for name, part in columns)])
        last = paths.get("QM", paths["hybrid"])
        q = last.states[last.turn]
        run.write_atoms("contact.extxyz", ["Si"] * len(contact.crystal.positions), contact.place(q))
        for name, mesh, dofs in zip(("surface", "tip"), (contact.lower, contact.upper), contact.nodes, strict=True):
            mesh.write(run.out / f"{name}.vtu", {"u": q[dofs] - contact.reference[dofs]})

    def plot(self, run, data):
        """Force and energy against height, who counts what, and the contact itself."""
        run.save_figure(draw(data), "tip_on_surface.png")


def material(potential: str) -> CrackMaterial:
    """Stillinger–Weber with λ = 42 ("sw"), or the shipped potential ("mace")."""
    if potential == "sw":
        return CrackMaterial.of(StillingerWeber(three_body_strength=42.0))
    if potential == "mace":
        return CrackMaterial.of(default_potential(0), guess=5.45)
    raise MultiscaleError(f"tip_on_surface knows the potentials 'sw' and 'mace', got {potential!r}")


if __name__ == "__main__":
    TipOnSurface().main()
