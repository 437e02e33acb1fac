"""Energy zeros: what must agree before two descriptions of the same atoms are mixed.

    ε_s = mean over the atoms i of element s of (e_i − e_i')         on structures that both describe
    ε = argmin Σ_k [(E_k − E_k' − Σ_s N_ks ε_s)/N_k]²                where there are only total energies of structures k
    aligned:  e_i − ε_s  beside  e_i'

Mixing weights that move turn a difference of site energies into a force (e_i − e_i') ∇w, however smooth the weights
are: 10 meV per atom over a zone of 4 Å is 5 meV/Å. The difference of the energy zeros is arbitrary and is taken off;
what is left is physics, of which :mod:`multiscale.correction` takes the part that is linear in the environment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .region import Can, Query, Region
from .symbols import require
from .types import Array, MultiscaleError


@dataclass(frozen=True)
class Alignment:
    """What :func:`align` measures.

    Attributes
    ----------
    zeros : mapping of element to float
        eV per atom to take off the first region: its argument ``energy_zero``.
    residual : float
        eV; the largest difference of an atom's energies that is left; where a region has only total energies, the largest
        per atom of a structure, and NaN where these determine the zeros exactly.
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


def align_many(pairs: Sequence[tuple[Region, Region]], symbols: Sequence[Sequence[str]]) -> Alignment:
    """The energy zeros by least squares over several structures, at the regions' references.

    Parameters
    ----------
    pairs : sequence of (Region, Region)
        The region to align and the one to align it to, for every structure; evaluated by this process alone.
    symbols : sequence of sequences of str
        Elements of every structure, those of link atoms included; the first region's atoms.

    Notes
    -----
    Where all regions have site energies, the means per element over all atoms. Else total energies, each structure's
    difference per atom weighing the same; the second region then may lack atoms that only the first needs (link atoms).

    Raises
    ------
    MultiscaleError
        If the compositions do not tell the elements apart.
    """
    if not len(pairs) or len(pairs) != len(symbols):
        raise MultiscaleError(f"energy zeros need a pair of regions per structure, got {len(pairs)} and {len(symbols)}")
    elements = tuple(dict.fromkeys(s for structure in symbols for s in structure))
    belongs = [np.array([[float(s == e) for e in elements] for s in structure]) for structure in symbols]
    A, b, sites = equations(pairs, belongs)
    if np.linalg.matrix_rank(A) < len(elements):
        raise MultiscaleError(
            f"total energies of {len(pairs)} structures do not tell {', '.join(elements)} apart; add structures of other "
            "compositions, at least as many as there are elements"
        )
    zeros = np.linalg.lstsq(A, b, rcond=None)[0]
    exact = not sites and len(b) == len(elements)
    residual = float("nan") if exact else float(np.abs(b - A @ zeros).max())
    return Alignment({e: float(z) for e, z in zip(elements, zeros, strict=True)}, residual)


def equations(pairs: Sequence[tuple[Region, Region]], columns: Sequence[Array]) -> tuple[Array, Array, bool]:
    """The least squares for a model of the difference of two levels, which is linear in the numbers of every atom.

    Parameters
    ----------
    pairs : sequence of (Region, Region)
        The two levels, for every structure; evaluated at their references by this process alone.
    columns : sequence of (n_atoms, k) arrays
        What the model's k coefficients multiply at every atom, for every structure.

    Returns
    -------
    rows : (m, k) array
    left : (m,) array
        eV; the difference: one per atom where all regions have site energies, else one per structure, per atom of it.
    sites : bool
        Which of the two.
    """
    sites = all(
        Can.SITE_ENERGIES in r.can and r.n_sites == len(c) for pair, c in zip(pairs, columns, strict=True) for r in pair
    )
    rows, left = [], []
    for pair, atoms in zip(pairs, columns, strict=True):
        one, other = (r.evaluate(r.reference, Query(Can.SITE_ENERGIES if sites else Can.ENERGY)) for r in pair)
        if sites:
            rows.append(atoms)
            left.append(one["site_energies"] - other["site_energies"])
        else:
            rows.append(atoms.mean(axis=0, keepdims=True))
            left.append(np.array([(one["energy"] - other["energy"]) / len(atoms)]))
    return np.concatenate(rows), np.concatenate(left), sites


def aligned(
    high_of: Callable[[Any], Region],
    low_of: Callable[[Any], Region],
    structures: Sequence[Any],
    *,
    energy_scale: float = 1.0,
) -> dict[str, float]:
    """The argument ``energy_zero`` of the better level's regions, by least squares over structures.

    Parameters
    ----------
    high_of, low_of : callable
        ``ase.Atoms`` → Region of these atoms, without an energy zero of its own.
    structures : sequence of ase.Atoms
        What both levels describe: crystals of every element, or clusters with their link atoms.
    energy_scale : float
        The better level's; its zeros are taken off before scaling.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from multiscale.models import StillingerWeber
    >>> from multiscale.regions.ml import MLRegion
    >>> high, low = StillingerWeber(epsilon=2.2), StillingerWeber()
    >>> zeros = aligned(lambda a: MLRegion(high, a), lambda a: MLRegion(low, a), [bulk("Si", a=5.43095)])
    >>> round(zeros["Si"], 4)  # −2 ε per atom
    -0.0634
    """
    found = align_many([(high_of(a), low_of(a)) for a in structures], [a.get_chemical_symbols() for a in structures])
    return {s: z / energy_scale for s, z in found.zeros.items()}


def zeros_per_atom(symbols: Sequence[str], zeros: Mapping[str, float] | None) -> Array:
    """ε_s of every atom (n,), eV; zeros where nothing is given.

    Raises
    ------
    MultiscaleError
        If an element has no zero.
    """
    if zeros is None:
        return np.zeros(len(symbols))
    require(
        symbols,
        zeros,
        lambda unknown: (
            f"energy zeros are given for {', '.join(zeros)}, but the atoms also contain {unknown}; "
            "give every element a zero"
        ),
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
    return np.full(region.n_dofs, float(region.evaluate(x, Query(Can.ENERGY))["energy"]) / region.n_dofs)
