"""Array aliases, units and the team of ranks that evaluates one region.

Units are ASE's throughout: energy in eV, length in Å, mass in amu, force in eV/Å, stress in eV/Å³
(or the virial in eV where a region has no volume of its own).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

#: 1 eV/Å³ in GPa.
GPA_PER_EV_A3 = 160.21766208
#: 1 eV/Å² in J/m².
J_M2_PER_EV_A2 = 16.021766208
#: 1 eV/Å³·√Å in MPa·√m  (1 GPa·√Å = 0.01 MPa·√m).
MPA_SQRT_M_PER_EV_A25 = GPA_PER_EV_A3 * 0.01


@dataclass(frozen=True)
class Team:
    """The ranks that evaluate one region together.

    Attributes
    ----------
    rank, size : int
        This rank's number within the team, and the number of ranks in it.
    comm : object or None
        The team's communicator (an ``mpi4py`` one), or None when one process works alone.
    device : str
        The device this rank computes on, in torch's notation: ``"cpu"``, ``"cuda:0"``.
    """

    rank: int = 0
    size: int = 1
    comm: Any = None
    device: str = "cpu"

    def share(self, n: int) -> slice:
        """The contiguous piece of ``range(n)`` that this rank works on; pieces differ by at most one."""
        return slice(self.rank * n // self.size, (self.rank + 1) * n // self.size)


class MultiscaleError(Exception):
    """An error whose message says what was given, what is needed and what to do."""


class Abandoned(MultiscaleError):
    """Another rank failed in the middle of what several do together; the message is that rank's."""


class MissingPackage(MultiscaleError, ImportError):
    """An optional package that a region needs is not installed."""


def missing(package: str, purpose: str, remedy: str) -> MissingPackage:
    """The one way to say that a package is not there: what needs it and how to get it."""
    return MissingPackage(f"{purpose} needs the package '{package}', which cannot be imported here; {remedy}")
