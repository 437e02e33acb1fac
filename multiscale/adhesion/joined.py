"""Bodies of atoms joined by a law, by what their atoms feel of each other, or by both in different places.

    E = Σ_bodies E(body alone) + Σ_i w_i (e_i^full − e_i^apart) + Σ_s (1 − w_s) [a_s Φ(δ_s) + g(δ_s)·u′ + ½ u′·G(δ_s) u′]

w is C² along the interface: 1 where the atoms count the adhesion, 0 where the law does, and with it the load that takes the law's ghost
force off (:mod:`multiscale.adhesion.ghost`). Couple it by any coupler of weighted energies.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from ..interface import Interface
from ..models.base import SiteModel
from ..partition import Nested, Partition
from ..region import Region
from ..regions.across import AcrossRegion
from ..regions.cohesive import CohesiveRegion
from ..regions.ml import MLRegion
from ..shapes import Shape
from ..sharing import Alike, Everything, Separately
from ..types import BoolArray, MultiscaleError
from .ghost import GhostLoad
from .law import InterfaceLaw
from .slabs import Slabs


def joined(
    model: SiteModel,
    slabs: Slabs,
    law: InterfaceLaw,
    *,
    by_atoms: tuple[Shape, float] | None = None,
    ghost: Literal[0, 1, 2] = 2,
    fixed: BoolArray | None = None,
    options: Mapping[str, Any] | None = None,
) -> Interface:
    """Two slabs as regions ``bodies``, ``law``, with ``by_atoms`` also ``across``, and with ``ghost`` also ``ghost``.

    Parameters
    ----------
    model : SiteModel
    slabs : Slabs
    law : InterfaceLaw
        With its energy counted from the bodies apart.
    by_atoms : (Shape, float), optional
        Where atoms count what acts across (core set) and the width, Å, over which they give way to the law; the law counts all of it unless
        given. The width is one reach of the model at least.
    ghost : {0, 1, 2}
        To which order the law's ghost force is taken off, 0 for not at all.
    fixed : (n, 3) or (n,) bool array, optional
        Gripped atoms.
    options : mapping, optional
        Of :class:`~multiscale.regions.ml.MLRegion`.

    Raises
    ------
    MultiscaleError
        If the law's energy is counted from the closed interface, or atoms have several bonds across an interface that both count.
    """
    law.require_apart()
    facing, given = slabs.facing(), dict(options or {})
    across = AcrossRegion(model, slabs.atoms, slabs.bodies, area=facing.of_atoms, **given)
    regions: dict[str, Region] = {
        "bodies": MLRegion(model, slabs.atoms, bodies=slabs.bodies, **given),
        "law": CohesiveRegion(facing, law, modulus=np.inf),
    }
    share: Partition = Everything("law")
    anchors = {}
    if by_atoms is not None:
        most = int(((facing.lower + facing.upper) > 0).sum(axis=0).max())
        if most > 1:
            raise MultiscaleError(
                f"atoms of this plane have up to {most} bonds across it, and what is left to the law at several places is not one weight "
                "of an atom; let the law count all of the interface (by_atoms=None), or take a plane with one bond per atom, as (111)"
            )
        regions["across"] = across
        share = Nested([("across", *by_atoms)], rest="law")
        anchors = {"across": facing.anchors}
    if ghost:
        regions["ghost"] = GhostLoad.of(across, facing, law, ghost)
        share = Alike(share, {"ghost": "law"})
    return Interface(
        slabs.atoms.positions, regions, Separately(Everything("bodies"), share), fixed=fixed, anchors=anchors
    )
