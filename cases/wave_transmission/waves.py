"""Benchmark B5: the chain, the methods that couple it to long elements, and a packet that travels from atoms to mesh.

    u(x, 0) = A exp(−((x − x₀)/w)²) cos q(x − x₀),     v̂ = −i ω(q) û for q > 0: right-going, also on the lattice and in steps of τ
    R = (energy of the sites left of 0 at the end) / (energy at the start)

Lengths are in numbers of spacings r_eq unless they are in Å, times in the unit in which the mass is 1 and k = 57.1464.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from couplers import BridgingDomain, EnergyBlend
from multiscale import HybridModel, Linear, Query, Quintic
from multiscale.drive import FineFriction, kinetic_energy, leapfrog_energy, verlet
from multiscale.region import Can
from multiscale.regions.chain import HarmonicPair
from multiscale.testing.bridged import Line

Array = np.ndarray

PAIR = HarmonicPair()
A = PAIR.length
H, OVERLAP, START, TAU = 5, 100, -350.0, 0.02
#: Å; the chain is harmonic as long as no bond turns round, which light atoms at the end of the overlap would in higher packets.
HEIGHT = 1e-4
#: ω of the shortest wave that the mesh carries, 2√(k/h)/√h; of an atomistic one it is that of a wave of λ ≈ π h.
CUT_OFF = 2.0 / H * np.sqrt(PAIR.stiffness)


@dataclass(frozen=True)
class Method:
    """A dynamic coupling of the chain to the mesh.

    Attributes
    ----------
    coupler : callable () -> Coupler
    overlap : int
        Spacings; 0 is a seam at an atom that is a node.
    switch : Switch
    rate : float
        γ of the friction on the fine scale, where the mesh has everything; 0 is none.
    conserves : bool
        Whether it should conserve energy.
    """

    coupler: Callable[[], Any]
    overlap: int = OVERLAP
    switch: Any = field(default_factory=Quintic)
    rate: float = 0.0
    conserves: bool = True


SHARP = "sharp"
LUMPED = "bridging domain, lumped, linear"
POINTWISE = "bridging domain, exact, linear"
WEAK = "weak L², C²"
ABSORBED = "weak L², C², absorber"
#: γ where the mesh has everything: a third of the mesh's cut-off frequency. All waves that are to be absorbed are faster than that, so that
#: friction is weak against them; and on their way through the overlap and back their energy still decays by e⁻¹⁵.
RATE = CUT_OFF / 3.0
METHODS = {
    SHARP: Method(EnergyBlend, overlap=0),
    LUMPED: Method(lambda: BridgingDomain(projection="pointwise", lumped=True), switch=Linear(), conserves=False),
    POINTWISE: Method(lambda: BridgingDomain(projection="pointwise"), switch=Linear()),
    WEAK: Method(BridgingDomain),
    ABSORBED: Method(BridgingDomain, rate=RATE, conserves=False),
}


def frequency(q: Array) -> Array:
    """ω of the chain, q per spacing."""
    return 2.0 * np.sqrt(PAIR.stiffness) * np.abs(np.sin(0.5 * q))


def width(wavelength: float) -> float:
    """The packet's w."""
    return max(60.0, 1.5 * wavelength)


def duration(wavelength: float) -> float:
    """Until the packet's tail, three widths behind its middle, has come from x₀ to the overlap's far end and back to 0, and then some."""
    speed = np.sqrt(PAIR.stiffness) * np.cos(np.pi / wavelength)
    return float((abs(START) + 3.0 * width(wavelength) + 2.0 * OVERLAP + 50.0) / speed)


def line(method: Method, wavelength: float) -> Line:
    """Long enough that neither what is reflected nor what is transmitted meets an end and is back at 0 when the run ends."""
    w = width(wavelength)
    left = round(abs(START) + max(4.0 * w, 250.0))
    right = H * round((6.5 * w + 250.0) / H)
    return Line(PAIR, A, left, method.overlap, right, H, neighbours=1, switch=method.switch)


def packet(sites: Array, wavelength: float) -> tuple[Array, Array]:
    """Displacements and velocities (n,) at numbers of sites."""
    w, k = width(wavelength), 2.0 * np.pi / wavelength
    # A ring that is wide enough for all of the sites and for the packet to vanish at its ends.
    first, n = int(min(sites.min(), START - 8.0 * w)), 1
    while n < max(sites.max(), START + 8.0 * w) - first:
        n *= 2
    x = first + np.arange(n)
    u = HEIGHT * np.exp(-(((x - START) / w) ** 2)) * np.cos(k * (x - START))
    omega = frequency(2.0 * np.pi * np.fft.rfftfreq(n))
    # The mean of v half a step before and after, of a wave whose frequency Verlet raises to (2/τ) asin(ωτ/2).
    slow = omega * np.sqrt(1.0 - (0.5 * omega * TAU) ** 2)
    v = np.fft.irfft(-1j * slow * np.fft.rfft(u), n)
    at = sites - first
    return u[at], v[at]


