"""Ghost force against blend width and switch: what smooth weights buy, and what a dead load takes off.

The 1-D Morse chain with second neighbours of benchmark B1, stretched by 2 %: atoms in the middle, Cauchy–Born elements around, energies
blended over k atoms. The largest ghost force falls like k⁻¹, k⁻², k⁻³ for C⁰, C¹, C² switches and no faster for C³; the strain that it
causes like k⁻¹, k^−3/2, k^−3/2. Where weights move over atoms, C² is what makes dF/dx continuous. A dead load removes the ghost
force where it is computed, and has to be computed again when the strain changes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import spsolve

from couplers import EnergyBlend, GhostCorrected
from multiscale import Case, Cubic, Expect, HybridModel, Interface, Linear, Nested, Quintic, Septic, Slab
from multiscale.partition import Partition
from multiscale.regions.chain import ChainElements, ChainRegion, MorsePair
from multiscale.testing.problems import moving

CLAIM = "arXiv:1008.2138"
CODE = f"{CLAIM}; value of an independent code (benchmark B1)"
SWITCHES = {"linear C⁰": Linear(), "cubic C¹": Cubic(), "quintic C²": Quintic(), "septic C³": Septic()}
RATES = {"linear C⁰": (-1.0, -1.0), "cubic C¹": (-2.0, -1.5), "quintic C²": (-3.0, -1.5), "septic C³": (-3.0, -1.5)}
#: Ratio of the jumps of dF/dx at steps h and h/2: the jump grows, stays, halves.
RATIOS = {"linear C⁰": 0.5, "cubic C¹": 1.0, "quintic C²": 2.0, "septic C³": 2.0}
COLOURS = dict(zip(SWITCHES, ("#c1121f", "#f4a261", "#1d3557", "#2a9d8f"), strict=True))
STRETCH = 1.02


class ByVertices(Partition):
    """B1's element weights: the mean of the weights of the atoms at an element's ends."""

    def __init__(self, nested: Nested):
        self.nested, self.regions, self.frame = nested, nested.regions, nested.frame

    def __call__(self, X: Any, q: Any = None) -> Any:
        """Weights by the ends at midpoints, by the point itself at atoms."""
        out = self.nested(X, q)
        a = STRETCH * MorsePair().equilibrium()
        ends = [self.nested(X + [s * a / 2, 0, 0], q) for s in (-1, 1)]
        middle = np.abs(X[:, 0] / a - np.round(X[:, 0] / a)) > 0.25
        return {r: (np.where(middle, 0.5 * (ends[0][r][0] + ends[1][r][0]), w), g) for r, (w, g) in out.items()}


def blended(n: int, k: int, switch: Any, coupler: Any = None) -> HybridModel:
    """The ring of n atoms with a blend over k of them."""
    a = STRETCH * MorsePair().equilibrium()
    q = np.zeros((n, 3))
    q[:, 0] = a * np.arange(n)
    core = Slab((a * n / 2, 0, 0), (1, 0, 0), a * (n / 8 + 1e-6))
    partition = ByVertices(Nested([("atoms", core, k * a)], rest="fem", switch=switch))
    regions = {"atoms": ChainRegion(q, period=n * a), "fem": ChainElements(q, period=n * a)}
    return HybridModel(Interface(q, regions, partition, strict=False), coupler or EnergyBlend())


def errors(model: HybridModel) -> tuple[float, float, float]:
    """Largest ghost force (eV/Å), and ℓ² and largest strain of the linear response to it."""
    q = model.interface.reference
    f = model.evaluate(q).forces[:, 0]
    k = model.stiffness(q)[::3, ::3].tocsc()
    u = np.zeros(len(q))
    u[1:] = spsolve(sp.csc_matrix(k[1:, 1:]), f[1:])
    du = np.diff(np.append(u, u[0]))
    return float(np.abs(f).max()), float(np.sqrt(np.mean(du**2))), float(np.abs(du).max())


def jump(switch: Any, h: float) -> float:
    """Largest jump of dF/dx on one atom, eV/Å², while the zone's inner edge sweeps over it in steps of h Å."""
    model = moving(switch=switch).model(EnergyBlend())
    q = model.interface.reference.copy()
    n = len(q) - 1
    q[:n, 0] += np.random.default_rng(1).normal(0.0, 0.03, n)
    atom, radius, forces = n // 2 + 4, model.interface.partition.levels[0][1].radius, []
    for s in h * np.arange(-round(0.02 / h), round(0.02 / h) + 1):
        q[n, 0] = q[atom, 0] - radius + s
        forces.append(model.evaluate(q).forces[atom, 0])
    return float(np.abs(np.diff(forces, 2)).max() / h)


