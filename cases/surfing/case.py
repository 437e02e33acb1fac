"""A crack that is made to run at a constant speed: the toughness that a phase field has on a mesh, measured by J.

The surfing boundary condition (Hossain et al. 2014): the rim of a strip follows a K-field whose tip moves along x. Whatever the K that is
applied, the crack settles behind or ahead of that tip so that J is what a step of it costs: Gc (1 + 3h/8ℓ) of AT1, Gc (1 + h/2ℓ) of AT2,
with h the height of the row of cells that opens. External work pays for what is stored and for the crack, step by step.

The material is Stillinger–Weber silicon with λ = 42, (111)[1-10]: the elastic constants in the crack's frame (C16 and C26 included) and
the surface energy are measured on the atoms, so that this is the far field of an atomistic crack, carried on. Å, eV.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from picture import draw

from multiscale import Case, Expect
from multiscale.continuum.brittle import BrittleSolid, isotropic_stiffness
from multiscale.continuum.graded import graded, rectangle
from multiscale.continuum.kfield import KField
from multiscale.continuum.phase_field import PhaseField
from multiscale.fracture.material import CrackMaterial
from multiscale.models import StillingerWeber
from multiscale.types import Team

THEORY = "Gc (1 + h/cℓ), Bourdin, Francfort & Marigo, DOI 10.1007/s10659-007-9107-3"
BOOKS = "work of the rim = what is stored and dissipated"


def expectations() -> tuple[Expect, ...]:
    """For every kind and material."""
    out = []
    for name, sizes in (("silicon", ()), ("isotropic", ("full",))):
        for kind in ("AT1", "AT2"):
            at = f"{name}, {kind}"
            out += [
                Expect(f"{at}: J over toughness", 1.0, 0.01, THEORY, sizes=sizes),
                Expect(f"{at}: dissipated per advance over toughness", 1.0, 0.015, THEORY, sizes=sizes),
                Expect(f"{at}: largest |work − stored − dissipated| of a step", 5e-3, source=BOOKS, kind="at most", sizes=sizes),
            ]  # fmt: skip
    return tuple(out)


@dataclass(frozen=True, eq=False)
class Strip:
    """A strip with a crack that has come in from the left; lengths in ℓ, ``h`` and positions in Å."""

    C: Any
    Gc: float
    length: float
    kind: str
    cells: int
    size: tuple[float, float] = (16.0, 5.0)
    first: float = 3.0

    def __post_init__(self) -> None:
        ell, h = self.length, self.h
        up = graded(h / 2, self.size[1] * ell, (h / 2, 2.5 * ell + h / 2), h)
        x = np.linspace(0, self.size[0] * ell, round(self.size[0] * self.cells) + 1)
        object.__setattr__(self, "mesh", rectangle(x, np.concatenate([-up[::-1], up])))

    @property
    def h(self) -> float:
        """Height of the cells' row that opens, Å."""
        return self.length / self.cells

    def body(self, team: Team) -> PhaseField:
        """With damage 1 along the initial crack: both sides of one row of cells."""
        X = self.mesh.nodes
        broken = (np.abs(X[:, 1]) < 0.6 * self.h) & (X[:, 0] <= self.first * self.length)
        solid = BrittleSolid.of_atoms(self.C, self.Gc, self.length, self.kind)
        return PhaseField(self.mesh, solid, team=team, damage=broken.astype(float))

    def weight(self) -> Any:
        """1 around the tip, 0 on the rim: of the domain integral."""
        X, ell = self.mesh.nodes, self.length
        gaps = (X[:, 0], self.size[0] * ell - X[:, 0], self.size[1] * ell - np.abs(X[:, 1]))
        return np.clip(np.minimum.reduce([g / (1.5 * ell) for g in gaps]), 0.0, 1.0)

    def tip(self, d: Any) -> float:
        """X where damage falls through ½ on the crack's row, Å."""
        X = self.mesh.nodes
        row = np.flatnonzero(np.abs(X[:, 1] - self.h / 2) < 1e-6 * self.h)
        x, along = X[row, 0], d[row]
        k = int(np.flatnonzero(along > 0.5)[-1])
        return float(x[k] + (along[k] - 0.5) / (along[k] - along[k + 1]) * (x[k + 1] - x[k]))


