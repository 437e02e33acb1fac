"""Quantum, machine-learned and finite-element descriptions of one piece of matter, coupled in one run.

    E(q) = Σ_r E_r(P_r(q) ; w_r) + E_interface,     Σ_r w_r = 1 for every piece of matter

The names below are imported when they are first used; ``import multiscale`` needs numpy and nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .lazy import lazy

if TYPE_CHECKING:
    from .case import Case, Expect
    from .coupler import Claims, Coupler, Evaluation
    from .interface import Interface, Overlay
    from .model import HybridModel
    from .partition import Nested
    from .ranks import Ranks
    from .region import Answer, Can, Query, Region
    from .shapes import Box, Complement, Cylinder, Slab, SmoothUnion, Sphere
    from .switching import Cubic, Linear, Quintic, Septic

__version__ = "0.1.0"

__all__ = [
    "Answer",
    "Box",
    "Can",
    "Case",
    "Claims",
    "Complement",
    "Coupler",
    "Cubic",
    "Cylinder",
    "Evaluation",
    "Expect",
    "HybridModel",
    "Interface",
    "Linear",
    "Nested",
    "Overlay",
    "Query",
    "Quintic",
    "Ranks",
    "Region",
    "Septic",
    "Slab",
    "SmoothUnion",
    "Sphere",
]

_MODULES = {
    ".case": "Case Expect",
    ".coupler": "Claims Coupler Evaluation",
    ".interface": "Interface Overlay",
    ".model": "HybridModel",
    ".partition": "Nested",
    ".ranks": "Ranks",
    ".region": "Answer Can Query Region",
    ".shapes": "Box Complement Cylinder Slab SmoothUnion Sphere",
    ".switching": "Cubic Linear Quintic Septic",
}

__getattr__, __dir__ = lazy(__name__, {name: module for module, names in _MODULES.items() for name in names.split()})
