"""Atoms and nodes with dofs of their own, tied together: the constraint, dynamics and relaxation under it, and the bridging domain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import scipy.sparse as sp

from couplers import (
    AdaptivePartitioning,
    BridgingDomain,
    EnergyBlend,
    ForceBlend,
    ForceMixing,
    GhostCorrected,
    SiteSubtractive,
    Subtractive,
)
from multiscale import HybridModel, Interface, Linear, Nested, Quintic, Slab
from multiscale.constraint import Constraint, held
from multiscale.drive import (
    kinetic_energy,
    kinetic_temperature,
    langevin,
    leapfrog_energy,
    precondition,
    relax,
    thermal_velocities,
    verlet,
)
from multiscale.drive.thermal import KB
from multiscale.region import Query
from multiscale.regions.chain import ChainElements, ChainRegion, HarmonicPair, MorsePair
from multiscale.testing.bridged import Line, bridged
from multiscale.testing.checks import shaken
from multiscale.testing.conformance import examine
from multiscale.testing.problems import chain
from multiscale.testing.regions import examine_region
from multiscale.types import MultiscaleError

PAIR = HarmonicPair()
A = PAIR.length
#: Atoms −30 … 19, nodes at 0, 5, …, 60.
LINE = Line(PAIR, A, 30, 20, 60, 5, neighbours=1)
KINDS = {
    "L2": BridgingDomain(),
    "pointwise": BridgingDomain(projection="pointwise"),
    "lumped": BridgingDomain(projection="pointwise", lumped=True),
    "L2, lumped": BridgingDomain(lumped=True),
}
EXACT = ("L2", "pointwise")


def model(coupler=None, line=LINE):
    return HybridModel(line.interface(), coupler or BridgingDomain())


def shaking(m, seed=1, amplitude=0.02):
    """A general state and general velocities, along x."""
    rng, X = np.random.default_rng(seed), m.interface.reference
    move = rng.normal(size=(2, len(X), 1)) * [1, 0, 0]
    return X + amplitude * move[0], 0.3 * move[1]


def wrong(results):
    return [str(r) for r in results if not r.ok]


# -- long elements ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pair", [PAIR, MorsePair()], ids=["harmonic", "Morse"])
@pytest.mark.parametrize("neighbours", [1, 2, 3])
def test_long_elements_are_the_atoms_that_they_stand_for(pair, neighbours):
    """Equal energies per atom, masses and matter under any homogeneous stretch, whatever the elements' lengths."""
    a, n = 1.1, 24
    at = np.array([0, 1, 3, 8, 12, 19, 24])
    nodes, atoms = np.zeros((len(at), 3)), np.zeros((n, 3))
    nodes[:, 0], atoms[:, 0] = a * at, a * np.arange(n)
    elements = ChainElements(nodes, pair, neighbours=neighbours, spacing=a)
    sampled = ChainElements(nodes, pair, neighbours=neighbours, spacing=a, quadrature="lattice")
    ring = ChainRegion(atoms, pair, n * a, neighbours=neighbours)
    assert elements.matter.tolist() == pytest.approx(np.diff(at)) and elements.masses().sum() == pytest.approx(n)
    assert elements.masses()[1:-1] == pytest.approx(0.5 * (at[2:] - at[:-2]))
    for s in (1.0, 1.03, 0.98):
        # A ring keeps its length: its stretched twin is another ring.
        twin = ChainRegion(s * atoms, pair, n * a * s, neighbours=neighbours)
        assert elements.evaluate(s * nodes, Query()).energy == pytest.approx(twin.evaluate(s * atoms, Query()).energy)
        assert np.abs(elements.evaluate(s * nodes, Query()).forces[1:-1]).max() < 1e-12
    # Without weights that vary within them, where the sites are makes no difference.
    x = nodes + 0.02 * np.random.default_rng(1).normal(size=(len(at), 1)) * [1, 0, 0]
    one, other = elements.evaluate(x, Query()), sampled.evaluate(x, Query())
    assert one.energy == pytest.approx(other.energy, rel=1e-12) and np.allclose(one.forces, other.forces, atol=1e-12)
    assert sampled.masses() == pytest.approx(elements.masses()) and sampled.sites(nodes)[:, 0].max() == pytest.approx(
        n * a
    )
    assert np.unique(np.round(sampled.sites(nodes)[:, 0] / a, 9)).tolist() == list(range(n + 1))
    assert ring.reach == pytest.approx(neighbours * a)


