"""Generalised plane strain on a plane mesh: u_x, u_y, u_z all functions of x, y, coupled by any anisotropy.

    Σ_b ∫ ∂N_a/∂X_j C_ijkl ∂N_b/∂X_l dX u_kb = 0,      j, l ∈ {x, y},  i, k ∈ {x, y, z}

The state that a crack along a front of low symmetry is in, and the only one on a plane mesh that has a K_III. A linear solve in memory,
the same on every rank; coupled runs in plane strain use :class:`~multiscale.regions.continuum.ContinuumRegion`, which is distributed.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import splu

from ..types import GPA_PER_EV_A3, Array, BoolArray, MultiscaleError
from .mesh import SimplexMesh
from .voigt import PAIRS, voigt_stiffness

_NUMBER = {pair: v for v, (i, j) in enumerate(PAIRS) for pair in ((i, j), (j, i))}


def solve_generalised(mesh: SimplexMesh, C: Array, x: Array, held: BoolArray) -> Array:
    """Positions (n_nodes, 3), Å, in equilibrium of a linear solid whose displacement does not vary along z.

    Parameters
    ----------
    mesh : SimplexMesh
        Plane.
    C : (6, 6) array
        Elastic constants, GPa, Voigt order, in the mesh's frame.
    x : (n_nodes, 3) array
        Positions, Å, to hold where ``held``.
    held : (n_nodes, 3) bool array
        Prescribed components; u_z must be held somewhere.
    """
    if mesh.dim != 2 or not np.shape(x) == np.shape(held) == mesh.nodes.shape:
        raise MultiscaleError(
            f"generalised plane strain needs a plane mesh, positions and a mask of shape {mesh.nodes.shape}, got {mesh.dim} "
            f"dimensions, {np.shape(x)} and {np.shape(held)}"
        )
    u, free = (np.asarray(x, dtype=float) - mesh.nodes).ravel(), ~np.asarray(held, dtype=bool).ravel()
    if not np.asarray(held)[:, 2].any():
        raise MultiscaleError("nothing holds u_z; hold it somewhere, or the solid moves along z freely")
    K = _stiffness(mesh, voigt_stiffness(C) / GPA_PER_EV_A3)
    u[free] = 0.0
    rows = K[free]
    u[free] = splu(rows[:, free].tocsc()).solve(-(rows @ u))
    return mesh.nodes + u.reshape(-1, 3)


def _stiffness(mesh: SimplexMesh, c: Array) -> sp.csr_matrix:
    """∂²E/∂u² (3n, 3n) per unit thickness, eV/Å³; exact for quadratic nodes."""
    _, area = mesh.quadrature(2)
    g = mesh.gradient_in(*mesh.quadrature_points(2))
    total = sp.csr_matrix((3 * len(mesh.nodes),) * 2)
    for j in range(2):
        for m in range(2):
            block = [[c[_NUMBER[i, j], _NUMBER[k, m]] for k in range(3)] for i in range(3)]
            total = total + sp.kron(g[j].T @ sp.diags(area) @ g[m], np.array(block))
    return total.tocsr()
