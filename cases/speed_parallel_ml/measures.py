"""The measurements: each asks its workers in turn and gives medians.

step  =  (1 − f) step with the list kept + f step with the list built,        f = lists per step of 1 fs at 300 K
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import lammps_peer
import numpy as np
from children import KEEPING, Worker
from systems import KINDS, builds_per_step

Cells = Sequence[int]
#: s per atom and step, roughly: how many steps fit into a burst.
GUESS = {"MACE": 8e-4, "MACE, 1 layer": 4e-4, "Stillinger–Weber": 7e-6, "EAM": 2.5e-5}
#: Evaluations before the first that counts: e3nn's functions are compiled in the first three.
WARM = (0, 1, 2, 3)


def atoms_in(kind: str, cells: Cells) -> int:
    """The number of atoms."""
    return int(np.prod(cells)) * {"Si": 8, "Al": 4}[KINDS[kind][0].symbol]


def burst(kind: str, cells: Cells, number: int, seconds: float) -> list[int]:
    """Steps of the ``number``-th burst: far from those before, so that the list is built at the first; then few, so that it is kept."""
    count = int(np.clip(seconds / (GUESS[kind] * atoms_in(kind, cells)), 1, 8))
    return [1000 * (number + 1) + k for k in range(count + 1)]


def gather(run: Any, workers: Mapping[str, tuple[Worker, str]], kind: str, cells: Cells) -> dict[str, dict[str, Any]]:
    """What every contestant (a worker and what it evaluates) has answered in all rounds: arrays (ranks, steps) of seconds.

    A new order in every round: what comes first finds another machine than what follows.
    """
    found: dict[str, dict[str, Any]] = {}
    names = list(workers)
    for worker, who in workers.values():
        worker.ask(who, kind, cells, WARM)
    for number in range(run.settings["rounds"]):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            worker, who = workers[name]
            answer = worker.ask(who, kind, cells, burst(kind, cells, number, run.settings["seconds"]))
            rows = {k: np.array(v) for k, v in answer.items() if isinstance(v, list)}
            kept = found.setdefault(name, {k: v[:, :0] for k, v in rows.items()})
            found[name] = {k: np.concatenate([kept[k], v], axis=1) for k, v in rows.items()} | {
                "peak": answer["peak"],
                "malloc": answer["malloc"],
            }
    return found


def per_step(values: Any, built: Any, f: float) -> float:
    """The mean over a trajectory from medians of the steps (n,) that keep the list and of those that build it."""
    built = np.asarray(built) > 0
    if built.all() or not built.any():
        return float(np.median(values))
    return float((1 - f) * np.median(values[~built]) + f * np.median(values[built]))


def wall(rows: Mapping[str, Any], f: float) -> float:
    """Seconds per step; the slowest rank's, where there are several."""
    return per_step(rows["wall"].max(axis=0), rows["builds"].max(axis=0), f)


def frequency(run: Any, kind: str, cells: Cells) -> float:
    """Lists per step, recorded."""
    f = builds_per_step(kind, cells, run.settings["walk"])
    run.record(f"{kind}, {atoms_in(kind, cells)} atoms: steps per neighbour list", 1 / f if f else float("inf"))
    return f


def against_calculator(run: Any) -> list[dict[str, Any]]:
    """MLRegion and mace-torch's calculator, each in processes of its own under both settings of the allocator."""
    found, kind = [], "MACE"
    with ExitStack() as stack:
        workers: dict[Any, tuple[Worker, str]] = {}
        for name in run.settings["allocators"]:
            extra = {"default": None, "keeping": KEEPING}[name]
            for who in ("region", "calculator"):
                shared = run.settings["apart"] is False and workers
                worker = (
                    workers["region", name][0] if shared else stack.enter_context(Worker(f"{who}, {name}", extra=extra))
                )
                workers[who, name] = (worker, who)
        for cells in run.settings["calculator"]:
            n, f = atoms_in(kind, cells), frequency(run, kind, cells)
            rows = gather(run, workers, kind, cells)
            speed = {key: n / wall(r, f) for key, r in rows.items()}
            for (who, name), value in speed.items():
                run.record(f"{kind}, {n} atoms: {who}, {name} allocator", value, "atoms/s")
            ratios = {name: speed["region", name] / speed["calculator", name] for name in run.settings["allocators"]}
            if "keeping" in ratios:
                ratios["as users run them"] = speed["region", "keeping"] / speed["calculator", "default"]
            for name, ratio in ratios.items():
                label = name if name == "as users run them" else f"both with the {name} allocator"
                run.record(f"{kind}, {n} atoms: region over calculator, {label}", ratio)
            for name in run.settings["allocators"]:
                cpu = [
                    per_step(rows[who, name]["cpu"][0], rows[who, name]["builds"][0], f)
                    for who in ("calculator", "region")
                ]
                run.record(f"{kind}, {n} atoms: the same in CPU time, both with the {name} allocator", cpu[0] / cpu[1])
            found.append({"atoms": n, "speed": speed, "ratios": ratios})
    return found


