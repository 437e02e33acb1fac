"""Self-certification: what an engine claims, measured on a small structure before it is coupled.

    forces              F = −∂E/∂x                    against central differences
    weighted gradient   F(w) = −∂(Σ w e)/∂x           the same at random weights
    site energies       Σ w e = E(w),  e = ∂E/∂w
    invariance          E(Rx + t) = E(x), F(Rx + t) = R F(x); atoms in another order
    extensivity         E of two copies = 2 E, whether far apart or as a doubled cell

An engine that fails may still serve force mixing, which uses its forces as they are. Mixing of energies would turn
the failed number into a wrong force, or into energy out of nothing: :func:`certified` takes the capabilities away that
the failed measurements stand for, and a coupler that needs them is refused with the number.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from .certificate import Certificate, Measurement
from .region import Can, Query, Region
from .types import Array, BoolArray, IntArray, MultiscaleError

if TYPE_CHECKING:
    import ase

#: eV/Å and eV per atom; what is allowed of an engine in this precision.
GATES = {"double": 1e-6, "single": 1e-3}
#: Å; steps of the central differences, whose own error is far below the gates.
STEPS = {"double": 1e-3, "single": 2e-2}
#: Site sums are exact but for round-off, which this part of the gate allows for.
ROUND_OFF = 1e-3

_WEIGHTED = Can.SITE_ENERGIES | Can.SITE_WEIGHTS
_ENERGETIC = Can.ENERGY | _WEIGHTED | Can.STRESS | Can.HVP | Can.STIFFNESS

AnyRegion = TypeVar("AnyRegion", bound=Region)


def certify(
    engine: Region | Callable[[ase.Atoms], Region],
    atoms: ase.Atoms | None = None,
    *,
    x: Array | None = None,
    precision: str = "double",
    tolerance: float | None = None,
    seed: int = 0,
) -> Certificate:
    """Measure whether an engine is what it claims to be.

    Parameters
    ----------
    engine : callable (atoms) -> Region, or Region
        How a region of any structure is made; of a single region, checks that need other structures are left out.
    atoms : ase.Atoms, optional
        The structure, needed with a callable: a few atoms of every element, in the surroundings the engine is meant for.
    x : (n_dofs, 3) array, optional
        State, Å; unless given, the reference with every coordinate in use shaken by up to 0.08 Å.
    precision : str
        ``"double"`` or ``"single"``: gates of 1e-6 or 1e-3, in eV/Å, in eV per atom and relative.
    tolerance : float, optional
        Instead of the precision's gate, for an engine with a self-consistency cycle, say.
    seed : int
        Of directions, weights, rotation and order.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from multiscale.models import StillingerWeber
    >>> from multiscale.regions import MLRegion
    >>> certify(lambda atoms: MLRegion(StillingerWeber(), atoms), bulk("Si", cubic=True)).ok
    True
    """
    if precision not in GATES:
        raise MultiscaleError(f"certify was given the precision '{precision}'; it needs 'double' or 'single'")
    make = None if isinstance(engine, Region) else engine
    if make is not None and atoms is None:
        raise MultiscaleError(
            "certify was given a way to make regions, but no atoms; say certify(make, atoms), or give it a region"
        )
    region = engine if isinstance(engine, Region) else engine(atoms)
    rng, gate = np.random.default_rng(seed), tolerance or GATES[precision]
    if x is None:
        x = region.reference + _axes(region) * rng.uniform(-0.08, 0.08, region.reference.shape)
    probe = _Probe(region, np.asarray(x, dtype=float), gate, STEPS[precision], rng)
    found = [*probe.forces(), *probe.site_energies()]
    unmeasured = list(probe.unmeasured())
    if make is not None and atoms is not None:
        found += _structures(make, atoms, probe)
        unmeasured += _left_out(atoms, region)
    else:
        unmeasured.append("invariances and extensivity, which need a way to make regions of other structures")
    return Certificate(region.describe(), precision, tuple(found), tuple(unmeasured))


def certified(region: AnyRegion, certificate: Certificate) -> AnyRegion:
    """The region, offering no more than its certificate allows; a coupler that needs more is refused with the number.

    Examples
    --------
    ``certified(region, certify(region))`` is the region as it was where all is well.
    """
    left = certificate.allowed(region.can)
    if left == region.can:
        return region
    other = copy.copy(region)
    other.can = left
    other.reservations = certificate.refuses(region.can) or ""
    return other


def _axes(region: Region) -> BoolArray:
    """Coordinates in use: not those that a chain or a sheet leaves out (one point uses all of them)."""
    used: BoolArray = np.ptp(region.reference, axis=0) > 0
    return used if used.any() else ~used


def _worst(*errors: float) -> float:
    """The largest, and not a number where one of them is none; Python's ``max`` may let that go."""
    return float(np.max(errors, initial=0.0))


