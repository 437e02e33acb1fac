"""Certificates: what was measured of an engine, and which capabilities the numbers leave it.

allowed = offered ∖ ∪ { what a failed measurement guards }
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from .region import Can


@dataclass(frozen=True)
class Measurement:
    """One measured number.

    Attributes
    ----------
    check, unit : str
    measured, gate : float
    guards : Can
        What the engine may not offer if this fails.
    """

    check: str
    measured: float
    gate: float
    unit: str
    guards: Can

    @property
    def ok(self) -> bool:
        """Whether the number is within its gate; what is infinite or not a number is not."""
        return math.isfinite(self.measured) and bool(self.measured <= self.gate)

    def __str__(self) -> str:
        return f"{self.check} {self.measured:.2g} {self.unit} (gate {self.gate:.2g})"


@dataclass(frozen=True)
class Certificate:
    """What :func:`certify` measured.

    Attributes
    ----------
    subject, precision : str
    measurements : tuple of Measurement
    unmeasured : tuple of str
        Checks that could not be made, with the reason.
    """

    subject: str
    precision: str
    measurements: tuple[Measurement, ...]
    unmeasured: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether everything measured is within its gate."""
        return all(m.ok for m in self.measurements)

    @property
    def failed(self) -> tuple[Measurement, ...]:
        """What is not."""
        return tuple(m for m in self.measurements if not m.ok)

    def allowed(self, can: Can) -> Can:
        """What is left of an offer."""
        for m in self.failed:
            can &= ~m.guards
        return can

    def refuses(self, can: Can) -> str | None:
        """Why (some of) ``can`` is refused, with the numbers; None where it is not."""
        against = [str(m) for m in self.failed if m.guards & can]
        if not against:
            return None
        return f"certification of {self.subject} failed: {'; '.join(against)}"

    def __str__(self) -> str:
        lines = [f"{self.subject}, {self.precision} precision"]
        lines += [
            f"  {'ok' if m.ok else 'FAILED':<7}{m.check:<28}{m.measured:10.2e}{m.gate:10.0e}  {m.unit}"
            for m in self.measurements
        ]
        return "\n".join(lines + [f"  not measured: {text}" for text in self.unmeasured])
