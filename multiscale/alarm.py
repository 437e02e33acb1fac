"""What a rank that fails in the middle of an evaluation tells those of its team that would wait for it.

    every wait:   all messages through?   else: has somebody failed?   →   Abandoned, with that rank's own sentence

Each evaluation has its own tag, so that what a failed one left unread is not taken for the next one's.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from .types import Abandoned, Team

#: Message tags, of which every MPI has 32 767: this many evaluations, then the numbers are used again.
_FIRST, _CYCLE = 16100, 16000


#: Where there are more ranks than cores, whoever waits lets the others work; macOS has no such call.
_give_way: Callable[[], None] = getattr(os, "sched_yield", lambda: None)


class Alarm:
    """The failures of one team.

    Parameters
    ----------
    team : Team
        One without a communicator has nobody to tell.

    Attributes
    ----------
    number : int
        Of the present evaluation, the same on every rank of the team.
    """

    def __init__(self, team: Team) -> None:
        self.team, self.number = team, 0
        self._open = False
        self._told: Exception | None = None

    @property
    def tag(self) -> int:
        """The number of the evaluation as it fits into a message tag: below 16 000."""
        return self.number % _CYCLE

    def begin(self) -> None:
        """An evaluation starts."""
        self.number += 1
        self._open = True

    def end(self) -> None:
        """It is over; nobody waits for this rank."""
        self._open = False

    def tell(self, error: Exception, spoken: Callable[[Exception], str]) -> None:
        """This rank has failed: in this evaluation, or on its way into the next one. Says every error once."""
        if error is self._told or self.team.comm is None:
            return
        self._told = error
        if not self._open:
            self.begin()
        self._open = False
        text = str(error)
        if not isinstance(error, Abandoned):
            text = f"{spoken(error)} (member {self.team.rank} of the region's {self.team.size})"
        others = (rank for rank in range(self.team.size) if rank != self.team.rank)
        # Kept alive: they are small and go out at once, but nobody waits for them.
        self._sentences = [self.team.comm.isend(text, dest=rank, tag=_FIRST + self.tag) for rank in others]

    def listen(self) -> None:
        """Raise what another rank said.

        Raises
        ------
        Abandoned
        """
        comm = self.team.comm
        if comm.iprobe(tag=_FIRST + self.tag):
            raise Abandoned(comm.recv(tag=_FIRST + self.tag))

    def wait(self, done: Callable[[], Any]) -> None:
        """Wait until ``done``, or until another rank says that it has failed."""
        while not done():
            self.listen()
            _give_way()

    def meet(self) -> None:
        """Wait until every rank of the team is here: what they do together next, all of them do."""
        if self.team.comm is not None:
            self.wait(self.team.comm.Ibarrier().Test)
