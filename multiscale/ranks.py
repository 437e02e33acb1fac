"""The ranks of this run. The only file, besides those of the continuum, that knows of MPI.

    additive shares:  the sum over ranks is the answer

A process that no MPI launcher has started is a world of one rank and needs no ``mpi4py``.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from .region import Region
from .types import Array, MultiscaleError, Team

#: What launchers leave in the environment, and the number of ranks where they say it.
LAUNCHERS = {
    "OMPI_COMM_WORLD_SIZE": "OMPI_COMM_WORLD_SIZE",
    "PMI_RANK": "PMI_SIZE",
    "PMIX_RANK": "PMIX_SIZE",
    "MPI_LOCALRANKID": "PMI_SIZE",
    "SLURM_STEP_NUM_TASKS": "SLURM_STEP_NUM_TASKS",
}


@dataclass(frozen=True)
class World:
    """All ranks of this run.

    Attributes
    ----------
    rank, size : int
        This rank's number, and the number of ranks.
    comm : object or None
        The ``mpi4py`` communicator, or None in a serial run.

    Examples
    --------
    >>> World().allreduce_max(2.5)
    2.5
    """

    rank: int = 0
    size: int = 1
    comm: Any = None

    def barrier(self) -> None:
        """Wait until every rank has come here."""
        if self.comm is not None:
            self.comm.Barrier()

    def bcast(self, value: Any, root: int = 0) -> Any:
        """The root's value, on every rank (pickled: small objects only)."""
        return value if self.comm is None else self.comm.bcast(value, root=root)

    def gather(self, value: Any) -> list[Any] | None:
        """Every rank's value, in rank order, on rank 0; None on the others."""
        return [value] if self.comm is None else self.comm.gather(value, root=0)

    def allreduce_max(self, value: float) -> float:
        """The largest of the ranks' values, on every rank."""
        if self.comm is None:
            return value
        return max(self.comm.allgather(float(value)))

    def sum(self, share: Array) -> Array:
        """Σ_ranks share (float64), complete on every rank.

        Reduced on rank 0 and broadcast: an all-reduce may round differently on different ranks, and replicated
        positions would drift apart.
        """
        if self.comm is None:
            return share
        total = np.empty_like(share)
        self.comm.Reduce(np.ascontiguousarray(share), total if self.rank == 0 else None, root=0)
        self.comm.Bcast(total, root=0)
        return total

    def failures(self, error: BaseException | None) -> list[tuple[int, str]]:
        """(rank, message) of every rank that hands in an error, the same list on every rank; collective."""
        said = None
        if error is not None:
            said = str(error) if isinstance(error, MultiscaleError) else f"{type(error).__name__}: {error}"
        everyone = [said] if self.comm is None else self.comm.allgather(said)
        return [(rank, text) for rank, text in enumerate(everyone) if text is not None]

    def split(self, members: Sequence[int]) -> Any:
        """A communicator of the given ranks (None on the others, or in a serial run); collective."""
        if self.comm is None:
            return None
        inside = self.rank in members
        comm = self.comm.Split(0 if inside else 1, self.rank)
        return comm if inside else None

    def local_rank(self) -> int:
        """This rank's number on its node, the right one for choosing a GPU; collective."""
        if self.comm is None:
            return 0
        node = socket.gethostname()
        return sum(name == node for name in self.comm.allgather(node)[: self.rank])

    def abort(self, code: int = 1) -> None:
        """End every rank at once, without waiting for any of them; a serial run ends by itself."""
        if self.comm is not None:
            self.comm.Abort(code)


def launched() -> int:
    """How many ranks the launcher says it has started: 1 without a launcher, 0 when it does not say."""
    for mark, size in LAUNCHERS.items():
        if mark in os.environ:
            return int(os.environ.get(size) or 0)
    return 1


