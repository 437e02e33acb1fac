"""Committees: several models of the same thing, their mean, and how much they disagree.

    e_i = (1/M) Σ_m e_i^m,      σ_i = √( Σ_m (e_i^m − e_i)² / (M − 1) + ε² )

σ_i is a smooth function of the positions (ε rounds the cusp where all members agree), so that a region of
:class:`Disagreement` gives it per site with exact gradients: an error bar that weights and zones can follow.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..types import IntArray, MultiscaleError
from .base import Edges, SiteModel


class Committee(SiteModel):
    """The mean of several site-energy models.

    Parameters
    ----------
    members : sequence of SiteModel
        At least two, of equal cutoffs and elements; they may differ in their number of layers and in kind.

    Notes
    -----
    All members see one graph, built once. :func:`multiscale.regions.members.member_answers` gives every member's energy
    and forces from it.

    Examples
    --------
    >>> from multiscale.models import StillingerWeber
    >>> two = Committee([StillingerWeber(20.0), StillingerWeber(22.0)])
    >>> two.cutoff == StillingerWeber().cutoff
    True
    """

    def __init__(self, members: Sequence[SiteModel]) -> None:
        super().__init__()
        if len(members) < 2:
            raise MultiscaleError(f"A committee was given {len(members)} members; it needs two or more to disagree")
        first = members[0]
        for other in members[1:]:
            if abs(other.cutoff - first.cutoff) > 1e-6 or other.symbols != first.symbols:
                raise MultiscaleError(
                    f"A committee was given {first.name} (cutoff {first.cutoff:g} Å, {' '.join(first.symbols)}) and "
                    f"{other.name} (cutoff {other.cutoff:g} Å, {' '.join(other.symbols)}); members need equal cutoffs and "
                    "the same elements in the same order"
                )
        shared = [p for p in first.precisions if all(p in m.precisions for m in members)]
        if not shared:
            raise MultiscaleError(
                "A committee was given members without a common precision; export them all in float64 or all in float32"
            )
        self.members = torch.nn.ModuleList(members)
        self.cutoff, self.symbols, self.precisions = first.cutoff, first.symbols, tuple(shared)
        self.layers = max(m.layers for m in members)
        self.twice_differentiable = all(m.twice_differentiable for m in members)
        self.needs_placement = any(m.needs_placement for m in members)
        if all(m.exchanges or m.layers == 1 for m in members):
            self.exchanges = tuple(width for m in members for width in m.exchanges)
        self.name = f"committee of {len(members)} ({first.name}, …)"
        self.doi = first.doi

    def species(self, symbols: Sequence[str]) -> IntArray:
        """Species indices (n,); what any member refuses is refused, by that member's sentence."""
        numbers = super().species(symbols)
        for member in self.members:
            member.species(symbols)
        return numbers

    def site_energies(self, edges: Edges) -> torch.Tensor:
        """Every member's site energies (n_members, n_centres), eV."""
        return torch.stack([member(edges.shallower(member.layers)).double() for member in self.members])

    def forward(self, edges: Edges) -> torch.Tensor:
        """Mean site energies (n_centres,), eV."""
        return self.site_energies(edges).mean(dim=0)


class Disagreement(SiteModel):
    """The standard deviation of a committee's site energies, as if it were a site energy.

    ``MLRegion(Disagreement(committee), atoms)`` gives σ_i as site energies, and −∂(Σ w σ)/∂x as forces.

    Parameters
    ----------
    committee : Committee
    epsilon : float
        ε, eV: what σ is where all members agree.
    """

    def __init__(self, committee: Committee, epsilon: float = 1e-4) -> None:
        super().__init__()
        if epsilon <= 0.0:
            raise MultiscaleError(
                f"Disagreement was given epsilon {epsilon} eV; it must be positive, for a standard deviation has a cusp at zero"
            )
        self.committee, self.epsilon = committee, float(epsilon)
        self.cutoff, self.layers, self.symbols = committee.cutoff, committee.layers, committee.symbols
        self.precisions, self.twice_differentiable = committee.precisions, committee.twice_differentiable
        self.needs_placement, self.exchanges = committee.needs_placement, committee.exchanges
        self.name, self.doi = f"disagreement of a {committee.name}", committee.doi

    def species(self, symbols: Sequence[str]) -> IntArray:
        """Species indices (n,), as the committee gives them."""
        return self.committee.species(symbols)

    def forward(self, edges: Edges) -> torch.Tensor:
        """Standard deviations (n_centres,), eV."""
        energies = self.committee.site_energies(edges)
        # Spelt out: torch's own warns where there are no centres.
        variance = ((energies - energies.mean(dim=0)) ** 2).sum(dim=0) / (len(energies) - 1)
        return torch.sqrt(variance + self.epsilon**2)
