"""How thick the buffer of a quantum cluster has to be: forces and site energies of the core against the thickest buffer.

    ΔF_i(b) = F_i(b) − F_i(b_max),      Δe_i(b) = e_i(b) − e_i(b_max),      i in the core

Both converge, and not alike: an atom's energy is what the total energy owes to it, so that it knows the surface of the
cluster sooner than its force does. Where energies are mixed, a zone of width h turns Δe into a force of Δe/h.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import ase
import numpy as np
from numpy.typing import ArrayLike

from ..region import Can, Query, Region
from ..types import Array, BoolArray, MultiscaleError
from .carve import Cluster, carve
from .engines import Source
from .qm import QMRegion

#: Makes the region of a carved cluster: (atoms with caps, link atoms, core) → region.
RegionMaker = Callable[[ase.Atoms, BoolArray, BoolArray], Region]


@dataclass(frozen=True)
class BufferRow:
    """One buffer.

    Attributes
    ----------
    buffer : str
        ``"2 hops"`` or ``"6.2 Å"``.
    atoms, links : int
        Atoms and link atoms of the cluster.
    thickness : float
        Å; the least distance from a core atom to a link atom.
    force_rms, force_max : float
        Root mean square over the core atoms, and largest, of the length |ΔF_i|, eV/Å.
    energy_mean, energy_max : float or None
        Mean over the core atoms of Δe_i, and the largest magnitude, eV; None where the engine has no energies per atom.
    seconds : float
        Of the calculation.
    """

    buffer: str
    atoms: int
    links: int
    thickness: float
    force_rms: float
    force_max: float
    energy_mean: float | None
    energy_max: float | None
    seconds: float


@dataclass(frozen=True)
class BufferStudy:
    """What :func:`buffer_study` measures; ``print`` it for a table.

    Attributes
    ----------
    engine : str
    core : int
        Number of core atoms.
    rows : tuple of BufferRow
        Thinnest buffer first. The last one is the reference, and its errors are zero by definition.
    """

    engine: str
    core: int
    rows: tuple[BufferRow, ...]

    @property
    def reference(self) -> BufferRow:
        """The thickest buffer."""
        return self.rows[-1]

    def thinnest(self, force: float, energy: float | None = None) -> BufferRow | None:
        """The first buffer from which on all errors are within ``force`` (eV/Å) and ``energy`` (eV); None if there is none.

        The reference does not count: it agrees with itself.

        Raises
        ------
        MultiscaleError
            If energies are to be judged that the engine does not have.
        """
        if energy is not None and self.reference.energy_max is None:
            raise MultiscaleError(
                f"the buffer study was asked for site energies, which {self.engine} does not have; use an engine with "
                "energies per atom, or judge by forces"
            )
        best = None
        for row in reversed(self.rows[:-1]):
            if row.force_max > force or (energy is not None and row.energy_max is not None and row.energy_max > energy):
                break
            best = row
        return best

    def __str__(self) -> str:
        def mev(value: float | None, sign: str = "") -> str:
            return f"{'—':>11}" if value is None else f"{1e3 * value:{sign}11.1f}"

        head = f"{'buffer':<9}{'atoms':>6}{'links':>6}{'to caps':>9}{'ΔF rms':>11}{'ΔF max':>11}{'Δe mean':>11}{'Δe max':>11}{'time':>9}"
        unit = f"{'':<9}{'':>6}{'':>6}{'Å':>9}{'meV/Å':>11}{'meV/Å':>11}{'meV':>11}{'meV':>11}{'s':>9}"
        lines = [f"{self.core} core atoms, {self.engine}; errors against {self.reference.buffer}", head, unit]
        for r in self.rows:
            if r is self.reference:
                errors = "  reference".ljust(44)
            else:
                errors = mev(r.force_rms) + mev(r.force_max) + mev(r.energy_mean, "+") + mev(r.energy_max)
            lines.append(f"{r.buffer:<9}{r.atoms:>6}{r.links:>6}{r.thickness:>9.2f}{errors}{r.seconds:>9.1f}")
        return "\n".join(lines)


@dataclass(frozen=True)
class _Measured:
    cluster: Cluster
    thickness: float
    forces: Array
    energies: Array | None
    seconds: float
    engine: str


def buffer_study(
    atoms: ase.Atoms,
    core: ArrayLike,
    engine: Source | None = None,
    hops: Sequence[int] | None = None,
    *,
    radii: Sequence[float] | None = None,
    reference: ArrayLike | None = None,
    region: RegionMaker | None = None,
    periods: Sequence[int] = (1, 1, 1),
    images: bool = False,
    bond_length: float = 1.2 * 2.35,
    cap: str = "H",
    cap_bond: float = 1.48,
    max_atoms: int = 500,
    **settings: Any,
) -> BufferStudy:
    """Carve clusters about ``core`` with thicker and thicker buffers, and compare the core in them.

    Parameters
    ----------
    atoms : ase.Atoms
        The large system, in the state to be judged: forces of a perfect crystal vanish by symmetry in every cluster and
        tell nothing.
    core : int array or (n,) bool array
    engine : optional
        As the ``calculator`` of :class:`~multiscale.regions.qm.QMRegion`; a factory, where the calculator cannot be used
        for clusters of different size. GFN1-xTB unless given.
    hops : sequence of int
        Buffers in bonds, increasing; the last one is the reference. (1, 2, 3) unless given.
    radii : sequence of float, optional
        Buffers in Å instead of ``hops``.
    reference : (n, 3) array, optional
        Å; positions that say what is bonded. Those of ``atoms`` unless given.
    region : callable, optional
        Makes the region of a cluster from (atoms, link_atoms, core), instead of a QMRegion of ``engine``; one that offers
        SITE_ENERGIES has them compared.
    periods, images, bond_length, cap, cap_bond, max_atoms
        As for :func:`~multiscale.regions.carve.carve`.
    **settings
        Passed on to QMRegion.

    Raises
    ------
    MultiscaleError
        If ``hops`` and ``radii`` are given both, there are fewer than two buffers, two of them give the same cluster, a core
        atom carries a link atom, or a calculation fails.

    Examples
    --------
    >>> from ase.build import bulk
    >>> silicon = bulk("Si", cubic=True) * (3, 3, 3)
    >>> silicon.rattle(0.05, seed=1)
    >>> study = buffer_study(silicon, [0], hops=(1, 2))
    >>> [(row.buffer, row.atoms, row.links) for row in study.rows]
    [('1 hop', 5, 12), ('2 hops', 35, 36)]
    """
    if hops is not None and radii is not None:
        raise MultiscaleError(
            f"buffer_study was given hops={tuple(hops)} and radii={tuple(radii)}; give the buffers in bonds or in Å, not both"
        )
    buffers: list[dict[str, Any]] = [{"radius": float(r)} for r in radii] if radii is not None else []
    if radii is None:
        buffers = [{"hops": int(n)} for n in ((1, 2, 3) if hops is None else hops)]
    sizes = [next(iter(b.values())) for b in buffers]
    if len(sizes) < 2 or any(b <= a for a, b in zip(sizes, sizes[1:], strict=False)):
        raise MultiscaleError(
            f"buffer_study was given the buffers {sizes}; it needs two or more, increasing, of which the last is the "
            "reference"
        )
    bonds_at = atoms.positions if reference is None else np.asarray(reference, dtype=float)
    cut: dict[str, Any] = {
        "periods": periods,
        "images": images,
        "bond_length": bond_length,
        "cap": cap,
        "cap_bond": cap_bond,
    }
    symbols, cell = atoms.get_chemical_symbols(), atoms.cell.array
    make = region or partial(_quantum, engine, settings)
    # All clusters are carved before the first one is calculated: what does not fit is refused at once.
    clusters = [
        carve(symbols, bonds_at, cell, atoms.pbc, core, max_atoms=max_atoms, **cut, **buffer) for buffer in buffers
    ]
    names = [_name(buffer) for buffer in buffers]
    _refuse_alike(clusters, names)
    thickness = [_thickness(c, bonds_at, cell, n) for c, n in zip(clusters, names, strict=True)]
    found = []
    for cluster, name, thick in zip(clusters, names, thickness, strict=True):
        try:
            found.append(_measure(cluster, cluster.positions(atoms.positions, cell), make, thick))
        except MultiscaleError as error:
            raise MultiscaleError(f"the buffer study failed with a buffer of {name}: {error}") from error
    rows = tuple(_row(m, found[-1], name) for m, name in zip(found, names, strict=True))
    return BufferStudy(found[-1].engine, len(found[-1].forces), rows)


def _quantum(
    engine: Source | None, settings: dict[str, Any], atoms: ase.Atoms, links: BoolArray, core: BoolArray
) -> Region:
    return QMRegion(atoms, engine, link_atoms=links, core=core, **settings)


def _name(buffer: dict[str, Any]) -> str:
    if "radius" in buffer:
        return f"{buffer['radius']:g} Å"
    return f"{buffer['hops']} hop{'' if buffer['hops'] == 1 else 's'}"


def _refuse_alike(clusters: Sequence[Cluster], names: Sequence[str]) -> None:
    for k in range(len(clusters) - 1):
        if len(clusters[k].symbols) >= len(clusters[k + 1].symbols):
            raise MultiscaleError(
                f"buffer_study was given buffers of {names[k]} and {names[k + 1]}, which give clusters of "
                f"{len(clusters[k].symbols)} and {len(clusters[k + 1].symbols)} atoms; choose buffers that differ, in a "
                "system that is larger than the largest cluster"
            )


def _thickness(cluster: Cluster, x: Array, cell: Array, name: str) -> float:
    """Å from the core to the next link atom; infinite where nothing is cut."""
    inner = cluster.links[:, 0]
    if cluster.core[inner].any():
        raise MultiscaleError(
            f"buffer_study was given a buffer of {name}, with which {int(cluster.core[inner].sum())} link atoms sit on "
            "core atoms; begin with at least one hop, or a radius above the bond length"
        )
    at = cluster.positions(x, cell)
    core, links = at[: len(cluster.symbols)][cluster.core], at[cluster.link_atoms]
    if not len(links):
        return float("inf")
    return float(np.linalg.norm(core[:, None] - links[None], axis=2).min())


def _measure(cluster: Cluster, x: Array, make: RegionMaker, thickness: float) -> _Measured:
    core = np.concatenate([cluster.core, np.zeros(len(cluster.links), dtype=bool)])
    region = make(ase.Atoms(cluster.all_symbols, x), cluster.link_atoms, core)
    offers = Can.SITE_ENERGIES in region.can
    clock = time.perf_counter()
    answer = region.evaluate(x, Query(Can.ENERGY | Can.FORCES | (Can.SITE_ENERGIES if offers else Can.NOTHING)))
    seconds = time.perf_counter() - clock
    energies = answer.site_energies
    if energies is None and isinstance(region, QMRegion):
        energies = region.atom_energies
    engine = region.engine.name if isinstance(region, QMRegion) else type(region).__name__
    # Core atoms come first in every cluster of the same core, in the same order.
    return _Measured(
        cluster, thickness, answer["forces"][core], None if energies is None else energies[core], seconds, engine
    )


def _row(m: _Measured, reference: _Measured, name: str) -> BufferRow:
    off = np.linalg.norm(m.forces - reference.forces, axis=1)
    mean = most = None
    if m.energies is not None and reference.energies is not None:
        shift = m.energies - reference.energies
        mean, most = float(shift.mean()), float(np.abs(shift).max())
    return BufferRow(
        name, len(m.cluster.symbols), len(m.cluster.links), m.thickness, float(np.sqrt((off**2).mean())),
        float(off.max()), mean, most, m.seconds,
    )  # fmt: skip