def overhead(run: Any, workers: Mapping[int, Worker]) -> list[dict[str, Any]]:
    """All that is not the model's own forward and backward pass, over these, on the rank whose model takes longest."""
    found, kind = [], run.settings["overhead_kind"]
    for base in run.settings["overhead"]:
        for ranks, worker in workers.items():
            cells = (base[0], base[1], base[2] * ranks)
            n, f = atoms_in(kind, cells) // ranks, builds_per_step(kind, cells, run.settings["walk"])
            rows = gather(run, {ranks: (worker, "hybrid")}, kind, cells)[ranks]
            pure = rows["model"] - rows["exchange"]
            slow = int(np.median(pure, axis=1).argmax())
            own, built = (
                {k: v[slow] for k, v in rows.items() if k not in ("peak", "malloc")},
                rows["builds"].max(axis=0),
            )
            model = float(np.median(pure[slow]))
            share = {
                "all": per_step(own["wall"] - pure[slow], built, f) / model,
                "exchange": per_step(own["exchange"], built, f) / model,
                "cpu": per_step(own["cpu"] - own["model_cpu"], built, f) / float(np.median(own["model_cpu"])),
            }
            label = f"{kind}, {n} atoms per rank, {ranks} rank{'s' * (ranks > 1)}: overhead"
            run.record(label, 100 * share["all"], "%")
            if ranks > 1:
                run.record(f"{label}, of it exchange and waiting in it", 100 * share["exchange"], "%")
            else:
                run.record(f"{label}, in CPU time", 100 * share["cpu"], "%")
            found.append({"atoms": n, "ranks": ranks, "share": share})
    return found


def two_ranks(run: Any, workers: Mapping[int, Worker]) -> list[dict[str, Any]]:
    """Two ranks against one, and LAMMPS the same where it is installed."""
    found: list[dict[str, Any]] = []
    for kind in run.settings["two_kinds"]:
        for cells in run.settings["two"]:
            n, f = atoms_in(kind, cells), builds_per_step(kind, cells, run.settings["walk"])
            rows = gather(run, {ranks: (w, "hybrid") for ranks, w in workers.items()}, kind, cells)
            seconds = {ranks: wall(r, f) for ranks, r in rows.items()}
            pure = {ranks: float(np.median((r["model"] - r["exchange"]).max(axis=0))) for ranks, r in rows.items()}
            label = f"{kind}, {n} atoms"
            if not found:
                run.record("allocator of scripts/mpi.sh", "keeping" if rows[2]["malloc"] else "default")
            for ranks, spent in seconds.items():
                run.record(f"{label}: step on {ranks} rank{'s' * (ranks > 1)}", 1e3 * spent, "ms")
            entry = {"kind": kind, "atoms": n, "speed-up": seconds[1] / seconds[2], "model": pure[1] / pure[2]}
            run.record(f"{label}: two ranks over one", entry["speed-up"])
            run.record(f"{label}: two ranks over one, the model's part", entry["model"])
            cpu = {k: float(np.median(r["model_cpu"] - r["exchange_cpu"], axis=1).max()) for k, r in rows.items()}
            run.record(f"{label}: two ranks over one, the model's part in CPU time", cpu[1] / cpu[2])
            if kind == "Stillinger–Weber":
                entry["lammps"] = lammps_ranks(run, kind, cells)
            found.append(entry)
    return found


def lammps_ranks(run: Any, kind: str, cells: Cells) -> float | None:
    """LAMMPS' own two ranks over one."""
    lmp = lammps_peer.found()
    if lmp is None:
        return None
    steps = max(20, int(run.settings["seconds"] / (8e-7 * atoms_in(kind, cells))))
    times: dict[int, list[float]] = {1: [], 2: []}
    for number in range(run.settings["rounds"]):
        for ranks in (1, 2) if number % 2 else (2, 1):
            times[ranks].append(lammps_peer.run(lmp, run.out / "lammps", kind, cells, steps, ranks).seconds)
    ratio = statistics.median(times[1]) / statistics.median(times[2])
    run.record(f"{kind}, {atoms_in(kind, cells)} atoms: LAMMPS, two ranks over one", ratio)
    return ratio


def cubic(kind: str, atoms: float) -> tuple[int, int, int]:
    """Cells of about so many atoms."""
    return (max(2, round((atoms / atoms_in(kind, (1, 1, 1))) ** (1 / 3))),) * 3


