"""Models whose cluster follows what it is there for: membership changes, energy and momentum are booked.

    members   all atoms within ``outer`` of the core, chosen at some state and kept
    renewed   when an atom that is no member comes within ``inner`` of the core (as the core is then)
    booked  += E_old(q) − E_new(q)         so that E(q) + booked goes on continuously
    v         unchanged: momentum is what it was
    prepared  at the state that the one before was prepared at

The gap between ``inner`` and ``outer`` is the hysteresis: an atom that goes to and fro across a border does not change
the members each time. Between renewals the model is one function of q, with forces that are its gradient.

Where both levels are defined on the full system and only weights move (a :class:`~multiscale.shapes.SmoothUnion` on seeds, a
:class:`~multiscale.descriptors.DescriptorField`), nothing jumps and nothing is renewed: use those without this.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial import cKDTree

from ..coupler import Coupler, Evaluation
from ..interface import Interface
from ..ledger import Ledger, LedgerRow
from ..protocol import Model
from ..ranks import Ranks
from ..region import Answer, Query
from ..regions.cover import periodic_images
from ..report import Report
from ..shapes import Shape
from ..types import Array, BoolArray, IntArray, MultiscaleError

#: What :meth:`Follow.snapshot` holds, by name.
KEPT = ("follow_members", "follow_built_at", "follow_booked", "follow_updates", "follow_prepared_at")


@dataclass(frozen=True, eq=False)
class Within:
    """The atoms of a shape and of the zone around it, as a core: d(q_k) < margin.

    With the width of a switching zone as ``margin``, these are the atoms of weight above zero.
    """

    shape: Shape
    margin: float = 0.0

    def __call__(self, q: Array) -> BoolArray:
        """A mask (n_q,)."""
        return np.asarray(self.shape.distance(q, q)[0] < self.margin)


@dataclass(frozen=True)
class Change:
    """One renewal of the members.

    Attributes
    ----------
    update : int
        Number of the update, which is the step of a dynamics.
    entered, left : tuple of int
        Atoms.
    members : int
        How many there are now.
    jump : float or None
        E_new − E_old at the state of the change, eV; None without an energy.
    note : str
        What else there is to say.
    """

    update: int
    entered: tuple[int, ...]
    left: tuple[int, ...]
    members: int
    jump: float | None
    note: str = ""

    def __str__(self) -> str:
        jump = f", {self.jump:+.3e} eV booked" if self.jump is not None else ""
        note = f" ({self.note})" if self.note else ""
        return f"members +{len(self.entered)} −{len(self.left)} = {self.members}{jump}{note}"


class Follow:
    """A hybrid model that is built anew around the core where that has moved too close to the border of the cluster.

    It is used wherever a :class:`~multiscale.model.HybridModel` is: it satisfies :class:`multiscale.protocol.Model`.

    Parameters
    ----------
    build : callable (q, members) -> Model
        Makes the model for a cluster of the atoms ``members`` (ascending ints) at the state q; on every rank. Let all models share one
        ``Ranks``, which makes its communicators once.
    core : callable q -> (n_q,) bool array
        The atoms that must be described well, such as :class:`Within`.
    q : (n_q, 3) array
        The first state, Å.
    inner, outer : float
        Å; the least buffer around the core, and the one that a new cluster gets.
    cell, pbc : (3, 3) array, bool or three of them
        Cell vectors as rows, Å, and periodic axes: distances are to the nearest image.
    atoms : (n,) ints, optional
        The shared dofs that may be members; all unless given (mesh nodes are none).
    max_atoms : int
        Refuse larger clusters.
    empty : callable q -> Model, optional
        The model where there is no core at all; without it that is an error.
    crowded : {"error", "keep"}
        Whether a cluster beyond ``max_atoms`` is an error, or the present members are kept and the event says so.

    ranks : Ranks, optional
        All ranks of this run unless given; the same that ``build`` gives its models.

    Attributes
    ----------
    booked : float
        eV; the sum of all E_old − E_new. It is part of the energy that :meth:`evaluate` gives.
    changes : list of Change
        All renewals.

    Raises
    ------
    MultiscaleError
        For an empty core, or one that needs more than ``max_atoms``, unless told what to do then.
    """

    def __init__(
        self,
        build: Callable[[Array, IntArray], Model],
        core: Callable[[Array], BoolArray],
        q: Array,
        *,
        inner: float,
        outer: float,
        cell: ArrayLike | None = None,
        pbc: ArrayLike = False,
        atoms: Sequence[int] | IntArray | None = None,
        max_atoms: int = 500,
        empty: Callable[[Array], Model] | None = None,
        crowded: Literal["error", "keep"] = "error",
        ranks: Ranks | None = None,
    ):
        if not 0.0 <= inner < outer < np.inf:
            raise MultiscaleError(
                f"Follow was given inner = {inner!r} and outer = {outer!r} Å; it needs 0 ≤ inner < outer, a few Å apart, so that "
                "thermal motion does not change the members"
            )
        if crowded not in ("error", "keep"):
            raise MultiscaleError(f"Follow was given crowded={crowded!r}; it needs 'error' or 'keep'")
        self._build, self._core, self._empty = build, core, empty
        self.inner, self.outer, self.max_atoms, self.crowded = float(inner), float(outer), int(max_atoms), crowded
        self._cell = np.zeros((3, 3)) if cell is None else np.asarray(cell, dtype=float)
        self._pbc: BoolArray = np.array(np.broadcast_to(np.asarray(pbc, dtype=bool), (3,)))
        self._world, self._crowding = (ranks or Ranks()).world, False
        self.booked, self.changes, self.updates, self.evaluations = 0.0, list[Change](), 0, 0
        q = np.array(q, dtype=float)
        self._atoms = np.arange(len(q)) if atoms is None else np.asarray(atoms, dtype=np.int64)
        self._last: tuple[Array, Evaluation] | None = None
        #: Where the coupler was prepared last (n_q, 3), or nowhere (0, 3) since the models were built.
        self._prepared_at = np.zeros((0, 3))
        self._members, self._built_at = self._wanted(self._depth(q)), q
        if len(self._members) > self.max_atoms:
            raise MultiscaleError(self._too_many(len(self._members)))
        self._model = self._make(q, self._members)

    # -- the model at present ----------------------------------------------------------------------------------

    @property
    def model(self) -> Model:
        """The model of the present members."""
        return self._model

    @property
    def interface(self) -> Interface:
        """Of the present model."""
        return self._model.interface

    @property
    def coupler(self) -> Coupler:
        """Of the present model."""
        return self._model.coupler

    @property
    def ranks(self) -> Ranks:
        """Of the present model."""
        return self._model.ranks

    @property
    def membership(self) -> tuple[int, ...]:
        """The members, ascending shared dofs."""
        return tuple(int(k) for k in self._members)

    def evaluate(self, q: Array) -> Evaluation:
        """Energy (what is booked included) and forces of the present members at q; collective."""
        q = np.asarray(q, dtype=float)
        self.evaluations += 1
        e = self._model.evaluate(q)
        self._last = (q.copy(), e)
        if e.energy is None:
            return e
        return replace(e, energy=e.energy + self.booked, parts={**e.parts, "booked": self.booked})

    def ask(self, q: Array, queries: Mapping[str, Query]) -> dict[str, Answer]:
        """Evaluate regions of the present model."""
        return self._model.ask(q, queries)

    def asking(self, q: Array, wanted: Mapping[str, Query]) -> AbstractContextManager[Mapping[str, Answer]]:
        """Of the present model."""
        return self._model.asking(q, wanted)

    def prepare(self, q: Array) -> None:
        """Let the present model prepare itself, and those that come after it; what it gave before is no longer of use."""
        self._last, self._prepared_at = None, np.array(q, dtype=float)
        self._model.prepare(self._prepared_at)

    def stiffness(self, q: Array) -> object:
        """The present model's."""
        return self._model.stiffness(q)

    def ledger(self, q: Array) -> Ledger:
        """The present model's, with what is booked as a row of its own, so that the rows add up to the energy of :meth:`evaluate`."""
        ledger = self._model.ledger(q)
        if ledger.energy is None:
            return ledger
        row = LedgerRow("booked", 0.0, 0.0, self.booked)
        return replace(ledger, rows=(*ledger.rows, row), energy=ledger.energy + self.booked)

    def report(self) -> Report:
        """Where the time of the present model went: since its members were chosen, those before it not included; collective."""
        return self._model.report()

    def jacobian(self, q: Array) -> object:
        """The present model's."""
        return self._model.jacobian(q)

    # -- members -----------------------------------------------------------------------------------------------

    def buffer(self, q: Array) -> float:
        """Å from the core at q to the nearest atom that is no member; infinite where there is no core or no such atom; collective."""
        outside = np.setdiff1d(self._atoms, self._members)
        return float(self._depth(np.asarray(q, dtype=float))[outside].min(initial=np.inf))

    def fits(self, q: Array) -> bool:
        """Whether the core at q has at least ``inner`` of buffer in the present cluster; collective."""
        return self.buffer(q) >= self.inner

    def update(self, q: Array) -> str:
        """Renew the members if the core's buffer has become too thin at the accepted state q; what changed, in words."""
        q = np.array(q, dtype=float)
        self.updates += 1
        depth = self._depth(q)
        outside = np.setdiff1d(self._atoms, self._members)
        alive = bool(np.isfinite(depth).any())
        if alive and len(self._members) and depth[outside].min(initial=np.inf) >= self.inner:
            return ""
        if not alive and not len(self._members):
            return ""
        members = self._wanted(depth)
        if len(members) > self.max_atoms:
            if self.crowded == "error":
                raise MultiscaleError(self._too_many(len(members)))
            if self._crowding:
                return ""
            self._crowding = True
            none = members[:0]
            return self._note(none, none, None, f"kept: {len(members)} would be more than max_atoms = {self.max_atoms}")
        self._crowding = False
        return self._renew(q, members, "" if alive else "no core is left")

    def snapshot(self) -> dict[str, Array]:
        """What :meth:`restore` needs, ready for :class:`multiscale.checkpoint.Checkpoint`'s arrays."""
        values = (self._members, self._built_at, np.array(self.booked), np.array(self.updates), self._prepared_at)
        return dict(zip(KEPT, values, strict=True))

    def restore(self, state: Mapping[str, Array]) -> None:
        """Have the members, the states they were chosen and prepared at, and the booked energy of a snapshot again; collective.

        Raises
        ------
        MultiscaleError
            If the arrays are not those of a snapshot.
        """
        lost = [name for name in KEPT if name not in state]
        if lost:
            raise MultiscaleError(
                f"Follow cannot be restored without {', '.join(lost)}; keep all arrays of its snapshot in the checkpoint"
            )
        members, built_at, booked, updates, prepared_at = (np.asarray(state[name]) for name in KEPT)
        same = np.array_equal(members, self._members) and np.array_equal(built_at, self._built_at)
        moved = not np.array_equal(prepared_at, self._prepared_at)
        self._prepared_at = np.array(prepared_at, dtype=float)
        # A model that has been prepared cannot be made unprepared, but building one anew costs more than preparing it elsewhere.
        if not same or (moved and not len(prepared_at)):
            self._model = self._make(np.array(built_at), np.array(members, dtype=np.int64))
        elif moved:
            self._model.prepare(self._prepared_at)
        self._members, self._built_at, self._last = np.array(members, dtype=np.int64), np.array(built_at), None
        self.booked, self.updates = float(booked), int(updates)

    def _renew(self, q: Array, members: IntArray, note: str) -> str:
        before = self._last[1] if self._last is not None and np.array_equal(self._last[0], q) else None
        before = before or self._model.evaluate(q)
        model = self._make(q, members)
        after = model.evaluate(q)
        jump = None if before.energy is None or after.energy is None else after.energy - before.energy
        self.evaluations += 1
        if jump is not None:
            self.booked -= jump
        old, self._members, self._built_at = self._members, members, q
        self._model, self._last = model, (q, after)
        return self._note(np.setdiff1d(members, old), np.setdiff1d(old, members), jump, note)

    def _note(self, entered: IntArray, left: IntArray, jump: float | None, note: str) -> str:
        into, out = (tuple(int(k) for k in a) for a in (entered, left))
        self.changes.append(Change(self.updates, into, out, len(self._members), jump, note))
        return str(self.changes[-1])

    def _depth(self, q: Array) -> Array:
        """Distance (n_q,), Å, of every dof from the nearest core atom or image of one; infinite where there is no core."""
        core, depth = np.flatnonzero(np.asarray(self._core(q), dtype=bool)), np.full(len(q), np.inf)
        if len(core):
            images, _ = periodic_images(q[core], self._cell, self._pbc, q, self.outer)
            depth = cKDTree(images).query(q, distance_upper_bound=self.outer * 1.001)[0]
        # The core's thresholds, ``inner`` and ``outer`` may fall on either side of round-off on machines that differ: one rank decides.
        return np.asarray(self._world.bcast(depth), dtype=float)

    def _wanted(self, depth: Array) -> IntArray:
        return self._atoms[depth[self._atoms] <= self.outer]

    def _make(self, q: Array, members: IntArray) -> Model:
        if not len(members) and self._empty is None:
            raise MultiscaleError(
                "the core that Follow follows has become empty: no atom is to be described better; end the run there, or say which model "
                "goes on with Follow(empty=...)"
            )
        model = self._empty(q) if self._empty is not None and not len(members) else self._build(q, members)
        if model.interface.n_q != len(q):
            raise MultiscaleError(
                f"Follow's build made a model of {model.interface.n_q} shared dofs, but there are {len(q)}; only the cluster may "
                "change, the dofs stay the same"
            )
        if len(self._prepared_at):
            model.prepare(self._prepared_at)
        return model

    def _too_many(self, n: int) -> str:
        return (
            f"the core that Follow follows needs a cluster of {n} atoms, more than max_atoms = {self.max_atoms}; raise it, choose a "
            "smaller core or outer buffer, or go on with the present members by crowded='keep'"
        )


def agree(models: Sequence[Model]) -> None:
    """Refuse models of different members, whose energies are those of different functions; for bands of images.

    Raises
    ------
    MultiscaleError
        It names the first two that differ, and the atoms.
    """
    for k, model in enumerate(models[1:], start=1):
        apart = sorted(set(model.membership) ^ set(models[0].membership))
        offset = float(model.snapshot().get("follow_booked", 0.0)) - float(
            models[0].snapshot().get("follow_booked", 0.0)
        )
        if apart:
            raise MultiscaleError(
                f"images 0 and {k} are described by clusters of different members ({len(apart)} atoms differ, the first is {apart[0]}), "
                "so that their energies do not compare; give all images one cluster, which covers the core along the whole path"
            )
        if offset:
            raise MultiscaleError(
                f"images 0 and {k} carry booked energies that differ by {offset:.3e} eV, so that their energies do not compare; build "
                "both models anew"
            )
