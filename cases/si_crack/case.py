"""A mode-I crack in silicon: a quantum tip, an interatomic neighbourhood and a finite-element far field in one run.

Si (111)[1-10], one period thick along the front. The interatomic model is Stillinger–Weber with doubled three-body strength (which
cleaves on this plane), the continuum an anisotropic linear-elastic disc with the constants of the same model and the K-field on its outer
circle, the quantum core GFN1-xTB on a capped cluster around the tip, joined by buffered force mixing and rescaled to the model's
lattice constant and bulk modulus. K_I is raised until a crossing bond breaks, first without and then with the quantum core.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import ase
import numpy as np
from history import History
from picture import draw

from couplers import ForceMixing
from multiscale import Case, Cylinder, Expect, HybridModel, Overlay, registry
from multiscale.continuum.jintegral import j_integral
from multiscale.drive import Step, load
from multiscale.elastic import bulk_modulus
from multiscale.fracture.hybrid import HybridCrack
from multiscale.fracture.material import CrackMaterial
from multiscale.models import StillingerWeber
from multiscale.region import Can, Query
from multiscale.regions.qm import QMRegion
from multiscale.regions.rescale import Rescaling, tune_rescaling

#: Å; the width over which quantum forces give way to the interatomic model's.
BLEND = 1.5
HOLLAND = "10.1103/PhysRevLett.80.746"
SIH = "10.1007/BF00186854"
PUBLISHED = "independent codes (matscipy, LAMMPS) with the same potential; 10.1103/PhysRevB.31.5262 with λ = 42"


class SiliconCrack(Case):
    """Lattice trapping at a silicon crack tip, ML/FEM against QM/ML/FEM."""

    name = "si_crack"
    sizes = {
        "small": {
            "free_radius": 20.0, "radius": 200.0, "h_inner": 7.0, "h_outer": 25.0, "coupler": "energy_blend",
            "step": 0.02, "resolution": 0.0025, "quantum": True, "core": 2.6, "hops": 1, "periods": 1,
            "quantum_step": 0.08, "quantum_resolution": 0.01, "buffer_check": 0, "electronic_temperature": 1000.0,
        },
        "full": {
            "free_radius": 25.0, "radius": 400.0, "h_inner": 7.0, "h_outer": 25.0, "coupler": "energy_blend",
            "step": 0.02, "resolution": 0.0025, "quantum": True, "core": 3.6, "hops": 1, "periods": 1,
            "quantum_step": 0.04, "quantum_resolution": 0.005, "buffer_check": 0, "electronic_temperature": 1000.0,
        },
    }  # fmt: skip
    expectations = (
        Expect("C11", 201.43, tolerance=0.05, source=PUBLISHED, unit="GPa"),
        Expect("C12", 51.42, tolerance=0.05, source=PUBLISHED, unit="GPa"),
        Expect("C44", 90.51, tolerance=0.05, source=PUBLISHED, unit="GPa"),
        Expect("gamma_111", 1.3600, tolerance=1e-4, source="exact: 2ε/(√3 a₀²)", unit="J/m²"),
        Expect("K_G", 0.7487, tolerance=1e-4, source=PUBLISHED, unit="MPa·√m"),
        Expect("K-field opening at 100 Å", 5.79810, tolerance=1e-3, source=f"Sih–Paris–Irwin, {SIH}", unit="Å"),
        Expect("J/(K²/E')", [1.0, 1.0, 1.0], tolerance=0.01, source="path independence"),
        Expect("coverage error", 0.0, tolerance=1e-10, source="every piece of matter is counted once"),
    )
    citations = ("10.1103/PhysRevB.31.5262", HOLLAND, SIH, "10.1021/acs.jctc.7b00118")

    def build(self, run):
        """Constants from the model, the mesh (made on rank 0), atoms in the mesh, and the ML/FEM model."""
        s = run.settings
        material = CrackMaterial.of(StillingerWeber(three_body_strength=42.0))
        crack = run.world.bcast(self._crack(material, s) if run.first else None)
        coupler = registry.coupler(s["coupler"])()
        model = HybridModel(crack.interface(), coupler)
        run.cite(*coupler.references)
        run.say(
            f"{crack.n_free} free atoms, {len(crack.crystal.positions) - crack.n_free} slaved to the mesh, "
            f"{2 * len(crack.mesh.nodes)} mesh dofs"
        )
        return crack, model

    @staticmethod
    def _crack(material: CrackMaterial, s: Any) -> HybridCrack:
        return HybridCrack.disc(material, s["free_radius"], s["radius"], s["h_inner"], s["h_outer"])

    def measure(self, run, built):
        """Constants, the ML/FEM crack, the QM/ML/FEM crack."""
        crack, model = built
        self._constants(run, crack.material)
        with run.timed("ML/FEM loading"):
            atomistic = self._load(run, crack, model, "ML/FEM", run.settings["step"], run.settings["resolution"], 1e-4)
        run.timings(model.timings)
        start = atomistic[0]
        self._judge(run, crack, model, start)
        data = {"crack": crack, "model": model, "ML/FEM": atomistic}
        if run.settings["quantum"]:
            with run.timed("quantum rescaling"):
                scale = self._rescale(run, crack.material)
            quantum = self._quantum(run, crack, start, scale)
            with run.timed("QM/ML/FEM loading"):
                s = run.settings
                data["QM/ML/FEM"] = self._load(
                    run, crack, quantum, "QM/ML/FEM", s["quantum_step"], s["quantum_resolution"], 0.02, start.q
                )
            run.timings(quantum.timings)
            if run.settings["buffer_check"]:
                self._buffer(run, crack, quantum, scale, data["QM/ML/FEM"][-2])
            data["quantum model"] = quantum
        self._write(run, data)
        History.clear(run)
        return data

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
            model, begin, crack.advance, start=start, stop=1.8 * K_G, step=step * K_G, resolution=finest * K_G,
            event=lambda at: watch.state(at[:n]), fmax=fmax, max_steps=40 if "QM" in name else 300, each=progress,
        )  # fmt: skip
        for k, s in enumerate(run.follow(steps, name)):
            if known and k == 0:
                continue
            states.append(dataclasses.replace(s, event=watch.state(s.q[:n])))
            kept.write(states)
            if len(states) > 1 and states[-1].event != states[-2].event:
                break
        SiliconCrack._report(run, crack, model, name, states)
        return states

    @staticmethod
    def _report(run: Any, crack: HybridCrack, model: HybridModel, name: str, states: list[Step]) -> None:
        K_G, watch, n = crack.material.K_griffith, crack.watch(), crack.n_free
        broke = len(states) > 1 and states[-1].event != states[-2].event
        run.record(f"{name}: K/K_G of the last intact state", states[-2 if broke else -1].load / K_G)
        run.record(f"{name}: K/K_G when a bond breaks", states[-1].load / K_G if broke else None)
        run.record(f"{name}: event", states[-1].event if broke else "none below 1.8 K_G")
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


if __name__ == "__main__":
    SiliconCrack().main()
