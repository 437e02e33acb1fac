"""Labelled configurations on disk, and their division into training, validation and held-out sets by type.

every type → its groups (clusters of one parent stay together) → held out 10 %, validation 5 %, the rest trains
"""

from __future__ import annotations

import gzip
import lzma
import zlib
from collections.abc import Iterable, Sequence
from io import StringIO
from pathlib import Path

import ase
import numpy as np
from ase.io import read, write

from ..types import MultiscaleError

#: The shipped GFN1-xTB data.
SHIPPED = Path(__file__).resolve().parent / "data" / "sih-gfn1.xyz.xz"

_UNPACK = {".xz": lzma.decompress, ".gz": gzip.decompress}


def load(path: str | Path = SHIPPED) -> list[ase.Atoms]:
    """Labelled configurations of an extended-xyz file, plain or compressed (``.gz``, ``.xz``).

    Raises
    ------
    MultiscaleError
        If there is no such file, or a configuration lacks ``REF_energy``, ``REF_forces`` or ``config_type``.
    """
    path = Path(path)
    if not path.is_file():
        raise MultiscaleError(
            f"load was given '{path}', which is no file; give extended xyz with REF_energy and REF_forces"
        )
    # Unpacked as a whole: ASE goes back and forth in the file, and each way back would unpack it from the start.
    unpack = _UNPACK.get(path.suffix)
    text = path.read_text() if unpack is None else unpack(path.read_bytes()).decode()
    configurations: list[ase.Atoms] = read(StringIO(text), ":", format="extxyz")
    for number, atoms in enumerate(configurations):
        if "config_type" not in atoms.info or "REF_energy" not in atoms.info or "REF_forces" not in atoms.arrays:
            raise MultiscaleError(
                f"configuration {number} of '{path}' lacks config_type, REF_energy or REF_forces; label the data with "
                "multiscale.learning.label"
            )
    return configurations


def save(path: str | Path, configurations: Sequence[ase.Atoms]) -> None:
    """Write labelled configurations; compressed if the name ends in ``.xz``."""
    text = StringIO()
    write(text, configurations, format="extxyz")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".xz":
        path.write_bytes(lzma.compress(text.getvalue().encode(), preset=9))
    else:
        path.write_text(text.getvalue())


def held_out(configurations: Iterable[ase.Atoms], fraction: float = 0.1, seed: int = 0) -> list[bool]:
    """Which configurations are held out: of every type the same fraction of its groups, at least one.

    Parameters
    ----------
    configurations : iterable of ase.Atoms
        With ``config_type`` and, where several belong together, ``group`` in ``info``.
    fraction : float
        Of the groups of each type.
    seed : int
        The held-out set of the shipped potential is that of seed 0; nothing is ever chosen by its errors.
    """
    kinds: dict[str, dict[str, None]] = {}
    keys = []
    for number, atoms in enumerate(configurations):
        kind, group = str(atoms.info["config_type"]), str(atoms.info.get("group", number))
        kinds.setdefault(kind, {})[group] = None
        keys.append((kind, group))
    chosen: set[tuple[str, str]] = set()
    for kind in kinds:
        # Each type has its own random numbers, so that its division stays when other types are added.
        rng = np.random.default_rng([seed, zlib.crc32(kind.encode())])
        groups = sorted(kinds[kind])
        if len(groups) > 1:
            count = max(1, round(fraction * len(groups)))
            chosen |= {(kind, groups[k]) for k in rng.permutation(len(groups))[:count]}
    return [key in chosen for key in keys]


def split(
    configurations: Sequence[ase.Atoms], seed: int = 0, *, test: float = 0.1, valid: float = 0.05
) -> tuple[list[ase.Atoms], list[ase.Atoms], list[ase.Atoms]]:
    """Training, validation and held-out configurations; the held-out ones are the same for every ``seed``."""
    out = held_out(configurations, test)
    rest = [atoms for atoms, is_out in zip(configurations, out, strict=True) if not is_out]
    check = held_out(rest, valid, seed + 1)
    return (
        [atoms for atoms, is_valid in zip(rest, check, strict=True) if not is_valid],
        [atoms for atoms, is_valid in zip(rest, check, strict=True) if is_valid],
        [atoms for atoms, is_out in zip(configurations, out, strict=True) if is_out],
    )
