"""What this run consists of: versions of the packages that matter, for ``result.json`` and ``multiscale doctor``."""

from __future__ import annotations

import platform
from importlib import metadata

from . import __version__

#: Distributions whose versions a result depends on, by the name they are imported by.
PACKAGES = {
    "numpy": "numpy",
    "scipy": "scipy",
    "ase": "ase",
    "torch": "torch",
    "vesin": "vesin",
    "mace": "mace-torch",
    "metatomic": "metatomic-torch",
    "tblite": "tblite",
    "dolfinx": "fenics-dolfinx",
    "petsc4py": "petsc4py",
    "mpi4py": "mpi4py",
    "gmsh": "gmsh",
    "meshio": "meshio",
    "matplotlib": "matplotlib",
}


def version(package: str) -> str | None:
    """The installed version of a package, by the name it is imported by; None where its metadata is not there."""
    try:
        return metadata.version(PACKAGES.get(package, package))
    except metadata.PackageNotFoundError:
        return None


def versions() -> dict[str, str]:
    """Versions of Python, of this framework and of every package of :data:`PACKAGES` that is installed.

    Nothing is imported for it: the numbers come from the packages' metadata.
    """
    found = {name: version(name) for name in PACKAGES}
    return {"python": platform.python_version(), "multiscale": __version__} | {k: v for k, v in found.items() if v}
