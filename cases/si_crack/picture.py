"""The picture of the crack: atoms coloured by region and by bond state over the finite-element field of σ_yy."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from multiscale.fracture.hybrid import HybridCrack
from multiscale.fracture.picture import atoms, stress_field


def draw(data: dict[str, Any]) -> Any:
    """Three panels: the whole disc, the tip, and the load–opening curves."""
    crack: HybridCrack = data["crack"]
    interface = data.get("quantum model", data["model"]).interface
    states = data.get("QM/ML/FEM", data["ML/FEM"])
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
    _curves(axes[2], crack, data)
    figure.tight_layout()
    return figure


def _curves(axis: Any, crack: HybridCrack, data: dict[str, Any]) -> None:
    watch, K_G = crack.watch(), crack.material.K_griffith
    for name, style in (("ML/FEM", "o-"), ("QM/ML/FEM", "s-")):
        if name not in data:
            continue
        states = data[name]
        first_intact = int(
            np.argmin(np.where(watch.crossing & ~watch.broken(states[0].q[: crack.n_free]), watch.x, np.inf))
        )
        lengths = [watch.lengths(s.q[: crack.n_free])[first_intact] for s in states]
        axis.plot([s.load / K_G for s in states], lengths, style, ms=4, label=name)
    axis.axhline(3.0, color="#d00000", ls=":", lw=1)
    axis.text(1.0, 3.02, "broken", color="#d00000", fontsize=8, va="bottom")
    axis.set_xlabel("K / K_G")
    axis.set_ylabel("length of the bond at the tip, Å")
    axis.set_title("lattice trapping")
    axis.legend()
