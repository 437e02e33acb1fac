"""The figure of the hand-over: atoms and damage, J along the way, and what a crack costs where."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.tri import Triangulation

from multiscale.fracture.bonds import BondWatch


def draw(data: dict[str, Any]) -> Figure:
    """Needs matplotlib."""
    figure = Figure(figsize=(13, 9), layout="constrained")
    axes = figure.subplot_mosaic([["crack", "crack"], ["J", "price"]], height_ratios=[1.25, 1])
    _crack(figure, axes["crack"], data)
    _along(axes["J"], data)
    _price(axes["price"], data)
    return figure


def _crack(figure: Figure, axis: Any, data: dict[str, Any]) -> None:
    """Displaced atoms and bonds over the damage of the displaced mesh."""
    crack, found = data["crack"], data["found"]
    x, nodes = crack.place(found.q), found.q[crack.nodes][: len(crack.mesh.points)]
    triangles = Triangulation(nodes[:, 0], nodes[:, 1], crack.mesh.cells)
    # What is broken through is a gap.
    triangles.set_mask((found.d[crack.mesh.cells] > 0.9).all(axis=1))
    shown = axis.tripcolor(triangles, found.d, shading="gouraud", cmap="magma_r", vmin=0.0, vmax=1.0)
    counted = np.hypot(*crack.crystal.cells[:, :2].T) < crack.free_radius + crack.blend
    watch = BondWatch.of(crack.crystal.positions, crack.crystal.period, crack.material.bond)
    whole = ~watch.broken(x) & counted[watch.i] & counted[watch.j]
    ends = np.stack([x[watch.i, :2], (x[watch.j] + watch.shift)[:, :2]], axis=1)[whole]
    axis.add_collection(LineCollection(list(ends), colors="#444444", linewidths=0.8))
    n = crack.n_free
    for mine, colour, label in (
        (np.arange(len(x)) < n, "#1d3557", "free atoms"),
        ((np.arange(len(x)) >= n) & counted, "#8ecae6", "atoms of the blend, which follow the mesh"),
    ):
        axis.scatter(x[mine, 0], x[mine, 1], s=14, c=colour, label=label, zorder=3)
    axis.set(xlim=(-30, max(60.0, found.tip + 20)), ylim=(-22, 22), aspect="equal", xlabel="x / Å", ylabel="y / Å")
    axis.set_title(f"the crack after {found.tip - data['hand'].to:.0f} Å as a phase field, displacements to scale")
    axis.legend(loc="upper left", fontsize=8)
    figure.colorbar(shown, ax=axis, label="d", shrink=0.8)


def _along(axis: Any, data: dict[str, Any]) -> None:
    """J against the tip's place."""
    place, tip, J, _, near, *_ = data["rows"].T
    crack, scale = data["crack"], data["Gc"]
    _, front, driving = data["atoms"].T
    axis.plot(front, driving / scale, "s-", color="#1d3557", label="atoms, while K rises: front of broken bonds")
    axis.plot(tip, J / scale, "o-", ms=4, color="#c1121f", label="phase field, K-field moves on: J of far rings")
    if np.isfinite(near).any():
        axis.plot(tip, near / scale, "x", ms=4, color="#f4a261", label="J of a ring about the damage's tip")
    axis.axhline(data["toughness"] / scale, color="#777777", lw=0.8, ls="--", label="toughness of the mesh")
    axis.axvspan(crack.free_radius, crack.free_radius + crack.blend, color="#8ecae640", label="blend")
    axis.set(
        xlabel="front of bonds, or tip (d = ½) / Å", ylabel="J / Gc", title="what drives the crack", ylim=(0, None)
    )
    axis.legend(fontsize=8)


def _price(axis: Any, data: dict[str, Any]) -> None:
    """The resistance between hand-overs to several places."""
    where, price = data["price"].T
    axis.plot(where, price, "o-", color="#1d3557", label="(ΔE/Δa + J)/Gc of hand-overs at 0.85 K_G")
    axis.axhline(data["toughness"] / data["Gc"], color="#777777", lw=0.8, ls="--", label="toughness of the mesh")
    axis.set(xlabel="end of the damage / Å", ylabel="energy per area / Gc", title="what a crack costs", ylim=(0.8, 1.3))
    axis.legend(fontsize=8)
