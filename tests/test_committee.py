"""Committees: the mean, the members on one graph, and the disagreement as something with exact gradients."""

import numpy as np
import pytest
import torch
from ase.build import bulk

from multiscale.correction import LinearCorrection, Residual
from multiscale.models import Committee, Corrected, Disagreement, Morse, StillingerWeber
from multiscale.models.base import SiteModel
from multiscale.region import Can, Query
from multiscale.regions import MLRegion
from multiscale.regions.members import member_answers
from multiscale.testing.regions import examine_region
from multiscale.types import MultiscaleError


class TwoLayers(SiteModel):
    """e_i = tanh Σ_j f(r_ij) ρ_j,  ρ_j = Σ_k f(r_jk): sees two hops, on the first nodes only."""

    layers, symbols, name, doi = 2, ("Si",), "two layers", ""
    cutoff = StillingerWeber().cutoff

    def forward(self, edges):
        f = (1.0 - (edges.lengths() / self.cutoff) ** 2).clamp(min=0.0) ** 4
        rho = f.new_zeros(edges.levels[1]).index_add(0, edges.centre, f)
        # An outer node has no density of its own yet: only edges of the centres count in the second layer.
        k = int((edges.centre < edges.n_centres).sum())
        inner = f[:k] * rho[edges.neighbour[:k]]
        return torch.tanh(f.new_zeros(edges.n_centres).index_add(0, edges.centre[:k], inner))


@pytest.fixture(scope="module")
def atoms():
    crystal = bulk("Si", a=5.5, cubic=True) * (2, 1, 1)
    crystal.rattle(0.15, seed=2)
    return crystal


@pytest.fixture(scope="module")
def members():
    return [StillingerWeber(20.0), TwoLayers(), StillingerWeber(23.0)]


def test_it_is_the_mean_of_its_members(atoms, members):
    want = Can.ENERGY | Can.FORCES | Can.SITE_ENERGIES | Can.STRESS
    committee = Committee(members)
    assert committee.layers == 2
    # Some of the sites only: members of one layer must not be handed the edges of two.
    weights = np.random.default_rng(0).uniform(0, 1, len(atoms)) * (np.arange(len(atoms)) % 2)
    mean = MLRegion(committee, atoms).evaluate(atoms.positions, Query(want, weights))
    each = [MLRegion(m, atoms).evaluate(atoms.positions, Query(want, weights)) for m in members]
    for name in ("energy", "forces", "site_energies", "stress"):
        np.testing.assert_allclose(mean[name], np.mean([a[name] for a in each], axis=0), atol=1e-12)
    together = member_answers(MLRegion(committee, atoms), atoms.positions, weights)
    for one, alone in zip(together, each, strict=True):
        np.testing.assert_allclose(one["energy"], alone["energy"], atol=1e-12)
        np.testing.assert_allclose(one["forces"], alone["forces"], atol=1e-12)
        np.testing.assert_allclose(one["site_energies"][weights > 0], alone["site_energies"][weights > 0], atol=1e-12)


def test_members_share_one_graph(atoms, members, monkeypatch):
    region, calls = MLRegion(Committee(members), atoms, energy_zero={"Si": -4.3}), []
    original = MLRegion._edges
    monkeypatch.setattr(MLRegion, "_edges", lambda *a: calls.append(1) or original(*a))
    answers = member_answers(region, atoms.positions)
    assert len(calls) == 1 and len(answers) == 3
    mean = region.evaluate(atoms.positions, Query())
    np.testing.assert_allclose(np.mean([a["energy"] for a in answers]), mean["energy"], rtol=1e-12)


def test_disagreement_is_the_standard_deviation_and_has_exact_gradients(atoms, members):
    committee = Committee(members)
    region = MLRegion(Disagreement(committee, epsilon=1e-3), atoms)
    sigma = region.evaluate(atoms.positions, Query(Can.SITE_ENERGIES))["site_energies"]
    each = [a["site_energies"] for a in member_answers(MLRegion(committee, atoms), atoms.positions)]
    np.testing.assert_allclose(sigma, np.sqrt(np.var(each, axis=0, ddof=1) + 1e-6), rtol=1e-12)
    assert np.ptp(sigma) > 0.05
    results = examine_region(
        lambda: MLRegion(Disagreement(committee), atoms),
        atoms.positions,
        strained=lambda r, deform: r.with_cell(r.cell @ deform.T),
    )
    assert {"forces", "HVP", "site energies", "stress"} <= {r.check for r in results}
    assert not [str(r) for r in results if not r.ok]


def test_where_all_agree_it_is_epsilon_and_flat(atoms):
    """The cusp of a standard deviation at zero is rounded: value ε, no force, no NaN, Hessians too."""
    region = MLRegion(Disagreement(Committee([StillingerWeber(), StillingerWeber()]), epsilon=1e-4), atoms)
    v = np.ones((len(atoms), 3))
    v[::2] = 0.0
    a = region.evaluate(atoms.positions, Query(Can.SITE_ENERGIES | Can.FORCES | Can.HVP, vector=v))
    np.testing.assert_allclose(a["site_energies"], 1e-4, rtol=1e-12)
    assert np.abs(a["forces"]).max() == 0.0 and np.abs(a["hvp"]).max() < 1e-9


def test_what_a_member_refuses_the_committee_refuses():
    """A correction for some of its model's elements: the committee knows no more of them than that."""
    pair = Morse(symbols=("Si", "H"), cutoff=5.0)
    nothing, small = np.zeros((1, 1)), Residual(0.0, 0.0)
    silicon = LinearCorrection(
        ("Si",),
        offsets=np.zeros(1),
        slopes=nothing,
        references=nothing,
        onset=2.7,
        cutoff=3.5,
        before=small,
        after=small,
    )
    committee = Committee([pair, Corrected(pair, silicon)])
    crystal = bulk("Si")
    assert MLRegion(committee, crystal).n_sites == MLRegion(Disagreement(committee), crystal).n_sites == 2
    crystal.symbols[1] = "H"
    for model in (committee, Disagreement(committee)):
        with pytest.raises(MultiscaleError, match="has no correction for H"):
            MLRegion(model, crystal)


class Broken(TwoLayers):
    """Energies that are no numbers, or gradients that are not finite where energies are."""

    def __init__(self, how):
        super().__init__()
        self.how = how

    def forward(self, edges):
        e = super().forward(edges)
        return e * torch.nan if self.how == "energies" else e + torch.sqrt(0.0 * e)


@pytest.mark.parametrize("how", ["energies", "forces"])
def test_a_member_that_gives_no_numbers_is_refused(atoms, how):
    region = MLRegion(Committee([StillingerWeber(), Broken(how)]), atoms)
    with pytest.raises(MultiscaleError, match="not finite, first at atom 0"):
        member_answers(region, atoms.positions)


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: Committee([StillingerWeber()]), "two or more"),
        (lambda: Committee([StillingerWeber(), StillingerWeber(sigma=2.0)]), "equal cutoffs"),
        (lambda: Committee([StillingerWeber(), StillingerWeber(symbol="Ge")]), "the same elements"),
        (lambda: Disagreement(Committee([StillingerWeber(), TwoLayers()]), epsilon=0.0), "must be positive"),
        (lambda: member_answers(MLRegion(Morse(symbols=("Si",)), bulk("Si")), np.zeros((2, 3))), "one of a Committee"),
    ],
)
def test_unsuitable_committees_are_refused(build, sentence):
    with pytest.raises(MultiscaleError, match=sentence):
        build()
