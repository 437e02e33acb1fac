"""What is left of the difference of two levels after alignment, as a linear function of the environment.

    e_i^high − e_i^low ≈ ε_s + Σ_X c_sX (n_X(i) − n_sX^ref),      n_X(i) = Σ_{j of X} f(r_ij),      i of element s

n_X is the smooth number of neighbours of element X: f falls from 1 at ``onset`` to 0 at ``cutoff`` with two continuous
derivatives, so that a crystal whose shells stay off that range keeps its forces, elastic constants and phonons. ε and c are
fitted by least squares, per site where both levels have site energies, else to total energies.
:class:`multiscale.models.corrected.Corrected` adds the fit to a model, exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .align import equations
from .neighbours import NeighbourList
from .region import Region
from .switching import Quintic
from .symbols import numbered
from .types import Array, IntArray, MultiscaleError

#: A coordination number that varies by less than this over all structures cannot be fitted.
CONSTANT = 1e-3

#: ``ase.Atoms`` → Region of these atoms, in this order.
RegionOfAtoms = Callable[[Any], Region]


@dataclass(frozen=True)
class Residual:
    """Root mean square and largest magnitude of a difference, eV per atom."""

    rms: float
    largest: float


@dataclass(frozen=True, eq=False)
class LinearCorrection:
    """What :func:`fit_correction` finds.

    Attributes
    ----------
    elements : tuple of str
    offsets : (k,) array
        ε_s, eV.
    slopes : (k, k) array
        c_sX, eV per neighbour; row s, column X.
    references : (k, k) array
        n_sX^ref, the numbers of neighbours at which an atom of s gets its offset alone.
    onset, cutoff : float
        Å.
    before, after : Residual
        eV per atom, over the structures of the fit: with the best offsets alone, and with slopes.
    """

    elements: tuple[str, ...]
    offsets: Array
    slopes: Array
    references: Array
    onset: float
    cutoff: float
    before: Residual
    after: Residual

    def __call__(
        self, symbols: Sequence[str], x: Array, cell: ArrayLike | None = None, pbc: ArrayLike = False
    ) -> Array:
        """The correction (n,), eV, of every atom at x (n, 3), Å."""
        s = _index(symbols, self.elements)
        n = coordination(symbols, x, cell, pbc, self.elements, self.onset, self.cutoff)
        return self.offsets[s] + np.einsum("ix,ix->i", self.slopes[s], n - self.references[s])

    def __str__(self) -> str:
        terms = [
            f"{s}: {self.offsets[i]:+.6f} eV"
            + "".join(
                f" {self.slopes[i, j]:+.6f} eV·(n_{X} − {self.references[i, j]:.4f})"
                for j, X in enumerate(self.elements)
            )
            for i, s in enumerate(self.elements)
        ]
        b, a = self.before, self.after
        left = f"left per atom: {b.rms:.3g} eV RMS, at most {b.largest:.3g}, by offsets alone; {a.rms:.3g}, {a.largest:.3g} with slopes"
        return "\n".join([*terms, left])


def coordination(
    symbols: Sequence[str],
    x: Array,
    cell: ArrayLike | None,
    pbc: ArrayLike,
    elements: Sequence[str],
    onset: float,
    cutoff: float,
) -> Array:
    """Smooth numbers of neighbours n_X(i), (n, n_elements).

    Parameters
    ----------
    symbols, x, cell, pbc : (n,), (n, 3) Å, (3, 3) Å, (3,)
        Atoms.
    elements : sequence of str
        X, in the order of the columns.
    onset, cutoff : float
        Å; where f begins to fall and where it is zero.

    Examples
    --------
    >>> coordination("AB", np.array([[0.0, 0, 0], [0, 0, 2]]), None, False, ("A", "B"), 2.5, 3.5)
    array([[0., 1.],
           [1., 0.]])
    """
    if not 0.0 < onset < cutoff:
        raise MultiscaleError(
            f"coordination numbers were given onset {onset} Å and cutoff {cutoff} Å; they need 0 < onset < cutoff"
        )
    kind = _index(symbols, elements)
    pairs = NeighbourList(cutoff, np.zeros((3, 3)) if cell is None else cell, pbc, skin=0.0).pairs(np.asarray(x, float))
    f = Quintic()((np.linalg.norm(pairs.vectors, axis=1) - onset) / (cutoff - onset))
    out = np.zeros((len(symbols), len(elements)))
    np.add.at(out, (pairs.i, kind[pairs.j]), f)
    return out


def fit_correction(
    high_of: RegionOfAtoms,
    low_of: RegionOfAtoms,
    structures: Sequence[Any],
    *,
    onset: float,
    cutoff: float,
    references: Mapping[str, Mapping[str, float]] | None = None,
) -> LinearCorrection:
    """Least squares of the difference of two levels over structures.

    Parameters
    ----------
    high_of, low_of : callable
        ``ase.Atoms`` → Region of these atoms in this order, evaluated by this process alone.
    structures : sequence of ase.Atoms
        With the environments that matter: the perfect crystal first, then surfaces, vacancies, defects.
    onset, cutoff : float
        Å, of the coordination numbers; between two shells of the crystal.
    references : mapping of mappings, optional
        n_sX^ref; the means over the first structure unless given.

    Raises
    ------
    MultiscaleError
        If a coordination number is the same in all structures, or total energies are fewer than coefficients.
    """
    if not len(structures):
        raise MultiscaleError("fit_correction was given no structure; give the perfect crystal and some defects")
    elements = tuple(dict.fromkeys(s for atoms in structures for s in atoms.get_chemical_symbols()))
    numbers = [
        coordination(a.get_chemical_symbols(), a.positions, a.cell.array, a.pbc, elements, onset, cutoff)
        for a in structures
    ]
    kinds = [_index(a.get_chemical_symbols(), elements) for a in structures]
    at = _references(elements, kinds[0], numbers[0], references)
    design = [_columns(s, n - at[s], len(elements)) for s, n in zip(kinds, numbers, strict=True)]
    _vary(np.concatenate(design), elements)
    rows, left, sites = equations([(high_of(a), low_of(a)) for a in structures], design)
    k = len(elements)
    if np.linalg.matrix_rank(rows) < rows.shape[1]:
        raise MultiscaleError(
            f"{len(structures)} {'structures' if sites else 'total energies'} do not determine the {rows.shape[1]} coefficients of "
            f"{', '.join(elements)}; give structures with other compositions and environments"
        )
    offsets_only = np.linalg.lstsq(rows[:, :k], left, rcond=None)[0]
    full = np.linalg.lstsq(rows, left, rcond=None)[0]
    return LinearCorrection(
        elements, full[:k], full[k:].reshape(k, k), at, float(onset), float(cutoff),
        _residual(left - rows[:, :k] @ offsets_only), _residual(left - rows @ full),
    )  # fmt: skip


def _columns(s: IntArray, departure: Array, k: int) -> Array:
    """The linear model's columns for every atom (n, k + k²): its element, then its neighbours by its element."""
    mine = np.eye(k)[s]
    return np.concatenate([mine, np.einsum("is,ix->isx", mine, departure).reshape(len(s), k * k)], axis=1)


