"""Cost of the gradient of weighted site energies in GFN1-xTB, over a plain self-consistent force.

H-capped silicon clusters with one dangling bond, moved a little from one evaluation to the next. Every engine starts from fresh
charges: tblite and dxtb give energy and forces; dxtb differentiates weighted site energies in its default mode (cheap, and wrong) and
in full (right); the tight-binding region gives energy and forces, or the gradient at random weights by one response equation. They
are timed in turn in one run, on one thread, so that what else the machine does cancels.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import dxtb
import numpy as np
import torch
from ase import Atoms
from ase.build import bulk
from ase.units import Bohr, Hartree
from tblite.ase import TBLite

from multiscale import Case, Expect
from multiscale.benchmark import one_thread
from multiscale.region import Can, Query
from multiscale.regions.carve import carve
from multiscale.regions.tight_binding import TightBindingRegion

GOAL = "goal of the project"
#: Centre (lattice constants) and radius (Å) of the core, and further shells of neighbours, of clusters by their number of atoms.
CLUSTERS = {
    17: ((0.0, 0.0, 0.0), 2.0, 1),
    48: ((0.25, 0.25, 0.5), 4.1, 0),
    107: ((0.25, 0.25, 0.5), 5.8, 0),
    200: ((0.25, 0.25, 0.5), 5.6, 1),
}
WANT = Can.ENERGY | Can.FORCES | Can.SITE_ENERGIES


class TightBinding(Case):
    """Wall time of SCF and weighted gradient over dxtb's and tblite's SCF and force, for clusters of 47 and 106 atoms."""

    name = "bench_tight_binding"
    benchmark = True
    # dxtb's full differentiation keeps every SCF step in memory: only clusters up to ``full_limit`` atoms.
    sizes = {
        "tiny": {"clusters": (17,), "full_limit": 20, "repeats": 1},
        "small": {"clusters": (48, 107), "full_limit": 50, "repeats": 5},
        "full": {"clusters": (48, 107, 200), "full_limit": 50, "repeats": 7},
    }
    expectations = (
        Expect("47 atoms, weighted over dxtb's plain", 2.0, source=GOAL, kind="at most", sizes=("small", "full")),
        Expect("106 atoms, weighted over dxtb's plain", 2.0, source=GOAL, kind="at most", sizes=("small", "full")),
        Expect("47 atoms, weighted over its own plain", 2.0, source=GOAL, kind="at most", sizes=("small", "full")),
        Expect("106 atoms, weighted over its own plain", 2.0, source=GOAL, kind="at most", sizes=("small", "full")),
    )

    def build(self, run):
        """The clusters, each without one of its hydrogen atoms."""
        return [cluster(n) for n in run.settings["clusters"]]

    def measure(self, run, clusters):
        """Times of all engines in turn, and how far dxtb's two modes are from the region's gradient."""
        rows = []
        for atoms in clusters:
            n, w = len(atoms), np.random.default_rng(0).uniform(0, 1, len(atoms))
            found = None
            if run.first:
                with one_thread():
                    calls = engines(atoms, w, n <= run.settings["full_limit"])
                    found = interleaved(calls, atoms.positions, run.settings["repeats"])
            times, forces = run.world.bcast(found)
            rows.append((n, {name: float(np.median(t)) for name, t in times.items()}))
            self._record(run, n, rows[-1][1], forces)
        return rows

    @staticmethod
    def _record(run: Any, n: int, seconds: dict[str, float], forces: dict[str, Any]) -> None:
        for name, spent in seconds.items():
            run.record(f"{n} atoms, {name}", 1e3 * spent, "ms")
        ours = seconds["region, weighted"]
        run.record(f"{n} atoms, weighted over dxtb's plain", ours / seconds["dxtb, plain"])
        run.record(f"{n} atoms, weighted over tblite's plain", ours / seconds["tblite, plain"])
        run.record(f"{n} atoms, weighted over its own plain", ours / seconds["region, plain"])
        for mode in ("implicit", "full"):
            if f"dxtb, weighted, {mode}" in seconds:
                run.record(
                    f"{n} atoms, dxtb {mode}: weighted over its plain",
                    seconds[f"dxtb, weighted, {mode}"] / seconds["dxtb, plain"],
                )
                off = np.abs(forces[f"dxtb, weighted, {mode}"] - forces["region, weighted"]).max()
                run.record(f"{n} atoms, dxtb {mode}: largest difference of the gradient", float(off), "eV/Å")
        off = np.abs(forces["tblite, plain"] - forces["region, plain"]).max()
        run.record(f"{n} atoms, tblite: largest difference of the force", float(off), "eV/Å")

    def plot(self, run, rows):
        """Bars: the time of every engine over that of dxtb's plain force."""
        import matplotlib.pyplot as plt

        figure, axes = plt.subplots(1, len(rows), figsize=(4.2 * len(rows) + 1.5, 3.6), squeeze=False)
        for axis, (n, seconds) in zip(axes[0], rows, strict=True):
            names, base = list(seconds), seconds["dxtb, plain"]
            colours = ["#f4a261" if name.startswith("region") else "#1d3557" for name in names]
            bars = axis.barh(names, [seconds[name] / base for name in names], color=colours)
            axis.bar_label(bars, fmt="%.2f", fontsize=8, padding=2)
            axis.axvline(2.0, color="#c1121f", ls="--", lw=1)
            axis.invert_yaxis()
            axis.margins(x=0.15)
            axis.set(title=f"{n} atoms", xlabel="time / dxtb's SCF and force")
        figure.tight_layout()
        run.save_figure(figure, "bench_tight_binding.png")


