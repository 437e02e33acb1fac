"""Whether the atoms in a zone and the crystal that a field stands for are the same one.

    atoms in the zone:    every nearest neighbour lies where the crystal has one
    cells in the zone:    all atoms of a cell have the same weight

Both are matters of geometry in the reference configuration. A law of another lattice constant or orientation than the atoms' leaves a
stress at the interface that no coupler takes off, and weights that vary within a cell of a multilattice pull at its inner shift.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from .interface import Interface
from .lattice import SHELL, Lattice
from .types import Array, IntArray, MultiscaleError

#: How far from its place a neighbour may be, as a share of the bond.
OFF = 2e-3
#: Most atoms of a zone that are looked at.
SAMPLE = 500


def same_crystal(interface: Interface) -> None:
    """Refuse a field whose crystal is not that of the atoms in its zone, and cells of a multilattice with several weights.

    Raises
    ------
    MultiscaleError
        With the atom, the misfit in Å or the difference of the weights.
    """
    fields = {r: lattice for r in interface.shared if (lattice := interface.regions[r].lattice) is not None}
    weights = interface.weights(interface.reference) if fields else {}
    for field, lattice in fields.items():
        for name in interface.shared:
            region = interface.regions[name]
            if not region.discrete:
                continue
            w = weights[name]
            zone = np.flatnonzero((w > 0) & (w < 1) & (region.matter > 0))
            zone = zone if len(zone) else np.flatnonzero((w > 0) & (region.matter > 0))
            if len(zone):
                X = region.sites(interface.place(name, interface.reference))
                _compare(name, field, lattice, X, w, zone[:: len(zone) // SAMPLE + 1])


def _compare(name: str, field: str, lattice: Lattice, X: Array, w: Array, zone: IntArray) -> None:
    tree, bond = cKDTree(X), lattice.shortest
    for k in zone:
        near = [j for j in tree.query_ball_point(X[k], SHELL * bond) if j != k]
        misfit = lattice.misfits(X[near] - X[k])
        closest = float(tree.query(X[k], k=2)[0][1]) if len(X) > 1 else bond
        off = max(float(misfit.min()), abs(closest - bond) if not near else 0.0)
        if off > OFF * bond:
            raise MultiscaleError(
                f"atom {k} of region '{name}' has a neighbour {off:.3g} Å away from where the crystal of region '{field}' has one (bonds "
                f"of {bond:.4g} Å): the law's lattice differs from the atoms'; make the law from the atoms' own cell, in their orientation"
            )
        if len(lattice.basis) > 1:
            _one_weight(name, lattice, tree, X, w, int(k), misfit)


def _one_weight(name: str, lattice: Lattice, tree: cKDTree, X: Array, w: Array, k: int, misfit: Array) -> None:
    """The other atoms of the cell of atom ``k``, if it is known to be the basis' first."""
    fits = np.flatnonzero(misfit <= OFF * lattice.shortest)
    if len(fits) != 1 or fits[0] != 0:
        return
    for offset in (lattice.basis - lattice.basis[0])[1:]:
        distance, j = tree.query(X[k] + offset)
        if distance < OFF * lattice.shortest and abs(w[k] - w[j]) > 1e-10:
            raise MultiscaleError(
                f"atoms {k} and {j} of region '{name}' belong to one cell of a multilattice and have weights of {w[k]:.6g} and {w[j]:.6g}"
                "; take weights at the cells' centres: Interface(..., anchors={name: centres})"
            )
