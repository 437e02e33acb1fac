"""What benchmarks share: the model that is timed, and the conditions that times are taken under."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .lazy import REMEDIES
from .types import missing

try:
    import torch
except ImportError as error:  # pragma: no cover - torch is a declared dependency of the models
    raise missing("torch", "A benchmark", REMEDIES["torch"]) from error

#: MACE of the size of a small production model, by mace-torch's names, without its number of layers: one is strictly local, like ACE.
#: Weights are random; time does not depend on them.
MACE: dict[str, Any] = {
    "r_max": 5.0, "num_bessel": 8, "num_polynomial_cutoff": 5, "max_ell": 3, "num_elements": 1, "hidden_irreps": "32x0e",
    "interaction_cls": "RealAgnosticResidualInteractionBlock", "interaction_cls_first": "RealAgnosticInteractionBlock",
    "MLP_irreps": "16x0e", "atomic_energies": [0.0], "avg_num_neighbors": 28.0, "atomic_numbers": [14], "correlation": 3,
    "gate": "silu", "radial_MLP": [64, 64, 64], "atomic_inter_scale": 1.0, "atomic_inter_shift": 0.0,
}  # fmt: skip


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread inside, whatever the environment says; libraries beside it have ``OMP_NUM_THREADS``."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
