"""The picture of the crack: atoms coloured by region and by bond state over the finite-element field of σ_yy."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from multiscale.fracture.hybrid import HybridCrack
from multiscale.fracture.picture import atoms, stress_field


def draw(data: dict[str, Any]) -> Any:
    """Three panels: the whole disc, the tip, and the load–opening curves."""
    crack: HybridCrack = data.get("tip's crack", data["crack"])
    interface = data.get("quantum model", data["model"]).interface
    states = data.get("tip", data["ML/FEM"])
    q = states[-2].q if len(states) > 1 else states[-1].q
    figure, axes = plt.subplots(1, 3, figsize=(16.5, 5.4), gridspec_kw={"width_ratios": [1.0, 1.15, 0.8]})
    image = None
    for axis, reach, size in ((axes[0], None, 1.0), (axes[1], 1.55 * crack.free_radius + 2.0, 26.0)):
        image = stress_field(axis, interface, q)
        atoms(axis, crack, interface, q, size, bonds=reach is not None)
        axis.set_aspect("equal")
        axis.set_xlabel("x = [11-2], Å")
        if reach is not None:
            axis.set(xlim=(-reach, reach), ylim=(-reach, reach))
    axes[0].set_ylabel("y = [111], Å")
    axes[0].set_title("one piece of matter: atoms in a finite-element disc")
    axes[1].set_title(
        f"the tip at K = {states[-2 if len(states) > 1 else -1].load / crack.material.K_griffith:.3f} K_G"
    )
    axes[1].legend(loc="upper left", fontsize=8, framealpha=0.9)
    figure.colorbar(image, ax=axes[1], label="σ_yy of the far field, GPa", shrink=0.85)
    _curves(axes[2], data)
    figure.tight_layout()
    return figure


def _curves(axis: Any, data: dict[str, Any]) -> None:
    """The longest of the bonds that are whole in the first state, across the crack plane or off it."""
    colours: dict[str, str] = {}
    for name, crack in data["cracks"].items():
        watch, states, n = crack.watch(), data[name], crack.n_free
        whole = ~watch.broken(states[0].q[:n])
        lengths = [watch.lengths(s.q[:n])[whole].max() for s in states]
        style = "s--" if "QM" in name else "o-"
        # A member has one colour, with and without a quantum tip.
        colour = colours.setdefault(name.split("FEM")[-1], f"C{len(colours)}")
        loads = [s.load / crack.material.K_griffith for s in states]
        axis.plot(loads, np.minimum(lengths, 4.2), style, ms=4, color=colour, label=name)
    axis.axhline(3.0, color="#d00000", ls=":", lw=1)
    axis.text(axis.get_xlim()[0], 3.02, " broken", color="#d00000", fontsize=8, va="bottom")
    axis.set_xlabel("K / K_G")
    axis.set_ylabel("longest bond that was whole at first, Å")
    axis.set_title("what breaks first, and when")
    axis.legend(fontsize=8)
