"""From data to a committee on disk, with its errors: what ``multiscale train`` does."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ase

from ..models import Mace
from ..output import plain, write_json
from ..types import MultiscaleError
from .dataset import SHIPPED, load, read_text, save, split, write_text
from .errors import Errors, by_model, validate
from .fit import train
from .recipe import RECIPE, Stage, parts
from .training import Training

log = logging.getLogger(__name__)

#: Beside the parts of data that are being made: what they are made with.
NOTE = "arguments.json"


def write_data(
    out: str | Path,
    *,
    recipe: tuple[Stage, ...] = RECIPE,
    share: float = 1.0,
    seed: int = 0,
    show: Callable[[str], None] | None = None,
) -> Path:
    """Make and label the recipe's configurations; gives the path of ``out/data.xyz.xz``.

    Each part (one type) is written to ``out/parts`` when it is done, and a run with the same recipe, share and seed in the same
    folder goes on from there. Parts are put together and removed at the end.

    Raises
    ------
    MultiscaleError
        If the share is not above 0 and at most 1, or ``out/parts`` belongs to a run with other arguments or to somebody else.
    """
    makers = parts(recipe, share=share, seed=seed)
    path, folder = Path(out) / "data.xyz.xz", Path(out) / "parts"
    _claim(folder, {"recipe": [asdict(stage) for stage in recipe], "share": share, "seed": seed})
    count = 0
    for name, maker in makers.items():
        done = folder / f"{name}.xyz"
        if not done.is_file():
            configurations = []
            for atoms in maker():
                configurations.append(atoms)
                if show is not None and len(configurations) % 20 == 0:
                    show(f"{name}: {len(configurations)} configurations, the last of {len(atoms)} atoms")
            save(done, configurations)
        count += 1
        if show is not None:
            show(f"{name}: done, {count} of {len(makers)} parts")
    write_text(path, "".join(read_text(folder / f"{name}.xyz") for name in makers))
    _remove(folder, makers)
    return path


def _claim(folder: Path, wanted: dict[str, Any]) -> None:
    """Make the folder for a run with these arguments, or refuse one that belongs to other arguments, or has no note of ours."""
    note, text = folder / NOTE, json.dumps(plain(wanted), sort_keys=True)
    if not note.is_file():
        if any(folder.glob("*.xyz")):
            raise MultiscaleError(
                f"'{folder}' holds xyz files and no {NOTE} that says whose they are; move them away, or give another folder"
            )
        write_json(note, wanted)
        return
    try:
        found = json.dumps(json.loads(note.read_text(encoding="utf-8")), sort_keys=True)
    except ValueError as error:  # no JSON, or no text
        raise MultiscaleError(
            f"'{note}' is damaged ({error}), so that nobody knows whose parts are beside it; remove '{folder}', or give another folder"
        ) from error
    if found != text:
        raise MultiscaleError(
            f"'{folder}' holds parts of data with another recipe, share or seed; give the same again, or another folder"
        )


def _remove(folder: Path, names: Iterable[str]) -> None:
    """Remove the parts, and then the note by which what is left of them is known as ours; files of others stay, and their folder."""
    for path in (*(folder / f"{name}.xyz" for name in names), *folder.glob(".*.part"), folder / NOTE):
        path.unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()


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
    training: Training | None = None,
    *,
    show: Callable[[str], None] | None = None,
) -> str:
    """Train a committee, export its potentials to ``out/potential-M``; gives the table of errors of each."""
    training = training or Training()
    configurations = load(SHIPPED if data is None else data)
    models = train(configurations, out, training, show=show)
    held_out = split(configurations)[2]
    tables = []
    for number, model in zip(training.members, models, strict=True):
        settings = json.loads((model.parent / "settings.json").read_text())
        errors = export(model, Path(out) / f"potential-{number}", held_out, training=settings)
        tables.append(f"member {number}, held-out set\n{table(errors)}")
    return "\n\n".join(tables)
