"""The ghost force at an interface whose law knows nothing of how surfaces relax, and the load that takes it off.

    g_i  = F_law,i(closed) − F_across,i(closed)      what bodies and law do to atom i that the closed interface does not let happen
    E(u) = Σ_s c(δ_s) Σ_{i in s} g_i·u_i,     c(δ) = [1 − φ(δ)/W]/[1 − φ(0)/W]

Bodies of atoms that do not see each other relax their faces although the interface is closed. The load holds the faces as the crystal
does, and fades as the interface gives way, so that open surfaces relax as they should: both ends are exact, what is between is not, and
:meth:`GhostLoad.missed` says by how much. For potentials whose surfaces do not relax (Stillinger–Weber) g is zero.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from ..neighbours import complete_cell
from ..region import Answer, Can, Query, Region
from ..regions.across import AcrossRegion
from ..types import Array, BoolArray, IntArray, MultiscaleError
from .curve import MeasuredCurve
from .facing import Facing
from .law import InterfaceLaw

#: eV/Å; forces below it are round-off of the potential.
NONE = 1e-9
#: Å; sites that are as near as this to one another's distance share an atom.
EQUAL = 0.05


class GhostLoad(Region):
    """A load on the faces of two bodies of atoms that fades with their opening; a region without matter and without area.

    Parameters
    ----------
    facing : Facing
    curve : MeasuredCurve
        Of the law that joins the faces; its energy says how far the interface has given way.
    forces : (n, 3) array
        g, eV/Å; see :meth:`of`.
    cell, pbc : (3, 3), (3,) array
        Of the atoms, Å: the site next to an atom may be an image.
    sides : (n,) int array
        Which body each atom belongs to.

    Attributes
    ----------
    residual : float
        eV/Å; what is left of g because the forces of a site's atoms on one side are made to sum to zero. A load that fades unevenly along
        the interface would push the bodies otherwise.
    """

    discrete = False
    can = Can.ENERGY | Can.FORCES | Can.SITE_ENERGIES | Can.SITE_WEIGHTS | Can.HVP | Can.STIFFNESS

    def __init__(
        self, facing: Facing, curve: MeasuredCurve, forces: Array, sides: IntArray, cell: Array, pbc: BoolArray
    ) -> None:
        n = len(facing.reference)
        given = np.array(forces, dtype=float)
        if given.shape != (n, 3) or np.shape(sides) != (n,):
            raise MultiscaleError(
                f"a ghost load needs forces ({n}, 3) and sides ({n},), got {given.shape} and {np.shape(sides)}"
            )
        self.facing, self.curve = facing, curve
        self.n_dofs, self.n_sites = n, facing.n_sites
        self.matter = self.area = np.zeros(self.n_sites)
        loaded = np.flatnonzero(np.abs(given).max(axis=1) > NONE)
        atom, site, share, along = self._shared(loaded, cell, pbc)
        _, number = np.unique(site * 2 + (np.asarray(sides)[atom] == np.max(sides)), return_inverse=True)
        part = share[:, None] * given[atom]
        sums, shares = np.zeros((number.max(initial=-1) + 1, 3)), np.bincount(number, share)
        np.add.at(sums, number, part)
        left = sums / np.maximum(shares, 1e-300)[:, None]
        part = part - share[:, None] * left[number]
        self.residual = float(np.abs(left).max(initial=0.0))
        self.reach = float(max(facing.size.max(), along.max(initial=0.0)))
        columns = 3 * atom[:, None] + np.arange(3)
        entries = part.ravel(), (np.repeat(site, 3), columns.ravel())
        self._load = sp.csr_matrix(entries, shape=(self.n_sites, 3 * n))
        self._open = sp.csr_matrix(facing.jump[::3])

    def _shared(self, loaded: IntArray, cell: Array, pbc: BoolArray) -> tuple[IntArray, IntArray, Array, Array]:
        """Which loaded atom goes to which site, its share and distance (Å): to the nearest along the interface, or to several."""
        f = self.facing
        apart = f.reference[loaded][:, None] - (f.middle @ f.reference)[None]
        turns = np.round(apart @ np.linalg.inv(cell)) * np.asarray(pbc)
        apart = apart - turns @ cell
        along = np.linalg.norm(apart @ f.frame[1:].T, axis=2)
        near = along < along.min(axis=1, keepdims=True) + EQUAL if len(loaded) else np.zeros(along.shape, bool)
        a, site = np.nonzero(near)
        return loaded[a], site, 1.0 / near.sum(axis=1)[a], np.linalg.norm(apart, axis=2)[near]

    @classmethod
    def of(cls, across: AcrossRegion, facing: Facing, law: InterfaceLaw) -> GhostLoad:
        """Measure g on the potential: what the law does at the closed interface, less what acts across it."""
        found = across.evaluate(facing.reference, Query(Can.FORCES))["forces"]
        traction = law.traction(np.zeros((facing.n_sites, 3)), np.zeros(facing.n_sites))
        pulled = -(facing.jump.T @ (facing.area[:, None] * traction).ravel()).reshape(-1, 3)
        assert across.bodies is not None
        return cls(facing, law.curve, pulled - found, across.bodies, complete_cell(across.cell, across.pbc), across.pbc)

    @property
    def reference(self) -> Array:
        """The closed interface's positions (n_dofs, 3), Å."""
        return self.facing.reference

    def sites(self, x: Array) -> Array:
        """The facing's sites (n_sites, 3)."""
        return np.asarray(self.facing.middle @ x)

    def pull_sites(self, v: Array) -> Array:
        """The adjoint."""
        return np.asarray(self.facing.middle.T @ v)

    def masses(self) -> Array:
        """None."""
        return np.zeros(self.n_dofs)

    def covers(self, points: Array) -> BoolArray:
        """Nowhere."""
        return np.zeros(len(points), dtype=bool)

    def _state(self, x: Array) -> tuple[Array, Array, Array, Array]:
        """Loads v = Σ g·u, and c, c′, c″ at the sites."""
        u = (np.asarray(x) - self.reference).ravel()
        d, W = self._open @ u, self.curve.toughness
        d = d - self.curve.shift
        W = W - float(self.curve.energy(np.array(-self.curve.shift)))  # c is one at the reference
        c = (self.curve.toughness - self.curve.energy(d)) / W
        return self._load @ u, c, -self.curve.traction(d) / W, -self.curve.slope(d) / W

    def evaluate(self, x: Array, query: Query) -> Answer:
        """This member's share: a contiguous piece of the sites."""
        self.check(x, query)
        v, c, dc, ddc = self._state(x)
        mine = np.zeros(self.n_sites, dtype=bool)
        mine[self.team.share(self.n_sites)] = True
        w = np.where(mine, 1.0 if query.weights is None else query.weights, 0.0)
        energy = forces = sites = hvp = None
        if Can.ENERGY in query.want:
            energy = float(w @ (c * v))
        if Can.SITE_ENERGIES in query.want:
            sites = np.where(mine, c * v, 0.0)
        if Can.FORCES in query.want:
            forces = -(self._open.T @ (w * dc * v) + self._load.T @ (w * c)).reshape(-1, 3)
        if Can.HVP in query.want and query.vector is not None:
            p = query.vector.ravel()
            a, b = self._open @ p, self._load @ p
            hvp = (self._open.T @ (w * (ddc * v * a + dc * b)) + self._load.T @ (w * dc * a)).reshape(-1, 3)
        return Answer(energy, forces, sites, None, hvp)

    def stiffness(self, x: Array, weights: Array | None = None) -> sp.csr_matrix:
        """Second derivatives over this member's sites."""
        v, _, dc, ddc = self._state(x)
        w = np.zeros(self.n_sites)
        mine = self.team.share(self.n_sites)
        w[mine] = 1.0 if weights is None else weights[mine]
        mixed = self._open.T @ sp.diags(w * dc) @ self._load
        return (self._open.T @ sp.diags(w * ddc * v) @ self._open + mixed + mixed.T).tocsr()

    def missed(self, across: AcrossRegion, law: Region, states: Array) -> Array:
        """Largest force (k,), eV/Å, by which law and load differ from what acts across, in states (k, n, 3).

        Rigid openings show the limits of the correction: zero where closed and where nothing acts any more, and in between what the
        potential's faces feel of each other that a law of their mean opening does not know.
        """
        out = []
        for x in states:
            true = across.evaluate(x, Query(Can.FORCES))["forces"]
            ours = law.evaluate(x, Query(Can.FORCES))["forces"] + self.evaluate(x, Query(Can.FORCES))["forces"]
            out.append(float(np.abs(true - ours).max()))
        return np.array(out)
