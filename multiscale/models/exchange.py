"""Rows of features that other ranks of the team have computed, within the autograd graph.

    forward:   H = [h_own ; h_ghost],    h_ghost from their owners            X : own → own + ghosts
    backward:  ∂E/∂h_own = g_own + Σ_ranks g_ghost, sent to the owners        Xᵀ: own + ghosts → own

X is linear, and each of the two is the derivative of the other, so that derivatives of any order go through. A rank talks to
those ranks alone with which it shares rows; one that owns nothing talks to nobody and need not be there.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from ..alarm import Alarm
from ..lazy import REMEDIES
from ..types import IntArray, missing
from .transport import Transport

try:
    import torch
except ImportError as error:  # pragma: no cover - torch is a declared dependency of the models
    raise missing("torch", "A site-energy model", REMEDIES["torch"]) from error

#: The first message tag of rows; evaluations have different ones.
_ROWS = 100


class Exchange:
    """The plan of one team's exchanges on one rank.

    Parameters
    ----------
    alarm : Alarm
        Of the team; has its communicator.
    n_own : int
        Rows that this rank computes.
    send : sequence of (rank, rows)
        Which own rows each rank wants, in the order in which it wants them; −1 for a row that is computed nowhere and is zero.
    receive : sequence of (rank, count)
        How many rows come from each rank; they follow the own rows in this order.
    n_nodes : int
        Rows of the graph: own, received, and others, which nobody reads and which are zero.

    Attributes
    ----------
    seconds : float
        Time spent so far, waiting included.
    """

    def __init__(
        self,
        alarm: Alarm,
        n_own: int,
        send: Sequence[tuple[int, IntArray]],
        receive: Sequence[tuple[int, int]],
        n_nodes: int,
    ) -> None:
        self.alarm, self.n_own, self.n_nodes = alarm, n_own, n_nodes
        self._send = [(rank, torch.as_tensor(rows), bool((rows < 0).any())) for rank, rows in send]
        ends = n_own
        self._receive: list[tuple[int, slice]] = []
        for rank, count in receive:
            self._receive.append((rank, slice(ends, ends + count)))
            ends += count
        self.n_known = ends
        self.seconds = 0.0
        self._transport: Transport | None = None

    def complete(self, own: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
        """Features (n_nodes, width) of all nodes, from those (≤ n_own, width) of the first own ones; collective among partners.

        Rows that are missing at the end of ``own`` are zero. Every rank's result depends on ``vectors``, so that every rank's
        backward pass comes through here.
        """
        lacking = self.n_own - len(own)
        if lacking or not own.requires_grad:
            rest = own.new_zeros((lacking, own.shape[1])) + (0.0 * vectors[:1].sum()).to(own.dtype)
            own = torch.cat([own, rest]) if lacking else own + (0.0 * vectors[:1].sum()).to(own.dtype)
        known: torch.Tensor = _Complete.apply(own, self)
        others = self.n_nodes - self.n_known
        return torch.cat([known, known.new_zeros((others, known.shape[1]))]) if others else known

    def forward(self, own: torch.Tensor) -> torch.Tensor:
        """X: own rows (n_own, width), then those of other ranks."""
        start = time.perf_counter()
        full = own.new_empty((self.n_known, *own.shape[1:]))
        full[: self.n_own] = own.detach()
        self._swap(
            own.device,
            [(rank, self._rows(own, rows, holes)) for rank, rows, holes in self._send],
            [(rank, full[rows]) for rank, rows in self._receive],
        )
        self.seconds += time.perf_counter() - start
        return full

    def adjoint(self, full: torch.Tensor) -> torch.Tensor:
        """Xᵀ: own rows (n_own, width) plus what other ranks have in theirs of them."""
        start = time.perf_counter()
        own = full[: self.n_own].detach().clone()
        back = [(rank, own.new_empty((len(rows), *full.shape[1:]))) for rank, rows, _ in self._send]
        self._swap(own.device, [(rank, full[rows]) for rank, rows in self._receive], back)
        # In the order of the ranks: the sum does not depend on who was first.
        for (_, rows, holes), (_, b) in zip(self._send, back, strict=True):
            if holes:
                known = torch.nonzero(rows >= 0).ravel()
                rows, b = rows[known], b[known.to(b.device)]
            own.index_add_(0, rows.to(own.device), b)
        self.seconds += time.perf_counter() - start
        return own

    @staticmethod
    def _rows(own: torch.Tensor, rows: torch.Tensor, holes: bool) -> torch.Tensor:
        out = own.detach().index_select(0, rows.clamp(min=0).to(own.device))
        if holes:
            out[(rows < 0).to(out.device)] = 0.0
        return out

    def _swap(
        self, device: torch.device, outgoing: list[tuple[int, torch.Tensor]], incoming: list[tuple[int, torch.Tensor]]
    ) -> None:
        """Send rows to ranks and receive rows from ranks, all at once."""
        if self._transport is None or self._transport.device != device:
            self._transport = Transport(device)
        transport, comm, tag = self._transport, self.alarm.team.comm, _ROWS + self.alarm.tag
        places = [transport.incoming(rows) for _, rows in incoming]
        requests = [
            comm.Irecv(buffer, source=rank, tag=tag) for (rank, _), (buffer, _) in zip(incoming, places, strict=True)
        ]
        buffers = [transport.outgoing(rows) for _, rows in outgoing]
        requests += [
            comm.Isend(buffer, dest=rank, tag=tag) for (rank, _), buffer in zip(outgoing, buffers, strict=True)
        ]
        if requests:
            self.alarm.wait(lambda: type(requests[0]).Testall(requests))
        for _, arrived in places:
            arrived()


class _Complete(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, own: torch.Tensor, exchange: Exchange) -> torch.Tensor:
        full = exchange.forward(own)
        ctx.exchange = exchange
        ctx.save_for_backward(full)
        return full

    @staticmethod
    def backward(ctx: Any, g: torch.Tensor) -> Any:
        if torch.is_grad_enabled():
            # A second derivative goes back through the same exchanges, on every rank: also where g is a constant.
            (full,) = ctx.saved_tensors
            g = g + full[:0].sum()
        return _Return.apply(g, ctx.exchange), None


class _Return(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, full: torch.Tensor, exchange: Exchange) -> torch.Tensor:
        ctx.exchange = exchange
        return exchange.adjoint(full)

    @staticmethod
    def backward(ctx: Any, g: torch.Tensor) -> Any:
        return _Complete.apply(g, ctx.exchange), None
