"""A silicon tip on a silicon surface: atoms at the contact, meshes around it, a measured law in the gap, against all atoms.

A ridge of radius R, one period thick, comes down on a (111) surface until they bond in registry, is pressed a little and pulled off (a
rigid machine). The cap of the tip and the patch of the surface within the core are atoms that see each other; beyond, two bodies of finite
elements attract each other by the cohesive law that was measured on the same potential. What acts across is counted once, step by
step: by atoms where atoms are, by the law where meshes are. The same bodies of atoms alone are the reference.
"""

from __future__ import annotations

import csv
from typing import Any

import numpy as np
from geometry import all_atoms, hybrid
from machine import Path, travel
from picture import draw

from multiscale import Case, Expect
from multiscale.adhesion.law import extract
from multiscale.adhesion.slabs import Slabs
from multiscale.fracture.material import CrackMaterial
from multiscale.models import StillingerWeber
from multiscale.regions.ml import MLRegion

ATOMS = "all atoms, in the same run"


class TipOnSurface(Case):
    """Approach and pull-off of an atomistic tip in meshed bodies: forces, energies and jumps against all atoms."""

    name = "tip_on_surface"
    sizes = {
        "small": {
            "radius": 30.0, "circle": 50.0, "core": 14.0, "blend": 8.0, "cell": 4.0, "high": 2.0, "pull": 7.0, "step": 0.25, "press": 0.25,
            "fmax": 2e-3, "strength": 42.0,
        },
        "full": {
            "radius": 60.0, "circle": 80.0, "core": 20.0, "blend": 8.0, "cell": 3.0, "high": 3.0, "pull": 10.0, "step": 0.1, "press": 0.4,
            "fmax": 1e-3, "strength": 42.0,
        },
    }  # fmt: skip
    expectations = (
        Expect("energy of contact over all atoms'", 1.0, 0.01, ATOMS),
        Expect("pull-off force over all atoms'", 1.0, 0.05, ATOMS),
        Expect("stiffness of the contact over all atoms'", 1.0, 0.05, ATOMS),
        Expect(
            "largest difference of forces while in contact, over the pull-off force", 0.1, source=ATOMS, kind="at most"
        ),
        Expect("coverage error of matter", 0.0, 1e-10, "every piece of matter is counted once"),
        Expect("first height without contact, less all atoms'", 0.0, 0.21, ATOMS, "Å"),
        Expect(
            "work − energy over a way without jumps, over the energy of contact",
            0.01,
            source="F = −∂E/∂Δ",
            kind="at most",
        ),
    )
    citations = ("10.1103/PhysRevB.31.5262", "10.1103/PhysRevLett.80.746")

    def build(self, run):
        """The crystal, the law of its interface, and the hybrid contact."""
        s = run.settings
        m = run.world.bcast(CrackMaterial.of(StillingerWeber(s["strength"])) if run.first else None)
        slabs = Slabs.of("Si", m.a)
        region = MLRegion(m.model, slabs.atoms, balance=None)
        law = extract(region, slabs, {"potential": m.model.name, "doi": m.model.doi}, opened=region.reach + 1.5)
        contact = hybrid(m, s["radius"], s["core"], s["blend"], s["circle"], s["cell"], law)
        return m, contact

    def measure(self, run, built):
        """The hybrid's way and all atoms' way, and what they have in common."""
        s, (m, contact) = run.settings, built
        down = np.arange(s["high"], -s["press"] - 1e-9, -s["step"])
        up = np.arange(down[-1] + s["step"], s["pull"] + 1e-9, s["step"])
        heights = np.concatenate([down, up])
        full, tip = all_atoms(m, s["radius"], s["circle"])
        run.record("atoms that are counted", float(contact.n_free))
        run.record("atoms in all", len(tip))
        with run.timed("hybrid"):
            ours = travel(run, "hybrid", contact.interface(), contact.is_upper, heights, s["fmax"])
        with run.timed("all atoms"):
            true = travel(run, "all atoms", full, tip, heights, s["fmax"])
        self._compare(run, m, ours, true)
        self._write(run, contact, ours, true)
        return {"contact": contact, "hybrid": ours, "all atoms": true, "settings": s, "reference": full.reference}

    @staticmethod
    def _compare(run: Any, m: CrackMaterial, ours: Path, true: Path) -> None:
        length = m.a * float(m.orientation.repeats[2])
        k, h = true.turn, np.array(true.heights)
        f, g = np.array(ours.forces), np.array(true.forces)
        bound = [p.energies[0] - min(p.energies) for p in (ours, true)]
        run.record("energy of contact", bound[0] / length, "eV/Å")
        run.record("energy of contact over all atoms'", bound[0] / bound[1])
        run.record("pull-off force", ours.pull_off / length, "eV/Å²")
        run.record("pull-off force over all atoms'", ours.pull_off / true.pull_off)
        near = np.flatnonzero((np.abs(h) < 1.5 * run.settings["step"]) & (np.arange(len(h)) >= k))
        slope = [np.polyfit(h[near], v[near], 1)[0] for v in (f, g)]
        run.record("stiffness of the contact over all atoms'", slope[0] / slope[1])
        held = np.arange(len(h)) >= k
        held &= (np.abs(f) > 0.3 * ours.pull_off) & (np.abs(g) > 0.3 * true.pull_off)
        off = np.abs(f - g)[held].max() / true.pull_off
        run.record("largest difference of forces while in contact, over the pull-off force", float(off))
        parted = []
        for p, b in ((ours, bound[0]), (true, bound[1])):
            gone = np.array(p.energies[k:]) - min(p.energies) > 0.98 * b
            parted.append(float(h[k:][np.argmax(gone)]))
        run.record("first height without contact, less all atoms'", parted[0] - parted[1], "Å")
        # Up to the pull-off force nothing jumps: work is energy.
        end = k + int(np.argmin(f[k:]))
        path = slice(int(np.flatnonzero(np.abs(h[k:]) < 1e-6)[0]) + k, end + 1)
        work = -float(np.sum(0.5 * (f[path][1:] + f[path][:-1]) * np.diff(h[path])))
        run.record(
            "work − energy over a way without jumps, over the energy of contact",
            float(abs(work - (ours.energies[path][-1] - ours.energies[path][0])) / bound[0]),
        )
        for name, p in (("hybrid", ours), ("all atoms", true)):
            run.record(f"{name}: dissipated by jumps", p.work() / length, "eV/Å")
            run.record(f"{name}: evaluations", p.evaluations)
        run.record("coverage error of matter", max(ours.coverage, true.coverage))

    @staticmethod
    def _write(run: Any, contact: Any, ours: Path, true: Path) -> None:
        if not run.first:
            return
        with (run.out / "ledger.csv").open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(
                [
                    "height_A",
                    "hybrid_force_eV_per_A",
                    *ours.parts[0],
                    "hybrid_energy_eV",
                    "all_atoms_force",
                    "all_atoms_energy",
                ]
            )
            for k, part in enumerate(ours.parts):
                rows.writerow(
                    [
                        ours.heights[k],
                        ours.forces[k],
                        *part.values(),
                        ours.energies[k],
                        true.forces[k],
                        true.energies[k],
                    ]
                )
        q = ours.states[ours.turn]
        run.write_atoms("contact.extxyz", ["Si"] * len(contact.crystal.positions), contact.place(q))
        for name, mesh, dofs in zip(("surface", "tip"), (contact.lower, contact.upper), contact.nodes, strict=True):
            mesh.write(run.out / f"{name}.vtu", {"u": q[dofs] - contact.reference[dofs]})

    def plot(self, run, data):
        """Force and energy against height, who counts what, and the contact itself."""
        run.save_figure(draw(data), "tip_on_surface.png")


if __name__ == "__main__":
    TipOnSurface().main()
