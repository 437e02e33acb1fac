"""The quantum option: GFN1-xTB on a rod along the contact, over the potential that was fitted to it.

    E = E_ML/FEM + E_QM(rod; n periods)/n − E_ML(rod)

The rod is carved from the closed contact, caps only where bonds within a body are cut: as the bodies part, what is between them is
the quantum engine's. Potential and engine share a lattice constant (5.5423, 5.5420 Å), so that nothing is scaled.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from couplers import EnergyBlend, Subtractive
from multiscale import HybridModel
from multiscale.adhesion.hybrid import HybridContact
from multiscale.drive.precondition import precondition
from multiscale.models import StillingerWeber
from multiscale.regions.carve import Cluster
from multiscale.regions.quantum_rod import QuantumRod
from multiscale.types import Array, MultiscaleError


def check(potential: str, radius: float, is_round: bool) -> None:
    """Refuse a tip without a periodic axis, and a potential that knows no hydrogen."""
    if radius and is_round:
        raise MultiscaleError(
            "a round tip has no rod along its contact, which is periodic nowhere; give round=False, or quantum=0"
        )
    if radius and potential != "mace":
        raise MultiscaleError(
            f"the quantum rod's caps are hydrogen, which the potential {potential!r} does not know; give potential='mace', or quantum=0"
        )


def with_rod(run: Any, contact: HybridContact) -> tuple[HybridModel, Cluster]:
    """The contact with a rod of ``quantum`` Å of radius in it, and the rod."""
    s = run.settings
    cluster = contact.rod(contact.reference, s["quantum"])
    rod = QuantumRod(cluster, contact.over(cluster), contact.cell, contact.reference, contact.reference)
    pair = rod.pair(
        contact.material.model, s["repeat"], accuracy=s["accuracy"], electronic_temperature=3000.0, failures=run.out
    )
    run.record("QM: silicon atoms per period", len(cluster.symbols))
    run.record("QM: link atoms per period", len(cluster.links))
    crossing = (contact.bodies[cluster.index] == 1).sum()
    run.say(f"a rod of {len(cluster.symbols)} Si, {crossing} of the tip, and {len(cluster.links)} H per period")
    coupler = Subtractive(inner=EnergyBlend())
    run.cite(*coupler.references)
    return HybridModel(contact.interface(extra=pair), coupler), cluster


def slope_error(model: HybridModel, contact: HybridContact, q: Array, h: float = 0.01) -> float:
    """F·v + dE/dv at q by differences of fourth order, eV/Å; v random and of length one on the free atoms within 5 Å of the apex."""
    near = np.flatnonzero(np.hypot(*contact.reference[: contact.n_free, :2].T) < 5.0)
    v = np.zeros_like(q)
    v[near] = np.random.default_rng(1).normal(size=(len(near), 3))
    v /= np.linalg.norm(v)
    force = float(np.sum(model.evaluate(q).forces * v))
    e = [model.evaluate(q + k * h * v).energy or 0.0 for k in (1, -1, 2, -2)]
    return force + (8.0 * (e[0] - e[1]) - (e[2] - e[3])) / (12.0 * h)


def stiffness(contact: HybridContact) -> dict[str, Any]:
    """For ``relax``: the stiffness of the same contact with Stillinger–Weber's bonds, where the model's own Hessian is dear."""
    if contact.material.model.layers == 1:
        return {}
    stand_in = HybridModel(contact.with_model(StillingerWeber(three_body_strength=42.0)).interface(), EnergyBlend())
    return {"make": lambda _, q, free: precondition(stand_in, q, free)}
