"""Where particles and a field describe the same matter with dofs of their own.

    dofs      particles that count, in cells of the field that count
    N         the field's shape functions there, over the shared dofs
    P         (NᵀN)⁻¹ Nᵀ, the L² projection of what particles do onto the field
    Q         1 − N P, what the field cannot do: the fine-scale fluctuation

Couplers tie the two together here (:meth:`multiscale.coupler.Coupler.constraint`), and friction absorbs Q of the particles' motion.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from .types import Array, BoolArray, IntArray, MultiscaleError

if TYPE_CHECKING:
    from .interface import Interface


@dataclass(frozen=True, eq=False)
class Bridge:
    """An overlap of particles and a field.

    Attributes
    ----------
    field : str
        The field's region.
    dofs : (n,) ints
        Shared dofs of the particles.
    share : (n,) array
        The field's share at them, 0 at the edge of the overlap where it begins.
    shape : (n, n_q) scipy.sparse matrix
        N.
    """

    field: str
    dofs: IntArray
    share: Array
    shape: Any

    @property
    def nodes(self) -> IntArray:
        """Shared dofs (m,) of the nodes that N has."""
        return np.unique(self.shape.indices[self.shape.data != 0]).astype(np.int64)

    def pointwise(self) -> Any:
        """Rows N u − u_a (n, n_q), one per particle."""
        n = len(self.dofs)
        return (self.shape - sp.csr_matrix((np.ones(n), (np.arange(n), self.dofs)), shape=self.shape.shape)).tocsr()

    def weak(self) -> Any:
        """Rows Nᵀ (N u − u_a) (m, n_q), one per node: u = P u_a."""
        return (self.shape[:, self.nodes].T @ self.pointwise()).tocsr()

    def fluctuation(self) -> Array:
        """Q (n, n), dense.

        Raises
        ------
        MultiscaleError
            If the particles do not determine the field at its nodes.
        """
        n = self.shape[:, self.nodes].toarray()
        gram = n.T @ n
        if len(gram) and np.linalg.cond(gram) > 1e10:
            raise MultiscaleError(
                f"{len(self.dofs)} particles do not determine '{self.field}' at the {len(gram)} nodes around them; widen the overlap, or "
                "use elements with several particles each"
            )
        return np.eye(len(n)) - n @ np.linalg.solve(gram, n.T)


def between(interface: Interface, field: str) -> Bridge:
    """The overlap of a field with all regions of particles; empty where they share their dofs.

    Raises
    ------
    MultiscaleError
        If the region is no field.
    """
    region, reference = interface.regions[field], interface.reference
    if region.discrete:
        raise MultiscaleError(
            f"region '{field}' consists of particles; a bridge joins particles to a field: name a region of a mesh"
        )
    counted = np.zeros(interface.n_q, dtype=bool)
    for name in interface.shared:
        if interface.regions[name].discrete:
            own, share = interface.embeddings[name].own, interface.dof_weights(name, reference)
            counted[own[(own >= 0) & (share > 0)]] = True
    dofs = np.flatnonzero(counted)
    dofs = dofs[region.covers(reference[dofs])]
    # Shape functions act on components alike: every third row and column of the embedding is that of x.
    local = sp.csr_matrix(region.interpolation(reference[dofs]))
    local.eliminate_zeros()
    # The edge, where the field's share is still 0, belongs to it: there the pull of the atoms' weights and of the field's balance.
    without = (local != 0) @ (~_with_matter(interface, field)).astype(float)
    dofs, local = dofs[without == 0], local[without == 0]
    shape = (local @ interface.embeddings[field].matrix[::3, ::3]).tocsr()
    share = interface.partition(reference[dofs], reference)[field][0]
    own = np.asarray(shape[np.arange(len(dofs)), dofs]).ravel()
    apart = np.flatnonzero(np.abs(own - 1.0) > 1e-9)
    return Bridge(field, dofs[apart], share[apart], shape[apart].tocsr())


def _with_matter(interface: Interface, field: str) -> BoolArray:
    """Which of the field's dofs (n_dofs,) have matter that counts around them."""
    region = interface.regions[field]
    v = interface.weights(interface.reference)[field] * region.matter
    around = np.abs(region.pull_sites(np.repeat(v[:, None], 3, axis=1))[:, 0])
    # Vertices of quadratic cells have shape functions of mean zero: what is at the node has to do.
    found: BoolArray = (around > 1e-12) | (interface.dof_weights(field, interface.reference) > 0)
    return found
