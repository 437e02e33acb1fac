"""Exported metatomic models against metatomic's own ASE calculator, with capabilities honoured or refused."""

import warnings

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk

from multiscale.models import Committee, Edges, Metatomic
from multiscale.models.frame import recover
from multiscale.region import Can, Query
from multiscale.regions import MLRegion
from multiscale.testing.regions import examine_region
from multiscale.types import MultiscaleError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    mta = pytest.importorskip("metatomic.torch")
    toy = pytest.importorskip("metatomic_toy")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def crystal(repeat, pbc):
    atoms = bulk("Si", a=5.43) * repeat
    rng = np.random.default_rng(0)
    atoms.pbc = pbc
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + rng.uniform(-0.05, 0.05, (3, 3))), scale_atoms=True)
    atoms.positions += rng.normal(0, 0.1, atoms.positions.shape)
    # Atoms may lie in any image of the cell.
    atoms.positions += rng.integers(-1, 2, (len(atoms), 3)) @ (atoms.cell.array * atoms.pbc[:, None])
    atoms.symbols[0] = "H"
    return atoms


def in_cell(region, deform):
    return region.with_cell(region.cell @ deform.T)


MODELS = {
    "vectors": {},
    "positions, half list, two layers": {"positions": True, "full": False, "layers": 2},
    "other units": {"positions": True, "cutoff": 7.5, "length": "bohr", "energy": "Hartree"},
}


