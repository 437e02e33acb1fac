"""The figure: measured laws with their closed forms, γ-surfaces, and who counts the adhesion of a wide interface."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from multiscale.adhesion.fits import fit_exponential, fit_ppr
from multiscale.types import GPA_PER_EV_A3, J_M2_PER_EV_A2


def _law(axis: Any, name: str, law: Any) -> None:
    c = law.curve
    x = np.linspace(-0.3, 3.0, 400)
    axis.plot(x, c.traction(x) * GPA_PER_EV_A3, "k", lw=1.8, label="measured, spline")
    table = (c.openings > -0.3) & (c.openings < 3.0)
    axis.plot(c.openings[table], c.tractions[table] * GPA_PER_EV_A3, "k.", ms=3)
    opening = x[x >= 0]
    for fit, label, style in (
        (fit_exponential(c), "universal binding", "C0--"),
        (fit_ppr(c), "Park–Paulino–Roesler", "C1-."),
    ):
        label = f"{label}: strength {fit.strength:+.0%}"
        axis.plot(opening, fit.curve.traction(opening) * GPA_PER_EV_A3, style, label=label)
    axis.axhline(0.0, color="#999999", lw=0.6)
    axis.set(
        title=f"{name}: W = {c.toughness * J_M2_PER_EV_A2:.3f} J/m²", xlabel="opening / Å", ylabel="traction / GPa",
        ylim=(-0.6 * c.strength * GPA_PER_EV_A3, 1.25 * c.strength * GPA_PER_EV_A3),
    )  # fmt: skip
    axis.legend(fontsize=7)


def _gamma(axis: Any, law: Any) -> Any:
    lattice = law.gamma.lattice
    f = np.stack(np.meshgrid(np.linspace(0, 2, 81), np.linspace(0, 2, 81), indexing="ij"), axis=-1)
    s = f @ lattice
    values = law.gamma.energy(s.reshape(-1, 2)).reshape(81, 81) * J_M2_PER_EV_A2
    shown = axis.contourf(s[..., 0], s[..., 1], values, 20, cmap="viridis")
    axis.set(aspect="equal", title="γ-surface, J/m²", xlabel="along [11-2] / Å", ylabel="along [1-10] / Å")
    return shown


def _shares(axis: Any, found: dict[str, Any]) -> None:
    slabs, w = found["atoms"], found["weights"]["across"]
    x = slabs.atoms.positions
    near = np.abs(x[:, 1]) < 1.5
    shown = axis.scatter(x[:, 0], x[:, 1], c=np.where(near, w, np.nan), s=22, cmap="coolwarm_r", vmin=0, vmax=1)
    axis.scatter(x[~near, 0], x[~near, 1], s=10, color="#bbbbbb")
    axis.axhline(0.0, color="k", lw=0.6, ls=":")
    axis.set(aspect="equal", title="across: atoms (blue) or the law (red)", xlabel="x / Å", ylabel="y / Å")
    return shown


def draw(data: dict[str, Any]) -> Any:
    """One row per potential."""
    n = len(data)
    figure, axes = plt.subplots(n, 3, figsize=(14.0, 3.9 * n), layout="constrained", squeeze=False)
    for row, (name, found) in zip(axes, data.items(), strict=True):
        _law(row[0], name, found["law"])
        figure.colorbar(_gamma(row[1], found["law"]), ax=row[1], shrink=0.8)
        figure.colorbar(_shares(row[2], found), ax=row[2], shrink=0.6)
    return figure
