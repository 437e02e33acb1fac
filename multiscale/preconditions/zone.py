"""What two levels say about the same atoms where they are mixed.

    ε_F = RMS_i |F_i^high − F_i^low|      over the atoms of the switching zone, 0 < s < 1; relative to RMS |F_i^high|
    max_i |∇s(x_i)| |e_i^high − e_i^low|     the force that moving weights exert on an atom of the zone
    core     s = 1;     pure: no atom with s < 1 within one receptive field

Levels are pairs of regions that own the same shared dofs: neighbours in a nested partition, or a region that lies over
the partition and what is below it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..coupler import Coupler
from ..interface import Interface
from ..model import HybridModel
from ..region import Answer, Can, Query
from ..shapes import Shape
from ..types import Array, BoolArray, IntArray, MultiscaleError
from .table import Gates, Row, judged


@dataclass(frozen=True, eq=False)
class Mixing:
    """Two levels on the same atoms.

    Attributes
    ----------
    high, low : str
        Region names.
    dofs, high_at, low_at : (n,) int array
        Shared dofs that both own, and their rows in the two regions.
    shape, width
        Core set and width of the switching zone; None and 0 where the weight is one on the whole of ``high``.
    overlay : bool
        Whether ``high`` lies over the partition.
    moving : bool
        Whether the weight depends on the positions.
    """

    high: str
    low: str
    dofs: IntArray
    high_at: IntArray
    low_at: IntArray
    shape: Shape | None
    width: float
    overlay: bool
    moving: bool

    @property
    def name(self) -> str:
        """For the table."""
        return f"{self.high}/{self.low}"

    def points(self, interface: Interface, q: Array) -> Array:
        """Where the weights are taken (n, 3), Å: the sites of ``high``, which may be images of the shared dofs."""
        return interface.weighing_points(self.high, q if self.moving else interface.reference)[self.high_at]

    def weight(self, interface: Interface, q: Array) -> tuple[Array, Array]:
        """The weights s (n,) and ∇s (n, 3), 1/Å, at the dofs."""
        at, X = q if self.moving else interface.reference, self.points(interface, q)
        if self.shape is None:
            return np.ones(len(X)), np.zeros_like(X)
        if self.overlay:
            over = interface.overlays[self.high]
            return over(X, at), over.gradient(X, at)
        return interface.partition(X, at)[self.high]

    def push(self, interface: Interface, q: Array, energies: Array) -> Array:
        """−Σ_i ΔE_i ∂s_i/∂q (n_q, 3), eV/Å, seeds included, of moving weights and differences ΔE (n,), eV."""
        out, X = np.zeros_like(q), self.points(interface, q)
        out[self.dofs] -= energies[:, None] * self.weight(interface, q)[1]
        if self.overlay:
            return out - interface.overlays[self.high].pull_seeds(X, q, energies)
        return out - interface.partition.pull_seeds(X, q, {self.high: energies})


def mixings(interface: Interface, coupler: Coupler) -> list[Mixing]:
    """All pairs of levels of a hybrid that describe the same atoms."""
    zones, out = interface.partition.zones, []
    atomic = [r for r in interface.shared if interface.regions[r].discrete]
    for k, high in enumerate(atomic):
        for low in atomic[k + 1 :]:
            if high in zones and len(_common(interface, high, low)[0]):
                out.append(_pair(interface, high, low, *zones[high], overlay=False, moving=interface.moving))
                break
    counts = {r: c for r, c in coupler.count(interface.reference, interface).items() if r not in interface.shared}
    taken_off = [r for r, c in counts.items() if c.max() <= 0 and c.min() < 0]
    for high in counts:
        below = [r for r in [*taken_off, *atomic] if r != high and len(_common(interface, high, r)[0])]
        if high in taken_off or not below or not interface.regions[high].discrete:
            continue
        size = interface.regions[high].n_sites
        low = max(
            below,
            key=lambda r: (
                r in taken_off,
                len(_common(interface, high, r)[0]),
                -abs(interface.regions[r].n_sites - size),
            ),
        )
        over = interface.overlays.get(high)
        shape, width = (None, 0.0) if over is None else (over.shape, over.width)
        moving = over is not None and over.moving
        out.append(_pair(interface, high, low, shape, width, overlay=True, moving=moving))
    return out


def _common(interface: Interface, a: str, b: str) -> tuple[IntArray, IntArray, IntArray]:
    """Shared dofs that are sites of both regions, and their rows in each."""
    rows = []
    for name in (a, b):
        n, q = interface.regions[name].n_sites, interface.reference
        own = interface.embeddings[name].own[:n]
        mine = np.flatnonzero(own >= 0)
        # Where several rows copy one dof (images in a cluster), the nearest to it is the atom itself.
        off = np.linalg.norm(interface.place(name, q)[mine] - q[own[mine]], axis=1)
        mine = mine[np.argsort(off, kind="stable")]
        dofs, first = np.unique(own[mine], return_index=True)
        rows.append((dofs, mine[first]))
    (ka, ia), (kb, ib) = rows
    dofs, x, y = np.intersect1d(ka, kb, return_indices=True)
    return dofs, ia[x], ib[y]


def _pair(
    interface: Interface, high: str, low: str, shape: Shape | None, width: float, *, overlay: bool, moving: bool
) -> Mixing:
    return Mixing(high, low, *_common(interface, high, low), shape, width, overlay, moving)


@dataclass(frozen=True, eq=False)
class Zone:
    """What :func:`examine_zone` measures of one pair of levels at one state.

    Attributes
    ----------
    mixing : Mixing
    weight, slope : (n,) array
        s, and |∇s| in 1/Å, at the dofs of the mixing.
    force_difference, force : (n,) array
        |F^high − F^low| and |F^high|, eV/Å.
    energy_difference : (n,) array or None
        e^high − e^low, eV; None where a level has no site energies.
    pure : (n,) bool array
        Whether no atom with s < 1 is within one receptive field of the atom, and no force of the weights acts on it.
    reach : float
        Å; that receptive field, of the levels that have one.
    push : (n_q, 3) array or None
        eV/Å; the force of the moving weights on atoms and seeds, None where weights rest or site energies lack.
    weighs : bool
        Whether the method weighs energies; where it weighs forces, an atom's force is its own weight's matter.
    """

    mixing: Mixing
    weight: Array
    slope: Array
    force_difference: Array
    force: Array
    energy_difference: Array | None
    pure: BoolArray
    reach: float
    push: Array | None
    weighs: bool

    @property
    def inside(self) -> BoolArray:
        """Atoms of the zone, 0 < s < 1; without a zone, all that ``high`` describes."""
        zone = (self.weight > 0) & (self.weight < 1)
        return zone if zone.any() or self.mixing.width > 0 else self.weight > 0

    @property
    def eps_force(self) -> float:
        """ε_F, eV/Å; NaN without atoms in the zone."""
        return _rms(self.force_difference[self.inside])

    @property
    def eps_force_relative(self) -> float | None:
        """ε_F over RMS |F^high|; None where the forces vanish."""
        scale = _rms(self.force[self.inside])
        return self.eps_force / scale if scale > 1e-6 else None

    @property
    def weight_force(self) -> float | None:
        """Max |∇s| |ΔE_i|, eV/Å; None where a level has no site energies."""
        if self.energy_difference is None:
            return None
        return float((self.slope * np.abs(self.energy_difference)).max(initial=0.0))

    def rows(self, gates: Gates | None = None) -> tuple[Row, ...]:
        """The numbers, with their verdicts."""
        gates, m = gates or Gates(), self.mixing
        n, core = int(self.inside.sum()), int((self.weight >= 1).sum())
        where = f"{n} atoms with 0 < s < 1" if m.width > 0 else f"{n} atoms, no switching zone"
        forces = "" if self.eps_force_relative is not None else "forces vanish at this state: give one off equilibrium"
        rows = [
            Row(f"core, {m.name}", core, "atoms", note="s = 1"),
            self._guard(core),
            Row(f"zone, {m.name}", n, "atoms", note="0 < s < 1" if m.width > 0 else "no switching zone"),
            judged(f"ε_F, {m.name}", self.eps_force, "eV/Å", gates.force_difference, where, FIT),
            judged(
                f"ε_F relative, {m.name}", self.eps_force_relative, "", gates.force_difference_relative, forces, FIT
            ),
        ]
        if self.energy_difference is None:
            note = "a level has no site energies"
            return (*rows, Row(f"max |∇s||ΔE|, {m.name}", None, "eV/Å", note=note))
        mean = float(self.energy_difference[self.inside].mean()) if n else float("nan")
        note = f"mean ΔE {1e3 * mean:.3g} meV" + ("" if m.moving else "; the weights rest: no force comes of it")
        gate = gates.weight_force if m.moving else None
        rows.append(judged(f"max |∇s||ΔE|, {m.name}", self.weight_force, "eV/Å", gate, note, CORRECT))
        if self.push is not None:
            largest = float(np.linalg.norm(self.push, axis=1).max())
            rows.append(Row(f"force of the weights, {m.name}", largest, "eV/Å", note="largest on an atom or seed"))
        return tuple(rows)

    def _guard(self, core: int) -> Row:
        name = f"pure core, {self.mixing.name}"
        if not core:
            return Row(name, None, "atoms", note="no core")
        if not self.weighs:
            return Row(name, core, "atoms", note="forces are mixed: where s = 1 they are the better level's")
        if not np.isfinite(self.reach):
            return Row(name, None, "atoms", note="unbounded receptive fields; see the convergence of the buffer")
        if self.mixing.width == 0:
            return Row(name, None, "atoms", note="no switching zone")
        note = f"no atom with s < 1 within {self.reach:.3g} Å"
        return judged(name, int(self.pure.sum()), "atoms", 1, note, "make the core larger by one receptive field", True)


#: eV/Å; a larger force of the weights on a core atom is an error of its force.
PURE = 1e-10
FIT = "move the zone to where the levels agree, or fit the lower level to the higher one"
CORRECT = "align the energy zeros, correct the lower level (multiscale.correction), or widen the zone"


def examine_zone(model: HybridModel, q: Array, mixing: Mixing) -> Zone:
    """Ask both levels about their atoms at q (n_q, 3), Å; collective."""
    interface = model.interface
    high, low = (interface.regions[r] for r in (mixing.high, mixing.low))
    both = Can.FORCES | (Can.SITE_ENERGIES & high.can & low.can)
    answers = model.ask(q, {r: Query(both) for r in (mixing.high, mixing.low)})
    a, b = (_at(answers[r], rows) for r, rows in ((mixing.high, mixing.high_at), (mixing.low, mixing.low_at)))
    s, slope = mixing.weight(interface, q)
    energies = None if a[1] is None or b[1] is None else a[1] - b[1]
    reaches = [r.reach for r in (high, low) if np.isfinite(r.reach)]
    reach = max(reaches, default=float("inf"))
    pure, push = _pure(interface, q, mixing, s, reach), None
    if mixing.moving and energies is not None:
        push = mixing.push(interface, q, energies)
        # Seeds carry the reaction to the weights' forces on all others, wherever they are.
        pure &= np.linalg.norm(push[mixing.dofs], axis=1) <= PURE
    return Zone(
        mixing, s, np.linalg.norm(slope, axis=1), np.linalg.norm(a[0] - b[0], axis=1), np.linalg.norm(a[0], axis=1),
        energies, pure, reach, push, model.coupler.claims.conservative,
    )  # fmt: skip


def _at(answer: Answer, rows: IntArray) -> tuple[Array, Array | None]:
    e = answer.site_energies
    return answer["forces"][rows], None if e is None else e[rows]


def _pure(interface: Interface, q: Array, mixing: Mixing, s: Array, reach: float) -> BoolArray:
    """Core atoms that have no atom with s < 1 within one receptive field, images counted."""
    low = interface.regions[mixing.low]
    x, pure = interface.place(mixing.low, q), np.zeros(len(s), dtype=bool)
    # Atoms that only the low level describes have s = 0.
    mixed = np.ones(low.n_sites, dtype=bool)
    mixed[mixing.low_at[s >= 1]] = False
    if np.isfinite(reach):
        for k in np.flatnonzero(s >= 1):
            pure[k] = low.distances(x, int(mixing.low_at[k]))[mixed].min(initial=np.inf) > reach
    return pure


def _rms(norms: Array) -> float:
    return float(np.sqrt(np.mean(norms**2))) if len(norms) else float("nan")


def interface_numbers(model: HybridModel, q: Array | None = None, gates: Gates | None = None) -> tuple[Row, ...]:
    """Rows on every pair of levels that describe the same atoms, at q (n_q, 3) Å, the reference unless given; collective.

    Raises
    ------
    MultiscaleError
        If no two regions own the same atoms.
    """
    at = model.interface.reference if q is None else np.asarray(q, dtype=float)
    found = mixings(model.interface, model.coupler)
    if not found:
        raise MultiscaleError(
            f"no two of the regions {sorted(model.interface.regions)} own the same atoms; interface numbers compare two "
            "descriptions of the same atoms"
        )
    return tuple(row for m in found for row in examine_zone(model, at, m).rows(gates))
