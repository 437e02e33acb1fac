"""The figure: loads against approach and contact radius, pull-off against μ, pressures, a machine's loop, and the body with its gap."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from bodies import LENGTH, RADIUS
from matplotlib.tri import Triangulation
from theory import bradley, dmt, jkr, unit_of_approach, unit_of_radius

from multiscale.types import GPA_PER_EV_A3


def draw(data: dict[str, Any]) -> Any:
    """Six panels."""
    figure, axes = plt.subplots(2, 3, figsize=(16.5, 9.5), layout="constrained")
    walks = data["walks"]
    colours = dict(zip(walks, plt.get_cmap("viridis")(np.linspace(0.0, 0.88, len(walks))), strict=True))
    _approach(axes[0, 0], data, colours)
    _radius(axes[0, 1], walks, colours)
    _pull_off(axes[0, 2], data, colours)
    _pressures(axes[1, 0], walks, colours)
    _loop(axes[1, 1], walks)
    _body(axes[1, 2], figure, walks)
    for axis in axes.ravel()[:5]:
        if axis.get_legend_handles_labels()[0]:
            axis.legend(fontsize=8)
    return figure


def _approach(axis: Any, data: dict[str, Any], colours: dict[float, Any]) -> None:
    for mu, found in data["walks"].items():
        unit = unit_of_approach(mu)
        axis.plot((1.0 - found["D"]) / unit, found["P"], "o", ms=3.5, mfc="none", color=colours[mu])
        rings = data["rings"][mu]
        axis.plot(
            (1.0 - rings.approach) / unit, rings.load, color=colours[mu], label=f"μ = {mu:g}: rings, elements (o)"
        )
        D = np.linspace(0.9, 8.0, 400)
        if mu == min(data["walks"]):
            axis.plot((1.0 - D) / unit, bradley(D), ":", color="#444444", label=f"Bradley: rigid, for μ = {mu:g}")
    a = np.linspace(0.18, 1.9, 300)
    axis.plot(*jkr(a)[::-1], "k--", lw=1.2, label="JKR")
    axis.plot(*dmt(np.linspace(0.0, 1.5, 100))[::-1], "-.", color="#aa3333", lw=1.0, label="DMT")
    axis.set(xlim=(-3.5, 2.0), ylim=(-2.15, 1.0), xlabel="approach ε − D over (π²w²R/K²)^⅓", ylabel="P/(πwR)")
    axis.set_title("load and approach")


def _radius(axis: Any, walks: dict[float, Any], colours: dict[float, Any]) -> None:
    for mu, found in walks.items():
        edge = []
        for state in found["states"]:
            r, p, h = found["contact"].pressures(state.q)
            near = h[0] < 3.0 ** (1.0 / 6.0)
            edge.append(r[np.argmax(p)] / unit_of_radius(mu) if near else np.nan)
        axis.plot(edge, found["P"], "o-", ms=3, lw=0.8, color=colours[mu], label=f"μ = {mu:g}: where p is largest")
    a = np.linspace(0.0, 1.9, 300)
    axis.plot(a, jkr(a)[0], "k--", lw=1.2, label="JKR")
    axis.plot(a, dmt(a)[0], "-.", color="#aa3333", lw=1.0, label="DMT")
    axis.set(xlim=(0, 2.0), ylim=(-2.15, 1.0), xlabel="contact radius over (πwR²/K)^⅓", ylabel="P/(πwR)")
    axis.set_title("load and contact radius")


def _pull_off(axis: Any, data: dict[str, Any], colours: dict[float, Any]) -> None:
    rings = data["rings"]
    axis.plot(list(rings), [c.pull_off for c in rings.values()], "s--", color="#777777", ms=5, label="rings")
    for mu, found in data["walks"].items():
        axis.plot(mu, found["pull-off"], "o", ms=9, mfc="none", color=colours[mu], label=f"elements, μ = {mu:g}")
    for value, name in ((2.0, "rigid, DMT: 2πwR"), (1.5, "JKR: 3πwR/2")):
        axis.axhline(value, color="k", lw=0.8, ls=":")
        axis.annotate(name, (0.98, value), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=9)
    axis.set(xscale="log", ylim=(1.45, 2.08), xlabel="Tabor's parameter μ", ylabel="pull-off/(πwR)", title="pull-off")


def _pressures(axis: Any, walks: dict[float, Any], colours: dict[float, Any]) -> None:
    for mu, found in walks.items():
        state = found["states"][int(np.argmin(found["P"]))]
        r, p, _ = found["contact"].pressures(state.q)
        axis.plot(r / unit_of_radius(mu), p, ".-", ms=2.5, lw=0.8, color=colours[mu], label=f"μ = {mu:g}")
    axis.axhline(0.0, color="k", lw=0.6)
    axis.set(xlim=(0, 4), xlabel="r over (πwR²/K)^⅓", ylabel="p ε/w, attraction positive", title="pressure at pull-off")


def _loop(axis: Any, walks: dict[float, Any]) -> None:
    """The softest body's way of jumping that still fits on the page: the smallest μ with a loop, 2 if it is there."""
    turning = [mu for mu, found in walks.items() if found["loop"] is not None]
    axis.set(xlabel="distance D/ε", ylabel="P/(πwR)")
    if not turning:
        return
    mu = 2.0 if 2.0 in turning else turning[0]
    found, jumps = walks[mu], walks[mu]["loop"]
    axis.plot(found["D"], found["P"], "o-", color="C0", ms=3, lw=1.0, label=f"μ = {mu:g}: equilibria at central gaps")
    for at, (start, end), colour, name in (
        (jumps.into, jumps.loads[:2], "C3", "into"),
        (jumps.out_of, jumps.loads[2:], "C1", "out of"),
    ):
        axis.annotate("", (at, end), (at, start), arrowprops={"arrowstyle": "->", "color": colour, "lw": 1.8})
        axis.plot([], [], color=colour, label=f"{name} contact at D = {at:.2f} ε")
    axis.set(xlim=(jumps.into - 2.0, jumps.out_of + 1.5))
    axis.set_title(f"a rigid machine loses {jumps.lost.sum():.3f} πwRε per cycle")


