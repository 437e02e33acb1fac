"""Speed of energy mixing: a dear model where it matters, a cheap one elsewhere, against the dear model everywhere.

Periodic silicon; MACE of random weights (time does not depend on them) in a core that rides on an atom, Stillinger–Weber outside it,
energies mixed with exact forces. Were a site of weight zero free and mixing itself too, the speed-up would be

    ideal = N / (N_exp + N_cheap/ratio),      ratio = time per atom, dear over cheap

with N_exp and N_cheap the atoms where the weight of the dear and of the cheap model, or its slope, is not zero. A strictly
local model comes close; a message-passing model must evaluate its inner layers one cutoff farther out, which the ideal leaves out.

*Switching* is all that is not model, and not waiting for other ranks: weights, their gradients, placing, summing, Python. LAMMPS APIP
reports 27.7 % of its time for it (arXiv:2512.07693).
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from ase.build import bulk

from couplers import EnergyBlend
from multiscale import Case, Expect, HybridModel, Interface, Nested, Ranks
from multiscale.benchmark import MACE, one_thread
from multiscale.models import Mace, StillingerWeber
from multiscale.models.mace_file import build
from multiscale.region import Query
from multiscale.regions.ml import MLRegion
from multiscale.shapes import SmoothUnion

APIP = "LAMMPS APIP: 27.7 %, arXiv:2512.07693; the goal of this project is 5 %"


class SpeedOfMixing(Case):
    """Speed-up over the dear model everywhere, measured beside ideal; share of the time that switching takes."""

    name = "speed_of_mixing"
    benchmark = True
    # A cell has 8 atoms.
    sizes = {
        "tiny": {"cells": 3, "core": 2.0, "layers": "1", "repeats": 1, "warm": 1},
        "small": {"cells": 7, "core": 3.5, "layers": "1,2", "repeats": 3, "warm": 1},
        "full": {"cells": 10, "core": 6.0, "layers": "1,2", "repeats": 5, "warm": 1},
    }
    expectations = (
        Expect("1 layer: measured over ideal", 0.8, kind="at least", source="the project's goal", sizes=("full",)),
        Expect("1 layer: switching", 5.0, kind="at most", source=APIP, unit="%", sizes=("small", "full")),
        Expect("2 layers: switching", 5.0, kind="at most", source=APIP, unit="%", sizes=("small", "full")),
    )
    citations = ("arXiv:2512.07693", "10.48550/arXiv.2206.07697", "10.1103/PhysRevB.31.5262")

    def build(self, run):
        """Per number of layers: positions at 300 K, the dear and the cheap region alone, and the hybrid."""
        s, systems = run.settings, {}
        atoms = bulk("Si", a=5.43095, cubic=True) * ((s["cells"],) * 3)
        X = atoms.positions
        seed = int(np.argmin(np.linalg.norm(X - 0.5 * atoms.cell.lengths(), axis=1)))
        # 0.076 Å per component: silicon's at 300 K, from its Debye–Waller factor.
        q = X + np.random.default_rng(0).normal(0, 0.076, X.shape)
        for layers in (int(k) for k in str(s["layers"]).split(",")):
            dear = Mace(
                build("ScaleShiftMACE", MACE | {"num_interactions": layers}, seed=0), name=f"MACE, {layers} layers"
            )
            cheap, teams = StillingerWeber(), Ranks(world=run.world)
            alone = {"dear": MLRegion(dear, atoms, dtype="float32"), "cheap": MLRegion(cheap, atoms)}
            for name, team in teams.teams(alone).items():
                alone[name].bind(team)
            regions = {"dear": MLRegion(dear, atoms, dtype="float32"), "cheap": MLRegion(cheap, atoms)}
            shape = SmoothUnion((seed,), s["core"])
            # One reach is the narrowest zone that is allowed.
            partition = Nested([("dear", shape, regions["dear"].reach)], rest="cheap", frame="current")
            systems[layers] = (q, alone, HybridModel(Interface(X, regions, partition), EnergyBlend(), teams))
        return systems

    def measure(self, run, systems):
        """Times in turn, in one run on one thread per rank; medians."""
        with one_thread():
            return {layers: self._compare(run, layers, *system) for layers, system in systems.items()}

    def _compare(
        self, run: Any, layers: int, q: Any, alone: dict[str, MLRegion], model: HybridModel
    ) -> dict[str, float]:
        s, n = run.settings, len(q)
        calls = {name: lambda x, r=r: run.world.sum(r.evaluate(x, Query()).forces) for name, r in alone.items()}
        calls["mixed"] = model.evaluate
        times: dict[str, list[float]] = {name: [] for name in calls}
        share = []
        for k in range(s["warm"] + s["repeats"]):
            for name, call in calls.items():
                # Within the skin of the neighbour lists: none is built anew after the first call.
                before, start = _elsewhere(model), time.perf_counter()
                call(q + 1e-3 * np.sin(k))
                spent = time.perf_counter() - start
                if k >= s["warm"]:
                    times[name].append(spent)
                    if name == "mixed":
                        share.append(1.0 - (_elsewhere(model) - before) / spent)
        t = run.world.bcast({name: float(np.median(v)) for name, v in times.items()})
        found = self._ratios(n, model, q, t) | {"switching": 100.0 * float(run.world.bcast(np.median(share)))}
        label = f"{layers} layer" + "s" * (layers > 1)
        run.record(f"{label}: atoms", [n, found["n_exp"], found["n_cheap"]])
        run.record(f"{label}: time per atom, dear", 1e6 * t["dear"] / n, "µs")
        run.record(f"{label}: time per atom, cheap", 1e6 * t["cheap"] / n, "µs")
        run.record(f"{label}: speed-up", found["measured"])
        run.record(f"{label}: ideal speed-up", found["ideal"])
        run.record(f"{label}: measured over ideal", found["measured"] / found["ideal"])
        run.record(f"{label}: switching", found["switching"], "%")
        return found

    @staticmethod
    def _ratios(n: int, model: HybridModel, q: Any, t: dict[str, float]) -> dict[str, float]:
        """Speed-ups over the dear model everywhere."""
        face = model.interface
        shares = face.partition(q, q)
        counted = {r: (w > 0) | (np.abs(slope).max(axis=1) > 0) for r, (w, slope) in shares.items()}
        n_exp, n_cheap = (int(counted[r].sum()) for r in ("dear", "cheap"))
        ideal = n / (n_exp + n_cheap * t["cheap"] / t["dear"])
        return {"measured": t["dear"] / t["mixed"], "ideal": ideal, "n_exp": n_exp, "n_cheap": n_cheap}

    def plot(self, run, found):
        """Bars: measured and ideal speed-up, with the share of switching."""
        import matplotlib.pyplot as plt

        figure, axis = plt.subplots(figsize=(6.4, 4))
        at = np.arange(len(found))
        series = (("measured", "measured", "#1d3557"), ("ideal", "ideal", "#f4a261"))
        for k, (key, label, colour) in enumerate(series):
            bars = axis.bar(at + 0.38 * (k - 0.5), [f[key] for f in found.values()], 0.36, label=label, color=colour)
            axis.bar_label(bars, fmt="%.1f", fontsize=8, padding=2)
        labels = [f"{n} layer{'s' * (n > 1)}\nswitching {f['switching']:.1f} %" for n, f in found.items()]
        axis.set_xticks(at, labels, fontsize=9)
        axis.set(ylabel="speed-up over the dear model everywhere", title="MACE in the core, Stillinger–Weber around it")
        axis.set_ylim(0, 1.25 * max(max(f["measured"], f["ideal"]) for f in found.values()))
        axis.legend(frameon=False, ncols=2)
        run.save_figure(figure, "speed_of_mixing.png")


def _elsewhere(model: HybridModel) -> float:
    """Seconds so far that the models and the waiting for other ranks took."""
    return sum(model.timings.values()) + model.waiting


if __name__ == "__main__":
    SpeedOfMixing().main()
