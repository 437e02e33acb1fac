"""A specimen: a small region in a general state, for the examination of its kind.

A package with a region of its own offers a function without arguments that returns a specimen, by the entry-point group
``multiscale.regions``; ``pytest --pyargs multiscale.testing`` then examines it with the others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..region import Region
from ..types import Array


@dataclass(frozen=True)
class Specimen:
    """What :func:`multiscale.testing.regions.examine_region` needs.

    Attributes
    ----------
    make : callable
        Builds a fresh region; called many times.
    x : (n_dofs, 3) array or None
        A general state, Å; None shakes the reference.
    bound : float
        Relative error allowed in forces (larger for an SCF).
    strained : callable (region, F) -> region, or None
        The region in the deformed cell, for regions with a periodic cell.
    """

    make: Callable[[], Region]
    x: Array | None = None
    bound: float = 1e-7
    strained: Callable[[Region, Array], Region] | None = None
