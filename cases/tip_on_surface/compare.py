"""Two ways of the machine side by side: what one description makes of the contact, over what another one does."""

from __future__ import annotations

import numpy as np
from machine import Path


def compare(ours: Path, true: Path, step: float) -> dict[str, float]:
    """Ratios of energy, force and stiffness of the contact, and differences.

    Parameters
    ----------
    ours, true : Path
        Through the same heights.
    step : float
        Å.
    """
    k, h = true.turn, np.array(true.heights)
    f, g = np.array(ours.forces), np.array(true.forces)
    near = np.flatnonzero((np.abs(h) < 1.5 * step) & (np.arange(len(h)) >= k))
    slope = [np.polyfit(h[near], v[near], 1)[0] for v in (f, g)]
    held = np.arange(len(h)) >= k
    held &= (np.abs(f) > 0.3 * ours.pull_off) & (np.abs(g) > 0.3 * true.pull_off)
    parted = []
    for p in (ours, true):
        # Energies do not tell: what is stored in the bodies exceeds that of the contact before it is lost.
        most = int(np.argmin(p.forces[k:])) + k
        gone = np.abs(np.array(p.forces[most:])) < 0.05 * p.pull_off
        parted.append(float(h[most:][np.argmax(gone)]) if gone.any() else float("nan"))
    return {
        "energy of contact": ours.bound / true.bound,
        # The largest one on the way, where contact is not lost on it.
        "pull-off force": ours.pull_off / true.pull_off,
        "stiffness of the contact": float(slope[0] / slope[1]),
        "largest difference of forces while in contact": float(np.abs(f - g)[held].max() / true.pull_off),
        "first height without contact": parted[0] - parted[1],
    }


def work_less_energy(path: Path) -> float:
    """|∫F dΔ − ΔE| of a step, over F Δ there: the median over pulling up to the largest force; steps with a jump are the few others."""
    k, h = path.turn, np.array(path.heights)
    end = k + int(np.argmin(path.forces[k:]))
    f, e, h = (np.array(v)[k : end + 1] for v in (path.forces, path.energies, h))
    work = -0.5 * (f[1:] + f[:-1]) * np.diff(h)
    return float(np.median(np.abs(work - np.diff(e)) / (path.pull_off * np.diff(h))))
