"""Phase fields against closed forms, finite differences, one another on ranks, and the framework's regions; their cases at size small."""

import numpy as np
import pytest
from processes import ROOT, mpi

from multiscale import HybridModel, Interface, Nested, catalogue
from multiscale.region import Can, Query
from multiscale.types import GPA_PER_EV_A3, MultiscaleError, Team

laws = pytest.importorskip("multiscale.continuum.laws", exc_type=ImportError)  # needs DOLFINx
from multiscale.continuum.brittle import BrittleSolid, isotropic_stiffness  # noqa: E402
from multiscale.continuum.cut import cut, face_nodes  # noqa: E402
from multiscale.continuum.graded import graded, rectangle  # noqa: E402
from multiscale.continuum.mesh import SimplexMesh  # noqa: E402
from multiscale.continuum.phase_field import PhaseField  # noqa: E402
from multiscale.continuum.voigt import cubic_stiffness  # noqa: E402
from multiscale.drive import newton  # noqa: E402
from multiscale.regions.continuum import ContinuumRegion  # noqa: E402
from multiscale.regions.damaged import Damaged  # noqa: E402

CARDS = catalogue.cards([ROOT / "cases"])
E, GC, ELL = 210e3, 2.7, 0.015
SKEW = cubic_stiffness(150.0, 70.0, 60.0) + np.pad(
    [[0, 7.0], [7.0, 0]], ((0, 4), (4, 0))
)  # C15 ≠ 0 … kept symmetric below
SKEW = 0.5 * (SKEW + SKEW.T)
SKEW[0, 5] = SKEW[5, 0] = 9.0


def held(mesh, u):
    """Everything held."""
    return u, np.ones(u.shape, dtype=bool)


# -- material ---------------------------------------------------------------------------------------------------


def test_strengths_and_toughness_of_a_mesh():
    one = BrittleSolid(isotropic_stiffness(E, 0.3), GC, ELL)
    two = BrittleSolid(isotropic_stiffness(E, 0.3), GC, ELL, "AT2")
    assert one.strength(E) == pytest.approx(3765.0, abs=0.1)
    assert two.strength(E) == pytest.approx(1996.7, abs=0.1)
    assert one.toughness(ELL / 4) == pytest.approx(GC * (1 + 3 / 32))
    assert two.toughness(ELL / 4) == pytest.approx(GC * 1.125)


def test_plane_stress_and_plane_strain():
    solid = {p: BrittleSolid(isotropic_stiffness(E, 0.3), GC, ELL, plane=p).stiffness(2) for p in ("strain", "stress")}
    assert 1 / np.linalg.inv(solid["stress"])[0, 0] == pytest.approx(E)
    assert 1 / np.linalg.inv(solid["strain"])[0, 0] == pytest.approx(E / (1 - 0.3**2))
    assert solid["stress"][2, 2] == pytest.approx(E / 2.6)


def test_atoms_units():
    solid = BrittleSolid.of_atoms(cubic_stiffness(160.217662, 80.0, 50.0), 16.021766208, 5.0)
    assert solid.C[0, 0] == pytest.approx(1.0, rel=1e-8) and solid.Gc == pytest.approx(1.0)


# -- energy and equilibrium -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dim", "degree"), [(2, 1), (2, 2), (3, 1)])
def test_homogeneous_energy_is_half_strain_stiffness_strain(dim, degree):
    """Anisotropic, sheared; damage that is there already degrades it by (1−d)² + k."""
    ones = (2,) * dim
    make = SimplexMesh.rectangle if dim == 2 else SimplexMesh.box
    mesh = make((0,) * dim, (1,) * dim, ones, degree)
    H = np.zeros((3, 3))
    H[:dim, :dim] = np.array([[0.3, 0.2, 0.1], [0.05, -0.1, 0.0], [0.2, 0.1, 0.2]])[:dim, :dim] * 1e-2
    strain = 0.5 * (H + H.T)
    e = np.array([strain[0, 0], strain[1, 1], strain[2, 2], 2 * strain[1, 2], 2 * strain[0, 2], 2 * strain[0, 1]])
    n = len(mesh.points)
    body = PhaseField(mesh, BrittleSolid(SKEW, 50.0, 0.5), damage=np.full(n, 0.25), sound=np.ones(n, dtype=bool))
    state = body.solve(*held(mesh, mesh.nodes @ H.T))
    assert state.elastic == pytest.approx((0.75**2 + 1e-6) * 0.5 * e @ SKEW @ e, rel=1e-12)
    assert state.work == pytest.approx(state.elastic, rel=1e-12)


