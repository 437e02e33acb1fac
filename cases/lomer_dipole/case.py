"""A dipole of Lomer dislocations in aluminium: fourteen published couplings of atoms and continuum, and three more, on one problem.

The benchmark of Miller and Tadmor (MSMSE 17 (2009) 053001): 27 760 atoms of Ercolessi–Adams aluminium, two edge dislocations about
40 Å apart, a strip of atoms 10, 20 or 30 Å to either side of the slip plane, and coarser and coarser triangles outside. The error of a
method is that of the displacements of all atoms in the relaxed dipole, against the simulation with all atoms; then the block is sheared.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from methods import METHODS, Problem
from picture import draw
from problem import Specimen
from solve import Simulation, State, error

from multiscale import Case, Expect
from multiscale.types import GPA_PER_EV_A3, MultiscaleError

PAPER = "Miller & Tadmor 2009, 10.1088/0965-0393/17/5/053001 (benchmark B4)"
#: e % at model 10, 20, 30, and the speed-up of the whole simulation at model 20.
PUBLISHED = {
    "CADD/FEAt": (11.42, 5.13, 3.93, 10.2), "QC-GFC": (12.42, 5.72, 4.05, 11.0), "AtC-GFC": (14.59, 8.28, 5.04, 4.1),
    "BD": (14.63, 9.09, 6.44, 2.6), "QC/CLS": (14.66, 9.54, 8.50, 9.9), "BSM": (17.59, 12.07, 10.17, 11.9),
    "HSM": (22.03, 15.44, 12.25, 5.1), "CQC(13)-E": (22.59, 16.62, 16.55, 3.1), "CQC(1)-GFC": (40.06, 20.10, 20.19, 6.2),
    "CQC(1)-E": (86.75, 43.61, 38.48, 8.1), "CACM": (42.59, 40.13, 39.92, 1.7), "CQC(13)-F": (70.84, 60.75, 46.42, 2.0),
    "AtC": (55.11, 70.17, 83.65, 4.4),
}  # fmt: skip
#: Of those that are not built, why.
NOT_BUILT = {
    "BSM": "needs coarse nodes under the atoms as dofs of their own",
    "HSM": "needs an overlap in which atoms and mesh move independently",
    "CACM": "an alternation of two grids; not one set of equations",
}


class LomerDipole(Case):
    """Errors, energies and costs of the couplings beside published ones."""

    name = "lomer_dipole"
    sizes = {
        "small": {
            "columns": 49, "low": -32, "high": 34, "heights": "10", "methods": "QC/CLS, QC-GFC, CADD/FEAt, CQC(1)-E, BQCE, BGFC",
            "loaded": "QC-GFC", "load_height": 10.0, "steps": 2, "step": 0.0025, "fmax": 1e-4, "half": 20.0,
        },
        "full": {
            "columns": 139, "low": -98, "high": 100, "heights": "10, 20, 30", "methods": ", ".join(METHODS),
            "loaded": "CADD/FEAt, QC-GFC, QC/CLS, BGFC", "load_height": 20.0, "steps": 22, "step": 0.0025, "fmax": 1e-4, "half": 20.0,
        },
    }  # fmt: skip
    expectations = (
        Expect("atoms", 27760, source=PAPER, sizes=("full",)),
        Expect("mean displacement", 0.05755, tolerance=0.01, relative=True, source=PAPER, unit="Å", sizes=("full",)),
        Expect("coverage error", 0.0, tolerance=1e-10, source="every piece of matter is counted once"),
        Expect("methods without an equilibrium", 0, source="every method comes to rest at every size"),
        Expect("patch test: QC-GFC", 0.0, tolerance=1e-10, source="identity: a sheared perfect crystal is in equilibrium", unit="eV/Å"),
        Expect("patch test: QC/CLS", 1e-3, kind="at least", source="known of energy blending", unit="eV/Å"),
        Expect("least e % with an energy, model 30", 3.93, kind="at most", source=f"the goal: the least of {PAPER}",
            sizes=("full",)),
        Expect("largest speed-up, model 20", 12.0, kind="at least", source="the goal of this case", sizes=("full",)),
    )  # fmt: skip
    citations = ("10.1088/0965-0393/17/5/053001", "10.1209/0295-5075/26/8/005")

    def build(self, run):
        """The specimen."""
        s = run.settings
        return Specimen(s["columns"], s["low"], s["high"], s["half"])

    def measure(self, run, specimen):
        """The all-atom reference, patch tests, all methods, the load."""
        s = run.settings
        exact = Simulation(Problem(specimen, None), s["fmax"])
        run.record("atoms", exact.problem.atoms.n_q)
        run.record("isotropic Poisson's ratio", specimen.poisson)
        rest = exact.relaxed()
        u = exact.problem.displacement(rest.q)
        run.record("mean displacement", float(np.linalg.norm(u, axis=1).mean()), "Å")
        run.record("energy of the dipole", rest.energy, "eV")
        cores = np.array(exact.cores(rest.q))
        run.record("cores", cores, "Å")
        run.record("all atoms: evaluations", rest.evaluations)
        run.timings({"all atoms: dipole": rest.seconds})
        data: dict[str, Any] = {
            "exact": exact,
            "rest": rest,
            "u": u,
            "cores": cores,
            "errors": {},
            "loads": {},
            "lost": 0,
            "published": PUBLISHED,
        }
        patch(run, specimen, float(s["heights"].split(",")[0]))
        for height in map(float, s["heights"].split(",")):
            for name in s["methods"].split(", "):
                self._one(run, specimen, name, height, data)
        run.record("methods without an equilibrium", data["lost"])
        for name, why in NOT_BUILT.items():
            run.record(f"{name}: not built", why)
        self._least(run, data)
        self._load(run, data)
        self._write(run, data)
        return data

    def _one(self, run: Any, specimen: Specimen, name: str, height: float, data: dict[str, Any]) -> None:
        """One method at one size."""
        problem = Problem(specimen, METHODS[name], height, name)
        simulation = Simulation(problem, run.settings["fmax"])
        what = f"{name}, model {height:g}"
        try:
            state = simulation.relaxed()
        except MultiscaleError as failure:  # that a method finds no equilibrium is a result
            run.say(f"{what}: {failure}")
            run.record(f"{what}: e %", None)
            data["lost"] += 1
            return
        e = error(data["u"], problem.displacement(state.q))
        run.record(f"{what}: e %", e)
        run.record(f"{what}: e % of the exact displacements on its mesh", self._interpolated(problem, data["u"]))
        run.record(f"{what}: cores, off those of all atoms", np.subtract(simulation.cores(state.q), data["cores"]), "Å")
        if state.energy is not None:
            run.record(f"{what}: error of the energy %", 100.0 * (state.energy / data["rest"].energy - 1.0))
        run.record(f"{what}: evaluations over all atoms'", state.evaluations / data["rest"].evaluations)
        run.record(f"{what}: time of all atoms over its own, dipole", data["rest"].seconds / state.seconds)
        run.timings({f"{what}: dipole": state.seconds})
        run.cite(*simulation.model.coupler.references)
        data["errors"].setdefault(name, {})[height] = (e, state.seconds, state.energy is not None)
        if name in run.settings["loaded"].split(", ") and height == run.settings["load_height"]:
            data["loads"][name] = (simulation, state)

    @staticmethod
    def _interpolated(problem: Problem, u: Any) -> float:
        """The error of a method whose vertices are where those atoms are in the reference: what its cells cost."""
        q = problem.atoms.reference + u[problem.atoms.vertices]
        return error(u, problem.displacement(np.where(problem.fixed(), problem.atoms.reference, q)))

    @staticmethod
    def _least(run: Any, data: dict[str, Any]) -> None:
        for height in sorted({h for rows in data["errors"].values() for h in rows}):
            found = {n: rows[height][0] for n, rows in data["errors"].items() if height in rows and rows[height][2]}
            best = min(found, key=lambda n: found[n])
            run.record(f"least e % with an energy, model {height:g}", found[best])
            run.record(f"best method with an energy, model {height:g}", best)

    def _load(self, run: Any, data: dict[str, Any]) -> None:
        """The load, by all atoms and by some methods: stress, cores, and the time of the whole simulation."""
        s = run.settings
        exact = self._states(run, data["exact"], data["rest"], "all atoms")
        data["exact states"] = exact
        whole = sum(state.seconds for state in exact)
        run.timings({"all atoms: whole simulation": whole})
        moved = self._moved(data["exact"], exact)
        run.record("all atoms: γ at which the cores move", moved)
        lengths = [float(np.ptp(data["exact"].cores(state.q))) for state in exact]
        run.record("all atoms: length of the dipole under load", np.array(lengths), "Å")
        run.record("all atoms: length of the dipole at the end", float(np.ptp(data["exact"].cores(exact[-1].q))), "Å")
        run.record("all atoms: stress at the end", exact[-1].stress * GPA_PER_EV_A3, "GPa")
        speed = {}
        data["states"] = {}
        for name, (simulation, rest) in data["loads"].items():
            states = self._states(run, simulation, rest, name)
            data["states"][name] = states
            what = f"{name}, model {s['load_height']:g}"
            # Over the same load steps, where a method does not get as far as all atoms.
            speed[name] = sum(state.seconds for state in exact[: len(states)]) / sum(state.seconds for state in states)
            run.record(f"{what}: speed-up of the whole simulation", speed[name])
            run.record(
                f"{what}: evaluations of the whole simulation over all atoms'",
                sum(x.evaluations for x in states) / sum(x.evaluations for x in exact[: len(states)]),
            )
            run.record(f"{what}: γ at which the cores move", self._moved(simulation, states))
            run.timings({f"{what}: whole simulation": sum(state.seconds for state in states)})
        run.record(f"largest speed-up, model {s['load_height']:g}", max(speed.values()))

    @staticmethod
    def _states(run: Any, simulation: Simulation, rest: State, name: str) -> list[State]:
        """The dipole at rest and under load, as far as there are equilibria: where it runs to the rim is a result too."""
        states = [rest]
        try:
            for state in run.follow(simulation.loaded(rest, run.settings["step"], run.settings["steps"]), name):
                states.append(state)
        except MultiscaleError as failure:
            run.say(f"{name}, after γ = {states[-1].gamma:.4f}: {failure}")
        run.record(f"{name}: γ of the last equilibrium", states[-1].gamma)
        return states

    @staticmethod
    def _moved(simulation: Simulation, states: list[State]) -> float | None:
        """The first γ at which the dipole is longer than at rest by a Burgers vector."""
        b, start = simulation.problem.specimen.net.b, np.ptp(simulation.cores(states[0].q))
        for state in states:
            if np.ptp(simulation.cores(state.q)) > start + b:
                return state.gamma
        return None

    @staticmethod
    def _write(run: Any, data: dict[str, Any]) -> None:
        """All atoms of the reference, loaded, and the far field of a method."""
        state, problem = data["exact states"][-1], data["exact"].problem
        x = problem.atoms.positions + problem.displacement(state.q)
        run.write_atoms(
            "atoms.extxyz",
            ["Al"] * len(x),
            x,
            cell=problem.atoms.cell,
            pbc=problem.atoms.pbc,
            arrays={"displacement": x - problem.atoms.positions},
        )
        name, states = next(iter(data["states"].items()))
        model = data["loads"][name][0].model
        if run.first and "fem" in model.interface.regions:
            model.interface.regions["fem"].write(run.out / "far_field.vtu", model.interface.place("fem", states[-1].q))

    def plot(self, run, data):
        """The dislocations, the errors, the load, errors against time."""
        run.save_figure(draw(data), "lomer_dipole.png")


def patch(run: Any, specimen: Specimen, height: float, gamma: float = 0.01) -> None:
    """The largest force on the perfect crystal under shear, and how often matter is counted."""
    worst = 0.0
    for name in ("QC/CLS", "QC-GFC"):
        problem = Problem(specimen, METHODS[name], height, name)
        model, q = problem.model(), problem.sheared(gamma)
        model.prepare(q)
        run.record(
            f"patch test: {name}", float(np.abs(np.where(problem.fixed(), 0.0, model.evaluate(q).forces)).max()), "eV/Å"
        )
        worst = max(worst, *(abs(c - 1.0) for c in model.ledger(q).coverage))
    run.record("coverage error", worst)


if __name__ == "__main__":
    LomerDipole().main()
