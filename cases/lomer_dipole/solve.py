"""Relaxations, the load, and what is measured of their states; one solver, preconditioner and tolerance for all.

relax    L-BFGS where there is an energy, Anderson mixing where there is none, preconditioned by the continuum on the whole mesh
twin     methods without an energy start where energy blending with the same weights has come to rest (its time counts)
load     q ← q + Δγ X₂ e₁, prepare, relax
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from methods import METHODS, Problem

from couplers import EnergyBlend
from multiscale import HybridModel
from multiscale.drive import relax
from multiscale.types import Array, MultiscaleError

#: eV/Å; where the twin of a method without an energy stops.
NEAR = 1e-2


@dataclass(frozen=True, eq=False)
class State:
    """A relaxed state: dofs, energy above the perfect crystal under the same shear, load, and what it cost."""

    gamma: float
    q: Array
    energy: float | None
    stress: float
    evaluations: int
    seconds: float
    worst: float

    def __str__(self) -> str:
        """One line for progress."""
        return f"γ = {self.gamma:.4f}: {self.evaluations} evaluations, {self.seconds:.1f} s, max|F| = {self.worst:.1e} eV/Å"


class Simulation:
    """One method: its model, its preconditioner, and its states."""

    def __init__(self, problem: Problem, fmax: float, max_steps: int = 400) -> None:
        self.problem, self.fmax, self.max_steps = problem, fmax, max_steps
        clock = time.perf_counter()
        self.model = problem.model()
        self.first = problem.start
        method = problem.method
        self.twin: HybridModel | None = None
        if method is not None and method.forces:
            self.twin = Problem(problem.specimen, METHODS["CQC(13)-E"], problem.height).model()
        elif method is not None and not method.coupler.claims.conservative:
            self.twin = HybridModel(self.model.interface, EnergyBlend())
        self.preconditioner = problem.atoms.preconditioner(problem.specimen.law, problem.fixed())
        # Forms are compiled and lists built when they are first used.
        self.model.evaluate(self.first)
        self.built = time.perf_counter() - clock

    def relaxed(self) -> State:
        """The dipole without load."""
        return self._settle(self.first, 0.0, self.twin)

    def loaded(self, state: State, step: float, n: int) -> Iterator[State]:
        """N load steps on from a state."""
        y = self.problem.atoms.reference[:, 1]
        for _ in range(n):
            q = state.q.copy()
            q[:, 0] += step * y
            state = self._settle(q, state.gamma + step, None)
            yield state

    def _settle(self, q: Array, gamma: float, twin: HybridModel | None) -> State:
        clock, evaluations, affine = time.perf_counter(), 0, self.problem.sheared(gamma)
        if twin is not None:
            q, n = self._walk(twin, q, NEAR)
            evaluations += n
        method = self.problem.method
        self.model.prepare(affine if method is not None and method.at_affine else q)
        q, n = self._walk(self.model, q, self.fmax)
        spent = time.perf_counter() - clock
        now, before = self.model.evaluate(q), self.model.evaluate(affine)
        energy = None if now.energy is None or before.energy is None else now.energy - before.energy
        return State(gamma, q, energy, self._stress(now.forces), evaluations + n, spent, self._worst(now.forces))

    def _walk(self, model: HybridModel, q: Array, fmax: float) -> tuple[Array, int]:
        # The preconditioner stays: it does not depend on the state.
        settings = {"fmax": fmax, "max_steps": self.max_steps, "refresh": self.max_steps}
        last = deque(relax(model, q, preconditioner=self.preconditioner, **settings), maxlen=1).pop()
        if not last.converged:
            raise MultiscaleError(
                f"{self.problem.name} stopped after {last.index} steps at max|F| = {last.max_force:.2e} eV/Å, above {fmax:.0e}; take "
                "smaller load steps, or raise max_steps"
            )
        return last.q, last.evaluations

    def _worst(self, forces: Array) -> float:
        return float(np.abs(np.where(self.problem.fixed(), 0.0, forces)).max())

    def _stress(self, forces: Array) -> float:
        """τ = (1/V) dE/dγ, eV/Å³: the work of the rim's forces against the shear."""
        held = self.problem.fixed()[:, :2].all(axis=1)
        s = self.problem.specimen
        work = -float(forces[held, 0] @ self.problem.atoms.reference[held, 1])
        return work / (s.net.site_volume * len(s.net.m))

    def cores(self, q: Array) -> tuple[float, float]:
        """Where the slip between the rows next to X₂ = 0 crosses half a Burgers vector, Å."""
        net = self.problem.specimen.net
        u = self.problem.displacement(q)[:, 0]
        x = net.positions[:, 0]
        above, below = net.k == 1, net.k == 0
        slip = (u[above] - np.interp(x[above], x[below], u[below])) / net.b - 0.5
        at = x[above]
        found = [
            float(at[i] - slip[i] * (at[i + 1] - at[i]) / (slip[i + 1] - slip[i]))
            for i in np.flatnonzero(np.diff(slip > 0))
        ]
        if len(found) < 2:
            raise MultiscaleError(f"the dipole is gone: slip crosses b/2 at {len(found)} places; load less")
        return found[0], found[-1]


def error(exact: Array, found: Array) -> float:
    """‖u − u_exact‖/√N over the mean displacement, per cent."""
    return float(100.0 * np.sqrt(((found - exact) ** 2).sum(axis=1).mean()) / np.linalg.norm(exact, axis=1).mean())
