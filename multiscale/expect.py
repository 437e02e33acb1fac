"""What a case expects of a measured quantity, and where the expectation comes from."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from .types import MultiscaleError


@dataclass(frozen=True)
class Expect:
    """One expectation.

    ``near``:  |measured − value| ≤ tolerance, in every component (equality for text);
    ``at most``, ``at least``:  a bound, for ratios such as speed and memory.

    Attributes
    ----------
    quantity : str
        The name under which the case records it.
    value : number, array-like or text
        The expected value, or the bound.
    tolerance : float
        In the quantity's unit, or a fraction of the largest |value| when ``relative``.
    source : str
        The DOI of a paper, an identity in words, or the ``reference.json`` that says how it was made.
    unit : str
        Unit of value and tolerance; empty for a plain number.
    kind : {"near", "at most", "at least"}
        How to compare.
    relative : bool
        Whether the tolerance is a fraction.
    sizes : tuple of str
        The case's sizes that it holds for; empty for all.

    Examples
    --------
    >>> Expect("K_G", 0.646, tolerance=0.01, source="Griffith's energy balance", unit="MPa√m").met(0.65)
    True
    """

    quantity: str
    value: Any
    tolerance: float = 0.0
    source: str = ""
    unit: str = ""
    kind: Literal["near", "at most", "at least"] = "near"
    relative: bool = False
    sizes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.source:
            raise MultiscaleError(
                f"the expectation of '{self.quantity}' has no source; give a DOI, or say how it was made"
            )
        if not (math.isfinite(self.tolerance) and self.tolerance >= 0):
            raise MultiscaleError(
                f"the tolerance of '{self.quantity}' must be finite and not negative, got {self.tolerance}"
            )

    @property
    def margin(self) -> float:
        """The tolerance in the quantity's unit."""
        if not self.relative:
            return self.tolerance
        return self.tolerance * float(np.max(np.abs(np.asarray(self.value, dtype=float))))

    def met(self, measured: Any) -> bool:
        """Whether ``measured`` is as expected; a missing or non-finite value never is."""
        if isinstance(self.value, str) or isinstance(measured, str):
            return bool(measured == self.value)
        if measured is None:
            return False
        found, wanted = np.asarray(measured, dtype=float), np.asarray(self.value, dtype=float)
        if found.shape != wanted.shape or not np.all(np.isfinite(found)):
            return False
        if self.kind == "at most":
            return bool(np.all(found <= wanted + self.margin))
        if self.kind == "at least":
            return bool(np.all(found >= wanted - self.margin))
        return bool(np.all(np.abs(found - wanted) <= self.margin))


def from_reference(path: str | Path) -> tuple[Expect, ...]:
    """The expectations of a ``reference.json``.

    The file says how its numbers were made, and gives them::

        {"made_by": "how, with which program, when",
         "quantities": {"K_G": {"value": 0.646, "tolerance": 0.01, "unit": "MPa√m", "sizes": ["small"]}}}

    A quantity that has other values in other sizes has a list of such entries.

    Raises
    ------
    MultiscaleError
        When the file cannot be read or does not say how it was made.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        made_by, quantities = content["made_by"], content["quantities"]
        named = [
            (name, dict(entry))
            for name, entries in quantities.items()
            for entry in (entries if isinstance(entries, list) else [entries])
        ]
        return tuple(
            Expect(name, **{"source": f"{path.name}: {made_by}", **entry, "sizes": tuple(entry.get("sizes", ()))})
            for name, entry in named
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise MultiscaleError(
            f"{path} is no reference file ({type(error).__name__}: {error}); it needs 'made_by' (how the numbers were "
            "made) and 'quantities' (name to value, tolerance, unit, or to a list of such)"
        ) from error
