"""Force blending: exact patch test, no energy.

F = Σ_r P_rᵀ ( β_r ∘ F_r ),     β_r the partition of unity at the region's dofs, F_r the forces of the whole region
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from multiscale.coupler import Ask, Claims, Coupler, Evaluation, Stiffness
from multiscale.interface import Interface
from multiscale.region import Can, Query
from multiscale.types import Array


@dataclass(frozen=True)
class ForceBlend(Coupler):
    """Weigh the regions' forces by the partition of unity (BQCF between atoms and continuum)."""

    needs = Can.FORCES
    claims = Claims(conservative=False, momentum=False, patch=True)
    references = ("arXiv:1112.2528", "10.1137/120894348")

    def required(self, interface: Interface) -> dict[str, Can]:
        """Forces are enough, also where weights move."""
        return dict.fromkeys(interface.shared, self.needs)

    def evaluate(self, q: Array, interface: Interface, ask: Ask, prepared: Any) -> Evaluation:
        """Blended forces; the energy does not exist."""
        answers = ask(q, {r: Query(self.needs) for r in interface.shared})
        blended = [interface.pull(r, interface.dof_weights(r, q)[:, None] * a["forces"]) for r, a in answers.items()]
        return Evaluation(None, np.sum(blended, axis=0))

    def jacobian(self, q: Array, interface: Interface, stiffness: Stiffness, prepared: Any) -> Any:
        """Σ_r P_rᵀ diag(β_r) K_r P_r: blended rows, so that it is not symmetric."""
        total = 0
        for r in interface.shared:
            m = interface.embeddings[r].matrix
            rows = np.repeat(interface.dof_weights(r, q), 3)[:, None]
            total = total + m.T @ stiffness(r, None).multiply(rows).tocsr() @ m
        return total
