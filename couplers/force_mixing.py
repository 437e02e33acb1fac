"""Buffered force mixing: forces of the better description in the core, computed with a buffer around it; no energy.

F = (1 − χ) F_inner + χ F_high,      χ = 1 in the core, 0 in the buffer
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from multiscale.coupler import Ask, Claims, Coupler, Evaluation
from multiscale.interface import Interface
from multiscale.region import Can, Query
from multiscale.types import Array

from .energy_blend import EnergyBlend


@dataclass(frozen=True)
class ForceMixing(Coupler):
    """Replace forces in a core by those of region ``high``; optionally spread the net force so that momentum is conserved.

    With ``conserve_momentum`` the net force that mixing creates is taken off in equal parts from the dofs with χ > 0,
    as LOTF does.
    """

    high: str = "qm"
    inner: Coupler = field(default_factory=EnergyBlend)
    conserve_momentum: bool = False

    needs = Can.FORCES
    references = ("10.1088/0034-4885/72/2/026501", "10.1002/qua.24952")

    @property
    def claims(self) -> Claims:  # type: ignore[override]
        """Momentum only where it is restored."""
        return Claims(conservative=False, momentum=self.conserve_momentum, patch=False)

    def required(self, interface: Interface) -> dict[str, Can]:
        """Forces of the better description, and what the inner method requires of the rest."""
        return {**self.inner.required(interface), self.high: self.needs}

    def prepare(self, q: Array, interface: Interface, ask: Ask) -> Any:
        """The inner method's preparation."""
        return self.inner.prepare(q, interface, ask)

    def evaluate(self, q: Array, interface: Interface, ask: Ask, prepared: Any) -> Evaluation:
        """Mixed forces; the energy does not exist."""
        better: dict[str, Any] = {}

        def together(at: Array, queries: Any) -> Any:
            answers = ask(at, {**queries, self.high: Query(self.needs)})
            better[self.high] = answers.pop(self.high)
            return answers

        low = self.inner.evaluate(q, interface, together, prepared).forces
        chi = interface.overlay_weights(self.high)[:, None]
        change = chi * (interface.restrict(self.high, better[self.high]["forces"]) - low)
        if self.conserve_momentum:
            core = chi[:, 0] > 0
            change[core] -= change.sum(axis=0) / max(int(core.sum()), 1)
        return Evaluation(None, low + change)

    def count(self, q: Array, interface: Interface) -> dict[str, Array]:
        """The core is counted by ``high``; what it counts is taken off the regions below it."""
        chi, out = interface.overlay_weights(self.high), {}
        for r, w in self.inner.count(q, interface).items():
            own = interface.embeddings[r].own
            particles = interface.regions[r].discrete
            out[r] = w * (1.0 - np.where(own >= 0, chi[own], 0.0)) if particles else w
        own = interface.embeddings[self.high].own
        out[self.high] = np.where(own >= 0, chi[own], 0.0)[: interface.regions[self.high].n_sites]
        return out
