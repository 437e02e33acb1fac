"""Drivers over a hybrid model: relaxation, quasi-static loading, dynamics. All are generators of :class:`Step`."""

from .dynamics import verlet
from .load import load
from .precondition import Preconditioner, precondition
from .relax import relax
from .step import Step

__all__ = ["Preconditioner", "Step", "load", "precondition", "relax", "verlet"]
