"""What ``multiscale doctor`` finds: what is installed, what is missing and how to get it, what does not go together."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib import util
from typing import Literal

from .environment import PACKAGES, version
from .lazy import REMEDIES
from .ranks import launched
from .registry import broken, couplers

#: What the packages are for; those without a purpose are left out of the report when they are not there.
PURPOSES = {
    "numpy": "everything",
    "scipy": "everything",
    "ase": "atoms and QM calculators",
    "torch": "interatomic models",
    "vesin": "neighbour lists of interatomic models",
    "tblite": "the default quantum method, GFN1-xTB",
    "dolfinx": "finite elements",
    "petsc4py": "finite elements",
    "mpi4py": "more than one rank",
    "matplotlib": "figures of cases",
    "meshio": "meshes from files",
}


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes
    ----------
    state : {"ok", "missing", "warning"}
        How it is.
    topic, text : str
        What it is about, and what to know or to do.
    """

    state: Literal["ok", "missing", "warning"]
    topic: str
    text: str


def examine() -> list[Finding]:
    """Look at this installation; nothing heavy is imported, so that a broken library cannot end the examination."""
    return [
        Finding("ok", "python", f"{platform.python_version()} at {sys.executable}"),
        *_packages(),
        *_clashes(),
        *_mpi(),
        *_hardware(),
        *_couplers(),
    ]


def _present(name: str) -> bool:
    return util.find_spec(name) is not None


def _packages() -> list[Finding]:
    found = []
    for name in PACKAGES:
        if _present(name):
            found.append(Finding("ok", name, version(name) or "version unknown"))
        elif name in PURPOSES:
            remedy = REMEDIES.get(name, f"python -m pip install {name}")
            found.append(Finding("missing", name, f"needed for {PURPOSES[name]}; {remedy}"))
    return found


def _major(name: str) -> int:
    return int((version(name) or "0").partition(".")[0])


def _clashes() -> list[Finding]:
    """Combinations that crash or mislead, each measured; see the documentation, 'Running'."""
    found = []
    old_dolfinx = (version("dolfinx") or "").startswith("0.5.")
    if old_dolfinx and _major("numpy") >= 2:
        text = "numpy 2 does not go with this DOLFINx, which is compiled for numpy 1: python -m pip install 'numpy<2'"
        found.append(Finding("warning", "numpy", text))
    if old_dolfinx and _major("mpi4py") >= 4:
        text = (
            "this mpi4py does not go with the system's petsc4py: python -m pip uninstall mpi4py (the system's remains)"
        )
        found.append(Finding("warning", "mpi4py", text))
    return found


def _mpi() -> list[Finding]:
    launchers = list({os.path.realpath(p): p for p in reversed(_which_all("mpirun"))}.values())[::-1]
    if not launchers:
        text = "no mpirun here; 'make setup', or openmpi-bin with apt, openmpi from conda-forge"
        return [Finding("missing", "mpirun", text)]
    found = [Finding("ok", "mpirun", f"{launchers[0]}: {_first_line([launchers[0], '--version'])}")]
    if _present("mpi4py"):
        # In a process of its own: importing mpi4py starts MPI, which must not happen in a report.
        library = _first_line([sys.executable, "-c", "from mpi4py import MPI; print(MPI.Get_library_version())"])
        found.append(Finding("ok", "MPI of mpi4py", library))
        ask = "from mpi4py import MPI; from multiscale.devices import gpu_aware; print('yes' if gpu_aware() else 'no')"
        takes = _first_line([sys.executable, "-c", ask])
        said = {"yes": "takes device buffers", "no": "takes no device buffers: they pass through pinned host memory"}
        found.append(Finding("ok", "MPI and GPUs", said.get(takes, takes)))
        if ("open mpi" in library.lower()) != ("open" in found[0].text.lower()):
            text = "mpi4py is built with another MPI than mpirun's: every rank would take itself for the whole run"
            found.append(Finding("warning", "two MPIs", text))
    if len(launchers) > 1:
        text = f"several mpirun: {', '.join(launchers)}; scripts/mpi.sh takes the one that belongs to mpi4py"
        found.append(Finding("warning", "two MPIs", text))
    return found


def _which_all(command: str) -> list[str]:
    places = [shutil.which(command, path=p) for p in os.environ.get("PATH", "").split(os.pathsep)]
    return [p for p in places if p]


def _first_line(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=_serial())
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"cannot be run ({error})"
    said = (done.stdout.strip() or done.stderr.strip() or "says nothing").splitlines()
    return said[0] if done.returncode == 0 else said[-1]


def _serial() -> dict[str, str]:
    """The environment without a launcher's traces, so that a child process is a run of its own."""
    traces = ("OMPI_COMM_", "PMIX_", "PMI_", "ORTE_")
    return {k: v for k, v in os.environ.items() if not k.startswith(traces)}


def _hardware() -> list[Finding]:
    threads = os.environ.get("OMP_NUM_THREADS")
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
    found = [Finding("ok", "cores", f"{cores}, OMP_NUM_THREADS={threads or 'unset'}")]
    if launched() != 1 and threads != "1":
        text = "set OMP_NUM_THREADS=1 under mpirun: the threads of all ranks fight for the same cores"
        found.append(Finding("warning", "threads", text))
    if _present("torch"):
        ask = "import torch.cuda as c; print([c.get_device_name(k) for k in range(c.device_count())] or 'no GPU')"
        rule = "dealt out to the ranks of a node in turn, ranks may share one"
        found.append(Finding("ok", "devices", f"torch sees: {_first_line([sys.executable, '-c', ask])}; {rule}"))
    return found


def _couplers() -> list[Finding]:
    usable = ", ".join(couplers())
    found = [Finding("ok" if usable else "missing", "couplers", usable or "none is installed; run 'make setup'")]
    return found + [Finding("warning", "couplers", text) for text in broken().values()]
