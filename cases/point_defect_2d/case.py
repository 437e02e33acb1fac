"""A vacancy in the triangular lattice: every coupling of atoms and continuum against published errors.

The benchmark problem of the mathematical literature on atomistic/continuum coupling (arXiv:1308.3894): nearest-neighbour embedded
atoms, one vacancy, a sheared and stretched far field, meshes that are the lattice inside and grow like r^{3/2} outside. The error of the
strain in L², against the number of degrees of freedom, tells methods apart:

    all atoms, cut off                 −½      what the far field that is left out does
    QCE, a sharp energy interface       0      ghost forces
    BQCE, energies blended             −½      smaller ghost forces, by more atoms
    BQCF, BGFC, GRAC                   −1      no ghost forces: only the coarse mesh is left

All of them are the same few regions: atoms, Cauchy–Born elements of the same model, and for GRAC the interface's reconstructed sites.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from picture import draw
from problem import ATM, K0, METHODS, Defect, Problem, onto, reference, seminorm

from multiscale import Case, Expect
from multiscale.drive import newton
from multiscale.types import MultiscaleError

SOURCE = "data of the public repository YangshuaiWang/AC2D (arXiv:1308.3894), benchmark B2"
CODE = f"value of an independent code on the meshes of {SOURCE}"
THEORY = "theory of the methods: arXiv:1112.2377 (BQCE), arXiv:1304.1368 (BQCF), arXiv:1407.0053 (BGFC), arXiv:1308.3894 (GRAC)"
IDENTITY = "identity: a homogeneous deformation of the perfect lattice is in equilibrium"
#: Nodes and relative errors in |·|_{1,2}, for the sizes K0 (ATM: layers).
PUBLISHED = {
    "ATM": {9: (270, 0.1711), 12: (468, 0.1248), 17: (918, 0.0860), 23: (1656, 0.0626), 33: (3366, 0.0432), 46: (6486, 0.0308),
            65: (12870, 0.0218)},
    "QCE": {3: (132, 0.2150), 4: (192, 0.2042), 6: (402, 0.2022), 8: (750, 0.2072), 11: (1320, 0.2089), 16: (2496, 0.2078),
            22: (4686, 0.2106)},
    "BQCE": {3: (264, 0.1037), 4: (480, 0.0785), 6: (1158, 0.0512), 8: (2016, 0.0375), 11: (3984, 0.0267), 16: (8718, 0.0183),
             22: (16776, 0.0136)},
    "GRAC": {3: (210, 0.0868), 4: (294, 0.0628), 6: (522, 0.0351), 8: (912, 0.0219), 11: (1518, 0.0129), 16: (2970, 0.0072),
             22: (5004, 0.0053)},
    "BQCE cubic": {6: (1158, 0.0620), 11: (3984, 0.0338), 16: (8718, 0.0233)},
    "BQCE quintic": {6: (1158, 0.0709), 11: (3984, 0.0396), 16: (8718, 0.0274)},
    "BGFC": {6: (1158, 0.0308), 11: (3984, 0.0113), 16: (8718, 0.0065)},
    "BQCF": {6: (1158, 0.0308), 11: (3984, 0.0113), 16: (8718, 0.0065)},
}  # fmt: skip
#: Orders in the number of nodes, for the three largest meshes: they are asymptotic.
ORDERS = {"ATM": -0.5, "QCE": 0.0, "BQCE": -0.5, "BQCF": -1.0, "BGFC": -1.0, "GRAC": -1.0}
#: The published reference is not in equilibrium: its solver stops where |s·g| < 100 ε |E|, s·g the slope along the search direction, and
#: that is 10⁻⁶ eV at 4.6·10⁷ eV. What it lacks, relative to |u|, enters all of its errors: e² (published) = e² + LEFT², up to the
#: correlation of the two. LEFT is read off the smallest published errors, and only drawn; errors below JUDGED = LEFT/√0.02, of which it
#: is more than 1 %, are recorded beside the published ones without a verdict.
LEFT = 0.0037
JUDGED = 0.0265
#: Nodes of the largest mesh of the size "small".
SMALL = 1700


def label(method: str, k: int) -> str:
    """How a solution is called."""
    return f"{method}, {k} layers"


def published() -> Iterator[Expect]:
    """The published errors, and node counts that tell whether the meshes are those of the publication."""
    for method, rows in PUBLISHED.items():
        source = SOURCE if method in ("ATM", "QCE", "BQCE", "GRAC") else CODE
        for k, (nodes, error) in rows.items():
            name, sizes = label(method, k), ("small", "full") if nodes <= SMALL else ("full",)
            yield Expect(f"{name}: nodes", nodes, source=source, sizes=sizes)
            if error >= JUDGED:
                yield Expect(f"{name}: error", error, tolerance=0.01, relative=True, source=source, sizes=sizes)


class PointDefect(Case):
    """Errors of eight methods against published ones, and their orders."""

    name = "point_defect_2d"
    sizes = {
        "small": {"largest": SMALL, "reference": 36, "half": 0, "c": 10.0, "second": False},
        "full": {"largest": 20000, "reference": 48, "half": 0, "c": 10.0, "second": True},
    }
    expectations = (
        *published(),
        *(Expect(f"{m}: order", o, tolerance=0.15, source=THEORY, sizes=("full",)) for m, o in ORDERS.items()),
        Expect("ATM, 9 layers: energy", -699.365047811, tolerance=1e-8, source=CODE, unit="eV"),
        Expect("ATM, 65 layers: energy", -36604.548899499, tolerance=1e-8, source=CODE, unit="eV", sizes=("full",)),
        Expect("W(F0)", -2.884811586, tolerance=1e-9, source=SOURCE, unit="eV"),
        Expect("reference: nodes", 30888, source=SOURCE, sizes=("full",)),
        Expect("reference: |u|", 0.054841, tolerance=0.01, relative=True, source=SOURCE, unit="Å", sizes=("full",)),
        Expect("BQCE, 16 layers: Newton steps", 6, kind="at most", source="the goal of this case", sizes=("full",)),
        *(Expect(f"ghost force: {m}", 0.0, tolerance=1e-10, source=IDENTITY, unit="eV/Å") for m in ("BQCF", "BGFC", "GRAC")),
        *(Expect(f"ghost force: {m}", 1e-3, kind="at least", source="known of energy blending", unit="eV/Å") for m in ("QCE", "BQCE")),
        Expect("coverage error", 0.0, tolerance=1e-10, source="every piece of matter is counted once"),
    )  # fmt: skip
    citations = ("arXiv:1308.3894", "arXiv:1112.2377", "arXiv:1407.0053", "arXiv:1304.1368")

    def build(self, run):
        """The defect; every model is built where it is measured."""
        return Defect(run.settings["half"], run.settings["c"])

    def measure(self, run, defect):
        """Ghost forces, the reference, all methods on all meshes, their orders; and a second defect of the family."""
        run.record("W(F0)", defect.density(), "eV")
        ghost_forces(run, defect)
        K = run.settings["reference"]
        data = {"first": family(run, defect, K, run.settings["largest"])}
        for method, rows in data["first"]["errors"].items():
            if len(rows) > 2:
                run.record(f"{method}: order", order(rows))
        cost(run, data["first"]["errors"])
        if run.settings["second"]:
            other = Defect(half=2, c=20.0)
            data["second"] = family(run, other, K, 4000, "five vacancies, c = 20: ")
        if data["first"]["shown"] is not None:
            picture(run, data["first"]["shown"])
        return data

    def plot(self, run, data):
        """Measured beside published errors."""
        run.save_figure(draw(data, PUBLISHED, ORDERS, LEFT), "point_defect_2d.png")


def ghost_forces(run: Any, defect: Defect, k: int = 6) -> None:
    """The largest force on the perfect lattice at F0, and how often matter is counted."""
    worst = 0.0
    for method in METHODS[1:]:
        problem = Problem(method, k, defect, vacancies=False)
        model = problem.model()
        forces = model.evaluate(problem.start).forces
        run.record(f"ghost force: {method}", float(np.abs(np.where(problem.fixed(), 0.0, forces)).max()), "eV/Å")
        low, high = model.ledger(problem.start).coverage
        worst = max(worst, abs(low - 1.0), abs(high - 1.0))
        run.cite(*problem.coupler().references)
    run.record("coverage error", worst)


def solve(run: Any, problem: Problem, what: str) -> dict[str, Any]:
    """Newton's method from F0 X: the state, how many steps it took, and the seconds with and without the building of the model."""
    clock = time.perf_counter()
    model = problem.model()
    model.jacobian(problem.start)  # forms are compiled when they are first used
    built = time.perf_counter()
    *_, last = newton(model, problem.start, fmax=1e-8, max_steps=15)
    spent = time.perf_counter() - built
    if not last.converged:
        raise MultiscaleError(
            f"Newton's method left {last.max_force:.3g} eV/Å on {what} in {last.index} steps; start from a smaller far field"
        )
    strays = problem.defect.model.strays(model.interface.place("atoms", last.q))
    if strays:
        raise MultiscaleError(
            f"{strays} bonds of {what} reach the model's cutoff, where its formula does not hold; widen it"
        )
    run.timings({"building": built - clock, "Newton": spent})
    return {
        "problem": problem,
        "model": model,
        "q": last.q,
        "steps": last.index,
        "energy": last.energy,
        "seconds": spent,
    }


