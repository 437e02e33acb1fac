"""Configurations of silicon by type: capped clusters carved from a moving parent system.

    parent(type, rng) → snapshots (x, cell);      cluster = carve(parent, core);      caps at x_in + c (x_out − x_in)

The parent (:mod:`~multiscale.learning.parents`) moves by Langevin dynamics under Stillinger–Weber, which gives correlated thermal
displacements, dimers and relaxed defects for nothing. The reference method only ever sees the clusters: it has no k-points, so that
small periodic cells would teach it wrong energies.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping

import ase
import numpy as np
from ase import units
from ase.md.langevin import Langevin
from scipy.spatial.distance import pdist, squareform

from ..calculator import RegionCalculator
from ..models import StillingerWeber
from ..regions.carve import carve
from ..regions.ml import MLRegion
from ..types import Array, MultiscaleError
from .parents import TYPES, Parent

#: Closest that two atoms may be, Å, by the number of hydrogens among them.
CLOSEST = (1.75, 1.15, 1.30)


def stream(seed: int, kind: str) -> np.random.Generator:
    """The random numbers of one type, the same whatever other types are asked for."""
    return np.random.default_rng([seed, zlib.crc32(kind.encode())])


def snapshots(parent: Parent, rng: np.random.Generator, count: int) -> Iterator[Array]:
    """Positions (n, 3) of the moving parent, ``count`` times; before ``scale`` and ``rattle``."""
    atoms = parent.atoms.copy()
    if parent.start is not None:
        atoms.positions[:] = parent.start
    if parent.kelvin <= 0.0:
        for _ in range(count):
            yield atoms.get_positions()
        return
    region = MLRegion(StillingerWeber(), atoms)
    atoms.calc = RegionCalculator(region)
    # 200 fs from rest are four relaxation times of the thermostat.
    motion = Langevin(
        atoms, 2.0 * units.fs, temperature_K=parent.kelvin, friction=0.02 / units.fs, fixcm=False, rng=rng
    )
    motion.run(100)
    for _ in range(count):
        motion.run(40)
        yield atoms.get_positions()


def cut(
    parent: Parent, x: Array, rng: np.random.Generator, sizes: tuple[int, int], max_atoms: int, stretch: float = 0.03
) -> ase.Atoms | None:
    """A capped cluster about a random centre of the parent at ``x`` (n, 3); None if it is too large or too crowded."""
    x = x + parent.rattle * rng.standard_normal(x.shape)
    reference = x if parent.follow else parent.atoms.positions
    cell, pbc = parent.atoms.cell.array, parent.atoms.pbc
    centre = int(rng.choice(parent.centres))
    offset = parent.atoms.positions - parent.atoms.positions[centre]
    if pbc.any():
        fractions = offset @ np.linalg.inv(cell)
        offset -= (np.round(fractions) * pbc) @ cell
    # Cores are balls about a point near the centre, so that atoms, bonds and rings all come to be the middle.
    distance = np.linalg.norm(offset - rng.uniform(-1.2, 1.2, 3), axis=1)
    core = np.argsort(distance, kind="stable")[: int(rng.integers(sizes[0], sizes[1] + 1))]
    shift = (
        np.round((parent.atoms.positions[core] - parent.atoms.positions[centre]) @ np.linalg.inv(cell))
        if pbc.any()
        else 0.0
    )
    if pbc.any() and np.any(shift * pbc):
        # The core crosses the periodic boundary: wrap the parent about the centre first.
        return None
    try:
        cluster = carve(parent.atoms.get_chemical_symbols(), reference, cell, pbc, core, max_atoms=max_atoms, images=True,
                        bond_length=3.2 if parent.follow else 1.2 * 2.35)  # fmt: skip
    except MultiscaleError:
        return None
    place = cluster.positions(x, cell) @ parent.scale
    caps = cluster.link_atoms
    if len(caps) > max_atoms:
        return None
    place[caps] += stretch * rng.uniform(0.0, 2.0) * rng.standard_normal((int(caps.sum()), 3))
    atoms = ase.Atoms(cluster.all_symbols, place - place.mean(0))
    return None if crowded(atoms) or np.ptp(atoms.positions, axis=0).max() > 25.0 else atoms


def crowded(atoms: ase.Atoms) -> bool:
    """Whether two atoms are closer than :data:`CLOSEST`."""
    if len(atoms) < 2:
        return False
    hydrogen = (atoms.numbers == 1).astype(int)
    bound = np.array(CLOSEST)[hydrogen[:, None] + hydrogen[None, :]]
    return bool(np.any(squareform(pdist(atoms.positions)) + 10.0 * np.eye(len(atoms)) < bound))


def generate(
    counts: Mapping[str, int],
    seed: int = 1,
    *,
    sizes: tuple[int, int] | None = None,
    max_atoms: int = 90,
    per_parent: int = 4,
    per_snapshot: int = 2,
) -> Iterator[ase.Atoms]:
    """Capped clusters of the given types, in order, without labels; ``info`` has ``config_type`` and ``group``.

    Parameters
    ----------
    counts : mapping
        How many of each type of :data:`TYPES`.
    seed : int
        The same seed gives the same configurations.
    sizes : (int, int), optional
        Least and most silicon atoms to ask for, instead of each type's own.
    max_atoms : int
        Largest cluster, caps included.
    per_parent, per_snapshot : int
        Snapshots taken from one parent, and clusters from one snapshot. Clusters of one parent share their ``group``,
        so that a split can keep them together.
    """
    unknown = sorted(set(counts) - set(TYPES))
    if unknown:
        raise MultiscaleError(
            f"generate was given the type {', '.join(unknown)}; it knows {', '.join(TYPES)}: choose among these"
        )
    for kind, count in counts.items():
        rng, made, group = stream(seed, kind), 0, 0
        build, usual = TYPES[kind]
        while made < count:
            parent, group = build(rng), group + 1
            for x in snapshots(parent, rng, per_parent):
                for _ in range(per_snapshot):
                    atoms = cut(parent, x, rng, sizes or usual, max_atoms)
                    if atoms is not None and made < count:
                        atoms.info.update(config_type=kind, group=f"{kind}-{seed}-{group}")
                        made += 1
                        yield atoms
