"""Atoms described by a site-energy model: E(x ; w) = Σ_i w_i e_i({D_ij}),  D_ij = x_j + S_ij·cell − x_i.

One backward pass through Σ w_i e_i with respect to the edge vectors gives g_e = ∂E/∂D_e, and from it everything else:

    forces   F_i −= −g_e at the centre, F_j −= g_e at the neighbour
    virial   dE/dε = Σ_e D_e ⊗ g_e
    H·v      = the same scatter of ∂(Σ g_e·(v_j − v_i))/∂D_e

Every member of the team owns some of the sites, and evaluates these only; sites of zero weight are never evaluated. A
message-passing model gets the neighbourhood of its sites ``layers`` hops deep, so that its site energies are exact.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import ase
import numpy as np
from numpy.typing import ArrayLike

from ..align import zeros_per_atom
from ..lazy import REMEDIES
from ..neighbours import NeighbourList
from ..region import Answer, Can, Query
from ..types import Array, BoolArray, IntArray, MultiscaleError, Team, missing
from .atomic import AtomicRegion
from .hessian import edge_hessian, probed_hessian

try:
    import torch
except ImportError as error:  # pragma: no cover - torch is a declared dependency of ML regions
    raise missing("torch", "An ML region", REMEDIES["torch"]) from error

from ..models.base import Edges, Placement, SiteModel


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
    ) -> None:
        if atoms is None:
            atoms = _structure(symbols, positions, cell, pbc)
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
        self.list = NeighbourList(model.cutoff, self._atoms.cell.array, self._atoms.pbc, skin)
        self._ready: SiteModel | None = None

    @property
    def cell(self) -> Array:
        """Cell vectors as rows (3, 3), Å; unit vectors along axes that have none."""
        return self.list.cell

    @property
    def pbc(self) -> BoolArray:
        """Periodic axes (3,)."""
        return self.list.pbc

    def with_cell(self, cell: ArrayLike) -> MLRegion:
        """A region with another cell (3, 3), Å, and the same everything else, the model shared."""
        other = copy.copy(self)
        other.list = NeighbourList(self.model.cutoff, cell, self.pbc, self.skin)
        return other

    def describe(self) -> str:
        """One line for reports."""
        return f"MLRegion of {self.n_sites} atoms ({self.model.name}, {self.dtype})"

    def bind(self, team: Team) -> None:
        """Give the region its team, and put the model on the team's device."""
        self.team = team
        self._ready = None

    def evaluate(self, x: Array, query: Query) -> Answer:
        """The answer at positions ``x`` (n_dofs, 3), Å: this rank's additive share of it."""
        self.check(x, query)
        x = np.asarray(x, dtype=float)
        weights = np.ones(self.n_sites) if query.weights is None else np.asarray(query.weights, dtype=float)
        centres = self.owned()
        if Can.SITE_ENERGIES not in query.want or not query.uncounted:
            centres = centres[weights[centres] != 0.0]
        edges, nodes = self._edges(x, centres)
        vectors = edges.vectors.requires_grad_(True)
        site = self._site_energies(edges)
        site = site - torch.as_tensor(self._zeros[centres], device=site.device)
        w = torch.as_tensor(weights[centres], device=site.device)
        total = (w * site).sum()
        want_hvp, want_grad = Can.HVP in query.want, bool(query.want & (Can.FORCES | Can.STRESS | Can.HVP))
        grad = gradient(total, vectors, keep=want_hvp) if want_grad else None
        answer: dict[str, Any] = {}
        if Can.ENERGY in query.want:
            answer["energy"] = float(total.detach())
        if Can.SITE_ENERGIES in query.want:
            answer["site_energies"] = np.zeros(self.n_sites)
            answer["site_energies"][centres] = site.detach().cpu().numpy()
        if grad is not None:
            g = grad.detach().double().cpu().numpy()
            if Can.FORCES in query.want:
                answer["forces"] = -self._scatter(edges, nodes, g)
            if Can.STRESS in query.want:
                virial = vectors.detach().double().cpu().numpy().T @ g
                answer["stress"] = 0.5 * (virial + virial.T)
            if want_hvp:
                answer["hvp"] = self._hvp(edges, nodes, grad, np.asarray(query.vector, dtype=float))
        self._check_finite(answer, centres, site)
        return Answer(**answer)

    def stiffness(self, x: Array, weights: Array | None = None) -> Any:
        """The exact sparse Hessian (3n, 3n) of Σ w e, eV/Å², this rank's share of it; ``scipy.sparse`` CSR.

        Strictly local models: three Hessian columns of all sites at once per neighbour slot. Message-passing
        models: coloured Hessian–vector products, which costs as many as there are colours.
        """
        x = np.asarray(x, dtype=float)
        w = np.ones(self.n_sites) if weights is None else np.asarray(weights, dtype=float)
        self.check(x, Query(weights=w))
        centres = self.owned()
        centres = centres[w[centres] != 0.0]
        edges, nodes = self._edges(x, centres)
        vectors = edges.vectors.requires_grad_(True)
        total = (torch.as_tensor(w[centres], device=vectors.device) * self._site_energies(edges)).sum()
        grad = gradient(total, vectors, keep=True)
        if self.model.layers == 1:
            return edge_hessian(edges, nodes, grad, self.n_dofs)
        return probed_hessian(edges, nodes, self.n_dofs, self.model.layers, lambda v: self._hvp(edges, nodes, grad, v))

    def owned(self) -> IntArray:
        """Sites this rank evaluates, ascending: a slice across the longest extent of the reference configuration."""
        if self.team.size == 1:
            return np.arange(self.n_sites)
        axis = int(np.argmax(np.ptp(self.reference, axis=0))) if self.n_sites else 0
        order = np.argsort(self.reference[:, axis], kind="stable")
        return np.sort(order[self.team.share(self.n_sites)])

    def _model(self) -> SiteModel:
        """The model in this region's precision on this rank's device, copied only if it is elsewhere."""
        if self._ready is None:
            target = {"dtype": getattr(torch, self.dtype), "device": torch.device(self._device or self.team.device)}
            there = [t for t in (*self.model.parameters(), *self.model.buffers()) if t.is_floating_point()]
            same = all(t.dtype == target["dtype"] and t.device == target["device"] for t in there)
            self._ready = self.model if same else copy.deepcopy(self.model).to(**target)
        return self._ready

    def _edges(self, x: Array, centres: IntArray) -> tuple[Edges, IntArray]:
        """The graph around ``centres`` and the atom (n_nodes,) that each of its nodes is."""
        local = np.full(self.n_dofs, -1, dtype=np.int64)
        local[centres] = np.arange(len(centres))
        nodes, levels = centres, [len(centres)]
        pairs = self.list.pairs(x, centres)
        for hop in range(self.model.layers):
            if hop:
                pairs = self.list.pairs(x, nodes)
            new = np.unique(pairs.j[local[pairs.j] < 0])
            local[new] = len(nodes) + np.arange(len(new))
            nodes = np.concatenate([nodes, new])
            levels.append(len(nodes))
        device = torch.device(self._device or self.team.device)

        def index(a: IntArray) -> torch.Tensor:
            return torch.as_tensor(a, device=device)

        vectors = torch.as_tensor(pairs.vectors).to(device=device, dtype=getattr(torch, self.dtype))
        place = Placement(x[nodes], self.cell, self.pbc, pairs.shift)
        ends, species = (index(local[pairs.i]), index(local[pairs.j])), index(self._species[nodes])
        edges = Edges(vectors, *ends, species, tuple(levels), place)
        return edges, nodes

    def _site_energies(self, edges: Edges) -> torch.Tensor:
        """Site energies in double precision; a rank without sites calls no model."""
        if edges.n_centres == 0:
            return edges.vectors.sum().double() * torch.zeros(0, dtype=torch.float64, device=edges.vectors.device)
        energies: torch.Tensor = self._model()(edges)
        return energies.double()

    def _scatter(self, edges: Edges, nodes: IntArray, g: Array) -> Array:
        """The gradient with respect to positions (n_dofs, 3) of edge gradients (n_edges, 3)."""
        out = np.zeros((self.n_dofs, 3))
        i, j = nodes[edges.centre.cpu().numpy()], nodes[edges.neighbour.cpu().numpy()]
        for axis in range(3):
            out[:, axis] = np.bincount(j, g[:, axis], self.n_dofs) - np.bincount(i, g[:, axis], self.n_dofs)
        return out

    def _hvp(self, edges: Edges, nodes: IntArray, grad: torch.Tensor, v: Array) -> Array:
        i, j = nodes[edges.centre.cpu().numpy()], nodes[edges.neighbour.cpu().numpy()]
        along = torch.as_tensor(v[j] - v[i]).to(grad)
        product = gradient((grad * along).sum(), edges.vectors, again=True)
        return self._scatter(edges, nodes, product.detach().double().cpu().numpy())

    def _check_finite(self, answer: dict[str, Any], centres: IntArray, site: torch.Tensor) -> None:
        """Refuse NaN and infinity, naming the model and the first atom."""
        energies = site.detach().cpu().numpy()
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


def _structure(
    symbols: Sequence[str] | None, positions: ArrayLike | None, cell: ArrayLike | None, pbc: ArrayLike
) -> ase.Atoms:
    if symbols is None or positions is None:
        raise MultiscaleError("MLRegion was given neither atoms nor symbols with positions; give one of the two")
    x = np.array(positions, dtype=float).reshape(-1, 3)
    if len(x) != len(symbols):
        raise MultiscaleError(f"MLRegion was given {len(symbols)} symbols and {len(x)} positions; numbers must agree")
    return ase.Atoms(list(symbols), x, cell=None if cell is None else np.asarray(cell, dtype=float), pbc=pbc)


def gradient(value: torch.Tensor, vectors: torch.Tensor, *, keep: bool = False, again: bool = False) -> torch.Tensor:
    """∂value/∂vectors, or zero; ``keep`` makes it differentiable again, ``again`` only allows another call."""
    if not value.requires_grad:
        return torch.zeros_like(vectors)
    (g,) = torch.autograd.grad(value, vectors, create_graph=keep, retain_graph=keep or again, allow_unused=True)
    return torch.zeros_like(vectors) if g is None else g
