"""J of a crack in atoms: the conservation law of lattice translations, exact for the discrete energy, summed over a ring.

All sites of a crystal have the same energy function e({D_ij}), and t is a lattice vector along the direction of growth. With any
weights q, one inside a ring and zero outside, and u_i^t = u_{i−t} (the state with its tip one period on), Abel's summation of

    Σ_i (q_i − q_{i+t}) e_i = Σ_i q_i (e_i − e_{i−t}),      e_i − e_{i−t} = Σ_j S_ij · (δu_j − δu_i),   δu_i = u_i − u_{i−t},

S_ij the mean of ∂e_i/∂D_ij along the way from one state to the other, gives the discrete energy–momentum flux through the ring

    (J − 2γ) t b = Σ_ij S_ij · δu_j (q_j − q_i) + Σ_i e_i (q_i − q_{i+t}),

the analogue of ∫ (P_kJ ∂u_k/∂X − W δ_1J) ∂q/∂X_J dV term by term. It is the same for every ring in equilibrium. With S the mean of
both ends its error is of third order in the change of strain over one period. The first sum needs no pair or triplet
forces: the forces F(q) = −∂/∂x Σ q_i e_i of the weighted energy contain it,

    Σ_ij (∂e_i/∂D_ij) · δu_j (q_j − q_i) = Σ_k δu_k · [F_k(q) − q_k F_k(1)],

so that any region with site weights will do, message-passing models included. Sites of the faces carry the surface energy, and a
ring cut by the crack has e_i (q_i − q_{i+t}) sum to −2γ t b over them, exactly: what comes out is the whole driving force J − 2γ.

References: J. D. Eshelby, Phil. Trans. R. Soc. A 244 (1951) 87, DOI 10.1098/rsta.1951.0016, for the continuum; R. E. Jones & J. A.
Zimmerman, J. Mech. Phys. Solids 58 (2010) 1318, DOI 10.1016/j.jmps.2010.06.001, for J from fields made of atoms by averaging,
which this does without.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial import cKDTree

from ..continuum.rings import ring_weight
from ..protocol import Model
from ..region import Can, Query
from ..types import J_M2_PER_EV_A2, Array, IntArray, MultiscaleError
from .crack import Crack
from .lattice import CrackCrystal

_OUTSIDE = (
    "a ring of outer radius {:g} Å has sites whose images one period back or on are not among the atoms; take a smaller ring or more "
    "atoms"
)


def driving_force(
    model: Model,
    crack: Crack,
    q: Array,
    rings: Sequence[tuple[float, float]],
    tip: tuple[float, float] = (0.0, 0.0),
    region: str = "ml",
) -> Array:
    """J − 2γ of the atoms in every ring, J/m²; collective. :func:`atomistic_j` adds 2γ.

    Parameters
    ----------
    model : Model
        Of the crack; ``region`` has SITE_WEIGHTS and SITE_ENERGIES.
    crack : Crack
    q : (n_q, 3) array
        The state, Å; relaxed where the rings are, or else they differ by Σ F·δu of the forces between them.
    rings : pairs of float
        Inner and outer radius r₁ < r₂ of each ring about the tip, Å: r₁ at least one reach of the potential outside the core, and
        within r₂, one reach and one period all atoms present and described by this region alone.
    tip : pair of float
        x, y of the crack tip, Å.
    region : str
        All atoms, numbered as the crack's crystal.

    Returns
    -------
    (n_rings,) array
    """
    X = crack.crystal.positions
    u = model.interface.place(region, q) - X
    t, before, after = _images(crack.crystal)
    answer = model.ask(q, {region: Query(Can.FORCES | Can.SITE_ENERGIES)})[region]
    out = []
    for r1, r2 in rings:
        weight = _weight(X, r1, r2, tip, before)
        shifted = np.where(after >= 0, weight[after], 0.0)
        flux = float(answer["site_energies"] @ (weight - shifted))
        for w, start, end in ((weight, before, None), (shifted, None, after)):
            forces = model.ask(q, {region: Query(Can.FORCES, w)})[region]["forces"] - w[:, None] * answer["forces"]
            push = np.flatnonzero(np.abs(forces).max(axis=1) > 1e-12)
            flux += 0.5 * float((forces[push] * (_at(u, end, push, r2) - _at(u, start, push, r2))).sum())
        out.append(flux / (t * crack.crystal.period))
    return np.array(out) * J_M2_PER_EV_A2


def atomistic_j(
    model: Model,
    crack: Crack,
    q: Array,
    rings: Sequence[tuple[float, float]],
    tip: tuple[float, float] = (0.0, 0.0),
    region: str = "ml",
) -> Array:
    """J (n_rings,), J/m², of the atoms in every ring: :func:`driving_force` and the 2γ of the faces that the rings cut."""
    return driving_force(model, crack, q, rings, tip, region) + 2.0 * crack.material.gamma


def _weight(X: Array, r1: float, r2: float, tip: tuple[float, float], before: IntArray) -> Array:
    """The weights q (n,); refuses a ring that reaches out of the crystal."""
    if not 0 < r1 < r2:
        raise MultiscaleError(f"a ring needs 0 < r₁ < r₂, got {r1} and {r2} Å")
    weight = ring_weight(np.hypot(X[:, 0] - tip[0], X[:, 1] - tip[1]), r1, r2)
    if (before[weight > 0] < 0).any():
        raise MultiscaleError(_OUTSIDE.format(r2))
    return weight


def _images(crystal: CrackCrystal) -> tuple[float, IntArray, IntArray]:
    """The shortest lattice translation along x (in x, Å; it may have a part along the front), and the sites at X − t and X + t.

    Sites (n,) each, −1 where there is none.
    """
    X, box = crystal.positions, np.array([0.0, 0.0, crystal.period])
    home = int(np.argmin(np.hypot(X[:, 0], X[:, 1])))
    step = X[crystal.basis == crystal.basis[home]] - X[home]
    step = step[(np.abs(step[:, 1]) < 1e-6) & (step[:, 0] > 1e-6)]
    if not len(step):
        raise MultiscaleError("the crystal has no two equivalent atoms along x; J needs a disc wider than its period")
    t = step[np.lexsort(np.round(np.abs(step[:, [2, 0]]), 6).T)[0]]
    low = X.min(axis=0) - np.abs(t) - 1.0
    box[:2] = np.ptp(X[:, :2], axis=0) + 4.0 * (
        np.abs(t[:2]) + 1.0
    )  # the tree is periodic along all axes: nothing gets to these

    def within(points: Array) -> Array:
        p = points - low
        p[:, 2] = np.mod(p[:, 2], crystal.period)
        return np.where(p >= box, 0.0, p)

    tree = cKDTree(within(X), boxsize=box)
    found = []
    for sign in (-1.0, 1.0):
        distance, index = tree.query(within(X + sign * t))
        found.append(np.where(distance < 1e-3, index, -1))
    return float(t[0]), found[0], found[1]


def _at(u: Array, image: IntArray | None, sites: IntArray, r2: float) -> Array:
    """Displacements of the images of sites."""
    if image is None:
        return u[sites]
    if (image[sites] < 0).any():
        raise MultiscaleError(_OUTSIDE.format(r2))
    return u[image[sites]]
