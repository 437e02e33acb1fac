"""What a run shows: one line per step, a progress bar on a terminal, a closing table. Only rank 0 has a screen."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from .drive.step import Step

T = TypeVar("T")

#: Columns of the plain output (files, pipes, mpirun), where nothing says how wide the screen is.
PLAIN_WIDTH = 140


class Screen:
    """Prints on rank 0 and is silent on the others.

    Parameters
    ----------
    silent : bool
        Print nothing.
    plain : bool
        Print plain lines even on a terminal; without a terminal they are always plain.
    """

    def __init__(self, silent: bool = False, plain: bool = False):
        plain = plain or not sys.stdout.isatty()
        self.console = Console(
            quiet=silent,
            width=PLAIN_WIDTH if plain else None,
            soft_wrap=plain,
            force_terminal=not plain,
            no_color=plain,
        )
        self.live = not plain and not silent

    def say(self, text: str) -> None:
        """Print one line as it is."""
        self.console.print(text, markup=False, highlight=False)

    def follow(self, items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
        """Pass ``items`` through, printing a line for each; on a terminal a bar shows how far it is."""
        if not self.live:
            for item in items:
                self.say(f"{label}: {_line(item)}")
                yield item
            return
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
        with Progress(*columns, console=self.console, transient=True) as progress:
            task = progress.add_task(label, total=total)
            for item in items:
                progress.console.print(f"{label}: {_line(item)}", markup=False, highlight=False)
                progress.advance(task)
                yield item

    def table(self, title: str, quantities: Mapping[str, Mapping[str, Any]]) -> None:
        """Print the closing table: quantity, measured, expected, source, ok."""
        table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
        for column in ("quantity", "measured", "expected", "source", "ok"):
            table.add_column(column, overflow="fold")
        for name, entry in quantities.items():
            unit = f" {entry['unit']}" if entry["unit"] else ""
            mark = {True: "✓", False: "✗", None: "–"}[entry["ok"]]
            table.add_row(name, _number(entry["value"]) + unit, _expected(entry), entry["source"] or "", mark)
        self.console.print(table, soft_wrap=False)


def _line(item: Any) -> str:
    return item.line() if isinstance(item, Step) else str(item)


def _number(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool | str):
        return str(value)
    flat = np.asarray(value).ravel()
    if flat.size == 1:
        return f"{flat[0]:.6g}"
    shown = ", ".join(f"{v:.4g}" for v in flat[:4])
    return f"[{shown}{', …' if flat.size > 4 else ''}]"


def _expected(entry: Mapping[str, Any]) -> str:
    if entry["expected"] is None:
        return ""
    number = _number(entry["expected"])
    match entry["tolerance"]:
        case "at most":
            return f"≤ {number}"
        case "at least":
            return f"≥ {number}"
        case 0 | 0.0:
            return number
        case margin:
            return f"{number} ± {margin:.2g}"
