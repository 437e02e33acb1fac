"""Several ranks inside one process: every rank is a thread, the sum is a barrier.

For the conformance suite, which must find a coupler or region that depends on the number of ranks without needing ``mpirun``. Real
MPI is exercised by the project's own tests.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ..ranks import World
from ..types import Array

T = TypeVar("T")


class _Board:
    """Where threads put their values and read everyone's."""

    def __init__(self, size: int):
        self.barrier = threading.Barrier(size, timeout=60)
        self.values: list[Any] = [None] * size

    def exchange(self, rank: int, value: Any) -> list[Any]:
        self.values[rank] = value
        self.barrier.wait()
        everyone = list(self.values)
        self.barrier.wait()
        return everyone


class ThreadWorld(World):
    """One of several ranks that are threads of this process."""

    def __init__(self, rank: int, size: int, board: _Board):
        super().__init__(rank, size, None)
        object.__setattr__(self, "board", board)

    def _all(self, value: Any) -> list[Any]:
        return self.board.exchange(self.rank, value)  # type: ignore[attr-defined]

    def barrier(self) -> None:
        """Wait for every thread."""
        self._all(None)

    def bcast(self, value: Any, root: int = 0) -> Any:
        """The root's value."""
        return self._all(value)[root]

    def gather(self, value: Any) -> list[Any] | None:
        """All values on rank 0."""
        everyone = self._all(value)
        return everyone if self.rank == 0 else None

    def sum(self, share: Array) -> Array:
        """The sum in rank order, the same on every thread."""
        everyone = self._all(share.copy())
        total = everyone[0].copy()
        for piece in everyone[1:]:
            total += piece
        return total

    def allreduce_max(self, value: float) -> float:
        """The largest value."""
        return max(self._all(value))

    def failures(self, error: BaseException | None) -> list[tuple[int, str]]:
        """Who failed, and how."""
        return [(k, str(e)) for k, e in enumerate(self._all(error)) if e is not None]

    def split(self, members: Sequence[int]) -> Any:
        """Threads have no communicators; regions that need one are not examined this way."""
        return None

    def local_rank(self) -> int:
        """All threads are on this node."""
        return self.rank


def on_ranks(size: int, work: Callable[[World], T]) -> list[T]:
    """Run ``work(world)`` on ``size`` ranks at once and return every rank's result; the first error is raised."""
    board = _Board(size)
    results: list[Any] = [None] * size
    errors: list[BaseException] = []

    def run(rank: int) -> None:
        try:
            results[rank] = work(ThreadWorld(rank, size, board))
        except BaseException as e:
            errors.append(e)
            board.barrier.abort()

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    real = [e for e in errors if not isinstance(e, threading.BrokenBarrierError)]
    if real or errors:
        raise (real or errors)[0]
    return results
