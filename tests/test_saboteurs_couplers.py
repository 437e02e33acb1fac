"""Every check of couplers has a saboteur: a coupler that is broken in exactly the way that the check must catch."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np
import pytest

from couplers import EnergyBlend, ForceBlend, GhostCorrected, SharpPad
from multiscale.coupler import Claims, Evaluation
from multiscale.region import Can, Query
from multiscale.testing.checks import CHECKS
from multiscale.testing.conformance import examine


class NoWeightForce(EnergyBlend):
    """Forgets −e ∇w, as force mixers with moving regions do."""

    def evaluate(self, q, interface, ask, prepared):
        answers = ask(q, {r: Query(Can.ENERGY | Can.FORCES, w) for r, w in interface.weights(q).items()})
        forces = sum(interface.pull(r, a.forces) for r, a in answers.items())
        return Evaluation(sum(a.energy for a in answers.values()), forces, {r: a.energy for r, a in answers.items()})


class OnePercentForce(EnergyBlend):
    """Forces wrong by 1 %."""

    def evaluate(self, q, interface, ask, prepared):
        e = super().evaluate(q, interface, ask, prepared)
        return replace(e, forces=1.01 * e.forces)


class ZeroEnergy(ForceBlend):
    """Returns energy 0.0 where there is none."""

    def evaluate(self, q, interface, ask, prepared):
        return replace(super().evaluate(q, interface, ask, prepared), energy=0.0)


class ClaimsEnergy(ForceBlend):
    """Claims to be conservative without an energy."""

    claims = Claims(conservative=True, momentum=False, patch=True)


class ClaimsMomentum(ForceBlend):
    """Claims a momentum balance that does not hold."""

    claims = Claims(conservative=False, momentum=True, patch=True)


class HidesMomentum(EnergyBlend):
    """Does not claim the momentum balance that holds."""

    claims = Claims(conservative=True, momentum=False, patch=False)


class ClaimsPatch(EnergyBlend):
    """Claims the patch test, which energy blending fails."""

    claims = Claims(conservative=True, momentum=True, patch=True)


class HalfCorrected(GhostCorrected):
    """Takes off only 99 % of the ghost force."""

    def prepare(self, q, interface, ask):
        inner, at, ghost = super().prepare(q, interface, ask)
        return inner, at, 0.99 * ghost


class MovingSharp(SharpPad):
    """Lets a sharp method have moving weights, so that forces jump."""

    frames = ("reference", "current")


class CountsTwice(EnergyBlend):
    """Weights that add up to more than one in the energy."""

    def evaluate(self, q, interface, ask, prepared):
        e = super().evaluate(q, interface, ask, prepared)
        extra = ask(q, {interface.shared[0]: Query(Can.ENERGY | Can.FORCES)})[interface.shared[0]]
        forces = e.forces + 0.01 * interface.pull(interface.shared[0], extra.forces)
        return Evaluation(e.energy + 0.01 * extra.energy, forces, e.parts)


class WrongLedger(EnergyBlend):
    """Counts matter that it does not have in its ledger."""

    def count(self, q, interface):
        return {r: 1.001 * w for r, w in super().count(q, interface).items()}


@dataclass(frozen=True)
class Remembers(EnergyBlend):
    """Adds a little more with every call."""

    calls: object = None

    def evaluate(self, q, interface, ask, prepared):
        e = super().evaluate(q, interface, ask, prepared)
        return replace(e, energy=e.energy + 1e-9 * next(self.calls))


class KnowsSpace(EnergyBlend):
    """A force field that is fixed in the laboratory."""

    def evaluate(self, q, interface, ask, prepared):
        e = super().evaluate(q, interface, ask, prepared)
        k = 1e-6
        return Evaluation(e.energy + 0.5 * k * float(np.sum(q**2)), e.forces - k * q, e.parts)


class CountsRanks(EnergyBlend):
    """Adds something on every rank's own account: a constant energy per process that sums with the ranks."""

    def evaluate(self, q, interface, ask, prepared):
        e = super().evaluate(q, interface, ask, prepared)
        name = interface.shared[0]
        size = interface.regions[name].team.size
        return replace(e, forces=e.forces * (1 + 1e-9 * size))


SABOTEURS = [
    ("gradient", NoWeightForce),
    ("gradient", OnePercentForce),
    ("gradient", ClaimsEnergy),
    ("gradient", ZeroEnergy),
    ("circulation", NoWeightForce),
    ("momentum", ClaimsMomentum),
    ("momentum", HidesMomentum),
    ("patch", ClaimsPatch),
    ("patch", HalfCorrected),
    ("continuity", MovingSharp),
    ("self-coupling", CountsTwice),
    ("limits", CountsTwice),
    ("coverage", WrongLedger),
    ("coverage", CountsTwice),
    ("rank independence", CountsRanks),
    ("purity", lambda: Remembers(calls=itertools.count())),
    ("translation", KnowsSpace),
]


@pytest.mark.parametrize(
    ("check", "saboteur"), SABOTEURS, ids=[f"{c}-{getattr(s, '__name__', 'Remembers')}" for c, s in SABOTEURS]
)
def test_check_catches(check, saboteur):
    """The check that exists for this defect finds it."""
    results = examine(saboteur, only=[check])
    assert not all(r.ok for r in results), "\n".join(map(str, results))


def test_every_check_has_a_saboteur():
    """A check without a saboteur proves nothing."""
    assert {c for c, _ in SABOTEURS} == set(CHECKS)


def test_kinks_are_told_from_jumps_and_slopes():
    """Cubic weights are smooth enough for continuous forces' slopes; linear ones are not: F jumps where e ∇w does."""
    from multiscale.switching import Cubic, Linear, Quintic
    from multiscale.testing.checks import continuity
    from multiscale.testing.problems import moving

    growth = {
        s.__name__: continuity(EnergyBlend, {"moving": moving(switch=s())})[0].measured
        for s in (Linear, Cubic, Quintic)
    }
    assert growth["Linear"] > 3.5  # a jump of F: F″ grows as 1/h²
    assert 1.5 < growth["Cubic"] < 3.0  # a kink of F: as 1/h, up to where it falls between samples
    assert growth["Quintic"] < 1.1
