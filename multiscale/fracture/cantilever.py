"""Two arms joined by an interface and bent apart by turning their end sections: a double cantilever under pure end moments.

    u_x = ±θ (y ∓ h/2) on the end sections, u_y free;      M = Σ −F_x (y ∓ h/2)

End sections that turn but may narrow leave pure moments. A step of θ is taken from where the last one leads, or from the last state,
and halved until Newton's method finds an equilibrium: kinks of a law stop it on the one way or the other.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ..continuum.cut import Cut
from ..coupler import Coupler
from ..drive.monolithic import newton
from ..drive.step import Step
from ..interface import Interface
from ..model import HybridModel
from ..region import Region
from ..regions.cohesive import CohesiveRegion
from ..sharing import Everything
from ..types import Array, BoolArray, MultiscaleError


class Cantilever:
    """A double cantilever along x, cut on y = 0; its ends at x = 0 are turned, the middle of the far end is held in y.

    Parameters
    ----------
    slit : Cut
        The arms' mesh.
    body : Region
        The arms and their interface together, on the mesh's nodes.
    interface : CohesiveRegion
    arm : float
        Thickness h of an arm, in the mesh's unit of length, as all lengths here.
    crack : float
        Length of the crack that is there already.
    coupler : Coupler
        Any of weighted energies.
    fmax : float
        Largest force that counts as zero.
    max_steps : int
        Of Newton's method.

    Attributes
    ----------
    X : (n, 3) array
        Nodes.
    q : (n, 3) array
        The last state.
    ends : pair of (n,) bool arrays
        Nodes of the upper and of the lower end section.
    model : HybridModel
    """

    def __init__(
        self,
        slit: Cut,
        body: Region,
        interface: CohesiveRegion,
        arm: float,
        crack: float,
        coupler: Coupler,
        *,
        fmax: float,
        max_steps: int,
    ) -> None:
        mesh = self.mesh = slit.mesh
        self.interface, self.start, self.fmax, self.max_steps = interface, crack, fmax, max_steps
        X = self.X = self.q = mesh.nodes
        upper = np.zeros(len(X), dtype=bool)
        upper[mesh.cell_nodes[mesh.centroids[:, 1] > 0]] = True
        self.ends: tuple[BoolArray, BoolArray] = (X[:, 0] < 1e-9) & upper, (X[:, 0] < 1e-9) & ~upper
        self._turn = np.where(upper, 1.0, -1.0)
        self._lever = X[:, 1] - 0.5 * arm * self._turn
        fixed = np.zeros(X.shape, dtype=bool)
        fixed[:, 2] = True
        fixed[self.ends[0] | self.ends[1], 0] = True
        fixed[np.argmin(np.hypot(X[:, 0] - X[:, 0].max(), X[:, 1])), 1] = True
        self.model = HybridModel(Interface(X, {"body": body}, Everything("body"), fixed), coupler)

    def held(self, q: Array, angle: float) -> Array:
        """The state q (n, 3) with its end sections turned by ±θ."""
        q, ends = q.copy(), self.ends[0] | self.ends[1]
        q[ends, 0] = self.X[ends, 0] + angle * (self._turn * self._lever)[ends]
        return q

    def turned(
        self, before: Array | None, last: float, angle: float, size: float, smallest: float, remedy: str
    ) -> tuple[Step, float]:
        """The equilibrium a step on, from the state ``q``, which it becomes; and the step that was taken.

        Parameters
        ----------
        before : (n, 3) array or None
            The state a step ``last`` before ``q``.
        last, angle, size, smallest : float
            The last step, the rotation now, the step to try first and the shortest one, rad.
        remedy : str
            What to do where there is none; the end of the error's sentence.

        Raises
        ------
        MultiscaleError
            If no equilibrium is found with the shortest step.
        """
        q = self.q
        while True:
            guess = q if before is None else q + (q - before) * (size / last)
            now = self._settled((self.held(guess, angle + size), self.held(q, angle + size)))
            if now is not None:
                self.q = now.q
                return now, size
            size /= 2.0
            if size < smallest:
                raise MultiscaleError(f"no equilibrium found beyond θ = {angle:.4g}; {remedy}")

    def loads(self, forces: Array) -> tuple[tuple[float, float], tuple[float, float]]:
        """Moments and axial forces of the upper and the lower end, of the model's forces (n, 3)."""
        pulled = [(-forces[end, 0], self._lever[end]) for end in self.ends]
        moments, axial = [float(p @ a) for p, a in pulled], [float(p.sum()) for p, _ in pulled]
        return (moments[0], moments[1]), (axial[0], axial[1])

    def crack(self, q: Array) -> tuple[float, float]:
        """Where the last point is that is open by Gc/σ_c, and the largest opening."""
        opening, curve = self.interface.opening(q)[:, 0], self.interface.law.curve
        wide = opening > curve.toughness / curve.strength
        return float(self.interface.sites(q)[wide, 0].max(initial=self.start)), float(opening.max())

    def _settled(self, starts: Iterable[Array]) -> Step | None:
        """Newton's method from one start after the other; None if none of them leads anywhere."""
        for start in starts:
            try:
                *_, step = newton(self.model, start, fmax=self.fmax, max_steps=self.max_steps)
            except MultiscaleError:
                continue
            if step.converged:
                return step
        return None
