"""Unstructured plane meshes by gmsh: sizes grow as h(r) = min(h_outer, h_inner + grade·(r − r_inner)).

gmsh runs in the calling process, is not needed to import this module, and gives the same mesh every time. Call it on
one rank and broadcast the result, which is plain data.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ..types import Array, IntArray, MultiscaleError, missing
from .mesh import SimplexMesh

try:
    import gmsh
except (ImportError, OSError):  # OSError: the pip wheel without its system libraries (libGLU, libXft)
    gmsh = None


def cracked_disc(
    radius: float,
    hole: float,
    h_inner: float,
    h_outer: float,
    degree: int = 2,
    slit: bool = True,
    grade: float | None = None,
) -> SimplexMesh:
    """A disc about the origin with a slit on y = 0, x < 0 and an optional hole about the tip.

    Parameters
    ----------
    radius, hole : float
        Å. Without a hole (0) the slit's faces meet at the tip, the origin; with one they are separate.
    h_inner, h_outer : float
        Cell sizes, Å, at the hole (or tip) and at the most.
    degree : int
        1 or 2, of the nodes; cells are straight-sided.
    slit : bool
        Doubled nodes on the slit, or (False) the same mesh closed: its nodes are those of the slit mesh without
        the lower face's copies, which come last among the vertices.
    grade : float, optional
        dh/dr; unless told, h reaches ``h_outer`` at ``radius``.

    Notes
    -----
    The mesh is its own mirror image in y = 0, so that mode I excites no mode II.
    """
    if not (0 <= hole < radius and 0 < h_inner <= h_outer < radius):
        raise MultiscaleError(
            f"need 0 ≤ hole < radius and 0 < h_inner ≤ h_outer < radius, got hole {hole}, radius {radius}, h_inner "
            f"{h_inner}, h_outer {h_outer} Å"
        )
    slope = (h_outer - h_inner) / (radius - hole) if grade is None else grade
    points, cells = _run(lambda: _half_disc(radius, hole, h_inner, h_outer, slope))
    points[np.abs(points[:, 1]) < 1e-9 * radius, 1] = 0.0
    points, cells = _mirror(points, cells)
    if slit:
        points, cells = _open_slit(points, cells)
    return SimplexMesh(points, cells, degree)


def holed_rectangle(
    width: float, height: float, hole_radius: float, h_inner: float, h_outer: float, degree: int = 2
) -> SimplexMesh:
    """A rectangle about the origin with a circular hole at its centre; sizes as in :func:`cracked_disc`, all in Å."""
    half = min(width, height) / 2
    if not (0 < hole_radius < half and 0 < h_inner <= h_outer):
        raise MultiscaleError(
            f"need 0 < hole_radius < {half} Å (half the smaller side) and 0 < h_inner ≤ h_outer, got a radius of "
            f"{hole_radius}, h_inner {h_inner} and h_outer {h_outer} Å"
        )
    slope = (h_outer - h_inner) / (half - hole_radius)
    return SimplexMesh(*_run(lambda: _rectangle(width, height, hole_radius, h_inner, h_outer, slope)), degree)


def block_with_fine_top(
    width: float, depth: float, fine: float, h: float, degree: int = 2, grade: float = 0.3
) -> SimplexMesh:
    """The block 0 ≤ x ≤ ``width``, −``depth`` ≤ y ≤ 0: one half of a body in contact about x = 0, or the half section of a round one.

    Parameters
    ----------
    width, depth : float
    fine : float
        On y = 0, x ≤ ``fine`` cells have the size ``h``.
    h : float
    degree : int
        1 or 2, of the nodes.
    grade : float
        dh/dr with the distance r from there.
    """
    if not (0 < h <= fine < width and depth > 0 and grade > 0):
        raise MultiscaleError(
            f"need 0 < h ≤ fine < width, a positive depth and grade, got h {h}, fine {fine}, width {width}, depth {depth} and grade {grade}"
        )
    return SimplexMesh(*_run(lambda: _block(width, depth, fine, h, grade)), degree)


def _half_disc(radius: float, hole: float, h_inner: float, h_outer: float, slope: float) -> None:
    """The upper half: only it is meshed, the lower one is its image."""
    geo = gmsh.model.geo
    centre = geo.addPoint(0, 0, 0)
    right, top, left = (geo.addPoint(x, y, 0) for x, y in ((radius, 0), (0, radius), (-radius, 0)))
    outer = [geo.addCircleArc(right, centre, top), geo.addCircleArc(top, centre, left)]
    if hole > 0:
        a, b, c = (geo.addPoint(x, y, 0) for x, y in ((-hole, 0), (0, hole), (hole, 0)))
        inner = [geo.addLine(left, a), geo.addCircleArc(a, centre, b), geo.addCircleArc(b, centre, c)]
        inner.append(geo.addLine(c, right))
    else:
        inner = [geo.addLine(left, centre), geo.addLine(centre, right)]
    geo.addPlaneSurface([geo.addCurveLoop(outer + inner)])
    _sizes(hole, h_inner, h_outer, slope)


def _rectangle(width: float, height: float, hole: float, h_inner: float, h_outer: float, slope: float) -> None:
    geo = gmsh.model.geo
    w, h = width / 2, height / 2
    corners = [geo.addPoint(x, y, 0) for x, y in ((-w, -h), (w, -h), (w, h), (-w, h))]
    sides = [geo.addLine(corners[i], corners[(i + 1) % 4]) for i in range(4)]
    centre = geo.addPoint(0, 0, 0)
    rim = [geo.addPoint(x, y, 0) for x, y in ((hole, 0), (0, hole), (-hole, 0), (0, -hole))]
    arcs = [geo.addCircleArc(rim[i], centre, rim[(i + 1) % 4]) for i in range(4)]
    geo.addPlaneSurface([geo.addCurveLoop(sides), geo.addCurveLoop(arcs)])
    _sizes(hole, h_inner, h_outer, slope)


def _block(width: float, depth: float, fine: float, h: float, grade: float) -> None:
    geo = gmsh.model.geo
    places = ((0, -depth), (width, -depth), (width, 0), (fine, 0), (0, 0))
    corners = [geo.addPoint(x, y, 0) for x, y in places]
    sides = [geo.addLine(corners[i], corners[(i + 1) % 5]) for i in range(5)]
    geo.addPlaneSurface([geo.addCurveLoop(sides)])
    geo.synchronize()
    field = gmsh.model.mesh.field
    # The distance from the strip: to its end where x is beyond it.
    beyond = f"(0.5*(x - {fine:.12g} + sqrt((x - {fine:.12g})*(x - {fine:.12g}))))"
    away = field.add("MathEval")
    field.setString(away, "F", f"{h:.12g} + {grade:.12g}*sqrt({beyond}*{beyond} + y*y)")
    field.setAsBackgroundMesh(away)


def _sizes(inner: float, h_inner: float, h_outer: float, slope: float) -> None:
    gmsh.model.geo.synchronize()
    field = gmsh.model.mesh.field
    linear, constant, smaller = field.add("MathEval"), field.add("MathEval"), field.add("Min")
    field.setString(linear, "F", f"{h_inner:.12g} + {slope:.12g} * (sqrt(x*x + y*y) - {inner:.12g})")
    field.setString(constant, "F", f"{h_outer:.12g}")
    field.setNumbers(smaller, "FieldsList", [linear, constant])
    field.setAsBackgroundMesh(smaller)


def _run(build: Callable[[], None]) -> tuple[Array, IntArray]:
    """Mesh the plane surface that ``build`` describes: points (n, 2) and cells (nc, 3)."""
    if gmsh is None:
        raise missing(
            "gmsh",
            "meshing a cracked disc or a hole",
            "apt-get install python3-gmsh, conda install python-gmsh, or pip install gmsh",
        )
    gmsh.initialize()
    try:
        options = {"General.Terminal": 0, "General.NumThreads": 1, "Mesh.Algorithm": 6, "Mesh.MeshSizeFromPoints": 0}
        options |= {"Mesh.MeshSizeExtendFromBoundary": 0, "Mesh.MeshSizeFromCurvature": 0, "Mesh.RandomSeed": 1}
        for name, value in options.items():
            gmsh.option.setNumber(name, value)
        gmsh.model.add("multiscale")
        build()
        gmsh.model.mesh.generate(2)
        tags, xyz, _ = gmsh.model.mesh.getNodes()
        _, corners = gmsh.model.mesh.getElementsByType(2)
    finally:
        gmsh.finalize()
    cells = np.asarray(corners, dtype=np.int64).reshape(-1, 3)
    used = np.unique(cells)  # circle centres are nodes of no cell
    position = np.searchsorted(used, cells)
    row = {int(t): i for i, t in enumerate(tags)}
    points = np.asarray(xyz, dtype=float).reshape(-1, 3)[[row[int(t)] for t in used], :2]
    return points, position


def _mirror(points: Array, cells: IntArray) -> tuple[Array, IntArray]:
    """Add the image in y = 0; nodes on the axis are shared."""
    off = points[:, 1] != 0
    image = np.arange(len(points))
    image[off] = len(points) + np.arange(int(off.sum()))
    return np.vstack([points, points[off] * [1.0, -1.0]]), np.vstack([cells, image[cells]])


def _open_slit(points: Array, cells: IntArray) -> tuple[Array, IntArray]:
    """Give the cells below the slit nodes of their own; a node at the origin, the tip, stays common."""
    # A coordinate of the tip is 0 to round-off only.
    slit = np.flatnonzero((points[:, 1] == 0) & (points[:, 0] < -1e-9 * math.dist(points.min(0), points.max(0))))
    copy = np.arange(len(points))
    copy[slit] = len(points) + np.arange(len(slit))
    below = points[cells].mean(axis=1)[:, 1] < 0
    cells = np.where(below[:, None], copy[cells], cells)
    return np.vstack([points, points[slit]]), cells
