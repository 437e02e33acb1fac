"""An interrupted run goes on exactly where it was: step, q and what else the driver needs, in full precision."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .output import atomic, plain
from .types import Array, MultiscaleError

_RESERVED = ("step", "q", "settings")


@dataclass(frozen=True)
class Checkpoint:
    """Where a run stands.

    Attributes
    ----------
    step : int
        The last completed step.
    q : (n, 3) array
        The shared degrees of freedom, Å.
    arrays : mapping
        Further arrays by name, such as velocities.
    """

    step: int
    q: Array
    arrays: Mapping[str, Array] = field(default_factory=dict)


def save(path: str | Path, state: Checkpoint, settings: Mapping[str, Any]) -> None:
    """Write a checkpoint atomically; on one rank only.

    Parameters
    ----------
    path : path
        The file, usually ``checkpoint.npz``.
    state : Checkpoint
        What to keep.
    settings : mapping
        What the run was started with; :func:`load` refuses to go on with others.

    Raises
    ------
    MultiscaleError
        When an extra array has a name that the file needs itself.
    """
    clash = [name for name in state.arrays if name in _RESERVED]
    if clash:
        raise MultiscaleError(f"a checkpoint's own arrays are {_RESERVED}; rename the extra array '{clash[0]}'")
    text = json.dumps(plain(settings), sort_keys=True)
    with atomic(path, "wb") as file:
        # savez takes a file name as its first argument too; an open file keeps the name as given.
        np.savez(file, step=state.step, q=state.q, settings=text, **dict(state.arrays))


def load(path: str | Path, settings: Mapping[str, Any]) -> Checkpoint:
    """Read a checkpoint that was written with the same settings.

    Raises
    ------
    MultiscaleError
        When the file cannot be read, or belongs to other settings; the message names the keys that differ.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            content = {name: file[name] for name in file.files}
        step, q, written = int(content["step"]), content["q"], json.loads(str(content["settings"]))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise MultiscaleError(f"{path} is not a checkpoint that can be read ({error}); start without it") from error
    wanted = json.loads(json.dumps(plain(settings)))
    keys = sorted(k for k in written.keys() | wanted.keys() if written.get(k, ...) != wanted.get(k, ...))
    if keys:
        differ = ", ".join(f"{k}: {written.get(k, 'absent')!r} there, {wanted.get(k, 'absent')!r} here" for k in keys)
        raise MultiscaleError(f"{path} belongs to a run with other settings ({differ}); use those, or start without it")
    return Checkpoint(step, q, {k: v for k, v in content.items() if k not in _RESERVED})
