"""A model with a linear correction by the environment: e_i = e_i^model + ε_s + Σ_X c_sX (n_X(i) − n_sX^ref).

    n_X(i) = Σ_{j of X} f(r_ij),      f: 1 at r ≤ onset, 0 at r ≥ cutoff, C²

Cutoff and layers are the model's own. The correction is part of the functional: energies, site energies, forces, weights, stress
and Hessians of a region of it belong together, as those of the model do.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..correction import LinearCorrection
from ..symbols import require
from ..types import IntArray, MultiscaleError
from .base import Edges, SiteModel, smooth_step


class Corrected(SiteModel):
    """A model plus a linear correction, so that it agrees better with another level.

    Parameters
    ----------
    model : SiteModel
        Shared, never changed.
    correction : LinearCorrection
        What :func:`multiscale.correction.fit_correction` finds of (the other level − this model).

    Raises
    ------
    MultiscaleError
        If the correction sees farther than the model.

    Examples
    --------
    >>> from ase.build import bulk, fcc111
    >>> from multiscale.correction import fit_correction
    >>> from multiscale.models import Morse
    >>> from multiscale.regions.ml import MLRegion
    >>> soft, hard = Morse(cutoff=4.0), Morse(depth=0.36, cutoff=4.0)
    >>> structures = [bulk("Cu", a=3.61), fcc111("Cu", (1, 1, 4), a=3.61, vacuum=8.0, periodic=True)]
    >>> fit = fit_correction(lambda a: MLRegion(hard, a), lambda a: MLRegion(soft, a), structures, onset=2.7, cutoff=3.5)
    >>> fit.after.rms < 0.1 * fit.before.rms
    True
    >>> Corrected(soft, fit).cutoff
    4.0
    """

    def __init__(self, model: SiteModel, correction: LinearCorrection) -> None:
        super().__init__()
        if correction.cutoff > model.cutoff:
            raise MultiscaleError(
                f"Corrected was given a correction that sees {correction.cutoff} Å far and {model.name}, which sees {model.cutoff} Å; "
                "fit it with a shorter cutoff"
            )
        require(
            correction.elements,
            model.symbols,
            lambda lacking: (
                f"Corrected was given a correction for {lacking}, which {model.name} does not know; fit it without them"
            ),
        )
        self.model, self.elements = model, correction.elements
        self.cutoff, self.layers, self.symbols = model.cutoff, model.layers, model.symbols
        self.name, self.doi = f"{model.name}, corrected", model.doi
        self.precisions, self.twice_differentiable = model.precisions, model.twice_differentiable
        self.needs_placement, self.exchanges = model.needs_placement, model.exchanges
        self.onset, self.range = correction.onset, correction.cutoff
        known = torch.tensor([model.symbols.index(s) for s in correction.elements])
        n = len(model.symbols)
        slopes, references = torch.zeros(2, n, n, dtype=torch.float64)
        slopes[known[:, None], known], references[known[:, None], known] = (
            torch.as_tensor(t, dtype=torch.float64) for t in (correction.slopes, correction.references)
        )
        constant = torch.zeros(n, dtype=torch.float64)
        constant[known] = torch.as_tensor(correction.offsets, dtype=torch.float64)
        self.register_buffer("slopes", slopes)
        self.register_buffer("constant", constant - (slopes * references).sum(-1))

    def forward(self, edges: Edges) -> torch.Tensor:
        """Site energies (n_centres,), eV."""
        # A message-passing model also gets edges of atoms that are not asked for.
        here = edges.centre < edges.n_centres
        centre, neighbour = edges.centre[here], edges.neighbour[here]
        r = torch.sqrt((edges.vectors[here] ** 2).sum(-1))
        s = edges.species[centre], edges.species[neighbour]
        values = self.slopes[s] * smooth_step(r, self.onset, self.range)
        total = self.constant[edges.species[: edges.n_centres]].index_add(0, centre, values)
        site: torch.Tensor = self.model(edges)
        return site + total.to(site.dtype)

    def species(self, symbols: Sequence[str]) -> IntArray:
        """Species indices (n,); elements without a correction are refused."""
        require(
            symbols,
            self.elements,
            lambda unknown: (
                f"{self.name} has no correction for {unknown}; fit it with structures that contain all elements"
            ),
        )
        return self.model.species(symbols)
