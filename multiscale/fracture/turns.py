"""Equilibrium of a crack without an energy of its own: atoms and mesh by turns, then Newton's method for both.

    by turns    q_atoms = argmin E(· ; pad),     K_fem q_nodes = f(atoms)        downhill; converges slowly, as Schwarz with overlap
    together    J d = F,  q ← q + d              J of the coupler, not symmetric; fast, and blind to stability

Where Newton's method finds an equilibrium near by (a load step away, mostly), it is taken. Where it does not, the turns lead on: they go
downhill wherever the atoms have an energy to go down, so that a crack without an equilibrium runs to the next one, and Newton's method
finishes. A first state is best looked for well inside of the window of loads that it is stable in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.sparse.linalg import splu

from ..drive.relax import relax
from ..drive.step import Step
from ..protocol import Model
from ..types import Array, BoolArray, MultiscaleError
from .padded import PaddedCrack

#: Å; where Newton's method moves an atom farther than this, it is on its way to somewhere else.
NEAR = 0.1


class Turns:
    """Brings a sharply coupled crack to rest.

    Parameters
    ----------
    crack : PaddedCrack
    model : Model
        Of ``crack.interface()`` and a coupler with a Jacobian, ``SharpPad``.
    atoms : Model
        Of ``crack.atoms_held()`` and a coupler with an energy, ``EnergyBlend``.
    fmax : float
        eV/Å.
    sweeps : int
        Turns between tries of Newton's method.
    tries : int

    Raises
    ------
    MultiscaleError
        By :meth:`settle`, if there is no rest after so many tries.
    """

    def __init__(
        self, crack: PaddedCrack, model: Model, atoms: Model, fmax: float = 1e-4, sweeps: int = 4, tries: int = 60
    ) -> None:
        self.crack, self.model, self.atoms = crack, model, atoms
        self.fmax, self.sweeps, self.tries = fmax, sweeps, tries
        self.free = ~model.interface.fixed
        self._nodes = self.free.copy()
        self._nodes[: crack.n_free] = False
        # Linear elasticity: the mesh's half is solved once and for all.
        self._mesh = _factors(model, model.interface.reference, self._nodes)
        self.evaluations = 0

    def settle(self, q: Array, enough: Callable[[Array], int] = lambda q: 0) -> Step:
        """The equilibrium near q (n_q, 3), or the one to which it runs; collective.

        Parameters
        ----------
        q : (n_q, 3) array
            Å.
        enough : callable
            Looks at the states between turns and may end the search at one that is not at rest (``converged`` is then not set): on the
            way to another equilibrium, that a bond has broken is all there is to know.
        """
        for _ in range(self.tries):
            found = self._newton(q)
            if found is not None and np.abs(found.q - q)[: self.crack.n_free].max() < NEAR:
                return found
            for _ in range(self.sweeps):
                q = self._sweep(q)
                if enough(q):
                    e = self.model.evaluate(q)
                    return Step(self.sweeps, q, e.energy, e.forces, self._worst(e.forces), self.evaluations, False)
        raise MultiscaleError(
            f"the crack did not come to rest in {self.tries * self.sweeps} turns of atoms and mesh; take smaller load steps, or raise tries"
        )

    def _sweep(self, q: Array) -> Array:
        n = self.crack.n_free
        last = deque(relax(self.atoms, self.crack.place(q), fmax=self.fmax), maxlen=1).pop()
        q = q.copy()
        q[:n] = last.q[:n]
        f = self.model.evaluate(q).forces
        q[self._nodes] += self._mesh.solve(f[self._nodes])
        self.evaluations += last.evaluations + 1
        return q

    def _newton(self, q: Array, most: int = 6) -> Step | None:
        """The root of F near q, or nothing if forces grow or steps run out."""
        worst = np.inf
        for k in range(most):
            e = self.model.evaluate(q)
            self.evaluations += 1
            now = self._worst(e.forces)
            if now <= self.fmax:
                return Step(k, q, e.energy, e.forces, now, self.evaluations, True)
            if now > worst:
                return None
            step = np.zeros_like(q)
            step[self.free] = _factors(self.model, q, self.free).solve(e.forces[self.free])
            if not np.abs(step[: self.crack.n_free]).max() < NEAR:
                return None
            worst, q = now, q + step
        return None

    def _worst(self, forces: Array) -> float:
        return float(np.linalg.norm(np.where(self.free, forces, 0.0), axis=1).max())


def _factors(model: Model, q: Array, free: BoolArray) -> Any:
    """Factors of the coupler's Jacobian on the free components at q, the same on every rank."""
    world = model.ranks.world
    pieces = world.gather(model.jacobian(q))
    total = world.bcast(sum(pieces[1:], start=pieces[0]) if pieces else None)
    index = np.flatnonzero(free.ravel())
    return splu(total[index][:, index].tocsc())
