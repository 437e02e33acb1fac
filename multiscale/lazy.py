"""Public names that are imported when they are first asked for.

A package gives a table ``name -> module``; :func:`lazy` makes its ``__getattr__`` and ``__dir__`` from it. So
``import multiscale`` costs next to nothing and needs none of the heavy libraries, and a name whose library is not
there is refused in one sentence that says how to get it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from .types import missing

#: How to get the optional packages, by the name they are imported by.
REMEDIES: dict[str, str] = {
    "torch": "run 'make setup', or install the extra 'ml' (python -m pip install -e '.[ml]')",
    "vesin": "run 'make setup', or install the extra 'ml' (python -m pip install -e '.[ml]')",
    "pyscf": "install the extra 'dft' (python -m pip install -e '.[dft]')",
    "dxtb": "run 'make setup', or install the extra 'qm' (python -m pip install -e '.[qm]')",
    "tblite": "run 'make setup', or install the extra 'qm' (python -m pip install -e '.[qm]')",
    "meshio": "run 'make setup', or install the extra 'fem' (python -m pip install -e '.[fem]')",
    "matplotlib": "run 'make setup', or install the extra 'cases' (python -m pip install -e '.[cases]')",
    "phonopy": "run 'make setup', or install the extra 'report' (python -m pip install -e '.[report]')",
    "pytest": "run 'make setup', or install the extra 'test' (python -m pip install -e '.[test]')",
    "mace": "run 'make setup', or install the extra 'ml' (python -m pip install -e '.[ml]')",
    "safetensors": "run 'make setup', or install the extra 'ml' (python -m pip install -e '.[ml]')",
    "metatomic": "install the extra 'metatomic' (python -m pip install -e '.[metatomic]')",
    "metatensor": "install the extra 'metatomic' (python -m pip install -e '.[metatomic]')",
    "ase": "run 'make setup', or 'python -m pip install ase'",
    "gmsh": "install python3-gmsh with apt, or python-gmsh from conda-forge",
}
_FENICSX = (
    "run 'make setup', or install FEniCSx: python3-dolfinx with apt (Debian, Ubuntu), fenics-dolfinx from conda-forge"
)
REMEDIES |= dict.fromkeys(("dolfinx", "petsc4py", "ufl", "basix", "ffcx"), _FENICSX)
REMEDIES["mpi4py"] = (
    "run 'make setup', or install the build that belongs to FEniCSx: python3-mpi4py with apt, mpi4py from conda-forge"
)


def lazy(package: str, table: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Make ``__getattr__`` and ``__dir__`` of a package whose names live in other modules.

    Parameters
    ----------
    package : str
        ``__name__`` of the package.
    table : mapping
        Public name to module, relative to the package: ``{"Sphere": ".shapes"}``.

    Returns
    -------
    tuple
        The two functions.

    Examples
    --------
    >>> getter, lister = lazy("multiscale", {"Array": ".types"})
    >>> lister()
    ['Array']
    """

    def getter(name: str) -> Any:
        if name not in table:
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        try:
            return getattr(import_module(table[name], package), name)
        except ModuleNotFoundError as error:
            library = (error.name or "").partition(".")[0]
            if library not in REMEDIES:
                raise
            raise missing(library, f"{package}.{name}", REMEDIES[library]) from error

    def lister() -> list[str]:
        return sorted(table)

    return getter, lister
