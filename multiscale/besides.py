"""One evaluation for two: what somebody wants of regions besides what the coupler asks them for.

    E(x ; c w) = c E(x ; w)        and so are forces and stress: an answer serves for all weights in one proportion

A stress costs next to nothing where forces are calculated anyway, and as much as these where it is asked for by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from .region import Answer, Query
from .types import Array


class Besides:
    """What is wanted at one state, and what has been answered; for :meth:`multiscale.model.HybridModel.asking`.

    Parameters
    ----------
    q : (n_q, 3) array
        Å; questions at other positions are left alone.
    wanted : mapping of region to Query
        Energies, forces and stresses.

    Attributes
    ----------
    answers : dict of region to Answer
        For the weights of ``wanted``; regions that were not asked with weights in proportion to them are missing.
    """

    def __init__(self, q: Array, wanted: Mapping[str, Query]):
        self.q, self.wanted, self.answers = np.array(q, dtype=float), wanted, dict[str, Answer]()
        self._factors: dict[str, float] = {}

    def join(self, q: Array, queries: Mapping[str, Query]) -> Mapping[str, Query]:
        """The questions, with what is wanted besides; to be followed by :meth:`take`."""
        self._factors = {}
        if not np.array_equal(q, self.q):
            return queries
        for name in queries.keys() & self.wanted.keys() - self.answers.keys():
            factor = _factor(queries[name].weights, self.wanted[name].weights)
            if factor is not None:
                self._factors[name] = factor
        both = {r: replace(queries[r], want=queries[r].want | self.wanted[r].want) for r in self._factors}
        return {r: both.get(r, query) for r, query in queries.items()}

    def take(self, answers: Mapping[str, Answer]) -> None:
        """Keep what was wanted of the answers."""
        for name, c in self._factors.items():
            a = answers[name]
            self.answers[name] = Answer(
                energy=None if a.energy is None else c * a.energy,
                forces=None if a.forces is None else c * a.forces,
                stress=None if a.stress is None else c * a.stress,
            )


def _factor(asked: Array | None, wanted: Array | None) -> float | None:
    """The c with wanted = c · asked, None without one; no weights are ones."""
    if asked is None and wanted is None:
        return 1.0
    a = np.ones(len(wanted)) if asked is None and wanted is not None else np.asarray(asked)
    w = np.ones(len(a)) if wanted is None else np.asarray(wanted)
    if np.array_equal(a, w):
        return 1.0
    c = float(a @ w) / max(float(a @ a), 1e-300)
    return c if np.abs(w - c * a).max() <= 1e-13 * np.abs(w).max() else None
