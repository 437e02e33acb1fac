"""One process (or a few ranks) that evaluates when asked and says how long it took.

    → {"who": "region", "kind": "MACE", "cells": [4, 4, 4], "steps": [0, 1, 2]}
    ← {"atoms": 512, "wall": [[…], …], "cpu": …, "model": …, "exchange": …, "builds": …, "peak": 812.4}

One line in, one line out, until the input ends. Times (s) have one row per rank. ``who`` is one of :data:`WHO`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import vesin
from systems import KINDS, SKIN, Motion, crystal, model, module

from couplers import EnergyBlend
from multiscale import HybridModel, Interface, Nested
from multiscale.benchmark import one_thread
from multiscale.models.exchange import Exchange
from multiscale.ranks import Ranks, World, world
from multiscale.region import Answer, Can, Query
from multiscale.regions.atomic import AtomicRegion
from multiscale.regions.ml import MLRegion

#: What the calculator computes, whatever it is asked for.
WANT = Can.ENERGY | Can.FORCES | Can.STRESS
COLUMNS = ("wall", "cpu", "model", "model_cpu", "exchange", "exchange_cpu", "builds", "building")


class Clock:
    """Wall and CPU time, s, and number of calls of the functions that it is put around, in this process."""

    def __init__(self) -> None:
        self.wall, self.cpu, self.calls = 0.0, 0.0, 0

    def around(self, owner: Any, name: str) -> None:
        """Count every call of ``owner.name`` from now on."""
        original = getattr(owner, name)

        def counted(*args: Any, **settings: Any) -> Any:
            start, cpu = time.perf_counter(), time.process_time()
            try:
                return original(*args, **settings)
            finally:
                self.wall += time.perf_counter() - start
                self.cpu += time.process_time() - cpu
                self.calls += 1

        setattr(owner, name, counted)


class Clocks:
    """The parts of a step, measured inside the step: differences of two calls would drown in what else the machine does."""

    def __init__(self) -> None:
        self.model, self.exchange, self.list = Clock(), Clock(), Clock()
        self.model.around(torch.autograd, "grad")
        for name in ("forward", "adjoint"):
            self.exchange.around(Exchange, name)
        self.list.around(vesin.NeighborList, "compute")

    def of(self, site_model: Any) -> None:
        """Count the forward pass of this class of models, once."""
        kind = type(site_model)
        if kind.forward.__name__ != "counted":
            self.model.around(kind, "forward")

    def read(self) -> Any:
        """Everything so far, in the order of ``COLUMNS``."""
        m, x, b = self.model, self.exchange, self.list
        return np.array([time.perf_counter(), time.process_time(), m.wall, m.cpu, x.wall, x.cpu, b.calls, b.wall])


def region_alone(kind: str, atoms: Any, ranks: World, clocks: Clocks) -> Callable[[Any], object]:
    """The region by itself."""
    region = MLRegion(model(kind), atoms, dtype=KINDS[kind][1], skin=SKIN)
    clocks.of(region.model)
    team = Ranks(world=ranks).teams({"ml": region})["ml"]
    assert team is not None
    region.bind(team)
    return lambda x: ranks.sum(region.evaluate(x, Query(WANT)).forces)


def hybrid(kind: str, atoms: Any, ranks: World, clocks: Clocks) -> Callable[[Any], object]:
    """The region in a model of which it is the only one."""
    region = MLRegion(model(kind), atoms, dtype=KINDS[kind][1], skin=SKIN)
    clocks.of(region.model)
    interface = Interface(atoms.positions, {"ml": region}, Nested([], rest="ml"))
    return HybridModel(interface, EnergyBlend(), Ranks(world=ranks)).evaluate


def calculator(kind: str, atoms: Any, ranks: World, clocks: Clocks) -> Callable[[Any], object]:
    """mace-torch's calculator as an ASE user has it."""
    from mace.calculators import MACECalculator

    bare = module(1 if "1 layer" in kind else 2).float()
    atoms = atoms.copy()
    atoms.calc = MACECalculator(models=[bare], device="cpu", default_dtype="float32")

    def evaluate(x: Any) -> object:
        atoms.positions = x
        return atoms.get_potential_energy(), atoms.get_forces()

    return evaluate


