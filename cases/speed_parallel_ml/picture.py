"""The figure of the case: six panels, one per question (two for memory and time against size)."""

from __future__ import annotations

from typing import Any

import numpy as np
import scaling

INK, SAND, RED, PLUM = "#1d3557", "#f4a261", "#c1121f", "#6d597a"
SHORT = {"Stillinger–Weber": "SW", "MACE, 1 layer": "MACE\n1 layer"}
COLOURS = {"Stillinger–Weber": INK, "EAM": RED}


def draw(found: dict[str, Any]) -> Any:
    """The figure of what ``measures`` has found."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 3, figsize=(15, 8.4))
    _calculator(axes[0, 0], found["calculator"])
    _overhead(axes[0, 1], found["overhead"])
    _two_ranks(axes[0, 2], found["two ranks"])
    _classical(axes[1, 0], axes[1, 1], found["classical"])
    _scaling(axes[1, 2], found["replicated"])
    figure.tight_layout()
    return figure


def _calculator(axis: Any, found: list[dict[str, Any]]) -> None:
    bars = [
        (f"{e['atoms']}\n{name.replace(' run', chr(10) + 'run')}", ratio)
        for e in found
        for name, ratio in e["ratios"].items()
    ]
    drawn = axis.bar(range(len(bars)), [r for _, r in bars], color=INK)
    axis.bar_label(drawn, fmt="%.2f", fontsize=8)
    axis.axhline(1.2, color=RED, ls="--", lw=1, label="goal")
    axis.axhline(1.0, color="#888888", ls=":", lw=1)
    axis.set_xticks(range(len(bars)), [label for label, _ in bars], fontsize=7)
    axis.set(ylabel="atoms/s over mace-torch's calculator", title="MACE, one rank: by atoms and allocator")
    # Room for the legend above the bars.
    axis.set_ylim(0, 1.2 * max(1.3, *(r for _, r in bars)))
    axis.legend(frameon=False, loc="upper right")


def _overhead(axis: Any, found: list[dict[str, Any]]) -> None:
    goals = {64: 5.0, 256: 3.0, 2048: 1.0}
    for ranks, colour in ((1, INK), (2, SAND)):
        rows = [(e["atoms"], 100 * e["share"]["all"]) for e in found if e["ranks"] == ranks]
        axis.loglog(*np.array(rows).T, "o-", color=colour, label=f"{ranks} rank{'s' * (ranks > 1)}")
    axis.loglog(*np.array(list(goals.items())).T, "_", color=RED, ms=24, label="goals")
    axis.set(
        xlabel="atoms per rank", ylabel="overhead over the model, %", title="lists, halo, exchange, weights, Python"
    )
    axis.legend(frameon=False)


def _two_ranks(axis: Any, found: list[dict[str, Any]]) -> None:
    labels = [f"{SHORT.get(e['kind'], e['kind'])}\n{e['atoms']}" for e in found]
    drawn = axis.bar(range(len(found)), [e["speed-up"] for e in found], color=INK)
    axis.bar_label(drawn, fmt="%.2f", fontsize=8)
    peers = [(k, e["lammps"]) for k, e in enumerate(found) if e.get("lammps")]
    if peers:
        axis.plot(*np.array(peers).T, "D", color=SAND, label="LAMMPS")
    axis.axhline(1.9, color=RED, ls="--", lw=1, label="goal")
    axis.set_xticks(range(len(found)), labels, fontsize=7)
    axis.set(ylabel="two ranks over one", title="two ranks with one thread each", ylim=(0, 2.7))
    axis.legend(frameon=False, loc="upper right", ncols=2)


def _classical(time: Any, memory: Any, found: dict[str, dict[str, Any]]) -> None:
    for kind, entry in found.items():
        n, t, peak, other, other_peak = entry["rows"].T
        time.loglog(n, 1e6 * t / n, "o-", color=COLOURS[kind], label=kind)
        memory.loglog(n, np.maximum(peak - entry["base"], 0.1), "o-", color=COLOURS[kind], label=kind)
        if np.isfinite(other).all():
            time.loglog(n, 1e6 * other / n, "D:", color=COLOURS[kind], label=f"{kind}, LAMMPS")
            memory.loglog(n, np.maximum(other_peak - other_peak[0], 0.1), "D:", color=COLOURS[kind])
    time.set(xlabel="atoms", ylabel="µs per atom and step", title="classical potentials, one rank")
    memory.set(xlabel="atoms", ylabel="peak memory above the smallest process, MiB", title="memory")
    time.legend(frameon=False, fontsize=8)
    memory.legend(frameon=False, fontsize=8)


def _scaling(axis: Any, each: dict[str, float]) -> None:
    ranks = 2 ** np.arange(11)
    machine = scaling.Machine(replicated=each["nothing"] + each["few"])
    for work, label, colour in ((scaling.DEAR, "9 µs per site", INK), (scaling.SLOW, "50 µs per site", PLUM)):
        for kept, style in ((True, "-"), (False, ":")):
            e = [100 * scaling.efficiency(1e8, int(p), work, machine, kept) for p in ranks]
            axis.semilogx(
                ranks,
                e,
                style,
                base=2,
                color=colour,
                label=label + (", q replicated" if kept else ", q not replicated"),
            )
    axis.set(xlabel="GPUs (modelled, not measured)", ylabel="model's time over the step's, %", ylim=(0, 103))
    axis.set_title("10⁸ sites, two layers, 512 features")
    axis.legend(frameon=False, fontsize=8)
