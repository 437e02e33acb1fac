"""The hybrid model: gates, ledger, failures, teams of ranks."""

from __future__ import annotations

import numpy as np
import pytest

from couplers import EnergyBlend, ForceMixing, Subtractive
from multiscale.embedding import select
from multiscale.interface import Interface
from multiscale.model import HybridModel
from multiscale.partition import Nested, Partition
from multiscale.ranks import Ranks, World
from multiscale.region import Can
from multiscale.regions.chain import ChainElements, ChainRegion
from multiscale.shapes import Slab, SmoothUnion
from multiscale.testing.problems import chain, moving
from multiscale.testing.threads import on_ranks
from multiscale.types import MultiscaleError

N = 40
Q = np.zeros((N, 3))
Q[:, 0] = np.arange(N)


def _interface(width=6.0, atoms=None, **kwargs):
    atoms = np.arange(N) if atoms is None else atoms
    regions = {"atoms": (ChainRegion(Q[atoms]), select(atoms, N)), "fem": ChainElements(Q)}
    partition = Nested([("atoms", Slab((N / 2, 0, 0), (1, 0, 0), 6.0), width)], rest="fem")
    return Interface(Q, regions, partition, **kwargs)


def test_zone_narrower_than_one_reach_is_refused():
    """And the sentence names both lengths."""
    with pytest.raises(MultiscaleError, match=r"1.5 Å wide, narrower than one reach of region 'atoms' \(2 Å\)"):
        HybridModel(_interface(width=1.5), EnergyBlend())


def test_zone_that_reaches_outside_the_atoms_is_refused():
    """Atoms 10…30 only, but the zone ends at 8 and 32: some matter is covered by nobody."""
    with pytest.raises(MultiscaleError, match="not fully covered|reaches outside"):
        HybridModel(_interface(atoms=np.arange(10, 31)), EnergyBlend())


def test_counted_atoms_need_their_neighbours():
    """The zone ends just inside the region: counted atoms there miss neighbours."""
    with pytest.raises(MultiscaleError, match="reaches outside the region; add a pad"):
        HybridModel(_interface(atoms=np.arange(8, 33)), EnergyBlend())
    HybridModel(_interface(atoms=np.arange(6, 35)), EnergyBlend())


def test_matter_counted_twice_is_refused():
    """A partition that adds up to two."""

    class Twice(Partition):
        regions, frame = ("atoms", "fem"), "reference"

        def __call__(self, X, q=None):
            one = np.ones(len(X)), np.zeros((len(X), 3))
            return {"atoms": one, "fem": one}

    i = Interface(Q, {"atoms": ChainRegion(Q), "fem": ChainElements(Q)}, Twice())
    with pytest.raises(MultiscaleError, match="counted more than once .* add up to 2 times"):
        HybridModel(i, EnergyBlend())


def test_coupler_without_what_it_needs_is_refused():
    """The sentence names the region, its offer, and couplers that would do."""

    class NoWeights(ChainRegion):
        can = Can.ENERGY | Can.FORCES

    i = Interface(Q, {"atoms": NoWeights(Q), "fem": ChainElements(Q)}, _interface().partition)
    with pytest.raises(
        MultiscaleError, match="needs SITE_WEIGHTS of region 'atoms', which offers ENERGY | FORCES.*force_blend"
    ):
        HybridModel(i, EnergyBlend())
    with pytest.raises(MultiscaleError, match="evaluates a region named 'qm'"):
        HybridModel(_interface(), Subtractive())


def test_overlapping_atoms_and_lost_positions_are_refused():
    """Before anything is evaluated."""
    q = Q.copy()
    q[5] = q[4] + [0.01, 0, 0]
    partition = _interface().partition
    with pytest.raises(MultiscaleError, match="atoms 4 and 5 of region 'atoms' are only 0.010 Å apart"):
        HybridModel(Interface(q, {"atoms": ChainRegion(q), "fem": ChainElements(q)}, partition), EnergyBlend())
    model = HybridModel(_interface(), EnergyBlend())
    q = Q.copy()
    q[7, 0] = np.nan
    with pytest.raises(MultiscaleError, match="shared dof 7 has no finite position"):
        model.evaluate(q)


def test_nan_from_a_region_names_region_and_atom():
    """Not a silent nan in the sum."""

    class Sick(ChainRegion):
        def evaluate(self, x, query):
            a = super().evaluate(x, query)
            if a.forces is not None:
                a.forces[9] = np.nan
            return a

    i = Interface(Q, {"atoms": Sick(Q), "fem": ChainElements(Q)}, _interface().partition)
    with pytest.raises(MultiscaleError, match="region 'atoms' returned forces that are not numbers at atom 9"):
        HybridModel(i, EnergyBlend()).evaluate(Q)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_failing_rank_fails_everywhere(size):
    """One rank raises; every rank raises the same sentence, and names the rank."""

    class Fails(ChainRegion):
        def evaluate(self, x, query):
            if self.team.rank == self.team.size - 1:
                raise ValueError("no luck")
            return super().evaluate(x, query)

    def run(world):
        i = Interface(Q, {"atoms": Fails(Q), "fem": ChainElements(Q)}, _interface().partition)
        model = HybridModel(i, EnergyBlend(), Ranks(world=world))
        try:
            model.evaluate(Q)
        except MultiscaleError as e:
            return str(e)
        return "nothing"

    said = on_ranks(size, run)
    assert len(set(said)) == 1 and "no luck" in said[0]
    assert size == 1 or f"rank {size - 1} of {size}" in said[0]


