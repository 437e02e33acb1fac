"""GFN1-xTB as functions of the atoms' positions, with dxtb's parameters and its differentiable pieces.

    H = H⁰ − ½ S ∘ (v ⊕ v),   H⁰ = Π(x) ∘ S(x),   v = Γ(x) q + γ₃ q_A²,   q_s = n⁰_s − Σ_{μ∈s} (P S)_μμ

with shells s, orbitals μ, (v ⊕ v)_μν = v_μ + v_ν, and q_A the charge of the shell's atom. The site energies are

    e_i = Σ_{μ∈i} [(P ∘ H⁰) 1]_μ + ½ Σ_{s∈i} q_s (Γq)_s + ⅓ γ₃ q_i³ + Σ_{μ∈i} (G S)_μμ + e_i(repulsion, dispersion, halogen)

Everything here is in Hartree and Bohr. Reference: https://doi.org/10.1021/acs.jctc.7b00118 (the method),
https://doi.org/10.1063/5.0216715 (dxtb).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from ..lazy import REMEDIES
from ..types import IntArray, missing
from .tb_integrals import Overlap

try:
    import torch
    from dxtb import GFN1_XTB, Calculator, ParamModule
    from tad_mctc.units import EV2AU
except ImportError as error:  # pragma: no cover - dxtb is a declared dependency of this kind of region
    raise missing("dxtb", "A tight-binding region", REMEDIES["dxtb"]) from error

#: eV in one Hartree that the levels of the parametrisation are converted with. The reference implementations use CODATA 2010,
#: dxtb newer constants; the difference, 3.6·10⁻⁸ of the energy, is 1.2·10⁻⁶ eV per atom of silicon.
HARTREE_OF_LEVELS = 27.21138505


@cache
def _parameters(device: str) -> Any:
    """The parametrisation on a device; only read, and slow to make."""
    return ParamModule(GFN1_XTB, device=torch.device(device), dtype=torch.float64)


def without_parameters(symbols: Sequence[str]) -> list[str]:
    """The elements among ``symbols`` that the parametrisation does not have: those beyond radon."""
    return sorted(set(symbols) - set(GFN1_XTB.element))


@dataclass(frozen=True)
class Geometry:
    """What depends on the positions alone.

    Attributes
    ----------
    x : (atoms, 3) tensor
        Positions, Bohr; a leaf.
    graph : tuple of tensors
        S, Π, Γ and the classical energies (atoms,), with torch's graphs back to ``x``.
    S : (n, n) tensor
        Overlap.
    scale : (n, n) tensor
        Π = H⁰/S, Hartree.
    coulomb : (shells, shells) tensor
        Γ, Hartree/e².
    L, inverse : (n, n) tensors
        S = L Lᵀ, and L⁻ᵀ.
    """

    x: Any
    graph: tuple[Any, Any, Any, Any]
    S: Any
    scale: Any
    coulomb: Any
    L: Any
    inverse: Any

    @cached_property
    def H0(self) -> Any:
        """The Hamiltonian of the neutral reference (n, n), Hartree."""
        return self.scale * self.S

    @property
    def classical(self) -> Any:
        """Repulsion, dispersion and halogen-bond energies of the atoms (atoms,), Hartree."""
        return self.graph[3].detach()


class GFN1:
    """The method for given elements.

    Parameters
    ----------
    numbers : (atoms,) int array
        Atomic numbers.
    device : str
        In torch's notation.
    """

    def __init__(self, numbers: IntArray, device: str = "cpu") -> None:
        parameters = _parameters(device)
        self.numbers = torch.as_tensor(numbers, device=device)
        calculator = Calculator(
            self.numbers, parameters, opts={"verbosity": 0}, device=torch.device(device), dtype=torch.float64
        )
        self._ihelp, self._classicals = calculator.ihelp, calculator.classicals
        self._hcore = calculator.integrals.hcore
        for name in ("selfenergy", "kcn"):
            setattr(self._hcore, name, getattr(self._hcore, name) / (EV2AU * HARTREE_OF_LEVELS))
        self._es2, es3 = calculator.interactions.get_interaction("ES2"), calculator.interactions.get_interaction("ES3")
        self.overlap = Overlap(calculator, parameters)
        ihelp = self._ihelp
        self.shell_of, self.atom_of_shell = ihelp.orbitals_to_shell, ihelp.shells_to_atom
        self.atom_of = self.atom_of_shell[self.shell_of]
        #: γ₃ of every atom, Hartree per e³.
        self.third = es3.get_cache(numbers=self.numbers, ihelp=ihelp).hd
        self.reference = self.by_shell(self._hcore.get_occupation())

    def by_shell(self, a: Any) -> Any:
        """Sums (shells,) over the orbitals (n,) of every shell."""
        return a.new_zeros(len(self.atom_of_shell)).index_add_(0, self.shell_of, a)

    def by_atom(self, a: Any) -> Any:
        """Sums (atoms,) over the orbitals (n,) or the shells (shells,) of every atom."""
        of = self.atom_of if len(a) == len(self.atom_of) else self.atom_of_shell
        return a.new_zeros(len(self.numbers)).index_add_(0, of, a)

    def geometry(self, x: Any) -> Geometry:
        """All that depends on the positions ``x`` (atoms, 3), Bohr."""
        with torch.enable_grad():
            leaf = x.detach().clone().requires_grad_(True)
            overlap = self.overlap.matrix(leaf)
            scale = self._hcore.build(leaf)
            # dxtb keeps the matrix, and with it the graph of this geometry.
            self._hcore.clear()
            gamma = self._es2.get_shell_coulomb_matrix(self.numbers, leaf, self._ihelp)
            terms = self._classicals.get_energy(leaf, self._classicals.get_cache(self.numbers, self._ihelp))
            classical = torch.stack(list(terms.values())).sum(0)
        s = overlap.detach()
        lower = torch.linalg.cholesky(s)
        inverse = torch.linalg.solve_triangular(lower, torch.eye(len(s), dtype=s.dtype, device=s.device), upper=False).T
        return Geometry(leaf, (overlap, scale, gamma, classical), s, scale.detach(), gamma.detach(), lower, inverse)

    def potential(self, geometry: Geometry, q: Any) -> Any:
        """Potentials v (shells,), Hartree/e, of the shells' charges ``q`` (shells,), e."""
        return geometry.coulomb @ q + (self.third * self.by_atom(q).square())[self.atom_of_shell]

    def stiffness(self, geometry: Geometry, q: Any, dq: Any) -> Any:
        """J δq, with J = ∂v/∂q (symmetric) at the charges ``q``."""
        return geometry.coulomb @ dq + (2.0 * self.third * self.by_atom(q) * self.by_atom(dq))[self.atom_of_shell]

    def pull(self, geometry: Geometry, weights: Any, at_h0: Any, at_s: Any, at_gamma: Any) -> Any:
        """Gradient (atoms, 3) of tr(H⁰ at_h0) + tr(S at_s) + tr(Γ at_gamma) + Σ w_i e_i(classical), Hartree/Bohr.

        Every matrix is taken as fixed: this is the one reverse pass through all that depends on the positions.
        """
        seeds = (at_s + at_h0 * geometry.scale, at_h0 * geometry.S, at_gamma, weights)
        # Of a single atom nothing depends on the position.
        pairs = [(a, seed) for a, seed in zip(geometry.graph, seeds, strict=True) if a.requires_grad]
        if len(geometry.x) == 1:
            return torch.zeros_like(geometry.x)
        outputs, given = zip(*pairs, strict=True)
        (gradient,) = torch.autograd.grad(outputs, geometry.x, given, retain_graph=True)
        return gradient
