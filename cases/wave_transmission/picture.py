"""Pictures of the crossings."""

from __future__ import annotations

from typing import Any

import numpy as np
from waves import ABSORBED, LUMPED, OVERLAP, POINTWISE, SHARP, WEAK, H

COLOURS = dict(
    zip(
        (SHARP, LUMPED, POINTWISE, WEAK, ABSORBED), ("#c1121f", "#f4a261", "#8338ec", "#457b9d", "#1d3557"), strict=True
    )
)
MARKS = dict(zip(COLOURS, "so^vD", strict=True))


def spectra(found: dict[str, dict[float, Any]], stored: dict[str, dict[float, tuple[float, float | None]]]) -> Any:
    """R and the energy left, against the wavelength; hollow marks are B5's."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(13, 5.4), layout="constrained")
    for name, crossings in found.items():
        wavelengths = sorted(crossings)
        look = {"color": COLOURS[name], "marker": MARKS[name], "ms": 4, "lw": 1.2}
        axes[0].loglog(wavelengths, [max(crossings[k].reflected, 1e-12) for k in wavelengths], label=name, **look)
        axes[1].semilogx(wavelengths, [crossings[k].total for k in wavelengths], label=name, **look)
        hollow = {"color": COLOURS[name], "marker": MARKS[name], "ms": 10, "mfc": "none", "ls": "none", "mew": 1.4}
        for k, axis in enumerate(axes):
            values = {w: v[k] for w, v in stored.get(name, {}).items() if v[k] is not None}
            axis.plot(list(values), list(values.values()), **hollow)
    axes[0].plot([], [], "o", ms=10, mfc="none", color="grey", label="benchmark B5")
    for axis, title in zip(axes, ("R: energy that comes back", "energy left in the end"), strict=True):
        axis.axvspan(2 * H, np.pi * H, color="#888888", alpha=0.15, lw=0)
        axis.set(xlabel="wavelength, spacings", title=title)
        axis.set_xticks([3, 6, 10, 20, 50, 100], ["3", "6", "10", "20", "50", "100"])
        axis.minorticks_off()
        axis.grid(alpha=0.25)
    axes[0].text(
        2.1 * H, 0.03, "hard band", rotation=90, fontsize=8, va="bottom", transform=axes[0].get_xaxis_transform()
    )
    axes[0].legend(fontsize=8)
    return figure


def crossings(found: dict[str, dict[float, Any]], wavelengths: tuple[float, ...]) -> Any:
    """Amplitudes over space and time; the lines are the ends of the overlap (or the seam)."""
    import matplotlib.pyplot as plt

    names = [n for n in COLOURS if any(k in found.get(n, {}) for k in wavelengths)]
    figure, axes = plt.subplots(
        len(wavelengths),
        len(names),
        figsize=(3.1 * len(names), 3.4 * len(wavelengths)),
        sharex=True,
        layout="constrained",
        squeeze=False,
    )
    for row, wavelength in zip(axes, wavelengths, strict=True):
        for axis, name in zip(row, names, strict=True):
            c = found[name].get(wavelength)
            if c is None:
                axis.axis("off")
                continue
            atoms = int(np.flatnonzero(np.diff(c.sites) < 0)[0]) + 1 if (np.diff(c.sites) < 0).any() else len(c.sites)
            beyond = atoms + np.flatnonzero(c.sites[atoms:] >= c.sites[atoms - 1])
            columns = np.concatenate([np.arange(atoms), beyond])
            axis.pcolormesh(
                c.sites[columns],
                c.times,
                c.frames[:, columns],
                cmap="magma_r",
                vmin=0.0,
                vmax=1.2,
                shading="nearest",
                rasterized=True,
            )
            for x in (0, OVERLAP) if name != SHARP else (0,):
                axis.axvline(x, color="#2a9d8f", lw=0.8)
            axis.set(xlim=(-600, 500), title=f"{name}\nλ = {wavelength:g}")
            axis.title.set_fontsize(8)
    for axis in axes[-1]:
        axis.set_xlabel("place, spacings")
    for row in axes:
        row[0].set_ylabel("time")
    return figure


def balance(found: dict[str, dict[float, Any]], wavelength: float) -> Any:
    """The books: energy, what was absorbed, and their sum."""
    import matplotlib.pyplot as plt

    names = [n for n in (LUMPED, ABSORBED) if wavelength in found.get(n, {})]
    figure, axes = plt.subplots(
        1, len(names), figsize=(5.2 * len(names), 3.8), sharey=True, layout="constrained", squeeze=False
    )
    for axis, name in zip(axes[0], names, strict=True):
        c = found[name][wavelength]
        axis.plot(c.times, c.energies, color=COLOURS[name], label="energy")
        axis.plot(c.times, -c.heats, color="#2a9d8f", label="absorbed and booked")
        axis.plot(c.times, c.energies - c.heats, "k--", lw=1, label="sum")
        axis.set(xlabel="time", title=f"{name}, λ = {wavelength:g}", ylim=(-0.05, 1.1))
        axis.title.set_fontsize(9)
        axis.grid(alpha=0.25)
        axis.legend(fontsize=8)
    axes[0][0].set_ylabel("over the energy at the start")
    return figure
