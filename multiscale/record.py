"""``result.json`` while a case runs: written anew after every quantity, so that an interrupted run has lost nothing."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .environment import versions
from .expect import Expect
from .output import plain, write_json
from .types import MultiscaleError

#: Beside ``result.json`` when a run has failed: the whole message. Its existence decides which rank speaks.
ERROR = "error.txt"

#: s; longer than writing ``result.json`` takes.
WRITING = 0.2


class Record:
    """The content of ``result.json``.

    Parameters
    ----------
    path : Path
        The file.
    case, size : str
        What runs.
    ranks : int
        How many ranks run it.
    expectations : iterable of Expect
        Those that hold for this size.
    writes : bool
        Whether this rank writes the file; the others only keep count.
    """

    def __init__(
        self, path: Path, case: str, size: str, ranks: int, expectations: Iterable[Expect] = (), writes: bool = True
    ):
        self.path, self.writes = path, writes
        self.expectations = {e.quantity: e for e in expectations}
        self.data: dict[str, Any] = {
            "case": case,
            "size": size,
            "status": "running",
            "ranks": ranks,
            "devices": [],
            "versions": versions(),
            "quantities": {},
            "timings": {},
            "memory_MiB": None,
            "citations": [],
        }

    def quantity(self, name: str, value: Any, unit: str = "") -> bool | None:
        """Enter a measured quantity, judge it and write the file; None where nothing is expected of it."""
        expected = self.expectations.get(name)
        entry = _judged(expected, value, unit)
        self.data["quantities"][name] = entry
        self.write()
        return entry["ok"]

    def cite(self, *references: str) -> None:
        """Add references, each once."""
        self.data["citations"] = list(dict.fromkeys([*self.data["citations"], *references]))

    def finish(self) -> bool:
        """Enter what was expected but never measured as missed, and close the file; whether all is as expected."""
        for name in self.expectations:
            if name not in self.data["quantities"]:
                self.quantity(name, None)
        self.data["status"] = "done"
        self.write()
        return all(entry["ok"] is not False for entry in self.data["quantities"].values())

    def write(self) -> None:
        """Write the file, on the rank that does."""
        if not self.writes:
            return
        if (self.path.parent / ERROR).exists():
            # Another rank has failed and this one does not know it yet; the file must not say otherwise.
            self.data["status"] = "failed"
        write_json(self.path, self.data)


def _judged(expected: Expect | None, value: Any, unit: str) -> dict[str, Any]:
    if expected is None:
        return {"value": plain(value), "unit": unit, "expected": None, "tolerance": None, "source": None, "ok": None}
    return {
        "value": plain(value),
        "unit": unit or expected.unit,
        "expected": plain(expected.value),
        "tolerance": expected.margin if expected.kind == "near" else expected.kind,
        "source": expected.source,
        "ok": expected.met(value),
    }


def explain(error: BaseException) -> str:
    """What went wrong: the sentence of an error of ours, the whole traceback of any other."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, MultiscaleError):
        return str(error)
    return "".join(traceback.format_exception(error)).rstrip()


def claim_failure(folder: Path, message: str) -> bool:
    """Write ``error.txt`` and close ``result.json`` as failed; False when another rank was first.

    The file's existence decides who speaks: ranks that fail together cannot ask one another any more.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / ERROR, "x", encoding="utf-8") as file:
            file.write(message + "\n")
    except FileExistsError:
        return False
    except OSError:
        return True
    # Rank 0 may be writing; whatever it writes from now on says that the run has failed.
    time.sleep(WRITING)
    path = folder / "result.json"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        write_json(path, data | {"status": "failed", "error": message.splitlines()[-1]})
    except (OSError, ValueError):
        pass  # Nothing was written yet, or nothing can be: the message on the screen is what remains.
    return True
