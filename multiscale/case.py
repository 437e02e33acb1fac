"""A case: one script that is a program, a parallel job and a test, and says what it expects.

    build → model,   measure(model) → quantities,   |measured − expected| ≤ tolerance

``python case.py``, ``mpirun -n 4 python -m mpi4py case.py --size full`` and ``Case.run("small")`` in a test run the
same code on every rank; rank 0 alone prints and writes.
"""

from __future__ import annotations

import argparse
import contextlib
import inspect
import io
import os
import signal
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from .expect import Expect as Expect
from .expect import from_reference
from .ranks import World, world
from .record import ERROR, claim_failure, explain
from .run import Run
from .types import MultiscaleError

MISSED, FAILED, INTERRUPTED = 1, 2, 130


class Case(ABC):
    """A numerical experiment with expectations.

    Subclasses set the attributes and implement :meth:`build` and :meth:`measure`, mostly :meth:`plot` too; a script
    ends with ``if __name__ == "__main__": MyCase().main()``. The docstring's first line describes the case.

    Attributes
    ----------
    name : str
        By default the name of the script's folder.
    sizes : mapping of str to mapping
        Settings by size: ``small`` for tests and laptops, ``full``, and ``tiny`` for benchmarks in tests. Every setting
        is also an option of the command line; expectations are not judged when one is changed.
    expectations : tuple of Expect
        Those of a ``reference.json`` beside the script are added.
    benchmark : bool
        Measures speed and memory: tests only run it through at size ``tiny``, ``make bench`` judges it.
    citations : tuple of str
        DOIs of the methods and of the problem.

    Examples
    --------
    >>> class Half(Case):
    ...     name, sizes = "half", {"small": {"n": 2}}
    ...     expectations = (Expect("half", 0.5, tolerance=1e-15, source="arithmetic"),)
    ...     def build(self, run):
    ...         return run.settings["n"]
    ...     def measure(self, run, model):
    ...         run.record("half", 1 / model)
    """

    name: ClassVar[str] = ""
    sizes: ClassVar[Mapping[str, Mapping[str, Any]]] = {"small": {}, "full": {}}
    expectations: ClassVar[tuple[Expect, ...]] = ()
    benchmark: ClassVar[bool] = False
    citations: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def build(self, run: Run) -> Any:
        """Make what is measured, usually a ``HybridModel``; on every rank."""

    @abstractmethod
    def measure(self, run: Run, model: Any) -> Any:
        """Measure, on every rank, handing each quantity to ``run.record``; what it returns is for :meth:`plot`."""

    def plot(self, run: Run, data: Any) -> None:  # noqa: B027  (a case without a figure is a case)
        """Draw, on rank 0 alone (nothing collective), handing each figure to ``run.save_figure``."""

    @property
    def folder(self) -> Path:
        """Where the script is."""
        return Path(sys.modules[type(self).__module__].__file__ or ".").resolve().parent

    @property
    def title(self) -> str:
        """The case's name: its own, or its folder's."""
        return self.name or self.folder.name

    def expected(self) -> tuple[Expect, ...]:
        """All expectations: the class's, and those of ``reference.json``."""
        reference = self.folder / "reference.json"
        return self.expectations + (from_reference(reference) if reference.exists() else ())

    def run(
        self, size: str = "small", out: str | Path | None = None, *, silent: bool = False, **settings: Any
    ) -> dict[str, Any]:
        """Run the case and give the content of ``result.json``; errors are raised. What tests call.

        Parameters
        ----------
        size : str
            One of the case's sizes.
        out : path, optional
            The folder for files, by default ``results/NAME``.
        silent : bool
            Print nothing.
        **settings
            In place of the size's own.

        Raises
        ------
        MultiscaleError
            For an unknown size or setting.
        """
        if size not in self.sizes:
            raise MultiscaleError(f"the case {self.title} has no size '{size}'; choose from {', '.join(self.sizes)}")
        unknown = sorted(set(settings) - set(self.sizes[size]))
        if unknown:
            known = ", ".join(self.sizes[size]) or "none"
            raise MultiscaleError(f"size '{size}' of {self.title} has no setting '{unknown[0]}'; it has {known}")
        folder = Path(out) if out is not None else Path("results") / self.title
        all_ranks = world()
        if all_ranks.rank == 0:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / ERROR).unlink(missing_ok=True)
        all_ranks.barrier()
        return self._execute(self._start(size, settings, folder, all_ranks, silent))

    def _start(self, size: str, changed: Mapping[str, Any], folder: Path, ranks: World, silent: bool) -> Run:
        different = [f"{k}={v}" for k, v in changed.items() if self.sizes[size][k] != v]
        # Expectations belong to a size as it is; a benchmark's tiny size only shows that it runs.
        judged = not different and not (self.benchmark and size == "tiny")
        expected = [e for e in self.expected() if not e.sizes or size in e.sizes] if judged else []
        settings = {**self.sizes[size], **changed}
        run = Run(self.title, ", ".join([size, *different]), settings, folder, ranks, expected, silent)
        run.cite(*self.citations)
        return run

    def _execute(self, run: Run) -> dict[str, Any]:
        run.say(f"{self.title}, size {run.size}, {run.world.size} rank{'s' * (run.world.size > 1)}")
        with run.timed("total"):
            with run.timed("build"):
                model = self.build(run)
            data = self.measure(run, model)
            run.report_all(model)
            if run.first:
                self._draw(run, data)
        run.world.barrier()
        return run.finish()

    def _draw(self, run: Run, data: Any) -> None:
        # Without a screen to draw on; a choice that the user has made in the environment stays.
        os.environ.setdefault("MPLBACKEND", "Agg")
        try:
            self.plot(run, data)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != "matplotlib":
                raise
            run.say("no figure: matplotlib is not installed ('make setup' does it)")

    def main(self, argv: Sequence[str] | None = None) -> None:
        """Run from the command line; exit status 0, 1 (an expectation is missed), 2 (failed) or 130 (interrupted).

        An exception on one rank ends all ranks at once, with its message printed once.
        """
        sys.exit(_guarded(self, argv))


