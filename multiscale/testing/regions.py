"""Checks of regions: the contract of :mod:`multiscale.region`, measured.

Σ w e = E,   e = ∂E/∂w,   F = −∂E/∂x at random w,   stress = ∂E/∂ε,   HVP and stiffness = −∂F/∂x,
reach,   the sum over a team = one rank,   zero weights cost nothing and change nothing,   purity,   adjoint of the sites
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from ..region import Answer, Can, Query, Region
from ..types import Array, MultiscaleError, Team
from .checks import Result

Make = Callable[[], Region]
_H = 1e-4


def _weights(region: Region, seed: int = 5) -> Array | None:
    if Can.SITE_WEIGHTS not in region.can:
        return None
    return np.random.default_rng(seed).uniform(0.1, 1.0, region.n_sites)


def _ask(region: Region, x: Array, want: Can, w: Array | None = None, v: Array | None = None) -> Answer:
    return region.evaluate(x, Query(want, w, v))


def _energy(region: Region, x: Array, w: Array | None) -> float:
    energy = _ask(region, x, Can.ENERGY, w).energy
    if energy is None:
        raise MultiscaleError(f"{type(region).__name__} offers ENERGY but returned none")
    return energy


def _slope(f: Callable[[float], float], h: float) -> float:
    """Fourth-order central difference of f at 0."""
    return (8 * (f(h) - f(-h)) - (f(2 * h) - f(-2 * h))) / (12 * h)


def _relative(difference: float, scale: float, floor: float = 1e-6) -> float:
    return abs(difference) / max(abs(scale), floor)


def _along(region: Region, x: Array, v: Array, w: Array | None, h: float) -> float:
    return _energy(region, x + h * v, w)


def forces(make: Make, x: Array, bound: float) -> list[Result]:
    """F against central differences of E at random weights, along random directions and along the hardest dof."""
    region, w = make(), _weights(make())
    f = _ask(region, x, Can.FORCES, w).forces
    assert f is not None
    rng, worst = np.random.default_rng(2), 0.0
    directions = [rng.normal(size=x.shape) for _ in range(3)]
    single = np.zeros_like(x)
    single[int(np.argmax(np.linalg.norm(f, axis=1)))] = 1.0
    for v in [*directions, single]:
        slope = _slope(partial(_along, region, x, v, w), _H)
        worst = max(worst, _relative(slope + float(np.sum(f * v)), float(np.abs(f).max() * np.linalg.norm(v))))
    return [Result("forces", type(region).__name__, worst, bound, worst <= bound, "|F + ∂E/∂x|/|F| at random weights")]


def site_energies(make: Make, x: Array, bound: float) -> list[Result]:
    """Σ w e = E and e = ∂E/∂w."""
    region, w = make(), _weights(make())
    if Can.SITE_ENERGIES not in region.can or w is None:
        return []
    a = _ask(region, x, Can.ENERGY | Can.SITE_ENERGIES, w)
    assert a.energy is not None and a.site_energies is not None
    worst = _relative(float(w @ a.site_energies) - a.energy, a.energy)
    dw = np.random.default_rng(3).normal(size=region.n_sites)
    # E is linear in w: the difference quotient is exact for any step.
    quotient = 0.5 * (_energy(region, x, w + dw) - _energy(region, x, w - dw))
    worst = max(worst, _relative(quotient - float(dw @ a.site_energies), float(np.abs(dw) @ np.abs(a.site_energies))))
    return [Result("site energies", type(region).__name__, worst, 1e-10, worst <= 1e-10, "Σ w e = E and e = ∂E/∂w")]


def stress(
    make: Make, x: Array, bound: float, strained: Callable[[Region, Array], Region] | None = None
) -> list[Result]:
    """The virial against central differences under homogeneous strains; ``strained(region, F)`` carries a cell along."""
    region, w = make(), _weights(make())
    if Can.STRESS not in region.can:
        return []
    virial = _ask(region, x, Can.STRESS, w).stress
    assert virial is not None
    worst = 0.0
    for i, j in ((0, 0), (1, 1), (2, 2), (0, 1), (1, 2), (0, 2)):

        def energy(h: float, i: int = i, j: int = j) -> float:
            deform = np.eye(3)
            deform[i, j] += 0.5 * h
            deform[j, i] += 0.5 * h
            moved = strained(region, deform) if strained else region
            return _energy(moved, x @ deform.T, w)

        worst = max(
            worst, _relative(_slope(energy, _H) - 0.5 * (virial[i, j] + virial[j, i]), float(np.abs(virial).max()))
        )
    return [Result("stress", type(region).__name__, worst, 10 * bound, worst <= 10 * bound, "virial − ∂E/∂ε")]


def curvature(make: Make, x: Array, bound: float) -> list[Result]:
    """HVP and stiffness against central differences of F."""
    region, w = make(), _weights(make())
    v = np.random.default_rng(4).normal(size=x.shape)
    ahead, back = (_ask(region, x + s * _H * v, Can.FORCES, w).forces for s in (1, -1))
    far, rear = (_ask(region, x + 2 * s * _H * v, Can.FORCES, w).forces for s in (1, -1))
    assert ahead is not None and back is not None and far is not None and rear is not None
    want = -(8 * (ahead - back) - (far - rear)) / (12 * _H)
    out = []
    if Can.HVP in region.can:
        hvp = _ask(region, x, Can.HVP, w, v).hvp
        assert hvp is not None
        worst = _relative(float(np.abs(hvp - want).max()), float(np.abs(want).max()))
        out.append(Result("HVP", type(region).__name__, worst, 10 * bound, worst <= 10 * bound, "∂²E·v + ∂F·v"))
    if Can.STIFFNESS in region.can:
        product = (region.stiffness(x, w) @ v.ravel()).reshape(-1, 3)
        worst = _relative(float(np.abs(product - want).max()), float(np.abs(want).max()))
        # A preconditioner may be approximate; one that is not even close is useless.
        out.append(
            Result("stiffness", type(region).__name__, worst, 0.5, worst <= 0.5, "K·v + ∂F·v (may be approximate)")
        )
    return out


def reach(make: Make, x: Array, bound: float) -> list[Result]:
    """Moving one dof changes no site farther away than the reach (before and after)."""
    region = make()
    if Can.SITE_ENERGIES not in region.can or not np.isfinite(region.reach):
        return []
    k = region.n_dofs // 2
    moved = x.copy()
    moved[k] += np.abs(np.ptp(x, axis=0) > 0) * 0.05
    before, after = (_ask(region, p, Can.SITE_ENERGIES).site_energies for p in (x, moved))
    assert before is not None and after is not None
    changed = np.abs(after - before) > 1e-12 * max(float(np.abs(before).max()), 1e-12)
    farthest = float(region.distances(x, k)[changed].max(initial=0.0))
    limit = region.reach + 0.1
    return [
        Result(
            "reach", type(region).__name__, farthest, limit, farthest <= limit, "Å; farthest site that felt a dof move"
        )
    ]


def team(make: Make, x: Array, bound: float) -> list[Result]:
    """The shares of two and of three team members add up to the whole."""
    want = Can.ENERGY | Can.FORCES | (Can.SITE_ENERGIES & make().can) | (Can.STRESS & make().can)
    w = _weights(make())
    whole = _ask(make(), x, want, w)
    worst = 0.0
    for size in (2, 3):
        shares = []
        for rank in range(size):
            member = make()
            member.bind(Team(rank, size))
            shares.append(_ask(member, x, want, w))
        for name in ("energy", "forces", "site_energies", "stress"):
            exact = getattr(whole, name)
            if exact is not None:
                total = np.sum([getattr(s, name) for s in shares], axis=0)
                worst = max(worst, _relative(float(np.abs(total - exact).max()), float(np.abs(exact).max())))
    return [
        Result(
            "team",
            make().__class__.__name__,
            worst,
            1e-11,
            worst <= 1e-11,
            "sum over 2 and 3 members − one rank, relative",
        )
    ]


def subsets(make: Make, x: Array, bound: float) -> list[Result]:
    """Sites of weight zero contribute nothing; E is linear in the weights."""
    region = make()
    if Can.SITE_WEIGHTS not in region.can:
        return []
    half = (np.arange(region.n_sites) % 2).astype(float)
    a, b, both = (_ask(region, x, Can.ENERGY | Can.FORCES, w) for w in (half, 1.0 - half, None))
    assert a.energy is not None and b.energy is not None and both.energy is not None
    assert a.forces is not None and b.forces is not None and both.forces is not None
    worst = _relative(a.energy + b.energy - both.energy, both.energy)
    worst = max(
        worst, _relative(float(np.abs(a.forces + b.forces - both.forces).max()), float(np.abs(both.forces).max()), 1e-3)
    )
    return [
        Result("subsets", type(region).__name__, worst, 1e-10, worst <= 1e-10, "E(w) + E(1 − w) = E(1), and the forces")
    ]


def purity(make: Make, x: Array, bound: float) -> list[Result]:
    """The answer does not depend on earlier questions, and x is not touched."""
    region, kept = make(), x.copy()
    want = Can.ENERGY | Can.FORCES
    first = _ask(region, x, want)
    _ask(region, x + 0.05 * np.random.default_rng(8).normal(size=x.shape), want)
    again, fresh = _ask(region, x, want), _ask(make(), x, want)
    assert first.forces is not None and again.forces is not None and fresh.forces is not None
    worst = max(float(np.abs(first.forces - f).max()) for f in (again.forces, fresh.forces))
    worst = max(worst, float(np.abs(x - kept).max()))
    scale = max(float(np.abs(first.forces).max()), 1e-3)
    # A neighbour list rebuilt on the way may sum in another order; an SCF may start elsewhere: round-off, or the region's own bound.
    limit = max(bound * 0.1, 1e-11)
    return [
        Result(
            "purity",
            type(region).__name__,
            worst / scale,
            limit,
            worst / scale <= limit,
            "change after another question",
        )
    ]


def adjoint(make: Make, x: Array, bound: float) -> list[Result]:
    """⟨v, ∂X/∂x · u⟩ = ⟨(∂X/∂x)ᵀ v, u⟩ for the sites."""
    region, rng = make(), np.random.default_rng(6)
    u, v = rng.normal(size=x.shape), rng.normal(size=(region.n_sites, 3))
    push = (region.sites(x + _H * u) - region.sites(x - _H * u)) / (2 * _H)
    left, right = float(np.sum(v * push)), float(np.sum(region.pull_sites(v) * u))
    worst = _relative(left - right, float(np.linalg.norm(v) * np.linalg.norm(push)))
    return [Result("site adjoint", type(region).__name__, worst, 1e-9, worst <= 1e-9, "⟨v, J u⟩ − ⟨Jᵀ v, u⟩")]


def matter(make: Make, x: Array, bound: float) -> list[Result]:
    """Matter, area and masses have the right shapes and are not negative; shapes of answers too.

    What acts between bodies has neither mass nor matter, and covers nothing.
    """
    r = make()
    something = np.asarray(r.matter) > 0
    shapes = [np.shape(r.matter) == (r.n_sites,), np.shape(r.area) == (r.n_sites,), np.shape(r.masses()) == (r.n_dofs,)]
    shapes += [
        bool((r.masses() > 0).all()) if something.any() else bool((r.masses() >= 0).all()),
        bool((np.asarray(r.area) >= 0).all()) and bool((np.asarray(r.matter) >= 0).all()),
        np.shape(r.sites(x)) == (r.n_sites, 3),
    ]
    covered = r.covers(r.sites(r.reference))
    shapes += [np.shape(r.reference) == (r.n_dofs, 3), bool(covered[something].all())]
    wrong = float(len(shapes) - sum(shapes))
    return [Result("attributes", type(r).__name__, wrong, 0.0, wrong == 0.0, "attributes of wrong shape or sign")]


CHECKS = {
    "attributes": matter,
    "forces": forces,
    "site energies": site_energies,
    "curvature": curvature,
    "reach": reach,
    "team": team,
    "subsets": subsets,
    "purity": purity,
    "site adjoint": adjoint,
}


def examine_region(
    make: Make,
    x: Array | None = None,
    *,
    bound: float = 1e-7,
    strained: Callable[[Region, Array], Region] | None = None,
    only: tuple[str, ...] | None = None,
) -> list[Result]:
    """Put a region to all checks.

    Parameters
    ----------
    make : callable
        Builds a fresh region; called many times.
    x : (n_dofs, 3) array, optional
        A general state; by default the reference, shaken by 0.03 Å in the components in use.
    bound : float
        Relative error allowed in forces (looser for single precision or an SCF).
    strained : callable (region, F) -> region, optional
        The region in the deformed cell, for regions with a periodic cell.
    only : names of checks, optional
    """
    region = make()
    if x is None:
        used = np.ptp(region.reference, axis=0) > 0
        x = region.reference + 0.03 * used * np.random.default_rng(1).uniform(-1, 1, region.reference.shape)
    out = [r for name, check in CHECKS.items() if only is None or name in only for r in check(make, x, bound)]
    if only is None or "stress" in only:
        out += stress(make, x, bound, strained)
    return out
