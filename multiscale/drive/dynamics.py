"""Velocity Verlet over atoms and mesh nodes.

    v ← v + F Δt/2m;   q ← q + v Δt;   F ← F(q);   v ← v + F Δt/2m

Times are in ASE's unit Å√(amu/eV) (10.18 fs); multiply femtoseconds by ``ase.units.fs``.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..model import HybridModel
from ..types import Array, MultiscaleError
from .step import Step


def verlet(
    model: HybridModel, q: Array, velocities: Array, *, dt: float, steps: int, masses: Array | None = None
) -> Iterator[Step]:
    """Integrate Newton's equations; a generator of steps (the start included), collective.

    Parameters
    ----------
    model : HybridModel
    q, velocities : (n_q, 3) arrays
        Å, and Å per ASE time unit; fixed components do not move.
    dt : float
        ASE time units.
    steps : int
    masses : (n_q,) array, optional
        amu; by default the regions' masses weighed by their shares.

    Yields
    ------
    Step
        ``energy`` is the potential energy; the kinetic energy follows from ``velocities``.
    """
    m = np.asarray(model.interface.masses() if masses is None else masses, dtype=float)[:, None]
    if not (np.isfinite(m).all() and (m > 0).all()):
        bad = int(np.flatnonzero(~(m[:, 0] > 0))[0])
        raise MultiscaleError(
            f"dynamics needs a positive mass on every shared dof, but dof {bad} has {m[bad, 0]!r}; give masses="
        )
    free = ~model.interface.fixed
    q, v = np.array(q, dtype=float), np.where(free, velocities, 0.0)
    state = model.evaluate(q)
    for index in range(steps + 1):
        force = np.where(free, state.forces, 0.0)
        worst = float(np.linalg.norm(force, axis=1).max(initial=0.0))
        yield Step(index, q, state.energy, state.forces, worst, index + 1, index == steps, velocities=v)
        if index == steps:
            return
        half = v + 0.5 * dt * force / m
        q = q + dt * half
        state = model.evaluate(q)
        v = half + 0.5 * dt * np.where(free, state.forces, 0.0) / m
