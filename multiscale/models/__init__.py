"""Site-energy models in torch; see :mod:`multiscale.models.base` for what a model is."""

from .base import Edges, SiteModel
from .eam import EAM
from .lennard_jones import LennardJones
from .morse import Morse
from .stillinger_weber import StillingerWeber

__all__ = ["EAM", "Edges", "LennardJones", "Morse", "SiteModel", "StillingerWeber"]
