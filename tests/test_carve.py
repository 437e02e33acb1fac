"""Carved clusters: bonds counted once, link atoms apart, images in thin cells."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.lattice.cubic import Diamond
from scipy.spatial.distance import pdist

from multiscale.regions.carve import carve
from multiscale.types import MultiscaleError

A0 = 5.43095
BOND = A0 * np.sqrt(3) / 4


def crystal(repeat=(1, 1, 1)):
    return bulk("Si", a=A0, cubic=True) * repeat


def cut(atoms, core, **settings):
    return carve(atoms.get_chemical_symbols(), atoms.positions, atoms.cell.array, atoms.pbc, core, **settings)


def bond_audit(atoms, cluster):
    """Every bond of every cluster atom ends at a cluster atom or carries exactly one link atom."""
    x = cluster.positions(atoms.positions, atoms.cell.array)
    m = len(cluster.symbols)
    inner = np.linalg.norm(x[:m, None] - x[None, :m], axis=2)
    bonds = ((inner > 0.1) & (inner < 1.1 * BOND)).sum(axis=1)
    links = np.bincount(cluster.links[:, 0], minlength=m)
    assert np.array_equal(bonds + links, np.full(m, 4))
    return x, m


@pytest.mark.parametrize(("hops", "formula"), [(1, (5, 12)), (2, (35, 36)), (3, (71, 60))])
@pytest.mark.parametrize("repeat", [(1, 1, 1), (4, 4, 4)])
def test_compact_clusters_do_not_depend_on_the_cell(hops, formula, repeat):
    """The same cluster from one cubic cell (all by images) and from a large one."""
    atoms = crystal(repeat)
    cluster = cut(atoms, [0], hops=hops, images=repeat == (1, 1, 1))
    x, m = bond_audit(atoms, cluster)
    assert (m, len(cluster.links)) == formula
    assert cluster.core.sum() == 1 and cluster.core[0]
    assert pdist(x[m:]).min() > 2.0
    assert pdist(x).min() > 1.4
    assert np.allclose(np.linalg.norm(x[m:] - x[cluster.links[:, 0]], axis=1), 1.48, atol=1e-12)
    assert cluster.link_atoms.sum() == formula[1] and cluster.all_symbols.count("H") == formula[1]


def test_no_outer_atom_carries_two_link_atoms():
    rng = np.random.default_rng(0)
    atoms = crystal((3, 3, 3))
    for _ in range(5):
        cluster = cut(atoms, rng.integers(0, 216, 3), hops=1, images=True)
        outer = np.column_stack([cluster.links[:, 1], cluster.outer_shift])
        assert len(np.unique(outer, axis=0)) == len(outer)
        bond_audit(atoms, cluster)


def test_several_periods_from_a_cell_one_period_thick():
    """One period of [1-10] (3.84 Å) is thinner than two bonds: atoms of the cluster are images of one another."""
    atoms = Diamond(directions=[[1, 1, -2], [1, 1, 1], [1, -1, 0]], size=(2, 2, 1), symbol="Si", latticeconstant=A0)
    assert atoms.cell.lengths()[2] == pytest.approx(A0 / np.sqrt(2))
    atoms.set_pbc((False, False, True))
    middle = int(np.argmin(np.linalg.norm(atoms.positions[:, :2] - atoms.positions[:, :2].mean(0), axis=1)))
    one, three = cut(atoms, [middle], hops=1, images=True), cut(atoms, [middle], hops=1, periods=(1, 1, 3))
    assert three.core.sum() == 3 and set(three.shift[three.core][:, 2]) == {-1, 0, 1}
    assert len(three.symbols) > len(one.symbols)
    assert len(np.unique(np.column_stack([three.index, three.shift]), axis=0)) == len(three.symbols)
    x = three.positions(atoms.positions, atoms.cell.array)
    assert pdist(x).min() > 1.4


def test_radius_takes_whatever_is_near():
    atoms = crystal((1, 1, 1))
    cluster = cut(atoms, [0], radius=3.9, images=True)
    x, m = bond_audit(atoms, cluster)
    grid = crystal((5, 5, 5)).positions - 2 * A0
    near = (np.linalg.norm(grid - atoms.positions[0], axis=1) <= 3.9).sum()
    assert near == 17
    assert (np.linalg.norm(x[:m] - x[0], axis=1) <= 3.9).sum() == near


def test_link_atoms_are_affine_in_the_positions():
    atoms = crystal()
    cluster = cut(atoms, [0], hops=1)
    place_by_rows = cluster.embedding(atoms.cell.array, len(atoms)).place
    rng = np.random.default_rng(1)
    x, u, v = (rng.normal(size=(8, 3)) for _ in range(3))
    cell = atoms.cell.array

    def place(y):
        return cluster.positions(y, cell)

    assert np.abs(place_by_rows(x) - place(x)).max() < 1e-13
    assert np.abs(place(x + u + v) - place(x + u) - place(x + v) + place(x)).max() < 1e-13
    shift = np.array([0.1, -2.0, 5.0])
    assert np.abs(place(x + shift) - place(x) - shift).max() < 1e-13


def test_a_free_surface_keeps_its_dangling_bonds():
    """Open axes have no bonds across: the atoms of a real surface are not capped."""
    atoms = crystal((2, 2, 2))
    atoms.set_pbc(False)
    cluster = cut(atoms, np.arange(64), hops=0)
    assert len(cluster.symbols) == 64 and len(cluster.links) == 0
    assert cluster.positions(atoms.positions, atoms.cell.array).shape == (64, 3)


def test_a_cell_too_small_for_the_buffer_is_refused_with_the_lengths():
    """Si5 fits a cubic cell of silicon; Si35, 10.86 Å wide, needs one of three lattice constants."""
    atoms = crystal((1, 1, 1))
    assert len(cut(atoms, [0], hops=1).symbols) == 5
    with pytest.raises(MultiscaleError, match=r"atom \d is in it twice, 5\.43 Å apart.*the cell 5\.43 Å"):
        cut(atoms, [0], hops=2)
    with pytest.raises(MultiscaleError, match=r"the cluster is 10\.86 Å long and the cell 10\.86 Å"):
        cut(crystal((2, 2, 2)), [0], hops=2)
    assert len(np.unique(cut(crystal((3, 3, 3)), [0], hops=2).index)) == 35
    # All of a periodic chain: its two ends are bonded to one another, without any atom being in it twice.
    chain = Atoms("Si5", np.arange(5)[:, None] * [2.35, 0, 0], cell=[5 * 2.35, 0, 0], pbc=(True, False, False))
    with pytest.raises(
        MultiscaleError, match=r"atom 4 is in it and, through another image, .*axis 0 the cluster is 9\.40 Å"
    ):
        cut(chain, np.arange(5))
    assert len(cut(chain, np.arange(4)).links) == 2
    assert len(cut(chain, np.arange(5), images=True).links) == 2


def test_images_are_meant_along_axes_of_several_periods_only():
    atoms = Diamond(directions=[[1, 1, -2], [1, 1, 1], [1, -1, 0]], size=(1, 2, 1), symbol="Si", latticeconstant=A0)
    middle = int(np.argmin(np.linalg.norm(atoms.positions - atoms.cell.array.sum(0) / 2, axis=1)))
    with pytest.raises(MultiscaleError, match="along axis 0 the cluster"):
        cut(atoms, [middle], hops=2, periods=(1, 1, 3))
    atoms.set_pbc((False, False, True))
    assert cut(atoms, [middle], hops=2, periods=(1, 1, 3)).core.sum() == 3


def test_refusals():
    with pytest.raises(MultiscaleError, match="empty core"):
        cut(crystal(), [])
    with pytest.raises(MultiscaleError, match="more than max_atoms = 20"):
        cut(crystal(), [0], hops=2, max_atoms=20, images=True)
    atoms = crystal()
    atoms.set_pbc((True, True, False))
    with pytest.raises(MultiscaleError, match="only along periodic axes"):
        cut(atoms, [0], periods=(1, 1, 2))
