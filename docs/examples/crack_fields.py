"""The numbers of docs/crack_fields.md: crack-tip fields, mixed-mode integrals, J of atoms, the configurational force on a tip."""

import numpy as np

from couplers import EnergyBlend
from multiscale import HybridModel
from multiscale.continuum.generalised import solve_generalised
from multiscale.continuum.interaction import stress_intensities
from multiscale.continuum.jintegral import j_integral
from multiscale.continuum.kfield import KField, crack_faces
from multiscale.continuum.meshing import cracked_disc
from multiscale.continuum.stroh import StrohField
from multiscale.drive import relax
from multiscale.elastic import rotate_stiffness
from multiscale.fracture.atomistic_j import atomistic_j
from multiscale.fracture.configurational import tip_force
from multiscale.fracture.disc import AtomicCrack
from multiscale.fracture.hybrid import HybridCrack
from multiscale.fracture.lattice import Orientation
from multiscale.fracture.material import CrackMaterial
from multiscale.models import StillingerWeber

FRONTS = {"[1-10]": ((1, 1, -2), (1, 1, 1), (1, -1, 0)), "[11-2]": ((-1, 1, 0), (1, 1, 1), (1, 1, -2))}
silicon = CrackMaterial.of(StillingerWeber(three_body_strength=42.0))


def griffith_loads():
    """K_G of (111) cracks by the three fields."""
    print("\nK_G, MPa·√m: clamped, Stroh, free")
    for name, m in (("λ = 21", CrackMaterial.of(StillingerWeber())), ("λ = 42", silicon)):
        for front, axes in FRONTS.items():
            C = rotate_stiffness(m.elastic.relaxed, Orientation(*axes).axes)
            loads = [f.griffith(m.gamma) for f in (KField(C), StrohField(C), KField(C, "free"))]
            print(name, front, *(f"{k:.4f}" for k in loads))


def interaction():
    """K from a quadratic graded disc of 100 Å, mixed mode, front [11-2]."""
    C = rotate_stiffness(CrackMaterial.of(StillingerWeber()).elastic.relaxed, Orientation(*FRONTS["[11-2]"]).axes)
    field, K = StrohField(C), np.array([0.4, -0.3, 0.2])
    print("\nworst error of K in three rings over |K|: h, nodes, Stroh, clamped, free")
    for h, outer in ((1.0, 10.0), (0.5, 9.0), (0.25, 8.0)):
        mesh = cracked_disc(100, 0, h, outer)
        held = np.zeros(mesh.nodes.shape, dtype=bool)
        held[mesh.boundary_nodes(lambda X: np.hypot(X[:, 0], X[:, 1]) > 99)] = True
        start = mesh.nodes + field.displacement(mesh.nodes, K, face=crack_faces(mesh))
        x, rings = solve_generalised(mesh, C, start, held), [(25, 45), (45, 65), (65, 85)]
        errors = []
        for f in (field, KField(C), KField(C, "free")):
            found = stress_intensities(mesh, f, x, rings)
            errors.append(np.abs(found - K[: f.modes]).max() / np.linalg.norm(K))
        print(h, len(mesh.nodes), *(f"{e:.1e}" for e in errors))


def atoms():
    """J of atoms in discs, and the fit J/G = 1 + a s/√R + b(s)/R, s = K/K_G."""
    print("\nall atoms: R, K/K_G, J/(K²/E') in the mean, spread over the rings, relative")
    rows = []
    for R in (30.0, 50.0, 100.0):
        crack = AtomicCrack(silicon, R)
        model = HybridModel(crack.interface(), EnergyBlend())
        for s in (0.7, 1.0, 1.4):
            K = s * silicon.K_griffith
            *_, last = relax(model, crack.at(K), fmax=1e-6)
            J = atomistic_j(model, crack, last.q, [(r, r + 8.0) for r in np.arange(8.0, R - 12.0, 6.0)])
            rows.append((R, s, J.mean() / silicon.field.energy_release_rate(K)))
            print(f"{R:g} {s} {rows[-1][2]:.4f} {np.ptp(J) / J.mean():.1e}")
    R, s, ratio = np.array(rows).T
    terms = np.column_stack([s / np.sqrt(R)] + [(s == k) / R for k in (0.7, 1.0, 1.4)])
    fit, *_ = np.linalg.lstsq(terms, ratio - 1, rcond=None)
    print(
        "a =", *(f"{v:.3f}" for v in fit[:1]), "√Å; b =", *(f"{v:.2f}" for v in fit[1:]), "Å; worst residual", end=" "
    )
    print(f"{np.abs(terms @ fit - ratio + 1).max():.1e}")


