"""The modes of mixing on atoms: silicon in two Stillinger–Weber variants (ε +5 %, λ 25), and molecules of two argon atoms.

Regions over the partition (site-wise subtraction, force mixing, adaptive partitioning) with overlays that rest or ride on a seed.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from couplers import AdaptivePartitioning, EnergyBlend, ForceMixing, SiteSubtractive, Subtractive
from multiscale import Cubic, HybridModel, Interface, Linear, Nested, Overlay, Quintic, Sphere
from multiscale.adaptive import membership, subset_regions
from multiscale.align import align
from multiscale.drive import virtual_work
from multiscale.embedding import select
from multiscale.groups import Groups
from multiscale.models import LennardJones, StillingerWeber
from multiscale.region import Can, Query
from multiscale.regions.ml import MLRegion
from multiscale.shapes import SmoothUnion
from multiscale.types import MultiscaleError

A0, CORE, ZONE = 5.43095, 2.0, 3.0
LOW, HIGH = StillingerWeber(), StillingerWeber(25.0, epsilon=1.05 * 2.1683)
SILICON = bulk("Si", a=A0, cubic=True) * (3, 3, 3)
X = SILICON.positions
CENTRE = 0.5 * SILICON.cell.lengths()
SEED = int(np.argmin(np.linalg.norm(X - CENTRE, axis=1)))
#: The cluster that lies over the crystal: one cutoff more than core and zone, and the crystal's own atoms, no images.
CLUSTER = np.flatnonzero(np.linalg.norm(X - X[SEED], axis=1) < CORE + ZONE + 1.5)
Q = X + np.random.default_rng(0).normal(0, 0.076, X.shape)


@cache
def zeros():
    return align(MLRegion(HIGH, SILICON), MLRegion(LOW, SILICON), SILICON.get_chemical_symbols()).zeros


def region(model, dofs=None, offset=None):
    """All of the crystal, or some atoms of it in vacuum."""
    if dofs is None:
        return MLRegion(model, SILICON, energy_zero=offset)
    part = SILICON[dofs]
    part.set_pbc(False)
    return MLRegion(model, part, energy_zero=offset), select(dofs, len(SILICON))


def core(frame, radius=CORE):
    return SmoothUnion((SEED,), radius) if frame == "seed" else Sphere(tuple(X[SEED] + 0.3), radius)


def laid_over(coupler, frame="seed", *, dofs=CLUSTER, radius=CORE, width=ZONE, switch=None, strict=True):
    """The crystal in the cheaper model, a cluster of it in both models, and an overlay."""
    moving = "current" if frame in ("seed", "laboratory") else "reference"
    overlay = Overlay(core(frame, radius), width, switch or Quintic(), moving)
    regions = {"low": region(LOW), "qm": region(HIGH, dofs, zeros()), "ml_qm": region(LOW, dofs)}
    interface = Interface(X, regions, Nested([], rest="low"), overlays={"qm": overlay}, strict=strict)
    return HybridModel(interface, coupler)


def blended(frame="seed"):
    regions = {"high": region(HIGH, None, zeros()), "low": region(LOW)}
    partition = Nested([("high", core(frame), 4.0)], rest="low", frame="current")
    return HybridModel(Interface(X, regions, partition), EnergyBlend())


def adaptive(frame="seed"):
    """The seed's four neighbours one by one: 16 subsets."""
    near = np.flatnonzero(np.linalg.norm(X - X[SEED], axis=1) < 5.0)
    groups = Groups(tuple((int(k),) for k in near))
    overlay = Overlay(core(frame, 1.5), 2.0, frame="current", groups=groups)
    found = subset_regions(
        overlay, X, lambda d: region(HIGH, d, zeros()), lambda d: region(LOW, d), always=[SEED], margin=0.2
    )
    assert len(found.regions) == 32
    interface = Interface(
        X, {"low": region(LOW), **found.regions}, Nested([], rest="low"), overlays={"adaptive": overlay}
    )
    return HybridModel(interface, AdaptivePartitioning())


