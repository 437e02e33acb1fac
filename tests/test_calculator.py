"""Hybrids as ASE calculators: condensed energies and forces, ASE's optimisers and dynamics beside our own drivers."""

from __future__ import annotations

from collections import deque
from contextlib import nullcontext

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.calculator import PropertyNotImplementedError
from ase.constraints import FixAtoms
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS, FIRE

from couplers import AdaptivePartitioning, EnergyBlend, ForceBlend, GhostCorrected, SiteSubtractive
from multiscale import HybridModel, Interface, Nested, Overlay, Sphere
from multiscale.adaptive import subset_regions
from multiscale.besides import Besides, _factor
from multiscale.calculator import HybridCalculator, RegionCalculator, atom_dofs, relax_atoms
from multiscale.drive import relax, verlet
from multiscale.embedding import select
from multiscale.groups import Groups
from multiscale.models import StillingerWeber
from multiscale.region import Answer, Can, Query
from multiscale.regions.chain import ChainElements, ChainRegion
from multiscale.regions.ml import MLRegion
from multiscale.shapes import Slab, SmoothUnion
from multiscale.testing.problems import chain
from multiscale.types import MultiscaleError

SILICON = bulk("Si", a=5.431, cubic=True) * (2, 2, 2)
#: The atom nearest to the middle of the box.
SEED = int(np.argmin(np.linalg.norm(SILICON.positions - 0.5 * SILICON.cell.lengths(), axis=1)))


def mixed(cell=None, frame="reference", coupler=None, core=None):
    """64 atoms of silicon, two Stillinger–Weber variants."""
    box = SILICON.cell.array if cell is None else np.asarray(cell)
    atoms = SILICON.copy()
    atoms.set_cell(box, scale_atoms=True)
    regions = {"high": MLRegion(StillingerWeber(25.0), atoms), "low": MLRegion(StillingerWeber(), atoms)}
    core = core or Sphere((5.0, 5.0, 5.0), 2.0)
    return HybridModel(
        Interface(atoms.positions, regions, Nested([("high", core, 4.0)], rest="low", frame=frame)),
        coupler or EnergyBlend(),
    )


def rattled(scale=0.1):
    atoms = SILICON.copy()
    atoms.positions += np.random.default_rng(0).uniform(-scale, scale, atoms.positions.shape)
    return atoms


def last(steps):
    return deque(steps, maxlen=1).pop()


@pytest.mark.parametrize("optimiser", [BFGS, FIRE])
def test_optimisers_find_what_relax_finds(optimiser):
    atoms, model = rattled(), mixed()
    atoms.calc = HybridCalculator(model)
    start = atoms.positions.copy()
    assert optimiser(atoms, logfile=None).run(fmax=1e-4, steps=400)
    ours = last(relax(model, start, fmax=1e-4))
    assert atoms.get_potential_energy() == pytest.approx(ours.energy, abs=1e-6)
    # Both minima are those of a crystal that may drift as a whole: compare shapes.
    centred = [p - p.mean(axis=0) for p in (atoms.positions, ours.q)]
    assert np.abs(centred[0] - centred[1]).max() < 1e-3


def test_a_chain_whose_elements_are_condensed():
    """Atoms and elements on the chain; the dofs that only elements use are relaxed within each call."""
    n, coupled = 40, 8.0
    problem = chain(period=False)
    interface = problem.interface()
    a = float(interface.reference[1, 0])
    q = interface.reference[:n].copy()
    inner = np.arange(8, 32)
    regions = {"atoms": (ChainRegion(q[inner]), select(inner, n)), "fem": ChainElements(q)}
    fixed = np.zeros((n, 3), dtype=bool)
    fixed[:, 1:] = True
    fixed[[0, -1]] = True
    partition = Nested([("atoms", Slab((19.5 * a, 0, 0), (1, 0, 0), 3.0 * a), coupled * a)], rest="fem")
    model = HybridModel(Interface(q, regions, partition, fixed, strict=False), EnergyBlend())
    dofs = np.arange(15, 25)
    assert np.array_equal(atom_dofs(model), inner)
    atoms = Atoms("X10", q[dofs])
    atoms.calc = HybridCalculator(model, dofs, fmax=1e-9)
    rng = np.random.default_rng(1)
    atoms.positions[:, 0] += rng.uniform(-0.05, 0.05, 10)
    check_condensed(atoms, [(0, 0), (5, 0), (9, 0)])
    assert BFGS(atoms, logfile=None).run(fmax=1e-5, steps=200)
    ours = last(relax(model, atoms.calc.q, fmax=1e-7))
    assert np.abs(ours.q[dofs] - atoms.positions).max() < 1e-5


