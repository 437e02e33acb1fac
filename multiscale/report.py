"""Where the time of a model's evaluations went, on all ranks.

    wall = Σ_r own seconds of region r + waiting + sum over ranks + stiffness + rest         on every rank

*Waiting* is the time from a rank's own end to that of the slowest one: ranks tell one another that they are ready before they sum, so
that the *sum*, timed after it, is communication and nothing else. Messages within a team are part of the region's own time; regions
that count them (:meth:`multiscale.region.Region.counters`) tell them apart. The *rest* is the coupler's arithmetic, weights and
embeddings, the same on every rank.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .devices import hardware
from .shares import spoken

if TYPE_CHECKING:
    from .model import HybridModel

#: What one rank hands in: see :func:`spent_by`.
Spent = dict[str, Any]


@dataclass(frozen=True)
class Spread:
    """Least, mean and largest of the ranks' values."""

    least: float
    mean: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Of some values; of none it is zero."""
        v = np.array(list(values) or [0.0])
        return cls(float(v.min()), float(v.mean()), float(v.max()))


@dataclass(frozen=True)
class RegionRow:
    """What one region cost.

    Attributes
    ----------
    region, kind : str
        Its name and what it says of itself.
    ranks : tuple of int
        Its team.
    calls : int
        How often it was asked.
    seconds : Spread
        Over the ranks that work (the first one alone where the work cannot be divided): all calls together.
    share : float
        Of the busiest member's time in the model.
    counters : mapping of name to Spread
        What the region counts, over its team.
    """

    region: str
    kind: str
    ranks: tuple[int, ...]
    calls: int
    seconds: Spread
    share: float
    counters: dict[str, Spread]


@dataclass(frozen=True)
class TeamRow:
    """Ranks that evaluate the same regions.

    Attributes
    ----------
    ranks : tuple of int
    regions : tuple of str
    waiting : Spread
        Seconds that its ranks waited for the slowest rank of all.
    """

    ranks: tuple[int, ...]
    regions: tuple[str, ...]
    waiting: Spread


@dataclass(frozen=True)
class Report:
    """Where the time went; ``str(report)`` is a table, ``report.as_dict()`` goes into a file.

    Attributes
    ----------
    evaluations : int
    wall, waiting, summing, assembling, rest : Spread
        Seconds over ranks: in the model; until others were ready; in sums over ranks; assembling stiffness matrices; on weights,
        embeddings and the coupler's arithmetic.
    regions : tuple of RegionRow
    teams : tuple of TeamRow
    devices : tuple of str
        Every rank's, by its number on the node.
    crowded : int
        The largest number of ranks that share one GPU; 0 without GPUs.
    """

    evaluations: int
    wall: Spread
    waiting: Spread
    summing: Spread
    assembling: Spread
    rest: Spread
    regions: tuple[RegionRow, ...]
    teams: tuple[TeamRow, ...]
    devices: tuple[str, ...]
    crowded: int

    @classmethod
    def of(cls, model: HybridModel, everyone: Sequence[Spent]) -> Report:
        """From what every rank hands in, in rank order."""
        members = model.ranks.of(model.interface.regions)
        rows = tuple(_row(model, name, ranks, everyone) for name, ranks in members.items())
        teams = tuple(
            TeamRow(
                ranks,
                tuple(n for n, r in members.items() if r == ranks),
                Spread.of(everyone[k]["waiting"] for k in ranks),
            )
            for ranks in dict.fromkeys(members.values())
        )
        totals = {
            key: Spread.of(e[key] for e in everyone) for key in ("wall", "waiting", "summing", "assembling", "rest")
        }
        gpus = [(e["node"], e["device"]) for e in everyone if e["device"].startswith("GPU")]
        crowded = max((gpus.count(g) for g in gpus), default=0)
        devices = tuple(e["device"] for e in everyone)
        return cls(
            model.evaluations, **totals, regions=rows, teams=teams, devices=devices, crowded=crowded
        )  # fmt: skip

    def as_dict(self) -> dict[str, Any]:
        """Numbers, texts, lists and mappings only."""
        return asdict(self)

    def __str__(self) -> str:
        return "\n".join([self._head(), *self._regions(), *self._teams(), *self._counters()])

    def _head(self) -> str:
        n = len(self.devices)
        where = ", ".join(dict.fromkeys(self.devices))
        shared = f", up to {self.crowded} ranks per GPU" if self.crowded > 1 else ""
        ranks, times = f"{n} rank{'s' * (n > 1)}", f"{self.evaluations} evaluation{'s' * (self.evaluations != 1)}"
        return f"{self.wall.most:.2f} s in the model, {times} on {ranks} ({where}{shared})"

    def _regions(self) -> list[str]:
        lines = [f"{'region':<16}{'ranks':<8}{'calls':>8}{'ms each, mean':>16}{'most':>12}{'of the time':>14}"]
        for r in self.regions:
            if not r.calls:
                continue
            mean, most = (1e3 * s / max(r.calls, 1) for s in (r.seconds.mean, r.seconds.most))
            lines.append(f"{r.region:<16}{spoken(r.ranks):<8}{r.calls:>8}{mean:>16.3f}{most:>12.3f}{r.share:>14.1%}")
        idle = [r.region for r in self.regions if not r.calls]
        lines += [f"not asked: {', '.join(idle)}"] if idle else []
        total = max(self.wall.most, 1e-12)
        others = [("stiffness", self.assembling), ("coupler, weights, embeddings", self.rest)]
        others += [("sum over ranks", self.summing)] * (len(self.devices) > 1)
        for what, spread in others:
            lines.append(f"{what:<60}{spread.most / total:>14.1%}")
        return lines

    def _teams(self) -> list[str]:
        if len(self.devices) == 1:
            return []
        lines = [f"{'team':<24}{'waiting, s, least':>20}{'mean':>12}{'most':>12}{'of the time':>14}  regions"]
        for t in self.teams:
            w, share, names = t.waiting, t.waiting.mean / max(self.wall.most, 1e-12), ", ".join(t.regions)
            lines.append(f"{spoken(t.ranks):<24}{w.least:>20.3f}{w.mean:>12.3f}{w.most:>12.3f}{share:>14.1%}  {names}")
        return lines

    def _counters(self) -> list[str]:
        return [f"{r.region}: {'; '.join(_counted(r.counters))}" for r in self.regions if r.counters]


def spent_by(model: HybridModel) -> Spent:
    """What this rank has to say, except for its place on the node; collective within teams."""
    interface = model.interface
    mine = {name: team for name, team in model.teams.items() if team is not None}
    regions: dict[str, Spent] = {}
    for name in mine:
        counters = dict(interface.regions[name].counters())
        regions[name] = {"calls": model.calls[name], "seconds": model.timings[name], "counters": counters}
    own = sum(r["seconds"] for r in regions.values())
    waiting = model.waiting - model.summing
    # A mesh stays on the CPU, whatever its rank is given.
    device = next((team.device for name, team in mine.items() if interface.regions[name].discrete), "cpu")
    return {
        "regions": regions,
        "wall": model.wall,
        "waiting": waiting,
        "summing": model.summing,
        "assembling": model.assembling,
        "rest": model.wall - own - model.waiting - model.assembling,
        "device": hardware(device),
    }


def _row(model: HybridModel, name: str, ranks: tuple[int, ...], everyone: Sequence[Spent]) -> RegionRow:
    region = model.interface.regions[name]
    team = [everyone[k]["regions"][name] for k in ranks]
    working = team if region.divisible else team[:1]
    share = max(t["seconds"] / max(everyone[k]["wall"], 1e-12) for k, t in zip(ranks, working, strict=False))
    names = dict.fromkeys(key for t in team for key in t["counters"])
    counters = {key: Spread.of(float(t["counters"].get(key, 0.0)) for t in team) for key in names}
    seconds = Spread.of(t["seconds"] for t in working)
    return RegionRow(name, region.describe(), ranks, max(t["calls"] for t in team), seconds, share, counters)


def _counted(counters: Mapping[str, Spread]) -> list[str]:
    """Counters as text: one number where the ranks agree, else least … most."""

    def number(key: str, v: float) -> str:
        return f"{v:.3f} s" if key.endswith("seconds") else f"{v:.6g}"

    out = []
    for key, s in counters.items():
        least, most = number(key, s.least), number(key, s.most)
        out.append(f"{key.removesuffix(' seconds')} {least if least == most else f'{least} … {most}'}")
    return out
