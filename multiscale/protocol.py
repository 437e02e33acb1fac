"""What drivers need of a model: one energy (or none) and its forces over shared dofs, which may change its members between steps.

    evaluate(q)    a function of q alone, until ``update``
    update(q)      at a state that a driver has accepted: the model may choose its members anew, and says so
    fits(q)        whether the present members are good enough at q

:class:`multiscale.model.HybridModel` never changes; :class:`multiscale.drive.follow.Follow` carves its cluster anew where the core goes.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

from .coupler import Coupler, Evaluation
from .interface import Interface
from .ledger import Ledger
from .ranks import Ranks
from .region import Answer, Query
from .report import Report
from .types import Array


class Model(Protocol):
    """A hybrid model as drivers see it; every method is collective."""

    @property
    def interface(self) -> Interface:
        """Regions, embeddings and weights at present."""

    @property
    def coupler(self) -> Coupler:
        """The method."""

    @property
    def ranks(self) -> Ranks:
        """Who evaluates what."""

    @property
    def membership(self) -> tuple[int, ...]:
        """Which shared dofs a changing region consists of at present; empty where nothing changes."""

    def evaluate(self, q: Array) -> Evaluation:
        """Energy and forces at q (n_q, 3), Å; a function of q alone until :meth:`update`."""

    def ask(self, q: Array, queries: Mapping[str, Query]) -> dict[str, Answer]:
        """Evaluate regions at q."""

    def asking(self, q: Array, wanted: Mapping[str, Query]) -> AbstractContextManager[Mapping[str, Answer]]:
        """Within it regions that the coupler asks at q answer ``wanted`` along with it, where that costs no evaluation of their own."""

    def prepare(self, q: Array) -> None:
        """Let the coupler prepare itself at a predicted state."""

    def stiffness(self, q: Array) -> Any:
        """A sparse matrix (3 n_q, 3 n_q), eV/Å², that preconditions."""

    def jacobian(self, q: Array) -> Any:
        """−∂F/∂q (3 n_q, 3 n_q), sparse, eV/Å²: this rank's additive share."""

    def ledger(self, q: Array) -> Ledger:
        """Matter, interface area and energy per region at q, and how often every piece of matter is counted."""

    def report(self) -> Report:
        """Where the time of the evaluations went, on all ranks."""

    def update(self, q: Array) -> str:
        """Adapt the members to the accepted state q; what changed, in words, or nothing."""

    def fits(self, q: Array) -> bool:
        """Whether the present members are good enough at q."""

    def snapshot(self) -> dict[str, Array]:
        """Arrays from which :meth:`restore` gets the same members again; empty where nothing changes."""

    def restore(self, state: Mapping[str, Array]) -> None:
        """Go back to a snapshot."""
