"""What a training is given: noise levels that weight the loss, the model's architecture, the schedule, the committee.

Everything is checked when it is made, before any work.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

from ..types import MultiscaleError

#: MACE's hidden irreps: scalars first, whose number of channels is that of the layers' features; ``16x0e + 16x1o``.
IRREPS = re.compile(r"\s*([1-9]\d*x)?0e\s*(\+\s*([1-9]\d*x)?\d+[eo]\s*)*")


def _positive(**numbers: float) -> None:
    for name, value in numbers.items():
        if not (math.isfinite(value) and value > 0):
            raise MultiscaleError(f"a training was given {name} = {value}; give a positive number")


def _at_least_one(**numbers: int) -> None:
    for name, value in numbers.items():
        if value < 1:
            raise MultiscaleError(f"a training was given {name} = {value}; give 1 or more")


@dataclass(frozen=True)
class Noise:
    """Expected errors of the fit, whose inverse squares weight the loss.

    Attributes
    ----------
    energy : float
        eV per atom.
    force : float
        eV/Å.
    stress : float
        eV/Å³; used only if configurations have ``REF_stress``.
    """

    energy: float = 0.005
    force: float = 0.1
    stress: float = 0.005

    def __post_init__(self) -> None:
        """Refuse levels that give no weight."""
        _positive(energy_noise=self.energy, force_noise=self.force, stress_noise=self.stress)


@dataclass(frozen=True)
class Architecture:
    """What the model is; the names are those of MACE.

    Attributes
    ----------
    hidden_irreps : str
        Channels per atom and message, by symmetry.
    num_interactions, max_ell, correlation : int
        Message-passing layers, highest spherical harmonic, body order minus one.
    r_max : float
        Å.
    radial_mlp : tuple of int
        Widths of the network of the radial functions.
    """

    hidden_irreps: str = "16x0e+16x1o"
    num_interactions: int = 2
    max_ell: int = 2
    correlation: int = 2
    r_max: float = 5.0
    radial_mlp: tuple[int, ...] = (64, 64, 64)

    def __post_init__(self) -> None:
        """Refuse what is no model."""
        _at_least_one(layers=self.num_interactions, correlation=self.correlation)
        _positive(cutoff=self.r_max)
        if self.max_ell < 0:
            raise MultiscaleError(f"a training was given max_ell = {self.max_ell}; give 0 or more")
        if IRREPS.fullmatch(self.hidden_irreps) is None:
            raise MultiscaleError(
                f"a training was given hidden irreps '{self.hidden_irreps}'; give scalars and what follows them, such as 16x0e+16x1o"
            )
        if not self.radial_mlp or min(self.radial_mlp) < 1:
            raise MultiscaleError(
                f"a training was given radial_mlp = {list(self.radial_mlp)}; give at least one width, each of 1 or more"
            )


@dataclass(frozen=True)
class Schedule:
    """How long and how fast: the learning rate falls exponentially from ``lr`` to ``lr_end`` over ``epochs``.

    ``until`` ends a run at an earlier epoch, to go on with other noise levels or more data. ``ema`` is the decay of the
    average of the weights per step, ``clip`` the largest norm of a gradient.
    """

    epochs: int = 30
    batch: int = 2
    lr: float = 0.01
    lr_end: float = 2e-4
    ema: float = 0.998
    clip: float = 20.0
    until: int | None = None

    def __post_init__(self) -> None:
        """Refuse schedules in which nothing is learnt."""
        _at_least_one(epochs=self.epochs, batch=self.batch, until=1 if self.until is None else self.until)
        _positive(lr=self.lr, lr_end=self.lr_end, clip=self.clip)
        if not 0.0 <= self.ema < 1.0:
            raise MultiscaleError(f"a training was given ema = {self.ema}; give a decay from 0 to below 1")

    @property
    def gamma(self) -> float:
        """Factor of the learning rate per epoch."""
        return float((self.lr_end / self.lr) ** (1.0 / self.epochs))


@dataclass(frozen=True)
class Training:
    """A committee to be trained.

    Attributes
    ----------
    members : tuple of int
        Numbers of the members to fit; member m has the seed ``seed + m``.
    seed : int
        Of member 0.
    noise, architecture, schedule
        The same for all members.
    minutes : float, optional
        Time for all members together; a short pilot run then sets the number of epochs.
    resume : bool
        Go on from the checkpoints of a former run; the schedule's epochs count from the first run on, and its learning rate
        holds from here on.
    """

    members: tuple[int, ...] = (0, 1, 2, 3)
    seed: int = 1
    noise: Noise = field(default_factory=Noise)
    architecture: Architecture = field(default_factory=Architecture)
    schedule: Schedule = field(default_factory=Schedule)
    minutes: float | None = None
    resume: bool = False

    def __post_init__(self) -> None:
        """Refuse committees without members, time or random numbers."""
        if not self.members or min(self.members) < 0 or len(set(self.members)) < len(self.members):
            raise MultiscaleError(
                f"a training was given the members {list(self.members)}; a committee needs at least one, with numbers from 0 on"
            )
        if self.seed < 0:
            raise MultiscaleError(f"a training was given seed = {self.seed}; give 0 or more")
        if self.minutes is not None:
            _positive(minutes=self.minutes)
