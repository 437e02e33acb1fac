"""Two arms joined by a cohesive interface and bent apart by end moments; and two blocks pulled apart.

The ends of the arms turn by ±θ: u_x = ∓θ (y − y_arm) on the end sections, u_y free, so that no shear force and, by symmetry, no axial
force acts: pure moments. θ is prescribed and M measured, so that the interface softens without a jump.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.optimize import brentq

from couplers import EnergyBlend
from multiscale import HybridModel, Interface, Nested
from multiscale.continuum.brittle import isotropic_stiffness
from multiscale.continuum.cohesive import Joint
from multiscale.continuum.cohesive_laws import CohesiveLaw
from multiscale.continuum.cut import cut
from multiscale.continuum.graded import rectangle
from multiscale.continuum.laws import LinearElastic
from multiscale.drive import newton
from multiscale.fracture.cantilever import Cantilever
from multiscale.regions.cohesive import CohesiveRegion, Together
from multiscale.regions.continuum import ContinuumRegion
from multiscale.types import GPA_PER_EV_A3

E, NU = 70e3, 0.3
#: N/mm², plane strain: 76 923.
MODULUS = E / (1.0 - NU**2)
#: N/mm and mm; thickness of an arm, and length of the crack that is there.
TOUGHNESS, ARM, CRACK = 0.1, 1.0, 3.0


def exact() -> float:
    """M_c per width, N: J = 12 M²/(E′h³) = Gc, whatever the law."""
    return float(np.sqrt(TOUGHNESS * MODULUS * ARM**3 / 12.0))


def body(joint: Joint, law: CohesiveLaw, arm: float | None = None) -> tuple[Together, CohesiveRegion]:
    """The solid and its interface as one region, N and mm: LinearElastic divides GPa by 160.2 to make eV/Å³."""
    solid = ContinuumRegion(
        joint.mesh,
        LinearElastic(isotropic_stiffness(E, NU) * GPA_PER_EV_A3),
        site_volume=1.0,
        atom_mass=1.0,
        quadrature_degree=2,
    )
    interface = CohesiveRegion(joint, law, modulus=MODULUS, arm=arm)
    return Together([solid, interface]), interface


class DoubleCantilever(Cantilever):
    """A double cantilever under end moments.

    Parameters
    ----------
    law : CohesiveLaw
    cell : float
        Length of the facets, mm.
    length : float
        Of the arms, mm.
    points : {"gauss", "nodes"}
    """

    def __init__(self, law: CohesiveLaw, cell: float, length: float = 12.0, points: Any = "gauss") -> None:
        x = np.linspace(0.0, length, round(length / cell) + 1)
        grid = rectangle(x, np.linspace(-ARM, ARM, 5), 2)
        slit = cut(grid, lambda X: np.abs(X[:, 1]) < 1e-9, lambda X: X[:, 1] > 0)
        ahead = slit.mesh.points[slit.lower][:, :, 0].mean(axis=1) > CRACK
        region, interface = body(Joint(slit, ahead, points=points), law, ARM)
        super().__init__(slit, region, interface, ARM, CRACK, EnergyBlend(), fmax=1e-7, max_steps=12)

    def bend(self, step: float, growth: float) -> Iterator[tuple[float, ...]]:
        """Turn the ends until the crack has grown: θ, the two moments, crack length, stored + spent energy, work, largest opening."""
        before, angle, size, last = None, 0.0, step, step
        work = moment = 0.0
        while True:
            q, trial = self.q, min(2.0 * size, step)
            now, size = self.turned(
                before, last, angle, trial, 0.01 * step, "refine the interface or lengthen the arms"
            )
            before, last, angle = q, size, angle + size
            moments, _ = self.loads(now.forces)
            mean = 0.5 * (moments[0] - moments[1])
            work, moment = work + size * (mean + moment), mean  # two arms
            self.interface.commit(self.q)
            crack, opening = self.crack(self.q)
            yield angle, *moments, crack, now.energy, work, opening
            if crack > CRACK + growth:
                return


def patch(law: CohesiveLaw, stress: float = 5.0) -> tuple[float, float]:
    """Two blocks in uniaxial strain: the jump at which the law bears σ, mm (σ/K₀ where it is elastic), and the largest error of it.

    The exact displacement is held on top and bottom, and the jump found in the middle.
    """
    slit = cut(
        rectangle(np.linspace(0, 2, 4), np.linspace(-1, 1, 5), 2),
        lambda X: np.abs(X[:, 1]) < 1e-9,
        lambda X: X[:, 1] > 0,
    )
    region, interface = body(Joint(slit), law)
    X = slit.mesh.nodes
    c22 = isotropic_stiffness(E, NU)[1, 1]
    curve = law.curve
    jump = float(
        brentq(
            lambda d: float(curve.traction(np.array([d]))[0]) - stress,
            0.0,
            0.1 * curve.toughness / curve.strength,
            xtol=1e-18,
        )
    )
    q = X.copy()
    top, bottom = X[:, 1] > 1 - 1e-9, X[:, 1] < -1 + 1e-9
    q[top, 1] += stress / c22 + 0.5 * jump
    q[bottom, 1] -= stress / c22 + 0.5 * jump
    fixed = np.repeat((top | bottom)[:, None], 3, axis=1)
    fixed[:, [0, 2]] = True
    model = HybridModel(Interface(X, {"body": region}, Nested([], rest="body"), fixed), EnergyBlend())
    *_, last = newton(model, q, fmax=1e-10)
    return jump, float(np.abs(interface.opening(last.q) - [jump, 0.0]).max())