def classical(run: Any) -> dict[str, dict[str, Any]]:
    """Time and memory per atom of Stillinger–Weber and EAM against size, a process for each, beside LAMMPS."""
    lmp, found = lammps_peer.found(), {}
    for kind in run.settings["classical_kinds"]:
        # What a process takes before it has atoms worth speaking of.
        base = _single(run, kind, (3, 3, 3), 0.0)[1]
        rows: list[tuple[float, ...]] = []
        for target in run.settings["classical"]:
            cells = cubic(kind, target)
            n = atoms_in(kind, cells)
            if rows and not _fits(run, kind, n, (rows[-1][2] - base) / rows[-1][0]):
                continue
            ours, theirs = [], []
            for _ in range(run.settings["repeats"]):
                ours.append(_single(run, kind, cells, builds_per_step(kind, cells, run.settings["few_steps"])))
                if lmp is not None:
                    theirs.append(_lammps(run, lmp, kind, cells))
            t, peak, cpu = (float(np.median(column)) for column in zip(*ours, strict=True))
            peer = [float(np.median(column)) for column in zip(*theirs, strict=True)] if theirs else [np.nan] * 3
            rows.append((n, t, peak, *peer[:2]))
            run.record(f"{kind}, {n} atoms: time per atom and step", 1e6 * t / n, "µs")
            if theirs:
                run.record(f"{kind}, {n} atoms: time over LAMMPS'", t / peer[0])
                run.record(f"{kind}, {n} atoms: CPU time over LAMMPS'", cpu / peer[2])
        found[kind] = {"base": base, "rows": np.array(rows)}
        _growth(run, kind, base, found[kind]["rows"])
    return found


def _single(run: Any, kind: str, cells: Cells, f: float) -> tuple[float, float, float]:
    """Seconds per step, peak memory in MiB, and CPU time per step of a process of its own."""
    with Worker(f"{kind} {tuple(cells)}") as worker:
        answers = [worker.ask("region", kind, cells, WARM[:1])]
        answers += [worker.ask("region", kind, cells, burst(kind, cells, k, run.settings["seconds"])) for k in range(2)]
    rows = {k: np.concatenate([np.array(a[k]) for a in answers[1:]], axis=1) for k in ("wall", "cpu", "builds")}
    return wall(rows, f), answers[-1]["peak"], per_step(rows["cpu"][0], rows["builds"][0], f)


def _lammps(run: Any, lmp: Path, kind: str, cells: Cells) -> tuple[float, float, float]:
    n = atoms_in(kind, cells)
    steps = int(np.clip(run.settings["seconds"] / (8e-7 * n), 20, 2000))
    timing = lammps_peer.run(lmp, run.out / "lammps", kind, cells, steps)
    return timing.seconds, timing.peak, timing.seconds * timing.busy


def _fits(run: Any, kind: str, atoms: int, each: float) -> bool:
    """Whether a process of so many atoms has room in what memory is free, at ``each`` MiB per atom."""
    status = Path("/proc/meminfo")
    if not status.exists():
        return True
    line = next(line for line in status.read_text().splitlines() if line.startswith("MemAvailable"))
    free, needed = int(line.split()[1]) / 2**10, 1.1 * atoms * each
    if needed > free:
        run.say(f"{kind}, {atoms} atoms: left out, for it needs some {needed:.0f} MiB and {free:.0f} are free")
    return needed <= free


def _growth(run: Any, kind: str, base: float, rows: Any) -> None:
    n, t, peak, other, other_peak = rows.T
    if len(rows) > 1:
        run.record(f"{kind}: exponent of time", float(np.polyfit(np.log(n), np.log(t), 1)[0]))
        memory = np.maximum(peak - base, 1e-3)
        run.record(f"{kind}: memory per atom", float(2**10 * memory[-1] / n[-1]), "KiB")
        run.record(f"{kind}: exponent of memory", float(np.polyfit(np.log(n[-2:]), np.log(memory[-2:]), 1)[0]))
        if np.isfinite(other).all():
            run.record(f"{kind}: LAMMPS' exponent of time", float(np.polyfit(np.log(n), np.log(other), 1)[0]))
            run.record(
                f"{kind}: LAMMPS' memory per atom",
                float(2**10 * (other_peak[-1] - other_peak[-2]) / (n[-1] - n[-2])),
                "KiB",
            )


def replicated(run: Any, workers: Mapping[int, Worker]) -> dict[str, float]:
    """What every rank spends on every atom of the whole system, seconds per atom: passes over q, and the sum of forces."""
    kind, each = "Stillinger–Weber", {}
    for target in run.settings["replicated"]:
        cells = cubic(kind, target)
        n = atoms_in(kind, cells)
        for what, ranks in (("nothing", 1), ("few", 1), ("sum", 2)):
            spent = []
            for _ in range(run.settings["rounds"]):
                # The list is built once: what it costs is no work on all atoms.
                steps = [0, 0, 0]
                # One rank computes, so that its CPU time is what it takes; two talk to each other, where waiting counts.
                spent += workers[ranks].ask(what, kind, cells, steps)["cpu" if ranks == 1 else "wall"][0][1:]
            each[what] = float(np.median(spent)) / n
        run.record(f"{n} atoms: model without regions, every rank's time per atom", 1e9 * each["nothing"], "ns")
        run.record(f"{n} atoms: region in which one atom counts, every rank's time per atom", 1e9 * each["few"], "ns")
        run.record(f"{n} atoms: sum of forces over two ranks, time per atom", 1e9 * each["sum"], "ns")
    return each
