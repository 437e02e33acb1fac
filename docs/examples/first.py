"""Two Morse potentials on one chain of atoms, joined by energy blending."""

import numpy as np

from couplers import EnergyBlend
from multiscale import HybridModel, Interface, Nested, Slab
from multiscale.drive import relax
from multiscale.regions.chain import ChainRegion, MorsePair

x = np.zeros((64, 3))
x[:, 0] = 0.99 * np.arange(64)  # Å
regions = {
    "good": ChainRegion(x, MorsePair(alpha=4.4)),  # stiffer
    "cheap": ChainRegion(x, MorsePair(alpha=4.0)),
}
middle = Slab(centre=(31.185, 0, 0), normal=(1, 0, 0), half_width=8.0)
model = HybridModel(Interface(x, regions, Nested([("good", middle, 6.0)], rest="cheap")), EnergyBlend())

*_, last = relax(model, x, fmax=1e-6)
print(f"relaxed in {last.index} steps to max|F| = {last.max_force:.0e} eV/Å")
print(model.ledger(last.q))
