"""An elastic body of finite elements under a rigid paraboloid that attracts it, and the walks along its curve of equilibria.

Lengths in the range ε of adhesion, energies per area in its work w; R = 100 ε, so that √(εR) = 10 ε. E* follows from Tabor's parameter,
μ³ = R w²/(E*² ε³). Linear elasticity of a flat surface knows no other number. The body is a block (round, or in plane strain) that is held
below and free at its side; the paraboloid is a stamp, whose node is one more dof of the model.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from couplers import EnergyBlend
from multiscale import HybridModel, Interface, Nested
from multiscale.continuum.brittle import isotropic_stiffness
from multiscale.continuum.gap import Gap, Stamp
from multiscale.continuum.gap_laws import HalfSpaces
from multiscale.continuum.laws import LinearElastic
from multiscale.continuum.meshing import block_with_fine_top
from multiscale.continuum.surface import Surface
from multiscale.drive import Point, arc_length, control, newton, relax
from multiscale.ranks import world
from multiscale.regions.cohesive import CohesiveRegion, Together
from multiscale.regions.continuum import ContinuumRegion
from multiscale.types import GPA_PER_EV_A3

Array = Any
RADIUS, NU = 100.0, 0.3
#: √(εR).
LENGTH = np.sqrt(RADIUS)


def modulus(mu: float) -> float:
    """E* in w/ε."""
    return float(np.sqrt(RADIUS / mu**3))


@dataclass(frozen=True)
class State:
    """An equilibrium.

    Attributes
    ----------
    centre, approach, load : float
        h_0/ε, D/ε, and P/(πwR), or P/(E* w² R)^(1/3) per length in plane strain; attraction is negative.
    energy : float
        Over πwRε (½ wRε per length of the half that is meshed).
    q : (n_q, 3) array
    """

    centre: float
    approach: float
    load: float
    energy: float
    q: Array


class Contact:
    """The block, the stamp and what acts between them.

    Parameters
    ----------
    mu : float
        Tabor's parameter.
    fine : float
        Length of quadratic facets over √(εR), times 1 + ½ μ^1.5, within 2√μ + 1.5 of the middle.
    width : float
        Width and depth of the block over (2√μ + 1.5) √(εR).
    symmetry : {"axial", "plane"}
    grade : float
        Growth of the cells with the distance from the contact.
    """

    def __init__(
        self, mu: float, fine: float = 0.2, width: float = 50.0, symmetry: Any = "axial", grade: float = 0.3
    ) -> None:
        self.mu, self.symmetry, self.modulus = mu, symmetry, modulus(mu)
        inner = (2.0 * np.sqrt(mu) + 1.5) * LENGTH
        h = fine / (1.0 + 0.5 * mu**1.5) * LENGTH
        ranks = world()
        size = width * inner
        mesh = block_with_fine_top(size, size, inner, h, 2, grade) if ranks.rank == 0 else None
        self.mesh = mesh = ranks.bcast(mesh)
        # LinearElastic divides GPa by 160.2 to make eV/Å³.
        C = isotropic_stiffness(self.modulus * (1.0 - NU**2), NU) * GPA_PER_EV_A3
        solid = ContinuumRegion(
            mesh, LinearElastic(C), site_volume=1.0, atom_mass=1.0, symmetry=symmetry, quadrature_degree=4
        )
        surface = Surface(mesh, lambda X: X[:, 1] > -1e-9, symmetry)
        self.gap = Gap(surface, Stamp.paraboloid(RADIUS, 8.0))
        self.adhesion = CohesiveRegion(self.gap, HalfSpaces(1.0, 1.0), modulus=self.modulus)
        body, _, everything = self.gap.dofs
        self.region = Together([solid, self.adhesion], [body, everything])
        X = self.X = self.region.reference
        fixed = np.zeros(X.shape, dtype=bool)
        fixed[:, 2] = True
        fixed[X[:, 0] < 1e-9, 0] = True
        fixed[X[:, 1] < -size * (1 - 1e-9)] = True
        fixed[self.gap.stamp] = True
        self.model = HybridModel(Interface(X, {"bodies": self.region}, Nested([], rest="bodies"), fixed), EnergyBlend())
        self.centre = int(np.flatnonzero((X[:, 0] < 1e-9) & (np.abs(X[:, 1]) < 1e-9))[0])
        #: The central gap D − u_z(0) as a measure, less its value in the reference.
        self.measure = np.zeros(X.shape)
        self.measure[self.gap.stamp, 1], self.measure[self.centre, 1] = 1.0, -1.0

    def at(self, D: float) -> Array:
        """The reference with the stamp at the distance D from the surface."""
        q = self.X.copy()
        q[self.gap.stamp, 1] = D
        return q

    def walk(self, centres: Array, start: State | None = None, fmax: float = 1e-4) -> Iterator[State]:
        """Equilibria at central gaps: from far away to near, or from a state with about the first gap."""
        values = np.asarray(centres) - self.X[self.gap.stamp, 1]
        first = float(centres[0]) if start is None else start.approach
        q = self.at(first) if start is None else start.q
        points = control(self.model, self.at, q, self.measure, values, start=first, load_scale=1.0, fmax=fmax)
        for point, h0 in zip(points, centres, strict=True):
            yield self.state(point, float(h0))

    def along(self, start: State, until: float, fmax: float = 1e-4) -> Iterator[State]:
        """The same curve by arc length, from a state on towards smaller D, through all folds, until the central gap is ``until``."""
        for point in arc_length(
            self.model, self.at, start.q, start=start.approach, load_scale=1.0, length_scale=10.0 * LENGTH, step=0.1,
            largest=0.3, fmax=fmax, decreasing=True,
        ):  # fmt: skip
            state = self.state(point)
            yield state
            if state.centre < until:
                return

    def dropped(self, start: State, D: float) -> tuple[float, float]:
        """Energy over πwRε, and h_0/ε, where a minimiser comes to rest that is set free at a distance D near a state."""
        q = start.q.copy()
        q[self.gap.stamp, 1] = D
        *_, last = relax(self.model, q, fmax=1e-4, max_steps=1000)
        return last.energy / (np.pi * RADIUS), float(last.q[self.gap.stamp, 1] - last.q[self.centre, 1])

    def held(self, start: State, D: float) -> float:
        """Energy over πwRε of the equilibrium at a distance D on the branch of a state, by Newton's method."""
        q = start.q.copy()
        q[self.gap.stamp, 1] = D
        *_, last = newton(self.model, q, fmax=1e-4)
        return last.energy / (np.pi * RADIUS)

    def rigid(self, distances: Array) -> Array:
        """P/(πwR) of the body as it is, undeformed, at distances D/ε."""
        loads = [self.model.evaluate(self.at(float(D))).forces[self.gap.stamp, 1] for D in distances]
        return np.array(loads) / (np.pi * RADIUS)

    def state(self, point: Point, centre: float | None = None) -> State:
        """What is measured of a point of a walk."""
        q = point.q
        h0 = q[self.gap.stamp, 1] - q[self.centre, 1] if centre is None else centre
        # The stamp is pulled down: the force on it is −∂E/∂D, and attraction is negative.
        load = float(point.forces[self.gap.stamp, 1])
        if self.symmetry == "axial":
            unit, energy = np.pi * RADIUS, np.pi * RADIUS
        else:
            load, unit, energy = 2.0 * load, (self.modulus * RADIUS) ** (1.0 / 3.0), 0.5 * RADIUS
        return State(h0, point.load, load / unit, point.energy / energy, q)

    def pressures(self, q: Array) -> tuple[Array, Array, Array]:
        """Radii over √(εR), pressures ε/w and gaps over ε of the sites."""
        order = np.argsort(self.gap.surface.points[:, 0])
        h = self.gap.distance(q)
        p = self.adhesion.traction(q)[:, 0]
        return self.gap.surface.points[order, 0] / LENGTH, p[order], h[order]
