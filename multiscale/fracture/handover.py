"""A crack that leaves its atoms and goes on as a phase field: one energy, the surface counted once.

    E(q, d) = Σ_i w_i e_i(q)  +  ∫ w [(1−d)² + k] ½ ε:C:ε dV  +  (Gc/c) ∫ w [w_d(d)/ℓ + ℓ |∇d|²] dV,      ḋ ≥ 0,   Gc = 2γ
        atoms                    mesh, weight w = 1 − w_atoms     what the crack costs in the mesh, the same w

The partition of unity weighs the damage as it weighs the matter: where atoms count, broken bonds are the surface; where the mesh counts,
the functional is; in the blend each has its share. Atoms in the blend follow the mesh and lie outside its row of cells that opens, so that
their bonds are cut where d = 1. Both minimisations are of one function: q at fixed d (:func:`multiscale.drive.relax`), then d at fixed q,
within d_last ≤ d ≤ 1, by turns.

At the hand-over d = 1 is laid along the crack plane through the blend, and the K-field's opening is given to bonds and cells there: lattice
trapping would let bonds of the blend bridge a crack that is open all around them. From there on damage is free. On a mesh a crack costs
Gc (1 + h/cℓ), :meth:`BrittleSolid.toughness <multiscale.continuum.brittle.BrittleSolid.toughness>`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..continuum.brittle import BrittleSolid
from ..continuum.jintegral import j_integral
from ..continuum.laws import LinearElastic
from ..continuum.phase_field import PhaseField
from ..continuum.rings import ring_weight
from ..continuum.track import row_nodes
from ..coupler import Evaluation
from ..drive.precondition import precondition
from ..drive.relax import relax
from ..interface import Interface
from ..protocol import Model
from ..regions.continuum import ContinuumRegion
from ..regions.damaged import Damaged
from ..types import J_M2_PER_EV_A2, Array, BoolArray, MultiscaleError, Team
from .hybrid import HybridCrack

#: Sweeps before damage is over-relaxed: a crack that stands settles in fewer.
_PATIENCE = 6
#: The stiffness is factorised anew when a relaxation with the last one has taken more evaluations.
_STALE = 10


@dataclass(frozen=True, eq=False)
class CarriedOn:
    """An equilibrium of atoms, mesh and damage; energies of the whole thickness, eV.

    Attributes
    ----------
    q : (n_q, 3) array
        Å.
    d : (n_points,) array
        Damage at the mesh's vertices.
    atoms, elastic, crack : float
        The three parts of E.
    work : float
        Of the held dofs since the hand-over: Σ ½ (R + R_last)·(q − q_last).
    tip : float
        X where damage falls through ½ on the row, Å; −∞ without damage.
    sweeps : int
    residual : float
        Largest force component on a free dof, as a share of the largest reaction.
    """

    q: Array
    d: Array
    atoms: float
    elastic: float
    crack: float
    work: float
    tip: float
    sweeps: int
    residual: float

    @property
    def energy(self) -> float:
        """E, eV."""
        return self.atoms + self.elastic + self.crack


class Handover:
    """A hybrid crack whose mesh can break; collective on the team.

    Parameters
    ----------
    crack : HybridCrack
        On a mesh of :func:`~multiscale.continuum.track.tracked_disc`, with its law of linear elasticity.
    h : float
        Å; height of the mesh's row of cells.
    length : float
        ℓ, Å.
    kind : {"AT1", "AT2"}
    to : float, optional
        Å; d = 1 is laid along the row up to here: to the end of the blend unless told. −∞ lays none.
    Gc : float, optional
        J/m²; 2γ of the crack's material unless told.
    team : Team
        The ranks that share the damage; all of the model's.

    Attributes
    ----------
    interface : Interface
        That of the crack with the mesh ``fem`` as a :class:`~multiscale.regions.damaged.Damaged` region; for a model.
    field : PhaseField
        Its energies are per Å of thickness.
    """

    def __init__(
        self,
        crack: HybridCrack,
        h: float,
        length: float,
        *,
        kind: Literal["AT1", "AT2"] = "AT1",
        to: float | None = None,
        Gc: float | None = None,
        team: Team | None = None,
    ) -> None:
        m, mesh = crack.material, crack.mesh
        self.crack, self.h, self.row = crack, h, row_nodes(mesh, h)
        self._check()
        self.solid = BrittleSolid.of_atoms(m.C, 2.0 * m.gamma if Gc is None else Gc, length, kind)
        whole = crack.interface()
        sound = whole.regions["fem"]
        assert isinstance(sound, ContinuumRegion)
        self.region = Damaged(sound, self.solid.residual)
        regions = {name: (whole.regions[name], whole.embeddings[name]) for name in whole.regions}
        damaged = {**regions, "fem": (self.region, whole.embeddings["fem"])}
        self.interface = Interface(
            whole.reference, damaged, whole.partition, whole.fixed, overlays=whole.overlays, anchors=whole.anchors
        )
        weights = self.interface.weights(whole.reference)["fem"]
        #: Where the damage that is laid ends, Å.
        self.to = crack.free_radius + crack.blend if to is None else to
        broken = self.row <= self.to
        self.field = PhaseField(mesh, self.solid, team=team, damage=broken.astype(float), weights=weights)
        self.damage = self.field.damages.gathered(self.field.forms.d.x.array)
        self.region.degrade(self.damage)
        self._last: tuple[Array, Array, float] | None = None

    def _check(self) -> None:
        crack = self.crack
        if not np.isfinite(self.row).any():
            raise MultiscaleError(
                f"the mesh has no row of cells of height {self.h:g} Å ahead of the crack; make it with continuum.track.tracked_disc and "
                "give both the same h"
            )
        if crack.law is not None and not isinstance(crack.law, LinearElastic):
            raise MultiscaleError(
                f"a phase field is linear elastic, but the crack's mesh has the law {type(crack.law).__name__}; leave it out"
            )
        nearest = float(2.0 * np.abs(crack.crystal.positions[:, 1]).min())
        if nearest <= self.h:
            raise MultiscaleError(
                f"atoms on both sides of the crack plane are {nearest:.3g} Å apart and the row of cells that opens is {self.h:.3g} Å high: "
                " atoms would lie within it; make h smaller"
            )

    def opened(self, q: Array, K: object, front: float) -> Array:
        """A start for :meth:`settle`: the atomistic crack's state with the K-field's tip moved on to where the damage ends.

        Parameters
        ----------
        q : (n_q, 3) array
            Relaxed at K with the crack's front in the atoms, Å; what is held stays.
        K : float or pair
            MPa·√m.
        front : float
            Å; X of the tip in the atoms, such as :meth:`BondWatch.front <multiscale.fracture.bonds.BondWatch.front>` finds it.
        """
        if self.to <= front:
            return np.array(q, dtype=float)
        change = self.crack.displacement(K, (self.to, 0.0)) - self.crack.displacement(K, (front, 0.0))
        return q + np.where(self.interface.fixed, 0.0, change)

    # -- equilibrium --------------------------------------------------------------------------------------------

    def settle(
        self,
        model: Model,
        q: Array,
        *,
        tolerance: float = 1e-3,
        max_sweeps: int = 400,
        relaxation: float = 1.7,
    ) -> CarriedOn:
        """Go to the next equilibrium from ``q`` (n_q, 3), whose fixed dofs are the load, and accept its damage; collective.

        Parameters
        ----------
        model : Model
            Of this object's interface, with a coupler that has an energy.
        q : (n_q, 3) array
            Å.
        tolerance : float
            Largest force component on a free dof, as a share of the largest reaction.
        max_sweeps : int
        relaxation : float
            Factor on changes of damage after a few sweeps, below 2; the last sweep is always a plain one.

        Raises
        ------
        MultiscaleError
            If ``max_sweeps`` are not enough, or the coupler has no energy.
        """
        X, fixed = self.crack.mesh.nodes, model.interface.fixed
        q, d, factor, state = np.array(q, dtype=float), self.damage, 1.0, model.evaluate(q)
        _energy(state)  # refused before any work
        p, fresh = precondition(model, q, ~fixed), True
        for sweep in range(1, max_sweeps + 1):
            # Half of what is wanted, so that what is left after the damage has moved is what the damage has moved.
            fmax = 0.5 * tolerance * float(np.abs(state.forces[fixed]).max())
            *_, last = relax(model, q, fmax=max(fmax, 1e-10), max_move=0.5, preconditioner=p)
            if last.evaluations > _STALE and not fresh:
                p, fresh = precondition(model, last.q, ~fixed), True
            else:
                fresh = False
            q, before = last.q, d
            d = self.field.damage_at(q[self.crack.nodes] - X)
            self.region.degrade(d)
            state = model.evaluate(q)
            residual = _residual(state, fixed)
            if residual <= tolerance and factor == 1.0:
                return self._accept(q, d, state, fixed, sweep, residual)
            factor = relaxation if sweep >= _PATIENCE and residual > 3.0 * tolerance else 1.0
            if factor != 1.0:
                d = np.clip(before + factor * (d - before), self.damage, 1.0)
                self.region.degrade(d)
        raise MultiscaleError(
            f"atoms, mesh and damage have not settled in {max_sweeps} sweeps: {residual:.1e} of the largest reaction is left at a free "
            f"dof, {tolerance:.0e} is wanted; take smaller load steps or raise max_sweeps"
        )

    def _accept(
        self, q: Array, d: Array, state: Evaluation, fixed: BoolArray, sweeps: int, residual: float
    ) -> CarriedOn:
        self.field.keep()
        self.damage = d
        reactions = np.where(fixed, -state.forces, 0.0)
        work = 0.0
        if self._last is not None:
            q_last, r_last, work = self._last
            work += float(0.5 * np.sum((reactions + r_last) * (q - q_last)))
        self._last = (q, reactions, work)
        crack = self.field.forms.energies()[1] * self.crack.crystal.period
        elastic = state.parts["fem"]
        return CarriedOn(q, d, _energy(state) - elastic, elastic, crack, work, self.tip(d), sweeps, residual)

    # -- what is measured ---------------------------------------------------------------------------------------

    def tip(self, d: Array) -> float:
        """X where damage (n_points,) falls through ½ on the row's upper edge, Å; −∞ if it is nowhere larger."""
        upper = np.flatnonzero(np.isfinite(self.row) & (self.crack.mesh.points[:, 1] > 0))
        upper = upper[np.argsort(self.row[upper])]
        x, along = self.row[upper], d[upper]
        over = np.flatnonzero(along > 0.5)
        if not len(over):
            return float("-inf")
        k = min(int(over[-1]), len(x) - 2)
        return float(x[k] + (along[k] - 0.5) / (along[k] - along[k + 1]) * (x[k + 1] - x[k]))

    def far_j(self, q: Array, rings: Sequence[tuple[float, float]]) -> Array:
        """J (n_rings,), J/m², of rings about the origin that hold the whole crack tip: atoms, blend and all of the damage."""
        law = self.crack.law or LinearElastic(self.crack.material.C)
        return j_integral(self.crack.mesh, law, q[self.crack.nodes], rings)

    def near_j(self, q: Array, tip: float, ring: tuple[float, float]) -> float:
        """J, J/m², of a ring about the phase field's tip that lies where the mesh counts whole and cuts the damage behind it."""
        if tip - ring[1] < self.crack.free_radius + self.crack.blend:
            raise MultiscaleError(
                f"a ring of {ring[1]:g} Å about x = {tip:g} Å reaches into the blend, which ends at "
                f"{self.crack.free_radius + self.crack.blend:g} Å; make it smaller, or use far_j"
            )
        forms = self.field.forms
        forms.displacements.fill(forms.u, q[self.crack.nodes] - self.crack.mesh.nodes)
        far = np.hypot(self.crack.mesh.points[:, 0] - tip, self.crack.mesh.points[:, 1])
        return self.field.j_integral(ring_weight(far, *ring)) * J_M2_PER_EV_A2


def _energy(state: Evaluation) -> float:
    if state.energy is None:
        raise MultiscaleError("a hand-over minimises an energy; use a coupler that has one, such as energy_blend")
    return state.energy


def _residual(state: Evaluation, fixed: BoolArray) -> float:
    """Largest force component on a free dof over the largest on a held one."""
    free, held = np.abs(state.forces[~fixed]).max(initial=0.0), np.abs(state.forces[fixed]).max(initial=0.0)
    return float(free / held) if held > 0.0 else 0.0
