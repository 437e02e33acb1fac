"""Site-energy models: E = Σ_i e_i, where e_i sees the neighbours of site i through edge vectors only.

    e_i = e({D_ij}),      D_ij = x_j + S_ij·cell − x_i,      |D_ij| < cutoff

A model never sees positions, cells or periodic boundaries: the caller lists the edges and differentiates with
respect to the edge vectors, which gives forces, virial and Hessians of periodic and open systems alike.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..lazy import REMEDIES
from ..symbols import numbered
from ..types import Array, BoolArray, IntArray, MultiscaleError, missing
from .exchange import Exchange
from .pair_functional import PairFunctional

try:
    import torch
except ImportError as error:  # pragma: no cover - torch is a declared dependency of the models
    raise missing("torch", "A site-energy model", REMEDIES["torch"]) from error


@dataclass(frozen=True)
class Placement:
    """Where the nodes of a graph lie, for models that ask for positions and a cell; constants, never differentiated.

    Attributes
    ----------
    positions : (n_nodes, 3) array
        Å.
    cell : (3, 3) array
        Cell vectors as rows, Å.
    pbc : (3,) array of bool
        Periodic axes.
    shift : (n_edges, 3) int array
        S of each edge: D = x_neighbour + S·cell − x_centre.
    """

    positions: Array
    cell: Array
    pbc: BoolArray
    shift: IntArray


@dataclass(frozen=True)
class Edges:
    """The neighbourhood of the requested centres, as a directed graph.

    Nodes are atoms (an atom and its periodic images are one node), numbered by the hops that separate them from the
    requested centres: first the centres themselves, then those one hop away, and so on.

    Attributes
    ----------
    vectors : (n_edges, 3) tensor
        D = x_neighbour + S·cell − x_centre, Å; shorter than the model's cutoff.
    centre : (n_edges,) long tensor
        Node at which the edge is received, ascending; a strictly local model only gets edges of requested centres.
    neighbour : (n_edges,) long tensor
        Node at which the edge starts.
    species : (n_nodes,) long tensor
        Index of each node's element in the model's ``symbols``.
    levels : tuple of int
        Number of nodes within 0, 1, …, ``layers`` hops: ``levels[0]`` centres are requested, ``levels[-1]`` is
        n_nodes. Layer ℓ = 1 … L of a message-passing model needs results on the first ``levels[L − ℓ]`` nodes only.
    placement : Placement or None
        Where the graph lies; for models that say ``needs_placement``.
    exchange : Exchange or None
        Where layers are spread over ranks: nodes are then those that this rank computes, by hops, followed by those of other
        ranks, and a model has every layer's result but the last one completed by :meth:`complete`.
    """

    vectors: torch.Tensor
    centre: torch.Tensor
    neighbour: torch.Tensor
    species: torch.Tensor
    levels: tuple[int, ...]
    placement: Placement | None = None
    exchange: Exchange | None = None

    @property
    def n_centres(self) -> int:
        """Number of requested centres, the length of the model's result."""
        return self.levels[0]

    def shallower(self, layers: int) -> Edges:
        """What a model of fewer layers gets of this graph: the nodes and edges within ``layers`` hops."""
        if layers + 1 >= len(self.levels):
            return self
        if self.exchange is not None:
            k = int(torch.searchsorted(self.centre, self.levels[layers - 1]))
            levels = (*self.levels[:layers], self.levels[-1])
            return Edges(
                self.vectors[:k], self.centre[:k], self.neighbour[:k], self.species, levels, None, self.exchange
            )
        n, k = self.levels[layers], int(torch.searchsorted(self.centre, self.levels[layers - 1]))
        place = self.placement
        if place is not None:
            place = Placement(place.positions[:n], place.cell, place.pbc, place.shift[:k])
        return Edges(
            self.vectors[:k], self.centre[:k], self.neighbour[:k], self.species[:n], self.levels[: layers + 1], place
        )

    def tile(self, first: int, last: int) -> Edges:
        """The edges of the centres ``first`` … ``last`` − 1 alone, for a strictly local model; nodes are listed once per edge."""
        start, end = (int(torch.searchsorted(self.centre, k)) for k in (first, last))
        n, here = last - first, slice(start, end)
        neighbour = self.neighbour[here]
        species = torch.cat([self.species[first:last], self.species[neighbour]])
        places = n + torch.arange(end - start, device=neighbour.device)
        return Edges(self.vectors[here], self.centre[here] - first, places, species, (n, n + end - start))

    def complete(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Features for all nodes that the next layer reads, where other ranks computed some of them; collective within the team.

        Parameters
        ----------
        features : (n, width) tensor
            A layer's result on the first nodes.

        Returns
        -------
        (n', width) tensor
            The same, and where layers are spread over ranks the other ranks' rows behind them.
        scalar tensor
            Zero, to be added to the energies, so that this rank's backward pass goes through the exchange whether or not its own
            energies depend on it: the others wait for it there.
        """
        if self.exchange is None:
            return features, self.vectors.new_zeros(())
        full = self.exchange.complete(features, self.vectors)
        return full, full[:0].sum()

    @property
    def n_receivers(self) -> int:
        """Number of nodes on which this rank computes anything."""
        return self.levels[-2]

    def lengths(self) -> torch.Tensor:
        """Edge lengths (n_edges,), Å; differentiable, since no edge has zero length."""
        return torch.sqrt((self.vectors * self.vectors).sum(-1))

    def pair_species(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Elements at the two ends of each edge, (centre, neighbour), both (n_edges,)."""
        return self.species[self.centre], self.species[self.neighbour]

    def to_centres(self, values: torch.Tensor) -> torch.Tensor:
        """Sum edge values (n_edges, ...) over the edges of each centre; gives (n_centres, ...)."""
        total = values.new_zeros((self.n_centres, *values.shape[1:]))
        return total.index_add(0, self.centre, values)


class SiteModel(torch.nn.Module, ABC):
    """A potential whose energy is a sum of site energies; subclasses implement :meth:`forward`.

    Attributes
    ----------
    cutoff : float
        Å; edges this long or longer contribute nothing; forces go to zero continuously there, and Hessians too
        unless the model says otherwise.
    layers : int
        Number of message-passing layers. One means strictly local: a site energy depends on nothing but the edges
        whose centre is that site.
    symbols : tuple of str
        Chemical elements the model knows; species are indices into it.
    name, doi : str
        For reports and citations.
    precisions : tuple of str
        The precisions it computes in.
    twice_differentiable : bool
        Whether Hessians of the site energies can be had from it.
    needs_placement : bool
        Whether it asks for :attr:`Edges.placement`.
    exchanges : tuple of int
        Features per node each time that a model of several layers calls :meth:`Edges.complete`, after every layer but the last, so
        that the layers can be spread over ranks. Empty where it does not: every rank computes its sites' whole receptive field.
    """

    cutoff: float
    layers: int = 1
    symbols: tuple[str, ...]
    name: str
    doi: str
    precisions: tuple[str, ...] = ("float64", "float32")
    twice_differentiable: bool = True
    needs_placement: bool = False
    exchanges: tuple[int, ...] = ()

    @abstractmethod
    def forward(self, edges: Edges) -> torch.Tensor:
        """Site energies (n_centres,), eV; twice differentiable in ``edges.vectors``, also without any edge."""

    def pair_functional(self, edges: Edges) -> PairFunctional | None:
        """The derivatives of a pair functional on this graph, from which Hessians are made at once; None where it is none."""
        return None

    def species(self, symbols: Sequence[str]) -> IntArray:
        """Species indices (n,) of chemical symbols.

        Raises
        ------
        MultiscaleError
            If an element is not among ``self.symbols``.
        """
        return numbered(
            symbols,
            self.symbols,
            lambda unknown: (
                f"{self.name} was given the element {unknown}, but it knows only {', '.join(self.symbols)}; "
                "choose a model fitted to these elements or check the structure's chemical symbols"
            ),
        )


def smooth_step(r: torch.Tensor, onset: float, cutoff: float) -> torch.Tensor:
    """Switch from 1 (r ≤ onset) to 0 (r ≥ cutoff): 1 − 10t³ + 15t⁴ − 6t⁵, t = (r − onset)/(cutoff − onset); C²."""
    t = ((r - onset) / (cutoff - onset)).clamp(0.0, 1.0)
    return 1.0 + t**3 * (-10.0 + t * (15.0 - 6.0 * t))


def pair_table(value: float | Sequence[Sequence[float]], n_species: int, what: str) -> torch.Tensor:
    """A symmetric (n_species, n_species) table of a pair parameter, from one number or a matrix."""
    table = np.asarray(value, dtype=float)
    if table.ndim == 0:
        table = np.full((n_species, n_species), float(table))
    if table.shape != (n_species, n_species) or not np.array_equal(table, table.T):
        raise MultiscaleError(
            f"{what} was given with shape {table.shape}; give one number or a symmetric "
            f"({n_species}, {n_species}) matrix, one row per element"
        )
    return torch.tensor(table, dtype=torch.float64)


def checked_range(onset: float, cutoff: float, who: str) -> tuple[float, float]:
    """Refuse a switching range that is empty or negative."""
    if not 0.0 < onset < cutoff:
        raise MultiscaleError(f"{who} was given onset {onset} Å and cutoff {cutoff} Å; it needs 0 < onset < cutoff")
    return float(onset), float(cutoff)
