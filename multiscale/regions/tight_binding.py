"""Atoms in GFN1-xTB with site energies: E(x ; w) = Σ_i w_i e_i(x),  e_i = c_E [e_i^xTB(c_L x) − ε_i],  F = −∂E/∂x at fixed w.

The energy is the free energy E − TS, and the electronic entropy is divided over the sites with the rest, so that Σ_i e_i is the total
to round-off (:mod:`multiscale.regions.tb_model` has the division). The gradient of the weighted sum contains the response of the
self-consistent density to the weights: one linear equation (:mod:`multiscale.regions.tb_response`), then one reverse pass. With all
weights equal it is the ordinary force.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ase
import numpy as np
from ase.units import Bohr, Hartree, kB
from numpy.typing import ArrayLike

from ..align import zeros_per_atom
from ..lazy import REMEDIES
from ..region import Answer, Can, Query
from ..types import Array, MultiscaleError, Team, missing

try:
    import torch
except ImportError as error:  # pragma: no cover - torch is a declared dependency of this kind of region
    raise missing("torch", "A tight-binding region", REMEDIES["torch"]) from error

from . import failures as failed
from .atomic import AtomicRegion
from .tb_fermi import channels
from .tb_model import GFN1, without_parameters
from .tb_response import State
from .tb_scf import NotConverged, Rung, converge, tight_binding_ladder

log = logging.getLogger(__name__)


class TightBindingRegion(AtomicRegion):
    """An open cluster or molecule in GFN1-xTB whose energy divides into atoms.

    Parameters
    ----------
    atoms : ase.Atoms
        Elements (up to radon), masses and reference positions (in the surrounding model's lengths); no periodic axes.
    link_atoms : (n,) bool array, optional
        Which atoms saturate broken bonds; they are no matter of the problem, though they have site energies and take weights.
    charge, spin : int
        Total charge, e, and number of unpaired electrons; an odd number of electrons has one where ``spin`` is 0.
    electronic_temperature : float
        K; see :class:`~multiscale.regions.qm.QMRegion`.
    accuracy : float
        The charges are converged to ``accuracy`` × 10⁻¹¹ e, but not below 10⁻¹³. Weighted energies are linear in what is left,
        so that this is tight; Newton steps make it cheap.
    energy_zero : mapping, optional
        Element → eV, subtracted per atom (before scaling).
    length_scale, energy_scale : float
        c_L and c_E; see :func:`multiscale.regions.rescale.tune_rescaling`.
    restart : bool
        Start each SCF from the last one's charges; results agree within the tolerance.
    ladder : sequence of Rung, optional
        What to try if it fails; :func:`~multiscale.regions.tb_scf.tight_binding_ladder`.
    failures : str or Path
        Folder for the geometries that failed.

    Attributes
    ----------
    retries : list of (int, int)
        (number of the SCF, rung of the ladder that worked), for every SCF that needed one.
    evaluations : int
        Number of SCFs. Asking again at the same positions, with other weights, costs none.
    response_iterations : int
        Products with the response matrix that the last gradient took.

    References
    ----------
    GFN1-xTB: https://doi.org/10.1021/acs.jctc.7b00118. dxtb: https://doi.org/10.1063/5.0216715.

    Examples
    --------
    >>> from ase.build import molecule
    >>> silane = TightBindingRegion(molecule("SiH4"))
    >>> answer = silane.evaluate(silane.reference, Query(Can.ENERGY | Can.SITE_ENERGIES))
    >>> round(answer.energy, 1), round(answer.site_energies[0], 1)
    (-109.1, -51.5)
    """

    can = Can.ENERGY | Can.FORCES | Can.SITE_ENERGIES | Can.SITE_WEIGHTS
    reach = float("inf")

    def __init__(
        self,
        atoms: ase.Atoms,
        *,
        link_atoms: ArrayLike | None = None,
        charge: int = 0,
        spin: int = 0,
        electronic_temperature: float = 1000.0,
        accuracy: float = 0.1,
        energy_zero: Mapping[str, float] | None = None,
        length_scale: float = 1.0,
        energy_scale: float = 1.0,
        restart: bool = True,
        ladder: Sequence[Rung] | None = None,
        failures: str | Path = ".",
    ) -> None:
        if atoms.pbc.any():
            raise MultiscaleError(
                f"TightBindingRegion was given atoms with periodic axes {atoms.pbc.tolist()}, but dxtb has no periodic cells; "
                "carve a cluster, or use QMRegion"
            )
        super().__init__(atoms, link_atoms)
        strange = without_parameters(self.symbols)
        if strange:
            raise MultiscaleError(
                f"TightBindingRegion was given {', '.join(strange)}, for which GFN1-xTB has no parameters; it describes hydrogen to "
                "radon: leave these atoms to another region, or use QMRegion with another engine"
            )
        numbers = (length_scale, energy_scale, electronic_temperature, accuracy)
        if not all(np.isfinite(number) and number > 0.0 for number in numbers):
            raise MultiscaleError(
                f"TightBindingRegion was given length_scale={length_scale}, energy_scale={energy_scale}, "
                f"electronic_temperature={electronic_temperature} and accuracy={accuracy}; all must be positive numbers"
            )
        self.charge, self.spin = int(charge), int(spin)
        self.electronic_temperature = float(electronic_temperature)
        self.tolerance = max(1e-11 * accuracy, 1e-13)
        self.length_scale, self.energy_scale = float(length_scale), float(energy_scale)
        self._zeros = zeros_per_atom(self.symbols, energy_zero)
        self.restart, self.failures = restart, Path(failures)
        self.ladder = tuple(tight_binding_ladder(self.electronic_temperature) if ladder is None else ladder)
        self.retries: list[tuple[int, int]] = []
        self.evaluations = self.response_iterations = 0
        self._forget()

    def describe(self) -> str:
        """One line for reports."""
        return f"TightBindingRegion of {self.n_sites} atoms, {int(self.link_atoms.sum())} of them link atoms (GFN1-xTB)"

    def bind(self, team: Team) -> None:
        """Give the region its team; only the first member calculates, on its device."""
        self.team = team
        self._forget()

    def evaluate(self, x: Array, query: Query) -> Answer:
        """The answer at positions ``x`` (n_dofs, 3), Å, on the team's first member, zero on the others."""
        self.check(x, query)
        w = np.ones(self.n_sites) if query.weights is None else np.asarray(query.weights, dtype=float)
        sites, forces = np.zeros(self.n_sites), np.zeros((self.n_dofs, 3))
        if self.team.rank == 0:
            with torch.no_grad():
                state = self._state(self.length_scale * np.asarray(x, dtype=float))
                sites = self.energy_scale * (Hartree * state.site_energies().cpu().numpy() - self._zeros)
                if Can.FORCES in query.want:
                    slope, self.response_iterations = state.gradient(state.v.new_tensor(w))
                    forces = -self.energy_scale * self.length_scale * Hartree / Bohr * slope.cpu().numpy()
        return Answer(
            energy=float(w @ sites) if Can.ENERGY in query.want else None,
            forces=forces if Can.FORCES in query.want else None,
            site_energies=sites if Can.SITE_ENERGIES in query.want else None,
        )

    def _forget(self) -> None:
        self._model: GFN1 | None = None
        self._last: tuple[Array, State] | None = None

    def _ready(self) -> GFN1:
        if self._model is None:
            self._model = GFN1(self._atoms.numbers, self.team.device)
            electrons, room = self._electrons(self._model), 2 * self._model.overlap.n
            if not (0 <= electrons <= room and 0 <= self.spin <= min(electrons, room - electrons)) or (
                self.spin and (electrons - self.spin) % 2
            ):
                raise MultiscaleError(
                    f"{self.describe()} was given charge={self.charge} and spin={self.spin}, which leaves {electrons} "
                    f"valence electrons for {room} places; give a charge and a number of unpaired electrons that fit"
                )
        return self._model

    def _electrons(self, model: GFN1) -> int:
        return round(float(model.reference.sum())) - self.charge

    def _state(self, x: Array) -> State:
        """The self-consistent state at the scaled positions ``x`` (n_dofs, 3), Å; that of the last call if they are the same."""
        if self._last is not None and np.array_equal(self._last[0], x):
            return self._last[1]
        model = self._ready()
        self.evaluations += 1
        try:
            geometry = model.geometry(torch.as_tensor(x / Bohr, dtype=torch.float64, device=self.team.device))
        except torch.linalg.LinAlgError as error:
            # Atoms on top of one another have the same orbitals, and an overlap matrix that is singular whatever the rung.
            raise self._failed(x, error, "") from error
        spins = channels(self._electrons(model), self.spin)
        fresh = torch.full_like(model.reference, self.charge / len(model.reference))
        start = self._last[1].q if self._last is not None and self.restart else fresh

        def diagonalise(q: Any, kT: float) -> State:
            return State.of(model, geometry, q, spins, kT)

        reason: Exception | None = None
        for number, rung in enumerate((Rung(), *self.ladder)):
            try:
                hot = rung.electronic_temperature or self.electronic_temperature
                state = converge(diagonalise, fresh if number else start, rung, hot, kB / Hartree, self.tolerance)
            except (NotConverged, torch.linalg.LinAlgError) as error:
                reason = error
                continue
            self._record(number, rung)
            self._last = (x.copy(), state)
            return state
        assert reason is not None
        raise self._failed(x, reason, f", nor with {len(self.ladder)} safer settings") from reason

    def _record(self, number: int, rung: Rung) -> None:
        if number == 0:
            return
        self.retries.append((self.evaluations, number))
        if not rung.stable:
            log.warning(
                "%s: SCF %d found no stable charges and took a saddle of the free energy (rung %d); "
                "check the geometry, or raise the electronic temperature",
                self.describe(), self.evaluations, number,
            )  # fmt: skip
        if rung.electronic_temperature is not None:
            log.warning(
                "%s: SCF %d converged only at an electronic temperature of %g K (rung %d), which is another functional than "
                "the other evaluations'; its energy does not compare with theirs",
                self.describe(), self.evaluations, rung.electronic_temperature, number,
            )  # fmt: skip

    def _failed(self, x: Array, reason: Exception, tried: str) -> MultiscaleError:
        """The sentence about a calculation at the scaled positions ``x`` (n_dofs, 3), Å, whose geometry it saves."""
        self._last = None
        role = np.where(self.link_atoms, "link", "atom")
        where = failed.keep(self.failures, "tight-binding-failure", ase.Atoms(self._atoms.numbers, x), role)
        return MultiscaleError(
            f"{self.describe()} did not converge in SCF {self.evaluations}{tried} ({reason}); the geometry {where}: look for atoms "
            "too close, a wrong charge or spin, or link atoms on top of one another"
        )
