"""Checks of couplers: each measures one number and compares it with a bound.

Two rules keep them honest: *a claim must hold, and an unclaimed property that holds must be claimed*; and *every check has a
saboteur*, a deliberately broken coupler that it must catch (in the project's tests).

A check is a function of (make, problems) -> list of :class:`Result`; ``make()`` builds the coupler.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ..coupler import Coupler, Evaluation
from ..drive.dynamics import verlet
from ..drive.relax import relax
from ..drive.shadow import leapfrog_energy
from ..drive.thermal import kinetic_energy
from ..gates import coverage
from ..region import Can, Query
from ..types import Array
from .problems import Problem
from .threads import on_ranks

Make = Callable[[], Coupler]


@dataclass(frozen=True)
class Result:
    """One measurement of the conformance suite.

    Attributes
    ----------
    check, problem : str
    measured, bound : float
    ok : bool
    note : str
        What the number is; what to do where it fails.
    """

    check: str
    problem: str
    measured: float
    bound: float
    ok: bool
    note: str = ""

    def __str__(self) -> str:
        mark = "ok  " if self.ok else "FAIL"
        return f"{mark} {self.check:<18} {self.problem:<8} {self.measured:10.3e}  (bound {self.bound:.1e})  {self.note}"


def shaken(q: Array, amplitude: float = 0.02, seed: int = 7) -> Array:
    """A reproducible random displacement of every component in use, Å."""
    rng = np.random.default_rng(seed)
    used = np.abs(np.ptp(q, axis=0)) > 0
    return q + amplitude * used * rng.uniform(-1, 1, q.shape)


def _scale(e: Evaluation) -> float:
    return max(float(np.abs(e.forces).max(initial=0.0)), 1e-3)


def _fits(coupler: Coupler, problem: Problem) -> bool:
    """Whether the coupler works in the frame in which the problem's weights live, and uses overlays where the problem is about them."""
    interface = problem.interface()
    if problem.name == "riding" and not set(coupler.required(interface)) - set(interface.shared):
        return False
    return interface.partition.frame in coupler.frames


def _not_offered(check: str, problem: Problem) -> Result:
    return Result(check, problem.name, np.nan, np.nan, True, "moving weights are not offered")


def _fitting(coupler: Coupler, problems: Mapping[str, Problem], *names: str) -> list[Problem]:
    return [problems[n] for n in names if _fits(coupler, problems[n])]


def _holds(check: str, problem: str, measured: float, bound: float, claimed: bool, what: str) -> Result:
    """A claim must hold; an unclaimed property that holds must be claimed."""
    holds = measured <= bound
    note = what
    if claimed and not holds:
        note = f"{what}: claimed, but it does not hold"
    if holds and not claimed:
        note = f"{what}: it holds, so it must be claimed"
    return Result(check, problem, measured, bound, holds == claimed, note)


def gradient(make: Make, problems: Mapping[str, Problem]) -> list[Result]:
    """Forces against central differences of the energy along random directions, in both frames."""
    out = []
    for problem in _fitting(make(), problems, "chain", "moving", "riding"):
        coupler, name = make(), problem.name
        model = problem.model(coupler)
        q = shaken(model.interface.reference)
        model.prepare(shaken(model.interface.reference, 0.01, 3))
        e = model.evaluate(q)
        if e.energy is None:
            ok = not coupler.claims.conservative
            out.append(
                Result(
                    "gradient",
                    name,
                    np.nan,
                    np.nan,
                    ok,
                    "has no energy" if ok else "claims to be conservative without an energy",
                )
            )
            continue
        rng, worst, h = np.random.default_rng(1), 0.0, 1e-4
        for _ in range(6):
            v = rng.normal(size=q.shape) * [1, 0, 0]
            up, down, far_up, far_down = (model.evaluate(q + s * h * v).energy or 0.0 for s in (1, -1, 2, -2))
            slope = (8 * (up - down) - (far_up - far_down)) / (12 * h)
            worst = max(worst, abs(slope + float(np.sum(e.forces * v))) / (float(np.linalg.norm(v)) * _scale(e)))
        # An energy whose gradient is not the force is worse than none: a coupler returns None instead.
        out.append(
            Result("gradient", name, worst, 1e-7, worst <= 1e-7 and coupler.claims.conservative, "|F + ∂E/∂q|/|F|")
        )
    return out


