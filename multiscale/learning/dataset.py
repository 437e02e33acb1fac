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

from ..output import atomic
from ..types import MultiscaleError

#: The shipped GFN1-xTB data.
SHIPPED = Path(__file__).resolve().parent / "data" / "sih-gfn1.xyz.xz"

_UNPACK = {".xz": lzma.decompress, ".gz": gzip.decompress}
#: What unpacking and reading raise, by turns, when a file is damaged or is something else.
_DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    StopIteration,
    lzma.LZMAError,
    zlib.error,
)


def load(path: str | Path = SHIPPED) -> list[ase.Atoms]:
    """Labelled configurations of an extended-xyz file, plain or compressed (``.gz``, ``.xz``).

    Raises
    ------
    MultiscaleError
        If there is no such file, it cannot be read or holds nothing, or a configuration has no ``config_type``, no finite
        ``REF_energy`` or no finite ``REF_forces`` of every atom, or a ``REF_stress`` that is not 6 or 9 finite numbers.
    """
    path = Path(path)
    if not path.is_file():
        raise MultiscaleError(
            f"load was given '{path}', which is no file; give extended xyz with REF_energy and REF_forces"
        )
    try:
        configurations: list[ase.Atoms] = read(StringIO(read_text(path)), ":", format="extxyz")
    except _DAMAGE as error:
        raise MultiscaleError(
            f"load was given '{path}', which cannot be read as extended xyz ({type(error).__name__}: {error}); give whole, undamaged data"
        ) from error
    if not configurations:
        raise MultiscaleError(f"load was given '{path}', which holds no configuration; give labelled configurations")
    for number, atoms in enumerate(configurations):
        if not _labelled(atoms):
            raise MultiscaleError(
                f"configuration {number} of '{path}' lacks config_type, REF_energy or REF_forces, or they (or a REF_stress, of 6 or 9) are "
                "not finite numbers; label the data with multiscale.learning.label"
            )
    return configurations


def _labelled(atoms: ase.Atoms) -> bool:
    energy, forces = atoms.info.get("REF_energy"), atoms.arrays.get("REF_forces")
    if "config_type" not in atoms.info or not isinstance(energy, int | float | np.number) or forces is None:
        return False
    numbers = np.issubdtype(forces.dtype, np.number) and forces.shape == (len(atoms), 3)
    stress = np.asarray(atoms.info.get("REF_stress", np.zeros(6)))
    numbers = numbers and np.issubdtype(stress.dtype, np.number) and stress.shape in ((6,), (9,), (3, 3))
    return bool(len(atoms) and numbers and all(np.isfinite(a).all() for a in (energy, forces, stress)))


def read_text(path: str | Path) -> str:
    """A text file, plain or compressed (``.gz``, ``.xz``)."""
    # Unpacked as a whole: ASE goes back and forth in the file, and each way back would unpack it from the start.
    path = Path(path)
    unpack = _UNPACK.get(path.suffix)
    return path.read_text(encoding="utf-8") if unpack is None else unpack(path.read_bytes()).decode()


def write_text(path: str | Path, text: str) -> None:
    """Write a text file, compressed if the name ends in ``.xz``; what was there stays until all of it is written."""
    path = Path(path)
    content = text.encode()
    with atomic(path, "wb") as file:
        file.write(lzma.compress(content, preset=9) if path.suffix == ".xz" else content)


def save(path: str | Path, configurations: Sequence[ase.Atoms]) -> None:
    """Write labelled configurations; compressed if the name ends in ``.xz``."""
    text = StringIO()
    if configurations:
        write(text, configurations, format="extxyz")
    write_text(path, text.getvalue())


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
