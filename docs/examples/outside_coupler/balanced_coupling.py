"""Force blending that conserves momentum: the net force of the blend is taken off where the blend is.

F = Σ_r P_rᵀ (β_r ∘ F_r) − m (Σ F)/(Σ m),     m = Σ_r P_rᵀ β_r (1 − β_r)

m is zero where one region has all the weight and as smooth as β, so that pure regions keep their exact forces.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from multiscale.coupler import Ask, Claims, Coupler, Evaluation
from multiscale.interface import Interface
from multiscale.region import Can, Query
from multiscale.types import Array


@dataclass(frozen=True)
class BalancedForceBlend(Coupler):
    """Weigh the regions' forces by the partition of unity and spread the reaction over the blend."""

    needs = Can.FORCES
    claims = Claims(conservative=False, momentum=True, patch=True)
    references = ("arXiv:1112.2528", "10.1088/0034-4885/72/2/026501")

    def required(self, interface: Interface) -> dict[str, Can]:
        """Forces are enough, also where weights move."""
        return dict.fromkeys(interface.shared, self.needs)

    def evaluate(self, q: Array, interface: Interface, ask: Ask, prepared: Any) -> Evaluation:
        """Blended forces without their sum; the energy does not exist."""
        answers = ask(q, {r: Query(self.needs) for r in interface.shared})
        forces, share = np.zeros_like(q), np.zeros_like(q)
        for r, answer in answers.items():
            beta = interface.dof_weights(r, q)[:, None]
            forces += interface.pull(r, beta * answer["forces"])
            share += interface.pull(r, beta * (1.0 - beta) * np.ones(3))
        total = share.sum(axis=0)
        if (total > 0).all():
            forces -= share * (forces.sum(axis=0) / total)
        return Evaluation(None, forces)