def family(run: Any, defect: Defect, K: int, largest: int, prefix: str = "") -> dict[str, Any]:
    """All methods on all meshes up to a size, against one reference."""
    exact = solve(run, reference(defect, K), f"{prefix}reference")
    lattice, u = exact["problem"].lattice, exact["problem"].displacement(exact["q"])
    scale = seminorm(lattice, u)
    run.record(f"{prefix}reference: nodes", len(u))
    run.record(f"{prefix}reference: |u|", scale, "Å")
    errors: dict[str, list[tuple[int, float, float]]] = {}
    shown = None
    for method in METHODS:
        for k in ATM if method == "ATM" else K0:
            problem = Problem(method, k, defect)
            if problem.n > largest:
                continue
            name = f"{prefix}{label(method, k)}"
            found = solve(run, problem, name)
            error = seminorm(lattice, onto(lattice, problem.lattice, problem.displacement(found["q"])) - u) / scale
            errors.setdefault(method, []).append((problem.n, error, found["seconds"]))
            run.record(f"{name}: nodes", problem.n)
            run.record(f"{name}: error", error)
            if defect == Defect() and 0.0 < (stored := PUBLISHED.get(method, {}).get(k, (0, 0.0))[1]) < JUDGED:
                run.record(f"{name}: left in the stored reference", float(np.sqrt(max(stored**2 - error**2, 0.0))))
            run.record(f"{name}: Newton steps", found["steps"])
            if found["energy"] is not None:
                run.record(f"{name}: energy", found["energy"], "eV")
            if method == "BGFC":
                shown = found
    return {"errors": errors, "scale": scale, "shown": shown}


