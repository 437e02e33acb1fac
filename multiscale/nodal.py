"""Weights from nodal values: w_r(X) = Σ_a N_a(X) β_ra, and a last region that takes the rest, 1 − Σ_r w_r.

Where atoms are vertices of the mesh, the weight at an atom is its β. At the centroid of a simplex it is the mean of its vertices, and the
continuum's energy in the cell T is then counted

    ω_T = |T|/v₀ (1 − Σ_{a∈T} β_a/(d + 1))

times. That is the volume of the cell less what its atoms have of it (Σ β_a |T ∩ C_a|, C_a the atoms' own cells), as long as every cell
with 0 < β is one of the lattice's own simplices: blends have to be *fully refined*, and :func:`refined` refuses those that are not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import splu

from .embedding import Interpolates
from .partition import Partition
from .types import Array, BoolArray, IntArray, MultiscaleError

__all__ = ["Nodal", "apart", "complete", "min_hessian", "one_per_cell", "refined"]

#: Weights beyond [0, 1] by less than this are round-off.
ROUND_OFF = 1e-10


@final
class Nodal(Partition):
    """A partition of unity given by a table of weights at the nodes of a mesh, interpolated between them.

    Parameters
    ----------
    mesh : Interpolates
        With linear shape functions: quadratic ones leave [0, 1].
    weights : mapping of name to (n_nodes,) array
        β of every region but the last.
    rest : str, optional
        The region that takes what the others leave. Without it the weights have to add up to one.

    Raises
    ------
    MultiscaleError
        If a table has the wrong length or weights leave [0, 1], naming the first such node.

    Examples
    --------
    >>> from multiscale.continuum.mesh import SimplexMesh
    >>> mesh = SimplexMesh.rectangle((0, 0), (2, 1), (2, 1))
    >>> w = Nodal(mesh, {"atoms": mesh.nodes[:, 0] < 0.5}, rest="fem")(np.array([[0.25, 0.5, 0.0]]))
    >>> float(w["atoms"][0][0]), float(w["fem"][0][0])
    (0.75, 0.25)
    """

    frame = "reference"

    def __init__(self, mesh: Interpolates, weights: Mapping[str, Array], rest: str | None = None) -> None:
        self.mesh = mesh
        self.table = {name: np.array(w, dtype=float) for name, w in weights.items()}
        n = len(mesh.nodes)
        for name, w in self.table.items():
            if w.shape != (n,):
                raise MultiscaleError(f"the weights of '{name}' need one number for each of {n} nodes, got {w.shape}")
        left = 1.0 - np.sum(list(self.table.values()), axis=0) if self.table else np.ones(n)
        if rest in self.table:
            raise MultiscaleError(f"the region '{rest}' takes the rest, and has weights of its own; leave one out")
        if rest is not None:
            self.table[rest] = left
        elif np.abs(left).max() > ROUND_OFF:
            k = int(np.abs(left).argmax())
            raise MultiscaleError(
                f"the weights at node {k} add up to {1 - left[k]:.6g}; name the region that takes the rest"
            )
        for name, w in self.table.items():
            k = int(np.abs(w - 0.5).argmax())
            if not abs(w[k] - 0.5) <= 0.5 + ROUND_OFF:
                raise MultiscaleError(
                    f"the weight of '{name}' at node {k} is {w[k]:.6g}; weights lie between 0 and 1, and add up to 1 over regions"
                )
        self.regions = tuple(self.table)

    def __call__(self, X: Array, q: Array | None = None) -> dict[str, tuple[Array, Array]]:
        """Interpolated weights (n,) and zeros (n, 3): they belong to the material, so that no force needs their gradients."""
        rows, none = self.mesh.shape(X), np.zeros((len(X), 3))
        return {name: (np.asarray(rows @ w), none) for name, w in self.table.items()}


def min_hessian(triples: IntArray, values: Array) -> Array:
    """The blend of least curvature: minimises Σ (β_left − 2 β_centre + β_right)² where β is not prescribed.

    The ghost force of energy blending is a weighted sum of second differences of β; of all blends over a given zone this one has the
    least of them (arXiv:1112.2377).

    Parameters
    ----------
    triples : (m, 3) ints
        Left, centre and right node of every second difference.
    values : (n,) array
        Prescribed β; NaN where it is sought.

    Returns
    -------
    (n,) array
        β between the least and the largest prescribed value.

    Raises
    ------
    MultiscaleError
        If a sought value is in no triple, or the minimum leaves the range of the prescribed values.

    Examples
    --------
    >>> chain = np.arange(4)[:, None] + np.arange(3)
    >>> min_hessian(chain, np.array([1.0, 1.0, np.nan, np.nan, 0.0, 0.0])).round(3).tolist()
    [1.0, 1.0, 0.7, 0.3, 0.0, 0.0]
    """
    n, m = len(values), len(triples)
    rows = np.repeat(np.arange(m), 3)
    D = sp.csr_matrix((np.tile([1.0, -2.0, 1.0], m), (rows, np.asarray(triples).ravel())), shape=(m, n))
    free = np.flatnonzero(np.isnan(values))
    out = np.where(np.isnan(values), 0.0, values)
    if len(free) == 0:
        return out
    A = D[:, free]
    bare = np.flatnonzero(np.asarray(abs(A).sum(axis=0)).ravel() == 0)
    if len(bare):
        raise MultiscaleError(
            f"node {int(free[bare[0]])} of the blend is in no second difference ({len(bare)} such nodes): the mesh is coarser there than "
            "the blend needs; refine it, or make the blend narrower"
        )
    out[free] = splu((A.T @ A).tocsc()).solve(-A.T @ (D @ out))
    known = values[~np.isnan(values)]
    k = int(free[np.abs(out[free] - 0.5 * (known.min() + known.max())).argmax()])
    if not known.min() - ROUND_OFF <= out[k] <= known.max() + ROUND_OFF:
        raise MultiscaleError(
            f"the blend of least curvature is {out[k]:.4g} at node {k}, outside of [{known.min():g}, {known.max():g}]: the zone is too "
            "crooked for it; widen the zone or use a switching function"
        )
    out[free] = np.clip(out[free], known.min(), known.max())
    return out


def refined(volumes: Array, cells: IntArray, beta: Array, simplex: float) -> None:
    """Refuse a blend that is not fully refined: a cell with an atomistic weight at a vertex that is no simplex of the lattice.

    Parameters
    ----------
    volumes : (nc,) array
        Å³ (Å² in two dimensions).
    cells : (nc, d + 1) ints
    beta : (n,) array
        Atomistic weights at the vertices.
    simplex : float
        The volume of the lattice's own simplices.
    """
    touched = np.flatnonzero((beta[cells] > 0).any(axis=1))
    off = np.abs(volumes[touched] / simplex - 1.0)
    if len(off) and off.max() > 1e-6:
        k = int(touched[off.argmax()])
        raise MultiscaleError(
            f"the mesh is coarser than the blend needs: cell {k}, with an atomistic weight of {beta[cells[k]].max():.3g} at a vertex, has "
            f"{volumes[k] / simplex:.4g} times the volume of the lattice's cells ({int((off > 1e-6).sum())} such cells); refine the mesh "
            "as far as the blend goes, or end the blend farther inside"
        )


def complete(neighbours: IntArray, weights: Array, layers: int = 1, bare: BoolArray | None = None) -> None:
    """Refuse counted atoms without all of their neighbours.

    Parameters
    ----------
    neighbours : (n, k) ints
        Neighbours of each atom, −1 where the region has none.
    weights : (n,) array
        How much each atom counts.
    layers : int
        1 for their energies, 2 for the forces on them (of a many-body model, which feel the neighbours' neighbours).
    bare : (n,) bool array, optional
        Atoms whose missing neighbours are not there in truth: at a vacancy or a surface.
    """
    lacking = (neighbours < 0).any(axis=1)
    if bare is not None:
        lacking &= ~bare
    for _ in range(layers - 1):
        lacking = lacking | np.where(neighbours >= 0, lacking[neighbours], False).any(axis=1)
    wrong = np.flatnonzero(lacking & (weights > 0))
    if len(wrong):
        k = int(wrong[np.argmax(weights[wrong])])
        raise MultiscaleError(
            f"atom {k} counts {weights[k]:.3g} but has not all its neighbours within {layers} bond{'s' * (layers > 1)} "
            f"({len(wrong)} such atoms); end the blend farther inside, or add a layer of atoms around it"
        )


def apart(neighbours: IntArray, beta: Array, defect: BoolArray) -> None:
    """Refuse a blend that touches the stencil of a defect: β < 1 at an atom at it, or one bond away from such an atom.

    Where β is constant around every site that differs from the perfect lattice's, the weighted forces differ from the true ones by what
    perfect sites do alone, which is what a ghost-force correction knows.

    Parameters
    ----------
    neighbours : (n, k) ints
        Neighbours of each atom, −1 where there is none.
    beta : (n,) array
        Atomistic weights.
    defect : (n,) bool array
        The atoms at the defect: those whose surroundings differ from the perfect lattice's.
    """
    near = defect | np.where(neighbours >= 0, defect[neighbours], False).any(axis=1)
    wrong = np.flatnonzero(near & (beta < 1.0))
    if len(wrong):
        k = int(wrong[np.argmin(beta[wrong])])
        raise MultiscaleError(
            f"the blend touches the stencil of the defect: atom {k}, {'at it' if defect[k] else 'one bond away from it'}, has an atomistic "
            f"weight of {beta[k]:.4g} ({len(wrong)} such atoms); begin the blend farther out, or make it narrower"
        )


def one_per_cell(weights: Array, cell: IntArray) -> None:
    """Refuse weights that differ between the atoms of one primitive cell of a multilattice.

    The energy of a cell is that of its atoms together: another weight for one of them leaves a force on the inner shifts that is of first
    order in the stress, however smooth the blend is.

    Parameters
    ----------
    weights : (n,) array
        Atomistic weights β.
    cell : (n,) ints
        The number of each atom's cell.
    """
    order = np.argsort(cell, kind="stable")
    first = np.flatnonzero(np.diff(cell[order], prepend=cell[order[0]] - 1)) if len(cell) else np.zeros(0, dtype=int)
    low, high = (f.reduceat(weights[order], first) for f in (np.minimum, np.maximum))
    wrong = np.flatnonzero(high - low > ROUND_OFF)
    if len(wrong):
        k = int(wrong[np.argmax(high[wrong] - low[wrong])])
        raise MultiscaleError(
            f"the atoms of cell {int(cell[order[first[k]]])} have weights from {low[k]:.4g} to {high[k]:.4g} ({len(wrong)} such cells); "
            "take β at the cells' centres: Interface(..., anchors=...), or a table with one value per cell"
        )
