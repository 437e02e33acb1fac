"""Atoms described by a site-energy model: E(x ; w) = Σ_i w_i e_i({D_ij}),  D_ij = x_j + S_ij·cell − x_i.

One backward pass through Σ w_i e_i with respect to the edge vectors gives g_e = ∂E/∂D_e, and from it everything else:

    forces   F_i −= −g_e at the centre, F_j −= g_e at the neighbour
    virial   dE/dε = Σ_e D_e ⊗ g_e
    H·v      = the same scatter of ∂(Σ g_e·(v_j − v_i))/∂D_e

Every member of the team owns some of the sites, and evaluates these only; sites of zero weight are never evaluated. The layers
of a message-passing model are spread over the team (:mod:`multiscale.regions.graph`), so that the answer is that of one rank.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import ase
import numpy as np
from numpy.typing import ArrayLike

from ..align import zeros_per_atom
from ..bodies import labelled
from ..lazy import REMEDIES
from ..neighbours import NeighbourList
from ..region import Answer, Can, Query
from ..types import Array, BoolArray, IntArray, MultiscaleError, Team, missing
from .atomic import AtomicRegion, structure
from .graph import Graph, Halo, Local
from .hessian import edge_hessian, gradient, probed_hessian

try:
    import torch
except ImportError as error:  # pragma: no cover - torch is a declared dependency of ML regions
    raise missing("torch", "An ML region", REMEDIES["torch"]) from error

from ..models.base import Edges, SiteModel
from ..models.pair_functional import pair_hessian

#: Edges that a strictly local model is given at once: few enough for its arrays to stay in the caches and in memory that the process
#: has already; on a GPU, enough to fill it.
TILE_CPU, TILE_GPU = 1 << 16, 1 << 22


@dataclass(frozen=True)
class _Part:
    """What the model says of one graph: Σ w e, site energies (n_centres,), and (n_edges, 3) arrays if wanted."""

    energy: float
    site: Array
    gradient: Array | None
    product: Array | None


class MLRegion(AtomicRegion):
    """Atoms described by a site-energy model.

    Parameters
    ----------
    model : SiteModel
        The model; shared, never changed (a copy is made where another precision or device is needed).
    atoms : ase.Atoms
        Symbols, masses, reference positions, cell and periodic axes. Instead of it, give the next four.
    symbols, positions, cell, pbc : optional
        (n,) chemical symbols, (n, 3) reference positions in Å, (3, 3) cell in Å, (3,) periodic axes.
    dtype : str
        Precision of the model, ``"float64"`` or ``"float32"``; neighbours and all results are float64 either way.
    skin : float
        Å; see :class:`~multiscale.neighbours.NeighbourList`.
    device : str, optional
        Where the model is evaluated; the team's device unless given.
    energy_zero : mapping, optional
        Element → eV, taken off every site's energy, so that regions compare; :mod:`multiscale.align` measures it.
    link_atoms : (n,) bool array, optional
        Which atoms saturate broken bonds of a carved cluster; they have energies and weights, but are no matter of the problem.
    bodies : (n,) int array, optional
        Which body each atom belongs to. Given, the bodies are evaluated as separate graphs: E = Σ_bodies E(body alone), without any
        interaction across their interfaces, of pairs, angles or messages alike. See :mod:`multiscale.bodies`.
    halo : {"exchange", "wide"}
        How the layers of a message-passing model are spread over the team: by exchanging features between them, or by computing the
        whole receptive field on every rank, without a message. Models that offer no exchange go wide.
    balance : float or None
        Sites are dealt out anew, by measured cost, when the slowest rank takes this part more than the mean; None keeps them, which
        makes runs on the same ranks repeat to the last bit.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from multiscale.models import StillingerWeber
    >>> silicon = MLRegion(StillingerWeber(), bulk("Si", a=5.43095))
    >>> round(silicon.evaluate(silicon.reference, Query()).energy, 4)
    -8.6732
    """

    can = (
        Can.ENERGY
        | Can.FORCES
        | Can.SITE_ENERGIES
        | Can.SITE_WEIGHTS
        | Can.STRESS
        | Can.HVP
        | Can.SUBSETS
        | Can.STIFFNESS
    )

    def __init__(
        self,
        model: SiteModel,
        atoms: ase.Atoms | None = None,
        *,
        symbols: Sequence[str] | None = None,
        positions: ArrayLike | None = None,
        cell: ArrayLike | None = None,
        pbc: ArrayLike = False,
        dtype: str = "float64",
        skin: float = 0.5,
        device: str | None = None,
        energy_zero: Mapping[str, float] | None = None,
        link_atoms: ArrayLike | None = None,
        bodies: ArrayLike | None = None,
        halo: Halo = "exchange",
        balance: float | None = 0.1,
    ) -> None:
        if halo not in ("exchange", "wide"):
            raise MultiscaleError(f"MLRegion was given halo '{halo}'; it needs 'exchange' or 'wide'")
        if atoms is None:
            atoms = structure(symbols, positions, cell, pbc)
        if dtype not in ("float64", "float32"):
            raise MultiscaleError(f"MLRegion was given dtype '{dtype}'; it needs 'float64' or 'float32'")
        if dtype not in model.precisions:
            raise MultiscaleError(
                f"MLRegion was given dtype '{dtype}' for {model.name}, which computes in "
                f"{' or '.join(model.precisions)}; say MLRegion(..., dtype='{model.precisions[0]}')"
            )
        if not model.twice_differentiable:
            self.can = self.can & ~(Can.HVP | Can.STIFFNESS)
        super().__init__(atoms, link_atoms)
        self.model = model
        self.reach = model.cutoff * model.layers
        self.skin, self.dtype, self._device = skin, dtype, device
        self._species = model.species(self.symbols)
        self._zeros = zeros_per_atom(self.symbols, energy_zero)
        self.bodies = None if bodies is None else labelled(bodies, self.n_sites)
        self._halo, self._balance = halo, balance
        self._graph = self._new_graph(self._atoms.cell.array, np.asarray(self._atoms.pbc))
        self._model_seconds = 0.0
        self._ready: SiteModel | None = None

    @property
    def cell(self) -> Array:
        """Cell vectors as rows (3, 3), Å; unit vectors along axes that have none."""
        return self._graph.list.cell

    @property
    def pbc(self) -> BoolArray:
        """Periodic axes (3,)."""
        return self._graph.list.pbc

    @property
    def list(self) -> NeighbourList:
        """The neighbour list of this rank's share of the atoms."""
        return self._graph.list

    def with_cell(self, cell: ArrayLike) -> MLRegion:
        """A region with another cell (3, 3), Å, and the same everything else, the model shared."""
        other = copy.copy(self)
        other._graph = other._new_graph(np.asarray(cell, dtype=float), self.pbc)
        return other

    def sees(self, i: IntArray, j: IntArray) -> BoolArray:
        """Atoms of one body see each other."""
        return super().sees(i, j) if self.bodies is None else np.asarray(self.bodies[i] == self.bodies[j])

    def part(self, mine: ArrayLike) -> MLRegion:
        """A region of some of the atoms alone (indices), as they are described here."""
        rows = np.asarray(mine, dtype=np.int64)
        atoms = self._atoms[rows]
        atoms.set_cell(self.cell)
        other = MLRegion(
            self.model, atoms, dtype=self.dtype, skin=self.skin, device=self._device, link_atoms=self.link_atoms[rows],
            halo=self._halo, balance=self._balance,
        )  # fmt: skip
        other._zeros = self._zeros[rows]
        return other

    def describe(self) -> str:
        """One line for reports."""
        parts = "" if self.bodies is None else f" in {len(np.unique(self.bodies))} separate bodies"
        return f"MLRegion of {self.n_sites} atoms{parts} ({self.model.name}, {self.dtype})"

    def bind(self, team: Team) -> None:
        """Give the region its team, and put the model on the team's device."""
        self.team = team
        self._graph = self._new_graph(self.cell, self.pbc)
        self._ready = None

    def evaluate(self, x: Array, query: Query) -> Answer:
        """The answer at positions ``x`` (n_dofs, 3), Å: this rank's additive share of it; collective within the team."""
        self.check(x, query)
        x = np.asarray(x, dtype=float)
        weights = np.ones(self.n_sites) if query.weights is None else np.asarray(query.weights, dtype=float)
        active = weights != 0.0
        if Can.SITE_ENERGIES in query.want and query.uncounted:
            active = np.ones(self.n_sites, dtype=bool)
        with self.together():
            return self._answer(x, query, weights, active)

    @contextmanager
    def together(self) -> Iterator[None]:
        """One evaluation among the ranks of the team: whoever fails in it tells those that wait for its features.

        What evaluates the model's graph takes place inside; every rank of the team has to come here.
        """
        graph = self._graph
        graph.begin()
        start, others = time.perf_counter(), graph.exchanging + graph.seconds
        try:
            yield
        except Exception as error:
            graph.abandon(error)
            raise
        spent = time.perf_counter() - start - (graph.exchanging + graph.seconds - others)
        self._model_seconds += spent
        graph.end(spent)

    def _answer(self, x: Array, query: Query, weights: Array, active: BoolArray) -> Answer:
        edges, nodes, centres = self._edges(x, active)
        along = None
        if Can.HVP in query.want:
            v = np.asarray(query.vector, dtype=float)[nodes]
            along = v[edges.neighbour.cpu().numpy()] - v[edges.centre.cpu().numpy()]
        parts = [
            self._part(tile, weights[sites], self._zeros[sites], query.want, None if along is None else along[rows])
            for tile, sites, rows in self._tiles(edges, centres)
        ]
        site = np.concatenate([p.site for p in parts])
        answer: dict[str, Any] = {}
        if Can.ENERGY in query.want:
            answer["energy"] = sum(p.energy for p in parts)
        if Can.SITE_ENERGIES in query.want:
            answer["site_energies"] = np.zeros(self.n_sites)
            answer["site_energies"][centres] = site
        if query.want & (Can.FORCES | Can.STRESS):
            g = np.concatenate([p.gradient for p in parts])
            if Can.FORCES in query.want:
                answer["forces"] = -self._scatter(edges, nodes, g)
            if Can.STRESS in query.want:
                virial = edges.vectors.detach().double().cpu().numpy().T @ g
                answer["stress"] = 0.5 * (virial + virial.T)
        if along is not None:
            answer["hvp"] = self._scatter(edges, nodes, np.concatenate([p.product for p in parts]))
        self._check_finite(answer, centres, site)
        return Answer(**answer)

    def _tiles(self, edges: Edges, centres: IntArray) -> Iterator[tuple[Edges, IntArray, slice]]:
        """The graph in pieces, their centres and their edges: what the model makes of one piece stays in the caches.

        A message-passing model takes all of it at once.
        """
        most = TILE_CPU if edges.vectors.device.type == "cpu" else TILE_GPU
        n_edges = len(edges.vectors)
        if self.model.layers > 1 or self.model.needs_placement or n_edges <= most:
            yield edges, centres, slice(0, n_edges)
            return
        ends = np.linspace(0, len(centres), -(-n_edges // most) + 1).astype(int)
        first = np.searchsorted(edges.centre.cpu().numpy(), ends)
        for k, (start, end) in enumerate(pairwise(ends.tolist())):
            yield edges.tile(start, end), centres[start:end], slice(int(first[k]), int(first[k + 1]))

    def _part(self, edges: Edges, weights: Array, zeros: Array, want: Can, along: Array | None) -> _Part:
        """What the model says of one graph."""
        vectors = edges.vectors.requires_grad_(True)
        site = self._site_energies(edges)
        site = site - torch.as_tensor(zeros, device=site.device)
        total = (torch.as_tensor(weights, device=site.device) * site).sum()
        g = product = None
        if want & (Can.FORCES | Can.STRESS | Can.HVP):
            grad = gradient(total, vectors, keep=along is not None)
            g = grad.detach().double().cpu().numpy()
            if along is not None:
                value = (grad * torch.as_tensor(along).to(grad)).sum()
                product = gradient(value, vectors).detach().double().cpu().numpy()
        return _Part(float(total.detach()), site.detach().cpu().numpy(), g, product)

    def stiffness(self, x: Array, weights: Array | None = None) -> Any:
        """The exact sparse Hessian (3n, 3n) of Σ w e, eV/Å², this rank's share of it; ``scipy.sparse`` CSR.

        Pair functionals: by their own derivatives. Other strictly local models: three Hessian columns of all sites at once per
        neighbour slot. Message-passing models: coloured Hessian–vector products, which costs as many as there are colours.
        """
        x = np.asarray(x, dtype=float)
        w = np.ones(self.n_sites) if weights is None else np.asarray(weights, dtype=float)
        self.check(x, Query(weights=w))
        with self.together():
            edges, nodes, centres = self._edges(x, w != 0.0)
            known = self._model().pair_functional(edges)
            if known is not None:
                ends = (nodes[edges.centre.cpu().numpy()], nodes[edges.neighbour.cpu().numpy()])
                return pair_hessian(known, edges.vectors.double().cpu().numpy(), ends, centres, w[centres], self.n_dofs)
            vectors = edges.vectors.requires_grad_(True)
            total = (torch.as_tensor(w[centres], device=vectors.device) * self._site_energies(edges)).sum()
            grad = gradient(total, vectors, keep=True)
            if self.model.layers == 1:
                return edge_hessian(edges, nodes, grad, self.n_dofs)
            return self._probed(edges, nodes, grad)

    def _probed(self, edges: Edges, nodes: IntArray, grad: torch.Tensor) -> Any:
        """The Hessian by products; where features are exchanged, all ranks make the same ones, each of all of the Hessian's share."""
        i, j = nodes[edges.centre.cpu().numpy()], nodes[edges.neighbour.cpu().numpy()]
        if edges.exchange is not None:
            pairs = self.team.comm.allgather((i, j))
            i, j = (np.concatenate([pair[k] for pair in pairs]) for k in (0, 1))
        return probed_hessian(i, j, self.n_dofs, self.model.layers, lambda v: self._hvp(edges, nodes, grad, v))

    def owned(self) -> IntArray:
        """The sites that this rank evaluates, ascending."""
        return self._graph.owned(self.reference)

    def counters(self) -> dict[str, float]:
        """What this rank did so far: seconds by kind of work, sites, neighbour lists; for reports."""
        graph = self._graph
        return {
            "model seconds": self._model_seconds,
            "neighbour list seconds": graph.seconds,
            "exchange seconds": graph.exchanging,
            "neighbour lists built": float(graph.list.builds),
            "rebalances": float(graph.balance.rebalances),
            "owned sites": float(len(graph.owned(self.reference))),
            "halo sites": float(graph.halo_sites),
        }

    def abandon(self, error: Exception) -> None:
        """Tell the other ranks of the team why this one does not come."""
        self._graph.abandon(error)

    def _new_graph(self, cell: Array, pbc: BoolArray) -> Graph:
        return Graph(self.model, cell, pbc, self.skin, self.team, self._halo, self._balance, self.bodies)

    def _model(self) -> SiteModel:
        """The model in this region's precision on this rank's device, copied only if it is elsewhere."""
        if self._ready is None:
            target = {"dtype": getattr(torch, self.dtype), "device": torch.device(self._device or self.team.device)}
            there = [t for t in (*self.model.parameters(), *self.model.buffers()) if t.is_floating_point()]
            same = all(t.dtype == target["dtype"] and t.device == target["device"] for t in there)
            self._ready = self.model if same else copy.deepcopy(self.model).to(**target)
        return self._ready

    def _edges(self, x: Array, active: BoolArray) -> tuple[Edges, IntArray, IntArray]:
        """This rank's graph of the sites that count (n_sites,), the atom that each node is, and its centres."""
        device = torch.device(self._device or self.team.device)
        local: Local = self._graph.around(x, active)

        def index(a: IntArray) -> torch.Tensor:
            return torch.as_tensor(a, device=device)

        vectors = torch.as_tensor(local.vectors).to(device=device, dtype=getattr(torch, self.dtype))
        species = index(self._species[local.nodes])
        edges = Edges(vectors, index(local.i), index(local.j), species, local.levels, local.place, local.exchange)
        return edges, local.nodes, local.centres

    def _site_energies(self, edges: Edges) -> torch.Tensor:
        """Site energies in double precision; a rank on which there is nothing to compute calls no model."""
        if edges.n_receivers == 0:
            return edges.vectors.sum().double() * torch.zeros(0, dtype=torch.float64, device=edges.vectors.device)
        energies: torch.Tensor = self._model()(edges)
        return energies.double()

    def _scatter(self, edges: Edges, nodes: IntArray, g: Array) -> Array:
        """The gradient with respect to positions (n_dofs, 3) of edge gradients (n_edges, 3)."""
        out, n = np.zeros((self.n_dofs, 3)), len(nodes)
        i, j = edges.centre.cpu().numpy(), edges.neighbour.cpu().numpy()
        for axis in range(3):
            out[nodes, axis] = np.bincount(j, g[:, axis], n) - np.bincount(i, g[:, axis], n)
        return out

    def _hvp(self, edges: Edges, nodes: IntArray, grad: torch.Tensor, v: Array) -> Array:
        i, j = nodes[edges.centre.cpu().numpy()], nodes[edges.neighbour.cpu().numpy()]
        along = torch.as_tensor(v[j] - v[i]).to(grad)
        product = gradient((grad * along).sum(), edges.vectors, again=True)
        return self._scatter(edges, nodes, product.detach().double().cpu().numpy())

    def _check_finite(self, answer: dict[str, Any], centres: IntArray, energies: Array) -> None:
        """Refuse NaN and infinity, naming the model and the first atom."""
        bad = [int(centres[k]) for k in np.flatnonzero(~np.isfinite(energies))[:1]]
        for name in ("forces", "hvp"):
            if name in answer and not bad:
                bad = [int(k) for k in np.flatnonzero(~np.isfinite(answer[name]).all(axis=1))[:1]]
        if bad:
            raise MultiscaleError(
                f"{self.model.name} gave a result that is not finite, first at atom {bad[0]}; look at that atom's "
                "surroundings "
                "(atoms too close, a step too large, a structure the model was never fitted to)"
            )
