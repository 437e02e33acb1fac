"""Coupling overhead: time of an evaluation of the hybrid over the sum of its regions' own evaluation times.

A crack in Stillinger–Weber silicon (λ = 42) in a finite-element disc: the cheapest interatomic model makes the strictest benchmark. Both
times are taken in one and the same call, so that what else the machine does cancels.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from couplers import EnergyBlend
from multiscale import Case, Expect, HybridModel
from multiscale.fracture.hybrid import HybridCrack
from multiscale.fracture.material import CrackMaterial
from multiscale.models import StillingerWeber


class Overhead(Case):
    """Wall time of HybridModel.evaluate over the regions' own, at about 5 000 atoms and 20 000 mesh dofs."""

    name = "bench_overhead"
    benchmark = True
    sizes = {
        "tiny": {"free_radius": 15.0, "radius": 80.0, "h_inner": 8.0, "h_outer": 20.0, "repeats": 5},
        "small": {"free_radius": 77.0, "radius": 300.0, "h_inner": 8.0, "h_outer": 14.6, "repeats": 200},
        "full": {"free_radius": 77.0, "radius": 300.0, "h_inner": 8.0, "h_outer": 14.6, "repeats": 1000},
    }
    expectations = (Expect("overhead", 1.05, source="goal of the project", kind="at most"),)

    def build(self, run):
        """The crack (its mesh made on rank 0) and its model."""
        s, material = run.settings, CrackMaterial.of(StillingerWeber(three_body_strength=42.0))
        geometry = [s[k] for k in ("free_radius", "radius", "h_inner", "h_outer")]
        crack = run.world.bcast(HybridCrack.disc(material, *geometry) if run.first else None)
        return crack, HybridModel(crack.interface(), EnergyBlend())

    def measure(self, run, built):
        """Per call: wall time, the regions' own, time waiting for other ranks, embeddings."""
        crack, model = built
        run.record("atoms", len(crack.crystal.positions))
        run.record("mesh dofs", 2 * len(crack.mesh.nodes))
        q = crack.reference + crack.displacement(crack.material.K_griffith)
        model.evaluate(q)
        rows: list[tuple[float, ...]] = []
        for k in range(run.settings["repeats"]):
            at = q + 1e-3 * np.sin(k)
            own, waited = sum(model.timings.values()), model.waiting
            start = time.perf_counter()
            model.evaluate(at)
            wall = time.perf_counter() - start
            rows.append((wall, sum(model.timings.values()) - own, model.waiting - waited))
        t = run.world.bcast(np.array(rows))
        run.record("overhead", float(np.median(t[:, 0] / t[:, 1])))
        run.record("overhead, of the fastest calls", float(t[:, 0].min() / t[:, 1].min()))
        run.record("evaluation", 1e3 * float(np.median(t[:, 0])), "ms")
        run.record("sum over ranks", 1e3 * float(np.median(t[:, 2])), "ms")
        shares = {name: run.world.bcast(self._embedding(model, name, q)) for name in model.interface.regions}
        for name, spent in shares.items():
            run.record(f"embedding of {name}: place and pull", 1e3 * spent, "ms")
        run.timings(model.timings)
        return t

    @staticmethod
    def _embedding(model: Any, name: str, q: Any) -> float:
        interface, spent = model.interface, []
        for _ in range(20):
            start = time.perf_counter()
            interface.pull(name, interface.place(name, q))
            spent.append(time.perf_counter() - start)
        return float(np.median(spent))

    def plot(self, run, t):
        """The ratio of every call."""
        import matplotlib.pyplot as plt

        figure, axis = plt.subplots(figsize=(6, 4))
        ratio = t[:, 0] / t[:, 1]
        axis.hist(ratio, bins=40, range=(1.0, max(1.1, float(np.percentile(ratio, 98)))), color="#1d3557")
        axis.axvline(float(np.median(ratio)), color="#f4a261", lw=2, label=f"median {np.median(ratio):.3f}")
        axis.axvline(1.05, color="#c1121f", ls="--", label="goal 1.05")
        axis.set(xlabel="time of evaluate / regions' own time", ylabel="calls", title="coupling overhead")
        axis.legend()
        run.save_figure(figure, "bench_overhead.png")


if __name__ == "__main__":
    Overhead().main()
