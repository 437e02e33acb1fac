"""A continuum that a phase field has damaged: the same region with its sites' energies degraded.

    E(x; w) = Σ_s w_s g_s e_s(x),       g_s = (1 − d(X_s))² + k,      e_s the sound region's

At given damage this is a region like any other, in a hybrid model with atoms where they are wanted. A crack that is atoms at its tip and a
phase field far away is minimised by turns: atoms and nodes together at fixed d (``relax`` or ``newton``), then d at fixed u by
:meth:`PhaseField.damage_at <multiscale.continuum.phase_field.PhaseField.damage_at>`, with the partition's weights.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..region import Answer, Query, Region
from ..types import Array, BoolArray, MultiscaleError, Team
from .continuum import ContinuumRegion


class Damaged(Region):
    """A continuum region with a damage that is set from outside.

    Parameters
    ----------
    sound : ContinuumRegion
        Its law and mesh are those of the phase field; with the same quadrature (degree 2, or 4 for quadratic nodes) energies agree exactly.
    residual : float
        k.

    Examples
    --------
    >>> from multiscale.continuum.laws import LinearElastic
    >>> from multiscale.continuum.mesh import SimplexMesh
    >>> from multiscale.continuum.voigt import cubic_stiffness
    >>> from multiscale.region import Can, Query
    >>> mesh = SimplexMesh.rectangle((0, 0), (10, 10), (2, 2))
    >>> body = Damaged(ContinuumRegion(mesh, LinearElastic(cubic_stiffness(151.4, 76.4, 56.4)), site_volume=20.0))
    >>> x = mesh.nodes * [1.0, 1.01, 1.0]
    >>> before = body.evaluate(x, Query(Can.ENERGY)).energy
    >>> body.degrade(np.full(len(mesh.points), 0.5))
    >>> round(body.evaluate(x, Query(Can.ENERGY)).energy / before, 4)
    0.25
    """

    discrete = False

    def __init__(self, sound: ContinuumRegion, residual: float = 1e-6) -> None:
        self.sound, self.residual, self.mesh = sound, residual, sound.mesh
        self.can, self.reach, self.lattice = sound.can, sound.reach, sound.lattice
        self.n_dofs, self.n_sites, self.matter, self.area = sound.n_dofs, sound.n_sites, sound.matter, sound.area
        #: g_s (n_sites,).
        self.degradation = np.full(self.n_sites, 1.0 + residual)

    def degrade(self, damage: Array) -> None:
        """Take damage (n_points,) at the mesh's vertices. Call on every rank."""
        d = np.asarray(damage, dtype=float)
        if d.shape != (len(self.mesh.points),):
            raise MultiscaleError(f"damage needs one value per vertex, ({len(self.mesh.points)},), got {d.shape}")
        cell, lam = self.mesh.quadrature_points(self.sound.quadrature_degree)
        at = np.einsum("nk,nk->n", lam, d[self.mesh.cells[cell]])
        self.degradation = (1.0 - at) ** 2 + self.residual

    def _degraded(self, weights: Array | None) -> Array:
        return self.degradation if weights is None else weights * self.degradation

    def evaluate(self, x: Array, query: Query) -> Answer:
        """The sound region's answer at weights w g; site energies are g e."""
        self.check(x, query)
        answer = self.sound.evaluate(x, replace(query, weights=self._degraded(query.weights)))
        if answer.site_energies is None:
            return answer
        return replace(answer, site_energies=self.degradation * answer.site_energies)

    def stiffness(self, x: Array, weights: Array | None = None) -> Any:
        """The sound region's at weights w g."""
        return self.sound.stiffness(x, self._degraded(weights))

    # -- as the sound region ------------------------------------------------------------------------------------

    @property
    def reference(self) -> Array:
        """Reference positions of the nodes (n_dofs, 3), Å."""
        return self.sound.reference

    def bind(self, team: Team) -> None:
        """Bind the sound region."""
        super().bind(team)
        self.sound.bind(team)

    def abandon(self, error: Exception) -> None:
        """Tell the sound region."""
        self.sound.abandon(error)

    def sites(self, x: Array) -> Array:
        """Quadrature points (n_sites, 3), Å."""
        return self.sound.sites(x)

    def pull_sites(self, v: Array) -> Array:
        """Vectors at the sites (n_sites, 3) gathered to the nodes (n_dofs, 3)."""
        return self.sound.pull_sites(v)

    def covers(self, points: Array) -> BoolArray:
        """Where the sound region has matter: broken matter is matter."""
        return self.sound.covers(points)

    def interpolation(self, points: Array) -> Any:
        """Shape functions at reference points (n, 3): (n, n_dofs)."""
        return self.sound.interpolation(points)

    def masses(self) -> Array:
        """Lumped masses (n_dofs,), amu."""
        return self.sound.masses()

    def write(self, path: str | Path, x: Array) -> None:
        """Displacements and *sound* stresses, as the sound region writes them."""
        self.sound.write(path, x)
