"""What a phase field knows of a material: elastic constants C, toughness Gc, and a length ℓ over which a crack is smeared.

    E(u, d) = ∫ [(1−d)² + k] ½ ε:C:ε dX + (Gc/c) ∫ [w(d)/ℓ + ℓ |∇d|²] dX,       d = 0 sound, d = 1 broken
    AT1   w = d,   c = 8/3      elastic up to σ_c = √(3 E Gc / 8ℓ), damage on a support of 2ℓ either side of the crack
    AT2   w = d²,  c = 2        damages from the first load on; homogeneous peak (9/16) √(E Gc / 3ℓ), exponential profile

Both give a crack the energy Gc per area as ℓ → 0. On a mesh the band of cells that opens is broken throughout, which costs
Gc h w(1)/(c ℓ) more (h: the band's width): the toughness that a mesh has is Gc (1 + 3h/8ℓ) for AT1 and Gc (1 + h/2ℓ) for AT2.

Nothing here fixes units: C in any unit of stress P, ℓ in any length L, then Gc is in P·L and energies (per thickness, in the plane) in
P·L². :meth:`BrittleSolid.of_atoms` takes the library's: GPa, J/m² and Å give eV/Å³, eV/Å² and eV.

References: Bourdin, Francfort & Marigo, J. Elast. 91 (2008) 5, DOI 10.1007/s10659-007-9107-3; Pham, Amor, Marigo & Maurini, Int. J.
Damage Mech. 20 (2011) 618, DOI 10.1177/1056789510386852; Tanné et al., JMPS 110 (2018) 80, DOI 10.1016/j.jmps.2017.09.006.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..types import GPA_PER_EV_A3, J_M2_PER_EV_A2, Array, MultiscaleError
from .voigt import voigt_stiffness

_PLANE = np.ix_([0, 1, 5], [0, 1, 5])


def isotropic_stiffness(E: float, nu: float) -> Array:
    """Elastic constants (6, 6) in the unit of Young's modulus ``E``; ``nu`` is Poisson's ratio."""
    if not (E > 0 and -1.0 < nu < 0.5):
        raise MultiscaleError(f"an isotropic solid needs E > 0 and −1 < ν < ½, got E = {E} and ν = {nu}")
    c44 = 0.5 * E / (1.0 + nu)
    c12 = 2.0 * c44 * nu / (1.0 - 2.0 * nu)
    c = np.diag([2.0 * c44] * 3 + [c44] * 3)
    c[:3, :3] += c12
    return c


@dataclass(frozen=True, eq=False)
class BrittleSolid:
    """A linear elastic solid with a toughness; immutable.

    Parameters
    ----------
    C : (6, 6) array
        Elastic constants, Voigt order xx, yy, zz, yz, xz, xy, in the frame of the mesh (for a crack: x its growth, y its normal).
    Gc : float
        Energy per area of crack, twice the surface energy of an ideally brittle solid.
    length : float
        ℓ.
    kind : {"AT1", "AT2"}
    plane : {"strain", "stress"}
        What a plane mesh stands for; meshes in space use all of C.
    residual : float
        k, the share of stiffness that is left where d = 1, so that what has been cut off stays where it is.

    Examples
    --------
    >>> steel = BrittleSolid(isotropic_stiffness(210e3, 0.3), Gc=2.7, length=0.015)  # N/mm², N/mm, mm
    >>> round(steel.strength(210e3), 1)
    3765.0
    """

    C: Array
    Gc: float
    length: float
    kind: Literal["AT1", "AT2"] = "AT1"
    plane: Literal["strain", "stress"] = "strain"
    residual: float = 1e-6

    def __post_init__(self) -> None:
        object.__setattr__(self, "C", voigt_stiffness(self.C))
        if not (self.Gc > 0 and self.length > 0 and 0 <= self.residual < 0.1):
            raise MultiscaleError(
                f"a BrittleSolid needs Gc > 0, length > 0 and a small residual stiffness, got {self.Gc}, {self.length} and {self.residual}"
            )
        if self.kind not in ("AT1", "AT2") or self.plane not in ("strain", "stress"):
            raise MultiscaleError(
                f"kind is 'AT1' or 'AT2' and plane 'strain' or 'stress', got {self.kind!r} and {self.plane!r}"
            )

    @classmethod
    def of_atoms(cls, C: Array, Gc: float, length: float, kind: Literal["AT1", "AT2"] = "AT1") -> BrittleSolid:
        """A solid in eV and Å from C in GPa, Gc in J/m² and ℓ in Å; plane strain in two dimensions."""
        return cls(np.asarray(C) / GPA_PER_EV_A3, Gc / J_M2_PER_EV_A2, length, kind)

    def stiffness(self, dim: int) -> Array:
        """C for strains (xx, yy, xy) of a plane mesh (3, 3), or for all six (6, 6) in space."""
        if dim == 3:
            return self.C
        if self.plane == "strain":
            return self.C[_PLANE]
        # Stresses out of the plane are zero, antiplane shear ones of a skew crystal too.
        return np.asarray(np.linalg.inv(np.linalg.inv(self.C)[_PLANE]))

    @property
    def normalisation(self) -> float:
        """The constant c = 4 ∫₀¹ √w of the crack's energy."""
        return 8.0 / 3.0 if self.kind == "AT1" else 2.0

    def strength(self, modulus: float) -> float:
        """The stress that a homogeneous bar bears: √(3 E Gc/8ℓ) of AT1, (9/16) √(E Gc/3ℓ) of AT2.

        ``modulus`` is the ratio of the stress to the strain that does work on it: E in a bar, E/(1−ν²) in a plane strain strip.
        """
        if self.kind == "AT1":
            return float(np.sqrt(3.0 * modulus * self.Gc / (8.0 * self.length)))
        return float(9.0 / 16.0 * np.sqrt(modulus * self.Gc / (3.0 * self.length)))

    def toughness(self, h: float) -> float:
        """The energy per area of crack on a mesh whose open band is ``h`` wide, Gc (1 + h/(c ℓ))."""
        return self.Gc * (1.0 + h / (self.normalisation * self.length))
