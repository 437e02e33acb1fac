"""Bridging domain: energies weighed where atoms and mesh overlap, each with dofs of its own, joined by Lagrange multipliers.

H = Σ_a ½ α_a m_a v_a² + Σ_a α_a e_a + ∫ (1 − α) (½ ρ u̇² + W)
pointwise     C = N u − u_a = 0               one row per atom
L2            NᵀC = 0, which is u = P u_a     one row per node; P the L² projection: what the mesh cannot do is free
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from multiscale.coupler import Ask, Claims, Constraint, Coupler, Evaluation, Stiffness
from multiscale.interface import Interface
from multiscale.region import Can
from multiscale.types import Array, MultiscaleError

from .energy_blend import EnergyBlend


@dataclass(frozen=True)
class BridgingDomain(Coupler):
    """An inner method whose atoms and nodes are tied together where both are counted.

    ``lumped`` is the published way to solve for the multipliers: velocities alone, with a diagonal matrix. It damps what the mesh
    cannot follow and loses energy (see :mod:`multiscale.constraint`); the default is exact.
    """

    inner: Coupler = field(default_factory=EnergyBlend)
    projection: Literal["L2", "pointwise"] = "L2"
    lumped: bool = False

    frames = ("reference",)
    needs = Can.ENERGY | Can.FORCES | Can.SITE_WEIGHTS
    references = ("10.1615/IntJMultCompEng.v1.i1.100", "10.1016/j.cma.2003.12.053")

    def __post_init__(self) -> None:
        if self.projection not in ("L2", "pointwise"):
            raise MultiscaleError(
                f"BridgingDomain was given projection={self.projection!r}; it needs 'L2' or 'pointwise'"
            )

    @property
    def claims(self) -> Claims:
        """The inner method's: multipliers do no work on motions that they allow, and join matter at one place."""
        return self.inner.claims

    def required(self, interface: Interface) -> dict[str, Can]:
        """What the inner method requires."""
        return self.inner.required(interface)

    def prepare(self, q: Array, interface: Interface, ask: Ask) -> Any:
        """The inner method's preparation."""
        return self.inner.prepare(q, interface, ask)

    def evaluate(self, q: Array, interface: Interface, ask: Ask, prepared: Any) -> Evaluation:
        """The inner energy and forces, without multipliers: whoever moves the dofs keeps to the constraint."""
        return self.inner.evaluate(q, interface, ask, prepared)

    def constraint(self, interface: Interface) -> Constraint | None:
        """One set of rows for every field that is counted where particles are."""
        bridges = [interface.bridge(r) for r in interface.shared if not interface.regions[r].discrete]
        rows = [b.weak() if self.projection == "L2" else b.pointwise() for b in bridges]
        return Constraint.of(rows, interface.reference, self.lumped)

    def masses(self, interface: Interface) -> Array:
        """Lumped masses weighed by the shares of the sites around each dof: a node at the overlap's edge has some of them, and is light."""
        shares = {}
        for r, w in interface.weights(interface.reference).items():
            region, at = interface.regions[r], interface.dof_weights(r, interface.reference)
            counted, whole = (
                region.pull_sites(np.repeat((v * region.matter)[:, None], 3, axis=1))[:, 0]
                for v in (w, np.ones_like(w))
            )
            # Vertices of quadratic cells have shape functions of mean zero: the share at the node has to do.
            shares[r] = np.where(whole > 1e-9, np.clip(counted / np.where(whole > 1e-9, whole, 1.0), 0.0, 1.0), at)
        return interface.masses(shares)

    def jacobian(self, q: Array, interface: Interface, stiffness: Stiffness, prepared: Any) -> Any:
        """The inner method's, where nothing is tied: a solver of F = 0 would leave the constraint out."""
        if self.constraint(interface) is not None:
            raise MultiscaleError(
                "BridgingDomain ties atoms to nodes, which Newton's method on F(q) = 0 does not know; relax with multiscale.drive.relax"
            )
        return self.inner.jacobian(q, interface, stiffness, prepared)

    def count(self, q: Array, interface: Interface) -> dict[str, Array]:
        """The inner method's."""
        return self.inner.count(q, interface)