def _body(axis: Any, figure: Any, walks: dict[float, Any]) -> None:
    mu = max(walks)
    found = walks[mu]
    contact, state = found["contact"], found["states"][int(np.argmin(found["P"]))]
    solid = contact.region.regions[0]
    n = len(contact.mesh.nodes)
    x, X = state.q[:n], contact.X[:n]
    stress = solid.cell_stress(x)[:, 1, 1] / GPA_PER_EV_A3
    wide = 2.2 * unit_of_radius(mu) * LENGTH
    # Heights of the surface as they are, in ε; depths are compressed.
    r, u = X[:, 0] / LENGTH, x[:, 1] - X[:, 1]
    height = X[:, 1] / wide * 10.0 + u
    nv = len(contact.mesh.points)
    scale = np.abs(stress[contact.mesh.centroids[:, 0] < wide]).max()
    for sign in (1.0, -1.0):
        shown = axis.tripcolor(
            Triangulation(sign * r[:nv], height[:nv], contact.mesh.cells),
            stress,
            cmap="RdBu_r",
            vmin=-scale,
            vmax=scale,
        )
    s = np.linspace(-wide, wide, 400) / LENGTH
    axis.plot(s, state.approach + 0.5 * s**2 * LENGTH**2 / RADIUS, color="k", lw=1.5)
    top = state.approach + 0.5 * wide**2 / RADIUS
    axis.fill_between(s, state.approach + 0.5 * s**2 * LENGTH**2 / RADIUS, top, color="#cccccc")
    axis.set(
        xlim=(s[0], s[-1]),
        ylim=(-8.0, state.approach + 0.4 * (top - state.approach)),
        xlabel="r/√(εR)",
        ylabel="height/ε (depth compressed)",
    )
    axis.set_title(f"μ = {mu:g} at pull-off: stamp, gap and stress σ_zz")
    figure.colorbar(shown, ax=axis, label="σ_zz ε/w", shrink=0.8)
