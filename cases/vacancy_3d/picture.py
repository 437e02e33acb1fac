"""The figure: errors and formation energies against the number of points that move, measured beside theory's slopes."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np

COLOURS = {"ATM": "#6c757d", "BQCE": "#c1121f", "BQCF": "#2a9d8f", "BGFC": "#1d3557", "adaptive BGFC": "#f4a261"}
MARKS = {"ATM": "s", "BQCE": "o", "BQCF": "^", "BGFC": "o", "adaptive BGFC": "D"}


def draw(data: Mapping[str, Any], orders: Mapping[str, float]) -> Any:
    """Two columns, one a material."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(12, 9), layout="constrained")
    for (error, energy), name in zip(axes.T, ("Al", "Si"), strict=True):
        rows, exact = data[name]["rows"], data[name]["E_f"]
        for method, found in rows.items():
            n, e = np.array([(n, e) for n, e, _ in found]).T
            style = {"color": COLOURS[method], "marker": MARKS[method], "ms": 5, "lw": 1.2}
            error.loglog(n, e, label=method, fillstyle="none" if method == "BQCF" else "full", **style)
            known = [(n, abs(f - exact)) for n, _, f in found if f is not None]
            if known:
                energy.loglog(*np.array(known).T, label=method, **style)
            if method in orders and len(n) > 1:
                line = e[-1] * (n / n[-1]) ** orders[method]
                error.loglog(n, line, "--", color=COLOURS[method], lw=0.8)
                slope = Fraction(orders[method]).limit_denominator(9)
                error.annotate(f"{slope}", (n[0], line[0]), color=COLOURS[method], fontsize=8, ha="right")
        error.set(title=name, ylabel="relative error of ∇u")
        energy.set(xlabel="points that move", ylabel="error of the formation energy, eV")
        for axis in (error, energy):
            axis.grid(alpha=0.25)
            axis.legend(fontsize=8)
    return figure