class GhostForce(Case):
    """Ghost force of energy blending against the width and smoothness of the blend."""

    name = "ghost_force"
    sizes = {"small": {"n": 4096, "k_max": 256}, "full": {"n": 16384, "k_max": 1024}}
    expectations = (
        Expect("QCE: max ghost force", 6.613e-2, tolerance=7e-5, source=CODE, unit="eV/Å"),
        Expect("QCE: ℓ² strain", 7.800e-5, tolerance=4e-7, source=CODE, sizes=("small",)),
        Expect("QCE: max strain", 2.567e-3, tolerance=1.3e-5, source=CODE),
        Expect("quintic C², k = 16: max ghost force", 1.102e-3, tolerance=2e-6, source=CODE, unit="eV/Å"),
        Expect("linear C⁰, k = 16: max ghost force", 4.133e-3, tolerance=5e-6, source=CODE, unit="eV/Å"),
        *(Expect(f"{s}: slope of the ghost force", r, tolerance=0.15, source=CLAIM) for s, (r, _) in RATES.items()),
        *(Expect(f"{s}: slope of the strain", r, tolerance=0.15, source=CLAIM) for s, (_, r) in RATES.items()),
        *(
            Expect(
                f"{s}: ratio of jumps at h and h/2", r, tolerance=0.15, source="order of the first jump of the switch"
            )
            for s, r in RATIOS.items()
        ),
        Expect("corrected: force where computed", 0.0, tolerance=1e-9, source="identity", unit="eV/Å"),
        Expect("corrected: force after 2 %, re-evaluated", 0.0, tolerance=1e-9, source="identity", unit="eV/Å"),
    )
    citations = (CLAIM, "arXiv:1407.0053")

    def build(self, run):
        """The widths; every model is built where it is measured."""
        return 2 ** np.arange(3, int(np.log2(run.settings["k_max"])) + 1)

    def measure(self, run, widths):
        """Rates, jumps, and what correction leaves."""
        n = run.settings["n"]
        run.cite(*EnergyBlend.references, *GhostCorrected.references)
        names = ("max ghost force", "ℓ² strain", "max strain")
        for name, value in zip(names, errors(blended(n, 0, Quintic())), strict=True):
            run.record(f"QCE: {name}", value, "eV/Å" if "force" in name else "")
        data: dict[str, Any] = {"k": widths, "jumps": {}, "errors": {}}
        for name, switch in SWITCHES.items():
            e = np.array([errors(blended(n, int(k), switch)) for k in widths])
            data["errors"][name] = e
            run.record(f"{name}, k = 16: max ghost force", e[1, 0], "eV/Å")
            # The widest blends: the rates are asymptotic.
            for column, what in ((0, "ghost force"), (1, "strain")):
                slope = np.polyfit(np.log(widths[-3:]), np.log(e[-3:, column]), 1)[0]
                run.record(f"{name}: slope of the {what}", slope)
            data["jumps"][name] = [jump(switch, h) for h in (0.004, 0.002, 0.001)]
            run.record(f"{name}: ratio of jumps at h and h/2", data["jumps"][name][1] / data["jumps"][name][2])
        data["correction"] = self._correction(run, n)
        return data

    @staticmethod
    def _correction(run: Any, n: int) -> dict[str, float]:
        """What a dead load leaves of the ghost force, before and after 2 % more strain about one of the two blends."""
        model, plain = blended(n, 16, Quintic(), GhostCorrected()), blended(n, 16, Quintic())
        q = model.interface.reference
        further = q.copy()
        # 2 % more in and around one blend, undone far from it, where there is one region only.
        x, a = q[:, 0] / q[1, 0], q[1, 0]
        strain = np.where(np.abs(x - n * 5 / 8) < n / 16, 0.02, 0.0)
        further[:, 0] += a * np.concatenate([[0.0], np.cumsum(0.5 * (strain[1:] + strain[:-1]))])
        near = np.abs(x - n * 5 / 8) < n / 32
        model.prepare(q)
        out = {"where computed": float(np.abs(model.evaluate(q).forces).max())}
        out["after 2 %, uncorrected"] = float(np.abs(plain.evaluate(further).forces[near]).max())
        out["after 2 %, frozen"] = float(np.abs(model.evaluate(further).forces[near]).max())
        model.prepare(further)
        out["after 2 %, re-evaluated"] = float(np.abs(model.evaluate(further).forces[near]).max())
        for name, value in out.items():
            run.record(f"corrected: force {name}", value, "eV/Å")
        return out

    def plot(self, run, data):
        """Ghost force and strain against width; jumps against the step; what correction leaves."""
        import matplotlib.pyplot as plt

        figure, axes = plt.subplots(1, 4, figsize=(18, 4.6), layout="constrained")
        k = data["k"]
        for column, (axis, title) in enumerate(((axes[0], "largest ghost force, eV/Å"), (axes[1], "ℓ² strain error"))):
            for name, e in data["errors"].items():
                axis.loglog(
                    k, e[:, column], "o-", ms=4, color=COLOURS[name], label=f"{name} ∝ $k^{{{RATES[name][column]:g}}}$"
                )
            axis.set(xlabel="atoms k across the blend", title=title)
            axis.legend(fontsize=8, loc="lower left")
        for name, j in data["jumps"].items():
            axes[2].loglog((0.004, 0.002, 0.001), j, "o-", ms=4, color=COLOURS[name], label=name)
        axes[2].set(xlabel="step h of the moving zone, Å", title="jump of dF/dx, eV/Å²")
        axes[2].set_xticks((0.001, 0.002, 0.004), ("0.001", "0.002", "0.004"))
        axes[2].minorticks_off()
        axes[2].legend(fontsize=8, loc="center right", bbox_to_anchor=(1.0, 0.66))
        names = list(data["correction"])
        axes[3].barh(names, [max(v, 1e-14) for v in data["correction"].values()], color="#1d3557")
        axes[3].set(xscale="log", xlim=(1e-14, 1e-1), title="force left by the dead load, eV/Å")
        axes[3].invert_yaxis()
        for axis in axes[:3]:
            axis.grid(alpha=0.25, which="major")
        run.save_figure(figure, "ghost_force.png")


if __name__ == "__main__":
    GhostForce().main()
