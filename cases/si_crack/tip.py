"""The quantum tip of si_crack: a rod of GFN1-xTB along the front, and what it is compared with.

The rod is a :class:`~multiscale.regions.quantum_rod.QuantumRod`: its energy is one period's, as the crack's is.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from couplers import ForceMixing, Subtractive
from multiscale import Cylinder, HybridModel, Overlay, registry
from multiscale.fracture.hybrid import HybridCrack
from multiscale.region import Can, Query
from multiscale.regions.qm import QMRegion
from multiscale.regions.quantum_rod import QuantumRod
from multiscale.regions.rescale import bond_energy, diamond_cluster, equilibrium
from multiscale.types import Array

#: Å; with ``mixing=forces``, the width over which quantum forces give way to the interatomic model's.
BLEND = 1.5
#: What the checks ask of the quantum engine: forces to 10⁻⁵ eV/Å.
TIGHT = 0.1


class QuantumTip:
    """A quantum rod over the tip of a crack; it keeps the bonds of the state that it is carved from.

    Parameters
    ----------
    run : Run
    crack : HybridCrack
    state : (n_q, 3) array
        Relaxed, at the first load, Å.
    length_scale : float
        c_L, the quantum lattice constant over the model's.
    """

    def __init__(self, run: Any, crack: HybridCrack, state: Array, length_scale: float):
        self.run, self.crack, self.state, self.length_scale = run, crack, state, length_scale

    def model(self) -> HybridModel:
        """The crack with the rod: an energy, or mixed forces."""
        s, crack = self.run.settings, self.crack
        inner = registry.coupler(s["coupler"])()
        if s["mixing"] == "forces":
            rod = self._rod(s["core"] + BLEND, s["hops"])
            overlay = Overlay(Cylinder((s["centre"], 0.0, 0.0), s["core"]), BLEND)
            quantum = rod.quantum(s["repeat"], **self._engine())
            interface = crack.interface({"qm": (quantum, rod.rows)}, {"qm": overlay})
            coupler: Any = ForceMixing(high="qm", inner=inner)
        else:
            pair = self._pair(s["core"], s["hops"], s["repeat"], 1.0)
            interface, coupler = crack.interface(pair), Subtractive(high="qm", low="ml_qm", inner=inner)
        self.run.cite(*coupler.references)
        return HybridModel(interface, coupler)

    def describe(self, model: HybridModel) -> None:
        """Record the size of the rod."""
        region: Any = model.interface.regions["qm"]
        self.run.record("QM: silicon atoms per period", int((~region.link_atoms).sum()))
        self.run.record("QM: link atoms per period", int(region.link_atoms.sum()))
        self.run.record("QM: periods in the calculation", int(region.repeat[2]))

    def checks(self, model: HybridModel, q: Array) -> None:
        """At q: forces against differences of the energy, and what more periods and a thicker rod change of the forces at the tip."""
        s = self.run.settings
        core = near_tip(self.crack, s["core"], s["centre"])
        if s["mixing"] == "energy":
            self.run.record("QM/ML/FEM: force minus difference of the energy", self._conservation(q), "eV/Å")
        base, two = (self._correction(q, s["core"], s["hops"], n) for n in (s["repeat"], 2))
        for name, change in (
            ("a period more", self._correction(q, s["core"], s["hops"], s["repeat"] + 1) - base),
            ("two periods only", two - base),
            # A thicker rod is dear; what a bond more around it changes does not need all periods.
            ("another bond around it", self._correction(q, s["core"], s["hops"] + 1, 2) - two),
        ):
            size = np.linalg.norm(change[core], axis=1)
            self.run.record(f"QM: change of forces at the tip with {name}, RMS", rms(size), "eV/Å")
        self.run.record("QM: forces at the tip minus the model's, RMS", rms(np.linalg.norm(base[core], axis=1)), "eV/Å")

    # -- parts -------------------------------------------------------------------------------------------------

    def _rod(self, radius: float, hops: int) -> QuantumRod:
        crack = self.crack
        cluster = crack.rod(self.state, radius, hops=hops, centre=self.run.settings["centre"])
        return QuantumRod(cluster, crack.over(cluster), crack.cell, crack.reference, self.state)

    def _engine(self, accuracy: float = 1.0) -> dict[str, Any]:
        return {
            "length_scale": self.length_scale,
            "accuracy": accuracy,
            "electronic_temperature": self.run.settings["electronic_temperature"],
            "failures": self.run.out,
        }

    def _pair(self, radius: float, hops: int, repeat: int, accuracy: float = TIGHT) -> dict[str, Any]:
        return self._rod(radius, hops).pair(self.crack.material.model, repeat, **self._engine(accuracy))

    def _difference(self, radius: float, hops: int, repeat: int) -> HybridModel:
        pair = self._pair(radius, hops, repeat)
        return HybridModel(self.crack.interface(pair), Subtractive(high="qm", low="ml_qm"))

    def _correction(self, q: Array, radius: float, hops: int, repeat: int) -> Array:
        """P^T (F_QM − F_ML) (n_q, 3), eV/Å."""
        model = self._difference(radius, hops, repeat)
        found = model.ask(q, {r: Query(Can.FORCES) for r in ("qm", "ml_qm")})
        high, low = (model.interface.pull(r, found[r]["forces"]) for r in ("qm", "ml_qm"))
        return np.asarray(high - low)

    def _conservation(self, q: Array, h: float = 0.01) -> float:
        """F·v + dE/dv, v random and of length one on the atoms within the core."""
        s = self.run.settings
        model = self._difference(s["core"], s["hops"], s["repeat"])
        v = np.zeros_like(q)
        mine = near_tip(self.crack, s["core"], s["centre"])
        v[mine] = np.random.default_rng(1).normal(size=(len(mine), 3))
        v /= np.linalg.norm(v)
        force = float(np.sum(model.evaluate(q).forces * v))
        e = [model.evaluate(q + k * h * v).energy or 0.0 for k in (1, -1, 2, -2)]
        return force + (8.0 * (e[0] - e[1]) - (e[2] - e[3])) / (12.0 * h)


def near_tip(crack: HybridCrack, radius: float, centre: float) -> Array:
    """Free atoms within ``radius`` (Å) of the front at x = ``centre`` (Å)."""
    X = crack.crystal.positions[: crack.n_free]
    return np.flatnonzero(np.hypot(X[:, 0] - centre, X[:, 1]) <= radius)


def rms(x: Array) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(x**2)))


def quantum_lattice(run: Any) -> float:
    """The lattice constant (Å) of GFN1-xTB's silicon, by two capped clusters.

    Energies are left as they are: the potential was fitted to them, and scaling them to its bulk modulus would weaken the bonds that
    the quantum region is there to break.
    """
    found = [diamond_cluster(5.5, hops=n) for n in (1, 2)]
    regions = [QMRegion(atoms, link_atoms=c.link_atoms, accuracy=1.0, failures=run.out) for c, atoms in found]

    def energy(k: int, x: Array) -> float:
        return float(regions[k].evaluate(x, Query(Can.ENERGY)).energy or 0.0)

    return equilibrium(bond_energy((found[0][0], found[1][0]), energy), 5.5)[0]


def tip_opening(crack: HybridCrack, q: Array) -> tuple[float, float]:
    """Lengths, Å, of the first whole bond across the crack plane and of the last open one behind it."""
    watch, x = crack.watch(), q[: crack.n_free]
    front, lengths = watch.front(x), watch.lengths(x)
    ahead = watch.crossing & (watch.x > front + 1e-6)
    first = np.flatnonzero(ahead)[np.argmin(watch.x[ahead])]
    behind = watch.crossing & (np.abs(watch.x - front) < 1e-6)
    return float(lengths[first]), float(lengths[behind].max()) if behind.any() else float("nan")
