"""The ranks of this run, their teams and their devices. The only file, besides those of the continuum, that knows of MPI.

    additive shares:  the sum over ranks is the answer

Disjoint teams evaluate at the same time: each rank does its own regions' shares, and comes to the one sum when it is done.
A process that no MPI launcher has started is a world of one rank and needs no ``mpi4py``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from .devices import device as device
from .devices import gpu_aware as gpu_aware
from .devices import occupy, visible
from .region import Region
from .shares import Suggestion, suggested
from .types import Abandoned, Array, MultiscaleError, Team

if TYPE_CHECKING:
    from .model import HybridModel

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
        """(rank, message) of every rank that hands in an error, the same list on every rank; collective.

        Ranks that were told of another one's failure come last: the first one of the list is where it began.
        """
        said = None
        if error is not None:
            text = str(error) if isinstance(error, MultiscaleError) else f"{type(error).__name__}: {error}"
            said = isinstance(error, Abandoned), text
        everyone = [said] if self.comm is None else self.comm.allgather(said)
        found = sorted((entry[0], rank, entry[1]) for rank, entry in enumerate(everyone) if entry is not None)
        return [(rank, text) for _, rank, text in found]

    def split(self, members: Sequence[int]) -> Any:
        """A communicator of the given ranks (None on the others, or in a serial run); collective."""
        if self.comm is None:
            return None
        inside = self.rank in members
        comm = self.comm.Split(0 if inside else 1, self.rank)
        return comm if inside else None

    def on_node(self, value: Any) -> tuple[list[Any], int]:
        """The values of all ranks of this rank's node, and this rank's number among them; collective.

        Ranks that can share memory are on one node: host names may be equal elsewhere, as in containers.
        """
        if self.comm is None:
            return [value], 0
        node = self.comm.Split_type(sys.modules["mpi4py.MPI"].COMM_TYPE_SHARED, self.rank)
        everyone, number = node.allgather(value), node.rank
        node.Free()
        return everyone, number

    def local_rank(self) -> int:
        """This rank's number on its node; collective."""
        return self.on_node(None)[1]

    def turn(self) -> int:
        """This rank's number among those of its node that see the same GPUs, for :func:`device`; collective."""
        seen, number = self.on_node(visible())
        return sum(s == seen[number] for s in seen[:number])

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
        members = self.of(regions)
        comms = {ranks: self.world.split(ranks) for ranks in dict.fromkeys(members.values())}
        place, rank = device(self.world.turn()), self.world.rank
        if any(rank in members[name] for name, region in regions.items() if region.discrete):
            # Ranks of a mesh alone leave the GPUs to the others.
            occupy(place)
        return {
            name: Team(ranks.index(rank), len(ranks), comms[ranks], place) if rank in ranks else None
            for name, ranks in members.items()
        }

    def of(self, regions: Mapping[str, Region]) -> dict[str, tuple[int, ...]]:
        """The ranks of every region."""
        quantum = [n for n, r in regions.items() if r.discrete and not np.isfinite(r.reach)]
        return self.members(list(regions), quantum)

    @staticmethod
    def suggest(
        model: HybridModel,
        q: ArrayLike | None = None,
        repeats: int = 3,
        efficiency: Mapping[str, float] | None = None,
    ) -> Suggestion:
        """Measure what a model's regions cost, and propose shares that make its slowest rank as fast as can be; collective.

        Parameters
        ----------
        model : HybridModel
            Bound to this run's ranks in any way. It is evaluated ``repeats`` + 1 times, and its counters go on.
        q : (n_q, 3) array, optional
            Å; the state to measure at, its reference unless given. Positions are moved by up to 0.005 Å from one evaluation to the
            next, as a step of a driver does.
        repeats : int
            Evaluations whose median counts.
        efficiency : mapping of region to float, optional
            Parallel efficiency η (0 < η ≤ 1) of regions on more than one rank, where one has been measured.

        Returns
        -------
        Suggestion
            The same on every rank: times are collected on rank 0.

        Notes
        -----
        It assumes that ranks are equally fast, that a region's time does not depend on which others run beside it, and that a
        divisible region scales perfectly but for its ``efficiency``. A region that says that it is not
        :attr:`~multiscale.region.Region.divisible` gets one rank. Regions that are not asked at ``q`` keep the ranks they have. The
        method is that of :mod:`multiscale.shares`.

        Raises
        ------
        MultiscaleError
            For an efficiency outside (0, 1] or of a region that is not there, or no repeats.
        """
        world = model.ranks.world
        return suggested(model, q, repeats, efficiency or {}, lambda shares: Ranks(shares, world))


_world = world
