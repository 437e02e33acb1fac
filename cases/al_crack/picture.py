"""The figure: the crack just before it grows, atoms and mesh, and K± against the number of atoms, by coupler."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from search import BROKEN, COUPLERS

from multiscale.fracture.picture import atoms, stress_field
from multiscale.types import MPA_SQRT_M_PER_EV_A25 as UNIT

COLOURS = {"sharp pad": "#1d3557", "energy blend": "#c1121f", "ghost corrected": "#2a9d8f"}


def draw(data: dict[str, Any]) -> Any:
    """Two panels."""
    figure, axes = plt.subplots(1, 2, figsize=(14, 6.2), layout="constrained")
    found = data["search"].found
    shown = [f for n, f in found.items() if n.startswith("sharp pad")]
    _crack(figure, axes[0], shown[min(2, len(shown) - 1)])
    _sizes(axes[1], data, found)
    return figure


def _crack(figure: Any, axis: Any, found: Any) -> None:
    crack, interface, state = found.crack, found.model.interface, found.intact["₊"]
    image = stress_field(axis, interface, state.q, limit=12.0)
    atoms(axis, crack, interface, state.q, 22.0, bonds=False)
    x, n = crack.place(state.q), crack.n_free
    watch = crack.watch(BROKEN * crack.material.bond)
    gone = watch.broken(x[:n])
    for i, j in zip(watch.i[~gone], watch.j[~gone], strict=True):
        axis.plot(x[[i, j], 0], x[[i, j], 1], color="#555555", lw=0.7, zorder=2)
    reach = crack.free_radius + 2.2 * crack.material.model.cutoff
    axis.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", xlabel="x, Å", ylabel="y, Å")
    axis.set_title(
        f"just before K₊: {n} free atoms, a pad (light), the mesh; K = {state.load / UNIT:.4f} eV/Å$^{{2.5}}$"
    )
    figure.colorbar(image, ax=axis, label="σ$_{yy}$ of the mesh, GPa", shrink=0.8)


def _sizes(axis: Any, data: dict[str, Any], found: dict[str, Any]) -> None:
    for coupler in COUPLERS:
        mine = [f for n, f in found.items() if n.startswith(coupler) and "Cauchy" not in n]
        count = [f.crack.n_free for f in mine]
        for sign, style in (("₊", "o-"), ("₋", "s--")):
            ends = np.array([[f.ends[sign].before, f.ends[sign].after] for f in mine])
            middle, half = ends.mean(axis=1), 0.5 * np.abs(np.diff(ends, axis=1)[:, 0])
            label = f"{coupler}: K{sign}"
            axis.errorbar(count, middle, half, fmt=style, color=COLOURS[coupler], capsize=3, ms=4, lw=1, label=label)
    for sign, K in data["all atoms"].items():
        axis.axhline(K, color="black", lw=1, ls=":", label=f"all atoms: K{sign} by their J")
    K_G = data["material"].K_relaxed / UNIT
    axis.axhline(K_G, color="grey", lw=0.8, label="Griffith, relaxed surfaces")
    axis.axhspan(0.25, 0.30, color="#00000010", label="published: 0.25 … 0.30")
    axis.set(xscale="log", xlabel="free atoms", ylabel="K, eV/Å$^{2.5}$", ylim=(0.245, 0.305))
    counts = sorted({f.crack.n_free for f in found.values()})
    axis.set_xticks(counts, [str(n) for n in counts])
    axis.minorticks_off()
    axis.set_title("loads at which the crack grows and heals")
    axis.legend(fontsize=8, ncol=2)