def circulation(make: Make, problems: Mapping[str, Problem]) -> list[Result]:
    """Work around a closed loop, by Gauss quadrature on its three sides; zero for a conservative method."""
    out = []
    for problem in _fitting(make(), problems, "chain", "moving", "riding"):
        coupler, name = make(), problem.name
        model = problem.model(coupler)
        q0 = model.interface.reference
        model.prepare(shaken(q0, 0.01, 3))
        corners = [shaken(q0, 0.05, seed) for seed in (11, 12, 13)]
        t, w = np.polynomial.legendre.leggauss(12)
        work, total = 0.0, 0.0
        for a, b in zip(corners, corners[1:] + corners[:1], strict=True):
            powers = [float(np.sum(model.evaluate(a + 0.5 * (s + 1) * (b - a)).forces * (b - a))) for s in t]
            work += float(np.sum(0.5 * w * powers))
            total += float(np.sum(0.5 * w * np.abs(powers)))
        out.append(
            _holds(
                "circulation", name, abs(work) / max(total, 1e-12), 1e-8, coupler.claims.conservative, "|∮F·dq|/∮|F·dq|"
            )
        )
    return out


def momentum(make: Make, problems: Mapping[str, Problem]) -> list[Result]:
    """The net force on an isolated body in a general state, prepared at another general state."""
    measured = 0.0
    coupler = make()
    for problem in _fitting(coupler, problems, "open", "moving", "riding"):
        model = problem.model(coupler)
        model.prepare(shaken(model.interface.reference, 0.02, 3))
        e = model.evaluate(shaken(model.interface.reference, 0.03, 5))
        measured = max(measured, float(np.linalg.norm(e.forces.sum(axis=0))) / (_scale(e) * len(e.forces)))
    return [_holds("momentum", "open", measured, 1e-12, coupler.claims.momentum, "|ΣF|/(N max|F|)")]


def patch(make: Make, problems: Mapping[str, Problem]) -> list[Result]:
    """Interior forces under homogeneous stretches of 0 and ±2 %, prepared at that stretch."""
    coupler = make()
    problem = problems["open"]
    model = problem.model(coupler)
    worst = 0.0
    for s in (1.0, 1.02, 0.98):
        q = problem.stretch(s)
        model.prepare(q)
        worst = max(worst, float(np.abs(model.evaluate(q).forces[problem.interior]).max()))
    return [
        _holds(
            "patch",
            problem.name,
            worst,
            1e-10,
            coupler.claims.patch,
            "largest interior force, eV/Å, at stretches 0.98…1.02",
        )
    ]


def continuity(make: Make, problems: Mapping[str, Problem]) -> list[Result]:
    """Largest second difference of F (over the step squared) while the weights sweep over resting atoms, on halving the step.

    Only the dof on which the weights ride moves, by three spacings, so that atoms enter and leave the blend and nothing else
    happens. The ratio is 1 where F has continuous slopes (C² weights), 2 at a kink of F and 4 at a jump.
    """
    fitting = _fitting(make(), problems, *(n for n in ("moving", "riding") if n in problems))
    return [_growth(make, problem) for problem in fitting] or [_not_offered("continuity", problems["moving"])]


def _growth(make: Make, problem: Problem) -> Result:
    model = problem.model(make())
    q0 = shaken(model.interface.reference, 0.01, 9)

    def curvature(steps: int) -> float:
        f = []
        for s in np.linspace(-1.5, 1.5, steps + 1):
            q = q0.copy()
            q[-1, 0] += s
            f.append(model.evaluate(q).forces)
        return float(np.abs(np.diff(f, 2, axis=0)).max()) * steps**2

    growth = curvature(800) / max(curvature(400), 1e-30)
    note = "growth of F″ on halving the step: 1 if F has continuous slopes, 2 at a kink, 4 at a jump"
    return Result("continuity", problem.name, growth, 1.5, growth <= 1.5, note)


