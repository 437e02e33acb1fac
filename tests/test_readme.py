"""What the README and the documentation show is what the code does."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from outside import EXAMPLES, ROOT, python
from processes import mpi

from multiscale import registry


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return [b.strip() for b in re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)]


def without_digits(text: str) -> str:
    """Eight digits depend on the machine's rounding; the first five after the point do not."""
    return re.sub(r"(\d\.\d{5})\d*", r"\1", re.sub(r"max\|F\| = \S+", "max|F|", text)).strip()


@pytest.mark.parametrize(
    ("script", "page"),
    [("first.py", "README.md"), ("ledger.py", "docs/concepts.md"), ("adhesion.py", "docs/adhesion.md")],
)
def test_examples_print_what_the_page_shows(script, page):
    done = python([str(EXAMPLES / script)])
    assert done.returncode == 0, done.stderr
    assert without_digits(done.stdout) in [without_digits(b) for b in blocks(page, "text")]


@pytest.mark.skipif(shutil.which("mpirun") is None, reason="no mpirun here")
def test_the_example_of_teams_prints_tables_as_the_page_shows_them():
    """On a smaller crystal: the same heads, regions and sentences, whatever the numbers are."""
    pytest.importorskip("tblite")
    done = mpi(2, str(EXAMPLES / "teams.py"), "2", timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    shown = "\n".join(b for b in blocks("docs/running.md", "text") if b.startswith("region  ") or "s in the model" in b)

    def words(text: str) -> list[str]:
        """Lines without numbers and devices; those of single teams depend on the ranks that were proposed."""
        bare = (re.sub(r"\(.*\)|: nothing to gain", "", line).split() for line in text.splitlines())
        lines = [" ".join(w for w in line if not re.search(r"\d", w)) for line in bare]
        return [line for line in lines if re.match(r"region|team|slowest|stiffness|coupler|sum|s in the model", line)]

    assert len(words(shown)) == 14 and words(done.stdout) == words(shown)
    for name in ("ml", "qm"):
        assert len(re.findall(rf"^{name} +[\d.-]+ ", done.stdout, re.MULTILINE)) == 3, name


def test_the_readme_shows_the_example():
    assert (EXAMPLES / "first.py").read_text(encoding="utf-8").strip() in blocks("README.md", "python")


def test_the_table_of_couplers_is_right():
    """Names, and what they claim."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \|(.*)\|$", readme, re.MULTILINE))
    built_in = {n: c for n, c in registry.couplers().items() if c.__module__.startswith("couplers.")}
    assert rows.keys() == built_in.keys()
    for name, kind in built_in.items():
        *_, energy, momentum, patch = (cell.strip() for cell in rows[name].split("|"))
        claims = kind().claims
        assert energy.startswith("yes" if claims.conservative else "none"), name
        assert momentum == ("yes" if claims.momentum else "on request" if name == "force_mixing" else "no"), name
        assert patch == ("yes" if claims.patch else "no"), name


@pytest.mark.parametrize(
    "page", ["README.md", *(str(p.relative_to(ROOT)) for p in sorted((ROOT / "docs").glob("*.md")))]
)
def test_links_lead_somewhere(page):
    """Files that pages link to are there; generated pages and other sites are left out."""
    text = (ROOT / page).read_text(encoding="utf-8")
    targets = re.findall(r"\]\(<?([^)#\s>]+)", text) + re.findall(r"literalinclude\} (\S+)", text)
    local = [t for t in targets if "://" not in t and not t.startswith(("cards/", "gallery/"))]
    assert all((Path(ROOT / page).parent / t).exists() for t in local), local
