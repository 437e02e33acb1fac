"""A disc that follows its tip: when the front has moved by whole bond periods, atoms, blend, mesh and overlays are centred on it again.

    t                 the shortest lattice vector along the crack plane, (t_x, 0, t_z): z is shifted too where neighbouring bonds alternate
    q'(X) = X + u(X + k t)      what was k periods ahead is now here: atoms from atoms, nodes from the old mesh, in its hole from atoms
                                … + φ(X) [u_K(X) − u_K(X + k t)]:  far away the K-field about the new tip, φ = 1 on the outer circle

Crystal and mesh look the same from the new tip, so that geometry, weights and model stay what they are and only q changes; regions that are
made for a state (a quantum cluster) are made anew. Matter leaves behind and enters ahead, and the boundary's field moves:

    E' − E = (G − 2γ) k t_x b − …        b the period along the front; the field held about the old tip had released less, by O(k t_x/R)

measured with the nodes at rest and the atoms where they were, and booked, so that energy + booked goes on without a jump. At constant K
each period of growth then releases as much as the one before: what the jumps of a trapped crack dissipate, (G − 2γ) t_x b of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import cKDTree

from .. import gates
from ..continuum.kfield import crack_faces
from ..drive.relax import relax
from ..drive.step import Step
from ..embedding import slaved
from ..protocol import Model
from ..switching import Quintic
from ..types import J_M2_PER_EV_A2, Array, BoolArray, IntArray, MultiscaleError
from .hybrid import HybridCrack
from .lattice import CrackCrystal
from .leaving import Bounds

#: Å; atoms of two copies of a crystal that are nearer than this are the same.
SAME = 1e-4
#: Å; by so much points of a face are looked up within the material.
INTO = 1e-5
#: Unit cells from whose displacements those of a node in the old hole are fitted.
NEAREST = 8


@dataclass(frozen=True)
class Recentring:
    """One move of the disc.

    Attributes
    ----------
    periods : int
        Bond periods; negative where the crack has healed.
    before, after : float or None
        eV; of the old disc, relaxed, and of the new one with nodes relaxed and atoms where they were. None without an energy.
    expected : float
        (G − 2γ) k t_x b, eV: ``after`` − ``before`` in a large disc.
    entered, left : int
        Atoms that have become free, and that are free no more.
    coverage : float
        Largest deviation from one of how often a piece of matter is counted.
    """

    periods: int
    before: float | None
    after: float | None
    expected: float
    entered: int
    left: int
    coverage: float

    def __str__(self) -> str:
        """In words."""
        jump = "" if self.before is None or self.after is None else f", {self.after - self.before:+.4f} eV booked"
        return f"centred anew by {self.periods:+d} bond periods: +{self.entered} −{self.left} free atoms{jump}"


@dataclass(frozen=True)
class Tracked:
    """A relaxed state of a crack that is followed.

    Attributes
    ----------
    state : Step
        In the disc's own frame; ``load`` is K, ``event`` says how the bonds are, and that the disc has been centred anew.
    origin : (3,) array
        Where the disc's centre is in the laboratory, Å, a lattice vector: atoms are at ``crack.place(q) + origin``.
    front : float
        In the laboratory, Å.
    booked : float or None
        eV; Σ (before − after) of all moves so far. ``state.energy + booked`` changes by loading and relaxing alone.
    moved : Recentring or None
        The move that came before this state.
    """

    state: Step
    origin: Array
    front: float
    booked: float | None
    moved: Recentring | None = None


def lattice_vector(crystal: CrackCrystal) -> Array:
    """The shortest lattice vector (3,), Å, along the crack plane and ahead, with 0 ≤ z < the period along the front.

    Examples
    --------
    >>> from multiscale.fracture.lattice import SHUFFLE_111, diamond
    >>> print(lattice_vector(diamond(SHUFFLE_111, 5.43095, 12.0)).round(4))
    [3.3258 0.     1.9201]
    """
    cells = crystal.cells
    home = cells[np.argmin((cells[:, :2] ** 2).sum(axis=1))]
    d = cells - home
    along = d[(np.abs(d[:, 1]) < SAME) & (d[:, 0] > SAME)]
    if not len(along):
        raise MultiscaleError(
            "no lattice vector along the crack plane within the disc of atoms; give a larger free_radius"
        )
    t = along[np.argmin(along[:, 0])]
    return np.array([t[0], 0.0, _within(t[2:], crystal.period)[0]])


def recentred(crack: HybridCrack, q: Array, K: object, periods: int) -> Array:
    """The state of the disc centred ``periods`` bond periods ahead, in its own frame: a guess to be relaxed.

    Parameters
    ----------
    crack : HybridCrack
    q : (n_q, 3) array
        Relaxed in the K-field about the present centre, Å.
    K : float, or one per mode
        MPa·√m.
    periods : int
        Negative ones move back.

    Returns
    -------
    (n_q, 3) array
        Å; fixed dofs are where the K-field about the new centre has them.
    """
    shift = periods * lattice_vector(crack.crystal)
    out = crack.at(K)
    n = crack.n_free
    out[:n] = crack.reference[:n] + _atoms(crack, q, shift)
    out[n:] = crack.mesh.nodes + _nodes(crack, q, K, shift)
    return np.where(crack.fixed(), crack.at(K), out)


def track(
    build: Callable[[Array], Model],
    crack: HybridCrack,
    q: Array,
    loads: Iterable[float],
    *,
    start: float,
    periods: int = 1000,
    home: float | None = None,
    limit: float = 3.0,
    fmax: float = 1e-3,
    max_steps: int = 300,
    energy_noise: float = 1e-9,
    each: Callable[[Step], None] = lambda s: None,
) -> Iterator[Tracked]:
    """Load a crack quasi-statically and follow its tip; a generator of relaxed states, collective.

    At each load the crack is relaxed. As long as its front has moved by a bond period or more, the disc is centred on it anew and relaxed
    again: one load above K₊ makes it grow for ever.

    Parameters
    ----------
    build : callable q -> Model
        The model of the crack for a state (n_q, 3); called anew after every move, so that clusters are carved where the bonds now are.
        Overlays move with the tip. ``lambda q: model`` where there is nothing to carve.
    crack : HybridCrack
    q : (n_q, 3) array
        A state near equilibrium at K = ``start``, Å.
    loads : iterable of float
        K, MPa·√m, one after another.
    start : float
        K of ``q``.
    periods : int
        End after so many bond periods of growth (or healing).
    home : float, optional
        Å; the front, in the disc's frame, of a crack that needs no move; by default that of the first relaxed state.
    limit : float
        Å; longer bonds are broken.
    fmax, max_steps, energy_noise
        Of :func:`multiscale.drive.relax.relax`.
    each : callable
        Sees every step of every relaxation, for progress.

    Yields
    ------
    Tracked

    Raises
    ------
    MultiscaleError
        If a relaxation does not converge, or the front has come to the edge of the free atoms in one go.
    """
    disc = _Disc(crack, Bounds.of(crack, limit), lattice_vector(crack.crystal), each, fmax, max_steps, energy_noise)
    model, load, origin, gone, index = build(q), start, np.zeros(3), 0, 0
    booked: float | None = 0.0
    for K in loads:
        state, moved = disc.rest(model, crack.advance(q, load, K)), None
        load = K
        while True:
            front = disc.front(state.q)
            home = front if home is None else home
            booked = None if state.energy is None else booked
            event = "; ".join(str(s) for s in (moved, state.event) if s)
            yield Tracked(replace(state, index=index, load=K, event=event), origin, front + origin[0], booked, moved)
            index, ahead = index + 1, disc.whole(front - home)
            if abs(gone) >= periods:
                return
            if not ahead:
                break
            at = recentred(crack, state.q, K, ahead)
            model = build(at)
            at, moved = disc.settled(model, at, state, K, ahead)
            origin, gone = origin + ahead * disc.t, gone + ahead
            if booked is not None and moved.before is not None and moved.after is not None:
                booked += moved.before - moved.after
            state = disc.rest(model, at)
        q = state.q


@dataclass(frozen=True)
class _Disc:
    """What stays the same while the disc moves."""

    crack: HybridCrack
    inside: Bounds
    t: Array
    each: Callable[[Step], None]
    fmax: float
    max_steps: int
    energy_noise: float

    def front(self, q: Array) -> float:
        """In the disc's frame, Å."""
        found = self.inside.watch.front(q[: self.crack.n_free])
        if not np.isfinite(found):
            raise MultiscaleError(
                f"no bond across the crack plane is open within {self.crack.free_radius:.4g} Å: there is no front to follow; load the "
                "crack more, make free_radius larger, or give a smaller limit for open bonds"
            )
        return found

    def whole(self, way: float) -> int:
        """Bond periods of a way (Å), towards zero."""
        return int(np.fix(way / self.t[0] + np.sign(way) * 1e-6))

    def relaxed(self, model: Model, q: Array, held: BoolArray | None = None) -> Step:
        """The relaxed state; with more components held than the crack's own where given."""
        last = None
        for last in relax(
            model, q, fmax=self.fmax, max_steps=self.max_steps, energy_noise=self.energy_noise, fixed=held
        ):
            self.each(last)
        assert last is not None
        if not last.converged:
            raise MultiscaleError(
                f"relaxation of a followed crack stopped after {last.index} steps at max|F| = {last.max_force:.2e} eV/Å, above "
                f"{self.fmax:.0e}; take smaller load steps or raise max_steps"
            )
        return last

    def rest(self, model: Model, q: Array) -> Step:
        """The relaxed state from a guess, its front still inside."""
        model.prepare(q)
        last = self.relaxed(model, q)
        self.inside(last.q)
        return replace(last, event=self.inside.watch.state(last.q[: self.crack.n_free]))

    def settled(self, model: Model, q: Array, state: Step, K: float, periods: int) -> tuple[Array, Recentring]:
        """Nodes relaxed about atoms that stay where they are, where there is an energy to book; and the books."""
        crack, after = self.crack, None
        if state.energy is not None:
            model.prepare(q)
            held = crack.fixed()
            held[: crack.n_free] = True
            last = self.relaxed(model, q, held)
            q, after = last.q, last.energy
        m = crack.material
        area = periods * self.t[0] * crack.crystal.period
        expected = (m.field.energy_release_rate(K) - 2.0 * m.gamma) * area / J_M2_PER_EV_A2
        cover = gates.coverage(model.interface, model.coupler, q).values()
        off = max(float(np.abs(c - 1.0).max(initial=0.0)) for c in cover)
        entered, left = _exchanged(crack, periods * self.t)
        return q, Recentring(periods, state.energy, after, expected, entered, left, off)


