"""A state of a disc carried over to the same disc around a tip some bond periods ahead.

    t                 the shortest lattice vector along the crack plane, (t_x, 0, t_z): z is shifted too where neighbouring bonds alternate
    q'(X) = X + u(X + k t) + φ(X) [u_K(X) − u_K(X + k t)],     φ = 0 at the blend and 1 on the outer circle

u of atoms is that of free or slaved atoms of the old frame; u of nodes that of the old mesh, in its hole fits to unit cells on the same
side of the crack plane, and beyond the old disc the K-field about the new tip.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from ..continuum.kfield import crack_faces
from ..embedding import slaved
from ..switching import Quintic
from ..types import Array, IntArray, MultiscaleError
from .hybrid import HybridCrack
from .lattice import CrackCrystal

#: Å; atoms of two copies of a crystal that are nearer than this are the same.
SAME = 1e-4
#: Å; by so much points of a face are looked up within the material.
INTO = 1e-5
#: Unit cells from whose displacements those of a node in the old hole are fitted.
NEAREST = 8


def lattice_vector(crystal: CrackCrystal) -> Array:
    """The shortest lattice vector (3,), Å, along the crack plane and ahead, with 0 ≤ z < the period along the front.

    Examples
    --------
    >>> from multiscale.fracture.lattice import SHUFFLE_111, diamond
    >>> print(lattice_vector(diamond(SHUFFLE_111, 5.43095, 12.0)).round(4))
    [3.3258 0.     1.9201]
    """
    cells = crystal.cells
    home = cells[np.argmin((cells[:, :2] ** 2).sum(axis=1))]
    d = cells - home
    along = d[(np.abs(d[:, 1]) < SAME) & (d[:, 0] > SAME)]
    if not len(along):
        raise MultiscaleError(
            "no lattice vector along the crack plane within the disc of atoms; give a larger free_radius"
        )
    t = along[np.argmin(along[:, 0])]
    return np.array([t[0], 0.0, _within(t[2:], crystal.period)[0]])


def recentred(crack: HybridCrack, q: Array, K: object, periods: int) -> Array:
    """The state of the disc centred ``periods`` bond periods ahead, in its own frame: a guess to be relaxed.

    Parameters
    ----------
    crack : HybridCrack
    q : (n_q, 3) array
        Relaxed in the K-field about the present centre, Å.
    K : float, or one per mode
        MPa·√m.
    periods : int
        Negative ones move back.

    Returns
    -------
    (n_q, 3) array
        Å; fixed dofs are where the K-field about the new centre has them.
    """
    shift = periods * lattice_vector(crack.crystal)
    out = crack.at(K)
    n = crack.n_free
    out[:n] = crack.reference[:n] + _atoms(crack, q, shift)
    out[n:] = crack.mesh.nodes + _nodes(crack, q, K, shift)
    return np.where(crack.fixed(), crack.at(K), out)


def same_atom(crystal: CrackCrystal, shift: Array) -> IntArray:
    """The atom (n,) at X + ``shift`` for every atom X, modulo the period along z; −1 where the crystal does not reach."""
    box = np.array([0.0, 0.0, crystal.period])

    def home(X: Array) -> Array:
        X = X.copy()
        X[:, 2] = _within(X[:, 2], crystal.period)
        return X

    tree = cKDTree(home(crystal.positions), boxsize=box)
    distance, atom = tree.query(home(crystal.positions + shift), distance_upper_bound=SAME)
    return np.where(np.isfinite(distance), atom, -1)


def _within(z: Array, period: float) -> Array:
    """Modulo the period, with round-off below zero taken for zero."""
    return np.maximum(np.mod(z + SAME, period) - SAME, 0.0)


def exchanged(crack: HybridCrack, shift: Array) -> tuple[int, int]:
    """How many atoms become free, and how many are so no more."""
    n = crack.n_free
    before = same_atom(crack.crystal, shift)[:n]
    after = same_atom(crack.crystal, -shift)[:n]
    return int(((before < 0) | (before >= n)).sum()), int(((after < 0) | (after >= n)).sum())


def _atoms(crack: HybridCrack, q: Array, shift: Array) -> Array:
    """Displacements (n_free, 3) of what is now the free atoms: of free or slaved atoms of the old frame, or by the mesh beyond them."""
    c, n = crack.crystal, crack.n_free
    source = same_atom(c, shift)[:n]
    u = (crack.place(q) - c.positions)[source]
    lost = np.flatnonzero(source < 0)
    if len(lost):
        X, Z = c.positions[lost] + shift, crack.material.inner_shift[c.basis[lost]]
        u[lost] = slaved(crack.mesh, X, crack.nodes, crack.n_q, Z, crack.material.bond).place(q) - X
    return u


def _nodes(crack: HybridCrack, q: Array, K: object, shift: Array) -> Array:
    """Displacements (n_nodes, 3) of the nodes; the module's docstring says from what."""
    X, field = crack.mesh.nodes, crack.material.field
    face = crack_faces(crack.mesh)
    new = field.displacement(X, K, face=face.astype(float))
    old = X + [shift[0], 0.0, 0.0]
    looked = old + np.outer(INTO * face, [0.0, 1.0, 0.0])
    known = crack.mesh.contains(looked)
    hole = ~known & (np.hypot(*old[:, :2].T) < crack.free_radius + 0.5 * crack.blend)
    u = new.copy()
    u[known] = crack.mesh.shape(looked[known]) @ (q[crack.n_free :] - X)
    u[hole] = _from_cells(crack, q, looked[hole])
    # Smoothly from what was to what the field about the new tip says.
    r, inner = np.hypot(*X[:, :2].T), crack.free_radius + crack.blend
    outer = r.max() - abs(shift[0])
    phi = 1.0 - np.asarray(Quintic()(np.clip((r - inner) / (outer - inner), 0.0, 1.0)))
    change = new - field.displacement(old, K, face=face.astype(float))
    inside = known | hole
    u[inside] += (phi[:, None] * change)[inside]
    return np.where(np.isfinite(u), u, new)


def _from_cells(crack: HybridCrack, q: Array, points: Array) -> Array:
    """Displacements (n, 3) at points in the hole: affine fits to those of the nearest unit cells on the same side of the crack plane."""
    c = crack.crystal
    _, first, cell = np.unique(np.round(c.cells, 6), axis=0, return_index=True, return_inverse=True)
    centres = c.cells[first]
    u = np.zeros((len(centres), 3))
    # Inner shifts cancel in the mean of a cell.
    np.add.at(u, cell.ravel(), crack.place(q) - c.positions)
    u /= np.bincount(cell.ravel())[:, None]
    out = np.empty((len(points), 3))
    for side in (1.0, 0.0, -1.0):
        mine = np.flatnonzero(np.sign(points[:, 1]) == side)
        # Bonds across the plane are cells of both faces: their mean means nothing behind the tip.
        theirs = np.flatnonzero((side * centres[:, 1] > SAME) | (side == 0))
        near = theirs[cKDTree(centres[theirs, :2]).query(points[mine, :2], k=NEAREST)[1]]
        d = centres[near, :2] - points[mine, None, :2]
        moments = np.concatenate([np.ones((*d.shape[:2], 1)), d], axis=2)
        out[mine] = np.einsum("nk,nki->ni", np.linalg.pinv(moments)[:, 0], u[near])
    return out
