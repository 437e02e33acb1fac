"""A mode-I crack in silicon: a quantum tip, a learned neighbourhood and a finite-element far field in one run.

    E(q) = E_ML/FEM(q) + E_QM(rod)/n − E_ML(rod)          per period of the front

Si (111)[1-10], one period thick along the front. The atoms' model is the shipped MACE potential, fitted to GFN1-xTB (size "classical":
Stillinger–Weber with doubled three-body strength), the continuum an anisotropic linear-elastic disc with the constants of the same model
and the K-field on its outer circle, the quantum region GFN1-xTB itself on a rod around the tip: capped across, periodic along the front,
n periods in the calculation, stretched to the model's lattice constant. K_I is raised until a bond breaks: by each of several members of
the potential's committee, whose spread is the error bar of K₊, and with the quantum region over the tip. ``mixing=forces`` mixes forces
instead (no energy). ``docs/si_crack.md`` has the numbers.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from events import LOST, Gone, happened, listed, reached, title
from history import History
from picture import draw
from tip import QuantumTip, quantum_lattice, tip_opening

from couplers import EnergyBlend
from multiscale import Case, Expect, HybridModel, registry
from multiscale.continuum.jintegral import j_integral
from multiscale.drive import Step, load
from multiscale.drive.precondition import precondition
from multiscale.fracture.hybrid import HybridCrack
from multiscale.fracture.material import CrackMaterial
from multiscale.models import StillingerWeber, default_potential
from multiscale.types import MultiscaleError

HOLLAND = "10.1103/PhysRevLett.80.746"
SIH = "10.1007/BF00186854"
PUBLISHED = "independent codes (matscipy, LAMMPS) with the same potential; 10.1103/PhysRevB.31.5262 with λ = 42"


class SiliconCrack(Case):
    """Lattice trapping at a silicon crack tip, ML/FEM against QM/ML/FEM."""

    name = "si_crack"
    sizes = {
        "small": {
            "potential": "mace", "members": "0, 1", "free_radius": 14.0, "blend": 10.0, "radius": 200.0, "h_inner": 7.0, "h_outer": 25.0,
            "coupler": "energy_blend", "start": 0.8, "step": 0.16, "resolution": 0.04, "fmax": 1e-2, "arrest": False,
            "quantum": "0", "mixing": "energy", "core": 4.6, "centre": -0.5, "hops": 0, "repeat": 2, "quantum_resolution": 0.08,
            "quantum_fmax": 0.02, "checks": False, "electronic_temperature": 3000.0,
        },
        "full": {
            "potential": "mace", "members": "0, 1, 2, 3", "free_radius": 20.0, "blend": 10.0, "radius": 400.0, "h_inner": 7.0,
            "h_outer": 25.0, "coupler": "energy_blend", "start": 0.8, "step": 0.16, "resolution": 0.04, "fmax": 1e-2, "arrest": False,
            "quantum": "0, 1, 2, 3", "mixing": "energy", "core": 4.6, "centre": -0.5, "hops": 0, "repeat": 3, "quantum_resolution": 0.04,
            "quantum_fmax": 0.02, "checks": True, "electronic_temperature": 3000.0,
        },
        "classical": {
            "potential": "sw", "members": "0", "free_radius": 20.0, "blend": 8.0, "radius": 200.0, "h_inner": 7.0, "h_outer": 25.0,
            "coupler": "energy_blend", "start": 1.0, "step": 0.02, "resolution": 0.0025, "fmax": 1e-4, "arrest": True,
            "quantum": "", "mixing": "energy", "core": 4.6, "centre": -0.5, "hops": 0, "repeat": 2, "quantum_resolution": 0.01,
            "quantum_fmax": 0.02, "checks": False, "electronic_temperature": 1000.0,
        },
    }  # fmt: skip
    expectations = (
        Expect("C11", 201.43, tolerance=0.05, source=PUBLISHED, unit="GPa", sizes=("classical",)),
        Expect("C12", 51.42, tolerance=0.05, source=PUBLISHED, unit="GPa", sizes=("classical",)),
        Expect("C44", 90.51, tolerance=0.05, source=PUBLISHED, unit="GPa", sizes=("classical",)),
        Expect("gamma_111", 1.3600, tolerance=1e-4, source="exact: 2ε/(√3 a₀²)", unit="J/m²", sizes=("classical",)),
        Expect("K_G", 0.7487, tolerance=1e-4, source=PUBLISHED, unit="MPa·√m", sizes=("classical",)),
        Expect("K-field opening at 100 Å", 5.79810, tolerance=1e-3, source=f"Sih–Paris–Irwin, {SIH}", unit="Å", sizes=("classical",)),
        Expect("J/(K²/E')", [1.0, 1.0, 1.0], tolerance=0.01, source="path independence"),
        Expect("coverage error", 0.0, tolerance=1e-10, source="every piece of matter is counted once"),
        Expect("bonds broken by ML/FEM", True, source="a bond breaks below 2.2 K_G", sizes=("small", "full")),
        Expect("bonds broken by QM/ML/FEM", True, source="a bond breaks below 2.2 K_G", sizes=("small", "full")),
    )  # fmt: skip
    citations = ("10.1103/PhysRevB.31.5262", HOLLAND, SIH, "10.1021/acs.jctc.7b00118")

    def build(self, run):
        """Constants from the model, the mesh (made on rank 0), atoms in the mesh, and the ML/FEM model of each member."""
        s = run.settings
        out = {}
        for member in listed(s["members"]):
            # The Hessian of a message-passing model takes minutes, so its constants are found by rank 0's own work alone.
            material = run.world.bcast(material_of(s["potential"], member) if run.first else None)
            crack = run.world.bcast(self._crack(material, s) if run.first else None)
            out[member] = (crack, HybridModel(crack.interface(), registry.coupler(s["coupler"])()))
        crack, model = next(iter(out.values()))
        run.cite(*model.coupler.references)
        run.say(
            f"{crack.n_free} free atoms, {len(crack.crystal.positions) - crack.n_free} slaved to the mesh, "
            f"{2 * len(crack.mesh.nodes)} mesh dofs"
        )
        return out

    @staticmethod
    def _crack(material: CrackMaterial, s: Any) -> HybridCrack:
        return HybridCrack.disc(material, s["free_radius"], s["radius"], s["h_inner"], s["h_outer"], blend=s["blend"])

    def measure(self, run, built):
        """Constants, the ML/FEM crack of each member, the QM/ML/FEM crack of some."""
        s, first = run.settings, next(iter(built))
        crack, model = built[first]
        self._constants(run, crack.material)
        data = {"crack": crack, "model": model, "cracks": {}}
        ends = {}
        for member, (its, hybrid) in built.items():
            name = title("ML/FEM", member, first)
            with run.timed(f"{name} loading"):
                states = self._load(run, its, hybrid, name, s["resolution"], s["fmax"])
            data[name], ends[member], data["cracks"][name] = states, reached(its, states), its
            if member == first:
                run.timings(hybrid.timings)
                self._judge(run, crack, hybrid, states[0])
        run.record("bonds broken by ML/FEM", bool(np.isfinite(list(ends.values())).all()))
        self._committee(run, "ML/FEM", ends)
        if s["quantum"]:
            self._with_quantum(run, built, data, ends)
        self._write(run, data)
        History.clear(run)
        return data

    def _with_quantum(self, run: Any, built: Any, data: dict[str, Any], below: dict[int, float]) -> None:
        s, first = run.settings, next(iter(built))
        members, ends = listed(s["quantum"]), {}
        with run.timed("quantum lattice constant"):
            a_qm = run.world.bcast(quantum_lattice(run) if run.first else None)
        run.record("QM lattice constant", a_qm, "Å")
        for member in members:
            crack, name = built[member][0], title("QM/ML/FEM", member, first)
            start = data[title("ML/FEM", member, first)][0]
            tip = QuantumTip(run, crack, start.q, a_qm / crack.material.a)
            quantum = tip.model()
            with run.timed(f"{name} loading"):
                states = self._load(run, crack, quantum, name, s["quantum_resolution"], s["quantum_fmax"], start.q)
            data[name], ends[member], data["cracks"][name] = states, reached(crack, states), crack
            if member == members[0]:
                tip.describe(quantum)
                run.timings(quantum.timings)
                data |= {"tip": states, "tip's crack": crack, "quantum model": quantum}
            if member == members[0] and s["checks"]:
                tip.checks(quantum, states[-2].q)
        run.record("bonds broken by QM/ML/FEM", bool(np.isfinite(list(ends.values())).all()))
        changes = np.array([ends[m] - below[m] for m in members])
        run.record("what the quantum tip changes of K₊/K_G", float(changes.mean()))
        if len(changes) > 1:
            run.record("what the quantum tip changes of K₊/K_G, by members", changes)
            run.record("error bar of what the quantum tip changes of K₊/K_G", float(changes.std(ddof=1)))
        self._committee(run, "QM/ML/FEM", ends)

    @staticmethod
    def _committee(run: Any, name: str, ends: dict[int, float]) -> None:
        """Mean and spread of K₊/K_G over the members that were loaded."""
        if len(ends) < 2:
            return
        values = np.array(list(ends.values()))
        run.record(f"{name}: K₊/K_G of the committee's members", values)
        run.record(f"{name}: K₊/K_G of the committee", float(values.mean()))
        run.record(f"{name}: error bar of K₊/K_G by the committee", float(values.std(ddof=1)))

    # -- parts -------------------------------------------------------------------------------------------------

    @staticmethod
    def _constants(run: Any, m: CrackMaterial) -> None:
        for name, (i, j) in {"C11": (0, 0), "C12": (0, 1), "C44": (3, 3)}.items():
            run.record(name, m.elastic.relaxed[i, j], "GPa")
        run.record("gamma_111", m.gamma, "J/m²")
        run.record("K_G", m.K_griffith, "MPa·√m")
        opening = m.field.displacement(np.array([[-100.0, 1e-9, 0.0]]), m.K_griffith)[0, 1]
        run.record("K-field opening at 100 Å", opening, "Å")

    @staticmethod
    def _load(
        run: Any, crack: HybridCrack, model: HybridModel, name: str, finest: float, fmax: float, q: Any = None
    ) -> list[Step]:
        """Raise K until a bond breaks; returns the relaxed states, and the last one with a broken bond."""
        s, K_G, watch, n = run.settings, crack.material.K_griffith, crack.watch(), crack.n_free
        kept = History(run, name.replace("/", "-").replace(", ", "-"))
        states, step = kept.read(), s["step"]
        if states:
            begin, start, step = states[-1].q, states[-1].load, states[-1].increment / K_G
            run.say(f"{name}: going on from K = {start / K_G:.4f} K_G ({kept.path}; delete it to start anew)")
        else:
            start = s["start"] * K_G
            begin = crack.at(start) if q is None else q
        if happened(states):
            SiliconCrack._report(run, crack, model, name, states)
            return states
        known, gone = len(states), Gone(crack)
        if states and not s["arrest"]:
            gone.begin(states[0].q)

        def progress(at: Step) -> None:
            # A quantum relaxation takes minutes: show that it lives.
            if at.index and at.index % 10 == 0:
                run.say(f"{name}: relaxing, {at.line()}")

        steps = load(
            model, begin, crack.advance, start=start, stop=2.2 * K_G, step=step * K_G, resolution=finest * K_G,
            event=lambda at: watch.state(at[:n]), fmax=fmax, max_steps=60 if s["mixing"] == "forces" and "QM" in name else 300,
            each=progress, preconditioner=stiffness(crack), energy_noise=1e-4 if "QM" in name else 1e-9,
            sure=gone,
        )  # fmt: skip
        try:
            for k, at in enumerate(run.follow(steps, name)):
                if known and k == 0:
                    continue
                states.append(dataclasses.replace(at, event=watch.state(at.q[:n])))
                if not s["arrest"]:
                    gone.begin(states[0].q)
                kept.write(states)
                if happened(states):
                    break
        except MultiscaleError as failure:
            # Forces without an energy lead down no hill: past an instability the tip may come to rest nowhere near.
            if "QM" not in name or not states:
                raise
            lost = states[-1].load + abs(finest) * K_G
            run.say(f"{name}, K = {lost:.4f}: {failure}")
            states.append(dataclasses.replace(states[-1], load=lost, event=LOST))
        SiliconCrack._report(run, crack, model, name, states)
        return states

    @staticmethod
    def _report(run: Any, crack: HybridCrack, model: HybridModel, name: str, states: list[Step]) -> None:
        K_G, watch, n = crack.material.K_griffith, crack.watch(), crack.n_free
        broke = happened(states)
        intact = states[-2 if broke else -1]
        run.record(f"{name}: K/K_G of the last intact state", intact.load / K_G)
        run.record(f"{name}: K/K_G when a bond breaks", states[-1].load / K_G if broke else None)
        run.record(f"{name}: event", states[-1].event if broke else "none below 2.2 K_G")
        run.record(f"{name}: at the first load", states[0].event)
        for when, at in (("at the first load", states[0]), ("in the end", states[-1])):
            off = watch.broken(at.q[:n]) & ~watch.crossing
            run.record(f"{name}: off-plane bonds broken {when}", int(off.sum()))
        bond, opening = tip_opening(crack, intact.q)
        run.record(f"{name}: length of the bond at the tip, last intact state", bond, "Å")
        run.record(f"{name}: opening of the last open bond, last intact state", opening, "Å")
        run.record(f"{name}: evaluations", model.evaluations)

    @staticmethod
    def _judge(run: Any, crack: HybridCrack, model: HybridModel, state: Step) -> None:
        """J in three rings of the mesh against K²/E', and the ledger, at the first load."""
        law = model.interface.regions["fem"].law
        inner, outer = crack.free_radius + crack.blend, 0.95 * run.settings["radius"]
        edges = np.geomspace(inner + 4.0, outer, 4)
        J = j_integral(crack.mesh, law, state.q[crack.n_free :], list(zip(edges[:-1], edges[1:], strict=True)))
        run.record("J/(K²/E')", J / crack.material.field.energy_release_rate(state.load))
        ledger = model.ledger(state.q)
        run.say(str(ledger))
        run.record("coverage error", max(abs(c - 1.0) for c in ledger.coverage))
        for row in ledger.rows:
            run.record(f"{row.region}: atoms' worth of matter", row.matter)
            run.record(f"{row.region}: energy at the first load", row.energy, "eV")

    @staticmethod
    def _write(run: Any, data: dict[str, Any]) -> None:
        """atoms.extxyz (one weight column per region, the bond state) and fields for ParaView, of the last intact state."""
        crack: HybridCrack = data["crack"]
        interface = data.get("quantum model", data["model"]).interface
        states, crack = data.get("tip", data["ML/FEM"]), data.get("tip's crack", crack)
        q = states[-2].q if len(states) > 1 else states[-1].q
        x = crack.atoms()[1].place(q)
        columns = {"weight_ml": interface.weights(q)["ml"]}
        columns["free"] = (np.arange(len(x)) < crack.n_free).astype(int)
        if "qm" in interface.regions:
            quantum = np.zeros(len(x))
            rows = interface.embeddings["qm"].own
            rows = rows[rows >= 0]
            quantum[rows] = interface.overlay_weights("qm")[rows] if "qm" in interface.overlays else 1.0
            columns["weight_qm"] = quantum
        run.write_atoms("atoms.extxyz", ["Si"] * len(x), x, cell=crack.cell, pbc=(False, False, True), arrays=columns)
        if run.first:
            interface.regions["fem"].write(run.out / "far_field.vtu", interface.place("fem", q))

    def plot(self, run, data):
        """The crack: atoms by region and bond state over the far field's σ_yy; K against the opening of the tip bond."""
        run.save_figure(draw(data), "si_crack.png")


def material_of(potential: str, member: int) -> CrackMaterial:
    """Stillinger–Weber with λ = 42 ("sw"), or a member of the shipped committee ("mace")."""
    if potential == "sw":
        return CrackMaterial.of(StillingerWeber(three_body_strength=42.0))
    if potential == "mace":
        return CrackMaterial.of(default_potential(member), guess=5.45)
    raise MultiscaleError(f"si_crack knows the potentials 'sw' and 'mace', got {potential!r}")


def stiffness(crack: HybridCrack) -> Any:
    """A preconditioner: the stiffness of the same crack, with Stillinger–Weber's bonds where the model's own Hessian is dear."""
    if crack.material.model.layers == 1:
        return precondition
    stand_in = crack.with_model(StillingerWeber(three_body_strength=42.0))
    model = HybridModel(stand_in.interface(), EnergyBlend())
    return lambda _, q, free: precondition(model, q, free)


if __name__ == "__main__":
    SiliconCrack().main()
