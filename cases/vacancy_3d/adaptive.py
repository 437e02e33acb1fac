"""The adaptive sequence: from a small core in a coarse mesh, by :mod:`multiscale.adapt`.

    sites     the true force at the sites of the refined lattice outside the core
    P         the elastic stiffness of the mesh: η² = rᵀ K⁻¹ r, relative to uᵀ K u
    cells     jumps between those that are not the lattice's

The radius of the domain follows the same rule as that of the other meshes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from problem import Problem
from solving import Elastic, Found, error, gradients, solve

from multiscale.adapt import Estimate, adapt, finer, jumps, mark, residual, transfer
from multiscale.region import Can, Query

#: Dörfler's fractions: of the sites' residual, which decays from the core outwards, and of the cells' jumps.
FRACTION, OF_CELLS = 0.5, 0.7
#: n cells around a core of radius K leave K^{−3/2} n^{−1/3} of a point defect's field unresolved. Of N points in all, a K³ of them in the
#: lattice, this is least for a K³ = 3/5 N: with less in the lattice, a larger core is worth more than smaller cells.
BALANCE = 0.6
#: The core never grows by more than this factor at once.
FASTEST = 1.6


def estimate(problem: Problem, found: Found) -> Estimate:
    """Squares of the relative error, by sites and cells."""
    lattice, u = found.field
    place = problem.layout
    # The atoms of the model are the lattice's: those at vertices are sampled, whose neighbours are all there.
    forces = (
        found.model.interface.regions["atoms"]
        .evaluate(found.model.interface.place("atoms", found.q), Query(Can.FORCES))
        .forces
    )
    vertices = np.flatnonzero(lattice.refined)
    r = np.linalg.norm(lattice.mesh.points, axis=1)
    true = np.zeros_like(u)
    true[vertices] = forces[: len(vertices)]
    true[(r <= problem.core * problem.of.r0) | ~lattice.whole] = 0.0
    elastic = Elastic(lattice.mesh, problem.of.C, ~place.fixed, rtol=1e-6)
    scale = float(np.sum(u * elastic.product(u)))
    sites = residual(true, elastic) / scale
    square = float((gradients(lattice.mesh, u) ** 2).sum(axis=(1, 2)) @ lattice.mesh.volumes)
    coarse = ~lattice.whole[lattice.mesh.cells].any(axis=1)
    return Estimate(lattice.mesh.points, sites, jumps(lattice.mesh, u, coarse) / square)


def improve(problem: Problem, found: Found, e: Estimate) -> tuple[Problem, Any]:
    """More atoms where the residual is, smaller cells where the jumps are: either, or both if they are of one size."""
    lattice, u = found.field
    core, grows = problem.core, float(lattice.whole.mean()) < BALANCE
    if grows or e.model > 0.5 * e.mesh:
        r = np.linalg.norm(e.points, axis=1) / problem.of.r0
        core = float(np.clip(r[mark(e.sites, FRACTION)].max(), core + 0.25, FASTEST * core))
    marked = np.zeros(len(e.cells), dtype=bool) if grows or e.mesh <= 0.5 * e.model else mark(e.cells, OF_CELLS)
    new = replace(problem, core=core, size=finer(lattice.mesh, marked))
    place = new.layout
    return new, place.reference + transfer(lattice.mesh, u, place.reference)


def adaptive(run: Any, exact: Found, best: list[Any], levels: int) -> list[tuple[float, float, float | None]]:
    """The sequence, with its true errors; the last one within their sizes is judged by the a-priori meshes."""
    first = Problem("Al", "BGFC", 2.0, exponent=3.0, grade=0.6, linear=run.settings["linear"])
    rows: list[tuple[float, float, float | None]] = []
    with run.timed("adaptive"):
        for level in adapt(
            first, lambda p, start: solve(p, start=start), estimate, improve, tolerance=2e-3, max_levels=levels
        ):
            found, e = level.solution, level.estimate
            label = f"Al adaptive, level {level.index}"
            wrong, points = error(found, exact), found.problem.layout.free
            run.record(f"{label}: core", found.problem.core, "r₀")
            run.record(f"{label}: points", points)
            run.record(f"{label}: estimate", [e.model, e.mesh])
            run.record(f"{label}: error", wrong)
            rows.append((points, wrong, found.problem.formation(found.energy)))
    n, known = np.array([(n, w) for n, w, _ in best]).T
    inside = [(points, wrong) for points, wrong, _ in rows if n[0] <= points <= n[-1]]
    if inside:
        points, wrong = inside[-1]
        apriori = float(np.exp(np.interp(np.log(points), np.log(n), np.log(known))))
        run.record("Al adaptive: against the a-priori error", wrong / apriori)
    return rows
