"""Regions and hybrids as ASE calculators, so that ASE's optimisers, dynamics and viewers work on them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import ase
import numpy as np
from ase.calculators.calculator import Calculator, all_changes
from ase.optimize import BFGS
from ase.stress import full_3x3_to_voigt_6_stress
from numpy.typing import ArrayLike

from .coupler import Evaluation
from .drive.precondition import Preconditioner, precondition
from .drive.relax import relax
from .protocol import Model
from .region import Answer, Can, Query, Region
from .regions.atomic import AtomicRegion
from .types import Array, IntArray, MultiscaleError


class RegionCalculator(Calculator):
    """One region as an ASE calculator: energy, forces, and stress and energies per atom where the region offers them.

    Parameters
    ----------
    region : Region
        The region; its dofs are the atoms, in the same order. The stress is the region's virial over the volume of
        the atoms' cell, in eV/Å³, and only given if all three axes are periodic.

    Notes
    -----
    A region keeps its own cell; where the atoms' cell differs, a region that has ``with_cell`` is rebuilt with the new
    one through ``rebuild``, others refuse.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from multiscale.models import StillingerWeber
    >>> from multiscale.regions.ml import MLRegion
    >>> silicon = bulk("Si", a=5.43095)
    >>> region = MLRegion(StillingerWeber(), silicon)
    >>> silicon.calc = RegionCalculator(region, rebuild=region.with_cell)
    >>> round(float(silicon.get_potential_energy()), 4)
    -8.6732
    """

    def __init__(self, region: Region, *, rebuild: Any = None) -> None:
        super().__init__()
        # ASE reads this from the object; which properties there are depends on the region.
        self.region, self.rebuild = region, rebuild
        offered = {"energy": Can.ENERGY, "forces": Can.FORCES, "stress": Can.STRESS, "energies": Can.SITE_ENERGIES}
        self.implemented_properties = [name for name, flag in offered.items() if flag in region.can]
        if "energy" in self.implemented_properties:
            self.implemented_properties.append("free_energy")
        self._cell: Any = None

    def calculate(
        self,
        atoms: ase.Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Evaluate the region at the atoms' positions."""
        super().calculate(atoms, properties, system_changes)
        if self.atoms is None:
            raise MultiscaleError("RegionCalculator was given no atoms; attach it to an ase.Atoms object or pass one")
        self._follow(self.atoms)
        want = self.region.can & (Can.ENERGY | Can.FORCES)
        per_atom = self.region.n_sites == len(self.atoms)
        if "energies" in properties and per_atom:
            want |= self.region.can & Can.SITE_ENERGIES
        if "stress" in properties and self.atoms.pbc.all():
            want |= self.region.can & Can.STRESS
        if self.region.team.size > 1:
            raise MultiscaleError(
                f"RegionCalculator was given a region that {self.region.team.size} ranks share, where each has only its part "
                "of the answer; make a region of its own, or use HybridCalculator on the model"
            )
        answer = self.region.evaluate(self.atoms.get_positions(), Query(want))
        if answer.energy is not None:
            self.results["energy"] = self.results["free_energy"] = answer.energy
        if answer.forces is not None:
            self.results["forces"] = answer.forces
        if answer.site_energies is not None:
            self.results["energies"] = answer.site_energies
        if answer.stress is not None:
            self.results["stress"] = full_3x3_to_voigt_6_stress(answer.stress / self.atoms.get_volume())

    def _follow(self, atoms: ase.Atoms) -> None:
        """Give the region the atoms' cell if that has changed."""
        cell = atoms.cell.array.copy()
        if _other(cell, self._cell, [self.region]):
            if self.rebuild is None:
                raise MultiscaleError(
                    "RegionCalculator was given atoms whose cell has changed, but its region keeps the cell it "
                    "was built with; "
                    "pass rebuild=region.with_cell (an MLRegion has it) or keep the cell fixed"
                )
            self.region = self.rebuild(cell)
        self._cell = cell


