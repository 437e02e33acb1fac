"""Stillinger–Weber: e_i = ½ Σ_j v2(r_ij) + Σ_{j<k} v3(r_ij, r_ik, θ_jik).

    v2 = ε A (B (σ/r)⁴ − 1) exp[σ/(r − aσ)],      v3 = ε λ h_ij h_ik (cos θ_jik + ⅓)²,      h = exp[γσ/(r − aσ)]

All functions and all their derivatives vanish at the cutoff aσ. The three-body term is centred on i, so that the
model is strictly local.
"""

from __future__ import annotations

import torch

from ..types import MultiscaleError
from .base import Edges, SiteModel


class StillingerWeber(SiteModel):
    """Stillinger–Weber silicon.

    Parameters
    ----------
    three_body_strength : float
        λ; 21 is the published value, 42 the variant of Holland and Marder that cleaves in a brittle manner (the
        lattice constant, the cohesive energy and the ideal surface energies are the same).
    epsilon, sigma : float
        Energy scale, eV, and length scale, Å.
    A, B, a, gamma : float
        The remaining dimensionless parameters (p = 4, q = 0 are fixed).
    symbol : str
        The one element.

    References
    ----------
    F. H. Stillinger and T. A. Weber, Phys. Rev. B 31 (1985) 5262, https://doi.org/10.1103/PhysRevB.31.5262;
    ε = 2.1683 eV is the value in common use. D. Holland and M. Marder, Phys. Rev. Lett. 80 (1998) 746,
    https://doi.org/10.1103/PhysRevLett.80.746.

    Examples
    --------
    >>> round(StillingerWeber(three_body_strength=42.0).cutoff, 5)
    3.77118
    """

    def __init__(
        self,
        three_body_strength: float = 21.0,
        *,
        epsilon: float = 2.1683,
        sigma: float = 2.0951,
        A: float = 7.049556277,
        B: float = 0.6022245584,
        a: float = 1.8,
        gamma: float = 1.2,
        symbol: str = "Si",
    ) -> None:
        super().__init__()
        if min(epsilon, sigma, A, B, a, gamma) <= 0.0 or three_body_strength < 0.0:
            raise MultiscaleError(
                "StillingerWeber was given a parameter of the wrong sign; epsilon, sigma, A, B, a and gamma must be "
                "positive and three_body_strength must not be negative"
            )
        self.symbols, self.doi = (symbol,), "10.1103/PhysRevB.31.5262"
        self.name = f"Stillinger-Weber(λ={three_body_strength:g})"
        self.lam, self.epsilon, self.sigma = float(three_body_strength), float(epsilon), float(sigma)
        self.A, self.B, self.a, self.gamma = float(A), float(B), float(a), float(gamma)
        self.cutoff = self.a * self.sigma

    def forward(self, edges: Edges) -> torch.Tensor:
        """Site energies (n_centres,), eV."""
        r = edges.lengths()
        # 10⁻³σ inside the cutoff the exponentials are e⁻¹⁰⁰⁰ = 0 already; masking there, before dividing, keeps the
        # gradients of the discarded branch finite, which torch.where alone would not.
        inside = r < self.cutoff - 1e-3 * self.sigma
        reduced = torch.where(inside, r, 0.5 * self.cutoff) / self.sigma
        decay = 1.0 / (reduced - self.a)
        zero = torch.zeros_like(r)
        two = torch.where(inside, (self.B / reduced**4 - 1.0) * torch.exp(decay), zero)
        h = torch.where(inside, torch.exp(self.gamma * decay), zero)
        pair = 0.5 * self.epsilon * self.A * edges.to_centres(two)
        return pair + self.epsilon * self.lam * self._angles(edges, edges.vectors / r[:, None], h)

    @staticmethod
    def _angles(edges: Edges, unit: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        """Σ_{j<k} h_j h_k (u_j·u_k + ⅓)² at every centre (n_centres,), without listing the pairs.

        Squared, the bracket is (u_j·u_k)² + ⅔ u_j·u_k + 1/9, and each term is the product of two sums over neighbours:
        Σ_jk h_j h_k (…)² = |Σ h u⊗u|² + ⅔ |Σ h u|² + (Σ h)²/9. Pairs j = k contribute h²(4/3)² and are taken off.
        """
        second = edges.to_centres(h[:, None] * (unit[:, :, None] * unit[:, None, :]).reshape(-1, 9))
        first = edges.to_centres(torch.cat([h[:, None] * unit, h[:, None], (h * h)[:, None]], dim=1))
        vector, scalar, own = first[:, :3], first[:, 3], first[:, 4]
        full = (second**2).sum(-1) + (2.0 / 3.0) * (vector**2).sum(-1) + scalar**2 / 9.0
        return 0.5 * (full - (16.0 / 9.0) * own)