@pytest.fixture(scope="module", params=MODELS)
def exported(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "toy.pt"
    toy.export(path, **MODELS[request.param])
    return path


@pytest.mark.parametrize(
    ("repeat", "pbc"),
    [
        ((2, 1, 1), True),
        ((1, 1, 1), True),
        ((2, 2, 1), (True, True, False)),
        ((2, 2, 2), (False, True, False)),
        ((2, 1, 1), False),
    ],
)
def test_it_agrees_with_metatomics_calculator(exported, repeat, pbc):
    """Cells thinner than the cutoff, open axes, clusters; models that use positions, and models that use vectors."""
    from metatomic_ase import MetatomicCalculator

    atoms = crystal(repeat, pbc)
    region = MLRegion(Metatomic(exported), atoms)
    a = region.evaluate(region.reference, Query(Can.ENERGY | Can.FORCES | Can.STRESS | Can.SITE_ENERGIES))
    atoms.cell[~atoms.pbc] = 0.0
    atoms.calc = MetatomicCalculator(str(exported))
    forces = atoms.get_forces()
    assert np.abs(forces).max() > 5e-3
    np.testing.assert_allclose(a["energy"], atoms.get_potential_energy(), rtol=1e-12)
    np.testing.assert_allclose(a["site_energies"].sum(), a["energy"], rtol=1e-12)
    np.testing.assert_allclose(a["forces"], forces, atol=1e-12 * np.abs(forces).max())
    if atoms.pbc.all():
        virial = atoms.get_stress(voigt=False) * atoms.get_volume()
        np.testing.assert_allclose(a["stress"], virial, atol=1e-12 * np.abs(virial).max())


def test_it_keeps_the_contract_of_regions(tmp_path):
    """Weighted gradients, virial, Hessians, subsets: all of it through positions and a cell that edges are turned into."""
    toy.export(tmp_path / "toy.pt", positions=True, full=False, layers=2, cutoff=3.0)
    atoms, model = crystal((5, 1, 1), True), Metatomic(tmp_path / "toy.pt")
    assert (model.layers, model.cutoff, model.symbols) == (2, 3.0, ("H", "Si"))
    results = examine_region(lambda: MLRegion(model, atoms), atoms.positions, strained=in_cell)
    assert {"forces", "HVP", "stiffness", "stress", "reach", "team", "subsets"} <= {r.check for r in results}
    assert not [str(r) for r in results if not r.ok]


def test_only_the_surroundings_of_the_selected_atoms_are_handed_over(exported, monkeypatch):
    region = MLRegion(Metatomic(exported), crystal((5, 5, 5), True))
    weights, seen = np.zeros(region.n_sites), []
    weights[:2] = 1.0
    original = Metatomic._system
    monkeypatch.setattr(Metatomic, "_system", lambda *a: seen.append(original(*a)) or seen[-1])
    part = region.evaluate(region.reference, Query(Can.ENERGY | Can.SITE_ENERGIES, weights, uncounted=False))
    whole = region.evaluate(region.reference, Query(Can.SITE_ENERGIES))
    assert len(seen[0]) < len(seen[1]) == region.n_sites
    np.testing.assert_allclose(part["site_energies"][:2], whole["site_energies"][:2], rtol=1e-12)


def test_positions_and_cell_come_back_from_the_edges():
    """The values are the placement's; the derivative along any motion of atoms and cell is that motion."""
    from multiscale.models import LennardJones

    atoms = crystal((2, 1, 1), True)
    pairs = LennardJones(symbols=("H", "Si"), cutoff=4.0)
    pairs.needs_placement = True
    region = MLRegion(pairs, atoms)
    edges, nodes, _ = region._edges(region.reference, np.arange(region.n_sites) < 2)
    x, h = recover(edges, edges.placement)
    np.testing.assert_array_equal(x, region.reference[nodes])
    np.testing.assert_array_equal(h, region.cell)
    rng = np.random.default_rng(1)
    dx, dh = rng.normal(size=x.shape), rng.normal(size=(3, 3))
    i, j = edges.centre.numpy(), edges.neighbour.numpy()
    along = torch.tensor(dx[j] - dx[i] + edges.placement.shift @ dh)
    (x1, h1) = torch.autograd.functional.jvp(
        lambda v: recover(
            Edges(v, *(edges.centre, edges.neighbour, edges.species, edges.levels, edges.placement)), edges.placement
        ),
        edges.vectors,
        along,
    )[1]
    np.testing.assert_allclose(h1, dh, atol=1e-12)
    # Up to one translation of all.
    np.testing.assert_allclose(x1 - x1[0], dx - dx[0], atol=1e-12)


def test_single_precision_models_say_so(tmp_path):
    toy.export(tmp_path / "toy.pt", dtype="float32")
    model, atoms = Metatomic(tmp_path / "toy.pt"), crystal((2, 1, 1), True)
    with pytest.raises(MultiscaleError, match=r"computes in float32; say MLRegion\(..., dtype='float32'\)"):
        MLRegion(model, atoms)
    assert np.isfinite(MLRegion(model, atoms, dtype="float32").evaluate(atoms.positions, Query())["energy"])
    toy.export(tmp_path / "double.pt")
    with pytest.raises(MultiscaleError, match="common precision"):
        Committee([model, Metatomic(tmp_path / "double.pt")])


def test_a_program_without_second_derivatives_offers_none(tmp_path):
    toy.export(tmp_path / "toy.pt", once=True)
    region = MLRegion(Metatomic(tmp_path / "toy.pt"), crystal((2, 1, 1), True))
    assert not region.can & (Can.HVP | Can.STIFFNESS) and Can.FORCES | Can.SITE_WEIGHTS in region.can
    with pytest.raises(MultiscaleError, match="asked for HVP"):
        region.evaluate(region.reference, Query(Can.HVP, vector=region.reference))


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"kind": "system"}, "per system and not per atom"),
        ({"reach": float("inf")}, "interaction range inf"),
        ({"types": (1, 14, 200)}, "no chemical elements"),
        ({"length": ""}, "does not declare its units"),
    ],
)
def test_unsuitable_capabilities_are_refused(wrong, sentence):
    with pytest.raises(MultiscaleError, match=sentence) as error:
        Metatomic(toy.atomistic(**wrong))
    assert "\n" not in str(error.value)


def test_unsuitable_files_and_elements_are_refused(tmp_path):
    with pytest.raises(MultiscaleError, match="is not there"):
        Metatomic(tmp_path / "none.pt")
    (tmp_path / "text.pt").write_text("no model")
    with pytest.raises(MultiscaleError, match="cannot be loaded as a metatomic model"):
        Metatomic(tmp_path / "text.pt")
    with pytest.raises(MultiscaleError, match="trust=True"):
        Metatomic(tmp_path / "text.pt", extensions=tmp_path)
    with pytest.raises(MultiscaleError, match="no output 'energy/pbe'"):
        Metatomic(toy.atomistic(), output="energy/pbe")
    with pytest.raises(MultiscaleError, match="element Cu"):
        MLRegion(Metatomic(toy.atomistic()), Atoms("Cu"))
    with pytest.raises(MultiscaleError, match="needs the path"):
        Metatomic(torch.nn.Linear(1, 1))
