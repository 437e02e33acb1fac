"""Sites that see copies of their neighbours: E(x ; w) = Σ_k w_k e(x_k0 ; x_k1 … x_km), one star of 1 + m dofs per site.

A star's arms are dofs of its own, so that an embedding may place them anywhere: at the neighbours themselves, or at positions that are
*reconstructed* from several of them (:mod:`multiscale.reconstruction`). The stars do not see one another: the model gets them far apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import scipy.sparse as sp

from ..models.base import SiteModel
from ..region import Answer, Can, Query, Region
from ..types import Array, BoolArray, IntArray, MultiscaleError, Team
from .cover import covered
from .ml import MLRegion


class StarRegion(Region):
    """Atoms whose site energies are evaluated on neighbours of their own.

    Parameters
    ----------
    model : SiteModel
        Strictly local.
    positions : (n_stars, 1 + n_arms, 3) array
        Reference positions, Å, centres first. All neighbours of a centre must be among its arms.
    symbol : str
        The element.

    Raises
    ------
    MultiscaleError
        If the model is not strictly local, or stars are as wide as the space between them.

    Examples
    --------
    >>> from multiscale.models import LennardJones
    >>> pair = np.array([[[0.0, 0, 0], [2.0 ** (1 / 6) * 3.4, 0, 0]]])
    >>> region = StarRegion(LennardJones(0.01, 3.4, symbols=("Ar",)), pair, "Ar")
    >>> region.n_sites, region.n_dofs
    (1, 2)
    """

    def __init__(self, model: SiteModel, positions: Array, symbol: str) -> None:
        x = np.asarray(positions, dtype=float)
        if model.layers != 1:
            raise MultiscaleError(
                f"StarRegion was given {model.name}, which has {model.layers} layers; its stars hold one shell of neighbours, so that it "
                "needs a strictly local model"
            )
        if x.ndim != 3 or x.shape[2] != 3 or x.shape[1] < 2:
            raise MultiscaleError(f"StarRegion needs positions of shape (n_stars, 1 + n_arms, 3), got {x.shape}")
        n, m = x.shape[:2]
        self._stars, self._reference = m, x.reshape(-1, 3)
        self._shift, self._home = self._apart(x, model.cutoff)
        self._inner = MLRegion(
            model,
            symbols=[symbol] * (n * m),
            positions=self._spread(self._reference),
            link_atoms=np.arange(n * m) % m > 0,
            # Of the pairs within cutoff + skin only few are bonds, and a list is cheap.
            skin=0.1,
        )
        self.can = self._inner.can
        self.reach, self.n_dofs, self.n_sites = model.cutoff, n * m, n
        self.matter, self.area = np.ones(n), np.zeros(n)

    @staticmethod
    def _apart(x: Array, cutoff: float) -> tuple[Array, Array]:
        """Where the centres are put (n_stars, 3): on a square grid wide enough for stars that grow by half; and each dof's centre."""
        n, m = x.shape[:2]
        width = float(np.linalg.norm(x[:, 1:] - x[:, :1], axis=2).max())
        side = int(np.ceil(np.sqrt(n)))
        pitch = 3.0 * width + 2.0 * cutoff
        grid = pitch * np.stack([np.arange(n) % side, np.arange(n) // side, np.zeros(n)], axis=1)
        return np.repeat(grid, m, axis=0), np.repeat(m * np.arange(n), m)

    def _spread(self, x: Array) -> Array:
        """The stars as the model gets them: each seen from its centre, and moved to its place on the grid."""
        return np.asarray(x - x[self._home] + self._shift)

    @property
    def reference(self) -> Array:
        """Reference positions of centres and arms (n_dofs, 3), Å."""
        return self._reference

    @property
    def centres(self) -> IntArray:
        """The dofs (n_sites,) that are the stars' centres."""
        return np.arange(0, self.n_dofs, self._stars)

    def sites(self, x: Array) -> Array:
        """The centres (n_sites, 3), Å."""
        return np.asarray(x[:: self._stars])

    def pull_sites(self, v: Array) -> Array:
        """Vectors at the centres (n_sites, 3) as vectors at the dofs."""
        out = np.zeros((self.n_dofs, 3))
        out[:: self._stars] = v
        return out

    def masses(self) -> Array:
        """Masses (n_dofs,), amu: of the element. Arms are copies of atoms that others count: for dynamics take the masses from those."""
        return self._inner.masses()

    def covers(self, points: Array) -> BoolArray:
        """Whether an atom of the stars, arms included, is within the nearest-neighbour distance of each point (n, 3)."""
        # Arms of different stars are the same atoms: one of each tells the distance between neighbours.
        x = np.unique(self._reference.round(6), axis=0)
        return covered(points, x, np.zeros((3, 3)), np.zeros(3, dtype=bool))

    def bind(self, team: Team) -> None:
        """Give the region its team."""
        super().bind(team)
        self._inner.bind(team)

    def evaluate(self, x: Array, query: Query) -> Answer:
        """The answer at positions ``x`` (n_dofs, 3), Å; collective within the team."""
        self.check(x, query)
        weights = self._weights(query.weights)
        # Arms weigh nothing: nobody wants their energies.
        answer = self._inner.evaluate(self._spread(x), replace(query, weights=weights, uncounted=False))
        e = answer.site_energies
        if e is not None and query.uncounted and query.weights is not None:
            every = replace(query, want=Can.SITE_ENERGIES, weights=self._weights(None), uncounted=False)
            e = self._inner.evaluate(self._spread(x), every).site_energies
        return replace(answer, site_energies=None if e is None else e[:: self._stars])

    def stiffness(self, x: Array, weights: Array | None = None) -> sp.csr_matrix:
        """The exact sparse Hessian (3·n_dofs, 3·n_dofs), eV/Å², this rank's share of it."""
        self.check(x, Query(Can.STIFFNESS, weights))
        k: sp.csr_matrix = self._inner.stiffness(self._spread(x), self._weights(weights))
        return k

    def _weights(self, weights: Array | None) -> Array:
        out = np.zeros(self.n_dofs)
        out[:: self._stars] = 1.0 if weights is None else weights
        return out

    def counters(self) -> Mapping[str, float]:
        """Those of the atoms inside."""
        return self._inner.counters()

    def abandon(self, error: Exception) -> None:
        """Tell the other ranks of the team why this one does not come."""
        self._inner.abandon(error)

    def describe(self) -> str:
        """One line for reports."""
        return f"StarRegion of {self.n_sites} sites with {self._stars - 1} neighbours each ({self._inner.model.name})"
