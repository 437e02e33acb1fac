"""Phase-field fracture against what is known exactly: two bars, and the notched square in tension.

Two phase fields (AT1, AT2) with damage kept by bounds. The bars give way at the stress of the theory. In the notched square the crack
runs 0.5 mm at once, and the crack functional must say so: Γ = 0.5 (1 + h/cℓ) mm, and a tip's worth, of the order of ℓ, where the crack
starts and of what AT2 damages everywhere before it does. A history field with one pass per step, the usual substitute for bounds and for
equilibrium, counts a good deal more. mm, N.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from bars import at1, at2, straight
from history import HistoryField
from notch import loads, pull
from picture import draw

from multiscale import Case, Expect
from multiscale.types import Team

BAR1 = "σ_c = √(3 E Gc/8ℓ), Pham et al., DOI 10.1177/1056789510386852"
BAR2 = "(9/16) √(E Gc/3ℓ), Borden et al., DOI 10.1016/j.cma.2012.01.008"
LENGTH = "the crack is 0.5 mm long"
BOOKS = "work of the grip = what is stored and dissipated, until the crack runs"


class NotchedSquare(Case):
    """Bars and the single-edge notched square in tension, AT1 and AT2 with bounds, against exact values and a history field."""

    name = "phase_field_sent"
    sizes = {
        "small": {
            "AT1": (0.08, 0.05), "AT2": (0.05,), "cells": 4, "step": 2.5e-4, "start": 5e-3, "tolerance": 1e-3, "history": 2e-5,
        },
        "full": {
            "AT1": (0.03, 0.015), "AT2": (0.03, 0.015), "cells": 4, "step": 1e-4, "start": 3e-3, "tolerance": 1e-4, "history": 1e-5,
        },
    }  # fmt: skip
    expectations = (
        Expect("AT1 bar: strength", 3765.0, 2e-3, BAR1, "N/mm²", relative=True),
        Expect("AT1 bar: first damage at", 3765.0, 2e-3, BAR1, "N/mm²", relative=True),
        Expect(
            "AT1 bar: stress left",
            1e-2,
            source="a broken bar bears what its residual stiffness does",
            unit="of σ_c",
            kind="at most",
        ),
        Expect("AT2 bar: strength", 1996.7, 1e-3, BAR2, "N/mm²", relative=True),
        *(Expect(f"{k}: a straight crack over toughness", 1.0, 5e-3, "Gc (1 + h/cℓ)") for k in ("AT1", "AT2")),
        Expect("AT1: Γ/(1 + h/cℓ), ℓ → 0", 0.5, 0.02, LENGTH, "mm"),
        Expect("AT2: Γ/(1 + h/cℓ), ℓ → 0", 0.5, 0.02, LENGTH, "mm", sizes=("full",)),
        Expect(
            "AT2: Γ/(1 + h/cℓ)",
            0.5,
            source="the crack's 0.5 mm, and what was damaged before it ran",
            unit="mm",
            kind="at least",
        ),
        Expect(
            "AT2: Γ/(1 + h/cℓ) since it runs",
            0.5,
            source="the crack's 0.5 mm, less what was damaged before",
            unit="mm",
            kind="at most",
        ),
        *(
            Expect(f"{k}: |work − stored − dissipated| before the crack runs", 0.01, source=BOOKS, kind="at most")
            for k in ("AT1", "AT2")
        ),
        Expect(
            "history field: Γ over that with bounds", 1.1, source="negative control: it must be wrong", kind="at least"
        ),
    )
    citations = (
        "10.1016/S0022-5096(99)00028-9",
        "10.1016/j.cma.2010.04.011",
        "10.1007/s10659-007-9107-3",
        "10.1002/nme.5300",
    )

    def build(self, run):
        """The ranks; bodies are built where they are loaded."""
        return Team(run.world.rank, run.world.size, run.world.comm)

    def measure(self, run, team):
        """Bars, then squares of two lengths ℓ for each kind, then the history field."""
        s, found = run.settings, {}
        with run.timed("bars"):
            found["AT1 bar"], found["AT2 bar"] = self._bars(run, team)
        for kind in ("AT1", "AT2"):
            for length in s[kind]:
                label = f"{kind}, ℓ = {length:g}"
                with run.timed(label):
                    steps = loads(s["step"], s["start"])
                    found[label] = pull(kind, length, s["cells"], team, steps, tolerance=s["tolerance"])
                self._square(run, label, found[label])
            these = [found[f"{kind}, ℓ = {length:g}"] for length in s[kind]]
            run.record(f"{kind}: |work − stored − dissipated| before the crack runs", max(books(p) for p in these))
            run.record(f"{kind}: Γ/(1 + h/cℓ)", corrected(these[-1]), "mm")
            run.record(f"{kind}: Γ/(1 + h/cℓ) since it runs", corrected(these[-1], since=-2), "mm")
            if len(these) == 2:
                run.record(f"{kind}: Γ/(1 + h/cℓ), ℓ → 0", extrapolated(s[kind], [corrected(p) for p in these]), "mm")
        with run.timed("history field"):
            steps = loads(s["history"], 5e-3)
            found["history"] = pull("AT2", s["AT2"][-1], s["cells"], team, steps, tolerance=np.inf, make=HistoryField)
        self._square(run, "history field", found["history"])
        run.record("history field: Γ over that with bounds", corrected(found["history"]) / corrected(these[-1]))
        return found

    @staticmethod
    def _bars(run: Any, team: Team) -> tuple[Any, Any]:
        one, two = at1(team), at2(team)
        run.record("AT1 bar: strength", one["strength"], "N/mm²")
        run.record("AT1 bar: first damage at", one["first damaged"], "N/mm²")
        run.record("AT1 bar: crack over toughness × height", one["crack"])
        for kind in ("AT1", "AT2"):
            run.record(f"{kind}: a straight crack over toughness", straight(kind, team))
        run.record("AT1 bar: stress left", one["left"] / 3765.0, "of σ_c")
        run.record("AT2 bar: strength", two["strength"], "N/mm²")
        run.record("AT2 bar: unevenness of d", two["uneven"])
        return one, two

    @staticmethod
    def _square(run: Any, label: str, found: dict[str, Any]) -> None:
        rows = found["rows"]
        run.record(f"{label}: peak force", float(rows[:, 1].max()), "N/mm")
        run.record(f"{label}: runs at", float(rows[-1, 0]) * 1e3, "µm")
        run.record(f"{label}: Γ", float(rows[-1, 3]) / found["solid"].Gc, "mm")
        run.record(f"{label}: Γ/(1 + h/cℓ)", corrected(found), "mm")
        run.record(f"{label}: sweeps", int(rows[:, 5].sum()))

    def plot(self, run, data):
        """Curves, books and the pattern."""
        run.save_figure(draw(data), "phase_field_sent.png")


def corrected(found: dict[str, Any], since: int | None = None) -> float:
    """Length of the crack, mm, by the toughness that the mesh has; what was there at the row ``since`` is left out."""
    crack = found["rows"][:, 3]
    return float((crack[-1] - (0.0 if since is None else crack[since])) / found["solid"].toughness(found["h"]))


def extrapolated(lengths: Any, values: Any) -> float:
    """The line through two lengths ℓ at ℓ = 0: the tip counts by the order of ℓ."""
    (a, b), (p, q) = lengths, values
    return float((a * q - b * p) / (a - b))


def books(found: dict[str, Any]) -> float:
    """Largest |work − stored − dissipated|, as a share of the work, before the last step."""
    _, _, elastic, crack, work, _ = found["rows"][:-1].T
    return float((np.abs(work - elastic - crack) / work.max()).max())


if __name__ == "__main__":
    NotchedSquare().main()