class Nothing(AtomicRegion):
    """Atoms without an energy: what a model costs that has nothing to compute."""

    can = Can.ENERGY | Can.FORCES | Can.SITE_WEIGHTS

    def evaluate(self, x: Any, query: Query) -> Answer:
        """Zeros."""
        return Answer(energy=0.0, forces=np.zeros_like(x))


def nothing(kind: str, atoms: Any, ranks: World, clocks: Clocks) -> Callable[[Any], object]:
    """A hybrid model around nothing: what every rank spends on all atoms, and the sum of the forces."""
    interface = Interface(atoms.positions, {"ml": Nothing(atoms)}, Nested([], rest="ml"), strict=False)
    return HybridModel(interface, EnergyBlend(), Ranks(world=ranks)).evaluate


def few(kind: str, atoms: Any, ranks: World, clocks: Clocks) -> Callable[[Any], object]:
    """A region of which one atom counts: what a rank spends on all the others."""
    region = MLRegion(model(kind), atoms, dtype=KINDS[kind][1], skin=SKIN)
    query = Query(Can.ENERGY | Can.FORCES, np.eye(1, len(atoms))[0])
    return lambda x: region.evaluate(x, query)


def total(kind: str, atoms: Any, ranks: World, clocks: Clocks) -> Callable[[Any], object]:
    """The sum over ranks of one number per coordinate."""
    return ranks.sum


WHO = {
    "region": region_alone, "hybrid": hybrid, "calculator": calculator, "nothing": nothing, "few": few, "sum": total,
}  # fmt: skip


def peak() -> float:
    """The largest resident memory of this process so far, MiB."""
    status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return float(next(line for line in status if line.startswith("VmHWM:")).split()[1]) / 2**10


def timed(evaluate: Callable[[Any], object], move: Motion, steps: Sequence[int], ranks: World, clocks: Clocks) -> Any:
    """One row per step: its wall and CPU time and its parts."""
    rows = []
    for k in steps:
        x = move(k)
        ranks.barrier()
        before = clocks.read()
        evaluate(x)
        rows.append(clocks.read() - before)
    return np.array(rows)


def commands(ranks: World) -> Any:
    """The lines of rank 0's input, on every rank; those who wait sleep, for they would take the core of what is timed meanwhile."""
    while True:
        line = sys.stdin.readline() if ranks.rank == 0 else ""
        if ranks.comm is not None:
            buffer = np.zeros(4096, dtype=np.uint8)
            text = line.encode()
            buffer[: len(text)] = list(text)
            request = ranks.comm.Ibcast(buffer)
            while not request.Test():
                time.sleep(2e-3)
            line = bytes(buffer).rstrip(b"\0").decode()
        if not line.strip():
            return
        yield json.loads(line)


def main() -> None:
    """Answer until the input ends."""
    ranks, clocks, built = world(), Clocks(), {}
    # What libraries print at their import and construction is no answer.
    answers, sys.stdout = sys.stdout, sys.stderr
    with one_thread():
        for command in commands(ranks):
            key = (command["who"], command["kind"], tuple(command["cells"]))
            if key not in built:
                if any(other[1:] != key[1:] for other in built):
                    # One crystal at a time: what is not asked for any more gives its memory back.
                    built.clear()
                atoms = crystal(command["kind"], command["cells"])
                built[key] = (
                    WHO[command["who"]](command["kind"], atoms, ranks, clocks),
                    Motion(command["kind"], atoms),
                )
            evaluate, move = built[key]
            rows = timed(evaluate, move, command["steps"], ranks, clocks)
            everyone = ranks.gather((rows, peak()))
            if everyone is not None:
                table = np.array([r for r, _ in everyone])
                answer: dict[str, Any] = {name: table[:, :, c].tolist() for c, name in enumerate(COLUMNS)}
                answer |= {"atoms": len(move.start), "peak": max(p for _, p in everyone), "ranks": ranks.size}
                answer["malloc"] = {k: v for k, v in os.environ.items() if k.startswith("MALLOC_")}
                print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
