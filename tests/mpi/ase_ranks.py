"""The same ASE script on every rank: BFGS on the calculator face of a hybrid; prints rank 0's result and whether all agree."""

import json

import numpy as np
from ase import Atoms
from ase.optimize import BFGS

from couplers import EnergyBlend
from multiscale import HybridModel, Interface, Nested, Slab
from multiscale.calculator import HybridCalculator
from multiscale.ranks import world
from multiscale.regions.chain import ChainRegion, MorsePair

ranks = world()
x = np.zeros((24, 3))
x[:, 0] = MorsePair().equilibrium() * np.arange(24)
middle = Slab(centre=(float(x[:, 0].mean()), 0, 0), normal=(1, 0, 0), half_width=4.0)
regions = {"good": ChainRegion(x, MorsePair(alpha=4.4)), "cheap": ChainRegion(x)}
model = HybridModel(Interface(x, regions, Nested([("good", middle, 4.0)], rest="cheap")), EnergyBlend())
shaken = x + 0.02 * np.random.default_rng(0).normal(size=x.shape) * [1, 0, 0]
atoms = Atoms("H24", positions=shaken)
atoms.calc = HybridCalculator(model)
BFGS(atoms, logfile=None).run(fmax=1e-6, steps=200)
energy = atoms.get_potential_energy()  # collective: on every rank
everyone = ranks.gather(atoms.positions.tobytes())
if ranks.rank == 0:
    print(json.dumps({"energy": energy, "same": len(set(everyone)) == 1}))
