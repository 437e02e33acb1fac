"""Partitions of unity: how much each region counts each piece of matter.

    Σ_r w_r(X) = 1 at every point X, by construction
    nested:  w_1 = s(d_1/b_1),   w_2 = (1 − w_1) s(d_2/b_2),   …,   w_last = Π_k (1 − s(d_k/b_k))

with d_k the distance to the k-th core set and b_k the width of its switching zone. In the *reference* frame the weights
belong to the material and never change; in the *current* frame they belong to space (or ride on seed dofs), and the forces gain the
term −Σ_r e_r ∇w_r, see :mod:`multiscale.interface`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Literal, final

import numpy as np

from .shapes import Shape
from .switching import Quintic, Switch
from .types import Array, IntArray, MultiscaleError

Frame = Literal["reference", "current"]
#: Weights per region, the points that have gradients, and the gradients there.
Compact = tuple[dict[str, Array], IntArray, dict[str, Array]]


class Partition(ABC):
    """Weights of regions at points.

    Attributes
    ----------
    regions : tuple of str
        The names of the regions that share the matter.
    frame : {"reference", "current"}
        Whether points are material points or places in space.
    """

    regions: tuple[str, ...]
    frame: Frame

    @abstractmethod
    def __call__(self, X: Array, q: Array | None = None) -> dict[str, tuple[Array, Array]]:
        """Weights (n,) and their gradients (n, 3) in 1/Å, per region, at the points X (n, 3)."""

    def compact(self, X: Array, q: Array | None = None) -> Compact:
        """The same as weights (n,) per region, the numbers (m,) of the points with any gradient, and gradients (m, 3) per region there.

        Large systems have few atoms in the zone; a partition that knows them saves the others' zeros.
        """
        shares = self(X, q)
        return {r: w for r, (w, _) in shares.items()}, np.arange(len(X)), {r: g for r, (_, g) in shares.items()}

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """Regions whose weights add up to one: all of them, unless matter and interface are shared separately."""
        return (self.regions,)

    @property
    def local(self) -> bool:
        """Whether weights at some of the points cost only their part; see :class:`~multiscale.shapes.Shape`."""
        return False

    def pull_seeds(self, X: Array, q: Array, cotangents: Mapping[str, Array]) -> Array:
        """Σ_r Σ_n cotangent_rn ∂w_r(X_n)/∂q for weights that ride on seed dofs; (n_q, 3)."""
        return np.zeros_like(q)

    @property
    def zones(self) -> dict[str, tuple[Shape, float]]:
        """Core set and width of each switching zone, where the partition has such; for checks and pictures."""
        return {}

    @property
    def rides_on_seeds(self) -> bool:
        """Whether the weights depend on dofs other than the point itself."""
        return False


@final
class Nested(Partition):
    """Regions nested inside one another, innermost first.

    Parameters
    ----------
    levels : sequence of (name, shape, width)
        Inner levels: the region's name, its core set, and the width (Å) of the zone over which it gives way to
        the next level. Width 0 is a sharp step (only in the reference frame).
    rest : str
        The region that takes everything outside.
    switch : Switch
        Quintic by default.
    frame : {"reference", "current"}

    Examples
    --------
    >>> from multiscale.shapes import Sphere
    >>> p = Nested([("qm", Sphere((0, 0, 0), 4.0), 3.0)], rest="ml")
    >>> w = p(np.array([[5.5, 0.0, 0.0]]))
    >>> float(w["qm"][0][0]), float(w["ml"][0][0])
    (0.5, 0.5)
    """

    def __init__(
        self,
        levels: Sequence[tuple[str, Shape, float]],
        rest: str,
        switch: Switch | None = None,
        frame: Frame = "reference",
    ):
        self.levels = tuple(levels)
        self.switch = switch or Quintic()
        self.frame = frame
        self.regions = (*(name for name, _, _ in self.levels), rest)
        if frame not in ("reference", "current"):
            raise MultiscaleError(f"the frame of a partition is 'reference' or 'current', got {frame!r}")
        if len(set(self.regions)) != len(self.regions):
            raise MultiscaleError(
                f"a partition names each region once, got {self.regions}; give every level its own name"
            )
        for name, shape, width in self.levels:
            if not (np.isfinite(width) and width >= 0):
                raise MultiscaleError(f"the switching zone of '{name}' needs a width of 0 or more Å, got {width!r}")
            if width == 0 and frame == "current":
                raise MultiscaleError(
                    f"the switching zone of '{name}' has width 0 in the current frame, where weights would jump as atoms "
                    "cross it; give it at least one reach, or use the reference frame"
                )
            if shape.rides_on() and frame == "reference":
                raise MultiscaleError(
                    f"the shape of '{name}' rides on seed dofs, but the partition is in the reference frame; use frame='current'"
                )

    @property
    def zones(self) -> dict[str, tuple[Shape, float]]:
        """Core set and width per inner level."""
        return {name: (shape, width) for name, shape, width in self.levels}

    @property
    def rides_on_seeds(self) -> bool:
        """Whether any level's shape rides on seed dofs."""
        return any(shape.rides_on() for _, shape, _ in self.levels)

    @property
    def local(self) -> bool:
        """Whether all shapes are."""
        return all(shape.local for _, shape, _ in self.levels)

    def __call__(self, X: Array, q: Array | None = None) -> dict[str, tuple[Array, Array]]:
        """Weights and gradients; each level takes its share of what the inner ones leave."""
        weights, rows, slopes = self.compact(np.asarray(X, dtype=float), q)
        out: dict[str, tuple[Array, Array]] = {}
        for name, w in weights.items():
            grad = np.zeros((len(X), 3))
            grad[rows] = slopes[name]
            out[name] = (w, grad)
        return out

    def compact(self, X: Array, q: Array | None = None) -> Compact:
        """Polynomials and gradients are worked out in the zones alone: most points lie outside all of them."""
        switches = [switched(shape, width, self.switch, X, q) for _, shape, width in self.levels]
        rows = _union([zone for _, zone, _ in switches])
        left, left_grad = np.ones(len(X)), np.zeros((len(rows), 3))
        weights, slopes = {}, {}
        for (name, shape, _), (s, zone, ds) in zip(self.levels, switches, strict=True):
            s_grad = np.zeros((len(rows), 3))
            if len(zone):
                s_grad[np.searchsorted(rows, zone)] = ds[:, None] * gradient_in(shape, zone, X, q)
            before, inside = left[rows, None], s[rows, None]
            weights[name], slopes[name] = left * s, left_grad * inside + before * s_grad
            left_grad = left_grad * (1.0 - inside) - before * s_grad
            left = left * (1.0 - s)
        weights[self.regions[-1]], slopes[self.regions[-1]] = left, left_grad
        return weights, rows, slopes

    def pull_seeds(self, X: Array, q: Array, cotangents: Mapping[str, Array]) -> Array:
        """Reverse sweep through the levels: what the outer ones take depends on every inner switch."""
        out = np.zeros_like(q)
        if not self.rides_on_seeds or len(X) == 0:
            return out
        switches = [switched(shape, width, self.switch, X, q) for _, shape, width in self.levels]
        lefts = np.cumprod([np.ones(len(X))] + [1.0 - s for s, _, _ in switches], axis=0)
        behind = np.asarray(cotangents.get(self.regions[-1], np.zeros(len(X))), dtype=float)
        for k in reversed(range(len(self.levels))):
            name, shape, _ = self.levels[k]
            s, zone, ds = switches[k]
            c = np.asarray(cotangents.get(name, np.zeros(len(X))), dtype=float)
            if shape.rides_on():
                slope = np.zeros(len(X))
                slope[zone] = ds
                out += shape.pull_seeds(X, q, lefts[k] * (c - behind) * slope)
            behind = c * s + behind * (1.0 - s)
        return out


