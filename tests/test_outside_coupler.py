"""The tutorial's coupler: a package of its own, found by its entry point and held to its claims like a built-in one."""

from __future__ import annotations

import pytest
from outside import install, python

NAME = "balanced_force_blend"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    return install("outside_coupler", tmp_path_factory.mktemp("coupler"))


def check(path):
    return python(["-m", "multiscale.cli", "check", NAME], path)


def test_the_registry_finds_it_by_its_entry_point(installed):
    code = f"from multiscale import registry; print(registry.coupler('{NAME}').__module__)"
    done = python(["-c", code], installed)
    assert done.stdout.strip() == "balanced_coupling", done.stderr
    assert f"no coupler is called '{NAME}'" in python(["-c", code]).stderr


def test_it_passes_every_check(installed):
    done = check(installed)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "checks hold" in done.stdout


def test_pytest_examines_it_with_the_others(installed):
    """``pytest --pyargs multiscale.testing`` picks it up without being told."""
    wanted = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--pyargs", "multiscale.testing", "-k", NAME]
    done = python(wanted, installed)
    assert done.returncode == 0 and "12 passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("true", "false", "sentence"),
    [
        ("momentum=True", "momentum=False", "it holds, so it must be claimed"),
        ("conservative=False", "conservative=True", "claims to be conservative without an energy"),
        ("forces -= share", "forces -= 0.5 * share", "claimed, but it does not hold"),
    ],
    ids=["claims too little", "claims too much", "breaks its claim"],
)
def test_a_wrong_claim_is_reported(installed, tmp_path, true, false, sentence):
    source = (installed / "balanced_coupling.py").read_text(encoding="utf-8")
    assert true in source
    # In front of the installed module: the entry point is the same, the class is not.
    (tmp_path / "balanced_coupling.py").write_text(source.replace(true, false), encoding="utf-8")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        f"from multiscale.cli import app; sys.argv = ['multiscale', 'check', '{NAME}']; app()"
    )
    done = python(["-c", code], installed)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "✗" in done.stdout and sentence in " ".join(done.stdout.split())
