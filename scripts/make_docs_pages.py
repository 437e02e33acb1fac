"""Writes the documentation's generated pages: the gallery from the cases, the method cards from the conformance suite.

The gallery takes each case's docstring, its figures and animations ``docs/images/NAME*`` and its numbers: those of the last finished run in
``results/NAME/result.json`` where there is one, else what the case and its ``reference.json`` expect, with sources.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import io
import json
import math
import re
import sys
import tokenize
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from multiscale import registry
from multiscale.catalogue import Card, cards, load
from multiscale.expect import Expect, from_reference
from multiscale.output import atomic
from multiscale.testing.checks import Result
from multiscale.testing.conformance import examine
from multiscale.types import MultiscaleError

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"


def table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """A Markdown table."""
    lines = [list(head), *([str(cell).replace("|", "\\|") for cell in row] for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def number(value: Any) -> str:
    """A value, short."""
    return f"{value:.6g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def expectations(card: Card) -> list[Expect]:
    """The case's own, and those of its ``reference.json``; its own only where its libraries are installed."""
    reference = card.script.parent / "reference.json"
    stored = list(from_reference(reference)) if reference.exists() else []
    before, folder = set(sys.modules), str(card.script.parent)
    # A case's own modules lie beside it; two cases may give theirs the same name.
    sys.path.insert(0, folder)
    try:
        own = [e for e in load(card.script).expectations if e.quantity not in {s.quantity for s in stored}]
    except (ImportError, MultiscaleError):
        own = []
    finally:
        sys.path.remove(folder)
        for name in set(sys.modules) - before:
            if Path(getattr(sys.modules[name], "__file__", None) or "/").parent == card.script.parent:
                del sys.modules[name]
    return own + stored


def cell(value: Any) -> str:
    """A quantity, short."""
    if isinstance(value, list | tuple):
        return ", ".join(cell(v) for v in value)
    return "" if value is None else number(value)


def quantities(card: Card) -> str:
    """What was measured, or else what is expected, as a table."""
    result = ROOT / "results" / card.name / "result.json"
    found: Mapping[str, Any] = json.loads(result.read_text(encoding="utf-8")) if result.exists() else {}
    if found.get("status") == "done":
        rows = [
            (k, cell(q["value"]), q["unit"], cell(q["expected"]), cell(q["tolerance"]), q["source"] or "")
            for k, q in found["quantities"].items()
        ]
        head = f"## Measured\n\nSize {found['size']}, {found['ranks']} rank{'s' * (found['ranks'] > 1)}:\n\n"
        return head + table(("quantity", "measured", "unit", "expected", "±", "source"), rows)
    rows = [(e.quantity, e.kind, cell(e.value), cell(e.margin), e.unit, e.source) for e in expectations(card)]
    head = "## Expected\n\n"
    return head + table(("quantity", "", "expected", "±", "unit", "source"), rows) if rows else ""


def gallery_page(card: Card) -> str:
    """The page of one case."""
    text = card.text.strip().partition("\n")
    drawn = [f for f in sorted((DOCS / "images").glob(f"{card.name}*")) if f.suffix in (".gif", ".png")]
    figures = "".join(f"![{card.name}](../images/{figure.name})\n\n" for figure in drawn)
    script = card.script.relative_to(ROOT)
    run = [f"multiscale run {card.name}", f"python {script} --size {card.sizes[0] if card.sizes else 'small'}"]
    run += [f"scripts/mpi.sh 2 {script}"]
    kind = "A benchmark, judged by `make bench`; sizes" if card.benchmark else "Sizes"
    how = "".join(f"    {line}\n" for line in run)
    title = text[0].rstrip(".")
    return (
        f"# {card.name}\n\n*{title}.*\n\n{figures}{text[2].strip()}\n\n## How to run it\n\n{how}\n"
        f"{kind}: {', '.join(card.sizes) or 'see the script'}.\n\n{quantities(card)}"
    )


def link(reference: str) -> str:
    """A DOI or arXiv number as a link."""
    arxiv = reference.removeprefix("arXiv:")
    address = f"https://doi.org/{reference}" if arxiv == reference else f"https://arxiv.org/abs/{arxiv}"
    # Parentheses in a DOI would end a Markdown link.
    return f"[{reference}](<{address}>)"


