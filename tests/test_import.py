"""`import multiscale` is light, works without the heavy libraries, and names what is missing."""

import doctest
import subprocess

import pytest
from processes import python

from multiscale.lazy import REMEDIES, lazy
from multiscale.types import MissingPackage

HEAVY = (
    "torch",
    "dolfinx",
    "petsc4py",
    "mpi4py",
    "ase",
    "mace",
    "tblite",
    "vesin",
    "matplotlib",
    "scipy",
    "rich",
    "typer",
)

BLOCK = f"""
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {HEAVY!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocker())
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    return python("-c", code)


def test_import_loads_nothing_heavy():
    done = run(f"import sys, multiscale; print([m for m in {HEAVY!r} if m in sys.modules])")
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_import_works_without_heavy_libraries():
    done = run(BLOCK + "import multiscale, multiscale.regions; print(multiscale.Query, multiscale.Sphere.__name__)")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("region", "library"), [("MLRegion", "ase|torch|vesin"), ("QMRegion", "ase|tblite")])
def test_a_region_names_what_is_missing(region, library):
    code = (
        f"try:\n    from multiscale.regions import {region}\nexcept ImportError as e:\n    print(type(e).__name__, e)"
    )
    done = run(BLOCK + code)
    assert done.stdout.startswith("MissingPackage"), done.stdout + done.stderr
    assert any(f"'{name}'" in done.stdout for name in library.split("|")) and "make setup" in done.stdout


def test_a_missing_torch_is_named():
    block = BLOCK.replace(repr(HEAVY), "('torch',)")
    code = "try:\n    from multiscale.regions import MLRegion\nexcept ImportError as e:\n    print(e)"
    done = run(block + code)
    assert "'torch'" in done.stdout and "ml" in done.stdout and len(done.stdout.strip().splitlines()) == 1


def test_every_public_name_can_be_had():
    done = run("import multiscale\nfor n in multiscale.__all__: getattr(multiscale, n)\nprint(set(dir(multiscale)))")
    assert done.returncode == 0, done.stderr


def test_an_unknown_name_is_an_attribute_error():
    import multiscale

    with pytest.raises(AttributeError, match="has no attribute 'Sphear'"):
        multiscale.Sphear  # noqa: B018


def test_a_fault_in_our_own_code_is_not_called_a_missing_package():
    getter, _ = lazy("multiscale", {"Nothing": ".no_such_module"})
    with pytest.raises(ModuleNotFoundError) as caught:
        getter("Nothing")
    assert not isinstance(caught.value, MissingPackage)


def test_every_remedy_says_how():
    assert all("make setup" in text or "install" in text for text in REMEDIES.values())


@pytest.mark.parametrize("module", ["lazy", "expect", "ranks", "case", "registry"])
def test_examples_in_docstrings_run(module):
    import importlib

    failures, tried = doctest.testmod(importlib.import_module(f"multiscale.{module}"))
    assert tried > 0 and failures == 0
