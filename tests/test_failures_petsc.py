"""An uncaught exception ends all ranks, also after PETSc has been started."""

import shutil
import time
from pathlib import Path

import pytest
from processes import mpi

pytestmark = pytest.mark.alone


@pytest.mark.skipif(shutil.which("mpirun") is None, reason="no mpirun here")
@pytest.mark.parametrize("size", [2, 3])
def test_an_exception_beside_petsc_ends_all(tmp_path, size):
    """Not a hang in PETSc's collective finalisation."""
    started = time.monotonic()
    done = mpi(size, str(Path(__file__).parent / "mpi" / "petsc_script.py"), cwd=tmp_path, timeout=60)
    assert done.returncode != 0 and "planted after PETSc was started" in done.stderr
    assert time.monotonic() - started < 30
