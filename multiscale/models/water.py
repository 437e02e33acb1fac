"""Flexible three-site water: SPC/Fw molecules with damped shifted-force electrostatics, strictly local.

    E = Σ_molecules [½ k_b (r₁ − r₀)² + ½ k_b (r₂ − r₀)² + ½ k_a (θ − θ₀)²]                        bonds and angle
      + Σ_OO s(r) 4ε[(σ/r)¹² − (σ/r)⁶]                                                             Lennard-Jones
      + Σ_{i<j} q_i q_j v(r_ij) − Σ_{i<j in one molecule} q_i q_j / r_ij − ½ v₀ Σ_i q_i²           electrostatics

    v(r) = f(r) − f(R) − (r − R) f′(R),    f(r) = erfc(αr)/r,    v₀ = f(R) − R f′(R) + 2α/√π,    R: cutoff

v and v′ vanish at the cutoff. Of the pairs within a molecule the bare Coulomb energy is taken off, not v: what is
left of them, 1/r − v → v₀ for short r, belongs to the neutralising shells, and the last term takes it off again, so that a
lone molecule's electrostatic energy is nearly zero (the last term is a constant without forces). s is a C² switch.

Molecules are recognised by distances: an H belongs to the O nearer than ``bond_limit``. A strictly local model
gets no more than the edges of one centre, and these suffice: seen from an H, another H at D is in the same molecule
when |D − D_O| < ``bond_limit``, where D_O points to its own O.
"""

from __future__ import annotations

import math

import torch

from ..types import MultiscaleError
from .base import Edges, SiteModel, checked_range, smooth_step

#: e²/(4πε₀), eV·Å, and kcal/mol, eV (CODATA 2018).
COULOMB = 14.3996454785
KCAL = 4184.0 / 96485.33212331


