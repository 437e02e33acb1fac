"""The ghost force at an interface whose law knows only how far it is open, and the load that takes it off.

    g(δ) = F_law − F_across,   G(δ) = H_across − H_law            of bodies that are rigidly δ apart;  H: second derivatives
    E(u) = Σ_s [ Σ_{i in s} g_i(δ_s)·u′_i + ½ u′·G_s(δ_s) u′ ],      u′: displacements without the opening itself

Bodies of atoms that do not see each other relax their faces although the interface is closed, and a law of their opening alone does
not know that what acts across depends on how the layers below are strained. To first order (g) the load holds the faces as the
potential does; to second order (G, as springs between pairs, :mod:`.springs`) both respond alike to small strains. g and G are
measured at a table of openings, with splines between, so that rigid openings are exact; both go to zero as the bodies part, so that
open surfaces relax as they should. The layers' displacements u′ are the internal variables of the law. What is left out: antisymmetric
parts of stiffness blocks, what is of third order in u′, and how g and G depend on sliding.

For potentials whose surfaces do not relax (Stillinger–Weber) g(0) is zero; G is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike
from scipy.interpolate import CubicSpline

from ..neighbours import complete_cell
from ..region import Answer, Can, Query, Region
from ..regions.across import AcrossRegion
from ..types import Array, BoolArray, IntArray, MultiscaleError
from .audit import alone
from .facing import Facing
from .law import InterfaceLaw
from .springs import Springs

#: eV/Å; forces below it are round-off of the potential.
NONE = 1e-9
#: Å; sites that are as near as this to one another's distance share an atom.
EQUAL = 0.05


class GhostLoad(Region):
    """A load on the faces of two bodies of atoms that goes with their opening; a region without matter and without area.

    Parameters
    ----------
    facing : Facing
    openings : (K,) array
        Ascending, Å; from compression to where nothing acts across. Beyond them g and G stay what they are at the ends.
    forces : (K, n, 3) array
        g, eV/Å; see :meth:`of`.
    sides : (n,) int array
        Which body each atom belongs to; the larger label is the upper one.
    cell, pbc : (3, 3), (3,) array
        Of the atoms, Å: the site next to an atom may be an image.
    springs : Springs, optional
        G, one matrix per opening.

    Attributes
    ----------
    residual : float
        eV/Å; what is left of g because the forces of a site's atoms on one side are made to sum to zero. A load that varies along the
        interface would push the bodies otherwise.
    """

    discrete = False
    can = Can.ENERGY | Can.FORCES | Can.SITE_ENERGIES | Can.SITE_WEIGHTS | Can.HVP | Can.STIFFNESS

    def __init__(
        self,
        facing: Facing,
        openings: ArrayLike,
        forces: Array,
        sides: IntArray,
        cell: Array,
        pbc: BoolArray,
        springs: Springs | None = None,
    ) -> None:
        n, table = len(facing.reference), np.array(openings, dtype=float)
        given = np.array(forces, dtype=float)
        if (
            given.shape != (len(table), n, 3)
            or np.shape(sides) != (n,)
            or len(table) < 4
            or (np.diff(table) <= 0).any()
        ):
            raise MultiscaleError(
                f"a ghost load needs four or more ascending openings, forces ({len(table)}, {n}, 3) and sides ({n},), got forces "
                f"{given.shape} and sides {np.shape(sides)}"
            )
        self.facing, self.openings, self.springs = facing, table, springs
        self.n_dofs, self.n_sites = n, facing.n_sites
        self.matter = self.area = np.zeros(self.n_sites)
        self._basis = CubicSpline(table, np.eye(len(table)), bc_type="clamped")
        self._open = sp.csr_matrix(facing.jump[::3])
        loaded = np.abs(given).max(axis=(0, 2)) > NONE
        if springs is not None:
            loaded[springs.i] = loaded[springs.j] = True
        share, away = self._shared(np.flatnonzero(loaded), cell, pbc)
        upper = np.asarray(sides) == np.max(sides)
        self._load, self.residual = self._balanced(given, share, upper)
        # An upper atom's displacement is counted from where the opening at its sites has taken it.
        follows = sp.diags(upper.astype(float)) @ share.T @ (facing.upper - facing.lower)
        self._layers = sp.kron(sp.identity(n) - follows, sp.identity(3), format="csr")
        self._spread = sp.csr_matrix((self.n_sites, 0))
        if springs is not None:
            self._spread = sp.csr_matrix(0.5 * (share[:, springs.i] + share[:, springs.j]))
        # A site's energy goes with its pairs, whose ends follow the openings of other sites.
        self.reach = float(3.0 * max(facing.size.max(), away))

    def _shared(self, loaded: IntArray, cell: Array, pbc: BoolArray) -> tuple[sp.csr_matrix, float]:
        """Each loaded atom's part in every site (n_sites, n): in the nearest along the interface, or several; the farthest atom, Å."""
        f = self.facing
        apart = f.reference[loaded][:, None] - (f.middle @ f.reference)[None]
        apart = apart - (np.round(apart @ np.linalg.inv(cell)) * np.asarray(pbc)) @ cell
        along = np.linalg.norm(apart @ f.frame[1:].T, axis=2)
        near = along < along.min(axis=1, keepdims=True) + EQUAL if len(loaded) else np.zeros(along.shape, bool)
        a, site = np.nonzero(near)
        parts = sp.csr_matrix((1.0 / near.sum(axis=1)[a], (site, loaded[a])), shape=(self.n_sites, self.n_dofs))
        return parts, float(np.linalg.norm(apart, axis=2)[near].max(initial=0.0))

    def _balanced(self, forces: Array, share: sp.csr_matrix, upper: BoolArray) -> tuple[list[sp.csr_matrix], float]:
        """Sites' loads (n_sites, 3n) per opening, whose sum over a site's atoms on either side is zero; and the largest mean taken off."""
        coo = share.tocoo()
        _, number = np.unique(coo.row * 2 + upper[coo.col], return_inverse=True)
        whole = np.bincount(number, coo.data)
        rows, columns = np.repeat(coo.row, 3), (3 * coo.col[:, None] + np.arange(3)).ravel()
        out, worst = [], 0.0
        for g in forces:
            part = coo.data[:, None] * g[coo.col]
            mean = np.stack([np.bincount(number, part[:, i], len(whole)) for i in range(3)], axis=1) / whole[:, None]
            worst = max(worst, float(np.abs(mean).max(initial=0.0)))
            part = part - coo.data[:, None] * mean[number]
            out.append(sp.csr_matrix((part.ravel(), (rows, columns)), shape=(self.n_sites, 3 * self.n_dofs)))
        return out, worst

    @classmethod
    def of(
        cls,
        across: AcrossRegion,
        facing: Facing,
        law: InterfaceLaw,
        order: Literal[1, 2] = 2,
        openings: Sequence[float] | None = None,
    ) -> GhostLoad:
        """Measure g, and to second order G, on the potential.

        Parameters
        ----------
        across : AcrossRegion
        facing : Facing
        law : InterfaceLaw
            Counted from the bodies apart.
        order : {1, 2}
        openings : sequence of float, optional
            Å; by default a dozen, denser where the law is steep, up to where it has nothing left.
        """
        table = default_openings(law) if openings is None else np.asarray(openings, dtype=float)
        assert across.bodies is not None
        upper = (across.bodies == across.bodies.max())[:, None] * facing.frame[0]
        forces, stiff = [], []
        for d in table.tolist():
            x = facing.reference + d * upper
            shut = np.tile([d, 0.0, 0.0], (facing.n_sites, 1))
            pulled = facing.jump.T @ (facing.area[:, None] * law.traction(shut, np.zeros(facing.n_sites))).ravel()
            forces.append(-pulled.reshape(-1, 3) - across.evaluate(x, Query(Can.FORCES))["forces"])
            if order == 2:
                tangent = facing.area[:, None, None] * law.tangent(shut, np.zeros(facing.n_sites))
                n = facing.n_sites
                D = sp.bsr_matrix((tangent, np.arange(n), np.arange(n + 1)), shape=(3 * n, 3 * n))
                stiff.append(across.stiffness(x) - facing.jump.T @ D @ facing.jump)
        cell = complete_cell(across.cell, across.pbc)
        springs = Springs(stiff) if stiff else None
        return cls(facing, table, np.array(forces), across.bodies, cell, across.pbc, springs)

    # -- geometry -----------------------------------------------------------------------------------------------

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

    # -- evaluation ---------------------------------------------------------------------------------------------

    def _state(self, x: Array) -> tuple[Array, Array, list[Array]]:
        """Layers' displacements u′ (n, 3), the sites' loads V (K, n_sites), and the splines' basis with derivatives (K, n_sites)."""
        u = (np.asarray(x) - self.reference).ravel()
        inner = self._layers @ u
        d, table = self._open @ u, self.openings
        inside = (d >= table[0]) & (d <= table[-1])
        at = np.clip(d, table[0], table[-1])
        basis = [self._basis(at, k).T * (inside if k else 1.0) for k in range(3)]
        V = np.array([load @ inner for load in self._load])
        if self.springs is not None:
            V = V + self.springs.energies(inner.reshape(-1, 3)) @ self._spread.T
        return inner.reshape(-1, 3), V, basis

    def _slopes(self, inner: Array, basis: Array) -> sp.csr_matrix:
        """Derivatives Σ_k basis_ks ∂V_ks/∂u (n_sites, 3n)."""
        out = sum(sp.diags(b) @ load for b, load in zip(basis, self._load, strict=True))
        if self.springs is not None:
            out = out + self._site_by_site(inner, basis)
        return sp.csr_matrix(out @ self._layers)

    def _site_by_site(self, inner: Array, basis: Array) -> sp.csr_matrix:
        """Σ_k basis_ks Σ_m spread_sm ∂e_km/∂u′ (n_sites, 3n)."""
        assert self.springs is not None
        spread = self._spread.tocoo()
        d = inner[self.springs.i[spread.col]] - inner[self.springs.j[spread.col]]
        pulls = -np.einsum("kn,knij,nj->ni", basis[:, spread.row], self.springs.blocks[:, spread.col], d)
        pulls *= spread.data[:, None]
        rows = np.repeat(spread.row, 3)
        axes = np.arange(3)
        ends = [(3 * k[spread.col][:, None] + axes).ravel() for k in (self.springs.i, self.springs.j)]
        values = np.concatenate([pulls.ravel(), -pulls.ravel()])
        return sp.csr_matrix(
            (values, (np.concatenate([rows, rows]), np.concatenate(ends))), shape=(self.n_sites, 3 * self.n_dofs)
        )

    def evaluate(self, x: Array, query: Query) -> Answer:
        """This member's share: a contiguous piece of the sites."""
        self.check(x, query)
        inner, V, (b, db, _) = self._state(x)
        w, e = self._mine(query.weights), (b * V).sum(axis=0)
        energy = forces = sites = hvp = None
        if Can.ENERGY in query.want:
            energy = float(w @ e)
        if Can.SITE_ENERGIES in query.want:
            sites = self._mine(None) * e
        if Can.FORCES in query.want:
            opened = self._open.T @ (w * (db * V).sum(axis=0))
            forces = -(opened + self._slopes(inner, b).T @ w).reshape(-1, 3)
        if Can.HVP in query.want and query.vector is not None:
            hvp = (self._hessian(x, w) @ query.vector.ravel()).reshape(-1, 3)
        return Answer(energy, forces, sites, None, hvp)

    def stiffness(self, x: Array, weights: Array | None = None) -> sp.csr_matrix:
        """Second derivatives over this member's sites."""
        return self._hessian(x, self._mine(weights))

    def _mine(self, weights: Array | None) -> Array:
        """Weights (n_sites,), zero at other members' sites."""
        w = np.zeros(self.n_sites)
        mine = self.team.share(self.n_sites)
        w[mine] = 1.0 if weights is None else weights[mine]
        return w

    def _hessian(self, x: Array, w: Array) -> sp.csr_matrix:
        inner, V, (b, db, ddb) = self._state(x)
        mixed = self._open.T @ sp.diags(w) @ self._slopes(inner, db)
        out = self._open.T @ sp.diags(w * (ddb * V).sum(axis=0)) @ self._open + mixed + mixed.T
        if self.springs is not None:
            out = out + self._layers.T @ self.springs.stiffness((w * b) @ self._spread) @ self._layers
        return sp.csr_matrix(out)

    def missed(self, across: AcrossRegion, law: Region, states: Array) -> Array:
        """Largest force (k,), eV/Å, by which law and load differ from what acts across, in states (k, n, 3)."""
        out: list[float] = []
        for region in (across, law, self):
            alone(region)
        for x in states:
            true = across.evaluate(x, Query(Can.FORCES))["forces"]
            ours = law.evaluate(x, Query(Can.FORCES))["forces"] + self.evaluate(x, Query(Can.FORCES))["forces"]
            out.append(float(np.abs(true - ours).max()))
        return np.array(out)


def default_openings(law: InterfaceLaw) -> Array:
    """Openings (K,), Å, at which a ghost load is measured: from −0.2 Å, in steps of a quarter of the peak's, to where the law has ended."""
    c = law.curve
    x = np.linspace(0.0, c.last, 2001)
    end = float(x[np.flatnonzero(c.toughness - c.energy(x) > 1e-4 * c.toughness)[-1]]) + 0.5
    dense = np.arange(0.0, 2.5 * c.peak, 0.25 * c.peak)
    tail = np.linspace(dense[-1], max(end, dense[-1] + 0.5), 5)[1:]
    # Counted from the closed crystal, which has to be in the table; the curve counts from where it is zero, 10⁻⁶ Å away.
    return np.concatenate([[max(-0.2, 0.6 * c.first)], dense, tail])
