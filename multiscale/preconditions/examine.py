"""Everything at once: what must hold before levels are mixed, computed on the model that is going to run.

ghost force = max_i |F_i|  of the hybrid on its perfect lattice, where every level alone has none
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ..elastic import RegionOf
from ..interface import Interface
from ..model import HybridModel
from ..region import Can, Query
from ..screen import Screen
from ..types import Array, BoolArray, MultiscaleError
from .bulk import ALIGN, Crystal, bulk_match
from .crossing import group_rows, jump_row
from .table import Gates, Preconditions, Row, judged
from .zone import Mixing, examine_zone, mixings

CURE = "align the energy zeros, rescale a level, thicken a cluster's buffer, widen the zone, or use ghost_corrected"


def examine(
    model: HybridModel,
    q: Array | None = None,
    *,
    perfect: bool | BoolArray = False,
    engines: tuple[RegionOf, RegionOf] | None = None,
    crystal: Crystal | None = None,
    more: Iterable[Row] = (),
    symbols: Sequence[str] | None = None,
    gates: Gates | None = None,
    shake: float = 0.05,
    jumps: bool = True,
    print: bool = True,
) -> Preconditions:
    """Compute, print and give back what must hold before a run; collective, and the same on every rank.

    Parameters
    ----------
    model : HybridModel
    q : (n_q, 3) array, optional
        Å; a typical state of the run, at which levels are compared. Unless given, the reference with the atoms that both
        levels describe displaced at random: on a perfect lattice forces vanish and compare as nothing.
    perfect : bool or (n_q,) bool array
        Whether the reference is a perfect crystal at rest, or which of its dofs are: there the ghost force and the energy
        offsets are measured.
    engines : (callable, callable), optional
        cell (3, 3) → Region of the crystal's atoms, of the better and of the lower level, energy zeros included; each
        rank evaluates them by itself. With ``crystal``.
    crystal : Crystal, optional
    more : rows, optional
        Of other functions: :func:`~multiscale.preconditions.bulk.cluster_match`,
        :func:`~multiscale.preconditions.buffer.buffer_convergence`.
    symbols : (n_q,) sequence of str, optional
        Elements of the shared dofs, for the offset of each; all alike unless given.
    gates : Gates, optional
    shake : float
        Å per component, of the random displacements.
    jumps : bool
        Whether to measure ΔE_max: 39 evaluations of the model per pair of levels.
    print : bool
        Print the table on rank 0.

    Raises
    ------
    MultiscaleError
        If engines come without a crystal, or the reverse. Numbers that fail raise only in :meth:`Preconditions.require`.
    """
    if (engines is None) != (crystal is None):
        raise MultiscaleError("examine was given engines without a crystal, or the reverse; bulk numbers need both")
    gates, interface = gates or Gates(), model.interface
    found = mixings(interface, model.coupler)
    at = _shaken(interface, found, shake) if q is None else np.asarray(q, dtype=float)
    rows = list(bulk_match(*engines, crystal, gates)) if engines is not None and crystal is not None else []
    rows += more
    still = np.broadcast_to(np.asarray(perfect, dtype=bool), (interface.n_q,))
    for m in found:
        if still.any():
            rows += offset_rows(model, m, still, symbols, gates)
        rows += examine_zone(model, at, m).rows(gates)
        if jumps:
            rows.append(jump_row(model, at, m, gates))
    if jumps:
        rows += group_rows(model, at, gates)
    if still.any():
        rows.append(ghost_row(model, still, gates, next((r for r in rows if r.quantity == "lattice constant"), None)))
    table = Preconditions(tuple(rows))
    screen = Screen(silent=not print or model.ranks.world.rank != 0)
    if screen.live:
        screen.console.print(table.table())
    else:
        screen.say(str(table))
    return table


def ghost_row(model: HybridModel, perfect: BoolArray, gates: Gates, lattice: Row | None = None) -> Row:
    """The largest force, eV/Å, on the free dofs of the reference that are perfect; collective.

    Where the lattice constants are known to differ, the force is reported and not judged.
    """
    f = model.evaluate(model.interface.reference).forces
    f = np.where(model.interface.fixed | ~perfect[:, None], 0.0, f)
    value = float(np.linalg.norm(f, axis=1).max())
    if lattice is not None and lattice.ok is False:
        note = f"lattice constants differ by {lattice.value:.2g}: {CURE}"
        return Row("ghost force", value, "eV/Å", None, None, note)
    return judged("ghost force", value, "eV/Å", gates.ghost, "perfect lattice", CURE)


def offset_rows(
    model: HybridModel, mixing: Mixing, perfect: BoolArray, symbols: Sequence[str] | None, gates: Gates
) -> tuple[Row, ...]:
    """⟨e^high − e^low⟩ per element over the perfect dofs of the reference that count, eV; collective."""
    interface, names = model.interface, (mixing.high, mixing.low)
    if not all(Can.SITE_ENERGIES in interface.regions[r].can for r in names):
        return (Row(f"energy offset, {mixing.name}", None, "eV", note="a level has no site energies"),)
    answers = model.ask(interface.reference, {r: Query(Can.SITE_ENERGIES) for r in names})
    high, low = (answers[r]["site_energies"] for r in names)
    difference = high[mixing.high_at] - low[mixing.low_at]
    s, _ = mixing.weight(interface, interface.reference)
    # Beyond the zone nobody looks: a cluster's surface may lie there.
    counted = perfect[mixing.dofs] & (s > 0)
    kinds = np.full(interface.n_q, "atoms") if symbols is None else np.asarray(symbols)
    kinds = kinds[mixing.dofs]
    rows = []
    for kind in dict.fromkeys(kinds[counted].tolist()):
        these = difference[counted & (kinds == kind)]
        spread = f"{len(these)} atoms, spread {1e3 * float(np.ptp(these)):.2g} meV"
        rows.append(
            judged(f"energy offset of {kind}, {mixing.name}", float(these.mean()), "eV", gates.offset, spread, ALIGN)
        )
    return tuple(rows)


def _shaken(interface: Interface, found: Sequence[Mixing], shake: float) -> Array:
    q = interface.reference.copy()
    displaced = np.random.default_rng(0).normal(0.0, shake, q.shape)
    for m in found:
        q[m.dofs] = interface.reference[m.dofs] + np.where(interface.fixed[m.dofs], 0.0, displaced[m.dofs])
    return q
