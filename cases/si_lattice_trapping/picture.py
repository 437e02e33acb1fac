"""The figure: the crack with both descriptions, K against its length through the folds, J along rings, K± against the radius."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from multiscale.fracture.picture import atoms, stress_field


def draw(data: dict[str, Any]) -> Any:
    """Four panels."""
    figure, axes = plt.subplots(2, 2, figsize=(14, 11), layout="constrained")
    found = data["search"].found
    hybrids = {n: f for n, f in found.items() if n.startswith("hybrid")}
    judged = next(f for f in found.values() if f.rings is not None)
    _crack(figure, axes[0, 0], judged)
    _curve(axes[0, 1], data)
    _rings(axes[1, 0], judged)
    _radii(axes[1, 1], data, hybrids)
    return figure


def _crack(figure: Any, axis: Any, found: Any) -> None:
    crack, interface, state = found.crack, found.model.interface, found.intact["₊"]
    image = stress_field(axis, interface, state.q)
    atoms(axis, crack, interface, state.q, 22.0, bonds=True)
    reach = 1.7 * crack.free_radius + 8.0
    axis.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", xlabel="x = [11-2], Å", ylabel="y = [111], Å")
    axis.set_title(f"just before K₊: {crack.n_free} free atoms, K = {state.load / crack.material.K_griffith:.4f} K_G")
    axis.legend(loc="upper left", fontsize=8)
    figure.colorbar(image, ax=axis, label="σ_yy of the mesh, GPa", shrink=0.8)


def length(crack: Any, q: Any) -> float:
    """How far the crack has grown, in Å: each crossing bond counts as its stretch from 2.45 to 3.4 Å, a bond's spacing at most."""
    watch = crack.watch()
    stretch = np.clip((watch.lengths(q[: crack.n_free]) - 2.45) / (3.4 - 2.45), 0.0, 1.0)
    counted = watch.crossing & (watch.x > -1.5 * crack.crystal.spacing)
    return float(stretch[counted].sum() * crack.crystal.spacing)


def _curve(axis: Any, data: dict[str, Any]) -> None:
    crack, points = data["curve"]
    K_G = crack.material.K_griffith
    a, K = np.array([length(crack, p.q) for p in points]), np.array([p.load for p in points]) / K_G
    up = np.array([p.direction > 0 for p in points])
    axis.plot(a, K, "-", color="#999999", lw=0.8)
    axis.plot(a[up], K[up], "o", ms=4, color="#1d3557", label="stable")
    axis.plot(a[~up], K[~up], "o", ms=4, mfc="none", color="#c1121f", label="unstable")
    axis.axhspan(data["limit"]["₋"], data["limit"]["₊"], color="#8ecae6", alpha=0.3, lw=0)
    axis.text(a.max(), data["limit"]["₊"], "K₊ of all atoms, R → ∞", va="bottom", ha="right", fontsize=8)
    axis.text(a.max(), data["limit"]["₋"], "K₋", va="top", ha="right", fontsize=8)
    axis.set(xlabel="length of the crack, Å", ylabel="K / K_G", title="equilibria through the folds: lattice trapping")
    axis.legend(fontsize=8)


def _rings(axis: Any, found: Any) -> None:
    rings, J = found.rings
    exact = found.crack.material.field.energy_release_rate(found.rest.load)
    for (r1, r2), value in zip(rings, J, strict=True):
        axis.plot([r1, r2], [value / exact] * 2, lw=3, color="#1d3557", solid_capstyle="butt")
    axis.axhline(1.0, color="#999999", lw=0.8)
    axis.axhspan(0.99, 1.01, color="#8ecae6", alpha=0.3, lw=0)
    axis.set(xscale="log", xlabel="ring, Å", ylabel="J E′/K²", title="J along rings of the mesh", ylim=(0.97, 1.03))


def _radii(axis: Any, data: dict[str, Any], hybrids: dict[str, Any]) -> None:
    for name, f in data["search"].found.items():
        if name.startswith("all atoms"):
            for sign in "₊₋":
                axis.plot(f.crack.n_free, f.ends[sign], "s", ms=8, mfc="none", color="#c1121f")
    for f in hybrids.values():
        far = np.hypot(*f.crack.mesh.nodes[:, :2].T).max()
        for sign in "₊₋":
            axis.plot(f.crack.n_free, f.ends[sign], "o" if far < 1000 else "^", ms=6, color="#1d3557")
    for sign in "₊₋":
        limit = data["limit"][sign]
        axis.axhline(limit, color="#999999", lw=0.8)
        axis.axhspan(0.98 * limit, 1.02 * limit, color="#8ecae6", alpha=0.3, lw=0)
    axis.plot([], [], "s", mfc="none", color="#c1121f", label="discs of atoms")
    axis.plot([], [], "o", color="#1d3557", label="atoms in a mesh to 200 Å")
    axis.plot([], [], "^", color="#1d3557", label="atoms in a mesh to 2 000 Å")
    axis.set(
        xscale="log", xlabel="free atoms", ylabel="K± / K_G", title="the window against its price (band: ±2 % of R → ∞)"
    )
    axis.legend(fontsize=8)