def world() -> World:
    """All ranks of this run; serial, and without ``mpi4py``, unless an MPI launcher started more than one process.

    Raises
    ------
    MultiscaleError
        When several processes were started and ``mpi4py`` is missing or belongs to another MPI: each process would take
        itself for the whole run and they would overwrite one another's files.
    """
    expected = launched()
    if expected == 1:
        return World()
    try:
        # Here and not at the top: importing it starts MPI, which a serial run neither needs nor may have.
        from mpi4py import MPI
    except ImportError as error:
        raise MultiscaleError(
            f"this process is one of {expected or 'several'} that an MPI launcher started, but mpi4py cannot be imported "
            f"({error}); install the build that belongs to this MPI ('make setup'), or start one process without mpirun"
        ) from error
    comm = MPI.COMM_WORLD
    if expected not in (0, comm.size):
        raise MultiscaleError(
            f"the launcher started {expected} processes, but mpi4py sees {comm.size}: it is built with another MPI than "
            "the launcher's; use the mpirun of that MPI (scripts/mpi.sh does)"
        )
    if comm.size > 1:
        _abort_on_exceptions()
    return World(comm.rank, comm.size, comm)


@lru_cache(maxsize=1)
def _abort_on_exceptions() -> None:
    """Let an exception that nobody catches end all ranks; once per process.

    ``python -m mpi4py`` means to do this at exit, but once PETSc is initialised its collective clean-up comes first and waits for
    the ranks that still work.
    """
    comm, previous = sys.modules["mpi4py.MPI"].COMM_WORLD, sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        previous(kind, error, trace)
        sys.stdout.flush()
        sys.stderr.flush()
        comm.Abort(1)

    sys.excepthook = hook


class Ranks:
    """Which ranks evaluate which region.

    Parameters
    ----------
    shares : mapping of region name to sequence of ranks, optional
        Regions that it does not name go by the default. A rank may serve several regions, one after another.
    world : World, optional
        By default all ranks of this run.

    Notes
    -----
    The default gives every total-energy region of infinite reach (a quantum cluster, which one process evaluates) a rank of its
    own, from the last rank down, as long as one is left for the others; the others share all remaining ranks. With
    fewer ranks than regions, regions share ranks. One rank needs no MPI.

    Examples
    --------
    >>> Ranks({"qm": [0]}, World()).members(["qm", "ml"], quantum=["qm"])
    {'qm': (0,), 'ml': (0,)}
    """

    def __init__(self, shares: Mapping[str, Sequence[int]] | None = None, world: World | None = None):
        self.shares = {name: tuple(int(r) for r in ranks) for name, ranks in (shares or {}).items()}
        self.world = world if world is not None else _world()

    def members(self, names: Sequence[str], quantum: Sequence[str] = ()) -> dict[str, tuple[int, ...]]:
        """The ranks of every region; ``quantum`` names those that want a rank to themselves."""
        size = self.world.size
        for name, ranks in self.shares.items():
            if name not in names:
                raise MultiscaleError(f"ranks are given for region '{name}', but the regions are {sorted(names)}")
            if not ranks or min(ranks) < 0 or max(ranks) >= size or len(set(ranks)) != len(ranks):
                raise MultiscaleError(
                    f"region '{name}' needs distinct ranks between 0 and {size - 1}, got {list(ranks)}"
                )
        alone = [n for n in quantum if n not in self.shares]
        taken = min(len(alone), size - 1)
        own = {name: (size - 1 - k % taken,) if taken else (0,) for k, name in enumerate(alone)}
        others = tuple(range(size - taken))
        return {n: self.shares.get(n) or own.get(n) or others for n in names}

    def teams(self, regions: Mapping[str, Region]) -> dict[str, Team | None]:
        """This rank's team for every region, or None where it takes no part; collective."""
        quantum = [n for n, r in regions.items() if r.discrete and not np.isfinite(r.reach)]
        members = self.members(list(regions), quantum)
        comms = {ranks: self.world.split(ranks) for ranks in dict.fromkeys(members.values())}
        local, rank = self.world.local_rank(), self.world.rank
        return {
            name: Team(ranks.index(rank), len(ranks), comms[ranks], device(local)) if rank in ranks else None
            for name, ranks in members.items()
        }


_world = world


def device(local_rank: int = 0) -> str:
    """The device of a rank by its number on the node: ``"cuda:k"`` with GPUs dealt out in turn, else ``"cpu"``.

    Asks torch only where a region has imported it already; a program without torch computes on the CPU.
    """
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return "cpu"
    return f"cuda:{local_rank % torch.cuda.device_count()}"
