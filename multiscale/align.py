"""Energy zeros: what must agree before two descriptions of the same atoms are mixed.

    ε_s = mean over the atoms i of element s of (e_i − e_i')         on a structure that both describe
    aligned:  e_i − ε_s  beside  e_i'

Mixing weights that move turn a difference of site energies into a force (e_i − e_i') ∇w, however smooth the weights
are: 10 meV per atom over a zone of 4 Å is 5 meV/Å. The difference of the energy zeros is arbitrary and is taken off;
what is left is physics.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .region import Can, Query, Region
from .types import Array, MultiscaleError


@dataclass(frozen=True)
class Alignment:
    """What :func:`align` measures.

    Attributes
    ----------
    zeros : mapping of element to float
        eV per atom to take off the first region: its argument ``energy_zero``.
    residual : float
        eV; the largest difference of an atom's energies that is left, NaN where a region has only a total energy.
    """

    zeros: Mapping[str, float]
    residual: float


def bulk_energy_zeros(region: Region, symbols: Sequence[str], x: Array | None = None) -> dict[str, float]:
    """Mean energy per atom of every element, eV, on one structure.

    Parameters
    ----------
    region : Region
        With SITE_ENERGIES, or with ENERGY and atoms of one element; evaluated by this process alone.
    symbols : (n,) sequence of str
        Elements of the region's atoms.
    x : (n, 3) array, optional
        Å; the reference unless given: a perfect crystal at its equilibrium.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from multiscale.models import StillingerWeber
    >>> from multiscale.regions.ml import MLRegion
    >>> silicon = MLRegion(StillingerWeber(), bulk("Si", a=5.43095))
    >>> {s: round(e, 4) for s, e in bulk_energy_zeros(silicon, ["Si", "Si"]).items()}
    {'Si': -4.3366}
    """
    energies = _per_atom(region, symbols, region.reference if x is None else x)
    kinds = np.asarray(symbols)
    return {str(s): float(energies[kinds == s].mean()) for s in np.unique(kinds)}


def align(region: Region, to: Region, symbols: Sequence[str], x: Array | None = None) -> Alignment:
    """The energy zeros that make ``region`` agree, in the mean per element, with ``to`` on one structure.

    Parameters
    ----------
    region, to : Region
        Two descriptions of the same atoms in the same order, evaluated by this process alone.
    symbols : (n,) sequence of str
    x : (n, 3) array, optional
        Å; the first region's reference unless given.
    """
    x = region.reference if x is None else x
    own, other = bulk_energy_zeros(region, symbols, x), bulk_energy_zeros(to, symbols, x)
    zeros = {s: own[s] - other[s] for s in own}
    if not Can.SITE_ENERGIES & region.can & to.can:
        return Alignment(zeros, float("nan"))
    left = _per_atom(region, symbols, x) - _per_atom(to, symbols, x) - zeros_per_atom(symbols, zeros)
    return Alignment(zeros, float(np.abs(left).max(initial=0.0)))


def zeros_per_atom(symbols: Sequence[str], zeros: Mapping[str, float] | None) -> Array:
    """ε_s of every atom (n,), eV; zeros where nothing is given.

    Raises
    ------
    MultiscaleError
        If an element has no zero.
    """
    if zeros is None:
        return np.zeros(len(symbols))
    unknown = sorted(set(symbols) - set(zeros))
    if unknown:
        raise MultiscaleError(
            f"energy zeros are given for {', '.join(zeros)}, but the atoms also contain {', '.join(unknown)}; "
            "give every element a zero"
        )
    return np.array([float(zeros[s]) for s in symbols])


def _per_atom(region: Region, symbols: Sequence[str], x: Array) -> Array:
    """Energies (n,) per atom, eV: the sites', or equal shares of the total."""
    if len(symbols) != region.n_dofs:
        raise MultiscaleError(f"{region.describe()} was given {len(symbols)} symbols; give one for every atom")
    if Can.SITE_ENERGIES in region.can and region.n_sites == region.n_dofs:
        return np.asarray(region.evaluate(x, Query(Can.SITE_ENERGIES)).site_energies)
    if len(set(symbols)) > 1:
        raise MultiscaleError(
            f"{region.describe()} has only a total energy, which does not tell {', '.join(sorted(set(symbols)))} "
            "apart; measure the energy zeros on structures of one element"
        )
    return np.full(region.n_dofs, float(region.evaluate(x, Query(Can.ENERGY)).energy or 0.0) / region.n_dofs)
