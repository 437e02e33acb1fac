"""Variational phase-field fracture: minimise E(u, d) over u and over damage d that only grows.

    E(u, d) = ∫ [(1−d)² + k] ½ ε:C:ε dX + (Gc/c) ∫ [w(d)/ℓ + ℓ |∇d|²] dX              see :mod:`.brittle` for AT1 and AT2
    u:  E is quadratic; one linear solve        d:  quadratic within d_last ≤ d ≤ 1; one active-set solve
    by turns, until the forces that the last change of d has left are small against the reactions

Irreversibility is a lower bound, not a history of the driving energy: a history field would damage what a crack has unloaded again, and
count more crack than there is. Damage is linear on the cells' vertices; displacements are linear or quadratic, as the mesh's nodes are.
The state is distributed over the ranks of a team; what comes in and goes out is numbered as the input mesh is, the same on all ranks.

There is no split of the energy into tension and compression: what closes a crack opens it, too. Keep to loads that open.

References: Bourdin, Francfort & Marigo, JMPS 48 (2000) 797, DOI 10.1016/S0022-5096(99)00028-9; Farrell & Maurini, IJNME 109 (2017) 648,
DOI 10.1002/nme.5300 (over-relaxation); units as in :mod:`.brittle`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..types import Array, BoolArray, MultiscaleError, Team
from . import dolfinx_compat as fx
from .bounded import BoundedProblem
from .brittle import BrittleSolid
from .distributed import DistributedMesh
from .mesh import SimplexMesh
from .phase_forms import PhaseForms

# PETSc's own factorisation is as quick as CHOLMOD's and quicker than MUMPS for 10⁴ dofs, but works on one rank only.
_ALONE = {"ksp_type": "preonly", "pc_type": "cholesky", "pc_factor_mat_ordering_type": "nd"}
_TOGETHER = {"ksp_type": "preonly", "pc_type": "cholesky", "pc_factor_mat_solver_type": "mumps"}
_MULTIGRID = {
    "ksp_type": "cg",
    "ksp_rtol": 1e-9,
    "ksp_max_it": 5000,
    "pc_type": "gamg",
    "mg_levels_ksp_type": "chebyshev",
    "mg_levels_pc_type": "jacobi",
}
#: Sweeps before damage is over-relaxed: a crack that stands settles in fewer.
_PATIENCE = 10


@dataclass(frozen=True, eq=False)
class FractureState:
    """An equilibrium of displacement and damage; energies per thickness in two dimensions.

    Attributes
    ----------
    u : (n_nodes, 3) array
        Displacements.
    d : (n_points,) array
        Damage at the mesh's vertices.
    elastic, crack : float
        The two parts of E: stored, and dissipated.
    work : float
        External work since the start: Σ ½ (R + R_last)·(u − u_last) over the held dofs, exact where d did not change.
    reactions : (n_nodes, 3) array
        Forces of the supports on the held dofs, ∂E/∂u.
    sweeps : int
        How often u and d took turns.
    residual : float
        Largest force on a free dof, as a share of the largest reaction.
    """

    u: Array
    d: Array
    elastic: float
    crack: float
    work: float
    reactions: Array
    sweeps: int
    residual: float

    @property
    def balance(self) -> float:
        """External work − stored − dissipated: what a step that ran away has lost to motion, else zero to the order of the steps."""
        return self.work - self.elastic - self.crack


class PhaseField:
    """A body with a smeared crack; collective on the team.

    Parameters
    ----------
    mesh : SimplexMesh
        Plane or in space; cells of about ℓ/4 where the crack goes.
    solid : BrittleSolid
        In the unit of length of the mesh.
    team : Team
        The ranks to share the work.
    damage : (n_points,) array, optional
        The least that it will ever be: 1 along a crack that is there at the start, around which it takes its profile at once.
    sound : (n_points,) bool array, optional
        Vertices whose damage stays what it is, such as those where loads are applied.
    weights : (n_sites,) array, optional
        How much of the matter is this body's, at the quadrature points of degree 2 (4 with quadratic nodes), by cells: those of a partition
        of unity where atoms have the rest; the crack's energy is shared alike.
    solver : {"direct", "multigrid"}
        Of the linear systems for u: MUMPS, or conjugate gradients with GAMG, which large meshes in space need.

    Examples
    --------
    >>> from multiscale.continuum.brittle import isotropic_stiffness
    >>> mesh = SimplexMesh.rectangle((0, 0), (1, 1), (2, 2))
    >>> body = PhaseField(mesh, BrittleSolid(isotropic_stiffness(1.0, 0.0), Gc=1.0, length=0.5))
    >>> u = 0.1 * mesh.nodes * [0, 1, 0]
    >>> state = body.solve(u, np.ones(u.shape, dtype=bool))
    >>> round(state.elastic, 6), round(state.crack, 6)  # ½ E ε², and no damage below the strength
    (0.005, 0.0)
    """

    def __init__(
        self,
        mesh: SimplexMesh,
        solid: BrittleSolid,
        *,
        team: Team | None = None,
        damage: Array | None = None,
        sound: BoolArray | None = None,
        weights: Array | None = None,
        solver: Literal["direct", "multigrid"] = "direct",
    ) -> None:
        n = len(mesh.points)
        start = np.zeros(n) if damage is None else np.asarray(damage, dtype=float)
        kept = np.zeros(n, dtype=bool) if sound is None else np.asarray(sound, dtype=bool)
        if start.shape != (n,) or kept.shape != (n,) or start.min() < 0.0 or start.max() > 1.0:
            raise MultiscaleError(
                f"damage and sound need one value per vertex, ({n},), damage between 0 and 1; got {start.shape} and {kept.shape}, "
                f"damage from {start.min():.3g} to {start.max():.3g}"
            )
        if solver not in ("direct", "multigrid"):
            raise MultiscaleError(f"the solver is 'direct' or 'multigrid', got {solver!r}")
        self.mesh, self.solid = mesh, solid
        self.parts = DistributedMesh(mesh, team or Team())
        forms = self.forms = PhaseForms(self.parts, solid, start, weights)
        self.displacements, self.damages, self._u, self._d = forms.displacements, forms.damages, forms.u, forms.d
        self._lower = self.damages.local(start)
        self._upper = np.where(self.damages.local(kept.astype(float)) > 0, self._lower, 1.0)
        self._residual, self._tangent = fx.form(forms.residual), fx.form(forms.tangent)
        self._damaging = self._bounded(forms.slope, forms.curvature)
        self._linear(solver)
        self._last = (np.zeros((len(mesh.nodes), 3)), np.zeros((len(mesh.nodes), 3)), 0.0)
        # What was given is a crack without the profile that it takes around itself; no work pays for that.
        self._damaging.solve(self._lower, self._upper)
        self._lower = self._d.x.array.copy()
        #: Energy of the crack that is there at the start.
        self.start = forms.energies()[1]

    def _bounded(self, slope: Any, curvature: Any) -> BoundedProblem:
        # The residual's natural size is a cell's worth of Gc/ℓ; this is a 1e-8th of it.
        size = float(np.median(self.mesh.volumes)) * self.solid.Gc / self.solid.length
        return BoundedProblem(self.damages, self._d, slope, curvature, 1e-8 * size)

    def _linear(self, solver: str) -> None:
        """What solves for u."""
        space = self.displacements.space
        self._K, self._R, self._du = fx.new_matrix(self._tangent), fx.new_vector(space), fx.new_vector(space)
        self._K.setNearNullSpace(fx.rigid_modes(space))
        self._ksp = fx.PETSc.KSP().create(self.parts.comm)
        self._ksp.setOperators(self._K)
        direct = _ALONE if self.parts.comm.size == 1 else _TOGETHER
        fx.set_options(self._ksp, direct if solver == "direct" else _MULTIGRID)

    # -- equilibrium --------------------------------------------------------------------------------------------

    def solve(
        self,
        value: Array,
        fixed: BoolArray,
        *,
        tolerance: float = 1e-4,
        max_sweeps: int = 5000,
        relaxation: float = 1.7,
    ) -> FractureState:
        """Go to the next equilibrium and accept it: its damage is the lower bound from now on. Collective.

        Parameters
        ----------
        value : (n_nodes, 3) array
            Displacements to hold where ``fixed``.
        fixed : (n_nodes, 3) bool array
            In two dimensions z does not matter.
        tolerance : float
            Largest force on a free dof, as a share of the largest reaction.
        max_sweeps : int
        relaxation : float
            Factor on each change of damage from the eleventh sweep on, below 2: more than 1 saves sweeps where a crack runs. The last
            sweep is always a plain one.

        Raises
        ------
        MultiscaleError
            If ``max_sweeps`` are not enough, or if supports do not hold the body.
        """
        shape = (len(self.mesh.nodes), 3)
        if np.shape(value) != shape or np.shape(fixed) != shape or not np.isfinite(value).all():
            raise MultiscaleError(
                f"solve needs finite displacements and a mask of shape {shape}, got {np.shape(value)}, {np.shape(fixed)}"
            )
        if not 0.0 < relaxation < 2.0:
            raise MultiscaleError(f"the relaxation of the damage lies between 0 and 2, got {relaxation}")
        held = np.flatnonzero(self.displacements.local(np.asarray(fixed, dtype=float))[: self.displacements.owned] > 0)
        target = self.displacements.local(value)
        self._u.x.array[:] = np.where(
            self.displacements.local(np.asarray(fixed, dtype=float)) > 0, target, self._u.x.array
        )
        factor = 1.0
        for sweep in range(max_sweeps + 1):
            residual, forces = self._push(held)
            if sweep > 0 and residual <= tolerance and factor == 1.0:
                return self._accept(fixed, forces, sweep, residual)
            factor = relaxation if sweep >= _PATIENCE and residual > 3.0 * tolerance else 1.0
            self._move(held)
            self._damage(factor)
        raise MultiscaleError(
            f"damage and displacement have not settled in {max_sweeps} sweeps: {residual:.1e} of the largest reaction is left at a free "
            f"dof, {tolerance:.0e} is wanted; take smaller load steps or raise max_sweeps"
        )

    def _push(self, held: Any) -> tuple[float, Array]:
        """Forces ∂E/∂u of owned dofs into R; the largest on a free dof over the largest on a held one, and all of them."""
        self.displacements.assemble(self._R, self._residual)
        forces = np.array(self._R.array_r)
        free = forces.copy()
        free[held] = 0.0
        largest = [
            self.parts.comm.allreduce(float(np.abs(f).max(initial=0.0)), op=fx.MPI.MAX) for f in (free, forces[held])
        ]
        return (largest[0] / largest[1] if largest[1] > 0.0 else 0.0), forces

    def _move(self, held: Any) -> None:
        """Minimise over u at fixed d."""
        fx.assemble_matrix(self._K, self._tangent)
        rows = (self._K.getOwnershipRange()[0] + held).astype(fx.PETSc.IntType)
        self._K.zeroRowsColumns(rows, float(np.abs(self.solid.C).max()))
        self._R.array[held] = 0.0
        self._ksp.solve(self._R, self._du)
        if self._ksp.getConvergedReason() < 0:
            raise MultiscaleError(
                f"the displacement could not be found (PETSc reason {self._ksp.getConvergedReason()}); check that the held dofs exclude "
                "rigid motion, and raise the residual stiffness where a piece is cut off"
            )
        self._du.ghostUpdate(addv=fx.PETSc.InsertMode.INSERT, mode=fx.PETSc.ScatterMode.FORWARD)
        with self._du.localForm() as change:
            self._u.x.array[:] -= change.array_r

    def _damage(self, relaxation: float) -> None:
        """Minimise over d at fixed u, and go on beyond by the relaxation."""
        before = self._d.x.array.copy()
        self._damaging.solve(self._lower, self._upper)
        if relaxation != 1.0:
            further = before + relaxation * (self._d.x.array - before)
            self._d.x.array[:] = np.clip(further, self._lower, self._upper)

    def _accept(self, fixed: BoolArray, forces: Array, sweeps: int, residual: float) -> FractureState:
        u = np.zeros((len(self.mesh.nodes), 3))
        reactions = np.zeros_like(u)
        u[:, : self.mesh.dim] = self.displacements.gathered(self._u.x.array)
        reactions[:, : self.mesh.dim] = self.displacements.gathered(forces)
        reactions[~np.asarray(fixed, dtype=bool)] = 0.0
        u_last, r_last, work = self._last
        work += float(0.5 * np.sum((reactions + r_last) * (u - u_last)))
        self._last = (u, reactions, work)
        self.keep()
        elastic, crack = self.forms.energies()
        d = self.damages.gathered(self._d.x.array)
        return FractureState(u, d, elastic, crack - self.start, work, reactions, sweeps, residual)

    # -- one half of it, for those who move u themselves --------------------------------------------------------

    def damage_at(self, u: Array) -> Array:
        """Damage (n_points,) that minimises E at given displacements (n_nodes, 3), within its bounds; collective.

        For a hybrid model that moves atoms and nodes with the stiffness that this damage leaves, which is that of
        :class:`multiscale.regions.damaged.Damaged`. Nothing is accepted until :meth:`keep`.
        """
        self.displacements.fill(self._u, u)
        self._damage(1.0)
        return self.damages.gathered(self._d.x.array)

    def keep(self) -> None:
        """Accept the present damage: it is the lower bound from now on."""
        self._lower = self._d.x.array.copy()
        self._upper = np.maximum(self._upper, self._lower)

    # -- energy release -----------------------------------------------------------------------------------------

    def j_integral(self, q: Array) -> float:
        """J = ∫ (σ_ij u_i,x − W δ_xj) ∂q/∂x_j dX of the present state, in the unit of Gc; collective.

        ``q`` (n_points,) is 1 around the damage that moves and 0 outside; the crack grows along +x with free faces parallel to x.
        """
        return self.forms.release(q)
