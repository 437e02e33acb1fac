"""The figure: both descriptions of the contact in one picture, forces and energies against height, and the books."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.collections import PolyCollection

from multiscale.types import Array


def _contact(axis: Any, data: dict[str, Any], path: Any, step: int, title: str) -> None:
    contact, q, s = data["contact"], path.states[step], data["settings"]
    for mesh, dofs in zip((contact.lower, contact.upper), contact.nodes, strict=True):
        x = q[dofs][: len(mesh.points)]
        if contact.in_space:
            axis.add_collection(
                PolyCollection(_section(x, mesh.cells), facecolors="none", edgecolors="#9999bb", lw=0.5)
            )
        else:
            axis.triplot(x[:, 0], x[:, 1], mesh.cells, color="#9999bb", lw=0.5)
    atoms, cells = contact.place(q), contact.crystal.cells
    d = np.linalg.norm(cells if contact.in_space else cells[:, :2], axis=1) - s["core"]
    # A slice of a bond's thickness, where the bodies are round.
    shown = (d < s["blend"]) & (~np.array(contact.in_space) | (np.abs(cells[:, 2]) < 2.0))
    colours = np.clip(1.0 - d / s["blend"], 0.0, 1.0)
    axis.scatter(atoms[shown, 0], atoms[shown, 1], c=colours[shown], s=9, cmap="viridis", vmin=0, vmax=1, zorder=3)
    if "rod" in data:
        rod = atoms[data["rod"].index]
        axis.scatter(rod[:, 0], rod[:, 1], s=34, facecolors="none", edgecolors="C0", zorder=4, label="quantum")
        axis.legend(fontsize=8, loc="upper right")
    size = 1.6 * (s["core"] + s["blend"])
    axis.set(
        aspect="equal", xlim=(-size, size), ylim=(-0.7 * size, 0.8 * size), title=title, xlabel="x / Å", ylabel="y / Å"
    )


def _section(x: Array, cells: Array) -> list[Array]:
    """The polygons in which tetrahedra are cut by the plane z = 0."""
    # A vertex on the plane would make polygons without area.
    z = x[cells][:, :, 2] + 1e-6
    out = []
    for cell, height in zip(cells[np.ptp(np.sign(z), axis=1) > 0], z[np.ptp(np.sign(z), axis=1) > 0], strict=True):
        pairs = [(i, j) for i, j in combinations(range(4), 2) if height[i] * height[j] < 0]
        cut = np.array([(x[cell[i]] * height[j] - x[cell[j]] * height[i]) / (height[j] - height[i]) for i, j in pairs])
        middle = cut[:, :2] - cut[:, :2].mean(axis=0)
        out.append(cut[np.argsort(np.arctan2(middle[:, 1], middle[:, 0])), :2])
    return out


def draw(data: dict[str, Any]) -> Any:
    """Four panels."""
    figure, axes = plt.subplots(2, 2, figsize=(13.0, 9.0), layout="constrained")
    ours = data["hybrid"]
    k = ours.turn
    shown = data.get("QM", ours)
    worst = k + int(np.argmin(shown.forces[k:]))
    _contact(axes[0, 0], data, shown, k, f"at {ours.heights[k]:.2f} Å: atoms by weight, meshes")
    _contact(axes[0, 1], data, shown, worst, f"at the pull-off force, {ours.heights[worst]:.2f} Å")
    colours = {"all atoms": "k", "hybrid": "C3", "QM": "C0"}
    for name, path, colour in ((name, data[name], c) for name, c in colours.items() if name in data):
        wide = {"lw": 3.0, "alpha": 0.4} if name == "all atoms" else {"lw": 1.2}
        h, f, e = (np.array(v) for v in (path.heights, path.forces, path.energies))
        if k:
            axes[1, 0].plot(h[: k + 1], f[: k + 1], "--", color=colour, label=f"{name}, approach", **wide)
        axes[1, 0].plot(h[k:], f[k:], "-", color=colour, label=f"{name}, pull-off", **wide)
        axes[1, 1].plot(h[k:], e[k:] - e.min() - path.bound, color=colour, label=f"{name}, pull-off", **wide)
    for part in ours.parts[0]:
        e = np.array([p[part] for p in ours.parts[k:]])
        label = {"ml": "atoms", "fem": "meshes and gap"}.get(part, part)
        apart = e[-1] if k == 0 else ours.parts[0][part]
        axes[1, 1].plot(ours.heights[k:], e - apart, ":", label=f"hybrid: {label}")
    axes[1, 0].axhline(0.0, color="#999999", lw=0.6)
    axes[1, 0].set(xlabel="height / Å", ylabel="force on the tip / eV Å⁻¹", title="rigid machine")
    axes[1, 1].set(xlabel="height / Å", ylabel="energy − that of separate bodies / eV", title="the books")
    axes[1, 0].legend(fontsize=8)
    axes[1, 1].legend(fontsize=8)
    return figure
