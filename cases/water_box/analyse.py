"""What the trajectories say: radial distributions about the centre, temperatures by weight, forces against a large cluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import units
from box import Box
from sample import Track

from multiscale import Query

BLOCKS = 5


@dataclass(frozen=True)
class Radial:
    """A radial distribution about chosen molecules.

    Attributes
    ----------
    r : (k,) array
        Middles of the bins, Å.
    oxygen, hydrogen : (k,) arrays
        g(r) of O–O and of O–H between molecules.
    errors : (2, k) array
        Standard errors of the two, from the means of blocks.
    peak, peak_error : float
        Å; position of the first maximum of O–O, and its error.
    neighbours : float
        O within 3.4 Å.
    """

    r: np.ndarray
    oxygen: np.ndarray
    hydrogen: np.ndarray
    errors: np.ndarray
    peak: float
    peak_error: float
    neighbours: float


def radial(box: Box, frames: list[np.ndarray], centres: list[int], bin_width: float = 0.05) -> Radial:
    """Of the frames of a trajectory, up to half the cell's edge.

    The parabola through five bins of 0.05 Å finds a skewed first maximum, as water's is, to 0.012 Å.
    """
    edges = np.arange(2.0, 0.5 * box.edge, bin_width)
    o_edges = np.concatenate([np.arange(1.0, 2.0 - 1e-9, bin_width), edges])
    shells = 4.0 / 3.0 * np.pi * np.diff(o_edges**3) / box.edge**3
    blocks = []
    for part in np.array_split(np.arange(len(frames)), min(BLOCKS, len(frames))):
        blocks.append(np.mean([_count(box, frames[k], c, o_edges) for k in part for c in centres], axis=0))
    per = np.array(blocks) / shells / np.array([box.n - 1, 2 * (box.n - 1)])[:, None]
    mean, error = per.mean(axis=0), per.std(axis=0, ddof=1) / np.sqrt(len(per)) if len(per) > 1 else 0 * per[0]
    r = 0.5 * (o_edges[1:] + o_edges[:-1])
    peaks = [_peak(r, b[0]) for b in per]
    within = float(np.mean(blocks, axis=0)[0][r < 3.4].sum())
    return Radial(
        r, mean[0], mean[1], error, _peak(r, mean[0]), float(np.std(peaks) / np.sqrt(max(len(peaks) - 1, 1))), within
    )


def _count(box: Box, q: np.ndarray, centre: int, edges: np.ndarray) -> np.ndarray:
    d = np.delete(q, np.arange(3 * centre, 3 * centre + 3), axis=0) - q[3 * centre]
    d = np.linalg.norm(d - box.edge * np.round(d / box.edge), axis=1)
    o = np.arange(len(d)) % 3 == 0
    return np.array([np.histogram(d[o], edges)[0], np.histogram(d[~o], edges)[0]], dtype=float)


def _peak(r: np.ndarray, g: np.ndarray) -> float:
    """The maximum's position, by the parabola through five bins."""
    k = int(np.clip(np.argmax(np.where((r > 2.4) & (r < 3.4), g, -1)), 2, len(r) - 3))
    a, b, _ = np.polyfit(r[k - 2 : k + 3], g[k - 2 : k + 3], 2)
    return float(np.clip(-b / (2 * a), r[k - 2], r[k + 2])) if a < 0 else float(r[k])


def temperatures(box: Box, track: Track, zone: tuple[float, float], first: int) -> dict[str, tuple[float, float]]:
    """Kelvin and standard error of quantum, zone and cheap molecules, over the frames from ``first`` on."""
    m = box.masses()
    parts: dict[str, list[tuple[float, int]]] = {"quantum": [], "zone": [], "cheap": []}
    for q, v in zip(track.q[first:], track.v[first:], strict=True):
        w, k = box.weight(q, *zone), 0.5 * (m[:, None] * v * v).sum(axis=1).reshape(-1, 3).sum(axis=1)
        for name, mask in (("quantum", w == 1), ("zone", (w > 0) & (w < 1)), ("cheap", w == 0)):
            parts[name].append((float(k[mask].sum()), int(mask.sum())))
    return {name: _kelvin(samples) for name, samples in parts.items()}


