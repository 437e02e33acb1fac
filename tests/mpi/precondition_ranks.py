"""Preconditions of two chains with moving weights, on all ranks; rank 0 prints the table and what all ranks have."""

import json

import numpy as np

from couplers import EnergyBlend
from multiscale import HybridModel, Interface, Nested, Slab
from multiscale.preconditions import examine
from multiscale.ranks import world
from multiscale.regions.chain import ChainRegion, MorsePair

ranks = world()
x = np.zeros((40, 3))
x[:, 0] = MorsePair().equilibrium() * np.arange(40)
middle = Slab(centre=(float(x[:, 0].mean()), 0, 0), normal=(1, 0, 0), half_width=4.0)
regions = {"good": ChainRegion(x, MorsePair(alpha=4.4)), "cheap": ChainRegion(x)}
partition = Nested([("good", middle, 6.0)], rest="cheap", frame="current")
model = HybridModel(Interface(x, regions, partition), EnergyBlend())
table = examine(model, x + 0.02 * np.random.default_rng(0).normal(size=x.shape) * [1, 0, 0], perfect=True)
values = [row.value for row in table.rows]
everyone = ranks.gather(repr(values))
if ranks.rank == 0:
    print(json.dumps({"values": values, "same": len(set(everyone)) == 1}))
