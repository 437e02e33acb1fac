"""Temperature: velocities of the Maxwell–Boltzmann distribution, kinetic energy and what it says of the temperature.

    p(v) ∝ exp(−m v²/2kT),     K = Σ ½ m v²,     T = 2K/(k · number of components that move)

All of it is the same on every rank.
"""

from __future__ import annotations

import numpy as np

from ..types import Array, BoolArray, MultiscaleError

#: Boltzmann's constant, eV/K (CODATA 2014, as in ASE).
KB = 8.6173303e-5


def thermal_velocities(
    masses: Array, temperature: float, seed: int, *, fixed: BoolArray | None = None, at_rest: bool = True
) -> Array:
    """Velocities (n, 3) of the Maxwell–Boltzmann distribution, Å per ASE time unit.

    Parameters
    ----------
    masses : (n,) array
        amu.
    temperature : float
        K.
    seed : int
        Of the random numbers, the same on every rank.
    fixed : (n, 3) bool array, optional
        Components that stay zero.
    at_rest : bool
        Whether the centre of mass is brought to rest, along axes on which nothing is fixed.

    Examples
    --------
    >>> v = thermal_velocities(np.full(1000, 28.0), 300.0, seed=1)
    >>> bool(abs(v.sum()) < 1e-12)
    True
    """
    m = np.asarray(masses, dtype=float)
    if not (np.isfinite(temperature) and temperature >= 0 and (m > 0).all()):
        raise MultiscaleError(
            f"thermal velocities need a temperature of 0 K or more and positive masses, got {temperature!r} K and a least mass of "
            f"{m.min(initial=np.inf)!r} amu"
        )
    v = np.random.default_rng(seed).normal(size=(len(m), 3)) * np.sqrt(KB * temperature / m)[:, None]
    held = np.zeros((len(m), 3), dtype=bool) if fixed is None else np.asarray(fixed, dtype=bool)
    v = np.where(held, 0.0, v)
    if at_rest:
        free = ~held.any(axis=0)
        v[:, free] -= (m @ v)[free] / m.sum()
    return v


def kinetic_energy(masses: Array, velocities: Array) -> float:
    """K, eV; masses (n,) in amu, velocities (n, 3) in Å per ASE time unit."""
    return 0.5 * float(np.asarray(masses) @ np.einsum("ij,ij->i", velocities, velocities))


def kinetic_temperature(masses: Array, velocities: Array, moving: int | None = None) -> float:
    """T, K, from the kinetic energy of ``moving`` components (all 3n unless given)."""
    return 2.0 * kinetic_energy(masses, velocities) / (KB * (moving or velocities.size))
