"""The figure: both descriptions of the contact in one picture, forces and energies against height, and the books."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np


def _contact(axis: Any, data: dict[str, Any], path: Any, step: int, title: str) -> None:
    contact, q = data["contact"], path.states[step]
    for mesh, dofs in zip((contact.lower, contact.upper), contact.nodes, strict=True):
        x = q[dofs][: len(mesh.points)]
        axis.triplot(x[:, 0], x[:, 1], mesh.cells, color="#9999bb", lw=0.5)
    atoms = contact.place(q)
    d = np.hypot(*contact.crystal.cells[:, :2].T) - data["settings"]["core"]
    shown = d < data["settings"]["blend"]
    colours = np.clip(1.0 - d / data["settings"]["blend"], 0.0, 1.0)
    axis.scatter(atoms[shown, 0], atoms[shown, 1], c=colours[shown], s=9, cmap="viridis", vmin=0, vmax=1, zorder=3)
    if "rod" in data:
        rod = atoms[data["rod"].index]
        axis.scatter(rod[:, 0], rod[:, 1], s=34, facecolors="none", edgecolors="C0", zorder=4, label="quantum")
        axis.legend(fontsize=8, loc="upper right")
    size = 1.6 * (data["settings"]["core"] + data["settings"]["blend"])
    axis.set(
        aspect="equal", xlim=(-size, size), ylim=(-0.7 * size, 0.8 * size), title=title, xlabel="x / Å", ylabel="y / Å"
    )


def draw(data: dict[str, Any]) -> Any:
    """Four panels."""
    figure, axes = plt.subplots(2, 2, figsize=(13.0, 9.0), layout="constrained")
    ours = data["hybrid"]
    k = ours.turn
    shown = data.get("QM", ours)
    worst = k + int(np.argmin(shown.forces[k:]))
    _contact(axes[0, 0], data, shown, k, f"closed, {ours.heights[k]:.2f} Å: atoms by weight, meshes")
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
