"""Nothing hangs: whatever happens on one rank, all ranks end within seconds, non-zero, and the message comes once."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from processes import mpi, python

from multiscale import ranks
from multiscale.types import MultiscaleError

pytestmark = pytest.mark.alone

SCRIPTS = Path(__file__).parent / "mpi"
FAILS = str(SCRIPTS / "one_rank_fails.py")

needs_mpi = pytest.mark.skipif(shutil.which("mpirun") is None, reason="no mpirun here")


def record(folder):
    return json.loads((folder / "results" / "one_rank_fails" / "result.json").read_text())


@needs_mpi
@pytest.mark.parametrize("size", [2, 3])
def test_an_exception_on_one_rank_ends_all(tmp_path, size):
    # Only the timeout of the subprocess shows a hang; a failing run itself takes a second or two.
    done = mpi(size, FAILS, "--how", "exception", cwd=tmp_path, timeout=20)
    assert done.returncode != 0
    assert f"failed on rank 1 of {size}" in done.stderr and done.stderr.count("RuntimeError: planted") == 1
    found = record(tmp_path)
    assert found["status"] == "failed" and found["quantities"]["answer"]["value"] == 42


@needs_mpi
def test_a_rank_that_fails_while_rank_0_writes(tmp_path):
    done = mpi(2, FAILS, "--how", "early", cwd=tmp_path, timeout=20)
    assert done.returncode != 0 and done.stderr.count("RuntimeError: planted") == 1
    assert record(tmp_path)["status"] == "failed"


@needs_mpi
def test_an_error_on_all_ranks_is_said_once(tmp_path):
    done = mpi(3, FAILS, "--how", "sentence", "--rank", "-1", cwd=tmp_path, timeout=20)
    assert done.returncode != 0
    assert done.stderr.count("planted sentence") == 1 and "Traceback" not in done.stderr


@needs_mpi
def test_a_rank_that_is_killed_ends_all(tmp_path):
    done = mpi(2, FAILS, "--how", "death", cwd=tmp_path, timeout=20)
    assert done.returncode != 0
    assert record(tmp_path)["quantities"]["answer"]["value"] == 42


@needs_mpi
def test_a_plain_script_ends_too(tmp_path):
    done = mpi(2, str(SCRIPTS / "plain_script.py"), cwd=tmp_path, timeout=20)
    assert done.returncode != 0 and "planted in a plain script" in done.stderr


@needs_mpi
def test_a_good_run_on_ranks(tmp_path):
    done = mpi(2, FAILS, cwd=tmp_path, timeout=20)
    assert done.returncode == 0, done.stderr
    found = record(tmp_path)
    assert (found["ranks"], found["status"], len(found["devices"])) == (2, "done", 2)
    assert done.stdout.count("answer = 42") == 1


def test_ctrl_c_ends_a_serial_run(tmp_path):
    run = subprocess.Popen(
        [sys.executable, FAILS, "--how", "wait", "--rank", "0"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ),
        # A suite started in the background hands on that it does not hear SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert run.stdout is not None
    for line in run.stdout:
        if line.startswith("answer"):
            break
    time.sleep(0.3)
    run.send_signal(signal.SIGINT)
    _, said = run.communicate(timeout=10)
    assert run.returncode == 130 and "interrupted" in said and "Traceback" not in said
    assert record(tmp_path)["status"] == "failed"


def test_a_failing_serial_run(tmp_path):
    done = python(FAILS, "--how", "exception", "--rank", "0", cwd=tmp_path)
    assert done.returncode == 2 and "RuntimeError: planted" in done.stderr
    folder = tmp_path / "results" / "one_rank_fails"
    assert "RuntimeError: planted" in (folder / "error.txt").read_text()
    assert python(FAILS, cwd=tmp_path).returncode == 0 and not (folder / "error.txt").exists()


def test_mpirun_without_mpi4py_is_refused(monkeypatch):
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(MultiscaleError, match="one of 2 that an MPI launcher started"):
        ranks.world()


def test_no_launcher_is_one_rank(monkeypatch):
    for name in ranks.LAUNCHERS:
        monkeypatch.delenv(name, raising=False)
    alone = ranks.world()
    assert (alone.rank, alone.size, alone.comm) == (0, 1, None)
    assert alone.gather("x") == ["x"] and alone.bcast("x") == "x" and alone.allreduce_max(2.0) == 2.0
