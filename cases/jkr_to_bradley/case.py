"""A paraboloid and an elastic body that attract each other, from the rigid limit to JKR: pull-off, jumps into contact and out of it.

The body is of finite elements, the adhesion that of two half-spaces by Lennard-Jones, p(h) = (8w/3ε)[(ε/h)³ − (ε/h)⁹], which is the
contact as well. One number decides, Tabor's μ = (R w²/E*²ε³)^⅓. Equilibria are followed at a prescribed central gap, so that nothing jumps;
where the curve turns back a machine does, and loses the area between. Independent references: rings of pressure on a half-space, in numpy
(rings.py), the limits of Bradley (2πwR) and JKR (3πwR/2), and energies against work.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from bodies import Contact
from jumps import loop, work
from picture import draw
from rings import centres, lowest, walk
from theory import CYLINDER

from multiscale import Case, Expect

OTHERS = "Muller (1980), Greenwood (1997); an independent code"
RINGS = "rings of this case"
SAME = "largest |P − P of the rings| at a central gap over the span of P"
BOOKS = "E − E₀ = −∫P dD"
#: Pull-off over πwR that the rings have to give.
KNOWN = {0.01: 1.999, 0.1: 1.969, 0.5: 1.787, 5.0: 1.526}
MANY = "0.1,0.5,1,2,5"
#: Stiffness of the soft machine in πwR/ε.
SOFT = 1.0


def expectations() -> tuple[Expect, ...]:
    """For every size what it measures."""
    out = []

    def add(what: str, value: float, tolerance: float, source: str, unit: str = "", **more: Any) -> None:
        out.append(Expect(what, value, tolerance, source, unit, **more))

    for mu, value in KNOWN.items():
        sizes = ("full",) if mu == 5.0 else ()
        add(f"rings, μ = {mu:g}: pull-off", value, 3e-3, OTHERS, "πwR", relative=True, sizes=sizes)
    add("rings: μ from which a rigid machine jumps", 0.72, 0.03, OTHERS)
    for mu in map(float, MANY.split(",")):
        sizes, name = {0.5: (), 2.0: ("small", "full")}.get(mu, ("full",)), f"μ = {mu:g}"
        add(f"{name}: pull-off over that of the rings", 1.0, 5e-3, RINGS, sizes=sizes)
        add(f"{name}: {SAME}", 2e-2, 0.0, RINGS, kind="at most", sizes=sizes)
        add(f"{name}: |work − energy|/energy", 1e-3, 0.0, BOOKS, kind="at most", sizes=sizes)
        add(f"{name}: area of the gap over that of the surface", 1.0, 1e-10, "counted once", sizes=sizes)
        if mu > 0.72:
            add(f"{name}: jump into contact over that of the rings", 1.0, 1e-2, RINGS, sizes=sizes)
            add(f"{name}: jump out of contact over that of the rings", 1.0, 1e-2, RINGS, sizes=sizes)
            add(f"{name}: area of the loop over energy lost", 1.0, 1e-2, "∮P dD = ΔE + ΔE", sizes=sizes)
        else:
            add(f"{name}: turns of the approach", 0, 0.0, "none below μ = 0.7", sizes=sizes)
    more = {"kind": "at most", "sizes": ("small", "full")}
    add("rigid body: pull-off", 2.0, 1e-3, "2πwR, Derjaguin (1934), Bradley (1932)", "πwR")
    add("arc length and central gap: |ΔP|", 1e-4, 0.0, "one curve", "πwR", **more)
    add("after the jump: |E − E of the branch|", 1e-5, 0.0, "Newton's walk", "πwRε", **more)
    add(
        "plane strain, μ = 3: pull-off",
        CYLINDER,
        2e-2,
        "JKR of a cylinder",
        "(E*w²R)^⅓",
        relative=True,
        sizes=("full",),
    )
    return tuple(out)


def onset() -> float:
    """The smallest μ at which the rings' approach turns back."""

    def turns(mu: float) -> bool:
        curve = walk(mu, centres(mu))
        return loop(curve.approach, curve.load, np.zeros_like(curve.load)) is not None

    low, high = 0.5, 1.0
    while high - low > 2e-3:
        middle = 0.5 * (low + high)
        low, high = (low, middle) if turns(middle) else (middle, high)
    return high


