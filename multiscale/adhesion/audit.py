"""Audits: that what acts across an interface is counted once.

mask     E(bodies, masked) − Σ_bodies E(body alone) = 0
pairs    every pair of atoms across the interface: ½(w_i + w_j) of the potential and as much of the law as they leave = 1
closure  E_hybrid(closed) − E_full = 0
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..interface import Interface
from ..neighbours import NeighbourList
from ..region import Can, Query, Region
from ..regions.across import AcrossRegion
from ..regions.cohesive import CohesiveRegion
from ..regions.ml import MLRegion
from ..types import Array, MultiscaleError
from .facing import Facing


def mask_error(apart: MLRegion, x: Array) -> float:
    """E of a region with bodies less the sum of its bodies' energies, each evaluated as a region of its own, at x (n, 3); eV."""
    if apart.bodies is None:
        raise MultiscaleError("the region has no bodies to audit; give MLRegion(..., bodies=labels)")
    alone(apart)
    total = float(apart.evaluate(x, Query(Can.ENERGY))["energy"])
    for body in np.unique(apart.bodies):
        mine = np.flatnonzero(apart.bodies == body)
        total -= float(apart.part(mine).evaluate(x[mine], Query(Can.ENERGY))["energy"])
    return total


@dataclass(frozen=True)
class Pairs:
    """Pairs of atoms that interact across an interface and how often each is counted.

    Attributes
    ----------
    number : int
    least, largest : float
        Weight of the pair over potential and law.
    by_law : float
        Mean weight of the law.
    """

    number: int
    least: float
    largest: float
    by_law: float


def pairs_across(interface: Interface, across: str, law: str) -> Pairs:
    """Weigh every pair of atoms of different bodies within the potential's cutoff, at the reference.

    Parameters
    ----------
    interface : Interface
    across, law : str
        Regions that share what acts across.

    The potential's weights are those at the atoms' anchors, the law's those at its own sites, as both are counted.

    Raises
    ------
    MultiscaleError
        If no pair crosses, or the regions are of other kinds.
    """
    region, between = interface.regions[across], interface.regions[law]
    if not isinstance(region, AcrossRegion) or region.bodies is None:
        raise MultiscaleError(
            f"region '{across}' is {type(region).__name__}, which has no bodies; give an AcrossRegion"
        )
    if not isinstance(between, CohesiveRegion) or not isinstance(between.interface, Facing):
        raise MultiscaleError(f"region '{law}' is {type(between).__name__} and no law between faces of atoms (Facing)")
    x = interface.place(across, interface.reference)
    found = NeighbourList(region.full.model.cutoff, region.cell, region.pbc, 0.0).pairs(x)
    cross = region.bodies[found.i] != region.bodies[found.j]
    if not cross.any():
        raise MultiscaleError(f"no pair of atoms of different bodies is within the cutoff of '{across}'")
    points = interface.weighing_points(across, interface.reference)
    shares = interface.partition(points, interface.reference)
    w, by_law = shares[across][0], shares[law][0]
    # The law is weighed at its sites; what it counts of an atom with sites is theirs, not what the partition has at the atom.
    sites = interface.partition(interface.weighing_points(law, interface.reference), interface.reference)[law][0]
    of = ((between.interface.lower + between.interface.upper) > 0).astype(float)
    count = np.asarray(of.sum(axis=0)).ravel()
    by_law = np.where(count > 0, (of.T @ sites) / np.maximum(count, 1.0), by_law)
    i, j = found.i[cross], found.j[cross]
    total = 0.5 * (w[i] + w[j] + by_law[i] + by_law[j])
    return Pairs(int(cross.sum()), float(total.min()), float(total.max()), float(0.5 * (by_law[i] + by_law[j]).mean()))


def alone(region: Region) -> None:
    """Refuse a region that is shared by ranks: what one of them answers is its share."""
    if region.team.size > 1:
        raise MultiscaleError(
            f"an audit asks one region for all of its answer, but {type(region).__name__} is shared by {region.team.size} ranks; make it "
            "anew for the audit, on every rank"
        )
