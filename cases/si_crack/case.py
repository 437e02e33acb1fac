"""A mode-I crack in silicon: a quantum tip, a learned neighbourhood and a finite-element far field in one run.

Si (111)[1-10], one period thick along the front. The atoms' model is the shipped MACE potential, fitted to GFN1-xTB (size "classical":
Stillinger–Weber with doubled three-body strength), the continuum an anisotropic linear-elastic disc with the constants of the same model
and the K-field on its outer circle, the quantum core GFN1-xTB itself on a capped cluster around the tip, joined by buffered force mixing
and rescaled to the model's lattice constant and bulk modulus. K_I is raised until a crossing bond breaks: by each of several members of
the potential's committee, whose spread is the error bar of K₊, and then with the quantum core over the tip.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import ase
import numpy as np
from history import History
from picture import draw

from couplers import EnergyBlend, ForceMixing
from multiscale import Case, Cylinder, Expect, HybridModel, Overlay, registry
from multiscale.continuum.jintegral import j_integral
from multiscale.drive import Step, load
from multiscale.drive.precondition import precondition
from multiscale.elastic import bulk_modulus
from multiscale.fracture.hybrid import HybridCrack
from multiscale.fracture.material import CrackMaterial
from multiscale.models import StillingerWeber, default_potential
from multiscale.region import Can, Query
from multiscale.regions.qm import QMRegion
from multiscale.regions.rescale import Rescaling, tune_rescaling
from multiscale.types import MultiscaleError

#: Å; the width over which quantum forces give way to the interatomic model's.
BLEND = 1.5
#: What a loading ends with where relaxation finds no equilibrium.
LOST = "no equilibrium found"
HOLLAND = "10.1103/PhysRevLett.80.746"
SIH = "10.1007/BF00186854"
PUBLISHED = "independent codes (matscipy, LAMMPS) with the same potential; 10.1103/PhysRevB.31.5262 with λ = 42"


class SiliconCrack(Case):
    """Lattice trapping at a silicon crack tip, ML/FEM against QM/ML/FEM."""

    name = "si_crack"
    sizes = {
        "small": {
            "potential": "mace", "members": "0, 1", "free_radius": 16.0, "blend": 10.0, "radius": 200.0, "h_inner": 7.0, "h_outer": 25.0,
            "coupler": "energy_blend", "step": 0.24, "resolution": 0.03, "fmax": 1e-2, "quantum": True, "core": 2.6, "hops": 1,
            "periods": 1, "quantum_step": 0.12, "quantum_resolution": 0.12, "buffer_check": 0, "electronic_temperature": 3000.0,
        },
        "full": {
            "potential": "mace", "members": "0, 1, 2, 3", "free_radius": 20.0, "blend": 10.0, "radius": 400.0, "h_inner": 7.0,
            "h_outer": 25.0, "coupler": "energy_blend", "step": 0.08, "resolution": 0.01, "fmax": 1e-3, "quantum": True, "core": 3.6,
            "hops": 1, "periods": 1, "quantum_step": 0.06, "quantum_resolution": 0.03, "buffer_check": 2,
            "electronic_temperature": 3000.0,
        },
        "classical": {
            "potential": "sw", "members": "0", "free_radius": 20.0, "blend": 8.0, "radius": 200.0, "h_inner": 7.0, "h_outer": 25.0,
            "coupler": "energy_blend", "step": 0.02, "resolution": 0.0025, "fmax": 1e-4, "quantum": False, "core": 2.6, "hops": 1,
            "periods": 1, "quantum_step": 0.08, "quantum_resolution": 0.01, "buffer_check": 0, "electronic_temperature": 1000.0,
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
        Expect("bonds broken by ML/FEM", True, source="a crossing bond breaks below 2.2 K_G", sizes=("small", "full")),
        Expect("bonds broken by QM/ML/FEM", True, source="a crossing bond breaks below 2.2 K_G", sizes=("small", "full")),
    )  # fmt: skip
    citations = ("10.1103/PhysRevB.31.5262", HOLLAND, SIH, "10.1021/acs.jctc.7b00118")

    def build(self, run):
        """Constants from the model, the mesh (made on rank 0), atoms in the mesh, and the ML/FEM model of each member."""
        s = run.settings
        out = []
        for member in (int(m) for m in str(s["members"]).split(",")):
            # The Hessian of a message-passing model takes minutes, so its constants are found by rank 0's own work alone.
            material = run.world.bcast(material_of(s["potential"], member) if run.first else None)
            crack = run.world.bcast(self._crack(material, s) if run.first else None)
            out.append((crack, HybridModel(crack.interface(), registry.coupler(s["coupler"])())))
        crack, model = out[0]
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
        """Constants, the ML/FEM crack of each member, the QM/ML/FEM crack."""
        s, (crack, model) = run.settings, built[0]
        self._constants(run, crack.material)
        data = {"crack": crack, "model": model}
        broken = []
        for k, (its, hybrid) in enumerate(built):
            name = "ML/FEM" if k == 0 else f"ML/FEM, member {str(s['members']).split(',')[k].strip()}"
            with run.timed(f"{name} loading"):
                states = self._load(run, its, hybrid, name, s["step"], s["resolution"], s["fmax"])
            data.setdefault(name, states)
            broken.append(states[-1].load / its.material.K_griffith if happened(states) else float("nan"))
            if k == 0:
                run.timings(hybrid.timings)
                self._judge(run, crack, hybrid, states[0])
        run.record("bonds broken by ML/FEM", bool(np.isfinite(broken).all()))
        if len(broken) > 1:
            run.record("K₊/K_G of the committee's members", np.array(broken))
            run.record("K₊/K_G of the committee", float(np.mean(broken)))
            run.record("error bar of K₊/K_G by the committee", float(np.std(broken, ddof=1)))
        if s["quantum"]:
            self._with_quantum(run, crack, data)
        self._write(run, data)
        History.clear(run)
        return data

    def _with_quantum(self, run: Any, crack: HybridCrack, data: dict[str, Any]) -> None:
        s, start = run.settings, data["ML/FEM"][0]
        with run.timed("quantum rescaling"):
            scale = self._rescale(run, crack.material)
        quantum = self._quantum(run, crack, start, scale)
        with run.timed("QM/ML/FEM loading"):
            steps = s["quantum_step"], s["quantum_resolution"]
            states = self._load(run, crack, quantum, "QM/ML/FEM", *steps, 0.02, start.q)
        run.timings(quantum.timings)
        run.record("bonds broken by QM/ML/FEM", happened(states))
        if happened(states) and happened(data["ML/FEM"]):
            change = (states[-1].load - data["ML/FEM"][-1].load) / crack.material.K_griffith
            run.record("what the quantum core changes of K₊/K_G", change)
        if s["buffer_check"]:
            self._buffer(run, crack, quantum, scale, states[-2])
        data |= {"QM/ML/FEM": states, "quantum model": quantum}

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
        run: Any,
        crack: HybridCrack,
        model: HybridModel,
        name: str,
        step: float,
        finest: float,
        fmax: float,
        q: Any = None,
    ) -> list[Step]:
        """Raise K from K_G until a crossing bond breaks; returns the relaxed states, the last one broken."""
        K_G, watch, n = crack.material.K_griffith, crack.watch(), crack.n_free
        kept = History(run, name.replace("/", "-"))
        states = kept.read()
        if states:
            begin, start, step = states[-1].q, states[-1].load, states[-1].increment / K_G
            run.say(f"{name}: going on from K = {start / K_G:.4f} K_G ({kept.path}; delete it to start anew)")
        else:
            begin, start = crack.reference + crack.displacement(K_G) if q is None else q, K_G
        known = len(states)

        def progress(s: Step) -> None:
            # A quantum relaxation takes minutes: show that it lives.
            if s.index and s.index % 10 == 0:
                run.say(f"{name}: relaxing, {s.line()}")

        steps = load(
            model, begin, crack.advance, start=start, stop=2.2 * K_G, step=step * K_G, resolution=finest * K_G,
            event=lambda at: watch.state(at[:n]), fmax=fmax, max_steps=40 if "QM" in name else 300, each=progress,
            preconditioner=stiffness(crack),
        )  # fmt: skip
        try:
            for k, s in enumerate(run.follow(steps, name)):
                if known and k == 0:
                    continue
                states.append(dataclasses.replace(s, event=watch.state(s.q[:n])))
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
        run.record(f"{name}: K/K_G of the last intact state", states[-2 if broke else -1].load / K_G)
        run.record(f"{name}: K/K_G when a bond breaks", states[-1].load / K_G if broke else None)
        run.record(f"{name}: event", states[-1].event if broke else "none below 2.2 K_G")
        off = watch.broken(states[-1].q[:n]) & ~watch.crossing
        run.record(f"{name}: off-plane bonds broken", int(off.sum()))
        run.record(f"{name}: evaluations", model.evaluations)

    @staticmethod
    def _judge(run: Any, crack: HybridCrack, model: HybridModel, state: Step) -> None:
        """J in three rings of the mesh against K²/E', and the ledger, at K_G."""
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
            run.record(f"{row.region}: energy at K_G", row.energy, "eV")

    @staticmethod
    def _rescale(run: Any, m: CrackMaterial) -> Rescaling:
        """Lengths and energies of GFN1-xTB that give the model's lattice constant and bulk modulus; on rank 0."""
        B = bulk_modulus(m.elastic.relaxed)
        scale = run.world.bcast(tune_rescaling(m.a, B, stiffness=m.elastic.unrelaxed) if run.first else None)
        run.record("QM lattice constant before rescaling", scale.lattice_constant, "Å")
        run.record("QM bulk modulus before rescaling", scale.bulk_modulus, "GPa")
        for name, left in scale.report()["mismatch"].items():
            run.record(f"mismatch left in {name}", left)
        return scale

    @staticmethod
    def _region(run: Any, crack: HybridCrack, at: Any, scale: Rescaling, hops: int) -> tuple[QMRegion, Any]:
        """A rescaled quantum region over the tip whose buffer is ``hops`` bonds deep; bonds as in the state ``at``."""
        s = run.settings
        cluster = crack.cluster(at, s["core"] + BLEND, hops=hops, periods=s["periods"])
        rows = crack.over(cluster)
        atoms = ase.Atoms(cluster.all_symbols, rows.place(crack.reference))
        scales = {"length_scale": scale.length_scale, "energy_scale": scale.energy_scale}
        # Larger clusters have longer crack faces, whose dangling bonds converge only with warmer electrons.
        scales["electronic_temperature"] = s["electronic_temperature"]
        region = QMRegion(atoms, link_atoms=cluster.link_atoms, accuracy=1.0, failures=run.out, **scales)
        return region, rows

    def _quantum(self, run: Any, crack: HybridCrack, start: Step, scale: Rescaling) -> HybridModel:
        """The same crack with a quantum core over its tip; the cluster keeps the bonds of the state at K_G."""
        s = run.settings
        region, rows = self._region(run, crack, start.q, scale, s["hops"])
        overlay = Overlay(Cylinder((0.0, 0.0, 0.0), s["core"]), BLEND)
        interface = crack.interface({"qm": (region, rows)}, {"qm": overlay})
        coupler = ForceMixing(high="qm", inner=registry.coupler(s["coupler"])())
        run.cite(*coupler.references)
        run.record("QM: atoms with quantum forces", int((interface.overlay_weights("qm") > 0).sum()))
        run.record("QM: silicon atoms in the cluster", int((~region.link_atoms).sum()))
        run.record("QM: link atoms", int(region.link_atoms.sum()))
        return HybridModel(interface, coupler)

    def _buffer(self, run: Any, crack: HybridCrack, quantum: HybridModel, scale: Rescaling, state: Step) -> None:
        """How the quantum forces in the core change with another depth of the buffer: what the thinner one leaves."""
        larger, rows = self._region(run, crack, state.q, scale, run.settings["buffer_check"])
        overlay = quantum.interface.overlays["qm"]
        wide = HybridModel(crack.interface({"qm": (larger, rows)}, {"qm": overlay}), ForceMixing(high="qm"))
        query = {"qm": Query(Can.FORCES)}
        a, b = (m.interface.restrict("qm", m.ask(state.q, query)["qm"]["forces"]) for m in (quantum, wide))
        chi = quantum.interface.overlay_weights("qm")
        change = np.linalg.norm((a - b)[chi > 0], axis=1)
        run.record("QM: silicon atoms in the other cluster", int((~larger.link_atoms).sum()))
        run.record("QM: change of core forces with the buffer, RMS", float(np.sqrt(np.mean(change**2))), "eV/Å")
        run.record("QM: change of core forces with the buffer, max", float(change.max()), "eV/Å")

    @staticmethod
    def _write(run: Any, data: dict[str, Any]) -> None:
        """atoms.extxyz (one weight column per region, the bond state) and fields for ParaView, of the last intact state."""
        crack: HybridCrack = data["crack"]
        interface = data.get("quantum model", data["model"]).interface
        states = data.get("QM/ML/FEM", data["ML/FEM"])
        q = states[-2].q if len(states) > 1 else states[-1].q
        x = crack.atoms()[1].place(q)
        columns = {"weight_ml": interface.weights(q)["ml"]}
        columns["free"] = (np.arange(len(x)) < crack.n_free).astype(int)
        if "qm" in interface.overlays:
            columns["weight_qm"] = np.pad(interface.overlay_weights("qm")[: crack.n_free], (0, len(x) - crack.n_free))
        run.write_atoms("atoms.extxyz", ["Si"] * len(x), x, cell=crack.cell, pbc=(False, False, True), arrays=columns)
        if run.first:
            interface.regions["fem"].write(run.out / "far_field.vtu", interface.place("fem", q))

    def plot(self, run, data):
        """The crack: atoms by region and bond state over the far field's σ_yy; K against the opening of the tip bond."""
        run.save_figure(draw(data), "si_crack.png")


def happened(states: list[Step]) -> bool:
    """Whether a loading ended with an event."""
    return len(states) > 1 and states[-1].event != states[-2].event


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
