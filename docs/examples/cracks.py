"""The numbers of docs/cracks.md: multiple time steps, and discs that follow their tip."""

import sys
import time

import ase
import numpy as np
from ase import units
from ase.build import bulk

from couplers import EnergyBlend, ForceMixing
from multiscale import Cylinder, HybridModel, Interface, Nested, Overlay
from multiscale.drive import kinetic_energy, relax, respa, thermal_velocities, verlet
from multiscale.elastic import bulk_modulus
from multiscale.fracture.atomistic_j import atomistic_j
from multiscale.fracture.carry import lattice_vector, recentred
from multiscale.fracture.hybrid import HybridCrack
from multiscale.fracture.material import CrackMaterial
from multiscale.fracture.tracking import track
from multiscale.models import StillingerWeber
from multiscale.regions.ml import MLRegion
from multiscale.regions.qm import QMRegion
from multiscale.regions.rescale import tune_rescaling
from multiscale.types import J_M2_PER_EV_A2

silicon = CrackMaterial.of(StillingerWeber(three_body_strength=42.0))
K_G = silicon.K_griffith


# -- multiple time steps -----------------------------------------------------------------------------------------


def crystal(strength):
    """64 atoms of silicon."""
    atoms = bulk("Si", "diamond", a=silicon.a, cubic=True).repeat(2)
    region = MLRegion(StillingerWeber(three_body_strength=strength), atoms)
    return HybridModel(Interface(region.reference, {"ml": region}, Nested([], rest="ml")), EnergyBlend())


