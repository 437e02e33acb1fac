"""MACE on our graph against mace-torch's own forward pass, its files, and what is refused."""

import copy
import functools
import json
import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk

from multiscale.models import Edges, Mace
from multiscale.models.mace_file import build, digest
from multiscale.neighbours import NeighbourList
from multiscale.region import Can, Query
from multiscale.regions import MLRegion
from multiscale.testing.specimens.mace import TINY, random_mace
from multiscale.types import MultiscaleError

# deepcopy of mace's compiled parts goes through TorchScript.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")

RESIDUAL = "RealAgnosticResidualInteractionBlock"
AGNOSTIC = "RealAgnosticInteractionBlock"
DENSITY = "RealAgnosticDensityInteractionBlock"
DENSITY_RESIDUAL = "RealAgnosticDensityResidualInteractionBlock"
ATTENTION = "RealAgnosticAttResidualInteractionBlock"
NONLINEAR = "RealAgnosticResidualNonLinearInteractionBlock"

#: Every kind of block, one to three layers, scalars and vectors, ν = 2 and 3, with and without scale and shift.
ARCHITECTURES = {
    "scalars": {"num_interactions": 1, "interaction_cls_first": AGNOSTIC, "hidden_irreps": "4x0e"},
    "vectors": {"interaction_cls_first": AGNOSTIC, "interaction_cls": RESIDUAL, "correlation": 3},
    "three layers, plain": {
        "num_interactions": 3, "interaction_cls_first": RESIDUAL, "hidden_irreps": "2x0e", "max_ell": 1, "correlation": [2, 1, 2],
        "atomic_inter_scale": None, "atomic_inter_shift": None,
    },
    "densities, pair repulsion": {
        "interaction_cls_first": DENSITY, "interaction_cls": DENSITY_RESIDUAL, "pair_repulsion": True,
        "distance_transform": "Agnesi", "apply_cutoff": False, "hidden_irreps": "4x0e",
    },
    "attention": {"num_interactions": 1, "interaction_cls_first": ATTENTION, "hidden_irreps": "2x0e", "max_ell": 1},
    "nonlinear, two heads": {
        "num_interactions": 1, "interaction_cls_first": NONLINEAR, "hidden_irreps": "4x0e", "heads": ["pbe", "scan"],
        "atomic_energies": [[-1.0, -2.0], [-3.0, -4.0]], "atomic_inter_scale": [2.0, 3.0], "atomic_inter_shift": [0.1, 0.2],
        "radial_type": "gaussian", "distance_transform": "Soft",
    },
}  # fmt: skip


@pytest.fixture(autouse=True)
def no_compilation():
    """A model that is called once or twice is not worth what TorchScript takes to optimise it."""
    with torch.jit.optimized_execution(False):
        yield


@pytest.fixture(scope="module")
def atoms():
    crystal = bulk("Si", a=5.43) * (2, 2, 1)
    sheared = crystal.cell.array @ (np.eye(3) + np.random.default_rng(0).uniform(-0.05, 0.05, (3, 3)))
    crystal.set_cell(sheared, scale_atoms=True)
    crystal.rattle(0.1, seed=1)
    crystal.symbols[3] = "H"
    return crystal


@functools.cache
def made(name):
    """A model of random weights; built once, for building is what takes the time."""
    given = {k: v for k, v in (TINY | ARCHITECTURES[name]).items() if v is not None}
    module = build("ScaleShiftMACE" if "atomic_inter_scale" in given else "MACE", given)
    return Mace(module, head="scan" if "heads" in given else None)


@pytest.fixture
def tiny():
    return made("vectors")


@pytest.fixture
def small():
    return made("scalars")


