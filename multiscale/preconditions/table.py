"""The table of preconditions: numbers, what they may be, and what to do about those that are not.

ok = (|value| ≤ gate), or (value ≥ gate) for the few that have to be large; not judged without a gate or a value
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from io import StringIO

from rich import box
from rich.console import Console
from rich.table import Table

from ..types import MultiscaleError

#: Columns of the printed table.
WIDTH = 140


@dataclass(frozen=True)
class Gates:
    """What the numbers may be; None reports without judging.

    Attributes
    ----------
    lattice : float
        Relative difference of the lattice constants.
    stiffness : float
        Relative difference of the elastic constants.
    offset : float
        eV per atom, of every element, on the perfect crystal: over a zone of 4 Å, 1 meV pushes by 0.5 meV/Å.
    ghost : float
        eV/Å, largest force on the perfect lattice, where lattice constants agree; else the force is reported.
    jump : float
        eV, of the energy as an atom crosses an edge of the zone: round-off of a sum over some thousand atoms in double
        precision. Single precision and self-consistent fields need more.
    force_difference, force_difference_relative : float or None
        ε_F, eV/Å, and over the forces of the better level.
    weight_force : float or None
        eV/Å, max |∇s| |ΔE_i|.
    buffer_force, buffer_energy : float or None
        eV/Å and eV: what a larger buffer may still change.
    """

    lattice: float | None = 1e-4
    stiffness: float | None = 0.02
    offset: float | None = 1e-3
    ghost: float | None = 1e-5
    jump: float | None = 1e-9
    force_difference: float | None = None
    force_difference_relative: float | None = None
    weight_force: float | None = None
    buffer_force: float | None = None
    buffer_energy: float | None = None


@dataclass(frozen=True)
class Row:
    """One number.

    Attributes
    ----------
    quantity : str
    value : float or None
        None where the number does not exist; the note says why.
    unit : str
    gate : float or None
        The largest allowed magnitude, or the least allowed value.
    ok : bool or None
        None where it is not judged.
    note : str
        How or where it was measured.
    remedy : str
        What to do if it fails.
    least : bool
        Whether the gate is a lower bound.
    """

    quantity: str
    value: float | None
    unit: str = ""
    gate: float | None = None
    ok: bool | None = None
    note: str = ""
    remedy: str = ""
    least: bool = False

    @property
    def excess(self) -> float:
        """By which factor the number misses its gate; above one if it fails."""
        if self.value is None or self.gate is None:
            return 0.0
        size, gate = (self.gate, self.value) if self.least else (abs(self.value), self.gate)
        return size / gate if gate > 0 else float("inf")

    def cells(self) -> tuple[str, ...]:
        """What the printed table shows."""
        value = "–" if self.value is None else f"{self.value:.4g} {self.unit}".rstrip()
        gate = "" if self.gate is None else f"{'≥' if self.least else '≤'} {self.gate:.4g}"
        return self.quantity, value, gate, {True: "✓", False: "✗", None: "–"}[self.ok], self.note


def judged(
    quantity: str,
    value: float | None,
    unit: str = "",
    gate: float | None = None,
    note: str = "",
    remedy: str = "",
    least: bool = False,
) -> Row:
    """A row with its verdict; a number that is not one fails its gate."""
    ok = None
    if gate is not None and value is not None:
        ok = bool(value >= gate) if least else bool(abs(value) <= gate)
    return Row(quantity, value, unit, gate, ok, note, remedy, least)


@dataclass(frozen=True)
class Preconditions:
    """All rows.

    Examples
    --------
    >>> table = Preconditions((judged("lattice constant", 5e-3, "", 1e-4, remedy="rescale the quantum region"),))
    >>> table.ok, table["lattice constant"].ok
    (False, False)
    """

    rows: tuple[Row, ...]

    @property
    def ok(self) -> bool:
        """Whether no number fails."""
        return not any(row.ok is False for row in self.rows)

    def __getitem__(self, quantity: str) -> Row:
        """The row of a quantity, or the first whose name begins so."""
        exact = [row for row in self.rows if row.quantity == quantity]
        found = exact or [row for row in self.rows if row.quantity.startswith(quantity)]
        if not found:
            raise MultiscaleError(
                f"no precondition is called '{quantity}'; there are {', '.join(row.quantity for row in self.rows)}"
            )
        return found[0]

    def __add__(self, other: Preconditions | Iterable[Row]) -> Preconditions:
        """Both tables in one."""
        return Preconditions(self.rows + tuple(other.rows if isinstance(other, Preconditions) else other))

    def require(self) -> Preconditions:
        """Give the table back, or refuse to go on.

        Raises
        ------
        MultiscaleError
            If a number fails; the one that misses its gate by the largest factor is named.
        """
        failed = [row for row in self.rows if row.ok is False]
        if failed:
            # NaN compares with nothing and is worse than everything.
            worst = max(failed, key=lambda row: row.excess if row.excess == row.excess else float("inf"))
            others = f" ({len(failed) - 1} other numbers fail too)" if len(failed) > 1 else ""
            raise MultiscaleError(
                f"precondition '{worst.quantity}' is {worst.value:.4g} {worst.unit}".rstrip()
                + f" and needs to be {'at least' if worst.least else 'at most'} {worst.gate:.4g}{others}; "
                + (worst.remedy or "change the levels or the gate")
            )
        return self

    def table(self) -> Table:
        """For a terminal."""
        table = Table(title="preconditions", title_justify="left", box=box.SIMPLE_HEAD)
        for column in ("quantity", "value", "gate", "ok", "note"):
            table.add_column(column, overflow="fold")
        for row in self.rows:
            table.add_row(*row.cells())
        return table

    def __str__(self) -> str:
        text = StringIO()
        Console(file=text, width=WIDTH, no_color=True, force_terminal=False).print(self.table())
        return "\n".join(line.rstrip() for line in text.getvalue().splitlines())
