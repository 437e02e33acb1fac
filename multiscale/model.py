"""The hybrid model: one energy (or none) and one set of forces over shared dofs, evaluated by all ranks together.

    ask(q, {r: query_r})  =  Σ_ranks (each rank's share of every region it works on)

``ask`` is the only collective: a rank evaluates the regions of its teams, then one sum makes every answer complete on every rank.
q is replicated (the point of coupling is that q stays small); meshes, neighbour lists and halos are distributed.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from . import gates, registry
from .coupler import Coupler, Evaluation
from .interface import Interface
from .ranks import Ranks
from .region import Answer, Can, Query
from .types import Array, MultiscaleError

#: Region, quantity and shape of everything that one question asks for, in the order in which it is summed over ranks.
Layout = list[tuple[str, str, tuple[int, ...]]]
#: The additive quantities of an answer in the order in which they are summed over ranks.
_FIELDS: tuple[tuple[Can, str], ...] = (
    (Can.ENERGY, "energy"),
    (Can.FORCES, "forces"),
    (Can.SITE_ENERGIES, "site_energies"),
    (Can.STRESS, "stress"),
    (Can.HVP, "hvp"),
)


@dataclass(frozen=True)
class LedgerRow:
    """One region's entry in the ledger.

    Attributes
    ----------
    region : str
    matter : float
        Atoms' worth of matter that it counts, Σ_s w_s m_s (negative for what is taken off).
    area : float
        Å² of interface that it counts.
    energy : float or None
        eV, as counted; None where the method has no energy.
    """

    region: str
    matter: float
    area: float
    energy: float | None


@dataclass(frozen=True)
class Ledger:
    """Who counts what. ``coverage`` is the least and largest number of times that any piece of matter is counted: 1, 1."""

    rows: tuple[LedgerRow, ...]
    coverage: tuple[float, float]
    energy: float | None

    @property
    def matter(self) -> float:
        """Atoms' worth of matter in all."""
        return sum(r.matter for r in self.rows)

    def __str__(self) -> str:
        def text(e: float | None) -> str:
            return f"{e:18.8f}" if e is not None else f"{'—':>18}"

        lines = [f"{'region':<18}{'atoms’ worth':>16}{'interface Å²':>16}{'energy eV':>18}"]
        lines += [f"{r.region:<18}{r.matter:16.6f}{r.area:16.4f}{text(r.energy)}" for r in self.rows]
        lines.append(f"{'sum':<18}{self.matter:16.6f}{sum(r.area for r in self.rows):16.4f}{text(self.energy)}")
        low, high = self.coverage
        lines.append(f"coverage of every piece of matter: {low:.12f} … {high:.12f} times")
        return "\n".join(lines)


