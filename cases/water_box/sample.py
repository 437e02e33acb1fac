"""Dynamics that is recorded, shown, and taken up again where it was interrupted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase import units
from box import Box

from multiscale import checkpoint
from multiscale.checkpoint import Checkpoint
from multiscale.drive import kinetic_energy, langevin, verlet
from multiscale.drive.step import Step
from multiscale.types import MultiscaleError

#: Steps between checkpoints; one more is written at the end.
EVERY = 250
#: Columns of ``Track.rows``.
COLUMNS = ("time", "potential", "kinetic", "heat", "net_force", "momentum")


@dataclass
class Track:
    """What is kept of a dynamics.

    Attributes
    ----------
    rows : list of tuples
        Per step: fs, eV (NaN where the method has none), eV, eV of the thermostat, |Σ F| in eV/Å, |Σ m v|.
    weights : list of (n,) arrays
        Per step: the molecules' quantum weight, by their O.
    events : list of (fs, text)
    q, v : lists of (n_q, 3) arrays
        Every ``stride`` steps.
    """

    rows: list[tuple[float, ...]] = field(default_factory=list)
    weights: list[np.ndarray] = field(default_factory=list)
    events: list[tuple[float, str]] = field(default_factory=list)
    q: list[np.ndarray] = field(default_factory=list)
    v: list[np.ndarray] = field(default_factory=list)

    def column(self, name: str) -> np.ndarray:
        """One quantity (n_steps,)."""
        return np.array(self.rows)[:, COLUMNS.index(name)]

    @property
    def total(self) -> np.ndarray:
        """Potential + kinetic − heat, eV: what a conservative method keeps."""
        return self.column("potential") + self.column("kinetic") - self.column("heat")


@dataclass
class Plan:
    """How to move: fs, number of steps, 1/fs of friction (None: Newton's equations), seed and steps between frames."""

    dt: float
    steps: int
    friction: float | None
    seed: int
    stride: int


def record(
    run: Any, name: str, model: Any, box: Box, q: np.ndarray, v: np.ndarray, plan: Plan, zone: tuple[float, float]
) -> Track:
    """Move and keep a track; a checkpoint is written as it goes, and a run with the same settings goes on exactly from it.

    What the model keeps besides q (members, where they were chosen, booked energies) is part of the checkpoint: regions that are chosen
    anew at the state of the interruption are others, and so is the energy.
    """
    track, path, m = Track(), run.out / f"{name.replace(' ', '_')}.checkpoint.npz", box.masses()
    settings = {**run.settings, "stage": name}
    start, heat = 0, 0.0
    state = _found(run, path, settings)
    if state is not None:
        start, q, v, heat = _resume(track, model, state)
        run.say(f"{name}: goes on from step {start}")
    for step in _moves(model, q, v, plan, m, start, heat):
        if step.index == start and track.rows:
            continue
        w = box.weight(step.q, *zone)
        kinetic, time = kinetic_energy(m, step.velocities), step.index * plan.dt
        net, momentum = (float(np.linalg.norm(x)) for x in (step.forces.sum(axis=0), m @ step.velocities))
        energy = float("nan") if step.energy is None else step.energy
        track.rows.append((time, energy, kinetic, step.heat or 0.0, net, momentum))
        track.weights.append(w)
        if step.event:
            track.events.append((time, step.event))
        if step.index % plan.stride == 0:
            track.q.append(step.q)
            track.v.append(step.velocities)
        _show(run, name, step, plan, kinetic, w)
        if (step.index % EVERY == 0 or step.index == plan.steps) and step.index > start:
            # On every rank: a model's snapshot may be a common effort.
            kept = {f"model_{key}": value for key, value in model.snapshot().items()}
            if run.first:
                _keep(track, path, settings, step, kept)
    return track


def _moves(
    model: Any, q: np.ndarray, v: np.ndarray, plan: Plan, m: np.ndarray, start: int, heat: float
) -> Iterator[Step]:
    common = {"dt": plan.dt * units.fs, "steps": plan.steps - start, "masses": m}
    if plan.friction is None:
        for step in verlet(model, q, v, **common):
            yield Step(**{**vars(step), "index": step.index + start})
        return
    bath = {"temperature": 300.0, "friction": plan.friction / units.fs, "seed": plan.seed, "start": start, "heat": heat}
    yield from langevin(model, q, v, **common, **bath)


def _show(run: Any, name: str, step: Step, plan: Plan, kinetic: float, w: np.ndarray) -> None:
    if step.index % max(plan.steps // 20, 25) and step.index != plan.steps:
        return
    kelvin = 2.0 * kinetic / (3 * len(step.q) * units.kB)
    energy = "" if step.energy is None else f"  E + K − Q {step.energy + kinetic - (step.heat or 0.0):.5f} eV"
    inside, zone = int((w == 1).sum()), int(((w > 0) & (w < 1)).sum())
    run.say(
        f"{name}: {step.index * plan.dt:.0f} of {plan.steps * plan.dt:.0f} fs  {kelvin:.0f} K  "
        f"{inside} quantum, {zone} in the zone{energy}"
    )


def _keep(track: Track, path: Any, settings: dict[str, Any], step: Step, model: dict[str, np.ndarray]) -> None:
    texts = np.array([text for _, text in track.events], dtype=str)
    arrays = {
        "rows": np.array(track.rows), "weights": np.array(track.weights), "frames": np.array(track.q),
        "speeds": np.array(track.v), "v": step.velocities, "heat": np.array(step.heat or 0.0),
        "when": np.array([t for t, _ in track.events]), "texts": texts, **model,
    }  # fmt: skip
    checkpoint.save(path, Checkpoint(step.index, step.q, arrays), settings)


def _found(run: Any, path: Any, settings: dict[str, Any]) -> Checkpoint | None:
    """What rank 0 finds on its disk, on every rank: the others may see another disk, or see this one later."""
    state, error = None, None
    try:
        if run.first and path.exists():
            state = checkpoint.load(path, settings)
    except MultiscaleError as e:
        error = e
    # All ranks leave together.
    for _, text in run.world.failures(error):
        raise MultiscaleError(text)
    found: Checkpoint | None = run.world.bcast(state)
    return found


def _resume(track: Track, model: Any, state: Checkpoint) -> tuple[int, np.ndarray, np.ndarray, float]:
    a = state.arrays
    model.restore({key.removeprefix("model_"): value for key, value in a.items() if key.startswith("model_")})
    track.rows, track.weights = [tuple(r) for r in a["rows"].tolist()], list(a["weights"])
    track.q, track.v = list(a["frames"]), list(a["speeds"])
    track.events = [(float(t), str(s)) for t, s in zip(a["when"], a["texts"], strict=True)]
    return state.step, state.q, a["v"], float(a["heat"])


def crossings(weights: list[np.ndarray]) -> tuple[int, int]:
    """How often a molecule entered the zone or the core from outside, and how often one left altogether."""
    inside = np.array(weights) > 0
    return int((inside[1:] & ~inside[:-1]).sum()), int((~inside[1:] & inside[:-1]).sum())
