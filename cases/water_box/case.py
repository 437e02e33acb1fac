"""A quantum water among classical ones: force mixing and energy mixing while molecules enter and leave.

One molecule of a periodic box of flexible classical water (SPC/Fw) and what is around it are described by GFN2-xTB. The
zone rides on that molecule's O, so that others enter and leave all the time. *Force mixing* takes quantum forces, of a
cluster with a buffer, in the zone: it has no energy, and a thermostat has to carry away what that costs. *Energy mixing*
(permuted adaptive partitioning) weighs the energies of all subsets of the molecules in the zone: it conserves energy and
momentum, and needs an energy zero per molecule, which is measured in two ways.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from align import measure as measure_zeros
from analyse import all_quantum, circulation, profile, radial, slope, temperatures
from box import ENGINE, Box
from picture import energies, radials, snapshot
from sample import Plan, Track, crossings, record

from couplers import AdaptivePartitioning, EnergyBlend, ForceMixing
from multiscale import Case, Expect
from multiscale.drive import thermal_velocities

METHODS = ("all cheap", "force mixing", "energy mixing")
SKINNER = "10.1063/1.4790861"
MOMENTUM = "the zone rides on the centre, and force mixing spreads what is left: identity, to round-off"
LOOP = "an energy does no work along a closed path; 16 points leave 3e-5 eV of it, 32 points 7e-6"
SAME_STEP = "both conserve energy; the step's error belongs to the O–H bonds, which both have alike"
BETTER = "else the quantum calculations would be in vain"
SCF = "the same energy, to what is left of the quantum calculations' charges (accuracy 0.1)"
#: 1/fs; a thermostat that carries 1 eV/ps and more away from 576 degrees of freedom at less than 10 K of difference.
FRICTION = 0.005


class WaterBox(Case):
    """A quantum water among classical ones: force mixing and energy mixing compared while molecules enter and leave."""

    name = "water_box"
    sizes = {
        "tiny": {"molecules": 64, "matched": True, "whole": True, "radius": 2.6, "width": 0.5, "dt": 1.0, "cheap": 20,
                 "force": 6, "energy": 8, "settle": 4, "stride": 2, "centres": 2, "loop": 4, "references": 1},
        "small": {"molecules": 64, "matched": True, "whole": True, "radius": 3.0, "width": 0.6, "dt": 1.0, "cheap": 1000,
                  "force": 300, "energy": 300, "settle": 200, "stride": 5, "centres": 16, "loop": 16, "references": 2},
        "full": {"molecules": 64, "matched": True, "whole": True, "radius": 3.0, "width": 0.6, "dt": 1.0, "cheap": 4000,
                 "force": 4000, "energy": 4000, "settle": 1000, "stride": 5, "centres": 64, "loop": 16, "references": 8},
    }  # fmt: skip
    expectations = (
        *(Expect(f"{m}: largest net force", 0.0, tolerance=1e-10, source=MOMENTUM, unit="eV/Å") for m in METHODS),
        Expect("energy mixing: largest jump of the energy at one", 1e-7, kind="at most", source=SCF, unit="eV"),
        Expect(
            "energy mixing: work along a closed path", 0.0, tolerance=2e-4, source=LOOP, unit="eV", sizes=("small", "full")
        ),
        Expect(
            "energy mixing: spread of the energy over that of all cheap", 2.0, kind="at most", source=SAME_STEP,
            sizes=("small", "full"),
        ),
        Expect(
            "all cheap: first peak of O–O", 2.80, tolerance=0.06, source=f"{SKINNER}, X-ray diffraction of water",
            unit="Å", sizes=("small", "full"),
        ),
        Expect("force mixing: error of the centre's force over all cheap", 1.0, kind="at most", source=BETTER),
        Expect("energy mixing: error of the centre's force over all cheap", 1.0, kind="at most", source=BETTER),
    )  # fmt: skip
    citations = ("10.1021/acs.jctc.8b01176", "10.1063/1.2136877", "10.1063/1.2206581")

    def build(self, run):
        """The box, with the energy zero of the liquid."""
        s = run.settings
        box = Box.read(s["molecules"], matched=s["matched"])
        with run.timed("energy zeros"):
            zeros = measure_zeros(box, s["radius"], s["width"], s["centres"])
        box.zero = zeros.liquid
        run.record("energy zero: relaxed molecule", zeros.alone, "eV")
        run.record("energy zero: molecules in the zone", zeros.liquid, "eV")
        run.record("energy zero: their difference", zeros.liquid - zeros.alone, "eV")
        run.record("energy zero: standard error", zeros.error, "eV")
        run.record("energy zero: spread over molecules", zeros.spread, "eV")
        run.record(
            "mean spurious force with the zero of the relaxed molecule",
            (zeros.alone - zeros.liquid) / s["width"],
            "eV/Å",
        )
        return box, zeros

    def measure(self, run, built):
        """Trajectories of the three, and what they say."""
        box, zeros = built
        s = run.settings
        run.cite(*EnergyBlend.references, *ForceMixing.references, *AdaptivePartitioning.references)
        run.say(f"{box.n} molecules, the {ENGINE} zone from {s['radius']} to {s['radius'] + s['width']} Å")
        q = box.start.positions + box.images(box.start.positions)
        v = thermal_velocities(box.masses(), 300.0, seed=1)
        self._statics(run, box, q)
        tracks = {name: self._dynamics(run, name, box, q, v) for name in METHODS}
        data = {"box": box, "zeros": zeros, "tracks": tracks, "g": {}, "profile": {}}
        for name, track in tracks.items():
            with run.timed("analysis"):
                self._averages(run, name, track, data)
        self._forces(run, box, tracks["energy mixing"])
        self._files(run, box, tracks)
        for path in run.out.glob("*.checkpoint.npz") if run.first else ():
            path.unlink()
        return data

    # -- stages ------------------------------------------------------------------------------------------------

    def _model(self, name: str, run: Any, box: Box, q: Any) -> Any:
        zone = run.settings["radius"], run.settings["width"]
        if name == "all cheap":
            return box.all_cheap(q)
        if name == "force mixing":
            return box.force_mixing(q, *zone, 1.3, 1.8, whole=run.settings["whole"])
        return box.energy_mixing(q, *zone)

    def _statics(self, run: Any, box: Box, q: Any) -> None:
        """The work along a closed path of one molecule, which an energy does not do."""
        s = run.settings
        d = box.distances(q)
        molecule = int(np.argmin(np.abs(d - s["radius"] - 0.5 * s["width"])))
        for name in METHODS[1:]:
            with run.timed("closed path"):
                work, scale = circulation(self._model(name, run, box, q), box, q, molecule, s["loop"])
            run.record(f"{name}: work along a closed path", work, "eV")
            run.record(f"{name}: work to and fro on that path", scale, "eV")

    def _dynamics(self, run: Any, name: str, box: Box, q: Any, v: Any) -> Track:
        """Settle with a thermostat, then record: energy mixing without a thermostat."""
        s, zone = run.settings, (run.settings["radius"], run.settings["width"])
        with run.timed(name):
            settle = Plan(s["dt"], s["settle"], 0.02, 11, s["settle"])
            model = self._model(name, run, box, q)
            before = record(run, f"{name}, settling", model, box, q, v, settle, zone)
            steps = s[{"all cheap": "cheap", "force mixing": "force", "energy mixing": "energy"}[name]]
            friction = FRICTION if name == "force mixing" else None
            plan = Plan(s["dt"], steps, friction, 12, s["stride"])
            track = record(run, name, model, box, before.q[-1], before.v[-1], plan, zone)
        if name == "energy mixing":
            run.record("energy mixing: renewals", len(track.events))
            run.record(
                "energy mixing: largest jump of the energy at one", float(np.abs(model.jumps).max(initial=0.0)), "eV"
            )
        return track

    def _averages(self, run: Any, name: str, track: Track, data: dict[str, Any]) -> None:
        box, s = data["box"], run.settings
        zone = s["radius"], s["width"]
        centres = list(range(box.n)) if name == "all cheap" else [box.centre]
        g = data["g"][name] = radial(box, track.q, centres)
        data["profile"][name] = profile(box, track, 0, np.arange(0.0, 0.5 * box.edge + 1.2, 0.6))
        run.record(f"{name}: first peak of O–O", g.peak, "Å")
        run.record(f"{name}: its standard error", g.peak_error, "Å")
        run.record(f"{name}: neighbours within 3.4 Å", g.neighbours)
        for part, (kelvin, error) in temperatures(box, track, zone, 0).items():
            run.record(f"{name}: temperature, {part} molecules", [kelvin, error], "K")
        entered, left = crossings(track.weights)
        run.record(f"{name}: molecules entered", entered)
        run.record(f"{name}: molecules left", left)
        run.record(f"{name}: largest net force", float(track.column("net_force").max()), "eV/Å")
        time = track.column("time")
        if name == "force mixing":
            rate, error = slope(time, -track.column("heat"))
            run.record(f"{name}: heat that the thermostat carries away", [rate, error], "eV/ps")
        else:
            rate, error = slope(time, track.total)
            spread = float(np.std(track.total))
            run.record(f"{name}: drift of the energy", [rate, error], "eV/ps")
            run.record(f"{name}: spread of the energy", spread, "eV")
            data.setdefault("spread", {})[name] = spread
        if name == "energy mixing":
            run.record(
                "energy mixing: spread of the energy over that of all cheap", spread / data["spread"]["all cheap"]
            )

    def _forces(self, run: Any, box: Box, track: Track) -> None:
        """Forces of all methods against one large quantum cluster, at frames of the energy-mixing trajectory."""
        s = run.settings
        squares: dict[tuple[str, str], list[float]] = {}
        frames = np.linspace(0, len(track.q) - 1, s["references"] + 1).astype(int)[1:]
        for k in frames:
            q = track.q[k]
            with run.timed("references"):
                exact = all_quantum(box, q)
            w = np.repeat(box.weight(q, s["radius"], s["width"]), 3)
            middle = np.repeat(np.arange(box.n) == box.centre, 3)
            for name in METHODS:
                error = ((self._model(name, run, box, q).evaluate(q).forces - exact) ** 2).sum(axis=1) / 3.0
                parts = (
                    ("centre", middle),
                    ("other quantum molecules", (w == 1) & ~middle),
                    ("zone", (w > 0) & (w < 1)),
                )
                for part, mask in parts:
                    squares.setdefault((name, part), []).extend(error[mask])
        rms = {key: float(np.sqrt(np.mean(values))) for key, values in squares.items() if values}
        for (name, part), value in rms.items():
            run.record(f"{name}: force error, {part}", value, "eV/Å")
        for name in METHODS[1:]:
            ratio = rms[name, "centre"] / rms["all cheap", "centre"]
            run.record(f"{name}: error of the centre's force over all cheap", ratio)

    def _files(self, run: Any, box: Box, tracks: dict[str, Track]) -> None:
        """Trajectories with weights, the centre in the middle, for OVITO and ASE."""
        s = run.settings
        for name, file in (("energy mixing", "atoms.extxyz"), ("force mixing", "force_mixing.extxyz")):
            every = max(len(tracks[name].q) // 200, 1)
            for k, q in enumerate(tracks[name].q[::every]):
                w = np.repeat(box.weight(q, s["radius"], s["width"]), 3)
                x = q + box.images(q) - q[box.oxygen] + 0.5 * box.edge
                columns = {"w_qm": w, "w_cheap": 1.0 - w, "molecule": np.repeat(np.arange(box.n), 3)}
                run.write_atoms(file, box.start.symbols, x, box.start.cell.array, True, columns, append=k > 0)

    def plot(self, run, data):
        """Radial distributions, temperatures and energies, and the last state."""
        zone = run.settings["radius"], run.settings["width"]
        run.save_figure(radials(data, zone), "radial.png")
        run.save_figure(energies(data, zone), "water_box.png")
        run.save_figure(snapshot(data["box"], data["tracks"]["energy mixing"], zone), "snapshot.png")


if __name__ == "__main__":
    WaterBox().main()
