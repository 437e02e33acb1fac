"""The law of an interface in a mesh whose elastic constants already have the springs across the interface.

    δ′ = δ − κ T(δ),     φ′(δ′) = φ(δ) − ½ κ T(δ)²,     T′ = dφ′/dδ′ = T(δ),     dT/dδ′ = T′(δ)/(1 − κ T′(δ))
    κ = 1/K_b, but (1 − 1/r)/K₀ at most,                 K₀/(1 − κK₀) where closed

Rigid separation moves two half-crystals apart: all of the opening is strain of the springs across one plane, K₀ = T′(0). A mesh with the
crystal's constants is as compliant without any interface, so that mesh and rigid law are too soft by 1/K_b, where K_b is that plane's
stiffness in the crystal that fills the mesh: K₀ itself where the interface is a plane of the crystal, which leaves the penalty r K₀, and
more where the interface is weaker, which leaves 1/K₀ − 1/K_b of compliance. The work of separation and the strength stay what they were:

    ∫T dδ′ = ∫T dδ − κ ∫T dT = W,     since T = 0 at both ends

Where T is steeper than 1/κ, δ′ falls as δ grows: the crystal's springs give way within a column that cannot follow, no function T(δ′)
exists, and the rigid law has to be used with C′/K_b less of height in the mesh. Compression: a straight line with the closed stiffness.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy.optimize import minimize_scalar

from ..continuum.traction import Curve
from ..types import Array, BoolArray, MultiscaleError

#: Gc/σ_c; openings up to here are searched for the steepest slope.
FAR = 40.0
_POINTS = 20_001


def steepest(curve: Curve) -> tuple[float, float]:
    """The largest slope T′ of a curve at λ ≥ 0, and its opening."""
    x = np.linspace(0.0, FAR * curve.toughness / curve.strength, _POINTS)
    s = curve.slope(x)
    k = int(np.argmax(s))
    if 0 < k < len(x) - 1:
        found = minimize_scalar(
            lambda d: -float(curve.slope(np.array([d]))[0]), bounds=(x[k - 1], x[k + 1]), method="bounded"
        )
        if -found.fun > s[k]:
            return float(-found.fun), float(found.x)
    return float(s[k]), float(x[k])


@dataclass(frozen=True, eq=False)
class ExcessCurve(Curve):
    """A curve against the opening that the mesh does not have already; twice differentiable where the curve is.

    Parameters
    ----------
    rigid : Curve
        Traction against rigid separation, eV/Å³ and Å: a :class:`~multiscale.adhesion.curve.MeasuredCurve`, or a form fitted to one.
    ratio : float
        r: how many times K₀ the closed interface has at most; a penalty, 20 to 100.
    crystal : float, optional
        K_b, eV/Å⁴: stiffness where closed of the same plane in the crystal that fills the mesh; the curve's own unless given.

    Attributes
    ----------
    taken : float
        κ, Å⁴/eV: the compliance that the mesh has already.
    strength, toughness : float
        The rigid curve's.
    stiffness, peak : float
        Slope where closed, eV/Å⁴, and excess opening of the largest traction, Å (nan if the rigid curve has none to tell).

    Raises
    ------
    MultiscaleError
        If the excess opening is not monotone.

    Examples
    --------
    >>> from multiscale.continuum.traction import Exponential
    >>> law = ExcessCurve(Exponential(0.2, 0.17), ratio=50)
    >>> round(law.stiffness / law.rigid.stiffness, 9), float(law.energy(np.array([40.0]))[0])
    (50.0, 0.17)
    """

    rigid: Curve
    ratio: float = 50.0
    crystal: float | None = None
    strength: float = field(init=False)
    toughness: float = field(init=False)
    stiffness: float = field(init=False)
    peak: float = field(init=False)
    taken: float = field(init=False)

    def __post_init__(self) -> None:
        if self.ratio <= 1 or (self.crystal is not None and self.crystal <= 0):
            raise MultiscaleError(
                f"an excess law needs ratio > 1 and a positive stiffness of the crystal, got {self.ratio} and {self.crystal}"
            )
        k0 = self.rigid.stiffness
        taken = (1.0 - 1.0 / self.ratio) / k0
        if self.crystal is not None:
            taken = min(taken, 1.0 / self.crystal)
        slope, at = steepest(self.rigid)
        if slope * taken >= 1.0:
            raise MultiscaleError(self._no_law(slope, at, k0, taken))
        top = float(getattr(self.rigid, "peak", np.nan))
        values = {"taken": taken, "strength": self.rigid.strength, "toughness": self.rigid.toughness}
        values |= {"stiffness": k0 / (1.0 - taken * k0), "peak": top - taken * self.rigid.strength}
        for name, value in values.items():
            object.__setattr__(self, name, float(value))

    def _no_law(self, slope: float, at: float, k0: float, taken: float) -> str:
        by_ratio = self.crystal is None or 1.0 / self.crystal > (1.0 - 1.0 / self.ratio) / k0
        limit = f"ratio {self.ratio:g}" if by_ratio else f"the crystal's own stiffness, {self.crystal:.4g} eV/Å⁴"
        most = slope / (slope - k0)
        what = (
            f"it exists up to ratio = {most:.3g}"
            if self.crystal is None and most >= 2.0
            else "no useful one exists: take the rigid law itself and leave C′/K₀ of the mesh's height out"
        )
        return (
            f"an excess law is a function as long as tractions grow no faster than the mesh's springs: T′ = {slope / k0:.3g} K₀ at "
            f"{at:.3g} Å (a cutoff, perhaps), where {1.0 / (taken * k0):.3g} K₀ is the limit of {limit}; {what}"
        )

    # -- the rigid opening ----------------------------------------------------------------------------------------

    @cached_property
    def _table(self) -> tuple[Array, Array, float]:
        """Excess openings, rigid openings, and the most negative traction: where the search for the root starts."""
        x = np.linspace(0.0, FAR * self.toughness / self.strength, _POINTS)
        t = self.rigid.traction(x)
        return x - self.taken * t, x, float(min(t.min(), 0.0))

    def rigid_opening(self, opening: Array) -> Array:
        """δ at δ′ ≥ 0 (n,), by Newton's method within a bracket; to round-off."""
        e = np.asarray(opening, dtype=float)
        excess, x, least = self._table
        low, high = e + self.taken * least, e + self.taken * self.strength
        low = np.maximum(low, 0.0)
        d = np.clip(np.where(e <= excess[-1], np.interp(e, excess, x), e), low, high)
        for _ in range(100):
            off = d - self.taken * self.rigid.traction(d) - e
            low, high = np.where(off <= 0, d, low), np.where(off >= 0, d, high)
            new = d - off / (1.0 - self.taken * self.rigid.slope(d))
            new = np.where((new >= low) & (new <= high), new, 0.5 * (low + high))
            done = np.abs(new - d) <= 4e-16 * np.maximum(np.abs(d), 1e-300)
            d = new
            if done.all():
                break
        return d

    def _at(self, opening: Array) -> tuple[Array, BoolArray]:
        """δ and where the interface is pressed."""
        e = np.asarray(opening, dtype=float)
        return self.rigid_opening(np.maximum(e, 0.0)), e < 0

    def energy(self, opening: Array) -> Array:
        """φ(δ) − ½ κ T²; ½ K λ² where pressed."""
        d, pressed = self._at(opening)
        out = self.rigid.energy(d) - 0.5 * self.taken * self.rigid.traction(d) ** 2
        return np.where(pressed, 0.5 * self.stiffness * np.asarray(opening) ** 2, out)

    def traction(self, opening: Array) -> Array:
        """T(δ); K λ where pressed."""
        d, pressed = self._at(opening)
        return np.where(pressed, self.stiffness * np.asarray(opening), self.rigid.traction(d))

    def slope(self, opening: Array) -> Array:
        """T′/(1 − κ T′); K where pressed."""
        d, pressed = self._at(opening)
        s = self.rigid.slope(d)
        return np.where(pressed, self.stiffness, s / (1.0 - self.taken * s))
