"""Groups of shared dofs that change their description together: molecules, or single atoms.

    X_g = Σ_a m_a q_a / Σ_a m_a            the point that stands for group g: its centre of mass, or one chosen atom
    q_a ← (m_a / Σ m) v_g                  the adjoint: what acts on the point acts on the members

Adaptive partitioning gives each group one probability P_g = s(d(X_g)/width) and describes every subset of the groups in the zone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .types import Array, BoolArray, IntArray, MultiscaleError


@dataclass(frozen=True)
class Groups:
    """Disjoint groups of shared dofs, each with a point that stands for it.

    Attributes
    ----------
    members : tuple of tuples of int
        The shared dofs of each group. In a periodic cell a group must be whole: its members side by side in q.
    shares : tuple of tuples of float
        How much each member counts in the group's point; each group's shares sum to one. Equal shares unless given; see
        :meth:`by_mass` and :meth:`by_first`.

    Examples
    --------
    >>> dimers = Groups.by_mass([(0, 1), (2, 3)], [1.0, 3.0, 1.0, 1.0])
    >>> dimers.centres(np.array([[0.0, 0, 0], [4.0, 0, 0], [5.0, 0, 0], [7.0, 0, 0]]))[:, 0]
    array([3., 6.])
    """

    members: tuple[tuple[int, ...], ...]
    shares: tuple[tuple[float, ...], ...] = ()

    def __post_init__(self) -> None:
        if not self.shares:
            object.__setattr__(self, "shares", tuple((1.0 / max(len(m), 1),) * len(m) for m in self.members))
        flat = [k for m in self.members for k in m]
        if not self.members or min(len(m) for m in self.members) == 0 or len(set(flat)) < len(flat):
            raise MultiscaleError(
                f"groups need disjoint, non-empty members, got {len(self.members)} groups of {len(flat)} dofs, {len(set(flat))} of them "
                "different; name every shared dof in one group at most"
            )
        if min(flat) < 0:
            raise MultiscaleError(
                f"groups name the shared dof {min(flat)}, but dofs are counted from 0; give numbers of 0 or more"
            )
        if len(self.shares) != len(self.members):
            raise MultiscaleError(
                f"{len(self.members)} groups were given the shares of {len(self.shares)}; give every group its own, or use Groups.by_mass "
                "or Groups.by_first"
            )
        fits = [len(m) == len(s) and abs(sum(s) - 1.0) < 1e-9 for m, s in zip(self.members, self.shares, strict=True)]
        if not all(fits):
            raise MultiscaleError(
                f"the shares of group {fits.index(False)} must be one number per member and sum to one; use Groups.by_mass or "
                "Groups.by_first"
            )

    @classmethod
    def by_mass(cls, members: Iterable[Sequence[int]], masses: Array | Sequence[float]) -> Groups:
        """Groups at their centres of mass; ``masses`` (n_q,) in amu."""
        groups = tuple(tuple(int(k) for k in m) for m in members)
        m = np.asarray(masses, dtype=float)
        outside = [k for g in groups for k in g if not 0 <= k < len(m)]
        if outside:
            raise MultiscaleError(
                f"groups name the shared dof {outside[0]}, but there are masses of {len(m)}; give one mass for every shared "
                "dof, and numbers between 0 and the last of them"
            )
        shares = tuple(tuple((m[list(g)] / m[list(g)].sum()).tolist()) for g in groups)
        return cls(groups, shares)

    @classmethod
    def by_first(cls, members: Iterable[Sequence[int]]) -> Groups:
        """Groups at their first member: the oxygen of a water molecule, say."""
        groups = tuple(tuple(int(k) for k in m) for m in members)
        return cls(groups, tuple((1.0,) + (0.0,) * (len(g) - 1) for g in groups))

    @cached_property
    def _flat(self) -> tuple[IntArray, IntArray, Array]:
        """Members, their groups and their shares, one after the other."""
        dofs = np.array([k for m in self.members for k in m], dtype=np.int64)
        owner = np.repeat(np.arange(len(self.members)), [len(m) for m in self.members])
        return dofs, owner, np.array([s for group in self.shares for s in group])

    def within(self, dofs: IntArray, n_q: int) -> BoolArray:
        """Whether all members of each group are among the shared dofs ``dofs``; (n_groups,)."""
        members, owner, _ = self._flat
        mask = np.zeros(n_q, dtype=bool)
        mask[dofs] = True
        complete: BoolArray = np.bincount(owner[~mask[members]], minlength=len(self.members)) == 0
        return complete

    def centres(self, q: Array) -> Array:
        """The groups' points (n_groups, 3), Å."""
        dofs, owner, share = self._flat
        out = np.zeros((len(self.members), 3))
        np.add.at(out, owner, share[:, None] * q[dofs])
        return out

    def pull(self, v: Array, n_q: int) -> Array:
        """The adjoint of :meth:`centres`: (n_groups, 3) to (n_q, 3)."""
        dofs, owner, share = self._flat
        out = np.zeros((n_q, 3))
        out[dofs] = share[:, None] * v[owner]
        return out


def subset_name(prefix: str, subset: Iterable[int]) -> str:
    """The name of the region that describes a core and a subset of the groups.

    Examples
    --------
    >>> subset_name("qm", (7, 3)), subset_name("qm", ())
    ('qm[3,7]', 'qm[]')
    """
    return f"{prefix}[{','.join(str(k) for k in sorted(subset))}]"


def subset_of(prefix: str, name: str) -> tuple[int, ...] | None:
    """The subset that a region's name stands for, or None for other names; the inverse of :func:`subset_name`."""
    inside = name[len(prefix) + 1 : -1]
    if name != f"{prefix}[{inside}]" or not all(k.isdigit() for k in inside.split(",") if inside):
        return None
    return tuple(int(k) for k in inside.split(",")) if inside else ()
