"""From data to a committee on disk, with its errors: what ``multiscale train`` does."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ase

from ..models import Mace
from .dataset import SHIPPED, load, save, split
from .errors import Errors, by_model, validate
from .fit import Architecture, Noise, Schedule, train
from .recipe import RECIPE, Stage, make

log = logging.getLogger(__name__)


def write_data(
    out: str | Path,
    *,
    recipe: tuple[Stage, ...] = RECIPE,
    share: float = 1.0,
    seed: int = 0,
    show: Callable[[str], None] | None = None,
) -> Path:
    """Make and label the recipe's configurations; gives the path of ``out/data.xyz.xz``."""
    configurations = []
    for atoms in make(recipe, share=share, seed=seed):
        configurations.append(atoms)
        if show is not None and len(configurations) % 20 == 0:
            show(f"{len(configurations)} configurations, the last a {atoms.info['config_type']} of {len(atoms)} atoms")
    path = Path(out) / "data.xyz.xz"
    save(path, configurations)
    return path


def export(model: str | Path, stem: str | Path, held_out: Sequence[ase.Atoms], **words: Any) -> list[Errors]:
    """Write a trained MACE model as ``stem.safetensors`` and ``stem.json`` with its errors on the held-out set."""
    # The model was written by the trainer just run here; reading it executes nothing of anybody else's.
    potential = Mace.from_checkpoint(model, trust=True, provenance=words)
    errors = validate(by_model(potential), held_out)
    potential.provenance["held_out"] = [asdict(e) for e in errors]
    potential.save(stem)
    return errors


def table(errors: Sequence[Errors]) -> str:
    """Errors by type, as text."""
    head = (
        f"{'type':<14}{'number':>7}{'atoms':>7}{'E, meV/atom':>13}{'F, meV/Å':>10}{'F RMS, eV/Å':>13}{'relative':>10}"
    )
    rows = [
        f"{e.kind:<14}{e.count:>7}{e.atoms:>7}{1e3 * e.energy:>13.2f}{1e3 * e.force:>10.1f}{e.force_rms:>13.3f}{e.relative:>10.1%}"
        for e in errors
    ]
    return "\n".join([head, *rows])


def fit_committee(
    data: str | Path | None,
    out: str | Path,
    *,
    members: int = 4,
    seed: int = 1,
    minutes: float | None = None,
    noise: Noise | None = None,
    architecture: Architecture | None = None,
    schedule: Schedule | None = None,
    resume: bool = False,
    show: Callable[[str], None] | None = None,
) -> str:
    """Train ``members`` potentials, export them to ``out/potential-M``; gives the table of errors of each."""
    configurations = load(SHIPPED if data is None else data)
    models = train(
        configurations, out, members=range(members), seed=seed, minutes=minutes, noise=noise,
        architecture=architecture, schedule=schedule, resume=resume, show=show,
    )  # fmt: skip
    held_out = split(configurations)[2]
    tables = []
    for number, model in enumerate(models):
        settings = json.loads((model.parent / "settings.json").read_text())
        errors = export(model, Path(out) / f"potential-{number}", held_out, training=settings)
        tables.append(f"member {number}, held-out set\n{table(errors)}")
    return "\n\n".join(tables)
