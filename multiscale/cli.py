"""The command line: ``multiscale doctor``, ``cases``, ``run``, ``check``, ``certify``, ``bench`` and ``train``.

Heavy libraries are imported inside the commands that need them, so that ``doctor`` and ``--help`` answer at once and
answer even where something is broken.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from . import __version__
from .types import MultiscaleError

app = typer.Typer(
    help="Quantum, machine-learned and finite-element descriptions of one piece of matter, coupled in one run.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

_MARK = {"ok": "[green]✓[/]", "missing": "[red]✗[/]", "warning": "[yellow]![/]"}


def _console() -> Console:
    # A pipe has no width of its own, and a report that is cut there is no report.
    return Console() if sys.stdout.isatty() else Console(width=160)


def _stop(error: MultiscaleError) -> typer.Exit:
    typer.echo(f"multiscale: {error}", err=True)
    return typer.Exit(2)


@app.callback(invoke_without_command=True)
def _main(version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


@app.command()
def doctor() -> None:
    """Say what is installed, what is missing and how to get it; exit status 1 when something does not go together."""
    from .doctor import examine

    table = Table(box=None, show_header=False, pad_edge=False)
    findings = examine()
    for finding in findings:
        table.add_row(_MARK[finding.state], finding.topic, finding.text)
    _console().print(table)
    if any(f.state == "warning" for f in findings):
        raise typer.Exit(1)


@app.command()
def cases() -> None:
    """List the cases: name, sizes and what they show."""
    from .catalogue import cards

    table = Table(box=None, pad_edge=False)
    for column in ("case", "sizes", "what it shows"):
        table.add_column(column)
    for card in cards().values():
        mark = " (benchmark)" if card.benchmark else ""
        table.add_row(card.name, ", ".join(card.sizes) + mark, card.summary)
    if not table.row_count:
        raise _stop(MultiscaleError("there is no cases/ folder here; run this in a checkout, or 'multiscale run PATH'"))
    _console().print(table)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})
def run(context: typer.Context, name: str) -> None:
    """Run a case by its name or path; everything after it goes to the case (--size, --out, its settings, --help)."""
    from .catalogue import find, load

    try:
        case = load(find(name).script)
    except MultiscaleError as error:
        raise _stop(error) from error
    case.main(context.args)


@app.command()
def check(
    coupler: str,
    only: Annotated[list[str] | None, typer.Option(help="Only this check; may be repeated.")] = None,
) -> None:
    """Put an installed coupler to the conformance suite and print what was measured; exit status 1 if a check fails."""
    from .registry import coupler as registered
    from .testing.conformance import examine

    try:
        registered(coupler)
        results = examine(coupler, only)
    except MultiscaleError as error:
        raise _stop(error) from error
    table = Table(box=None, pad_edge=False)
    for column in ("check", "problem", "measured", "bound", "ok", "note"):
        table.add_column(column, overflow="fold")
    for r in results:
        mark = _MARK["ok" if r.ok else "missing"]
        table.add_row(r.check, r.problem, f"{r.measured:.3g}", f"{r.bound:.3g}", mark, r.note)
    _console().print(table)
    failed = sum(not r.ok for r in results)
    typer.echo(f"{coupler}: {len(results) - failed} of {len(results)} checks hold")
    if failed:
        raise typer.Exit(1)


@app.command("certify")
def certify_region(
    name: str,
    precision: Annotated[str, typer.Option(help="double or single.")] = "double",
) -> None:
    """Measure whether a registered region's forces, site energies and weights go together; exit status 1 if not."""
    from .certify import certify
    from .registry import specimens

    try:
        known = specimens()
        if name not in known:
            raise MultiscaleError(f"no region is registered as '{name}'; there are {', '.join(known)}")
        specimen = known[name].load()()
        found = certify(specimen.make(), x=specimen.x, precision=precision)
    except MultiscaleError as error:
        raise _stop(error) from error
    typer.echo(found)
    if not found.ok:
        raise typer.Exit(1)


