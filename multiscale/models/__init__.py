"""Site-energy models in torch; see :mod:`multiscale.models.base` for what a model is.

Models that need more than torch (mace-torch, metatomic) are imported when they are first asked for.
"""

from typing import TYPE_CHECKING

from ..lazy import lazy
from .base import Edges, SiteModel
from .eam import EAM
from .lennard_jones import LennardJones
from .morse import Morse
from .stillinger_weber import StillingerWeber
from .tersoff import Tersoff
from .toy_eam import ToyEAM
from .water import FlexibleWater

if TYPE_CHECKING:
    from .committee import Committee, Disagreement
    from .corrected import Corrected
    from .default import default_committee, default_members, default_potential
    from .mace import Mace
    from .metatomic import Metatomic

_LAZY = {
    "Committee": ".committee",
    "Corrected": ".corrected",
    "Disagreement": ".committee",
    "Mace": ".mace",
    "Metatomic": ".metatomic",
    "default_committee": ".default",
    "default_members": ".default",
    "default_potential": ".default",
}
__all__ = [
    "EAM",
    "Committee",
    "Corrected",
    "Disagreement",
    "Edges",
    "FlexibleWater",
    "LennardJones",
    "Mace",
    "Metatomic",
    "Morse",
    "SiteModel",
    "StillingerWeber",
    "Tersoff",
    "ToyEAM",
    "default_committee",
    "default_members",
    "default_potential",
]

__getattr__, _ = lazy(__name__, _LAZY)


def __dir__() -> list[str]:
    return sorted(__all__)