def _against_pure(check: str, name: str, make: Make, problems: Mapping[str, Problem]) -> list[Result]:
    problem = problems[name]
    model = problem.model(make())
    model.prepare(shaken(model.interface.reference, 0.01, 3))
    q = shaken(model.interface.reference)
    pure = model.ask(q, {problem.pure: Query(Can.ENERGY | Can.FORCES)})[problem.pure]
    e, want = model.evaluate(q), model.interface.pull(problem.pure, pure["forces"])
    worst = float(np.abs(e.forces - want).max()) / float(np.abs(want).max())
    if e.energy is not None:
        worst = max(worst, abs(e.energy - float(pure.energy or 0.0)) / max(abs(float(pure.energy or 0.0)), 1.0))
    return [
        Result(check, name, worst, 1e-12, worst <= 1e-12, f"difference from the pure region '{problem.pure}', relative")
    ]


def self_coupling(make: Make, problems: Mapping[str, Problem]) -> list[Result]:
    """A region coupled to itself changes nothing."""
    return _against_pure("self-coupling", "twins", make, problems)


def limits(make: Make, problems: Mapping[str, Problem]) -> list[Result]:
    """All weight on one region gives that region."""
    return _against_pure("limits", "limit", make, problems)


def counting(make: Make, problems: Mapping[str, Problem]) -> list[Result]:
    """Every piece of matter is counted once, and the ledger adds up to the number of atoms and to the energy."""
    out = []
    for problem in _fitting(make(), problems, "chain", "moving", "riding"):
        name, coupler = problem.name, make()
        model = problem.model(coupler)
        q = shaken(model.interface.reference, 0.005)
        low, high = 1.0, 1.0
        for c in coverage(model.interface, coupler, q).values():
            low, high = min(low, float(c.min())), max(high, float(c.max()))
        ledger = model.ledger(q)
        worst = max(abs(low - 1.0), abs(high - 1.0))
        atoms = model.interface.regions["atoms"].n_sites  # elements and atoms share one lattice: the sum is exact
        worst = max(worst, abs(ledger.matter - atoms) / atoms)
        rows = [r.energy for r in ledger.rows if r.energy is not None]
        if ledger.energy is not None:
            worst = max(worst, abs(sum(rows) - ledger.energy) / max(abs(ledger.energy), 1.0))
        out.append(
            Result(
                "coverage",
                name,
                worst,
                1e-10,
                worst <= 1e-10,
                "deviation of coverage, matter and energy from the ledger",
            )
        )
    return out


def rank_independence(make: Make, problems: Mapping[str, Problem]) -> list[Result]:
    """Evaluation at a fixed state on 2 and 3 ranks (threads) against one."""
    out = []
    for problem in _fitting(make(), problems, "chain", "moving", "riding"):

        def state(world: object, problem: Problem = problem) -> Evaluation:
            model = problem.model(make(), world)  # type: ignore[arg-type]
            model.prepare(shaken(model.interface.reference, 0.01, 3))
            return model.evaluate(shaken(model.interface.reference))

        alone = on_ranks(1, state)[0]
        worst = 0.0
        for size in (2, 3):
            for e in on_ranks(size, state):
                worst = max(worst, float(np.abs(e.forces - alone.forces).max()) / _scale(alone))
                if alone.energy is not None and e.energy is not None:
                    worst = max(worst, abs(e.energy - alone.energy) / max(abs(alone.energy), 1.0))
        out.append(
            Result(
                "rank independence",
                problem.name,
                worst,
                1e-12,
                worst <= 1e-12,
                "relative difference between 1, 2 and 3 ranks",
            )
        )
    return out


def purity(make: Make, problems: Mapping[str, Problem]) -> list[Result]:
    """The answer depends on q alone: not on earlier questions; and q is not touched."""
    problem = _fitting(make(), problems, "chain", "moving", "riding")[-1]
    model = problem.model(make())
    a, b = shaken(model.interface.reference), shaken(model.interface.reference, 0.04, 2)
    kept = a.copy()
    first = model.evaluate(a)
    model.evaluate(b)
    again = model.evaluate(a)
    worst = max(float(np.abs(first.forces - again.forces).max()), float(np.abs(a - kept).max()))
    if first.energy is not None and again.energy is not None:
        worst = max(worst, abs(first.energy - again.energy))
    return [Result("purity", problem.name, worst, 0.0, worst == 0.0, "change of the answer after another question")]


