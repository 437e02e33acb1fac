"""A crack that runs through a clamped strip of silicon, atoms in a band and finite elements to the grips, in a window that follows it.

(111)[1-10], Stillinger–Weber with doubled three-body strength. The strip is strained beyond K₊ and the crack let loose; thermostats and
dampers at both ends and towards the grips take up what it radiates. Its velocity follows from the load, and its energy budget (released by
the strip, bound in surfaces, kinetic, absorbed) has to close.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from picture import animate, draw
from run_it import Loose, budget

from couplers import EnergyBlend
from multiscale import Case, Expect, HybridModel
from multiscale.fracture.band import BandCrack
from multiscale.fracture.material import CrackMaterial
from multiscale.models import StillingerWeber


class RunningCrack(Case):
    """Velocity against G, and the energy budget."""

    name = "running_crack"
    sizes = {
        "small": {
            "columns": 24, "height": 90.0, "half": 8.0, "blend": 5.0, "G": "3.2", "temperature": 0.0, "rate": 20.0, "dt": 1.5,
            "look": 20, "looks": 34,
        },
        "full": {
            "columns": 60, "height": 200.0, "half": 12.0, "blend": 8.0, "G": "1.8, 2.2, 2.6, 3.2, 4.0", "temperature": 100.0, "rate": 20.0,
            "dt": 1.5, "look": 20, "looks": 150,
        },
    }  # fmt: skip
    expectations = (
        Expect("coverage error", 0.0, tolerance=1e-10, source="every piece of matter is counted once"),
        Expect("bond periods run, least", 10.0, kind="at least", source="the goal of this case"),
        Expect("energy budget, largest remainder over released", 0.01, kind="at most", source="the goal of this case"),
        Expect("conserved quantity, largest drift over released", 0.01, kind="at most", source="energy is conserved"),
        Expect("bonds broken off the plane, most", 0, source="this potential cleaves; 10.1103/PhysRevLett.80.746", sizes=("small",)),
    )  # fmt: skip
    citations = ("10.1103/PhysRevB.31.5262", "10.1103/PhysRevLett.80.746", "10.1093/amrx/abs010")

    def build(self, run):
        """The strip and its model."""
        s = run.settings
        material = CrackMaterial.of(StillingerWeber(three_body_strength=42.0))
        crack = BandCrack(material, s["columns"], s["height"], s["half"], s["blend"])
        model = HybridModel(crack.interface(), EnergyBlend())
        run.say(
            f"{crack.n_free} free atoms, {len(crack.crystal.positions) - crack.n_free} slaved to the mesh, "
            f"{len(crack.mesh.nodes)} nodes; a window of {s['columns'] * crack.period:.0f} × {s['height']:.0f} Å"
        )
        return model, crack

    def measure(self, run, built):
        """Each load in turn."""
        model, crack = built
        ledger = model.ledger(crack.reference)
        run.say(str(ledger))
        run.record("coverage error", max(abs(c - 1.0) for c in ledger.coverage))
        loose = Loose(crack, model, run.settings)
        rho = 28.0855 / crack.crystal.site_volume * 1.66053906660e3  # kg/m³
        shear = float(np.sqrt(crack.material.C[5, 5] * 1e9 / rho))
        run.record("shear wave speed", shear, "m/s")
        data: dict[str, Any] = {"crack": crack, "runs": {}, "shear": shear}
        for G in (float(g) for g in str(run.settings["G"]).split(",")):
            self._one(run, loose, G, data)
        ran = {G: r for G, r in data["runs"].items() if r["periods"] > 0}
        run.record("loads at which the crack ran, G/2γ", np.array(list(ran)))
        run.record("bond periods run, least", min((r["periods"] for r in ran.values()), default=0.0))
        for what, name in (
            ("energy budget, largest remainder", "left over"),
            ("conserved quantity, largest drift", "drift"),
        ):
            shares = [abs(r["budget"][name]) / r["budget"]["released"] for r in ran.values()]
            run.record(f"{what} over released", max(shares, default=float("nan")))
        run.record("bonds broken off the plane, most", max(r["books"].off_plane for r in data["runs"].values()))
        self._write(run, crack, model, data)
        return data

    @staticmethod
    def _one(run: Any, loose: Loose, G: float, data: dict[str, Any]) -> None:
        crack, s = loose.crack, run.settings
        name = f"G = {G:g}·2γ"
        with run.timed(f"{name}: start"):
            q, ahead, exact = loose.start(G)
        run.record(f"{name}: G of the relaxed strip", exact / (2.0 * crack.material.gamma), "2γ")
        with run.timed(f"{name}: run"):
            *_, books = itertools.islice(run.follow(loose.run(q, ahead), name), s["looks"])
        time, tip = np.array(books.time), np.array(books.tip)
        late = time > 0.4 * time[-1]
        velocity = float(np.polyfit(time[late], tip[late], 1)[0]) * 1e5
        run.record(f"{name}: tip moved", float(tip[-1] - tip[0]), "Å")
        run.record(f"{name}: velocity", velocity, "m/s")
        run.record(f"{name}: velocity over the shear wave's", velocity / data["shear"])
        result: dict[str, Any] = {"books": books, "velocity": velocity, "G": exact, "periods": 0.0}
        if books.moves[-1] > 1:
            result["periods"] = (tip[-1] - tip[0]) / crack.crystal.spacing
            result["budget"] = budget(crack, books, exact)
            for what, value in result["budget"].items():
                run.record(f"{name}: {what}", value, "" if what == "periods" else "eV")
        data["runs"][G] = result

    @staticmethod
    def _write(run: Any, crack: BandCrack, model: HybridModel, data: dict[str, Any]) -> None:
        """A trajectory of the atoms, for OVITO."""
        _, result = list(data["runs"].items())[-1]
        books = result["books"]
        inside = np.abs(crack.crystal.positions[:, 1]) <= crack.half + crack.blend
        symbols = ["Si"] * int(inside.sum())
        for k, (time, x) in enumerate(books.frames[:: max(1, len(books.frames) // 40)]):
            run.write_atoms(
                "crack.extxyz", symbols, x[inside], cell=crack.cell, pbc=(False, False, True), arrays={"index": np.flatnonzero(inside)},
                append=k > 0, info={"time_fs": time},
            )  # fmt: skip

    def plot(self, run, data):
        """The strip with both descriptions, the tip's way, the budget, velocity against G; and an animation."""
        run.save_figure(draw(data), "running_crack.png")
        animate(data, run.out / "running_crack.gif")


if __name__ == "__main__":
    RunningCrack().main()