class Surfing(Case):
    """J of a phase-field crack under a moving K-field, AT1 and AT2, with the elastic constants of atoms."""

    name = "surfing"
    sizes = {
        "small": {"cells": 4, "advance": 4.5, "overload": 1.1, "isotropic": False, "tolerance": 1e-3},
        "full": {"cells": 8, "advance": 6.0, "overload": 1.1, "isotropic": True, "tolerance": 3e-4},
    }
    expectations = expectations()
    citations = ("10.1016/j.jmps.2014.08.011", "10.1007/s10659-007-9107-3", "10.1016/j.jmps.2017.09.006")

    def build(self, run):
        """Constants from the atoms; bodies are built where they are loaded."""
        crystal = CrackMaterial.of(StillingerWeber(three_body_strength=42.0))
        run.record("silicon: 2γ", 2.0 * crystal.gamma, "J/m²")
        materials = {"silicon": crystal.C}
        if run.settings["isotropic"]:
            materials["isotropic"] = isotropic_stiffness(170.0, 0.22)
        return {name: (C, 2.0 * crystal.gamma) for name, C in materials.items()}

    def measure(self, run, materials):
        """A crossing per material and kind."""
        found = {}
        for name, (C, Gc) in materials.items():
            for kind in ("AT1", "AT2"):
                strip = Strip(C, Gc, 5.0, kind, run.settings["cells"])
                with run.timed(f"{name} {kind}"):
                    found[name, kind] = self._cross(run, strip, f"{name}, {kind}")
        return found

    @staticmethod
    def _cross(run: Any, strip: Strip, label: str) -> dict[str, Any]:
        """Move the K-field by a cell at a time and note J, energies and the tip."""
        s, mesh = run.settings, strip.mesh
        body = strip.body(Team(run.world.rank, run.world.size, run.world.comm))
        solid, field = body.solid, KField(strip.C)
        K, q = s["overload"] * field.griffith(strip.Gc / 2), strip.weight()
        rim = np.zeros((len(mesh.nodes), 3), dtype=bool)
        rim[mesh.boundary_nodes()] = True
        places = strip.first * strip.length + strip.h * np.arange(round(s["advance"] * strip.cells) + 1)
        rows = []
        for place in places:
            state = body.solve(field.displacement(mesh.nodes, K, (place, 0.0)), rim, tolerance=s["tolerance"])
            rows.append(
                (place, strip.tip(state.d), body.j_integral(q), state.elastic, state.crack, state.work, state.sweeps)
            )
        rows = np.array(rows)
        late = rows[:, 0] > places[0] + 0.6 * (places[-1] - places[0])
        _, tip, J, elastic, crack, work, sweeps = rows.T
        toughness = solid.toughness(strip.h)
        gained, spent = np.diff(work - elastic)[late[1:]], np.diff(crack)[late[1:]]
        run.record(f"{label}: J over toughness", float(J[late].mean() / toughness))
        run.record(f"{label}: J/Gc", float(J[late].mean() / solid.Gc))
        run.record(
            f"{label}: dissipated per advance over toughness",
            float(np.polyfit(tip[late], crack[late], 1)[0] / toughness),
        )
        run.record(
            f"{label}: largest |work − stored − dissipated| of a step",
            float(np.abs(gained - spent).max() / spent.mean()),
        )
        run.record(f"{label}: applied G over Gc", s["overload"] ** 2)
        run.record(f"{label}: sweeps", int(sweeps.sum()))
        return {"strip": strip, "rows": rows, "state": state, "Gc": solid.Gc, "toughness": toughness}

    def plot(self, run, data):
        """Damage, J against the tip's place, and the books."""
        run.save_figure(draw(data), "surfing.png")


if __name__ == "__main__":
    Surfing().main()
