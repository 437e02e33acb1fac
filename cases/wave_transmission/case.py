"""Waves from atoms into a mesh: what is reflected, what is lost, and what is booked, for each dynamic coupling.

Benchmark B5: a harmonic chain goes over into elements of five spacings, and a packet of waves travels from the one into the other. Long
waves should pass: a sharp seam reflects them as two chains of different impedance do, an overlap does not. Waves shorter than π h are none
that the mesh can carry: with exact constraints between atoms and nodes they come back, whole. Lumped multipliers, as the bridging domain
method was published, take them out of the motion, and with them two thirds of a wave of four elements, which the mesh does carry, and
nobody books it. One constraint per node (the L² projection), C² weights and a friction on the fine-scale fluctuation absorb the short
waves, leave the long ones alone, and book what they absorb. In between, 2h < λ < πh, is the hard band: the mesh's nodes see these waves, so
that they are no fluctuation, and yet it cannot carry them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from picture import balance, crossings, spectra
from waves import ABSORBED, LUMPED, METHODS, POINTWISE, SHARP, WEAK, H, cross, seam

from couplers import BridgingDomain
from multiscale import Case, Expect

SOURCE = "benchmark B5, value of an independent code"
GOAL = "goal of the method"
#: λ in spacings; R and what is left of the energy.
STORED = {
    SHARP: {100.0: (6.0e-5, None), 50.0: (7.4e-4, None), 20.0: (5.7e-2, None), 6.0: (1.0, None)},
    LUMPED: {100.0: (4.7e-6, 0.989), 50.0: (6.5e-6, 0.948), 20.0: (1.5e-5, 0.346), 6.0: (2.0e-3, None)},
    ABSORBED: {100.0: (3.2e-7, 0.992), 50.0: (4.1e-7, 0.990), 20.0: (1.6e-6, 0.824), 6.0: (9.5e-5, None)},
}
TINY, SMALL, LONG, SHORT = (20.0, 6.0), (50.0, 20.0, 6.0), (100.0, 50.0, 30.0, 20.0), (8.0, 6.0, 4.0, 3.0)
BAND = (15.0, 14.0, 13.0, 12.0, 11.0)
ALL = LONG + (18.0, 16.0) + BAND + (10.0,) + SHORT
#: Methods that conserve energy, and the waves of the pictures.
CONSERVING, SHOWN = (SHARP, POINTWISE, WEAK), (20.0, 6.0)


def sizes(wavelength: float) -> tuple[str, ...]:
    """The sizes that have a wavelength."""
    return () if wavelength in TINY else ("small", "full") if wavelength in SMALL else ("full",)


def stored() -> tuple[Expect, ...]:
    """Beside B5's values.

    Sharp: 2 %, the rounding of two digits. Lumped: half of R, because where B5 leaves things open (how weights are summed over an element)
    R moves by more than that; what is left of the energy does not. Weak: R no larger and energy no less, for B5 does not give the
    friction's rate, on which both depend. λ = 100 at a sharp seam is 6.0e-5 in B5 and 4.2e-5 by theory, which is what is asked for.
    """
    out = []
    for wavelength, (r, _) in STORED[SHARP].items():
        if wavelength != 100.0:
            out.append(
                Expect(f"{SHARP}, λ = {wavelength:g}: R", r, 0.02, SOURCE, relative=True, sizes=sizes(wavelength))
            )
    for wavelength, (r, left) in STORED[LUMPED].items():
        out.append(Expect(f"{LUMPED}, λ = {wavelength:g}: R", r, 0.5, SOURCE, relative=True, sizes=sizes(wavelength)))
        if left is not None:
            out.append(
                Expect(f"{LUMPED}, λ = {wavelength:g}: energy left", left, 2e-3, SOURCE, sizes=sizes(wavelength))
            )
    for wavelength, (r, left) in STORED[ABSORBED].items():
        out.append(
            Expect(f"{ABSORBED}, λ = {wavelength:g}: R", r, source=SOURCE, kind="at most", sizes=sizes(wavelength))
        )
        if left is not None:
            out.append(
                Expect(
                    f"{ABSORBED}, λ = {wavelength:g}: energy left",
                    left,
                    source=SOURCE,
                    kind="at least",
                    sizes=sizes(wavelength),
                )
            )
    return tuple(out)


class WaveTransmission(Case):
    """Reflection and energy of waves from atoms into a mesh, for each dynamic coupling."""

    name = "wave_transmission"
    sizes = {
        "tiny": {"wavelengths": TINY, "methods": (SHARP, LUMPED, ABSORBED), "undamped": (20.0,)},
        "small": {"wavelengths": SMALL, "methods": (SHARP, LUMPED, ABSORBED), "undamped": (50.0,)},
        "full": {"wavelengths": ALL, "methods": (SHARP, LUMPED, POINTWISE, ABSORBED), "undamped": ALL},
    }
    expectations = (
        *stored(),
        Expect("sharp: R over theory", 1.0, 5e-3, "impedances of the two chains, averaged over the packet"),
        Expect("C² overlap, long waves: R", 1e-6, source=GOAL, kind="at most"),
        Expect("absorber, long waves: R", 1e-6, source=GOAL, kind="at most"),
        Expect("absorber, short waves: R", 1e-3, source=GOAL, kind="at most"),
        Expect("undamped: drift of the energy", 1e-5, source=GOAL, kind="at most"),
        Expect("absorber: energy + absorbed − energy at the start", 1e-6, source=GOAL, kind="at most"),
        # Lumped multipliers lose silently: the balance that closes for the others has to show it.
        Expect("lumped: energy that is in no book", 0.5, source="1 − the energy left at λ = 20", kind="at least"),
        Expect(
            "exact, short waves: R",
            0.99,
            source="the mesh carries nothing of them, and energy is conserved",
            kind="at least",
            sizes=("full",),
        ),
    )
    citations = ("10.1615/IntJMultCompEng.v1.i1.100", "10.1016/S0021-9991(03)00273-0", "10.1016/0021-9991(83)90014-1")

    def build(self, run):
        """The methods to look at, and at which wavelengths; models are built where they are measured."""
        s = run.settings
        plan = {name: tuple(s["wavelengths"]) for name in s["methods"]}
        return plan | {WEAK: tuple(s["undamped"])}

    def measure(self, run, plan):
        """A crossing per method and wavelength, then what they have in common."""
        run.cite(*BridgingDomain.references)
        found: dict[str, dict[float, Any]] = {}
        for name, wavelengths in plan.items():
            found[name] = {}
            for wavelength in wavelengths:
                with run.timed(name):
                    c = found[name][wavelength] = cross(METHODS[name], wavelength, frames=wavelength in SHOWN)
                run.record(f"{name}, λ = {wavelength:g}: R", c.reflected)
                run.record(f"{name}, λ = {wavelength:g}: energy left", c.total)
        self._summary(run, found)
        return found

    @staticmethod
    def _summary(run: Any, found: dict[str, dict[float, Any]]) -> None:
        """The largest of what is bounded, over wavelengths."""

        def worst(names: Any, chosen: Any, value: Any) -> float:
            return max(value(c) for name in names for k, c in found.get(name, {}).items() if chosen(k))

        ratios = [c.reflected / seam(k) for k, c in found[SHARP].items()]
        run.record("sharp: R over theory", ratios[int(np.argmax(np.abs(np.array(ratios) - 1.0)))])
        run.record("C² overlap, long waves: R", worst((WEAK,), lambda k: k >= 4 * H, lambda c: c.reflected))
        run.record("absorber, long waves: R", worst((ABSORBED,), lambda k: k >= 4 * H, lambda c: c.reflected))
        run.record("absorber, short waves: R", worst((ABSORBED,), lambda k: k < 2 * H, lambda c: c.reflected))
        run.record("undamped: drift of the energy", worst(CONSERVING, lambda k: True, lambda c: c.balance))
        run.record(
            "undamped: change of the potential + kinetic energy",
            worst(CONSERVING, lambda k: True, lambda c: abs(c.total - 1.0)),
        )
        run.record(
            "absorber: energy + absorbed − energy at the start", worst((ABSORBED,), lambda k: True, lambda c: c.balance)
        )
        run.record("lumped: energy that is in no book", found[LUMPED][20.0].balance)
        exact = [c.reflected for name in (POINTWISE, WEAK) for k, c in found.get(name, {}).items() if k in SHORT]
        if exact:
            run.record("exact, short waves: R", min(exact))
        band = [c.reflected for k, c in found[ABSORBED].items() if k in BAND]
        if band:
            run.record("absorber, hard band 2h < λ < πh: largest R", max(band))

    def plot(self, run, data):
        """R and energy against wavelength, packets in space and time, and the books."""
        run.save_figure(spectra(data, STORED), "wave_transmission.png")
        run.save_figure(crossings(data, SHOWN), "crossings.png")
        run.save_figure(balance(data, 20.0), "balance.png")


if __name__ == "__main__":
    WaveTransmission().main()
