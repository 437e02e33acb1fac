"""The shipped silicon–hydrogen potential: a committee of MACE models fitted to GFN1-xTB, see ``docs/potential.md``.

e_i = (1/M) Σ_m e_i^m       (committee),      spread of the e_i^m and of the forces: where not to trust it
"""

from __future__ import annotations

from pathlib import Path

from ..types import MultiscaleError
from .committee import Committee
from .mace import Mace

_FOLDER = Path(__file__).resolve().parent / "data"


def default_members() -> list[Path]:
    """Stems of the files of the shipped committee, in order."""
    return sorted(path.with_suffix("") for path in _FOLDER.glob("sih-gfn1-?.json"))


def default_potential(member: int = 0) -> Mace:
    """One member of the shipped silicon–hydrogen committee.

    Parameters
    ----------
    member : int
        Which.

    Raises
    ------
    MultiscaleError
        If there is no such member.

    Examples
    --------
    >>> default_potential().symbols
    ('H', 'Si')
    """
    stems = default_members()
    if not 0 <= member < len(stems):
        raise MultiscaleError(
            f"default_potential was given member {member}; the shipped committee has {len(stems)}, from 0"
        )
    return Mace.load(stems[member])


def default_committee() -> Committee:
    """All members of the shipped committee.

    Examples
    --------
    >>> len(default_committee().members)
    4
    """
    return Committee([Mace.load(stem) for stem in default_members()])
