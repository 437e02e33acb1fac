"""Lennard-Jones: e_i = ½ Σ_j s(r_ij)·4ε[(σ/r_ij)¹² − (σ/r_ij)⁶].

The switch s goes from 1 at ``onset`` to 0 at ``cutoff`` with two continuous derivatives, so that forces and Hessians
have no jump when a neighbour leaves; below ``onset`` the potential is the textbook one, without a shift.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from .base import Edges, SiteModel, checked_range, pair_table, smooth_step


class LennardJones(SiteModel):
    """Lennard-Jones pairs with a C² cutoff.

    Parameters
    ----------
    epsilon : float or (n, n) nested sequence
        Well depth ε, eV; a symmetric matrix gives one value per pair of elements.
    sigma : float or (n, n) nested sequence
        Å; the pair energy vanishes at r = σ and is lowest at 2^(1/6)σ.
    cutoff, onset : float, optional
        Å; 4σ and 3σ of the largest σ unless given.
    symbols : sequence of str
        Elements, in the order of the matrices' rows.

    References
    ----------
    J. E. Jones, Proc. R. Soc. A 106 (1924) 463, https://doi.org/10.1098/rspa.1924.0082; the default ε, σ are argon's.

    Examples
    --------
    >>> LennardJones(epsilon=0.0103, sigma=3.4, symbols=("Ar",)).cutoff
    13.6
    """

    epsilon: torch.Tensor
    sigma: torch.Tensor

    def __init__(
        self,
        epsilon: float | Sequence[Sequence[float]] = 0.0103,
        sigma: float | Sequence[Sequence[float]] = 3.4,
        *,
        cutoff: float | None = None,
        onset: float | None = None,
        symbols: Sequence[str] = ("Ar",),
    ) -> None:
        super().__init__()
        self.symbols, self.name, self.doi = tuple(symbols), "Lennard-Jones", "10.1098/rspa.1924.0082"
        self.register_buffer("epsilon", pair_table(epsilon, len(self.symbols), "Lennard-Jones epsilon"))
        self.register_buffer("sigma", pair_table(sigma, len(self.symbols), "Lennard-Jones sigma"))
        largest = float(self.sigma.max())
        cutoff = 4.0 * largest if cutoff is None else cutoff
        onset = 0.75 * cutoff if onset is None else onset
        self.onset, self.cutoff = checked_range(onset, cutoff, self.name)

    def forward(self, edges: Edges) -> torch.Tensor:
        """Site energies (n_centres,), eV: half of every bond goes to each end."""
        r = edges.lengths()
        pair = edges.pair_species()
        six = (self.sigma[pair] / r) ** 6
        bond = 4.0 * self.epsilon[pair] * six * (six - 1.0) * smooth_step(r, self.onset, self.cutoff)
        return edges.to_centres(0.5 * bond)