def test_reactions_are_the_derivative_of_the_energy():
    rng = np.random.default_rng(3)
    mesh = SimplexMesh.rectangle((0, 0), (2, 1), (4, 2), 2)
    d = rng.uniform(0, 0.9, len(mesh.points))
    u, v = (rng.normal(size=mesh.nodes.shape) * [1, 1, 0] for _ in range(2))

    def at(u):
        body = PhaseField(mesh, BrittleSolid(SKEW, 1e6, 0.5, "AT2"), damage=d, sound=np.ones(len(d), dtype=bool))
        return body.solve(*held(mesh, u))

    slope = (at(u + 1e-3 * v).elastic - at(u - 1e-3 * v).elastic) / 2e-3  # exact: E is quadratic in u
    assert np.sum(at(u).reactions * v) == pytest.approx(slope, rel=1e-9)


def test_damage_is_a_minimum_within_its_bounds():
    """No admissible change of d makes E smaller, and damage does not heal."""
    mesh = SimplexMesh.rectangle((0, 0), (1, 0.25), (16, 4))
    body = PhaseField(mesh, BrittleSolid(isotropic_stiffness(1.0, 0.2), 1.0, 0.2))
    pull = mesh.nodes * [1.0, 0.0, 0.0] * (1.0 + 0.6 * mesh.nodes[:, :1])
    state = body.solve(*held(mesh, pull))
    assert 0.1 < state.d.max() < 1.0 and (state.d == 0).any()
    rng = np.random.default_rng(0)
    for _ in range(5):
        other = np.clip(state.d + 0.05 * rng.normal(size=state.d.shape), 0.0, 1.0)
        n = len(other)
        moved = PhaseField(mesh, body.solid, damage=other, sound=np.ones(n, dtype=bool))
        there = moved.solve(*held(mesh, pull))
        assert there.elastic + moved.start > state.elastic + state.crack
    back = body.solve(*held(mesh, 0.5 * pull))
    assert (back.d >= state.d).all() and back.crack >= state.crack - 1e-12


def test_equilibrium_leaves_no_force_on_free_nodes():
    mesh = SimplexMesh.rectangle((0, 0), (1, 1), (6, 6))
    body = PhaseField(mesh, BrittleSolid(SKEW, 200.0, 0.3, "AT2"))
    X = mesh.nodes
    fixed = np.repeat(((X[:, 1] < 1e-9) | (X[:, 1] > 1 - 1e-9))[:, None], 3, axis=1)
    state = body.solve(X * [0, 0.8, 0], fixed, tolerance=1e-9)
    assert state.residual < 1e-9 and state.d.max() > 0.1
    assert np.abs(state.reactions.sum(axis=0)).max() < 1e-7 * np.abs(state.reactions).max()


# -- what it refuses --------------------------------------------------------------------------------------------


def test_refusals():
    mesh = SimplexMesh.rectangle((0, 0), (1, 1), (2, 2))
    solid = BrittleSolid(isotropic_stiffness(1.0, 0.2), 1.0, 0.2)
    with pytest.raises(MultiscaleError, match="damage between 0 and 1"):
        PhaseField(mesh, solid, damage=np.full(9, 1.5))
    with pytest.raises(MultiscaleError, match="one value per vertex"):
        PhaseField(mesh, solid, damage=np.zeros(4))
    with pytest.raises(MultiscaleError, match="Gc > 0"):
        BrittleSolid(isotropic_stiffness(1.0, 0.2), -1.0, 0.2)
    with pytest.raises(MultiscaleError, match="not settled in 1 sweeps"):
        X = mesh.nodes
        fixed = np.repeat((X[:, 1] != 0.5)[:, None], 3, axis=1)
        PhaseField(mesh, solid).solve(X * [0, 2, 0] * (1 + X[:, :1]), fixed, max_sweeps=1, tolerance=1e-12)
    with pytest.raises(MultiscaleError, match="ν"):
        isotropic_stiffness(1.0, 0.5)


# -- meshes -----------------------------------------------------------------------------------------------------