def test_long_elements_keep_the_contract_of_regions():
    nodes = np.zeros((8, 3))
    nodes[:, 0] = 0.99 * np.array([0, 1, 3, 8, 12, 19, 24, 26])
    for quadrature in ("midpoint", "lattice"):
        assert not wrong(
            examine_region(lambda q=quadrature: ChainElements(nodes, MorsePair(), spacing=0.99, quadrature=q))
        )
    assert not wrong(examine_region(lambda: ChainRegion(nodes[:2] + [[0, 0, 0], [0.01, 0, 0]], neighbours=1)))


@pytest.mark.parametrize("period", [None, 30.0])
def test_the_chains_shape_functions(period):
    nodes = np.zeros((6, 3))
    nodes[:, 0] = [0, 2, 5, 9, 16, 22]
    elements = ChainElements(nodes, PAIR, period)
    X = np.linspace(0.0, 22.0, 45)[:, None] * [1, 0, 0]
    assert np.allclose((elements.shape(X) @ nodes)[:, 0], X[:, 0], atol=1e-12)
    (slope,) = elements.gradient(X[:-1] + [0.1, 0, 0])
    assert np.allclose(slope @ nodes[:, 0], 1.0) and np.allclose(elements.interpolation(X).sum(axis=1), 1.0)
    if period is None:
        with pytest.raises(MultiscaleError, match="2 Å outside the chain's elements"):
            elements.shape(np.array([[24.0, 0, 0]]))
    else:
        assert elements.shape(np.array([[26.0, 0, 0]])).toarray()[0] == pytest.approx([0.5, 0, 0, 0, 0, 0.5])
    with pytest.raises(MultiscaleError, match="element 0 is 2.5 spacings long"):
        ChainElements(nodes, PAIR, spacing=0.8, quadrature="lattice")
    with pytest.raises(MultiscaleError, match="no field between its dofs"):
        ChainRegion(nodes).interpolation(X)


# -- the overlap and its rows ----------------------------------------------------------------------------------


def test_the_bridge_is_where_both_are_counted():
    interface = LINE.interface()
    bridge = interface.bridge("fem")
    x = interface.reference[:, 0] / A
    assert np.allclose(x[bridge.dofs], np.arange(20)) and (bridge.dofs < len(LINE.atoms)).all()
    assert np.allclose(x[bridge.nodes], [0, 5, 10, 15, 20]) and (bridge.nodes >= len(LINE.atoms)).all()
    assert bridge.share == pytest.approx(1.0 - Quintic()(np.arange(20) / 20.0), abs=1e-8)
    with pytest.raises(MultiscaleError, match="consists of particles"):
        interface.bridge("atoms")


@pytest.mark.parametrize("kind", EXACT)
def test_rows_hold_what_the_mesh_can_do(kind):
    """Any motion of the nodes, and atoms that follow it; one row per atom or per node."""
    m = model(KINDS[kind])
    ties = KINDS[kind].constraint(m.interface)
    bridge, q = m.interface.bridge("fem"), m.interface.reference.copy()
    assert len(ties.value) == (5 if kind == "L2" else 20)
    q[bridge.nodes, 0] += [0.3, -0.1, 0.2, 0.5, -0.4]
    assert np.abs(ties.residual(q)).max() > 0.05
    q[bridge.dofs] = bridge.shape @ q
    assert np.abs(ties.residual(q)).max() < 1e-12


def test_the_weak_rows_are_the_projection():
    bridge = LINE.interface().bridge("fem")
    u = np.random.default_rng(3).normal(size=len(LINE.sites))
    n = bridge.shape[:, bridge.nodes].toarray()
    u[bridge.nodes] = np.linalg.lstsq(n, u[bridge.dofs], rcond=None)[0]
    assert np.abs(bridge.weak() @ u).max() < 1e-12
    q = bridge.fluctuation()
    assert np.allclose(q @ q, q) and np.allclose(q @ n, 0.0, atol=1e-12)
    assert np.allclose(q @ u[bridge.dofs], u[bridge.dofs] - n @ u[bridge.nodes])


def test_shared_dofs_need_no_ties():
    """Elements between the atoms themselves: every row would be zero."""
    assert BridgingDomain().constraint(chain().interface()) is None
    assert EnergyBlend().constraint(LINE.interface()) is None


WRAPPERS = (AdaptivePartitioning, BridgingDomain, ForceMixing, GhostCorrected, SiteSubtractive, Subtractive)


