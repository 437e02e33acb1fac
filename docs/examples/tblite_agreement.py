"""GFN1-xTB by TightBindingRegion and by tblite: hydrides of all elements, at the sum of their covalent radii. 20 s on one core."""

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols, covalent_radii
from tblite.ase import TBLite

from multiscale.region import Query
from multiscale.regions import TightBindingRegion


def difference(z):
    """|ΔE|, eV, and the largest |ΔF|, eV/Å."""
    atoms = Atoms([chemical_symbols[z], "H"], [[0, 0, 0], [0, 0, covalent_radii[z] + covalent_radii[1]]])
    ours = TightBindingRegion(atoms).evaluate(atoms.positions, Query())
    atoms.calc = TBLite(method="GFN1-xTB", electronic_temperature=1000.0, accuracy=1e-3, verbosity=0)
    return abs(ours.energy - atoms.get_potential_energy()), np.abs(ours.forces - atoms.get_forces()).max()


for first, last in ((1, 18), (19, 56), (57, 86)):
    energies, forces = np.transpose([difference(z) for z in range(first, last + 1)])
    print(
        f"{chemical_symbols[first]} to {chemical_symbols[last]}: energies {energies.min():.0e} to {energies.max():.0e} eV, "
        f"forces {forces.min():.0e} to {forces.max():.0e} eV/Å"
    )
