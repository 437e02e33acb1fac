"""The figure: laws, moments against rotation, tractions in the zone, and the bent arms."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from multiscale.types import GPA_PER_EV_A3

STYLES = {"spline": "-", "universal binding": "--", "Park–Paulino–Roesler": "-."}


def _curve(name: str, kind: str, form: str, k: int) -> dict[str, Any]:
    own = kind == "as measured"
    return {
        "color": f"C{k}",
        "ls": ":" if own else STYLES[form],
        "lw": 2.0 if own else 1.3,
        "label": f"{name}, {kind if own else form}",
    }


def _zone(axis: Any, found: dict[str, Any], style: dict[str, Any]) -> None:
    arms, c = found["arms"], found["law"].curve
    x, traction = arms.interface.sites(arms.X)[:, 0], arms.interface.traction(arms.q)[:, 0]
    order = np.argsort(x)
    where = (x[order] - arms.sizes.crack) / arms.zone
    axis.plot(where, traction[order] / c.strength, **style)


def _arms(figure: Any, axis: Any, title: str, found: dict[str, Any]) -> None:
    arms = found["arms"]
    body = arms.model.interface.regions["body"].regions[0]
    stress = body.cell_stress(arms.q)[:, 0, 0]
    n = len(arms.mesh.points)
    x, y = (arms.X + 3.0 * (arms.q - arms.X))[:n, :2].T
    shown = axis.tripcolor(x, y, arms.mesh.cells, stress, cmap="RdBu_r", edgecolors="#00000022", linewidth=0.2)
    axis.set(aspect="equal", title=title, xlabel="x / Å", ylabel="y / Å")
    figure.colorbar(shown, ax=axis, label="GPa", shrink=0.6)


def draw(data: dict[str, Any]) -> Any:
    """Four panels."""
    figure, axes = plt.subplots(2, 2, figsize=(13.5, 9.0), layout="constrained")
    for k, (name, of) in enumerate(data.items()):
        for (kind, form), found in of["bent"].items():
            style, c, arms = _curve(name, kind, form, k), found["law"].curve, found["arms"]
            if kind == "weak":
                x = np.linspace(0.0, 2.5, 600)
                axes[0, 0].plot(x, c.traction(x) * GPA_PER_EV_A3, **style)
            angle, moment = found["rows"][:, :2].T
            last = (
                angle[np.argmax(moment > 0.999 * arms.critical)] if moment.max() > 0.999 * arms.critical else angle[-1]
            )
            axes[0, 1].plot(angle / last, moment / arms.critical, **{**style, "marker": ".", "ms": 3})
            _zone(axes[1, 0], found, style)
    axes[0, 0].set(
        xlabel="excess opening / Å", ylabel="traction / GPa", title="weak interfaces, for a mesh of the crystal"
    )
    axes[0, 1].axhline(1.0, color="#777777", lw=0.8)
    axes[0, 1].set(xlabel="rotation over that where the crack starts", ylabel="M/M_c", title="moment", ylim=(0.0, 1.1))
    axes[1, 0].set(
        xlabel="(x − first crack)/zone",
        ylabel="normal traction over strength",
        title="the zone at the end of the run",
        ylim=(-0.6, 1.05),
    )
    axes[0, 0].legend(fontsize=7)
    axes[0, 1].legend(fontsize=7, loc="lower right")
    name, of = next(iter(data.items()))  # Stillinger–Weber's
    _arms(figure, axes[1, 1], f"{name}, weak, spline: σ_xx, displacements × 3", of["bent"]["weak", "spline"])
    return figure
