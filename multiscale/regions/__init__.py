"""The kinds of region; each needs only its own heavy library, imported when the name is first used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import lazy

if TYPE_CHECKING:
    from .chain import ChainElements, ChainRegion
    from .cohesive import CohesiveRegion
    from .continuum import ContinuumRegion
    from .damaged import Damaged
    from .ml import MLRegion
    from .multilattice import MultilatticeRegion
    from .qm import QMRegion
    from .tight_binding import TightBindingRegion
    from .together import Together

__all__ = [
    "ChainElements",
    "ChainRegion",
    "CohesiveRegion",
    "ContinuumRegion",
    "Damaged",
    "MLRegion",
    "MultilatticeRegion",
    "QMRegion",
    "TightBindingRegion",
    "Together",
]

__getattr__, __dir__ = lazy(
    __name__,
    {
        "ChainElements": ".chain",
        "ChainRegion": ".chain",
        "CohesiveRegion": ".cohesive",
        "ContinuumRegion": ".continuum",
        "Damaged": ".damaged",
        "MLRegion": ".ml",
        "MultilatticeRegion": ".multilattice",
        "QMRegion": ".qm",
        "TightBindingRegion": ".tight_binding",
        "Together": ".together",
    },
)
