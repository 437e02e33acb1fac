"""Overlap integrals of contracted Gaussians with s, p and d functions, differentiable in the positions.

By a theorem of Hobson, a solid harmonic times a Gaussian is a derivative of the Gaussian: Y_l(r−A) e^{−a|r−A|²} =
(2a)^{−l} Y_l(∇_A) e^{−a|r−A|²}. So the overlap of two shells at A and B is a derivative of one function of t = R², R = A − B:

    S = (−1)^{l'} Y_l(∇_R) Y_l'(∇_R) F(R²),      F(t) = Σ_ab c_a c_b (π/(a+b))^{3/2} (2a)^{−l} (2b)^{−l'} e^{−ab t/(a+b)}

With F_k = d^kF/dt^k and the traceless symmetric matrices T, U of the d functions (Y = r·T·r; those of p functions are the axes):

    ss   F₀                                 pp   4 R_i R_j F₂ + 2 δ_ij F₁
    sp   2 R_i F₁                           pd   8 R_i (R·T·R) F₃ + 8 (T R)_i F₂
    sd   4 (R·T·R) F₂                       dd   16 (R·T·R)(R·U·R) F₄ + 32 (R·T·U·R) F₃ + 8 tr(T U) F₂

All pairs of shells of the same two kinds are evaluated at once, in a few operations on the pairs' vectors through which torch
differentiates. The Gaussians are dxtb's, normalised anew. Reference: E. J. Weniger, Collect. Czech. Chem. Commun. 70 (2005) 1225,
https://doi.org/10.1135/cccc20051225.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi, sqrt
from typing import Any

from ..lazy import REMEDIES
from ..types import MultiscaleError, missing

try:
    import torch
    from dxtb._src.basis.bas import Basis
except ImportError as error:  # pragma: no cover - dxtb is a declared dependency of this kind of region
    raise missing("dxtb", "A tight-binding region", REMEDIES["dxtb"]) from error

_H = sqrt(3.0) / 2.0
#: T of z² − (x² + y²)/2, √3 xz, √3 yz, √3 (x² − y²)/2, √3 xy.
_D = (
    ((-0.5, 0, 0), (0, -0.5, 0), (0, 0, 1.0)),
    ((0, 0, _H), (0, 0, 0), (_H, 0, 0)),
    ((0, 0, 0), (0, 0, _H), (0, _H, 0)),
    ((_H, 0, 0), (0, -_H, 0), (0, 0, 0)),
    ((0, _H, 0), (_H, 0, 0), (0, 0, 0)),
)


@dataclass(frozen=True)
class _Kind:
    """All pairs of shells (on different atoms) of two kinds, l ≤ l'.

    Attributes
    ----------
    place : tensor
        (pairs, 2l+1, 2l'+1) positions of the blocks in the flattened matrix, and of their transposes.
    i, j : (pairs,) tensors
        Atoms.
    decay : (primitives,) tensor
        ab/(a+b), 1/Bohr².
    table : (primitives, l + l' + 1) tensor
        Coefficients of F₀ … F_{l+l'}.
    """

    l: tuple[int, int]  # noqa: E741
    place: Any
    back: Any
    i: Any
    j: Any
    decay: Any
    table: Any


def _normalised(l: int, a: Any, c: Any) -> Any:  # noqa: E741
    """The coefficients ``c`` (primitives,) of a function that overlaps with itself by exactly one, as the matrix says that it does.

    dxtb's are as good as its tables are, 10⁻¹⁰, but for d functions, whose √3 it rounds to single precision.
    """
    sums = a[:, None] + a[None, :]
    own = c[:, None] * c[None, :] * (pi / sums) ** 1.5 * (1.0, 1.0, 3.0)[l] / (2.0 * sums) ** l
    return c / own.sum().sqrt()


class Overlap:
    """The overlap matrix of a basis as a function of the atoms' positions.

    Parameters
    ----------
    calculator : dxtb calculator
        Whose atoms.
    parameters : dxtb ``Param``
        The parametrisation.

    Attributes
    ----------
    n : int
        Number of orbitals.
    """

    def __init__(self, calculator: Any, parameters: Any) -> None:
        ihelp, dd = calculator.ihelp, {"device": calculator.device, "dtype": torch.float64}
        self.n = int(ihelp.orbitals_per_shell.sum())
        if int(ihelp.unique_angular.max()) > 2:
            raise MultiscaleError(
                "a tight-binding region was given elements with f functions; it needs s, p and d alone"
            )
        self._d = torch.tensor(_D, **dd)
        basis = Basis(torch.unique(calculator.numbers), parameters, ihelp, **dd)
        shapes = zip(ihelp.unique_angular.tolist(), *basis.create_cgtos(), strict=True)
        gauss = [(l, a, _normalised(l, a, c)) for l, a, c in shapes]  # noqa: E741
        start = torch.cumsum(ihelp.orbitals_per_shell, 0) - ihelp.orbitals_per_shell
        shells = (start, ihelp.shells_to_atom, ihelp.shells_to_ushell)
        order = sorted(range(len(gauss)), key=lambda k: gauss[k][0])
        kinds = (self._kind(u, v, gauss, *shells) for n, u in enumerate(order) for v in order[n:])
        self._kinds = [kind for kind in kinds if len(kind.i)]

    def _kind(self, u: int, v: int, gauss: Any, start: Any, atom: Any, of: Any) -> _Kind:
        (l, a, c), (m, b, e) = gauss[u], gauss[v]  # noqa: E741
        s, t = torch.nonzero((of[:, None] == u) & (of[None, :] == v), as_tuple=True)
        keep = (atom[s] < atom[t]) if u == v else (atom[s] != atom[t])
        s, t = s[keep], t[keep]
        rows = (start[s][:, None] + torch.arange(2 * l + 1, device=s.device))[:, :, None]
        columns = (start[t][:, None] + torch.arange(2 * m + 1, device=s.device))[:, None, :]
        sums = a[:, None] + b[None, :]
        decay = (a[:, None] * b[None, :] / sums).reshape(-1)
        front = (c / (2.0 * a) ** l)[:, None] * (e / (-2.0 * b) ** m)[None, :] * (pi / sums) ** 1.5
        table = front.reshape(-1, 1) * (-decay[:, None]) ** torch.arange(l + m + 1, device=s.device)
        return _Kind((l, m), rows * self.n + columns, columns * self.n + rows, atom[s], atom[t], decay, table)

    def matrix(self, x: Any) -> Any:
        """S (n, n) at positions ``x`` (atoms, 3), Bohr; differentiable."""
        flat = torch.eye(self.n, dtype=x.dtype, device=x.device).reshape(-1)
        places, blocks = [], []
        for kind in self._kinds:
            r = x[kind.i] - x[kind.j]
            f = torch.exp(-r.square().sum(1)[:, None] * kind.decay) @ kind.table
            block = self._block(kind.l, r, f).reshape(-1)
            places += [kind.place.reshape(-1), kind.back.reshape(-1)]
            blocks += [block, block]
        if places:
            flat = flat.index_put((torch.cat(places),), torch.cat(blocks))
        return flat.reshape(self.n, self.n)

    def _block(self, l: tuple[int, int], r: Any, f: Any) -> Any:  # noqa: E741
        """The overlaps (pairs, 2l+1, 2l'+1) from R (pairs, 3) and F_k (pairs, l + l' + 1)."""
        f0, *higher = (g[:, None, None] for g in f.unbind(1))
        if l == (0, 0):
            return f0
        if l == (0, 1):
            return 2.0 * r[:, None, :] * higher[0]
        if l == (1, 1):
            unit = torch.eye(3, dtype=r.dtype, device=r.device)
            return 4.0 * r[:, :, None] * r[:, None, :] * higher[1] + 2.0 * unit * higher[0]
        tr = torch.einsum("dij,pj->pid", self._d, r)
        rtr = (r[:, :, None] * tr).sum(1)
        if l == (0, 2):
            return 4.0 * rtr[:, None, :] * higher[1]
        if l == (1, 2):
            return 8.0 * (r[:, :, None] * rtr[:, None, :] * higher[2] + tr * higher[1])
        traces = 1.5 * torch.eye(5, dtype=r.dtype, device=r.device)
        outer = rtr[:, :, None] * rtr[:, None, :]
        return 16.0 * outer * higher[3] + 32.0 * (tr.transpose(1, 2) @ tr) * higher[2] + 8.0 * traces * higher[1]