def theirs(module, atoms, head=0):
    """Energy, forces, virial and node energies by mace-torch's own forward pass."""
    dtype, numbers = module.r_max.dtype, module.atomic_numbers.tolist()
    pairs = NeighbourList(float(module.r_max), atoms.cell.array, atoms.pbc).pairs(atoms.positions)
    data = {
        "positions": torch.tensor(atoms.positions, dtype=dtype, requires_grad=True),
        "node_attrs": torch.eye(len(numbers), dtype=dtype)[[numbers.index(z) for z in atoms.numbers]],
        "edge_index": torch.tensor(np.stack([pairs.j, pairs.i])),
        # mace's vectors run from the sender to the receiver, ours the other way round.
        "shifts": -torch.tensor(pairs.shift @ atoms.cell.array, dtype=dtype),
        "unit_shifts": -torch.tensor(pairs.shift, dtype=dtype),
        "cell": torch.tensor(atoms.cell.array, dtype=dtype),
        "batch": torch.zeros(len(atoms), dtype=torch.long),
        "ptr": torch.tensor([0, len(atoms)]),
        "head": torch.tensor([head]),
    }
    out = module(data, compute_force=True, compute_stress=True)
    return {k: out[k].detach().numpy() for k in ("energy", "forces", "virials", "node_energy")}


def ours(region, x=None, weights=None):
    want = Can.ENERGY | Can.FORCES | Can.STRESS | Can.SITE_ENERGIES
    return region.evaluate(region.reference if x is None else x, Query(want, weights))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_it_agrees_with_mace_torch(name, atoms):
    model = made(name)
    a, b = ours(MLRegion(model, atoms)), theirs(model.module, atoms, head=model.heads.index(model.head))
    assert np.abs(a["forces"]).max() > 1e-3
    np.testing.assert_allclose(a["energy"], b["energy"][0], rtol=1e-10)
    np.testing.assert_allclose(a["site_energies"], b["node_energy"], rtol=1e-10)
    # mace's virial is minus the derivative of the energy with respect to strain.
    for mine, other in ((a["forces"], b["forces"]), (a["stress"], -b["virials"][0])):
        assert np.abs(mine - other).max() < 1e-10 * np.abs(other).max()


def test_single_precision_is_a_converted_copy(tiny, atoms):
    a, b = ours(MLRegion(tiny, atoms)), ours(MLRegion(tiny, atoms, dtype="float32"))
    assert tiny.dtype == torch.float64
    assert abs(a["energy"] - b["energy"]) < 1e-6 * abs(a["energy"])
    assert 0.0 < np.abs(a["forces"] - b["forces"]).max() < 1e-5 * np.abs(a["forces"]).max()


def test_few_centres_cost_their_receptive_field(tiny, atoms):
    """Layer ℓ sees the edges of the nodes within L − ℓ hops, and the answer is that of the whole."""
    region, few = MLRegion(tiny, atoms * (2, 2, 2)), np.array([5, 9])
    edges, _, _ = region._edges(region.reference, np.isin(np.arange(region.n_sites), few))
    rows = []
    hooks = [
        block.conv_tp_weights.register_forward_hook(lambda m, given, out: rows.append(len(out)))
        for block in tiny.module.interactions
    ]
    weights = np.zeros(region.n_sites)
    weights[few] = 1.0, 0.5
    part = region.evaluate(region.reference, Query(Can.ENERGY | Can.SITE_ENERGIES, weights, uncounted=False))
    for hook in hooks:
        hook.remove()
    received = [int((edges.centre < n).sum()) for n in edges.levels[:2]]
    assert rows == [received[1], received[0]]
    assert received[0] < received[1] < len(region.list.pairs(region.reference).i) / 2
    whole = ours(region)
    np.testing.assert_allclose(part["site_energies"][few], whole["site_energies"][few], rtol=1e-12)
    np.testing.assert_allclose(part["energy"], weights @ whole["site_energies"], rtol=1e-12)


#: More than one layer of every kind of block.
DEEP = {
    "densities": ARCHITECTURES["densities, pair repulsion"],
    "attention": {"interaction_cls_first": ATTENTION, "interaction_cls": ATTENTION, "hidden_irreps": "2x0e", "max_ell": 1},
    "nonlinear": {"interaction_cls_first": NONLINEAR, "interaction_cls": NONLINEAR, "hidden_irreps": "2x0e+2x1o", "max_ell": 1},
    "three layers": ARCHITECTURES["three layers, plain"],
}  # fmt: skip


