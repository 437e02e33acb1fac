"""Committees by force matching with MACE's own trainer, weights given as noise levels.

    L = (1/σ_E²) ⟨(ΔE/N)²⟩ + (1/σ_F²) ⟨ΔF²⟩ (+ (1/σ_σ²) ⟨Δσ²⟩ where the data have a stress)

Every member is one run of ``mace_run_train`` in a process of its own, with another seed and another validation set; the
held-out set is common. The trainer writes checkpoints, and a later, longer run goes on from them.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import ase

from ..lazy import REMEDIES
from ..types import MultiscaleError, missing
from .dataset import save, split

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


@dataclass(frozen=True)
class Noise:
    """Expected errors of the fit, whose inverse squares weight the loss.

    Attributes
    ----------
    energy : float
        eV per atom.
    force : float
        eV/Å.
    stress : float
        eV/Å³; used only if configurations have ``REF_stress``.
    """

    energy: float = 0.005
    force: float = 0.1
    stress: float = 0.005

    def __post_init__(self) -> None:
        """Refuse levels that give no weight."""
        if min(self.energy, self.force, self.stress) <= 0.0:
            raise MultiscaleError(f"Noise was given {self}; every noise level must be positive")


@dataclass(frozen=True)
class Architecture:
    """What the model is; the names are those of MACE.

    Attributes
    ----------
    hidden_irreps : str
        Channels per atom and message, by symmetry.
    num_interactions, max_ell, correlation : int
        Message-passing layers, highest spherical harmonic, body order minus one.
    r_max : float
        Å.
    radial_mlp : tuple of int
        Widths of the network of the radial functions.
    """

    hidden_irreps: str = "16x0e+16x1o"
    num_interactions: int = 2
    max_ell: int = 2
    correlation: int = 2
    r_max: float = 5.0
    radial_mlp: tuple[int, ...] = (64, 64, 64)


@dataclass(frozen=True)
class Schedule:
    """How long and how fast: the learning rate falls exponentially from ``lr`` to ``lr_end`` over ``epochs``.

    ``until`` ends a run at an earlier epoch, to go on with other noise levels or more data. ``ema`` is the decay of the
    average of the weights per step, ``clip`` the largest norm of a gradient.
    """

    epochs: int = 30
    batch: int = 2
    lr: float = 0.01
    lr_end: float = 2e-4
    ema: float = 0.998
    clip: float = 20.0
    until: int | None = None

    @property
    def gamma(self) -> float:
        """Factor of the learning rate per epoch."""
        return float((self.lr_end / self.lr) ** (1.0 / max(self.epochs, 1)))


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
    environment = os.environ | {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")} | MALLOC
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


def pilot(folder: Path, train_set: Sequence[ase.Atoms], valid_set: Sequence[ase.Atoms], seconds: float,
          noise: Noise, architecture: Architecture, schedule: Schedule) -> int:  # fmt: skip
    """How many epochs fit into ``seconds``, by the time that one epoch on a twelfth of the data takes."""
    trial = folder / "pilot"
    few = list(train_set)[::12] or list(train_set)
    save(trial / "train.xyz", few)
    save(trial / "valid.xyz", list(valid_set)[::12] or list(valid_set))
    stress = any("REF_stress" in atoms.info for atoms in train_set)
    stamps: list[float] = []

    def clock(line: str) -> None:
        if "Initial" in line or "Epoch" in line:
            stamps.append(time.monotonic())

    short = replace(schedule, epochs=2)
    run(arguments(trial, "pilot", 0, noise, architecture, short, stress=stress), clock)
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
    torch.save(state, checkpoint)


def train(
    configurations: Sequence[ase.Atoms],
    out: str | Path,
    *,
    members: Sequence[int] = (0, 1, 2, 3),
    seed: int = 1,
    minutes: float | None = None,
    noise: Noise | None = None,
    architecture: Architecture | None = None,
    schedule: Schedule | None = None,
    resume: bool = False,
    show: Callable[[str], None] | None = None,
) -> list[Path]:
    """Fit a committee; gives the path of each member's MACE model.

    Parameters
    ----------
    configurations : sequence of ase.Atoms
        Labelled, see :func:`multiscale.learning.dataset.load`.
    out : str or Path
        Folder; each member has its own in it, with its data, log, checkpoints and model.
    members : sequence of int
        Numbers of the members to fit; member m has the seed ``seed + m``.
    minutes : float, optional
        Time for all members together; a short pilot run then sets the number of epochs.
    noise, architecture, schedule : optional
        See :class:`Noise`, :class:`Architecture`, :class:`Schedule`.
    resume : bool
        Go on from the checkpoints in ``out``; the schedule's epochs count from the first run on, and its learning rate
        holds from here on.
    show : callable, optional
        Gets every line of the trainer's log.
    """
    noise, architecture, schedule = noise or Noise(), architecture or Architecture(), schedule or Schedule()
    out, models = Path(out).resolve(), []
    stress = any("REF_stress" in atoms.info for atoms in configurations)
    for number in members:
        folder = out / f"member{number}"
        done = sorted((folder / "checkpoints").glob("*.pt"))
        if done and not resume:
            raise MultiscaleError(
                f"train was given '{out}', where member {number} has checkpoints; continue it or choose another folder"
            )
        train_set, valid_set, _ = split(configurations, seed + number)
        save(folder / "train.xyz", train_set)
        save(folder / "valid.xyz", valid_set)
        if minutes is not None:
            epochs = pilot(folder, train_set, valid_set, 60.0 * minutes / len(members), noise, architecture, schedule)
            schedule = replace(schedule, epochs=epochs)
            minutes = None
        for checkpoint in done:
            reschedule(checkpoint, schedule)
        command = arguments(folder, f"member{number}", seed + number, noise, architecture, schedule, stress=stress)
        settings: dict[str, Any] = {
            "noise": asdict(noise),
            "architecture": asdict(architecture),
            "schedule": asdict(schedule),
        }
        settings |= {"seed": seed + number, "configurations": [len(train_set), len(valid_set)], "command": command}
        (folder / "settings.json").write_text(json.dumps(settings, indent=1, default=str))
        run(command, show)
        models.append(folder / f"member{number}.model")
    return models
