"""Two faces of bodies of atoms, as a cohesive interface: openings are taken between the atoms on either side.

    δ_s = R [ (U u)_s − (L u)_s ]       U, L: which atoms of the upper and the lower body make site s; R: normal, then tangents
    E   = Σ_s w_s a_s φ(δ_s)

The same law that joins meshed bodies joins bodies of atoms, whose energies leave out all that acts across
(``MLRegion(bodies=...)``): E = E_A + E_B + Σ a φ(δ).
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import ase
import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike

from ..bodies import labelled
from ..continuum.frames import frames
from ..neighbours import NeighbourList
from ..types import Array, IntArray, MultiscaleError


class Facing:
    """Sites between two bodies of atoms; takes the place of a :class:`~multiscale.continuum.cohesive.Joint`.

    Parameters
    ----------
    reference : (n, 3) array
        Positions of the closed interface, Å.
    lower, upper : sparse matrix (n_sites, n)
        Rows that sum to one: the atoms whose mean displacement is that of a site's lower and upper face.
    area : (n_sites,) array
        Å² of interface of each site.
    normal : (3,) array
        From the lower body to the upper.
    images : (n_sites,) bool array, optional
        Sites whose upper atom is a periodic image: their place is that of the lower face.
    vectors : (n_sites, 3) array, optional
        From the lower to the upper face, Å, where images make them others than the positions say.

    Attributes
    ----------
    bonded : (n_sites, 2) int array or None
        The lower and the upper atom of each site, where every face is one atom.

    Raises
    ------
    MultiscaleError
        If the bodies overlap: an upper face that does not lie above its lower one.
    """

    dim = 3

    def __init__(
        self,
        reference: Array,
        lower: Any,
        upper: Any,
        area: ArrayLike,
        normal: ArrayLike,
        images: ArrayLike | None = None,
        vectors: ArrayLike | None = None,
    ) -> None:
        self.reference = np.array(reference, dtype=float)
        self.lower, self.upper = sp.csr_matrix(lower), sp.csr_matrix(upper)
        self.n_sites = self.lower.shape[0]
        self.area = np.array(area, dtype=float)
        n = len(self.reference)
        if self.lower.shape != (self.n_sites, n) or self.upper.shape != (self.n_sites, n) or self.n_sites == 0:
            raise MultiscaleError(
                f"faces need matrices (n_sites, {n}) with a site at least, got {self.lower.shape} and {self.upper.shape}; "
                "no atoms of the two bodies face each other, perhaps"
            )
        uneven = max(np.abs(np.asarray(m.sum(axis=1)) - 1.0).max() for m in (self.lower, self.upper))
        if uneven > 1e-9:
            raise MultiscaleError(f"the rows of a face are means of atoms and sum to one, got sums off by {uneven:.3g}")
        if self.area.shape != (self.n_sites,) or (self.area <= 0).any():
            raise MultiscaleError(
                f"faces need a positive area per site, ({self.n_sites},); got shape {self.area.shape}"
            )
        self.frame = _frame(normal)
        self._images = np.zeros(self.n_sites, bool) if images is None else np.asarray(images, dtype=bool)
        across = (self.upper - self.lower) @ self.reference if vectors is None else np.asarray(vectors, dtype=float)
        #: Å (n_sites,): from one face to the other.
        self.size = np.linalg.norm(across, axis=1)
        single = [np.array_equal(np.diff(m.indptr), np.ones(self.n_sites)) for m in (self.lower, self.upper)]
        self.bonded = np.column_stack([self.lower.indices, self.upper.indices]) if all(single) else None
        height = across @ self.frame[0]
        if (height <= 0).any():
            k = int(np.argmin(height))
            which = "" if self.bonded is None else " (atoms {} and {})".format(*self.bonded[k])
            raise MultiscaleError(
                f"bodies overlap: at site {k} of {self.n_sites}{which} the upper face lies {-height[k]:.3g} Å below the lower one along "
                f"{np.round(self.frame[0], 4).tolist()}; exchange the bodies, turn the normal, or move them apart"
            )

    @classmethod
    def bonds(cls, atoms: ase.Atoms, bodies: ArrayLike, normal: ArrayLike, area: float, length: float) -> Facing:
        """One site per bond between body 0 (lower) and body 1 (upper), equal shares of the area.

        Parameters
        ----------
        atoms : ase.Atoms
            The closed interface, with its cell and periodic axes.
        bodies : (n,) int array
            0 and 1.
        normal : (3,) array
        area : float
            Å² of the whole interface.
        length : float
            Å; atoms nearer than this are bonded.

        Raises
        ------
        MultiscaleError
            If no bond crosses, or bodies overlap.
        """
        labels = labelled(bodies, len(atoms))
        if labels.max() > 1:
            raise MultiscaleError(
                f"bonds are between a lower body (0) and an upper one (1), got {labels.max() + 1} bodies; make one Facing of each two"
            )
        pairs = NeighbourList(length, atoms.cell.array, atoms.pbc, 0.0).pairs(atoms.positions)
        cross = (labels[pairs.i] == 0) & (labels[pairs.j] == 1)
        i, j = pairs.i[cross], pairs.j[cross]
        if not len(i):
            raise MultiscaleError(
                f"no atom of body 0 is within {length:g} Å of one of body 1: the interface has no bonds; give a longer length, or close it"
            )
        images = pairs.shift[cross].any(axis=1)
        n, m = len(atoms), len(i)
        lower, upper = (sp.csr_matrix((np.ones(m), (np.arange(m), k)), shape=(m, n)) for k in (i, j))
        return cls(atoms.positions, lower, upper, np.full(m, area / m), normal, images, pairs.vectors[cross])

    @classmethod
    def faces(cls, reference: Array, lower: IntArray, upper: IntArray, normal: ArrayLike, area: float) -> Facing:
        """A single site: the mean displacement of all upper face atoms against that of all lower ones."""
        n = len(reference)
        low, up = (
            sp.csr_matrix((np.full(len(k), 1.0 / len(k)), (np.zeros(len(k), int), k)), shape=(1, n))
            for k in (np.asarray(lower), np.asarray(upper))
        )
        return cls(reference, low, up, [area], normal)

    @cached_property
    def of_atoms(self) -> Array:
        """Å² (n,) of interface that belongs to each atom: half of its sites'."""
        half = 0.5 * (self.lower + self.upper)
        return np.asarray(half.T @ self.area).ravel()

    @cached_property
    def anchors(self) -> Array:
        """Where atoms' weights are taken (n, 3): at the mean place of their sites, which then count what atoms leave to them.

        Atoms without a site are projected on to the mean plane of the sites, so that weights change along the interface only.
        """
        ends = (self.lower + self.upper) > 0
        count = np.asarray(ends.sum(axis=0)).ravel()
        places = ends.T @ (self.middle @ self.reference)
        n = self.frame[0]
        height = float(((self.middle @ self.reference) @ n).mean())
        out = self.reference - np.outer(self.reference @ n - height, n)
        out[count > 0] = places[count > 0] / count[count > 0, None]
        return out

    @cached_property
    def jump(self) -> sp.csr_matrix:
        """G (3 n_sites, 3 n)."""
        return sp.kron(self.upper - self.lower, self.frame, format="csr")

    @cached_property
    def middle(self) -> sp.csr_matrix:
        """Positions of atoms to places of sites (n_sites, n)."""
        share = sp.diags(np.where(self._images, 0.0, 0.5))
        return ((sp.identity(self.n_sites) - share) @ self.lower + share @ self.upper).tocsr()

    def opening(self, u: Array) -> Array:
        """δ (n_sites, 3), normal first, of displacements (n, 3)."""
        return np.asarray(self.jump @ np.asarray(u).ravel()).reshape(-1, 3)

    def check(self, law: Any, modulus: float, arm: float | None = None, elements: int = 5) -> None:
        """Nothing to refuse: atoms are as close as atoms are, there is no mesh to refine."""


def _frame(normal: ArrayLike) -> Array:
    """Normal and two tangents as rows (3, 3): for y these are x and z, along which slabs slide."""
    n = np.array(normal, dtype=float)
    if n.shape != (3,) or not np.linalg.norm(n) > 0:
        raise MultiscaleError(f"the normal of an interface has three components, not all zero; got {normal!r}")
    return np.asarray(frames(n[None] / np.linalg.norm(n))[0])