def switched(shape: Shape, width: float, switch: Switch, X: Array, q: Array | None) -> tuple[Array, IntArray, Array]:
    """s(d/width) (n,) of a shape's distance at points, the numbers (m,) of those in its zone and ds/dd (m,) in 1/Å there; else it is zero.

    Raises
    ------
    MultiscaleError
        If distances are not numbers.
    """
    d = shape.value(X, q, beyond=width)
    if np.isnan(np.sum(d)):
        raise MultiscaleError(
            f"{type(shape).__name__} gave distances that are not numbers at {int(np.isnan(d).sum())} points; "
            "look at its seeds and parameters"
        )
    s: Array = (d <= 0).astype(float)
    if width == 0:
        return s, np.zeros(0, dtype=np.int64), np.zeros(0)
    zone = np.flatnonzero((d > 0) & (d < width))
    t = d[zone] / width
    s[zone] = switch(t)
    ds: Array = switch.d1(t) / width
    return s, zone, ds


def gradient_in(shape: Shape, zone: IntArray, X: Array, q: Array | None) -> Array:
    """∇d (m, 3) of a shape at some of the points."""
    return shape.distance(X[zone], q)[1] if shape.local else shape.distance(X, q)[1][zone]


def _union(sets: Sequence[IntArray]) -> IntArray:
    """All numbers in any of the ascending sets, ascending."""
    if len(sets) == 1:
        return sets[0]
    return np.unique(np.concatenate(sets)) if sets else np.zeros(0, dtype=np.int64)
