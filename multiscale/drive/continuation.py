"""Pseudo-arc-length continuation: the curve of equilibria through its folds, atoms and mesh together.

    F(q(λ) + v) = 0,     t_v·(v − v₀)/ℓ² + t_λ (λ − λ₀)/Λ² = s         unknowns v on the free dofs, and λ

q(λ) is where the load alone would put all dofs (a K-field): v is what the crystal adds to it, so that a step measures what happens at the
tip, not the far field's stretching. ℓ = 1 Å √(number of atoms) and Λ (K_G, a bond period) make both of order one; unscaled variables
make the walk collapse at folds. Each step is Newton's method on the bordered system, by two solutions with one factorisation of J = −∂F/∂q:

    J a = F,   J b = J_all q'(λ),     v ← v + a − b dλ

Between folds J is far from singular; at a fold a and b are long along the same mode and cancel.

References: Keller 1977; for cracks Buze & Kermode, Phys. Rev. E 103 (2021) 033002, DOI 10.1103/PhysRevE.103.033002.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from ..protocol import Model
from ..types import Array, MultiscaleError
from .linear import LinearSystem, Method, PETSc
from .monolithic import particles


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
    y = walk.settle(_State(np.asarray(q, dtype=float) - at(start), start))
    t = walk.tangent(y, None if tangent is None else _State(*tangent))
    if tangent is None and decreasing != (t.load < 0):
        t = _State(-t.v, -t.load)
    index, length, taken = 0, 0.0, y.newton
    while True:
        yield Point(
            index, walk.positions(y), y.load, y.energy, t.load / load_scale, length, step, walk.evaluations, taken,
            (t.v, t.load),
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


@dataclass(frozen=True)
class _State:
    """V (n_q, 3), zero on fixed dofs, and λ."""

    v: Array
    load: float
    energy: float | None = None
    newton: int = 0


class _Walk:
    """The bordered system."""

    def __init__(
        self,
        model: Model,
        at: Callable[[float], Array],
        load_scale: float,
        length_scale: float | None,
        fmax: float,
        max_newton: int,
        linear: Method,
    ) -> None:
        if not load_scale > 0:
            raise MultiscaleError(f"load_scale must be positive, got {load_scale}; give K_G, or a bond period")
        atoms = particles(model.interface)
        self.model, self.at, self.fmax, self.max_newton = model, at, fmax, max_newton
        self.free = ~model.interface.fixed
        self.system = LinearSystem(self.free, model.interface.reference, atoms, model.ranks.world.comm, linear, 1e-10)
        moving = int((atoms & self.free.any(axis=1)).sum()) or len(atoms)
        self.ll = float(moving if length_scale is None else length_scale**2)
        self.LL, self.dl = load_scale**2, 1e-4 * load_scale
        self.evaluations = 0

    def positions(self, y: _State) -> Array:
        """Q = q(λ) + v."""
        return self.at(y.load) + y.v

    def inner(self, a: _State, b: _State) -> float:
        """The scaled inner product."""
        return float(np.sum(a.v * b.v)) / self.ll + a.load * b.load / self.LL

    def settle(self, y: _State) -> _State:
        """The equilibrium at fixed λ."""
        found = self._newton(y, None, 0.0)
        if found is None:
            raise MultiscaleError(
                f"Newton's method found no equilibrium near the given state at λ = {y.load:.6g}; relax it first "
                "(multiscale.drive.relax)"
            )
        return found

    def corrected(self, y: _State, t: _State, step: float) -> _State | None:
        """The equilibrium a step on, in the plane normal to the tangent; None if Newton's method does not find it."""
        guess = _State(y.v + step * t.v, y.load + step * t.load)
        return self._newton(guess, t, 0.0, guess)

    def off(self, found: _State, y: _State, t: _State, step: float) -> float:
        """How far a point is from where the tangent led."""
        d = _State(found.v - y.v - step * t.v, found.load - y.load - step * t.load)
        return float(np.sqrt(self.inner(d, d)))

    def tangent(self, y: _State, before: _State | None) -> _State:
        """The unit tangent (v', λ'), pointing on; λ' > 0 without one before."""
        solve = self._factored(y)
        b = solve(self._loads(y))
        t = _State(-b, 1.0)
        size = np.sqrt(self.inner(t, t))
        if before is not None and self.inner(t, before) < 0:
            size = -size
        return _State(t.v / size, 1.0 / size)

    # -- details ------------------------------------------------------------------------------------------------

    def _newton(self, y: _State, t: _State | None, target: float, anchor: _State | None = None) -> _State | None:
        before = np.inf
        for count in range(self.max_newton + 1):
            try:
                state = self.model.evaluate(self.positions(y))
            except MultiscaleError:
                if t is None:
                    raise
                return None  # atoms thrown too near each other: a shorter step
            self.evaluations += 1
            f = np.where(self.free, state.forces, 0.0)
            worst = float(np.linalg.norm(f, axis=1).max())
            away = 0.0 if t is None or anchor is None else self._distance(y, anchor, t)
            if worst <= self.fmax and abs(away) < 1e-9:
                return _State(y.v, y.load, state.energy, count)
            # Newton's method converges quadratically or not at all: on a path a shorter step is cheaper than more iterations.
            stuck = t is not None and count > 1 and worst > 0.3 * before
            if count == self.max_newton or not np.isfinite(worst) or stuck:
                return None
            before = worst
            y = self._step(y, f, t, away)
        return None

    def _distance(self, y: _State, anchor: _State, t: _State) -> float:
        return self.inner(_State(y.v - anchor.v, y.load - anchor.load), t)

    def _step(self, y: _State, f: Array, t: _State | None, away: float) -> _State:
        solve = self._factored(y)
        a = solve(f)
        if t is None:
            return _State(y.v + _short(a), y.load)
        b = solve(self._loads(y))
        # v ← v + a − b dλ within the plane: t·(a − b dλ) + t_λ dλ = −away.
        slope = t.load / self.LL - float(np.sum(t.v * b)) / self.ll
        d = (-away - float(np.sum(t.v * a)) / self.ll) / slope
        return _State(y.v + a - d * b, y.load + d)

    def _loads(self, y: _State) -> Array:
        """J_all q'(λ) = −dF/dλ at fixed v (n_q, 3), zero on fixed dofs; q' by differences, exact where q is linear in λ."""
        slope = (self.at(y.load + self.dl) - self.at(y.load - self.dl)) / (2.0 * self.dl)
        mine = np.asarray(self._share @ slope.ravel()).reshape(-1, 3)
        world = self.model.ranks.world
        total = world.sum(mine.ravel()).reshape(-1, 3) if world.size > 1 else mine
        return np.where(self.free, total, 0.0)

    def _factored(self, y: _State) -> Callable[[Array], Array]:
        """Solver of J x = r at y."""
        self._share = self.model.jacobian(self.positions(y))
        matrix = self.system.load(self._share)
        ksp = PETSc.KSP().create(comm=self.system.comm)
        ksp.setOperators(matrix)
        self.system.configure(ksp)
        x, r = self.system.vector(), self.system.vector()

        def solve(right: Array) -> Array:
            r.array[:] = right.ravel()[self.system.index][self.system.rows]
            ksp.solve(r, x)
            return self.system.gathered(x)

        return solve


def _short(d: Array, longest: float = 0.5) -> Array:
    """A Newton step at fixed λ, none of whose dofs moves farther than ``longest`` Å."""
    size = float(np.linalg.norm(d, axis=1).max(initial=0.0))
    return d if size <= longest else d * (longest / size)
