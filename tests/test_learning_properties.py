"""Elastic constants and relaxations behind the validation of the potential, against published numbers and by themselves."""

import ase
import numpy as np
import pytest

pytest.importorskip("tblite")
pytest.importorskip("phonopy")
pytest.importorskip("matplotlib")

from multiscale.learning.properties import measured, periodic, relax, silane, vacancy
from multiscale.learning.report import frequencies
from multiscale.models import StillingerWeber
from multiscale.region import Can, Query
from multiscale.regions.ml import MLRegion
from multiscale.regions.rescale import NONE, crystal_positions
from multiscale.types import MultiscaleError

#: C11, C12, C44, C44 without inner relaxation, GPa, of Stillinger and Weber's silicon: as in test_elastic.py.
SILICON = (151.4, 76.4, 56.4, 109.8)


def sw_energy(cell, shift=NONE):
    x = crystal_positions(cell, shift)
    region = MLRegion(StillingerWeber(), ase.Atoms("Si8", x, cell=cell, pbc=True))
    return region.evaluate(x, Query(Can.ENERGY)).energy / 8


@pytest.mark.parametrize("crystal", [lambda: measured(sw_energy), lambda: periodic(StillingerWeber())])
def test_stiffness_of_stillinger_weber(crystal):
    """From energies of strained crystals, as for a method without stress, and from stresses."""
    found = crystal()
    assert (found.c11, found.c12, found.c44, found.c44_0) == pytest.approx(SILICON, rel=5e-3)
    assert found.a0 == pytest.approx(5.43095, abs=1e-4) and found.atom == pytest.approx(-4.3366, abs=1e-4)
    assert found.bulk == pytest.approx(101.4, rel=5e-3)


def stiff(atoms):
    """Springs to the origin, which no optimiser relaxes in one step."""
    return 0.5 * 30.0 * float((atoms.positions**2).sum()), -30.0 * atoms.positions


def pulled(atoms):
    """A force that never ends."""
    return 0.0, 2.0 + np.sin(5.0 * atoms.positions)


def test_what_does_not_relax_is_refused():
    with pytest.raises(MultiscaleError, match="not relaxed after 1 steps"):
        relax(ase.Atoms("Si2", [[0, 0, 0], [2.0, 0, 0]]), stiff, 1e-3, 1)
    atoms = ase.Atoms("Si2", [[0, 0, 0], [2.0, 0, 0]])
    assert relax(atoms, stiff, 1e-3, 100) == pytest.approx(0.0, abs=1e-6)
    with pytest.raises(MultiscaleError, match="not relaxed"):
        vacancy(stiff, 5.43, 0.0, steps=1)
    assert np.abs(atoms.positions).max() < 1e-3
    with pytest.raises(MultiscaleError, match="not relaxed after 2 steps"):
        frequencies(pulled, steps=2)


def test_formulas_of_the_clusters_that_the_documentation_names():
    assert str(silane(5.45).symbols) == "Si35H36"