CONSERVATIVE = {
    "energy blend": blended,
    "site-wise, riding": lambda: laid_over(SiteSubtractive(inner=EnergyBlend())),
    "site-wise, in the laboratory": lambda: laid_over(SiteSubtractive(), "laboratory"),
    "site-wise, resting": lambda: laid_over(SiteSubtractive(), "resting"),
    "subtractive": lambda: laid_over(Subtractive()),
    "adaptive": adaptive,
}


def slope(model, q, atom, k, h):
    d = np.zeros_like(q)
    d[atom, k] = h
    return (model.evaluate(q + d).energy - model.evaluate(q - d).energy) / (2 * h)


@pytest.mark.parametrize("mode", CONSERVATIVE)
def test_conservative_modes(mode):
    """Forces are the gradient to 1e-6 eV/Å, on the seed, in the zone and beyond; all matter is counted once; momentum."""
    model = CONSERVATIVE[mode]()
    forces = model.evaluate(Q).forces
    order = np.argsort(np.linalg.norm(Q - Q[SEED], axis=1))
    for atom in order[[0, 1, 4, 9, 20]]:
        for k in (0, 2):
            assert abs(slope(model, Q, atom, k, 1e-4) + forces[atom, k]) <= 1e-6
    ledger = model.ledger(Q)
    assert ledger.coverage == pytest.approx((1.0, 1.0), abs=1e-12) and ledger.matter == pytest.approx(len(X))
    net = np.linalg.norm(forces.sum(axis=0))
    if "laboratory" in mode:
        assert net > 1e-4
    else:
        assert net <= 1e-12 * len(X)


def test_the_missing_term_is_found():
    """Without −(e_high − e_low) ∇χ the same difference quotient is off by more than 1e-3 eV/Å: the bound above can fail."""
    model = laid_over(SiteSubtractive())
    want = Can.SITE_ENERGIES
    a = model.ask(Q, {"qm": Query(want), "ml_qm": Query(want)})
    term = model.interface.overlay_forces("qm", Q, a["qm"].site_energies - a["ml_qm"].site_energies)
    assert np.abs(term).max() > 1e-3


@pytest.mark.parametrize("coupler", [SiteSubtractive(), ForceMixing(), ForceMixing(conserve_momentum=True)])
def test_limits(coupler):
    """χ ≡ 1 on a cluster that is everything gives the better model, χ ≡ 0 the cheaper one, to round-off."""
    everything = Overlay(SmoothUnion((SEED,), 60.0), 5.0, frame="current")
    nothing = Overlay(Sphere((900.0, 0.0, 0.0), 3.0), 5.0, frame="current")
    for overlay, pure in ((everything, "qm"), (nothing, "low")):
        regions = {"low": region(LOW), "qm": region(HIGH), "ml_qm": region(LOW)}
        interface = Interface(X, regions, Nested([], rest="low"), overlays={"qm": overlay}, strict=False)
        got, want = HybridModel(interface, coupler).evaluate(Q), regions[pure].evaluate(Q, Query())
        assert np.abs(got.forces - want.forces).max() <= 1e-12 * np.abs(want.forces).max()
        if got.energy is not None:
            assert got.energy == pytest.approx(want.energy, rel=1e-12)


def test_all_atoms_in_the_core_of_adaptive_partitioning():
    """One subset of weight one: the better model; and no group but in the core, so that nothing else is calculated."""
    groups = Groups(tuple((k,) for k in range(len(X))))
    overlay = Overlay(SmoothUnion((SEED,), 60.0), 2.0, frame="current", groups=groups)
    whole = subset_regions(overlay, X, lambda d: region(HIGH), lambda d: region(LOW))
    interface = Interface(
        X, {"low": region(LOW), **whole.regions}, Nested([], rest="low"), overlays={"adaptive": overlay}
    )
    got, want = HybridModel(interface, AdaptivePartitioning()).evaluate(Q), region(HIGH).evaluate(Q, Query())
    assert list(whole.regions) == ["qm[]", "ml_qm[]"]
    assert got.energy == pytest.approx(want.energy, rel=1e-12)
    assert np.abs(got.forces - want.forces).max() <= 1e-12 * np.abs(want.forces).max()


