"""How far from equilibrium the published reference may have been left: its kind of solver, stopped by its rule.

    python cases/point_defect_2d/unsettled.py

The publication minimises the energy by nonlinear conjugate gradients, first preconditioned by the Laplacian, then plain, and stops where
the slope along the search direction is below round-off of the *total* energy, |s·g| < 100 ε |E|: 10⁻⁶ eV at the reference's 4.6·10⁷ eV,
or earlier, when differences of such energies drown in round-off. The strain is then still some thousandths from equilibrium, as much
as the smallest published errors. Where exactly it stops hangs on round-off, so that its reference cannot be made again; its size can.

Slopes are exact here, steps end where the slope has fallen to a half of the first one. Printed are |s·g|, |u|_{1,2} and the distance
from the equilibrium that Newton's method finds, relative to |u|_{1,2}.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import scipy.sparse as sp
import torch  # noqa: F401 - has to come before DOLFINx
from problem import Defect, reference, seminorm
from scipy.sparse.linalg import splu

from multiscale.continuum.lattice_mesh import LatticeMesh
from multiscale.drive import newton
from multiscale.types import Array


def descend(
    gradient: Callable[[Array], Array], v: Array, solve: Callable[[Array], Array]
) -> Iterator[tuple[Array, float]]:
    """States of conjugate gradients (Polak–Ribière, β ≥ 0), with |s·g| of the next direction."""
    g = gradient(v)
    z = solve(g)
    s, gz, step = -z, float(np.sum(g * z)), 1.0
    while True:
        slope = float(np.sum(s * g))
        yield v, abs(slope)
        low, at_low, t = 0.0, slope, step
        while True:
            new = gradient(v + t * s)
            d = float(np.sum(s * new))
            if abs(d) <= 0.5 * abs(slope):
                break
            if d > 0:
                t = low - at_low * (t - low) / (d - at_low)
            else:
                low, at_low, t = t, d, 5.0 * t - 4.0 * low
        v, g, old, step = v + t * s, new, g, t
        z = solve(g)
        beta = max(0.0, float(np.sum(z * (g - old))) / gz)
        s, gz = -z + beta * s, float(np.sum(g * z))


def laplacian(lattice: LatticeMesh) -> sp.csr_matrix:
    """∫ ∇N_a·∇N_b dX (n, n) of the mesh's linear elements."""
    mesh, n = lattice.mesh, len(lattice.mesh.cells)
    slopes = mesh.gradient_in(np.arange(n), np.full((n, 3), 1.0 / 3.0))
    return sum(g.T @ sp.diags(mesh.volumes) @ g for g in slopes).tocsr()


def main(plain_steps: int = 16) -> None:
    """Both stages."""
    problem = reference(Defect())
    lattice, model = problem.lattice, problem.model()
    *_, settled = newton(model, problem.start)
    exact = problem.displacement(settled.q)
    scale, free = seminorm(lattice, exact), np.flatnonzero(~lattice.outer)
    print(f"equilibrium: |u| = {scale:.6f} Å, E = {settled.energy:.6f} eV")
    rule = 100 * np.finfo(float).eps * abs(settled.energy)

    def full(v: Array) -> Array:
        u = np.zeros_like(exact)
        u[free, :2] = v
        return u

    def gradient(v: Array) -> Array:
        return -np.asarray(model.evaluate(problem.start + full(v)).forces)[free, :2]

    # The publication's preconditioner is 0.3 times the diameter times the Laplacian: the slope is counted in it.
    diameter = float(np.ptp(lattice.mesh.points, axis=0).max())
    factors = splu((0.3 * diameter * laplacian(lattice))[free][:, free].tocsc())
    v = np.zeros((len(free), 2))
    for stage, solve in (("preconditioned", factors.solve), ("plain", lambda g: g)):
        for k, (v, slope) in enumerate(descend(gradient, v, solve)):  # noqa: B007, B020
            u = full(v)
            now, off = seminorm(lattice, u), seminorm(lattice, u - exact) / scale
            print(f"{stage:15s}{k:3d}  |s·g| {slope:.2e} eV  |u| {now:.6f} Å  off by {off:.4f}")
            if slope < rule or (stage == "plain" and k == plain_steps):
                break


if __name__ == "__main__":
    main()
