"""What a loading of si_crack ends with, and what its parts are called."""

from __future__ import annotations

from multiscale.drive import Step
from multiscale.fracture.hybrid import HybridCrack
from multiscale.types import Array

#: What a loading ends with where relaxation finds no equilibrium.
LOST = "no equilibrium found"
#: Å; a bond that was whole and is this long will not close again, and the way on to the next equilibrium need not be gone.
GONE = 3.6


def listed(members: str) -> list[int]:
    """The committee's members in a setting such as "0, 1"."""
    return [int(m) for m in str(members).split(",") if m.strip()]


def title(what: str, member: int, first: int) -> str:
    """The name of a loading; the first member's needs no number."""
    return what if member == first else f"{what}, member {member}"


def happened(states: list[Step]) -> bool:
    """Whether a loading ended with an event."""
    return len(states) > 1 and states[-1].event != states[-2].event


def reached(crack: HybridCrack, states: list[Step]) -> float:
    """K/K_G at which a bond broke, NaN if none did or no equilibrium was found."""
    broke = happened(states) and states[-1].event != LOST
    return states[-1].load / crack.material.K_griffith if broke else float("nan")


class Gone:
    """Whether a bond that was whole in the first relaxed state has become longer than ``GONE``.

    Parameters
    ----------
    crack : HybridCrack
    """

    def __init__(self, crack: HybridCrack):
        self.watch, self.n, self.whole = crack.watch(), crack.n_free, None

    def begin(self, q: Array) -> None:
        """The first relaxed state (n_q, 3); before it is known, nothing is gone."""
        self.whole = ~self.watch.broken(q[: self.n])

    def __call__(self, q: Array) -> bool:
        """At q (n_q, 3)."""
        return self.whole is not None and bool((self.watch.lengths(q[: self.n])[self.whole] > GONE).any())
