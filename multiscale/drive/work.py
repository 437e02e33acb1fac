"""Virtual work along a path: energies for methods that have forces only, and a measure of how far they are from having an energy.

    ΔE_k = −∫₀ᵏ F(q(s)) · q′(s) ds            from the first image to the k-th
    ∮ F · dq                                  around a closed path: zero if, and only if on all of them, F is a gradient

q(s) is the cubic spline through the images (a straight line through two), over the length of the chords. Each segment is
integrated by the Clenshaw–Curtis rule, whose points are nested: doubling their number keeps every force that was calculated, and
the change is the estimate of the error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline

from ..model import HybridModel
from ..types import Array, MultiscaleError


@dataclass(frozen=True)
class VirtualWork:
    """What :func:`virtual_work` integrates.

    Attributes
    ----------
    energies : (n_images,) array
        eV, relative to the first image.
    errors : (n_images,) array
        eV; estimated errors of the energies: what doubling the points changed, summed over segments.
    circulation : float or None
        eV; the work ∮F·dq that the forces do once around a closed path; None for an open one.
    circulation_error : float or None
        eV.
    relative : float or None
        |∮F·dq| / ∮|F·dq|.
    intervals : int
        Of the quadrature, per segment.
    evaluations : int
        Of the model.
    """

    energies: Array
    errors: Array
    circulation: float | None
    circulation_error: float | None
    relative: float | None
    intervals: int
    evaluations: int


def virtual_work(
    model: HybridModel,
    path: Sequence[Array] | Array,
    *,
    closed: bool = False,
    intervals: int = 4,
    tolerance: float | None = None,
    most: int = 64,
) -> VirtualWork:
    """Integrate the forces along a path of configurations; collective.

    Parameters
    ----------
    model : HybridModel
        With or without an energy: only forces are used. Reactions of fixed dofs that move along the path do work, too.
    path : (n_images, n_q, 3) array or sequence of (n_q, 3) arrays
        Å; two images or more. A periodic system's atoms must not jump by a cell vector.
    closed : bool
        Whether the path goes back from the last image to the first (three images or more, the first not repeated).
    intervals : int
        Of the quadrature per segment, even; 2 is Simpson's rule. The images are among its points.
    tolerance : float, optional
        eV; double ``intervals`` until the estimated error of every energy (and of the circulation) is below it.
    most : int
        Largest number of intervals.

    Raises
    ------
    MultiscaleError
        For a path that is none, or if ``most`` intervals do not reach the tolerance.

    Examples
    --------
    >>> from couplers import EnergyBlend
    >>> from multiscale.testing.problems import standard
    >>> model = standard()["chain"].model(EnergyBlend())
    >>> q = model.interface.reference
    >>> end = q + 0.02 * np.sin(np.arange(len(q)))[:, None] * [1, 0, 0]
    >>> found = virtual_work(model, [q, end])
    >>> abs(found.energies[-1] - (model.evaluate(end).energy - model.evaluate(q).energy)) < 1e-6
    True
    """
    images = _checked(path, closed, intervals, model.interface.reference.shape)
    walk = _Walk(model, images, closed)
    n = intervals
    # The first estimate of the error comes from half of the points, which are among them.
    coarse, fine = walk.work(n // 2), walk.work(n)
    while tolerance is not None and float(np.abs(fine - coarse).sum()) > tolerance:
        if 2 * n > most:
            raise MultiscaleError(
                f"the virtual work is uncertain by {float(np.abs(fine - coarse).sum()):.1e} eV with {n} intervals per segment, but "
                f"{tolerance:.1e} eV are wanted; give more images, or raise most={most} where forces are smooth"
            )
        n *= 2
        coarse, fine = fine, walk.work(n)
    changes = np.abs(fine - coarse)
    open_ = len(images) - 1
    energies = np.concatenate([[0.0], -np.cumsum(fine[:open_])])
    errors = np.concatenate([[0.0], np.cumsum(changes[:open_])])
    around = float(fine.sum()) if closed else None
    total = walk.absolute(n) if closed else 0.0
    return VirtualWork(
        energies,
        errors,
        around,
        float(changes.sum()) if closed else None,
        None if around is None else abs(around) / max(total, 1e-300),
        n,
        len(walk.powers),
    )


class _Walk:
    """The spline through the images, and the power F·q′ at every point asked for so far."""

    def __init__(self, model: HybridModel, images: Array, closed: bool):
        self.model = model
        ring = np.concatenate([images, images[:1]]) if closed else images
        chords = np.linalg.norm(np.diff(ring, axis=0).reshape(len(ring) - 1, -1), axis=1)
        if chords.min() == 0.0:
            raise MultiscaleError(
                f"images {int(chords.argmin())} and {int(chords.argmin()) + 1} of the path are the same; leave one of them out"
            )
        self.s = np.concatenate([[0.0], np.cumsum(chords)])
        self.curve = CubicSpline(self.s, ring, bc_type="periodic" if closed else "not-a-knot")
        self.closed = closed
        self.powers: dict[float, float] = {}

    def work(self, n: int) -> Array:
        """∫F·dq of every segment with n intervals in each."""
        t, w = clenshaw_curtis(n)
        return np.array(
            [
                0.5 * (b - a) * float(w @ [self._power(a, b, u) for u in t])
                for a, b in zip(self.s, self.s[1:], strict=False)
            ]
        )

    def absolute(self, n: int) -> float:
        """∫|F·dq| of the whole path, for scale."""
        t, w = clenshaw_curtis(n)
        pieces = [
            0.5 * (b - a) * float(w @ [abs(self._power(a, b, u)) for u in t])
            for a, b in zip(self.s, self.s[1:], strict=False)
        ]
        return float(sum(pieces))

    def _power(self, a: float, b: float, u: float) -> float:
        """F·q′ at u ∈ [−1, 1] of a segment; calculated once."""
        # Ends of segments are shared, on a closed path the last with the first.
        s = a if u == -1.0 else b if u == 1.0 else 0.5 * (a + b) + 0.5 * (b - a) * u
        if self.closed and s == self.s[-1]:
            s = self.s[0]
        if s not in self.powers:
            self.powers[s] = float(np.sum(self.model.evaluate(self.curve(s)).forces * self.curve(s, 1)))
        return self.powers[s]


def clenshaw_curtis(n: int) -> tuple[Array, Array]:
    """Points −cos(πj/n), j = 0 … n, and weights on [−1, 1]; exact for polynomials of degree n.

    Examples
    --------
    >>> clenshaw_curtis(2)[1].round(12).tolist()  # Simpson's rule
    [0.333333333333, 1.333333333333, 0.333333333333]
    """
    x = -np.cos(np.pi * np.arange(n + 1) / n)
    x[0], x[-1] = -1.0, 1.0
    # The weights integrate the Chebyshev polynomials T_k, whose integrals are 2/(1 − k²) for even k and zero for odd.
    k = np.arange(n + 1)
    integrals = np.where(k % 2 == 0, 2.0 / np.where(k % 2 == 0, 1.0 - k**2, 1.0), 0.0)
    return x, np.linalg.solve(np.polynomial.chebyshev.chebvander(x, n).T, integrals)


def _checked(path: Sequence[Array] | Array, closed: bool, intervals: int, shape: tuple[int, ...]) -> Array:
    images = np.asarray(path, dtype=float)
    least = 3 if closed else 2
    if images.ndim != 3 or images.shape[1:] != shape or len(images) < least:
        raise MultiscaleError(
            f"a {'closed' if closed else 'open'} path needs {least} or more images of shape {shape}, got an array of shape {images.shape}"
        )
    if intervals < 2 or intervals % 2:
        raise MultiscaleError(
            f"the quadrature needs an even number of intervals per segment, got {intervals}; 4 or 8 is usual"
        )
    return images
