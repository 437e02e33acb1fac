"""Interface laws measured on potentials join two arms of the crystal: they part at M_c = √(W E′h³/12), whatever the law's shape.

Arms of silicon, with the constants that a potential gives it in the crack's frame, meet in a (111) plane. Their interface has the law of
that plane, measured on the same potential, with the springs taken off that the mesh has already. M_c knows the work of separation alone:
a spline through what was measured and closed forms with another strength have to give the same moment, which is what this case is about.

A zone in which silicon's own bonds give way is 2.5 Å long, or 0.3 Å: shorter than a bond or hardly longer. Facets that resolve it have
no atom each; a covalent crack tip is a matter of atoms. An interface that is fifty times as weak (silicon on silicon by dispersion forces,
0.05 J/m²) has a zone as long as the arms are thick, and is one for cohesive elements. eV and Å.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from arms import Arms, Sizes, bending_modulus
from laws import BINDING, FORMS, MODELS, PPR, SPLINE, Interface
from picture import draw
from scipy.interpolate import CubicSpline

from multiscale import Case, Expect
from multiscale.adhesion.excess import steepest
from multiscale.continuum.cohesive import zone_length
from multiscale.types import GPA_PER_EV_A3, J_M2_PER_EV_A2

SW, TERSOFF, MACE = MODELS
J = "J of the ends = W, Rice, DOI 10.1115/1.3601206"
CODES = "independent codes with the same potential"
WEAK, OWN = "weak", "as measured"
COMMON = {"arm": 20.0, "weak": 0.02, "ratio": 50.0}


def runs(name: str, steep: int = 1) -> tuple[tuple[str, str], ...]:
    """Strength and form of what is bent; with ``steep`` zero, no laws that need the finest facets.

    Tersoff's law as measured is none for a mesh: its cutoff makes it steeper than the crystal's springs. Weakened it is one,
    whose facets have to be ``steep`` times as fine. Park, Paulino and Roesler's fit to it ends in a cliff (α near 1), which
    falls within one facet, however fine: such a form is none for elements.
    """
    if name == TERSOFF:
        return (*(((WEAK, SPLINE),) if steep else ()), (WEAK, BINDING))
    return (*((WEAK, form) for form in FORMS), *(((OWN, SPLINE),) if steep else ()))


def expectations() -> tuple[Expect, ...]:
    """What holds for every potential and every law."""
    out = []
    for name in MODELS:
        sizes = ("full",) if name == MACE else ()
        out += [
            Expect(f"{name}: W/2γ", 1.0, 2e-4 if name == MACE else 1e-6, "surfaces of a periodic crystal", sizes=sizes),
            Expect(f"{name}: M of the forms, spread", 5e-3, source="M_c knows W alone", kind="at most", sizes=sizes),
        ]
        for kind, form in runs(name):
            head = f"{name}, {kind}, {form}"
            large = name == MACE or kind == OWN or (name, form) == (TERSOFF, SPLINE)
            for size, close in (
                (("full", 5e-3 if name == TERSOFF else 1e-3),) if large else (("small", 5e-3), ("full", 1e-3))
            ):
                out += [
                    Expect(f"{head}: M/M_c", 1.0, close, J, sizes=(size,)),
                    Expect(f"{head}: √(J/W)", 1.0, close, J, sizes=(size,)),
                ]
            out.append(
                Expect(
                    f"{head}: |work − energy|",
                    2e-3,
                    source="work of the ends = what is stored and spent",
                    unit="of the work",
                    kind="at most",
                    sizes=("full",) if large else (),
                )
            )
    return (
        *out,
        Expect(f"{SW}: W", 2.7201, 1e-4, "4ε/(√3 a₀²)", "J/m²"),
        Expect(f"{SW}: C22", 176.687, 0.01, CODES, "GPa"),
        Expect(f"{SW}: C16", 8.933, 0.01, CODES, "GPa"),
    )


class InterfaceCrack(Case):
    """A double cantilever of silicon opens at √(W E′h³/12) for laws of its interface that were measured on potentials."""

    name = "interface_crack"
    sizes = {
        # Facets per zone and growth in zones (for a law with a cutoff ``steep`` times as many, and as little); arms in Å, for an
        # interface as it was measured thicker by a fifth of √(1/weak).
        "small": {"potentials": f"{SW},{TERSOFF}", "facets": 9, "steep": 0, "growth": 1.0, **COMMON},
        "full": {"potentials": ",".join(MODELS), "facets": 16, "steep": 2, "growth": 1.2, **COMMON},
    }
    expectations = expectations()
    citations = (
        "10.1115/1.3601206",
        "10.1016/j.engfracmech.2006.08.025",
        "10.1103/PhysRevB.31.5262",
        "10.1103/PhysRevB.38.9902",
        "10.1016/j.jmps.2008.10.003",
    )

    def build(self, run):
        """Constants and laws."""
        out = {}
        for name in run.settings["potentials"].split(","):
            with run.timed(f"{name}: constants and law"):
                out[name] = Interface.of(name)
        return out

    def measure(self, run, interfaces):
        """The laws, and the bending of arms for each of them."""
        found = {}
        for name, interface in interfaces.items():
            self._law(run, name, interface)
            bent = {}
            for kind, form in runs(name, run.settings["steep"]):
                with run.timed(f"{name}, {kind}, {form}"):
                    bent[kind, form] = self._bend(run, name, interface, kind, form)
            late = [b["late"] for (kind, _), b in bent.items() if kind == WEAK]
            run.record(f"{name}: M of the forms, spread", float(np.ptp(late)))
            found[name] = {"interface": interface, "bent": bent}
        return found

    @staticmethod
    def _law(run: Any, name: str, interface: Interface) -> None:
        c, material = interface.curve, interface.material
        modulus, across = bending_modulus(material.C), float(material.C[1, 1])
        run.record(f"{name}: W", c.toughness * J_M2_PER_EV_A2, "J/m²")
        run.record(f"{name}: W/2γ", c.toughness * J_M2_PER_EV_A2 / (2.0 * material.gamma))
        run.record(f"{name}: strength", c.strength * GPA_PER_EV_A3, "GPa")
        run.record(f"{name}: C22", across, "GPa")
        run.record(f"{name}: C16", float(material.C[0, 5]), "GPa")
        run.record(f"{name}: E'", modulus * GPA_PER_EV_A3, "GPa")
        run.record(f"{name}: springs of the interface, C22/K₀", across / GPA_PER_EV_A3 / c.stiffness, "Å")
        run.record(f"{name}: steepest slope over K₀", steepest(c)[0] / c.stiffness)
        run.record(f"{name}: zone of the law as measured", zone_length(modulus, c), "Å")
        run.record(f"{name}: shape α of its Park–Paulino–Roesler form", interface.form(PPR, 1.0).shape)
        refusal = interface.refusal(run.settings["ratio"])
        if refusal:
            run.say(f"{name}: {refusal}")
        run.record(f"{name}: the law as measured has an excess law", float(not refusal))

    @staticmethod
    def _bend(run: Any, name: str, interface: Interface, kind: str, form: str) -> dict[str, Any]:
        s, C = run.settings, interface.material.C
        law = interface.law(interface.form(form, s["weak"] if kind == WEAK else 1.0), s["ratio"])
        arm = s["arm"] * (1.0 if kind == WEAK else 0.2 / np.sqrt(s["weak"]))
        zone = zone_length(bending_modulus(C), law.curve, arm)
        fine = s["steep"] if (name, form) == (TERSOFF, SPLINE) else 1
        arms = Arms(C, law, Sizes(arm, 3.0 * arm, s["growth"] * zone / fine, zone / (fine * s["facets"])))
        states = list(arms.bend())
        angle, moment, crack, energy = (
            np.append(0.0, [getattr(state, k) for state in states]) for k in ("angle", "moment", "crack", "energy")
        )
        work = 2.0 * CubicSpline(angle, moment).antiderivative()(angle)  # two arms
        steady = crack > arms.sizes.crack + 0.6 * arms.sizes.growth
        late = moment[steady] / arms.critical
        released = np.mean([arms.released(state) for state, is_late in zip(states, steady[1:], strict=True) if is_late])
        head = f"{name}, {kind}, {form}"
        run.record(f"{head}: strength", law.curve.strength * GPA_PER_EV_A3, "GPa")
        run.record(f"{head}: zone", zone, "Å")
        run.record(f"{head}: strain of the outermost fibre", arms.bent)
        run.record(f"{head}: M/M_c", float(late.mean()))
        run.record(f"{head}: spread of M/M_c as the crack grows", float(np.ptp(late)))
        run.record(f"{head}: √(J/W)", float(np.sqrt(released / law.curve.toughness)))
        run.record(f"{head}: axial force of an end × h/M", states[-1].axial[0] * arm / states[-1].moment)
        run.record(f"{head}: |work − energy|", float(np.abs(work - energy).max() / work[-1]), "of the work")
        run.record(f"{head}: steps", len(states))
        rows = np.column_stack([angle, moment, crack, energy, work])
        return {"arms": arms, "law": law, "rows": rows, "late": float(late.mean())}

    def plot(self, run, data):
        """Laws, moments, tractions in the zone, and the bent arms."""
        run.save_figure(draw(data), "interface_crack.png")


if __name__ == "__main__":
    InterfaceCrack().main()
