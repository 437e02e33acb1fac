"""Benchmark B1: the ghost force of the blended Morse chain, its rates and values (arXiv:1008.2138).

n = 4096, ring at the stretch 1.02 F_eq, all atoms for |i − n/2| ≤ n/8, then a blend over k atoms.
"""

from __future__ import annotations

import numpy as np
import pytest

from couplers import EnergyBlend, GhostCorrected
from multiscale.interface import Interface
from multiscale.model import HybridModel
from multiscale.partition import Nested, Partition
from multiscale.region import Can, Query
from multiscale.regions.chain import ChainElements, ChainRegion, MorsePair
from multiscale.shapes import Slab
from multiscale.switching import Cubic, Linear, Quintic

N = 4096


class ByVertices(Partition):
    """B1's element weights: 1 − ½(β_i + β_{i+1}), the mean of the atoms' weights at the ends rather than the weight at the middle."""

    def __init__(self, nested):
        self.nested, self.regions, self.frame = nested, nested.regions, nested.frame

    def __call__(self, X, q=None):
        out = self.nested(X, q)
        spacing = MorsePair().equilibrium() * 1.02
        ends = [self.nested(X + [s * spacing / 2, 0, 0], q) for s in (-1, 1)]
        middle = np.abs(X[:, 0] / spacing - np.round(X[:, 0] / spacing)) > 0.25
        return {r: (np.where(middle, 0.5 * (ends[0][r][0] + ends[1][r][0]), w), g) for r, (w, g) in out.items()}


def _model(k, switch, coupler=None):
    a = 1.02 * MorsePair().equilibrium()
    q = np.zeros((N, 3))
    q[:, 0] = a * np.arange(N)
    core = Slab((a * N / 2, 0, 0), (1, 0, 0), a * (N / 8 + 1e-6))
    partition = ByVertices(Nested([("atoms", core, k * a)], rest="fem", switch=switch))
    regions = {"atoms": ChainRegion(q, period=N * a), "fem": ChainElements(q, period=N * a)}
    return HybridModel(Interface(q, regions, partition, strict=False), coupler or EnergyBlend())


def _response(model, f):
    """Strain of the linear response to the ghost force, K u = f with zero mean; ‖Du‖ = sqrt(mean), and the maximum."""
    import scipy.sparse as sp
    from scipy.sparse.linalg import spsolve

    q = model.interface.reference
    k = model.stiffness(q)[::3, ::3].tocsc()
    held = np.arange(1, N)
    u = np.zeros(N)
    u[held] = spsolve(sp.csc_matrix(k[held][:, held]), f[held, 0])
    a = 1.02 * MorsePair().equilibrium()
    du = np.diff(np.append(u, u[0])) / 1.0
    return float(np.sqrt(np.mean(du**2))), float(np.abs(du).max()), a


def test_values():
    """QCE and the quintic and linear blends at k = 16 (values of an independent code)."""
    stored = {
        (0, "Quintic"): (6.613e-2, 7.800e-5, 2.567e-3),
        (16, "Quintic"): (1.102e-3, 7.04e-6, 1.11e-4),
        (16, "Linear"): (4.133e-3, 6.95e-6, 1.59e-4),
    }
    for (k, name), (force, l2, linf) in stored.items():
        model = _model(k, {"Quintic": Quintic(), "Linear": Linear()}[name])
        f = model.evaluate(model.interface.reference).forces
        strain2, strain_max, _ = _response(model, f)
        assert np.abs(f).max() == pytest.approx(force, rel=1e-3)
        assert strain2 == pytest.approx(l2, rel=5e-3)
        assert strain_max == pytest.approx(linf, rel=5e-3)


@pytest.mark.parametrize(
    ("switch", "force_rate", "strain_rate"),
    [(Linear(), 1, 1.0), (Cubic(), 2, 1.5), (Quintic(), 3, 1.5)],
    ids=["C0", "C1", "C2"],
)
def test_rates(switch, force_rate, strain_rate):
    """Ghost force k⁻¹, k⁻², k⁻³; strain k⁻¹ (linear: see note), k^−3/2, k^−3/2."""
    ks = [128, 256]
    forces, strains = [], []
    for k in ks:
        model = _model(k, switch)
        f = model.evaluate(model.interface.reference).forces
        forces.append(np.abs(f).max())
        strains.append(_response(model, f)[0])
    assert np.log2(forces[0] / forces[1]) == pytest.approx(force_rate, abs=0.1)
    assert np.log2(strains[0] / strains[1]) == pytest.approx(strain_rate, abs=0.1)


def test_correction_removes_it():
    """The dead load takes the ghost force off to round-off, at the state it is computed at."""
    model = _model(16, Quintic(), GhostCorrected())
    assert (
        np.abs(model.evaluate(model.interface.reference).forces).max() < 1e-10
    )  # positions of 4 000 Å times a stiffness of 30 eV/Å²


def test_equilibrium_spacing():
    """F_eq of the chain, quoted by the benchmark."""
    assert MorsePair().equilibrium() == pytest.approx(0.990857487795941, abs=1e-14)
    assert Query().want == Can.ENERGY | Can.FORCES
