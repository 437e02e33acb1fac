"""The second stage of continuous integration: what it refuses, what it lets pass, what it fails; with stand-ins for all that needs root."""

import os
import re
import shutil
import subprocess

import pytest
from processes import ROOT

SCRIPT = ROOT / "scripts" / "debian13.sh"
TOOLS = "awk bash basename cat chmod cp cut df dirname flock git grep mkdir mktemp mv readlink rm sed sh tail tar tee timeout touch uname"
STANDINS = {
    "id": "echo ${STANDIN_ID:-0}",
    "apt-config": "true",
    "chroot": "mkdir -p $1/usr/bin",
    # Everything that would enter a namespace: answers by what it is asked to run.
    "unshare": """
while case $1 in --*) true;; *) false;; esac; do shift; done
case "$*" in
true) exit ${STANDIN_UNSHARE:-0};;
debootstrap*) exec "$@";;
*setup.sh*) echo "$STANDIN_SETUP_SAYS"; exit ${STANDIN_SETUP:-0};;
*pytest*) echo "ran: $*"; exit ${STANDIN_TESTS:-0};;
*) echo versions;;
esac""",
    "debootstrap": """
[ -z "$STANDIN_DEBOOTSTRAP_SAYS" ] || { mkdir -p "$3/half"; echo "$STANDIN_DEBOOTSTRAP_SAYS"; exit 1; }
echo made >>"${3%/*}/made"
mkdir -p "$3/etc/dpkg/dpkg.cfg.d" "$3/etc/apt/apt.conf.d" "$3/usr/sbin" "$3/tmp\"""",
}


def stand_in(folder, name, body):
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


@pytest.fixture
def stage(tmp_path):
    """Runs the script with a PATH of stand-ins and plain tools only: no apt, no debootstrap, no namespace of the machine's."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in TOOLS.split():
        (folder / name).symlink_to(shutil.which(name))
    for name, body in STANDINS.items():
        stand_in(folder, name, body)

    def run(*arguments, without=(), **settings):
        for name in without:
            (folder / name).unlink()
        environment = {"PATH": str(folder), "HOME": str(tmp_path), "MULTISCALE_ROOTS": str(tmp_path / "roots")}
        environment |= {f"STANDIN_{k}": str(v) for k, v in settings.items()}
        return subprocess.run(
            ["bash", str(SCRIPT), *arguments], env=environment, capture_output=True, text=True, timeout=60, check=False
        )

    run.roots, run.bin = tmp_path / "roots", folder
    return run


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"ID": 1000}, "needs root"),
        ({"UNSHARE": 1}, r"does not let root mount anything in a namespace of its own"),
        ({"without": ["debootstrap"]}, "debootstrap is not installed, and there is no apt"),
        (
            {"DEBOOTSTRAP_SAYS": "E: Failed getting release file"},
            "debootstrap could not make the root.*Failed getting release file",
        ),
        (
            {"SETUP": 1, "SETUP_SAYS": "Err:1 Could not resolve the mirror"},
            "the network failed while packages were installed",
        ),
        ({"SETUP": 1, "SETUP_SAYS": "NewConnectionError: Connection refused"}, "the network failed"),
        ({"SETUP": 137}, "set-up in the root did not end within"),
        ({"SETUP": 125}, "does not allow the mounts"),
    ],
)
def test_what_cannot_be_done_here_is_skipped_with_one_line(stage, settings, reason):
    done = stage(**settings)
    assert done.returncode == 0
    last = done.stdout.splitlines()[-1]
    assert re.fullmatch(f"debian13: skipped: .*{reason}.*", last)
    assert "ran:" not in done.stdout
    assert not list(stage.roots.glob("*/half"))


def test_too_small_a_disk_is_refused_before_anything_is_made(stage):
    (stage.bin / "df").unlink()
    stand_in(stage.bin, "df", "echo header; echo disk 9000000 6000000 3000000 67% /")
    done = stage()
    assert done.returncode == 0 and "needs 7 GB" in done.stdout and "has 3 GB" in done.stdout
    assert not (stage.roots / "made").exists()


def test_apt_that_cannot_install_debootstrap_is_a_skip(stage):
    stand_in(stage.bin, "apt-get", "echo 'E: Unable to locate package debootstrap'; exit 100")
    done = stage(without=["debootstrap"])
    assert done.returncode == 0
    assert "apt could not install it: E: Unable to locate package debootstrap" in done.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"SETUP": 1, "SETUP_SAYS": "ERROR: No matching distribution found for a==1"},
            "set-up does not work on trixie",
        ),
        ({"TESTS": 1}, ""),
        ({"TESTS": 2}, ""),
        ({"TESTS": 5}, ""),
        ({"TESTS": 137}, "the tests did not end within"),
    ],
)
def test_what_does_not_work_fails(stage, settings, said):
    done = stage(**settings)
    assert done.returncode not in (0, 137)
    assert said in done.stderr
    assert "skipped" not in done.stdout


def test_the_root_is_made_once_and_again_after_a_set_up_that_failed(stage):
    assert stage(SETUP=1, SETUP_SAYS="no").returncode == 1
    assert stage().returncode == 0
    assert stage().returncode == 0
    assert (stage.roots / "made").read_text().count("made") == 2
    copy = stage.roots / "trixie" / "multiscale"
    assert (copy / "scripts" / "debian13.sh").read_bytes() == SCRIPT.read_bytes()
    assert (copy / "multiscale" / "continuum" / "dolfinx_compat.py").exists()
    assert not (copy / ".venv").exists() and not (copy / ".git").exists()


def test_the_default_tests_exist_and_others_can_be_named(stage):
    ran = next(line for line in stage().stdout.splitlines() if line.startswith("ran:"))
    files = re.findall(r"tests/\w+\.py", ran)
    assert len(files) >= 10
    assert [f for f in files if not (ROOT / f).exists()] == []
    ran = next(line for line in stage("sid", "tests/test_kfield.py").stdout.splitlines() if line.startswith("ran:"))
    assert re.findall(r"tests/\w+\.py", ran) == ["tests/test_kfield.py"]
    assert (stage.roots / "sid" / "multiscale").is_dir()


@pytest.mark.parametrize(
    ("first", "second", "status", "last"),
    [
        ("'7 passed in 1.00s'", "'4 passed, 1 skipped in 2.00s'", 0, "ci: 11 passed, 0 failed, 1 skipped"),
        ("'7 passed in 1.00s'", "'debian13: skipped: no root'", 0, "ci: 7 passed, 0 failed, 0 skipped"),
        ("'7 passed in 1.00s'", "'1 failed, 3 passed in 2.00s' 1", 2, "ci: 10 passed, 1 failed, 0 skipped"),
        ("'7 passed, 2 errors in 61.00s (0:01:01)' 1", "'4 passed in 2.00s'", 2, "ci: 11 passed, 2 failed, 0 skipped"),
    ],
)
def test_continuous_integration_runs_both_and_ends_with_the_sum(tmp_path, first, second, status, last):
    """The status is that of the first failure."""
    (tmp_path / "ran").write_text("")
    say = f'say() {{ echo "$1"; echo "$last" >>{tmp_path}/ran; exit $((${{2:-0}} * 2)); }}'
    stand_in(
        tmp_path,
        "make",
        f"{say}\nfor last; do :; done\ncase $last in test) say {first};; test-debian13) say {second};; esac",
    )
    environment = dict(os.environ) | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", str(ROOT / ".ci" / "run")], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout.splitlines()[-1]) == (status, last)
    assert (tmp_path / "ran").read_text().split() == ["test", "test-debian13"]
