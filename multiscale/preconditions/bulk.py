"""Whether two levels describe the same crystal.

    a_high/a_low − 1,      C_ij^high/C_ij^low − 1 (each at its own lattice constant),      ε_s = ⟨e_i^high − e_i^low⟩_{i of s}

A difference of lattice constants strains the core, and the ghost force grows with it; one of elastic constants scatters
and attracts; one of energy zeros pushes on moving weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from ..align import bulk_energy_zeros
from ..elastic import Elastic, RegionOf, bulk_modulus, elastic_constants, lattice_constant
from ..region import Can
from ..types import Array, MultiscaleError
from .table import Gates, Row, judged

if TYPE_CHECKING:
    from ..regions.rescale import Rescaling

#: An elastic constant below this fraction of the largest is zero by symmetry.
NEGLIGIBLE = 1e-4
RESCALE = "rescale the better level (multiscale.regions.rescale) or fit one level to the other"
ALIGN = "take the difference off by energy_zero=aligned(...) of multiscale.align"


@dataclass(frozen=True, eq=False)
class Crystal:
    """A cubic crystal near its equilibrium, by the atoms of one cell.

    Parameters
    ----------
    symbols : (n,) sequence of str
    positions : (n, 3) array
        Å.
    cell : (3, 3) array
        Å.
    a : float
        Å; the lattice constant that they stand for.

    Examples
    --------
    >>> from ase.build import bulk
    >>> Crystal.of(bulk("Si", a=5.43), 5.43).symbols
    ('Si', 'Si')
    """

    symbols: Sequence[str]
    positions: ArrayLike
    cell: ArrayLike
    a: float

    @classmethod
    def of(cls, atoms: Any, a: float) -> Crystal:
        """From ``ase.Atoms``."""
        return cls(tuple(atoms.get_chemical_symbols()), atoms.positions.copy(), atoms.cell.array.copy(), a)


@dataclass(frozen=True)
class Bulk:
    """One level's crystal: lattice constant, Å, and elastic constants (None without STRESS)."""

    a: float
    elastic: Elastic | None


def bulk_of(region_of: RegionOf, crystal: Crystal) -> Bulk:
    """Lattice constant and elastic constants of one level; evaluated by this process alone.

    Parameters
    ----------
    region_of : callable
        cell (3, 3) → Region of the crystal's atoms; ``MLRegion(...).with_cell``.
    """
    x, cell = np.asarray(crystal.positions, dtype=float), np.asarray(crystal.cell, dtype=float)
    start = region_of(cell)
    if start.n_dofs != len(x):
        raise MultiscaleError(
            f"{start.describe()} was given for a crystal of {len(x)} atoms; build it of the atoms of the crystal's cell"
        )
    a = lattice_constant(region_of, x, cell, crystal.a)
    s, needs = a / crystal.a, Can.STRESS | Can.FORCES
    if needs & ~start.can or not start.can & (Can.STIFFNESS | Can.HVP):
        return Bulk(a, None)
    return Bulk(a, elastic_constants(region_of, x * s, cell * s))


def bulk_match(high_of: RegionOf, low_of: RegionOf, crystal: Crystal, gates: Gates | None = None) -> tuple[Row, ...]:
    """Rows on lattice constant, elastic constants and energy offset per element of two levels.

    Parameters
    ----------
    high_of, low_of : callable
        cell (3, 3) → Region of the crystal's atoms, as the hybrid has it, energy zeros included.
    crystal : Crystal
    gates : Gates, optional

    Notes
    -----
    The offset is taken at the low level's lattice constant, the hybrid's. Levels without STRESS have no row of
    elastic constants; :func:`cluster_match` compares a quantum method's capped clusters.
    """
    gates = gates or Gates()
    high, low = bulk_of(high_of, crystal), bulk_of(low_of, crystal)
    rows = [
        judged(
            "lattice constant", high.a / low.a - 1.0, "", gates.lattice, f"{high.a:.6f} against {low.a:.6f} Å", RESCALE
        )
    ]
    if high.elastic is None or low.elastic is None:
        which = " and ".join(n for n, b in (("high", high), ("low", low)) if b.elastic is None)
        note = f"the {which} level lacks STRESS, or STIFFNESS and HVP; see cluster_match for quantum clusters"
        rows.append(Row("elastic constants", None, note=note))
    else:
        rows += stiffness_rows(high.elastic.relaxed, low.elastic.relaxed, gates)
    s = low.a / crystal.a
    return (*rows, *_offsets(high_of, low_of, crystal, s, gates))