def test_force_mixing_conserves_momentum_and_the_core():
    """Taken off in proportion to χ; equal parts for a sharp core; the mass changes nothing in one element."""
    plain, kept = laid_over(ForceMixing()), laid_over(ForceMixing(conserve_momentum=True))
    by_mass = laid_over(ForceMixing(conserve_momentum=True, spread="mass"))
    f, g = plain.evaluate(Q).forces, kept.evaluate(Q).forces
    assert np.linalg.norm(f.sum(axis=0)) > 1e-3
    assert np.linalg.norm(g.sum(axis=0)) <= 1e-12 * len(X)
    chi = kept.interface.overlay_weights("qm", Q)
    assert np.allclose(f - g, np.outer(chi / chi.sum(), f.sum(axis=0)), atol=1e-13)
    assert np.abs(by_mass.evaluate(Q).forces - g).max() < 1e-12
    assert np.abs(f[chi == 0] - region(LOW).evaluate(Q, Query()).forces[chi == 0]).max() == 0.0


def test_force_mixing_by_mass_gives_the_core_one_acceleration():
    """Of two masses: what is taken off a force is χ times the mass, in one proportion for all, and momentum is conserved."""
    atoms = SILICON.copy()
    masses = np.where(np.arange(len(X)) % 3, 28.085, 2.014)
    atoms.set_masses(masses)
    part = atoms[CLUSTER]
    part.set_pbc(False)
    regions = {"low": MLRegion(LOW, atoms), "qm": (MLRegion(HIGH, part), select(CLUSTER, len(X)))}
    overlay = Overlay(core("seed", 3.0), ZONE, frame="current")
    interface = Interface(X, regions, Nested([], rest="low"), overlays={"qm": overlay})
    assert np.array_equal(interface.masses(), masses) and np.array_equal(regions["qm"][0].masses(), masses[CLUSTER])
    couplers = [ForceMixing(), ForceMixing(conserve_momentum=True, spread="mass")]
    f, g = (HybridModel(interface, c).evaluate(Q).forces for c in couplers)
    chi = interface.overlay_weights("qm", Q)
    whole = np.flatnonzero(chi == 1.0)
    taken = ((f - g) / masses[:, None])[whole]
    assert len(whole) >= 5 and len(set(masses[whole])) == 2 and np.abs(taken).max() > 1e-5
    assert np.abs(taken - taken[0]).max() < 1e-15 + 1e-12 * np.abs(taken).max()
    assert np.abs(f - g - np.outer(chi * masses / (chi @ masses), f.sum(axis=0))).max() < 1e-13
    assert np.linalg.norm(g.sum(axis=0)) <= 1e-12 * len(X)


def swept(coupler, switch, h):
    """Largest jump of the slope of all forces while the zone's outer edge sweeps over an atom in steps of h Å."""
    n = len(X)
    reference = np.concatenate([X, X[SEED : SEED + 1]])
    whole, part = select(np.arange(n), n + 1), select(CLUSTER, n + 1)
    regions = {
        "low": (region(LOW), whole),
        "qm": (region(HIGH, CLUSTER, zeros())[0], part),
        "ml_qm": (region(LOW, CLUSTER)[0], part),
    }
    overlay = Overlay(SmoothUnion((n,), CORE), ZONE, switch, "current")
    interface = Interface(reference, regions, Nested([], rest="low"), overlays={"qm": overlay})
    model = HybridModel(interface, coupler)
    atom = int(np.argsort(np.linalg.norm(X - X[SEED], axis=1))[9])
    u = (X[SEED] - Q[atom]) / np.linalg.norm(X[SEED] - Q[atom])
    forces = []
    for s in h * np.arange(-8, 9):
        q = np.concatenate([Q, [Q[atom] + (CORE + ZONE + s) * u]])
        forces.append(model.evaluate(q).forces)
    return float(np.abs(np.diff(forces, 2, axis=0)).max() / h)


