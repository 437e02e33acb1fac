"""The three laws of the architecture, checked on source files: who imports whom, read off the syntax tree.

A package tree is a folder; modules are named relative to it. Imports inside functions count; those under
``if TYPE_CHECKING`` do not, for they are never carried out.
"""

from __future__ import annotations

import ast
import fnmatch
from collections.abc import Iterator, Mapping
from pathlib import Path


def modules(root: Path, *packages: str) -> dict[str, Path]:
    """Every module of the packages by its dotted name; a package stands for its ``__init__.py``."""
    found = {}
    for package in packages:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(name: str, path: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(module, names taken from it) of every import in a file, absolute."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    stack: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while stack:
        node = stack.pop()
        match node:
            case ast.If(test=ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING")):
                stack.extend(node.orelse)
                continue
            case ast.Import(names=names):
                yield from ((alias.name, ()) for alias in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                parts = package.split(".")
                start = parts[: len(parts) - level + 1] if level else []
                yield ".".join([*start, *([module] if module else [])]), tuple(alias.name for alias in names)
            case ast.Call(func=ast.Attribute(attr="import_module") | ast.Name(id="import_module" | "__import__")):
                match node.args:
                    case [ast.Constant(value=str(target)), *_]:
                        yield target, ()
        stack.extend(ast.iter_child_nodes(node))


def graph(files: Mapping[str, Path]) -> dict[str, set[str]]:
    """Which modules of ``files`` each of them imports."""
    edges: dict[str, set[str]] = {}
    for name, path in files.items():
        targets = set()
        for module, names in imports(name, path):
            inside = {f"{module}.{n}" for n in names} & files.keys()
            targets |= inside
            # `from . import x` needs the package itself only for names that are no modules of it.
            if module in files and (len(inside) < len(names) or not names):
                targets.add(module)
        edges[name] = targets - {name}
    return edges


def cycles(files: Mapping[str, Path]) -> list[list[str]]:
    """Import cycles, each as the list of its modules; none in a sound tree."""
    edges, done, found = graph(files), set[str](), []

    def visit(node: str, path: list[str]) -> None:
        if node in path:
            found.append(path[path.index(node) :])
        elif node not in done:
            for target in sorted(edges[node]):
                visit(target, [*path, node])
            done.add(node)

    for name in edges:
        visit(name, [])
    return found


def strays(files: Mapping[str, Path], root: Path, doors: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Imports of heavy libraries elsewhere than through ``doors``: library to patterns of paths."""
    return [
        f"{path.relative_to(root)} imports {library}"
        for name, path in files.items()
        for module, _ in imports(name, path)
        if (library := module.partition(".")[0]) in doors
        and not any(fnmatch.fnmatch(str(path.relative_to(root)), pattern) for pattern in doors[library])
    ]


def importers(files: Mapping[str, Path], package: str) -> list[str]:
    """Modules that import a package which they must not know."""
    return [f"{n} imports {m}" for n, p in files.items() for m, _ in imports(n, p) if m.partition(".")[0] == package]


def unlisted(files: Mapping[str, Path], allowed: set[str]) -> list[str]:
    """Imports of anything that is not listed; modules among ``files`` may import one another."""
    return [
        f"{name} imports {module}"
        for name, path in files.items()
        for module, _ in imports(name, path)
        if module not in allowed | files.keys()
    ]
