"""Cost of energy mixing: time of a hybrid of two Stillinger–Weber models over the time of one of them alone.

Periodic silicon with a small core of the other model, its weights riding on an atom (current frame) or belonging to the
material (reference frame). The ideal evaluates every model only at the sites that count for it. The hybrids and their
peer, the plain model, are timed in turn in one run, so that what else the machine does cancels.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from ase.build import bulk

from couplers import EnergyBlend
from multiscale import Case, HybridModel, Interface, Nested, Ranks, Sphere
from multiscale.align import align
from multiscale.benchmark import one_thread
from multiscale.models import StillingerWeber
from multiscale.region import Query
from multiscale.regions.ml import MLRegion
from multiscale.shapes import SmoothUnion

LOW, HIGH = StillingerWeber(), StillingerWeber(25.0, epsilon=1.05 * 2.1683)
FRAMES = ("current", "reference")


class Mixing(Case):
    """Wall time of mixed over plain Stillinger–Weber, in double precision on one thread, beside the ideal ratio."""

    name = "bench_mixing"
    benchmark = True
    # A cell has 8 atoms: 64 and 216, 512 and 8 000.
    sizes = {
        "tiny": {"few_cells": 2, "many_cells": 3, "core": 3.5, "zone": 5.0, "repeats": 3},
        "small": {"few_cells": 4, "many_cells": 10, "core": 3.5, "zone": 5.0, "repeats": 100},
        "full": {"few_cells": 4, "many_cells": 10, "core": 3.5, "zone": 5.0, "repeats": 1000},
    }

    def build(self, run):
        """For both numbers of cells: positions at 300 K, the plain region, the hybrid in both frames."""
        return [self._system(run, run.settings[k]) for k in ("few_cells", "many_cells")]

    @staticmethod
    def _system(run: Any, cells: int) -> tuple[Any, MLRegion, dict[str, HybridModel]]:
        s, atoms = run.settings, bulk("Si", a=5.43095, cubic=True) * (cells, cells, cells)
        X = atoms.positions
        centre = 0.5 * atoms.cell.lengths()
        seed = int(np.argmin(np.linalg.norm(X - centre, axis=1)))
        shapes = {"current": SmoothUnion((seed,), s["core"]), "reference": Sphere(tuple(X[seed]), s["core"])}
        zeros = align(MLRegion(HIGH, atoms), MLRegion(LOW, atoms), atoms.get_chemical_symbols()).zeros
        hybrids = {}
        for frame in FRAMES:
            regions = {"high": MLRegion(HIGH, atoms, energy_zero=zeros), "low": MLRegion(LOW, atoms)}
            partition = Nested([("high", shapes[frame], s["zone"])], rest="low", frame=frame)
            hybrids[frame] = HybridModel(Interface(X, regions, partition), EnergyBlend())
        plain = MLRegion(LOW, atoms)
        plain.bind(Ranks(world=run.world).teams({"plain": plain})["plain"])
        # 0.076 Å per component: silicon's at 300 K, from its Debye–Waller factor.
        return X + np.random.default_rng(0).normal(0, 0.076, X.shape), plain, hybrids

    def measure(self, run, systems):
        """Times of the plain model and of the hybrids, in turn; their ratios, and the ideal ones."""
        rows = []
        for q, plain, hybrids in systems:
            n = len(q)
            calls = {"plain": lambda x, r=plain: run.world.sum(r.evaluate(x, Query()).forces)}
            calls |= {frame: model.evaluate for frame, model in hybrids.items()}
            with one_thread():
                times = run.world.bcast(interleaved(calls, q, run.settings["repeats"]))
            run.record(f"{n} atoms, plain", 1e3 * float(np.median(times["plain"])), "ms")
            for frame, model in hybrids.items():
                rows.append((n, frame, *self._ratios(run, f"{n} atoms, {frame} frame", times, frame, model, q)))
                run.timings({f"{n} atoms, {frame} frame, {r}": spent for r, spent in model.timings.items()})
        return rows

    @staticmethod
    def _ratios(run: Any, label: str, times: Any, frame: str, model: HybridModel, q: Any) -> tuple[float, float]:
        """Record and give the measured ratio and the ideal one."""
        mixed, plain = times[frame], times["plain"]
        best = ideal(model.interface, q)
        ratio = float(np.median(mixed) / np.median(plain))
        run.record(f"{label}, mixed over plain", ratio)
        run.record(f"{label}, mixed over plain, of the fastest calls", float(mixed.min() / plain.min()))
        run.record(f"{label}, ideal", best)
        run.record(f"{label}, measured over ideal", ratio / best)
        return ratio, best

    def plot(self, run, rows):
        """Bars: the measured ratios beside the ideal ones."""
        import matplotlib.pyplot as plt

        figure, axis = plt.subplots(figsize=(6.4, 4))
        at = np.arange(len(rows))
        series = [("measured", [r[2] for r in rows], "#1d3557"), ("ideal", [r[3] for r in rows], "#f4a261")]
        for k, (label, values, colour) in enumerate(series):
            bars = axis.bar(at + 0.38 * (k - 0.5), values, 0.36, label=label, color=colour)
            axis.bar_label(bars, fmt="%.2f", fontsize=8, padding=2)
        axis.axhline(1.0, color="#888888", lw=0.8, ls=":")
        axis.set_xticks(at, [f"{n} atoms\n{frame} frame" for n, frame, *_ in rows], fontsize=8)
        axis.set(ylabel="time of mixed / time of plain", title="energy mixing of two Stillinger–Weber models")
        # Room for the legend above the bars.
        axis.set_ylim(0, 1.25 * max(max(r[2:]) for r in rows))
        axis.legend(loc="upper right", ncols=2, frameon=False)
        run.save_figure(figure, "bench_mixing.png")


def interleaved(calls: Mapping[str, Callable[[Any], Any]], q: Any, repeats: int) -> dict[str, Any]:
    """Times (repeats,) in s of every call, one after another in changing order at slightly different positions."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    names = list(calls)
    for call in calls.values():
        call(q)
    for k in range(repeats):
        # Within the skin of the neighbour lists: none is built anew.
        at = q + 1e-3 * np.sin(k)
        # What comes first finds other data in the caches than what follows.
        for name in names[k % len(names) :] + names[: k % len(names)]:
            start = time.perf_counter()
            calls[name](at)
            times[name].append(time.perf_counter() - start)
    return {name: np.array(t) for name, t in times.items()}


def ideal(interface: Interface, q: Any) -> float:
    """Sites that count, summed over regions, per atom: those of positive weight, and in the current frame of any slope.

    The force of weights that move needs e_s wherever ∇w_s ≠ 0, whatever the weight.
    """
    weights, needed = interface.weights(q), 0
    for name in interface.shared:
        counts = weights[name] > 0
        if interface.moving:
            slope = interface.partition(interface.weighing_points(name, q), q)[name][1]
            counts = counts | (np.abs(slope).max(axis=1) > 0)
        needed += int(counts.sum())
    return needed / interface.n_q


if __name__ == "__main__":
    Mixing().main()