@pytest.mark.parametrize(
    ("switch", "coupler", "ratio"),
    [
        (Quintic(), SiteSubtractive(), 2.0),
        (Cubic(), SiteSubtractive(), 1.0),
        (Linear(), SiteSubtractive(), 0.5),
        (Quintic(), ForceMixing(conserve_momentum=True), 2.0),
    ],
    ids=["C2", "C1", "C0", "forces"],
)
def test_smoothness_as_an_atom_enters(switch, coupler, ratio):
    """The jump of dF/dx halves with the step for quintic weights, stays for cubic, doubles for linear ones."""
    assert swept(coupler, switch, 0.002) / swept(coupler, switch, 0.001) == pytest.approx(ratio, rel=0.06)


def test_surface_errors_cancel_as_far_as_the_cheaper_model_knows_them():
    """A bare cluster no larger than the zone: its surface spoils the weighted energy by 4.796 eV, the difference by 0.215."""
    dofs = np.flatnonzero(np.linalg.norm(X - X[SEED], axis=1) < CORE + ZONE)
    chi = Overlay(core("seed"), ZONE, frame="current")(Q[dofs], Q)

    def site(model, some):
        made = region(model, some)
        r, x = (made, Q) if some is None else (made[0], Q[some])
        return r.evaluate(x, Query(Can.SITE_ENERGIES)).site_energies

    whole = {m: site(m, None)[dofs] for m in (HIGH, LOW)}
    bare = {m: site(m, dofs) for m in (HIGH, LOW)}
    alone = abs(chi @ (bare[HIGH] - whole[HIGH]))
    pair = abs(chi @ ((bare[HIGH] - bare[LOW]) - (whole[HIGH] - whole[LOW])))
    assert alone > 1.0 and pair < 0.1 * alone
    assert alone == pytest.approx(4.796, abs=5e-4) and pair == pytest.approx(0.2150, abs=5e-4)


@pytest.mark.parametrize("mode", ["site-wise, riding", "energy blend"])
def test_virtual_work_of_a_conservative_mode_is_its_energy(mode):
    model = CONSERVATIVE[mode]()
    path = (
        Q
        + 0.05
        * np.random.default_rng(4).normal(size=(3, *Q.shape))
        * (np.linalg.norm(Q - Q[SEED], axis=1) < 6)[:, None]
    )
    found = virtual_work(model, path, closed=True, tolerance=1e-6)
    e = np.array([model.evaluate(q).energy for q in path])
    assert np.abs(found.energies - (e - e[0])).max() < 1e-6
    assert abs(found.circulation) < 1e-6 and found.circulation_error < 1e-6
    half = virtual_work(model, path[:2], intervals=2)
    assert half.circulation is None and abs(half.energies[1] - (e[1] - e[0])) <= half.errors[1]


def test_virtual_work_shows_that_force_mixing_has_no_energy():
    """Around a loop the mixed forces do work, by far more than the quadrature's error."""
    model = laid_over(ForceMixing())
    path = (
        Q
        + 0.05
        * np.random.default_rng(4).normal(size=(3, *Q.shape))
        * (np.linalg.norm(Q - Q[SEED], axis=1) < 6)[:, None]
    )
    found = virtual_work(model, path, closed=True, tolerance=1e-5)
    assert abs(found.circulation) > 1e-3 > 100 * found.circulation_error
    assert found.circulation == pytest.approx(0.0153, abs=5e-5) and found.relative == pytest.approx(0.0031, abs=5e-5)
    with pytest.raises(MultiscaleError, match="closed path needs 3"):
        virtual_work(model, path[:2], closed=True)
    with pytest.raises(MultiscaleError, match="the same; leave one of them out"):
        virtual_work(model, [Q, Q])


