"""Permuted adaptive partitioning: a smooth energy from total energies alone, while groups enter and leave the core.

E(q) = E_inner(q) + Σ_S W_S (E_S^high − E_S^low),     S: subsets of the groups in the zone, each together with the core
W_S  = Π_{g ∈ S} P_g Π_{g ∉ S} (1 − P_g),             P_g = s(d(X_g)/width),     Σ_S W_S = 1
F    = … − Σ_S (E_S^high − E_S^low) Σ_g (∂W_S/∂P_g) ∂P_g/∂q

W_S and its gradient vanish where a group of S leaves the zone (P = 0) or one outside S enters the core (P = 1): regions may be
built anew there without a jump of energy or force. The sum needs *all* 2^N subsets for that; a series cut off at some order jumps
when a group enters the core, because the order of what is left out then changes. Subsets of weight zero are not calculated.
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

Subset = tuple[int, ...]


@dataclass(frozen=True)
class AdaptivePartitioning(Coupler):
    """Weigh whole calculations of every subset of groups, over an inner coupling of everything by the cheaper description.

    Regions are called ``high[3,7]`` and ``low[3,7]`` for the core with groups 3 and 7, ``high[]`` for the core alone, in the numbering of
    the groups of overlay ``zone``; :func:`multiscale.adaptive.subset_regions` builds them. Groups that no region names are in the core
    (in ``high[]``) for good, or outside.
    """

    high: str = "qm"
    low: str = "ml_qm"
    zone: str = "adaptive"
    inner: Coupler = field(default_factory=EnergyBlend)

    needs = Can.ENERGY | Can.FORCES
    references = ("10.1021/jp0673617",)

    @property
    def claims(self) -> Claims:
        """No more than the inner method keeps."""
        return Claims(conservative=True, momentum=True, patch=False) & self.inner.claims

    def required(self, interface: Interface) -> dict[str, Can]:
        """Energies and forces of every subset's pair, and what the inner method requires of the rest."""
        high, low = interface.subsets(self.high), interface.subsets(self.low)
        if () not in high or set(high) != set(low):
            raise MultiscaleError(
                f"AdaptivePartitioning needs the regions '{self.high}[]' and '{self.low}[]' of the core and a pair for every subset, got "
                f"{sorted(high.values())} and {sorted(low.values())}; build them with multiscale.adaptive.subset_regions"
            )
        return {**self.inner.required(interface), **dict.fromkeys([*high.values(), *low.values()], self.needs)}

    def prepare(self, q: Array, interface: Interface, ask: Ask) -> Any:
        """The inner method's preparation."""
        return self.inner.prepare(q, interface, ask)

    def evaluate(self, q: Array, interface: Interface, ask: Ask, prepared: Any) -> Evaluation:
        """Everything is asked for at once; only subsets that weigh anything."""
        weights, slopes = self._weights(q, interface)
        high, low = interface.subsets(self.high), interface.subsets(self.low)
        names = {S: (high[S], low[S]) for S in weights}
        pairs: dict[str, Any] = {}

        def together(at: Array, queries: Any) -> Any:
            both = {r: Query(self.needs) for pair in names.values() for r in pair}
            answers = ask(at, {**queries, **both})
            pairs.update({r: answers.pop(r) for r in both})
            return answers

        e = self.inner.evaluate(q, interface, together, prepared)
        forces, parts = e.forces.copy(), dict(e.parts)
        c = np.zeros(len(interface.groups(self.zone).members))
        for S, w in weights.items():
            for sign, r in zip((1.0, -1.0), names[S], strict=True):
                parts[r] = sign * w * pairs[r]["energy"]
                forces += sign * w * interface.pull(r, pairs[r]["forces"])
                c += sign * pairs[r]["energy"] * slopes[S]
        forces += interface.group_forces(self.zone, q, c)
        gain = sum(parts[r] for pair in names.values() for r in pair)
        return Evaluation(None if e.energy is None else e.energy + gain, forces, parts)

    def constraint(self, interface: Interface) -> Constraint | None:
        """The inner method's."""
        return self.inner.constraint(interface)

    def masses(self, interface: Interface) -> Array:
        """The inner method's."""
        return self.inner.masses(interface)

    def count(self, q: Array, interface: Interface) -> dict[str, Array]:
        """+W_S for each subset's better description, −W_S for the cheaper one."""
        out, (weights, _) = self.inner.count(q, interface), self._weights(q, interface)
        for sign, prefix in ((1.0, self.high), (-1.0, self.low)):
            names = interface.subsets(prefix)
            out |= {names[S]: sign * w * np.ones(interface.regions[names[S]].n_sites) for S, w in weights.items()}
        return out

    def _weights(self, q: Array, interface: Interface) -> tuple[dict[Subset, float], dict[Subset, Array]]:
        """W_S of the subsets that weigh anything, and ∂W_S/∂P (n_groups,)."""
        P = interface.group_weights(self.zone, q)
        known = interface.subsets(self.high)
        varying = sorted({g for S in known for g in S})
        if interface.strict:
            self._complete(P, varying, interface)
        sure = [g for g in varying if P[g] >= 1.0]
        open_ = [g for g in varying if 0.0 < P[g] < 1.0]
        weights, slopes = {}, {}
        for number in range(2 ** len(open_)):
            inside = np.array([number >> j & 1 for j in range(len(open_))], dtype=bool)
            S = tuple(sorted(sure + [g for g, chosen in zip(open_, inside, strict=True) if chosen]))
            if S not in known:
                raise MultiscaleError(
                    f"the zone '{self.zone}' gives a weight to the core with groups {list(S)}, but there is no region "
                    f"'{self.high}[{','.join(map(str, S))}]'; adaptive partitioning needs every subset of the groups in its zone"
                )
            factor = np.where(inside, P[open_], 1.0 - P[open_])
            weights[S] = float(np.prod(factor))
            slopes[S] = np.zeros(len(P))
            # Without division, since a factor may be as small as it likes.
            others = np.array([np.prod(np.delete(factor, j)) for j in range(len(open_))])
            slopes[S][open_] = np.where(inside, others, -others)
        return weights, slopes

    def _complete(self, P: Array, varying: list[int], interface: Interface) -> None:
        """Refuse a zone that reaches groups which no subset varies: they have entered from outside, or left the core."""
        core = interface.embeddings[interface.subsets(self.high)[()]].own
        inside = interface.groups(self.zone).within(core[core >= 0], interface.n_q)
        wrong = np.flatnonzero(np.where(inside, P < 1.0, P > 0.0) & ~np.isin(np.arange(len(P)), varying))
        if len(wrong):
            g = int(wrong[0])
            raise MultiscaleError(
                f"group {g} is {'in the core' if inside[g] else 'outside'} for all regions of '{self.zone}', but its weight is now "
                f"{P[g]:.3g}; build the regions anew at this state (multiscale.adaptive.subset_regions), with a margin if it happens often"
            )
