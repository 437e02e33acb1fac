"""Atoms described by a quantum calculation: E(x) = c_E [E_QM(c_L x) − Σ_i ε_i],      F = −∂E/∂x = c_E c_L F_QM(c_L x).

The energy is a total energy: it does not divide into sites, so there are no weights. c_L (the ratio of the QM lattice
constant to the one of the model that surrounds the region) and c_E make the two bulk phases fit each other; ε_i are
energy zeros per element. Link atoms come in as ordinary rows of x: whoever places them (x_in + c (x_out − x_in))
chooses their bond length, and passes their forces on.

An engine without k-points calculates n repeats of a periodic region, E(x) = E(x, x + t, …)/n: the n-th parts of its zone that Γ of the
repeated cell folds back, per period. Forces are the repeats' mean, exact as the energy is.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ase
import numpy as np
from numpy.typing import ArrayLike

from ..align import zeros_per_atom
from ..region import Answer, Can, Query
from ..types import Array, MultiscaleError, Team
from . import failures as failed
from .atomic import AtomicRegion
from .engines import Engine, Settings, Source, agreed, calculate, spoken

log = logging.getLogger(__name__)

#: Energy and forces (None where they were not asked for).
Raw = tuple[float, Array | None]


class QMRegion(AtomicRegion):
    """Atoms described by any ASE calculator.

    Parameters
    ----------
    atoms : ase.Atoms
        Elements, masses, reference positions (in the surrounding model's lengths), cell and periodic axes.
    calculator : str, calculator, callable or None
        Name (``"GFN1-xTB"``, ``"GFN2-xTB"``, ``"pyscf"``, or one that ASE knows), an ASE calculator, or a callable that
        makes one. None is GFN1-xTB through tblite. A callable with an argument ``team`` gets the region's
        :class:`~multiscale.types.Team`, and all its members call what it makes together; otherwise the first member
        works alone, and programs that its calculator starts do not see this run's MPI launcher.
    link_atoms : (n,) bool array, optional
        Which atoms saturate broken bonds; they are no matter of the problem.
    core : (n,) bool array, optional
        Which atoms the calculation is for, the others being buffer and link atoms; for reports and error messages.
    charge, spin : int
        Total charge, e, and number of unpaired electrons; for xTB and PySCF.
    electronic_temperature : float, optional
        K; None is 1000 for xTB and 0 (no smearing) for PySCF. At a crack tip dangling bonds are nearly degenerate, and
        their occupation jumps between steps at 300 K; 1000 K (kT = 0.09 eV) makes it smooth, and changes nothing where
        there is a gap (3·10⁻⁵ meV per atom in Si35H36). The energy is the free energy E − TS that belongs to the forces.
    accuracy : float, optional
        xTB's threshold factor; 0.1, the default, leaves a history dependence of about 10⁻⁵ eV/Å in the forces, 1
        (tblite's own default) of 10⁻⁴.
    energy_zero : mapping, optional
        Element → eV, subtracted per atom (before scaling), so that energies of different engines can be compared.
    length_scale, energy_scale : float
        c_L and c_E, see above and :func:`multiscale.regions.rescale.tune_rescaling`.
    repeat : (int, int, int)
        Periods along each cell vector that are calculated together, for engines without k-points (xTB); energy and forces are those of
        one. Charge and spin are those of all.
    restart : bool
        Start each SCF from the last one's charges where the engine can; results agree within its tolerance. False
        makes a new calculator for every evaluation; for engines given by name.
    ladder : sequence of mappings, optional
        Settings for the calculator's ``set`` to try one after the other if it fails;
        :func:`~multiscale.regions.engines.xtb_ladder` and :func:`~multiscale.regions.engines.pyscf_ladder` for those,
        else none.
    failures : str or Path
        Folder for the geometries that failed.
    **settings
        Further settings of an engine given by name, such as ``xc="pbe", basis="def2-svp"``
        (:class:`~multiscale.regions.pyscf_engine.PySCFMolecule`).

    Attributes
    ----------
    retries : list of (int, int)
        (number of the evaluation, rung of the ladder that worked), for every evaluation that needed one.
    evaluations : int
        Number of calculations asked for.
    atom_energies : (n_sites,) array or None
        Energies per atom of the last evaluation, eV, scaled as the energy is, where the engine has them (xTB): a
        diagnosis, they have no gradients.

    References
    ----------
    GFN1-xTB: https://doi.org/10.1021/acs.jctc.7b00118. Rescaling: N. Bernstein, J. R. Kermode and G. Csányi, Rep. Prog.
    Phys. 72 (2009) 026501, https://doi.org/10.1088/0034-4885/72/2/026501.

    Examples
    --------
    >>> from ase.build import molecule
    >>> silane = QMRegion(molecule("SiH4"))
    >>> round(silane.evaluate(silane.reference, Query()).energy, 1)
    -109.1
    """

    can = Can.ENERGY | Can.FORCES
    reach = float("inf")

    def __init__(
        self,
        atoms: ase.Atoms,
        calculator: Source | None = None,
        *,
        link_atoms: ArrayLike | None = None,
        core: ArrayLike | None = None,
        charge: int = 0,
        spin: int = 0,
        electronic_temperature: float | None = None,
        accuracy: float | None = None,
        energy_zero: Mapping[str, float] | None = None,
        length_scale: float = 1.0,
        energy_scale: float = 1.0,
        repeat: tuple[int, int, int] = (1, 1, 1),
        restart: bool = True,
        ladder: Sequence[Settings] | None = None,
        failures: str | Path = ".",
        **settings: Any,
    ) -> None:
        super().__init__(atoms, link_atoms)
        self.core = None if core is None else self._mask("core", core)
        if self.core is not None and (not self.core.any() or (self.core & self.link_atoms).any()):
            raise MultiscaleError(
                f"QMRegion was given a core of {self.core.sum()} atoms, {(self.core & self.link_atoms).sum()} of them "
                "link atoms; a core needs atoms, and none of them may be a link atom"
            )
        if not all(np.isfinite(scale) and scale > 0.0 for scale in (length_scale, energy_scale)):
            raise MultiscaleError(
                f"QMRegion was given length_scale={length_scale} and energy_scale={energy_scale}; both must be positive numbers"
            )
        if len(repeat) != 3 or any(n < 1 or (n > 1 and not open_) for n, open_ in zip(repeat, self.pbc, strict=True)):
            raise MultiscaleError(
                f"QMRegion was given repeat={tuple(repeat)} for atoms with periodic axes {self.pbc.tolist()}; give three numbers ≥ 1, "
                "above 1 only along periodic axes"
            )
        self.repeat: tuple[int, int, int] = (int(repeat[0]), int(repeat[1]), int(repeat[2]))
        self.engine = Engine(
            "GFN1-xTB" if calculator is None else calculator,
            charge=charge, spin=spin, electronic_temperature=electronic_temperature, accuracy=accuracy,
            settings=settings, ladder=ladder,
        )  # fmt: skip
        self.ladder = self.engine.ladder
        self.length_scale, self.energy_scale = float(length_scale), float(energy_scale)
        self._zeros = zeros_per_atom(self.symbols, energy_zero)
        self.restart, self.failures = restart, Path(failures)
        self.retries: list[tuple[int, int]] = []
        self.evaluations = 0
        self.atom_energies: Array | None = None
        self._calculator: Any = None

    def describe(self) -> str:
        """One line for reports."""
        links = int(self.link_atoms.sum())
        parts = [f"QMRegion of {self.n_sites} atoms, {links} of them link atoms"]
        if self.core is not None:
            n = int(self.core.sum())
            parts.append(f"{n} core and {self.n_sites - links - n} buffer atoms")
        return f"{', '.join(parts)} ({self.engine.name})"

    def bind(self, team: Team) -> None:
        """Give the region its team, and make the calculator on those who calculate, so that what is missing shows now."""
        self.team = team
        self._calculator = self._make({}) if self._works else None

    def evaluate(self, x: Array, query: Query) -> Answer:
        """The answer at positions ``x`` (n_dofs, 3), Å, on the team's first member, zero on the others."""
        self.check(x, query)
        energy: float = 0.0
        forces: Array | None = None
        if self._works:
            energy, forces = self._calculate(np.asarray(x, dtype=float), Can.FORCES in query.want)
        if self.team.rank != 0 or forces is None:
            forces = np.zeros((self.n_dofs, 3))
        return Answer(
            energy=(energy if self.team.rank == 0 else 0.0) if Can.ENERGY in query.want else None,
            forces=forces if Can.FORCES in query.want else None,
        )

    @property
    def divisible(self) -> bool:
        """Whether the engine is called by all ranks of the team together."""
        return self.engine.collective

    @property
    def _works(self) -> bool:
        """Whether this member calculates: the first one alone, or all of them together."""
        return self.team.rank == 0 or self.engine.collective

    def _calculate(self, x: Array, forces: bool) -> Raw:
        atoms = self._atoms.copy()
        atoms.set_positions(self.length_scale * x)
        atoms.set_cell(self.length_scale * self._atoms.cell.array)
        periods = int(np.prod(self.repeat))
        if periods > 1:
            atoms = atoms.repeat(self.repeat)
        self.evaluations += 1
        if self._calculator is None or (self.engine.named and not self.restart):
            self._calculator = self._make({})
        used, raw = self._calculator, self._attempt(self._calculator, atoms, forces)
        if isinstance(raw, Exception):
            used, raw = self._climb(atoms, raw, forces)
        energy, f = raw
        per_atom = used.results.get("energies") if used.results else None
        if per_atom is not None:
            per_atom = np.array(per_atom).reshape(periods, -1).mean(axis=0)
        self.atom_energies = None if per_atom is None else self.energy_scale * (per_atom - self._zeros)
        return (
            self.energy_scale * (energy / periods - float(self._zeros.sum())),
            None if f is None else self.energy_scale * self.length_scale * f.reshape(periods, -1, 3).mean(axis=0),
        )

    def _climb(self, atoms: ase.Atoms, error: Exception, forces: bool) -> tuple[Any, Raw]:
        """Try safer settings one after the other; each with a new calculator, so that no failed charges are left."""
        for rung, settings in enumerate(self.ladder, start=1):
            calculator = self._make(settings)
            raw = self._attempt(calculator, atoms, forces)
            # The ordinary settings are used again from the next evaluation on, from a fresh start.
            self._calculator = None
            if isinstance(raw, tuple):
                self.retries.append((self.evaluations, rung))
                if "electronic_temperature" in settings:
                    log.warning(
                        "%s: evaluation %d converged only at an electronic temperature of %g K (rung %d), which is "
                        "another functional than the other evaluations'; its energy does not compare with theirs",
                        self.describe(), self.evaluations, settings["electronic_temperature"], rung,
                    )  # fmt: skip
                else:
                    log.info(
                        "%s: evaluation %d converged on rung %d, %s", self.describe(), self.evaluations, rung, settings
                    )
                return calculator, raw
        self._calculator = None
        # One member saves for all of them, and it alone knows whether and where.
        where = self._keep(atoms) if self.team.rank == 0 else "is left to rank 0 of its team to keep"
        raise MultiscaleError(
            f"{self.describe()} did not converge in evaluation {self.evaluations}, nor with {len(self.ladder)} safer "
            f"settings ({spoken(error)}); the geometry {where}: look for atoms too close, a wrong "
            "charge or spin, or link atoms on top of one another"
        ) from error

    def _attempt(self, calculator: Any, atoms: ase.Atoms, forces: bool = True) -> Raw | Exception:
        """Energy and forces, or the reason why there are none; the same kind on every member that calculates."""
        with self.engine.surroundings():
            raw = calculate(calculator, atoms, forces, self.engine.largest_charge(calculator))
        error = self._agree(raw if isinstance(raw, Exception) else None)
        if isinstance(error, MultiscaleError):
            raise error
        return raw if error is None else error

    def _make(self, changes: Settings) -> Any:
        """A calculator with the region's settings and ``changes``."""
        calculator, error = None, None
        try:
            with self.engine.surroundings():
                calculator = self.engine.make(self.team, changes)
        except Exception as failure:
            error = failure
        error = self._agree(error)
        if error is not None:
            raise error
        return calculator

    def _agree(self, error: Exception | None) -> Exception | None:
        """An error of any member on all who calculate: who went on alone would wait for the others in the calculator."""
        return agreed(error, self.team) if self.engine.collective else error

    def _keep(self, atoms: ase.Atoms) -> str:
        """Save the failed geometry, and who is core, buffer and link atom; gives the words that say where."""
        core = np.ones(self.n_sites, bool) if self.core is None else self.core
        role = np.where(self.link_atoms, "link", np.where(core, "core", "buffer"))
        role = np.tile(role, len(atoms) // self.n_sites)
        return failed.keep(self.failures, "qm-failure", atoms, role)
