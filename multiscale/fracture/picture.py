"""The picture of a crack: atoms by region and bond state over the mesh's opening stress. Needs matplotlib."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.tri import Triangulation

from ..interface import Interface
from ..types import Array
from .crack import Crack

COLOURS = {
    "quantum core": "#c1121f",
    "quantum buffer": "#f4a261",
    "free atoms": "#1d3557",
    "slaved to the mesh": "#8ecae6",
    "held": "#8ecae6",
}


def stress_field(axis: Any, interface: Interface, q: Array, limit: float = 8.0) -> Any:
    """The mesh's σ_yy at q (n_q, 3), GPa, between ∓limit; gives what a colour bar needs."""
    region: Any = interface.regions["fem"]
    x = interface.place("fem", q)
    stress = region.cell_stress(x)[:, 1, 1]
    corners = Triangulation(x[:, 0], x[:, 1], region.mesh.cells)
    return axis.tripcolor(
        corners, facecolors=stress, cmap="RdBu_r", vmin=-limit, vmax=limit, edgecolors="#00000018", linewidth=0.15
    )


def atoms(axis: Any, crack: Crack, interface: Interface, q: Array, size: float, bonds: bool) -> None:
    """The atoms at q, coloured by what decides their motion, and their bonds."""
    x, n = crack.place(q), crack.n_free
    kind = np.full(len(x), "slaved to the mesh" if "fem" in interface.regions else "held", dtype=object)
    kind[:n] = "free atoms"
    if "qm" in interface.regions:
        own = interface.embeddings["qm"].own
        # A region whose energy replaces a cheaper one's has no buffer.
        kind[own[own >= 0]] = "quantum buffer" if "qm" in interface.overlays else "quantum core"
    if "qm" in interface.overlays:
        kind[:n][interface.overlay_weights("qm")[:n] > 0] = "quantum core"
    if bonds:
        draw_bonds(axis, crack, x)
    for name, colour in COLOURS.items():
        mine = kind == name
        if mine.any():
            edge = {"edgecolors": "white", "linewidths": 0.4} if bonds else {"linewidths": 0}
            axis.scatter(x[mine, 0], x[mine, 1], s=size, c=colour, label=name if bonds else None, zorder=3, **edge)


def draw_bonds(axis: Any, crack: Crack, x: Array) -> None:
    """Bonds among the free atoms of x (n, 3): whole ones grey, broken ones red and dotted."""
    watch, n = crack.watch(), crack.n_free
    ends = np.stack([x[watch.i, :2], (x[watch.j] + watch.shift)[:, :2]], axis=1)
    gone = watch.broken(x[:n])
    axis.add_collection(LineCollection(list(ends[~gone]), colors="#555555", linewidths=1.0, zorder=2))
    opening = gone & (watch.lengths(x[:n]) < 6.0)
    style: dict[str, Any] = {
        "colors": "#d00000",
        "linewidths": 1.0,
        "linestyles": "dotted",
        "zorder": 2,
        "label": "broken bonds",
    }
    axis.add_collection(LineCollection(list(ends[opening]), **style))