def energy():
    """Cheap λ = 42, dear λ = 21, 1 fs, 2 ps at about 300 K: what E_dear + K wanders by, and Verlet's with as many dear evaluations."""
    dear, cheap, dt, time_fs = crystal(21.0), crystal(42.0), 1.0 * units.fs, 2048
    q = dear.interface.reference
    masses = dear.coupler.masses(dear.interface)
    v = thermal_velocities(masses, 600.0, 1)

    for model in (cheap, dear):
        stiffest = np.linalg.eigvalsh(model.jacobian(q).toarray())[-1]
        print(f"half of the fastest period: {np.pi / np.sqrt(stiffest / masses[0]) / units.fs:.1f} fs")

    def wanders(steps):
        total, evaluations = [], 0
        for s in steps:
            total.append(s.energy + kinetic_energy(masses, s.velocities))
            evaluations = s.evaluations
            if abs(total[-1] - total[0]) > 2.0:
                return f"{evaluations} grows"
        slope = np.polyfit(np.arange(len(total)) / len(total), total, 1)[0]
        return f"{evaluations} {1e3 * np.std(total):.2f} {1e3 * slope:+.2f}"

    print("n, dear evaluations, standard deviation and drift of the energy, meV: RESPA; Verlet with n Δt")
    for n in (1, 2, 4, 8, 16, 20, 24, 28):
        total = time_fs // n * n
        multiple = wanders(respa(dear, cheap, q, v, dt=dt, every=n, steps=total))
        single = wanders(verlet(dear, q, v, dt=n * dt, steps=total // n))
        print(n, multiple, "|", single, flush=True)


def disc(free=14.0, radius=60.0, h_outer=15.0, blend=6.0):
    """Atoms in a mesh."""
    return HybridCrack.disc(silicon, free, radius, 5.0, h_outer, blend=blend)


def settled(model, q, fmax=1e-6, **settings):
    """The relaxed state."""
    *_, last = relax(model, q, fmax=fmax, **settings)
    return last


def quantum(crack, scale):
    """A function of a state: the model with GFN1-xTB over the tip, its cluster carved with the bonds of that state."""

    def build(q):
        cluster = crack.cluster(q, 4.1, hops=1, periods=1)
        rows = crack.over(cluster)
        atoms = ase.Atoms(cluster.all_symbols, rows.place(crack.reference))
        region = QMRegion(
            atoms, link_atoms=cluster.link_atoms, accuracy=1.0, electronic_temperature=1000.0,
            length_scale=scale.length_scale, energy_scale=scale.energy_scale,
        )  # fmt: skip
        overlay = Overlay(Cylinder((0.0, 0.0, 0.0), 2.6), 1.5)
        print(f"  cluster: {int((~region.link_atoms).sum())} silicon, {int(region.link_atoms.sum())} link atoms")
        return HybridModel(crack.interface({"qm": (region, rows)}, {"qm": overlay}), ForceMixing())

    return build


def scaled():
    """Lengths and energies of GFN1-xTB that give the cheap model's crystal."""
    return tune_rescaling(silicon.a, bulk_modulus(silicon.elastic.relaxed), stiffness=silicon.elastic.unrelaxed)


def quantum_steps():
    """A quantum core at the tip of a crack at K_G: what n costs and changes."""
    crack, dt, steps = disc(), 1.0 * units.fs, 48
    cheap = HybridModel(crack.interface(), EnergyBlend())
    q = settled(cheap, crack.at(K_G), 1e-4).q
    dear = quantum(crack, scaled())(q)
    masses = np.where(np.arange(len(q)) < crack.n_free, silicon.mass, 28.0855)
    v = thermal_velocities(masses, 600.0, 2, fixed=crack.fixed(), at_rest=False)
    v[crack.n_free :] = 0.0
    core, first = dear.interface.overlay_weights("qm") > 0, None
    print("\nQM at the tip, 48 fs: n, dear evaluations, s, largest difference of a core atom's position from n = 1, Å")
    for n in (1, 2, 4, 8, 16):
        clock = time.perf_counter()
        *_, last = respa(dear, cheap, q, v, dt=dt, every=n, steps=steps, masses=masses)
        seconds = time.perf_counter() - clock
        first = last.q if first is None else first
        print(n, last.evaluations, f"{seconds:.1f}", f"{np.abs(last.q - first)[core].max():.1e}", flush=True)
    print("of which the atoms had moved", f"{np.abs(first - q)[core].max():.2f}")


# -- following the tip -------------------------------------------------------------------------------------------


def pair(crack, model, share):
    """Equilibria at share·K_G with the tip at the centre of its field, and a bond period ahead."""
    a = settled(model, crack.at(share * K_G))
    up = settled(model, crack.advance(a.q, share * K_G, 1.46 * K_G))
    return a, settled(model, crack.advance(up.q, 1.46 * K_G, share * K_G))


def repeats():
    """What is left between a state centred anew and one that was at the centre, and the energies of a period."""
    print(
        "\nfree, R, K/K_G | max |Δq|, Å, ΔE, eV, evaluations | E − E_ahead, eV | (G − 2γ) t b, off/(G t b) | with J of the atoms, off"
    )
    for free, radius, share in (
        (14, 60, 1.0),
        (14, 60, 1.3),
        (14, 120, 1.0),
        (14, 120, 1.3),
        (20, 120, 1.0),
        (20, 120, 1.3),
    ):
        crack = disc(free, radius, radius / 4)
        model = HybridModel(crack.interface(), EnergyBlend())
        a, b = pair(crack, model, share)
        moved = settled(model, recentred(crack, b.q, share * K_G, 1))
        period = lattice_vector(crack.crystal)[0] * crack.crystal.period / J_M2_PER_EV_A2
        G, gain = silicon.field.energy_release_rate(share * K_G), a.energy - b.energy
        far = (G - 2 * silicon.gamma) * period
        J = np.mean([atomistic_j(model, crack, s.q, [(5.0, free - 4.0)])[0] for s in (a, b)])
        near = (J - 2 * silicon.gamma) * period
        print(
            free, radius, share, "|", f"{np.abs(moved.q - a.q).max():.1e} {moved.energy - a.energy:.0e} {moved.evaluations} | {gain:.4f} |",
            f"{far:.4f} {(gain - far) / (G * period):+.4f} | {near:.4f} {(gain - near) / (G * period):+.4f}",
        )  # fmt: skip


def follow(build, crack, loads, periods, **settings):
    """Print every state of a crack that is followed."""
    clock = time.perf_counter()
    for s in track(build, crack, crack.at(K_G), loads, start=K_G, periods=periods, **settings):
        m = s.moved
        jump = "" if m is None or m.after is None else f"{m.after - m.before:.4f} ({m.expected:.4f})"
        E = "" if s.state.energy is None else f"{s.state.energy:.4f} {s.state.energy + s.booked:.4f}"
        print(f"{s.state.load / K_G:.3f} {s.front:.2f} {s.state.evaluations} | {E} | {jump}", flush=True)
    print(f"{time.perf_counter() - clock:.1f} s")


def growth():
    """Held above K₊."""
    crack = disc()
    model = HybridModel(crack.interface(), EnergyBlend())
    print("\nK/K_G, front, evaluations | E, E + booked | jump booked, (G − 2γ) t b")
    follow(lambda q: model, crack, [K_G, 1.46 * K_G], 8, fmax=1e-5)


if __name__ == "__main__":
    parts = (energy, quantum_steps, repeats, growth)
    for part in parts:
        if len(sys.argv) == 1 or part.__name__ in sys.argv[1:]:
            part()
