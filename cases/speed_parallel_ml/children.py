"""Processes that are asked one question after another, each in an environment of its own.

    case  →  [ worker | worker under mpirun -n 2 | … ]      a line in, a line out, one of them at a time

Whoever is not asked sleeps: the contestants are timed in turn, in one run, and what else the machine does meets all of them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from multiscale.regions.launching import without_launcher
from multiscale.types import MultiscaleError

ROOT = Path(__file__).resolve().parents[2]
WORKER = Path(__file__).resolve().with_name("worker.py")
#: Read by glibc when a process starts: keep what is freed instead of giving it back to the system and asking for it again.
KEEPING = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "100000000000",
    "MALLOC_TOP_PAD_": "268435456",
}


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without its launcher's variables and allocator's settings, one thread, and ``extra``."""
    kept = {k: v for k, v in without_launcher(os.environ).items() if not k.startswith("MALLOC_")}
    return kept | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "VENV": sys.prefix} | dict(extra or {})


class Worker:
    """A worker; ends with the ``with`` block.

    Parameters
    ----------
    name : str
        For messages.
    ranks : int
        Zero for a process that no launcher starts; else ``scripts/mpi.sh`` starts so many.
    extra : mapping, optional
        Variables of its environment.
    """

    def __init__(self, name: str, ranks: int = 0, extra: Mapping[str, str] | None = None) -> None:
        self.name = name
        command = [sys.executable, str(WORKER)]
        if ranks:
            command = ["bash", str(ROOT / "scripts" / "mpi.sh"), str(ranks), str(WORKER)]
        # Not a pipe, which a talkative library fills while nobody reads.
        self._said = tempfile.TemporaryFile("w+", encoding="utf-8")
        self._process = subprocess.Popen(
            command, env=environment(extra), text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said
        )

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if error is not None:
            self._process.terminate()
        self._process.communicate()
        self._said.close()

    def ask(self, who: str, kind: str, cells: Sequence[int], steps: Sequence[int]) -> dict[str, Any]:
        """Evaluate at these steps; what ``worker.py`` answers.

        Raises
        ------
        MultiscaleError
            When the worker has ended, with the last of what it said.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        command = {"who": who, "kind": kind, "cells": list(cells), "steps": list(steps)}
        try:
            self._process.stdin.write(json.dumps(command) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self._process.wait()
            self._said.seek(0)
            said = self._said.read().strip()[-800:]
            raise MultiscaleError(f"the worker '{self.name}' ended at {command}: {said}")
        answer: dict[str, Any] = json.loads(line)
        return answer
