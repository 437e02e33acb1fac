"""Chemical symbols as numbers: s ↦ its place in a list of elements; what is not in the list is refused."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import numpy as np

from .types import IntArray, MultiscaleError

#: The error's sentence, given the names of the elements that are not known.
Refusal = Callable[[str], str]


def require(symbols: Sequence[str], elements: Collection[str], refusal: Refusal) -> None:
    """Refuse atoms of elements that are not among those given.

    Raises
    ------
    MultiscaleError
        With the sentence of ``refusal``.

    Examples
    --------
    >>> require(["Si", "H"], ["H", "Si"], lambda unknown: f"there is no {unknown}")
    """
    unknown = sorted(set(symbols) - set(elements))
    if unknown:
        raise MultiscaleError(refusal(", ".join(unknown)))


def numbered(symbols: Sequence[str], elements: Sequence[str], refusal: Refusal) -> IntArray:
    """The place (n,) of every atom's element among those given.

    Raises
    ------
    MultiscaleError
        As :func:`require`.

    Examples
    --------
    >>> numbered(["Si", "H", "H"], ["H", "Si"], lambda unknown: f"there is no {unknown}")
    array([1, 0, 0])
    """
    require(symbols, elements, refusal)
    place = {s: k for k, s in enumerate(elements)}
    return np.array([place[s] for s in symbols], dtype=np.int64)
