"""A message-passing potential of random weights: silicon with some hydrogen in a sheared periodic cell."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase.build import bulk

from ...models import Mace
from ...models.mace_file import build
from ...region import Region
from ...regions.ml import MLRegion
from ...types import Array
from ..specimen import Specimen

#: Small in every respect, and all that real models have: two layers, vectors, three-body products, a pair repulsion.
TINY: dict[str, Any] = {
    "r_max": 3.5,
    "num_bessel": 4,
    "num_polynomial_cutoff": 5,
    "max_ell": 2,
    "interaction_cls": "RealAgnosticResidualInteractionBlock",
    "interaction_cls_first": "RealAgnosticInteractionBlock",
    "num_interactions": 2,
    "num_elements": 2,
    "hidden_irreps": "4x0e+4x1o",
    "MLP_irreps": "4x0e",
    "atomic_energies": [-13.6, -158.2],
    "avg_num_neighbors": 12.0,
    "atomic_numbers": [1, 14],
    "correlation": 2,
    "gate": "silu",
    "radial_MLP": [8],
    "atomic_inter_scale": 20.0,
    "atomic_inter_shift": 0.1,
}


def random_mace(seed: int = 0, **changed: Any) -> Mace:
    """A MACE of random weights, some of its constructor's arguments changed; a ScaleShiftMACE where it has a scale."""
    arguments = {name: value for name, value in (TINY | changed).items() if value is not None}
    kind = "ScaleShiftMACE" if "atomic_inter_scale" in arguments else "MACE"
    return Mace(build(kind, arguments, seed=seed), name="MACE of random weights")


def _in_cell(region: Region, deform: Array) -> Region:
    assert isinstance(region, MLRegion)
    return region.with_cell(region.cell @ deform.T)


def two_layers() -> Specimen:
    """Thinner than the cutoff along two axes, and long enough along the third for the reach of two layers to end."""
    rng = np.random.default_rng(0)
    atoms = bulk("Si", a=5.431) * (5, 1, 1)
    atoms.symbols[3] = "H"
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + rng.uniform(-0.03, 0.03, (3, 3))), scale_atoms=True)
    atoms.positions += rng.normal(0, 0.04, atoms.positions.shape)
    model = random_mace()
    return Specimen(lambda: MLRegion(model, atoms), atoms.positions, 1e-7, _in_cell)
