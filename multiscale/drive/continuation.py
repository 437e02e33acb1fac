"""Pseudo-arc-length continuation: the curve of equilibria through its folds, atoms and mesh together.

    F(q(λ) + v) = 0,     t_v·(v − v₀)/ℓ² + t_λ (λ − λ₀)/Λ² = s         unknowns v on the free dofs, and λ (:mod:`.bordered`)

q(λ) is where the load alone would put all dofs (a K-field): v is what the crystal adds to it, so that a step measures what happens at the
tip, not the far field's stretching. ℓ = 1 Å √(number of atoms) and Λ (K_G, a bond period) make both of order one; unscaled variables
make the walk collapse at folds.

References: Keller 1977; for cracks Buze & Kermode, Phys. Rev. E 103 (2021) 033002, DOI 10.1103/PhysRevE.103.033002.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from ..protocol import Model
from ..types import Array, MultiscaleError
from .bordered import Border, Bordered, State
from .linear import Method


@dataclass(frozen=True)
class Point:
    """An equilibrium on the curve.

    Attributes
    ----------
    index : int
    q : (n_q, 3) array
        Å.
    load : float
        λ.
    energy : float or None
        eV.
    direction : float
        dλ/ds in units of Λ: its sign changes at folds.
    length : float
        Arc length so far.
    step : float
        Of the arc length, tried next.
    evaluations : int
        Of the model so far.
    newton : int
        Newton steps that this point took.
    tangent : ((n_q, 3) array, float)
        v' and λ', to go on from here exactly.
    forces : (n_q, 3) array or None
        eV/Å, on all dofs: on fixed ones what holds them, with the opposite sign.
    """

    index: int
    q: Array
    load: float
    energy: float | None
    direction: float
    length: float
    step: float
    evaluations: int
    newton: int
    tangent: tuple[Array, float] = field(default=(np.zeros((0, 3)), 0.0), repr=False)
    forces: Array | None = field(default=None, repr=False)

    def __str__(self) -> str:
        """One line for progress."""
        where = f"point {self.index:3d}  load {self.load:.6g}  {'rising' if self.direction > 0 else 'falling'}"
        energy = f"  E {self.energy:.6f} eV" if self.energy is not None else ""
        return f"{where}{energy}  {self.evaluations} evaluations"


def arc_length(
    model: Model,
    at: Callable[[float], Array],
    q: Array,
    *,
    start: float,
    load_scale: float,
    length_scale: float | None = None,
    step: float = 0.02,
    smallest: float = 1e-5,
    largest: float = 0.1,
    max_points: int = 200,
    fmax: float = 1e-6,
    max_newton: int = 8,
    decreasing: bool = False,
    tangent: tuple[Array, float] | None = None,
    linear: Method = "auto",
) -> Iterator[Point]:
    """Follow equilibria from a relaxed state; a generator of points, collective. It goes on until nobody asks for more.

    Parameters
    ----------
    model : Model
        Every region that its coupler evaluates must offer STIFFNESS. A coupler with a prepared correction keeps the one it has.
    at : callable λ -> (n_q, 3) array
        Where the load alone puts all dofs, Å; fixed ones are there exactly.
    q : (n_q, 3) array
        An equilibrium at λ = ``start``, or near one.
    start : float
        λ.
    load_scale : float
        Λ; what a change of λ of order one is.
    length_scale : float, optional
        ℓ, Å; by default the square root of the number of free atoms.
    step, smallest, largest : float
        Of the arc length: the first, and its limits. A step whose Newton iteration does not converge is halved; easy ones let it grow.
    max_points : int
    fmax : float
        eV/Å; largest force on a free dof.
    max_newton : int
    decreasing : bool
        Whether the walk sets out towards smaller λ.
    tangent : (v', λ') , optional
        ``Point.tangent`` of a point to go on from exactly (with ``q``, ``start`` and ``step`` of that point).
    linear : {"auto", "direct", "krylov"}

    Yields
    ------
    Point

    Raises
    ------
    MultiscaleError
        If the start is no equilibrium within reach, or the steps become smaller than ``smallest``.
    """
    walk = _Walk(model, at, load_scale, length_scale, fmax, max_newton, linear)
    y = walk.settle(State(np.asarray(q, dtype=float) - at(start), start))
    t = walk.tangent(y, None if tangent is None else State(*tangent))
    if tangent is None and decreasing != (t.load < 0):
        t = State(-t.v, -t.load)
    index, length, taken = 0, 0.0, y.newton
    while True:
        yield Point(
            index, walk.positions(y), y.load, y.energy, t.load / load_scale, length, step, walk.evaluations, taken,
            (t.v, t.load), y.forces,
        )  # fmt: skip
        if index == max_points:
            return
        while True:
            found = walk.corrected(y, t, step)
            if found is not None:
                new = walk.tangent(found, t)
                # A turn of more than 60°, or a correction as long as the step, means that the walk has left its branch, or would soon.
                if walk.inner(new, t) > 0.5 and walk.off(found, y, t, step) < 0.5 * step:
                    break
            step *= 0.5
            if step < smallest:
                raise MultiscaleError(
                    f"the continuation came to a stop at λ = {y.load:.6g}: steps of the arc length down to {smallest:g} did not converge; "
                    "is there a kink (a cut-off), a bifurcation, or are the scales (load_scale, length_scale) far from what changes?"
                )
        index, length, y, t, taken = index + 1, length + step, found, new, found.newton
        if taken <= 4:
            step = min(1.5 * step, largest)


class _Walk(Bordered):
    """Steps in planes normal to the tangent."""

    def corrected(self, y: State, t: State, step: float) -> State | None:
        """The equilibrium a step on, in the plane normal to the tangent; None if Newton's method does not find it."""
        guess = State(y.v + step * t.v, y.load + step * t.load)

        def plane(z: State) -> Border:
            away = self.inner(State(z.v - guess.v, z.load - guess.load), t)
            return Border(t.v / self.ll, t.load / self.LL, away, 1e-9)

        return self.newton(guess, plane)

    def off(self, found: State, y: State, t: State, step: float) -> float:
        """How far a point is from where the tangent led."""
        d = State(found.v - y.v - step * t.v, found.load - y.load - step * t.load)
        return float(np.sqrt(self.inner(d, d)))

    def tangent(self, y: State, before: State | None) -> State:
        """The unit tangent (v', λ'), pointing on; λ' > 0 without one before."""
        t = self.rate(y)
        size = np.sqrt(self.inner(t, t))
        if before is not None and self.inner(t, before) < 0:
            size = -size
        return State(t.v / size, t.load / size)
