"""The three laws of CONTRIBUTING.md, and for each a planted violation that the check must catch."""

from pathlib import Path

import pytest
from architecture import cycles, importers, modules, strays, unlisted

ROOT = Path(__file__).resolve().parents[1]
FEM = ("multiscale/continuum/*", "multiscale/regions/continuum.py")

#: Through which files each heavy library may enter.
DOORS = {
    # dolfinx_compat imports torch for the order alone: torch has to come first.
    "torch": (
        "multiscale/benchmark.py",
        "multiscale/models/*",
        "multiscale/learning/*",
        "multiscale/regions/ml.py",
        "multiscale/regions/hessian.py",
        "multiscale/regions/tb_fermi.py",
        "multiscale/regions/tb_integrals.py",
        "multiscale/regions/tb_model.py",
        "multiscale/regions/tb_response.py",
        "multiscale/regions/tight_binding.py",
        "multiscale/continuum/dolfinx_compat.py",
    ),
    "mpi4py": ("multiscale/ranks.py", "multiscale/continuum/dolfinx_compat.py"),
    "dolfinx": FEM,
    "petsc4py": (*FEM, "multiscale/drive/linear.py"),
    "ufl": FEM,
    "basix": FEM,
    "ffcx": FEM,
    "gmsh": FEM,
    "meshio": FEM,
    "ase": (
        "multiscale/calculator.py",
        "multiscale/neb.py",
        "multiscale/output.py",
        "multiscale/regions/*",
        "multiscale/models/*",
        "multiscale/fracture/*",
        "multiscale/adhesion/*",
        "multiscale/testing/*",
        "multiscale/learning/*",
    ),
    "mace": ("multiscale/models/mace_file.py",),
    "e3nn": ("multiscale/models/mace_file.py",),
    "safetensors": ("multiscale/models/mace_file.py",),
    "metatomic": ("multiscale/models/metatomic.py",),
    "metatensor": ("multiscale/models/metatomic.py",),
    "dxtb": ("multiscale/regions/tb_integrals.py", "multiscale/regions/tb_model.py"),
    "tad_mctc": ("multiscale/regions/tb_model.py",),
    "tblite": ("multiscale/regions/engines.py",),
    "pyscf": ("multiscale/regions/pyscf_engine.py",),
    "vesin": ("multiscale/neighbours.py", "multiscale/models/*"),
}

#: All that a coupler may import.
NUMPY_AND_THE_VOCABULARY = {
    "__future__",
    "collections.abc",
    "dataclasses",
    "numpy",
    "typing",
    "multiscale.coupler",
    "multiscale.region",
    "multiscale.interface",
    "multiscale.types",
}


def plant(root: Path, **sources: str) -> dict[str, Path]:
    for name, text in sources.items():
        path = root / "multiscale" / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return modules(root, "multiscale")


def test_there_are_modules_to_check():
    assert {"multiscale", "multiscale.region", "couplers.energy_blend"} <= modules(
        ROOT, "multiscale", "couplers"
    ).keys()


def test_no_import_cycles():
    assert cycles(modules(ROOT, "multiscale", "couplers")) == []


def test_heavy_libraries_enter_through_their_doors():
    assert strays(modules(ROOT, "multiscale", "couplers"), ROOT, DOORS) == []


def test_the_framework_does_not_know_its_couplers():
    assert importers(modules(ROOT, "multiscale"), "couplers") == []


def test_couplers_are_numpy():
    assert unlisted(modules(ROOT, "couplers"), NUMPY_AND_THE_VOCABULARY) == []


@pytest.mark.parametrize(
    "importing",
    ["from .a import x\n", "from . import a\n", "import multiscale.a\n", "def f():\n    from .a import x\n"],
)
def test_a_planted_cycle_is_caught(tmp_path, importing):
    files = plant(tmp_path, __init__="", a="from .b import y\nx = 1\n", b=f"{importing}y = 1\n")
    assert cycles(files) == [["multiscale.a", "multiscale.b"]]


def test_imports_for_types_alone_are_no_cycle(tmp_path):
    typing = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .a import x\n"
    assert cycles(plant(tmp_path, __init__="", a="from .b import y\n", b=typing)) == []


@pytest.mark.parametrize(
    "importing",
    [
        "import torch\n",
        "import torch.nn as nn\n",
        "def f():\n    from torch import nn\n",
        "try:\n    import torch\nexcept ImportError:\n    pass\n",
        "from importlib import import_module\nimport_module('torch')\n",
    ],
)
def test_a_planted_heavy_import_is_caught(tmp_path, importing):
    files = plant(tmp_path, region=importing)
    assert strays(files, tmp_path, DOORS) == ["multiscale/region.py imports torch"]


def test_a_planted_import_of_couplers_is_caught(tmp_path):
    files = plant(tmp_path, model="def f():\n    from couplers.energy_blend import EnergyBlend\n")
    assert importers(files, "couplers") == ["multiscale.model imports couplers.energy_blend"]


@pytest.mark.parametrize("importing", ["mpi4py", "torch", "ase", "multiscale.ranks", "scipy"])
def test_a_planted_import_in_a_coupler_is_caught(tmp_path, importing):
    (tmp_path / "couplers").mkdir()
    (tmp_path / "couplers" / "mine.py").write_text(f"import numpy as np\nimport {importing}\n")
    assert unlisted(modules(tmp_path, "couplers"), NUMPY_AND_THE_VOCABULARY) == [f"couplers.mine imports {importing}"]
