"""Bars in tension: the stress at which AT1 and AT2 give way, and what AT1 has spent when the bar is in two.

AT1 is elastic up to σ_c = √(3 E Gc/8ℓ), at which a homogeneous state becomes a crack. AT2 damages at once; its homogeneous stress has a
peak of (9/16) √(E Gc/3ℓ), which a bar shorter than its crack's profile passes without breaking. One cell across, ν = 0, plane stress.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from multiscale.continuum.brittle import BrittleSolid, isotropic_stiffness
from multiscale.continuum.mesh import SimplexMesh
from multiscale.continuum.phase_field import FractureState, PhaseField
from multiscale.types import Team

E, GC, LENGTH = 210e3, 2.7, 0.015
"""N/mm², N/mm, mm: steel as in Miehe, Hofacker & Welschinger (2010), DOI 10.1016/j.cma.2010.04.011."""


class Bar:
    """A bar between two grips that move apart and leave the sides free.

    Parameters
    ----------
    kind : {"AT1", "AT2"}
    length, h : float
        mm; ``h`` is the size of the cells, and the bar's height is ``rows`` of them.
    rows : int
    grips : bool
        Whether damage is kept from the ends, so that a crack forms inside.
    """

    def __init__(
        self, kind: Literal["AT1", "AT2"], length: float, h: float, team: Team, rows: int = 1, grips: bool = True
    ) -> None:
        self.height = rows * h
        self.solid = BrittleSolid(isotropic_stiffness(E, 0.0), GC, LENGTH, kind, plane="stress")
        mesh = SimplexMesh.rectangle((0, 0), (length, self.height), (round(length / h), rows))
        X = self.X = mesh.nodes
        self.right = X[:, 0] > length - 1e-9
        ends = self.right | (X[:, 0] < 1e-9)
        self.fixed = np.zeros(X.shape, dtype=bool)
        self.fixed[ends, 0] = True
        self.fixed[0, 1] = True
        self.body = PhaseField(mesh, self.solid, team=team, sound=ends if grips else None)

    def stretch(self, strain: float) -> tuple[float, FractureState]:
        """Stress, N/mm², and state at a strain."""
        state = self.body.solve(self.X * [strain, 0.0, 0.0], self.fixed, tolerance=1e-6)
        return float(state.reactions[self.right, 0].sum()) / self.height, state


def at1(team: Team, step: float = 1e-3) -> dict[str, Any]:
    """Stress before and after the first damage, in strain steps of ``step`` of the critical one, and the crack's energy."""
    bar = Bar("AT1", 0.3, LENGTH / 4, team, rows=8)
    critical = bar.solid.strength(E) / E
    curve = []
    for share in (0.5, 0.9, 1 - 3 * step, 1 - 2 * step, 1 - step, 1 + step, 1 + 2 * step, 1.2):
        stress, state = bar.stretch(share * critical)
        curve.append((share * critical, stress, float(state.d.max())))
    strain, stress, damage = np.array(curve).T
    sound = damage < 1e-6
    return {
        "curve": (strain, stress),
        "strength": float(stress[sound].max()),
        "first damaged": float(strain[~sound].min()) * E,
        "crack": state.crack / (bar.height * bar.solid.toughness(LENGTH / 4)),
        "left": float(stress[-1]),
    }


def at2(team: Team, steps: int = 60) -> dict[str, Any]:
    """The homogeneous curve of a bar as long as ℓ, and its peak."""
    bar = Bar("AT2", LENGTH, LENGTH / 2, team, grips=False)
    peak = np.sqrt(GC / (3.0 * LENGTH * E))
    strain = np.linspace(0.05, 1.6, steps) * peak
    points = [bar.stretch(float(e)) for e in strain]
    uniform = max(float(np.ptp(s.d)) for _, s in points)
    return {
        "curve": (strain, np.array([p for p, _ in points])),
        "strength": max(p for p, _ in points),
        "uneven": uniform,
    }


def straight(kind: Literal["AT1", "AT2"], team: Team) -> float:
    """Energy of a crack straight through a bar, one column of cells between its faces, over toughness × height."""
    h = LENGTH / 4
    bar = Bar(kind, 0.3, h, team, rows=4)
    faces = np.abs(bar.X[:, 0] - 0.15 - 0.5 * h) < 0.6 * h
    body = PhaseField(bar.body.mesh, bar.solid, team=team, damage=faces.astype(float))
    return body.start / (bar.height * bar.solid.toughness(h))
