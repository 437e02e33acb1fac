"""Embedded-atom method: e_i = F(ρ_i) + ½ Σ_j φ(r_ij),      ρ_i = Σ_j f_j(r_ij).

F, f and r·φ come tabulated per element (pair) in a ``setfl`` (``eam.alloy``) file and are interpolated by cubic
splines, C² inside the table. At the cutoff the functions are taken as published: forces go to zero continuously, but
the curvature may jump (that of Ercolessi and Adams ends parabolically, with (r·φ)″ = −1.3 eV/Å).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.interpolate import CubicSpline

from ..types import Array, MultiscaleError
from .base import Edges, SiteModel
from .pair_functional import PairFunctional


@dataclass(frozen=True)
class Setfl:
    """The contents of a ``setfl`` file.

    Attributes
    ----------
    symbols : tuple of str
        Elements, n of them.
    d_density, d_r, cutoff : float
        Table steps in ρ and r (Å), and the cutoff, Å; both tables start at zero.
    embedding : (n, n_density) array
        F(ρ), eV.
    density : (n, n_r) array
        f(r) of each element as a neighbour.
    r_phi : (n, n, n_r) array
        r·φ(r), eV·Å, symmetric in the elements.
    """

    symbols: tuple[str, ...]
    d_density: float
    d_r: float
    cutoff: float
    embedding: Array
    density: Array
    r_phi: Array


def read_setfl(path: str | Path) -> Setfl:
    """Read a ``setfl`` file (LAMMPS ``eam/alloy``).

    Raises
    ------
    MultiscaleError
        If the file does not hold what its header announces.
    """
    lines = Path(path).read_text().splitlines()
    try:
        head = lines[3].split()
        n, symbols = int(head[0]), tuple(head[1:])
        n_density, d_density, n_r, d_r, cutoff = (float(word) for word in lines[4].split()[:5])
        words = iter(" ".join(lines[5:]).split())
        embedding, density = np.empty((n, int(n_density))), np.empty((n, int(n_r)))
        for k in range(n):
            for _ in range(4):  # atomic number, mass, lattice constant, lattice type: not part of the potential
                next(words)
            embedding[k] = [float(next(words)) for _ in range(int(n_density))]
            density[k] = [float(next(words)) for _ in range(int(n_r))]
        r_phi = np.empty((n, n, int(n_r)))
        for a in range(n):
            for b in range(a + 1):
                r_phi[a, b] = r_phi[b, a] = [float(next(words)) for _ in range(int(n_r))]
        if len(symbols) != n:
            raise ValueError(f"{n} elements announced, {len(symbols)} named")
    except (ValueError, IndexError, StopIteration, RuntimeError) as error:
        raise MultiscaleError(
            f"'{path}' is not a complete setfl (eam.alloy) file ({error or 'it ends too early'}); funcfl and "
            "eam/fs files "
            "have another layout, convert them to setfl first"
        ) from error
    return Setfl(symbols, d_density, d_r, cutoff, embedding, density, r_phi)


def spline_table(values: Array, step: float, end: str = "not-a-knot") -> torch.Tensor:
    """Not-a-knot cubic spline coefficients (..., n_intervals, 4), highest power first, of ``values`` (..., n).

    ``end="clamped"`` makes the slope at the last knot zero.
    """
    knots = step * np.arange(values.shape[-1])
    coefficients = CubicSpline(knots, values, axis=-1, bc_type=("not-a-knot", end)).c  # (4, n_intervals, ...)
    return torch.tensor(np.moveaxis(coefficients, (0, 1), (-1, -2)).copy(), dtype=torch.float64)


def evaluate_spline(table: torch.Tensor, rows: tuple[torch.Tensor, ...], t: torch.Tensor, step: float) -> torch.Tensor:
    """Values (m,) at t (m,) of the splines that ``rows`` selects; t beyond the table continues its last piece."""
    interval = (t.detach() / step).long().clamp(0, table.shape[-2] - 1)
    c = table[(*rows, interval)]
    # An integer tensor times a float would be single precision.
    u = t - interval.to(t.dtype) * step
    value: torch.Tensor = ((c[:, 0] * u + c[:, 1]) * u + c[:, 2]) * u + c[:, 3]
    return value


def spline_derivatives(
    table: torch.Tensor, rows: tuple[torch.Tensor, ...], t: torch.Tensor, step: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Values and first and second derivatives (m,) of what :func:`evaluate_spline` evaluates."""
    interval = (t / step).long().clamp(0, table.shape[-2] - 1)
    c = table[(*rows, interval)]
    u = t - interval.to(t.dtype) * step
    value = ((c[:, 0] * u + c[:, 1]) * u + c[:, 2]) * u + c[:, 3]
    return value, (3.0 * c[:, 0] * u + 2.0 * c[:, 1]) * u + c[:, 2], 6.0 * c[:, 0] * u + 2.0 * c[:, 1]


