"""What a request for few of many centres costs: energy and forces of a MACE of random weights in 1000 silicon atoms."""

import time

import numpy as np
from ase.build import bulk

from multiscale.region import Can, Query
from multiscale.regions import MLRegion
from multiscale.testing.specimens.mace import random_mace

SIZES = {"correlation": 3, "max_ell": 3, "r_max": 5.0, "num_bessel": 8, "radial_MLP": [64, 64, 64]}


def seconds(region: MLRegion, weights: np.ndarray) -> float:
    """Processor time of one evaluation, the best of three after two that compile the model."""
    times = []
    for _ in range(5):
        start = time.process_time()
        region.evaluate(region.reference, Query(Can.ENERGY | Can.FORCES, weights))
        times.append(time.process_time() - start)
    return min(times[2:])


atoms = bulk("Si", cubic=True) * (5, 5, 5)
atoms.rattle(0.05, seed=0)
by_distance = np.argsort(np.linalg.norm(atoms.positions - atoms.cell.array.sum(axis=0) / 2, axis=1))
for layers, irreps, dtype in ((2, "16x0e+16x1o", "float64"), (2, "16x0e+16x1o", "float32"), (1, "16x0e", "float64")):
    model = random_mace(num_interactions=layers, hidden_irreps=irreps, **SIZES)
    region = MLRegion(model, atoms, dtype=dtype)
    everything = seconds(region, np.ones(len(atoms)))
    print(f"{layers} layers, {irreps}, {dtype}: {1e6 * everything / len(atoms):.0f} µs per atom for all")
    for k in (1, 8, 64, 256):
        chosen = by_distance[:k]
        weights = np.zeros(len(atoms))
        weights[chosen] = 1.0
        few = seconds(region, weights)
        around, nodes, _ = region._edges(region.reference, weights != 0.0)
        # The same atoms as a cluster of their own, every layer on every atom.
        cluster = MLRegion(model, symbols=["Si"] * len(nodes), positions=region.reference[nodes], dtype=dtype)
        naive = seconds(cluster, np.ones(len(nodes)))
        print(
            f"{k:6d} centres, {' + '.join(str(n) for n in np.diff((0, *around.levels)))} atoms: "
            f"{few / everything:6.1%} of all, {few / everything * len(atoms) / k:5.2f} per centre; cluster {naive / few:.1f} times that"
        )
