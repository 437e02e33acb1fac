"""The notched square in tension: 1 mm, a slit from the left edge to the centre, the upper edge pulled up."""

from __future__ import annotations

from typing import Any

import numpy as np
from bars import GC, E

from multiscale.continuum.brittle import BrittleSolid, isotropic_stiffness
from multiscale.continuum.cut import cut
from multiscale.continuum.graded import graded, rectangle
from multiscale.continuum.mesh import SimplexMesh
from multiscale.continuum.phase_field import PhaseField
from multiscale.types import Team


def square(length: float, cells: int) -> SimplexMesh:
    """Cells of length/cells along the way of the crack, larger ones elsewhere, and a slit with doubled nodes."""
    h = length / cells
    x = graded(0.0, 1.0, (0.5 - 2 * length, 1.0), h, 1.4)
    y = graded(0.0, 1.0, (0.5 - 4 * length, 0.5 + 4 * length), h, 1.4)
    return cut(
        rectangle(x, y), lambda X: (np.abs(X[:, 1] - 0.5) < 1e-9) & (X[:, 0] < 0.5), lambda X: X[:, 1] > 0.5
    ).mesh


def loads(fine: float, start: float, stop: float = 9e-3) -> Any:
    """Displacements of the upper edge, mm: 1 µm steps up to ``start``, then ``fine`` ones."""
    return np.concatenate([np.arange(1e-3, start - 1e-9, 1e-3), np.arange(start, stop, fine)])


def pull(
    kind: Any, length: float, cells: int, team: Team, steps: Any, *, tolerance: float, make: Any = PhaseField
) -> dict[str, Any]:
    """Pull until the square is in two; a row per step: displacement, force, stored, dissipated, work, sweeps.

    Parameters
    ----------
    kind : {"AT1", "AT2"}
    length : float
        ℓ, mm.
    cells : int
        Per ℓ.
    steps : sequence of float
        Displacements of the upper edge, mm.
    tolerance : float
        Of the equilibrium; infinite for a single sweep per step.
    make : callable
        What solves it.
    """
    mesh = square(length, cells)
    solid = BrittleSolid(isotropic_stiffness(E, 0.3), GC, length, kind)
    X = mesh.nodes
    top = X[:, 1] > 1.0 - 1e-9
    fixed = np.repeat((top | (X[:, 1] < 1e-9))[:, None], 3, axis=1)
    body, rows, state = make(mesh, solid, team=team), [], None
    for pulled in steps:
        state = body.solve(np.where(top[:, None], [0.0, pulled, 0.0], 0.0), fixed, tolerance=tolerance)
        force = float(state.reactions[top, 1].sum())
        rows.append((pulled, force, state.elastic, state.crack, state.work, state.sweeps))
        if force < 0.03 * max(r[1] for r in rows):
            break
    return {"mesh": mesh, "solid": solid, "state": state, "rows": np.array(rows), "h": length / cells}
