"""How the shipped silicon–hydrogen data came about, as tables and functions that make such data again."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Any

import ase

from ..calculator import RegionCalculator
from ..models.base import SiteModel
from ..regions.ml import MLRegion
from ..types import MultiscaleError
from .reference import label
from .structures import generate, stream
from .visit import downhill, dynamics

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stage:
    """One call of :func:`~multiscale.learning.structures.generate`; ``name`` replaces the types if given."""

    counts: Mapping[str, int]
    seed: int = 1
    settings: Mapping[str, Any] = field(default_factory=dict)
    name: str | None = None


#: Clusters of up to 90 atoms of every type, then fewer large ones, whose middle atoms see crystal only.
RECIPE = (
    Stage(
        {
            "molecule": 40, "bulk": 160, "strained": 160, "rattled": 120, "hot": 40, "vacancy": 107, "vacancy_path": 60,
            "interstitial": 80, "surface111": 60, "surface110": 50, "surface100": 80, "separated": 60, "crack": 76,
        }
    ),
    Stage({"bulk": 14, "strained": 14, "vacancy": 8}, 2, {"sizes": (28, 40), "max_atoms": 110}, "large"),
)  # fmt: skip

#: Where the model's own trajectories start: as many of each type for dynamics as for relaxation.
STARTS = {
    "surface111": 14, "surface110": 10, "surface100": 12, "interstitial": 14, "vacancy": 8, "separated": 8, "crack": 6,
    "molecule": 6,
}  # fmt: skip


def parts(
    recipe: tuple[Stage, ...] = RECIPE, *, share: float = 1.0, seed: int = 0
) -> dict[str, Callable[[], Iterator[ase.Atoms]]]:
    """What makes and labels each part of the data, one type of one stage, by a name that says which.

    Parameters
    ----------
    recipe : tuple of Stage
        What to make.
    share : float
        Part of every count to make, at least one.
    seed : int
        Added to the stages' own seeds, for other data of the same kind.

    Raises
    ------
    MultiscaleError
        If the share is not above 0 and at most 1, or a stage's seed would be below 0.
    """
    if not 0.0 < share <= 1.0:
        raise MultiscaleError(
            f"the part of the recipe to make was given as {share}; give a number above 0 and at most 1"
        )
    least = seed + min((stage.seed for stage in recipe), default=0)
    if least < 0:
        raise MultiscaleError(
            f"the seeds of the data would begin at seed = {least}; give a larger one, so that they begin at 0 or more"
        )

    def part(stage: Stage, kind: str, count: int) -> Iterator[ase.Atoms]:
        made = generate({kind: max(1, round(share * count))}, stage.seed + seed, **stage.settings)
        return _labelled(made if stage.name is None else _renamed(made, stage.name), kind)

    # A type has its own random numbers, so that parts do not depend on one another.
    return {
        f"{number}-{stage.name or 'plain'}-{kind}": partial(part, stage, kind, count)
        for number, stage in enumerate(recipe)
        for kind, count in stage.counts.items()
    }


def make(recipe: tuple[Stage, ...] = RECIPE, *, share: float = 1.0, seed: int = 0) -> Iterator[ase.Atoms]:
    """Generate and label all :func:`parts`; the same seeds give the same data."""
    return chain.from_iterable(part() for part in parts(recipe, share=share, seed=seed).values())


def make_visited(model: SiteModel, starts: Mapping[str, int] | None = None) -> Iterator[ase.Atoms]:
    """Configurations that a first model visits in dynamics and on its way downhill, labelled by the reference."""

    def calculator(atoms: ase.Atoms) -> RegionCalculator:
        return RegionCalculator(MLRegion(model, atoms, dtype="float32"))

    few = {"per_parent": 2, "per_snapshot": 1, "max_atoms": 70}
    # Starts of other seeds than the recipe's: no relative of a held-out configuration may come in by this way.
    for seed, move in ((3, dynamics), (4, downhill)):
        rng = stream(seed, move.__name__)
        for kind, count in (starts or STARTS).items():
            begin = generate({kind: count}, seed, **few)  # type: ignore[arg-type]
            yield from _labelled(move(begin, calculator, rng), f"{move.__name__} from {kind}")


def _renamed(configurations: Iterable[ase.Atoms], name: str) -> Iterator[ase.Atoms]:
    for atoms in configurations:
        atoms.info.update(config_type=name, group=f"{name}-{atoms.info['group']}")
        yield atoms


def _labelled(configurations: Iterable[ase.Atoms], what: str) -> Iterator[ase.Atoms]:
    dropped: Counter[str] = Counter()
    made = 0
    for atoms in label(configurations, dropped=dropped):
        made += 1
        yield atoms
    log.info("%s: %d configurations labelled, dropped: %s", what, made, dict(dropped))
