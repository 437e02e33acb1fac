"""Speed and exactness of MACE on GPUs: one script for a machine that has them; on CPUs with small sizes, and it says so.

    python gpu_check.py                             atoms/s beside mace-torch's calculator, share of time in kernels, agreement with the CPU
    mpirun -n 4 python -m mpi4py gpu_check.py       the same on the ranks of one node, which share its GPUs

Random weights: time does not depend on them. Every number is a median of evaluations with the neighbour list kept; the time of one that
builds it stands beside it. The JSON at the end holds all that was printed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from systems import Motion, crystal, module

from multiscale import Ranks
from multiscale.models import Mace
from multiscale.ranks import World, world
from multiscale.region import Can, Query
from multiscale.regions.ml import MLRegion

WANT = Query(Can.ENERGY | Can.FORCES | Can.STRESS)
#: Cells along the axes, 8 atoms each: 1 000, 10 648 and 97 336 atoms on a GPU; 64 and 512 without one.
ON_GPU, ON_CPU = (5, 11, 23), (2, 4)
#: The first evaluations compile e3nn's functions and choose kernels.
WARM, KEPT = 4, 7


def clocked(call: Callable[[], object], ranks: World, device: str) -> float:
    """Seconds of a call on all ranks, until the device has finished."""
    _finish(device)
    ranks.barrier()
    start = time.perf_counter()
    call()
    _finish(device)
    return ranks.allreduce_max(time.perf_counter() - start)


def _finish(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def bound(region: MLRegion, ranks: World) -> tuple[MLRegion, str]:
    """The region on all ranks, and this rank's device."""
    team = Ranks(world=ranks).teams({"ml": region})["ml"]
    assert team is not None
    region.bind(team)
    return region, team.device


def speed(potential: Mace, cells: int, dtype: str, ranks: World) -> dict[str, Any]:
    """Atoms per second with the list kept, the time of building it, and memory of the GPU."""
    atoms = crystal("MACE", (cells,) * 3)
    move, (region, device) = Motion("MACE", atoms), bound(MLRegion(potential, atoms, dtype=dtype), ranks)

    def step(k: float) -> Any:
        return ranks.sum(region.evaluate(move(k), WANT).forces)

    for k in range(WARM):
        step(k)
    kept = statistics.median(clocked(lambda k=k: step(WARM + 0.1 * k), ranks, device) for k in range(KEPT))
    built = statistics.median(clocked(lambda k=k: step(1000.0 * (k + 1)), ranks, device) for k in range(3))
    found = {"atoms": len(atoms), "atoms/s": len(atoms) / kept, "list, of a step": max(0.0, built - kept) / kept}
    if device.startswith("cuda"):
        found["GPU memory, GiB"] = torch.cuda.max_memory_allocated(device) / 2**30
    return found | kernels(lambda: step(WARM), device, kept)


def kernels(call: Callable[[], object], device: str, seconds: float) -> dict[str, Any]:
    """Share of a step's ``seconds`` in kernels of the device: the rest is Python, transfers, waiting; on a CPU, in torch's operators."""
    activity, gpu = torch.profiler.ProfilerActivity, device.startswith("cuda")
    start = time.perf_counter()
    with torch.profiler.profile(activities=[activity.CPU, *([activity.CUDA] if gpu else [])]) as profile:
        call()
        _finish(device)
        profiled = time.perf_counter() - start
    if not gpu:
        # Operators take longer under the profiler, as all the rest does.
        return {
            "share in torch's operators": sum(e.self_cpu_time_total for e in profile.key_averages()) / 1e6 / profiled
        }
    # Rows of operators hold the times of the kernels that they have started once more.
    rows = [e for e in profile.key_averages() if e.device_type == torch.autograd.DeviceType.CUDA]
    return {"share in kernels": sum(e.self_device_time_total for e in rows) / 1e6 / seconds}


def calculator(cells: int, dtype: str, device: str) -> dict[str, Any]:
    """mace-torch's own calculator on the same positions, in this process alone."""
    from mace.calculators import MACECalculator

    atoms = crystal("MACE", (cells,) * 3)
    move = Motion("MACE", atoms)
    bare = module(2).to(getattr(torch, dtype))
    atoms.calc = MACECalculator(models=[bare], device=device.partition(":")[0], default_dtype=dtype)

    def step(k: float) -> None:
        atoms.positions = move(k)
        atoms.get_potential_energy()
        atoms.get_forces()

    for k in range(WARM):
        step(k)
    spent = statistics.median(clocked(lambda k=k: step(WARM + 0.1 * k), World(), device) for k in range(KEPT))
    return {"calculator, atoms/s": len(atoms) / spent}


def agreement(potential: Mace, cells: int, ranks: World, dtype: str = "float64") -> dict[str, float]:
    """Largest relative differences of energy, forces and virial between all ranks' devices and one CPU in double precision."""
    atoms = crystal("MACE", (cells,) * 3)
    x = Motion("MACE", atoms)(0)
    region, _ = bound(MLRegion(potential, atoms, dtype=dtype), ranks)
    share = region.evaluate(x, WANT)
    ours = [ranks.sum(np.atleast_1d(share[name])) for name in ("energy", "forces", "stress")]
    one = MLRegion(potential, atoms, device="cpu").evaluate(x, WANT)
    theirs = [np.atleast_1d(one[name]) for name in ("energy", "forces", "stress")]
    names = ("energy", "forces", "virial")
    return {n: float(np.abs(a - b).max() / np.abs(b).max()) for n, a, b in zip(names, ours, theirs, strict=True)}


def main() -> None:
    """Run everything and print it; exit status 1 where the devices do not agree to 1e-10."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--cells", type=int, nargs="*", help="cells along an axis, 8 atoms each, in place of the default"
    )
    parser.add_argument("--dtype", default="float32", choices=("float32", "float64"))
    given, ranks = parser.parse_args(), world()
    gpu = torch.cuda.is_available()
    device = Ranks(world=ranks).teams({"ml": MLRegion(Mace(module(2)), crystal("MACE", (1, 1, 1)))})["ml"].device
    say = print if ranks.rank == 0 else lambda *_: None
    devices = ranks.gather(device)
    say(
        f"{ranks.size} rank(s) on {devices}"
        + ("" if gpu else ": no GPU here, small sizes on the CPU; times say nothing about GPUs")
    )
    potential, found = (
        Mace(module(2)),
        {"devices": devices, "torch": torch.__version__, "dtype": given.dtype, "sizes": []},
    )
    for cells in given.cells or (ON_GPU if gpu else ON_CPU):
        row = speed(potential, cells, given.dtype, ranks)
        if ranks.rank == 0:
            # While the other ranks wait: it is a program for one process.
            row |= calculator(cells, given.dtype, device)
            row["over calculator"] = row["atoms/s"] / row["calculator, atoms/s"]
        ranks.barrier()
        found["sizes"].append(row)
        say(", ".join(f"{k} {v:.4g}" for k, v in row.items()))
    found["agreement"] = agreement(potential, 3, ranks)
    say("float64 against one CPU, relative:", found["agreement"])
    say(json.dumps(found))
    if max(found["agreement"].values()) > 1e-10:
        raise SystemExit("the devices do not agree with the CPU to 1e-10")


if __name__ == "__main__":
    main()
