"""Subtraction with link atoms: the forces on caps flow back to both ends of the bonds that they saturate.

E = E_low(all) + E_high(cluster + caps) − E_low(cluster + caps),     x_cap = x_in + c (x_out − x_in)

Silicon with a cluster of five atoms and twelve hydrogens: two pair models that know both elements, and GFN1-xTB.
"""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from couplers import SiteSubtractive, Subtractive
from multiscale import HybridModel, Interface, Nested, Overlay, Sphere
from multiscale.embedding import Embedding, link_atoms, select, stack
from multiscale.models import LennardJones, StillingerWeber
from multiscale.region import Query
from multiscale.regions.carve import carve
from multiscale.regions.ml import MLRegion
from multiscale.regions.qm import QMRegion
from multiscale.types import MultiscaleError

SILICON = bulk("Si", a=5.43095, cubic=True) * (2, 2, 2)
X, N = SILICON.positions, len(SILICON)
SEED = int(np.argmin(np.linalg.norm(X - 0.5 * SILICON.cell.lengths(), axis=1)))
CARVED = carve(["Si"] * N, X, SILICON.cell.array, True, [SEED], hops=1)
Q = X + np.random.default_rng(2).normal(0, 0.05, X.shape)
INNER, OUTER = CARVED.index[CARVED.links[:, 0]], CARVED.links[:, 1]


def rows() -> Embedding:
    """The affine rows of the cluster's atoms, then of its caps."""
    cell = SILICON.cell.array
    caps = link_atoms(INNER, OUTER, CARVED.ratio, N, CARVED.shift[CARVED.links[:, 0]] @ cell, CARVED.outer_shift @ cell)
    return stack(select(CARVED.index, N, CARVED.shift @ cell), caps)


def capped() -> Atoms:
    return Atoms(CARVED.all_symbols, rows().place(X))


def pairs(scale):
    """A pair model of silicon and hydrogen; equilibrium bonds of 2.35, 1.5 and 2.4 Å."""
    sigma = np.array([[2.35, 1.5], [1.5, 2.4]]) / 2.0 ** (1.0 / 6.0)
    return LennardJones(scale * np.array([[0.6, 0.4], [0.4, 0.02]]), sigma, cutoff=5.0, symbols=("Si", "H"))


class Counted(MLRegion):
    """Hydrogens are caps, which are no matter of the problem."""

    def __init__(self, model, atoms):
        super().__init__(model, atoms)
        self.matter = np.array([float(s != "H") for s in atoms.get_chemical_symbols()])


def hybrid(high, low, coupler=None, inner=None, low_rows=None):
    regions = {"ml": MLRegion(inner or pairs(1.0), SILICON), "qm": (high, rows()), "ml_qm": (low, low_rows or rows())}
    overlays = {"qm": Overlay(Sphere(tuple(X[SEED] + 0.2), 1.0), 2.5, frame="current")}
    return HybridModel(
        Interface(X, regions, Nested([], rest="ml"), overlays=overlays, strict=False), coupler or Subtractive()
    )


def classical(coupler=None):
    return hybrid(Counted(pairs(1.2), capped()), Counted(pairs(1.0), capped()), coupler)


def error(model, atoms, h, forces):
    """Largest |F + ∂E/∂q| over some atoms, eV/Å."""
    worst = 0.0
    for atom in atoms:
        for k in range(3):
            d = np.zeros_like(Q)
            d[atom, k] = h
            slope = (model.evaluate(Q + d).energy - model.evaluate(Q - d).energy) / (2 * h)
            worst = max(worst, abs(slope + forces[atom, k]))
    return worst


def test_the_cluster():
    assert len(CARVED.symbols) == 5 and len(CARVED.links) == 12
    assert not set(OUTER) & set(CARVED.index) and set(INNER) < set(CARVED.index)


@pytest.mark.parametrize("coupler", [Subtractive(), SiteSubtractive()])
def test_forces_on_caps_flow_back_to_both_ends(coupler):
    """The gradient on atoms within, at the inner and at the outer end of cut bonds: found 3e-8 eV/Å; momentum of the whole."""
    model = classical(coupler)
    forces = model.evaluate(Q).forces
    ends = (SEED, INNER[0], OUTER[0], OUTER[5])
    assert error(model, ends, 1e-4, forces) < 1e-7
    ledger = model.ledger(Q)
    assert ledger.coverage == pytest.approx((1.0, 1.0), abs=1e-12) and ledger.matter == pytest.approx(N)
    if isinstance(coupler, Subtractive):
        assert np.linalg.norm(forces.sum(axis=0)) < 1e-12
    # Caps whose forces are dropped are found by the same difference quotient, at the inner and at the outer ends.
    lost = forces.copy()
    chi = np.ones(17) if isinstance(coupler, Subtractive) else model.interface.overlay_site_weights("qm", Q)
    for name, sign in (("qm", -1.0), ("ml_qm", 1.0)):
        weights = None if isinstance(coupler, Subtractive) else chi
        f = model.interface.regions[name].evaluate(model.interface.place(name, Q), Query(weights=weights)).forces
        f[:5] = 0.0
        lost += sign * model.interface.pull(name, f)
    assert error(model, ends[1:], 1e-4, lost) > 1e-4


def test_the_cheaper_model_may_not_know_the_caps():
    """Stillinger–Weber has no hydrogen: the cheaper cluster is bare, and caps weigh nothing; other sites are refused."""
    bare = capped()[:5]
    take = rows().take(np.arange(5))
    model = hybrid(
        Counted(pairs(1.2), capped()), MLRegion(StillingerWeber(), bare), SiteSubtractive(), StillingerWeber(), take
    )
    assert error(model, (SEED, INNER[0], OUTER[0]), 1e-4, model.evaluate(Q).forces) < 1e-7
    assert (model.coupler.count(Q, model.interface)["qm"][5:] == 0).all()
    with pytest.raises(MultiscaleError, match="with its link atoms last"):
        hybrid(
            Counted(pairs(1.2), capped()),
            MLRegion(StillingerWeber(), bare[:4]),
            SiteSubtractive(),
            StillingerWeber(),
            take.take(np.arange(4)),
        )


def test_a_quantum_cluster_in_stillinger_weber():
    """GFN1-xTB on Si5H12 over silicon: forces at both ends of a cap, found 8e-7 eV/Å from differences of the energy of order h²."""
    pytest.importorskip("tblite")
    high = QMRegion(capped(), link_atoms=CARVED.link_atoms, accuracy=1e-2, restart=False)
    low = MLRegion(StillingerWeber(), capped()[:5])
    model = hybrid(high, low, inner=StillingerWeber(), low_rows=rows().take(np.arange(5)))
    e = model.evaluate(Q)
    assert error(model, (INNER[0], OUTER[0]), 1e-3, e.forces) < 5e-6
    assert np.linalg.norm(e.forces.sum(axis=0)) < 1e-10
    caps = model.ask(Q, {"qm": Query()})["qm"].forces[5:]
    assert np.abs(caps).max() > 0.05
    assert model.ledger(Q).coverage == pytest.approx((1.0, 1.0), abs=1e-12)
