"""The ledger of a subtractive coupling over a blend of atoms and elements, on the chain of the conformance suite."""

from couplers import EnergyBlend, Subtractive
from multiscale.testing.problems import standard

model = standard()["chain"].model(Subtractive(high="qm", low="ml_qm", inner=EnergyBlend()))
print(model.ledger(model.interface.reference))
