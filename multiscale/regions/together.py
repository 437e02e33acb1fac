"""Regions together as one: a body and an interface on its nodes, or two bodies and the gap between them.

    E(x; w) = Σ_r E_r(P_r x; w_r)          sites: theirs, one after another

One share of a partition of unity then weighs the points of volumes and of interfaces alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import scipy.sparse as sp

from ..embedding import Embedding, select
from ..region import Answer, Can, Query, Region
from ..types import Array, BoolArray, IntArray, MultiscaleError, Team

T = TypeVar("T")


class Together(Region):
    """Several regions on the same dofs, or on some of them each, as one: its sites are theirs, one after another.

    A body with an interface is a volume and an area on the same nodes. As one region it takes one share of a partition of unity, at the
    points of the volume and at those of the interface alike.

    Parameters
    ----------
    regions : sequence of Region
        The first one that covers a point has its matter.
    dofs : sequence of int arrays, optional
        Which of the common dofs each region has, in its order: two bodies across a gap have their own nodes each, the gap has all of them
        (:attr:`~multiscale.continuum.gap.Gap.dofs`). Unless told, all have the same.
    """

    discrete = False

    def __init__(self, regions: Sequence[Region], dofs: Sequence[IntArray] | None = None) -> None:
        first = regions[0]
        for r in regions if dofs is None else ():
            if r.discrete or r.n_dofs != first.n_dofs or not np.array_equal(r.reference, first.reference):
                raise MultiscaleError(
                    f"regions go together as one if they have the same nodes, but {type(r).__name__} has {r.n_dofs} dofs and "
                    f"{type(first).__name__} {first.n_dofs}; make them from the same mesh, or say which dofs each has"
                )
        self.regions = tuple(regions)
        taken = [np.arange(r.n_dofs) for r in regions] if dofs is None else [np.asarray(d) for d in dofs]
        self._reference = _common(self.regions, taken)
        self.n_dofs = len(self._reference)
        self._embeddings = [select(d, self.n_dofs) for d in taken]
        self.can = first.can
        for r in self.regions:
            self.can &= r.can
        self.can &= ~Can.STRESS
        self.n_sites = sum(r.n_sites for r in regions)
        self.reach = max(r.reach for r in regions)
        self.matter = np.concatenate([r.matter for r in regions])
        self.area = np.concatenate([r.area for r in regions])
        self.lattice = first.lattice
        self._ends = np.cumsum([r.n_sites for r in regions])[:-1]

    @property
    def reference(self) -> Array:
        """Theirs."""
        return self._reference

    def bind(self, team: Team) -> None:
        """Bind all of them to the team."""
        super().bind(team)
        for r in self.regions:
            r.bind(team)

    def abandon(self, error: Exception) -> None:
        """Tell all of them."""
        for r in self.regions:
            r.abandon(error)

    def sites(self, x: Array) -> Array:
        """Their sites, in their order."""
        return np.concatenate([r.sites(e.place(x)) for r, e in self._each()])

    def pull_sites(self, v: Array) -> Array:
        """The sum of what they pull."""
        pieces = np.split(v, self._ends)
        return np.sum([e.pull(r.pull_sites(p)) for (r, e), p in zip(self._each(), pieces, strict=True)], axis=0)

    def covers(self, points: Array) -> BoolArray:
        """Where any of them has matter."""
        return np.any([r.covers(points) for r in self.regions], axis=0)

    def masses(self) -> Array:
        """The sum of theirs."""
        out = np.zeros(self.n_dofs)
        for r, e in self._each():
            out[e.own] += r.masses()
        return out

    def _each(self) -> list[tuple[Region, Embedding]]:
        return list(zip(self.regions, self._embeddings, strict=True))

    def _split(self, weights: Array | None) -> list[Array | None]:
        return [None] * len(self.regions) if weights is None else list(np.split(weights, self._ends))

    def _in_turn(self, ask: Callable[[Region, Embedding, Array | None], T], weights: Array | None) -> list[T]:
        """What every region answers. One that fails leaves the others their turn: their ranks may wait for this one."""
        out: list[T] = []
        error: Exception | None = None
        for (r, e), w in zip(self._each(), self._split(weights), strict=True):
            try:
                out.append(ask(r, e, w))
            except Exception as failure:
                error = error or failure
                r.abandon(failure)
        if error is not None:
            raise error
        return out

    def evaluate(self, x: Array, query: Query) -> Answer:
        """The sum of their answers; site energies one after another."""
        self.check(x, query)
        v = query.vector

        def ask(r: Region, e: Embedding, w: Array | None) -> Answer:
            return r.evaluate(e.place(x), Query(query.want, w, None if v is None else e.push(v), query.uncounted))

        answers = self._in_turn(ask, query.weights)

        def total(name: str, flag: Can) -> Any:
            pulled = [e.pull(a[name]) for e, a in zip(self._embeddings, answers, strict=True)] if flag in want else []
            return np.sum(pulled, axis=0) if pulled else None

        want = query.want
        energy = sum(a["energy"] for a in answers) if Can.ENERGY in want else None
        sites = np.concatenate([a["site_energies"] for a in answers]) if Can.SITE_ENERGIES in want else None
        return Answer(energy, total("forces", Can.FORCES), sites, None, total("hvp", Can.HVP))

    def stiffness(self, x: Array, weights: Array | None = None) -> sp.csr_matrix:
        """The sum of theirs."""

        def ask(r: Region, e: Embedding, w: Array | None) -> sp.csr_matrix:
            return _renumbered(r.stiffness(e.place(x), w), e.own, self.n_dofs)

        return sum(self._in_turn(ask, weights))


def _renumbered(matrix: sp.spmatrix, dofs: IntArray, n: int) -> sp.csr_matrix:
    """A matrix (3 n_r, 3 n_r) over a region's dofs as one over all n of them."""
    m = sp.csr_matrix(matrix)
    if len(dofs) == n and np.array_equal(dofs, np.arange(n)):
        return m
    components = (3 * dofs[:, None] + np.arange(3)).ravel()
    rows = np.repeat(components, np.diff(m.indptr))
    return sp.csr_matrix((m.data, (rows, components[m.indices])), shape=(3 * n, 3 * n))


def _common(regions: Sequence[Region], dofs: Sequence[IntArray]) -> Array:
    """Reference positions (n, 3) of the common dofs, in which regions that share some agree."""
    out = np.full((1 + max(int(d.max()) for d in dofs), 3), np.nan)
    for r, d in zip(regions, dofs, strict=True):
        if len(d) != r.n_dofs or r.discrete:
            raise MultiscaleError(
                f"{type(r).__name__} has {r.n_dofs} dofs and was given {len(d)} of the common ones; give it one for each"
            )
        known = ~np.isnan(out[d]).any(axis=1)
        if not np.array_equal(out[d][known], r.reference[known]):
            raise MultiscaleError(
                f"{type(r).__name__} has its dofs elsewhere than others that share them; make them from the same mesh"
            )
        out[d] = r.reference
    if np.isnan(out).any():
        raise MultiscaleError(
            f"{int(np.isnan(out).any(axis=1).sum())} of the {len(out)} common dofs belong to no region; number them without gaps"
        )
    return out
