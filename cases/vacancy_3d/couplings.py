"""A ghost force that was computed elsewhere: on the same mesh without the defect.

    g = F_EB(x) of the defect-free twin (where the force blend has none),     E = E_EB + Σ g·(q − x),     F = F_EB − g

At the defect itself energy and force blend would differ by more than their ghost forces if the blend came near it; without it they cannot.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from couplers import EnergyBlend
from multiscale.coupler import Ask, Coupler, Evaluation
from multiscale.interface import Interface
from multiscale.types import Array


@dataclass(frozen=True, eq=False)
class Less(Coupler):
    """The forces of a method less given ones: what :class:`couplers.GhostCorrected` takes for the forces without a ghost."""

    ghost: Array
    inner: Coupler = field(default_factory=EnergyBlend)

    @property
    def needs(self) -> Any:  # type: ignore[override]
        """What the inner method needs."""
        return self.inner.needs

    @property
    def claims(self) -> Any:  # type: ignore[override]
        """None of its own."""
        return self.inner.claims

    def evaluate(self, q: Array, interface: Interface, ask: Ask, prepared: Any) -> Evaluation:
        """F − g; no energy."""
        return Evaluation(None, np.asarray(self.inner.evaluate(q, interface, ask, prepared).forces - self.ghost))
