"""Searches for K₋ and K₊ in steps of K, for atoms in a mesh by any coupler and for atoms alone, and what they cost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from couplers import EnergyBlend, GhostCorrected, SharpPad
from multiscale import HybridModel
from multiscale.continuum.laws import Law
from multiscale.drive import Step, relax
from multiscale.fracture.atomistic_j import driving_force
from multiscale.fracture.crack import Crack
from multiscale.fracture.disc import AtomicCrack
from multiscale.fracture.hexagonal import HexagonalMaterial
from multiscale.fracture.hybrid import HybridCrack
from multiscale.fracture.padded import PaddedCrack
from multiscale.fracture.turns import Turns
from multiscale.fracture.window import Bracket, bracket, until_event
from multiscale.types import MPA_SQRT_M_PER_EV_A25 as UNIT
from multiscale.types import MultiscaleError

COUPLERS = {
    "sharp pad": SharpPad,
    "energy blend": EnergyBlend,
    "ghost corrected": lambda: GhostCorrected(EnergyBlend()),
}

#: Of a bond, in units of a. Where the crack advances, one stretches from 1.34 to 1.57, and from 1.50 to 1.27 where it heals; at 1.25 one
#: passes by without either.
BROKEN = 1.4


@dataclass(eq=False)
class Found:
    """One crack's window; loads in eV/Å^2.5.

    Attributes
    ----------
    ends : {"₊": Bracket, "₋": Bracket}
        Loads of the last states before the events and of the first after them.
    intact : {"₊": Step, "₋": Step}
        The last states before them.
    evaluations, seconds
        Of both searches.
    """

    crack: Crack
    model: HybridModel
    ends: dict[str, Bracket] = field(default_factory=dict)
    intact: dict[str, Step] = field(default_factory=dict)
    evaluations: int = 0
    seconds: float = 0.0

    def middle(self, sign: str) -> float:
        """The middle of the bracket."""
        return 0.5 * (self.ends[sign].before + self.ends[sign].after)


@dataclass(eq=False)
class Search:
    """Searches with one set of tolerances; loads in eV/Å^2.5."""

    run: Any
    start: float
    step: float
    resolution: float
    fmax: float
    found: dict[str, Found] = field(default_factory=dict)

    def window(self, name: str, crack: Crack, coupler: str) -> Found:
        """Both ends, from the state that is relaxed at the first load."""
        model = HybridModel(crack.interface(), COUPLERS[coupler]())
        found, clock = Found(crack, model), time.perf_counter()
        rest = self._toward(name, found, crack.at(self.start * UNIT), "₊", 0.40, "grows")
        self._toward(name, found, rest.q, "₋", 0.15, "heals")
        found.seconds = time.perf_counter() - clock
        self.found[name] = found
        self.run.record(f"{name}: free atoms", crack.n_free)
        self.run.record(f"{name}: evaluations", found.evaluations)
        self.run.timings({name: found.seconds})
        return found

    def _toward(self, name: str, found: Found, q: Any, sign: str, stop: float, wanted: str) -> Step:
        """The event on the way to ``stop``; gives the first state."""
        crack, run = found.crack, self.run
        if isinstance(crack, PaddedCrack):
            settle: Any = Turns(crack, found.model, HybridModel(crack.atoms_held(), EnergyBlend()), self.fmax)
        else:
            settle = Downhill(found.model, self.fmax)
        states = list(run.follow(self._stepwise(settle, crack, q, stop), name))
        found.evaluations += settle.evaluations
        b = bracket(crack, states, BROKEN * crack.material.bond)
        found.ends[sign] = replace(b, before=b.before / UNIT, after=b.after / UNIT)
        found.intact[sign] = states[-2] if len(states) > 1 else states[-1]
        run.say(f"{name}, K{sign}: {b.words}")
        run.record(f"{name}: K{sign}, bracket", np.array([b.before, b.after]) / UNIT, "eV/Å^2.5")
        run.record(f"{name}: what happens at K{sign}", b.what)
        return states[0]

    def _stepwise(self, settle: Any, crack: Crack, q: Any, stop: float) -> Iterator[Step]:
        """As :func:`until_event`: steps that are halved where a bond breaks or closes; but a crack that runs is not followed."""
        watch, n = crack.watch(BROKEN * crack.material.bond), crack.n_free
        K, size = self.start, self.step if stop > self.start else -self.step
        state = settle.settle(q)
        intact = watch.broken(state.q[:n])
        yield replace(state, load=K * UNIT, event=watch.state(state.q[:n]))
        while (stop - K) * size > 0:
            predicted = crack.advance(state.q, K * UNIT, (K + size) * UNIT)
            trial = settle.settle(predicted, lambda at: int((watch.broken(at[:n]) != intact).sum()))
            changed = (watch.broken(trial.q[:n]) != intact).any()
            if changed and abs(size) > self.resolution * (1 + 1e-9):
                size = np.sign(size) * max(0.5 * abs(size), self.resolution)
                continue
            K, state = K + size, trial
            yield replace(state, load=K * UNIT, event=watch.state(state.q[:n]))
            if changed:
                return


class Downhill:
    """Brings a crack with an energy to rest; the like of :class:`~multiscale.fracture.turns.Turns`."""

    def __init__(self, model: HybridModel, fmax: float, max_steps: int = 400) -> None:
        self.model, self.fmax, self.max_steps = model, fmax, max_steps
        self.evaluations = 0

    def settle(self, q: Any, changed: Any = lambda q: 0) -> Step:
        """The minimum below q, or a state on the way there with three bonds changed: one or two may change for a moment."""
        self.model.prepare(q)
        before, state = self.model.evaluations, None
        for state in relax(self.model, q, fmax=self.fmax, max_steps=self.max_steps):
            if changed(state.q) > 2:
                break
        assert state is not None
        self.evaluations += self.model.evaluations - before
        if not state.converged and changed(state.q) <= 2:
            raise MultiscaleError(
                f"relaxation stopped after {state.index} steps at max|F| = {state.max_force:.2e} eV/Å; take smaller steps"
            )
        return state


def in_mesh(
    material: HexagonalMaterial, coupler: str, free: float, far: float, h: float, grade: float, law: Law | None = None
) -> Crack:
    """Atoms within ``free`` Å in a mesh to ``far`` Å, as the coupler needs them; cells from h (Å), growing by ``grade`` per Å."""
    kind: Any = PaddedCrack if coupler == "sharp pad" else HybridCrack
    return kind.disc(material, free, far, h, grade * far, law=law)


@dataclass(frozen=True)
class Event:
    """One growth or healing of a crack in a disc of atoms alone.

    Attributes
    ----------
    sign : str
        "₊" or "₋".
    K : float
        Of the field that the disc's rim is held at, eV/Å^2.5, in the middle of the bracket.
    K_J : (n_rings,) array
        √(E′ J) with J of the atoms in rings, just before: it knows neither the rim's linear elasticity nor where the tip is.
    front : float
        Where the last broken bond was, Å.
    what : str
    """

    sign: str
    K: float
    K_J: Any
    front: float
    what: str


def alone(search: Search, material: HexagonalMaterial, radius: float, events: int) -> list[Event]:
    """The first events of each kind in a disc of atoms alone."""
    crack, out = AtomicCrack(material, radius), []
    model = HybridModel(crack.interface(), EnergyBlend())
    limit, n = BROKEN * material.bond, crack.n_free
    reach = material.model.cutoff * material.model.layers
    edges = np.linspace(0.35 * radius, radius - reach - 3.0, 3)
    rings = [(edges[0], edges[1]), (edges[1], edges[2]), (edges[0], edges[2])]
    for sign, stop in (("₊", 0.40), ("₋", 0.15)):
        q, K = crack.at(search.start * UNIT), search.start
        for _ in range(events):
            settings = {"limit": limit, "fmax": search.fmax, "resolution": search.resolution * UNIT}
            walk = until_event(model, crack, q, start=K * UNIT, stop=stop * UNIT, step=search.step * UNIT, **settings)
            states = list(search.run.follow(walk, f"all atoms, {radius:g} Å"))
            b, last = bracket(crack, states, limit), states[-2 if len(states) > 1 else -1].q
            G = driving_force(model, crack, last, rings) + 2.0 * material.gamma_relaxed
            K_J = np.sqrt(G / material.field.energy_release_rate(UNIT))
            middle = 0.5 * (b.before + b.after) / UNIT
            out.append(Event(sign, middle, K_J, crack.watch(limit).front(last[:n]), b.what))
            q, K = states[-1].q, b.after / UNIT
    return out
