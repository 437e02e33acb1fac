"""Buffered force mixing: forces of the better description in the core, computed with a buffer around it; no energy.

F = (1 − χ) F_inner + χ F_high,              χ = 1 in the core, 0 in the buffer
F ← F − m (Σ F_change)/(Σ m),                m = χ, or χ times the mass: momentum is conserved, and F stays as smooth as χ
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from multiscale.coupler import Ask, Claims, Constraint, Coupler, Evaluation
from multiscale.interface import Interface
from multiscale.region import Can, Query
from multiscale.types import Array, MultiscaleError

from .energy_blend import EnergyBlend


@dataclass(frozen=True)
class ForceMixing(Coupler):
    """Replace forces in a core by those of region ``high``; optionally spread the net force so that momentum is conserved.

    With ``conserve_momentum`` the net force that mixing creates is taken off from the mixed dofs in proportion to χ, so that an atom
    that enters the zone is not struck (equal parts in a core with a sharp edge, as LOTF does), or in proportion to χ times the mass,
    which is one common acceleration in the core: ``spread="mass"``.
    """

    high: str = "qm"
    inner: Coupler = field(default_factory=EnergyBlend)
    conserve_momentum: bool = False
    spread: Literal["weight", "mass"] = "weight"

    needs = Can.FORCES
    references = ("10.1088/0034-4885/72/2/026501", "10.1002/qua.24952")

    def __post_init__(self) -> None:
        if self.spread not in ("weight", "mass"):
            raise MultiscaleError(f"ForceMixing spreads the net force by 'weight' or by 'mass', got {self.spread!r}")

    @property
    def claims(self) -> Claims:
        """Momentum only where it is restored; no more than the inner method keeps."""
        return Claims(conservative=False, momentum=self.conserve_momentum, patch=True) & self.inner.claims

    def required(self, interface: Interface) -> dict[str, Can]:
        """Forces of the better description, and what the inner method requires of the rest."""
        return {**self.inner.required(interface), self.high: self.needs}

    def prepare(self, q: Array, interface: Interface, ask: Ask) -> Any:
        """The inner method's preparation, and how much each dof takes of the net force per χ."""
        share = self.masses(interface) if self.conserve_momentum and self.spread == "mass" else np.ones(interface.n_q)
        return self.inner.prepare(q, interface, ask), share

    def evaluate(self, q: Array, interface: Interface, ask: Ask, prepared: Any) -> Evaluation:
        """Mixed forces; the energy does not exist."""
        inner, share = prepared
        better: dict[str, Any] = {}

        def together(at: Array, queries: Any) -> Any:
            answers = ask(at, {**queries, self.high: Query(self.needs)})
            better[self.high] = answers.pop(self.high)
            return answers

        low = self.inner.evaluate(q, interface, together, inner).forces
        chi = interface.overlay_weights(self.high, q)
        change = chi[:, None] * (interface.restrict(self.high, better[self.high]["forces"]) - low)
        if self.conserve_momentum and (chi > 0).any():
            taking = chi * share
            change -= np.outer(taking / taking.sum(), change.sum(axis=0))
        return Evaluation(None, low + change)

    def constraint(self, interface: Interface) -> Constraint | None:
        """The inner method's."""
        return self.inner.constraint(interface)

    def masses(self, interface: Interface) -> Array:
        """The inner method's."""
        return self.inner.masses(interface)

    def count(self, q: Array, interface: Interface) -> dict[str, Array]:
        """The core is counted by ``high``; what it counts is taken off the regions below it."""
        chi, out = interface.overlay_weights(self.high, q), {}
        for r, w in self.inner.count(q, interface).items():
            own = interface.embeddings[r].own
            particles = interface.regions[r].discrete
            out[r] = w * (1.0 - np.where(own >= 0, chi[own], 0.0)) if particles else w
        own = interface.embeddings[self.high].own
        out[self.high] = np.where(own >= 0, chi[own], 0.0)[: interface.regions[self.high].n_sites]
        return out