# -- carrying a state over ---------------------------------------------------------------------------------------


def _same_atom(crystal: CrackCrystal, shift: Array) -> IntArray:
    """The atom (n,) at X + ``shift`` for every atom X, modulo the period along z; −1 where the crystal does not reach."""
    box = np.array([0.0, 0.0, crystal.period])

    def home(X: Array) -> Array:
        X = X.copy()
        X[:, 2] = _within(X[:, 2], crystal.period)
        return X

    tree = cKDTree(home(crystal.positions), boxsize=box)
    distance, atom = tree.query(home(crystal.positions + shift), distance_upper_bound=SAME)
    return np.where(np.isfinite(distance), atom, -1)


def _within(z: Array, period: float) -> Array:
    """Modulo the period, with round-off below zero taken for zero."""
    return np.maximum(np.mod(z + SAME, period) - SAME, 0.0)


def _exchanged(crack: HybridCrack, shift: Array) -> tuple[int, int]:
    """How many atoms become free, and how many are so no more."""
    n = crack.n_free
    before = _same_atom(crack.crystal, shift)[:n]
    after = _same_atom(crack.crystal, -shift)[:n]
    return int(((before < 0) | (before >= n)).sum()), int(((after < 0) | (after >= n)).sum())


def _atoms(crack: HybridCrack, q: Array, shift: Array) -> Array:
    """Displacements (n_free, 3) of what is now the free atoms: of free or slaved atoms of the old frame, or by the mesh beyond them."""
    c, n = crack.crystal, crack.n_free
    source = _same_atom(c, shift)[:n]
    u = (crack.place(q) - c.positions)[source]
    lost = np.flatnonzero(source < 0)
    if len(lost):
        X, Z = c.positions[lost] + shift, crack.material.inner_shift[c.basis[lost]]
        u[lost] = slaved(crack.mesh, X, crack.nodes, crack.n_q, Z, crack.material.bond).place(q) - X
    return u


