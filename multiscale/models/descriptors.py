"""Descriptors of an atom's surroundings, written as site models so that they have exact gradients.

    CentroSymmetry   c_i = |Σ_j f(r_ij) D_ij|²            Å²; zero wherever the site's symmetry leaves no vector
    Coordination     c_i = (Σ_j f(r_ij) − n)²             squared deviation from n neighbours

f is 1 up to ``onset``, 0 from ``cutoff`` on and C² in between. A "site energy" of these models is a descriptor, not an energy;
:class:`multiscale.descriptors.RegionDescriptor` hands it to a :class:`~multiscale.descriptors.DescriptorField`.

The centro-symmetry parameter of Kelchner, Plimpton and Hamilton (Phys. Rev. B 58 (1998) 11085,
https://doi.org/10.1103/PhysRevB.58.11085), which LAMMPS' adaptive-precision potentials average over the neighbours
(arXiv:2512.07693), sums |D_j + D_j'|² over opposite pairs of the N nearest neighbours. Here the bond vectors are summed before they
are squared. Both are squares of what breaks the symmetry, both vanish in fcc and bcc and grow at surfaces, stacking faults and
vacancies. Which neighbour is opposite to which, and which is among the N nearest, changes abruptly: the sum over all of them needs no such
choice and is smooth. It also vanishes in diamond, whose sites are no centres of inversion, and it misses what is symmetric about
the atom itself (an interstitial at a tetrahedral site), though not the neighbours of that.
"""

from __future__ import annotations

import torch

from .base import Edges, SiteModel, checked_range, smooth_step


class CentroSymmetry(SiteModel):
    """The square of the sum of bond vectors, |Σ_j f(r_ij) D_ij|², Å².

    Parameters
    ----------
    onset, cutoff : float
        Å; choose them between two shells of the crystal (silicon: 2.35 and 3.84 Å), so that f is 1 on all of the first and
        a homogeneous strain changes nothing.
    symbols : sequence of str
        Elements of the atoms; all count alike.

    References
    ----------
    https://doi.org/10.1103/PhysRevB.58.11085 (the parameter of pairs), arXiv:2512.07693 (its local average as a switch).

    Examples
    --------
    >>> from ase.build import bulk
    >>> from multiscale.region import Can, Query
    >>> from multiscale.regions.ml import MLRegion
    >>> silicon = MLRegion(CentroSymmetry(2.7, 3.6), bulk("Si", a=5.43095))
    >>> bool(abs(silicon.evaluate(silicon.reference, Query(Can.SITE_ENERGIES)).site_energies).max() < 1e-20)
    True
    """

    def __init__(self, onset: float = 2.7, cutoff: float = 3.6, symbols: tuple[str, ...] = ("Si",)) -> None:
        super().__init__()
        self.onset, self.cutoff = checked_range(onset, cutoff, "CentroSymmetry")
        self.symbols, self.name, self.doi = tuple(symbols), "centro-symmetry", "10.1103/PhysRevB.58.11085"

    def forward(self, edges: Edges) -> torch.Tensor:
        """Descriptors (n_centres,), Å²."""
        f = smooth_step(edges.lengths(), self.onset, self.cutoff)
        return (edges.to_centres(f[:, None] * edges.vectors) ** 2).sum(-1)


class Coordination(SiteModel):
    """The squared deviation of the smooth number of neighbours from ``target``.

    Parameters
    ----------
    target : float
        Number of neighbours in the perfect crystal.
    onset, cutoff : float
        Å; between two shells of the crystal.
    symbols : sequence of str
        Elements of the atoms; all count alike.

    Examples
    --------
    >>> Coordination(4.0, 2.7, 3.6).cutoff
    3.6
    """

    def __init__(
        self, target: float = 4.0, onset: float = 2.7, cutoff: float = 3.6, symbols: tuple[str, ...] = ("Si",)
    ) -> None:
        super().__init__()
        self.onset, self.cutoff = checked_range(onset, cutoff, "Coordination")
        self.target, self.symbols, self.name, self.doi = float(target), tuple(symbols), "coordination", ""

    def forward(self, edges: Edges) -> torch.Tensor:
        """Descriptors (n_centres,), dimensionless."""
        f = smooth_step(edges.lengths(), self.onset, self.cutoff)
        return (edges.to_centres(f) - self.target) ** 2
