"""Answers as one row of numbers: what a question asks for, in an order that is the same on all ranks, so that one sum completes it.

shares of this rank  →  values in the order of the layout  →  Σ_ranks  →  answers
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .region import Answer, Can, Query, Region
from .types import Array, MultiscaleError

#: Region, quantity and shape of everything that one question asks for, in the order in which it is summed over ranks.
Layout = list[tuple[str, str, tuple[int, ...]]]
#: The additive quantities of an answer in the order in which they are summed over ranks.
_FIELDS: tuple[tuple[Can, str], ...] = (
    (Can.ENERGY, "energy"),
    (Can.FORCES, "forces"),
    (Can.SITE_ENERGIES, "site_energies"),
    (Can.STRESS, "stress"),
    (Can.HVP, "hvp"),
)


def layout_of(regions: Mapping[str, Region], queries: Mapping[str, Query]) -> Layout:
    """The layout of a question to some of the regions."""
    layout: Layout = []
    for name, query in queries.items():
        r = regions[name]
        shapes = {
            "energy": (),
            "forces": (r.n_dofs, 3),
            "site_energies": (r.n_sites,),
            "stress": (3, 3),
            "hvp": (r.n_dofs, 3),
        }
        layout += [(name, field, shapes[field]) for flag, field in _FIELDS if flag in query.want]
    return layout


def packed(shares: Mapping[str, Answer], layout: Layout) -> list[Array]:
    """This rank's share of every quantity in its shape; zeros where the rank takes no part.

    Raises
    ------
    MultiscaleError
        If a region has left out what it was asked for.
    """
    return [_value(shares, *entry) for entry in layout]


def _value(shares: Mapping[str, Answer], name: str, field: str, shape: tuple[int, ...]) -> Array:
    if name not in shares:
        return np.zeros(shape)
    value = getattr(shares[name], field)
    if value is None:
        raise MultiscaleError(
            f"region '{name}' was asked for {field} and returned none; its declared capabilities are wrong"
        )
    return np.asarray(value, dtype=float).reshape(shape)


def unpacked(regions: Mapping[str, Region], layout: Layout, values: Sequence[Array]) -> dict[str, Answer]:
    """Complete answers of the summed values.

    Raises
    ------
    MultiscaleError
        If some of them are not numbers, with the first atom or node.
    """
    fields: dict[str, dict[str, Any]] = {}
    for (name, field, shape), value in zip(layout, values, strict=True):
        shaped = value.reshape(shape)
        # The sum is as finite as its terms, and several times faster to look at.
        if not np.isfinite(value.sum()) and not np.isfinite(value).all():
            raise MultiscaleError(_not_finite(regions[name], name, field, shaped))
        fields.setdefault(name, {})[field] = float(shaped) if field == "energy" else shaped
    return {name: Answer(**f) for name, f in fields.items()}


def _not_finite(region: Region, name: str, field: str, value: Array) -> str:
    which = ""
    if value.ndim == 2 and value.shape != (3, 3):
        kind = "atom" if region.discrete else "node"
        which = f" at {kind} {int(np.flatnonzero(~np.isfinite(value).all(axis=1))[0])}"
    return (
        f"region '{name}' returned {field} that are not numbers{which}; look for atoms that came too close, or a model "
        "used outside its range"
    )
