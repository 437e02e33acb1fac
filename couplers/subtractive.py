"""Subtractive coupling (ONIOM): a better energy replaces a cheaper one on a part.

E(q) = E_inner(q) + E_high(P(q)) − E_low(P'(q)),     weights +1, +1, −1: every piece of matter counted once
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from multiscale.coupler import Ask, Claims, Constraint, Coupler, Evaluation, Stiffness
from multiscale.interface import Interface
from multiscale.region import Can, Query
from multiscale.types import Array

from .energy_blend import EnergyBlend


@dataclass(frozen=True)
class Subtractive(Coupler):
    """Add region ``high`` and take off region ``low``, which describe the same matter, over an inner coupling."""

    high: str = "qm"
    low: str = "ml_qm"
    inner: Coupler = field(default_factory=EnergyBlend)

    needs = Can.ENERGY | Can.FORCES
    references = ("10.1021/jp962071j", "10.1021/cr5004419")

    @property
    def claims(self) -> Claims:
        """No more than the inner method keeps."""
        return Claims(conservative=True, momentum=True, patch=False) & self.inner.claims

    def required(self, interface: Interface) -> dict[str, Can]:
        """Energies and forces of the pair, and what the inner method requires of the rest."""
        return {**self.inner.required(interface), self.high: self.needs, self.low: self.needs}

    def prepare(self, q: Array, interface: Interface, ask: Ask) -> Any:
        """The inner method's preparation."""
        return self.inner.prepare(q, interface, ask)

    def evaluate(self, q: Array, interface: Interface, ask: Ask, prepared: Any) -> Evaluation:
        """Everything is asked for at once, so that the pair is evaluated beside the rest."""
        pair: dict[str, Any] = {}

        def together(at: Array, queries: Any) -> Any:
            answers = ask(at, {**queries, self.high: Query(self.needs), self.low: Query(self.needs)})
            pair.update({r: answers.pop(r) for r in (self.high, self.low)})
            return answers

        e = self.inner.evaluate(q, interface, together, prepared)
        high, low = pair[self.high], pair[self.low]
        forces = e.forces + interface.pull(self.high, high["forces"]) - interface.pull(self.low, low["forces"])
        parts = {**e.parts, self.high: high["energy"], self.low: -low["energy"]}
        return Evaluation(None if e.energy is None else e.energy + high["energy"] - low["energy"], forces, parts)

    def jacobian(self, q: Array, interface: Interface, stiffness: Stiffness, prepared: Any) -> Any:
        """The inner method's, plus that of ``high``, minus that of ``low``."""
        total = self.inner.jacobian(q, interface, stiffness, prepared)
        for sign, r in ((1.0, self.high), (-1.0, self.low)):
            m = interface.embeddings[r].matrix
            total = total + sign * (m.T @ stiffness(r, None) @ m)
        return total

    def constraint(self, interface: Interface) -> Constraint | None:
        """The inner method's."""
        return self.inner.constraint(interface)

    def masses(self, interface: Interface) -> Array:
        """The inner method's."""
        return self.inner.masses(interface)

    def count(self, q: Array, interface: Interface) -> dict[str, Array]:
        """+1 for the better description, −1 for the cheaper one."""
        pair = {self.high: 1.0, self.low: -1.0}
        return {
            **self.inner.count(q, interface),
            **{r: sign * np.ones(interface.regions[r].n_sites) for r, sign in pair.items()},
        }