@pytest.mark.parametrize("wrapper", WRAPPERS, ids=[w.__name__ for w in WRAPPERS])
def test_wrappers_pass_ties_and_masses_on(wrapper):
    interface = bridged().interface()
    inner = BridgingDomain()
    outer = wrapper(inner=inner)
    assert (outer.constraint(interface).matrix != inner.constraint(interface).matrix).nnz == 0
    assert np.array_equal(outer.masses(interface), inner.masses(interface))
    assert (inner.masses(interface) != interface.masses()).any()


def test_masses_count_every_atom_once_and_leave_no_node_without():
    m = model()
    mass = m.coupler.masses(m.interface)
    # −30 … 60: the last node has half an element, the first atom is a whole one.
    assert mass.sum() == pytest.approx(m.ledger(m.interface.reference).matter, rel=1e-12) and (mass > 0).all()
    assert (m.interface.masses() <= 0).any()
    with pytest.raises(MultiscaleError, match="positive mass on every shared dof"):
        next(verlet(m, *shaking(m), dt=0.02, steps=1, masses=m.interface.masses()))


# -- multipliers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", EXACT)
def test_multipliers(kind):
    """Projections in the metric of the masses: states are kept to, forces and velocities correspond, nothing free is fixed."""
    m = model(KINDS[kind])
    free, mass = ~m.interface.fixed, KINDS[kind].masses(m.interface)
    ties = held(KINDS[kind].constraint(m.interface), free, mass)
    a = ties.constraint.matrix
    q, v = shaking(m)
    f = 7.0 * v[::-1]
    assert np.abs(ties.constraint.residual(ties.positions(q))).max() < 1e-12
    assert np.abs(a @ ties.velocities(v)).max() < 1e-12
    assert np.allclose(ties.velocities(f / mass[:, None]), ties.forces(f) / mass[:, None], atol=1e-12)
    assert abs(float(np.sum((ties.forces(f) - f) * ties.velocities(v)))) < 1e-11
    assert np.array_equal(ties.positions(q)[:, 1:], q[:, 1:])
    p = ties.projector(0)
    assert np.allclose(p, p.T) and np.allclose(p @ p, p)
    root = np.sqrt(mass[ties.dofs])
    assert np.allclose(p @ (root * v[ties.dofs, 0]), root * ties.velocities(v)[ties.dofs, 0])


@pytest.mark.parametrize("kind", ["lumped", "L2, lumped"])
def test_lumped_multipliers_only_take_energy(kind):
    m = model(KINDS[kind])
    mass = KINDS[kind].masses(m.interface)
    ties = held(KINDS[kind].constraint(m.interface), ~m.interface.fixed, mass)
    for seed in range(5):
        q, v = shaking(m, seed)
        slower = ties.velocities(v)
        assert kinetic_energy(mass, slower) < kinetic_energy(mass, v) and ties.positions(q) is q and ties.forces(q) is q
        assert np.abs(ties.constraint.matrix @ slower).max() > 1e-3
        assert mass @ slower[:, 0] == pytest.approx(mass @ v[:, 0])
    # What the mesh can do is none of their business.
    v[:, 0] = m.interface.reference[:, 0]
    assert np.abs(ties.velocities(v) - v).max() < 1e-10


def test_rows_that_depend_on_one_another_are_refused():
    m = model()
    a = m.coupler.constraint(m.interface).matrix
    twice = Constraint.of([a, a], m.interface.reference)
    with pytest.raises(MultiscaleError, match="10 rows of the constraint depend on one another"):
        twice.held(np.ones((m.interface.n_q, 3)))
    assert Constraint.of([sp.csr_matrix((0, 3))], np.zeros((3, 3))) is None


# -- dynamics --------------------------------------------------------------------------------------------------


def run(coupler, steps=400, dt=0.02, line=LINE):
    m = model(coupler, line)
    return m, list(verlet(m, *shaking(m), dt=dt, steps=steps))


@pytest.mark.parametrize("kind", EXACT)
def test_dynamics_keeps_to_the_constraint_and_to_its_energy(kind):
    m, steps = run(KINDS[kind])
    ties, mass = KINDS[kind].constraint(m.interface), KINDS[kind].masses(m.interface)
    assert max(np.abs(ties.residual(s.q)).max() for s in steps) < 1e-12
    assert max(np.abs(ties.matrix @ s.velocities).max() for s in steps) < 1e-12
    energy = np.array([leapfrog_energy(s, mass, 0.02, m.interface.fixed) for s in steps])
    assert np.abs(energy / energy[0] - 1.0).max() < 1e-11
    momentum = np.array([mass @ s.velocities[:, 0] for s in steps])
    assert np.ptp(momentum) < 1e-11


