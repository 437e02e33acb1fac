"""A vacancy in space: what ghost forces cost, and what correcting them gains.

One vacancy in aluminium (embedded atoms) and in silicon strained by 1 % (Stillinger–Weber), with a mesh that is the lattice where atoms
and continuum are blended and grows coarser outside. The error of the displacement gradient in L², against the number of points that move:

    ATM      all atoms, cut off         −1/2      the far field that is left out
    BQCE     energies blended           −1/6      ghost forces: second differences of the weights decay slowly in space
    BQCF     forces blended             −5/6      no ghost forces: the mesh, and the continuum's law, are what is left
    BGFC     energies blended, less the ghost force of the lattice without the defect      −5/6

The continuum is Cauchy–Born's law of the same potential, to second order (``--no-linear``: as it is). Silicon's second sublattice is free
in the core; outside, atoms follow the mesh with the inner shift that belongs to its strain, and both atoms of a cell share a weight.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from adaptive import adaptive
from picture import draw
from problem import METHODS, Problem, material
from solving import Found, error, order, solve
from strained import strained

from multiscale import Case, Expect
from multiscale.types import MultiscaleError

THEORY = "arXiv:1308.3894 and arXiv:1407.0053, for point defects in three dimensions"
#: Orders in the number of dofs.
ORDERS = {"ATM": -1 / 2, "BQCE": -1 / 6, "BQCF": -5 / 6, "BGFC": -5 / 6}
IDENTITY = "identity: a uniform perfect crystal is in equilibrium"
BOTH = ("Al", "Si")
#: Of the far field in silicon.
SI_STRAIN = 0.01


def numbers(name: str, text: str) -> list[float]:
    """A setting such as "2,3.5"; nothing for an empty one."""
    try:
        return [float(part) for part in text.split(",") if part]
    except ValueError as error:
        raise MultiscaleError(
            f"vacancy_3d was given {name} = {text!r}; it takes radii in r₀ with commas between, such as 2,3"
        ) from error


class Vacancy3D(Case):
    """Error against dofs for atoms alone, blended energies, blended forces and ghost-force correction, in aluminium and silicon."""

    name = "vacancy_3d"
    sizes = {
        "small": {
            "cores": "2,3", "wide": "", "atoms": "3,4,5", "reference": 4.0,
            "si_cores": "2", "si_wide": "", "si_atoms": "2,3", "si_reference": 3.0, "linear": True, "levels": 0,
        },
        "full": {
            "cores": "2,2.5,3,3.5,4,5,6", "wide": "8", "atoms": "3,4,5,6,8,10", "reference": 9.0,
            "si_cores": "2,2.5,3,3.5,4", "si_wide": "6,8", "si_atoms": "2,3,4,5,6", "si_reference": 6.0, "linear": True, "levels": 4,
        },
    }  # fmt: skip
    expectations = (
        *(Expect(f"{s} {m}: order", ORDERS[m], tolerance=0.1, source=THEORY, sizes=("full",)) for s in BOTH for m in ("ATM", "BQCE")),
        *(
            Expect(f"{s} {m}: order", ORDERS[m], kind="at most", tolerance=0.1, source=THEORY, sizes=("full",))
            for s in BOTH
            for m in ("BQCF", "BGFC")
        ),
        *(Expect(f"{s} {m}: ghost force", 0.0, tolerance=1e-10, source=IDENTITY, unit="eV/Å") for s in BOTH for m in ("BQCF", "BGFC")),
        *(Expect(f"{s} BQCE: ghost force", 1e-3, kind="at least", source="known of energy blending", unit="eV/Å") for s in BOTH),
        *(Expect(f"{s}: worst quality of a cell", 0.2, kind="at least", source="no slivers: 1 is regular, 0 is flat") for s in BOTH),
        Expect("coverage error", 0.0, tolerance=1e-10, source="every piece of matter is counted once"),
        Expect("Al: change by another reference", 0.1, kind="at most", source="an error depends on no reference", sizes=("full",)),
        Expect("Al adaptive: against the a-priori error", 1.0, tolerance=0.1, kind="at most", source="this case's goal", sizes=("full",)),
    )  # fmt: skip
    citations = ("arXiv:1308.3894", "arXiv:1112.2528", "arXiv:1407.0053", "arXiv:1611.05935", "arXiv:2309.13255")

    def build(self, run):
        """The settings; every model is built where it is measured."""

        def radii(prefix: str) -> list[Any]:
            lists = [numbers(prefix + name, run.settings[prefix + name]) for name in ("cores", "wide", "atoms")]
            return [*lists, run.settings[prefix + "reference"]]

        return {"Al": radii(""), "Si": radii("si_")}

    def measure(self, run, wanted):
        """Per material: ghost forces, the reference, all methods on all meshes, their orders; then the adaptive sequence."""
        data = {}
        for name, radii in wanted.items():
            data[name] = family(run, name, *radii)
        run.record("coverage error", max(d["coverage"] for d in data.values()))
        data["strain"] = strained(run)
        if run.settings["levels"]:
            data["Al"]["rows"]["adaptive BGFC"] = adaptive(
                run, data["Al"]["reference"], data["Al"]["rows"]["BGFC"], run.settings["levels"]
            )
        write(run, data["Al"]["shown"])
        return data

    def plot(self, run, data):
        """Error and formation energy against dofs, with theory's slopes."""
        run.save_figure(draw(data, ORDERS), "vacancy_3d.png")


