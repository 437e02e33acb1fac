"""A network of harmonic springs, the bonds of the reference configuration.

E(x ; w) = Σ_i w_i e_i(x),     e_i = ½ Σ_{bonds b of i} ½ k (L_b − L_b⁰)²

An atom owns half of each of its bonds, so that a bond b = (i, j) counts with c_b = ½ (w_i + w_j).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from multiscale.region import Answer, Can, Query, Region
from multiscale.testing.specimen import Specimen
from multiscale.types import Array, BoolArray


class Springs(Region):
    """Atoms joined by springs of constant k to all neighbours within a cutoff; open boundaries.

    Parameters
    ----------
    reference : (n, 3) array
        Å; every spring is at rest here.
    k : float
        eV/Å².
    cutoff : float
        Å; pairs nearer than this in the reference are joined.
    mass : float
        amu.
    """

    can = Can.ENERGY | Can.FORCES | Can.SITE_ENERGIES | Can.SITE_WEIGHTS | Can.STRESS | Can.SUBSETS

    def __init__(self, reference: Array, k: float, cutoff: float, mass: float = 28.0855):
        self._reference = np.array(reference, dtype=float)
        self.k, self.cutoff, self.mass = k, cutoff, mass
        self.n_dofs = self.n_sites = len(self._reference)
        self.matter, self.area = np.ones(self.n_sites), np.zeros(self.n_sites)
        self.i, self.j = cKDTree(self._reference).query_pairs(cutoff, output_type="ndarray").reshape(-1, 2).T
        self.rest = np.linalg.norm(self._reference[self.j] - self._reference[self.i], axis=1)
        self.reach = float(self.rest.max(initial=0.0))

    @property
    def reference(self) -> Array:
        """Reference positions (n, 3), Å."""
        return self._reference

    def evaluate(self, x: Array, query: Query) -> Answer:
        """This rank's atoms; the others contribute nothing."""
        self.check(x, query)
        mine = np.zeros(self.n_sites)
        mine[self.team.share(self.n_sites)] = 1.0
        w = mine if query.weights is None else mine * query.weights
        # Site energies are wanted of all atoms of this rank, whatever their weight; everything else is linear in w.
        counted = mine if Can.SITE_ENERGIES in query.want else w
        b = np.flatnonzero((counted[self.i] != 0) | (counted[self.j] != 0))
        i, j, c = self.i[b], self.j[b], 0.5 * (w[self.i[b]] + w[self.j[b]])
        d = x[j] - x[i]
        length = np.linalg.norm(d, axis=1)
        stretch = length - self.rest[b]
        energy = 0.5 * self.k * stretch**2
        pull = (c * self.k * stretch / length)[:, None] * d
        out: dict[str, Any] = {}
        if Can.ENERGY in query.want:
            out["energy"] = float(c @ energy)
        if Can.FORCES in query.want:
            out["forces"] = np.zeros_like(x)
            np.add.at(out["forces"], i, pull)
            np.add.at(out["forces"], j, -pull)
        if Can.SITE_ENERGIES in query.want:
            out["site_energies"] = 0.5 * mine * np.bincount(np.r_[i, j], np.r_[energy, energy], self.n_sites)
        if Can.STRESS in query.want:
            out["stress"] = pull.T @ d
        return Answer(**out)

    def sites(self, x: Array) -> Array:
        """The atoms themselves."""
        return x

    def pull_sites(self, v: Array) -> Array:
        """The adjoint of the identity."""
        return v

    def masses(self) -> Array:
        """One mass per atom (n,), amu."""
        return np.full(self.n_dofs, self.mass)

    def covers(self, points: Array) -> BoolArray:
        """Within a spring's length of an atom."""
        return cKDTree(self._reference).query(points)[0] <= self.reach


def specimen() -> Specimen:
    """A simple cube of 4 × 4 × 4 atoms with springs to first and second neighbours."""
    x = 2.5 * np.stack(np.meshgrid(*[np.arange(4.0)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    return Specimen(lambda: Springs(x, k=3.0, cutoff=3.6))
