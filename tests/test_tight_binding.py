"""Tight binding with site energies: the gradient at random weights, the division, tblite, dxtb, failures; the linear algebra beneath."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.data import atomic_numbers, covalent_radii
from ase.io import read
from ase.units import Bohr, Hartree, kB
from tblite.ase import TBLite

torch = pytest.importorskip("torch")
dxtb = pytest.importorskip("dxtb")

from couplers import EnergyBlend  # noqa: E402
from multiscale import HybridModel, Interface, Nested, Sphere  # noqa: E402
from multiscale.region import Can, Query  # noqa: E402
from multiscale.regions import tb_response, tight_binding  # noqa: E402
from multiscale.regions.carve import carve  # noqa: E402
from multiscale.regions.tb_fermi import Occupation, channels, fermi_level  # noqa: E402
from multiscale.regions.tb_response import Krylov, State, gmres  # noqa: E402
from multiscale.regions.tb_scf import NotConverged, Rung, converge, tight_binding_ladder  # noqa: E402
from multiscale.regions.tight_binding import TightBindingRegion  # noqa: E402
from multiscale.testing.regions import examine_region  # noqa: E402
from multiscale.testing.specimens.tight_binding import disilyl  # noqa: E402
from multiscale.types import MultiscaleError, Team  # noqa: E402

ALL = Can.ENERGY | Can.FORCES | Can.SITE_ENERGIES


def shaken(name: str, amount: float = 0.05) -> Atoms:
    atoms = molecule(name)
    atoms.rattle(amount, seed=3)
    return atoms


def cluster(missing: int = 0) -> Atoms:
    """Si5H12 with silicon's own spacing, or with some of its hydrogen missing."""
    si = bulk("Si", a=5.43095, cubic=True) * (3, 3, 3)
    cut = carve(si.get_chemical_symbols(), si.positions, si.cell.array, True, [len(si) // 2], hops=1)
    atoms = Atoms(cut.all_symbols, cut.positions(si.positions, si.cell.array))
    del atoms[[*range(17 - missing, 17)]]
    atoms.rattle(0.05, seed=4)
    return atoms


def weights(n: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 1, n)


def slope_error(region: TightBindingRegion, x: np.ndarray, h: float = 1e-3) -> float:
    """Largest difference of the weighted gradient to fourth-order central differences, along four directions, eV/Å."""
    w, rng = weights(len(x)), np.random.default_rng(1)
    forces = region.evaluate(x, Query(Can.FORCES, w)).forces
    directions = [v / np.linalg.norm(v) for v in rng.normal(size=(3, *x.shape))]
    single = np.zeros(x.size)
    single[np.abs(forces).argmax()] = 1.0
    worst = 0.0
    for v in [*directions, single.reshape(x.shape)]:
        e = [region.evaluate(x + k * h * v, Query(Can.ENERGY, w)).energy for k in (1, -1, 2, -2)]
        worst = max(worst, abs((8 * (e[0] - e[1]) - (e[2] - e[3])) / (12 * h) + (forces * v).sum()))
    return worst


CASES = {
    "perfect SiH4": (lambda: molecule("SiH4"), {}),
    "perfect CH4": (lambda: molecule("CH4"), {}),
    "perfect benzene": (lambda: molecule("C6H6"), {}),
    "H2O": (lambda: shaken("H2O"), {}),
    "CH3Cl": (lambda: shaken("CH3Cl"), {}),
    "Si5H12": (cluster, {}),
    "dangling bond": (lambda: cluster(1), {}),
    "two dangling bonds, triplet": (lambda: cluster(2), {"spin": 2, "electronic_temperature": 2000.0}),
    "two dangling bonds, singlet": (lambda: cluster(2), {}),
    "H2O+": (lambda: shaken("H2O"), {"charge": 1}),
    "OH-": (lambda: shaken("OH"), {"charge": -1}),
    "O2 triplet": (lambda: molecule("O2"), {"spin": 2}),
    "rescaled": (lambda: shaken("Si2H6"), {"length_scale": 1.02, "energy_scale": 0.9}),
}


@pytest.mark.parametrize("name", CASES)
def test_the_weighted_gradient_is_that_of_the_weighted_energy(name):
    make, settings = CASES[name]
    atoms = make()
    assert slope_error(TightBindingRegion(atoms, **settings), atoms.positions) < 2e-8


@pytest.mark.parametrize(
    "name", ["perfect SiH4", "CH3Cl", "dangling bond", "two dangling bonds, singlet", "H2O+", "O2 triplet"]
)
def test_totals_are_those_of_tblite(name):
    """Forces to 1e-7 eV/Å; energies to 2e-9 eV per atom. A √3 in single precision, in the d functions' norm, makes it 1e-8."""
    make, settings = CASES[name]
    atoms = make()
    answer = TightBindingRegion(atoms, **settings).evaluate(atoms.positions, Query(ALL))
    spin, charge = settings.get("spin", 0), settings.get("charge", 0)
    atoms.calc = TBLite(
        method="GFN1-xTB",
        electronic_temperature=1000.0,
        accuracy=1e-3,
        charge=charge,
        multiplicity=spin + 1,
        verbosity=0,
    )
    assert answer.energy == pytest.approx(atoms.get_potential_energy(), abs=2e-9 * len(atoms))
    assert np.abs(answer.forces - atoms.get_forces()).max() < 1e-7
    assert answer.site_energies.sum() == pytest.approx(answer.energy, abs=1e-10)


@pytest.mark.parametrize(
    ("symbol", "energy", "force"),
    # Between potassium and barium tblite expands 4s, 4p, 5s and 5p functions in other Gaussians, see the documentation.
    [
        ("Ar", 4e-9, 1e-7),
        ("Br", 2e-5, 5e-5),
        ("Ti", 3e-5, 3e-5),
        ("I", 2e-5, 3e-5),
        ("W", 4e-9, 1e-7),
        ("Au", 4e-9, 1e-7),
    ],
)
def test_heavier_elements_agree_with_tblite_as_far_as_their_functions_do(symbol, energy, force):
    atoms = Atoms([symbol, "H"], [[0.0, 0, 0], [0, 0, covalent_radii[atomic_numbers[symbol]] + covalent_radii[1]]])
    answer = TightBindingRegion(atoms).evaluate(atoms.positions, Query())
    atoms.calc = TBLite(method="GFN1-xTB", electronic_temperature=1000.0, accuracy=1e-3, verbosity=0)
    assert answer.energy == pytest.approx(atoms.get_potential_energy(), abs=energy)
    assert np.abs(answer.forces - atoms.get_forces()).max() < force


def test_every_function_overlaps_with_itself_by_one():
    """In the limit of two atoms at one place; the d functions too, so that the ones on the diagonal belong to the rest."""
    region = TightBindingRegion(Atoms("SiSi", [[0.0, 0, 0], [0, 0, 1e-5]]))
    model = region._ready()
    S = model.overlap.matrix(torch.tensor(region.reference / Bohr)).numpy()
    assert np.abs(np.diag(S[:9, 9:]) - 1.0).max() < 1e-9


def dxtb_weighted(atoms: Atoms, w: np.ndarray, mode: str) -> tuple[np.ndarray, np.ndarray]:
    """Site energies and weighted forces by dxtb's own differentiation."""
    options = {"verbosity": 0, "f_atol": 1e-11, "x_atol": 1e-11, "maxiter": 300, "scf_mode": mode}
    options |= {"fermi_etemp": 1000.0, "fermi_partition": "atomic"}
    calculator = dxtb.calculators.GFN1Calculator(torch.tensor(atoms.numbers), opts=options, dtype=torch.float64)
    x = torch.tensor(atoms.positions / Bohr, requires_grad=True)
    sites = calculator.singlepoint(x, 0, None).total
    (slope,) = torch.autograd.grad((sites * torch.tensor(w)).sum(), x)
    return sites.detach().numpy() * Hartree, -slope.numpy() * Hartree / Bohr


def test_dxtb_agrees_where_it_differentiates_everything_and_not_in_its_default_mode():
    atoms = shaken("Si2H6")
    del atoms[7]
    w = weights(7)
    answer = TightBindingRegion(atoms).evaluate(atoms.positions, Query(ALL, w))
    sites, forces = dxtb_weighted(atoms, w, "full")
    # dxtb's Hartree, in which the levels are given, differs by 3.6e-8 of the energy.
    assert np.abs(sites - answer.site_energies).max() < 5e-6
    assert np.abs(forces - answer.forces).max() < 1e-6
    _, implicit = dxtb_weighted(atoms, w, "implicit")
    assert np.abs(implicit - answer.forces).max() > 0.1


def test_equal_weights_need_no_response_and_give_the_ordinary_force():
    atoms = cluster(1)
    region = TightBindingRegion(atoms)
    plain = region.evaluate(atoms.positions, Query())
    assert region.response_iterations == 0
    scaled = region.evaluate(atoms.positions, Query(weights=np.full(16, 2.5)))
    assert region.response_iterations == 0
    assert np.abs(scaled.forces - 2.5 * plain.forces).max() < 1e-9
    part = region.evaluate(atoms.positions, Query(weights=weights(16)))
    assert region.response_iterations > 5 and region.evaluations == 1
    assert np.abs(part.forces.sum(0)).max() < 1e-10


def test_the_specimen_passes_and_a_region_that_forgets_the_response_does_not(monkeypatch):
    specimen = disilyl()
    checks = ("forces", "subsets", "site energies")
    assert all(r.ok for r in examine_region(specimen.make, specimen.x, bound=specimen.bound, only=checks))
    # The saboteur leaves the charges' influence at what it is for equal weights.
    monkeypatch.setattr(tb_response, "gmres", lambda apply, b, x, *rest: gmres(apply, b, x, *rest) if x is b else x)
    broken = examine_region(specimen.make, specimen.x, bound=specimen.bound, only=("forces",))
    assert broken[0].measured > 1e-3 and not broken[0].ok


def test_energies_are_aligned_and_rescaled_site_by_site():
    atoms = shaken("Si2H6")
    zeros = {"Si": -50.0, "H": -12.0}
    region = TightBindingRegion(atoms, length_scale=1.02, energy_scale=0.9, energy_zero=zeros)
    bare = TightBindingRegion(atoms).evaluate(1.02 * atoms.positions, Query(ALL))
    answer = region.evaluate(atoms.positions, Query(ALL))
    each = np.array([zeros[s] for s in atoms.get_chemical_symbols()])
    assert np.allclose(answer.site_energies, 0.9 * (bare.site_energies - each), atol=1e-9)
    assert np.allclose(answer.forces, 0.9 * 1.02 * bare.forces, atol=1e-8)


def test_it_blends_with_itself_at_another_temperature_under_moving_weights():
    """−e ∇w and the response together: forces of a hybrid of two are minus the gradient of its energy."""
    atoms = shaken("Si2H6")
    x = atoms.positions
    regions = {"hot": TightBindingRegion(atoms, electronic_temperature=9000.0), "cold": TightBindingRegion(atoms)}
    partition = Nested([("hot", Sphere(x[0], 1.0), 3.0)], rest="cold", frame="current")
    model = HybridModel(Interface(x, regions, partition), EnergyBlend())
    v = np.random.default_rng(5).normal(size=x.shape)
    v /= np.linalg.norm(v)
    e = [model.evaluate(x + k * 1e-3 * v).energy for k in (1, -1, 2, -2)]
    assert (8 * (e[0] - e[1]) - (e[2] - e[3])) / 12e-3 == pytest.approx(-(model.evaluate(x).forces * v).sum(), abs=1e-7)


def test_results_do_not_depend_on_history():
    atoms = cluster(1)
    rng, w = np.random.default_rng(2), weights(16)
    travelled, fresh = TightBindingRegion(atoms), TightBindingRegion(atoms, restart=False)
    for _ in range(3):
        travelled.evaluate(atoms.positions + rng.normal(0, 0.1, (16, 3)), Query(Can.ENERGY))
    a, b = (r.evaluate(atoms.positions, Query(ALL, w)) for r in (travelled, fresh))
    assert np.abs(a.site_energies - b.site_energies).max() < 1e-9
    assert np.abs(a.forces - b.forces).max() < 1e-9


def test_only_the_first_member_of_a_team_calculates():
    atoms = molecule("SiH4")
    parts = []
    for rank in range(3):
        region = TightBindingRegion(atoms)
        region.bind(Team(rank=rank, size=3))
        parts.append(region.evaluate(atoms.positions, Query(ALL)))
        assert region.evaluations == (1 if rank == 0 else 0)
    alone = TightBindingRegion(atoms).evaluate(atoms.positions, Query(ALL))
    assert sum(p.energy for p in parts) == alone.energy
    assert np.array_equal(sum(p.site_energies for p in parts), alone.site_energies)


def test_what_cannot_be_calculated_is_refused_in_one_sentence():
    with pytest.raises(MultiscaleError, match="no periodic cells; carve a cluster"):
        TightBindingRegion(bulk("Si"))
    with pytest.raises(MultiscaleError, match="link_atoms of shape"):
        TightBindingRegion(molecule("SiH4"), link_atoms=[True])
    with pytest.raises(MultiscaleError, match="must be positive"):
        TightBindingRegion(molecule("SiH4"), electronic_temperature=0.0)
    for name in ("length_scale", "energy_scale", "electronic_temperature", "accuracy"):
        for value in (float("nan"), float("inf")):
            with pytest.raises(MultiscaleError, match=f"{name}={value}.*must be positive numbers"):
                TightBindingRegion(molecule("SiH4"), **{name: value})
    with pytest.raises(
        MultiscaleError, match="given Fr, U, for which GFN1-xTB has no parameters; it describes hydrogen to radon"
    ):
        TightBindingRegion(Atoms("UFrH", np.diag([2.0, 4.0, 6.0])))
    with pytest.raises(MultiscaleError, match="also contain H"):
        TightBindingRegion(molecule("SiH4"), energy_zero={"Si": 1.0})
    for wrong in ({"spin": 1}, {"charge": 9}, {"charge": -40}):
        region = TightBindingRegion(molecule("SiH4"), **wrong)
        with pytest.raises(MultiscaleError, match="that fit"):
            region.evaluate(region.reference, Query())


def test_a_failed_calculation_climbs_the_ladder_and_says_so(tmp_path, monkeypatch, caplog):
    atoms = molecule("SiH4")
    expected = TightBindingRegion(atoms, electronic_temperature=3000.0).evaluate(atoms.positions, Query()).energy
    rungs = []

    def stubborn(diagonalise, q, rung, temperature, *rest):
        rungs.append(rung)
        if rung.electronic_temperature is None:
            raise NotConverged("by order")
        return converge(diagonalise, q, rung, temperature, *rest)

    monkeypatch.setattr(tight_binding, "converge", stubborn)
    region = TightBindingRegion(atoms, failures=tmp_path)
    with caplog.at_level(logging.WARNING):
        hot = region.evaluate(atoms.positions, Query()).energy
    assert region.retries == [(1, 5)] and len(rungs) == 6
    assert "another functional" in caplog.text
    assert hot == pytest.approx(expected, abs=1e-9)
    hopeless = TightBindingRegion(atoms, failures=tmp_path, ladder=(Rung(),))
    with pytest.raises(MultiscaleError, match="tight-binding-failure-001.extxyz"):
        hopeless.evaluate(atoms.positions, Query())
    assert len(read(tmp_path / "tight-binding-failure-001.extxyz")) == 5


@pytest.mark.parametrize("amount", [0.0, 1e-9])
def test_atoms_on_top_of_one_another_are_saved_and_named(tmp_path, amount):
    atoms = molecule("SiH4")
    region, x = TightBindingRegion(atoms, link_atoms=atoms.numbers == 1, failures=tmp_path), atoms.positions.copy()
    x[2] = x[1] + amount
    with pytest.raises(
        MultiscaleError, match=r"4 of them link atoms.*in SCF 1 .*tight-binding-failure-001.extxyz: look for"
    ):
        region.evaluate(x, Query())
    saved = read(tmp_path / "tight-binding-failure-001.extxyz")
    assert saved.arrays["role"].tolist() == ["atom"] + 4 * ["link"] and np.abs(saved.positions - x).max() < 1e-7
    # Nothing of it is left.
    assert (
        region.evaluate(atoms.positions, Query()).energy
        == TightBindingRegion(atoms).evaluate(atoms.positions, Query()).energy
    )


def test_a_geometry_that_cannot_be_saved_does_not_hide_what_failed(tmp_path):
    (tmp_path / "taken").write_text("a file, where the folder should be")
    atoms = molecule("SiH4")
    region = TightBindingRegion(atoms, failures=tmp_path / "taken", ladder=(Rung(steps=1),))
    with pytest.raises(
        MultiscaleError, match=r"did not converge.*geometry could not be saved \(FileExistsError.*look for"
    ):
        region.evaluate(0.0 * atoms.positions, Query())


def test_isotopes_keep_their_masses():
    heavy = Atoms("OHH", molecule("H2O").positions, masses=[16.0, 2.0, 2.0])
    assert TightBindingRegion(heavy).masses().tolist() == [16.0, 2.0, 2.0]


def test_every_rung_that_keeps_the_functional_finds_the_same_charges(monkeypatch):
    atoms = cluster(2)
    region = TightBindingRegion(atoms)
    state = region._state(atoms.positions)
    spins = channels(region._electrons(state.model), 0)

    def diagonalise(q, kT):
        return State.of(state.model, state.geometry, q, spins, kT)

    for rung in tight_binding_ladder(1000.0)[:3]:
        found = converge(diagonalise, torch.zeros_like(state.q), rung, 1000.0, kB / Hartree, 1e-12)
        assert float((found.q - state.q).abs().max()) < 1e-11
    with pytest.raises(NotConverged, match="residual of"):
        converge(diagonalise, torch.zeros_like(state.q), Rung(steps=2), 1000.0, kB / Hartree, 1e-12)


def torn(seed: int) -> Atoms:
    """A silicon cluster with many dangling bonds, shaken by 0.25 Å."""
    si = bulk("Si", a=5.43095, cubic=True) * (5, 5, 5)
    core = int(np.linalg.norm(si.positions - 2 * 5.43095, axis=1).argmin())
    cut = carve(si.get_chemical_symbols(), si.positions, si.cell.array, True, [core], hops=1)
    atoms = Atoms(cut.all_symbols, cut.positions(si.positions, si.cell.array))
    del atoms[-1]
    atoms.rattle(0.05, seed=1)
    rng = np.random.default_rng(seed)
    atoms.positions += rng.normal(0, 0.25, atoms.positions.shape)
    del atoms[[*range(16 - rng.integers(3, 7), 16)]]
    return atoms


def test_saddles_of_the_free_energy_are_left():
    """Newton steps alone end 7 meV above the minimum, which tblite finds by mixing."""
    atoms = torn(76)
    energy = TightBindingRegion(atoms, electronic_temperature=300.0).evaluate(atoms.positions, Query(Can.ENERGY)).energy
    region = TightBindingRegion(atoms, electronic_temperature=300.0)
    state = region._state(atoms.positions)
    spins = channels(region._electrons(state.model), 0)

    def diagonalise(q, kT):
        return State.of(state.model, state.geometry, q, spins, kT)

    blind = converge(diagonalise, torch.zeros_like(state.q), Rung(stable=False), 300.0, kB / Hartree, 1e-12)
    assert float(blind.site_energies().sum()) * Hartree > energy + 5e-3
    atoms.calc = TBLite(method="GFN1-xTB", electronic_temperature=300.0, accuracy=0.01, verbosity=0)
    assert energy == pytest.approx(atoms.get_potential_energy(), abs=1e-5)


def test_charges_that_run_away_are_not_an_answer(caplog):
    """From the only sensible charges, a saddle, the third order falls to −12 400 eV; the saddle is taken, and said to be one."""
    atoms = torn(14)
    region = TightBindingRegion(atoms, electronic_temperature=300.0)
    with caplog.at_level(logging.WARNING):
        energy = region.evaluate(atoms.positions, Query(Can.ENERGY)).energy
    assert region.retries == [(1, 4)] and "saddle" in caplog.text
    atoms.calc = TBLite(method="GFN1-xTB", electronic_temperature=300.0, accuracy=0.01, verbosity=0)
    assert energy == pytest.approx(atoms.get_potential_energy(), abs=1e-5)


# The linear algebra.


def test_divided_differences_are_smooth_where_levels_meet():
    """Against long-double differences for distinct levels, against derivatives for equal ones, and between the two."""
    kT = 0.003
    for gap in (0.0, 1e-18, 1e-12, 1e-8, 1e-5, 1e-3, 0.1):
        levels = torch.tensor([-0.4, -0.2, -0.2 + gap, 0.3], dtype=torch.float64)
        occupation = Occupation(levels, ((2, 2.0),), kT)
        (channel,) = occupation.channels
        f1, g1 = occupation.f1, channel.g1(occupation.f1)
        y = channel.y.numpy().astype(np.longdouble)
        mean = 0.5 * (y[1] + y[2])
        f = 1 / (1 + np.exp(mean))
        # The quotient in extended precision where it does not cancel, else the derivative at the mean, good to (y₂ − y₁)²/12.
        if y[2] - y[1] > 1e-4:
            full = 1 / (1 + np.exp(y))
            grand = -np.log1p(np.exp(-y))
            exact = 2 * (full[2] - full[1]) / (y[2] - y[1]) / kT
            entropy = grand - y * full
            exact_g = 2 * (entropy[2] - entropy[1]) / (y[2] - y[1])
        else:
            exact, exact_g = -2 * f * (1 - f) / kT, 2 * mean * f * (1 - f)
        assert float(f1[1, 2]) == pytest.approx(float(exact), rel=1e-10)
        assert float(g1[1, 2]) == pytest.approx(float(exact_g), abs=1e-10)
        assert torch.isfinite(f1).all() and torch.isfinite(g1).all()


@pytest.mark.parametrize("spins", [((3, 2.0),), ((4, 1.0), (2, 1.0))])
def test_the_pull_of_a_matrix_function_with_degenerate_levels(spins):
    """∂[tr(P Y) + tr(G Z)]/∂(H, S) against central differences, where differentiating eigenvectors gives no number."""
    rng, n, kT = np.random.default_rng(7), 7, 0.05
    q, _ = np.linalg.qr(rng.normal(size=(n, n)))
    sym = [torch.tensor(0.5 * (a + a.T)) for a in rng.normal(size=(4, n, n))]
    s = torch.eye(n, dtype=torch.float64) + 0.1 * sym[0]
    root = torch.linalg.cholesky(s)
    h = root @ torch.tensor(q @ np.diag([-1, -1, -0.1, -0.1, -0.1, 0.5, 0.5]) @ q.T) @ root.T
    y, z = sym[1], sym[2]

    def solve(h, s):
        inverse = torch.linalg.inv(torch.linalg.cholesky(s)).T
        levels, c = torch.linalg.eigh(inverse.T @ h @ inverse)
        return Occupation(levels, spins, kT), inverse @ c

    def value(h, s):
        occupation, c = solve(h, s)
        return float(torch.trace((c * occupation.f) @ c.T @ y) + torch.trace((c * occupation.g) @ c.T @ z))

    occupation, c = solve(h, s)
    assert occupation.m == n
    at_h, at_s = occupation.pull(c.T @ y @ c, c.T @ z @ c)
    d, step = sym[3], 1e-4
    for along_h, along_s, pull in ((d, 0 * d, at_h), (0 * d, 0.1 * d, at_s)):
        e = [value(h + k * step * along_h, s + k * step * along_s) for k in (1, -1, 2, -2)]
        slope = (8 * (e[0] - e[1]) - (e[2] - e[3])) / (12 * step)
        assert float((c @ pull @ c.T * (along_h + along_s)).sum()) == pytest.approx(slope, abs=1e-9)
    # The saboteur: torch's derivative of eigenvectors.
    leaf = h.clone().requires_grad_(True)
    _, vectors = torch.linalg.eigh(torch.linalg.inv(root) @ leaf @ torch.linalg.inv(root).T)
    (naive,) = torch.autograd.grad((vectors[:, 0] @ y @ vectors[:, 0]), leaf)
    assert not torch.isfinite(naive).all() or naive.abs().max() > 1e6


def test_the_fermi_level_of_an_insulator_is_in_its_gap():
    assert fermi_level(np.array([-0.5, -0.4, 0.2, 0.3]), 2, 1e-3) == pytest.approx(-0.1, abs=1e-9)
    assert (
        channels(13, 0) == ((7, 1.0), (6, 1.0))
        and channels(12, 0) == ((6, 2.0),)
        and channels(12, 2) == ((7, 1.0), (5, 1.0))
    )


def test_gmres_solves_and_admits_what_it_cannot():
    rng = np.random.default_rng(8)
    a, b = torch.tensor(np.eye(9) + 0.3 * rng.normal(size=(9, 9))), torch.tensor(rng.normal(size=9))
    krylov = Krylov()
    x = gmres(lambda u: a @ u, b, torch.zeros_like(b), 1e-12, krylov)
    assert float((a @ x - b).abs().max()) < 1e-11
    # Nine steps in nine dimensions: the Ritz values are the eigenvalues.
    assert krylov.size == 9 and krylov.lowest == pytest.approx(np.linalg.eigvals(a.numpy()).real.min(), abs=1e-8)
    singular = torch.diag(torch.tensor([1.0, 2.0, 0.0], dtype=torch.float64))
    with pytest.raises(MultiscaleError, match="singular"):
        gmres(
            lambda u: singular @ u,
            torch.ones(3, dtype=torch.float64),
            torch.zeros(3, dtype=torch.float64),
            1e-12,
            Krylov(),
        )
