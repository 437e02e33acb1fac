"""LAMMPS on the same crystals with the same potentials: a program of its own, started if it is there, never imported.

    lmp -in (silicon by Stillinger–Weber, or aluminium by EAM; constant energy at 300 K)  →  s per step, lists per step, memory

It is looked for in ``$LAMMPS`` (the path of ``lmp``), then on ``PATH``; its ranks are started by the ``mpiexec`` beside it, else
by the one on ``PATH``.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from children import environment
from systems import KINDS, SKIN

from multiscale import models
from multiscale.types import MultiscaleError

#: Stillinger and Weber's parameters in LAMMPS' order: ε σ a λ γ cos θ₀ A B p q tolerance.
SI_SW = "Si Si Si 2.1683 2.0951 1.80 21.0 1.20 -0.333333333333333333 7.049556277 0.6022245584 4.0 0.0 0.0\n"
#: The largest resident memory of a program, KiB; a process of its own, since what is forked begins with its parent's.
WATCH = (
    "import json, os, subprocess, sys\n"
    "p = subprocess.Popen(sys.argv[2:])\n"
    "_, status, used = os.wait4(p.pid, 0)\n"
    "json.dump([os.waitstatus_to_exitcode(status), used.ru_maxrss], open(sys.argv[1], 'w'))\n"
)
INPUT = """units metal
atom_style atomic
boundary p p p
lattice {lattice} {a}
region all block 0 {cells[0]} 0 {cells[1]} 0 {cells[2]}
create_box 1 all
create_atoms 1 box
mass 1 {mass}
{potential}
neighbor {skin} bin
neigh_modify every 1 delay 0 check yes
timestep 0.001
run 0
variable energy equal pe
print "POTENTIAL ENERGY ${{energy}}"
velocity all create 600.0 7
fix 1 all nve
thermo 1000000
run {settle}
run {steps}
"""


@dataclass(frozen=True)
class Timing:
    """What a run has shown.

    Attributes
    ----------
    seconds : float
        Per step, wall.
    busy : float
        CPU time over wall time of a rank, as LAMMPS gives it; below one where other programs took the core.
    builds : float
        Neighbour lists per step.
    peak : float
        MiB, the largest resident memory of a process.
    atoms : int
    energy : float
        eV, of the perfect crystal.
    """

    seconds: float
    busy: float
    builds: float
    peak: float
    atoms: int
    energy: float


def found() -> Path | None:
    """The program, or None where it is not installed."""
    path = os.environ.get("LAMMPS") or shutil.which("lmp")
    return Path(path).resolve() if path and shutil.which(path) else None


def run(
    lmp: Path, folder: Path, kind: str, cells: Sequence[int], steps: int, ranks: int = 1, settle: int = 20
) -> Timing:
    """Time ``steps`` steps after ``settle`` ones on ``ranks`` ranks; files go to ``folder``.

    Raises
    ------
    MultiscaleError
        When the program fails, or runs on another number of ranks than asked for.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder, kind, cells, steps, settle)
    command = [str(lmp), "-in", "in.lmp", "-log", "log.lammps", "-screen", "none", "-suffix", "off"]
    if ranks > 1:
        beside = lmp.parent / "mpiexec"
        launcher = str(beside) if beside.exists() else shutil.which("mpiexec")
        if launcher is None:
            raise MultiscaleError(f"LAMMPS at {lmp} needs the mpiexec of its MPI for {ranks} ranks; put it on PATH")
        command = [launcher, "-n", str(ranks), *command]
    watched = [sys.executable, "-S", "-c", WATCH, "watched.json", *command]
    done = subprocess.run(watched, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    log = folder / "log.lammps"
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    code, peak = json.loads((folder / "watched.json").read_text()) if done.returncode == 0 else (-1, 0)
    if code != 0:
        raise MultiscaleError(f"LAMMPS at {lmp} failed: {(done.stderr or done.stdout or text).strip()[-500:]}")
    return _read(text, ranks, peak / 2**10)


def _write(folder: Path, kind: str, cells: Sequence[int], steps: int, settle: int) -> None:
    crystal = KINDS[kind][0]
    if kind == "Stillinger–Weber":
        (folder / "Si.sw").write_text(SI_SW)
        lattice, mass, potential = "diamond", 28.0855, "pair_style sw\npair_coeff * * Si.sw Si"
    else:
        shutil.copy(Path(models.__file__).parent / "data" / "Al_EA.eam.alloy", folder / "Al.eam.alloy")
        lattice, mass, potential = "fcc", 26.9815, "pair_style eam/alloy\npair_coeff * * Al.eam.alloy Al"
    (folder / "log.lammps").unlink(missing_ok=True)
    (folder / "in.lmp").write_text(
        INPUT.format(
            lattice=lattice,
            a=crystal.a,
            cells=cells,
            mass=mass,
            potential=potential,
            skin=SKIN,
            settle=settle,
            steps=steps,
        )
    )


def _read(log: str, ranks: int, peak: float) -> Timing:
    loop = re.findall(r"Loop time of (\S+) on (\d+) procs for (\d+) steps with (\d+) atoms", log)
    busy = re.findall(r"(\S+)% CPU use with", log)
    builds = re.findall(r"Neighbor list builds = (\d+)", log)
    energy = re.search(r"^POTENTIAL ENERGY (\S+)", log, re.MULTILINE)
    if not (loop and busy and builds and energy):
        raise MultiscaleError(f"LAMMPS' log is not understood; it ends with {log.strip()[-300:]!r}")
    seconds, procs, steps, atoms = loop[-1]
    if int(procs) != ranks:
        raise MultiscaleError(
            f"LAMMPS ran on {procs} ranks where {ranks} were asked for; put the mpiexec of the MPI it is built with beside it"
        )
    n = int(steps)
    return Timing(float(seconds) / n, float(busy[-1]) / 100, int(builds[-1]) / n, peak, int(atoms), float(energy[1]))
