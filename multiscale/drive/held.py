"""Continuation by something that one measures: a central gap, a crack's opening, the advance of an edge, held while the load is found.

    F(q(λ) + v) = 0,     m·(q(λ) + v − X) = s         unknowns v on the free dofs, and λ;  s goes from value to value

Where the load, or the position of a machine, turns back (a fold, at which bodies jump into contact or out of it), the measure often goes
on, and what it goes through is the whole curve of equilibria, unstable ones included. Its values are the caller's, and no scales are
needed; where no measure grows along the whole curve, :func:`.continuation.arc_length` still goes. λ enters through q(λ) alone: for a stamp
that is moved, q is the reference with the stamp's node at the height λ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from ..protocol import Model
from ..types import Array, MultiscaleError
from .bordered import Border, Bordered, State
from .continuation import Point
from .linear import Method


def control(
    model: Model,
    at: Callable[[float], Array],
    q: Array,
    measure: Array,
    values: Sequence[float] | Array,
    *,
    start: float,
    load_scale: float,
    smallest: float = 1e-3,
    fmax: float = 1e-6,
    max_newton: int = 10,
    linear: Method = "auto",
) -> Iterator[Point]:
    """Equilibria at values of a measure; a generator of points, collective.

    Parameters
    ----------
    model : Model
        Every region that its coupler evaluates must offer STIFFNESS.
    at : callable λ -> (n_q, 3) array
        Where the load alone puts all dofs, Å; fixed ones are there exactly.
    q : (n_q, 3) array
        A state near the equilibrium with the first value, fixed dofs as λ = ``start`` puts them.
    measure : (n_q, 3) array
        m; the measure is Σ m (q − X), X the model's reference.
    values : sequence of float
        s, in the order in which they are visited.
    start : float
        λ at q, or a guess of it.
    load_scale : float
        What a change of λ of order one is; for differences of q(λ) only.
    smallest : float
        Part of the way from one value to the next. Steps whose Newton iteration does not converge are halved down to it.
    fmax, max_newton, linear
        As for :func:`.continuation.arc_length`.

    Yields
    ------
    Point
        One per value; ``direction`` is dλ/ds, ``tangent`` (dv/ds, dλ/ds), ``length`` is s.

    Raises
    ------
    MultiscaleError
        If there is no equilibrium within reach: the measure does not grow along the curve, perhaps.
    """
    m, ends = np.asarray(measure, dtype=float), np.asarray(values, dtype=float)
    if m.shape != model.interface.reference.shape or not m.any() or ends.ndim != 1 or not len(ends):
        raise MultiscaleError(
            f"control needs a measure of shape {model.interface.reference.shape} that is not zero, and values; got shapes {m.shape} and "
            f"{ends.shape}"
        )
    walk = _Held(model, at, load_scale, None, fmax, max_newton, linear)
    walk.take(m)
    y = State(np.asarray(q, dtype=float) - at(start), start)
    found = walk.corrected(y, float(ends[0]))
    if found is None:
        raise MultiscaleError(
            f"no equilibrium with a measure of {ends[0]:.6g} near the given state: forces of {walk.left:.3g} are left, fmax is {fmax:g}; "
            "start from an equilibrium and its own measure, or raise fmax above what round-off leaves"
        )
    y, s, taken, step, t = found, float(ends[0]), found.newton, 1.0, walk.tangent(found)
    for index, end in enumerate(ends):
        while s != end:
            far = float(ends[index] - ends[index - 1])
            step = min(1.7 * step, 1.0) if y.newton <= 5 else step  # what was hard will be hard again
            while True:
                to = float(end) if abs(end - s) <= 1.001 * step * abs(far) else s + step * far
                found = walk.corrected(State(y.v + (to - s) * t.v, y.load + (to - s) * t.load), to)
                if found is not None:
                    break
                step *= 0.5
                if step < smallest:
                    raise MultiscaleError(
                        f"control came to a stop at a measure of {s:.6g} (λ = {y.load:.6g}): no equilibrium found nearer than {smallest:g} "
                        f"of the way to {end:.6g}; does the measure turn back there? arc_length goes on"
                    )
            y, s, taken, t = found, to, taken + found.newton, walk.tangent(found)
        yield Point(
            index, walk.positions(y), y.load, y.energy, t.load, s, step, walk.evaluations, taken,
            (t.v, t.load), y.forces,
        )  # fmt: skip
        taken = 0


class _Held(Bordered):
    """Steps at a held measure."""

    def take(self, measure: Array) -> None:
        """Remember m, and its part on free dofs."""
        self.m, self.row = measure, np.where(self.free, measure, 0.0)
        self.enough = (
            1e-10 * max(1.0, float(np.abs(self.model.interface.reference).max())) * float(np.abs(measure).max())
        )

    def corrected(self, y: State, value: float) -> State | None:
        """The equilibrium with the measure; None if Newton's method does not find it."""
        X = self.model.interface.reference

        def held(z: State) -> Border:
            off = float(np.sum(self.m * (self.positions(z) - X))) - value
            return Border(self.row, float(np.sum(self.m * self.slope(z.load))), off, self.enough)

        return self.newton(y, held)

    def tangent(self, y: State) -> State:
        """(dv/ds, dλ/ds)."""
        t = self.rate(y)
        grows = float(np.sum(self.row * t.v)) + float(np.sum(self.m * self.slope(y.load)))
        return State(t.v / grows, 1.0 / grows)
