"""Morse: e_i = ½ Σ_j s(r_ij)·D[(1 − e^{−α(r_ij − r0)})² − 1].

The switch s goes from 1 at ``onset`` to 0 at ``cutoff`` with two continuous derivatives; below ``onset`` the
potential is the textbook one, without a shift.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from .base import Edges, SiteModel, checked_range, pair_table, smooth_step


class Morse(SiteModel):
    """Morse pairs with a C² cutoff.

    Parameters
    ----------
    depth : float or (n, n) nested sequence
        Well depth D, eV; a symmetric matrix gives one value per pair of elements.
    alpha : float or (n, n) nested sequence
        Inverse width α, 1/Å.
    r0 : float or (n, n) nested sequence
        Å; the distance of lowest pair energy.
    cutoff, onset : float, optional
        Å; r0 + 8/α and three quarters of it unless given, for the widest pair.
    symbols : sequence of str
        Elements, in the order of the matrices' rows.

    References
    ----------
    P. M. Morse, Phys. Rev. 34 (1929) 57, https://doi.org/10.1103/PhysRev.34.57; the default parameters are copper's of
    L. A. Girifalco and V. G. Weizer, Phys. Rev. 114 (1959) 687, https://doi.org/10.1103/PhysRev.114.687.

    Examples
    --------
    >>> Morse(depth=0.3429, alpha=1.3588, r0=2.866, cutoff=8.0).onset
    6.0
    """

    depth: torch.Tensor
    alpha: torch.Tensor
    r0: torch.Tensor

    def __init__(
        self,
        depth: float | Sequence[Sequence[float]] = 0.3429,
        alpha: float | Sequence[Sequence[float]] = 1.3588,
        r0: float | Sequence[Sequence[float]] = 2.866,
        *,
        cutoff: float | None = None,
        onset: float | None = None,
        symbols: Sequence[str] = ("Cu",),
    ) -> None:
        super().__init__()
        self.symbols, self.name, self.doi = tuple(symbols), "Morse", "10.1103/PhysRev.34.57"
        n = len(self.symbols)
        self.register_buffer("depth", pair_table(depth, n, "Morse depth"))
        self.register_buffer("alpha", pair_table(alpha, n, "Morse alpha"))
        self.register_buffer("r0", pair_table(r0, n, "Morse r0"))
        if cutoff is None:
            cutoff = float((self.r0 + 8.0 / self.alpha).max())
        onset = 0.75 * cutoff if onset is None else onset
        self.onset, self.cutoff = checked_range(onset, cutoff, self.name)

    def forward(self, edges: Edges) -> torch.Tensor:
        """Site energies (n_centres,), eV: half of every bond goes to each end."""
        r = edges.lengths()
        pair = edges.pair_species()
        decay = torch.exp(-self.alpha[pair] * (r - self.r0[pair]))
        bond = self.depth[pair] * decay * (decay - 2.0) * smooth_step(r, self.onset, self.cutoff)
        return edges.to_centres(0.5 * bond)