def order(rows: list[tuple[int, float, float]]) -> float:
    """The slope of log error against log nodes, over the three largest meshes."""
    nodes, error, _ = np.array(rows[-3:]).T
    return float(np.polyfit(np.log(nodes), np.log(error), 1)[0])


def cost(run: Any, errors: dict[str, list[tuple[int, float, float]]]) -> None:
    """Error times time of the largest meshes, and the time to an error no larger than that of all atoms; ratios in this run."""
    if "ATM" not in errors or len(errors) == 1:
        return
    _, error, seconds = errors["ATM"][-1]
    best = min(rows[-1][1] * rows[-1][2] for method, rows in errors.items() if method != "ATM")
    run.record("all atoms over the best coupling: error × time", error * seconds / best)
    enough = [row[2] for method, rows in errors.items() if method != "ATM" for row in rows if row[1] <= error]
    if enough:
        run.record("all atoms over the quickest coupling of no larger error: time", seconds / min(enough))


def picture(run: Any, found: dict[str, Any]) -> None:
    """Atoms with their weights for OVITO, fields for ParaView."""
    model, q = found["model"], found["q"]
    weights = model.interface.weights(q)
    x, u = model.interface.place("atoms", q), found["problem"].displacement(q)
    columns = {"w_atoms": weights["atoms"], "displacement": model.interface.place("atoms", u)}
    run.write_atoms("atoms.extxyz", ["X"] * len(x), x, arrays=columns)
    if run.first:
        model.interface.regions["fem"].write(run.out / "far_field.vtu", model.interface.place("fem", q))


if __name__ == "__main__":
    PointDefect().main()
