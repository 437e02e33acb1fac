"""Committees by force matching with MACE's own trainer, weights given as noise levels.

    L = (1/σ_E²) ⟨(ΔE/N)²⟩ + (1/σ_F²) ⟨ΔF²⟩ (+ (1/σ_σ²) ⟨Δσ²⟩ where the data have a stress)

Every member is one run of ``mace_run_train`` in a process of its own, with another seed and another validation set; the
held-out set is common. The trainer writes checkpoints, and a later, longer run goes on from them.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import ase

from ..lazy import REMEDIES
from ..output import atomic, write_json
from ..regions.launching import without_launcher
from ..types import MultiscaleError, missing
from .dataset import save, split
from .training import Architecture, Noise, Schedule, Training

try:
    import torch
except ImportError as error:  # pragma: no cover - torch is a declared dependency of the models
    raise missing("torch", "Training", REMEDIES["torch"]) from error

log = logging.getLogger(__name__)

#: Keeps freed pages in the process, which makes training on a CPU 1.4 to 1.7 times as fast; read when a process starts.
MALLOC = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "100000000000",
    "MALLOC_TOP_PAD_": "268435456",
}


def arguments(
    folder: Path, name: str, seed: int, noise: Noise, architecture: Architecture, schedule: Schedule, *, stress: bool
) -> list[str]:
    """Command line of MACE's trainer for one member."""
    given: dict[str, object] = {
        "name": name, "seed": seed, "work_dir": folder, "device": "cpu", "default_dtype": "float32",
        "model": "ScaleShiftMACE", "train_file": folder / "train.xyz", "valid_file": folder / "valid.xyz",
        "E0s": "average", "scaling": "rms_forces_scaling", "energy_key": "REF_energy", "forces_key": "REF_forces",
        "hidden_irreps": architecture.hidden_irreps, "num_interactions": architecture.num_interactions,
        "max_ell": architecture.max_ell, "correlation": architecture.correlation, "r_max": architecture.r_max,
        "radial_MLP": list(architecture.radial_mlp), "loss": "stress" if stress else "weighted",
        "energy_weight": noise.energy**-2, "forces_weight": noise.force**-2, "batch_size": schedule.batch,
        "valid_batch_size": 10, "max_num_epochs": schedule.until or schedule.epochs, "patience": 100000, "lr": schedule.lr,
        "scheduler": "ExponentialLR", "lr_scheduler_gamma": schedule.gamma, "ema_decay": schedule.ema,
        "clip_grad": schedule.clip, "eval_interval": 1, "error_table": "PerAtomRMSE", "plot": False,
    }  # fmt: skip
    if stress:
        given |= {"stress_weight": noise.stress**-2, "compute_stress": True, "stress_key": "REF_stress"}
    flags = ["--ema", "--amsgrad", "--restart_latest", "--save_cpu"]
    return [word for key, value in given.items() for word in (f"--{key}", str(value))] + flags


def run(command: Sequence[str], show: Callable[[str], None] | None = None) -> None:
    """One run of MACE's trainer in its own process, on one thread; ``show`` gets its log lines.

    Raises
    ------
    MultiscaleError
        If the trainer is not installed or stops with an error; the last lines it wrote are quoted.
    """
    environment = without_launcher(os.environ) | {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")} | MALLOC
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "mace.cli.run_train", *command],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment,
    )  # fmt: skip
    tail: list[str] = []
    assert process.stdout is not None
    for line in process.stdout:
        tail = [*tail[-8:], line.rstrip()]
        if show is not None:
            show(line.rstrip())
    if process.wait():
        if any("No module named" in line and "mace" in line for line in tail):
            raise MultiscaleError(
                "training needs mace-torch, which is not installed; install it with 'pip install mace-torch'"
            )
        raise MultiscaleError("MACE's trainer stopped with an error; its last lines were:\n" + "\n".join(tail))