class JkrToBradley(Case):
    """Adhesive contact from Bradley's rigid limit to JKR."""

    name = "jkr_to_bradley"
    sizes = {
        "tiny": {"mu": "0.5", "points": 32, "fine": 0.2, "width": 25.0, "grade": 0.3, "plane": "", "jump": 0.0},
        "small": {"mu": "0.5,2", "points": 32, "fine": 0.2, "width": 50.0, "grade": 0.3, "plane": "", "jump": 2.0},
        "full": {"mu": MANY, "points": 60, "fine": 0.2, "width": 150.0, "grade": 0.3, "plane": "3", "jump": 2.0},
    }
    expectations = expectations()
    citations = (
        "10.1016/0021-9797(80)90419-1",
        "10.1098/rspa.1997.0070",
        "10.1098/rspa.1971.0141",
        "10.1016/0021-9797(92)90285-T",
    )

    def build(self, run):
        """Tabor's parameters; bodies are built where they are walked."""
        return [float(v) for v in run.settings["mu"].split(",")]

    def measure(self, run, mus):
        """Rings and elements for every μ; jumps; a rigid body; a cylinder."""
        data: dict[str, Any] = {"walks": {}, "rings": {}}
        s = run.settings
        with run.timed("rings"):
            for mu in sorted({*KNOWN, *mus} if 5.0 in mus else {*mus, 0.01, 0.1, 0.5}):
                curve = run.world.bcast(walk(mu, centres(mu, 60)) if run.first else None)
                data["rings"][mu] = curve
                run.record(f"rings, μ = {mu:g}: pull-off", curve.pull_off, "πwR")
            run.record("rings: μ from which a rigid machine jumps", run.world.bcast(onset() if run.first else None))
        for mu in mus:
            with run.timed(f"μ = {mu:g}"):
                contact = Contact(mu, s["fine"], s["width"], grade=s["grade"])
                if mu == mus[0]:
                    D = np.linspace(0.97, 1.05, 41)
                    run.record("rigid body: pull-off", lowest(D, -contact.rigid(D)), "πwR")
                data["walks"][mu] = self._walk(run, mu, contact, data["rings"][mu])
                if mu == s["jump"]:
                    self._jump(run, contact, data["walks"][mu])
        for mu in (float(v) for v in run.settings["plane"].split(",") if v):
            with run.timed("plane strain"):
                steps = list(Contact(mu, s["fine"], 20.0, "plane").walk(centres(mu, s["points"])))
                load = np.array([step.load for step in steps])
                run.record(f"plane strain, μ = {mu:g}: pull-off", lowest(np.arange(len(load)), -load), "(E*w²R)^⅓")
        return data

    @staticmethod
    def _walk(run: Any, mu: float, contact: Contact, rings: Any) -> dict[str, Any]:
        """The curve of one μ and what it says."""
        gaps, name = centres(mu, run.settings["points"]), f"μ = {mu:g}"
        states = list(contact.walk(gaps))
        D, P, E = np.array([(s.approach, s.load, s.energy) for s in states]).T
        same = walk(mu, gaps) if len(gaps) != len(rings.centre) else rings
        run.record(f"{name}: nodes", len(contact.mesh.nodes))
        run.record(f"{name}: pull-off", lowest(gaps, -P), "πwR")
        run.record(f"{name}: pull-off over that of the rings", lowest(gaps, -P) / same.pull_off)
        off = np.abs(P - same.load).max() / np.ptp(P)
        run.record(f"{name}: {SAME}", off)
        run.record(f"{name}: |D − D of the rings| at the same central gap", np.abs(D - same.approach).max(), "ε")
        run.record(f"{name}: |work − energy|/energy", abs(work(D, P) - (E[-1] - E[0])) / np.ptp(E))
        rows = contact.model.ledger(states[-1].q)
        run.record(
            f"{name}: area of the gap over that of the surface",
            sum(row.area for row in rows.rows) / (np.pi * contact.mesh.points[:, 0].max() ** 2),
        )
        rigid, soft = loop(D, P, E), loop(D, P, E, SOFT)
        theirs = loop(rings.approach, rings.load, np.zeros_like(rings.load))
        if rigid is None or theirs is None:
            run.record(f"{name}: turns of the approach", int((np.diff(np.sign(np.diff(D))) != 0).sum()))
        else:
            run.record(f"{name}: jump into contact at D", rigid.into, "ε")
            run.record(f"{name}: jump out of contact at D", rigid.out_of, "ε")
            run.record(f"{name}: jump into contact over that of the rings", rigid.into / theirs.into)
            run.record(f"{name}: jump out of contact over that of the rings", rigid.out_of / theirs.out_of)
            run.record(f"{name}: load before the jump out of contact", float(rigid.loads[2]), "πwR")
            run.record(f"{name}: energy lost in a cycle", float(rigid.lost.sum()), "πwRε")
            run.record(f"{name}: area of the loop over energy lost", rigid.area / float(rigid.lost.sum()))
        if soft is not None:
            run.record(f"{name}: energy lost in a cycle of a soft machine", float(soft.lost.sum()), "πwRε")
        return {
            "contact": contact,
            "states": states,
            "D": D,
            "P": P,
            "E": E,
            "pull-off": lowest(gaps, -P),
            "loop": rigid,
        }

    @staticmethod
    def _jump(run: Any, contact: Contact, found: dict[str, Any]) -> None:
        """A rigid machine just beyond the fold: a minimiser falls to the other branch. And the same curve by arc length."""
        states, jump = found["states"], found["loop"]
        gaps = np.array([s.centre for s in states])
        fold = int(np.argmin(np.where(gaps > 1.3, found["D"], np.inf)))
        goal = jump.into - 0.05
        energy, centre = contact.dropped(states[fold - 1], goal)
        near = states[int(np.argmin(np.where(gaps < centre + 0.01, np.abs(found["D"] - goal), np.inf)))]
        run.record("after the jump: |E − E of the branch|", abs(energy - contact.held(near, goal)), "πwRε")
        *_, last = contact.along(states[fold - 1], gaps[-2])
        back = next(contact.walk(gaps[-2:-1], last))
        run.record("arc length and central gap: |ΔP|", abs(back.load - states[-2].load), "πwR")
        run.record("arc length and central gap: |ΔD|", abs(back.approach - states[-2].approach), "ε")

    def plot(self, run, data):
        """Loads against approach and contact radius, pull-off against μ, pressures, a loop, and the body with its gap."""
        run.save_figure(draw(data), "jkr_to_bradley.png")


if __name__ == "__main__":
    JkrToBradley().main()
