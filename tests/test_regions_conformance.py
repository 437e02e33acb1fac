"""The shipped examination of regions, put to every kind of region: models, precisions, shapes of cell, meshes and laws."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT

from multiscale.models import EAM, LennardJones, Morse, StillingerWeber
from multiscale.region import Can, Query
from multiscale.regions.ml import MLRegion
from multiscale.regions.qm import QMRegion
from multiscale.testing.regions import examine_region

MODELS = {
    "lj": (LennardJones(0.3, 2.6, cutoff=4.6, onset=4.0, symbols=("Al",)), "Al", 4.09),
    "morse": (Morse(cutoff=5.0), "Cu", 3.61),
    "eam": (EAM.ercolessi_adams(), "Al", 4.03),
    "sw": (StillingerWeber(), "Si", 5.431),
}
#: Checks of a region with a cell: everything.
ALL_OF_ML = {"attributes", "forces", "site energies", "HVP", "stiffness", "reach", "team", "subsets", "purity",
             "site adjoint", "stress"}  # fmt: skip


def structures(symbol, a):
    """An open cluster, a sheared periodic crystal, and a cell one period thick along z and open along x."""
    rng = np.random.default_rng(0)
    cube = bulk(symbol, a=a, cubic=True)
    cluster = Atoms(symbols=(cube * (2, 2, 2)).symbols, positions=(cube * (2, 2, 2)).positions)
    sheared = bulk(symbol, a=a) * (3, 2, 2)
    sheared.set_cell(sheared.cell @ (np.eye(3) + rng.uniform(-0.03, 0.03, (3, 3))), scale_atoms=True)
    thin = cube * (3, 2, 1)
    thin.set_pbc((False, True, True))
    for atoms in (cluster, sheared, thin):
        atoms.positions += rng.normal(0, 0.04, atoms.positions.shape)
    return {"cluster": cluster, "triclinic": sheared, "thin": thin}


def strained(region, deform):
    """The region in the deformed cell; open axes have no vector to deform."""
    return region.with_cell(region.cell @ deform.T) if region.pbc.any() else region


def wrong(results):
    return [str(r) for r in results if not r.ok]


@pytest.mark.parametrize("shape", ["cluster", "triclinic", "thin"])
@pytest.mark.parametrize("name", MODELS)
def test_models(name, shape):
    model, symbol, a = MODELS[name]
    atoms = structures(symbol, a)[shape]
    # The EAM file's tables are rounded; their splines' third derivatives jump at every knot.
    bound = 1e-6 if name == "eam" else 1e-7
    results = examine_region(lambda: MLRegion(model, atoms), atoms.positions, bound=bound, strained=strained)
    assert not wrong(results)
    assert {r.check for r in results} == ALL_OF_ML


@pytest.mark.parametrize("shape", ["cluster", "triclinic", "thin"])
def test_embedded_atoms_by_a_step_that_meets_no_cutoff(shape):
    """Over 1e-6 Å no pair crosses: what is left is the round-off of the energy."""
    model, symbol, a = MODELS["eam"]
    atoms = structures(symbol, a)[shape]
    region, x, h = MLRegion(model, atoms), atoms.positions, 1e-6
    v = np.random.default_rng(2).normal(size=x.shape)
    plus, minus = (region.evaluate(x + s * h * v, Query(Can.ENERGY)).energy for s in (1, -1))
    slope = float(np.sum(region.evaluate(x, Query(Can.FORCES)).forces * v))
    assert (plus - minus) / (2 * h) == pytest.approx(-slope, abs=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_single_precision(name):
    """Energies in single precision have 7 digits: differences of them over 1e-4 Å have none, so forces are not differenced."""
    model, symbol, a = MODELS[name]
    atoms = structures(symbol, a)["triclinic"]
    checks = ("attributes", "site energies", "reach", "team", "subsets", "purity", "site adjoint")
    results = examine_region(lambda: MLRegion(model, atoms, dtype="float32"), atoms.positions, bound=1e-4, only=checks)
    assert {r.check for r in results} == set(checks)
    loose = {"team": 1e-5, "subsets": 1e-5, "reach": 0.0}
    assert not [str(r) for r in results if not r.ok and r.measured > loose.get(r.check, 0.0)]
    x = atoms.positions
    double, single = (MLRegion(model, atoms, dtype=d) for d in ("float64", "float32"))
    a64, a32 = (r.evaluate(x, Query(Can.FORCES | Can.STRESS)) for r in (double, single))
    assert np.abs(a64.forces - a32.forces).max() < 1e-4 * max(1.0, np.abs(a64.forces).max())
    assert np.abs(a64.stress - a32.stress).max() < 1e-4 * max(1.0, np.abs(a64.stress).max())


def test_distances_take_the_nearest_image():
    """Against every image within five cells, for a sheared thin cell."""
    atoms = structures("Si", 5.431)["triclinic"]
    atoms.set_cell(atoms.cell @ np.array([[1, 0, 0], [0.4, 1, 0], [-0.6, 0.3, 1.0]]), scale_atoms=True)
    for pbc in (True, (True, False, True), False):
        atoms.set_pbc(pbc)
        region, x = MLRegion(StillingerWeber(), atoms), atoms.positions
        n = [np.arange(-5, 6) if p else np.zeros(1) for p in atoms.pbc]
        shifts = np.stack(np.meshgrid(*n, indexing="ij"), -1).reshape(-1, 3) @ atoms.cell.array
        for k in (0, 7):
            every = np.linalg.norm(x[:, None] - x[k] - shifts, axis=2).min(axis=1)
            assert region.distances(x, k) == pytest.approx(every, abs=1e-12)


def test_quantum_region():
    """Total energies: no weights, no sites; EMT stands for an engine that is exact, Si2H6 in xTB for one with an SCF."""
    copper = bulk("Cu", cubic=True) * (2, 1, 1)
    copper.set_pbc(False)
    copper.positions += np.random.default_rng(1).normal(0, 0.05, copper.positions.shape)
    results = examine_region(lambda: QMRegion(copper, EMT), copper.positions, bound=1e-6)
    assert not wrong(results)
    assert {r.check for r in results} == {"attributes", "forces", "team", "purity", "site adjoint"}


def test_disilane():
    pytest.importorskip("tblite.ase")
    atoms = molecule("Si2H6")
    atoms.positions += np.random.default_rng(2).normal(0, 0.03, atoms.positions.shape)
    # The SCF starts from the last charges: the forces depend on the history by about 2e-6, within its own accuracy.
    assert not wrong(examine_region(lambda: QMRegion(atoms), atoms.positions, bound=1e-4))
    fresh = examine_region(lambda: QMRegion(atoms, restart=False), atoms.positions, bound=1e-4)
    assert not wrong(fresh)


# -- the continuum -----------------------------------------------------------------------------------------------------

GRADED = np.linspace(0.0, 1.0, 5) ** 1.5


def continuum(dim, degree, law):
    """Fresh regions on a graded mesh, three laws."""
    pytest.importorskip("multiscale.continuum.laws", exc_type=ImportError)  # needs DOLFINx
    from multiscale.continuum import laws
    from multiscale.continuum.mesh import SimplexMesh
    from multiscale.continuum.voigt import cubic_stiffness
    from multiscale.regions.continuum import ContinuumRegion

    C = cubic_stiffness(151.42, 76.42, 56.45)
    law = {"linear": laws.LinearElastic(C), "stvk": laws.StVenantKirchhoff(C), "neo": laws.NeoHookean(60.0, 50.0)}[law]
    even = (SimplexMesh.rectangle if dim == 2 else SimplexMesh.box)((0,) * dim, (1,) * dim, (4, 4, 2)[:dim])
    points = np.interp(even.points, np.linspace(0, 1, 5), GRADED) * np.array([20.0, 30.0, 10.0])[:dim]
    mesh = SimplexMesh(points, even.cells, degree)
    thick = {"thickness": 3.84} if dim == 2 else {}
    return lambda: ContinuumRegion(mesh, law, site_volume=20.0, atom_mass=28.0, **thick)


@pytest.mark.parametrize("law", ["linear", "stvk", "neo"])
@pytest.mark.parametrize("degree", [1, 2])
@pytest.mark.parametrize("dim", [2, 3])
def test_continuum(dim, degree, law):
    """``team`` included: a member without a communicator evaluates its slice of the cells; real ranks in test_mpi_hybrid."""
    make = continuum(dim, degree, law)
    region = make()
    assert region.discrete is False
    assert region.reach == pytest.approx(region.mesh.h.max())
    results = examine_region(make)
    assert not wrong(results)
    expected = ALL_OF_ML if dim == 3 else ALL_OF_ML - {"stress"}
    assert {r.check for r in results} == expected
    assert (Can.STRESS in region.can) == (dim == 3)
