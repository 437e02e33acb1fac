"""Every check of couplers has a saboteur: a coupler that is broken in exactly the way that the check must catch."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pytest

from couplers import (
    AdaptivePartitioning,
    BridgingDomain,
    EnergyBlend,
    ForceBlend,
    ForceMixing,
    GhostCorrected,
    SharpPad,
    SiteSubtractive,
    Subtractive,
)
from multiscale.constraint import Constraint
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


class RestingOverlay(SiteSubtractive):
    """Forgets −(e_high − e_low) ∇χ of an overlay that moves."""

    def evaluate(self, q, interface, ask, prepared):
        e = super().evaluate(q, interface, ask, prepared)
        want = Can.SITE_ENERGIES
        a = ask(q, {self.high: Query(want), self.low: Query(want)})
        gain = a[self.high].site_energies - a[self.low].site_energies
        return replace(e, forces=e.forces - interface.overlay_forces(self.high, q, gain))


class SeedlessOverlay(SiteSubtractive):
    """Gives −(e_high − e_low) ∇χ to the sites but not to the seeds."""

    def evaluate(self, q, interface, ask, prepared):
        e = super().evaluate(q, interface, ask, prepared)
        overlay = interface.overlay(self.high)
        if not overlay.moving:
            return e
        a = ask(q, {r: Query(Can.SITE_ENERGIES) for r in (self.high, self.low)})
        gain = a[self.high].site_energies - a[self.low].site_energies
        X = interface.regions[self.high].sites(interface.place(self.high, q))
        return replace(e, forces=e.forces + overlay.pull_seeds(X, q, gain))


class CountsCoreOnce(SiteSubtractive):
    """Counts what it adds, and forgets what it takes off."""

    def count(self, q, interface):
        return {r: abs(w) for r, w in super().count(q, interface).items()}


class HalfSlope(AdaptivePartitioning):
    """The gradient of the subsets' weights is half of what it must be."""

    def _weights(self, q, interface):
        weights, slopes = super()._weights(q, interface)
        return weights, {S: 0.5 * s for S, s in slopes.items()}


class LeadingSubset(AdaptivePartitioning):
    """Takes the subset of the largest weight for all of them, as an abrupt scheme does."""

    def _weights(self, q, interface):
        weights, slopes = super()._weights(q, interface)
        S = max(weights, key=weights.get)
        return {S: 1.0}, {S: 0.0 * slopes[S]}


class DropsCorrection(ForceMixing):
    """Promises to conserve momentum and takes off only half of the net force."""

    def evaluate(self, q, interface, ask, prepared):
        plain = replace(self, conserve_momentum=False)
        e = super().evaluate(q, interface, ask, prepared)
        return replace(e, forces=0.5 * (e.forces + ForceMixing.evaluate(plain, q, interface, ask, prepared).forces))


class EqualParts(ForceMixing):
    """Takes the net force off in equal parts from all dofs with χ > 0: a jump when one of them enters the zone."""

    def evaluate(self, q, interface, ask, prepared):
        plain = replace(self, conserve_momentum=False)
        mixed = ForceMixing.evaluate(plain, q, interface, ask, prepared)
        inner = self.inner.evaluate(q, interface, ask, prepared[0])
        within = interface.overlay_weights(self.high, q) > 0
        net = (mixed.forces - inner.forces).sum(axis=0)
        return replace(mixed, forces=mixed.forces - within[:, None] * net / within.sum())


class LeaningTies(BridgingDomain):
    """Ties atoms to 99 % of what the nodes do, so that its reactions push the body."""

    def constraint(self, interface):
        bridge = interface.bridge("fem")
        return Constraint.of([0.99 * bridge.shape[:, :] + (bridge.pointwise() - bridge.shape)], interface.reference)


class WholeMasses(BridgingDomain):
    """Lets atoms and nodes have all of their masses where they share the matter."""

    def masses(self, interface):
        return interface.masses({r: np.ones(interface.regions[r].n_dofs) for r in interface.shared})


@dataclass(frozen=True, eq=False)
class Slack(Constraint):
    """Says that its multipliers are exact, and lumps them."""

    def held(self, inverse_masses):
        return replace(Constraint(self.matrix, self.value), lumped=True).held(inverse_masses)


class SlackTies(BridgingDomain):
    """Loses energy under a constraint that says it does not."""

    def constraint(self, interface):
        exact = super().constraint(interface)
        return None if exact is None else Slack(exact.matrix, exact.value)


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
    ("gradient", RestingOverlay),
    ("gradient", SeedlessOverlay),
    ("circulation", RestingOverlay),
    ("momentum", SeedlessOverlay),
    ("coverage", CountsCoreOnce),
    ("gradient", HalfSlope),
    ("circulation", HalfSlope),
    ("continuity", LeadingSubset),
    ("momentum", lambda: DropsCorrection(conserve_momentum=True)),
    ("continuity", lambda: EqualParts(conserve_momentum=True)),
    ("constraint", LeaningTies),
    ("constraint", WholeMasses),
    ("constraint", SlackTies),
]


@pytest.mark.parametrize(("check", "saboteur"), SABOTEURS, ids=[f"{c}-{type(s()).__name__}" for c, s in SABOTEURS])
def test_check_catches(check, saboteur):
    """The check that exists for this defect finds it."""
    results = examine(saboteur, only=[check])
    assert not all(r.ok for r in results), "\n".join(map(str, results))


@pytest.mark.parametrize(("spread", "more"), [("weight", {"continuity"}), ("mass", set())])
def test_force_mixing_that_conserves_momentum_keeps_its_claims(spread, more):
    """Both ways of spreading the net force, neither of which is the default that the suite examines."""
    checks = {"circulation", "momentum", "coverage", "self-coupling", "rank independence", "translation"} | more
    found = examine(lambda: ForceMixing(conserve_momentum=True, spread=spread), only=checks)
    wrong = [str(r) for r in found if not r.ok]
    assert not wrong, "\n".join(wrong)


WRAPPERS = {
    "subtractive": Subtractive,
    "site_subtractive": SiteSubtractive,
    "adaptive_partitioning": AdaptivePartitioning,
    "ghost_corrected": GhostCorrected,
    "force_mixing": ForceMixing,
    "force_mixing, momentum": partial(ForceMixing, conserve_momentum=True),
}


@pytest.mark.parametrize("wrapper", WRAPPERS.values(), ids=WRAPPERS)
def test_a_wrapper_promises_no_more_than_what_it_wraps(wrapper):
    """Around force blending there is no energy and no momentum balance; what nevertheless holds is claimed."""
    found = examine(lambda: wrapper(inner=ForceBlend()), only=["gradient", "circulation", "momentum", "patch"])
    wrong = [str(r) for r in found if not r.ok]
    assert not wrong, "\n".join(wrong)


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