def _apart(a: Array, b: Array) -> float:
    """The largest difference; not a number where both are infinite."""
    with np.errstate(invalid="ignore"):
        return float(np.abs(a - b).max())


@dataclass(frozen=True)
class _Probe:
    """A region in one state, and how to ask it."""

    region: Region
    x: Array
    gate: float
    step: float
    rng: np.random.Generator

    def ask(self, x: Array, want: Can, weights: Array | None = None) -> Any:
        """An answer; what an engine cannot evaluate is an error of the engine and not a number."""
        return self.region.evaluate(x, Query(want, weights))

    def unmeasured(self) -> Iterator[str]:
        """What cannot be measured of this region in this state."""
        can, offers = self.region.can, f"the engine offers {self.region.can.names()}"
        if Can.ENERGY | Can.FORCES not in can:
            yield f"forces against energies: {offers}"
        if _WEIGHTED not in can:
            yield f"site energies and weights: {offers}"
        elif Can.ENERGY not in can:
            yield f"site energies and weights against energies: {offers}"

    def forces(self) -> Iterator[Measurement]:
        """F against differences of E, unweighted and at random weights."""
        if Can.ENERGY | Can.FORCES not in self.region.can:
            return
        cases: list[tuple[str, Array | None, Can]] = [("forces", None, _ENERGETIC)]
        if Can.SITE_WEIGHTS in self.region.can:
            cases.append(("weighted gradient", self.rng.uniform(0.1, 1.0, self.region.n_sites), _WEIGHTED))
        for name, weights, guards in cases:
            f = self.ask(self.x, Can.FORCES, weights)["forces"]
            worst = _worst(*(self._error(f, v, weights) for v in self._directions(f)))
            scale = float(np.abs(f).max())
            # Below 0.1 eV/Å a relative error says nothing, above 1 eV/Å an absolute one: there the other decides.
            yield Measurement(name, worst, self.gate * max(scale, 1.0), "eV/Å", guards)
            yield Measurement(f"{name}, relative", worst / max(scale, 0.1), self.gate, "of the largest", guards)

    def _directions(self, f: Array) -> Iterator[Array]:
        """Unit vectors: random ones, and the atoms with the largest and with a random force, one by one."""
        if not len(f):
            return
        used = _axes(self.region)
        for _ in range(3):
            v = self.rng.normal(size=f.shape) * used
            yield v / np.linalg.norm(v)
        for k in {int(np.abs(f).max(axis=1).argmax()), int(self.rng.integers(len(f)))}:
            v = np.zeros_like(f)
            v[k] = self.rng.normal(size=3) * used
            yield v / np.linalg.norm(v)

    def _error(self, f: Array, v: Array, weights: Array | None) -> float:
        def energy(s: float) -> float:
            return float(self.ask(self.x + s * self.step * v, Can.ENERGY, weights)["energy"])

        slope = (8 * (energy(1) - energy(-1)) - (energy(2) - energy(-2))) / (12 * self.step)
        return abs(slope + float(np.sum(f * v)))

    def site_energies(self) -> Iterator[Measurement]:
        """Σ w e = E(w) and e = ∂E/∂w, eV per site."""
        if Can.SITE_ENERGIES not in self.region.can or Can.ENERGY not in self.region.can:
            return
        n = max(self.region.n_sites, 1)
        a = self.ask(self.x, Can.ENERGY | Can.SITE_ENERGIES)
        worst = abs(float(a["site_energies"].sum()) - a["energy"]) / n
        if Can.SITE_WEIGHTS in self.region.can:
            w, dw = self.rng.uniform(0.3, 1.0, (2, self.region.n_sites))
            # E is linear in w: the difference quotient is exact for any step.
            change = self.ask(self.x, Can.ENERGY, w + 0.2 * dw)["energy"] - self.ask(self.x, Can.ENERGY, w)["energy"]
            worst = _worst(worst, abs(change / 0.2 - float(dw @ a["site_energies"])) / n)
        size = max(float(np.abs(a["site_energies"]).max(initial=0.0)), 1.0)
        yield Measurement("site energies", worst, ROUND_OFF * self.gate * size, "eV per site", _WEIGHTED)


