"""Files that a run leaves: JSON and atoms. A file is either its old or its new self, never half of one.

Atoms are written as extended XYZ with one column per array (one weight column per region), which OVITO and ASE open.
Fields on meshes are written by the mesh.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from ase import Atoms
from ase.io.extxyz import write_extxyz

from .types import Array, MultiscaleError


@contextmanager
def atomic(path: str | Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a file that takes the place of ``path`` only when all of it has been written.

    Parameters
    ----------
    path : path
        The file; its folder is made when it is not there.
    mode : {"w", "wb"}
        Text (UTF-8) or bytes.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(draft, mode, encoding=None if "b" in mode else "utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def plain(value: Any) -> Any:
    """``value`` in JSON's types: numpy's become Python's, in full precision; NaN and infinities become None."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    return str(value)


def write_json(path: str | Path, data: Mapping[str, Any]) -> None:
    """Write ``data`` as readable JSON, atomically, floats in full precision."""
    with atomic(path) as file:
        json.dump(plain(data), file, indent=2, ensure_ascii=False, allow_nan=False)
        file.write("\n")


def write_atoms(
    path: str | Path,
    symbols: Sequence[str],
    positions: Array,
    cell: Array | None = None,
    pbc: Sequence[bool] | bool = False,
    arrays: Mapping[str, Array] | None = None,
    *,
    info: Mapping[str, Any] | None = None,
    append: bool = False,
) -> None:
    """Write atoms as extended XYZ.

    Parameters
    ----------
    path : path
        The file, usually ``atoms.extxyz``.
    symbols : (n,) sequence of str
        Chemical symbols.
    positions : (n, 3) array
        Å.
    cell : (3, 3) array, optional
        Cell vectors as rows, Å.
    pbc : bool or three of them
        Periodic directions.
    arrays : mapping of str to (n,) or (n, k) array, optional
        Columns, such as ``{"w_qm": ..., "forces": ...}``.
    info : mapping, optional
        Values for the whole frame, such as the energy.
    append : bool
        Add a frame to a trajectory instead of replacing the file.

    Raises
    ------
    MultiscaleError
        When a column has another number of rows than there are atoms.
    """
    columns = dict(arrays or {})
    for name, column in columns.items():
        if len(column) != len(symbols):
            raise MultiscaleError(
                f"the column '{name}' for {path} has {len(column)} rows, but there are {len(symbols)} atoms"
            )
    atoms = Atoms(list(symbols), positions=positions, cell=cell, pbc=pbc)
    for name, column in columns.items():
        atoms.new_array(name, np.asarray(column))
    atoms.info.update(info or {})
    keep = ["symbols", "positions", *columns]
    # The writer is called with an open file, and directly: ase.io.write waits for all ranks, and only one is here.
    if append:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with open(path, "a", encoding="utf-8") as file:
            write_extxyz(file, [atoms], columns=keep, write_results=False)
    else:
        with atomic(path) as file:
            write_extxyz(file, [atoms], columns=keep, write_results=False)
