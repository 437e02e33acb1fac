"""Overlays: where a region lies *over* the partition instead of sharing it.

    χ(X) = s(d(X)/width)                    1 in the core, 0 beyond the zone
    −Σ_i c_i ∂χ_i/∂q                        the force of a moving overlay, on the sites and on the seeds it rides on

In the *reference* frame χ belongs to the material; in the *current* frame to space, or to the seed dofs that the shape rides on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .groups import Groups
from .partition import Frame, gradient_in, switched
from .shapes import Shape
from .switching import Quintic, Switch
from .types import Array, MultiscaleError


@dataclass(frozen=True)
class Overlay:
    """The mixing weight χ of a region that lies over the partition, such as a quantum core.

    Parameters
    ----------
    shape : Shape
        The core set.
    width : float
        Å of the zone around it; 0 is a sharp step (only in the reference frame).
    switch : Switch
        Quintic by default.
    frame : {"reference", "current"}
        Whether χ is taken at reference or at current positions. A shape that rides on seeds needs the current frame.
    groups : Groups, optional
        Groups of shared dofs (molecules) of which each has *one* weight P = χ at its point: the zone of adaptive partitioning. Such
        an overlay has a name of its own, since it lies under many regions.

    Raises
    ------
    MultiscaleError
        For a width that is no length, a sharp step or a seedless frame where weights would jump.

    Examples
    --------
    >>> from multiscale.shapes import Sphere
    >>> float(Overlay(Sphere((0, 0, 0), 4.0), 3.0)(np.array([[5.5, 0.0, 0.0]]))[0])
    0.5
    """

    shape: Shape
    width: float = 0.0
    switch: Switch = Quintic()
    frame: Frame = "reference"
    groups: Groups | None = None

    def __post_init__(self) -> None:
        if self.frame not in ("reference", "current"):
            raise MultiscaleError(f"the frame of an overlay is 'reference' or 'current', got {self.frame!r}")
        if not (np.isfinite(self.width) and self.width >= 0):
            raise MultiscaleError(f"the zone of an overlay needs a width of 0 or more Å, got {self.width!r}")
        if self.width == 0 and self.frame == "current":
            raise MultiscaleError(
                "an overlay of width 0 in the current frame has weights that jump as atoms cross its border; give it a width, or use the "
                "reference frame"
            )
        if self.shape.rides_on() and self.frame == "reference":
            raise MultiscaleError(
                "the shape of an overlay rides on seed dofs, but the overlay is in the reference frame; use frame='current'"
            )

    @property
    def moving(self) -> bool:
        """Whether χ depends on q, so that site energies enter the forces."""
        return self.frame == "current"

    def __call__(self, X: Array, q: Array | None = None) -> Array:
        """χ (n,) at the points X (n, 3); q holds the seeds."""
        return switched(self.shape, self.width, self.switch, X, q)[0]

    def gradient(self, X: Array, q: Array | None = None) -> Array:
        """∇χ (n, 3) in 1/Å with respect to the points; zero outside the zone."""
        _, zone, slope = switched(self.shape, self.width, self.switch, X, q)
        out = np.zeros((len(X), 3))
        if len(zone):
            out[zone] = slope[:, None] * gradient_in(self.shape, zone, X, q)
        return out

    def pull_seeds(self, X: Array, q: Array, cotangent: Array) -> Array:
        """Σ_n cotangent_n ∂χ(X_n)/∂q through the seeds; (n_q, 3)."""
        if not self.shape.rides_on():
            return np.zeros_like(q)
        _, zone, slope = switched(self.shape, self.width, self.switch, X, q)
        if self.shape.local:
            return self.shape.pull_seeds(X[zone], q, cotangent[zone] * slope)
        whole = np.zeros(len(X))
        whole[zone] = cotangent[zone] * slope
        return self.shape.pull_seeds(X, q, whole)