def family(
    run: Any, name: str, cores: list[float], wide: list[float], atoms: list[float], largest: float
) -> dict[str, Any]:
    """All methods for one material; ghost forces alone are followed to cores that are ``wide``: their order shows late."""
    linear = run.settings["linear"]
    run.record(f"{name}: lattice constant", material(name).a, "Å")
    # A large core, a short blend and a mesh that grows slowly.
    # Stillinger–Weber's vacancy does not relax by itself: bonds and angles of its surroundings are perfect.
    common: dict[str, Any] = {"linear": linear, "strain": SI_STRAIN if name == "Si" else 0.0}
    finest = Problem(name, "BGFC", largest, min(4.0, largest), exponent=1.3, grade=0.2, **common)
    coverage = ghosts(run, replace(finest, core=cores[0], blend=None))
    with run.timed(f"{name} reference"):
        exact = solve(finest)
    run.record(f"{name} reference: points", exact.problem.layout.free)
    formation = exact.problem.formation(exact.energy)
    run.record(f"{name} reference: E_f", formation, "eV")
    rows: dict[str, list[tuple[float, float, float | None]]] = {}
    shown, worst = exact, float(exact.problem.lattice.quality.min())
    for core in cores:
        for method in METHODS[1:]:
            shown = one(run, rows, Problem(name, method, core, **common), exact)
            worst = min(worst, float(shown.problem.lattice.quality.min()))
    run.record(f"{name}: worst quality of a cell", worst)
    for core in wide:
        one(run, rows, Problem(name, "BQCE", core, **common), exact)
    for radius in atoms:
        one(run, rows, Problem(name, "ATM", radius, strain=common["strain"]), exact)
    for method, found in rows.items():
        # The coarsest meshes are mostly far field, which grows like the logarithm of the core: orders belong to the others.
        last = [(n, e) for n, e, _ in found][-4:]
        if len(last) > 2:
            run.record(f"{name} {method}: order", order(last))
    if len(cores) > 2 and name == "Al":
        second = solve(Problem(name, "BGFC", largest - 2.0, 3.0, exponent=1.45, grade=0.25, **common))
        a, b = error(shown, exact), error(shown, second)
        run.record(f"{name}: change by another reference", abs(a - b) / a)
    return {"rows": rows, "reference": exact, "E_f": formation, "shown": shown, "coverage": coverage}


def one(run: Any, rows: dict[str, Any], problem: Problem, exact: Found) -> Found:
    """Solve and record one problem."""
    name, method = problem.material, problem.method
    with run.timed(f"{name} {method}"):
        found = solve(problem)
    label, wrong, energy = f"{name} {method}, {problem.core:g} r₀", error(found, exact), problem.formation(found.energy)
    run.record(f"{label}: points", problem.layout.free)
    run.record(f"{label}: error", wrong)
    if energy is not None:
        run.record(f"{label}: E_f", energy, "eV")
    run.record(f"{label}: evaluations", found.evaluations)
    rows.setdefault(method, []).append((problem.layout.free, wrong, energy))
    run.cite(*found.model.coupler.references)
    return found


def ghosts(run: Any, like: Problem) -> float:
    """The largest force on the perfect crystal at rest, and how badly matter is counted."""
    worst = 0.0
    for method in METHODS[1:]:
        problem = replace(like, method=method, vacancy=False)
        model, place = problem.model(), problem.layout
        forces = np.where(place.fixed, 0.0, model.evaluate(place.reference).forces)
        run.record(f"{like.material} {method}: ghost force", float(np.abs(forces).max()), "eV/Å")
        worst = max(worst, *(abs(c - 1.0) for c in model.ledger(place.reference).coverage))
    return worst


def write(run: Any, found: Found) -> None:
    """Atoms with their weights for OVITO, fields for ParaView."""
    place, interface = found.problem.layout, found.model.interface
    x = interface.place("atoms", found.q)
    columns = {"w_atoms": interface.weights(found.q)["atoms"], "displacement": x - place.X}
    run.write_atoms("atoms.extxyz", [found.problem.of.symbol] * len(x), x, arrays=columns)
    if run.first:
        interface.regions["fem"].write(run.out / "far_field.vtu", interface.place("fem", found.q))


if __name__ == "__main__":
    Vacancy3D().main()