class EAM(SiteModel):
    """Embedded-atom potential from a ``setfl`` (``eam.alloy``) file, any number of elements.

    Parameters
    ----------
    path : str or Path
        The file.
    name, doi : str, optional
        For reports and citations.

    Notes
    -----
    Above the largest tabulated density F continues linearly, as in LAMMPS: extrapolated cubics bend down without bound.

    References
    ----------
    M. S. Daw and M. I. Baskes, Phys. Rev. B 29 (1984) 6443, https://doi.org/10.1103/PhysRevB.29.6443.

    Examples
    --------
    >>> EAM.ercolessi_adams().symbols
    ('Al',)
    """

    embedding: torch.Tensor
    density: torch.Tensor
    r_phi: torch.Tensor

    def __init__(self, path: str | Path, *, name: str = "EAM", doi: str = "10.1103/PhysRevB.29.6443") -> None:
        super().__init__()
        data = read_setfl(path)
        self.symbols, self.cutoff, self.name, self.doi = data.symbols, data.cutoff, name, doi
        self.d_r, self.d_density = data.d_r, data.d_density
        self.highest_density = data.d_density * (data.embedding.shape[1] - 1)
        self.register_buffer("embedding", spline_table(data.embedding, data.d_density))
        # A table rounded to a few digits ends with some slope; without it forces are continuous at the cutoff.
        self.register_buffer("density", spline_table(data.density, data.d_r, "clamped"))
        self.register_buffer("r_phi", spline_table(data.r_phi, data.d_r, "clamped"))

    @classmethod
    def ercolessi_adams(cls) -> EAM:
        """Aluminium of Ercolessi and Adams, https://doi.org/10.1209/0295-5075/26/8/005; 4.032 Å, −3.36 eV/atom."""
        path = Path(__file__).parent / "data" / "Al_EA.eam.alloy"
        return cls(path, name="EAM Al (Ercolessi-Adams)", doi="10.1209/0295-5075/26/8/005")

    def forward(self, edges: Edges) -> torch.Tensor:
        """Site energies (n_centres,), eV."""
        r = edges.lengths()
        centre, neighbour = edges.pair_species()
        bond = evaluate_spline(self.r_phi, (centre, neighbour), r, self.d_r) / r
        rho = edges.to_centres(evaluate_spline(self.density, (neighbour,), r, self.d_r))
        return self._embed(rho, edges.species[: edges.n_centres]) + edges.to_centres(0.5 * bond)

    @torch.no_grad()
    def pair_functional(self, edges: Edges) -> PairFunctional:
        """f, F and φ differentiated."""
        r = edges.lengths()
        centre, neighbour = edges.pair_species()
        f, f1, f2 = spline_derivatives(self.density, (neighbour,), r, self.d_r)
        g, g1, g2 = spline_derivatives(self.r_phi, (centre, neighbour), r, self.d_r)
        phi1, phi2 = (g1 - g / r) / r, (g2 - 2.0 * (g1 - g / r) / r) / r
        rho = edges.to_centres(f)
        species, inside = edges.species[: edges.n_centres], rho.clamp(0.0, self.highest_density)
        _, F1, F2 = spline_derivatives(self.embedding, (species,), inside, self.d_density)
        F2 = torch.where(rho == inside, F2, torch.zeros_like(F2))  # linear beyond the table
        slope, curvature = F1[edges.centre] * f1 + 0.5 * phi1, F1[edges.centre] * f2 + 0.5 * phi2
        return PairFunctional(*(a.double().cpu().numpy() for a in (slope, curvature, f1, F2)))

    def _embed(self, rho: torch.Tensor, species: torch.Tensor) -> torch.Tensor:
        inside = rho.clamp(0.0, self.highest_density)
        value = evaluate_spline(self.embedding, (species,), inside, self.d_density)
        last = self.embedding[species, -1]
        h = self.d_density
        slope = (3.0 * last[:, 0] * h + 2.0 * last[:, 1]) * h + last[:, 2]
        return value + slope * (rho - self.highest_density).clamp(min=0.0)