@pytest.mark.parametrize("name", DEEP)
def test_few_centres_are_those_of_the_whole(name, atoms):
    """Energy, forces, virial and site energies of two sites, from their receptive field and from all atoms; and mace-torch's."""
    given = {k: v for k, v in (TINY | DEEP[name]).items() if v is not None}
    model = Mace(build("ScaleShiftMACE" if "atomic_inter_scale" in given else "MACE", given))
    rod, few = atoms * (1, 1, 9), np.array([3, 12])
    rod.rattle(0.05, seed=5)
    region = MLRegion(model, rod)
    assert region._edges(region.reference, np.isin(np.arange(len(rod)), few))[0].levels[-1] < len(rod)
    weights = np.zeros(len(rod))
    weights[few] = 1.0, 0.5
    want = Can.ENERGY | Can.FORCES | Can.STRESS | Can.SITE_ENERGIES
    part = region.evaluate(region.reference, Query(want, weights, uncounted=False))
    whole = region.evaluate(region.reference, Query(want, weights))
    assert not part["site_energies"][weights == 0.0].any() and whole["site_energies"].all()
    np.testing.assert_allclose(part["site_energies"][few], whole["site_energies"][few], rtol=1e-12)
    np.testing.assert_allclose(part["energy"], whole["energy"], rtol=1e-12)
    for quantity in ("forces", "stress"):
        scale = np.abs(whole[quantity]).max()
        assert scale > 1e-3 and np.abs(part[quantity] - whole[quantity]).max() < 1e-12 * scale
    np.testing.assert_allclose(whole["site_energies"], theirs(model.module, rod)["node_energy"], rtol=1e-10)


def test_nothing_is_a_case_too(tiny):
    """No centres, and an atom without neighbours, both in graphs that can be differentiated."""
    none = torch.zeros((0, 3), dtype=torch.float64, requires_grad=True)
    empty = torch.zeros(0, dtype=torch.long)
    nobody = tiny(Edges(none, empty, empty, empty, (0, 0, 0)))
    assert nobody.shape == (0,) and torch.autograd.grad(nobody.sum(), none)[0].shape == (0, 3)
    alone = tiny(Edges(none, empty, empty, torch.tensor([1]), (1, 1, 1)))
    assert torch.autograd.grad(alone.sum(), none)[0].shape == (0, 3)
    apart = ours(MLRegion(tiny, Atoms("SiH", [[0, 0, 0], [0, 0, 50]])))
    np.testing.assert_allclose(apart["site_energies"][0], alone.item(), rtol=1e-12)
    assert np.abs(apart["forces"]).max() == 0.0


def test_files_give_the_model_back(small, atoms, tmp_path):
    kept = Mace(small.module, name="kept", provenance={"data": "none: random weights", "error": 0.5})
    described = kept.save(tmp_path / "si.v1.2")
    assert described.name == "si.v1.2.json" and (tmp_path / "si.v1.2.safetensors").is_file()
    words = json.loads(described.read_text())
    assert {"elements", "cutoff", "dtype", "sha256", "mace_version", "provenance", "constructor"} <= words.keys()
    again = Mace.load(tmp_path / "si.v1.2")
    assert (again.name, again.symbols, again.layers) == ("kept", ("H", "Si"), 1)
    assert again.provenance == kept.provenance
    assert np.array_equal(ours(MLRegion(again, atoms))["forces"], ours(MLRegion(kept, atoms))["forces"])


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    made("scalars").save(folder)
    return folder


