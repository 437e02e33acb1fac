"""What the continuum costs: against a plain DOLFINx script of the same problem, and laws from atoms against the atoms themselves.

* a neo-Hookean cube whose boundary is prescribed, solved by :meth:`ContinuumRegion.solve` and by ``plain.py``, in turn, on all ranks;
* a step of the hybrid's residual (forces of the mesh through the model) against assembling the same form by hand;
* Newton's method for atoms and nodes together, the mesh growing to 10⁶ dofs (``together.py``);
* the Cauchy–Born law of many strains at once, per quadrature point, against one evaluation of the same model in a plain periodic cell.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from ase.build import bulk
from plain import PlainSolver
from together import measure as solve_together

from couplers import EnergyBlend
from multiscale import Case, Expect, HybridModel, Interface, Nested
from multiscale.continuum import dolfinx_compat as fx
from multiscale.continuum.cauchy_born import CauchyBorn
from multiscale.continuum.laws import NeoHookean
from multiscale.continuum.mesh import SimplexMesh
from multiscale.models import EAM, StillingerWeber
from multiscale.ranks import Ranks
from multiscale.region import Can, Query
from multiscale.regions.continuum import ContinuumRegion
from multiscale.regions.ml import MLRegion
from multiscale.types import GPA_PER_EV_A3

GOAL = "goal of the project"
MU, LAM = 60.0, 50.0
#: Largest prescribed strain.
STRAIN = 0.05
CRYSTALS = {
    "Stillinger–Weber": (StillingerWeber, "Si", "diamond", 5.431),
    "EAM": (EAM.ercolessi_adams, "Al", "fcc", 4.032),
}
JUDGED = ("small", "full")


def prescribed(X: Any) -> Any:
    """A displacement that is not homogeneous, Å: bent and sheared."""
    L = 100.0
    x, y, z = (X / L).T
    return L * STRAIN * np.stack([y * z, 0.5 * x * x, -0.5 * x * z], axis=1)


def on_boundary(X: Any) -> Any:
    """Of the cube of 100 Å."""
    return (np.abs(X - 50.0).max(axis=1) > 50.0 - 1e-6).ravel()


class Continuum(Case):
    """FEniCSx inside the hybrid over plain DOLFINx; Cauchy–Born laws over the model in a periodic cell."""

    name = "bench_continuum"
    benchmark = True
    sizes = {
        "tiny": {"n": 6, "strains": 64, "repeats": 1, "together": (10,)},
        "small": {"n": 32, "strains": 4096, "repeats": 5, "together": (12, 20, 32)},
        "full": {"n": 69, "strains": 16384, "repeats": 3, "together": (20, 32, 69)},
    }
    expectations = (
        Expect("solution over plain DOLFINx's", 1.1, kind="at most", source=GOAL, sizes=JUDGED),
        Expect("residual over plain DOLFINx's", 1.1, kind="at most", source=GOAL, sizes=JUDGED),
        *(
            Expect(f"{name}: quadrature point over periodic cell", 0.2, kind="at most", source=GOAL, sizes=JUDGED)
            for name in CRYSTALS
        ),
    )

    def build(self, run):
        """The cube, as a region in a model and as a plain script has it."""
        n = run.settings["n"]
        mesh = SimplexMesh.box((0, 0, 0), (100, 100, 100), (n, n, n))
        region = ContinuumRegion(mesh, NeoHookean(MU, LAM), site_volume=20.0)
        interface = Interface(mesh.nodes, {"fem": region}, Nested([], rest="fem"))
        model = HybridModel(interface, EnergyBlend(), Ranks(world=run.world))
        comm = fx.MPI.COMM_WORLD if run.world.comm is None else run.world.comm
        peer = PlainSolver(comm, mesh.points, mesh.cells, MU / GPA_PER_EV_A3, LAM / GPA_PER_EV_A3)
        return mesh, region, model, peer

    def measure(self, run, built):
        """Contestants in turn, medians of their ratios."""
        mesh, region, model, peer = built
        run.record("mesh dofs", 3 * len(mesh.nodes))
        found = {
            "solution": self._solutions(run, mesh, region, peer),
            "residual": self._residuals(run, mesh, model, peer),
        }
        found["together"] = [self._together(run, n) for n in run.settings["together"]]
        found["laws"] = {name: self._law(run, name) for name in CRYSTALS}
        return found

    @staticmethod
    def _solutions(run: Any, mesh: SimplexMesh, region: ContinuumRegion, peer: PlainSolver) -> Any:
        fixed = np.repeat(on_boundary(mesh.nodes)[:, None], 3, axis=1)
        x = mesh.nodes + np.where(fixed, prescribed(mesh.nodes), 0.0)
        rows = []
        for _ in range(run.settings["repeats"] + 1):
            start = time.perf_counter()
            solved = region.solve(x, fixed, rtol=1e-8)
            ours = time.perf_counter() - start
            theirs, steps = peer.solve(prescribed, on_boundary, 1e-8)
            rows.append((ours, theirs))
        t = run.world.bcast(np.array(rows[1:]))  # the first compiles
        V = peer.space
        n = V.dofmap.index_map.size_local
        at, u = V.tabulate_dof_coordinates()[:n], np.reshape(peer.u.x.array, (-1, 3))[:n]
        number = {tuple(p): k for k, p in enumerate(np.round(mesh.nodes, 6).tolist())}
        order = [number[tuple(p)] for p in np.round(at, 6).tolist()]
        apart = float(np.abs((solved - mesh.nodes)[order] - u).max(initial=0.0))
        run.record("solutions apart", run.world.allreduce_max(apart), "Å")
        run.record("Newton steps of the plain script", steps)
        run.record("solution", float(np.median(t[:, 0])), "s")
        run.record("solution over plain DOLFINx's", float(np.median(t[:, 0] / t[:, 1])))
        return t

    @staticmethod
    def _residuals(run: Any, mesh: SimplexMesh, model: HybridModel, peer: PlainSolver) -> Any:
        q, rows = mesh.nodes + prescribed(mesh.nodes), []

        def timed(work: Callable[[], Any]) -> float:
            start = time.perf_counter()
            work()
            return time.perf_counter() - start

        for _ in range(4 * run.settings["repeats"] + 1):
            ours = timed(lambda: model.ask(q, {"fem": Query(Can.FORCES)}))
            rows.append((ours, timed(peer.residual_only)))
        t = run.world.bcast(np.array(rows[1:]))
        run.record("residual", 1e3 * float(np.median(t[:, 0])), "ms")
        run.record("residual over plain DOLFINx's", float(np.median(t[:, 0] / t[:, 1])))
        return t

    @staticmethod
    def _together(run: Any, n: int) -> dict[str, float]:
        found = solve_together(run, n)
        what = f"atoms and mesh, {found['dofs']:.0f} dofs"
        run.record(f"{what}: Newton steps", found["steps"])
        run.record(f"{what}: time", found["seconds"], "s")
        run.record(f"{what}: peak memory of a rank", found["peak"], "MiB")
        run.record(f"{what}: largest force left", found["left"], "eV/Å")
        return found

    @staticmethod
    def _law(run: Any, name: str) -> dict[str, Any]:
        make, symbol, structure, a = CRYSTALS[name]
        atoms = bulk(symbol, structure, a=a)
        law = CauchyBorn(make(), atoms.cell.array, atoms.get_chemical_symbols(), atoms.positions)
        cell = MLRegion(make(), atoms)
        rng, spent = np.random.default_rng(0), {"stress": [], "tangent": [], "cell": []}
        want = Can.ENERGY | Can.FORCES | Can.STRESS
        for _ in range(run.settings["repeats"]):
            for what in ("stress", "tangent"):
                H = 0.01 * rng.standard_normal((run.settings["strains"], 3, 3))
                start = time.perf_counter()
                getattr(law, what)(H)
                spent[what].append((time.perf_counter() - start) / len(H))
            start = time.perf_counter()
            for k in range(50):
                cell.evaluate(cell.reference * (1.0 + 1e-4 * k), Query(want))
            spent["cell"].append((time.perf_counter() - start) / 50)
        t = {what: run.world.bcast(float(np.median(values))) for what, values in spent.items()}
        run.record(f"{name}: periodic cell", 1e6 * t["cell"], "µs")
        for what in ("stress", "tangent"):
            run.record(f"{name}: {what} at a quadrature point", 1e6 * t[what], "µs")
        run.record(f"{name}: quadrature point over periodic cell", t["stress"] / t["cell"])
        run.record(f"{name}: tangent over periodic cell", t["tangent"] / t["cell"])
        return t

    def plot(self, run, found):
        """Both ratios of every repeat, and the times of laws and cells."""
        import matplotlib.pyplot as plt

        figure, axes = plt.subplots(1, 3, figsize=(15, 4.2), layout="constrained")
        for what, colour in (("solution", "#1d3557"), ("residual", "#2a9d8f")):
            axes[0].plot(found[what][:, 0] / found[what][:, 1], "o-", ms=4, color=colour, label=what)
        axes[0].axhline(1.1, color="#c1121f", ls="--", label="goal 1.1")
        axes[0].set(xlabel="repeat", ylabel="time over plain DOLFINx's", ylim=(0, None))
        axes[0].legend()
        names, width = list(found["laws"]), 0.26
        for k, (what, colour) in enumerate((("cell", "#adb5bd"), ("stress", "#1d3557"), ("tangent", "#f4a261"))):
            values = [1e6 * found["laws"][name][what] for name in names]
            axes[1].bar(np.arange(len(names)) + (k - 1) * width, values, width, color=colour, label=what)
        axes[1].set(xticks=range(len(names)), xticklabels=names, yscale="log", ylabel="µs per cell or point")
        axes[1].legend()
        dofs, seconds = ([row[k] for row in found["together"]] for k in ("dofs", "seconds"))
        axes[2].loglog(dofs, seconds, "o-", color="#1d3557", label="atoms and nodes together")
        axes[2].loglog(dofs, seconds[0] * np.array(dofs) / dofs[0], "--", color="#adb5bd", label="in proportion")
        axes[2].set(xlabel="dofs", ylabel="s to 1e-8 eV/Å")
        axes[2].legend()
        run.save_figure(figure, "bench_continuum.png")


if __name__ == "__main__":
    Continuum().main()
