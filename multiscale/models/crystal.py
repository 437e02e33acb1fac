"""Homogeneous states of a crystal, many at once: the energy of one cell under a deformation gradient and inner shifts.

    E(F, p) = Σ_b e_b({D}),     D = F·(X_j + S·cell − X_i) + p_j − p_i      (p_0 = 0: the cell as a whole does not move)

E is a function of z = (F_iJ, p_b) alone, and all its derivatives come from the model by differentiation: no strain is chosen, no
polar decomposition taken. With shifts counted in the deformed frame, E(QF, Qp) = E(F, p) for every rotation Q without further ado.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike

from ..neighbours import NeighbourList, complete_cell
from ..types import Array, MultiscaleError
from .base import Edges, SiteModel

#: Edges that are evaluated at once: their arrays and those of two backward passes stay small.
PIECE = 1 << 16
#: The smallest principal stretch at which neighbours are still looked for; anything smaller is a collapse.
SMALLEST_STRETCH = 0.4


class Crystal:
    """The cell of a perfect crystal and everything that it sees of its copies.

    Parameters
    ----------
    model : SiteModel
    cell : (3, 3) array
        Cell vectors of the undeformed crystal as rows, Å.
    symbols : sequence of str
        Elements of the n_basis atoms of the cell.
    positions : (n_basis, 3) array, optional
        X_b, Å; one atom at the origin unless told.
    pbc : bool or (3,) array of bool
        Which cell vectors repeat. An axis that does not still counts in :attr:`volume`: give a plane lattice a vector of 1 Å.

    Attributes
    ----------
    volume : float
        Å³ of the undeformed cell.
    n_basis : int

    Raises
    ------
    MultiscaleError
        If the model asks for positions (it is a black box), cannot be differentiated twice, or does not know an element.
    """

    def __init__(
        self,
        model: SiteModel,
        cell: ArrayLike,
        symbols: Sequence[str],
        positions: ArrayLike | None = None,
        pbc: ArrayLike = True,
    ) -> None:
        if model.needs_placement or not model.twice_differentiable:
            raise MultiscaleError(
                f"{model.name} takes positions, or has no second derivatives; a Cauchy–Born law needs a model that is a "
                "twice differentiable function of edge vectors (MACE, EAM, Stillinger–Weber, …)"
            )
        if "float64" not in model.precisions:
            raise MultiscaleError(
                f"{model.name} computes in {', '.join(model.precisions)}; a Cauchy–Born law needs a model in float64"
            )
        self.pbc = np.broadcast_to(np.asarray(pbc, dtype=bool), (3,))
        self.cell = complete_cell(cell, self.pbc)
        self.X = np.zeros((1, 3)) if positions is None else np.array(positions, dtype=float).reshape(-1, 3)
        self.n_basis = len(self.X)
        if len(symbols) != self.n_basis:
            raise MultiscaleError(
                f"a crystal was given {len(symbols)} symbols and {self.n_basis} positions; numbers must agree"
            )
        self.symbols = tuple(symbols)
        self.volume = float(abs(np.linalg.det(self.cell)))
        self.model = _double(model)
        self._species = torch.as_tensor(model.species(symbols))
        self._list(1.2 * model.cutoff)

    @property
    def n_shifts(self) -> int:
        """Number of components of p that are free: 3 (n_basis − 1)."""
        return 3 * (self.n_basis - 1)

    def _list(self, radius: float) -> None:
        """All edges of the undeformed crystal up to ``radius`` (Å), sorted by centre."""
        pairs = NeighbourList(radius, self.cell, self.pbc, 0.0).pairs(self.X)
        self._radius = radius
        self._i, self._j = torch.as_tensor(pairs.i), torch.as_tensor(pairs.j)
        self._bonds = torch.as_tensor(pairs.vectors)

    def _complete(self, F: Array, p: Array) -> None:
        """List farther neighbours if the deformation may bring some of them within the cutoff."""
        if not len(F):
            return
        stretch = float(np.linalg.svd(F, compute_uv=False).min())
        if not stretch > SMALLEST_STRETCH:
            raise MultiscaleError(
                f"a crystal was compressed to {stretch:.3g} of its length; Cauchy–Born energies are offered above "
                f"{SMALLEST_STRETCH}: load in smaller steps or refine the mesh where cells collapse"
            )
        needed = (self.model.cutoff + 2.0 * float(np.linalg.norm(p, axis=2).max(initial=0.0))) / stretch
        if needed > self._radius:
            self._list(1.1 * needed)

    def evaluate(self, F: Array, p: Array, order: int, held: bool = False) -> tuple[Array, Array | None, Array | None]:
        """Energy per cell, gradient and Hessian.

        Parameters
        ----------
        F : (n, 3, 3) array
            Deformation gradients.
        p : (n, n_basis, 3) array
            Shifts of the atoms from F·X_b, Å; those of the first atom count as the origin.
        order : {0, 1, 2}
            Derivatives wanted.
        held : bool
            Differentiate by the shifts alone, F being given: z = (p_1, p_2, …) below. A Hessian then takes a fraction of the time.

        Returns
        -------
        (n,) array
            E, eV per cell.
        (n, m) array or None
            ∂E/∂z with z = (F row by row, p_1, p_2, …), m = 9 + 3 (n_basis − 1).
        (n, m, m) array or None
            ∂²E/∂z².
        """
        p = p - p[:, :1]
        self._complete(F, p)
        n, first = len(F), 9 if held else 0
        m = 9 + self.n_shifts - first
        energy = np.empty(n)
        slope = np.empty((n, m)) if order > 0 else None
        curvature = np.empty((n, m, m)) if order > 1 else None
        step = max(1, PIECE // max(1, len(self._i)))
        z = np.hstack([F.reshape(n, 9), p[:, 1:].reshape(n, -1)])
        for start in range(0, n, step):
            here = slice(start, start + step)
            e, g, h = self._piece(torch.tensor(z[here]), order, first)
            energy[here] = e.numpy()
            if slope is not None and g is not None:
                slope[here] = g.numpy()
            if curvature is not None and h is not None:
                curvature[here] = h.numpy()
        return energy, slope, curvature

    def _piece(
        self, state: torch.Tensor, order: int, first: int
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        """Derivatives by the components of ``state`` (n, 9 + n_shifts) from ``first`` on."""
        with torch.set_grad_enabled(order > 0):
            z = state[:, first:].clone().requires_grad_(order > 0)
            n, nb = len(z), self.n_basis
            both = torch.cat([state[:, :first], z], dim=1)
            F = both[:, :9].reshape(n, 3, 3)
            p = torch.cat([z.new_zeros(n, 1, 3), both[:, 9:].reshape(n, nb - 1, 3)], dim=1)
            vectors = self._bonds @ F.transpose(1, 2)
            if nb > 1:
                vectors = vectors + p.index_select(1, self._j) - p.index_select(1, self._i)
            energies = self.model(self._edges(vectors)).double().reshape(n, nb).sum(1)
            if order == 0:
                return energies, None, None
            (g,) = torch.autograd.grad(energies.sum(), z, create_graph=order > 1)
            if order == 1:
                return energies.detach(), g, None
            if not g.requires_grad:
                return energies.detach(), g.detach(), z.new_zeros(n, z.shape[1], z.shape[1])
            rows = [torch.autograd.grad(g[:, k].sum(), z, retain_graph=True)[0] for k in range(z.shape[1])]
            return energies.detach(), g.detach(), torch.stack(rows, dim=1)

    def _edges(self, vectors: torch.Tensor) -> Edges:
        """The graph of n cells that do not see one another; vectors (n, n_edges, 3)."""
        n, nb = len(vectors), self.n_basis
        first = nb * torch.arange(n)[:, None]
        # What is out of reach is left out: models are promised shorter edges, and it costs as much as the others.
        near = torch.nonzero(((vectors.detach() ** 2).sum(-1) < self.model.cutoff**2).reshape(-1)).reshape(-1)
        centre, neighbour = (first + self._i).reshape(-1)[near], (first + self._j).reshape(-1)[near]
        levels = (n * nb,) * (self.model.layers + 1)
        short = vectors.reshape(-1, 3).index_select(
            0, near
        )  # its derivative adds rows, several times quicker than a mask's
        return Edges(short, centre, neighbour, self._species.repeat(n), levels)


def _double(model: SiteModel) -> SiteModel:
    """The model itself where it computes in double precision on the processor already, or a copy that does."""
    tensors = [t for t in (*model.parameters(), *model.buffers()) if t.is_floating_point()]
    if all(t.dtype == torch.float64 and t.device.type == "cpu" for t in tensors):
        return model
    return copy.deepcopy(model).to(device="cpu", dtype=torch.float64)
