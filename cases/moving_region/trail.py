"""The picture of the moving region: who is described by what, along the path; energies; distance from the true path."""

from __future__ import annotations

from typing import Any

import numpy as np
from walk import ALL_BETTER, ALL_CHEAP, DRIVEN, FOLLOWED, SEEDED

COLOURS = {ALL_BETTER: "#222222", ALL_CHEAP: "#999999", SEEDED: "#1d3557", DRIVEN: "#2a9d8f", FOLLOWED: "#c1121f"}


def draw(walk: Any, trails: Any, dt: float) -> Any:
    """The figure."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 3, figsize=(15, 9), layout="constrained", height_ratios=(1.3, 1))
    for axis, mode in zip(axes[0], (SEEDED, DRIVEN, FOLLOWED), strict=True):
        shown = _atoms(axis, walk, trails[mode], trails[ALL_BETTER])
        axis.set(title=mode, xlabel="x, Å", ylabel="y, Å")
    figure.colorbar(shown, ax=axes[0], label="weight of the better model", shrink=0.8)
    time = dt * np.arange(len(trails[ALL_BETTER].total))
    for mode, t in trails.items():
        style = {"color": COLOURS[mode], "label": mode, "lw": 1.2}
        axes[1, 0].plot(time, 1e3 * (np.array(t.total) - t.total[0]), **style)
        axes[1, 1].plot(time, t.kinetic, **style)
        if mode != ALL_BETTER:
            apart = np.linalg.norm(np.array(t.path) - np.array(trails[ALL_BETTER].path), axis=1)
            axes[1, 2].semilogy(time[1:], np.maximum(apart[1:], 1e-6), **style)
    axes[1, 0].set(title="kinetic + potential + booked energy, meV", xlabel="time, fs")
    axes[1, 1].set(title="kinetic energy of the interstitial, eV", xlabel="time, fs")
    axes[1, 2].set(title=f"distance from its path in '{ALL_BETTER}', Å", xlabel="time, fs")
    for axis in axes[1]:
        axis.grid(alpha=0.25)
    axes[1, 0].legend(fontsize=8)
    return figure


def _atoms(axis: Any, walk: Any, trail: Any, true: Any) -> Any:
    """Atoms of the channel's layer, seen along z, coloured by weight; the path over them."""
    q, path, reference = trail.last, np.array(trail.path), np.array(true.path)
    near = np.flatnonzero(np.abs(q[:, 2] - path[:, 2].mean()) < 3.5)
    near = near[np.argsort(q[near, 2])]
    depth = (q[near, 2] - q[near, 2].min()) / max(np.ptp(q[near, 2]), 1e-9)
    shown = axis.scatter(
        q[near, 0], q[near, 1], s=60 + 90 * depth, c=trail.weights[near], cmap="viridis", vmin=0, vmax=1,
        edgecolors="#333333", linewidths=0.4,
    )  # fmt: skip
    axis.plot(reference[:, 0], reference[:, 1], "-", color="white", lw=4)
    axis.plot(reference[:, 0], reference[:, 1], "-", color="#222222", lw=2, label="all expensive")
    axis.plot(path[:, 0], path[:, 1], "--", color="#e63946", lw=2, label="this one")
    axis.plot(*path[0, :2], "x", color="#e63946", ms=9)
    axis.scatter(*q[walk.walker, :2], s=160, facecolors="none", edgecolors="#e63946", linewidths=2, zorder=5)
    axis.set_aspect("equal")
    axis.legend(fontsize=8, loc="lower right")
    return shown