def check_condensed(atoms, components, h=1e-4):
    """F = −∂E/∂x of the condensed energy, by differences."""
    forces = atoms.get_forces()
    for k, axis in components:
        ends = []
        for s in (1, -1):
            moved = atoms.copy()
            moved.calc = atoms.calc
            moved.positions[k, axis] += s * h
            ends.append(moved.get_potential_energy())
        assert forces[k, axis] == pytest.approx(-(ends[0] - ends[1]) / (2 * h), abs=2e-6)


def block_in_a_mesh(dim, coupler, vacancy=True):
    pytest.importorskip("multiscale.continuum.laws", exc_type=ImportError)  # needs DOLFINx
    from blocks import Block

    block = Block("lj", dim, vacancy=vacancy)
    return block, block.model(coupler)


@pytest.mark.parametrize("coupler", [EnergyBlend(), GhostCorrected()], ids=["blend", "corrected"])
@pytest.mark.parametrize("dim", [2, 3])
def test_atoms_in_a_mesh(dim, coupler):
    """ASE moves the atoms, the mesh follows: BFGS ends where our relaxation of both together does."""
    block, model = block_in_a_mesh(dim, coupler)
    atoms = Atoms(f"Al{block.n_free}", block.reference[: block.n_free])
    atoms.calc = HybridCalculator(model)
    assert np.array_equal(atoms.calc.dofs, np.arange(block.n_free))
    check_condensed(atoms, [(0, 0), (block.n_free - 1, 1)])
    assert BFGS(atoms, logfile=None).run(fmax=1e-5, steps=200)
    ours = last(relax(model, block.reference, fmax=1e-6))
    assert ours.converged and np.abs(ours.q - atoms.calc.q).max() < 1e-4
    assert atoms.get_potential_energy() == pytest.approx(ours.energy, abs=1e-8)
    assert np.abs(atoms.calc.q[block.n_free :] - block.mesh.nodes).max() > 1e-4  # the mesh has moved


def test_a_frozen_mesh_is_stiffer():
    block, model = block_in_a_mesh(2, EnergyBlend())
    atoms = Atoms(f"Al{block.n_free}", block.reference[: block.n_free])
    energies = {}
    for mode in ("frozen", "relaxed"):
        atoms.calc = HybridCalculator(model, continuum=mode)
        energies[mode] = atoms.get_potential_energy()
        if mode == "frozen":
            assert np.array_equal(atoms.calc.q, block.reference)
            assert atoms.calc.model.evaluate(block.reference).energy == energies[mode]
    assert energies["relaxed"] < energies["frozen"]


def test_loads_prescribed_on_the_mesh():
    """Assigning q moves the mesh's boundary; reset() makes ASE ask again."""
    block, model = block_in_a_mesh(2, EnergyBlend())
    atoms = Atoms(f"Al{block.n_free}", block.reference[: block.n_free])
    atoms.calc = HybridCalculator(model)
    before = atoms.get_forces()
    pulled = block.reference.copy()
    pulled[block.nodes] = block.stretched(np.diag([0.01, 0, 0]))[block.nodes]
    atoms.calc.q = pulled
    atoms.calc.reset()
    assert np.abs(atoms.get_forces() - before).max() > 1e-2