def _kelvin(samples: list[tuple[float, int]]) -> tuple[float, float]:
    def mean(s: Any) -> float:
        k, n = np.sum(s, axis=0)
        return 2.0 * k / (9.0 * units.kB * n) if n else float("nan")

    blocks = [mean(s) for s in np.array_split(np.array(samples), min(BLOCKS, len(samples)))]
    return mean(samples), float(np.nanstd(blocks) / np.sqrt(max(len(blocks) - 1, 1)))


def profile(box: Box, track: Track, first: int, edges: np.ndarray) -> np.ndarray:
    """Kelvin (k,) of molecules by their distance from the centre."""
    m, energy, count = box.masses(), np.zeros(len(edges) - 1), np.zeros(len(edges) - 1)
    for q, v in zip(track.q[first:], track.v[first:], strict=True):
        k = 0.5 * (m[:, None] * v * v).sum(axis=1).reshape(-1, 3).sum(axis=1)
        d = box.distances(q)
        energy += np.histogram(d, edges, weights=k)[0]
        count += np.histogram(d, edges)[0]
    return np.where(count > 0, 2.0 * energy / (9.0 * units.kB * np.maximum(count, 1)), np.nan)


def slope(time: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Slope per ps and its standard error, from the slopes of blocks."""
    whole = float(np.polyfit(time, y, 1)[0]) * 1000.0
    parts = np.array_split(np.arange(len(time)), min(BLOCKS, max(len(time) // 10, 1)))
    each = [float(np.polyfit(time[p], y[p], 1)[0]) * 1000.0 for p in parts]
    return whole, float(np.std(each) / np.sqrt(max(len(each) - 1, 1)))


def all_quantum(box: Box, q: np.ndarray) -> np.ndarray:
    """Forces (n_q, 3) of one open quantum cluster of all molecules, in their images nearest to the centre."""
    x, dofs = q + box.images(q), np.arange(len(q))
    return np.asarray(box.high(x, dofs).evaluate(x, Query()).forces)


def circulation(model: Any, box: Box, q: np.ndarray, molecule: int, points: int) -> tuple[float, float]:
    """∮F·dq, eV, while one molecule goes out, turns, comes in and turns back; and half of ∮|F·dq| for comparison.

    q(t) = q₀ with the molecule moved by 0.25 Å cos t along the line from the centre and turned by 0.4 sin t: one smooth closed path
    in positions, for which the trapezoidal rule converges faster than any power of ``points``.
    """
    home, k = q + box.images(q), slice(3 * molecule, 3 * molecule + 3)
    out = home[3 * molecule] - home[box.oxygen]
    out /= np.linalg.norm(out)
    axis = np.cross(out, home[3 * molecule + 1] - home[3 * molecule])
    axis /= np.linalg.norm(axis)
    arms = home[k] - home[3 * molecule]
    across, along = np.cross(axis, arms), np.outer(arms @ axis, axis)
    works = []
    for t in 2.0 * np.pi * np.arange(points) / points:
        a, x = 0.4 * np.sin(t), home.copy()
        x[k] = home[3 * molecule] + 0.25 * np.cos(t) * out + along + np.cos(a) * (arms - along) + np.sin(a) * across
        turn = 0.4 * np.cos(t) * (-np.sin(a) * (arms - along) + np.cos(a) * across)
        model.update(x)
        works.append(float(np.sum(model.evaluate(x).forces[k] * (turn - 0.25 * np.sin(t) * out))))
    work = 2.0 * np.pi * np.array(works) / points
    return float(work.sum()), 0.5 * float(np.abs(work).sum())
