"""Buffers of quantum clusters: convergence of forces and site energies in the core, on methods of known range and for real."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes

from multiscale.models import LennardJones
from multiscale.regions.buffer_study import buffer_study
from multiscale.regions.ml import MLRegion
from multiscale.regions.qm import QMRegion
from multiscale.types import MultiscaleError


def silicon(n=3, rattle=0.05):
    atoms = bulk("Si", a=5.43095, cubic=True) * (n, n, n)
    reference = atoms.positions.copy()
    atoms.rattle(rattle, seed=1)
    return atoms, reference


class Finite(Calculator):
    """Σ_{i<j} (1 − r_ij/c)³ of silicon atoms within c: an atom feels no atom farther away, and no cap."""

    implemented_properties = ("energy", "energies", "forces")
    cutoff = 2.7

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        si = atoms.numbers == 14
        d = atoms.positions[:, None] - atoms.positions[None]
        r = np.linalg.norm(d, axis=2)
        near = np.outer(si, si) & (r > 0) & (r < self.cutoff)
        t = np.where(near, 1.0 - r / self.cutoff, 0.0)
        energies = 0.5 * (t**3).sum(axis=1)
        pull = 3.0 * t**2 / self.cutoff / np.where(r > 0, r, 1.0)
        self.results = {"energy": energies.sum(), "energies": energies, "forces": (pull[..., None] * d).sum(axis=1)}


class Long(Finite):
    """The same with a range beyond second neighbours: one bond of buffer is not enough."""

    cutoff = 5.0


def test_an_engine_of_short_range_has_no_error():
    atoms, reference = silicon()
    study = buffer_study(atoms, [0], Finite, hops=(1, 2), reference=reference)
    thin = study.rows[0]
    assert (thin.atoms, thin.links, study.rows[1].atoms) == (5, 12, 35)
    assert thin.force_max < 1e-14 and thin.energy_max < 1e-14
    assert study.thinnest(1e-12, 1e-12) is thin
    assert thin.thickness == pytest.approx(3.17, abs=0.01)  # the caps' distance: 2.35 Å, then 1.48 Å at 109.47°


def test_the_errors_are_those_of_the_forces_and_energies_compared_by_hand():
    atoms, reference = silicon()
    study = buffer_study(atoms, [0, 1], Long, hops=(1, 2), reference=reference, max_atoms=600)
    atoms_of = {}

    def keep(cluster, links, core):
        atoms_of[len(cluster)] = (cluster, core)
        return QMRegion(cluster, Long, link_atoms=links, core=core)

    again = buffer_study(atoms, [0, 1], hops=(1, 2), reference=reference, region=keep)
    assert [r.force_max for r in again.rows] == [r.force_max for r in study.rows]
    (small, a), (large, b) = atoms_of.values()
    for cluster in (small, large):
        cluster.calc = Long()
    off = np.linalg.norm(small.get_forces()[a] - large.get_forces()[b], axis=1)
    assert study.core == 2 and off.max() > 1e-3
    assert study.rows[0].force_max == pytest.approx(off.max(), rel=1e-12)
    assert study.rows[0].force_rms == pytest.approx(np.sqrt((off**2).mean()), rel=1e-12)
    shift = small.get_potential_energies()[a] - large.get_potential_energies()[b]
    assert study.rows[0].energy_mean == pytest.approx(shift.mean(), rel=1e-12)
    assert study.rows[0].energy_max == pytest.approx(np.abs(shift).max(), rel=1e-12)
    assert study.thinnest(1e-12) is None


def test_gfn1_in_silicon():
    """One bond of buffer against two: the force is 80 meV/Å off, and the site energy by electronvolts."""
    atoms, reference = silicon()
    study = buffer_study(atoms, [0], hops=(1, 2), reference=reference)
    row = study.rows[0]
    assert 0.03 < row.force_max < 0.2
    assert 1.0 < row.energy_max < 5.0
    text = str(study)
    assert "1 core atoms, GFN1-xTB; errors against 2 hops" in text and "reference" in text
    assert f"{1e3 * row.force_max:.1f}" in text


def test_a_region_of_ones_own_with_site_energies():
    atoms, reference = silicon()

    def sites(cluster, links, core):
        return MLRegion(LennardJones(0.05, 2.1, symbols=("Si", "H"), cutoff=4.5), cluster)

    study = buffer_study(atoms, [0], hops=(1, 2), reference=reference, region=sites)
    assert study.engine == "MLRegion" and study.rows[0].energy_max > 0


def test_engines_without_energies_per_atom():
    class Total(Long):
        implemented_properties = ("energy", "forces")

        def calculate(self, *arguments, **options):
            super().calculate(*arguments, **options)
            del self.results["energies"]

    atoms, reference = silicon()
    study = buffer_study(atoms, [0], Total, hops=(1, 2), reference=reference)
    assert study.rows[0].energy_max is None and "—" in str(study)
    with pytest.raises(MultiscaleError, match="site energies, which Total does not have"):
        study.thinnest(1.0, 1.0)
    assert study.thinnest(1.0) is study.rows[0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hops": (2,)}, r"buffers \[2\]; it needs two or more"),
        ({"hops": (2, 1)}, "increasing"),
        ({"hops": (0, 1)}, "4 link atoms sit on core atoms"),
        ({"radii": (4.0, 5.0)}, "clusters of 35 and 35 atoms"),
        ({"hops": (1, 2), "radii": (4.0, 6.0)}, "in bonds or in Å, not both"),
        ({"radii": ()}, r"buffers \[\]; it needs two or more"),
        ({"hops": (1, 3)}, "meets its own periodic image"),
    ],
)
def test_refusals_before_any_calculation(settings, message):
    def never(*_):
        raise AssertionError("calculated")

    atoms, reference = silicon(2 if "meets" in message else 3)
    with pytest.raises(MultiscaleError, match=message):
        buffer_study(atoms, [0], region=never, reference=reference, **settings)


def test_a_failing_calculation_names_its_buffer(tmp_path):
    atoms, reference = silicon()
    with pytest.raises(
        MultiscaleError, match="failed with a buffer of 1 hop: QMRegion of 17 atoms.*1 core and 4 buffer"
    ):
        buffer_study(atoms, [0], hops=(1, 2), reference=reference, max_iterations=1, ladder=(), failures=tmp_path)


def test_forces_vanish_in_a_perfect_crystal_and_tell_nothing():
    atoms, _ = silicon(rattle=0.0)
    row = buffer_study(atoms, [0], hops=(1, 2)).rows[0]
    assert row.force_max < 1e-4 and row.energy_max > 1.0
