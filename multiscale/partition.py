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
from typing import Literal

import numpy as np

from .shapes import Shape
from .switching import Quintic, Switch
from .types import Array, MultiscaleError

Frame = Literal["reference", "current"]


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

    def _switches(self, X: Array, q: Array | None) -> list[tuple[Array, Array, Array]]:
        """Per level: s, ds/dd (1/Å) and ∇d."""
        out: list[tuple[Array, Array, Array]] = []
        for _, shape, width in self.levels:
            d, grad = shape.distance(X, q)
            if width == 0:
                out.append((np.where(d <= 0, 1.0, 0.0), 0.0 * d, grad))
            else:
                out.append((self.switch(d / width), self.switch.d1(d / width) / width, grad))
        return out

    def __call__(self, X: Array, q: Array | None = None) -> dict[str, tuple[Array, Array]]:
        """Weights and gradients; each level takes its share of what the inner ones leave."""
        X = np.asarray(X, dtype=float)
        left: Array = np.ones(len(X))
        left_grad: Array = np.zeros((len(X), 3))
        out: dict[str, tuple[Array, Array]] = {}
        for (name, _, _), (s, ds, grad) in zip(self.levels, self._switches(X, q), strict=True):
            s_grad: Array = ds[:, None] * grad
            out[name] = (left * s, left_grad * s[:, None] + left[:, None] * s_grad)
            left_grad = left_grad * (1.0 - s)[:, None] - left[:, None] * s_grad
            left = left * (1.0 - s)
        out[self.regions[-1]] = (left, left_grad)
        return out

    def pull_seeds(self, X: Array, q: Array, cotangents: Mapping[str, Array]) -> Array:
        """Reverse sweep through the levels: what the outer ones take depends on every inner switch."""
        out = np.zeros_like(q)
        if not self.rides_on_seeds or len(X) == 0:
            return out
        switches = self._switches(X, q)
        lefts = np.cumprod([np.ones(len(X))] + [1.0 - s for s, _, _ in switches], axis=0)
        behind = np.asarray(cotangents.get(self.regions[-1], np.zeros(len(X))), dtype=float)
        for k in reversed(range(len(self.levels))):
            name, shape, _ = self.levels[k]
            s, ds, _ = switches[k]
            c = np.asarray(cotangents.get(name, np.zeros(len(X))), dtype=float)
            if shape.rides_on():
                out += shape.pull_seeds(X, q, lefts[k] * (c - behind) * ds)
            behind = c * s + behind * (1.0 - s)
        return out