def cluster(n: int) -> Atoms:
    """A piece of silicon saturated with hydrogen but for one bond, off its equilibrium by 0.05 Å."""
    centre, radius, hops = CLUSTERS[n]
    si = bulk("Si", a=5.43095, cubic=True) * (5, 5, 5)
    away = np.linalg.norm(si.positions - 5.43095 * (np.array(centre) + 2.0), axis=1)
    cut = carve(
        si.get_chemical_symbols(), si.positions, si.cell.array, True, np.nonzero(away < radius)[0].tolist(), hops=hops
    )
    atoms = Atoms(cut.all_symbols, cut.positions(si.positions, si.cell.array))
    del atoms[-1]
    atoms.rattle(0.05, seed=1)
    return atoms


def engines(atoms: Atoms, w: Any, full: bool) -> dict[str, Callable[[Any], Any]]:
    """What is timed: positions (n, 3) in Å to forces (n, 3) in eV/Å."""
    region = TightBindingRegion(atoms, restart=False)

    def dxtb_plain(x: Any) -> Any:
        leaf = torch.tensor(x / Bohr, requires_grad=True)
        return calculator("implicit").forces_analytical(leaf, 0, None).detach().numpy() * Hartree / Bohr

    def dxtb_weighted(mode: str, x: Any) -> Any:
        leaf = torch.tensor(x / Bohr, requires_grad=True)
        sites = calculator(mode).singlepoint(leaf, 0, None).total
        (slope,) = torch.autograd.grad((sites * torch.tensor(w)).sum(), leaf)
        return -slope.numpy() * Hartree / Bohr

    def calculator(mode: str) -> Any:
        made[mode].reset()
        return made[mode]

    def tblite(x: Any) -> Any:
        moved = Atoms(
            atoms.numbers, x, calculator=TBLite(method="GFN1-xTB", electronic_temperature=1000.0, verbosity=0)
        )
        return moved.get_forces()

    modes = ("implicit", "full") if full else ("implicit",)
    # tblite's default tolerance of 10⁻⁶ Hartree, and dxtb's of 10⁻⁶; the region converges to 10⁻¹² e.
    options = {"verbosity": 0, "fermi_etemp": 1000.0, "fermi_partition": "atomic", "maxiter": 300}
    made = {
        mode: dxtb.calculators.GFN1Calculator(
            torch.tensor(atoms.numbers), opts={**options, "scf_mode": mode}, dtype=torch.float64
        )
        for mode in modes
    }
    calls: dict[str, Callable[[Any], Any]] = {"tblite, plain": tblite, "dxtb, plain": dxtb_plain}
    for mode in modes:
        calls[f"dxtb, weighted, {mode}"] = lambda x, mode=mode: dxtb_weighted(mode, x)
    calls["region, plain"] = lambda x: region.evaluate(x, Query(WANT)).forces
    calls["region, weighted"] = lambda x: region.evaluate(x, Query(WANT, w)).forces
    return calls


def interleaved(calls: dict[str, Callable[[Any], Any]], x: Any, repeats: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Times (repeats,) in s of every call, one after another at slightly different positions; and the forces at ``x``."""
    forces = {name: call(x) for name, call in calls.items()}
    times: dict[str, list[float]] = {name: [] for name in calls}
    for k in range(repeats):
        for m, (name, call) in enumerate(calls.items()):
            # No two calls at the same place: the region would remember its state.
            at = x + 1e-3 * np.sin(k * len(calls) + m + 1.0)
            at[0, 0] += 1e-3 * (k * len(calls) + m + 1)
            start = time.perf_counter()
            call(at)
            times[name].append(time.perf_counter() - start)
    return {name: np.array(t) for name, t in times.items()}, forces


if __name__ == "__main__":
    TightBinding().main()
