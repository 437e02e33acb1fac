"""One run of a case: what it measures goes to ``result.json``, the screen and files, at once and on rank 0 alone."""

from __future__ import annotations

import contextlib
import resource
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from .expect import Expect
from .model import HybridModel
from .output import plain, write_atoms
from .protocol import Model
from .ranks import World, device
from .record import Record
from .screen import Screen

T = TypeVar("T")


class Run:
    """One run of a case, handed to its methods.

    Attributes
    ----------
    title, size : str
        The case's name and ``"small"``, ``"full"``, … (with the settings that differ from the size's own).
    settings : mapping
        The size's settings, with what was given on the command line in their place.
    out : Path
        The folder for files.
    world : World
        All ranks of this run.
    first : bool
        Whether this is rank 0, the one that prints and writes.
    """

    def __init__(
        self,
        title: str,
        size: str,
        settings: Mapping[str, Any],
        out: Path,
        world: World,
        expectations: Iterable[Expect] = (),
        silent: bool = False,
    ):
        self.title, self.size, self.settings = title, size, MappingProxyType(dict(settings))
        self.out, self.world, self.first = out, world, world.rank == 0
        # Some launchers give every rank a terminal of its own, which is not the user's.
        self.screen = Screen(silent=silent or not self.first, plain=world.size > 1)
        self._reported: list[Model] = []
        self._record = Record(out / "result.json", title, size, world.size, expectations, writes=self.first)

    def record(self, name: str, value: Any, unit: str = "") -> None:
        """Enter a measured quantity: judged, printed and written to ``result.json`` at once.

        ``value`` is the same on every rank; a number, an array, a text or a bool.
        """
        verdict = self._record.quantity(name, value, unit)
        mark = {True: "✓", False: "✗", None: ""}[verdict]
        self.say(f"{name} = {value} {self._record.data['quantities'][name]['unit']} {mark}".rstrip())

    def say(self, text: str) -> None:
        """Print one line, on rank 0."""
        self.screen.say(text)

    def follow(self, steps: Iterable[T], label: str = "step", total: int | None = None) -> Iterator[T]:
        """Pass a driver's steps through, with a line for each and a progress bar on a terminal."""
        return self.screen.follow(steps, label, total)

    @contextlib.contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Add the time spent inside to ``timings``."""
        start = time.perf_counter()
        yield
        self.timings({name: time.perf_counter() - start})

    def timings(self, seconds: Mapping[str, float]) -> None:
        """Add times, s, by region or by stage; the largest of the ranks' counts in the end."""
        kept = self._record.data["timings"]
        for name, spent in seconds.items():
            kept[name] = kept.get(name, 0.0) + float(spent)

    def report(self, model: Model, name: str = "model") -> None:
        """Print where a model's time went, and enter it as ``reports[name]``; collective.

        What a case has built is reported in the end without being asked for.
        """
        found = model.report()
        self._reported.append(model)
        self._record.data.setdefault("reports", {})[name] = plain(found.as_dict())
        self.say(f"{name}: {found}")

    def report_all(self, built: Any) -> None:
        """Report the models of ``built`` that have not been: itself, or those in a tuple, a list or a mapping; collective."""
        items = [("", built)]
        if isinstance(built, Mapping):
            items = [(f" {k}", value) for k, value in built.items()]
        elif isinstance(built, tuple | list):
            items = [(f" {k}", value) for k, value in enumerate(built, start=1)]
        models = [(name, m) for name, m in items if isinstance(m, HybridModel)]
        for name, model in models:
            if not any(model is other for other in self._reported):
                self.report(model, f"model{name if len(models) > 1 else ''}")

    def cite(self, *references: str) -> None:
        """Add DOIs of what the run used, such as a coupler's ``references``."""
        self._record.cite(*references)

    def write_atoms(self, name: str, symbols: Sequence[str], positions: Any, *args: Any, **kwargs: Any) -> None:
        """Write a file of atoms into the run's folder, on rank 0; see :func:`multiscale.output.write_atoms`."""
        if self.first:
            write_atoms(self.out / name, symbols, positions, *args, **kwargs)

    def save_figure(self, figure: Any, name: str) -> None:
        """Save a matplotlib figure into the run's folder, on rank 0."""
        if self.first:
            figure.savefig(self.out / name, dpi=150, bbox_inches="tight")

    def finish(self) -> dict[str, Any]:
        """Close ``result.json`` and print the table; collective. Gives the content of the file."""
        data, ranks = self._record.data, self.world
        data["timings"] = {name: ranks.allreduce_max(spent) for name, spent in sorted(data["timings"].items())}
        # Linux counts in KiB, macOS in bytes.
        unit = 2**20 if sys.platform == "darwin" else 2**10
        data["memory_MiB"] = ranks.allreduce_max(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit)
        data["devices"] = ranks.bcast(ranks.gather(device(ranks.turn())))
        self._record.finish()
        self.screen.table(f"{self.title} ({self.size})", data["quantities"])
        self.say(f"written to {self.out}")
        return data
