"""The table of docs/qm_engines.md: how thick the buffer of one silicon atom has to be in GFN1-xTB. Some minutes on one core."""

import numpy as np
from ase.build import bulk

from multiscale.regions.buffer_study import buffer_study

atoms = bulk("Si", a=5.43095, cubic=True) * (5, 5, 5)
perfect = atoms.positions.copy()
middle = int(np.linalg.norm(perfect - perfect.mean(axis=0), axis=1).argmin())
atoms.rattle(0.05, seed=1)
study = buffer_study(atoms, core=[middle], radii=(2.5, 4.0, 6.2, 7.4, 8.0), reference=perfect)
print(study)