def test_weights_are_remembered_for_one_state_only():
    """Neither a change of q in place nor one of the answer reaches what the interface keeps."""
    interface = blended().interface
    q = Q.copy()
    first = interface.weights(q)["high"]
    kept = first.copy()
    first[:] = -1.0
    assert np.array_equal(interface.weights(q)["high"], kept)
    q[SEED] += [0.5, 0.0, 0.0]
    assert not np.array_equal(interface.weights(q)["high"], kept)
    assert np.array_equal(interface.weights(Q)["high"], kept)


# -- molecules that change their description ------------------------------------------------------------------

GOOD = LennardJones(epsilon=0.0113, sigma=3.35, cutoff=9.0)
CHEAP = LennardJones(epsilon=0.0103, sigma=3.4, cutoff=9.0)


def liquid():
    """Molecules of two argon atoms around one that is the seed; distances from 6.4 to 10.5 Å."""
    rng = np.random.default_rng(8)
    u = rng.normal(size=(7, 3))
    u /= np.linalg.norm(u, axis=1)[:, None]
    r = np.array([0.0, 6.4, 6.8, 7.4, 8.2, 9.3, 10.5])
    centres = [np.zeros(3)]
    for radius in r[1:]:
        # The direction farthest from what is there already.
        best = max(
            rng.normal(size=(200, 3)),
            key=lambda v: min(np.linalg.norm(radius * v / np.linalg.norm(v) - c) for c in centres),
        )
        centres.append(radius * best / np.linalg.norm(best))
    axis = rng.normal(size=(7, 3))
    axis *= 1.85 / np.linalg.norm(axis, axis=1)[:, None]
    return np.stack([centres + axis, centres - axis], axis=1).reshape(-1, 3)


L = liquid()
MOLECULES = Groups.by_mass([(2 * k, 2 * k + 1) for k in range(7)], np.full(14, 39.95))
LIQUID_ZONE = Overlay(SmoothUnion((0, 1), 4.2, 0.3), 2.4, frame="current", groups=MOLECULES)


def part(model, q=L):
    return lambda dofs: MLRegion(model, Atoms(f"Ar{len(dofs)}", q[dofs]))


def liquid_model(q, margin=0.0, coupler=None):
    found = subset_regions(LIQUID_ZONE, q, part(GOOD, q), part(CHEAP, q), margin=margin)
    regions = {"low": MLRegion(CHEAP, Atoms("Ar14", q)), **found.regions}
    interface = Interface(q, regions, Nested([], rest="low"), overlays={"adaptive": LIQUID_ZONE})
    return HybridModel(interface, coupler or AdaptivePartitioning()), found


def test_molecules_in_the_zone():
    """Exact forces with the centres of mass, the subsets and the seeds; momentum; only what weighs anything is calculated."""
    model, found = liquid_model(L, margin=0.3)
    where = membership(LIQUID_ZONE, L)
    assert where.core == (0,) and 2 <= len(where.zone) <= 4 and len(found.membership.zone) >= len(where.zone)
    forces = model.evaluate(L).forces
    for atom in (0, 1, *(m for g in where.zone for m in MOLECULES.members[g])):
        for k in range(3):
            # At 1e-4 Å the difference itself is off by 5e-9 eV/Å, and by a hundredth of that here.
            assert abs(slope(model, L, atom, k, 1e-5) + forces[atom, k]) <= 1e-9
    assert np.linalg.norm(forces.sum(axis=0)) < 1e-14
    torque = np.cross(L, forces).sum(axis=0)
    assert np.linalg.norm(torque) < 1e-13
    model.calls = dict.fromkeys(model.calls, 0)
    model.evaluate(L)
    asked = [r for r, n in model.calls.items() if n and r != "low"]
    assert len(asked) == 2 * 2 ** len(where.zone)
    assert model.ledger(L).coverage == pytest.approx((1.0, 1.0), abs=1e-12)