def pilot(
    folder: Path, train_set: Sequence[ase.Atoms], valid_set: Sequence[ase.Atoms], seconds: float, training: Training
) -> int:
    """How many epochs fit into ``seconds``, by the time that one epoch on a twelfth of the data takes."""
    trial = folder / "pilot"
    # What an interrupted pilot has left would be gone on from, and its epochs would take no time.
    shutil.rmtree(trial, ignore_errors=True)
    few = list(train_set)[::12] or list(train_set)
    save(trial / "train.xyz", few)
    save(trial / "valid.xyz", list(valid_set)[::12] or list(valid_set))
    stress = any("REF_stress" in atoms.info for atoms in train_set)
    stamps: list[float] = []

    def clock(line: str) -> None:
        if "Initial" in line or "Epoch" in line:
            stamps.append(time.monotonic())

    short = replace(training.schedule, epochs=2, until=None)
    run(arguments(trial, "pilot", 0, training.noise, training.architecture, short, stress=stress), clock)
    shutil.rmtree(trial)
    # The first epoch also compiles; the second is typical.
    per_epoch = (stamps[2] - stamps[1]) * sum(map(len, train_set)) / sum(map(len, few))
    return max(1, int(seconds / per_epoch))


def reschedule(checkpoint: Path, schedule: Schedule) -> None:
    """Give a checkpoint the learning rate that ``schedule`` has at its epoch, and its decay from there on.

    The trainer restores both from the checkpoint; at the end of a first run they are nearly zero, and a longer second
    run would learn nothing more.
    """
    epoch = int(checkpoint.stem.rpartition("-")[2])
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    rate = schedule.lr * schedule.gamma**epoch
    for group in state["optimizer"]["param_groups"]:
        group["lr"] = rate
    state["lr_scheduler"] |= {"gamma": schedule.gamma, "_last_lr": [rate] * len(state["lr_scheduler"]["_last_lr"])}
    with atomic(checkpoint, "wb") as file:
        torch.save(state, file)


def _checkpoints(folder: Path) -> list[Path]:
    return sorted((folder / "checkpoints").glob("*.pt"))


def _divided(
    configurations: Sequence[ase.Atoms], out: Path, training: Training
) -> dict[int, tuple[list[ase.Atoms], list[ase.Atoms]]]:
    """Training and validation set of every member; refuses folders that are in use, and data that are too few."""
    sets = {}
    for number in training.members:
        if _checkpoints(out / f"member{number}") and not training.resume:
            raise MultiscaleError(
                f"train was given '{out}', where member {number} has checkpoints; continue it or choose another folder"
            )
        train_set, valid_set, held_out = split(configurations, training.seed + number)
        if not (train_set and valid_set and held_out):
            raise MultiscaleError(
                f"train was given {len(configurations)} configurations, which leaves {len(train_set)} to train, {len(valid_set)} to "
                f"validate and {len(held_out)} held out; each needs at least one: give some type of configuration three groups or more"
            )
        sets[number] = train_set, valid_set
    return sets


def train(
    configurations: Sequence[ase.Atoms],
    out: str | Path,
    training: Training | None = None,
    *,
    show: Callable[[str], None] | None = None,
) -> list[Path]:
    """Fit a committee; gives the path of each member's MACE model.

    Parameters
    ----------
    configurations : sequence of ase.Atoms
        Labelled, see :func:`multiscale.learning.dataset.load`.
    out : str or Path
        Folder; each member has its own in it, with its data, log, checkpoints and model.
    training : Training, optional
        The committee, and how it is trained; four members unless given.
    show : callable, optional
        Gets every line of the trainer's log.

    Raises
    ------
    MultiscaleError
        Before any member is trained, if a member's folder has checkpoints that are not to be gone on from, or the data are
        too few to be divided; if the trainer fails.
    """
    training, out, models = training or Training(), Path(out).resolve(), []
    stress = any("REF_stress" in atoms.info for atoms in configurations)
    sets, schedule = _divided(configurations, out, training), training.schedule
    if training.minutes is not None:
        first, seconds = training.members[0], 60.0 * training.minutes / len(training.members)
        epochs = pilot(out / f"member{first}", *sets[first], seconds, training)
        schedule = replace(schedule, epochs=epochs)
    for number, (train_set, valid_set) in sets.items():
        folder = out / f"member{number}"
        save(folder / "train.xyz", train_set)
        save(folder / "valid.xyz", valid_set)
        for checkpoint in _checkpoints(folder):
            reschedule(checkpoint, schedule)
        seed = training.seed + number
        command = arguments(
            folder, f"member{number}", seed, training.noise, training.architecture, schedule, stress=stress
        )
        settings: dict[str, Any] = {
            "noise": asdict(training.noise),
            "architecture": asdict(training.architecture),
            "schedule": asdict(schedule),
        }
        settings |= {"seed": seed, "configurations": [len(train_set), len(valid_set)], "command": command}
        write_json(folder / "settings.json", settings)
        run(command, show)
        models.append(folder / f"member{number}.model")
    return models
