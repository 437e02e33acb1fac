"""Energy blending: one energy, exact forces, ghost forces of order k⁻³ for a C² blend over k atoms.

E(q) = Σ_r Σ_s w_rs e_rs(P_r(q)),     F = −∂E/∂q, with the −e ∇w term where weights move
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
class EnergyBlend(Coupler):
    """Weigh the regions' site energies by the partition of unity (BQCE between atoms and continuum)."""

    needs = Can.ENERGY | Can.FORCES | Can.SITE_WEIGHTS
    claims = Claims(conservative=True, momentum=True, patch=False)
    references = ("10.1137/110859919", "arXiv:1008.2138", "arXiv:2512.07693")

    def evaluate(self, q: Array, interface: Interface, ask: Ask, prepared: Any) -> Evaluation:
        """Weighted energies, pulled-back forces, and the force of the moving weights."""
        want = Can.ENERGY | Can.FORCES | (Can.SITE_ENERGIES if interface.moving else Can.NOTHING)
        answers = ask(q, {r: Query(want, w, uncounted=False) for r, w in interface.weights(q).items()})
        forces = np.zeros_like(q)
        for r, a in answers.items():
            forces += interface.pull(r, a["forces"])
        if interface.moving:
            forces += interface.weight_forces(q, {r: a["site_energies"] for r, a in answers.items()})
        parts = {r: a["energy"] for r, a in answers.items()}
        return Evaluation(sum(parts.values()), forces, parts)
