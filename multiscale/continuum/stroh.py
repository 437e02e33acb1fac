"""Stroh's crack-tip field of modes I, II and III in a generally anisotropic solid: no plane of symmetry is asked of the front.

    N (a, b)ᵀ = p (a, b)ᵀ,   N = [[−T⁻¹Rᵀ, T⁻¹], [RT⁻¹Rᵀ − Q, −RT⁻¹]],   Q_ik = C_i1k1, R_ik = C_i1k2, T_ik = C_i2k2
    u = √(2/π) Re{ A √(x + P y) B⁻¹ } k,      k = (K_II, K_I, K_III),      ε_zz = 0,  u_z = u_z(x, y)
    G = ½ kᵀ L⁻¹ k,      L⁻¹ = −Im(A B⁻¹)

The roots p come in conjugate pairs; the columns of (A, B) span the space that belongs to Im p > 0. Nothing in these formulas needs
that basis to be made of eigenvectors: with the ordered Schur form N (A, B)ᵀ = (A, B)ᵀ P, P upper triangular, they hold as they
stand. The square root of a triangular matrix is exact by divided differences, which for √(x + p y) have no cancellation,

    f[a, b] = y / (r_a + r_b),      f[a, b, c] = −y² / ((r_a + r_b)(r_b + r_c)(r_a + r_c)),      r = √(x + p y).

Equal roots (isotropy: p = i three times, with one eigenvector too few) are therefore no special case and cost no digits.

References: A. N. Stroh, Phil. Mag. 3 (1958) 625, DOI 10.1080/14786435808565804; T. C. T. Ting, Anisotropic Elasticity (Oxford 1996),
chapters 5 and 11; D. M. Barnett & J. Lothe, Phys. Norv. 7 (1973) 13.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from ..types import GPA_PER_EV_A3, Array
from .tipfield import TipField, branched_sqrt
from .voigt import PAIRS, voigt_stiffness

#: K = (K_I, K_II, K_III) are the tractions along (y, x, z).
_TRACTIONS = [1, 0, 2]


@dataclass(frozen=True, eq=False)
class StrohField(TipField):
    """Crack-tip field of modes I, II and III, for any anisotropy.

    Parameters
    ----------
    C : (6, 6) array
        Elastic constants, GPa, Voigt order, in the crack's frame: x the direction of growth, y the normal of the
        crack plane, z the front. Faces lie on y = 0, x < 0.

    Notes
    -----
    Stress-intensity factors are in MPa·√m: a number (mode I), (K_I, K_II) or (K_I, K_II, K_III). Fields, derivatives and energies
    are documented in :class:`~multiscale.continuum.tipfield.TipField`. Where the front is normal to a mirror plane, modes I and II
    are those of :class:`~multiscale.continuum.kfield.KField`; elsewhere they have a u_z.

    Examples
    --------
    >>> from multiscale.continuum.voigt import cubic_stiffness
    >>> field = StrohField(cubic_stiffness(200.0, 100.0, 50.0))
    >>> G = field.energy_release_rate((0.0, 0.0, 1.0))  # K_III²/2μ
    >>> float(round(G, 9))
    10.0
    """

    C: Array
    modes = 3

    def __post_init__(self) -> None:
        object.__setattr__(self, "C", voigt_stiffness(self.C))

    @cached_property
    def stiffness(self) -> Array:
        """C (6, 6), eV/Å³."""
        return self.C / GPA_PER_EV_A3

    @cached_property
    def sextic(self) -> Array:
        """Stroh's matrix N (6, 6), with stresses in units of the mean of C's diagonal."""
        q, r, t = (self._block(i, j) / self._scale for i, j in ((0, 0), (0, 1), (1, 1)))
        t = np.linalg.inv(t)
        return np.block([[-t @ r.T, t], [r @ t @ r.T - q, -r @ t]])

    @cached_property
    def roots(self) -> NDArray[np.complex128]:
        """The roots p_1 … p_3 with positive imaginary part."""
        return np.diag(self._schur[0]).copy()

    @property
    def barnett_lothe(self) -> tuple[Array, Array, Array]:
        """S (dimensionless), H (Å³/eV) and L (eV/Å³), (3, 3) each, real; G = ½ kᵀ L⁻¹ k."""
        _, a, b = self._schur
        m = a @ np.linalg.inv(b)
        L = -np.linalg.inv(m.imag)
        return -m.real @ L, np.linalg.inv(np.linalg.inv(m).imag) / self._scale, L * self._scale

    @cached_property
    def irwin(self) -> Array:
        """The matrix B (3, 3) of G = Kᵀ B K, Å³/eV: ½ L⁻¹ in the order of the modes."""
        half = 0.5 * np.linalg.inv(self.barnett_lothe[2])
        half = 0.5 * (half + half.T)
        return half[np.ix_(_TRACTIONS, _TRACTIONS)]

    def unit(self, d: Array, side: Array, order: int) -> Array:
        """The fields of unit K_I, K_II and K_III, or their derivatives; see :meth:`TipField.unit`."""
        p, a, b = self._schur
        right = np.linalg.inv(b)[:, _TRACTIONS] / self._scale
        R = self._root(d, side)
        if order == 0:
            found = a @ R @ right
        else:
            inverse = _triangular_inverse(R)
            middle = 0.5 * inverse if order == 1 else -0.25 * inverse @ inverse @ inverse
            powers = [np.eye(3), p, p @ p]
            parts = [a @ power @ middle @ right for power in powers[: order + 1]]  # P commutes with √(x + P y)
            found = np.stack(parts if order == 1 else [parts[0], parts[1], parts[1], parts[2]], axis=-1)
            found = found.reshape(len(d), 3, 3, *(2,) * order)
        return np.sqrt(2.0 / np.pi) * found.real

    # -- details ------------------------------------------------------------------------------------------------

    @property
    def _scale(self) -> float:
        """The unit of stress, eV/Å³, in which both halves of an eigenvector are of the same size."""
        return float(np.diag(self.stiffness).mean())

    def _block(self, j: int, m: int) -> Array:
        """C_ijkm (3, 3), eV/Å³, for i and k."""
        number = {pair: v for v, (p, q) in enumerate(PAIRS) for pair in ((p, q), (q, p))}
        return np.array([[self.stiffness[number[i, j], number[k, m]] for k in range(3)] for i in range(3)])

    @cached_property
    def _schur(self) -> tuple[NDArray[np.complex128], NDArray[np.complex128], NDArray[np.complex128]]:
        """P, A and B, (3, 3) each: N (A, B)ᵀ = (A, B)ᵀ P, P upper triangular with Im p > 0 on its diagonal."""
        t, q, _ = scipy.linalg.schur(self.sextic.astype(complex), output="complex", sort=lambda p: p.imag > 0)
        return t[:3, :3], q[:3, :3], q[3:, :3]

    def _root(self, d: Array, side: Array) -> NDArray[np.complex128]:
        """√(x + P y) (n, 3, 3), upper triangular."""
        p, y = self._schur[0], d[:, 1]
        r = branched_sqrt(d, side, self.roots)
        # Below the tip (y < 0) all r have negative, above positive imaginary parts: sums vanish at the tip alone, where f does.
        total = {(i, j): np.where(r[:, i] + r[:, j] == 0, 1.0, r[:, i] + r[:, j]) for i, j in ((0, 1), (1, 2), (0, 2))}
        R = np.zeros((len(d), 3, 3), dtype=complex)
        R[:, range(3), range(3)] = r
        for (i, j), s in total.items():
            R[:, i, j] = p[i, j] * y / s
        R[:, 0, 2] -= p[0, 1] * p[1, 2] * y**2 / (total[0, 1] * total[1, 2] * total[0, 2])
        return R


def _triangular_inverse(R: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """Inverses of upper triangular matrices (n, 3, 3); infinite where singular, at the tip, instead of an error."""
    out = np.zeros_like(R)
    inverse = 1.0 / R[:, range(3), range(3)]
    out[:, range(3), range(3)] = inverse
    out[:, 0, 1] = -R[:, 0, 1] * inverse[:, 0] * inverse[:, 1]
    out[:, 1, 2] = -R[:, 1, 2] * inverse[:, 1] * inverse[:, 2]
    out[:, 0, 2] = (R[:, 0, 1] * R[:, 1, 2] * inverse[:, 1] - R[:, 0, 2]) * inverse[:, 0] * inverse[:, 2]
    return out
