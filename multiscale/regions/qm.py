"""Atoms described by a quantum calculation: E(x) = c_E [E_QM(c_L x) − Σ_i ε_i],      F = −∂E/∂x = c_E c_L F_QM(c_L x).

The energy is a total energy: it does not divide into sites, so there are no weights. c_L (the ratio of the QM lattice
constant to the one of the model that surrounds the region) and c_E make the two bulk phases fit each other; ε_i are
energy zeros per element. Link atoms come in as ordinary rows of x: whoever places them (x_in + c (x_out − x_in))
chooses their bond length, and passes their forces on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ase
import numpy as np
from ase.calculators.calculator import BaseCalculator, CalculatorError, get_calculator_class
from ase.data import atomic_masses
from ase.io import write
from ase.units import Hartree, kB
from numpy.typing import ArrayLike

from ..region import Answer, Can, Query, Region
from ..types import Array, BoolArray, MultiscaleError, Team, missing
from .cover import covered

log = logging.getLogger(__name__)

#: Methods of tblite, the default engine.
XTB = ("GFN1-xTB", "GFN2-xTB", "IPEA1-xTB")

Settings = Mapping[str, Any]


def xtb_ladder(electronic_temperature: float) -> tuple[Settings, ...]:
    """Settings to try, one after the other, on an xTB calculation whose charges do not converge.

    The first three keep the functional: a fresh start with stronger damping; annealing of the occupations from 5000 K
    down to the electronic temperature; both. The last two raise the electronic temperature, which is another
    functional, and say so by containing ``electronic_temperature``.
    """
    damped = {"mixer_damping": 0.1, "max_iterations": 1000}
    # tblite takes the annealing temperature in Hartree (unlike the electronic temperature, which its ASE calculator
    # converts from kelvin), then the iterations to hold it and to cool down.
    annealing = (5000.0 * kB / Hartree, 5, 20)
    return (
        damped,
        {"annealing": annealing, "max_iterations": 500},
        {**damped, "annealing": annealing},
        {**damped, "electronic_temperature": 2.0 * electronic_temperature + 1000.0},
        {**damped, "electronic_temperature": 3.0 * electronic_temperature + 3000.0},
    )


class QMRegion(Region):
    """Atoms described by any ASE calculator.

    Parameters
    ----------
    atoms : ase.Atoms
        Elements, reference positions (in the surrounding model's lengths), cell and periodic axes.
    calculator : str, calculator, callable or None
        Name (``"GFN1-xTB"``, ``"GFN2-xTB"``, or one that ASE knows), an ASE calculator, or a callable that makes one.
        None is GFN1-xTB through tblite.
    link_atoms : (n,) bool array, optional
        Which atoms saturate broken bonds; they are no matter of the problem.
    charge, spin : int
        Total charge, e, and number of unpaired electrons; for calculators made from a name.
    electronic_temperature : float
        K, for xTB. At a crack tip dangling bonds are nearly degenerate, and their occupation jumps between steps at
        300 K; 1000 K (kT = 0.09 eV) makes it smooth, and changes nothing where there is a gap (3·10⁻⁵ meV per atom in
        Si35H36). The energy is the free energy E − TS that belongs to the forces.
    accuracy : float
        xTB's threshold factor; 0.1 leaves a history dependence of about 10⁻⁵ eV/Å in the forces, 1 (tblite's own
        default) of 10⁻⁴.
    energy_zero : mapping, optional
        Element → eV, subtracted per atom (before scaling), so that energies of different engines can be compared.
    length_scale, energy_scale : float
        c_L and c_E, see above and :func:`multiscale.regions.rescale.tune_rescaling`.
    restart : bool
        Start each SCF from the last one's charges where the calculator can; results agree within its tolerance.
    ladder : sequence of mappings, optional
        Settings for the calculator's ``set`` to try one after the other if it fails; :func:`xtb_ladder` for xTB, else
        none.
    failures : str or Path
        Folder for the geometries that failed.

    Attributes
    ----------
    retries : list of (int, int)
        (number of the evaluation, rung of the ladder that worked), for every evaluation that needed one.
    evaluations : int
        Number of calculations asked for.

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
        calculator: str | BaseCalculator | Callable[[], BaseCalculator] | None = None,
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
        ladder: Sequence[Settings] | None = None,
        failures: str | Path = ".",
    ) -> None:
        self._atoms = ase.Atoms(atoms.get_chemical_symbols(), atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
        self.n_dofs = self.n_sites = len(atoms)
        self.link_atoms = np.zeros(self.n_sites, bool) if link_atoms is None else np.array(link_atoms, dtype=bool)
        if self.link_atoms.shape != (self.n_sites,):
            raise MultiscaleError(
                f"QMRegion was given link_atoms of shape {self.link_atoms.shape}; it needs ({self.n_sites},)"
            )
        if min(length_scale, energy_scale) <= 0.0:
            raise MultiscaleError(
                f"QMRegion was given length_scale={length_scale} and energy_scale={energy_scale}; both must be positive"
            )
        self.matter, self.area = (~self.link_atoms).astype(float), np.zeros(self.n_sites)
        self.engine = "GFN1-xTB" if calculator is None else calculator
        self._settings = {"charge": charge, "spin": spin, "temperature": electronic_temperature, "accuracy": accuracy}
        self.length_scale, self.energy_scale = float(length_scale), float(energy_scale)
        self._zero = zero_energy(atoms, energy_zero)
        self.restart, self.failures = restart, Path(failures)
        if ladder is None:
            ladder = xtb_ladder(electronic_temperature) if self.engine in XTB else ()
        self.ladder = tuple(ladder)
        if self.ladder and isinstance(self.engine, BaseCalculator):
            raise MultiscaleError(
                "QMRegion was given a ladder with a calculator object, whose settings it would change for good; "
                "pass a callable "
                "that makes such calculators"
            )
        self.retries: list[tuple[int, int]] = []
        self.evaluations = 0
        self._calculator: Any = None

    @property
    def reference(self) -> Array:
        """Reference positions (n_dofs, 3), Å."""
        return np.asarray(self._atoms.positions)

    def sites(self, x: Array) -> Array:
        """Positions of the sites: the atoms (n_sites, 3), Å."""
        return x

    def pull_sites(self, v: Array) -> Array:
        """The adjoint of the identity."""
        return v

    def masses(self) -> Array:
        """Atomic masses (n_dofs,), amu."""
        masses: Array = atomic_masses[self._atoms.numbers]
        return masses

    def covers(self, points: Array) -> BoolArray:
        """Whether a reference atom (no link atom) is within the nearest-neighbour distance of each point (n, 3)."""
        return covered(points, self.reference[~self.link_atoms], self._atoms.cell.array, self._atoms.pbc)

    def describe(self) -> str:
        """One line for reports."""
        engine = self.engine if isinstance(self.engine, str) else type(self.engine).__name__
        return f"QMRegion of {self.n_sites} atoms, {int(self.link_atoms.sum())} of them link atoms ({engine})"

    def bind(self, team: Team) -> None:
        """Give the region its team; only the first member calculates."""
        self.team = team
        self._calculator = None

    def evaluate(self, x: Array, query: Query) -> Answer:
        """The answer at positions ``x`` (n_dofs, 3), Å, on the team's first member, zero on the others."""
        self.check(x, query)
        if self.team.rank != 0:
            energy, forces = 0.0, np.zeros((self.n_dofs, 3))
        else:
            energy, forces = self._calculate(np.asarray(x, dtype=float))
        return Answer(
            energy=energy if Can.ENERGY in query.want else None, forces=forces if Can.FORCES in query.want else None
        )

    def _calculate(self, x: Array) -> tuple[float, Array]:
        atoms = self._atoms.copy()
        atoms.set_positions(self.length_scale * x)
        atoms.set_cell(self.length_scale * self._atoms.cell.array)
        self.evaluations += 1
        if self._calculator is None or (self.engine in XTB and not self.restart):
            self._calculator = self._make({})
        raw = self._attempt(self._calculator, atoms)
        if not isinstance(raw, tuple):
            raw = self._climb(atoms, raw)
        energy, forces = raw
        return self.energy_scale * (energy - self._zero), self.energy_scale * self.length_scale * forces

    def _climb(self, atoms: ase.Atoms, error: Exception) -> tuple[float, Array]:
        """Try safer settings one after the other; each with a new calculator, so that no failed charges are left."""
        for rung, settings in enumerate(self.ladder, start=1):
            raw = self._attempt(self._make(settings), atoms)
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
                return raw
        self._calculator = None
        path = self._save(atoms)
        raise MultiscaleError(
            f"{self.describe()} did not converge in evaluation {self.evaluations}, nor with {len(self.ladder)} safer "
            f"settings ({error}); the geometry is in {path}: look for atoms too close, a wrong charge or spin, or link "
            "atoms on top of one another"
        ) from error

    @staticmethod
    def _attempt(calculator: Any, atoms: ase.Atoms) -> tuple[float, Array] | Exception:
        """Energy and forces, or the reason why there are none."""
        atoms = atoms.copy()
        atoms.calc = calculator
        try:
            forces = np.array(atoms.get_forces(), dtype=float)
            # The free energy is what the forces are the gradient of; engines without smearing give only the energy.
            free = calculator.results.get("free_energy")
            energy = float(atoms.get_potential_energy() if free is None else free)
        except (CalculatorError, RuntimeError) as error:
            return error
        if not (np.isfinite(energy) and np.isfinite(forces).all()):
            return RuntimeError("the calculator returned energies or forces that are not finite")
        return energy, forces

    def _make(self, changes: Settings) -> Any:
        """A calculator with the region's settings and ``changes``; a given object is used as it is."""
        if isinstance(self.engine, str):
            if self.engine in XTB:
                return self._xtb(changes)
            try:
                return get_calculator_class(self.engine)(**changes)
            except (ImportError, KeyError, ValueError) as error:
                remedy = f"name one of {', '.join(XTB)} or pass a calculator object"
                raise missing(self.engine, "A QM region", remedy) from error
        calculator: Any = self.engine if isinstance(self.engine, BaseCalculator) else self.engine()
        if changes:
            calculator.set(**changes)
        return calculator

    def _xtb(self, changes: Settings) -> Any:
        try:
            from tblite.ase import TBLite
        except ImportError as error:
            raise missing("tblite", f"{self.engine} in a QM region", "install it with 'pip install tblite'") from error
        s = self._settings
        basic = {"charge": s["charge"], "multiplicity": s["spin"] + 1, "accuracy": s["accuracy"], "max_iterations": 400}
        basic |= {"electronic_temperature": s["temperature"], "verbosity": 0, "cache_api": True}
        return TBLite(method=self.engine, **(basic | dict(changes)))

    def _save(self, atoms: ase.Atoms) -> Path:
        """Write the failed geometry to a new file; gives its path."""
        self.failures.mkdir(parents=True, exist_ok=True)
        number = 1
        while (path := self.failures / f"qm-failure-{number:03d}.extxyz").exists():
            number += 1
        write(path, atoms, format="extxyz")
        return path.resolve()


def zero_energy(atoms: ase.Atoms, energy_zero: Mapping[str, float] | None) -> float:
    """Σ_i ε_i of the atoms, eV."""
    if energy_zero is None:
        return 0.0
    unknown = sorted(set(atoms.get_chemical_symbols()) - set(energy_zero))
    if unknown:
        raise MultiscaleError(
            f"QMRegion was given energy zeros for {', '.join(energy_zero)}, but the atoms also contain "
            f"{', '.join(unknown)}; give every element a zero, link atoms included"
        )
    return float(sum(energy_zero[symbol] for symbol in atoms.get_chemical_symbols()))
