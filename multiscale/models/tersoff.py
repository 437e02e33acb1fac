"""Tersoff: e_i = ½ Σ_j f_C(r_ij) [A e^{−λ r_ij} − b_ij B e^{−μ r_ij}], a bond order b that weakens where a bond has company.

    b_ij = (1 + β^n ζ_ij^n)^{−1/2n},     ζ_ij = Σ_{k≠j} f_C(r_ik) g(θ_jik),     g = 1 + c²/d² − c²/(d² + (h − cos θ)²)
    f_C  = 1 below R, ½ + ½ cos π (r − R)/(S − R) up to S, 0 beyond

Bonds of a surface atom are shorter and stronger than those of the crystal, since they have less company: surfaces relax, unlike
Stillinger and Weber's. All neighbours k of i count in b_ij and all of them belong to i, so that the model is strictly local.
"""

from __future__ import annotations

import torch

from ..types import MultiscaleError
from .base import Edges, SiteModel


class Tersoff(SiteModel):
    """Tersoff's silicon, third parametrisation.

    Parameters
    ----------
    A, B : float
        Strength of repulsion and attraction, eV.
    lam, mu : float
        Their decay, 1/Å.
    beta, n : float
        Strength and exponent of the bond order.
    c, d, h : float
        The angular function; h is the preferred cosine.
    R, S : float
        Å; where the cutoff function starts to fall and where it is zero. Its second derivative jumps at both.
    symbol : str
        The one element.

    References
    ----------
    J. Tersoff, Phys. Rev. B 38 (1988) 9902, https://doi.org/10.1103/PhysRevB.38.9902.

    Examples
    --------
    >>> Tersoff().cutoff
    3.0
    """

    def __init__(
        self,
        *,
        A: float = 1830.8,
        B: float = 471.18,
        lam: float = 2.4799,
        mu: float = 1.7322,
        beta: float = 1.1e-6,
        n: float = 0.78734,
        c: float = 1.0039e5,
        d: float = 16.217,
        h: float = -0.59825,
        R: float = 2.7,
        S: float = 3.0,
        symbol: str = "Si",
    ) -> None:
        super().__init__()
        if min(A, B, lam, mu, n, d) <= 0.0 or beta < 0.0 or not 0.0 < R < S:
            raise MultiscaleError(
                "Tersoff was given a parameter of the wrong sign or an empty cutoff range; A, B, lam, mu, n and d must be positive, "
                f"beta not negative, and 0 < R < S; got R = {R} Å and S = {S} Å"
            )
        self.symbols, self.name, self.doi = (symbol,), "Tersoff", "10.1103/PhysRevB.38.9902"
        self.A, self.B, self.lam, self.mu = float(A), float(B), float(lam), float(mu)
        self.beta, self.n, self.c, self.d, self.h = float(beta), float(n), float(c), float(d), float(h)
        self.R, self.cutoff = float(R), float(S)

    def forward(self, edges: Edges) -> torch.Tensor:
        """Site energies (n_centres,), eV."""
        r = edges.lengths()
        near = self._cut(r)
        zeta = self._company(edges, edges.vectors / r[:, None], near)
        # ζⁿ with n < 1 has no derivative at ζ = 0, but a bond without company feels none either.
        alone = zeta < 1e-30
        crowd = (self.beta * torch.where(alone, torch.ones_like(zeta), zeta)) ** self.n
        order = torch.where(alone, torch.ones_like(zeta), (1.0 + crowd) ** (-0.5 / self.n))
        bond = self.A * torch.exp(-self.lam * r) - order * self.B * torch.exp(-self.mu * r)
        return edges.to_centres(0.5 * near * bond)

    def _cut(self, r: torch.Tensor) -> torch.Tensor:
        t = ((r - self.R) / (self.cutoff - self.R)).clamp(0.0, 1.0)
        return 0.5 + 0.5 * torch.cos(torch.pi * t)

    def _company(self, edges: Edges, unit: torch.Tensor, near: torch.Tensor) -> torch.Tensor:
        """ζ (n_edges,): pairs of edges at one centre, listed as (edge ij, edge ik); few, since neighbours are few."""
        ij, ik = _pairs(edges.centre, edges.n_receivers)
        cosine = (unit[ij] * unit[ik]).sum(-1)
        g = 1.0 + self.c**2 / self.d**2 - self.c**2 / (self.d**2 + (self.h - cosine) ** 2)
        return torch.zeros_like(near).index_add(0, ij, near[ik] * g)


def _pairs(centre: torch.Tensor, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """All ordered pairs (m,), (m,) of different edges with the same centre; ``centre`` (n_edges,) ascends."""
    count = torch.bincount(centre, minlength=n)
    start = torch.cumsum(count, 0) - count
    own = count[centre]
    first = torch.repeat_interleave(torch.arange(len(centre), device=centre.device), own)
    # The k-th of an edge's pairs is with the k-th edge of its centre.
    before = torch.repeat_interleave(torch.cumsum(own, 0) - own, own)
    second = torch.arange(len(first), device=centre.device) - before + start[centre[first]]
    other = first != second
    return first[other], second[other]
