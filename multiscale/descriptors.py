"""Core sets driven by a descriptor of the atoms, averaged so that it is a smooth field in space.

    φ(X, q) = Σ_k K(|X − q_k|) c_k(q) / D(S),     S = Σ_k K(|X − q_k|),     D(S) = S + η e^(−S/η),     K(r) = (1 − r²/R²)³
    d(X, q) = length · (high − φ)/(high − low)

so that d ≤ 0 where φ ≥ high, d = length where φ = low, and a switching zone of width ``length`` spans low … high. d is a
*pseudo-distance*: a monotone function of the descriptor, in Å only so that it fits where distances are expected, and |∇d| is not one.

At an atom, φ is the average over the atom itself (with the largest weight, K(0) = 1) and all within R: K is a function of r²
and therefore smooth there, and it ends with two continuous derivatives at R. D is S to round-off as soon as an atom is near, and keeps φ
defined, and falling smoothly to zero, where there is none.

The gradient flows to every atom, through K and through c: with weights made of it, the mixed energy depends on relative
positions alone, and energy and momentum are conserved.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial import cKDTree

from .neighbours import complete_cell
from .region import Can, Query, Region
from .regions.cover import periodic_images
from .shapes import Shape
from .types import Array, BoolArray, IntArray, MultiscaleError

#: η: far below the 1 that an atom contributes where it is, far above round-off.
_FLOOR = 0.02


class Descriptor(Protocol):
    """A number per atom, and its gradient."""

    def values(self, x: Array) -> Array:
        """The numbers c (n,) at positions x (n, 3), Å."""

    def pull(self, x: Array, cotangent: Array) -> Array:
        """Σ_k cotangent_k ∂c_k/∂x, (n, 3)."""


@dataclass(frozen=True, eq=False)
class RegionDescriptor:
    """A region's site energies as a descriptor: e_k, and Σ_k g_k ∂e_k/∂x = minus its forces for the weights g.

    Parameters
    ----------
    region : Region
        With SITE_ENERGIES and SITE_WEIGHTS, one site per atom: an :class:`~multiscale.regions.ml.MLRegion` of a descriptor model. It must
        not be a region of the hybrid: every rank evaluates all of it.
    """

    region: Region

    def __post_init__(self) -> None:
        lacking = (Can.SITE_ENERGIES | Can.SITE_WEIGHTS | Can.FORCES) & ~self.region.can
        if lacking or self.region.n_sites != self.region.n_dofs:
            raise MultiscaleError(
                f"a descriptor needs site energies and their weighted gradient, one site per atom, but {self.region.describe()} offers "
                f"{self.region.can.names()}; use an MLRegion of a descriptor model"
            )

    def values(self, x: Array) -> Array:
        """Site energies."""
        self._whole()
        return np.asarray(self.region.evaluate(x, Query(Can.SITE_ENERGIES))["site_energies"])

    def pull(self, x: Array, cotangent: Array) -> Array:
        """The weighted gradient."""
        self._whole()
        return -np.asarray(self.region.evaluate(x, Query(Can.FORCES, cotangent))["forces"])

    def _whole(self) -> None:
        if self.region.team.size > 1:
            raise MultiscaleError(
                f"the descriptor's region is shared by {self.region.team.size} ranks, each of which would see only its part of the field; "
                "give the descriptor a region of its own"
            )


class DescriptorField(Shape):
    """The core set where a locally averaged descriptor is high; see the module's docstring.

    Parameters
    ----------
    descriptor : Descriptor or Region
        The values per atom; a region's site energies are taken through :class:`RegionDescriptor`.
    low, high : float
        In the descriptor's unit: the weight of the core's region is 0 up to ``low`` and 1 from ``high`` on.
    radius : float
        R, Å.
    length : float
        Å; give the same width to the level of :class:`~multiscale.partition.Nested`.
    cell, pbc : (3, 3) array, bool or three of them
        Cell vectors as rows, Å, and periodic axes: images count in the average. The cell does not change.
    dofs : (n,) ints, optional
        The shared dofs that are the descriptor's atoms, in its order; for a region, by default, the first ones.
    skin : float
        Å; pairs are listed anew when a point or atom has moved by half of it.

    Notes
    -----
    Every rank evaluates the descriptor of all atoms: it is replicated, like q. Values, averages and their parts are kept for the last
    positions, since a partition asks several times per evaluation.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from multiscale.models.descriptors import CentroSymmetry
    >>> from multiscale.regions.ml import MLRegion
    >>> silicon = bulk("Si", a=5.43095, cubic=True)
    >>> field = DescriptorField(MLRegion(CentroSymmetry(), silicon), 0.5, 1.5, radius=5.0, length=4.0, cell=silicon.cell.array, pbc=True)
    >>> [round(float(d), 6) for d in field.distance(silicon.positions[:1], silicon.positions)[0]]  # 4 · 1.5/(1.5 − 0.5)
    [6.0]
    """

    def __init__(
        self,
        descriptor: Descriptor | Region,
        low: float,
        high: float,
        *,
        radius: float,
        length: float,
        cell: ArrayLike | None = None,
        pbc: ArrayLike = False,
        dofs: Sequence[int] | IntArray | None = None,
        skin: float = 0.5,
    ):
        if isinstance(descriptor, Region):
            dofs = np.arange(descriptor.n_dofs) if dofs is None else dofs
            descriptor = RegionDescriptor(descriptor)
        if dofs is None:
            raise MultiscaleError("a DescriptorField cannot know the atoms of this descriptor; give their shared dofs")
        self.descriptor: Descriptor = descriptor
        self.dofs: IntArray = np.asarray(dofs, dtype=np.int64)
        self.low, self.high, self.radius, self.length = float(low), float(high), float(radius), float(length)
        if not (np.isfinite([low, high]).all() and low < high):
            raise MultiscaleError(
                f"a DescriptorField switches between two thresholds low < high, got {low!r} and {high!r}; "
                "swap them, or change the sign of the descriptor"
            )
        for value, what in ((self.radius, "radius"), (self.length, "length")):
            if not (np.isfinite(value) and value > 0):
                raise MultiscaleError(f"the {what} of a DescriptorField must be a positive length in Å, got {value!r}")
        self._list = _Pairs(self.radius, np.zeros((3, 3)) if cell is None else cell, pbc, skin)
        self._values: tuple[Array, Array] | None = None
        self._averages: deque[_Average] = deque(maxlen=4)

    def rides_on(self) -> tuple[int, ...]:
        """The descriptor's atoms."""
        return tuple(int(k) for k in self.dofs)

    def field(self, X: Array, q: Array) -> Array:
        """The averaged descriptor φ (n,) at the points X (n, 3), Å."""
        return self._average(X, q).phi

    def distance(self, X: Array, q: Array | None = None) -> tuple[Array, Array]:
        """The pseudo-distance and its gradient with respect to the point, for resting atoms."""
        a = self._average(X, q)
        slope = -self.length / (self.high - self.low)
        return (a.phi - self.high) * slope, slope * _by_row(a.point, a.change, len(a.X))

    def pull_seeds(self, X: Array, q: Array, cotangent: Array) -> Array:
        """To all atoms: through the kernel, which rides on them, and through the descriptor of each."""
        a = self._average(X, q)
        g = -self.length / (self.high - self.low) * np.asarray(cotangent, dtype=float)
        x = q[self.dofs]
        pulled = -_by_row(a.atom, g[a.point, None] * a.change, len(x))
        through: Array = np.bincount(a.atom, g[a.point] * a.share, len(x)).astype(float)
        if through.any():
            pulled = pulled + self.descriptor.pull(x, through)
        out = np.zeros_like(q)
        np.add.at(out, self.dofs, pulled)
        return out

    def values(self, q: Array) -> Array:
        """The descriptor of every atom, c (n,)."""
        if self._values is None or not np.array_equal(self._values[0], q):
            c = np.asarray(self.descriptor.values(q[self.dofs]), dtype=float)
            self._values = (np.array(q), c)
        return self._values[1]

    def _average(self, X: Array, q: Array | None) -> _Average:
        if q is None:
            raise MultiscaleError(
                "a DescriptorField rides on atoms: give the shared positions q as well as the points X"
            )
        for a in self._averages:
            if np.array_equal(a.q, q) and np.array_equal(a.X, X):
                return a
        c, x = self.values(q), q[self.dofs]
        point, atom, r = self._list.near(X, x)
        left = 1.0 - np.einsum("pj,pj->p", r, r) / self.radius**2
        kernel = left**3
        total = np.bincount(point, kernel, len(X))
        empty = np.exp(-total / _FLOOR)
        inverse = 1.0 / (total + _FLOOR * empty)
        phi = np.bincount(point, kernel * c[atom], len(X)) * inverse
        # ∂φ/∂K of each pair, times ∂K/∂X.
        per_kernel = (c[atom] - (phi * (1.0 - empty))[point]) * inverse[point]
        change = (per_kernel * (-6.0 / self.radius**2) * left**2)[:, None] * r
        found = _Average(np.array(X), np.array(q), phi, point, atom, kernel * inverse[point], change)
        self._averages.append(found)
        return found


