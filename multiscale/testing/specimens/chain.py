"""The chain and its elements."""

from __future__ import annotations

import numpy as np

from ...regions.chain import ChainElements, ChainRegion, MorsePair
from ..specimen import Specimen


def _line(n: int = 30) -> np.ndarray:
    q = np.zeros((n, 3))
    q[:, 0] = MorsePair().equilibrium() * np.arange(n)
    return q


def atoms() -> Specimen:
    """Atoms with two neighbours on either side."""
    return Specimen(lambda: ChainRegion(_line()))


def elements() -> Specimen:
    """Cauchy–Born elements."""
    return Specimen(lambda: ChainElements(_line()))
