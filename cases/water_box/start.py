"""Makes the box of water that the case starts from: python cases/water_box/start.py 64 box64.extxyz.xz 15.

Molecules on a grid, turned at random; then Langevin dynamics at 300 K and 997 kg/m³: SPC/Fw with strong friction, SPC/Fw for so
many picoseconds, and 1.35 ps of the case's own classical model. The box that is shipped was made by these steps with other random
numbers.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
from ase import Atoms, units
from ase.io import write
from box import Box
from scipy.spatial.transform import Rotation

from multiscale.drive import kinetic_temperature, langevin
from multiscale.drive.step import Step

DENSITY = 997.0  # kg/m³
KELVIN = 300.0


def grid(n: int, seed: int = 0) -> Atoms:
    """Some n molecules on a cubic grid in a periodic box at the density of water, O H H after one another."""
    edge = (n * 18.015 / (DENSITY * 1e-30 / units._amu)) ** (1 / 3)
    side = int(np.ceil(n ** (1 / 3) - 1e-9))
    rng = np.random.default_rng(seed)
    cells = np.argwhere(np.ones((side,) * 3))
    cells = cells[np.sort(rng.permutation(len(cells))[:n])]
    half = np.radians(113.24) / 2
    shape = 1.012 * np.array([[0, 0, 0], [np.sin(half), np.cos(half), 0], [-np.sin(half), np.cos(half), 0]])
    x: np.ndarray = np.zeros((0, 3))
    for k, c in enumerate(cells):
        # Of many orientations the one that keeps farthest from the molecules already there.
        tries = [c * edge / side + r.apply(shape) for r in Rotation.random(40, random_state=1000 * seed + k)]
        x = np.concatenate([x, max(tries, key=lambda t: _clearance(t, x, edge))])
    return Atoms("OH2" * n, x, cell=[edge] * 3, pbc=True)


def _clearance(molecule: np.ndarray, others: np.ndarray, edge: float) -> float:
    d = molecule[:, None] - others[None]
    return float(np.linalg.norm(d - edge * np.round(d / edge), axis=2).min(initial=edge))


def equilibrate(atoms: Atoms, matched: bool, steps: int, dt: float, friction: float, seed: int) -> Iterator[Step]:
    """Langevin dynamics (fs, 1/fs) of the classical model, with ordinary hydrogen; moves the atoms, yields the steps."""
    model, m = Box(atoms, matched=matched).all_cheap(atoms.positions), atoms.get_masses()
    bath = {"temperature": KELVIN, "friction": friction / units.fs, "seed": seed}
    for step in langevin(
        model, atoms.positions, atoms.get_velocities(), dt=dt * units.fs, steps=steps, masses=m, **bath
    ):
        yield step
        atoms.positions = step.q
        atoms.set_velocities(step.velocities)


def main() -> None:
    """Equilibrate and write."""
    n, name, picoseconds = int(sys.argv[1]), sys.argv[2], float(sys.argv[3])
    atoms = grid(n)
    plan = [
        (False, 400, 0.1, 0.2, 1), (False, 2000, 0.5, 0.05, 2), (False, int(picoseconds * 1000), 1.0, 0.005, 3),
        (True, 300, 0.5, 0.1, 5), (True, 1200, 1.0, 0.02, 5),
    ]  # fmt: skip
    for matched, steps, dt, friction, seed in plan:
        for step in equilibrate(atoms, matched, steps, dt, friction, seed):
            if step.index % 500 == 0:
                kelvin = kinetic_temperature(atoms.get_masses(), step.velocities)
                words = f"{'matched' if matched else 'own'} shape, dt {dt} fs, step {step.index}"
                print(f"{words}: {kelvin:.0f} K, {step.energy / n:.4f} eV a molecule", flush=True)
    # Whole molecules, O in the cell; four decimals are far below the thermal motion.
    edge = atoms.cell.lengths()
    x = atoms.positions - np.repeat(np.floor(atoms.positions[::3] / edge) * edge, 3, axis=0)
    write(name, Atoms(atoms.symbols, np.round(x, 4), cell=np.round(atoms.cell.array, 6), pbc=True), format="extxyz")


if __name__ == "__main__":
    main()
