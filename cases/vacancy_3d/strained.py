"""Silicon at nonzero strain: what energy blending does to the perfect crystal, and what a correction leaves of it.

    blended                  of first order in the strain: stress · ∇β, whatever the blend's smoothness
    corrected at rest        the same: there is no ghost force at rest that could be taken off
    corrected at the strain  of second order: that of the inner shifts of atoms that follow the mesh, which are linear in the strain

The ghost force is taken on what there is: the positions of free atoms, that is displacement and shift; the nodes of the others.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from problem import DIRECTION, Problem

from couplers import EnergyBlend, GhostCorrected

STRAINS = (0.0025, 0.005, 0.01)


def uniform(problem: Problem, strain: float) -> Any:
    """The state q of a uniform strain, with the linear inner shifts of the free atoms."""
    place, H = problem.layout, strain * DIRECTION
    q = place.reference @ (np.eye(3) + H).T
    shifts = problem.of.shifts[place.sublattice[: place.n_atoms]]
    q[: place.n_atoms] += np.einsum("nijk,jk->ni", shifts, H)
    return q


def strained(run: Any) -> dict[str, list[float]]:
    """Largest forces on the perfect crystal against strain: blended, corrected at rest, corrected at the strain."""
    problem = Problem("Si", "BGFC", 2.0, vacancy=False, linear=run.settings["linear"])
    place = problem.layout
    free = ~place.fixed
    plain, fixed, fresh = problem.model(EnergyBlend()), problem.model(GhostCorrected()), problem.model(GhostCorrected())
    out: dict[str, list[float]] = {
        "strain": list(STRAINS),
        "blended": [],
        "corrected at rest": [],
        "corrected at the strain": [],
    }
    for strain in STRAINS:
        q = uniform(problem, strain)
        fresh.prepare(q)
        for name, model in (("blended", plain), ("corrected at rest", fixed), ("corrected at the strain", fresh)):
            out[name].append(float(np.abs(model.evaluate(q).forces[free]).max()))
            run.record(f"Si, strain {strain:g}: force, {name}", out[name][-1], "eV/Å")
    return out
