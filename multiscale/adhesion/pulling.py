"""Pulling two bodies apart by grips, through the instability: the whole curve of equilibria, and the law of an interface that relaxes.

    T(Δ) = −Σ_{upper grip} F·n/A              Δ: how far the grips have moved;   s: how far the faces have opened, which is controlled
    δ    = Δ − L ε(T)                         what is left of Δ without the elastic opening of the bodies, L high

Under a rigid machine softer bodies snap at a fold of T(Δ). s goes on through it, so that equilibria are found in the order of s,
unstable ones included (:func:`multiscale.drive.control`).

ε(T) = T/C′ is the subtraction of linear elasticity; at the strength of a covalent bond the bodies are far from linear, and :func:`tension`
measures ε(T) on the perfect crystal, inner shifts relaxed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.interpolate import CubicSpline, PchipInterpolator

from ..continuum.cauchy_born import CauchyBorn
from ..drive.held import control
from ..protocol import Model
from ..types import Array, BoolArray, MultiscaleError
from .curve import MeasuredCurve
from .slabs import Slabs

#: Of the largest traction: from there on a relaxed law is not resolved.
NEAR = 0.98


@dataclass(frozen=True, eq=False)
class Pull:
    """A curve of equilibria.

    Attributes
    ----------
    opening : (n,) array
        Δ of the grips, Å.
    faces : (n,) array
        s, Å.
    traction : (n,) array
        eV/Å³.
    energy : (n,) array
        eV; nan where the method has none.
    states : (n, n_q, 3) array
        Å.
    evaluations : int
    """

    opening: Array
    faces: Array
    traction: Array
    energy: Array
    states: Array
    evaluations: int

    @property
    def strength(self) -> float:
        """Largest traction between the points, by a spline over s; eV/Å³."""
        s = np.linspace(self.faces[0], self.faces[-1], 4001)
        return float(CubicSpline(self.faces, self.traction)(s).max())

    @property
    def stiffness(self) -> float:
        """dT/dΔ where closed, eV/Å⁴."""
        t, d = (CubicSpline(self.faces, v)(self.faces[0], 1) for v in (self.traction, self.opening))
        return float(t / d)

    def closure(self, area: float) -> float:
        """(∫T dΔ − [E(last) − E(first)]/A)/max|T|, Å: whether forces are those of the energy."""
        t, d = CubicSpline(self.faces, self.traction), CubicSpline(self.faces, self.opening)
        s = np.linspace(self.faces[0], self.faces[-1], 20001)
        rate = t(s) * d(s, 1)
        work = float(np.sum(0.5 * (rate[1:] + rate[:-1]) * np.diff(s)))
        return float((work - (self.energy[-1] - self.energy[0]) / area) / np.abs(self.traction).max())

    def snapped(self) -> tuple[Array, Array]:
        """What a rigid machine sees, (Δ, T): up to the first fold, then down to the equilibrium at the same Δ that is open."""
        back = np.flatnonzero(np.diff(self.opening) < 0)
        if not len(back):
            return self.opening, self.traction
        k = int(back[0])
        # Past further folds, too, only what is farther open than all before it.
        most = np.maximum.accumulate(self.opening)
        after = np.flatnonzero((np.arange(len(self.opening)) > k) & (self.opening > np.append(-np.inf, most[:-1])))
        keep = np.concatenate([np.arange(k + 1), after])
        return self.opening[keep], self.traction[keep]


def pull(
    model: Model,
    at: Callable[[float], Array],
    measure: Array,
    faces: Sequence[float] | Array,
    held: BoolArray,
    normal: ArrayLike,
    area: float,
    *,
    fmax: float = 1e-6,
    range_scale: float = 0.5,
) -> Pull:
    """Follow the equilibria from the closed interface; collective.

    Parameters
    ----------
    model : Model
        Whose fixed dofs are gripped.
    at : callable Δ -> (n_q, 3) array
        Where the grips put all dofs, Å.
    measure : (n_q, 3) array
        Σ measure·(q − X) is s.
    faces : sequence of float
        s, from 0, Å.
    held : (n_q,) bool array
        Dofs of the upper grip, among the fixed ones.
    normal : (3,) array
    area : float
        Å².
    fmax : float
        eV/Å.
    range_scale : float
        Å; the range of the law, for the scaling of Δ.
    """
    if not held.any() or not model.interface.fixed[held].any():
        raise MultiscaleError(
            "the upper grip holds no fixed dof; mark the atoms or nodes that the machine moves, and fix them"
        )
    n = np.asarray(normal, dtype=float)
    rows = list(control(model, at, at(0.0), measure, faces, start=0.0, load_scale=range_scale, fmax=fmax))
    traction = np.array([-float((np.asarray(p.forces)[held] @ n).sum()) / area for p in rows])
    energy = np.array([np.nan if p.energy is None else p.energy for p in rows])
    return Pull(
        np.array([p.load for p in rows]),
        np.asarray(faces, dtype=float),
        traction,
        energy,
        np.array([p.q for p in rows]),
        rows[-1].evaluations,
    )


def of_slabs(slabs: Slabs, grip: float) -> tuple[Callable[[float], Array], Array, BoolArray, BoolArray]:
    """For slabs of atoms: where grips of depth ``grip`` (Å) put them, the measure of their faces' opening, gripped atoms, and upper ones.

    The faces are the ends of the bonds that cross the interface.
    """
    x0 = np.array(slabs.atoms.positions)
    low, high = slabs.gripped(grip)
    upper = slabs.bodies == 1
    facing = slabs.facing()
    measure = (facing.jump[::3].T @ (facing.area / facing.area.sum())).reshape(-1, 3)
    fixed, held = np.zeros(len(x0), dtype=bool), np.zeros(len(x0), dtype=bool)
    fixed[low] = fixed[high] = held[high] = True

    def at(opening: float) -> Array:
        return x0 + opening * np.outer(upper, slabs.normal)

    return at, np.asarray(measure), fixed, held


def tension(law: CauchyBorn, last: float = 0.35, points: int = 71) -> Callable[[Array], Array]:
    """Elastic strain ε(T) of the perfect crystal pulled along y, inner shifts relaxed, sides held: the bodies between interface and grips.

    Parameters
    ----------
    law : CauchyBorn
        The crystal's, in the slabs' frame (:meth:`~multiscale.fracture.material.CrackMaterial.cauchy_born`).
    last : float
        Largest strain that is tried.
    points : int

    Returns
    -------
    callable T (n,) -> ε (n,)
        T in eV/Å³, force per area of the undeformed crystal.

    Raises
    ------
    MultiscaleError
        When it is asked for a traction that the crystal does not bear.
    """
    strain = np.linspace(-0.02, last, points)
    gradient = np.zeros((points, 3, 3))
    gradient[:, 1, 1] = strain
    through = CubicSpline(strain, law.stress(gradient)[:, 1, 1])
    fine = np.linspace(strain[0], last, 100 * points)
    stress = through(fine)
    bears = int(np.argmax(stress))
    if (np.diff(stress[: bears + 1]) <= 0).any():
        raise MultiscaleError(
            "the crystal's stress along its normal falls and rises again before its largest value: there is no one strain of a traction; "
            "give a smaller last"
        )
    spline = PchipInterpolator(stress[: bears + 1], fine[: bears + 1])
    # What the table cannot tell from the crystal's strength is its strength.
    low, high = float(stress[0]), float(stress[bears]) * (1.0 + 1e-4)

    def epsilon(traction: Array) -> Array:
        t = np.asarray(traction, dtype=float)
        if (t > high).any() and bears == len(fine) - 1:
            raise MultiscaleError(
                f"the crystal was asked for strains at up to {t.max():.4g} eV/Å³, and the table of strains ends at {last:g} with "
                f"{high:.4g} eV/Å³ and no maximum before; give a larger last"
            )
        if (t < low).any() or (t > high).any():
            raise MultiscaleError(
                f"the crystal was asked for strains at {t.min():.4g} … {t.max():.4g} eV/Å³, but bears {low:.4g} … {high:.4g} along its "
                "normal: interface and crystal are not the same potential's, or the pull has left equilibrium"
            )
        return np.asarray(spline(np.minimum(t, stress[bears])))

    return epsilon


def relaxed_curve(
    found: Pull, strain: Callable[[Array], Array], height: float, penalty: float, **options: object
) -> MeasuredCurve:
    """The law of an interface that relaxes: Δ without the elastic opening of the bodies, against T.

    With :func:`tension`'s strain it does not depend on the bodies' height; with linear elasticity's it does, by Ångströms at covalent
    strengths. Points above 98 % of the largest traction are left out; halfway over the gap stands that traction itself.

    Parameters
    ----------
    found : Pull
    strain : callable T (n,) -> ε (n,)
        Elastic strain of the bodies, of T in eV/Å³: ``lambda T: T/C′``, or :func:`tension`'s.
    height : float
        L, Å, between the grips.
    penalty : float
        eV/Å⁴; what the closed interface has for a stiffness, since nothing of Δ is left there: 1/penalty of T stays in δ.
    **options
        Of :class:`~multiscale.adhesion.curve.MeasuredCurve`.

    Raises
    ------
    MultiscaleError
        If δ turns back: the bodies are softer than the whole, so that ε is not theirs; or the pull has no maximum within it.
    """
    # At its strength the crystal's strain has an infinite slope: what is left of Δ there is a difference of two large numbers.
    clear = found.traction < NEAR * found.traction.max()
    t = found.traction[clear]
    delta = found.opening[clear] - height * strain(np.maximum(t, 0.0)) + t / penalty
    back = np.flatnonzero(np.diff(delta) <= 0)
    if len(back):
        k = int(back[0])
        raise MultiscaleError(
            f"without the elastic opening of {height:.4g} Å of bodies the interface closes as its traction grows (at {delta[k]:.3g} Å, "
            f"{t[k]:.3g} eV/Å³): they are softer than interface and bodies together; take the strain of the crystal itself, or a smaller "
            "penalty"
        )
    after = int(clear[: np.argmax(found.traction)].sum())
    if not 0 < after < len(delta):
        raise MultiscaleError(
            f"the pull's largest traction, {found.traction.max():.4g} eV/Å³, is at its {'end' if after else 'beginning'}: pull until the "
            "interface softens, from where it is closed"
        )
    delta = np.insert(delta, after, 0.5 * (delta[after - 1] + delta[after]))
    t = np.insert(t, after, found.strength)
    # The compressed side: what the penalty has to say, so that the table starts below zero.
    press = -0.4 * t.max() / penalty * np.arange(4, 0, -1)
    # A monotone curve through the points: where they are sparse, about the peak, another spline would shoot over it.
    shape = PchipInterpolator(np.concatenate([press, delta]), np.concatenate([penalty * press, t]))
    x = np.linspace(press[0], delta[-1], 40 * len(delta))
    return MeasuredCurve(x, shape(x), None, **options)  # type: ignore[arg-type]
