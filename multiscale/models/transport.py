"""What MPI is handed of a tensor: the tensor's own memory, or a copy of it in host memory.

    CPU, or GPU with a GPU-aware MPI      the tensor itself; on a GPU, once the kernels that write it have ended
    GPU otherwise                         pinned host memory, which the GPU copies from and to by itself

Nothing here knows what is sent, or to whom.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..devices import gpu_aware
from ..lazy import REMEDIES
from ..types import missing

try:
    import torch
except ImportError as error:  # pragma: no cover - torch is a declared dependency of the models
    raise missing("torch", "A site-energy model", REMEDIES["torch"]) from error


class Transport:
    """How tensors of one device get to MPI and back.

    Parameters
    ----------
    device : torch.device
        Where the tensors are.
    direct : bool, optional
        Whether MPI takes memory of that device; what :func:`multiscale.devices.gpu_aware` says unless given, always on the CPU.

    Examples
    --------
    >>> ghosts = torch.zeros(3, 2)
    >>> buffer, arrived = Transport(ghosts.device).incoming(ghosts[1:])
    >>> buffer[:] = 7.0  # MPI does this: comm.Irecv(buffer, ...)
    >>> arrived()
    >>> ghosts[:, 0].tolist()
    [0.0, 7.0, 7.0]
    """

    def __init__(self, device: torch.device, direct: bool | None = None) -> None:
        self.device = torch.device(device)
        if direct is None:
            direct = self.device.type == "cpu" or gpu_aware()
        self.direct = direct

    def outgoing(self, rows: torch.Tensor) -> Any:
        """A buffer with the rows, contiguous, to be kept until they are sent."""
        rows = rows.detach().contiguous()
        if self.direct:
            return self._own(rows)
        staged = self._host(rows)
        staged.copy_(rows)  # returns when it has ended
        return staged.numpy()

    def incoming(self, rows: torch.Tensor) -> tuple[Any, Callable[[], None]]:
        """A buffer to receive contiguous ``rows`` in, and what to call when they have arrived."""
        rows = rows.detach()
        if self.direct:
            return self._own(rows), _nothing
        staged = self._host(rows)

        def arrived() -> None:
            rows.copy_(staged)

        return staged.numpy(), arrived

    def _own(self, rows: torch.Tensor) -> Any:
        if self.device.type == "cpu":
            return rows.numpy()
        # MPI knows no streams: what it reads must have been written, and nobody may still be writing what it writes.
        torch.cuda.current_stream(self.device).synchronize()
        return rows

    def _host(self, rows: torch.Tensor) -> torch.Tensor:
        return torch.empty(rows.shape, dtype=rows.dtype, pin_memory=self.device.type == "cuda")


def _nothing() -> None:
    pass
