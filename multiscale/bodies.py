"""Bodies: which piece of matter each atom belongs to, so that what acts across their interface can be told from what acts within them.

E(all) = Σ_bodies E(body alone) + E_across
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from .types import IntArray, MultiscaleError


def labelled(bodies: ArrayLike, n: int) -> IntArray:
    """One label (n,) per atom, checked.

    Raises
    ------
    MultiscaleError
        If there is not one integer per atom, or only one body.
    """
    labels = np.asarray(bodies)
    if labels.shape != (n,) or not np.issubdtype(labels.dtype, np.integer):
        raise MultiscaleError(
            f"bodies need one integer per atom, ({n},); got {labels.dtype} of shape {labels.shape}; "
            "multiscale.bodies.parted makes them from lists of atoms"
        )
    if len(np.unique(labels)) < 2:
        raise MultiscaleError(
            f"bodies were given with {len(np.unique(labels))} label for all {n} atoms; two bodies or more are needed, or leave bodies out"
        )
    return labels.astype(np.int64)


def parted(n: int, *bodies: Sequence[int] | IntArray) -> IntArray:
    """Labels (n,) of atoms from one list of atoms per body: 0 for the first, 1 for the second and so on.

    Raises
    ------
    MultiscaleError
        If an atom is on two lists or on none.

    Examples
    --------
    >>> parted(4, [0, 1], [2, 3]).tolist()
    [0, 0, 1, 1]
    """
    count = np.zeros(n, dtype=np.int64)
    labels = np.zeros(n, dtype=np.int64)
    for k, atoms in enumerate(bodies):
        chosen = np.unique(np.asarray(atoms, dtype=np.int64))
        if len(chosen) and not (0 <= chosen[0] and chosen[-1] < n):
            raise MultiscaleError(
                f"body {k} lists atoms {chosen[0]} … {chosen[-1]}, but there are {n}; atoms are numbered from 0"
            )
        count[chosen] += 1
        labels[chosen] = k
    for wrong, what in ((count > 1, "on more than one list"), (count == 0, "on none of the lists")):
        if wrong.any():
            some = np.flatnonzero(wrong)
            raise MultiscaleError(
                f"atom {some[0]} is {what} ({len(some)} such atoms): every atom belongs to one body, or else what it takes part in is "
                "counted twice or not at all"
            )
    return labelled(labels, n)
