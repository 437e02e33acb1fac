"""Fermi occupations of one-electron levels, and what first-order perturbation theory needs of them.

    f(ε) = 1 / (1 + e^y),   y = (ε − μ)/kT,   Σ_k f(ε_k) = N                         for each spin channel
    g(ε) = kT [f ln f + (1 − f) ln(1 − f)]                                          so that Σ_k g(ε_k) = −TS

Perturbation theory knows f only by its divided differences f[k,l] = (f_k − f_l)/(ε_k − ε_l), which are smooth where
levels meet. As the difference of two rounded numbers they are lost there; written as

    f[k,l] = f_l (1 − f_k) (e^{−d} − 1)/d / kT,             d = y_k − y_l ≥ 0

they are exact to round-off for any d, with the limit f' = −f (1 − f)/kT. Those of the entropy follow from the grand potential
Ω(ε) = −kT ln(1 + e^{−y}), whose derivative is f, by g = Ω − (ε − μ) f.

Matrices between levels are symmetric, and vanish between two empty levels; only the rows of the m occupied ones are kept, (m, n).
References: N. D. Mermin, Phys. Rev. 137 (1965) A1441,
https://doi.org/10.1103/PhysRev.137.A1441; S. de Gironcoli, Phys. Rev. B 51 (1995) 6773, https://doi.org/10.1103/PhysRevB.51.6773.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch

from ..types import Array

#: A level this many kT from the Fermi level is full or empty to the last representable number.
_FAR = 800.0
#: Levels of a smaller occupation are empty to round-off: between two of them nothing responds.
_EMPTY = 1e-18


def channels(electrons: int, spin: int) -> tuple[tuple[int, float], ...]:
    """Spin channels as (number of electrons, how many channels are like it).

    ``spin`` unpaired electrons are made one where the parity of ``electrons`` allows nothing else.
    """
    unpaired = min(spin if (electrons - spin) % 2 == 0 else electrons % 2, electrons)
    up, down = (electrons + unpaired) // 2, (electrons - unpaired) // 2
    return ((up, 2.0),) if up == down else ((up, 1.0), (down, 1.0))


def fermi_level(levels: Array, electrons: int, kT: float) -> float:
    """μ at which the ascending ``levels`` hold ``electrons`` electrons (one each at most); same units as the levels.

    Electrons above the gap are balanced against holes below it: neither side is a difference of large numbers, so that μ is well
    defined in insulators, where both are of the order e^{−gap/2kT}.
    """
    low, high = levels[0] - _FAR * kT, levels[-1] + _FAR * kT
    below, above = levels[:electrons], levels[electrons:]
    with np.errstate(over="ignore"):
        while low < (mu := 0.5 * (low + high)) < high:
            surplus = (1.0 / (1.0 + np.exp((above - mu) / kT))).sum() - (1.0 / (1.0 + np.exp((mu - below) / kT))).sum()
            if surplus > 0.0:
                high = mu
            elif surplus < 0.0:
                low = mu
            else:
                break
    return float(mu)


class Channel:
    """One spin channel (or ``copies`` alike) of ascending levels (n,) filled up to ``mu``, of which m count; Hartree."""

    def __init__(self, levels: Any, mu: float, kT: float, copies: float) -> None:
        self.kT, self.copies = kT, copies
        self.y = (levels - mu) / kT
        self.full, self.empty = torch.sigmoid(-self.y), torch.sigmoid(self.y)

    @property
    def f(self) -> Any:
        """Occupations (n,)."""
        return self.copies * self.full

    @property
    def g(self) -> Any:
        """Entropy terms −T s (n,)."""
        return -self.copies * self.kT * (self.full * _softplus(self.y) + self.empty * _softplus(-self.y))

    @property
    def slope(self) -> Any:
        """Derivatives f' (n,)."""
        return -self.copies / self.kT * self.full * self.empty

    def f1(self, m: int) -> Any:
        """f[k,l] (m, n)."""
        d = (self.y[:m, None] - self.y[None, :]).abs()
        # The lower of the two levels gives f, the upper one 1 − f.
        pairs = torch.triu(self.full[:m, None] * self.empty[None, :])
        pairs += torch.tril(self.empty[:m, None] * self.full[None, :], -1)
        return (-self.copies / self.kT) * pairs * torch.where(d > 0.0, -torch.expm1(-d) / d, 1.0)

    def g1(self, f1: Any) -> Any:
        """g[k,l] (m, n), from those of Ω and of (ε − μ) f."""
        m = len(f1)
        d = (self.y[:m, None] - self.y[None, :]).abs()
        full = torch.sigmoid(-torch.minimum(self.y[:m, None], self.y[None, :]))
        near = -torch.log1p(full * torch.expm1(-d.clamp(max=1.0))) / d
        soft = _softplus(-self.y)
        far = (soft[:m, None] - soft[None, :]).abs() / d
        grand = torch.where(d > 0.0, torch.where(d < 1.0, near, far), full)
        return self.copies * grand - _mean(self.f, m) - self.kT * _mean(self.y, m) * f1