@app.command()
def bench(
    names: Annotated[list[str] | None, typer.Argument(help="Only these benchmarks.")] = None,
    size: Annotated[str, typer.Option(help="Size of the benchmark cases.")] = "small",
) -> None:
    """Run the benchmark cases, each in a process of its own; exit status 1 if a ratio is missed."""
    from .catalogue import cards, find

    try:
        chosen = [find(name) for name in names] if names else [card for card in cards().values() if card.benchmark]
    except MultiscaleError as error:
        raise _stop(error) from error
    if not chosen:
        typer.echo("no case is marked as a benchmark")
    # One process each: memory is measured as a peak, and caches of one case must not help the next.
    environment = os.environ | {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    missed = []
    for card in chosen:
        command = [sys.executable, str(card.script), "--size", size]
        if subprocess.run(command, env=environment, check=False).returncode:
            missed.append(card.name)
    if missed:
        typer.echo(f"missed or failed: {', '.join(missed)}", err=True)
        raise typer.Exit(1)


@app.command()
def train(
    out: Annotated[Path, typer.Option(help="Folder for data, logs, checkpoints and models.")] = Path("training"),
    data: Annotated[
        Path | None, typer.Option(help="Labelled extended xyz; the shipped Si-H data unless given.")
    ] = None,
    data_only: Annotated[bool, typer.Option("--data-only", help="Make reference data (GFN1-xTB) and stop.")] = False,
    share: Annotated[float, typer.Option(help="With --data-only: part of the shipped recipe to make.")] = 1.0,
    members: Annotated[int, typer.Option(help="Size of the committee.")] = 4,
    seed: Annotated[int, typer.Option(help="Seed of the first member; with --data-only, of the data.")] = 1,
    epochs: Annotated[int, typer.Option(help="Passes over the data.")] = 60,
    minutes: Annotated[float | None, typer.Option(help="Time for all members, instead of --epochs.")] = None,
    energy_noise: Annotated[float, typer.Option(help="Noise level of energies, eV per atom.")] = 0.005,
    force_noise: Annotated[float, typer.Option(help="Noise level of forces, eV/Å.")] = 0.1,
    stress_noise: Annotated[float, typer.Option(help="Noise level of stresses, eV/Å³.")] = 0.005,
    irreps: Annotated[str, typer.Option(help="MACE's hidden irreps.")] = "16x0e+16x1o",
    layers: Annotated[int, typer.Option(help="Message-passing layers.")] = 2,
    max_ell: Annotated[int, typer.Option(help="Highest spherical harmonic.")] = 2,
    correlation: Annotated[int, typer.Option(help="Body order minus one.")] = 2,
    cutoff: Annotated[float, typer.Option(help="Å.")] = 5.0,
    resume: Annotated[bool, typer.Option("--continue", help="Go on from the checkpoints in --out.")] = False,
) -> None:
    """Fit a committee with MACE's own trainer, write it as safetensors, and print its errors by type."""
    from . import learning

    try:
        if data_only:
            path = learning.write_data(out, share=share, seed=seed - 1, show=typer.echo)
            typer.echo(f"wrote {path}")
            return
        noise = learning.Noise(energy_noise, force_noise, stress_noise)
        shape = learning.Architecture(irreps, layers, max_ell, correlation, cutoff)
        numbers, schedule = tuple(range(members)), learning.Schedule(epochs)
        training = learning.Training(numbers, seed, noise, shape, schedule, minutes, resume)
        table = learning.fit_committee(data, out, training, show=typer.echo)
    except MultiscaleError as error:
        raise _stop(error) from error
    except OSError as error:
        # Data that cannot be read are a MultiscaleError already: what is left is what is written.
        why = f"{error.strerror or error}: '{error.filename}'" if error.filename else str(error)
        raise _stop(
            MultiscaleError(
                f"train was given --out '{out}' and stopped there ({why}); give a folder that can be written to and has space"
            )
        ) from error
    typer.echo(table)


if __name__ == "__main__":
    app()
