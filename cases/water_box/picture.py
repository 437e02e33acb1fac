"""Figures of the case: radial distributions, energies and temperatures, a slice of the last state."""

from __future__ import annotations

from typing import Any

import numpy as np

COLOURS = {"all cheap": "#6c757d", "force mixing": "#c1121f", "energy mixing": "#1d3557"}


def _shade(axis: Any, zone: tuple[float, float]) -> None:
    axis.axvspan(0, zone[0], color="#1d3557", alpha=0.10, lw=0)
    axis.axvspan(zone[0], zone[0] + zone[1], color="#1d3557", alpha=0.05, lw=0)


def radials(data: dict[str, Any], zone: tuple[float, float]) -> Any:
    """Radial distributions of O–O and O–H about the centre, with standard errors."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(12, 4.6), layout="constrained")
    for axis, which, title in ((axes[0], 0, "O–O"), (axes[1], 1, "O–H between molecules")):
        _shade(axis, zone)
        for name, g in data["g"].items():
            y = (g.oxygen, g.hydrogen)[which]
            axis.plot(g.r, y, color=COLOURS[name], lw=1.6, label=name)
            axis.fill_between(g.r, y - g.errors[which], y + g.errors[which], color=COLOURS[name], alpha=0.2, lw=0)
        axis.axhline(1, color="k", lw=0.5)
        axis.set(
            xlabel="distance from the centre's O, Å", ylabel="g", title=title, xlim=(1.2, data["g"]["all cheap"].r[-1])
        )
        axis.set_ylim(bottom=0)
        axis.legend(fontsize=9)
    return figure


def energies(data: dict[str, Any], zone: tuple[float, float]) -> Any:
    """Energy against time with the changes of membership, heat of the thermostat, and temperatures by distance."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(16, 4.6), layout="constrained")
    for name in ("all cheap", "energy mixing"):
        track = data["tracks"][name]
        y = track.total - track.total.mean()
        axes[0].plot(track.column("time") / 1000, 1000 * y, color=COLOURS[name], lw=0.8, label=name)
    for time, _ in data["tracks"]["energy mixing"].events:
        axes[0].axvline(time / 1000, color=COLOURS["energy mixing"], alpha=0.15, lw=0.8)
    axes[0].set(xlabel="time, ps", title="E + K without a thermostat, meV; lines: regions built anew")
    axes[0].legend(fontsize=9)
    track = data["tracks"]["force mixing"]
    axes[1].plot(track.column("time") / 1000, -track.column("heat"), color=COLOURS["force mixing"], lw=1)
    for time, _ in track.events:
        axes[1].axvline(time / 1000, color=COLOURS["force mixing"], alpha=0.15, lw=0.8)
    axes[1].set(xlabel="time, ps", title="force mixing: heat carried away by the thermostat, eV")
    _shade(axes[2], zone)
    for name, kelvin in data["profile"].items():
        axes[2].plot(0.6 * np.arange(len(kelvin)) + 0.3, kelvin, "o-", ms=4, color=COLOURS[name], label=name)
    axes[2].axhline(300, color="k", lw=0.5)
    axes[2].set(xlabel="distance from the centre's O, Å", title="temperature of molecules, K", xlim=(0, None))
    axes[2].legend(fontsize=9)
    return figure


def snapshot(box: Any, track: Any, zone: tuple[float, float]) -> Any:
    """A slice of 5 Å through the centre, molecules coloured by their quantum weight."""
    import matplotlib.pyplot as plt

    q = track.q[-1]
    x, w = q + box.images(q) - q[box.oxygen], box.weight(q, *zone)
    figure, axis = plt.subplots(figsize=(6.4, 5.6), layout="constrained")
    map_ = plt.get_cmap("viridis")
    for m in np.argsort(x[::3, 2]):
        o, h1, h2 = x[3 * m : 3 * m + 3]
        if abs(o[2]) > 2.5:
            continue
        for h in (h1, h2):
            axis.plot([o[0], h[0]], [o[1], h[1]], color="0.4", lw=2, zorder=o[2] + 10)
        axis.scatter(*np.array([h1, h2])[:, :2].T, s=45, color=map_(w[m]), edgecolors="k", lw=0.5, zorder=o[2] + 10.1)
        axis.scatter(o[0], o[1], s=190, color=map_(w[m]), edgecolors="k", lw=0.8, zorder=o[2] + 10.2)
    for radius in (zone[0], zone[0] + zone[1]):
        axis.add_patch(plt.Circle((0, 0), radius, fill=False, ls="--", color="k", lw=0.8))
    axis.set(aspect="equal", xlabel="Å", ylabel="Å", title=f"energy mixing after {track.rows[-1][0] / 1000:.2f} ps")
    figure.colorbar(plt.cm.ScalarMappable(cmap=map_), ax=axis, label="quantum weight")
    return figure
