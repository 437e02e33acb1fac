"""What theories of contact say, in their own units: Hertz with JKR's or DMT's adhesion, and rigid bodies.

    units (Maugis)   P: πwR      a: (πwR²/K)^⅓      δ: (π²w²R/K²)^⅓      K = 4E*/3
    JKR              P = a³ − √(6a³),       δ = a² − ⅔ √(6a)             the load turns at P = −3/2, the approach at P = −5/6
    DMT              P = a³ − 2,            δ = a²
    Bradley          P = −(8/3) [(ε/D)² − ¼ (ε/D)⁸],      rigid bodies at the distance D

In units of ε for D − ε = −δ and of √(εR) for radii, the units of δ and a are (9π²/16)^⅓ μ and (3π/4)^⅓ √μ.

References: Johnson, Kendall & Roberts, Proc. R. Soc. Lond. A 324 (1971) 301, DOI 10.1098/rspa.1971.0141; Derjaguin, Muller & Toporov,
J. Colloid Interface Sci. 53 (1975) 314, DOI 10.1016/0021-9797(75)90018-1; Bradley, Philos. Mag. 13 (1932) 853,
DOI 10.1080/14786449209461990; Maugis, J. Colloid Interface Sci. 150 (1992) 243, DOI 10.1016/0021-9797(92)90285-T.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = Any
#: Pull-off of a JKR cylinder per length over (E* w² R)^⅓: P = πE*a²/4R − √(2πE*wa) at its lowest.
CYLINDER = float(np.sqrt(2 * np.pi) * (2 / np.pi) ** (1 / 6) - 0.25 * np.pi * (2 / np.pi) ** (2 / 3))


def jkr(a: Array) -> tuple[Array, Array]:
    """P and δ at contact radii a."""
    return a**3 - np.sqrt(6.0 * a**3), a**2 - 2.0 / 3.0 * np.sqrt(6.0 * a)


def dmt(a: Array) -> tuple[Array, Array]:
    """P and δ at contact radii a."""
    return a**3 - 2.0, a**2


def bradley(D: Array) -> Array:
    """P/(πwR) at distances D/ε."""
    return -8.0 / 3.0 * (D**-2.0 - 0.25 * D**-8.0)


def unit_of_approach(mu: float) -> float:
    """(π²w²R/K²)^⅓/ε."""
    return float((9.0 * np.pi**2 / 16.0) ** (1.0 / 3.0) * mu)


def unit_of_radius(mu: float) -> float:
    """(πwR²/K)^⅓/√(εR)."""
    return float((0.75 * np.pi) ** (1.0 / 3.0) * np.sqrt(mu))
