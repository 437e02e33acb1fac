"""Newton's method for atoms and nodes together, and a staggered solver to compare it with.

    J(q) d = F(q),      q ← q + t d            J = −∂F/∂q of the coupler, exact and not symmetric where forces are blended

One system for all dofs (:mod:`multiscale.drive.linear`); PETSc's SNES takes each step and chooses t by backtracking on |F|. It needs a
start within reach, which a K-field, a relaxed state or the last load step is. Energies play no part, so that methods without one are
solved as the others are; whether the equilibrium is stable is not asked either (:func:`multiscale.drive.relax.relax` goes downhill).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..coupler import Evaluation
from ..interface import Interface
from ..protocol import Model
from ..types import Array, BoolArray, MultiscaleError
from .linear import LinearSystem, Method, PETSc
from .step import Step


def newton(
    model: Model,
    q: Array,
    *,
    fmax: float = 1e-8,
    max_steps: int = 30,
    fixed: BoolArray | None = None,
    linear: Method = "auto",
    rtol: float = 1e-8,
) -> Iterator[Step]:
    """Solve F(q) = 0 on the free dofs; a generator of steps, collective.

    Parameters
    ----------
    model : Model
        Every region that its coupler evaluates must offer STIFFNESS.
    q : (n_q, 3) array
        Start, Å.
    fmax : float
        eV/Å; largest force on a free dof.
    max_steps : int
    fixed : (n_q, 3) bool array, optional
        Instead of the interface's mask.
    linear : {"auto", "direct", "krylov"}
        How the linear systems are solved; auto factorises small ones.
    rtol : float
        Relative tolerance of an iterated linear solution.

    Yields
    ------
    Step
        The last one has ``converged`` set, unless ``max_steps`` ran out.

    Raises
    ------
    MultiscaleError
        If the tangent is singular, the linear solver does not converge, or no step along the Newton direction makes forces smaller.
    """
    free = ~(model.interface.fixed if fixed is None else fixed)
    atoms = particles(model.interface)
    system = LinearSystem(free, model.interface.reference, atoms, model.ranks.world.comm, linear, rtol)
    walk = _Walk(model, np.array(q, dtype=float), system)
    try:
        for index in range(max_steps + 1):
            worst = float(np.linalg.norm(np.where(free, walk.state.forces, 0.0), axis=1).max(initial=0.0))
            done = worst <= fmax
            yield Step(index, walk.q, walk.state.energy, walk.state.forces, worst, walk.evaluations, done)
            if done or index == max_steps:
                return
            walk.step(index)
    finally:
        walk.close()


def staggered(
    model: Model,
    q: Array,
    *,
    fmax: float = 1e-8,
    max_sweeps: int = 100,
    inner: int = 10,
    fixed: BoolArray | None = None,
) -> Iterator[Step]:
    """Atoms with the mesh held, then the mesh with the atoms held, by turns, each by Newton's method; a step is a sweep.

    It is here to be compared with :func:`newton`. It converges slowly where the two are strongly coupled, and near dislocations it may
    come to rest in a wrong place; see Miller & Tadmor, MSMSE 17 (2009) 053001, https://doi.org/10.1088/0965-0393/17/5/053001.

    Parameters
    ----------
    model, q, fmax, fixed
        As for :func:`newton`.
    max_sweeps : int
    inner : int
        Most Newton steps of each half.
    """
    held = model.interface.fixed if fixed is None else fixed
    atoms = np.repeat(particles(model.interface)[:, None], 3, axis=1)
    q, evaluations = np.array(q, dtype=float), 0
    for index in range(max_sweeps + 1):
        state = model.evaluate(q)
        evaluations += 1
        worst = float(np.linalg.norm(np.where(held, 0.0, state.forces), axis=1).max(initial=0.0))
        now = Step(index, q, state.energy, state.forces, worst, evaluations, worst <= fmax)
        yield now
        if now.converged or index == max_sweeps:
            return
        for others in (~atoms, atoms):
            *_, last = newton(model, q, fmax=0.1 * fmax, max_steps=inner, fixed=held | others)
            q, evaluations = last.q, evaluations + last.evaluations


def particles(interface: Interface) -> BoolArray:
    """Which shared dofs (n_q,) are atoms that some sharing region of particles counts; the others are nodes."""
    out = np.zeros(interface.n_q, dtype=bool)
    for name in interface.shared:
        if interface.regions[name].discrete:
            own = interface.embeddings[name].own
            out[own[own >= 0]] = True
    return out


class _Walk:
    """One SNES that is asked for one step at a time, so that steps can be yielded as they come."""

    def __init__(self, model: Model, q: Array, system: LinearSystem) -> None:
        self.model, self.system, self.q = model, system, q
        self.state: Evaluation = model.evaluate(q)
        self.evaluations = 1
        self._x, self._f = system.vector(), system.vector()
        self._snes = PETSc.SNES().create(comm=system.comm)
        self._snes.setFunction(self._residual, self._f)
        database, prefix = PETSc.Options(), f"multiscale_newton_{id(self):x}_"
        self._snes.setOptionsPrefix(prefix)
        options = {
            "snes_type": "newtonls", "snes_linesearch_type": "bt", "snes_max_it": 1, "snes_linesearch_max_it": 25,
            "snes_atol": 1e-300, "snes_rtol": 1e-300, "snes_stol": 0.0, "snes_divergence_tolerance": -1,
        }  # fmt: skip
        for name, value in options.items():
            database[prefix + name] = value
        self._snes.setFromOptions()
        for name in options:
            database.delValue(prefix + name)
        system.configure(self._snes.getKSP())

    def step(self, index: int) -> None:
        """One Newton step with backtracking, from ``q`` to ``q``."""
        jacobian = self.system.load(self.model.jacobian(self.q))
        self._snes.setJacobian(lambda *_: None, jacobian, jacobian)
        self._x.array[:] = self.q.ravel()[self.system.index][self.system.rows]
        before = float(np.linalg.norm(np.where(self.system.free, self.state.forces, 0.0)))
        self._snes.solve(None, self._x)
        reason, ksp = self._snes.getConvergedReason(), self._snes.getKSP().getConvergedReason()
        if reason == PETSc.SNES.ConvergedReason.DIVERGED_LINEAR_SOLVE or ksp < 0:
            raise MultiscaleError(
                f"the tangent at Newton step {index} could not be solved with ({self.system.method}, {self.system.n} free components, "
                f"PETSc reason {ksp}): it is singular, or nearly so; fix rigid motions and dofs that nothing holds, or load in smaller "
                "steps"
            )
        if reason < 0 and reason != PETSc.SNES.ConvergedReason.DIVERGED_MAX_IT:
            raise MultiscaleError(
                f"Newton's method found no smaller forces along its direction at step {index}, |F| = {before:.3g} eV/Å (PETSc reason "
                f"{reason}); start nearer to the equilibrium, or relax first (multiscale.drive.relax)"
            )
        self._at(self._x)

    def close(self) -> None:
        """Give back what PETSc holds: its SNES refers to this object, and Python cannot see the circle."""
        for held in (self._snes, self._x, self._f, self.system.matrix):
            if held is not None:
                held.destroy()
        self.system.matrix = None

    def _at(self, x: Any) -> None:
        """Take the state at x; evaluated once where SNES asks for it again."""
        moved = self.system.gathered(x)
        q = np.where(self.system.free, moved, self.q)
        if not np.array_equal(q, self.q):
            self.q, self.state = q, self.model.evaluate(q)
            self.evaluations += 1

    def _residual(self, _snes: Any, x: Any, f: Any) -> None:
        self._at(x)
        # SNES solves R(x) = 0 by J d = R, x ← x − d, with R = −F and J = ∂R/∂x.
        f.array[:] = -self.state.forces.ravel()[self.system.index][self.system.rows]


__all__ = ["newton", "particles", "staggered"]
