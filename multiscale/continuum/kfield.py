"""The plane field of a crack tip in an anisotropic solid: u = √(2r/π) Re Σ_αβ K_α A_iαβ √(cos θ + μ_β sin θ).

μ_1, μ_2 are the roots with positive imaginary part of

    s11 μ⁴ − 2 s16 μ³ + (2 s12 + s66) μ² − 2 s26 μ + s22 = 0,

and with p_β = s11 μ_β² + s12 − s16 μ_β and q_β = s12 μ_β + s22/μ_β − s26 the two modes are combinations of the pairs
(p_β, q_β). For a front normal to a mirror plane or along a two-fold axis s_ij is the usual s_ij − s_i3 s_j3 / s33, and the field
is that of :class:`~multiscale.continuum.stroh.StrohField` without K_III. Other fronts, silicon's [11-2] among them, couple plane
and antiplane shear. Only Stroh's field is then in equilibrium, compatible and free of tractions in all three directions; the two
of this file each give one of them up: either u_z is held at zero ("clamped": what a plane-strain mesh solves, held by body forces
f_z), or the antiplane stresses are set to zero ("free": the formula above taken literally, with strains γ_xz, γ_yz that belong
to no u_z).

References: Sih, Paris & Irwin, Int. J. Fract. Mech. 1 (1965) 189, DOI 10.1007/BF00186854.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..types import GPA_PER_EV_A3, Array, IntArray, MultiscaleError
from .mesh import SimplexMesh
from .tipfield import TipField, branched_sqrt
from .voigt import voigt_stiffness

_PLANE = np.ix_([0, 1, 5], [0, 1, 5])


@dataclass(frozen=True, eq=False)
class KField(TipField):
    """Plane-strain crack-tip field of modes I and II.

    Parameters
    ----------
    C : (6, 6) array
        Elastic constants, GPa, Voigt order, in the crack's frame: x the direction of growth, y the normal of the
        crack plane, z the front. Faces lie on y = 0, x < 0.
    antiplane : str
        "clamped": u_z = 0. "free": σ_xz = σ_yz = 0. The same for fronts that do not couple; for those that do, see the module.

    Notes
    -----
    Stress-intensity factors are in MPa·√m: a number (mode I) or a pair (K_I, K_II). Fields, derivatives and energies are
    documented in :class:`~multiscale.continuum.tipfield.TipField`.

    Examples
    --------
    >>> from multiscale.continuum.voigt import cubic_stiffness
    >>> field = KField(cubic_stiffness(151.42, 76.42, 56.45))
    >>> K = field.griffith(1.36)
    >>> float(round(field.energy_release_rate(K), 9))
    2.72
    """

    C: Array
    antiplane: Literal["clamped", "free"] = "clamped"
    modes = 2

    def __post_init__(self) -> None:
        object.__setattr__(self, "C", voigt_stiffness(self.C))
        if self.antiplane not in ("clamped", "free"):
            raise MultiscaleError(
                f"antiplane is 'clamped' (u_z = 0) or 'free' (σ_xz = σ_yz = 0), got {self.antiplane!r}"
            )

    @cached_property
    def stiffness(self) -> Array:
        """C (6, 6) for strains in the plane, eV/Å³; with free antiplane shear its stresses are condensed out."""
        c = self.C / GPA_PER_EV_A3
        if self.antiplane == "free":
            kept = np.ix_([0, 1, 2, 5], [0, 1, 2, 5])
            condensed = np.zeros((6, 6))
            condensed[kept] = np.linalg.inv(np.linalg.inv(c)[kept])
            c = condensed
        return c

    @cached_property
    def compliance(self) -> Array:
        """In-plane compliance (3, 3) for xx, yy, xy, Å³/eV."""
        return np.linalg.inv(self.stiffness[_PLANE])

    @cached_property
    def roots(self) -> NDArray[np.complex128]:
        """The characteristic roots μ_1, μ_2 with positive imaginary part."""
        s = self.compliance
        mu = np.roots([s[0, 0], -2 * s[0, 2], 2 * s[0, 1] + s[2, 2], -2 * s[1, 2], s[1, 1]])
        mu = mu[np.argsort(-mu.imag)][:2]
        mu = mu[np.argsort(mu.real + 1e-3 * mu.imag)]
        if abs(mu[0] - mu[1]) < 1e-4:
            # Isotropy has a double root, where the formulas are 0/0. They are symmetric in the roots, so that
            # splitting the pair by ±δ changes the field by O(δ²), 1e-8.
            mu = mu.mean() + 1e-4 * np.array([-1.0, 1.0])
        return np.asarray(mu)

    @cached_property
    def _coefficients(self) -> NDArray[np.complex128]:
        """A_iαβ (2, 2, 2): component, mode, root."""
        s, mu = self.compliance, self.roots
        p = s[0, 0] * mu**2 + s[0, 1] - s[0, 2] * mu
        q = s[0, 1] * mu + s[1, 1] / mu - s[1, 2]
        b = np.stack([p, q])  # (component, root)
        other = mu[::-1]
        sign = np.array([-1.0, 1.0]) / (mu[0] - mu[1])
        return np.stack([b * other * sign, b * sign], axis=1)

    def unit(self, d: Array, side: Array, order: int) -> Array:
        """The fields of unit K_I and K_II, or their derivatives; see :meth:`TipField.unit`."""
        root, mu, a = branched_sqrt(d, side, self.roots), self.roots, self._coefficients
        if order == 0:
            found = np.einsum("iab,nb->nia", a, root)
        elif order == 1:
            found = np.einsum("iab,nb,jb->niaj", a, 0.5 / root, np.stack([mu**0, mu]))  # ∂√z/∂x, ∂√z/∂y
        else:
            powers = np.stack([mu**0, mu, mu, mu**2]).reshape(2, 2, 2)
            found = np.einsum("iab,nb,jlb->niajl", a, -0.25 / root**3, powers)
        return np.pad(np.sqrt(2.0 / np.pi) * found.real, ((0, 0), (0, 1)) + ((0, 0),) * (order + 1))

    @cached_property
    def irwin(self) -> Array:
        """The matrix B (2, 2) of G = Kᵀ B K, Å³/eV (Sih, Paris & Irwin, closure of the crack)."""
        s, (m1, m2) = self.compliance, self.roots
        s11, s22 = s[0, 0], s[1, 1]
        cross = 0.5 * (s11 * (m1 * m2).imag - s22 * (1.0 / (m1 * m2)).imag)
        return 0.5 * np.array([[-s22 * ((m1 + m2) / (m1 * m2)).imag, cross], [cross, s11 * (m1 + m2).imag]])


def crack_faces(mesh: SimplexMesh, tip: object = (0.0, 0.0)) -> IntArray:
    """+1 and −1 for nodes (n_nodes,) on the upper and lower face of a slit on y = y_tip, x < x_tip; 0 for all others.

    A node belongs to a face if all cells around it lie on one side of the crack plane.
    """
    x0, y0 = np.asarray(tip, dtype=float)
    X = mesh.nodes
    on = (np.abs(X[:, 1] - y0) < 1e-9 * np.ptp(X[:, :2])) & (X[:, 0] < x0)
    above = np.repeat(mesh.centroids[:, 1] > y0, mesh.cell_nodes.shape[1])
    count = np.bincount(mesh.cell_nodes.ravel(), minlength=len(X))
    up = np.bincount(mesh.cell_nodes.ravel(), above, minlength=len(X))
    return np.where(on, np.where(up == count, 1, np.where(up == 0, -1, 0)), 0)
