"""Site-wise subtraction: site energies of a cluster replace a cheaper model's, where the overlay says.

E(q) = E_inner(q) + Σ_i χ_i (e_i^high − e_i^low),     both on the same capped cluster
F    = F_inner + P_highᵀ F_high(χ) − P_lowᵀ F_low(χ) − Σ_i (e_i^high − e_i^low) ∂χ_i/∂q

What the cluster's surface and its caps do to a site energy cancels as far as the cheaper model knows it. The last term exists only
for an overlay in the current frame; χ then multiplies a difference of energies, whose zeros must be aligned.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from multiscale.coupler import Ask, Claims, Constraint, Coupler, Evaluation
from multiscale.interface import Interface
from multiscale.region import Can, Query
from multiscale.types import Array, MultiscaleError

from .energy_blend import EnergyBlend


@dataclass(frozen=True)
class SiteSubtractive(Coupler):
    """Add site energies of region ``high`` and take off those of ``low`` on the same sites, weighed by the overlay of ``high``.

    ``low`` may leave the link atoms out, where its model does not know them; they then weigh nothing in ``high`` either.
    """

    high: str = "qm"
    low: str = "ml_qm"
    inner: Coupler = field(default_factory=EnergyBlend)

    needs = Can.ENERGY | Can.FORCES | Can.SITE_WEIGHTS
    references = ("10.1021/jp962071j", "arXiv:2512.07693")

    @property
    def claims(self) -> Claims:
        """No more than the inner method keeps."""
        return Claims(conservative=True, momentum=True, patch=False) & self.inner.claims

    def required(self, interface: Interface) -> dict[str, Can]:
        """Weighted energies of the pair (and site energies where χ moves), and what the inner method requires of the rest."""
        moving = Can.SITE_ENERGIES if interface.overlay(self.high).moving else Can.NOTHING
        return {**self.inner.required(interface), **dict.fromkeys((self.high, self.low), self.needs | moving)}

    def prepare(self, q: Array, interface: Interface, ask: Ask) -> Any:
        """The inner method's preparation."""
        return self.inner.prepare(q, interface, ask)

    def evaluate(self, q: Array, interface: Interface, ask: Ask, prepared: Any) -> Evaluation:
        """Everything is asked for at once, so that the pair is evaluated beside the rest."""
        moving = interface.overlay(self.high).moving
        want = Can.ENERGY | Can.FORCES | (Can.SITE_ENERGIES if moving else Can.NOTHING)
        chi, pair = self._weights(q, interface), {}

        def together(at: Array, queries: Any) -> Any:
            answers = ask(at, {**queries, **{r: Query(want, w, uncounted=False) for r, w in chi.items()}})
            pair.update({r: answers.pop(r) for r in chi})
            return answers

        e = self.inner.evaluate(q, interface, together, prepared)
        high, low = pair[self.high], pair[self.low]
        forces = e.forces + interface.pull(self.high, high["forces"]) - interface.pull(self.low, low["forces"])
        if moving:
            gain = np.zeros_like(chi[self.high])
            gain[: len(chi[self.low])] = high["site_energies"][: len(chi[self.low])] - low["site_energies"]
            forces += interface.overlay_forces(self.high, q, gain)
        parts = {**e.parts, self.high: high["energy"], self.low: -low["energy"]}
        return Evaluation(None if e.energy is None else e.energy + high["energy"] - low["energy"], forces, parts)

    def constraint(self, interface: Interface) -> Constraint | None:
        """The inner method's."""
        return self.inner.constraint(interface)

    def masses(self, interface: Interface) -> Array:
        """The inner method's."""
        return self.inner.masses(interface)

    def count(self, q: Array, interface: Interface) -> dict[str, Array]:
        """+χ for the better description, −χ for the cheaper one."""
        chi = self._weights(q, interface)
        return {**self.inner.count(q, interface), self.high: chi[self.high], self.low: -chi[self.low]}

    def _weights(self, q: Array, interface: Interface) -> dict[str, Array]:
        """χ at the sites of both regions, which are the same but for link atoms."""
        high, low = (interface.regions[r] for r in (self.high, self.low))
        x, y = (r.sites(interface.place(n, interface.reference)) for r, n in ((high, self.high), (low, self.low)))
        n = low.n_sites
        if n > high.n_sites or (high.matter[n:] > 0).any() or np.abs(x[:n] - y).max() > 1e-6:
            raise MultiscaleError(
                f"SiteSubtractive compares regions '{self.high}' and '{self.low}' site by site, but they have {high.n_sites} and {n} sites "
                "at other places; build both from the same cluster, in the same order, with its link atoms last"
            )
        chi = interface.overlay_site_weights(self.high, q)
        chi[n:] = 0.0
        return {self.high: chi, self.low: chi[:n]}
