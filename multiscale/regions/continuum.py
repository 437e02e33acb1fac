"""A continuum region: E(x; w) = Σ_s w_s v_s W(∇u(X_s)),  u = x − X, sites s the quadrature points of a mesh.

    forces = −∂E/∂x        site energies e_s = v_s W(∇u_s)        matter = v_s / (volume per atom)

The mesh is replicated and small; cells are distributed over the team by DOLFINx. Each member's share is the sum over
the cells that it owns.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from ..continuum import axial
from ..continuum.axial import Symmetry
from ..continuum.forms import DistributedForms
from ..continuum.laws import Law
from ..continuum.mesh import SimplexMesh
from ..continuum.reference import rule, shape
from ..region import Answer, Can, Query, Region
from ..types import GPA_PER_EV_A3, Array, BoolArray, MultiscaleError, Team

_CAN = Can.ENERGY | Can.FORCES | Can.SITE_ENERGIES | Can.SITE_WEIGHTS | Can.HVP | Can.STIFFNESS


class ContinuumRegion(Region):
    """Elastic matter on a finite-element mesh.

    The dofs x are the current positions of the mesh's nodes. In two dimensions the state is plane strain, z carries
    no force, and :attr:`Can.STRESS` is not offered, because the thickness is no dof. With ``symmetry="axial"`` the mesh is the half section
    (r, z) of a body of revolution (:mod:`~multiscale.continuum.axial`): sites count 2πr of their area, and u_r is to be held on the axis.

    Parameters
    ----------
    mesh : SimplexMesh
        Reference configuration, Å.
    law : Law
        Energy density; its constants are those of the mesh's frame.
    site_volume : float
        Å³ of reference volume per atom, which turns volume into atoms' worth of matter.
    thickness : float
        Å along z that a plane mesh in plane strain stands for.
    symmetry : {"plane", "axial"}
        What a plane mesh stands for: a slab in plane strain, or a body of revolution about x = 0.
    atom_mass : float, optional
        amu per atom; only :meth:`masses` needs it.
    quadrature_degree : int, optional
        Degree of the rule whose points are the sites; 1 for linear nodes and 2 for quadratic ones unless told.
        Use a higher one where weights vary within a cell.

    Examples
    --------
    >>> from multiscale.continuum.laws import LinearElastic
    >>> from multiscale.continuum.voigt import cubic_stiffness
    >>> mesh = SimplexMesh.box((0, 0, 0), (10, 10, 10), (2, 2, 2))
    >>> region = ContinuumRegion(mesh, LinearElastic(cubic_stiffness(151.4, 76.4, 56.4)), site_volume=20.0)
    >>> float(round(region.matter.sum(), 9))
    50.0
    """

    discrete = False

    def __init__(
        self,
        mesh: SimplexMesh,
        law: Law,
        *,
        site_volume: float,
        thickness: float = 1.0,
        symmetry: Symmetry = "plane",
        atom_mass: float | None = None,
        quadrature_degree: int | None = None,
    ) -> None:
        if site_volume <= 0 or thickness <= 0:
            raise MultiscaleError(
                f"volumes must be positive, got {site_volume} Å³ per atom and a thickness of {thickness} Å"
            )
        if (mesh.dim == 3 or symmetry == "axial") and thickness != 1.0:
            kind = "mesh in three dimensions" if mesh.dim == 3 else "body of revolution"
            raise MultiscaleError(f"a {kind} has no thickness, got {thickness}; leave it out")
        axial.check(mesh, law, symmetry)
        if law.lattice is not None:
            atoms = abs(np.linalg.det(law.lattice.cell)) / len(law.lattice.basis)
            if abs(atoms / site_volume - 1.0) > 1e-3:
                raise MultiscaleError(
                    f"a ContinuumRegion was given {site_volume:g} Å³ per atom and a law whose crystal has {atoms:g}; give it the law's, so "
                    "that matter is counted alike"
                )
        self.mesh, self.law, self.thickness, self.symmetry = mesh, law, thickness, symmetry
        self.lattice = law.lattice
        self.site_volume, self.atom_mass = site_volume, atom_mass
        self.quadrature_degree = quadrature_degree or mesh.degree
        X, volumes = mesh.quadrature(self.quadrature_degree)
        #: Reference volume of every site (n_sites,), Å³.
        self.volumes = volumes * (axial.circumference(X) if symmetry == "axial" else thickness)
        self.can = _CAN | Can.STRESS if mesh.dim == 3 else _CAN
        self.n_dofs, self.n_sites = len(mesh.nodes), len(volumes)
        #: Å; a site feels the nodes of its cell.
        self.reach = float(mesh.h.max())
        self.matter = self.volumes / site_volume
        self.area = np.zeros(self.n_sites)
        self._forms: DistributedForms | None = None
        self._kept: tuple[Array, sp.csr_matrix] | None = None

    # -- geometry -----------------------------------------------------------------------------------------------

    @property
    def reference(self) -> Array:
        """Reference positions of the nodes (n_dofs, 3), Å."""
        return self.mesh.nodes

    @cached_property
    def _to_sites(self) -> sp.csr_matrix:
        return self.mesh.shape_in(*self.mesh.quadrature_points(self.quadrature_degree))

    def sites(self, x: Array) -> Array:
        """Current positions of the quadrature points (n_sites, 3), Å."""
        return np.asarray(self._to_sites @ x)

    def pull_sites(self, v: Array) -> Array:
        """Vectors at the quadrature points (n_sites, 3) gathered to the nodes (n_dofs, 3)."""
        return np.asarray(self._to_sites.T @ v)

    def interpolation(self, points: Array) -> sp.csr_matrix:
        """The mesh's shape functions at reference points (n, 3): (n, n_dofs)."""
        return self.mesh.shape(points)

    def covers(self, points: Array) -> BoolArray:
        """Whether reference points (n, 3) lie in the mesh (whatever their z, in two dimensions)."""
        return self.mesh.contains(points, 1e-6)

    def masses(self) -> Array:
        """Lumped masses (n_dofs,), amu: positive for quadratic nodes too, and in sum the mass of the matter.

        The diagonal of the consistent mass matrix, scaled to the cell's mass (Hinton, Rock & Zienkiewicz 1976,
        DOI 10.1002/eqe.4290040305); plain row sums would give the vertices of quadratic cells nothing or less.
        """
        if self.atom_mass is None:
            raise MultiscaleError("this ContinuumRegion has no mass; give it atom_mass (amu per atom) for dynamics")
        lam, w = rule(self.mesh.dim, 4)
        density = self.atom_mass / self.site_volume
        around = np.full((len(self.mesh.cells), len(w)), self.thickness)
        if self.symmetry == "axial":
            around = axial.circumference(self.mesh.quadrature(4)[0]).reshape(-1, len(w))
        diagonal = (w * around) @ shape(lam, self.mesh.degree) ** 2
        cell = self.mesh.volumes * (around @ w) * density
        share = cell[:, None] * diagonal / diagonal.sum(axis=1, keepdims=True)
        masses = np.bincount(self.mesh.cell_nodes.ravel(), share.ravel(), minlength=self.n_dofs)
        return masses.astype(float)

    # -- evaluation ---------------------------------------------------------------------------------------------

    def bind(self, team: Team) -> None:
        """Distribute the mesh over the team. Collective on its members; forms are compiled when first asked for."""
        super().bind(team)
        self._kept = None
        self._forms = DistributedForms(self.mesh, self.law, self.quadrature_degree, team, self.symmetry)

    @property
    def forms(self) -> DistributedForms:
        """The distributed mesh and its forms; a region that was never bound works alone."""
        if self._forms is None:
            self.bind(self.team)
        assert self._forms is not None
        return self._forms

    def evaluate(self, x: Array, query: Query) -> Answer:
        """Share of the answer from the cells that this member owns; no communication.

        All members must ask for the same things the first time, because forms are compiled then.
        """
        self.check(x, query)
        forms, w, want = self.forms, query.weights, query.want
        forms.set(x - self.reference, w)
        energy = e = forces = None
        if want & (Can.ENERGY | Can.SITE_ENERGIES):
            e = np.zeros(self.n_sites)
            e[forms.sites] = forms.density()
            e *= self.volumes
            energy = float(e.sum() if w is None else w @ e) if Can.ENERGY in want else None
        if want & (Can.FORCES | Can.STRESS):
            forces = -self.thickness * forms.gradient()
        stress = None
        if Can.STRESS in want and forces is not None:
            virial = -forces.T @ x
            stress = 0.5 * (virial + virial.T)
        hvp = None
        if Can.HVP in want and query.vector is not None:
            hvp = self.thickness * forms.hessian_product(query.vector)
        return Answer(
            energy,
            forces if Can.FORCES in want else None,
            e if Can.SITE_ENERGIES in want else None,
            stress,
            hvp,
        )

    def stiffness(self, x: Array, weights: Array | None = None) -> sp.csr_matrix:
        """Share of the Hessian (3·n_dofs, 3·n_dofs), eV/Å², row 3a + i for component i of node a.

        In two dimensions the rows and columns of z are empty. Collective on the team: DOLFINx adds up what cells of several ranks give.
        That of a linear law is kept for as long as the weights stay the same.
        """
        w = np.ones(1) if weights is None else weights
        if self._kept is not None and np.array_equal(self._kept[0], w):
            return self._kept[1].copy()
        self.forms.set(x - self.reference, weights)
        K = self.thickness * self.forms.stiffness()
        if self.law.linear:
            self._kept = np.array(w), K.copy()
        return K

    # -- the continuum alone ------------------------------------------------------------------------------------

    def solve(
        self,
        x: Array,
        fixed: BoolArray,
        weights: Array | None = None,
        forces: Array | None = None,
        rtol: float = 1e-10,
        start: Array | None = None,
    ) -> Array:
        """Positions (n_dofs, 3), Å, in equilibrium with prescribed positions and dead nodal forces.

        Parameters
        ----------
        x : (n_dofs, 3) array
            Positions, Å, to hold where ``fixed``.
        fixed : (n_dofs, 3) bool array
            Components that are held (z in two dimensions always is). Nodes whose cells all weigh nothing keep x.
        weights : (n_sites,) array, optional
        forces : (n_dofs, 3) array, optional
            Dead forces on the nodes, eV/Å.
        rtol : float
            Tolerance of the linear solve (linear laws), or of Newton's residual relative to reactions and loads.
        start : (n_dofs, 3) array, optional
            First guess of the other positions for laws that are not linear; the reference positions unless told.

        Notes
        -----
        Collective on the team; every member gets the same answer.
        """
        for name, a in (("x", x), ("fixed", fixed), ("forces", forces), ("start", start)):
            if a is not None and np.shape(a) != (self.n_dofs, 3):
                raise MultiscaleError(f"solve needs {name} of shape ({self.n_dofs}, 3), got {np.shape(a)}")
        w = np.ones(self.n_sites) if weights is None else weights
        self.check(x, Query(weights=w))
        X = self.reference
        held = np.array(fixed, dtype=bool)
        alive = w.reshape(len(self.mesh.cells), -1).max(axis=1) > 0
        idle = np.ones(self.n_dofs, dtype=bool)
        idle[self.mesh.cell_nodes[alive]] = False
        held[idle] = True
        held[:, self.mesh.dim :] = True
        load = np.zeros_like(X) if forces is None else forces / self.thickness
        self.forms.set(np.zeros_like(X), w)
        u = self.forms.solve((X if start is None else start) - X, x - X, held, load, rtol)
        return np.where(held, x, X + u)  # exactly what was prescribed, not to the solver's tolerance

    # -- output -------------------------------------------------------------------------------------------------

    def cell_stress(self, x: Array) -> Array:
        """First Piola–Kirchhoff stress at the cells' centroids (nc, 3, 3), GPa."""
        dim, nc = self.mesh.dim, len(self.mesh.cells)
        u = (x - self.reference)[:, :dim]
        lam = np.full((nc, dim + 1), 1.0 / (dim + 1))
        H = np.stack([g @ u for g in self.mesh.gradient_in(np.arange(nc), lam)], axis=2)
        if self.symmetry == "axial":
            H = axial.with_hoop(H, self.mesh.shape_in(np.arange(nc), lam) @ u[:, 0], self.mesh.centroids[:, 0])
        return self.law.stress(H) * GPA_PER_EV_A3

    def write(self, path: str | Path, x: Array) -> None:
        """Write displacements (Å) and cell stresses (GPa, row by row) to a ``.vtu`` file. Call on one rank."""
        stress = self.cell_stress(x).reshape(-1, 9)
        self.mesh.write(path, {"displacement": x - self.reference}, {"stress": stress})