def test_dynamics_is_that_of_our_verlet():
    atoms, model = rattled(), mixed()
    atoms.calc = HybridCalculator(model)
    start = atoms.positions.copy()
    VelocityVerlet(atoms, 1.0 * units.fs).run(20)
    ours = last(verlet(model, start, np.zeros_like(start), dt=1.0 * units.fs, steps=20, masses=atoms.get_masses()))
    assert np.abs(atoms.positions - ours.q).max() < 1e-10
    assert np.abs(atoms.get_velocities() - ours.velocities).max() < 1e-10


def cluster(model, dofs):
    """Some of the atoms in vacuum."""
    part = SILICON[dofs]
    part.set_pbc(False)
    return MLRegion(model, part), select(dofs, len(SILICON))


def site_wise():
    """A cluster in both variants; the overlay rides on an atom, so that each weight depends on two of them."""
    dofs = np.flatnonzero(np.linalg.norm(SILICON.positions - SILICON.positions[SEED], axis=1) < 5.0)
    regions = {"qm": cluster(StillingerWeber(25.0), dofs), "ml_qm": cluster(StillingerWeber(), dofs)}
    overlay = Overlay(SmoothUnion((SEED,), 1.0), 3.0, frame="current")
    return laid_over(regions, {"qm": overlay}, SiteSubtractive())


def subsets():
    """The seed, and its neighbours one by one."""
    near = np.flatnonzero(np.linalg.norm(SILICON.positions - SILICON.positions[SEED], axis=1) < 4.5)
    overlay = Overlay(SmoothUnion((SEED,), 1.5), 2.0, frame="current", groups=Groups(tuple((int(k),) for k in near)))
    make = [lambda d, m=m: cluster(m, d) for m in (StillingerWeber(25.0), StillingerWeber())]
    found = subset_regions(overlay, SILICON.positions, *make, always=[SEED], margin=0.2)
    return laid_over(found.regions, {"adaptive": overlay}, AdaptivePartitioning())


def laid_over(regions, overlays, coupler):
    regions = {"low": MLRegion(StillingerWeber(), SILICON), **regions}
    return HybridModel(Interface(SILICON.positions, regions, Nested([], rest="low"), overlays=overlays), coupler)


each_kind = pytest.mark.parametrize(
    "make",
    [
        mixed,
        lambda: mixed(frame="current"),
        lambda: mixed(frame="current", core=SmoothUnion((20, 43), 2.0)),
        site_wise,
        subsets,
    ],
    ids=["material", "laboratory", "seeds", "site-wise, riding", "subsets, riding"],
)


@each_kind
def test_stress_is_the_strain_derivative(make):
    """The weights of the material stay at their atoms, those of the laboratory do not, and those that ride strain with the atoms."""
    atoms = rattled(0.05)
    model = make()
    atoms.calc = HybridCalculator(model)
    stress = atoms.get_stress(voigt=False)
    known = model.interface
    for i, j in ((0, 0), (1, 2), (0, 1)):
        ends = []
        for s in (1e-5, -1e-5):
            deform = np.eye(3)
            deform[i, j] += 0.5 * s
            deform[j, i] += 0.5 * s
            q, box = atoms.positions @ deform, atoms.cell.array @ deform
            regions = {r: (m.with_cell(box), known.embeddings[r]) for r, m in known.regions.items()}
            strained = Interface(known.reference, regions, known.partition, overlays=known.overlays)
            ends.append(HybridModel(strained, model.coupler).evaluate(q).energy)
        assert stress[i, j] == pytest.approx((ends[0] - ends[1]) / 2e-5 / atoms.get_volume(), abs=1e-7)


def asked(model):
    """How often the model was evaluated, and each region that was asked at all."""
    return model.evaluations, {calls for calls in model.calls.values() if calls}


