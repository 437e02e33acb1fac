"""The systems that configurations are carved from: crystals, defects, surfaces, cracks, drawn anew for every one.

    parent(type, rng): reference positions, centres of clusters, temperature, deformation

Lattice constant, strain and temperature are random numbers about what the reference method has.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import ase
import numpy as np
from ase import units
from ase.build import bulk, diamond100, diamond111, surface

from ..types import Array, IntArray

#: Å, of the Stillinger–Weber crystal.
SW_A0 = 5.43095


@dataclass
class Parent:
    """A large system, what its clusters are centred on, and how it moves.

    Attributes
    ----------
    atoms : ase.Atoms
        Reference positions, in which bonds are counted.
    centres : (m,) int array
        Atoms that clusters may be centred on.
    kelvin : float
        Temperature of the dynamics; 0 for a static system.
    start : (n, 3) array, optional
        Positions the dynamics starts from, if not the reference.
    scale : (3, 3) array
        Deformation of the snapshots, applied last.
    rattle : float
        Å, standard deviation of independent displacements, applied last.
    follow : bool
        Count bonds in the snapshot instead of the reference (up to 3.2 Å), for systems torn apart.
    """

    atoms: ase.Atoms
    centres: IntArray
    kelvin: float = 0.0
    start: Array | None = None
    scale: Array = field(default_factory=lambda: np.eye(3))
    rattle: float = 0.0
    follow: bool = False


Builder = Callable[[np.random.Generator], Parent]


def crystal(repeat: int = 3) -> ase.Atoms:
    """A periodic cube of the diamond structure, ``repeat`` cubic cells along each axis."""
    return bulk("Si", cubic=True, a=SW_A0) * (repeat, repeat, repeat)


def _middle(atoms: ase.Atoms, radius: float) -> IntArray:
    """Atoms within ``radius`` Å of the middle of the cell."""
    middle = 0.5 * atoms.cell.array.sum(0)
    return np.flatnonzero(np.linalg.norm(atoms.positions - middle, axis=1) < radius)


def _size(rng: np.random.Generator, spread: float = 0.02) -> float:
    """Isotropic scale about the reference method's lattice constant, which is some 1 % above the parent's."""
    return 1.008 + spread * rng.standard_normal()


def _isotropic(rng: np.random.Generator, spread: float = 0.02) -> Array:
    return _size(rng, spread) * np.eye(3)


def _bulk(rng: np.random.Generator) -> Parent:
    atoms = crystal()
    return Parent(atoms, _middle(atoms, 5.0), rng.choice([0.0, 100.0, 300.0, 600.0, 900.0, 1200.0, 1600.0]),
                  scale=_isotropic(rng))  # fmt: skip


def _hot(rng: np.random.Generator) -> Parent:
    atoms = crystal()
    return Parent(atoms, _middle(atoms, 5.0), rng.uniform(2000.0, 3500.0), scale=_isotropic(rng), follow=True)


def _strained(rng: np.random.Generator) -> Parent:
    atoms = crystal()
    e = rng.uniform(0.01, 0.06) * rng.uniform(-1.0, 1.0, (3, 3))
    return Parent(atoms, _middle(atoms, 5.0), rng.choice([0.0, 50.0, 300.0, 600.0]),
                  scale=_size(rng) * (np.eye(3) + 0.5 * (e + e.T)))  # fmt: skip


def _rattled(rng: np.random.Generator) -> Parent:
    atoms = crystal()
    return Parent(atoms, _middle(atoms, 5.0), scale=_isotropic(rng), rattle=rng.uniform(0.01, 0.18))


def _vacancy(rng: np.random.Generator) -> Parent:
    atoms = crystal()
    first = int(_middle(atoms, 4.0)[0])
    distances = atoms.get_distances(first, range(len(atoms)), mic=True)
    near = np.argsort(distances)
    gone = [first, int(near[1])] if rng.random() < 0.25 else [first]
    keep = np.setdiff1d(np.arange(len(atoms)), gone)
    rest = atoms[keep]
    centres = np.flatnonzero(np.isin(keep, near[1:8]))
    return Parent(rest, centres, rng.choice([0.0, 100.0, 300.0, 600.0, 1000.0, 1400.0]), scale=_isotropic(rng, 0.01))


def _vacancy_path(rng: np.random.Generator) -> Parent:
    """An atom on its way into the vacancy beside it."""
    atoms = crystal()
    first = int(_middle(atoms, 4.0)[0])
    mover = int(np.argsort(atoms.get_distances(first, range(len(atoms)), mic=True))[1])
    path = atoms.get_distance(mover, first, mic=True, vector=True)
    atoms.positions[mover] += rng.uniform(0.1, 0.9) * path
    keep = np.setdiff1d(np.arange(len(atoms)), [first])
    rest = atoms[keep]
    number = int(np.flatnonzero(keep == mover)[0])
    centres = np.argsort(rest.get_distances(number, range(len(rest)), mic=True))[:7]
    return Parent(rest, centres, scale=_isotropic(rng, 0.01), rattle=rng.uniform(0.02, 0.12))


def _interstitial(rng: np.random.Generator) -> Parent:
    """Tetrahedral, hexagonal, bond-centred or ⟨110⟩ dumbbell."""
    atoms = crystal()
    a = SW_A0
    corner = a * np.ones(3)
    kind = rng.integers(4)
    if kind == 3:
        split = np.flatnonzero(np.linalg.norm(atoms.positions - corner, axis=1) < 0.1)[0]
        d = 0.22 * a * np.array([1.0, 1.0, 0.0]) / np.sqrt(2.0)
        atoms.positions[split] = corner + d + [0.0, 0.0, 0.1 * a]
        atoms.append(ase.Atom("Si", corner - d + [0.0, 0.0, 0.1 * a]))
    else:
        site = a * np.array([[0.5, 0.5, 0.5], [0.625, 0.375, 0.625], [0.125, 0.125, 0.125]])[kind]
        atoms.append(ase.Atom("Si", corner + site))
        if kind == 2:
            # A bond-centred atom needs its two neighbours pushed apart.
            vectors = atoms.get_distances(-1, range(len(atoms) - 1), mic=True, vector=True)
            for k in np.argsort(np.linalg.norm(vectors, axis=1))[:2]:
                atoms.positions[k] += 0.85 * vectors[k] / np.linalg.norm(vectors[k])
    centres = np.argsort(atoms.get_distances(-1, range(len(atoms)), mic=True))[:6]
    return Parent(atoms, centres, rng.choice([0.0, 100.0, 300.0, 600.0, 1000.0]), scale=_isotropic(rng, 0.01))


def _slab(atoms: ase.Atoms, rng: np.random.Generator) -> Parent:
    middle = 0.5 * atoms.cell.array.sum(0)
    z, lateral = atoms.positions[:, 2], np.linalg.norm((atoms.positions - middle)[:, :2], axis=1)
    centres = np.flatnonzero((z > z.max() - 2.6) & (lateral < 5.0))
    return Parent(atoms, centres, rng.choice([0.0, 100.0, 300.0, 600.0, 900.0, 1200.0]), scale=_isotropic(rng, 0.01),
                  rattle=rng.choice([0.0, 0.03]))  # fmt: skip


def _surface111(rng: np.random.Generator) -> Parent:
    return _slab(diamond111("Si", (4, 4, 4), a=SW_A0, vacuum=8.0), rng)


def _surface110(rng: np.random.Generator) -> Parent:
    return _slab(surface(bulk("Si", cubic=True, a=SW_A0), (1, 1, 0), 3, vacuum=8.0) * (2, 3, 1), rng)


def _surface100(rng: np.random.Generator) -> Parent:
    atoms = diamond100("Si", (4, 4, 8), a=SW_A0, vacuum=8.0)
    parent = _slab(atoms, rng)
    if rng.random() < 0.7:
        parent.start = _dimers(atoms, rng)
    return parent


def _dimers(atoms: ase.Atoms, rng: np.random.Generator) -> Array:
    """Rows of the top layer drawn together in pairs to about 2.4 Å, buckled by up to 0.7 Å."""
    x = np.array(atoms.positions)
    top = np.flatnonzero(x[:, 2] > x[:, 2].max() - 0.5)
    below = np.flatnonzero(np.abs(x[:, 2] - (x[top, 2].mean() - SW_A0 / 4.0)) < 0.3)
    # Each top atom may dimerise along the direction in which it has no atom below, the diagonal of the bulk bonds.
    bonds = [atoms.get_distance(int(top[0]), int(k), mic=True, vector=True) for k in below]
    along = min(bonds, key=lambda v: float(np.linalg.norm(v)))[:2]
    axis = int(np.argmin(np.abs(along)))
    rows = np.round((x[top, axis] - x[top, axis].min()) / (SW_A0 / np.sqrt(2.0))).astype(int)
    sign = np.where(rows % 2 == 0, 1.0, -1.0)
    x[top, axis] += 0.70 * sign
    x[top, 2] += -0.3 + 0.35 * rng.uniform(0.0, 1.0) * sign
    return x


def _separated(rng: np.random.Generator) -> Parent:
    """Two half crystals pulled apart along ⟨111⟩, ⟨110⟩ or ⟨100⟩."""
    atoms = crystal(4)
    normal = np.array([[1.0, 1.0, 1.0], [1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])[rng.integers(3)]
    normal /= np.linalg.norm(normal)
    height = (atoms.positions - 0.5 * atoms.cell.array.sum(0)) @ normal
    # A plane through bonds, at a random height between two layers.
    layers = np.unique(height[np.abs(height) < 3.0].round(3))
    plane = layers[rng.integers(1, len(layers))] - 0.05
    gap = rng.uniform(0.2, 3.5)
    apart = atoms.positions + np.where(height > plane, gap, 0.0)[:, None] * normal
    away = np.linalg.norm(atoms.positions - 0.5 * atoms.cell.array.sum(0) - plane * normal, axis=1)
    free = ase.Atoms(atoms.symbols, atoms.positions)
    return Parent(free, np.flatnonzero(away < 4.0), start=apart, scale=_isotropic(rng, 0.01), rattle=rng.uniform(0.01, 0.1),
                  follow=True)  # fmt: skip


def _crack(rng: np.random.Generator) -> Parent:
    """The near field of a mode-I crack in an isotropic solid, plane strain, on {111} or {110}."""
    atoms = crystal(4)
    x = atoms.positions - 0.5 * atoms.cell.array.sum(0) + rng.uniform(-1.0, 1.0, 3)
    normal, ahead = [
        (np.array([1.0, 1.0, 1.0]) / np.sqrt(3.0), np.array([1.0, 1.0, -2.0]) / np.sqrt(6.0)),
        (np.array([1.0, -1.0, 0.0]) / np.sqrt(2.0), np.array([0.0, 0.0, 1.0])),
    ][rng.integers(2)]
    forward, up = x @ ahead, x @ normal
    r, t = np.hypot(forward, up), np.arctan2(up, forward)
    poisson, shear = 0.22, 68.0 * units.GPa
    k = rng.uniform(0.3, 1.2) * 0.75 * 1e6 * units.Pascal * np.sqrt(units.m)
    common = k / (2.0 * shear) * np.sqrt(r / (2.0 * np.pi)) * (3.0 - 4.0 * poisson - np.cos(t))
    moved = atoms.positions + common[:, None] * (np.cos(t / 2)[:, None] * ahead + np.sin(t / 2)[:, None] * normal)
    free = ase.Atoms(atoms.symbols, atoms.positions)
    return Parent(free, np.flatnonzero(np.hypot(forward - 1.0, up) + np.abs(x @ np.cross(ahead, normal)) < 6.0), start=moved,
                  scale=_isotropic(rng, 0.01), rattle=rng.uniform(0.01, 0.1), follow=True)  # fmt: skip


def _molecule(rng: np.random.Generator) -> Parent:
    """Silanes of one to five silicon atoms come from the crystal like any other cluster."""
    atoms = crystal()
    return Parent(atoms, _middle(atoms, 5.0), scale=_isotropic(rng, 0.03), rattle=rng.uniform(0.0, 0.15))


#: Builder and (least, most) silicon atoms asked for before double bonds are absorbed, by type.
TYPES: dict[str, tuple[Builder, tuple[int, int]]] = {
    "molecule": (_molecule, (1, 5)),
    "bulk": (_bulk, (5, 26)),
    "strained": (_strained, (5, 26)),
    "rattled": (_rattled, (5, 26)),
    "hot": (_hot, (5, 20)),
    "vacancy": (_vacancy, (8, 24)),
    "vacancy_path": (_vacancy_path, (8, 24)),
    "interstitial": (_interstitial, (8, 22)),
    "surface111": (_surface111, (8, 24)),
    "surface110": (_surface110, (8, 24)),
    "surface100": (_surface100, (8, 24)),
    "separated": (_separated, (10, 26)),
    "crack": (_crack, (10, 28)),
}
