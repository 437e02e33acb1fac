"""The figure: measured beside published errors against nodes and time, and a second defect of the family."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import NullFormatter

COLOURS = {
    "ATM": "#222222", "QCE": "#c1121f", "BQCE": "#2a9d8f", "BQCE cubic": "#8ab17d", "BQCE quintic": "#b5c99a",
    "BQCF": "#7209b7", "BGFC": "#f4a261", "GRAC": "#1d3557",
}  # fmt: skip
NAMES = {"ATM": "all atoms, cut off"}


def draw(data: dict[str, Any], published: dict[str, Any], orders: dict[str, float], left: float) -> Any:
    """Two panels, or three with a second defect; ``left`` is what the published reference lacks to equilibrium."""
    second = "second" in data
    figure, axes = plt.subplots(1, 2 + second, figsize=(6.2 * (2 + second), 5.0), layout="constrained")
    first = data["first"]["errors"]
    _errors(axes[0], first)
    for method, rows in published.items():
        nodes, error = np.array(list(rows.values())).T
        axes[0].loglog(nodes, error, "o", mfc="none", ms=9, color=COLOURS[method], label=None)
    axes[0].plot([], [], "o", mfc="none", ms=9, color="#777777", label="published")
    axes[0].axhline(left, color="#777777", lw=0.8, ls="--", label="what the published reference lacks")
    _slopes(axes[0], first, orders)
    axes[0].set(
        title="one vacancy: lines measured, rings published", xlabel="nodes", ylabel="error of the strain, relative, L²"
    )
    axes[0].legend(fontsize=8, loc="lower left")
    for method, rows in first.items():
        _, error, seconds = np.array(rows).T
        axes[1].loglog(seconds, error, "o-", ms=4, color=COLOURS[method])
    axes[1].set(title="the same against time", xlabel="s, Newton's method on one core", ylabel="error")
    if second:
        _errors(axes[2], data["second"]["errors"])
        axes[2].set(title="five vacancies in a row, c = 20 eV", xlabel="nodes", ylabel="error")
    for axis in axes:
        axis.grid(alpha=0.25, which="major")
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.yaxis.set_minor_formatter(NullFormatter())
    return figure


def _errors(axis: Any, errors: dict[str, Any]) -> None:
    for method, rows in errors.items():
        nodes, error, _ = np.array(rows).T
        axis.loglog(nodes, error, "o-", ms=4, color=COLOURS[method], label=NAMES.get(method, method))


def _slopes(axis: Any, errors: dict[str, Any], orders: dict[str, float]) -> None:
    """Dotted lines of the expected orders, through the first point of the methods that lie lowest and highest."""
    for method in ("ATM", "GRAC"):
        if method in errors:
            nodes, error, _ = np.array(errors[method]).T
            line = 0.75 * error[0] * (nodes / nodes[0]) ** orders[method]
            axis.loglog(nodes, line, ":", color="#999999", lw=1.0)
