"""Geometries of failed calculations, kept for whoever looks into them: a new file each, which takes no other one's place."""

from __future__ import annotations

from pathlib import Path

import ase
import numpy as np
from ase.io.extxyz import write_extxyz
from numpy.typing import ArrayLike


def keep(folder: Path, stem: str, atoms: ase.Atoms, role: ArrayLike) -> str:
    """Write the atoms, and what each of them is, to ``folder/STEM-001.extxyz`` or the next number that is free.

    Parameters
    ----------
    folder : Path
        Made where it is not there.
    stem : str
    atoms : ase.Atoms
        Positions in Å, of the calculation that failed.
    role : (n,) array of str
        ``"core"``, ``"buffer"``, ``"link"``, ``"atom"``.

    Returns
    -------
    str
        What the sentence about the failure says of the geometry: "is in PATH", or "could not be saved (REASON)". A full or
        read-only disk does not take the place of the error that it is asked to document.
    """
    saved = atoms.copy()
    saved.set_array("role", np.asarray(role))
    number, path = 1, folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        while True:
            path = folder / f"{stem}-{number:03d}.extxyz"
            try:
                # Made and opened in one step: of two ranks that fail together neither writes over the other's.
                file = open(path, "x", encoding="utf-8")  # noqa: SIM115
            except FileExistsError:
                number += 1
                continue
            break
        with file:
            # The writer itself: ase.io.write writes on rank 0 of the run alone, and nothing where this region lives.
            write_extxyz(file, [saved], write_results=False)
    except OSError as error:
        return f"could not be saved ({type(error).__name__}: {error})"
    return f"is in {path.resolve()}"
