"""A region that follows: an interstitial shot along a ⟨110⟩ channel of silicon, and a better model that goes with it.

The interstitial starts on a hexagonal site with the kinetic energy of a recoil, ploughs through the channel, kicks atoms off their
sites and stops; the crystal takes the energy up. One Stillinger–Weber variant describes the crystal, another the place where the
interstitial is, in three ways: weights that ride on the interstitial (a smooth union on seeds), weights driven by the locally averaged
centro-symmetry of all atoms, and an open cluster E_high − E_low over the crystal that is carved anew as the interstitial comes near
its border. In the first two nothing jumps; in the third the jumps of the energy are booked. Each is compared with the better model
everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase import units
from trail import draw
from walk import ALL_BETTER, ALL_CHEAP, DRIVEN, FOLLOWED, SEEDED, Walk

from couplers import EnergyBlend, Subtractive
from multiscale import Case, Expect
from multiscale.drive import Step, kinetic_energy, verlet, watch

FOLLOWING = (SEEDED, DRIVEN, FOLLOWED)
MODES = (ALL_BETTER, ALL_CHEAP, *FOLLOWING)
LONG = ("small", "full")


@dataclass
class Trail:
    """What is kept of one trajectory."""

    total: list[float] = field(default_factory=list)
    booked: list[float] = field(default_factory=list)
    momentum: list[Any] = field(default_factory=list)
    path: list[Any] = field(default_factory=list)
    kinetic: list[float] = field(default_factory=list)
    described: list[float] = field(default_factory=list)
    last: Any = None
    weights: Any = None


class MovingRegion(Case):
    """Energy, momentum and path of a recoil in silicon whose better description moves with it."""

    name = "moving_region"
    sizes = {
        "tiny": {"cells": 3, "energy": 25.0, "temperature": 300.0, "core": 3.5, "zone": 4.0, "dt": 0.5, "time": 15.0, "check": 0.0},
        "small": {"cells": 4, "energy": 25.0, "temperature": 300.0, "core": 3.5, "zone": 5.0, "dt": 0.5, "time": 100.0, "check": 25.0},
        "full": {"cells": 6, "energy": 60.0, "temperature": 300.0, "core": 5.0, "zone": 6.0, "dt": 0.25, "time": 150.0, "check": 50.0},
    }  # fmt: skip
    expectations = (
        *(
            Expect(f"{m}: largest change of momentum per atom", 0.0, tolerance=1e-12, source="identity", unit="amu Å/t")
            for m in MODES
        ),
        *(
            Expect(f"{m}: energy error over the pure model's", 2.0, kind="at most", source="same integrator", sizes=LONG)
            for m in FOLLOWING
        ),
        *(
            Expect(f"{m}: ratio of energy errors at Δt and Δt/2", 4.0, tolerance=0.8, source="velocity Verlet is of order Δt²", sizes=LONG)
            for m in FOLLOWING
        ),
        *(
            Expect(f"{m}: path error over that of the cheap model", 0.25, kind="at most", source="what the region is for", sizes=LONG)
            for m in FOLLOWING
        ),
        Expect(f"{FOLLOWED}: changes of members", 2, kind="at least", source="the path is longer than the buffer", sizes=LONG),
        Expect(
            f"{FOLLOWED}: energy error without what is booked, over the one with it", 10.0, kind="at least",
            source="jumps of the energy at the changes", sizes=LONG,
        ),
    )  # fmt: skip
    citations = ("arXiv:2512.07693", "10.1103/PhysRevB.31.5262")

    def build(self, run):
        """The crystal and the recoil."""
        s = run.settings
        return Walk(s["cells"], s["energy"], s["temperature"], s["core"], s["zone"])

    def measure(self, run, walk):
        """One trajectory per description, all from the same start."""
        run.cite(*EnergyBlend.references, *Subtractive.references)
        s, n = run.settings, len(walk.X)
        trails: dict[str, Trail] = {}
        for mode in MODES:
            with run.timed(mode):
                trails[mode] = t = self._run(run, walk, mode, s["dt"], s["time"], write=True)
            run.record(f"{mode}: energy error", _error(t.total), "eV")
            drifted = np.abs(np.array(t.momentum) - t.momentum[0]).max() / n
            run.record(f"{mode}: largest change of momentum per atom", float(drifted), "amu Å/t")
            run.record(f"{mode}: atoms described by the better model, mean", float(np.mean(t.described)))
            run.record(f"{mode}: way of the interstitial", float(np.linalg.norm(t.path[-1] - t.path[0])), "Å")
        cheap = _apart(trails[ALL_CHEAP], trails[ALL_BETTER])
        run.record(f"{ALL_CHEAP}: path error", cheap, "Å")
        for mode in FOLLOWING:
            t, off = trails[mode], _apart(trails[mode], trails[ALL_BETTER])
            run.record(
                f"{mode}: energy error over the pure model's", _error(t.total) / _error(trails[ALL_BETTER].total)
            )
            run.record(f"{mode}: path error", off, "Å")
            run.record(f"{mode}: path error over that of the cheap model", off / cheap)
            spread = np.abs(np.array(t.kinetic) - trails[ALL_BETTER].kinetic).max()
            run.record(f"{mode}: error of the interstitial's kinetic energy", float(spread), "eV")
            if s["check"]:
                errors = [_error(self._run(run, walk, mode, s["dt"] / k, s["check"]).total) for k in (1, 2)]
                run.record(f"{mode}: ratio of energy errors at Δt and Δt/2", errors[0] / errors[1])
        t = trails[FOLLOWED]
        without = _error([e - b for e, b in zip(t.total, t.booked, strict=True)])
        run.record(f"{FOLLOWED}: changes of members", int(np.count_nonzero(np.diff(t.booked))))
        run.record(f"{FOLLOWED}: energy error without what is booked, over the one with it", without / _error(t.total))
        return walk, trails

    @staticmethod
    def _run(run: Any, walk: Walk, mode: str, dt: float, time: float, write: bool = False) -> Trail:
        """A trajectory of ``time`` fs in steps of ``dt`` fs; frames of it go to files."""
        model, trail, m = walk.model(mode), Trail(), walk.masses
        count = round(time / dt)
        steps = verlet(model, walk.X, walk.v, dt=dt * units.fs, steps=count, masses=m)
        if mode in (SEEDED, DRIVEN):
            steps = watch(steps, model, "high")
        for step in steps:
            w = walk.weights(mode, model, step.q)
            trail.total.append(float(step.energy or 0.0) + kinetic_energy(m, step.velocities))
            trail.booked.append(model.booked if mode == FOLLOWED else 0.0)
            trail.momentum.append(m @ step.velocities)
            trail.path.append(step.q[walk.walker].copy())
            trail.kinetic.append(0.5 * m[walk.walker] * float((step.velocities[walk.walker] ** 2).sum()))
            trail.described.append(float(w.sum()))
            trail.last, trail.weights = step.q, w
            if step.event and write:
                run.say(f"{mode}, step {step.index}: {step.event}")
            if write and mode in FOLLOWING and step.index % max(count // 20, 1) == 0:
                _frame(run, walk, mode, step, w)
        return trail

    def plot(self, run, data):
        """Where the better model is along the path; energies; distance from the path of the better model."""
        walk, trails = data
        run.save_figure(draw(walk, trails, run.settings["dt"]), "moving_region.png")


def _frame(run: Any, walk: Walk, mode: str, step: Step, w: Any) -> None:
    """One frame with a column of weights per region; the driven region's is ``atoms.extxyz``."""
    name = {DRIVEN: "atoms.extxyz", SEEDED: "seed_attached.extxyz", FOLLOWED: "followed_cluster.extxyz"}[mode]
    columns = {"w_high": w, "w_low": 1.0 - w, "velocities": step.velocities}
    info = {"step": step.index}
    run.write_atoms(
        name, walk.atoms.get_chemical_symbols(), step.q, walk.cell, True, columns, info=info, append=step.index > 0
    )


def _error(total: Any) -> float:
    return float(np.abs(np.array(total) - total[0]).max())


def _apart(a: Trail, b: Trail) -> float:
    return float(np.linalg.norm(np.array(a.path) - np.array(b.path), axis=1).max())


if __name__ == "__main__":
    MovingRegion().main()