@dataclass(frozen=True, eq=False)
class _Average:
    """φ at points, and per pair of point and atom: the atom's share of the average, and ∂φ/∂X."""

    X: Array
    q: Array
    phi: Array
    point: IntArray
    atom: IntArray
    share: Array
    change: Array


def _by_row(row: IntArray, v: Array, n: int) -> Array:
    return np.stack([np.bincount(row, v[:, k], n) for k in range(3)], axis=1)


class _Pairs:
    """Pairs of points and atoms, images included, nearer than ``radius``; listed with a skin and kept until something has moved."""

    def __init__(self, radius: float, cell: ArrayLike, pbc: ArrayLike, skin: float):
        self.radius, self.skin = radius, skin
        self.pbc: BoolArray = np.array(np.broadcast_to(np.asarray(pbc, dtype=bool), (3,)))
        self.cell = complete_cell(cell, self.pbc)
        self._lists: deque[tuple[Array, Array, IntArray, IntArray, Array]] = deque(maxlen=4)

    def near(self, X: Array, x: Array) -> tuple[IntArray, IntArray, Array]:
        """Point and atom of each pair, and the vector (n_pairs, 3) from atom to point, Å."""
        point, atom, offset = self._listed(X, x)
        r = X[point] - x[atom] - offset
        close = np.flatnonzero(np.einsum("pj,pj->p", r, r) < self.radius**2)
        return point[close], atom[close], r[close]

    def _listed(self, X: Array, x: Array) -> tuple[IntArray, IntArray, Array]:
        for at_X, at_x, point, atom, offset in self._lists:
            if at_X.shape == X.shape and at_x.shape == x.shape and _moved(X, at_X) + _moved(x, at_x) <= self.skin:
                return point, atom, offset
        if not len(X):
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros((0, 3))
        images, shifts = periodic_images(x, self.cell, self.pbc, X, self.radius + self.skin)
        reach = self.radius + self.skin
        inside = np.flatnonzero(((images >= X.min(0) - reach) & (images <= X.max(0) + reach)).all(axis=1))
        near = cKDTree(images[inside]).query_ball_point(X, reach, return_sorted=True)
        point = np.repeat(np.arange(len(X)), [len(n) for n in near])
        image = inside[np.concatenate([np.asarray(n, dtype=np.int64) for n in near])]
        atom, offset = image % len(x), (shifts @ self.cell)[image // len(x)]
        self._lists.append((np.array(X), np.array(x), point, atom, offset))
        return point, atom, offset


def _moved(a: Array, b: Array) -> float:
    d = a - b
    return float(np.sqrt(np.einsum("ij,ij->i", d, d).max(initial=0.0)))