class FlexibleWater(SiteModel):
    """SPC/Fw water for cutoffs instead of lattice sums.

    Parameters
    ----------
    cutoff : float
        Å; of the electrostatics and of the Lennard-Jones term.
    onset : float, optional
        Å; where the switch of the Lennard-Jones term begins; 1 Å inside the cutoff unless given.
    damping : float
        α, 1/Å.
    length, angle : float
        r₀, Å, and θ₀, degrees; SPC/Fw's unless given. Beside a quantum description give those of its own molecule: else every
        molecule that changes sides is strained (SPC/Fw's by 0.2 eV for GFN2-xTB).
    bond_limit : float
        Å; an O–H pair closer than this is a bond. Bonds at 300 K are 1.01 ± 0.05 Å, the shortest hydrogen bonds 1.5 Å.

    Notes
    -----
    Site energies: a bond is shared by its ends, the angle belongs to O, every pair is shared by its ends. The Hessian
    jumps by q_i q_j f″(R) at the cutoff (2·10⁻³ eV/Å² for two H at 9 Å and α = 0.2), energies and forces do not.

    References
    ----------
    Parameters: Y. Wu, H. L. Tepper and G. A. Voth, J. Chem. Phys. 124 (2006) 024503,
    https://doi.org/10.1063/1.2136877. Electrostatics: C. J. Fennell and J. D. Gezelter, J. Chem. Phys. 124 (2006)
    234104, https://doi.org/10.1063/1.2206581. The parameters were fitted with Ewald sums, so that properties of this
    model are close to, not equal to, the published ones.

    Examples
    --------
    >>> FlexibleWater(cutoff=8.0).symbols
    ('O', 'H')
    """

    #: k_b and k_a, for ½k(…)²; ε and σ; charges of O and H.
    BOND, ANGLE = 1059.162 * KCAL, 75.90 * KCAL
    EPSILON, SIGMA = 0.1554253 * KCAL, 3.165492
    CHARGES = (-0.82, 0.41)

    charges: torch.Tensor

    def __init__(
        self,
        cutoff: float = 9.0,
        *,
        onset: float | None = None,
        damping: float = 0.2,
        length: float = 1.012,
        angle: float = 113.24,
        bond_limit: float = 1.3,
    ) -> None:
        super().__init__()
        self.symbols, self.name, self.doi = ("O", "H"), "SPC/Fw water", "10.1063/1.2136877"
        if (length, angle) != (1.012, 113.24):
            self.name += f" ({length:g} Å, {angle:g}°)"
        self.onset, self.cutoff = checked_range(cutoff - 1.0 if onset is None else onset, cutoff, self.name)
        if not (damping >= 0.0 and 1.1 < bond_limit < 1.5):
            raise MultiscaleError(
                f"{self.name} was given damping {damping} 1/Å and bond_limit {bond_limit} Å; it needs damping ≥ 0 and a "
                "limit between bonds (1.1 Å) and hydrogen bonds (1.5 Å)"
            )
        if not (0.8 < length < 1.1 and 60.0 < angle < 150.0):
            raise MultiscaleError(
                f"{self.name} was given a bond length of {length} Å and an angle of {angle}°; water has 0.8 to 1.1 Å and 60 to 150°"
            )
        if cutoff < 2.0 * bond_limit:
            raise MultiscaleError(f"{self.name} was given cutoff {cutoff} Å; it needs at least two bonds, mostly 8 Å")
        self.damping, self.bond_limit = float(damping), float(bond_limit)
        self.length, self.theta = float(length), math.radians(angle)
        self.register_buffer("charges", torch.tensor(self.CHARGES, dtype=torch.float64))

    def forward(self, edges: Edges) -> torch.Tensor:
        """Site energies (n_centres,), eV.

        Raises
        ------
        MultiscaleError
            If an atom does not belong to exactly one molecule: an H without O, or an O with other than two H.
        """
        r = edges.lengths()
        centre, neighbour = edges.pair_species()
        bonded = (centre != neighbour) & (r < self.bond_limit)
        self._check_molecules(edges, bonded)
        same = bonded | self._same_molecule(edges, bonded, (centre == 1) & (neighbour == 1))
        charge = COULOMB * self.charges[centre] * self.charges[neighbour]
        pair = charge * (self._damped(r) - same / r)
        pair = pair + torch.where(bonded, 0.5 * self.BOND * (r - self.length) ** 2, torch.zeros_like(r))
        own = self.charges[edges.species[: edges.n_centres]]
        site = edges.to_centres(0.5 * pair) - 0.5 * COULOMB * self._own() * own**2
        return site + self._dispersion(edges, r, (centre == 0) & (neighbour == 0)) + self._angles(edges, r, bonded)

    def _damped(self, r: torch.Tensor) -> torch.Tensor:
        """v(r), 1/Å."""
        f, slope = self._at_cutoff()
        return torch.erfc(self.damping * r) / r - f - (r - self.cutoff) * slope

    def _at_cutoff(self) -> tuple[float, float]:
        """f(R) and f′(R)."""
        a, R = self.damping, self.cutoff
        f = math.erfc(a * R) / R
        return f, -f / R - 2.0 * a / math.sqrt(math.pi) * math.exp(-((a * R) ** 2)) / R

    def _own(self) -> float:
        """v₀, the limit of 1/r − v(r) for r → 0."""
        f, slope = self._at_cutoff()
        return f - self.cutoff * slope + 2.0 * self.damping / math.sqrt(math.pi)

    def _dispersion(self, edges: Edges, r: torch.Tensor, oxygens: torch.Tensor) -> torch.Tensor:
        k = oxygens.nonzero()[:, 0]
        six = (self.SIGMA / r[k]) ** 6
        bond = 4.0 * self.EPSILON * six * (six - 1.0) * smooth_step(r[k], self.onset, self.cutoff)
        return r.new_zeros(edges.n_centres).index_add(0, edges.centre[k], 0.5 * bond)

    def _angles(self, edges: Edges, r: torch.Tensor, bonded: torch.Tensor) -> torch.Tensor:
        """½k_a(θ − θ₀)² at every O; with its two unit vectors u, |u₁ + u₂|² = 2 + 2 cos θ."""
        k = (bonded & (edges.species[edges.centre] == 0)).nonzero()[:, 0]
        both = r.new_zeros(edges.n_centres, 3).index_add(0, edges.centre[k], edges.vectors[k] / r[k, None])
        o = (edges.species[: edges.n_centres] == 0).nonzero()[:, 0]
        # At 180° the slope of the arc cosine is infinite; a molecule that straight costs 1.9 eV and never occurs.
        theta = torch.acos((0.5 * (both[o] ** 2).sum(-1) - 1.0).clamp(-1.0 + 1e-12, 1.0 - 1e-12))
        return r.new_zeros(edges.n_centres).index_add(0, o, 0.5 * self.ANGLE * (theta - self.theta) ** 2)

    def _same_molecule(self, edges: Edges, bonded: torch.Tensor, hydrogens: torch.Tensor) -> torch.Tensor:
        """Which H–H edges lie within one molecule."""
        with torch.no_grad():
            # An H has one bonded edge, so that the sum over its edges is that edge's vector.
            to_oxygen = edges.to_centres(torch.where(bonded[:, None], edges.vectors, torch.zeros_like(edges.vectors)))
            beyond = edges.vectors - to_oxygen[edges.centre]
            return hydrogens & ((beyond * beyond).sum(-1) < self.bond_limit**2)

    def _check_molecules(self, edges: Edges, bonded: torch.Tensor) -> None:
        """Refuse broken molecules: the energy of one is not defined."""
        found = edges.to_centres(bonded.to(edges.vectors.dtype))
        wanted = 2.0 - edges.species[: edges.n_centres].to(found.dtype)
        wrong = (found != wanted).nonzero()[:, 0]
        if len(wrong):
            k = int(wrong[0])
            symbol, partner = (("O", "H"), ("H", "O"))[int(edges.species[k])]
            raise MultiscaleError(
                f"{self.name} found {len(wrong)} atoms outside whole molecules, the first an {symbol} with {int(found[k])} "
                f"{partner} within {self.bond_limit:g} Å instead of {int(wanted[k])}; give it whole water molecules, and look "
                "for a step so large that one broke"
            )