def _flip(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


def _constructor(path, rehash=False, **arguments):
    words = json.loads(path.read_text())
    words["constructor"] |= arguments
    if rehash:
        words["constructor_sha256"] = digest(words["constructor"])
    path.write_text(json.dumps(words))


def _change(path, **words):
    path.write_text(json.dumps(json.loads(path.read_text()) | words))


def _forget(path, name):
    words = json.loads(path.read_text())
    del words[name]
    path.write_text(json.dumps(words))


def _first_format(path):
    words = json.loads(path.read_text())
    del words["words_sha256"]
    path.write_text(json.dumps(words | {"format": "multiscale-mace-1"}))


def test_files_of_the_first_format_are_read_and_the_second_is_written(saved, atoms, tmp_path):
    shutil.copytree(saved, tmp_path / "copy")
    _first_format(tmp_path / "copy" / "model.json")
    one, two = Mace.load(saved), Mace.load(tmp_path / "copy")
    assert json.loads((saved / "model.json").read_text())["format"] == "multiscale-mace-2"
    assert np.array_equal(ours(MLRegion(one, atoms))["forces"], ours(MLRegion(two, atoms))["forces"])
    # What decides no number may be edited.
    shutil.copytree(saved, tmp_path / "edited")
    _change(tmp_path / "edited" / "model.json", name="renamed", provenance={"licence": "none"})
    edited = Mace.load(tmp_path / "edited")
    assert edited.name == "renamed" and edited.provenance == {"licence": "none"}


def test_an_interrupted_save_leaves_no_mixture(small, tmp_path, monkeypatch):
    """The weights are replaced as a whole, and the JSON after them: never new words beside old weights."""
    small.save(tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    other, replaced = made("scalars"), []
    with torch.no_grad():
        changed = copy.deepcopy(other.module)
        next(changed.parameters()).mul_(2.0)
    real = os.replace

    def stops(source, target):
        replaced.append(os.path.basename(target))
        if len(replaced) == stop:
            raise OSError("the disk is full")
        real(source, target)

    monkeypatch.setattr(os, "replace", stops)
    for stop in (1, 2):
        replaced.clear()
        with pytest.raises(OSError, match="disk is full"):
            Mace(changed).save(tmp_path)
        assert replaced == ["model.safetensors", "model.json"][:stop]
        assert {p.name for p in tmp_path.iterdir()} == before.keys()
        assert (tmp_path / "model.json").read_bytes() == before["model.json"]
    with pytest.raises(MultiscaleError, match="sha256"):
        Mace.load(tmp_path)


def test_words_become_those_of_json(small, tmp_path):
    kept = Mace(small.module, provenance={"error": np.float64(0.5), "spread": float("nan")})
    kept.save(tmp_path)
    assert Mace.load(tmp_path).provenance == {"error": 0.5, "spread": None}


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda f: _flip(f / "model.safetensors"), "sha256"),
        (lambda f: (f / "model.json").unlink(), "is not there"),
        (lambda f: (f / "model.json").write_text("{"), "does not describe a MACE model"),
        (lambda f: _change(f / "model.json", format="other"), "does not describe a MACE model"),
        (lambda f: _change(f / "model.json", **{"class": "os.system"}), "does not describe a MACE model"),
        (lambda f: (f / "model.json").write_text("[1]"), "does not describe a MACE model"),
        (lambda f: _change(f / "model.json", dtype="load"), "does not describe a MACE model"),
        (lambda f: _change(f / "model.json", dtype="float32"), "words_sha256"),
        (lambda f: _change(f / "model.json", head="pbe"), "words_sha256"),
        (lambda f: _change(f / "model.json", elements=["H", "Ge"]), "words_sha256"),
        (lambda f: _change(f / "model.json", cutoff=4.0), "words_sha256"),
        *(
            (lambda f, k=k: _forget(f / "model.json", k), f"lacks {k}; it has been edited")
            for k in (
                "head",
                "name",
                "provenance",
                "constructor",
                "dtype",
                "class",
                "elements",
                "cutoff",
                "sha256",
                "constructor_sha256",
                "words_sha256",
            )
        ),
        (lambda f: (_first_format(f / "model.json"), _forget(f / "model.json", "head")), "lacks head"),
        (lambda f: _constructor(f / "model.json", avg_num_neighbors=13.0), "constructor_sha256"),
        (lambda f: _constructor(f / "model.json", rehash=True, gate="no function"), "cannot be rebuilt"),
        (lambda f: _constructor(f / "model.json", rehash=True, num_bessel=3), "cannot be rebuilt"),
    ],
)
def test_damaged_files_are_refused(saved, tmp_path, damage, sentence):
    folder = tmp_path / "copy"
    shutil.copytree(saved, folder)
    damage(folder)
    with pytest.raises(MultiscaleError, match=sentence) as error:
        Mace.load(folder)
    assert "\n" not in str(error.value)