def test_projecting_velocities_alone_lets_positions_drift():
    """The saboteur of the test above: forces without reactions, velocities corrected after each step, exactly."""
    m = model()
    mass, free = m.coupler.masses(m.interface), ~m.interface.fixed
    ties = held(m.coupler.constraint(m.interface), free, mass)
    q, v = shaking(m)
    q, v = ties.positions(q), ties.velocities(v)
    off, dt = [], 0.02
    for _ in range(400):
        v = v + 0.5 * dt * np.where(free, m.evaluate(q).forces, 0.0) / mass[:, None]
        q = q + dt * v
        v = ties.velocities(v + 0.5 * dt * np.where(free, m.evaluate(q).forces, 0.0) / mass[:, None])
        off.append(np.abs(ties.constraint.residual(q)).max())
    assert np.abs(ties.constraint.matrix @ v).max() < 1e-12
    assert off[0] > 1e-6 and max(off) > 100 * off[0]


@pytest.mark.parametrize("kind", ["lumped", "L2, lumped"])
def test_lumped_multipliers_lose_energy_and_let_positions_drift(kind):
    """Silently: nothing is booked, and the energy that Verlet keeps shows it."""
    m, steps = run(KINDS[kind])
    mass = KINDS[kind].masses(m.interface)
    energy = np.array([leapfrog_energy(s, mass, 0.02, m.interface.fixed) for s in steps])
    assert energy[-1] < 0.9 * energy[0] and steps[-1].heat is None
    assert np.abs(KINDS[kind].constraint(m.interface).residual(steps[-1].q)).max() > 1e-3


def test_time_reversal():
    """RATTLE is symmetric: velocities turned round lead back."""
    m, steps = run(BridgingDomain(), 200)
    *_, back = verlet(m, steps[-1].q, -steps[-1].velocities, dt=0.02, steps=200)
    assert np.abs(back.q - steps[0].q).max() < 1e-11


def test_the_thermostat_under_a_constraint():
    """Equipartition over what the constraint leaves; noise and friction that do not balance are refused."""
    m = model()
    mass, T = m.coupler.masses(m.interface), 0.01 / KB
    v = thermal_velocities(mass, 2 * T, 1, fixed=m.interface.fixed)
    bath = {"dt": 0.02, "temperature": T, "friction": 2.0, "seed": 3}
    seen = []
    for s in langevin(m, m.interface.reference, v, steps=6000, **bath):
        if s.index > 500:
            seen.append(kinetic_temperature(mass, s.velocities, moving=len(mass) - 5))
    assert np.abs(m.coupler.constraint(m.interface).matrix @ s.velocities).max() < 1e-12
    # 58 components, correlated over 1/γ = 25 steps: a standard error of 1.3 %; without the five that are held it were 8 % too low.
    assert np.mean(seen) == pytest.approx(T, rel=0.045)
    for coupler, friction, sentence in (
        (BridgingDomain(lumped=True), 2.0, "lumped multipliers, which take energy"),
        (BridgingDomain(), np.linspace(1.0, 2.0, len(mass)), "different frictions on dofs"),
    ):
        other = model(coupler)
        with pytest.raises(MultiscaleError, match=sentence):
            list(langevin(other, m.interface.reference, v, steps=1, **{**bath, "friction": friction}))


def ends_held(interface):
    """The same with the first atom and the last node fixed."""
    fixed = interface.fixed.copy()
    fixed[[0, -1]] = True
    regions = {r: (interface.regions[r], interface.embeddings[r]) for r in ("atoms", "fem")}
    return Interface(interface.reference, regions, interface.partition, fixed)


# -- rest ------------------------------------------------------------------------------------------------------


def pulled(kind, switch, overlap=20, exact=True):
    """The relaxed chain with its ends held 1 % apart, less the homogeneous stretch: of atoms, and of nodes."""
    line = Line(PAIR, A, 30, overlap, 120, 5, neighbours=1, switch=switch, exact=exact)
    interface = ends_held(line.interface())
    m = HybridModel(interface, KINDS[kind])
    start, _ = shaking(m, amplitude=0.05)
    start[[0, -1]] = 1.01 * interface.reference[[0, -1]]
    *_, last = relax(m, start, fmax=1e-9, max_move=5.0)
    assert last.converged and last.index <= 3
    assert np.abs(KINDS[kind].constraint(interface).residual(last.q)).max() < 1e-11
    off, n = np.abs(last.q - 1.01 * interface.reference).max(axis=1), len(line.atoms)
    return off[:n].max(), off[n:].max()