class Occupation:
    """Occupations of n levels in all spin channels, and the derivatives of what is made of them.

    Parameters
    ----------
    levels : (n,) tensor
        ε, ascending, Hartree.
    spins : sequence of (int, float)
        See :func:`channels`.
    kT : float
        Hartree.

    Attributes
    ----------
    m : int
        How many levels are not empty.
    f, g : (n,) tensors
        Occupation (0 … 2) and entropy term −T s of every level.
    """

    def __init__(self, levels: Any, spins: Sequence[tuple[int, float]], kT: float) -> None:
        self.levels = levels
        host = levels.cpu().numpy()
        self.channels = tuple(Channel(levels, fermi_level(host, n, kT), kT, copies) for n, copies in spins)
        self.f, self.g = (sum(getattr(c, name) for c in self.channels) for name in ("f", "g"))
        self.m = int((self.f > _EMPTY).sum())

    @cached_property
    def f1(self) -> Any:
        """f[k,l] (m, n)."""
        return sum(c.f1(self.m) for c in self.channels)

    def density(self, h: Any) -> Any:
        """δP (m, n) between the levels, caused by the perturbation δH = ``h`` (m, n) at fixed S and numbers of electrons."""
        out = self.f1 * h
        h_diagonal = h.diagonal()
        out.diagonal().add_(self._pinned([-(c.slope[: self.m] @ h_diagonal) for c in self.channels]))
        return out

    def pull(self, p: Any, z: Any) -> tuple[Any, Any]:
        """Derivatives (m, n) of tr(P p) + tr(G z) with respect to H and S between the levels, for fixed symmetric p and z.

        P = C f Cᵀ and G = C g Cᵀ with (H − ε S) C = 0 give, from dP = ∮ f(ζ) R (dH − ζ dS) R dζ/2πi,

            ∂/∂H_kl = f[k,l] p_kl + g[k,l] z_kl + δ_kl Σ_σ a_σ f'_σ(ε_k)
            ∂/∂S_kl = −(ε f)[k,l] p_kl − (ε g)[k,l] z_kl − δ_kl ε_k Σ_σ a_σ f'_σ(ε_k),    (ε f)[k,l] = f̄ + ε̄ f[k,l]

        with bars for the mean over k and l, and a_σ = (∂/∂μ_σ) / Σ_k f'_σ from the response of the Fermi level.
        """
        m = self.m
        g1 = sum(c.g1(c.f1(m)) for c in self.channels)
        at_h = self.f1 * p + g1 * z
        at_s = -(_mean(self.f, m) * p + _mean(self.g, m) * z + _mean(self.levels, m) * at_h)
        by_mu = [-(c.slope[:m] @ p.diagonal()) + (c.kT * c.y * c.slope)[:m] @ z.diagonal() for c in self.channels]
        pinned = self._pinned(by_mu)
        at_h.diagonal().add_(pinned)
        at_s.diagonal().sub_(self.levels[:m] * pinned)
        return at_h, at_s

    def _pinned(self, by_mu: Sequence[Any]) -> Any:
        """Σ_σ a_σ f'_σ (m,), given the derivatives with respect to the Fermi levels."""
        out = torch.zeros_like(self.levels[: self.m])
        for c, slope in zip(self.channels, by_mu, strict=True):
            total = c.slope.sum()
            # Where no level has a representable slope (full or empty channels, very large gaps), nothing responds.
            out += torch.where(total < -1e-290, slope / total, 0.0) * c.slope[: self.m]
        return out


def _softplus(y: Any) -> Any:
    """ln(1 + e^y) without overflow."""
    return torch.clamp(y, min=0.0) + torch.log1p(torch.exp(-y.abs()))


def _mean(a: Any, m: int) -> Any:
    return 0.5 * (a[:m, None] + a[None, :])