@each_kind
def test_one_evaluation_serves_for_all_that_is_asked_at_one_state(make):
    """Whichever is asked first, once it is known that stresses are wanted; and nobody pays for one that is not."""
    atoms, model, before = rattled(0.05), make(), np.random.default_rng(2)
    atoms.calc = HybridCalculator(model)
    stresses = [atoms.get_stress()]
    forces, energy = atoms.get_forces(), atoms.get_potential_energy()
    assert asked(model) == (1, {1}) and model.evaluate(atoms.positions).energy == pytest.approx(energy, abs=1e-12)
    assert np.abs(model.evaluate(atoms.positions).forces - forces).max() < 1e-12 and asked(model) == (3, {3})
    # After a stress the next state's forces bring one along, and that of the one after it only if it was asked for.
    atoms.positions += before.uniform(-1e-3, 1e-3, atoms.positions.shape)
    atoms.get_forces()
    stresses.append(atoms.get_stress())
    assert asked(model) == (4, {4})
    for brought in (True, False):
        atoms.positions += before.uniform(-1e-3, 1e-3, atoms.positions.shape)
        atoms.get_potential_energy()
        assert ("stress" in atoms.calc.results) == brought
    assert asked(model) == (6, {6})
    # One that comes unexpectedly costs the regions a second question, but no second evaluation.
    stresses.append(atoms.get_stress())
    assert asked(model) == (6, {7})
    # The same as from a calculator that was never asked before, by a model that answers one question at a time.
    alone = atoms.copy()
    alone.calc = HybridCalculator(OneByOne(make()))
    assert np.abs(alone.get_stress() - stresses[-1]).max() < 1e-12 < 1e-6 < np.abs(stresses[1] - stresses[0]).max()


class OneByOne:
    """A model that knows of no questions besides."""

    def __init__(self, model):
        self._inner = model

    def __getattr__(self, name):
        if name == "asking":
            return lambda q, wanted: nullcontext({})
        return getattr(self._inner, name)


def test_a_failed_evaluation_is_not_what_the_next_question_is_answered_from(monkeypatch):
    atoms, model = rattled(0.05), mixed()
    atoms.calc = HybridCalculator(model)
    atoms.get_forces()
    atoms.positions[3] += 0.01

    def fail(q):
        raise MultiscaleError("no luck")

    monkeypatch.setattr(model, "evaluate", fail)
    for ask in (atoms.get_forces, atoms.get_stress, atoms.get_forces):
        with pytest.raises(MultiscaleError, match="no luck"):
            ask()


def test_weights_in_no_proportion_are_asked_for_apart():
    w = np.array([0.0, 0.5, 1.0])
    assert _factor(w, w) == 1.0 == _factor(None, None) and _factor(w, -0.3 * w) == pytest.approx(-0.3)
    assert _factor(None, np.full(3, 0.7)) == pytest.approx(0.7) and _factor(np.full(3, 0.5), None) == pytest.approx(2.0)
    assert _factor(w, w + 1e-6) is None and _factor(np.zeros(3), w) is None and _factor(w, np.zeros(3)) == 0.0
    besides = Besides(np.zeros((3, 3)), {"a": Query(Can.STRESS, -w), "b": Query(Can.STRESS, w)})
    queries = {"a": Query(Can.ENERGY, w), "b": Query(Can.ENERGY), "c": Query(Can.ENERGY)}
    joined = besides.join(np.zeros((3, 3)), queries)
    assert [query.want for query in joined.values()] == [Can.ENERGY | Can.STRESS, Can.ENERGY, Can.ENERGY]
    besides.take({"a": Answer(energy=2.0, stress=np.eye(3)), "b": Answer(energy=1.0), "c": Answer(energy=1.0)})
    assert besides.answers.keys() == {"a"} and besides.answers["a"].energy == -2.0
    assert besides.join(np.ones((3, 3)), queries) is queries


def test_what_does_not_exist_is_refused():
    atoms = rattled()
    atoms.calc = HybridCalculator(mixed(coupler=ForceBlend()))
    assert atoms.get_forces().shape == (64, 3)
    for ask in (atoms.get_potential_energy, atoms.get_stress):
        with pytest.raises(PropertyNotImplementedError):
            ask()
    part = Atoms("Si10", SILICON.positions[:10])
    part.calc = HybridCalculator(mixed(), np.arange(10))
    with pytest.raises(PropertyNotImplementedError):
        part.get_stress()


