"""Searches for K₋ and K₊, the same for discs of atoms and hybrids, and what they cost."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from couplers import EnergyBlend
from multiscale import HybridModel
from multiscale.drive import Step
from multiscale.fracture.crack import Crack
from multiscale.fracture.disc import AtomicCrack
from multiscale.fracture.hybrid import HybridCrack
from multiscale.fracture.material import CrackMaterial
from multiscale.fracture.window import Bracket, bracket, until_event
from multiscale.models import default_potential


@dataclass(eq=False)
class Found:
    """One crack's window.

    Attributes
    ----------
    ends : {"₊": K₊/K_G, "₋": K₋/K_G}
        Of the first states after the events.
    intact : {"₊": Step, "₋": Step}
        The last states before them.
    sites : int
        Atoms whose energies an evaluation needs.
    evaluations, seconds
        Of the rising search.
    """

    crack: Crack
    model: HybridModel
    rest: Step
    sites: int
    ends: dict[str, float] = field(default_factory=dict)
    intact: dict[str, Step] = field(default_factory=dict)
    evaluations: int = 0
    seconds: float = 0.0
    rings: Any = None

    @property
    def site_evaluations(self) -> int:
        """Of the rising search."""
        return self.sites * self.evaluations


@dataclass(eq=False)
class Search:
    """Searches with one set of tolerances."""

    run: Any
    step: float
    resolution: float
    fmax: float
    found: dict[str, Found] = field(default_factory=dict)

    def window(self, name: str, crack: Crack) -> None:
        """Both ends, from the state that is relaxed at K_G."""
        model = HybridModel(crack.interface(), EnergyBlend())
        K_G, clock = crack.material.K_griffith, time.perf_counter()
        up = self._states(name, model, crack, crack.at(K_G), 1.8)
        found = Found(crack, model, up[0], sites(crack, model, up[0].q))
        found.evaluations, found.seconds = model.evaluations, time.perf_counter() - clock
        down = self._states(name, model, crack, up[0].q, 0.4)
        run = self.run
        run.record(f"{name}: free atoms", crack.n_free)
        run.record(f"{name}: sites of an evaluation", found.sites)
        for sign, states, wanted in (("₊", up, "grows"), ("₋", down, "heals")):
            b = bracket(crack, states)
            run.record(f"{name}: K{sign}/K_G, bracket", np.array([b.before, b.after]) / K_G)
            run.record(f"{name}: what happens at K{sign}", b.what)
            found.ends[sign] = b.after / K_G if b.what == wanted else float("nan")
            found.intact[sign] = states[-2] if len(states) > 1 else states[-1]
        run.record(f"{name}: evaluations to K₊", found.evaluations)
        run.timings({f"{name}: to K₊": found.seconds})
        self.found[name] = found

    def rise(self, name: str, crack: Crack) -> Bracket:
        """The first event above K_G."""
        model = HybridModel(crack.interface(), EnergyBlend())
        b = bracket(crack, self._states(name, model, crack, crack.at(crack.material.K_griffith), 2.0))
        self.run.say(f"{name}: {b.words}")
        return b

    def _states(self, name: str, model: HybridModel, crack: Crack, q: Any, stop: float) -> list[Step]:
        K_G = crack.material.K_griffith
        states = until_event(
            model, crack, q, start=K_G, stop=stop * K_G, step=self.step * K_G, resolution=self.resolution * K_G, fmax=self.fmax
        )  # fmt: skip
        return list(self.run.follow(states, name))


def sites(crack: Crack, model: HybridModel, q: Any) -> int:
    """Atoms whose energies the forces on free dofs depend on."""
    if isinstance(crack, AtomicCrack):
        m = crack.material
        r = np.hypot(*crack.crystal.positions[:, :2].T)
        return int((r <= crack.radius + m.model.cutoff * m.model.layers).sum())
    return int((model.interface.weights(q)["ml"] > 0).sum())


def mace_cost(run: Any, whole: float, radii: list[float]) -> None:
    """Seconds of one evaluation with the default potential: all atoms within ``whole`` Å, and hybrids."""
    material = CrackMaterial.of(default_potential(), guess=5.45)
    run.record("MACE: K_G", material.K_griffith, "MPa·√m")
    cracks: dict[str, Crack] = {f"all atoms, {whole:g} Å": AtomicCrack(material, whole)}
    for r in radii:
        # Its reach is two message-passing steps of 5 Å, and so is the least width of the blend.
        made = HybridCrack.disc(material, r, 200.0, 7.0, 25.0, blend=10.0) if run.first else None
        cracks[f"hybrid, {r:g} in 200 Å"] = run.world.bcast(made)
    spent = {}
    for name, crack in cracks.items():
        model = HybridModel(crack.interface(), EnergyBlend())
        q = crack.at(material.K_griffith)
        model.evaluate(q)  # compiles forms, builds lists
        clock = time.perf_counter()
        model.evaluate(q + 1e-3 * np.cos(np.arange(q.size)).reshape(q.shape))
        spent[name] = time.perf_counter() - clock
        run.record(f"MACE, {name}: sites of an evaluation", sites(crack, model, q))
        run.timings({f"MACE, {name}: one evaluation": spent[name]})
    first, *others = spent
    for name in others:
        run.record(f"MACE, {name}: time of an evaluation saved", spent[first] / spent[name])