def moved(d):
    """The molecule nearest outside the core with its centre where the distance to the core set is d."""
    g, q = 1, L.copy()
    members = list(MOLECULES.members[g])
    c = q[members].mean(axis=0)
    u = c / np.linalg.norm(c)
    lo, hi = 2.0, 20.0
    for _ in range(80):
        mid = 0.5 * (lo + hi)
        lo, hi = (mid, hi) if LIQUID_ZONE.shape.distance((mid * u)[None], q)[0][0] < d else (lo, mid)
    q[members] += lo * u - c
    return q


@pytest.mark.parametrize(("border", "side"), [(0.0, "core"), (2.4, "outside")])
def test_no_jump_when_membership_changes(border, side):
    """Regions built on either side of a border agree at it, in energy and forces; across it both go on smoothly."""
    inside, beyond = (1e-3, -1e-3) if side == "core" else (-1e-3, 1e-3)
    old, new = liquid_model(moved(border + inside))[0], liquid_model(moved(border + beyond))[0]
    assert set(old.interface.regions) != set(new.interface.regions)
    at = moved(border + (-1e-12 if side == "core" else 1e-12))
    a, b = old.evaluate(at), new.evaluate(at)
    assert abs(a.energy - b.energy) < 1e-14 and np.abs(a.forces - b.forces).max() < 1e-14
    # On the other side a weight appears that the new regions do not know: said, not dropped.
    with pytest.raises(MultiscaleError, match="group 1 is .* build the regions anew"):
        new.evaluate(moved(border + inside))
    # Built anew at every state, the energy along the path has neither a jump nor a kink at the border.
    steps = np.linspace(border - 4e-3, border + 4e-3, 9)
    e = [liquid_model(moved(d))[0].evaluate(moved(d)).energy for d in steps]
    assert np.abs(np.diff(e, 3)).max() < 1e-2 * np.abs(np.diff(e, 2)).max()


def test_hysteresis_of_the_subsets():
    """With a margin the regions hold on beyond the border, and the answer is the same as without."""
    q = moved(2.4 - 1e-3)
    wide = liquid_model(q, margin=0.5)
    gone = moved(2.4 + 0.4)
    assert wide[1].hold(gone) and not liquid_model(gone)[1].hold(q)
    a, b = wide[0].evaluate(gone), liquid_model(gone)[0].evaluate(gone)
    assert abs(a.energy - b.energy) < 1e-14 and np.abs(a.forces - b.forces).max() < 1e-14


def test_what_adaptive_partitioning_refuses():
    with pytest.raises(MultiscaleError, match=r"groups lie in the zone .* 2\^\d = \d+ calculations.*raise limit=1"):
        subset_regions(LIQUID_ZONE, L, part(GOOD), part(CHEAP), limit=1)
    far = Overlay(Sphere((500.0, 0, 0), 3.0), 2.0, groups=MOLECULES)
    with pytest.raises(MultiscaleError, match="holds no group and no atom"):
        subset_regions(far, L, part(GOOD), part(CHEAP))
    with pytest.raises(MultiscaleError, match="needs an overlay with groups"):
        subset_regions(Overlay(Sphere((0, 0, 0), 3.0), 2.0), L, part(GOOD), part(CHEAP))
    found = subset_regions(LIQUID_ZONE, L, part(GOOD), part(CHEAP))
    lost = sorted(found.regions, key=len)[-1]
    some = {r: v for r, v in found.regions.items() if r.partition("[")[2] != lost.partition("[")[2]}
    interface = Interface(
        L,
        {"low": MLRegion(CHEAP, Atoms("Ar14", L)), **some},
        Nested([], rest="low"),
        overlays={"adaptive": LIQUID_ZONE},
    )
    with pytest.raises(MultiscaleError, match="needs every subset of the groups"):
        HybridModel(interface, AdaptivePartitioning())
    with pytest.raises(MultiscaleError, match="weighs groups, not the dofs"):
        interface.overlay_weights("adaptive", L)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Groups(((0, 1), (1, 2))), "disjoint"),
        (lambda: Groups(((0, 1), (2, -1))), "the shared dof -1, but dofs are counted from 0"),
        (lambda: Groups(((0, 1), (2,)), ((0.5, 0.5),)), "2 groups were given the shares of 1"),
        (lambda: Groups(((0, 1),), ((1.0,),)), "one number per member and sum to one"),
        (lambda: Groups.by_mass([(0, 1), (2, 3)], [1.0, 1.0, 1.0]), "shared dof 3, but there are masses of 3"),
        (lambda: Groups.by_mass([(0, -1)], [1.0, 1.0]), "shared dof -1, but there are masses of 2"),
    ],
)
def test_groups_that_do_not_fit_are_refused(make, says):
    with pytest.raises(MultiscaleError, match=says):
        make()


