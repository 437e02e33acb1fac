"""Models for molecules that diffuse: nearest images, and regions built anew where the zone's membership changes.

    E(q) = E_model(q + t),     t: lattice vectors that put every molecule nearest to the centre, constant between renewals

Weights of the molecules that change sides are exactly 0 or 1 at a renewal, so that the energy goes on without a jump.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from multiscale import Query
from multiscale.adaptive import AdaptiveRegions, membership
from multiscale.overlay import Overlay
from multiscale.protocol import Model
from multiscale.types import MultiscaleError

Array = np.ndarray


class Imaged:
    """A model that is shown other periodic images of the shared dofs.

    Parameters
    ----------
    model : Model
    shift : (n_q, 3) array
        Å; lattice vectors, added to q.
    """

    def __init__(self, model: Model, shift: Array):
        self.model, self.shift = model, shift

    interface = property(lambda self: self.model.interface)
    coupler = property(lambda self: self.model.coupler)
    ranks = property(lambda self: self.model.ranks)
    membership = property(lambda self: self.model.membership)

    def evaluate(self, q: Array) -> Any:
        """Energy and forces, which images do not change."""
        return self.model.evaluate(q + self.shift)

    def ask(self, q: Array, queries: Mapping[str, Query]) -> Any:
        """Regions at these images."""
        return self.model.ask(q + self.shift, queries)

    def asking(self, q: Array, wanted: Mapping[str, Query]) -> Any:
        """Regions at these images, along with what the coupler asks."""
        return self.model.asking(q + self.shift, wanted)

    def prepare(self, q: Array) -> None:
        """Of the coupler."""
        self.model.prepare(q + self.shift)

    def stiffness(self, q: Array) -> Any:
        """The model's."""
        return self.model.stiffness(q + self.shift)

    def ledger(self, q: Array) -> Any:
        """The model's."""
        return self.model.ledger(q + self.shift)

    def report(self) -> Any:
        """The model's."""
        return self.model.report()

    def update(self, q: Array) -> str:
        """Of the model."""
        return self.model.update(q + self.shift)

    def fits(self, q: Array) -> bool:
        """Whether the model does."""
        return self.model.fits(q + self.shift)

    def snapshot(self) -> dict[str, Array]:
        """The model's."""
        return self.model.snapshot()

    def restore(self, state: Mapping[str, Array]) -> None:
        """The model's."""
        self.model.restore(state)


class Adaptive(Imaged):
    """Adaptive partitioning that follows its molecules: built anew before one has a weight that its regions do not know.

    Parameters
    ----------
    build : callable q -> (Imaged, AdaptiveRegions, float)
        The last is the margin, Å, that the regions are built with. They are renewed when half of it is used up.
    overlay : Overlay
        The zone, its groups and its periodic cell.
    q : (n_q, 3) array
        The first state, Å.

    Attributes
    ----------
    jumps : list of float
        eV; E_new − E_old at every renewal: what the quantum calculations' tolerance leaves.
    """

    def __init__(self, build: Callable[[Array], tuple[Imaged, AdaptiveRegions, float]], overlay: Overlay, q: Array):
        self._build, self._overlay = build, overlay
        self.jumps = list[float]()
        self._renew(q)

    @property
    def membership(self) -> tuple[int, ...]:
        """Groups that have subsets."""
        return self.regions.membership.zone

    def update(self, q: Array) -> str:
        """Renew the regions where the margin is half used up; what changed, in words."""
        if self.fits(q):
            return ""
        old, before = self.regions.membership, self.evaluate(q).energy
        self._renew(q)
        new, after = self.regions.membership, self.evaluate(q).energy
        self.jumps.append(after - before)
        moved = sorted(set(new.zone) ^ set(old.zone))
        return f"zone {list(new.zone)}, core of {len(new.core)}; changed {moved}, {self.jumps[-1]:+.1e} eV"

    def fits(self, q: Array) -> bool:
        """Whether no group has come nearer than half a margin to a weight that the regions do not know."""
        now, known = membership(self._overlay, q, 0.5 * self._margin), self.regions.membership
        return not (
            set(now.zone) - set(known.zone) or set(now.core) & set(known.outside) or set(now.outside) & set(known.core)
        )

    def snapshot(self) -> dict[str, Array]:
        """Where the regions were built, and what the renewals brought."""
        return {"adaptive_built_at": self._built_at, "adaptive_jumps": np.array(self.jumps)}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Have the regions of a snapshot again."""
        lost = {"adaptive_built_at", "adaptive_jumps"} - set(state)
        if lost:
            raise MultiscaleError(
                f"Adaptive cannot be restored without {', '.join(sorted(lost))}; keep all arrays of its snapshot"
            )
        if not np.array_equal(state["adaptive_built_at"], self._built_at):
            self._renew(state["adaptive_built_at"])
        self.jumps = [float(jump) for jump in state["adaptive_jumps"]]

    def _renew(self, q: Array) -> None:
        self._built_at = np.array(q, dtype=float)
        built, self.regions, self._margin = self._build(self._built_at)
        super().__init__(built.model, built.shift)
