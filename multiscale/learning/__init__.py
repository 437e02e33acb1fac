"""Training of potentials: reference data made here, committees fitted by MACE's own trainer, errors by type.

    configurations (structures) → labels (reference) → committee (fit) → errors (errors)

The names below are imported when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import lazy

if TYPE_CHECKING:
    from .committee import export, fit_committee, table, write_data
    from .dataset import load, save, split
    from .errors import Errors, by_model, validate
    from .fit import train
    from .recipe import RECIPE, make, make_visited
    from .reference import label
    from .structures import generate
    from .training import Architecture, Noise, Schedule, Training

__all__ = [
    "RECIPE",
    "Architecture",
    "Errors",
    "Noise",
    "Schedule",
    "Training",
    "by_model",
    "export",
    "fit_committee",
    "generate",
    "label",
    "load",
    "make",
    "make_visited",
    "save",
    "split",
    "table",
    "train",
    "validate",
    "write_data",
]

_MODULES = {
    ".committee": "export fit_committee table write_data",
    ".dataset": "load save split",
    ".fit": "train",
    ".training": "Architecture Noise Schedule Training",
    ".reference": "label",
    ".recipe": "RECIPE make make_visited",
    ".structures": "generate",
    ".errors": "Errors by_model validate",
}
__getattr__, _ = lazy(__name__, {name: module for module, names in _MODULES.items() for name in names.split()})


def __dir__() -> list[str]:
    return sorted(__all__)