def _nodes(crack: HybridCrack, q: Array, K: object, shift: Array) -> Array:
    """Displacements (n_nodes, 3) of the nodes; the module's docstring says from what."""
    X, field = crack.mesh.nodes, crack.material.field
    face = crack_faces(crack.mesh)
    new = field.displacement(X, K, face=face.astype(float))
    old = X + [shift[0], 0.0, 0.0]
    looked = old + np.outer(INTO * face, [0.0, 1.0, 0.0])
    known = crack.mesh.contains(looked)
    hole = ~known & (np.hypot(*old[:, :2].T) < crack.free_radius + 0.5 * crack.blend)
    u = new.copy()
    u[known] = crack.mesh.shape(looked[known]) @ (q[crack.n_free :] - X)
    u[hole] = _from_cells(crack, q, looked[hole])
    # Smoothly from what was to what the field about the new tip says.
    r, inner = np.hypot(*X[:, :2].T), crack.free_radius + crack.blend
    outer = r.max() - abs(shift[0])
    phi = 1.0 - np.asarray(Quintic()(np.clip((r - inner) / (outer - inner), 0.0, 1.0)))
    change = new - field.displacement(old, K, face=face.astype(float))
    inside = known | hole
    u[inside] += (phi[:, None] * change)[inside]
    return np.where(np.isfinite(u), u, new)


def _from_cells(crack: HybridCrack, q: Array, points: Array) -> Array:
    """Displacements (n, 3) at points in the hole: affine fits to those of the nearest unit cells on the same side of the crack plane."""
    c = crack.crystal
    _, first, cell = np.unique(np.round(c.cells, 6), axis=0, return_index=True, return_inverse=True)
    centres = c.cells[first]
    u = np.zeros((len(centres), 3))
    # Inner shifts cancel in the mean of a cell.
    np.add.at(u, cell.ravel(), crack.place(q) - c.positions)
    u /= np.bincount(cell.ravel())[:, None]
    out = np.empty((len(points), 3))
    for side in (1.0, 0.0, -1.0):
        mine = np.flatnonzero(np.sign(points[:, 1]) == side)
        # Bonds across the plane are cells of both faces: their mean means nothing behind the tip.
        theirs = np.flatnonzero((side * centres[:, 1] > SAME) | (side == 0))
        near = theirs[cKDTree(centres[theirs, :2]).query(points[mine, :2], k=NEAREST)[1]]
        d = centres[near, :2] - points[mine, None, :2]
        moments = np.concatenate([np.ones((*d.shape[:2], 1)), d], axis=2)
        out[mine] = np.einsum("nk,nki->ni", np.linalg.pinv(moments)[:, 0], u[near])
    return out
