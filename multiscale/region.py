"""A region: one description of one piece of matter, linear in its weights.

    E(x ; w) = Σ_s w_s e_s(x)        sites s: atoms, or quadrature points (of a volume or an interface)
    forces        = −∂E/∂x           at fixed w
    site energies = ∂E/∂w = e

Regions know nothing about one another, nor about how they are coupled. A region is evaluated by a *team* of ranks:
each member returns its additive share of the answer, and *the sum over the team is the answer*.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Flag, auto
from typing import Any, ClassVar

import numpy as np

from .lattice import Lattice
from .types import Array, BoolArray, IntArray, MultiscaleError, Team


class Can(Flag):
    """What a region can be asked for. Declared per class (or once at construction), never changed afterwards."""

    NOTHING = 0
    ENERGY = auto()
    FORCES = auto()
    SITE_ENERGIES = auto()
    #: Accepts ``Query.weights``; without it every site counts fully.
    SITE_WEIGHTS = auto()
    STRESS = auto()
    #: Hessian–vector products ∂²E/∂x² · v.
    HVP = auto()
    #: Sites of zero weight cost nothing.
    SUBSETS = auto()
    #: A sparse (approximate or exact) Hessian for preconditioners, through ``Region.stiffness``.
    STIFFNESS = auto()

    def names(self) -> str:
        """The flags as readable text, for error messages."""
        return " | ".join(f.name for f in Can if f in self and f.name) or "nothing"


@dataclass(frozen=True)
class Query:
    """What is asked of a region.

    Attributes
    ----------
    want : Can
        The quantities to return.
    weights : (n_sites,) array or None
        Site weights w; None means one everywhere.
    vector : (n_dofs, 3) array or None
        The direction v of a Hessian–vector product, Å.
    uncounted : bool
        Whether site energies are wanted of sites of weight zero too. If not, a region with SUBSETS leaves them out, and their
        entries mean nothing: moving weights, whose force is e ∇w, have no use for them.
    """

    want: Can = Can.ENERGY | Can.FORCES
    weights: Array | None = None
    vector: Array | None = None
    uncounted: bool = True


@dataclass(frozen=True)
class Answer:
    """One rank's additive share of what was asked; the sum over ranks is the answer.

    None means "does not exist" or "was not asked for"; it is never a zero in disguise.

    Attributes
    ----------
    energy : float or None
        Σ_s w_s e_s, eV.
    forces : (n_dofs, 3) array or None
        −∂E/∂x at fixed w, eV/Å.
    site_energies : (n_sites,) array or None
        e_s = ∂E/∂w_s, eV (not multiplied by the weight).
    stress : (3, 3) array or None
        dE/dε under the homogeneous strain ε of positions and cell (the virial), eV.
    hvp : (n_dofs, 3) array or None
        ∂²E/∂x² · v, eV/Å.
    """

    energy: float | None = None
    forces: Array | None = None
    site_energies: Array | None = None
    stress: Array | None = None
    hvp: Array | None = None

    def __getitem__(self, quantity: str) -> Any:
        """A quantity that must exist, such as ``answer["forces"]``."""
        value = getattr(self, quantity)
        if value is None:
            raise MultiscaleError(
                f"the answer has no {quantity}; ask for them in Query.want, of a region that offers them"
            )
        return value


class Region(ABC):
    """One description of one piece of matter.

    Subclasses set the attributes below and implement :meth:`evaluate`. All attributes are the same on every rank
    and cost nothing to build: meshes are distributed, models loaded and caches filled only by :meth:`bind`, which is called on
    the members of the region's team and nowhere else.

    Attributes
    ----------
    can : Can
        What :meth:`evaluate` can return.
    reservations : str
        Why it offers less than its kind does, if so; quoted wherever it is refused (see :mod:`multiscale.certify`).
    reach : float
        Å; a site's energy depends on no dof farther away than this (infinite for a quantum cluster).
    n_dofs : int
        Number of points x that the region takes, each with three coordinates.
    n_sites : int
        Number of sites, the pieces of matter that the weights count.
    matter : (n_sites,) array
        How many atoms' worth of matter each site is (1 for an atom, volume/(volume per atom) for a quadrature point,
        0 for a link atom, which is no matter of the problem).
    area : (n_sites,) array
        Å² of interface that each site is; zero for volume sites.
    discrete : bool
        True where sites are particles (atoms); False where they sample a field (quadrature points).
    lattice : Lattice or None
        The crystal that a field stands for, where it is known; the atoms it is joined to must be the same one.
    """

    can: Can = Can.NOTHING
    reservations: str = ""
    reach: float = 0.0
    n_dofs: int
    n_sites: int
    matter: Array
    area: Array
    discrete: ClassVar[bool] = True
    lattice: Lattice | None = None
    team: Team = Team()

    @property
    def divisible(self) -> bool:
        """Whether the ranks of a team share the work; if not, the first of them does all of it (a quantum cluster, mostly)."""
        return not self.discrete or bool(np.isfinite(self.reach))

    def bind(self, team: Team) -> None:
        """Give the region the team of ranks it is evaluated by. Called once, by the model, on the team's members."""
        self.team = team

    @abstractmethod
    def evaluate(self, x: Array, query: Query) -> Answer:
        """This rank's additive share of the answer to ``query`` at the positions ``x`` (n_dofs, 3), Å."""

    def abandon(self, error: Exception) -> None:
        """Take note that :meth:`evaluate` raised on this rank; a region whose ranks wait for one another tells those that do."""
        return

    @abstractmethod
    def sites(self, x: Array) -> Array:
        """Positions of the sites (n_sites, 3), Å."""

    @abstractmethod
    def pull_sites(self, v: Array) -> Array:
        """The adjoint of ∂(sites)/∂x applied to ``v`` (n_sites, 3); gives (n_dofs, 3)."""

    @abstractmethod
    def masses(self) -> Array:
        """Lumped mass of every dof (n_dofs,), amu."""

    @abstractmethod
    def covers(self, points: Array) -> BoolArray:
        """Whether the region has matter at the points (n, 3) of the *reference* configuration."""

    @property
    @abstractmethod
    def reference(self) -> Array:
        """Reference positions of the region's dofs (n_dofs, 3), Å."""

    @property
    def joins(self) -> IntArray | None:
        """The two dofs (n_sites, 2) whose atoms feel of each other what a site's law stands for; None where sites join no single atoms."""
        return None

    def sees(self, i: IntArray, j: IntArray) -> BoolArray:
        """Whether the energy knows the dofs i and j (n,) as atoms that may feel each other; fields have none."""
        return np.full(len(i), self.discrete)

    def interpolation(self, points: Array) -> Any:
        """The field at reference points (n, 3): sparse shape functions (n, n_dofs); regions of particles have none."""
        raise MultiscaleError(
            f"{type(self).__name__} has no field between its dofs; interpolate in regions of meshes only (discrete = False), and let those "
            "that are to be bridged to atoms implement interpolation()"
        )

    def distances(self, x: Array, k: int) -> Array:
        """Distance (n_sites,) in Å from every site to dof ``k``; regions with a periodic cell take the nearest image."""
        return np.linalg.norm(self.sites(x) - x[k], axis=1)

    def stiffness(self, x: Array, weights: Array | None = None) -> Any:
        """This rank's additive share of a sparse Hessian (3·n_dofs, 3·n_dofs), eV/Å²; a ``scipy.sparse`` matrix.

        Regions with ``Can.STIFFNESS`` implement it; it only preconditions, so that it may be approximate.
        """
        raise MultiscaleError(
            f"{type(self).__name__} has no stiffness (it offers {self.can.names()}); ask only regions with STIFFNESS"
        )

    def counters(self) -> Mapping[str, float]:
        """What this rank has done so far for the region, by name, for reports; empty where nothing is counted.

        Numbers only grow, or say how things are at present (``"… sites"``). Names that reports and :meth:`Ranks.suggest
        <multiscale.ranks.Ranks.suggest>` know are those below, all of them optional; others are shown as they are.

        - ``"model seconds"``: evaluating, without the next two;
        - ``"exchange seconds"``: messages within the team, *waiting for its other ranks included*;
        - ``"neighbour list seconds"`` and ``"neighbour lists built"``;
        - ``"rebalances"``: how often the team dealt out its sites anew;
        - ``"owned sites"`` and ``"halo sites"``: of this rank at present.

        Called on all members of the team at once, and may be collective within it.
        """
        return {}

    def describe(self) -> str:
        """One line for reports: what kind of region, how many sites."""
        return f"{type(self).__name__} with {self.n_sites} sites, {self.n_dofs} dofs"

    def reserved(self) -> str:
        """The reservations as they are added to a sentence that says what the region offers."""
        return f" ({self.reservations})" if self.reservations else ""

    def check(self, x: Array, query: Query) -> None:
        """Refuse a query that the region cannot answer, or arrays of the wrong shape, before any work is done."""
        who = type(self).__name__
        lacking = query.want & ~self.can
        if lacking:
            raise MultiscaleError(
                f"{who} was asked for {lacking.names()}, but it offers only {self.can.names()}{self.reserved()}"
            )
        if np.shape(x) != (self.n_dofs, 3):
            raise MultiscaleError(f"{who} needs positions of shape ({self.n_dofs}, 3), got {np.shape(x)}")
        if query.weights is not None:
            if Can.SITE_WEIGHTS not in self.can:
                raise MultiscaleError(
                    f"{who} takes no site weights (it offers {self.can.names()}{self.reserved()}); couple it by force "
                    "mixing or subtraction, which weigh whole regions or forces"
                )
            if np.shape(query.weights) != (self.n_sites,):
                raise MultiscaleError(f"{who} needs weights of shape ({self.n_sites},), got {np.shape(query.weights)}")
        if Can.HVP in query.want and (query.vector is None or np.shape(query.vector) != (self.n_dofs, 3)):
            raise MultiscaleError(f"{who} needs Query.vector of shape ({self.n_dofs}, 3) for a Hessian–vector product")
