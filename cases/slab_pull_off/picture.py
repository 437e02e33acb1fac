"""The figure: tractions of thin slabs by potential, of thick ones by height, and the atoms and meshes of a thick one."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np

STYLES = {
    "all atoms": {"color": "k", "lw": 2.5, "alpha": 0.5},
    "law": {"color": "C0", "ls": ":"},
    "law, first order": {"color": "C2", "ls": "--"},
    "law, second order": {"color": "C3", "ls": "-"},
}


def draw(data: dict[str, Any]) -> Any:
    """One panel per potential, and one of thick slabs."""
    thin, thick = data["thin"], data["thick"]
    figure, axes = plt.subplots(1, len(thin) + 1, figsize=(5.2 * (len(thin) + 1), 4.4), layout="constrained")
    for axis, (name, curves) in zip(axes, thin.items(), strict=False):
        for kind, c in curves.items():
            axis.plot(c.opening, c.traction, label=f"{kind}: {c.slope:.1f} GPa/Å, peak {c.peak:.1f}", **STYLES[kind])
        axis.set(title=f"{name}, 6 bilayers", xlabel="opening of the grips / Å", ylabel="traction / GPa")
        axis.legend(fontsize=7, loc="lower center")
    for k, (height, curves) in enumerate(thick.items()):
        a, b = curves["all atoms"], curves["hybrid"]
        axes[-1].plot(a.opening, a.traction, color=f"C{k}", lw=3, alpha=0.4, label=f"{6 * height} bilayers, all atoms")
        share = b.ledger.rows[0].matter / (b.ledger.matter or np.nan)
        axes[-1].plot(b.opening, b.traction, "o-", ms=3, color=f"C{k}", label=f"hybrid, {share:.0%} of it atoms")
    axes[-1].set(title="thick slabs: atoms, law and meshes", xlabel="opening of the grips / Å", ylabel="traction / GPa")
    axes[-1].legend(fontsize=7)
    return figure
