"""Atoms and the crystal that a mesh stands for have to be the same one; cells of a multilattice have one weight."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import pytest

pytest.importorskip("multiscale.continuum.laws", exc_type=ImportError)  # needs DOLFINx

from blocks import Block  # noqa: E402
from test_multilattice import SILICON, ShiftBlock  # noqa: E402

from couplers import EnergyBlend  # noqa: E402
from multiscale.continuum.cauchy_born import CauchyBorn  # noqa: E402
from multiscale.embedding import select  # noqa: E402
from multiscale.lattice import Lattice  # noqa: E402
from multiscale.regions.continuum import ContinuumRegion  # noqa: E402
from multiscale.types import MultiscaleError  # noqa: E402

FCC = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) / 2


class BornBlock(Block):
    """Lennard-Jones atoms in a mesh with the Cauchy–Born law of a crystal that may be another one."""

    size = 1.0
    turn = 0.0

    @cached_property
    def law(self):
        c, s = np.cos(self.turn), np.sin(self.turn)
        m = self.material
        cell = self.size * m.a * FCC @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])
        return CauchyBorn(m.model, cell, [m.symbol])

    def fem(self):
        region = ContinuumRegion(self.mesh, self.law, site_volume=self.law.site_volume, quadrature_degree=2)
        return region, select(self.nodes, self.n_q)


def block(**changed):
    one = BornBlock("lj", 3)
    for name, value in changed.items():
        object.__setattr__(one, name, value)
    return one


def test_the_same_crystal_is_accepted():
    block().model(EnergyBlend())


@pytest.mark.parametrize(
    "changed", [{"size": 1.01}, {"size": 0.9}, {"turn": 0.05}], ids=["larger", "smaller", "turned"]
)
def test_another_crystal_is_refused(changed):
    with pytest.raises(MultiscaleError, match="the law's lattice differs from the atoms'"):
        block(**changed).model(EnergyBlend())


def test_another_volume_per_atom_is_refused():
    b = block()
    with pytest.raises(MultiscaleError, match="per atom and a law whose crystal has"):
        ContinuumRegion(b.mesh, b.law, site_volume=1.01 * b.law.site_volume)


def test_weights_that_vary_within_a_cell_are_refused():
    """Anchors at the cells' centres give one weight to a cell; without them each atom has its own."""

    class Loose(ShiftBlock):
        def interface(self, **more):
            made = super().interface(**more)
            made.anchors.clear()
            made._state, made._weights = None, made._shares(made.reference)
            return made

    ShiftBlock("si", 3, **SILICON).model(EnergyBlend())
    with pytest.raises(MultiscaleError, match="belong to one cell of a multilattice"):
        Loose("si", 3, **SILICON).model(EnergyBlend())


def test_bonds():
    assert [len(b) for b in Lattice(FCC, np.zeros((1, 3)), np.ones(3, bool)).bonds] == [12]
    diamond = Lattice(FCC, np.array([[0, 0, 0], [0.25, 0.25, 0.25]]), np.ones(3, bool))
    assert [len(b) for b in diamond.bonds] == [4, 4]
    assert diamond.shortest == pytest.approx(np.sqrt(3) / 4)
    plane = Lattice(
        np.array([[1, 0, 0], [0.5, np.sqrt(0.75), 0], [0, 0, 1]]), np.zeros((1, 3)), np.array([1, 1, 0], bool)
    )
    assert [len(b) for b in plane.bonds] == [6]