class HybridModel:
    """Regions on shared dofs, joined by a coupler, spread over ranks.

    Parameters
    ----------
    interface : Interface
    coupler : Coupler
    ranks : Ranks, optional
        Which ranks evaluate which region; by default all share all, and total-energy QM has ranks of its own.

    Raises
    ------
    MultiscaleError
        When a gate of :mod:`multiscale.gates` fails; the same on every rank, before any region is built.
    """

    def __init__(self, interface: Interface, coupler: Coupler, ranks: Ranks | None = None):
        self.interface, self.coupler = interface, coupler
        self.ranks = ranks or Ranks()
        gates.finite(interface.reference)
        gates.capability(interface, coupler, _installed)
        gates.overlapping(interface, interface.reference)
        gates.covered(interface, coupler)
        if interface.strict:
            gates.zones(interface)
            gates.surroundings(interface)
            gates.overlays(interface)
        self.waiting = 0.0
        self.teams = self.ranks.teams(interface.regions)
        self._together("building the regions", self._bind)
        self.timings: dict[str, float] = dict.fromkeys(interface.regions, 0.0)
        self.calls: dict[str, int] = dict.fromkeys(interface.regions, 0)
        self.evaluations = 0
        self._prepared: Any = coupler.prepare(interface.reference, interface, self.ask)

    # -- evaluation --------------------------------------------------------------------------------------------

    def prepare(self, q: Array) -> None:
        """Let the coupler prepare itself at the predicted state q, once per load step: ghost forces, projections."""
        self._prepared = self.coupler.prepare(np.asarray(q, dtype=float), self.interface, self.ask)

    def evaluate(self, q: Array) -> Evaluation:
        """Energy and forces at q (n_q, 3) Å; collective, and the same on every rank."""
        q = np.asarray(q, dtype=float)
        if q.shape != self.interface.reference.shape:
            raise MultiscaleError(f"the model needs positions of shape {self.interface.reference.shape}, got {q.shape}")
        # Row by row only to name the culprit: that is slower than everything else here.
        if not np.isfinite(q).all():
            gates.finite(q)
        self.evaluations += 1
        return self.coupler.evaluate(q, self.interface, self.ask, self._prepared)

    def ask(self, q: Array, queries: Mapping[str, Query]) -> dict[str, Answer]:
        """Evaluate regions at the shared positions q; every region at once, each on its team; collective.

        Parameters
        ----------
        q : (n_q, 3) array
        queries : mapping of region name to Query

        Returns
        -------
        dict of name to Answer
            Complete answers (sums over ranks), the same on every rank.
        """
        places = {}
        for name, query in queries.items():
            if name not in self.interface.regions:
                raise MultiscaleError(
                    f"the coupler asks for region '{name}', but the regions are {sorted(self.interface.regions)}"
                )
            places[name] = self.interface.place(name, q)
            self.interface.regions[name].check(places[name], query)
        shares = self._together("evaluating", lambda: self._shares(places, queries))
        layout = self._layout(queries)
        if self.ranks.world.size == 1:  # the share is the answer: no need to copy it
            return self._answers(layout, [self._value(shares, *entry) for entry in layout])
        clock = time.perf_counter()
        values = [self._value(shares, *entry).ravel() for entry in layout]
        total = self.ranks.world.sum(np.concatenate(values) if values else np.zeros(0))
        self.waiting += time.perf_counter() - clock
        ends = np.cumsum([len(v) for v in values])[:-1]
        return self._answers(layout, np.split(total, ends) if values else [])

    def stiffness(self, q: Array) -> Any:
        """Σ_r M_rᵀ K_r(w_r) M_r over the sharing regions that offer one: sparse (3 n_q, 3 n_q), eV/Å²; collective.

        It preconditions: overlays (a quantum core) are left out, and so are regions without STIFFNESS.
        """
        q = np.asarray(q, dtype=float)
        weights = self.interface.weights(q)

        def share() -> Any:
            total = sp.csr_matrix((3 * self.interface.n_q,) * 2)
            for name, w in weights.items():
                region, m = self.interface.regions[name], self.interface.embeddings[name].matrix
                if self.teams[name] is not None and Can.STIFFNESS in region.can:
                    total = total + m.T @ region.stiffness(self.interface.place(name, q), w) @ m
            return total.tocsr()

        mine = self._together("assembling the stiffness", share)
        world = self.ranks.world
        pieces = world.gather(mine)
        return world.bcast(sum(pieces[1:], start=pieces[0]) if pieces else None)

    def ledger(self, q: Array) -> Ledger:
        """Matter, interface area and energy per region, and how often every piece of matter is counted."""
        q = np.asarray(q, dtype=float)
        counts = self.coupler.count(q, self.interface)
        cover = np.concatenate(list(gates.coverage(self.interface, self.coupler, q).values()))
        e = self.evaluate(q)
        rows = [
            LedgerRow(
                r,
                float(w @ self.interface.regions[r].matter),
                float(w @ self.interface.regions[r].area),
                e.parts.get(r),
            )
            for r, w in counts.items()
        ]
        rows += [LedgerRow(name, 0.0, 0.0, value) for name, value in e.parts.items() if name not in counts]
        return Ledger(tuple(rows), (float(cover.min()), float(cover.max())), e.energy)

    # -- a model whose members never change: see multiscale.protocol -------------------------------------------

    @property
    def membership(self) -> tuple[int, ...]:
        """Empty: no region of this model changes its members."""
        return ()

    def update(self, q: Array) -> str:
        """Nothing to adapt; weights that move do so inside :meth:`evaluate`."""
        return ""

    def fits(self, q: Array) -> bool:
        """Always: the members are what they are."""
        return True

    def snapshot(self) -> dict[str, Array]:
        """Nothing to keep."""
        return {}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Nothing to go back to."""

    # -- distribution ------------------------------------------------------------------------------------------

    def _bind(self) -> None:
        for name, team in self.teams.items():
            if team is not None:
                self.interface.regions[name].bind(team)

    def _shares(self, places: Mapping[str, Array], queries: Mapping[str, Query]) -> dict[str, Answer]:
        out: dict[str, Answer] = {}
        error: Exception | None = None
        for name, query in queries.items():
            if self.teams[name] is None:
                continue
            clock = time.perf_counter()
            try:
                out[name] = self.interface.regions[name].evaluate(places[name], query)
            except Exception as e:
                # The other regions' turn comes all the same: a mesh compiles its forms with all of its team when it is
                # first evaluated, and whoever left before would let the others wait for ever.
                error = error or e
            self.timings[name] += time.perf_counter() - clock
            self.calls[name] += 1
        if error is not None:
            raise error
        return out

    def _together(self, doing: str, work: Any) -> Any:
        """Do this rank's work; if any rank fails, raise on all of them and name it, so that nobody waits for ever."""
        result, error = None, None
        try:
            result = work()
        except Exception as e:
            error = e
        world = self.ranks.world
        clock = time.perf_counter()
        failures = world.failures(error)
        self.waiting += time.perf_counter() - clock
        if failures:
            rank, message = failures[0]
            where = f" (rank {rank} of {world.size}, {doing})" if world.size > 1 else ""
            raise MultiscaleError(f"{message}{where}") from error
        return result

    def _layout(self, queries: Mapping[str, Query]) -> Layout:
        layout: Layout = []
        for name, query in queries.items():
            r = self.interface.regions[name]
            shapes = {
                "energy": (),
                "forces": (r.n_dofs, 3),
                "site_energies": (r.n_sites,),
                "stress": (3, 3),
                "hvp": (r.n_dofs, 3),
            }
            layout += [(name, field, shapes[field]) for flag, field in _FIELDS if flag in query.want]
        return layout

    def _value(self, shares: Mapping[str, Answer], name: str, field: str, shape: tuple[int, ...]) -> Array:
        """One quantity of this rank's share; zeros where the rank takes no part."""
        if name not in shares:
            return np.zeros(shape)
        value = getattr(shares[name], field)
        if value is None:
            raise MultiscaleError(
                f"region '{name}' was asked for {field} and returned none; its declared capabilities are wrong"
            )
        return np.asarray(value, dtype=float).reshape(shape)

    def _answers(self, layout: Layout, values: Sequence[Array]) -> dict[str, Answer]:
        fields: dict[str, dict[str, Any]] = {}
        for (name, field, shape), value in zip(layout, values, strict=True):
            # The sum is as finite as its terms, and several times faster to look at.
            if not np.isfinite(value.sum()) and not np.isfinite(value).all():
                self._not_finite(name, field, value.reshape(shape))
            shaped = value.reshape(shape)
            fields.setdefault(name, {})[field] = float(shaped) if field == "energy" else shaped
        return {name: Answer(**f) for name, f in fields.items()}

    def _not_finite(self, name: str, field: str, value: Array) -> None:
        which = ""
        if value.ndim == 2 and value.shape != (3, 3):
            kind = "atom" if self.interface.regions[name].discrete else "node"
            which = f" at {kind} {int(np.flatnonzero(~np.isfinite(value).all(axis=1))[0])}"
        raise MultiscaleError(
            f"region '{name}' returned {field} that are not numbers{which}; look for atoms that came too close, or a model "
            "used outside its range"
        )


def _installed() -> list[tuple[str, Can]]:
    """Installed couplers and their needs, for error messages."""
    return [(name, c.needs) for name, c in registry.couplers().items()]