class HybridCalculator(Calculator):
    """A hybrid model as an ASE calculator: its atoms are the ``ase.Atoms``, all other dofs are kept here.

        E(x) = min over the other dofs y of E(x, y)        (relaxed)    or E(x, y) at the last y    (frozen)
        F(x) = −∂E/∂x at that y, for ∂E/∂y = 0 there

    Parameters
    ----------
    model : Model
    atoms_dofs : (n_atoms,) ints, optional
        The shared dof of each atom; by default all dofs that a region of particles owns, in ascending order.
    continuum : {"relaxed", "frozen"}
        Whether the other dofs (mesh nodes) follow the atoms within each call, or stay where they are.
    fmax, max_steps : float, int
        How far the other dofs are relaxed, eV/Å; well below what the optimiser is to reach.
    rebuild : callable, optional
        cell (3, 3) → Model, for atoms whose cell changes; without it that is refused.
    follow : bool
        Whether a model that can changes its members after each call, for dynamics. If not, which is what optimisers and bands of images
        need, the energy is one function of the positions, and positions that the members do not fit are refused.

    Attributes
    ----------
    q : (n_q, 3) array
        Shared positions of the last call, Å; assign prescribed mesh nodes here to load the system, then ``reset()``.

    Notes
    -----
    Couplers without an energy give forces only: dynamics works, but ASE's optimisers ask for energies, so relax such
    models with :func:`multiscale.drive.relax`. There is a stress where all three axes are periodic, every dof is an
    atom, every counted region offers STRESS, and the energy is their weighted sum. Under mpirun every rank runs the
    same ASE script. The atoms need constraints where the interface's dofs are fixed. One evaluation serves for all that is asked at one
    state, but for a stress that is asked for after the forces; where that has happened, the next state's forces bring it along.

    With ``follow=True`` the members change after the forces of a step have been given, and ASE's integrators use these for both half
    kicks, at the step's end and at the next one's beginning. Each change thus costs a velocity of ½ Δt (F_new − F_old)/m, an error of
    first order in Δt; :func:`multiscale.drive.verlet` takes the new forces for the second half and makes none.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from couplers import EnergyBlend
    >>> from multiscale import HybridModel, Interface, Nested, Sphere
    >>> from multiscale.models import StillingerWeber
    >>> from multiscale.regions.ml import MLRegion
    >>> silicon = bulk("Si", a=5.43095)
    >>> regions = {"ml": MLRegion(StillingerWeber(42.0), silicon), "rest": MLRegion(StillingerWeber(), silicon)}
    >>> partition = Nested([("ml", Sphere((0, 0, 0), 1.0), 4.0)], rest="rest")
    >>> model = HybridModel(Interface(silicon.positions, regions, partition), EnergyBlend())
    >>> silicon.calc = HybridCalculator(model)
    >>> round(float(silicon.get_potential_energy()), 4)
    -8.6732
    """

    def __init__(
        self,
        model: Model,
        atoms_dofs: ArrayLike | None = None,
        continuum: Literal["relaxed", "frozen"] = "relaxed",
        *,
        fmax: float = 1e-6,
        max_steps: int = 200,
        rebuild: Callable[[Array], Model] | None = None,
        follow: bool = False,
    ) -> None:
        super().__init__()
        if continuum not in ("relaxed", "frozen"):
            raise MultiscaleError(f"HybridCalculator was given continuum={continuum!r}; it needs 'relaxed' or 'frozen'")
        self.model, self.continuum, self.fmax, self.max_steps, self.rebuild = model, continuum, fmax, max_steps, rebuild
        self.follow = follow
        self.dofs = atom_dofs(model) if atoms_dofs is None else np.asarray(atoms_dofs, dtype=np.int64)
        n = model.interface.n_q
        if len(np.unique(self.dofs)) != len(self.dofs) or not np.isin(self.dofs, np.arange(n)).all():
            raise MultiscaleError(f"HybridCalculator needs distinct shared dofs between 0 and {n - 1} for its atoms")
        if (continuum == "frozen" or len(self.dofs) == n) and model.coupler.constraint(model.interface) is not None:
            raise MultiscaleError(
                f"{type(model.coupler).__name__} ties atoms to nodes, which ASE's drivers do not know; use continuum='relaxed', so that "
                "nodes follow, or the drivers of multiscale.drive"
            )
        self.q = model.interface.reference.copy()
        self.implemented_properties = ["forces"]
        # A coupler that is not conservative has no energy; a zero in its place would mislead every optimiser.
        if model.coupler.claims.conservative:
            self.implemented_properties += ["energy", "free_energy"]
            if len(self.dofs) == n and self._has_stress():
                self.implemented_properties.append("stress")
        self._preconditioner: Preconditioner | None = None
        self._cell: Any = None
        #: The evaluation at the atoms' present state; what regions have answered in it besides; and whether its stress was asked for.
        self._last: Evaluation | None = None
        self._heard: Mapping[str, Answer] = {}
        self._stressed = False

    def get_property(self, name: str, atoms: ase.Atoms | None = None, allow_calculation: bool = True) -> Any:
        """ASE's; where a stress is asked for, the next state's forces will bring one along."""
        self._stressed = self._stressed or name == "stress"
        return super().get_property(name, atoms, allow_calculation)

    def calculate(
        self,
        atoms: ase.Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Evaluate the model at the atoms' positions; collective."""
        super().calculate(atoms, properties, system_changes)
        if self.atoms is None or len(self.atoms) != len(self.dofs):
            given = "no" if self.atoms is None else len(self.atoms)
            raise MultiscaleError(f"HybridCalculator was given {given} atoms; its model has {len(self.dofs)}")
        self._follow(self.atoms)
        # One rank's positions for all: an optimiser's linear algebra may round differently elsewhere.
        self.q[self.dofs] = self.model.ranks.world.bcast(self.atoms.get_positions())
        wanted = "stress" in properties or self._stressed
        stress = wanted and "stress" in self.implemented_properties and bool(self.atoms.pbc.all())
        known = None if system_changes else self._last
        if known is None:
            self._last, self._stressed = None, "stress" in properties
        e = self._evaluate(stress) if known is None else known
        self.results["forces"] = e.forces[self.dofs]
        if e.energy is not None:
            self.results["energy"] = self.results["free_energy"] = e.energy
        if stress:
            virial = self._virial(e)
            if virial is not None:
                self.results["stress"] = full_3x3_to_voigt_6_stress(virial / self.atoms.get_volume())
        # A model whose members have changed is another one: what it was is of no use to what is asked next.
        changed = self.follow and known is None and bool(self.model.update(self.q))
        self._last = None if changed else e

    def _evaluate(self, stress: bool) -> Evaluation:
        """The model's state, where its members fit it; regions are asked for their stresses too where there is to be one."""
        self._heard = {}
        if stress:
            with self.model.asking(self.q, self._counted()) as self._heard:
                e = self._settle()
        else:
            e = self._settle()
        if not self.follow and not self.model.fits(self.q):
            raise MultiscaleError(
                "the core has come too close to the border of its cluster; give the model a cluster that covers the core along the whole "
                "path, or let dynamics change it by HybridCalculator(follow=True)"
            )
        return e

    def _counted(self) -> dict[str, Query]:
        """What of every counted region makes up the stress."""
        counts = self.model.coupler.count(self.q, self.model.interface)
        return {r: Query(Can.ENERGY | Can.STRESS | Can.FORCES, w) for r, w in counts.items()}

    def _settle(self) -> Evaluation:
        """The model's state at the atoms' positions, the other dofs relaxed or as they are."""
        held = self.model.interface.fixed.copy()
        held[self.dofs] = True
        if self.continuum == "frozen" or held.all():
            return self.model.evaluate(self.q)
        if self._preconditioner is None:
            self._preconditioner = precondition(self.model, self.q, ~held)
        p = self._preconditioner
        steps = relax(
            self.model, self.q, fmax=self.fmax, max_steps=self.max_steps, fixed=held, preconditioner=p, follow=False
        )
        last = deque(steps, maxlen=1).pop()
        if not last.converged:
            raise MultiscaleError(
                f"the continuum did not relax around the atoms: max|F| = {last.max_force:.2e} eV/Å after {last.index} "
                f"steps, above {self.fmax:.0e}; raise fmax or max_steps, or look for dofs that no region holds"
            )
        self.q = last.q.copy()
        return Evaluation(last.energy, last.forces)

    def _has_stress(self) -> bool:
        """Whether every counted region offers a stress and carries its cell along rigidly with the shared dofs."""
        interface = self.model.interface
        counted = self.model.coupler.count(interface.reference, interface)
        needed = Can.STRESS | Can.SITE_WEIGHTS | Can.SITE_ENERGIES
        return all(not needed & ~interface.regions[r].can and not interface.embeddings[r].offset.any() for r in counted)

    def _virial(self, e: Evaluation) -> Array | None:
        """Σ_r dE_r(w_r)/dε and what of the forces is not in that sum, eV; None if the energy is more than the sum of the E_r."""
        interface = self.model.interface
        missing = {r: query for r, query in self._counted().items() if r not in self._heard}
        answers = {**self._heard, **(self.model.ask(self.q, missing) if missing else {})}
        energy = sum(float(a["energy"]) for a in answers.values())
        if e.energy is None or abs(energy - e.energy) > 1e-9 * max(abs(energy), 1.0):
            return None
        virial: Array = np.sum([np.asarray(a["stress"]) for a in answers.values()], axis=0)
        # Weights that move do not strain with the cell, so that the forces beyond those at fixed weights do the work of positions alone.
        within = np.sum([interface.pull(r, a["forces"]) for r, a in answers.items()], axis=0)
        beyond = -(e.forces - within).T @ self.q
        return virial + 0.5 * (beyond + beyond.T)

    def _follow(self, atoms: ase.Atoms) -> None:
        """Rebuild the model if the atoms' cell has changed."""
        cell = atoms.cell.array.copy()
        if _other(cell, self._cell, self.model.interface.regions.values()):
            if self.rebuild is None:
                raise MultiscaleError(
                    "HybridCalculator was given atoms whose cell has changed, but its regions keep theirs; pass "
                    "rebuild=, a function of the cell that builds the model, or keep the cell fixed"
                )
            self.model, self._preconditioner = self.rebuild(cell), None
            self.q = self.model.interface.reference.copy()
        self._cell = cell


def _other(cell: Array, last: Array | None, regions: Iterable[Region]) -> bool:
    """Whether the atoms' cell is another one than the last; at first, than that of the regions that fill a periodic cell with atoms.

    Atoms without a cell, all of whose knowledge of it is the regions', are as good as those that have theirs.
    """
    if last is not None:
        return not np.array_equal(cell, last)
    for region in regions:
        if isinstance(region, AtomicRegion):
            rows = region.pbc & cell.any(axis=1)
            if not np.allclose(cell[rows], region.cell[rows], atol=1e-10):
                return True
    return False


def atom_dofs(model: Model) -> IntArray:
    """Shared dofs (n,) that regions of particles own, ascending."""
    interface = model.interface
    owned = [interface.embeddings[r].own for r, region in interface.regions.items() if region.discrete]
    found = np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *owned]))
    return np.asarray(found[found >= 0], dtype=np.int64)


def relax_atoms(atoms: ase.Atoms, fmax: float, steps: int, maxstep: float = 0.2) -> float:
    """Move a few atoms to a minimum of their calculator's energy by BFGS; gives the energy there, eV.

    Parameters
    ----------
    atoms : ase.Atoms
        With a calculator; moved in place, constraints hold.
    fmax, steps : float, int
        Largest force allowed at the end, eV/Å, and most steps to take.
    maxstep : float
        Å; no atom moves farther in one step.

    Raises
    ------
    MultiscaleError
        If the force is still larger after the steps: what is not at a minimum has no property of it.
    """
    BFGS(atoms, logfile=None, maxstep=maxstep).run(fmax=fmax, steps=steps)
    left = float(np.linalg.norm(atoms.get_forces(), axis=1).max())
    if left >= fmax:
        raise MultiscaleError(
            f"{atoms.symbols} is not relaxed after {steps} steps: the largest force is {left:.3g} eV/Å, and {fmax} is needed; allow more "
            "steps, start closer to the minimum, or look at the method's forces"
        )
    return float(atoms.get_potential_energy())
