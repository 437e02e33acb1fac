"""The figure: where the crack went, what J it ran at, and who paid."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np


def draw(data: dict[tuple[str, str], dict[str, Any]]) -> Any:
    """Damage of one run; J and energies of all."""
    figure, axes = plt.subplot_mosaic(
        [["damage", "J", "energy"]], figsize=(16.0, 4.6), layout="constrained", width_ratios=[1.3, 1, 1]
    )
    first = data[next(iter(data))]
    mesh, state = first["strip"].mesh, first["state"]
    x, y = (mesh.nodes + 1.0 * state.u)[:, :2].T
    shown = axes["damage"].tripcolor(x, y, mesh.cells, state.d, shading="gouraud", cmap="magma_r", vmin=0, vmax=1)
    axes["damage"].set(
        aspect="equal",
        title=f"{', '.join(next(iter(data)))}: damage on the deformed strip",
        xlabel="x / Å",
        ylabel="y / Å",
    )
    figure.colorbar(shown, ax=axes["damage"], label="d", shrink=0.7)
    for k, ((name, kind), found) in enumerate(data.items()):
        place, tip, J, elastic, crack, work, _ = found["rows"].T
        colour = f"C{k}"
        axes["J"].plot(tip / found["strip"].length, J / found["Gc"], "o-", ms=3, color=colour, label=f"{name}, {kind}")
        axes["J"].axhline(found["toughness"] / found["Gc"], color=colour, lw=0.8, ls="--")
        if k < 2:
            paid = (work - work[0] - elastic + elastic[0]) / found["Gc"]
            axes["energy"].plot(place, paid, "-", color=colour, lw=3, alpha=0.35, label=f"{kind}: work − stored")
            axes["energy"].plot(
                place, (crack - crack[0]) / found["Gc"], "--", color=colour, label=f"{kind}: dissipated"
            )
    axes["J"].axhline(np.nan, color="#777777", lw=0.8, ls="--", label="toughness of the mesh")
    axes["J"].set(xlabel="tip (d = ½) / ℓ", ylabel="J / Gc", title="J of the moving crack")
    axes["J"].legend(fontsize=8)
    axes["energy"].set(xlabel="tip of the K-field / Å", ylabel="energy / Gc, Å", title="the books")
    axes["energy"].legend(fontsize=8)
    return figure