@pytest.mark.parametrize("kind", ["pointwise", "lumped"])
@pytest.mark.parametrize("switch", [Linear(), Quintic()], ids=["linear", "quintic"])
def test_a_pulled_chain_stretches_evenly(kind, switch):
    """Of a harmonic chain with one neighbour a homogeneous stretch is in equilibrium, overlap included; with midpoint weights it is not."""
    assert max(pulled(kind, switch)) < 1e-9
    if isinstance(switch, Quintic):
        assert max(pulled(kind, switch, exact=False)) > 1e-4


def test_the_weak_constraint_disturbs_a_pulled_chain_less_and_less():
    """Multipliers at nodes balance the pull of the weights in the mean over an element: the mesh feels the rest as (h/overlap)³."""
    found = [pulled("L2", Quintic(), overlap)[1] for overlap in (20, 40, 80)]
    assert found[0] < 3e-4 and found[0] > 6 * found[1] > 36 * found[2]
    assert pulled("L2", Quintic(), 80, exact=False)[1] > 50 * found[2]


@pytest.mark.parametrize("inner", [EnergyBlend, ForceBlend], ids=["energy", "forces"])
def test_relaxation_finds_the_constrained_equilibrium(inner):
    """Of the Morse chain: forces are balanced by reactions, by a preconditioner of one's own as well."""
    m = HybridModel(ends_held(bridged().interface()), BridgingDomain(inner=inner()))
    ties = held(m.coupler.constraint(m.interface), ~m.interface.fixed)
    start = shaken(m.interface.reference, 0.03)
    *_, last = relax(m, start, fmax=1e-8)
    *_, other = relax(m, start, fmax=1e-8, preconditioner=lambda f: f / 60.0, max_steps=3000)
    f = np.where(m.interface.fixed, 0.0, m.evaluate(last.q).forces)
    assert last.converged and np.abs(ties.forces(f)).max() < 1e-8
    assert np.abs(ties.constraint.residual(last.q)).max() < 1e-11
    if inner is EnergyBlend:
        # Its ghost forces want the two apart; force blending has none.
        assert np.abs(f).max() > 1e-4
        assert other.converged and np.abs(other.q - last.q).max() < 1e-6


def test_the_preconditioner_keeps_to_the_constraint():
    m = model()
    p = precondition(m, m.interface.reference, ~m.interface.fixed)
    f = np.where(m.interface.fixed, 0.0, shaking(m)[1])
    assert p.ties == 5 and np.abs(m.coupler.constraint(m.interface).matrix @ p(f)).max() < 1e-9 * np.abs(p(f)).max()


# -- the coupler -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_keeps_its_claims(kind):
    assert not wrong(examine(lambda: KINDS[kind]))


def test_it_promises_no_more_than_what_it_wraps():
    assert not wrong(
        examine(
            lambda: BridgingDomain(inner=ForceBlend()),
            only=["gradient", "circulation", "momentum", "patch", "constraint"],
        )
    )
    assert not wrong(examine(lambda: BridgingDomain(inner=GhostCorrected()), only=["patch", "momentum", "constraint"]))


def test_bad_input():
    with pytest.raises(MultiscaleError, match="projection='mean'"):
        BridgingDomain(projection="mean")
    X = np.zeros((9, 3))
    X[:, 0] = np.arange(9)
    regions = {"atoms": ChainRegion(X), "fem": ChainElements(X)}
    partition = Nested([("atoms", Slab((4, 0, 0), (1, 0, 0), 1.0), 2.0)], rest="fem", frame="current")
    with pytest.raises(MultiscaleError, match="weights in the reference frame"):
        HybridModel(Interface(X, regions, partition), BridgingDomain())


def test_newtons_method_is_told_that_it_does_not_know_ties():
    m = model()
    with pytest.raises(MultiscaleError, match="Newton's method on F"):
        m.jacobian(m.interface.reference)
    free = chain().model(BridgingDomain())
    assert (free.jacobian(free.interface.reference) != free.stiffness(free.interface.reference)).nnz == 0


def test_ase_is_told_that_it_does_not_know_ties():
    ase_calculator = pytest.importorskip("multiscale.calculator")
    m = model()
    with pytest.raises(MultiscaleError, match="ties atoms to nodes"):
        ase_calculator.HybridCalculator(m, continuum="frozen")
    ase_calculator.HybridCalculator(m)


@dataclass(frozen=True)
class Untied(BridgingDomain):
    """Forgets the constraint."""

    def constraint(self, interface):
        return None


def test_without_ties_the_two_descriptions_part():
    m, steps = run(Untied())
    assert np.abs(BridgingDomain().constraint(m.interface).residual(steps[-1].q)).max() > 1e-2
