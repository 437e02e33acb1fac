"""One dynamic run: a crack let loose in a strip, the window that follows it, and the books.

E_pot + E_kin − heat − booked = constant            heat: what thermostat and dampers have put in (negative: absorbed)
booked += E' − E                                    whenever the window moves on by a period
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase import units

from multiscale import HybridModel
from multiscale.drive import langevin, relax
from multiscale.drive.thermal import kinetic_energy, thermal_velocities
from multiscale.fracture.band import BandCrack
from multiscale.fracture.leaving import Bounds
from multiscale.types import J_M2_PER_EV_A2, Array


@dataclass(eq=False)
class Books:
    """What was seen at every look.

    Attributes
    ----------
    time, tip, potential, kinetic, heat, booked : lists
        fs, Å in the laboratory, and eV; ``booked`` is what moving the window has added so far.
    moves : list of int
        How often the window had moved on.
    frames : list
        (time, positions of all atoms (n, 3) in the laboratory), for pictures.
    """

    time: list[float] = field(default_factory=list)
    tip: list[float] = field(default_factory=list)
    potential: list[float] = field(default_factory=list)
    kinetic: list[float] = field(default_factory=list)
    heat: list[float] = field(default_factory=list)
    booked: list[float] = field(default_factory=list)
    moves: list[int] = field(default_factory=list)
    frames: list[tuple[float, Array]] = field(default_factory=list)
    off_plane: int = 0

    def __str__(self) -> str:
        """One line for progress."""
        off = f", {self.off_plane} bonds open off the plane" if self.off_plane else ""
        return f"{self.time[-1]:6.0f} fs: tip at {self.tip[-1]:7.2f} Å, window moved {self.moves[-1]} times{off}"


def dampers(crack: BandCrack, rate: float, share: float = 0.25) -> Array:
    """Friction (n_q,) per ASE time unit: none about the tip, growing smoothly to ``rate`` (1/ps) at both ends and the grips."""
    X, held = crack.reference, crack.fixed()[:, :2].all(axis=1)
    length, half = crack.columns * crack.period, 0.5 * crack.height
    # What comes to the ends is held there: it has to be at rest before.
    end = np.abs(X[: crack.n_free][~held[: crack.n_free], 0]).max()
    ends = (np.abs(X[:, 0]) - (0.5 - share) * length) / (end - (0.5 - share) * length)
    inner = crack.half + crack.blend
    grips = (np.abs(X[:, 1]) - inner) / (half - inner)
    t = np.clip(np.maximum(ends, grips), 0.0, 1.0)
    return np.asarray(rate / (1000.0 * units.fs) * t * t * (3.0 - 2.0 * t))


@dataclass(eq=False)
class Loose:
    """A crack at rest below K₊, strained on to G and let loose.

    Parameters
    ----------
    crack : BandCrack
    model : HybridModel
    settings : mapping
        Of the case.
    """

    crack: BandCrack
    model: HybridModel
    settings: Any

    def start(self, G: float) -> tuple[Array, Array, float]:
        """Positions, the strip far ahead, and its G in J/m², for a nominal G in units of 2γ."""
        crack, model, gamma = self.crack, self.model, self.crack.material.gamma
        length = crack.columns * crack.period
        tip = (-0.05 * length, 0.0)
        below = crack.strain(1.6 * 2.0 * gamma)
        rest, _ = crack.uniform(model, below, fmax=1e-4)
        *_, q = relax(model, self._held(crack.at(below, tip), rest), fmax=1e-3)
        strain = crack.strain(G * 2.0 * gamma)
        ahead, exact = crack.uniform(model, strain, fmax=1e-4)
        moved = q.q + crack.at(strain, tip) - crack.at(below, tip)
        return self._held(moved, ahead), ahead, exact

    def _held(self, q: Array, ahead: Array) -> Array:
        """Q with the right end as it is far ahead."""
        right = self.crack.fixed().any(axis=1) & (
            self.crack.reference[:, 0] > 0.25 * self.crack.columns * self.crack.period
        )
        return np.where(right[:, None], ahead, q)

    def run(self, q: Array, ahead: Array, seed: int = 1) -> Any:
        """A generator of the books, one look after another; the same object each time."""
        s, crack, model = self.settings, self.crack, self.model
        watch, n, books, inside = crack.watch(), crack.n_free, Books(), Bounds.of(crack)
        masses = model.coupler.masses(model.interface)
        # The wake is cooled before it leaves: what it takes along would have to be booked otherwise.
        warm = np.where(crack.reference[:, 0] < -0.25 * crack.columns * crack.period, 0.0, s["temperature"])
        v = thermal_velocities(masses, s["temperature"], seed, fixed=crack.fixed(), at_rest=False)
        friction, dt = dampers(crack, s["rate"]), s["dt"] * units.fs
        heat = booked = 0.0
        index = moves = 0
        total = None
        while True:
            steps = langevin(
                model, q, v, dt=dt, steps=s["look"], temperature=warm, friction=friction, seed=seed, masses=masses,
                start=index, heat=heat,
            )  # fmt: skip
            for k, step in enumerate(steps):
                if k == 0:
                    now = step.energy + kinetic_energy(masses, step.velocities)
                    # What the window's last move has added.
                    booked += 0.0 if total is None else now - total
                    last = step
                else:
                    last = step
            q, v, heat, index = last.q, last.velocities, last.heat, last.index
            # Too long between two looks, and it runs out of the window before that moves.
            inside(q)
            kinetic = kinetic_energy(masses, v)
            total = last.energy + kinetic
            books.time.append(index * s["dt"])
            books.tip.append(watch.front(q[:n]) + moves * crack.period)
            books.potential.append(last.energy)
            books.kinetic.append(kinetic)
            books.heat.append(heat)
            books.booked.append(booked)
            books.moves.append(moves)
            books.off_plane = int((watch.broken(q[:n]) & ~watch.crossing).sum())
            books.frames.append((books.time[-1], crack.place(q) + [moves * crack.period, 0.0, 0.0]))
            yield books
            while watch.front(q[:n]) > 0.0:
                q, v = crack.moved(q, ahead, v)
                moves += 1


def budget(crack: BandCrack, books: Books, G: float) -> dict[str, float]:
    """From the first move of the window to the last, eV: what came in strained, and where it went."""
    moves = np.array(books.moves)
    first, last = int(np.argmax(moves > 0)), len(moves) - 1
    n = int(moves[last] - moves[first])
    area = n * crack.period * crack.crystal.period / J_M2_PER_EV_A2
    out = {"periods": float(n), "released": G * area, "surfaces": 2.0 * crack.material.gamma * area}
    for name, values, sign in (
        ("kinetic", books.kinetic, 1.0),
        ("potential", books.potential, 1.0),
        ("absorbed", books.heat, -1.0),
    ):
        out[name] = sign * (values[last] - values[first])
    out["left over"] = out["released"] - out["surfaces"] - out["kinetic"] - out["potential"] - out["absorbed"]
    conserved = np.array(books.potential) + books.kinetic - np.array(books.heat) - books.booked
    out["drift"] = float(conserved[last] - conserved[first])
    return out