def code_lines(path: str | Path) -> int:
    """Lines with code: neither blank, nor comment, nor docstring."""
    source = Path(path).read_text(encoding="utf-8")
    docstrings: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        first = node.body[0] if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and node.body else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            docstrings |= set(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    skip = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    lines = {n for t in tokens if t.type not in skip for n in range(t.start[0], t.end[0] + 1)}
    return len(lines - docstrings)


def paragraphs(text: str) -> str:
    """A docstring as Markdown: indented or symbolic blocks stay as they are, sentences are text."""
    out = []
    for block in inspect.cleandoc(text).split("\n\n"):
        formula = re.search(r"[=←].*[Σ·(]|:  ", block) and not re.match(r"[A-Z][a-z]+ .*\.$", block.replace("\n", " "))
        out.append(f"```text\n{block}\n```" if formula else block.replace("``", "`"))
    return "\n\n".join(out)


def verdict(result: Result) -> tuple[str, ...]:
    """A row of the table of measured numbers."""
    value, bound = ("–" if math.isnan(x) else f"{x:.1e}" for x in (result.measured, result.bound))
    note = f"`{result.note}`" if "|" in result.note else result.note
    return result.check, result.problem, value, bound, "✓" if result.ok else "✗", note


def coupler_page(name: str) -> str:
    """The method card of one coupler: what it says of itself, and what the conformance suite measures."""
    kind, file = registry.coupler(name), inspect.getsourcefile(registry.coupler(name)) or ""
    claims, yes = kind().claims, {True: "yes", False: "no"}
    facts = [
        ("conservative: forces are minus the gradient of its energy", yes[claims.conservative]),
        ("momentum: the net force on an isolated body is zero", yes[claims.momentum]),
        ("patch test: a homogeneous strain is in equilibrium", yes[claims.patch]),
        ("needs of a region", ", ".join(f"`{c}`" for c in kind.needs.names().split(" | "))),
        ("weights may live in", " or ".join(f"the {frame} frame" for frame in kind.frames)),
        ("lines of code", code_lines(file)),
        ("references", ", ".join(link(r) for r in kind.references)),
    ]
    module = inspect.getdoc(inspect.getmodule(kind)) or ""
    head = f"# {name}\n\n{paragraphs(module)}\n\n{paragraphs(inspect.getdoc(kind) or '')}\n\n"
    note = (
        "\nA number below its bound says that the property holds. *Circulation*, *momentum* and *patch* are claims: where the claim is "
        "“no”, ✓ means that the number is rightly above the bound.\n"
    )
    measured = table(("check", "problem", "measured", "bound", "ok", "what"), map(verdict, examine(name)))
    return f"{head}{table(('claim or need', ''), facts)}\n## Measured\n\n{measured}{note}"


def overview(names: Iterable[str]) -> str:
    """All claims in one table."""
    yes = {True: "yes", False: "no"}
    kinds = {name: registry.coupler(name) for name in names}
    rows = [
        (f"[{n}]({n}.md)", *(yes[c] for c in (k().claims.conservative, k().claims.momentum, k().claims.patch)))
        for n, k in kinds.items()
    ]
    return table(("coupler", "conservative", "momentum", "patch test"), rows)


def write(folder: str, title: str, intro: str, pages: Mapping[str, str]) -> None:
    """Write pages and the index that lists them."""
    place = DOCS / folder
    place.mkdir(parents=True, exist_ok=True)
    for old in place.glob("*.md"):
        if old.stem not in pages:
            old.unlink()
    for name, page in pages.items():
        with atomic(place / f"{name}.md") as file:
            file.write(page)
    toctree = "\n".join(["```{toctree}", ":maxdepth: 1", "", *pages, "```"]) if pages else "None yet."
    with atomic(place / "index.md") as file:
        file.write(f"# {title}\n\n{intro}\n\n{toctree}\n")


def main() -> None:
    """Write all generated pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("gallery", "cards"))
    only = parser.parse_args().only
    if only != "cards":
        found = cards([ROOT / "cases"])
        intro = "Every case is a script in `cases/`, a test and a page here."
        write("gallery", "Gallery", intro, {name: gallery_page(card) for name, card in found.items()})
    if only != "gallery":
        intro = (
            "What the conformance suite measures for every installed coupler, on the one-dimensional problems of "
            "{py:mod}`multiscale.testing.problems`, written when these pages were built.\n\n"
        ) + overview(registry.couplers())
        write("cards", "Method cards", intro, {name: coupler_page(name) for name in registry.couplers()})


if __name__ == "__main__":
    main()
