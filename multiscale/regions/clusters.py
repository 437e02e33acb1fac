"""Cluster summation: the energy of many atoms from clusters of a few, E(x ; w) = Σ_a w_a n_a/|C_a| Σ_{i∈C_a} e_i(x).

    n_a = Σ_i N_a(X_i)       how many atoms the vertex a of a mesh stands for;  Σ_a n_a = number of atoms

A quadrature rule on the lattice (Knap & Ortiz, JMPS 49 (2001) 1899, https://doi.org/10.1016/S0022-5096(01)00034-5): all other atoms follow
the mesh, and only sites in clusters are evaluated. Where every atom is a vertex nothing is approximated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from ..region import Answer, Query, Region
from ..types import Array, BoolArray, MultiscaleError, Team
from .ml import MLRegion


class ClusterRegion(Region):
    """Atoms of which some stand for the others.

    Parameters
    ----------
    atoms : MLRegion
        The atoms of all clusters and everything that these see.
    share : (n_sites, n_atoms) sparse matrix
        How often atom i is counted for site a: n_a/|C_a| in the cluster, 0 elsewhere.
    centres : (n_sites,) ints
        The atom at each site.

    Raises
    ------
    MultiscaleError
        If shares are negative or do not fit the atoms.
    """

    discrete = False

    def __init__(self, atoms: MLRegion, share: Any, centres: Array) -> None:
        self.share = sp.csr_matrix(share)
        self.centres = np.asarray(centres, dtype=np.int64)
        if self.share.shape != (len(self.centres), atoms.n_sites) or (self.share.data < 0).any():
            raise MultiscaleError(
                f"ClusterRegion needs shares of shape (n_sites, n_atoms) = ({len(self.centres)}, {atoms.n_sites}), none of them negative, "
                f"got {self.share.shape} from {self.share.data.min(initial=0.0):.3g} on"
            )
        self.inner, self.can, self.reach = atoms, atoms.can, atoms.reach
        self.n_dofs, self.n_sites = atoms.n_dofs, len(self.centres)
        self.matter = np.asarray(self.share.sum(axis=1)).ravel()
        self.area = np.zeros(self.n_sites)

    @property
    def reference(self) -> Array:
        """Reference positions of the atoms (n_dofs, 3), Å."""
        return self.inner.reference

    def sites(self, x: Array) -> Array:
        """The atoms that stand for others (n_sites, 3), Å."""
        return np.asarray(x[self.centres])

    def pull_sites(self, v: Array) -> Array:
        """Vectors at the sites as vectors at the atoms."""
        out = np.zeros((self.n_dofs, 3))
        np.add.at(out, self.centres, v)
        return out

    def masses(self) -> Array:
        """Masses (n_dofs,), amu: each atom as often as it is counted."""
        return np.asarray(self.share.sum(axis=0)).ravel() * self.inner.masses()

    def covers(self, points: Array) -> BoolArray:
        """Whether an atom of the clusters or their surroundings is near each point (n, 3)."""
        return self.inner.covers(points)

    def bind(self, team: Team) -> None:
        """Give the region its team."""
        super().bind(team)
        self.inner.bind(team)

    def evaluate(self, x: Array, query: Query) -> Answer:
        """The answer at positions ``x`` (n_dofs, 3), Å; collective within the team."""
        self.check(x, query)
        answer = self.inner.evaluate(x, replace(query, weights=self._counted(query.weights), uncounted=False))
        e = answer.site_energies
        if e is not None and query.weights is not None and query.uncounted:
            e = self.inner.evaluate(x, replace(query, weights=self._counted(None), uncounted=False)).site_energies
        return replace(answer, site_energies=None if e is None else np.asarray(self.share @ e))

    def stiffness(self, x: Array, weights: Array | None = None) -> Any:
        """The sparse Hessian (3·n_dofs, 3·n_dofs), eV/Å², this rank's share of it."""
        return self.inner.stiffness(x, self._counted(weights))

    def _counted(self, weights: Array | None) -> Array:
        """How often each atom (n_dofs,) is counted."""
        return np.asarray(self.share.T @ (np.ones(self.n_sites) if weights is None else weights))

    def counters(self) -> Mapping[str, float]:
        """Those of the atoms inside."""
        return self.inner.counters()

    def abandon(self, error: Exception) -> None:
        """Tell the other ranks of the team why this one does not come."""
        self.inner.abandon(error)

    def describe(self) -> str:
        """One line for reports."""
        return f"ClusterRegion: {self.n_sites} of {self.matter.sum():.0f} atoms stand for all ({self.inner.model.name})"
