"""The figure: moment against rotation, energies, tractions along the interface, and the bent arms with their stress."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from multiscale.types import GPA_PER_EV_A3


def draw(data: dict[str, Any], exact: float, beam: dict[str, float]) -> Any:
    """Four panels."""
    figure, axes = plt.subplots(2, 2, figsize=(13.0, 8.0), layout="constrained")
    for k, (name, found) in enumerate(data.items()):
        angle, _, _, crack, energy, work, _ = np.vstack([np.zeros(7), found["rows"]]).T
        colour = f"C{k}"
        axes[0, 0].plot(1e3 * angle, np.append(0.0, found["moment"]), "o-", ms=2.5, color=colour, label=name)
        axes[0, 1].plot(1e3 * angle, work, color=colour, lw=3, alpha=0.35, label=f"{name}: work")
        axes[0, 1].plot(1e3 * angle, energy, "--", color=colour, label="stored and spent")
        arms = found["arms"]
        x, traction = arms.interface.sites(arms.X)[:, 0], arms.interface.traction(arms.q)[:, 0]
        order = np.argsort(x)
        axes[1, 0].plot(x[order], traction[order], ".-", ms=3, color=colour, label=name)
    turned = np.linspace(0.0, axes[0, 0].get_xlim()[1], 2)
    axes[0, 0].axhline(exact, color="#777777", lw=0.8, ls="--", label="√(Gc E′h³/12)")
    slope = beam["E'"] * beam["h"] ** 3 / 12.0 / 3.0
    axes[0, 0].plot(turned, slope * 1e-3 * turned, ":", color="#777777", label="clamped arms of 3 mm")
    axes[0, 0].set(
        xlabel="rotation of an end / mrad", ylabel="moment per width / N", ylim=(0, 1.15 * exact), title="moment"
    )
    axes[0, 1].set(xlabel="rotation of an end / mrad", ylabel="energy per width / N", title="the books")
    axes[1, 0].set(xlabel="x / mm", ylabel="normal traction / N mm⁻²", title="the zone at the end")
    for axis in (axes[0, 0], axes[0, 1], axes[1, 0]):
        axis.legend(fontsize=8)
    name, found = next(iter(data.items()))
    arms = found["arms"]
    stress = arms.model.interface.regions["body"].regions[0].cell_stress(arms.q)[:, 0, 0] / GPA_PER_EV_A3
    x, y = (arms.X + 10.0 * (arms.q - arms.X))[:, :2].T
    shown = axes[1, 1].tripcolor(
        x[: len(arms.mesh.points)], y[: len(arms.mesh.points)], arms.mesh.cells, stress, cmap="RdBu_r"
    )
    axes[1, 1].set(aspect="equal", title=f"{name}: σ_xx, displacements × 10", xlabel="x / mm", ylabel="y / mm")
    figure.colorbar(shown, ax=axes[1, 1], label="N mm⁻²", shrink=0.8)
    return figure