def _guarded(case: Case, argv: Sequence[str] | None) -> int:
    """Run a case so that every rank ends when one fails; the exit status."""
    try:
        all_ranks = world()
    except MultiscaleError as error:
        print(f"{case.title}: {error}", file=sys.stderr)
        return FAILED
    arguments = _arguments(case, argv, silent=all_ranks.rank > 0)
    # A batch system (and mpirun, for the other ranks) ends a run with this signal; the record then says so.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        result = case.run(**arguments)
    except (Exception, KeyboardInterrupt) as error:
        return _fail(case, all_ranks, Path(arguments["out"] or Path("results") / case.title), error)
    return MISSED if any(q["ok"] is False for q in result["quantities"].values()) else 0


def _interrupt(signum: int, frame: Any) -> None:
    raise KeyboardInterrupt


def _fail(case: Case, ranks: World, folder: Path, error: BaseException) -> int:
    code = INTERRUPTED if isinstance(error, KeyboardInterrupt) else FAILED
    # This rank is ending already; the signal by which another one's abort arrives has nothing to add.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    message = explain(error)
    if claim_failure(folder, message):
        where = f" on rank {ranks.rank} of {ranks.size}" if ranks.size > 1 else ""
        print(f"{case.title} failed{where}: {message}", file=sys.stderr, flush=True)
    else:
        # Another rank speaks and ends all; if it died over it, this one does.
        time.sleep(3)
    sys.stdout.flush()
    ranks.abort(code)
    return code


def _arguments(case: Case, argv: Sequence[str] | None, silent: bool) -> dict[str, Any]:
    """The command line as arguments of :meth:`Case.run`: size, folder, and every setting of any size."""
    parser = argparse.ArgumentParser(
        prog=case.title, description=inspect.getdoc(case), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=list(case.sizes), default=next(iter(case.sizes)), help="default: %(default)s")
    parser.add_argument("--out", metavar="FOLDER", help=f"for the files (default: results/{case.title})")
    for name, value in {k: v for settings in case.sizes.values() for k, v in settings.items()}.items():
        flag = "--" + name.replace("_", "-")
        if isinstance(value, bool):
            parser.add_argument(flag, dest=name, action=argparse.BooleanOptionalAction, default=argparse.SUPPRESS)
        elif isinstance(value, int | float | str):
            parser.add_argument(
                flag, dest=name, type=type(value), default=argparse.SUPPRESS, metavar=type(value).__name__
            )
    # Every rank parses the same line; one of them speaks.
    with contextlib.redirect_stdout(io.StringIO()) if silent else contextlib.nullcontext():
        with contextlib.redirect_stderr(io.StringIO()) if silent else contextlib.nullcontext():
            return vars(parser.parse_args(argv))
