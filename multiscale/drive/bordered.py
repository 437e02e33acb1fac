"""Newton's method with the load as one unknown more, and one equation more that says where on the curve of equilibria.

    F(q(λ) + v) = 0,     c(v, λ) = 0         unknowns v on the free dofs, and λ
    J a = F,   J b = J_all q'(λ),     v ← v + a − b dλ,     dλ = −(c + ∂c/∂v·a)/(∂c/∂λ − ∂c/∂v·b)

q(λ) is where the load alone would put all dofs; J = −∂F/∂q. Both solutions take one factorisation. Between folds J is far from singular; at
a fold a and b are long along the same mode and cancel. The equation is a :class:`Border`: a plane normal to the curve
(:mod:`.continuation`), or a measure that is held (:mod:`.held`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..protocol import Model
from ..types import Array, MultiscaleError
from .linear import LinearSystem, Method, PETSc
from .monolithic import particles


@dataclass(frozen=True)
class State:
    """Displacements v (n_q, 3), zero on fixed dofs, and λ; of equilibria also energy, forces on all dofs, and Newton steps taken."""

    v: Array
    load: float
    energy: float | None = None
    forces: Array | None = None
    newton: int = 0


@dataclass(frozen=True)
class Border:
    """One linear equation, at a state.

    Attributes
    ----------
    row : (n_q, 3) array
        ∂c/∂v.
    slope : float
        ∂c/∂λ at fixed v.
    residual : float
        The value c, which is to vanish.
    enough : float
        How small it has to be.
    """

    row: Array
    slope: float
    residual: float
    enough: float


class Bordered:
    """The bordered system of one model; collective."""

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
            raise MultiscaleError(
                f"load_scale must be positive, got {load_scale}; give K_G, a bond period, the range of adhesion"
            )
        atoms = particles(model.interface)
        self.model, self.at, self.fmax, self.max_newton = model, at, fmax, max_newton
        self.free = ~model.interface.fixed
        self.system = LinearSystem(self.free, model.interface.reference, atoms, model.ranks.world.comm, linear, 1e-10)
        moving = int((atoms & self.free.any(axis=1)).sum()) or len(atoms)
        self.ll = float(moving if length_scale is None else length_scale**2)
        self.LL, self.dl = load_scale**2, 1e-4 * load_scale
        self.evaluations = 0
        #: The largest force on a free dof where Newton's method ended last.
        self.left = np.inf
        self._ksp: Any = None

    def positions(self, y: State) -> Array:
        """Positions q(λ) + v (n_q, 3)."""
        return self.at(y.load) + y.v

    def inner(self, a: State, b: State) -> float:
        """The scaled inner product."""
        return float(np.sum(a.v * b.v)) / self.ll + a.load * b.load / self.LL

    def settle(self, y: State) -> State:
        """The equilibrium at fixed λ."""
        found = self.newton(y, None)
        if found is None:
            raise MultiscaleError(
                f"Newton's method found no equilibrium near the given state at λ = {y.load:.6g}; relax it first "
                "(multiscale.drive.relax)"
            )
        return found

    def newton(self, y: State, border: Callable[[State], Border] | None) -> State | None:
        """The equilibrium on the border, or at fixed λ without one; None if Newton's method does not find it."""
        before = np.inf
        for count in range(self.max_newton + 1):
            try:
                state = self.model.evaluate(self.positions(y))
            except MultiscaleError:
                if border is None:
                    raise
                return None  # atoms thrown too near each other, surfaces through one another: a shorter step
            self.evaluations += 1
            f = np.where(self.free, state.forces, 0.0)
            worst = self.left = float(np.linalg.norm(f, axis=1).max())
            b = None if border is None else border(y)
            if worst <= self.fmax and (b is None or abs(b.residual) < b.enough):
                return State(y.v, y.load, state.energy, state.forces, count)
            # Newton's method converges quadratically or not at all: on a path a shorter step is cheaper than more iterations.
            stuck = b is not None and count > 1 and worst > 0.3 * before
            if count == self.max_newton or not np.isfinite(worst) or stuck:
                return None
            before = worst
            y = self._step(y, f, b)
        return None

    def rate(self, y: State) -> State:
        """How the equilibrium at y goes with λ: (dv/dλ, 1)."""
        return State(-self._factored(y)(self._loads(y)), 1.0)

    def slope(self, load: float) -> Array:
        """q'(λ) (n_q, 3) by differences, exact where q is linear in λ."""
        return (self.at(load + self.dl) - self.at(load - self.dl)) / (2.0 * self.dl)

    # -- details ------------------------------------------------------------------------------------------------

    def _step(self, y: State, f: Array, border: Border | None) -> State:
        solve = self._factored(y)
        a = solve(f)
        if border is None:
            return State(y.v + _short(a), y.load)
        b = solve(self._loads(y))
        d = -(border.residual + float(np.sum(border.row * a))) / (border.slope - float(np.sum(border.row * b)))
        return State(y.v + a - d * b, y.load + d)

    def _loads(self, y: State) -> Array:
        """J_all q'(λ) = −dF/dλ at fixed v (n_q, 3), zero on fixed dofs."""
        mine = np.asarray(self._share @ self.slope(y.load).ravel()).reshape(-1, 3)
        world = self.model.ranks.world
        total = world.sum(mine.ravel()).reshape(-1, 3) if world.size > 1 else mine
        return np.where(self.free, total, 0.0)

    def _factored(self, y: State) -> Callable[[Array], Array]:
        """Solver of J x = r at y, good until the next one is made."""
        self._share = self.model.jacobian(self.positions(y))
        matrix = self.system.load(self._share)
        if self._ksp is None:
            # One solver for all: a new one each time keeps its factorisation, whatever Python's collector does, until memory is full.
            self._ksp = PETSc.KSP().create(comm=self.system.comm)
            self._ksp.setOperators(matrix)
            self.system.configure(self._ksp)
            self._vectors = self.system.vector(), self.system.vector()
        self._ksp.setOperators(matrix)
        x, r = self._vectors

        def solve(right: Array) -> Array:
            r.array[:] = right.ravel()[self.system.index][self.system.rows]
            self._ksp.solve(r, x)
            return self.system.gathered(x)

        return solve


def _short(d: Array, longest: float = 0.5) -> Array:
    """A Newton step at fixed λ, none of whose dofs moves farther than ``longest`` Å."""
    size = float(np.linalg.norm(d, axis=1).max(initial=0.0))
    return d if size <= longest else d * (longest / size)