def stiffness_rows(high: Array, low: Array, gates: Gates) -> list[Row]:
    """One row for every independent constant of two (6, 6) stiffnesses, GPa."""
    scale = float(np.abs(low).max())
    groups: list[list[tuple[int, int]]] = []
    for entry in zip(*np.triu_indices(6), strict=True):
        if max(abs(high[entry]), abs(low[entry])) <= NEGLIGIBLE * scale:
            continue
        # Constants that symmetry makes equal differ by the noise of the differences.
        like = [g for g in groups if max(abs(C[entry] - C[g[0]]) for C in (high, low)) < NEGLIGIBLE * scale]
        if like:
            like[0].append(entry)
        else:
            groups.append([entry])
    rows = []
    for entries in groups:
        (i, j), more = entries[0], len(entries) - 1
        label = f"C{i + 1}{j + 1}" + (f" and {more} like it" if more else "")
        h, m = float(high[i, j]), float(low[i, j])
        value = h / m - 1.0 if m else float("inf")
        rows.append(judged(label, value, "", gates.stiffness, f"{h:.2f} against {m:.2f} GPa", RESCALE))
    return rows


def _offsets(high_of: RegionOf, low_of: RegionOf, crystal: Crystal, s: float, gates: Gates) -> list[Row]:
    x, cell = s * np.asarray(crystal.positions, dtype=float), s * np.asarray(crystal.cell, dtype=float)
    pair = [bulk_energy_zeros(of(cell), crystal.symbols, x) for of in (high_of, low_of)]
    return [
        judged(f"energy offset of {e}", pair[0][e] - pair[1][e], "eV", gates.offset, "per atom of the crystal", ALIGN)
        for e in pair[0]
    ]


def cluster_match(
    rescaling: Rescaling, low_of: RegionOf, crystal: Crystal, gates: Gates | None = None, *, applied: bool = True
) -> tuple[Row, ...]:
    """Rows for a quantum method that has total energies only, by its capped clusters.

    Parameters
    ----------
    rescaling : Rescaling
        What :func:`multiscale.regions.rescale.tune_rescaling` measured.
    low_of, crystal
        The other level, as for :func:`bulk_match`.
    applied : bool
        Whether the hybrid's quantum region is rescaled by it.

    Notes
    -----
    Clusters give B, C′ and C44 without inner relaxation. Absolute energies of capped clusters contain their caps; the
    offset per element is what :func:`multiscale.align.aligned` fits.
    """
    gates = gates or Gates()
    low = bulk_of(low_of, crystal)
    r = rescaling
    a = r.lattice_constant / (r.length_scale if applied else 1.0)
    note = f"{a:.5f} against {low.a:.5f} Å, by clusters {' and '.join(r.clusters)}"
    rows = [judged("lattice constant", a / low.a - 1.0, "", gates.lattice, note, RESCALE)]
    if low.elastic is None:
        return (*rows, Row("elastic constants", None, note="the low level lacks STRESS, or STIFFNESS and HVP"))
    C = low.elastic.unrelaxed
    mine = r.rescaled if applied else (r.bulk_modulus, r.tetragonal, r.shear)
    theirs = bulk_modulus(low.elastic.relaxed), float(low.elastic.relaxed[0, 0] - low.elastic.relaxed[0, 1]) / 2.0
    for name, h, m in zip(("B", "C′", "C44 unrelaxed"), mine, (*theirs, float(C[3, 3])), strict=True):
        rows.append(judged(name, h / m - 1.0, "", gates.stiffness, f"{h:.2f} against {m:.2f} GPa", RESCALE))
    return tuple(rows)
