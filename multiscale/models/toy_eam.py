"""Toy embedded atoms: e_i = ½ Σ_j [e^{−2a(r−1)} − 2 e^{−a(r−1)}] + c [(ρ − ρ₀)² + (ρ − ρ₀)⁴],   ρ = Σ_j e^{−br}.

The model of the atomistic/continuum literature for lattices whose atoms feel their nearest neighbours only, at distances of about 1 Å.
Neighbours are cut off between the first and the second shell: every term carries a switch that is 1 up to ``onset`` and 0 from
``cutoff`` on, so that the energies are those of the formula as long as no bond is longer than the onset and no second neighbour nearer
than the cutoff. :meth:`ToyEAM.strays` tells.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.spatial import cKDTree

from ..types import Array, MultiscaleError
from .base import Edges, SiteModel, checked_range, smooth_step


class ToyEAM(SiteModel):
    """Morse pairs and a polynomial of an exponential density, nearest neighbours only.

    Parameters
    ----------
    a : float
        1/Å, decay of the pair energy, whose minimum is −1 eV at 1 Å.
    b : float
        1/Å, decay of the density.
    c : float
        eV, strength of the many-body term; 0 leaves pairs.
    rho0 : float, optional
        The density that the embedding likes best; 6 e^{−0.9 b} unless given.
    onset, cutoff : float
        Å; bonds are shorter than the onset, other neighbours farther than the cutoff.
    symbol : str
        The one element.

    References
    ----------
    C. Ortner and L. Zhang, *Energy-based atomistic-to-continuum coupling without ghost forces*, arXiv:1308.3894, whose two-dimensional
    tests use it.

    Examples
    --------
    >>> ToyEAM(c=20.0).name
    'ToyEAM(a=4, b=3, c=20)'
    """

    def __init__(
        self,
        a: float = 4.0,
        b: float = 3.0,
        c: float = 10.0,
        *,
        rho0: float | None = None,
        onset: float = 1.4,
        cutoff: float = 1.5,
        symbol: str = "X",
    ) -> None:
        super().__init__()
        if min(a, b) <= 0.0 or c < 0.0:
            raise MultiscaleError(
                f"ToyEAM was given a = {a}, b = {b}, c = {c}; a and b must be positive and c must not be negative"
            )
        self.a, self.b, self.c = float(a), float(b), float(c)
        self.rho0 = 6.0 * math.exp(-0.9 * self.b) if rho0 is None else float(rho0)
        self.name, self.doi, self.symbols = f"ToyEAM(a={a:g}, b={b:g}, c={c:g})", "arXiv:1308.3894", (symbol,)
        self.onset, self.cutoff = checked_range(onset, cutoff, self.name)

    def forward(self, edges: Edges) -> torch.Tensor:
        """Site energies (n_centres,), eV."""
        r = edges.lengths()
        switch = smooth_step(r, self.onset, self.cutoff)
        decay = torch.exp(-self.a * (r - 1.0))
        pair = switch * decay * (decay - 2.0)
        density = switch * torch.exp(-self.b * r)
        both = edges.to_centres(torch.stack([0.5 * pair, density], dim=1))
        square = (both[:, 1] - self.rho0) ** 2
        return both[:, 0] + self.c * (square + square**2)

    def strays(self, x: Array) -> int:
        """How many pairs of atoms (n, 3), Å, are in the switch, between onset and cutoff: there the formula does not hold.

        Examples
        --------
        >>> ToyEAM().strays(np.array([[0.0, 0, 0], [1.45, 0, 0], [0, 1.1, 0]]))
        1
        """
        pairs = cKDTree(x).query_pairs(self.cutoff, output_type="ndarray")
        lengths = np.linalg.norm(x[pairs[:, 0]] - x[pairs[:, 1]], axis=1)
        return int((lengths > self.onset).sum())
