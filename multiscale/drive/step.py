"""What drivers yield: one record per step, on every rank alike."""

from __future__ import annotations

from dataclasses import dataclass

from ..types import Array


@dataclass(frozen=True)
class Step:
    """One step of a driver.

    Attributes
    ----------
    index : int
        0 is the state the driver was given.
    q : (n_q, 3) array
        Å.
    energy : float or None
        eV; None for methods without an energy.
    forces : (n_q, 3) array
        eV/Å, those on fixed dofs included; with the reactions of the coupler's constraint, if it has one.
    max_force : float
        Largest force on a free dof, eV/Å.
    evaluations : int
        Evaluations of the model so far in this driver.
    converged : bool
        Whether the driver has reached what it was asked for.
    load : float or None
        Load parameter, for quasi-static loading.
    event : str
        What happened, in words; empty for an ordinary step.
    increment : float or None
        The load increment that is tried next, for quasi-static loading.
    velocities : (n_q, 3) array or None
        Å per ASE time unit, for dynamics.
    heat : float or None
        eV that a thermostat or a friction has put in since the start, for dynamics with one; friction's is negative.
    """

    index: int
    q: Array
    energy: float | None
    forces: Array
    max_force: float
    evaluations: int
    converged: bool = False
    load: float | None = None
    event: str = ""
    increment: float | None = None
    velocities: Array | None = None
    heat: float | None = None

    def line(self) -> str:
        """One line for a log."""
        load = f"load {self.load:.5g}  " if self.load is not None else ""
        energy = f"E {self.energy:.8f} eV  " if self.energy is not None else ""
        work = f"max|F| {self.max_force:.2e} eV/Å  {self.evaluations} evaluations"
        return f"step {self.index:4d}  {load}{energy}{work}  {self.event}".rstrip()
