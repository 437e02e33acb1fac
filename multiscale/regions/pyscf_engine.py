"""Density-functional and Hartree–Fock energies of molecules by PySCF, as an ASE calculator.

    A = E[ρ] − T S = min_D,      F = −dA/dx, exactly: Pulay terms and the response of the integration grid included

S, the entropy of the occupations, is there only at an electronic temperature T. Each calculation starts from the last
one's density matrix. PySCF's own ASE calculator (``pyscf.pbc.tools.pyscf_ase``) has forces without the grid's response,
no free energy and no second try with safer settings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ase
import numpy as np
from ase.calculators.calculator import CalculationFailed, Calculator, all_changes
from ase.units import Bohr, Hartree, kB

from ..lazy import REMEDIES
from ..types import Array, MultiscaleError, missing

try:
    from pyscf import dft, gto, lib, scf
    from pyscf.lib.exceptions import BasisNotFoundError
except ImportError as error:
    raise missing("pyscf", "A QM region with the engine 'pyscf'", REMEDIES["pyscf"]) from error

#: Atomic number from which the def2 basis sets replace the core by a potential.
FIRST_ECP = 37

DEFAULTS: dict[str, Any] = {
    "xc": "pbe", "basis": "def2-svp", "charge": 0, "spin": 0, "density_fit": True, "grid_level": 3, "grid_response": True,
    "electronic_temperature": 0.0, "start_temperature": 0.0, "conv_tol": 1e-10, "conv_tol_grad": 1e-6, "max_cycle": 100,
    "second_order": False, "level_shift": 0.0, "damping": 0.0, "threads": 1, "max_memory": 4000,
}  # fmt: skip


class PySCFMolecule(Calculator):
    """Molecules and capped clusters by PySCF.

    Parameters
    ----------
    xc : str
        Exchange–correlation functional in PySCF's notation; ``"hf"`` is Hartree–Fock.
    basis : str or dict
        Basis set; def2 sets bring their core potentials for elements beyond krypton.
    charge, spin : int
        e, and number of unpaired electrons; unrestricted where it is not zero.
    density_fit : bool
        Fit densities by an auxiliary basis: many times faster, some 10⁻⁵ eV per atom.
    grid_level : int
        Integration grid, 0 (coarse) to 9.
    grid_response : bool
        Let forces follow the grid's motion. Without it they are minus the gradient only as far as the grid is
        converged (H2O: to 0.07 eV/Å at level 0, 5·10⁻⁶ at level 3).
    electronic_temperature : float
        K, of Fermi occupations; 0 is integer occupations. The energy is then the free energy.
    start_temperature : float
        K; converge at this temperature first, and start from its density.
    conv_tol, conv_tol_grad : float
        Hartree, and hartree per orbital rotation; forces are about as good as the second.
    max_cycle : int
    second_order, level_shift, damping : bool, float (hartree), float
        Help for difficult cases; they do not change the result.
    threads : int
        Of this calculation.
    max_memory : int
        MB.

    Raises
    ------
    MultiscaleError
        For unknown settings, functionals and basis sets, a spin that does not fit the electrons, and periodic axes.

    References
    ----------
    https://doi.org/10.1063/5.0006074

    Examples
    --------
    >>> from ase.build import molecule
    >>> water = molecule("H2O")
    >>> water.calc = PySCFMolecule(xc="pbe", basis="sto-3g")
    >>> round(water.get_potential_energy(), 1)
    -2047.1
    """

    implemented_properties: Sequence[str] = ("energy", "free_energy", "forces")

    def __init__(self, **settings: Any) -> None:
        self._method: Any = None
        self._density: Any = None
        self._made_for: Any = None
        super().__init__(**{**DEFAULTS, **settings})

    def set(self, **settings: Any) -> dict[str, Any]:
        """Change settings; results, and the density to start from, are forgotten."""
        unknown = sorted(settings.keys() - DEFAULTS.keys())
        if unknown:
            raise MultiscaleError(
                f"the engine 'pyscf' was given {', '.join(unknown)}; its settings are {', '.join(DEFAULTS)}"
            )
        if "xc" in settings and settings["xc"] != "hf":
            try:
                dft.libxc.parse_xc(settings["xc"])
            except (KeyError, ValueError) as error:
                raise MultiscaleError(
                    f"the engine 'pyscf' was given xc='{settings['xc']}', which libxc does not have; give a name such as "
                    "'pbe' or 'b3lyp'"
                ) from error
        changed: dict[str, Any] = super().set(**settings)
        if changed:
            self.reset()
            self._density = None
        return changed

    def reset(self) -> None:
        """Forget results, but not the density to start from."""
        super().reset()
        self._method = None

    def calculate(
        self, atoms: ase.Atoms | None = None, properties: Sequence[str] = ("energy",), system_changes: Any = all_changes
    ) -> None:
        """Energy, and forces if they are among ``properties``.

        Raises
        ------
        ase.calculators.calculator.CalculationFailed
            If the self-consistency does not converge.
        """
        super().calculate(atoms, properties, system_changes)
        with lib.with_omp_threads(self.parameters["threads"]):
            if system_changes or self._method is None:
                self._method = self._converged(self._molecule())
            free = self._method.e_tot
            if self.parameters["electronic_temperature"]:
                free = self._method.e_free
            self.results |= {"energy": free * Hartree, "free_energy": free * Hartree}
            if "forces" in properties:
                self.results["forces"] = self._forces()

    def _molecule(self) -> Any:
        p, atoms = self.parameters, self.atoms
        if atoms.pbc.any():
            raise MultiscaleError(
                f"the engine 'pyscf' was given periodic axes {atoms.pbc.tolist()}; it describes molecules and capped "
                "clusters: carve one, or open the axes"
            )
        electrons = int(atoms.numbers.sum()) - p["charge"]
        if (electrons - p["spin"]) % 2 or p["spin"] > electrons:
            raise MultiscaleError(
                f"the engine 'pyscf' was given {electrons} electrons (charge {p['charge']}) and spin={p['spin']} unpaired "
                "ones; both must be even or both odd"
            )
        heavy = {s for s, z in zip(atoms.get_chemical_symbols(), atoms.numbers, strict=True) if z >= FIRST_ECP}
        named = isinstance(p["basis"], str) and p["basis"].lower().startswith("def2")
        try:
            # Lengths in Bohr by ASE's constant: PySCF's own differs in the tenth digit.
            return gto.M(
                atom=list(zip(atoms.get_chemical_symbols(), atoms.positions / Bohr, strict=True)), unit="Bohr",
                basis=p["basis"], ecp={s: p["basis"] for s in heavy} if named else {}, charge=p["charge"],
                spin=p["spin"], verbose=0, max_memory=p["max_memory"], parse_arg=False,
            )  # fmt: skip
        except (BasisNotFoundError, KeyError) as error:
            raise MultiscaleError(
                f"the engine 'pyscf' was given basis={p['basis']!r}, which it does not have for these elements ({error})"
            ) from error

    def _scf(self, mol: Any, temperature: float, second_order: bool) -> Any:
        p = self.parameters
        restricted = p["spin"] == 0
        if p["xc"] == "hf":
            method = scf.RHF(mol) if restricted else scf.UHF(mol)
        else:
            method = (dft.RKS if restricted else dft.UKS)(mol, xc=p["xc"])
            method.grids.level = p["grid_level"]
        if p["density_fit"]:
            method = method.density_fit()
        if temperature:
            method = scf.addons.smearing(method, sigma=temperature * kB / Hartree, method="fermi", fix_spin=True)
        elif second_order:
            method = method.newton()
        method.conv_tol, method.conv_tol_grad, method.max_cycle = p["conv_tol"], p["conv_tol_grad"], p["max_cycle"]
        if not second_order:
            method.level_shift, method.damp = p["level_shift"], p["damping"]
        return method

    def _converged(self, mol: Any) -> Any:
        p = self.parameters
        kind = tuple(self.atoms.numbers)
        density = self._density if self._made_for == kind else None
        if p["start_temperature"]:
            hot = self._scf(mol, p["start_temperature"], False)
            hot.kernel(dm0=density)
            density = hot.make_rdm1()
        method = self._scf(mol, p["electronic_temperature"], p["second_order"])
        method.kernel(dm0=density)
        if not method.converged:
            self._density = None
            raise CalculationFailed(f"PySCF's self-consistency did not converge in {p['max_cycle']} cycles")
        self._density, self._made_for = method.make_rdm1(), kind
        return method

    def _forces(self) -> Array:
        gradient = self._method.nuc_grad_method()
        if self.parameters["xc"] != "hf":
            gradient.grid_response = self.parameters["grid_response"]
        return -np.asarray(gradient.kernel()) * Hartree / Bohr
