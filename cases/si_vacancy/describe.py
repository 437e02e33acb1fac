"""The descriptions of one host that are compared: all of one kind, and a quantum cluster in an interatomic surrounding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ase
import numpy as np
from host import Host

from couplers import Subtractive
from multiscale import HybridModel, Interface, Nested, Overlay, Sphere, registry
from multiscale.coupler import Ask, Claims, Coupler, Evaluation
from multiscale.region import Can, Query, Region

#: Atoms, and the mask of those that are link atoms -> region.
Make = Callable[[ase.Atoms, np.ndarray], Region]


@dataclass(frozen=True)
class Alone(Coupler):
    """One region, whole: what is compared with."""

    needs = Can.ENERGY | Can.FORCES
    claims = Claims(conservative=True, momentum=True, patch=False)

    def required(self, interface: Interface) -> dict[str, Can]:
        """Energy and forces are enough: nothing is weighed."""
        return dict.fromkeys(interface.shared, self.needs)

    def evaluate(self, q: np.ndarray, interface: Interface, ask: Ask, prepared: Any) -> Evaluation:
        """The region's own energy and forces."""
        (name,) = interface.shared
        answer = ask(q, {name: Query(self.needs)})[name]
        return Evaluation(answer["energy"], interface.pull(name, answer["forces"]), {name: answer["energy"]})


def state(host: Host, vacancy: bool) -> tuple[ase.Atoms, np.ndarray]:
    """The host's atoms, with or without the vacancy, and the mask of those that are held."""
    atoms, rim = host.perfect.copy(), host.rim.copy()
    if vacancy:
        del atoms[host.gone]
        rim = np.delete(rim, host.gone)
    return atoms, rim


def alone(host: Host, vacancy: bool, make: Make) -> HybridModel:
    """The whole host by one description."""
    atoms, rim = state(host, vacancy)
    region = make(atoms, np.zeros(len(atoms), dtype=bool))
    return HybridModel(Interface(atoms.positions, {"all": region}, Nested([], rest="all"), fixed=rim), Alone())


def mixed(host: Host, vacancy: bool, quantum: Make, cheap: Make, hops: int, core: float, zone: float) -> HybridModel:
    """A capped quantum cluster of ``hops`` bonds in the host.

    E = E_ML(all) + E_QM(cluster) − E_ML(cluster)              zone = 0: the whole cluster counts
    E = E_ML(all) + Σ_i s_i (e_i^QM − e_i^ML) on the cluster   zone > 0: s falls from 1 at ``core`` Å over ``zone`` Å
    """
    atoms, rim = state(host, vacancy)
    cluster, links, embedding = host.within(hops, vacancy)
    regions: dict[str, Any] = {
        "ml": cheap(atoms, np.zeros(len(atoms), dtype=bool)),
        "qm": (quantum(cluster, links), embedding),
        "ml_qm": (cheap(cluster, links), embedding),
    }
    partition = Nested([], rest="ml")
    if zone == 0.0:
        return HybridModel(Interface(atoms.positions, regions, partition, fixed=rim), Subtractive())
    overlays = {"qm": Overlay(Sphere(tuple(host.middle), core), zone)}
    interface = Interface(atoms.positions, regions, partition, fixed=rim, overlays=overlays, strict=False)
    return HybridModel(interface, registry.coupler("site_subtractive")())
