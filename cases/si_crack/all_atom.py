"""The all-atom reference of si_crack: K at which the bond at the tip breaks in discs of atoms alone.

    python cases/si_crack/all_atom.py 50 100

Atoms within R are free, those beyond it are held at the K-field with its inner shift; the same load steps, event and force tolerance as the
hybrid. The window extrapolates linearly in 1/R. ``reference.json`` quotes what this prints.
"""

from __future__ import annotations

import sys

import numpy as np

from couplers import EnergyBlend
from multiscale import HybridModel, Interface, Nested
from multiscale.drive import load
from multiscale.fracture.bonds import BondWatch
from multiscale.fracture.lattice import diamond
from multiscale.fracture.material import CrackMaterial
from multiscale.models import StillingerWeber
from multiscale.regions.ml import MLRegion

#: Å; two cutoffs of the potential and a little.
SKIN = 7.74


def bracket(
    material: CrackMaterial, radius: float, step: float = 0.02, resolution: float = 0.0025
) -> tuple[float, float, int]:
    """K/K_G of the last intact and of the first broken state, and the number of free atoms."""
    crystal, field, K_G = diamond(material.orientation, material.a, radius + SKIN), material.field, material.K_griffith
    X = crystal.positions
    shift = material.inner_shift[crystal.basis]

    def displacement(K: float) -> np.ndarray:
        return field.displacement(X, K) + np.einsum("nijk,njk->ni", shift, field.displacement_gradient(X, K))

    cell = np.diag([0.0, 0.0, crystal.period])
    region = MLRegion(
        material.model, symbols=[material.symbol] * len(X), positions=X, cell=cell, pbc=(False, False, True)
    )
    held = np.hypot(crystal.cells[:, 0], crystal.cells[:, 1]) > radius
    model = HybridModel(Interface(X, {"ml": region}, Nested([], rest="ml"), held), EnergyBlend())
    watch = BondWatch.of(X, crystal.period, material.bond)
    intact = K_G
    states = load(
        model, X + displacement(K_G), lambda q, a, b: q + displacement(b - a), start=K_G, stop=1.8 * K_G,
        step=step * K_G, resolution=resolution * K_G, event=watch.state, fmax=1e-4,
    )  # fmt: skip
    for k, state in enumerate(states):
        if k and state.event:
            return intact / K_G, state.load / K_G, int((~held).sum())
        intact = state.load
    return intact / K_G, float("inf"), int((~held).sum())


if __name__ == "__main__":
    silicon = CrackMaterial.of(StillingerWeber(three_body_strength=42.0))
    radii = [float(r) for r in sys.argv[1:]] or [50.0, 100.0]
    broken = []
    for radius in radii:
        low, high, free = bracket(silicon, radius)
        broken.append(high)
        print(f"R = {radius:g} Å, {free} free atoms: intact at {low:.4f} K_G, broken at {high:.4f} K_G", flush=True)
    if len(radii) > 1:
        slope, limit = np.polyfit(1.0 / np.array(radii), broken, 1)
        print(f"limit 1/R → 0: {limit:.4f} K_G")
