"""Two arms of a crystal, joined by an interface law and bent apart by end moments; eV and Å.

    J = Σ_arms [6 M²/(E′h³) + N²/(2E′h)] = W,     E′ = 1/S′11     S′: inverse of the in-plane part of C (plane strain), arm along x

Pure bending of a beam of any elastic symmetry is σ_xx ∝ y alone: strains S′11 σ_xx, S′12 σ_xx and S′16 σ_xx are linear in y, therefore
compatible, and its energy is M²/(2E′I) to the last digit. A crystal whose S′16 is not zero warps its sections by a parabola; held ends are
flat, which is felt over one height of the arm and leaves axial forces ∓N, opposite in the two arms: J counts them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from couplers import EnergyBlend
from multiscale.continuum.cohesive import Joint, zone_length
from multiscale.continuum.cohesive_laws import CohesiveLaw
from multiscale.continuum.cut import cut
from multiscale.continuum.graded import graded, rectangle
from multiscale.continuum.laws import LinearElastic
from multiscale.fracture.cantilever import Cantilever
from multiscale.regions.cohesive import CohesiveRegion, Together
from multiscale.regions.continuum import ContinuumRegion
from multiscale.types import GPA_PER_EV_A3, Array

IN_PLANE = [0, 1, 5]


def bending_modulus(C: Array) -> float:
    """E′ = 1/S′11, eV/Å³, of constants (6, 6) in GPa whose plane x–y is a mirror plane."""
    return float(1.0 / np.linalg.inv(C[np.ix_(IN_PLANE, IN_PLANE)])[0, 0] / GPA_PER_EV_A3)


@dataclass(frozen=True)
class Sizes:
    """Lengths, Å: an arm's thickness, the crack that is there, how far it grows, facets."""

    arm: float
    crack: float
    growth: float
    facet: float


@dataclass(frozen=True)
class State:
    """An equilibrium: rotation of an end, moments and axial forces of the two ends, crack length, energy stored and spent."""

    angle: float
    moments: tuple[float, float]
    axial: tuple[float, float]
    crack: float
    energy: float

    @property
    def moment(self) -> float:
        """Mean of the two ends'."""
        return 0.5 * (self.moments[0] - self.moments[1])


class Arms(Cantilever):
    """A double cantilever under end moments.

    Parameters
    ----------
    C : (6, 6) array
        GPa, in the frame x (along the arms), y (across the interface), z.
    law : CohesiveLaw
        eV/Å², Å.
    sizes : Sizes
    elements : int
        Facets that the zone has to have.
    """

    def __init__(self, C: Array, law: CohesiveLaw, sizes: Sizes, elements: int = 5) -> None:
        self.law, self.sizes, self.modulus = law, sizes, bending_modulus(C)
        s, h = sizes, sizes.arm
        self.zone = zone_length(self.modulus, law.curve, h)
        # Ahead of the zone the interface is elastic: it decays over ℓ, a beam's on an elastic foundation. The mesh is whole after 5 ℓ.
        decay = (self.modulus * h**3 / (6.0 * law.curve.stiffness)) ** 0.25
        fine, coarse = s.crack + s.growth + self.zone, self.zone / (elements + 0.1)
        end = fine + max(self.zone, 5.0 * decay)
        x = np.concatenate(
            [
                graded(0.0, fine, (s.crack - 2.0 * s.facet, fine), s.facet, 1.4),
                np.linspace(fine, end, int(np.ceil((end - fine) / max(coarse, s.facet))) + 1)[1:],
                graded(end, end + 4.0 * h, (end, end + coarse), coarse, 1.4)[1:],
            ]
        )
        y = graded(-h, h, (-s.facet, s.facet), s.facet, 1.6)
        y = 0.5 * (y - y[::-1])
        slit = cut(
            rectangle(x, y, 2), lambda X: (np.abs(X[:, 1]) < 1e-9 * h) & (X[:, 0] < end - 1e-6), lambda X: X[:, 1] > 0
        )
        ahead = slit.mesh.points[slit.lower][:, :, 0].mean(axis=1) > s.crack
        solid = ContinuumRegion(slit.mesh, LinearElastic(C), site_volume=1.0, atom_mass=1.0, quadrature_degree=2)
        interface = CohesiveRegion(Joint(slit, ahead), law, modulus=self.modulus, arm=h, elements=elements)
        body = Together([solid, interface])
        super().__init__(slit, body, interface, h, s.crack, EnergyBlend(), fmax=1e-8, max_steps=9)

    @property
    def critical(self) -> float:
        """M_c = √(W E′h³/12), eV/Å (a moment per width)."""
        return float(np.sqrt(self.law.curve.toughness * self.modulus * self.sizes.arm**3 / 12.0))

    @property
    def bent(self) -> float:
        """Strain of an arm's outermost fibre under M_c."""
        return 6.0 * self.critical / (self.modulus * self.sizes.arm**2)

    def released(self, state: State) -> float:
        """J of the two end sections, eV/Å²."""
        h = self.sizes.arm
        bent = 6.0 * np.square(state.moments).sum() / (self.modulus * h**3)
        return float(bent + np.square(state.axial).sum() / (2.0 * self.modulus * h))

    def bend(self) -> Iterator[State]:
        """Turn the ends until the crack has grown.

        Close to M_c by as much as makes it grow by 0.62 facets, so that its end is at another place of a facet every time.
        """
        s, before = self.sizes, None
        slow = 0.62 * 12.0 * self.critical * s.facet / (self.modulus * s.arm**3)
        angle = moment = last = 0.0
        size = start = 0.16 * slow * s.crack / s.facet
        remedy = f"make facets shorter than {s.facet:g} Å"
        while True:
            if moment > 0.0:
                size = min(
                    size * 1.5, max(slow, 2.0 * start), max(slow, (0.985 * self.critical - moment) * angle / moment)
                )
            q = self.q
            now, size = self.turned(before, last, angle, size, 0.01 * slow, remedy)
            before, last, angle = q, size, angle + size
            moments, axial = self.loads(now.forces)
            state = State(angle, moments, axial, self.crack(self.q)[0], now.energy)
            moment = state.moment
            yield state
            if state.crack > s.crack + s.growth:
                return
