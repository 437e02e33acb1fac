"""The command line, as a user types it."""

import json

import pytest
from processes import ROOT, python
from typer.testing import CliRunner

from multiscale import __version__, catalogue
from multiscale.cli import app
from multiscale.types import MultiscaleError

CASE = '''"""A case to be found.

With a longer text.
"""
from multiscale.case import Case, Expect

class Found(Case):
    """A case to be found."""
    sizes = {"tiny": {"n": 1}, "small": {"n": 2}, "full": {"n": 3}}
    benchmark = True
    expectations = (Expect("n", 3, source="arithmetic", sizes=("small", "full")),)
    def build(self, run):
        return run.settings["n"]
    def measure(self, run, model):
        run.record("n", model)

if __name__ == "__main__":
    Found().main()
'''


@pytest.fixture
def here(tmp_path, monkeypatch):
    folder = tmp_path / "cases" / "found"
    folder.mkdir(parents=True)
    (folder / "case.py").write_text(CASE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(catalogue, "folders", lambda: [tmp_path / "cases"])
    return tmp_path


def invoke(*arguments):
    return CliRunner().invoke(app, list(arguments))


def test_version():
    assert invoke("--version").output.strip() == __version__


def test_the_list_of_cases(here):
    said = invoke("cases").output
    assert "found" in said and "tiny, small, full (benchmark)" in said and "A case to be found." in said
    assert "longer" not in said


def test_listing_needs_no_import(here):
    (here / "cases" / "found" / "case.py").write_text("import no_such_package\n" + CASE)
    assert "found" in invoke("cases").output


@pytest.mark.parametrize(("size", "code"), [("tiny", 0), ("small", 1), ("full", 0)])
def test_run_by_name(here, size, code):
    done = invoke("run", "found", "--size", size, "--out", "here")
    assert done.exit_code == code, done.output
    assert json.loads((here / "here" / "result.json").read_text())["case"] == "found"


def test_run_by_path(here):
    assert invoke("run", "cases/found/case.py", "--size", "full").exit_code == 0
    assert invoke("run", "cases/found", "--n", "5").exit_code == 0
    assert (here / "results" / "found" / "result.json").exists()


def test_an_unknown_case_is_one_sentence(here):
    done = invoke("run", "nope")
    assert done.exit_code == 2 and "there is no case 'nope'; known here: found" in done.output


def test_bench_judges(here):
    for size, code in (("full", 0), ("small", 1)):
        done = python("-m", "multiscale.cli", "bench", "found", "--size", size, cwd=here)
        assert done.returncode == code, done.stdout + done.stderr


def test_a_script_without_a_case_is_refused(here):
    (here / "other.py").write_text("x = 1\n")
    with pytest.raises(MultiscaleError, match="must define one subclass of Case, it defines 0"):
        catalogue.load(here / "other.py")


def test_check_prints_what_was_measured():
    done = invoke("check", "energy_blend", "--only", "purity")
    assert done.exit_code == 0, done.output
    assert "measured" in done.output and "1 of 1 checks hold" in done.output


def test_checking_an_unknown_coupler_lists_the_others():
    done = invoke("check", "nope")
    assert done.exit_code == 2 and "energy_blend" in done.output


def test_doctor():
    done = python("-m", "multiscale.cli", "doctor")
    assert done.returncode in (0, 1), done.stderr
    for topic in ("python", "numpy", "torch", "dolfinx", "mpirun", "cores", "couplers"):
        assert topic in done.stdout


def test_doctor_says_what_is_missing(monkeypatch):
    from multiscale import doctor

    monkeypatch.setattr(doctor, "_present", lambda name: name != "torch")
    (finding,) = [f for f in doctor.examine() if f.state == "missing"]
    assert finding.topic == "torch" and "make setup" in finding.text


@pytest.mark.parametrize(
    ("numpy", "mpi4py", "topics"),
    [("1.26.4", "3.1.4", []), ("2.2.0", "3.1.4", ["numpy"]), ("1.26.4", "4.1.2", ["mpi4py"])],
)
def test_doctor_warns_of_what_does_not_go_together(monkeypatch, numpy, mpi4py, topics):
    from multiscale import doctor

    installed = {"dolfinx": "0.5.2", "numpy": numpy, "mpi4py": mpi4py}
    monkeypatch.setattr(doctor, "version", installed.get)
    assert [f.topic for f in doctor._clashes()] == topics


def test_the_cases_of_this_repository_can_be_read():
    for card in catalogue.cards([ROOT / "cases"]).values():
        assert card.summary and card.sizes, card
