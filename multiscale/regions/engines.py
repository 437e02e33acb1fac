"""Where the energies of a QM region come from: an ASE calculator made from a name, given as it is, or by a factory.

    make(team, changes) → calculator → E, F = −∂E/∂x

An engine is told apart by what it is: a *name* (xTB, PySCF, or one that ASE knows) is made with the region's charge,
spin and further settings; an *object* is used as it is; a *factory* makes calculators. A factory with an argument
``team`` makes *collective* ones: all ranks of the region's team call them together, which share the work by
``team.comm`` (None where one process works alone).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeAlias

import numpy as np
from ase.calculators.calculator import BaseCalculator, CalculatorError, get_calculator_class
from ase.units import Hartree, kB

from ..lazy import REMEDIES
from ..types import MultiscaleError, Team, missing
from .launching import launcher_hidden

#: Methods of tblite, the default engine.
XTB = ("GFN1-xTB", "GFN2-xTB", "IPEA1-xTB")
#: The name of the density-functional engine of :mod:`multiscale.regions.pyscf_engine`.
PYSCF = "pyscf"

Settings = Mapping[str, Any]
#: What a QM region accepts as its engine.
Source: TypeAlias = str | BaseCalculator | Callable[..., BaseCalculator]


#: e; xTB gives atoms a larger charge only where the third order of its electrostatics, which is unbounded below, runs away: in a
#: torn cluster an atom of silicon then takes up a dozen electrons, and thousands of eV are won. Other engines may mean other things by
#: charges, such as formal ones.
RUNAWAY = 4.0


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


def pyscf_ladder(electronic_temperature: float) -> tuple[Settings, ...]:
    """Settings to try, one after the other, on a PySCF calculation that does not converge; all keep the functional.

    Without smearing: the second-order solver; damping with shifted virtual levels; the second-order solver from the
    density of a calculation at 5000 K. Shifted levels would be occupied otherwise than the real ones, and the
    second-order solver knows no fractional occupations, so that with smearing it is damping, cooling down from a higher
    temperature, and both.
    """
    patient = {"max_cycle": 300}
    if electronic_temperature == 0.0:
        newton = {"second_order": True, "max_cycle": 100}
        return newton, {**patient, "damping": 0.5, "level_shift": 0.3}, {**newton, "start_temperature": 5000.0}
    hot = {"start_temperature": 2.0 * electronic_temperature + 3000.0}
    return {**patient, "damping": 0.5}, {**patient, **hot}, {**patient, **hot, "damping": 0.5}


class Engine:
    """Makes the calculators of one QM region.

    Parameters
    ----------
    source : str, calculator or callable
    charge, spin : int
        e, and number of unpaired electrons.
    electronic_temperature : float, optional
        K; None is the engine's own default: 1000 for xTB, 0 (no smearing) for PySCF.
    accuracy : float, optional
        xTB's threshold factor; None is 0.1.
    settings : mapping
        Further arguments for a calculator made from a name.
    ladder : sequence of mappings, optional
        Settings to try one after the other on failure; None is the engine's own.

    Raises
    ------
    MultiscaleError
        For settings that the engine has no use for or does not know, and for a calculator object without forces.
    """

    def __init__(
        self,
        source: Source,
        *,
        charge: int = 0,
        spin: int = 0,
        electronic_temperature: float | None = None,
        accuracy: float | None = None,
        settings: Settings | None = None,
        ladder: Sequence[Settings] | None = None,
    ) -> None:
        self.source = source
        self.named = isinstance(source, str)
        self._settings: dict[str, Any] = dict(settings or {})
        given = {"charge": charge, "spin": spin, "electronic_temperature": electronic_temperature}
        given = {k: v for k, v in {**given, "accuracy": accuracy}.items() if v not in (0, None)}
        known = source in (*XTB, PYSCF)
        _refuse_impossible(electronic_temperature, accuracy)
        if source == PYSCF and accuracy is not None:
            raise MultiscaleError("QMRegion was given 'accuracy', xTB's, for PySCF; give conv_tol (hartree) instead")
        if (given and not known) or (self._settings and not self.named):
            names = ", ".join([*given, *self._settings])
            raise MultiscaleError(
                f"QMRegion was given {names} for {self.name}, which it would not reach; give the calculator its settings "
                "where it is made, or name an engine that the region makes itself"
            )
        default = 1000.0 if source in XTB else 0.0
        self.temperature = default if electronic_temperature is None else float(electronic_temperature)
        self._own = {"charge": charge, "accuracy": 0.1 if accuracy is None else accuracy}
        self._own |= {"spin": spin, "electronic_temperature": self.temperature}
        self.collective = not self.named and not isinstance(source, BaseCalculator) and takes_team(source)
        self.ladder = tuple(self._default_ladder() if ladder is None else ladder)
        if source in XTB:
            _refuse_unknown(str(source), [*self._settings, *(name for rung in ladder or () for name in rung)])
        if isinstance(source, BaseCalculator):
            self._refuse_without_forces(source)
            if self.ladder:
                raise MultiscaleError(
                    "QMRegion was given a ladder with a calculator object, whose settings it would change for good; "
                    "pass a callable that makes such calculators"
                )

    @property
    def name(self) -> str:
        """For reports."""
        if isinstance(self.source, str):
            method = self._settings.get("xc", "pbe"), self._settings.get("basis", "def2-svp")
            return f"{self.source} {method[0]}/{method[1]}" if self.source == PYSCF else self.source
        if isinstance(self.source, BaseCalculator):
            return type(self.source).__name__
        return getattr(self.source, "__name__", type(self.source).__name__)

    def make(self, team: Team, changes: Settings) -> Any:
        """A calculator with the region's settings and ``changes``; a given object is used as it is.

        Raises
        ------
        MultiscaleError
            If the package is not installed, or the calculator has no forces.
        """
        calculator = self._make(team, changes)
        self._refuse_without_forces(calculator)
        return calculator

    def largest_charge(self, calculator: Any) -> float:
        """The charge of an atom, e, beyond which a result is a failure: :data:`RUNAWAY` for xTB, however made, and none for others."""
        ours = self.named and self.source in XTB
        return RUNAWAY if ours or type(calculator).__module__.partition(".")[0] == "tblite" else float("inf")

    def surroundings(self) -> AbstractContextManager[None]:
        """What calculations are done in: programs that they start do not see the launcher of this run.

        A collective engine shares this run's MPI, and may start it.
        """
        return nullcontext() if self.collective else launcher_hidden()

    def _make(self, team: Team, changes: Settings) -> Any:
        if isinstance(self.source, str):
            return self._from_name(self.source, changes)
        calculator: Any = self.source
        if not isinstance(calculator, BaseCalculator):
            calculator = self.source(team=team) if self.collective else self.source()
        if changes:
            calculator.set(**changes)
        return calculator

    def _from_name(self, name: str, changes: Settings) -> Any:
        if name in XTB:
            return self._xtb(name, {**self._settings, **changes})
        if name == PYSCF:
            from .pyscf_engine import PySCFMolecule

            own = {k: v for k, v in self._own.items() if k != "accuracy"}
            return PySCFMolecule(**{**own, **self._settings, **changes})
        try:
            return get_calculator_class(name)(**{**self._settings, **changes})
        except (ImportError, KeyError, ValueError) as error:
            remedy = f"name one of {', '.join(XTB)}, {PYSCF}, or pass a calculator object"
            raise missing(name, "A QM region", remedy) from error

    def _xtb(self, method: str, changes: Settings) -> Any:
        TBLite = _tblite(method)
        own = self._own
        basic = {"charge": own["charge"], "multiplicity": own["spin"] + 1, "accuracy": own["accuracy"]}
        basic |= {"max_iterations": 400, "electronic_temperature": own["electronic_temperature"]}
        return TBLite(method=method, **(basic | {"verbosity": 0, "cache_api": True} | dict(changes)))

    def _default_ladder(self) -> tuple[Settings, ...]:
        if self.source in XTB:
            return xtb_ladder(self.temperature)
        return pyscf_ladder(self.temperature) if self.source == PYSCF else ()

    def _refuse_without_forces(self, calculator: Any) -> None:
        offered = tuple(calculator.implemented_properties)
        if "forces" not in offered:
            raise MultiscaleError(
                f"QMRegion was given the calculator {type(calculator).__name__}, which offers "
                f"{', '.join(offered) or 'nothing'}; it needs the forces too: use a method with analytic gradients, or "
                "wrap it in ase.calculators.fd.FiniteDifferenceCalculator"
            )


def _refuse_impossible(temperature: float | None, accuracy: float | None) -> None:
    if temperature is not None and not (np.isfinite(temperature) and temperature >= 0.0):
        raise MultiscaleError(f"QMRegion was given electronic_temperature={temperature} K; it needs zero or more")
    if accuracy is not None and not (np.isfinite(accuracy) and accuracy > 0.0):
        raise MultiscaleError(f"QMRegion was given accuracy={accuracy}; it needs a positive number, such as 0.1")


def _tblite(method: str) -> Any:
    """The ASE calculator of tblite."""
    try:
        from tblite.ase import TBLite
    except ImportError as error:
        raise missing("tblite", f"{method} in a QM region", REMEDIES["tblite"]) from error
    return TBLite


def _refuse_unknown(method: str, names: Sequence[str]) -> None:
    """Refuse settings that tblite does not have: its calculator takes any name, and lets those that it does not know go."""
    if not names:
        return
    known = [name for name in _tblite(method).default_parameters if name != "method"]
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise MultiscaleError(
            f"QMRegion was given {', '.join(unknown)} for {method}, which tblite does not know and would ignore; its settings are "
            f"{', '.join(known)}"
        )


def takes_team(factory: Any) -> bool:
    """Whether a factory has an argument ``team``."""
    try:
        return "team" in inspect.signature(factory).parameters
    except (TypeError, ValueError):  # built-in callables have no signature
        return False


def calculate(
    calculator: Any, atoms: Any, forces: bool = True, largest_charge: float = float("inf")
) -> tuple[float, Any] | Exception:
    """Energy (eV) and forces ((n, 3) eV/Å, or None if not wanted), or the reason why there are none.

    Whatever a foreign code raises is a failed calculation, and so is an atom with more than ``largest_charge``, e.
    """
    atoms = atoms.copy()
    atoms.calc = calculator
    try:
        f = np.array(atoms.get_forces(), dtype=float) if forces else None
        energy = float(atoms.get_potential_energy())
        # The free energy is what the forces are the gradient of; engines without smearing give only the energy.
        free = calculator.results.get("free_energy")
        energy = energy if free is None else float(free)
    except Exception as error:
        return error
    if f is not None and f.shape != (len(atoms), 3):
        return RuntimeError(f"the calculator returned forces of shape {f.shape} for {len(atoms)} atoms")
    charges = calculator.results.get("charges")
    if charges is not None and np.abs(charges).max(initial=0.0) > largest_charge:
        k = int(np.abs(charges).argmax())
        return RuntimeError(
            f"the charges ran away: atom {k} ({atoms.symbols[k]}) has {charges[k]:+.1f} e, which is no state of matter"
        )
    if not (np.isfinite(energy) and (f is None or np.isfinite(f).all())):
        return RuntimeError("the calculator returned energies or forces that are not finite")
    return energy, f


def spoken(error: Exception) -> str:
    """An error as text, with its kind where the text alone may not tell what happened."""
    plain = isinstance(error, (MultiscaleError, CalculatorError)) or type(error) is RuntimeError
    return str(error) if plain and str(error) else f"{type(error).__name__}: {error}"


def agreed(error: Exception | None, team: Team) -> Exception | None:
    """The first error of any member of the team, the same on all of them, or None; collective.

    A sentence of this package's own (of a member's :class:`~multiscale.types.MultiscaleError`) goes first: it ends the
    calculation, whereas anything else may be tried again.
    """
    if team.comm is None:
        return error
    sentence = isinstance(error, MultiscaleError)
    said = None if error is None else (not sentence, spoken(error))
    failed = sorted((*entry, member) for member, entry in enumerate(team.comm.allgather(said)) if entry is not None)
    if not failed:
        return None
    retry, text, member = failed[0]
    common = (RuntimeError if retry else MultiscaleError)(f"{text} (member {member} of the region's {team.size})")
    common.__cause__ = error
    return common
