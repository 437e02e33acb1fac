"""The cases there are, read from their scripts without running them: a list needs no heavy library and no MPI."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import util
from pathlib import Path

from .case import Case
from .types import MultiscaleError


@dataclass(frozen=True)
class Card:
    """What a case says of itself.

    Attributes
    ----------
    name : str
        The name of its folder.
    script : Path
        Its ``case.py``.
    text : str
        The docstring of the script.
    sizes : tuple of str
        Names of its sizes; empty where they are not written out in the class.
    benchmark : bool
        Whether ``make bench`` judges it.
    """

    name: str
    script: Path
    text: str
    sizes: tuple[str, ...]
    benchmark: bool

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return self.text.strip().partition("\n")[0]


def folders() -> list[Path]:
    """Where cases are looked for: ``cases/`` here, and beside the package in a checkout."""
    here, checkout = Path.cwd() / "cases", Path(__file__).resolve().parents[1] / "cases"
    return [folder for folder in dict.fromkeys((here, checkout)) if folder.is_dir()]


def cards(places: Iterable[Path] | None = None) -> dict[str, Card]:
    """Every case in the given folders (by default :func:`folders`), by name; the first of equal names counts."""
    found: dict[str, Card] = {}
    for place in folders() if places is None else places:
        for script in sorted(place.glob("*/case.py")):
            found.setdefault(script.parent.name, read(script))
    return found


def find(name: str) -> Card:
    """The case of that name, or the one whose script or folder ``name`` is.

    Raises
    ------
    MultiscaleError
        When there is none; the message lists those there are.
    """
    path = Path(name)
    for script in (path / "case.py", path):
        if script.is_file() and script.suffix == ".py":
            return read(script)
    known = cards()
    if name not in known:
        raise MultiscaleError(
            f"there is no case '{name}'; known here: {', '.join(known) or 'none'} (a path to a case.py is accepted too)"
        )
    return known[name]


def read(script: Path) -> Card:
    """The card of a script."""
    tree = ast.parse(script.read_text(encoding="utf-8"), filename=str(script))
    values: dict[str, ast.expr] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and any(ast.unparse(base).endswith("Case") for base in node.bases):
            for line in node.body:
                match line:
                    case ast.Assign(targets=[ast.Name(id=name)], value=value):
                        values[name] = value
                    case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                        values[name] = value
    flag, sizes = values.get("benchmark"), values.get("sizes")
    keys = sizes.keys if isinstance(sizes, ast.Dict) else []
    return Card(
        name=script.resolve().parent.name,
        script=script,
        text=ast.get_docstring(tree) or "",
        sizes=tuple(str(key.value) for key in keys if isinstance(key, ast.Constant)),
        benchmark=isinstance(flag, ast.Constant) and flag.value is True,
    )


@contextmanager
def _beside(folder: Path) -> Iterator[None]:
    """Let a script import the files beside it, as Python does; other cases may have files of the same name."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        beside = [n for n, m in sys.modules.items() if Path(getattr(m, "__file__", None) or "/").parent == folder]
        for name in beside:
            if not name.startswith("case_"):
                del sys.modules[name]


def load(script: Path) -> Case:
    """Import a script and give its case.

    Raises
    ------
    MultiscaleError
        When it defines no case, or several.
    """
    spec = util.spec_from_file_location(f"case_{script.resolve().parent.name}", script)
    if spec is None or spec.loader is None:
        raise MultiscaleError(f"{script} is not a Python script")
    module = util.module_from_spec(spec)
    # The case finds its folder, and dataclasses their module, through this table.
    sys.modules[spec.name] = module
    with _beside(script.resolve().parent):
        spec.loader.exec_module(module)
    own = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Case) and value.__module__ == spec.name
    ]
    if len(own) != 1:
        raise MultiscaleError(f"{script} must define one subclass of Case, it defines {len(own)}")
    return own[0]()