def test_bad_input():
    model = mixed()
    with pytest.raises(MultiscaleError, match="'relaxed' or 'frozen'"):
        HybridCalculator(model, continuum="loose")
    for dofs in ([0, 0], [64], [-1]):
        with pytest.raises(MultiscaleError, match="distinct shared dofs between 0 and 63"):
            HybridCalculator(model, dofs)
    atoms = rattled()
    atoms.calc = HybridCalculator(model)
    atoms.get_potential_energy()
    atoms.set_cell(atoms.cell.array * 1.01, scale_atoms=True)
    with pytest.raises(MultiscaleError, match="cell has changed"):
        atoms.get_potential_energy()
    few = Atoms("Si2", SILICON.positions[:2])
    few.calc = HybridCalculator(model)
    with pytest.raises(MultiscaleError, match="was given 2 atoms; its model has 64"):
        few.get_forces()


def test_a_changing_cell_with_rebuild():
    atoms = rattled(0.02)
    atoms.calc = HybridCalculator(mixed(), rebuild=mixed)
    first = atoms.get_potential_energy()
    atoms.set_cell(atoms.cell.array * 1.01, scale_atoms=True)
    assert atoms.get_potential_energy() > first
    assert atoms.calc.model.interface.regions["low"].cell == pytest.approx(atoms.cell.array)


def test_constraints_are_ases():
    atoms = rattled()
    held = atoms.positions[:5].copy()
    atoms.set_constraint(FixAtoms(range(5)))
    atoms.calc = HybridCalculator(mixed())
    BFGS(atoms, logfile=None).run(fmax=1e-2, steps=60)
    assert np.array_equal(atoms.positions[:5], held)


def test_a_region_that_ranks_share_is_refused():
    from multiscale.types import Team

    silicon = bulk("Si", a=5.43095)
    region = MLRegion(StillingerWeber(), silicon)
    region.bind(Team(0, 2))
    silicon.calc = RegionCalculator(region)
    with pytest.raises(MultiscaleError, match="a region that 2 ranks share"):
        silicon.get_potential_energy()


def test_atoms_that_come_in_another_cell_than_the_region_has():
    """At the first call: the region follows, or says that it cannot; atoms without a cell take the region's."""
    atoms = bulk("Si", cubic=True)
    region = MLRegion(StillingerWeber(), atoms)
    squeezed = atoms.copy()
    squeezed.set_cell(0.97 * atoms.cell.array, scale_atoms=True)
    squeezed.calc = RegionCalculator(region, rebuild=region.with_cell)
    exact = MLRegion(StillingerWeber(), squeezed).evaluate(squeezed.positions, Query()).energy
    assert squeezed.get_potential_energy() == pytest.approx(exact, abs=1e-10)
    squeezed.calc = RegionCalculator(region)
    with pytest.raises(MultiscaleError, match="cell has changed"):
        squeezed.get_potential_energy()
    bare = Atoms("Si8", atoms.positions)
    bare.calc = RegionCalculator(region)
    assert bare.get_potential_energy() == pytest.approx(8 * -4.3366, abs=1e-3)


def test_a_few_atoms_are_relaxed_or_refused():
    """In place, constraints held, no step longer than allowed."""
    cluster = rattled(0.1)
    cluster.calc = RegionCalculator(MLRegion(StillingerWeber(), cluster))
    start = cluster.positions.copy()
    cluster.set_constraint(FixAtoms([0]))
    with pytest.raises(
        MultiscaleError, match=r"Si64 is not relaxed after 1 steps: .* eV/Å, and 0.001 is needed; allow more steps"
    ):
        relax_atoms(cluster, 1e-3, 1, maxstep=0.01)
    moved = np.linalg.norm(cluster.positions - start, axis=1)
    assert moved.max() == pytest.approx(0.01, rel=1e-6) and moved[0] == 0.0
    assert relax_atoms(cluster, 1e-3, 100) == pytest.approx(64 * -4.3366, abs=1e-3)
    assert np.array_equal(cluster.positions[0], start[0])