def translation(make: Make, problems: Mapping[str, Problem]) -> list[Result]:
    """Moving the whole isolated body changes nothing (weights belong to the matter or ride on it)."""
    worst = 0.0
    for problem in _fitting(make(), problems, "open", "moving", "riding"):
        model = problem.model(make())
        q = shaken(model.interface.reference)
        model.prepare(q)
        a, b = model.evaluate(q), model.evaluate(q + [0.37, 0.0, 0.0])
        worst = max(worst, float(np.abs(a.forces - b.forces).max()) / _scale(a))
    # The energy of a dead load changes with its net force; the forces never do.
    return [Result("translation", "open", worst, 1e-11, worst <= 1e-11, "change of the forces, relative")]


def constraint(make: Make, problems: Mapping[str, Problem]) -> list[Result]:
    """Dynamics under the coupler's constraint: kept at every step, without work, without a net force, over all of the mass.

    Small vibrations about the state of rest, of which velocity Verlet conserves an energy but for the chain's anharmonicity. Exact
    multipliers have to, and lumped ones must not: what conserves the energy must not call itself lumped.
    """
    problem = problems.get("bridged")
    model = None if problem is None else problem.model(make())
    ties = None if model is None else model.coupler.constraint(model.interface)
    if problem is None or model is None or ties is None:
        return [Result("constraint", "bridged", np.nan, np.nan, True, "ties no dofs together")]
    m, name, dt = model.coupler.masses(model.interface), problem.name, 0.01
    *_, rest = relax(model, model.interface.reference, fmax=1e-9)
    q, v = shaken(rest.q, 1e-4), shaken(rest.q, 1e-3, 4) - rest.q
    steps = list(verlet(model, q, v, dt=dt, steps=300, masses=m))
    size, speed = (
        max(float(np.abs(a).max()) for a in x) for x in zip(*((s.q - rest.q, s.velocities) for s in steps), strict=True)
    )
    off = max(
        max(float(np.abs(ties.residual(s.q)).max()) / size, float(np.abs(ties.matrix @ s.velocities).max()) / speed)
        for s in steps
    )
    # Reactions are Aᵀ times something: rows that add up to nothing exert no net force.
    push = float(np.abs(ties.matrix.sum(axis=1)).max()) / float(abs(ties.matrix).max())
    worth = float(
        sum(model.interface.regions[r].matter @ w for r, w in model.coupler.count(q, model.interface).items())
    )
    results = [
        Result(
            "constraint",
            name,
            push,
            1e-12,
            push <= 1e-12 or not model.coupler.claims.momentum,
            "net force of reactions, relative",
        ),
        Result(
            "constraint",
            name,
            abs(m.sum() / worth - 1.0),
            1e-10,
            abs(m.sum() / worth - 1.0) <= 1e-10,
            "mass that is not counted once",
        ),
    ]
    if steps[0].energy is not None and steps[0].velocities is not None:
        energy = np.array([leapfrog_energy(s, m, dt) for s in steps])
        lost = float(np.abs(energy - energy[0]).max()) / kinetic_energy(m, steps[0].velocities)
        results.append(
            _holds("constraint", name, lost, 1e-5, not ties.lumped, "change of the energy over the kinetic energy")
        )
    if not ties.lumped:
        results.append(Result("constraint", name, off, 1e-8, off <= 1e-8, "|A q − b| and |A v|, relative"))
    return results


CHECKS: dict[str, Callable[[Make, Mapping[str, Problem]], list[Result]]] = {
    "gradient": gradient,
    "circulation": circulation,
    "momentum": momentum,
    "patch": patch,
    "continuity": continuity,
    "self-coupling": self_coupling,
    "limits": limits,
    "coverage": counting,
    "rank independence": rank_independence,
    "purity": purity,
    "translation": translation,
    "constraint": constraint,
}
