"""What must fit before an interface exists: names, numberings and places of regions, embeddings, anchors and overlays.

All are pure functions of the interface; whatever raises does so on every rank alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from .types import Array, MultiscaleError

if TYPE_CHECKING:
    from .interface import Interface


def names(interface: Interface) -> None:
    """Refuse partitions, anchors and overlays that speak of regions that are not there."""
    known = interface.regions
    unknown = [r for r in interface.shared if r not in known]
    if unknown:
        raise MultiscaleError(
            f"the partition shares matter with {unknown}, but the regions are {sorted(known)}; use the same names in both"
        )
    for name, anchors in interface.anchors.items():
        if interface.moving or name not in interface.shared or anchors.shape != (known[name].n_sites, 3):
            raise MultiscaleError(
                f"anchors for '{name}' need one point per site of a sharing region and weights in the reference frame, got shape "
                f"{anchors.shape} in the {interface.partition.frame} frame"
            )
    lost = [r for r, overlay in interface.overlays.items() if overlay.groups is None and r not in known]
    if lost:
        raise MultiscaleError(f"overlays are given for {lost}, but the regions are {sorted(known)}")
    for name, overlay in interface.overlays.items():
        most = max((max(m) for m in overlay.groups.members), default=-1) if overlay.groups is not None else -1
        if most >= interface.n_q:
            raise MultiscaleError(
                f"the groups of overlay '{name}' name the shared dof {most}, but there are {interface.n_q}; use the interface's numbering"
            )


def embeddings(interface: Interface) -> None:
    """Refuse embeddings that do not belong to their regions, and regions without dofs."""
    for name, region in interface.regions.items():
        e = interface.embeddings[name]
        if e.n_q != interface.n_q or e.n_x != region.n_dofs:
            raise MultiscaleError(
                f"the embedding of region '{name}' maps {e.n_q} shared dofs to {e.n_x}, but there are {interface.n_q} and the "
                f"region takes {region.n_dofs}; build it with the interface's numbering"
            )
        if len(e.own) == 0:
            raise MultiscaleError(f"region '{name}' is empty; leave it out of the interface")
        off = np.linalg.norm(e.place(interface.reference) - region.reference, axis=1)
        if off.max() > 0.5:
            raise MultiscaleError(
                f"the embedding of region '{name}' puts dof {int(off.argmax())} {off.max():.2f} Å away from the region's own "
                "reference position; check the order of atoms and nodes"
            )


def masses(interface: Interface, own: Mapping[str, Array], shares: Mapping[str, Array]) -> None:
    """Refuse regions of atoms that share a dof and give it different masses: an isotope is one everywhere.

    Parameters
    ----------
    interface : Interface
    own, shares : mapping of region to (n_dofs,) array
        amu, and the regions' shares at their dofs. Dofs that follow others, those of meshes and those without a mass (copies that
        only serve a site) are left out.
    """
    names, known, giver = list(own), np.zeros(interface.n_q), np.full(interface.n_q, -1)
    for number, name in enumerate(names):
        if not interface.regions[name].discrete:
            continue
        dofs = interface.embeddings[name].own
        rows = np.flatnonzero((dofs >= 0) & (shares[name] > 0) & (own[name] > 0))
        dofs, m = dofs[rows], own[name][rows]
        apart = np.flatnonzero((giver[dofs] >= 0) & (np.abs(m - known[dofs]) > 1e-6 * known[dofs]))
        if len(apart):
            k = int(dofs[apart[0]])
            raise MultiscaleError(
                f"regions '{names[giver[k]]}' and '{name}' share dof {k} and give it masses of {known[k]:g} and {m[apart[0]]:g} amu; "
                "build both from atoms of the same masses"
            )
        known[dofs], giver[dofs] = m, number
