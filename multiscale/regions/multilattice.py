"""A continuum region of a crystal with several atoms per cell, whose inner shifts are dofs of their own.

    E(x, s ; w) = Σ_k w_k v_k Ŵ(F_k, p_k),      p_kb = s_kb − X_k        sites k the quadrature points of a mesh, b = 1 … n_basis − 1

    ∂E/∂x = Σ_k w_k v_k Ŵ_F : ∇N              ∂E/∂s_kb = w_k v_k Ŵ_pb

Condensed Cauchy–Born laws hide the shifts; here they are part of q, so that atoms that follow the mesh get exactly the shift that the
continuum has, and a ghost-force correction acts on displacement *and* shift. A shift is stored as the point s = X_k + p, that is
*where* it belongs: weights, distances and pictures need no exception for it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy.sparse as sp

from ..continuum.cauchy_born import CauchyBorn
from ..continuum.forms import DistributedForms
from ..continuum.laws import SampledLaw
from ..continuum.mesh import SimplexMesh
from ..continuum.reference import rule
from ..embedding import Embedding, select, slaved
from ..region import Answer, Can, Query, Region
from ..types import Array, BoolArray, IntArray, MultiscaleError, Team
from .continuum import ContinuumRegion

_CAN = Can.ENERGY | Can.FORCES | Can.SITE_ENERGIES | Can.SITE_WEIGHTS | Can.HVP | Can.STIFFNESS


class _AtShifts(SampledLaw):
    """Ŵ(F, p) at given shifts, for the forms of the nodes."""

    def __init__(self, law: CauchyBorn) -> None:
        self.law, self.lattice = law, law.lattice
        self.p = np.zeros((0, law.crystal.n_basis, 3))
        self._known: tuple[Array, Array, int, Array, Array, Array | None] | None = None

    def derivatives(self, gradient: Array, order: int) -> tuple[Array, Array, Array | None]:
        """Energy per volume (n,), and its derivatives by z = (F, p), kept until another state comes."""
        known = self._known
        if (
            known is not None
            and known[2] >= order
            and np.array_equal(known[0], gradient)
            and np.array_equal(known[1], self.p)
        ):
            return known[3], known[4], known[5]
        dim = gradient.shape[1]
        F = np.tile(np.eye(3), (len(gradient), 1, 1))
        F[:, :dim, :dim] += gradient
        crystal = self.law.crystal
        e, g, h = crystal.evaluate(F, self.p, max(order, 1))
        assert g is not None
        e, g, h = e / crystal.volume, g / crystal.volume, None if h is None else h / crystal.volume
        self._known = (gradient.copy(), self.p.copy(), max(order, 1), e, g, h)
        return e, g, h

    def density(self, gradient: Array) -> Array:
        """Ŵ (n,), eV/Å³."""
        return self.derivatives(gradient, 0)[0]

    def stress(self, gradient: Array) -> Array:
        """Ŵ_F (n, 3, 3), eV/Å³."""
        return self.derivatives(gradient, 1)[1][:, :9].reshape(-1, 3, 3)

    def tangent(self, gradient: Array) -> Array:
        """Ŵ_FF (n, 3, 3, 3, 3), eV/Å³."""
        h = self.derivatives(gradient, 2)[2]
        assert h is not None
        return h[:, :9, :9].reshape(-1, 3, 3, 3, 3)


class MultilatticeRegion(Region):
    """A mesh of a multilattice crystal: dofs are its nodes, then one point per site and sublattice but the first.

    Parameters
    ----------
    mesh : SimplexMesh
        Reference configuration, Å.
    law : CauchyBorn
        Of a crystal with at least two atoms per cell.
    site_volume, thickness, atom_mass, quadrature_degree
        As for :class:`~multiscale.regions.continuum.ContinuumRegion`.

    Notes
    -----
    In :meth:`masses` the nodes carry all of the matter; a shift has the reduced mass of its sublattice against the other atoms of the cell,
    as if the mesh moved with their centre of mass: right for optical vibrations at long waves, an approximation otherwise.
    """

    discrete = False
    can = _CAN

    def __init__(
        self,
        mesh: SimplexMesh,
        law: CauchyBorn,
        *,
        site_volume: float,
        thickness: float = 1.0,
        atom_mass: float | None = None,
        quadrature_degree: int | None = None,
    ) -> None:
        nb = law.crystal.n_basis
        if nb < 2:
            raise MultiscaleError(
                f"a MultilatticeRegion needs a crystal with two or more atoms per cell, got {nb}; use a ContinuumRegion"
            )
        self._at = _AtShifts(law)
        self._whole = ContinuumRegion(
            mesh,
            self._at,
            site_volume=site_volume,
            thickness=thickness,
            atom_mass=atom_mass,
            quadrature_degree=quadrature_degree,
        )
        self.mesh, self.law, self.thickness = mesh, law, thickness
        self.lattice = law.lattice
        self.quadrature_degree = self._whole.quadrature_degree
        self.volumes, self.matter, self.area = self._whole.volumes, self._whole.matter, self._whole.area
        self.n_nodes, self.n_sites, self.n_basis = len(mesh.nodes), self._whole.n_sites, nb
        self.n_dofs = self.n_nodes + self.n_sites * (nb - 1)
        self.reach = self._whole.reach
        places = self._whole.sites(mesh.nodes)
        self._reference = np.vstack([mesh.nodes, np.repeat(places, nb - 1, axis=0)])

    # -- geometry -----------------------------------------------------------------------------------------------

    @property
    def reference(self) -> Array:
        """Nodes, then the sites' places once per shift: p = 0."""
        return self._reference

    def shifts(self, x: Array) -> Array:
        """The shifts p (n_sites, n_basis, 3), Å, zero for the first atom."""
        p = (x - self._reference)[self.n_nodes :].reshape(self.n_sites, self.n_basis - 1, 3)
        return np.pad(p, ((0, 0), (1, 0), (0, 0)))

    def sites(self, x: Array) -> Array:
        """Current positions of the quadrature points (n_sites, 3), Å."""
        return self._whole.sites(x[: self.n_nodes])

    def pull_sites(self, v: Array) -> Array:
        """To the nodes; a site lies where the mesh is, whatever its shift."""
        return np.vstack([self._whole.pull_sites(v), np.zeros((self.n_dofs - self.n_nodes, 3))])

    def covers(self, points: Array) -> BoolArray:
        """Whether reference points (n, 3) lie in the mesh."""
        return self._whole.covers(points)

    def masses(self) -> Array:
        """Lumped masses (n_dofs,), amu: of all matter at the nodes, reduced masses at the shifts."""
        nodes, n = self._whole.masses(), self.n_basis
        # Atoms of equal mass m, n in a cell: one against the others has m (n − 1)/n.
        one = nodes.sum() / self.matter.sum() * (n - 1) / n
        return np.concatenate([nodes, np.repeat(one * self.matter / n, n - 1)])

    def relaxed(self, x: Array) -> Array:
        """The same nodes with the shifts of least energy, those of the condensed law."""
        out, u = np.array(x, dtype=float), x[: self.n_nodes] - self.mesh.nodes
        where = self.mesh.quadrature_points(self.quadrature_degree)
        H = np.stack([g @ u[:, : self.mesh.dim] for g in self.mesh.gradient_in(*where)], axis=2)
        out[self.n_nodes :] = self._reference[self.n_nodes :] + self.law.shifts(H)[:, 1:].reshape(-1, 3)
        return out

    # -- evaluation ---------------------------------------------------------------------------------------------

    def bind(self, team: Team) -> None:
        """Distribute the mesh over the team. Collective on its members."""
        super().bind(team)
        self._whole.bind(team)

    @property
    def forms(self) -> DistributedForms:
        """The distributed mesh and its forms at the present shifts; a region that was never bound works alone."""
        return self._whole.forms

    def _state(self, x: Array, weights: Array | None) -> tuple[IntArray, Array]:
        """Take positions and weights; this rank's sites (n,) and w v there."""
        forms = self.forms
        mine = forms.sites.ravel()
        self._at.p = self.shifts(x)[mine]
        forms.set(x[: self.n_nodes] - self.mesh.nodes, weights)
        return mine, (self.volumes if weights is None else self.volumes * weights)[mine]

    def _derivatives(self, order: int) -> tuple[Array, Array, Array | None]:
        return self._at.derivatives(self.forms.gradients(), order)

    def evaluate(self, x: Array, query: Query) -> Answer:
        """Share of the answer from the cells that this member owns; no communication."""
        self.check(x, query)
        want = query.want
        mine, v = self._state(x, query.weights)
        energy = e = forces = hvp = None
        if want & (Can.ENERGY | Can.SITE_ENERGIES):
            e = np.zeros(self.n_sites)
            e[mine] = self.forms.density().ravel()
            e *= self.volumes
            energy = float(e.sum() if query.weights is None else query.weights @ e) if Can.ENERGY in want else None
        if Can.FORCES in want:
            forces = np.zeros((self.n_dofs, 3))
            forces[: self.n_nodes] = -self.thickness * self.forms.gradient()
            slope = self._derivatives(1)[1][:, 9:] * v[:, None]
            forces[self._of(mine)] = -slope.reshape(-1, 3)
        if Can.HVP in want and query.vector is not None:
            hvp = (self.stiffness(x, query.weights) @ query.vector.ravel()).reshape(-1, 3)
        return Answer(energy, forces, e if Can.SITE_ENERGIES in want else None, None, hvp)

    def _of(self, sites: IntArray) -> IntArray:
        """The shift dofs of sites, site by site."""
        k = self.n_basis - 1
        return (self.n_nodes + k * sites[:, None] + np.arange(k)).ravel()

    def stiffness(self, x: Array, weights: Array | None = None) -> sp.csr_matrix:
        """Share of the Hessian (3·n_dofs, 3·n_dofs), eV/Å²: Bᵀ (w v Ŵ_zz) B with B from dofs to z = (F, p)."""
        mine, v = self._state(x, weights)
        curvature = self._derivatives(2)[2]
        assert curvature is not None
        b, m = self._to_states(mine), curvature.shape[1]
        blocks = sp.bsr_matrix(
            (curvature * v[:, None, None], np.arange(len(mine)), np.arange(len(mine) + 1)), shape=(len(mine) * m,) * 2
        )
        return sp.csr_matrix(b.T @ blocks @ b)

    def _to_states(self, mine: IntArray) -> sp.csr_matrix:
        """B (n·m, 3·n_dofs): F_iJ by the nodes' shape gradients, p by the shift dofs."""
        mesh, dim, k = self.mesh, self.mesh.dim, self.n_basis - 1
        m, n = 9 + 3 * k, len(mine)
        nq = len(rule(dim, self.quadrature_degree)[1])
        lam = rule(dim, self.quadrature_degree)[0][mine % nq]
        cells = mine // nq
        dn = mesh.shape_gradients(cells, lam)  # (n, nb, dim)
        nodes = mesh.cell_nodes[cells]
        # Row (site, iJ), column (node a, i): ∂N_a/∂X_J. In a plane only in-plane displacements strain.
        grid = np.meshgrid(*(np.arange(c) for c in (n, nodes.shape[1], dim, dim)), indexing="ij")
        site, a, i, j = (g.ravel() for g in grid)
        rows, columns, values = m * site + 3 * i + j, 3 * nodes[site, a] + i, dn[site, a, j]
        own = (m * np.arange(n)[:, None] + 9 + np.arange(3 * k)).ravel()
        shift = (3 * self._of(mine)[:, None] + np.arange(3)).ravel()
        rows, columns = np.concatenate([rows, own]), np.concatenate([columns, shift])
        values = np.concatenate([values, np.ones(len(own))])
        return sp.csr_matrix((values, (rows, columns)), shape=(n * m, 3 * self.n_dofs))

    # -- atoms that follow --------------------------------------------------------------------------------------

    def follow(
        self, points: Array, sublattice: IntArray, dofs: IntArray, n_q: int, tolerance: float = 1e-6
    ) -> Embedding:
        """Atoms that follow the mesh with its shifts: x_a = X_a + u(X_a) + p_b(X_a).

        Parameters
        ----------
        points : (n, 3) array
            Reference positions X_a, Å.
        sublattice : (n,) ints
            Which atom of the cell each is, in the law's order.
        dofs : (n_dofs,) ints
            Shared dofs that hold this region's.
        n_q : int
            Number of shared dofs.
        tolerance : float
            Å; atoms up to this far outside the mesh follow its nearest cell.

        Returns
        -------
        Embedding
            Shifts are constant in cells with one site, and linear through the sites of the others.
        """
        points, sublattice = np.asarray(points, dtype=float), np.asarray(sublattice, dtype=np.int64)
        base = slaved(self.mesh, points, dofs[: self.n_nodes], n_q, tolerance=tolerance)
        cell, lam = self.mesh.locate(points, tolerance)
        at = rule(self.mesh.dim, self.quadrature_degree)[0]
        # Values at the sites to the linear (or constant) function through them, at λ.
        share = np.ones((len(points), 1)) if len(at) == 1 else lam @ np.linalg.pinv(at)
        moved = np.flatnonzero(sublattice > 0)
        rows = np.repeat(moved, len(at))
        site = (cell[moved][:, None] * len(at) + np.arange(len(at))).ravel()
        own = self.n_nodes + (self.n_basis - 1) * site + np.repeat(sublattice[moved] - 1, len(at))
        scalar = sp.csr_matrix((share[moved].ravel(), (rows, own)), shape=(len(points), self.n_dofs))
        shift = sp.kron(scalar, sp.identity(3, format="csr"), format="csr")
        offset = base.offset - (shift @ self._reference.ravel()).reshape(-1, 3)
        return Embedding((base.matrix + shift @ select(dofs, n_q).matrix).tocsr(), offset, base.own)

    def write(self, path: str | Path, x: Array) -> None:
        """Write displacements (Å) and shifts (Å, of each sublattice, at the cells' first site) to a ``.vtu`` file. Call on one rank."""
        nq = self.n_sites // len(self.mesh.cells)
        p = self.shifts(x)[::nq]
        fields = {f"shift {b}": p[:, b] for b in range(1, self.n_basis)}
        self.mesh.write(path, {"displacement": x[: self.n_nodes] - self.mesh.nodes}, fields)
