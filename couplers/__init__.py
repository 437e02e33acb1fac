"""The built-in couplers, one file per method; found through the entry points ``multiscale.couplers``, as a stranger's are."""

from .adaptive_partitioning import AdaptivePartitioning
from .bridging_domain import BridgingDomain
from .energy_blend import EnergyBlend
from .force_blend import ForceBlend
from .force_mixing import ForceMixing
from .ghost_corrected import GhostCorrected
from .sharp_pad import SharpPad
from .site_subtractive import SiteSubtractive
from .subtractive import Subtractive

__all__ = [
    "AdaptivePartitioning",
    "BridgingDomain",
    "EnergyBlend",
    "ForceBlend",
    "ForceMixing",
    "GhostCorrected",
    "SharpPad",
    "SiteSubtractive",
    "Subtractive",
]
