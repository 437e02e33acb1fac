"""Preconditions of mixing two Stillinger–Weber potentials in silicon, around a zone that rides on an atom."""

from ase.build import bulk

from couplers import EnergyBlend
from multiscale import HybridModel, Interface, Nested, SmoothUnion
from multiscale.align import aligned
from multiscale.models import StillingerWeber
from multiscale.preconditions import Crystal, examine
from multiscale.regions.ml import MLRegion

a = 5.43095  # Å
cell, atoms = bulk("Si", a=a), bulk("Si", a=a, cubic=True) * (4, 4, 4)
low, high = StillingerWeber(), StillingerWeber(25.0, epsilon=1.05 * 2.1683)
zero = aligned(lambda x: MLRegion(high, x), lambda x: MLRegion(low, x), [cell])
regions = {"high": MLRegion(high, atoms, energy_zero=zero), "low": MLRegion(low, atoms)}
partition = Nested([("high", SmoothUnion((336,), 5.0), 5.0)], rest="low", frame="current")
model = HybridModel(Interface(atoms.positions, regions, partition), EnergyBlend())
engines = MLRegion(high, cell, energy_zero=zero).with_cell, MLRegion(low, cell).with_cell

table = examine(model, perfect=True, engines=engines, crystal=Crystal.of(cell, a))
