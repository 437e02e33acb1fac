"""Drift of the energy of a trajectory, free of that part of velocity Verlet's error which comes back.

    H̃ = K + E + Δt² [ v·E″v/12 − Σ_k |F_k|²/24 m_k ] + O(Δt⁴)           what velocity Verlet conserves; k: components that move
    v·E″v ≈ −v·(F(t + Δt) − F(t − Δt))/2Δt

K + E oscillates by the bracket, which hides a small drift in a trajectory of picoseconds; H̃ does not. A force that is not the
gradient of E changes H̃ as it changes K + E: by its work. The modified Hamiltonian: E. Hairer, C. Lubich and G. Wanner, Acta
Numerica 12 (2003) 399, https://doi.org/10.1017/S0962492902000144.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from ..types import Array, BoolArray, MultiscaleError
from .step import Step
from .thermal import kinetic_energy


@dataclass(frozen=True)
class EnergyRecord:
    """Energies of a trajectory.

    Attributes
    ----------
    times : (n,) array
        ASE time units.
    total : (n,) array
        K + E, eV.
    shadow : (n,) array
        H̃, eV.
    """

    times: Array
    total: Array
    shadow: Array


def record_energy(
    steps: Iterable[Step],
    masses: Array,
    dt: float,
    *,
    every: int = 1,
    fixed: BoolArray | None = None,
    energy: Callable[[Step], float] | None = None,
    each: Callable[[Step], None] = lambda s: None,
) -> EnergyRecord:
    """Run through the steps of :func:`~multiscale.drive.dynamics.verlet` and keep their energies; collective if the driver is.

    Parameters
    ----------
    steps : iterable of Step
    masses : (n_q,) array
        amu.
    dt : float
        The driver's, ASE time units.
    every : int
        Keep every how many steps, but for the first and the last.
    fixed : (n_q, 3) bool array, optional
        The components that are held, ``model.interface.fixed``: forces on them do not move anything. None unless given.
    energy : callable Step -> eV, optional
        The potential energy to look at where the method has none of its own; asked for at kept steps only.
    each : callable
        Sees every step.
    """
    before: Step | None = None
    now: Step | None = None
    rows: list[tuple[float, float, float]] = []
    for step in steps:
        each(step)
        if before is not None and now is not None and now.index % every == 0:
            e = now.energy if energy is None else energy(now)
            if e is None or now.velocities is None:
                raise MultiscaleError(
                    "an energy is recorded of dynamics with an energy: the coupler has none; give energy=, what to look at instead"
                )
            total = e + kinetic_energy(masses, now.velocities)
            curvature = -float(np.sum(now.velocities * (step.forces - before.forces))) / (2.0 * dt)
            moving = now.forces if fixed is None else np.where(fixed, 0.0, now.forces)
            square = float(((moving**2).sum(axis=1) / masses).sum())
            rows.append((now.index * dt, total, total + dt**2 * (curvature / 12.0 - square / 24.0)))
        before, now = now, step
    t, total_, shadow = np.array(rows).reshape(-1, 3).T
    return EnergyRecord(t, total_, shadow)


def leapfrog_energy(step: Step, masses: Array, dt: float, fixed: BoolArray | None = None) -> float:
    """½ Σ m v(t − ½Δt) v(t + ½Δt) + E = K + E − Δt²/8 Σ_k |F_k|²/m_k, eV: what velocity Verlet conserves exactly where forces are linear.

    A friction at the ends of steps changes it by exactly the kinetic energy that is gone, so that for linear forces it closes the balance
    to round-off.

    Parameters
    ----------
    step : Step
        Of dynamics with an energy.
    masses : (n_q,) array
        amu.
    dt : float
        The driver's, ASE time units.
    fixed : (n_q, 3) bool array, optional
        The components that are held.
    """
    if step.energy is None or step.velocities is None:
        raise MultiscaleError(
            "a leapfrog energy belongs to a step of dynamics with an energy, and the coupler has none"
        )
    moving = step.forces if fixed is None else np.where(fixed, 0.0, step.forces)
    return (
        step.energy
        + kinetic_energy(masses, step.velocities)
        - dt**2 / 8.0 * float((np.einsum("ij,ij->i", moving, moving) / masses).sum())
    )


def drift(times: Array, values: Array) -> tuple[float, float]:
    """The slope of a straight line through the values, and its standard error for as long as residuals stay correlated.

    Parameters
    ----------
    times, values : (n,) arrays

    Returns
    -------
    slope, error : float

    Examples
    --------
    >>> t = np.linspace(0, 1, 2001)
    >>> noise = np.random.default_rng(0).normal(size=len(t))
    >>> slope, error = drift(t, 3.0 * t + noise)
    >>> bool(abs(slope - 3.0) < 3 * error), round(error, 2)  # √12/√n
    (True, 0.08)
    """
    t, y = np.asarray(times) - np.mean(times), np.asarray(values) - np.mean(values)
    if len(t) < 3:
        raise MultiscaleError(f"a drift needs three values or more, got {len(t)}; run longer")
    slope = float(t @ y / (t @ t))
    r = y - slope * t
    correlation = np.correlate(r, r, "full")[len(r) - 1 :] / max(float(r @ r), 1e-300)
    # Up to where the correlation has first died out: what follows is noise.
    end = int(np.argmax(correlation <= 0)) or len(r)
    length = max(1.0 + 2.0 * float(correlation[1:end].sum()), 1.0)
    return slope, float(np.sqrt(length * float(r @ r) / (len(r) - 2) / float(t @ t)))
