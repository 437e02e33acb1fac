"""Shapes: signed distances to core sets, smooth wherever a switch may look at them.

    d(X) ≤ 0 inside the core, d > 0 outside, |∇d| = 1 (nearly, where several cores blend)

A shape is fixed in space, or it rides on *seed* dofs q[seeds]; then the gradient also flows back to the seeds,
through :meth:`Shape.pull_seeds`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .types import Array, MultiscaleError

_TINY = 1e-300


def _vector(v: Sequence[float], what: str) -> Array:
    a = np.asarray(v, dtype=float)
    if a.shape != (3,) or not np.isfinite(a).all():
        raise MultiscaleError(f"{what} must be three finite numbers in Å, got {v!r}")
    return a


def _positive(value: float, what: str) -> None:
    if not (np.isfinite(value) and value > 0):
        raise MultiscaleError(f"{what} must be a positive length in Å, got {value!r}")


class Shape(ABC):
    """A core set with a signed distance field.

    Class attributes
    ----------------
    local : bool
        Whether the distance at some of the points costs only their part, so that gradients are best taken in the zone alone. False where
        everything is computed at once, and for shapes that do not say.
    """

    local: ClassVar[bool] = False

    def rides_on(self) -> tuple[int, ...]:
        """The shared dofs that the shape rides on; empty for a shape fixed in space."""
        return ()

    @abstractmethod
    def distance(self, X: Array, q: Array | None = None) -> tuple[Array, Array]:
        """Signed distance (n,) in Å and its gradient (n, 3) at the points X (n, 3); q (n_q, 3) holds the seeds."""

    def value(self, X: Array, q: Array | None = None, beyond: float = np.inf) -> Array:
        """The signed distance alone (n,), Å; a shape may give any number above ``beyond`` where the distance is above it."""
        return self.distance(X, q)[0]

    def pull_seeds(self, X: Array, q: Array, cotangent: Array) -> Array:
        """Σ_n cotangent_n ∂d(X_n)/∂q, the gradient that flows back to the seeds; (n_q, 3)."""
        return np.zeros_like(q)

    def __invert__(self) -> Shape:
        """``~shape`` is everything outside it."""
        return Complement(self)


@dataclass(frozen=True)
class Sphere(Shape):
    """The ball |X − centre| ≤ radius (Å)."""

    local: ClassVar[bool] = True
    centre: tuple[float, float, float]
    radius: float

    def __post_init__(self) -> None:
        _vector(self.centre, "the centre of a Sphere")
        _positive(self.radius, "the radius of a Sphere")

    def distance(self, X: Array, q: Array | None = None) -> tuple[Array, Array]:
        """|X − c| − R."""
        return _from_point(X - np.asarray(self.centre), self.radius)


def _from_point(r: Array, radius: float) -> tuple[Array, Array]:
    norm = np.linalg.norm(r, axis=1)
    return norm - radius, r / np.maximum(norm, _TINY)[:, None]


@dataclass(frozen=True)
class Cylinder(Shape):
    """All points within ``radius`` of the infinite line through ``point`` along ``axis`` (Å).

    The default axis is z, the front of a crack.
    """

    local: ClassVar[bool] = True
    point: tuple[float, float, float]
    radius: float
    axis: tuple[float, float, float] = (0.0, 0.0, 1.0)

    def __post_init__(self) -> None:
        _vector(self.point, "the point of a Cylinder")
        _positive(self.radius, "the radius of a Cylinder")
        if np.linalg.norm(_vector(self.axis, "the axis of a Cylinder")) == 0:
            raise MultiscaleError(
                "the axis of a Cylinder must not be the zero vector; give a direction such as (0, 0, 1)"
            )

    def distance(self, X: Array, q: Array | None = None) -> tuple[Array, Array]:
        """Distance to the line − R."""
        a = np.asarray(self.axis, dtype=float)
        a = a / np.linalg.norm(a)
        r = X - np.asarray(self.point)
        return _from_point(r - np.outer(r @ a, a), self.radius)


@dataclass(frozen=True)
class Slab(Shape):
    """The layer |n·(X − centre)| ≤ half_width (Å) with unit normal n."""

    local: ClassVar[bool] = True
    centre: tuple[float, float, float]
    normal: tuple[float, float, float]
    half_width: float

    def __post_init__(self) -> None:
        _vector(self.centre, "the centre of a Slab")
        _positive(self.half_width, "the half_width of a Slab")
        if np.linalg.norm(_vector(self.normal, "the normal of a Slab")) == 0:
            raise MultiscaleError(
                "the normal of a Slab must not be the zero vector; give a direction such as (0, 1, 0)"
            )

    def distance(self, X: Array, q: Array | None = None) -> tuple[Array, Array]:
        """|n·(X − c)| − half width."""
        n = np.asarray(self.normal, dtype=float)
        n = n / np.linalg.norm(n)
        h = (X - np.asarray(self.centre)) @ n
        return np.abs(h) - self.half_width, np.sign(h)[:, None] * n


@dataclass(frozen=True)
class Box(Shape):
    """An axis-aligned box with half-lengths (Å); infinite half-lengths leave that axis free.

    Outside, d = (Σ_k max(|X_k − c_k| − h_k, 0)⁴)^¼: the fourth powers keep three continuous derivatives where two
    faces meet, at the price of level sets that are rounder than the box. Inside, d = 0 (no complement).
    """

    local: ClassVar[bool] = True
    centre: tuple[float, float, float]
    half_lengths: tuple[float, float, float]

    def __post_init__(self) -> None:
        _vector(self.centre, "the centre of a Box")
        for h in self.half_lengths:
            if not h > 0:
                raise MultiscaleError(
                    f"the half_lengths of a Box must be positive (or infinite), got {self.half_lengths}"
                )

    def distance(self, X: Array, q: Array | None = None) -> tuple[Array, Array]:
        """The smooth outer distance; zero inside."""
        r = X - np.asarray(self.centre)
        with np.errstate(invalid="ignore"):
            excess = np.maximum(np.abs(r) - np.asarray(self.half_lengths, dtype=float), 0.0)
        scale = excess.max(axis=1)
        e = excess / np.maximum(scale, _TINY)[:, None]
        d = scale * np.sum(e**4, axis=1) ** 0.25
        grad = np.sign(r) * (excess / np.maximum(d, _TINY)[:, None]) ** 3
        return d, grad


@dataclass(frozen=True)
class Complement(Shape):
    """Everything outside another shape: d → −d."""

    shape: Shape

    def __post_init__(self) -> None:
        if isinstance(self.shape, Box):
            raise MultiscaleError(
                "a Box has no distance field inside and so no Complement; nest regions the other way round"
            )

    def rides_on(self) -> tuple[int, ...]:
        """The seeds of the shape within."""
        return self.shape.rides_on()

    def distance(self, X: Array, q: Array | None = None) -> tuple[Array, Array]:
        """−d of the shape within."""
        d, g = self.shape.distance(X, q)
        return -d, -g

    def pull_seeds(self, X: Array, q: Array, cotangent: Array) -> Array:
        """Minus the pull-back of the shape within."""
        return -self.shape.pull_seeds(X, q, cotangent)


@dataclass(frozen=True)
class SmoothUnion(Shape):
    """Balls of one radius around seed dofs, united by a smooth minimum.

        d(X) = −β⁻¹ ln Σ_k exp(−β (|X − q_k| − R)),       1/β = smoothing (Å)

    A hard minimum has kinks where two balls meet; this one is C^∞ there. It lies below the hard minimum by at most
    ln(n_seeds)/β, so that the union is a little larger than the balls. Centres are the current positions of the seeds;
    the balls ride with them and the force on the weights flows back to them, so that momentum is conserved.

    Parameters
    ----------
    seeds : tuple of int
        Shared dofs (rows of q) at the centres.
    radius : float
        Å.
    smoothing : float
        Å; the width 1/β over which neighbouring balls merge.
    cell, pbc : three rows of three, bool or three of them
        Cell vectors (Å) and periodic axes of a periodic system, so that the balls' images count: a seed may cross the boundary of
        the cell. Radius and switching zone together must stay below half the cell's thickness.
    """

    local: ClassVar[bool] = True
    seeds: tuple[int, ...]
    radius: float
    smoothing: float = 1.0
    cell: tuple[tuple[float, float, float], ...] | None = None
    pbc: bool | tuple[bool, bool, bool] = True

    def __post_init__(self) -> None:
        _positive(self.radius, "the radius of a SmoothUnion")
        _positive(self.smoothing, "the smoothing of a SmoothUnion")
        if len(self.seeds) == 0:
            raise MultiscaleError("a SmoothUnion needs at least one seed dof; give their indices in q")
        if self.cell is not None and (np.shape(self.cell) != (3, 3) or abs(np.linalg.det(self.cell)) < 1e-12):
            raise MultiscaleError(
                f"the cell of a SmoothUnion must be three independent vectors in Å, got {self.cell!r}"
            )

    def rides_on(self) -> tuple[int, ...]:
        """The seeds."""
        return self.seeds

    def distance(self, X: Array, q: Array | None = None) -> tuple[Array, Array]:
        """The smooth minimum of the distances to the balls."""
        d, share, unit = self._parts(X, q)
        return d, np.einsum("nk,nkj->nj", share, unit)

    def value(self, X: Array, q: Array | None = None, beyond: float = np.inf) -> Array:
        """The smooth minimum alone, worked out where its lower bound (the nearest ball's, were all as near) is not ``beyond``."""
        if q is None:
            return self._parts(X, q)[0]
        # The nearest ball, seed by seed and column by column: no array of all points and seeds is needed for it.
        nearest = np.full(len(X), np.inf)
        for seed in self.seeds:
            np.minimum(nearest, self._squared(X, q[seed]), out=nearest)
        images = 1 if self.cell is None else 3 ** int(np.broadcast_to(self.pbc, (3,)).sum())
        d = np.sqrt(nearest) - self.radius - self.smoothing * np.log(len(self.seeds) * images)
        if len(self.seeds) * images > 1:
            near = np.flatnonzero(d <= beyond)
            d[near] = self._parts(X[near], q)[0]
        return d

    def _squared(self, X: Array, centre: Array) -> Array:
        """Squared distances (n,) from a centre, or from its nearest image."""
        if self.cell is not None:
            periodic = np.where(np.broadcast_to(self.pbc, (3,)), 1.0, 0.0)
            r = X - centre
            r -= (periodic * np.round(r @ np.linalg.inv(self.cell))) @ np.asarray(self.cell, dtype=float)
            return np.asarray(np.einsum("ij,ij->i", r, r))
        out = np.zeros(len(X))
        for k in range(3):
            r = X[:, k] - centre[k]
            out += r * r
        return out

    def pull_seeds(self, X: Array, q: Array, cotangent: Array) -> Array:
        """∂d/∂q_k = −share_k · unit vector from the seed to the point."""
        _, share, unit = self._parts(X, q)
        out = np.zeros_like(q)
        per_image = -np.einsum("n,nk,nkj->kj", cotangent, share, unit)
        np.add.at(out, np.asarray(self.seeds), per_image.reshape(len(self.seeds), -1, 3).sum(axis=1))
        return out

    def _parts(self, X: Array, q: Array | None) -> tuple[Array, Array, Array]:
        if q is None:
            raise MultiscaleError(
                "a SmoothUnion rides on seed dofs: give the shared positions q as well as the points X"
            )
        r = self._images(X[:, None, :] - q[list(self.seeds)][None, :, :])
        norm = np.linalg.norm(r, axis=2)
        lowest = norm.min(axis=1)
        boltzmann = np.exp(-(norm - lowest[:, None]) / self.smoothing)
        total = boltzmann.sum(axis=1)
        d = lowest - self.radius - self.smoothing * np.log(total)
        return d, boltzmann / total[:, None], r / np.maximum(norm, _TINY)[:, :, None]

    def _images(self, r: Array) -> Array:
        """Vectors (n, seeds, 3) from the seeds to the points, and with a cell from all images around: (n, seeds · images, 3)."""
        if self.cell is None:
            return r
        cell, periodic = np.asarray(self.cell, dtype=float), np.broadcast_to(self.pbc, (3,))
        r = r - np.where(periodic, np.round(r @ np.linalg.inv(cell)), 0.0) @ cell
        # A nearest image alone would have kinks half a cell away, which the smooth minimum of several seeds may see.
        steps = np.stack(np.meshgrid(*[(-1, 0, 1) if p else (0,) for p in periodic], indexing="ij"), -1).reshape(-1, 3)
        return (r[:, :, None, :] + steps @ cell).reshape(len(r), r.shape[1] * len(steps), 3)


@dataclass(frozen=True)
class Union(Shape):
    """Several shapes united by a smooth minimum: a point is inside where it is inside any of them.

        d(X) = −β⁻¹ ln Σ_k exp(−β d_k(X))

    The union of a descriptor's core set and of balls around seeds, say. It lies below the hard minimum by at most ln(n_shapes)/β.

    Parameters
    ----------
    shapes : tuple of Shape
    smoothing : float
        Å; the width 1/β over which they merge.

    Examples
    --------
    >>> both = Union((Sphere((0, 0, 0), 2.0), Sphere((8, 0, 0), 2.0)), smoothing=0.1)
    >>> both.distance(np.array([[3.0, 0, 0]]))[0].round(6).tolist()
    [1.0]
    """

    shapes: tuple[Shape, ...]
    smoothing: float = 1.0

    def __post_init__(self) -> None:
        _positive(self.smoothing, "the smoothing of a Union")
        if len(self.shapes) == 0:
            raise MultiscaleError("a Union needs at least one shape")

    def rides_on(self) -> tuple[int, ...]:
        """What any of the shapes rides on."""
        return tuple(sorted({k for shape in self.shapes for k in shape.rides_on()}))

    def distance(self, X: Array, q: Array | None = None) -> tuple[Array, Array]:
        """The smooth minimum of the distances."""
        d, share, gradients = self._parts(X, q)
        return d, np.einsum("kn,knj->nj", share, gradients)

    def pull_seeds(self, X: Array, q: Array, cotangent: Array) -> Array:
        """Each shape's own, by its share of the minimum."""
        _, share, _ = self._parts(X, q)
        return np.sum(
            [shape.pull_seeds(X, q, cotangent * s) for shape, s in zip(self.shapes, share, strict=True)], axis=0
        )

    def _parts(self, X: Array, q: Array | None) -> tuple[Array, Array, Array]:
        found = [shape.distance(X, q) for shape in self.shapes]
        each = np.array([d for d, _ in found])
        lowest = each.min(axis=0)
        boltzmann = np.exp(-(each - lowest) / self.smoothing)
        total = boltzmann.sum(axis=0)
        return lowest - self.smoothing * np.log(total), boltzmann / total, np.array([g for _, g in found])
