"""A disc with a hole and a slit behind it, and ahead of it a straight row of cells for a crack that goes on: the mesh of a hand-over.

    slit       y = 0,  −R < x < −r          doubled nodes
    row        |y| < h/2,  r < x < R        two triangles every h, the only cells that cross y = 0
    cells      h within ``half`` of the row up to ``end``, growing from there and from the hole

The row opens where a phase field has damage 1 on both of its sides. Atoms across the crack plane that are farther apart than h lie outside
it, so that what follows the mesh is cut as the mesh is.
"""

from __future__ import annotations

import numpy as np

from ..types import Array, IntArray, MultiscaleError
from .mesh import SimplexMesh
from .meshing import _mirror, _open_slit, _run, gmsh


def tracked_disc(
    radius: float,
    hole: float,
    h: float,
    end: float,
    half: float,
    h_inner: float,
    h_outer: float,
    degree: int = 2,
    grade: float = 0.25,
) -> SimplexMesh:
    """The mesh of the module's docstring; needs gmsh. Its mirror image in y = 0 has the same nodes.

    Parameters
    ----------
    radius, hole : float
        Å; R and r.
    h : float
        Å; height and length of the row's cells up to x = ``end``.
    end, half : float
        Å; cells are ``h`` large up to x = ``end`` and |y| = ``half``.
    h_inner, h_outer : float
        Å; cell sizes at the hole elsewhere, and at the most.
    degree : int
        1 or 2, of the nodes.
    grade : float
        Growth of the size with the distance.
    """
    if not (0 < h < hole < end < radius and 0 < half < radius and h <= h_inner <= h_outer < radius):
        raise MultiscaleError(
            f"need 0 < h < hole < end < radius, 0 < half < radius and h ≤ h_inner ≤ h_outer < radius, got h {h}, hole {hole}, end {end}, "
            f"radius {radius}, half {half}, h_inner {h_inner} and h_outer {h_outer} Å"
        )
    points, cells = _run(lambda: _upper(radius, hole, h, end, half, (h_inner, h_outer, grade)))
    points[np.abs(points[:, 1]) < 1e-9 * radius, 1] = 0.0
    edge = (np.abs(points[:, 1] - h / 2) < 1e-9 * radius) & (points[:, 0] > 0)
    n = len(points)
    points, cells = _mirror(points, cells)
    # Nodes off the axis are copied in their order: those of the lower edge follow one another as those of the upper one do.
    below = n + np.cumsum(points[:n, 1] != 0) - 1
    top = np.flatnonzero(edge)
    top = top[np.argsort(points[top, 0])]
    cells = np.vstack([cells, _row(top, below[top])])
    return SimplexMesh(*_open_slit(points, cells), degree)


def row_nodes(mesh: SimplexMesh, h: float) -> Array:
    """X of the vertices (n_points,) on the edges |y| = h/2 of the row, NaN for all others, Å."""
    x, y = mesh.points.T
    return np.where((np.abs(np.abs(y) - h / 2) < 1e-6 * h) & (x > 0), x, np.nan)


def _row(top: IntArray, bottom: IntArray) -> IntArray:
    """Two triangles per interval; diagonals alternate, so that neither side is stiffer."""
    a, b, c, d = bottom[:-1], bottom[1:], top[:-1], top[1:]
    rising = np.stack([np.column_stack([a, b, d]), np.column_stack([a, d, c])])
    falling = np.stack([np.column_stack([a, b, c]), np.column_stack([b, d, c])])
    odd = (np.arange(len(a)) % 2 == 1)[None, :, None]
    return np.where(odd, rising, falling).reshape(-1, 3)


def _upper(radius: float, hole: float, h: float, end: float, half: float, sizes: tuple[float, float, float]) -> None:
    """The upper half above the row and the slit; the lower one is its image."""
    geo, y = gmsh.model.geo, h / 2
    near, far = (float(np.sqrt(r**2 - y**2)) for r in (hole, radius))
    centre = geo.addPoint(0, 0, 0)
    start, stop, right = (geo.addPoint(x, y, 0) for x in (near, end, far))
    top, left = geo.addPoint(0, radius, 0), geo.addPoint(-radius, 0, 0)
    back, crown = geo.addPoint(-hole, 0, 0), geo.addPoint(0, hole, 0)
    fine = geo.addLine(start, stop)
    lines = [fine, geo.addLine(stop, right), geo.addCircleArc(right, centre, top), geo.addCircleArc(top, centre, left)]
    lines += [geo.addLine(left, back), geo.addCircleArc(back, centre, crown), geo.addCircleArc(crown, centre, start)]
    geo.addPlaneSurface([geo.addCurveLoop(lines)])
    geo.synchronize()
    gmsh.model.mesh.setTransfiniteCurve(fine, round((end - near) / h) + 1)
    h_inner, h_outer, grade = sizes
    field = gmsh.model.mesh.field
    band, around, smaller = field.add("Box"), field.add("MathEval"), field.add("Min")
    reach = (h_outer - h) / grade
    box = {"VIn": h, "VOut": h_outer, "XMin": 0, "XMax": end, "YMin": -half, "YMax": half, "ZMin": -1, "ZMax": 1}
    for name, value in (box | {"Thickness": reach}).items():
        field.setNumber(band, name, value)
    field.setString(around, "F", f"{h_inner:.12g} + {grade:.12g} * (sqrt(x*x + y*y) - {hole:.12g})")
    field.setNumbers(smaller, "FieldsList", [band, around])
    field.setAsBackgroundMesh(smaller)
