"""The figure: atoms and mesh of the dipole, errors published beside measured, the load, errors against time."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from multiscale.types import GPA_PER_EV_A3


def draw(data: dict[str, Any]) -> Any:
    """Four panels."""
    figure, axes = plt.subplots(2, 2, figsize=(14, 10.5), layout="constrained")
    _dipole(axes[0, 0], data)
    _errors(axes[0, 1], data)
    _load(axes[1, 0], data)
    _times(axes[1, 1], data)
    return figure


def _dipole(axis: Any, data: dict[str, Any]) -> None:
    name, (simulation, state) = next(iter(data["loads"].items()))
    problem = simulation.problem
    x = problem.atoms.place.place(state.q)
    q = state.q
    axis.triplot(q[:, 0], q[:, 1], problem.atoms.mesh.cells, lw=0.25, color="#9aa5b1")
    w = problem.atoms.atomic_weights(problem.beta)
    counted = w > 0
    held = np.abs(x[:, 0]) < 70
    show = counted & held
    axis.scatter(x[show, 0], x[show, 1], s=9, c=np.where(w[show] == 1, "#1d3557", "#f4a261"), lw=0)
    for core in simulation.cores(q):
        axis.plot(core, 0.0, "o", ms=16, mfc="none", mec="#c1121f", mew=2)
    axis.set(xlim=(-70, 70), ylim=(-55, 55), aspect="equal", xlabel="X₁, Å", ylabel="X₂, Å")
    axis.set_title(f"{name}: atoms in the mesh, the two cores ringed")


def _errors(axis: Any, data: dict[str, Any]) -> None:
    heights = sorted({h for rows in data["errors"].values() for h in rows})
    names = [n for n in data["errors"]] + [n for n in data["published"] if n not in data["errors"]]
    width = 0.8 / (2 * len(heights))
    for k, h in enumerate(heights):
        shade = 0.35 + 0.6 * (k + 1) / len(heights)
        measured = [data["errors"].get(n, {}).get(h, (np.nan,))[0] for n in names]
        column = {10.0: 0, 20.0: 1, 30.0: 2}.get(h)
        published = [
            data["published"][n][column] if n in data["published"] and column is not None else np.nan for n in names
        ]
        at = np.arange(len(names))
        axis.bar(
            at + (2 * k) * width - 0.4,
            published,
            width,
            color=plt.get_cmap("Greys")(0.8 * shade),
            label=f"published, model {h:g}",
        )
        axis.bar(
            at + (2 * k + 1) * width - 0.4,
            measured,
            width,
            color=plt.get_cmap("Blues")(shade),
            label=f"measured, model {h:g}",
        )
    axis.set_yscale("log")
    axis.set_xticks(np.arange(len(names)), names, rotation=60, ha="right", fontsize=8)
    axis.set(ylabel="error of the displacement, %", title="published beside measured")
    axis.legend(fontsize=7)


def _load(axis: Any, data: dict[str, Any]) -> None:
    for name, states in {"all atoms": data["exact states"], **data["states"]}.items():
        g = [s.gamma for s in states]
        style = {"color": "#222222", "lw": 2.5} if name == "all atoms" else {"lw": 1.2, "marker": "."}
        axis.plot(g, [s.stress * GPA_PER_EV_A3 for s in states], label=name, **style)
    axis.set(xlabel="γ", ylabel="(1/V) dE/dγ, GPa", title="load")
    axis.legend(fontsize=8)


def _times(axis: Any, data: dict[str, Any]) -> None:
    for name, rows in data["errors"].items():
        e, seconds = np.array([(r[0], r[1]) for _, r in sorted(rows.items())]).T
        axis.loglog(seconds, e, "o-" if all(r[2] for r in rows.values()) else "s--", ms=5, label=name)
    axis.axvline(data["rest"].seconds, color="#222222", lw=1.0, ls=":")
    axis.set(
        xlabel="s for the relaxed dipole (dotted: all atoms)",
        ylabel="error, %",
        title="error against time (dashed: no energy)",
    )
    axis.legend(fontsize=7, ncols=2)
