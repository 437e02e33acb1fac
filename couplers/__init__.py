"""The built-in couplers, one file per method; found through the entry points ``multiscale.couplers``, as a stranger's are."""

from .energy_blend import EnergyBlend
from .force_blend import ForceBlend
from .force_mixing import ForceMixing
from .ghost_corrected import GhostCorrected
from .sharp_pad import SharpPad
from .subtractive import Subtractive

__all__ = ["EnergyBlend", "ForceBlend", "ForceMixing", "GhostCorrected", "SharpPad", "Subtractive"]
