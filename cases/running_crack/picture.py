"""The figure: the strip with both descriptions, the tip's way, the budget, velocity against G; and the animation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.animation import FuncAnimation, PillowWriter
from matplotlib.collections import LineCollection

from multiscale.types import J_M2_PER_EV_A2


def draw(data: dict[str, Any]) -> Any:
    """Four panels."""
    figure, axes = plt.subplots(2, 2, figsize=(15, 9.5), layout="constrained", width_ratios=[1.6, 1.0])
    _strip(figure, axes[0, 0], data)
    _way(axes[0, 1], data)
    _budget(axes[1, 0], data)
    _velocity(axes[1, 1], data)
    return figure


def _strip(figure: Any, axis: Any, data: dict[str, Any]) -> None:
    crack = data["crack"]
    G, result = list(data["runs"].items())[-1]
    time, x = result["books"].frames[-1]
    shift = result["books"].moves[-1] * crack.period
    q = crack.mesh.nodes
    axis.triplot(q[:, 0] + shift, q[:, 1], crack.mesh.cells, lw=0.3, color="#9aa5b1")
    n, inside = crack.n_free, np.abs(crack.crystal.positions[:, 1]) <= crack.half + crack.blend
    _bonds(axis, crack, x)
    slaved = inside.copy()
    slaved[:n] = False
    axis.scatter(*x[slaved, :2].T, s=3, c="#8ecae6", lw=0, label="atoms slaved to the mesh", zorder=3)
    axis.scatter(*x[:n, :2].T, s=3, c="#1d3557", lw=0, label="free atoms", zorder=3)
    axis.set(
        aspect="equal",
        xlabel="x, Å",
        ylabel="y, Å",
        title=f"G = {G:g}·2γ after {time:.0f} fs; the window has moved {shift:.0f} Å",
    )
    axis.legend(loc="upper right", fontsize=8)


def _bonds(axis: Any, crack: Any, x: Any) -> None:
    watch, n = crack.watch(), crack.n_free
    whole = ~watch.broken(x[:n])
    ends = np.stack([x[watch.i, :2], (x[watch.j] + watch.shift)[:, :2]], axis=1)[whole]
    axis.add_collection(LineCollection(list(ends), colors="#555555", linewidths=0.5, zorder=2))


def _way(axis: Any, data: dict[str, Any]) -> None:
    for G, result in data["runs"].items():
        books = result["books"]
        axis.plot(books.time, np.array(books.tip) - books.tip[0], label=f"G = {G:g}·2γ: {result['velocity']:.0f} m/s")
    axis.set(xlabel="time, fs", ylabel="way of the tip, Å", title="the crack in the laboratory")
    axis.legend(fontsize=8)


def _budget(axis: Any, data: dict[str, Any]) -> None:
    ran = [r for r in data["runs"].values() if "budget" in r]
    if not ran:
        axis.set_axis_off()
        return
    crack, result = data["crack"], ran[-1]
    b = result["books"]
    moves = np.array(b.moves)
    # Just after the window has moved, from the first time on: between moves the crack is ahead of the books.
    at = np.flatnonzero(np.diff(moves, prepend=0) > 0)
    area = (moves[at] - moves[at[0]]) * crack.period * crack.crystal.period / J_M2_PER_EV_A2
    released = result["G"] * area

    def since(values: list[float]) -> Any:
        return np.array(values)[at] - values[at[0]]

    parts = {
        "surfaces, 2γ Δa t": 2.0 * crack.material.gamma * area,
        "absorbed": -since(b.heat),
        "kinetic": since(b.kinetic),
        "potential, beyond": since(b.potential),
    }
    time = np.array(b.time)[at]
    colours = ["#1d3557", "#c1121f", "#f4a261", "#8ecae6"]
    low = np.zeros(len(time))
    for (name, values), colour in zip(parts.items(), colours, strict=True):
        axis.fill_between(time, low, low + values, color=colour, alpha=0.8, lw=0, label=name)
        low = low + values
    axis.plot(time, released, color="black", lw=1.5, label="released by the strip, G Δa t")
    axis.set(xlabel="time, fs", ylabel="energy, eV", title="where the energy goes, whenever the window moves")
    axis.legend(fontsize=8, loc="upper left")


def _velocity(axis: Any, data: dict[str, Any]) -> None:
    G = np.array(list(data["runs"]))
    v = np.array([r["velocity"] if r["periods"] > 0 else 0.0 for r in data["runs"].values()])
    axis.plot(G, v, "o-", color="#1d3557")
    axis.axhline(data["shear"], color="#999999", ls=":", lw=1)
    axis.text(1.0, data["shear"], " shear wave", va="top", fontsize=8)
    axis.axvline(1.0, color="#999999", lw=0.8)
    axis.set(xlabel="G / 2γ", ylabel="velocity, m/s", title="velocity against load", ylim=(0, None))


def animate(data: dict[str, Any], path: Path, frames: int = 40) -> None:
    """The band of atoms about the tip, in the laboratory."""
    crack = data["crack"]
    _, result = list(data["runs"].items())[-1]
    books = result["books"]
    chosen = books.frames[:: max(1, len(books.frames) // frames)]
    figure, axis = plt.subplots(figsize=(9, 3.2), layout="constrained")
    start = books.tip[0]
    inside = np.abs(crack.crystal.positions[:, 1]) <= crack.half + crack.blend
    end = max(books.tip)

    def frame(k: int) -> list[Any]:
        axis.clear()
        time, x = chosen[k]
        _bonds(axis, crack, x)
        axis.scatter(*x[inside, :2].T, s=5, c="#1d3557", lw=0, zorder=3)
        axis.set(
            xlim=(start - 40, end + 40),
            ylim=(-22, 22),
            aspect="equal",
            xlabel="x, Å",
            ylabel="y, Å",
            title=f"{time:.0f} fs",
        )
        return []

    FuncAnimation(figure, frame, frames=len(chosen)).save(path, writer=PillowWriter(fps=8), dpi=70)
    plt.close(figure)
