"""Runs scripts in processes of their own, serially or on ranks, as a user would."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: s; a guard against what hangs, generous because ranks share the cores with other tests.
HANGS = 240


def python(*arguments: str, cwd: Path | None = None, timeout: float = HANGS) -> subprocess.CompletedProcess[str]:
    """Run this interpreter on the arguments."""
    return _run([sys.executable, *arguments], cwd, timeout)


def mpi(
    ranks: int, *arguments: str, cwd: Path | None = None, timeout: float = HANGS
) -> subprocess.CompletedProcess[str]:
    """Run a script on ranks, with the environment of this interpreter."""
    return _run(["bash", str(ROOT / "scripts" / "mpi.sh"), str(ranks), *arguments], cwd, timeout)


def _run(command: list[str], cwd: Path | None, timeout: float) -> subprocess.CompletedProcess[str]:
    # The environment as Python found it: what an MPI started inside this process has added is left out.
    environment = dict(os.environ) | {"VENV": sys.prefix, "COLUMNS": "160"}
    return subprocess.run(
        command,
        cwd=cwd,
        env=environment,
        timeout=timeout,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