def _structures(make: Callable[[ase.Atoms], Region], atoms: ase.Atoms, probe: _Probe) -> list[Measurement]:
    """Invariances and extensivity: regions of moved, turned, reordered and doubled structures."""
    region, rng, n = probe.region, probe.rng, len(atoms)
    if region.n_dofs != n:
        raise MultiscaleError(
            f"certify was given {n} atoms and a region of {region.n_dofs} dofs; it needs regions whose dofs are the atoms"
        )
    atoms = atoms.copy()
    atoms.positions[:] = probe.x
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    order: IntArray = rng.permutation(n)
    moved, turned = atoms.copy(), atoms.copy()
    moved.positions += rng.uniform(-3.0, 3.0, 3)
    turned.set_cell(atoms.cell.array @ turn.T)
    turned.positions[:] = atoms.positions @ turn.T
    found = [
        *_same(make, atoms, moved, "translation", np.arange(n), np.eye(3), probe.gate),
        *_same(make, atoms, turned, "rotation", np.arange(n), turn, probe.gate),
        *_same(make, atoms, atoms[order], "permutation", order, np.eye(3), probe.gate),
    ]
    twice: IntArray = np.tile(np.arange(n), 2)
    if not atoms.pbc.all():
        found += _same(make, atoms, _far_copies(atoms, region.reach), "two far copies", twice, np.eye(3), probe.gate)
    if atoms.pbc.any() and np.isfinite(region.reach):
        doubled = atoms.repeat(tuple(2 if k == int(np.argmax(atoms.pbc)) else 1 for k in range(3)))
        found += _same(make, atoms, doubled, "doubled cell", twice, np.eye(3), probe.gate)
    return found


def _left_out(atoms: ase.Atoms, region: Region) -> Iterator[str]:
    """What :func:`_structures` does not measure of a region, and why."""
    quantities = {Can.ENERGY: "energies", Can.FORCES: "forces", Can.SITE_ENERGIES: "site energies"}
    lacking = [name for flag, name in quantities.items() if flag not in region.can]
    if lacking:
        yield f"{', '.join(lacking)} of moved, turned, reordered and doubled structures: the engine offers {region.can.names()}"
    if atoms.pbc.any() and not np.isfinite(region.reach):
        # What reaches infinitely far samples a periodic system (k-points, an Ewald sum), and two cells otherwise than one.
        endless = "the engine's reach is infinite, and it need not see two cells as it sees one"
        room = "; far copies need an open axis" if atoms.pbc.all() else ""
        yield f"{'extensivity' if room else 'extensivity along the periodic axes'}, by a doubled cell: {endless}{room}"


def _far_copies(atoms: ase.Atoms, reach: float) -> ase.Atoms:
    """Two copies along an open axis, farther apart than anything interacts."""
    axis = int(np.argmin(atoms.pbc))
    # Perpendicular to the periodic axes, whatever the cell vector of the open axis is.
    others = atoms.cell.complete().array[[k for k in range(3) if k != axis]]
    normal = np.cross(*others)
    normal /= np.linalg.norm(normal)
    along = atoms.positions @ normal
    copied = atoms.copy()
    copied.positions += (np.ptp(along) + (3.0 * reach if np.isfinite(reach) else 60.0)) * normal
    both: ase.Atoms = atoms + copied
    return both


def _same(
    make: Callable[[ase.Atoms], Region],
    atoms: ase.Atoms,
    other: ase.Atoms,
    what: str,
    origin: IntArray,
    turn: Array,
    gate: float,
) -> Iterator[Measurement]:
    """Energy per atom, forces and site energies of ``other``, whose atom k is ``origin[k]`` of ``atoms``, turned."""
    here, there = make(atoms), make(other)
    want = here.can & (Can.ENERGY | Can.FORCES | Can.SITE_ENERGIES)
    a, b = here.evaluate(atoms.positions, Query(want)), there.evaluate(other.positions, Query(want))
    copies = len(other) / len(atoms)
    if Can.ENERGY in want:
        error = abs(b["energy"] / copies - a["energy"]) / max(len(atoms), 1)
        yield Measurement(f"{what}, energy", error, gate, "eV per atom", _ENERGETIC)
    if Can.FORCES in want:
        error = _apart(b["forces"], a["forces"][origin] @ turn.T)
        allowed = gate * max(float(np.abs(a["forces"]).max()), 1.0)
        yield Measurement(f"{what}, forces", error, allowed, "eV/Å", _ENERGETIC)
    if Can.SITE_ENERGIES in want:
        error = _apart(b["site_energies"], a["site_energies"][origin])
        yield Measurement(f"{what}, site energies", error, gate, "eV", _WEIGHTED)