def masses(model: HybridModel, shape: Line) -> Array:
    """The coupler's; at a sharp seam the atom that is a node has half an atom's mass and half an element's."""
    if shape.overlap:
        return model.coupler.masses(model.interface)
    n = len(shape.atoms)
    m = np.concatenate([np.ones(n), np.full(len(shape.nodes), float(H))])
    m[n - 1], m[-1] = 0.5 * (1.0 + H), 0.5 * H
    return m


@dataclass(frozen=True)
class Crossing:
    """What a packet did.

    Attributes
    ----------
    reflected, total : float
        Energy left of 0, and everywhere, at the end; over the energy at the start.
    absorbed : float
        Booked by a friction, over the energy at the start.
    balance : float
        |end + absorbed − start| of the energy that Verlet keeps, over that at the start.
    times, energies, heats : (n,) arrays
        Of that energy, over its value at the start.
    frames : (n_frames, n_sites) array
        Amplitudes √(u² + v²/ω²) over the packet's height, atoms first.
    sites : (n_sites,) array
        Where.
    """

    reflected: float
    total: float
    absorbed: float
    balance: float
    times: Array
    energies: Array
    heats: Array
    frames: Array
    sites: Array


def left_energy(model: HybridModel, m: Array, q: Array, v: Array) -> float:
    """Kinetic energy of the atoms left of 0 and half of the energy of each of their bonds."""
    e = model.ask(q, {"atoms": Query(Can.SITE_ENERGIES)})["atoms"]["site_energies"]
    atoms = model.interface.reference[:, 0] < -1e-6
    return float(e[: int(atoms.sum())].sum()) + kinetic_energy(m[atoms], v[atoms])


def cross(method: Method, wavelength: float, *, every: int = 50, frames: bool = False) -> Crossing:
    """Let a packet cross from the atoms to the mesh; pictures of it (``frames``) only where they are wanted."""
    shape = line(method, wavelength)
    interface = shape.interface()
    model = HybridModel(interface, method.coupler())
    m = masses(model, shape)
    q, v = interface.reference.copy(), np.zeros_like(interface.reference)
    u, v[:, 0] = packet(shape.sites, wavelength)
    q[:, 0] += u
    friction = FineFriction(interface.bridge("fem"), method.rate) if method.rate else None
    rows: list[tuple[float, float, float]] = []
    seen: list[Array] = []
    steps = round(duration(wavelength) / TAU)
    first = last = None
    for step in verlet(model, q, v, dt=TAU, steps=steps, masses=m, friction=friction):
        first, last = first or step, step
        if step.index % every == 0 or step.converged:
            rows.append((step.index * TAU, leapfrog_energy(step, m, TAU, interface.fixed), step.heat or 0.0))
            if frames:
                slow = step.velocities[:, 0] / frequency(2.0 * np.pi / wavelength)
                seen.append(np.hypot(step.q[:, 0] - interface.reference[:, 0], slow) / HEIGHT)
    t, e, heat = np.array(rows).T
    start = first.energy + kinetic_energy(m, first.velocities)
    end = last.energy + kinetic_energy(m, last.velocities)
    return Crossing(
        left_energy(model, m, last.q, last.velocities) / start,
        end / start,
        -heat[-1] / e[0],
        float(np.abs(e - heat - e[0]).max() / e[0]),
        t,
        e / e[0],
        heat / e[0],
        np.array(seen),
        shape.sites,
    )


def seam(wavelength: float) -> float:
    """R of a sharp seam by theory: the reflection coefficient of two chains at an atom that is a node, averaged over the packet's energy.

    r = (Z_a − Z_f)/(Z_a + Z_f) with Z = √(km) cos(qa/2) on either side, and sin(q_f h/2) = (h/a) sin(q a/2); total reflection beyond.
    """
    q = np.linspace(1e-6, np.pi, 200_001)
    weight = np.exp(-0.5 * (width(wavelength) * (q - 2.0 * np.pi / wavelength)) ** 2) * np.sin(0.5 * q) ** 2
    s = np.sin(0.5 * q)
    za, zf = np.cos(0.5 * q), np.sqrt(np.maximum(1.0 - (H * s) ** 2, 0.0))
    r = np.where(H * s < 1.0, (za - zf) / (za + zf), 1.0)
    return float((weight * r**2).sum() / weight.sum())
