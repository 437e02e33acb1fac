"""The figure: forces and energies of the notched square, the crack with bounds and with a history field, and the bars."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np


def draw(data: dict[str, Any]) -> Any:
    """Six panels."""
    figure, axes = plt.subplots(2, 3, figsize=(15.5, 8.6), layout="constrained")
    runs = {k: v for k, v in data.items() if "ℓ" in k}
    for k, (label, found) in enumerate(runs.items()):
        pulled, force, elastic, crack, work, _ = np.vstack([np.zeros(6), found["rows"]]).T
        axes[0, 0].plot(1e3 * pulled, force, "o-", ms=2.5, label=label)
        if label.startswith("AT1"):
            axes[0, 1].plot(1e3 * pulled, elastic, color=f"C{k}", label=f"{label}: stored")
            axes[0, 1].plot(1e3 * pulled, crack, "--", color=f"C{k}", label="dissipated")
            axes[0, 1].plot(1e3 * pulled, work, ":", color=f"C{k}", label="work")
    pulled, force = data["history"]["rows"][:, :2].T
    axes[0, 0].plot(1e3 * pulled, force, color="#777777", lw=1, label="history field, AT2")
    axes[0, 0].set(xlabel="displacement / µm", ylabel="force / N per mm", title="notched square")
    axes[0, 1].set(xlabel="displacement / µm", ylabel="energy / N", title="energies: what is lost is motion")
    for axis in (axes[0, 0], axes[0, 1]):
        axis.legend(fontsize=7)
    last = [label for label in runs if label.startswith("AT2")][-1]
    _pattern(axes[1, 0], runs[last], f"{last}: bounds", figure)
    _pattern(axes[1, 1], data["history"], "the same with a history field", figure)
    bars = axes[0, 2]
    for kind, strength in (("AT1", 3765.0), ("AT2", 1996.7)):
        strain, stress = data[f"{kind} bar"]["curve"]
        (line,) = bars.plot(1e2 * np.append(0.0, strain), np.append(0.0, stress), "o-", ms=2.5, label=f"{kind} bar")
        bars.axhline(strength, color=line.get_color(), lw=0.8, ls="--")
    bars.set(xlabel="strain / %", ylabel="stress / N mm⁻²", title="bars; dashed: theory")
    bars.legend(fontsize=8)
    _profile(axes[1, 2], runs, data["history"])
    return figure


def _pattern(axis: Any, found: dict[str, Any], title: str, figure: Any) -> None:
    mesh, state = found["mesh"], found["state"]
    x, y = (mesh.nodes + 8.0 * state.u)[:, :2].T
    shown = axis.tripcolor(x, y, mesh.cells, state.d, shading="gouraud", cmap="magma_r", vmin=0, vmax=1)
    axis.set(aspect="equal", title=title, xlabel="x / mm", ylabel="y / mm")
    figure.colorbar(shown, ax=axis, label="d", shrink=0.75)


def _profile(axis: Any, runs: dict[str, Any], history: dict[str, Any]) -> None:
    """Damage across the crack, three quarters along."""
    for label, found in [*runs.items(), ("history field", history)]:
        X, d = found["mesh"].nodes, found["state"].d
        column = np.flatnonzero(np.abs(X[:, 0] - X[np.argmin(np.abs(X[:, 0] - 0.75)), 0]) < 1e-9)
        order = column[np.argsort(X[column, 1])]
        axis.plot((X[order, 1] - 0.5) / found["solid"].length, d[order], ".-", ms=3, lw=1, label=label)
    axis.set(xlim=(-5, 5), xlabel="y / ℓ", ylabel="d", title="across the crack at x = 0.75")
    axis.legend(fontsize=7)
