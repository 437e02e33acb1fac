"""The jump of the energy as something crosses an edge of a switching zone.

    ΔE = lim_{t→0+} E − lim_{t→0−} E,      E(0±) ≈ 4E(±h) − 6E(±2h) + 4E(±3h) − E(±4h)

Cubic extrapolation from both sides takes the continuous variation off: its errors, h⁴E⁗, are the same on both sides. The
same stencil five steps outside the edge, where nothing happens, measures the noise: round-off, or an unconverged
self-consistent field.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from ..model import HybridModel
from ..shapes import Shape
from ..types import Array, IntArray, MultiscaleError
from .table import Gates, Row, judged
from .zone import Mixing

#: Å; nothing is pushed farther than this to bring it to an edge.
PUSH = 0.5
#: Weights of the extrapolation from h, 2h, 3h, 4h to 0.
CUBIC = np.array([4.0, -6.0, 4.0, -1.0])
SMOOTH = "use a switch that is continuous (C² where dynamics or minimisers look) and weights that are no step"


@dataclass(frozen=True, eq=False)
class Edges:
    """A switching zone, 0 < d < width, and what may cross its edges.

    Attributes
    ----------
    shape, width
    points : callable
        q → (n, 3), where the weights of the n movable things are taken.
    members : sequence of int arrays
        The shared dofs of each of them, which move together.
    """

    shape: Shape
    width: float
    points: Callable[[Array], Array]
    members: list[IntArray]


@dataclass(frozen=True)
class Crossing:
    """One thing at one edge or in the middle: its first dof, the jump and the noise, eV."""

    edge: str
    dof: int
    jump: float
    noise: float


def crossings(
    model: HybridModel, q: Array, edges: Edges, *, step: float = 1e-4, each: int = 1
) -> list[Crossing] | None:
    """Move what is nearest to the inner edge, the middle and the outer edge across it, in steps of ``step`` Å; collective.

    Returns
    -------
    list of Crossing or None
        Empty where nothing is within 0.5 Å of any; None where the method has no energy.
    """
    out = []
    # Membership that is decided in the middle of the zone jumps there.
    for name, target in (("inner edge", 0.0), ("middle", 0.5 * edges.width), ("outer edge", edges.width)):
        for members, t0, direction in _nearest(edges, q, target, each):
            energies = {}
            for n in (*range(-4, 0), *range(1, 10)):
                energy = model.evaluate(_moved(q, members, (t0 + n * step) * direction)).energy
                if energy is None:
                    return None
                energies[n] = energy
            out.append(Crossing(name, int(members[0]), _jump(energies, 0), abs(_jump(energies, 5))))
    return out


def _moved(q: Array, members: IntArray, by: Array) -> Array:
    at = q.copy()
    at[members] += by
    return at


def _jump(energies: dict[int, float], about: int) -> float:
    # Differences from one of them first: totals of large systems leave few digits.
    base = energies[about + 1]
    ahead, behind = (CUBIC @ np.array([energies[about + sign * n] - base for n in (1, 2, 3, 4)]) for sign in (1, -1))
    return float(ahead - behind)


def _nearest(edges: Edges, q: Array, target: float, each: int) -> Iterator[tuple[IntArray, float, Array]]:
    """Members, the distance to go and the direction in which d grows, of the things nearest to an edge."""
    X, found = edges.points(q), 0
    d, normal = edges.shape.distance(X, q)
    for k in np.argsort(np.abs(d - target), kind="stable"):
        members, one = edges.members[k], (np.arange(len(d)) == k).astype(float)
        # Shapes that ride on the thing itself change with it.
        n = normal[k] + edges.shape.pull_seeds(X, q, one)[members].sum(axis=0)
        size = float(np.linalg.norm(n))
        if size < 1e-6:
            continue
        if found == each or abs(d[k] - target) > PUSH * max(size, 0.1):
            return
        t = _bisect(edges, q, int(k), n / size, target, (target - float(d[k])) / size)
        if t is not None:
            found += 1
            yield members, t, n / size


def _bisect(edges: Edges, q: Array, k: int, n: Array, target: float, guess: float) -> float | None:
    """How far to move thing k along n to d = target, at most about 0.5 Å; None if it does not pass it there."""

    def outside(t: float) -> bool:
        at = _moved(q, edges.members[k], t * n)
        return bool(edges.shape.distance(edges.points(at)[k : k + 1], at)[0][0] > target)

    margin = 0.01 + 0.5 * abs(guess)
    low, high = guess - margin, guess + margin
    if max(abs(low), abs(high)) > 2.0 * PUSH or outside(low) or not outside(high):
        return None
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if outside(middle) else (middle, high)
    return 0.5 * (low + high)


def jump_row(
    model: HybridModel, q: Array, mixing: Mixing, gates: Gates | None = None, *, step: float = 1e-4, each: int = 1
) -> Row:
    """ΔE_max of a pair of levels at q (n_q, 3), Å; collective."""
    name, interface = f"ΔE_max, {mixing.name}", model.interface
    if mixing.shape is None or not mixing.moving:
        return Row(name, None, "eV", note="the weights rest: no atom crosses an edge")
    edges = Edges(mixing.shape, mixing.width, lambda at: mixing.points(interface, at), list(mixing.dofs[:, None]))
    return _row(name, crossings(model, q, edges, step=step, each=each), gates or Gates())


def group_rows(model: HybridModel, q: Array, gates: Gates | None = None, *, step: float = 1e-4) -> tuple[Row, ...]:
    """ΔE_max of the zones that switch groups (adaptive partitioning), each group moved as a whole; collective."""
    rows = []
    for name, over in model.interface.overlays.items():
        if over.groups is None or not over.moving:
            continue
        members = [np.asarray(m, dtype=np.int64) for m in over.groups.members]
        edges = Edges(over.shape, over.width, over.groups.centres, members)
        try:
            rows.append(_row(f"ΔE_max, {name}", crossings(model, q, edges, step=step), gates or Gates()))
        except MultiscaleError as error:
            # Regions are built for the groups of the present zone; the same on every rank.
            rows.append(Row(f"ΔE_max, {name}", None, "eV", note=f"the nearest group cannot cross: {error}"))
    return tuple(rows)


def _row(name: str, found: list[Crossing] | None, gates: Gates) -> Row:
    if found is None:
        return Row(name, None, "eV", note="the method has no energy")
    if not found:
        return Row(name, None, "eV", note=f"nothing within {PUSH} Å of an edge")
    worst, noise = max(abs(c.jump) for c in found), max(c.noise for c in found)
    which = ", ".join(dict.fromkeys(c.edge for c in found))
    note = f"across {which}; noise {noise:.1g} eV"
    row = judged(name, worst, "eV", gates.jump, note, SMOOTH)
    if row.ok is False and worst <= 10.0 * noise:
        # What the engine does everywhere cannot be told from a jump, and must not pass for one.
        return Row(name, worst, "eV", gates.jump, None, f"{note}: the noise of the levels hides the rest")
    return row
