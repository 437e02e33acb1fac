"""Writes the documentation's generated pages: the gallery from the cases, the method cards from the conformance suite.

The gallery takes each case's docstring, its figure in ``docs/images/NAME*.png`` and its expectations: those of the last
result in ``results/NAME/result.json`` where there is one, else those of ``reference.json``.
"""

from __future__ import annotations

import argparse
import inspect
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from multiscale import registry
from multiscale.catalogue import Card, cards
from multiscale.output import atomic
from multiscale.testing.conformance import examine

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


def quantities(card: Card) -> str:
    """What was measured, or else what is expected, as a table."""
    result, reference = ROOT / "results" / card.name / "result.json", card.script.parent / "reference.json"
    if result.exists():
        found: Mapping[str, Any] = json.loads(result.read_text(encoding="utf-8"))
        rows = [
            (
                name,
                number(q["value"]),
                q["unit"],
                "" if q["expected"] is None else number(q["expected"]),
                q["source"] or "",
            )
            for name, q in found["quantities"].items()
        ]
        head = f"Size {found['size']}, {found['ranks']} rank{'s' * (found['ranks'] > 1)}:\n\n"
        return head + table(("quantity", "measured", "unit", "expected", "source"), rows)
    if reference.exists():
        stored = json.loads(reference.read_text(encoding="utf-8"))
        rows = [
            (name, number(q["value"]), number(q.get("tolerance", 0)), q.get("unit", ""))
            for name, q in stored["quantities"].items()
        ]
        return f"{stored['made_by']}:\n\n" + table(("quantity", "expected", "tolerance", "unit"), rows)
    return ""


def gallery_page(card: Card) -> str:
    """The page of one case."""
    text = card.text.strip().partition("\n")
    figures = "".join(
        f"![{card.name}](../images/{figure.name})\n\n" for figure in sorted((DOCS / "images").glob(f"{card.name}*.png"))
    )
    kind = "benchmark, judged by `make bench`" if card.benchmark else f"sizes {', '.join(card.sizes)}"
    run = f"    multiscale run {card.name}\n"
    return f"# {card.name}: {text[0]}\n\n{figures}{text[2].strip()}\n\n{run}\n({kind})\n\n{quantities(card)}"


def coupler_page(name: str) -> str:
    """The card of one coupler: what it says of itself and what was measured."""
    kind = registry.coupler(name)
    results = examine(name)
    rows = [
        (
            r.check,
            r.problem,
            f"{r.measured:.2e}",
            f"{r.bound:.1e}",
            "✓" if r.ok else "✗",
            f"`{r.note}`" if r.note else "",
        )
        for r in results
    ]
    sources = "".join(f"- {reference}\n" for reference in kind.references)
    text = inspect.getdoc(kind) or ""
    summary = f"# {name}\n\n```text\n{text}\n```\n\n"
    return (
        summary
        + (f"{sources}\n" if sources else "")
        + table(("check", "problem", "measured", "bound", "ok", "note"), rows)
    )


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
        intro = "What the conformance suite measures for every installed coupler, written when these pages were built."
        write("cards", "Method cards", intro, {name: coupler_page(name) for name in registry.couplers()})


if __name__ == "__main__":
    main()
