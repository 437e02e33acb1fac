"""Dead-load ghost-force correction: wraps a method with an energy and makes it pass the patch test at the predictor.

    g     = F_inner(q_pred) − F_blend(q_pred)           the interface's own force, and nothing else
    E(q)  = E_inner(q) + Σ g·(q − q_pred),     F(q) = F_inner(q) − g

F_blend is the force blend of the same regions with the same weights, which has no ghost force: the difference therefore leaves
true out-of-balance forces (loads, free surfaces, defects) alone, and the energy is conserved within a load step. The state q_pred is
the one given to ``prepare``, once per load step; the jump of the energy from one step to the next is work done by the correction.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from multiscale.coupler import Ask, Claims, Constraint, Coupler, Evaluation, Stiffness
from multiscale.interface import Interface
from multiscale.region import Can
from multiscale.types import Array

from .energy_blend import EnergyBlend
from .force_blend import ForceBlend


@dataclass(frozen=True)
class GhostCorrected(Coupler):
    """Subtract the inner method's ghost force, evaluated at the predicted state, as a dead load."""

    inner: Coupler = field(default_factory=EnergyBlend)
    reference_forces: Callable[[], Coupler] = ForceBlend

    needs = Can.ENERGY | Can.FORCES | Can.SITE_WEIGHTS
    references = ("10.1016/S0022-5096(98)00051-9", "arXiv:1407.0053")

    @property
    def claims(self) -> Claims:
        """An energy where the inner method has one; the patch test is passed whatever that does."""
        return Claims(self.inner.claims.conservative, momentum=False, patch=True)

    def required(self, interface: Interface) -> dict[str, Can]:
        """What the inner method requires."""
        return self.inner.required(interface)

    def prepare(self, q: Array, interface: Interface, ask: Ask) -> Any:
        """The inner method's own preparation, the predictor and the ghost force at it."""
        inner = self.inner.prepare(q, interface, ask)
        exact = self.reference_forces()
        want = exact.evaluate(q, interface, ask, exact.prepare(q, interface, ask)).forces
        ghost = self.inner.evaluate(q, interface, ask, inner).forces - want
        return inner, q.copy(), ghost

    def evaluate(self, q: Array, interface: Interface, ask: Ask, prepared: Any) -> Evaluation:
        """The inner energy and forces with the dead load taken off."""
        inner, predictor, ghost = prepared
        e = self.inner.evaluate(q, interface, ask, inner)
        work = float(np.sum(ghost * (q - predictor)))
        energy = None if e.energy is None else e.energy + work
        return Evaluation(energy, e.forces - ghost, {**e.parts, "ghost correction": work})

    def jacobian(self, q: Array, interface: Interface, stiffness: Stiffness, prepared: Any) -> Any:
        """The inner method's: a dead load has no derivative."""
        return self.inner.jacobian(q, interface, stiffness, prepared[0])

    def constraint(self, interface: Interface) -> Constraint | None:
        """The inner method's."""
        return self.inner.constraint(interface)

    def masses(self, interface: Interface) -> Array:
        """The inner method's."""
        return self.inner.masses(interface)

    def count(self, q: Array, interface: Interface) -> dict[str, Array]:
        """Dead loads count no matter."""
        return self.inner.count(q, interface)