class Payload:
    """A pickle that does something when it is read."""

    def __reduce__(self):
        return (open, (str(Payload.target), "w"))


def test_a_pickle_is_read_only_on_trust(small, atoms, tmp_path):
    Payload.target = tmp_path / "executed"
    torch.save(Payload(), tmp_path / "trap.model")
    with pytest.raises(MultiscaleError, match="trust=True"):
        Mace.from_checkpoint(tmp_path / "trap.model")
    assert not Payload.target.exists()
    torch.save(small.module, tmp_path / "good.model")
    trusted = Mace.from_checkpoint(tmp_path / "good.model", trust=True)
    assert np.array_equal(ours(MLRegion(trusted, atoms))["forces"], ours(MLRegion(small, atoms))["forces"])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "is not there"),
        (b"no checkpoint at all", "cannot be read as a mace-torch checkpoint"),
        ({"model": {}, "optimizer": {}}, "a dictionary with model, optimizer"),
        (torch.nn.Linear(2, 2), "Linear"),
    ],
)
def test_unsuitable_checkpoints_are_refused(tmp_path, content, sentence):
    path = tmp_path / "some.model"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(MultiscaleError, match=sentence):
        Mace.from_checkpoint(path, trust=True)


def test_unsupported_parts_and_elements_are_refused_by_name(tiny, atoms):
    strange = copy.deepcopy(tiny.module)
    strange.joint_embedding = torch.nn.Identity()
    with pytest.raises(MultiscaleError, match="joint_embedding"):
        Mace(strange)
    strange = copy.deepcopy(tiny.module)
    strange.atomic_numbers[1] = 200
    with pytest.raises(MultiscaleError, match="200"):
        Mace(strange)
    strange = copy.deepcopy(tiny.module)
    for part in (strange.interactions[1], strange.products[0]):
        part.cueq_config = SimpleNamespace(enabled=True)
        with pytest.raises(MultiscaleError, match="cuequivariance or openequivariance kernels"):
            Mace(strange)
        part.cueq_config = SimpleNamespace(enabled=False)
    strange.interactions[0].oeq_config = SimpleNamespace(enabled=True)
    with pytest.raises(MultiscaleError, match="cuequivariance or openequivariance kernels"):
        Mace(strange)
    with pytest.raises(MultiscaleError, match=r"with SO\(3\) features \(use_so3\), which is not supported"):
        random_mace(use_so3=True, num_interactions=1, hidden_irreps="2x0e")
    with pytest.raises(MultiscaleError, match="chebyshev|Chebyshev"):
        random_mace(radial_type="chebyshev", num_interactions=1, hidden_irreps="2x0e")
    with pytest.raises(MultiscaleError, match="the head 'pbe' for a model with the heads Default"):
        Mace(tiny.module, head="pbe")
    with pytest.raises(MultiscaleError, match="element Cu"):
        MLRegion(tiny, bulk("Cu"))


def test_importing_mace_is_quiet_and_leaves_torch_safe():
    code = """
import os, pickle, tempfile, torch
from multiscale.models import Mace
assert "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD" not in os.environ
with tempfile.NamedTemporaryFile() as file:
    torch.save(os.getcwd, file.name)
    try:
        torch.load(file.name)
    except pickle.UnpicklingError:
        raise SystemExit(0)
raise SystemExit("torch.load has unpickled a function")
"""
    # Other tests run mace's own trainer in this process, which sets the variable again.
    clean = {k: v for k, v in os.environ.items() if k != "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=clean)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