def _vary(columns: Array, elements: tuple[str, ...]) -> None:
    k = len(elements)
    constant = np.flatnonzero(np.ptp(columns[:, k:], axis=0) < CONSTANT)
    if len(constant):
        s, X = divmod(int(constant[0]), k)
        raise MultiscaleError(
            f"the number of {elements[X]} around {elements[s]} is the same in all structures of the fit; add surfaces, vacancies or "
            "other environments, or align energy zeros alone (multiscale.align)"
        )


def _references(
    elements: tuple[str, ...], kind: IntArray, numbers: Array, given: Mapping[str, Mapping[str, float]] | None
) -> Array:
    if given is not None:
        return np.array([[float(given[s][X]) for X in elements] for s in elements])
    lacking = [s for i, s in enumerate(elements) if not (kind == i).any()]
    if lacking:
        raise MultiscaleError(
            f"the first structure has no {', '.join(lacking)} and gives no reference numbers of neighbours for it; put a structure of "
            "all elements first, or give references"
        )
    return np.array([numbers[kind == i].mean(axis=0) for i in range(len(elements))])


def _residual(left: Array) -> Residual:
    return Residual(float(np.sqrt(np.mean(left**2))), float(np.abs(left).max()))


def _index(symbols: Sequence[str], elements: Sequence[str]) -> IntArray:
    return numbered(
        symbols,
        elements,
        lambda unknown: (
            f"the environment is described by {', '.join(elements)}, but the atoms also contain {unknown}; "
            "fit it with structures of all elements"
        ),
    )
