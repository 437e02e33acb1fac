"""What set-up installs: every optional library has an extra, a constraint on every platform, and a check that it can be imported."""

import re
import tomllib

import pytest
from processes import ROOT

EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
#: Distributions whose builds have to fit the others, by the module they are imported as.
COMPILED = {
    "dxtb": "dxtb", "mace.modules": "mace-torch", "metatomic.torch": "metatomic-torch", "phonopy": "phonopy", "pyscf": "pyscf",
    "safetensors": "safetensors", "tblite": "tblite", "vesin": "vesin",
}  # fmt: skip


def name(requirement):
    return re.split(r"[\[<>=!~ ;]", requirement)[0].lower().replace("_", "-")


def wanted(extra):
    """Distributions of an extra and of the extras that it names."""
    found = set()
    for requirement in EXTRAS[extra]:
        if name(requirement) == "multiscale-coupling":
            found |= set().union(*map(wanted, re.search(r"\[(.*)\]", requirement)[1].split(",")))
        else:
            found.add(name(requirement))
    return found


def test_all_is_all_and_most_is_all_but_dxtb():
    assert wanted("all") == {name(r) for group in EXTRAS.values() for r in group} - {"multiscale-coupling"}
    assert wanted("all") - wanted("most") == {"dxtb"}
    assert set(COMPILED.values()) <= wanted("all")


@pytest.mark.parametrize("path", sorted((ROOT / "constraints").glob("*.txt")), ids=lambda p: p.stem)
def test_every_platform_constrains_them(path):
    pins = [name(line) for line in path.read_text().splitlines() if line[:1].isalpha()]
    assert len(set(pins)) == len(pins)
    assert set(COMPILED.values()) | {"tad-mctc", "tad-dftd3", "tad-dftd4", "tad-multicharge"} <= set(pins)


def test_set_up_checks_that_they_can_be_imported():
    body = re.search(r"^check\(\) \{\n(.*?)^\}", (ROOT / "scripts" / "setup.sh").read_text(), re.M | re.S)[1]
    assert set(COMPILED) <= set(re.findall(r"[\w.]+", body))
