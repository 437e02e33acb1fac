"""A double cantilever under pure end moments: the interface opens at M_c = √(Gc E′h³/12) per width, whatever its law and the arms' length.

J of the end sections is 12 M²/(E′h³), exactly, and J of the interface is ∫T dδ = Gc once the end of the zone has let go. So M is the same
for a bilinear law with damage, a spline through a table, and an exponential one, and stays the same while the crack grows. Before, two
blocks are pulled apart: the jump is that at which the law bears σ, σ/K₀ while it is elastic, to round-off. mm, N.

The body and its interface are one region of the framework, solved by its Newton's method, with the ends' rotation prescribed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from arms import ARM, MODULUS, TOUGHNESS, DoubleCantilever, exact, patch
from picture import draw
from scipy.integrate import quad

from multiscale import Case, Expect
from multiscale.continuum.cohesive_laws import CohesiveLaw, Damaging, Reversible
from multiscale.continuum.traction import Bilinear, Curve, Exponential, Tabulated

STRENGTH, PENALTY = 20.0, 1e5
J = "J = 12 M²/(E′h³) = Gc, Rice, DOI 10.1115/1.3601206"


def spline() -> Tabulated:
    """A table of an exponential law up to 25 times the opening of its peak."""
    smooth = Exponential(STRENGTH, TOUGHNESS)
    x = np.linspace(0.0, 25.0 * smooth.peak, 120)
    return Tabulated(x, np.append(smooth.traction(x)[:-1], 0.0))


def laws() -> dict[str, CohesiveLaw]:
    """By name."""
    return {
        "bilinear": Damaging(Bilinear(PENALTY, STRENGTH, TOUGHNESS)),
        "spline": Reversible(spline()),
        "exponential": Reversible(Exponential(STRENGTH, TOUGHNESS)),
    }


def work_of(curve: Curve) -> float:
    """∫T dδ by an adaptive rule, up to where less than 1e-10 of it is left."""
    end = 12.0 * curve.toughness / curve.strength
    kink = [curve.first, curve.final] if isinstance(curve, Bilinear) else list(np.linspace(0, end, 120)[1:-1])
    return float(
        quad(lambda d: float(curve.traction(np.array([d]))[0]), 0.0, end, points=kink, limit=500, epsabs=1e-13)[0]
    )


def expectations() -> tuple[Expect, ...]:
    """For every law."""
    out = []
    for name, sizes in (("bilinear", ()), ("spline", ()), ("exponential", ("full",))):
        out += [
            Expect(
                f"{name}: patch, error of the jump",
                1e-10,
                source="σ is that of the blocks",
                unit="of it",
                kind="at most",
                sizes=sizes,
            ),
            Expect(f"{name}: ∫T dδ/Gc", 1.0, 1e-8, "definition", sizes=sizes),
            Expect(f"{name}: M", 25.318, 5e-3, J, "N", relative=True, sizes=sizes),
            Expect(f"{name}: spread of M as the crack grows", 1e-2, source=J, kind="at most", sizes=sizes),
            Expect(
                f"{name}: |work − energy|",
                2e-3,
                source="work of the ends = what is stored and spent",
                kind="at most",
                sizes=sizes,
            ),
        ]
    return tuple(out)


class DoubleCantileverBeam(Case):
    """Cohesive interfaces: the patch test, and the moment at which a double cantilever opens, for several laws."""

    name = "double_cantilever"
    sizes = {
        "small": {"laws": "bilinear,spline", "cell": 0.25, "step": 1e-3, "growth": 3.0},
        "full": {"laws": "bilinear,spline,exponential", "cell": 0.125, "step": 5e-4, "growth": 5.0},
    }
    expectations = expectations()
    citations = ("10.1115/1.3601206", "10.1177/0021998303034505", "10.1016/j.engfracmech.2006.08.025")

    def build(self, run):
        """The laws; arms are built where they are bent."""
        known = laws()
        return {name: known[name] for name in run.settings["laws"].split(",")}

    def measure(self, run, chosen):
        """Patch test, work of separation and the bending of every law."""
        found = {}
        for name, law in chosen.items():
            with run.timed(name):
                jump, error = patch(law)
                run.record(f"{name}: patch, jump × K₀/σ", jump * law.curve.stiffness / 5.0)
                run.record(f"{name}: patch, error of the jump", error / jump, "of it")
                run.record(f"{name}: ∫T dδ/Gc", work_of(law.curve) / law.curve.toughness)
                found[name] = self._bend(run, name, law)
        return found

    @staticmethod
    def _bend(run: Any, name: str, law: CohesiveLaw) -> dict[str, Any]:
        s = run.settings
        arms = DoubleCantilever(law, s["cell"])
        rows = np.array(list(arms.bend(s["step"], s["growth"])))
        _, upper, lower, crack, energy, work, _ = rows.T
        late = crack > crack[0] + 0.4 * s["growth"]
        moment = 0.5 * (upper - lower)
        run.record(f"{name}: M", float(moment[late].mean()), "N")
        run.record(f"{name}: M/M_c", float(moment[late].mean() / exact()))
        run.record(f"{name}: spread of M as the crack grows", float(np.ptp(moment[late]) / exact()))
        run.record(f"{name}: |work − energy|", float(np.abs(work - energy).max() / work[-1]))
        run.record(f"{name}: steps", len(rows))
        return {"arms": arms, "rows": rows, "law": law, "moment": moment}

    def plot(self, run, data):
        """Moments, energies, tractions along the interface, and the arms."""
        run.save_figure(draw(data, exact(), {"E'": MODULUS, "h": ARM}), "double_cantilever.png")


if __name__ == "__main__":
    DoubleCantileverBeam().main()
