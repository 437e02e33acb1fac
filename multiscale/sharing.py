"""Partitions that share matter and interface separately.

    matter       Σ_{r in bodies} w_r = 1
    interface    Σ_{r in what acts across} w_r = 1       its own partition, along the interface

An interface between bodies is no matter: what acts across it is counted by the atoms that see each other or by a cohesive law, while the
bodies are counted all along. :attr:`Partition.groups` says which regions' weights add up to one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import final

import numpy as np

from .partition import Partition
from .shapes import Shape
from .types import Array, MultiscaleError


@final
class Everything(Partition):
    """One region counts all there is, or several each count all of their own kind.

    Parameters
    ----------
    region : str
    """

    frame = "reference"

    def __init__(self, region: str) -> None:
        self.regions = (region,)

    def __call__(self, X: Array, q: Array | None = None) -> dict[str, tuple[Array, Array]]:
        """Ones."""
        return {self.regions[0]: (np.ones(len(X)), np.zeros((len(X), 3)))}


@final
class Separately(Partition):
    """Several partitions side by side, each of its own kind of thing.

    Parameters
    ----------
    *parts : Partition
        With different regions, in one frame.

    Examples
    --------
    >>> from multiscale import Cylinder, Nested
    >>> along = Nested([("across", Cylinder((0, 0, 0), 5.0), 8.0)], rest="law")
    >>> Separately(Everything("bodies"), along).groups
    (('bodies',), ('across', 'law'))
    """

    def __init__(self, *parts: Partition) -> None:
        names = [r for p in parts for r in p.regions]
        if len(parts) < 2 or len(set(names)) != len(names):
            raise MultiscaleError(
                f"partitions go side by side if there are two or more of different regions, got regions {names}; use one partition for "
                "what is shared"
            )
        frames = {p.frame for p in parts}
        if len(frames) > 1:
            raise MultiscaleError("partitions side by side need one frame, got both 'reference' and 'current'")
        self.parts, self.frame = tuple(parts), parts[0].frame
        self.regions = tuple(names)

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """Theirs."""
        return tuple(g for p in self.parts for g in p.groups)

    @property
    def zones(self) -> dict[str, tuple[Shape, float]]:
        """Theirs."""
        return {k: v for p in self.parts for k, v in p.zones.items()}

    @property
    def rides_on_seeds(self) -> bool:
        """Whether any does."""
        return any(p.rides_on_seeds for p in self.parts)

    def __call__(self, X: Array, q: Array | None = None) -> dict[str, tuple[Array, Array]]:
        """The weights of all of them."""
        return {k: v for p in self.parts for k, v in p(X, q).items()}

    def pull_seeds(self, X: Array, q: Array, cotangents: Mapping[str, Array]) -> Array:
        """The sum of theirs."""
        return np.asarray(sum(p.pull_seeds(X, q, cotangents) for p in self.parts))


@final
class Alike(Partition):
    """A partition and further regions, each with the weight of one of its own, of which it is another side.

    Atoms that see each other across an interface (``full``) give way to bodies alone (``apart``) *and* a law: the law has the weight of the
    bodies alone, ``Alike(Nested([("full", shape, width)], rest="apart"), {"law": "apart"})``.

    Parameters
    ----------
    partition : Partition
    like : mapping of name to name
        New region to the one whose weight it has.
    """

    def __init__(self, partition: Partition, like: Mapping[str, str]) -> None:
        unknown = [v for v in like.values() if v not in partition.regions]
        if unknown or set(like) & set(partition.regions) or not like:
            raise MultiscaleError(
                f"regions are like others of the partition {partition.regions}, under new names; got {dict(like)}"
            )
        self.partition, self.like, self.frame = partition, dict(like), partition.frame
        self.regions = (*partition.regions, *like)

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """The partition's, and once more with each new region in the place of the one that it is like."""
        base: Sequence[tuple[str, ...]] = self.partition.groups
        more = [tuple(new if r == old else r for r in g) for new, old in self.like.items() for g in base if old in g]
        return (*base, *more)

    @property
    def zones(self) -> dict[str, tuple[Shape, float]]:
        """The partition's."""
        return self.partition.zones

    @property
    def rides_on_seeds(self) -> bool:
        """Whether the partition does."""
        return self.partition.rides_on_seeds

    def __call__(self, X: Array, q: Array | None = None) -> dict[str, tuple[Array, Array]]:
        """The partition's weights, some of them twice."""
        out = self.partition(X, q)
        return out | {new: out[old] for new, old in self.like.items()}

    def pull_seeds(self, X: Array, q: Array, cotangents: Mapping[str, Array]) -> Array:
        """The partition's, of the sums."""
        total = {r: np.asarray(c, dtype=float).copy() for r, c in cotangents.items() if r in self.partition.regions}
        for new, old in self.like.items():
            if new in cotangents:
                total[old] = total.get(old, 0.0) + np.asarray(cotangents[new], dtype=float)
        return self.partition.pull_seeds(X, q, total)
