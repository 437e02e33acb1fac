"""Packages of outside developers, installed into a folder of their own and used by another process."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "docs" / "examples"


def install(name: str, tmp: Path) -> Path:
    """Install ``docs/examples/NAME`` into a fresh folder, offline; the source is copied, for builds leave traces."""
    source, target = tmp / "source", tmp / "installed"
    shutil.copytree(EXAMPLES / name, source)
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    done = python(["-m", "pip", "install", *options, "--target", str(target), str(source)])
    assert done.returncode == 0, done.stdout + done.stderr
    return target


def python(arguments: list[str], path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run Python with ``path`` in front of the installed packages."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    if path is not None:
        environment["PYTHONPATH"] = os.pathsep.join([str(path), str(ROOT)])
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=200)
