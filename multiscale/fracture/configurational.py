"""The configurational force on a crack tip, f_α = −dE/dα, from one evaluation of forces.

    q(α) = X + u(X; K, α) + Z : sym ∇u + w,      w fixed
    f_α = Σ_k F_k · ∂q_k/∂α,      ∂q/∂α = −∂u/∂X_1 − Z : sym ∂(∇u)/∂X_1

over all dofs that follow the field. Three sums of it are wanted, and they are not the same:

- over *all* dofs: exactly −dE/dα of the model's energy, at any state, relaxed or not;
- over the *held* dofs alone: −dE/dα of the relaxed energy, where the free dofs find their own equilibrium. At a relaxed state the two
  agree, since forces on free dofs vanish;
- over the *interior*, all dofs but the rim whose forces are the reactions that hold the disc. In those two sums the boundary travels
  with α, so that its tractions do the work −∮ t·∂u/∂X_1, and f_α = ∮ W n_1 − 2γ on the average over a period. Without them
  f_α = ∮ (W n_1 − t·∂u/∂X_1) − 2γ = J − 2γ: the force that drives the tip of an infinite crystal, which vanishes on the branch of
  equilibria (K, α).

Reference: Buze & Kermode, Phys. Rev. E 103 (2021) 033002, DOI 10.1103/PhysRevE.103.033002, for the third.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..continuum.kfield import crack_faces
from ..protocol import Model
from ..types import J_M2_PER_EV_A2, Array, BoolArray, MultiscaleError
from .crack import Crack
from .disc import AtomicCrack
from .hybrid import HybridCrack


@dataclass(frozen=True)
class TipForce:
    """What :func:`tip_force` gives, all in eV/Å for one period of the front.

    Attributes
    ----------
    total : float
        −dE/dα with all dofs following the field.
    held : float
        The part of the held dofs: −dE/dα of the relaxed energy, if the state is relaxed.
    interior : float
        The part of all dofs but the rim; its mean over α is J − 2γ.
    period : float
        Å along the front.
    """

    total: float
    held: float
    interior: float
    period: float

    def per_area(self, part: str = "interior") -> float:
        """One of the three in J/m²."""
        return float(getattr(self, part)) / self.period * J_M2_PER_EV_A2


def field_derivative(crack: Crack, K: object, tip: tuple[float, float] = (0.0, 0.0)) -> Array:
    """∂q/∂α (n_q, 3) of the crack's K-field with its inner shift, at fixed K in MPa·√m, when the tip moves along x."""
    field, n = crack.material.field, len(crack.reference)
    if isinstance(crack, HybridCrack):
        n = crack.n_free
    elif not isinstance(crack, AtomicCrack):
        raise MultiscaleError(f"∂q/∂α is known of an AtomicCrack and a HybridCrack, got {type(crack).__name__}")
    X, shift = crack.crystal.positions[:n], crack.material.inner_shift[crack.crystal.basis[:n]]
    curvature = field.second_gradient(X, K, tip)[:, :, :, 0]
    atoms = field.tip_derivative(X, K, tip) - np.einsum("nijk,njk->ni", shift, curvature)
    if not isinstance(crack, HybridCrack):
        return np.asarray(atoms)
    face = crack_faces(crack.mesh, tip).astype(float)
    return np.concatenate([atoms, field.tip_derivative(crack.mesh.nodes, K, tip, face)])


def load_derivative(crack: Crack, tip: tuple[float, float] = (0.0, 0.0), mode: int = 0) -> Array:
    """∂q/∂K_m (n_q, 3), Å per MPa·√m: the field is linear in K."""
    return crack.displacement(np.eye(crack.material.field.modes)[mode], tip)


def rim(crack: Crack) -> BoolArray:
    """Dofs (n_q,) whose forces are reactions: the outer circle of nodes, or atoms that lack part of their surroundings."""
    if isinstance(crack, HybridCrack):
        # Nodes of the plane mesh are all held along z; those of the circle in all directions.
        return np.asarray(crack.fixed().all(axis=1))
    X, model = crack.crystal.positions, crack.material.model
    r = np.hypot(X[:, 0], X[:, 1])
    # Cells lie within the disc by their centres; atoms stand out of it by up to half a bond.
    return np.asarray(r > r.max() - crack.material.bond - 2.0 * model.cutoff * model.layers)


def tip_force(
    model: Model, crack: Crack, q: Array, K: object, tip: tuple[float, float] = (0.0, 0.0), forces: Array | None = None
) -> TipForce:
    """The configurational force on the tip at the state ``q``; collective.

    Parameters
    ----------
    model : Model
        With an energy, or what comes out is no derivative of one.
    crack : Crack
    q : (n_q, 3) array
        Å; the held dofs in the K-field about ``tip``.
    K : float or pair
        MPa·√m.
    tip : pair of float
        (α, 0), Å.
    forces : (n_q, 3) array, optional
        Those at q, fixed dofs included, if they are known; else the model is evaluated.

    Examples
    --------
    See ``docs/crack_fields.md``.
    """
    F = model.evaluate(q).forces if forces is None else np.asarray(forces, dtype=float)
    if F.shape != crack.reference.shape:
        raise MultiscaleError(f"the crack needs forces of shape {crack.reference.shape}, got {F.shape}")
    power = F * field_derivative(crack, K, tip)
    held, outside = crack.fixed(), rim(crack)
    return TipForce(
        float(power.sum()), float(power[held].sum()), float(power[~outside].sum()), float(crack.crystal.period)
    )