def test_graded_coordinates():
    x = graded(0.0, 10.0, (4.0, 6.0), 0.5, 1.5)
    assert x[0] == 0.0 and x[-1] == 10.0 and (np.diff(x) > 0).all()
    assert np.allclose(np.diff(x)[(x[:-1] >= 4) & (x[1:] <= 6)], 0.5)
    assert rectangle(x, x).volumes.sum() == pytest.approx(100.0)


@pytest.mark.parametrize("degree", [1, 2])
def test_a_cut_doubles_all_but_its_inner_end(degree):
    grid = rectangle(np.linspace(0, 4, 5), np.linspace(-1, 1, 3), degree)
    slit = cut(grid, lambda X: (np.abs(X[:, 1]) < 1e-9) & (X[:, 0] < 2), lambda X: X[:, 1] > 0)
    assert len(slit.mesh.points) == len(grid.points) + 2 and len(slit.lower) == 2
    assert np.array_equal(slit.mesh.points[slit.lower], slit.mesh.points[slit.upper])
    assert np.allclose(slit.normal, [0, 1]) and slit.mesh.volumes.sum() == pytest.approx(8.0)
    assert (slit.sides() == 1).sum() == (slit.sides() == -1).sum() == (2 if degree == 1 else 4)
    assert np.array_equal(
        slit.mesh.nodes[face_nodes(slit.mesh, slit.lower)], slit.mesh.nodes[face_nodes(slit.mesh, slit.upper)]
    )
    with pytest.raises(MultiscaleError, match="same side"):
        cut(grid, lambda X: np.abs(X[:, 1]) < 1e-9, lambda X: X[:, 1] > 5)


def test_a_cut_in_space_has_a_front():
    box = SimplexMesh.box((0, 0, 0), (2, 2, 2), (2, 2, 2))
    slit = cut(box, lambda X: (np.abs(X[:, 1] - 1) < 1e-9) & (X[:, 0] < 1), lambda X: X[:, 1] > 1)
    assert len(slit.mesh.points) == len(box.points) + 3 and len(slit.lower) == 4
    through = cut(box, lambda X: np.abs(X[:, 1] - 1) < 1e-9, lambda X: X[:, 1] > 1)
    assert len(through.mesh.points) == len(box.points) + 9


# -- in the framework -------------------------------------------------------------------------------------------


def test_damaged_region_is_the_phase_field_at_fixed_damage():
    """Energies and forces agree; by turns through the hybrid model one comes to the same equilibrium as the solver of its own."""
    couplers = pytest.importorskip("couplers")
    mesh = SimplexMesh.rectangle((0, 0), (40, 40), (6, 6))
    C = cubic_stiffness(150.0, 70.0, 60.0)
    solid = BrittleSolid.of_atoms(C, 3.0, 8.0, "AT2")
    X = mesh.nodes
    ends = (X[:, 1] < 1e-9) | (X[:, 1] > 40 - 1e-9)
    fixed = np.repeat(ends[:, None], 3, axis=1)
    value = X * [0.0, 0.07, 0.0]
    alone = PhaseField(mesh, solid).solve(value, fixed, tolerance=1e-10)
    region = Damaged(ContinuumRegion(mesh, laws.LinearElastic(C), site_volume=20.0, quadrature_degree=2))
    held_dofs = fixed.copy()
    held_dofs[:, 2] = True
    model = HybridModel(Interface(X, {"body": region}, Nested([], rest="body"), held_dofs), couplers.EnergyBlend())
    field, q = PhaseField(mesh, solid, weights=np.ones(region.n_sites)), X + np.where(fixed, value, 0.0)
    for _ in range(40):
        *_, step = newton(model, q, fmax=1e-9)
        q, d = step.q, field.damage_at(step.q - X)
        region.degrade(d)
    field.keep()
    assert np.abs(d - alone.d).max() < 1e-8 and alone.d.max() > 0.1
    a = model.ask(q, {"body": Query(Can.ENERGY | Can.FORCES)})["body"]
    assert a.energy == pytest.approx(alone.elastic, rel=1e-8)
    assert np.allclose(-a["forces"][ends], alone.reactions[ends], atol=1e-7 * np.abs(alone.reactions).max())


