"""A crack that starts in atoms and goes on as a phase field: Stillinger–Weber silicon (λ = 42), (111)[1-10], in a disc of finite elements.

Loaded by a K-field, the front breaks bond after bond until it has reached the edge of the free atoms, far above Griffith's load: the
lattice traps it. The load is lowered, the mesh becomes one that can break (AT1, with the crystal's own C and Gc = 2γ), and the rim follows
a K-field that moves on. Whatever is applied, the crack then runs at the J that a phase field costs on its mesh, Gc (1 + 3h/8ℓ).

That the surface is counted once is measured at a load too low for the crack to run: hand-overs to a later place cost more crack and release
energy, and d(atoms + elastic + crack)/da + J is what a crack costs, wherever its end is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from picture import draw

from couplers import EnergyBlend
from multiscale import Case, Expect, HybridModel
from multiscale.continuum.jintegral import j_integral
from multiscale.continuum.laws import LinearElastic
from multiscale.continuum.track import tracked_disc
from multiscale.drive import load, relax
from multiscale.fracture.bonds import BondWatch
from multiscale.fracture.handover import Handover
from multiscale.fracture.hybrid import HybridCrack
from multiscale.fracture.material import CrackMaterial
from multiscale.models import StillingerWeber
from multiscale.types import J_M2_PER_EV_A2, Team

THEORY = "Gc (1 + 3h/8ℓ), Bourdin, Francfort & Marigo, DOI 10.1007/s10659-007-9107-3"
BOOKS = "work of the rim = what is stored and dissipated"
ONCE = "every piece of matter is counted once"


class HandoverCase(Case):
    """A silicon crack leaves its atoms: bond by bond to their edge, then as a phase field in the mesh."""

    name = "handover"
    sizes = {
        "small": {
            "radius": 100.0, "free": 16.0, "h": 2.0, "length": 6.0, "end": 60.0, "places": "28, 36", "overload": 1.15,
            "first": 26.0, "last": 35.0, "step": 3.0, "tolerance": 1e-3, "rise": 0.15, "resolution": 0.05, "near": 0,
        },
        "full": {
            "radius": 150.0, "free": 16.0, "h": 1.2, "length": 6.0, "end": 80.0, "places": "24, 26, 28, 32, 36, 40", "overload": 1.15,
            "first": 12.0, "last": 50.4, "step": 1.2, "tolerance": 3e-4, "rise": 0.1, "resolution": 0.02, "near": 1,
        },
    }  # fmt: skip
    expectations = (
        Expect("coverage error", 0.0, tolerance=1e-10, source=ONCE),
        Expect("bonds that bridge the blend", 0, source="the crack goes through"),
        Expect("price of the crack by energies over toughness", 1.0, tolerance=0.01, source=THEORY),
        Expect("J of the running crack over toughness", 1.0, tolerance=0.03, source=THEORY, sizes=("small",)),
        Expect("J of the running crack over toughness", 1.0, tolerance=0.015, source=THEORY, sizes=("full",)),
        Expect("J of two rings, largest difference", 0.015, kind="at most", source="path independence"),
        Expect("largest |work − stored − dissipated| of a step", 0.01, kind="at most", source=BOOKS),
    )
    citations = ("10.1103/PhysRevB.31.5262", "10.1007/s10659-007-9107-3", "10.1016/j.jmps.2014.08.011")

    def build(self, run):
        """The crystal and a hybrid crack on a mesh with a row of cells for the crack to go on in."""
        s = run.settings
        material = CrackMaterial.of(StillingerWeber(three_body_strength=42.0))
        sizes = (s["radius"], s["free"], s["h"], s["end"], 2.0 * s["length"], 5.0, 20.0)
        mesh = run.world.bcast(tracked_disc(*sizes) if run.first else None)
        run.record("cells", len(mesh.cells))
        return HybridCrack(material, mesh, s["free"])

    def measure(self, run, crack):
        """Load the atoms, price the crack, and let it run."""
        data: dict[str, Any] = {"crack": crack, "K_G": crack.material.K_griffith, "Gc": 2.0 * crack.material.gamma}
        with run.timed("atoms"):
            state, front = self._load(run, crack, data)
        with run.timed("price"):
            self._price(run, crack, state, front, data)
        with run.timed("running"):
            self._run(run, crack, state, front, data)
        return data

    @staticmethod
    def _load(run: Any, crack: HybridCrack, data: dict[str, Any]) -> tuple[Any, float]:
        """Raise K until the last crossing bond between free atoms is broken."""
        s, watch, n, K = run.settings, crack.watch(), crack.n_free, crack.material.K_griffith
        model, edge = HybridModel(crack.interface(), EnergyBlend()), float(watch.x[watch.crossing].max())
        states, law = [], LinearElastic(crack.material.C)
        for state in load(
            model, crack.at(K), crack.advance, start=K, stop=2.5 * K, step=s["rise"] * K, resolution=s["resolution"] * K, fmax=1e-3,
            event=lambda q: watch.state(q[:n]),
        ):  # fmt: skip
            J = j_integral(crack.mesh, law, state.q[n:], _rings(run)).mean()
            states.append((state.load / K, watch.front(state.q[:n]), J))
            if states[-1][1] >= edge:
                break
        run.record("free atoms", n)
        run.record("K/K_G where the front has reached the edge of the free atoms", states[-1][0])
        run.record("front of the broken bonds", states[-1][1], "Å")
        data["atoms"], data["model"] = np.array(states), model
        # The tip is in the middle of the bond that holds and the one that does not.
        return state, states[-1][1] + 0.5 * crack.crystal.spacing

    @staticmethod
    def _hand(run: Any, crack: HybridCrack, **settings: Any) -> Handover:
        s, w = run.settings, run.world
        return Handover(crack, s["h"], s["length"], team=Team(w.rank, w.size, w.comm), **settings)

    def _price(self, run: Any, crack: HybridCrack, state: Any, front: float, data: dict[str, Any]) -> None:
        """Hand over to several places at a load that the crack can stand; (ΔE/Δa + J)/Gc between them."""
        K, Gc = 0.85 * data["K_G"], data["Gc"]
        q, area = _at(data["model"], crack, state, K), crack.crystal.period / J_M2_PER_EV_A2
        rows = []
        for place in (float(p) for p in run.settings["places"].split(",")):
            hand = self._hand(run, crack, to=place)
            model = HybridModel(hand.interface, EnergyBlend())
            found = hand.settle(model, hand.opened(q, K, front), tolerance=3e-4)
            J = hand.far_j(found.q, _rings(run)).mean()
            rows.append((place, found.energy / area, J, found.crack / area, found.tip))
        place, energy, J, crack_energy, tip = np.array(rows).T
        # The cells of the row are h long: the crack ends at one of their edges, wherever it is said to.
        ends = np.array([np.nanmax(np.where(hand.row <= p, hand.row, -np.inf)) for p in place])
        resistance = np.diff(energy) / np.diff(ends) + 0.5 * (J[1:] + J[:-1])
        data["price"] = np.column_stack([0.5 * (ends[1:] + ends[:-1]), resistance / Gc])
        toughness = hand.solid.toughness(run.settings["h"]) / hand.solid.Gc
        # Where the end is at least ℓ beyond the blend, damage ahead of it is the mesh's alone.
        late = place[:-1] >= crack.free_radius + crack.blend + 0.5 * run.settings["length"]
        run.record("toughness of the mesh over Gc", toughness)
        run.record("price of the crack by energies over toughness", float((resistance[late] / Gc).mean() / toughness))
        slope = np.diff(crack_energy)[late] / np.diff(ends)[late]
        run.record("price of the crack by the functional over toughness", float(slope.mean() / Gc / toughness))

    def _run(self, run: Any, crack: HybridCrack, state: Any, front: float, data: dict[str, Any]) -> None:
        """Hand over at the end of the blend, and move the K-field of the rim."""
        s, K = run.settings, run.settings["overload"] * data["K_G"]
        hand = self._hand(run, crack)
        model = HybridModel(hand.interface, EnergyBlend())
        q = _at(data["model"], crack, state, K)
        found = hand.settle(model, hand.opened(q, K, front), tolerance=s["tolerance"])
        watch = BondWatch.of(crack.crystal.positions, crack.crystal.period, crack.material.bond)
        path = watch.crossing & (watch.x < hand.to - 0.5 * crack.crystal.spacing)
        run.record("bonds that bridge the blend", int((path & ~watch.broken(crack.place(found.q))).sum()))
        ledger = model.ledger(found.q)
        run.say(str(ledger))
        run.record("coverage error", max(abs(c - 1.0) for c in ledger.coverage))
        rows, fixed = [], model.interface.fixed
        for place in np.arange(s["first"], s["last"] + 1e-9, s["step"]):
            rim = crack.at(K, (place, 0.0))
            before, found = found, hand.settle(model, np.where(fixed, rim, found.q), tolerance=s["tolerance"])
            J = hand.far_j(found.q, _rings(run))
            lost = (found.work - before.work) - (found.energy - before.energy)
            near = self._near(run, hand, found)
            rows.append((place, found.tip, J.mean(), np.ptp(J), near, lost, found.crack - before.crack, found.sweeps))
            run.say(
                f"K-field at {place:5.1f} Å: tip at {found.tip:6.2f} Å, J = {J.mean():.4f} J/m², {found.sweeps} sweeps"
            )
        data["hand"], data["found"], data["rows"] = hand, found, np.array(rows)
        self._judge(run, data)

    @staticmethod
    def _near(run: Any, hand: Handover, found: Any) -> float:
        """J about the phase field's tip alone, where there is room for a ring that holds its process zone."""
        ring = (2.2 * run.settings["length"], 3.5 * run.settings["length"])
        fits = run.settings["near"] and found.tip - ring[1] > hand.crack.free_radius + hand.crack.blend
        return hand.near_j(found.q, found.tip, ring) if fits else np.nan

    @staticmethod
    def _judge(run: Any, data: dict[str, Any]) -> None:
        """Averages over the part of the way on which the crack runs with the field."""
        hand, s = data["hand"], run.settings
        place, tip, J, spread, near, lost, spent, sweeps = data["rows"].T
        toughness = hand.solid.toughness(s["h"]) * J_M2_PER_EV_A2
        late = place > place[0] + 0.6 * (place[-1] - place[0])
        area = hand.crack.crystal.period / J_M2_PER_EV_A2
        run.record("J of the running crack over toughness", float(J[late].mean() / toughness))
        run.record("J of the running crack over Gc", float(J[late].mean() / data["Gc"]))
        run.record("J of two rings, largest difference", float((spread / J)[late].max()))
        if np.isfinite(near).any():
            run.record("J about the damage's tip over toughness", float(np.nanmean(near) / toughness))
        advance = np.polyfit(tip[late], np.cumsum(spent)[late], 1)[0]
        run.record("dissipated per advance over toughness", float(advance / area / toughness))
        run.record(
            "largest |work − stored − dissipated| of a step", float(np.abs(lost[late]).max() / spent[late].mean())
        )
        run.record("advance of the tip in the mesh", float(tip[-1] - hand.to), "Å")
        run.record("sweeps", int(sweeps.sum()))
        data["toughness"], data["late"] = toughness, late

    def plot(self, run, data):
        """The crack in atoms and mesh, J along the way, and the price of the crack."""
        run.save_figure(draw(data), "handover.png")


def _rings(run: Any) -> list[tuple[float, float]]:
    """Around all of the crack's tip, Å."""
    R = run.settings["radius"]
    return [(0.68 * R, 0.82 * R), (0.82 * R, 0.97 * R)]


def _at(model: HybridModel, crack: HybridCrack, state: Any, K: float) -> Any:
    """The state relaxed at another K (MPa·√m)."""
    *_, last = relax(model, crack.advance(state.q, state.load, K), fmax=1e-4)
    return last.q


if __name__ == "__main__":
    HandoverCase().main()
