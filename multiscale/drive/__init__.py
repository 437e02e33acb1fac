"""Drivers over a hybrid model: relaxation, quasi-static loading, dynamics. All are generators of :class:`Step`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import lazy
from .dynamics import langevin, verlet
from .friction import FineFriction, Friction
from .load import load
from .precondition import Preconditioner, precondition
from .relax import relax
from .respa import respa
from .shadow import EnergyRecord, drift, leapfrog_energy, record_energy
from .step import Step
from .thermal import kinetic_energy, kinetic_temperature, thermal_velocities
from .watch import watch
from .work import VirtualWork, virtual_work

if TYPE_CHECKING:
    from .continuation import Point, arc_length
    from .follow import Change, Follow, Within, agree
    from .held import control
    from .monolithic import newton, staggered
    from .stability import Modes, lowest_modes

__all__ = [
    "Change",
    "EnergyRecord",
    "FineFriction",
    "Follow",
    "Friction",
    "Modes",
    "Point",
    "Preconditioner",
    "Step",
    "VirtualWork",
    "Within",
    "agree",
    "arc_length",
    "control",
    "drift",
    "kinetic_energy",
    "kinetic_temperature",
    "langevin",
    "leapfrog_energy",
    "load",
    "lowest_modes",
    "newton",
    "precondition",
    "record_energy",
    "relax",
    "respa",
    "staggered",
    "thermal_velocities",
    "verlet",
    "virtual_work",
    "watch",
]

# Following needs neighbour lists and Newton's method PETSc, which relaxing a chain does not.
__getattr__, __dir__ = lazy(
    __name__,
    dict.fromkeys(("Change", "Follow", "Within", "agree"), ".follow")
    | dict.fromkeys(("newton", "staggered"), ".monolithic")
    | dict.fromkeys(("Point", "arc_length"), ".continuation")
    | {"control": ".held"}
    | dict.fromkeys(("Modes", "lowest_modes"), ".stability"),
)