def test_weights_share_energy_and_crack():
    """A body of weight ½ has half of both energies and the same damage."""
    mesh = SimplexMesh.rectangle((0, 0), (1, 1), (3, 3))
    solid = BrittleSolid(isotropic_stiffness(1.0, 0.2), 1.0, 0.2, "AT2")
    states = []
    for share in (1.0, 0.5):
        body = PhaseField(mesh, solid, weights=np.full(len(mesh.cells) * 3, share))
        states.append(body.solve(*held(mesh, mesh.nodes * [0, 1.0, 0])))
    assert states[1].d == pytest.approx(states[0].d, abs=1e-9) and states[0].d.max() > 0.05
    assert states[1].elastic == pytest.approx(0.5 * states[0].elastic) and states[1].crack == pytest.approx(
        0.5 * states[0].crack
    )


def test_damaged_region_passes_the_examination():
    from multiscale.testing.regions import examine_region

    rng = np.random.default_rng(1)
    mesh = SimplexMesh.rectangle((0, 0), (12, 9), (3, 2), degree=2)
    d = rng.uniform(0, 0.9, len(mesh.points))

    def make():
        region = Damaged(
            ContinuumRegion(mesh, laws.LinearElastic(SKEW), site_volume=20.0, thickness=3.84, atom_mass=28.0)
        )
        region.degrade(d)
        return region

    assert not [str(r) for r in examine_region(make) if not r.ok]


SCRIPT = """
import numpy as np
from multiscale.continuum.brittle import BrittleSolid, isotropic_stiffness
from multiscale.continuum.graded import rectangle
from multiscale.continuum.phase_field import PhaseField
from multiscale.types import Team


def run(team):
    mesh = rectangle(np.linspace(0, 1, 13), np.linspace(-0.5, 0.5, 12))
    X = mesh.nodes
    crack = (np.abs(X[:, 1]) < 0.06) & (X[:, 0] < 0.4)
    body = PhaseField(mesh, BrittleSolid(isotropic_stiffness(1.0, 0.2), 1.0, 0.2), team=team, damage=crack.astype(float))
    ends = np.repeat((np.abs(X[:, 1]) > 0.5 - 1e-9)[:, None], 3, axis=1)
    for pull in (0.5, 1.0, 1.4, 1.6):
        s = body.solve(X * [0, pull, 0], ends, tolerance=1e-8)
    J = body.j_integral(np.clip(4 * np.minimum(1 - X[:, 0], 0.5 - np.abs(X[:, 1])), 0, 1))
    return [float(v) for v in (s.elastic, s.crack, s.work, s.d.sum(), np.abs(s.u).sum(), J, s.sweeps)]


if __name__ == "__main__":
    from mpi4py import MPI

    c = MPI.COMM_WORLD
    found = run(Team(c.rank, c.size, c))
    if c.rank == 0:
        print("FOUND", *found)
    assert c.bcast(found) == found
"""


def test_ranks_agree(tmp_path):
    script = tmp_path / "ranks.py"
    script.write_text(SCRIPT)
    names: dict = {"__name__": "serial"}
    exec(SCRIPT, names)
    alone = names["run"](Team())
    assert alone[1] > 0.1 and alone[6] > 10  # the crack has run
    done = mpi(3, str(script))
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("FOUND")] or [done.stdout + done.stderr]
    assert [float(v) for v in line.split()[1:]] == pytest.approx(alone, rel=1e-7)


# -- cases ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "judged"), [("phase_field_sent", 10), ("surfing", 6)])
def test_cases(name, judged, tmp_path):
    if name == "surfing":
        pytest.importorskip("torch")
    found = catalogue.load(CARDS[name].script).run("small", tmp_path, silent=True)
    assert [n for n, q in found["quantities"].items() if q["ok"] is False] == []
    assert sum(q["ok"] is True for q in found["quantities"].values()) >= judged
    assert (tmp_path / f"{name}.png").stat().st_size > 10_000


def test_units_are_the_callers():
    """GPa and Å, or eV/Å³ and Å: the same damage."""
    mesh = SimplexMesh.rectangle((0, 0), (10, 10), (3, 3))
    C = cubic_stiffness(150.0, 70.0, 60.0)
    u = mesh.nodes * [0.0, 0.12, 0.0]
    atoms = PhaseField(mesh, BrittleSolid.of_atoms(C, 3.0, 4.0, "AT2")).solve(*held(mesh, u))
    # J/m² = 0.1 GPa·Å… 1 GPa·Å = 0.1 J/m².
    plain = PhaseField(mesh, BrittleSolid(C, 30.0, 4.0, "AT2")).solve(*held(mesh, u))
    assert plain.d == pytest.approx(atoms.d, abs=1e-8) and plain.elastic == pytest.approx(atoms.elastic * GPA_PER_EV_A3)
