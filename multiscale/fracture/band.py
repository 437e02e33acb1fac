"""A crack in a clamped strip: a band of atoms along its plane, finite elements between the band and the grips, and a window that moves.

    |y| ≤ h                 free atoms: the crack runs in them, and its faces lie in them
    h … h + blend           atoms slaved to the mesh, weights blending from the atoms to the continuum
    … + two reaches         pad: slaved atoms that only surround counted ones
    … H/2                   finite elements, held at ±½ ε H on top and below
    both ends               held: opened halves behind, the uniformly strained strip ahead

Nothing depends on x but the crack: a window that moves on by a period P of the crystal and of the mesh's columns is described by the same
atoms, mesh and weights. Dofs change places, q'(X) = q(X + P) − P, matter enters ahead as the grips strain it, and leaves behind, opened:

    E' − E = (½ C′₂₂ ε² H − 2γ) P t + what moves and is not yet at rest there         t the period along the front

which is booked, so that an energy budget closes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ..continuum.laws import Law, LinearElastic
from ..continuum.mesh import SimplexMesh
from ..drive.relax import relax
from ..embedding import Embedding, select, slaved, stack
from ..interface import Interface, Overlay
from ..partition import Nested
from ..protocol import Model
from ..region import Region
from ..regions.continuum import ContinuumRegion
from ..shapes import Slab
from ..switching import Quintic, Switch
from ..types import J_M2_PER_EV_A2, Array, BoolArray, IntArray, MultiscaleError
from .crack import Crack, free_first
from .lattice import CrackCrystal, patch
from .material import CrackMaterial
from .strip import ClampedStrip

#: Relaxations of a uniform strip, each from the middle of the last one.
MOST_TILINGS = 12


@dataclass(frozen=True, eq=False)
class BandCrack(Crack):
    """Geometry, embeddings and loads of a crack in a strip; the loads are strains of the grips.

    Parameters
    ----------
    material : CrackMaterial
    columns : int
        Length of the window in periods of the crystal along x.
    height : float
        H between the grips, Å.
    half : float
        Half the height of the band of free atoms, Å.
    blend : float
        Å.
    coarsest : float
        Å; cells grow from the band, where they are a period wide and high, to this height at the grips.
    law : Law, optional
        Of the continuum; linear elasticity with the material's constants by default.
    switch : Switch

    Raises
    ------
    MultiscaleError
        If there is no room for the pad of atoms between band and grips, or the window is shorter than its height.
    """

    material: CrackMaterial
    columns: int
    height: float
    half: float = 10.0
    blend: float = 6.0
    coarsest: float = 16.0
    law: Law | None = None
    switch: Switch = field(default_factory=Quintic)
    crystal: CrackCrystal = field(init=False)
    n_free: int = field(init=False)

    def __post_init__(self) -> None:
        m = self.material
        reach = m.model.cutoff * m.model.layers
        outer = self.half + self.blend + 2.0 * reach + m.bond
        if outer + m.bond > 0.5 * self.height:
            raise MultiscaleError(
                f"the atoms of the band and its pad reach {outer:.1f} Å from the crack plane, and the grips are {0.5 * self.height:.1f} Å "
                "away; make the strip higher, or the band narrower"
            )
        if self.columns * self.period < 1.5 * self.height:
            raise MultiscaleError(
                f"a window of {self.columns * self.period:.0f} Å is too short for a strip {self.height:.0f} Å high; give it at least "
                f"{int(np.ceil(1.5 * self.height / self.period))} columns"
            )
        x = 0.5 * self.columns * self.period
        crystal = patch(m.orientation, m.a, (-x, x), (-outer, outer))
        crystal, n = free_first(crystal, np.abs(crystal.cells[:, 1]) <= self.half)
        object.__setattr__(self, "crystal", crystal)
        object.__setattr__(self, "n_free", n)

    # -- geometry ----------------------------------------------------------------------------------------------

    @property
    def period(self) -> float:
        """P, Å: by it the window moves."""
        return float(self.material.a * self.material.orientation.repeats[0])

    @cached_property
    def strip(self) -> ClampedStrip:
        """The load."""
        return ClampedStrip(self.material.C, self.height)

    @cached_property
    def mesh(self) -> SimplexMesh:
        """Two structured halves of triangles, a period wide, graded towards the grips."""
        levels = [self.half]
        step = self.period
        while levels[-1] < 0.5 * self.height - 0.5 * step:
            levels.append(levels[-1] + step)
            step = min(1.15 * step, self.coarsest)
        y = self.half + (np.array(levels) - self.half) * (0.5 * self.height - self.half) / (levels[-1] - self.half)
        # Atoms on an edge between cells would belong to one or the other by rounding, and columns would not be alike.
        x = (np.arange(self.columns + 1) - 0.5 * self.columns) * self.period
        x[1:] += 1e-5 * self.period
        grid = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).reshape(-1, 2)
        i, j = np.meshgrid(np.arange(self.columns), np.arange(len(y) - 1), indexing="ij")
        a = (i * len(y) + j).ravel()
        b, c, d = a + len(y), a + len(y) + 1, a + 1
        cells = np.concatenate([np.stack([a, b, c], axis=1), np.stack([a, c, d], axis=1)])
        n = len(grid)
        return SimplexMesh(np.concatenate([grid, grid * [1.0, -1.0]]), np.concatenate([cells, cells + n]))

    @cached_property
    def reference(self) -> Array:
        """The closed, unloaded crack (n_q, 3), Å."""
        return np.concatenate([self.crystal.positions[: self.n_free], self.mesh.nodes])

    def fixed(self) -> BoolArray:
        """Grips, both ends (two reaches of atoms, a column more of nodes), and z of the plane mesh's nodes."""
        m = self.material
        X, n = self.reference, self.n_free
        mask = np.zeros((self.n_q, 3), dtype=bool)
        mask[n:, 2] = True
        end = 0.5 * self.columns * self.period
        # Atoms within two reaches feel the end; slaved ones hand that on to the nodes of their cells.
        reach = m.model.cutoff * m.model.layers
        depth = 2.0 * reach + np.where(np.arange(self.n_q) < n, 0.0, self.period)
        mask[np.abs(X[:, 0]) > end - depth - 1e-6] = True
        mask[n:][self.strip.gripped(X[n:])] = True
        return mask

    # -- loads -------------------------------------------------------------------------------------------------

    def displacement(self, K: object, tip: tuple[float, float] = (0.0, 0.0)) -> Array:
        """The strip's own starting guess at every shared dof (n_q, 3), Å, for the strain ``K`` of the grips."""
        strain = float(np.asarray(K, dtype=float))
        X, n = self.reference, self.n_free
        u = self.strip.displacement(X, strain, tip[0])
        gradient = self.strip.displacement_gradient(X[:n], strain, tip[0])
        u[:n] += np.einsum("nijk,njk->ni", self.material.inner_shift[self.crystal.basis[:n]], gradient)
        return u

    def strain(self, G: float) -> float:
        """The strain of the grips for an energy release rate G, J/m²."""
        return self.strip.strain(G)

    # -- regions -----------------------------------------------------------------------------------------------

    @cached_property
    def _rows(self) -> Embedding:
        c, m = self.crystal, self.material
        rest = slice(self.n_free, None)
        follow = slaved(
            self.mesh, c.positions[rest], self.nodes, self.n_q, m.inner_shift[c.basis[rest]], 0.5 * self.period + m.bond
        )
        return stack(select(np.arange(self.n_free), self.n_q), follow)

    @property
    def margin(self) -> float:
        """The width of the blend, Å."""
        return self.blend

    def place(self, q: Array) -> Array:
        """Where all atoms are (n, 3), Å, for shared dofs q (n_q, 3)."""
        return self._rows.place(q)

    def interface(
        self, extra: dict[str, tuple[Region, Embedding]] | None = None, overlays: dict[str, Overlay] | None = None
    ) -> Interface:
        """The interface of atoms (``ml``) and mesh (``fem``), with further regions laid over it."""
        mesh = ContinuumRegion(
            self.mesh,
            self.law or LinearElastic(self.material.C),
            thickness=self.crystal.period,
            site_volume=self.crystal.site_volume,
            atom_mass=self.material.mass,
            quadrature_degree=4,
        )
        partition = Nested([("ml", Slab((0, 0, 0), (0, 1, 0), self.half), self.blend)], rest="fem", switch=self.switch)
        regions: dict[str, Any] = {
            "ml": (self.region(), self._rows),
            "fem": (mesh, select(self.nodes, self.n_q)),
            **(extra or {}),
        }
        return Interface(
            self.reference, regions, partition, self.fixed(), overlays=overlays, anchors={"ml": self.crystal.cells}
        )

    # -- the moving window -------------------------------------------------------------------------------------

    @cached_property
    def _keys(self) -> tuple[IntArray, IntArray]:
        """Column (n_q,) of each dof, and which dof of a column it is (n_q,)."""
        X = self.reference
        column = np.floor(X[:, 0] / self.period + 1e-6).astype(np.int64)
        rest = np.column_stack([np.arange(self.n_q) >= self.n_free, X[:, 0] - column * self.period, X[:, 1:]])
        # Coordinates closer than a thousandth of an Å are the same.
        _, kind = np.unique(np.round(rest, 3) + 0.0, axis=0, return_inverse=True)
        return column, np.asarray(kind).ravel()

    def _shifted(self, by: int) -> IntArray:
        """The dof (n_q,) that is ``by`` columns ahead of each; −1 where there is none."""
        column, kind = self._keys
        table = np.full((int(np.ptp(column)) + 1, int(kind.max()) + 1), -1)
        table[column - column.min(), kind] = np.arange(self.n_q)
        there = column - column.min() + by
        inside = (there >= 0) & (there < len(table))
        return np.where(inside, table[np.clip(there, 0, len(table) - 1), kind], -1)

    def uniform(self, model: Model, strain: float, **settings: Any) -> tuple[Array, float]:
        """The strip far ahead of any crack: its positions in the whole window (n_q, 3), Å, and G, J/m²; collective.

        Its energy is not exactly ½ C′₂₂ ε² H: atoms are not linear. Only what is relaxed is in equilibrium when it enters the window.

        Parameters
        ----------
        model : Model
            Of this crack.
        strain : float
        **settings
            Of :func:`multiscale.drive.relax`.
        """
        far = (-1e3 * self.height, 0.0)
        energies = []
        for value in (0.0, strain):
            q = self.at(value, far)
            # The ends are held as the middle came to rest, until that changes nothing: what is wrong there decays as exp(−πx/H).
            for _ in range(MOST_TILINGS):
                *_, last = relax(model, q, **settings)
                q = self._tiled(last.q)
                if last.index == 0:
                    break
            energy = model.evaluate(q).energy
            if energy is None:
                raise MultiscaleError(
                    "the energy release rate of a strip needs a coupler with an energy; use energy_blend or ghost_corrected"
                )
            energies.append(energy)
        length = self.columns * self.period
        G = (energies[1] - energies[0]) / (length * self.crystal.period) * J_M2_PER_EV_A2
        return q, float(G)

    def _tiled(self, q: Array) -> Array:
        """Every column as the middle one."""
        column, kind = self._keys
        u = q - self.reference
        middle = np.zeros((int(kind.max()) + 1, 3))
        mine = column == 0
        middle[kind[mine]] = u[mine]
        return self.reference + middle[kind]

    def moved(self, q: Array, ahead: Array, velocities: Array | None = None) -> tuple[Array, Array | None]:
        """The window moved on by a period: positions in its own frame, the lab's less P, and velocities, zero where matter enters.

        Parameters
        ----------
        q : (n_q, 3) array
            Å.
        ahead : (n_q, 3) array
            The strip far ahead (:meth:`uniform`), Å: what enters.
        velocities : (n_q, 3) array, optional
        """
        source = self._shifted(1)
        there = source >= 0
        new = ahead.copy()
        new[there] = q[source[there]] - [self.period, 0.0, 0.0]
        if velocities is None:
            return new, None
        v = np.zeros_like(velocities)
        v[there] = velocities[source[there]]
        # What has come to an end of the window is held there.
        v[self.fixed()] = 0.0
        return new, v