def test_ranks_share_and_quantum_goes_alone():
    """Fewer ranks than regions share; quantum clusters leave the others alone where they can."""
    names = ["qm", "ml", "fem"]
    assert Ranks(world=World(0, 1)).members(names, ["qm"]) == {"qm": (0,), "ml": (0,), "fem": (0,)}
    assert Ranks(world=World(0, 2)).members(names, ["qm"]) == {"qm": (1,), "ml": (0,), "fem": (0,)}
    assert Ranks(world=World(0, 4)).members(names, ["qm"]) == {"qm": (3,), "ml": (0, 1, 2), "fem": (0, 1, 2)}
    assert Ranks({"fem": [0]}, World(0, 2)).members(names) == {"qm": (0, 1), "ml": (0, 1), "fem": (0,)}
    with pytest.raises(MultiscaleError, match="distinct ranks between 0 and 1"):
        Ranks({"fem": [2]}, World(0, 2)).members(names)
    with pytest.raises(MultiscaleError, match="'gpu'"):
        Ranks({"gpu": [0]}, World(0, 2)).members(names)


def test_ledger_adds_up():
    """Matter, energy and coverage; the pair of a subtractive coupling adds no matter."""
    model = chain().model(Subtractive())
    ledger = model.ledger(model.interface.reference)
    assert ledger.matter == pytest.approx(96, abs=1e-11)
    assert ledger.coverage == pytest.approx((1.0, 1.0), abs=1e-12)
    rows = {r.region: r for r in ledger.rows}
    assert rows["qm"].matter == 15 and rows["ml_qm"].matter == -15
    assert sum(r.energy for r in ledger.rows) == pytest.approx(ledger.energy, rel=1e-14)
    assert "coverage of every piece of matter" in str(ledger)
    mixed = chain().model(ForceMixing())
    ledger = mixed.ledger(mixed.interface.reference)
    assert ledger.energy is None and ledger.matter == pytest.approx(96, abs=1e-11)


def test_seeds_outside_reference_frame():
    """The momentum of weights that ride on matter is conserved to round-off; that of weights fixed in space is not."""
    from multiscale.testing.checks import shaken

    def net(shape):
        partition = Nested([("atoms", shape, 6.0)], rest="other", frame="current")
        from multiscale.regions.chain import MorsePair

        i = Interface(Q, {"atoms": ChainRegion(Q, MorsePair(alpha=4.4)), "other": ChainRegion(Q)}, partition)
        return abs(HybridModel(i, EnergyBlend()).evaluate(shaken(Q, 0.05)).forces.sum())

    assert net(SmoothUnion((N // 2,), 5.0)) < 1e-12 * N
    assert net(Slab((N / 2, 0, 0), (1, 0, 0), 5.0)) > 1e-6


@pytest.mark.parametrize("problem", [chain(), moving()], ids=["resting", "moving"])
def test_what_is_done_with_the_weights_changes_nothing(problem):
    """A coupler that scales in place what it was given gets the same again."""
    interface = problem.interface()
    q = interface.reference
    kept = {r: w.copy() for r, w in interface.weights(q).items()}
    for w in interface.weights(q).values():
        w *= 0.5
    assert all(np.array_equal(w, kept[r]) for r, w in interface.weights(q).items())


def test_two_masses_of_one_atom_are_refused():
    """Where both regions weigh something; a mesh may lump other masses, and an atom that one of them does not count any."""

    class Isotopes(ChainRegion):
        heavy: tuple[int, ...] = ()

        def masses(self):
            return np.where(np.isin(np.arange(N), self.heavy), 2.0, 1.0)

    def masses(heavy, rest=ChainRegion):
        regions = {"some": Isotopes(Q), "others": rest(Q)}
        regions["some"].heavy = heavy
        partition = Nested([("some", Slab((N / 2, 0, 0), (1, 0, 0), 6.0), 6.0)], rest="others")
        return Interface(Q, regions, partition).masses()

    # Both weigh something between 6 and 12 Å from the middle: atoms 9 to 13 and 27 to 31.
    with pytest.raises(
        MultiscaleError, match="'some' and 'others' share dof 10 and give it masses of 2 and 1 amu; build"
    ):
        masses((10, 30))
    assert masses((20,)) == pytest.approx(np.where(np.arange(N) == 20, 2.0, 1.0))
    assert masses((2,)) == pytest.approx(1.0)
    blended = masses((10, 30), ChainElements)
    assert 1.0 < blended[10] < 2.0 and blended[20] == pytest.approx(1.0)
