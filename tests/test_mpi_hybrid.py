"""Hybrids on real ranks: answers do not depend on their number, and one that fails ends all."""

import json
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from processes import mpi

pytest.importorskip("multiscale.continuum.laws", exc_type=ImportError)  # needs DOLFINx

SCRIPT = str(Path(__file__).parent / "mpi" / "hybrid_ranks.py")

pytestmark = [pytest.mark.alone, pytest.mark.skipif(shutil.which("mpirun") is None, reason="no mpirun here")]


def on(ranks, folder):
    done = mpi(ranks, SCRIPT, cwd=folder, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_every_coupler_gives_the_same_on_one_two_and_three_ranks(tmp_path):
    """At a fixed state, relative 1e-12: energy, forces, and the stiffness times a vector."""
    one = on(1, tmp_path)
    assert len(one) == 7
    for n in (2, 3):
        for name, b in on(n, tmp_path).items():
            a = one[name]
            assert b["same"], name
            assert (a["energy"] is None) == (b["energy"] is None) == (name.split()[0] in FORCES_ONLY)
            if a["energy"] is not None:
                assert b["energy"] == pytest.approx(a["energy"], rel=1e-12), name
            for what in ("forces", "stiffness"):
                scale = np.abs(a[what]).max()
                assert np.abs(np.subtract(b[what], a[what])).max() <= 1e-12 * scale, (name, what)


FORCES_ONLY = {"force_blend", "force_mixing", "sharp_pad"}


@pytest.mark.parametrize("size", [2, 3])
def test_a_rank_that_raises_inside_a_region_names_itself(tmp_path, size):
    start = time.monotonic()
    done = mpi(size, SCRIPT, "raise", cwd=tmp_path, timeout=60)
    assert done.returncode != 0 and "unreachable" not in done.stdout
    assert f"RuntimeError: planted in a region (rank {size - 1} of {size}, evaluating)" in done.stderr
    assert time.monotonic() - start < 40


def test_a_share_that_lacks_something_ends_the_run_on_all_ranks(tmp_path):
    """Only the rank that lacks it knows: it must not let the other wait for the sum."""
    start = time.monotonic()
    done = mpi(2, SCRIPT, "hollow", cwd=tmp_path, timeout=60)
    assert done.returncode != 0 and "unreachable" not in done.stdout
    assert "region 'ml' was asked for forces and returned none" in done.stderr
    assert time.monotonic() - start < 40


def test_a_killed_rank_ends_the_run(tmp_path):
    start = time.monotonic()
    done = mpi(2, SCRIPT, "kill", cwd=tmp_path, timeout=60)
    assert done.returncode != 0 and "unreachable" not in done.stdout
    assert time.monotonic() - start < 40


def test_an_ase_script_runs_alike_on_all_ranks(tmp_path):
    """ASE's BFGS on the calculator face: every rank takes the same steps, bit for bit, whatever their number."""
    found = []
    for ranks in (1, 2, 3):
        done = mpi(ranks, str(Path(__file__).parent / "mpi" / "ase_ranks.py"), cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        found.append(json.loads(done.stdout.splitlines()[-1]))
    assert all(f["same"] for f in found)
    assert [f["energy"] for f in found] == pytest.approx([found[0]["energy"]] * 3, rel=1e-12)
