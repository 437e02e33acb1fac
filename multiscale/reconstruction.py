"""Geometric reconstruction (GRAC-2/3): interface sites whose bonds to the continuum are averages of the bonds around them.

    g_j  →  C_j g_j + (1 − C_j)(g_{j−1} + g_{j+1}),      C_j = 1 towards an atom, 2/3 towards the continuum

g_0 … g_5 are the bonds of the triangular lattice, anticlockwise; g_{j−1} + g_{j+1} = g_j where the deformation is homogeneous. With
nearest-neighbour site energies, one layer of such sites and elements that weigh 1 − n_A/3 (n_A of their vertices atoms or interface
sites), the sum of energies has *no ghost force*, whatever the homogeneous deformation (C. Ortner and L. Zhang, arXiv:1308.3894).

The reconstruction is linear in the positions: it is an embedding of separate stars (:class:`multiscale.regions.stars.StarRegion`), and
the coupling method is then plain energy blending.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from .embedding import Embedding
from .types import Array, BoolArray, IntArray, MultiscaleError

#: The weight of the bond itself, for which forces at the interface balance in the triangular lattice.
TWO_THIRDS = 2.0 / 3.0


def interface_sites(neighbours: IntArray, atoms: BoolArray) -> BoolArray:
    """The outermost layer of ``atoms`` (n,): those with a neighbour that is none of them, vacancies not counted."""
    towards = np.where(neighbours >= 0, ~atoms[neighbours], False)
    return atoms & towards.any(axis=1)


def grac_23(neighbours: IntArray, atoms: BoolArray, constant: float = TWO_THIRDS) -> tuple[IntArray, Embedding]:
    """The interface sites and the embedding of their stars.

    Parameters
    ----------
    neighbours : (n, 6) ints
        Shared dofs one bond away from each, anticlockwise; −1 where there is none.
    atoms : (n,) bool array
        The sites that are counted as atoms, with the interface layer.
    constant : float
        C towards the continuum; another than 2/3 is for the study of what goes wrong.

    Returns
    -------
    sites : (m,) ints
        Shared dofs of the interface sites.
    embedding : Embedding
        From n shared dofs to 7 m dofs: a centre and six arms each.

    Raises
    ------
    MultiscaleError
        If an interface site lacks a neighbour (at a vacancy, a surface, or where the mesh is coarser than the lattice).

    Examples
    --------
    >>> from multiscale.continuum.lattice_mesh import triangular
    >>> lattice = triangular(4, 10, vacancies=False)
    >>> sites, stars = grac_23(lattice.neighbours, lattice.hops > 0)
    >>> len(sites), bool(np.allclose(stars.place(lattice.mesh.nodes)[0::7], lattice.mesh.nodes[sites]))
    (18, True)
    """
    sites = np.flatnonzero(interface_sites(neighbours, atoms))
    near = neighbours[sites]
    bare = np.flatnonzero((near < 0).any(axis=1))
    if len(bare) or not len(sites):
        raise MultiscaleError(
            "there is no interface site: atoms and continuum have no common edge"
            if not len(sites)
            else f"interface site {int(sites[bare[0]])} has only {int((near[bare[0]] >= 0).sum())} of its six neighbours ({len(bare)} such "
            "sites): move the interface away from the defect, and keep one layer of the lattice beyond it"
        )
    C = np.where(atoms[near], 1.0, constant)
    m, n = near.shape[0], len(neighbours)
    star = 7 * np.arange(m)
    rows, columns, values = [star], [sites], [np.ones(m)]
    for j in range(6):
        arm, c = star + 1 + j, C[:, j]
        for column, value in (
            (sites, c - 1.0),
            (near[:, j], c),
            (near[:, j - 1], 1.0 - c),
            (near[:, (j + 1) % 6], 1.0 - c),
        ):
            rows, columns, values = [*rows, arm], [*columns, column], [*values, value]
    table = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    scalar = sp.csr_matrix(table, shape=(7 * m, n))
    scalar.eliminate_zeros()
    own = np.full(7 * m, -1)
    own[star] = sites
    return sites, Embedding(sp.kron(scalar, sp.identity(3), format="csr"), np.zeros((7 * m, 3)), own)


def weights(interface: BoolArray, atoms: BoolArray) -> dict[str, Array]:
    """Tables for :class:`multiscale.nodal.Nodal`: sites well inside, and interface sites; elements take what is left, 1 − n_A/3."""
    return {"atoms": (atoms & ~interface).astype(float), "stars": interface.astype(float)}