# -- overlays that cannot work --------------------------------------------------------------------------------


def test_overlays_are_refused_before_anything_runs():
    with pytest.raises(MultiscaleError, match="width 0 in the current frame"):
        Overlay(Sphere((0, 0, 0), 3.0), frame="current")
    with pytest.raises(MultiscaleError, match="rides on seed dofs, but the overlay is in the reference frame"):
        Overlay(SmoothUnion((0,), 3.0), 2.0)
    with pytest.raises(
        MultiscaleError, match="mixing weight at .* dofs that the region does not have.*carve a larger region"
    ):
        laid_over(ForceMixing(), width=7.0)
    near = int(np.argsort(np.linalg.norm(X - X[SEED], axis=1))[1])
    # Opposite a bond there is room between the atoms.
    between = Overlay(Sphere(tuple(2.0 * X[SEED] - X[near]), 0.5), 2.5)
    away = Overlay(Sphere((300.0, 0, 0), 0.5), 4.0)
    for overlay, text in ((between, r"has no core: .*, which has a zone of 2\.5 Å;"), (away, "has shrunk to nothing")):
        regions = {"low": region(LOW), "qm": region(HIGH, CLUSTER), "ml_qm": region(LOW, CLUSTER)}
        with pytest.raises(MultiscaleError, match=text):
            HybridModel(Interface(X, regions, Nested([], rest="low"), overlays={"qm": overlay}), SiteSubtractive())
        loose = Interface(X, regions, Nested([], rest="low"), overlays={"qm": overlay}, strict=False)
        assert np.isfinite(HybridModel(loose, SiteSubtractive()).evaluate(Q).energy)
    other = CLUSTER[::-1]
    regions = {"low": region(LOW), "qm": region(HIGH, CLUSTER), "ml_qm": region(LOW, other)}
    with pytest.raises(MultiscaleError, match="build both from the same cluster, in the same order"):
        HybridModel(
            Interface(X, regions, Nested([], rest="low"), overlays={"qm": Overlay(core("resting"), ZONE)}),
            SiteSubtractive(),
        )


def test_an_overlay_that_leaves_its_region_says_so():
    model = laid_over(ForceMixing())
    q = Q.copy()
    q[SEED] += [4.0, 0.0, 0.0]
    with pytest.raises(MultiscaleError, match="carve the region anew around it"):
        model.evaluate(q)
    loose = laid_over(ForceMixing(), strict=False)
    forces = loose.evaluate(q).forces
    bare = (Overlay(core("seed"), ZONE, frame="current")(q, q) > 0) & ~np.isin(np.arange(len(X)), CLUSTER)
    # What the region does not have keeps the cheaper description's forces, whole.
    assert bare.any() and np.array_equal(forces[bare], region(LOW).evaluate(q, Query()).forces[bare])
