"""Every check of regions has a saboteur: a chain that is broken in exactly the way that the check must catch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from multiscale.region import Can, Query
from multiscale.regions.chain import ChainElements, ChainRegion, MorsePair
from multiscale.testing.regions import CHECKS, examine_region

A = MorsePair().equilibrium()
Q = np.zeros((30, 3))
Q[:, 0] = A * np.arange(30)


class Sound(ChainRegion):
    """Nothing wrong with it."""

    def __init__(self):
        super().__init__(Q)


def _after(change):
    """A chain whose answers pass through ``change(answer, query, x)``."""

    class Broken(Sound):
        def evaluate(self, x, query):
            return change(super().evaluate(x, query), query, x)

    return Broken


def _percent(a, q, x):
    return replace(a, forces=1.01 * a.forces) if a.forces is not None else a


def _shifted_site_energies(a, q, x):
    return replace(a, site_energies=a.site_energies + 1e-6) if a.site_energies is not None else a


def _wrong_stress(a, q, x):
    return replace(a, stress=1.01 * a.stress) if a.stress is not None else a


def _wrong_hvp(a, q, x):
    return replace(a, hvp=1.01 * a.hvp) if a.hvp is not None else a


def _long_range(a, q, x):
    # Every site feels the farthest dof.
    return replace(a, site_energies=a.site_energies + 1e-6 * x[15, 0]) if a.site_energies is not None else a


class IgnoresTeam(Sound):
    """Every member evaluates everything: the sum counts sites several times."""

    def bind(self, team):
        pass


class QuadraticWeights(Sound):
    """Not linear in its weights."""

    def evaluate(self, x, query):
        w = None if query.weights is None else query.weights**2
        return super().evaluate(x, Query(query.want, w, query.vector))


class Remembers(Sound):
    """Forces depend on the last question."""

    last = 0.0

    def evaluate(self, x, query):
        a = super().evaluate(x, query)
        drift, self.last = 1e-6 * self.last, float(x[3, 0])
        return replace(a, forces=a.forces + drift) if a.forces is not None else a


class WrongAdjoint(ChainElements):
    """Pulls site forces to one end of the element only."""

    def __init__(self):
        super().__init__(Q)

    def pull_sites(self, v):
        out = np.zeros((self.n_dofs, 3))
        np.add.at(out, self._i, v)
        return out


class NegativeMass(Sound):
    """A mass that would blow up dynamics."""

    def masses(self):
        return -super().masses()


class UselessStiffness(Sound):
    """A preconditioner that is off by a factor of three."""

    def stiffness(self, x, weights=None):
        return 3.0 * super().stiffness(x, weights)


SABOTEURS = [
    ("attributes", NegativeMass),
    ("forces", _after(_percent)),
    ("site energies", _after(_shifted_site_energies)),
    ("site energies", QuadraticWeights),
    ("stress", _after(_wrong_stress)),
    ("curvature", _after(_wrong_hvp)),
    ("curvature", UselessStiffness),
    ("reach", _after(_long_range)),
    ("team", IgnoresTeam),
    ("subsets", _after(lambda a, q, x: replace(a, energy=a.energy + 1e-6) if a.energy is not None else a)),
    ("purity", Remembers),
    ("site adjoint", WrongAdjoint),
]


@pytest.mark.parametrize(("check", "saboteur"), SABOTEURS, ids=[f"{c}-{k}" for k, (c, _) in enumerate(SABOTEURS)])
def test_check_catches(check, saboteur):
    """The check that exists for this defect finds it."""
    results = examine_region(saboteur, only=(check,))
    assert not all(r.ok for r in results), "\n".join(map(str, results))


def test_every_check_has_a_saboteur():
    """A check without a saboteur proves nothing."""
    assert {c for c, _ in SABOTEURS} == {*CHECKS, "stress"}


@pytest.mark.parametrize("make", [Sound, lambda: ChainElements(Q)], ids=["atoms", "elements"])
def test_sound_regions_pass(make):
    """And the sound ones pass all of them."""
    results = examine_region(make)
    assert all(r.ok for r in results), "\n".join(map(str, results))
    assert len(results) == len(CHECKS) + 2  # curvature measures two things


def test_declared_capabilities_are_the_whole_truth():
    """Asking for what is not offered is refused in one sentence."""

    class Energies(Sound):
        can = Can.ENERGY | Can.FORCES

    from multiscale.types import MultiscaleError

    with pytest.raises(MultiscaleError, match="offers only ENERGY"):
        Energies().evaluate(Q, Query(Can.STRESS))
    with pytest.raises(MultiscaleError, match="takes no site weights"):
        Energies().evaluate(Q, Query(Can.ENERGY, weights=np.ones(30)))
