"""Sharp pad coupling (CADD, FEAt): atoms drive the mesh, the mesh drives a pad of atoms; no energy.

every dof is moved by one region, whole and unweighted
atoms:  the full atomistic forces, with pad atoms slaved to the mesh; forces on the pad are discarded
nodes:  the forces of the continuum, with its boundary nodes slaved to atoms; forces on those are discarded
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
class SharpPad(Coupler):
    """Every region is whole; each keeps the forces on its own dofs and loses those on slaved ones."""

    frames = ("reference",)
    needs = Can.FORCES
    claims = Claims(conservative=False, momentum=False, patch=True)
    references = ("10.1016/j.jmps.2003.09.023", "10.1080/14786439108213717")

    def required(self, interface: Interface) -> dict[str, Can]:
        """Forces are enough."""
        return dict.fromkeys(interface.shared, self.needs)

    def evaluate(self, q: Array, interface: Interface, ask: Ask, prepared: Any) -> Evaluation:
        """Forces on each region's own dofs; the energy does not exist."""
        answers = ask(q, {r: Query(self.needs) for r in interface.shared})
        owner = self.owner(q, interface)
        kept = [interface.restrict(r, a["forces"]) * (owner == k)[:, None] for k, (r, a) in enumerate(answers.items())]
        return Evaluation(None, np.sum(kept, axis=0))

    def jacobian(self, q: Array, interface: Interface, stiffness: Stiffness, prepared: Any) -> Any:
        """The rows of each region's own dofs, with the columns of all that they feel: one system, not symmetric."""
        total, owner = 0, self.owner(q, interface)
        for k, r in enumerate(interface.shared):
            place = interface.embeddings[r]
            kept = np.where(place.own >= 0, owner[place.own] == k, False)
            rows = np.repeat(kept.astype(float), 3)[:, None]
            # Rows of slaved dofs are gone, so that the transposed embedding only copies those that are left.
            total = total + place.matrix.T @ stiffness(r, None).multiply(rows).tocsr() @ place.matrix
        return total

    def owner(self, q: Array, interface: Interface) -> Array:
        """The number of the region that moves each shared dof (n_q,): of those that own it, the one that counts most of it."""
        share = np.full((len(interface.shared), interface.n_q), -1.0)
        for k, r in enumerate(interface.shared):
            own = interface.embeddings[r].own
            share[k, own[own >= 0]] = interface.dof_weights(r, q)[own >= 0]
        return np.argmax(share, axis=0)