def hybrids():
    """The same in hybrids of 200 Å, beside J of the mesh."""
    print("\nhybrid: free radius, K/K_G, J/(K²/E') of atoms: mean, spread; of the mesh in three rings")
    for free in (20.0, 32.0):
        crack = HybridCrack.disc(silicon, free, 200.0, 7.0, 25.0)
        model = HybridModel(crack.interface(), EnergyBlend())
        for s in (0.7, 1.0, 1.3):
            K = s * silicon.K_griffith
            *_, last = relax(model, crack.at(K), fmax=1e-5)
            G = silicon.field.energy_release_rate(K)
            J = atomistic_j(model, crack, last.q, [(5.0, 11.0), (8.0, 14.0), (10.0, 16.0), (5.0, free - 4.0)]) / G
            edges = np.geomspace(free + 12.0, 190.0, 4)
            rings = list(zip(edges[:-1], edges[1:], strict=True))
            mesh = j_integral(crack.mesh, model.interface.regions["fem"].law, last.q[crack.n_free :], rings) / G
            print(f"{free:g} {s} {J.mean():.4f} {np.ptp(J):.1e}", *(f"{j:.4f}" for j in mesh))


def tip_forces():
    """The configurational force: derivative of the energy, and its mean over one period."""
    print("\nconfigurational force over −dE/dα, less one: K/K_G, unrelaxed, relaxed")
    crack = HybridCrack.disc(silicon, 12.0, 60.0, 7.0, 12.0)
    model, tip = HybridModel(crack.interface(), EnergyBlend()), (0.6, 0.0)
    for s in (0.7, 1.0, 1.3):
        K, h = s * silicon.K_griffith, 1e-3
        step = [crack.displacement(K, (tip[0] + d, 0.0)) - crack.displacement(K, tip) for d in (h, -h)]
        q = crack.at(K, tip)
        e = [model.evaluate(q + d).energy for d in step]
        raw = tip_force(model, crack, q, K, tip).total / ((e[1] - e[0]) / (2 * h)) - 1
        *_, last = relax(model, q, fmax=1e-7)
        e = [list(relax(model, last.q + d, fmax=1e-7))[-1].energy for d in step]
        held = tip_force(model, crack, last.q, K, tip).held / ((e[1] - e[0]) / (2 * h)) - 1
        print(f"{s} {raw:.1e} {held:.1e}")
    print("\nmean over one period of α, unrelaxed, J/m²: R, K/K_G, interior, J − 2γ, all dofs")
    for R in (35.0, 60.0):
        crack = AtomicCrack(silicon, R)
        model = HybridModel(crack.interface(), EnergyBlend())
        for s in (0.7, 1.0, 1.3):
            K = s * silicon.K_griffith
            tips = [((k + 0.5) * crack.crystal.spacing / 12, 0.0) for k in range(12)]
            forces = [tip_force(model, crack, crack.at(K, t), K, t) for t in tips]
            mean = [np.mean([f.per_area(part) for f in forces]) for part in ("interior", "total")]
            driving = silicon.field.energy_release_rate(K) - 2 * silicon.gamma
            print(f"{R:g} {s} {mean[0]:.3f} {driving:.3f} {mean[1]:.3f}")


griffith_loads()
interaction()
atoms()
hybrids()
tip_forces()
