"""What benchmarks share: the conditions that times are taken under."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .lazy import REMEDIES
from .types import missing

try:
    import torch
except ImportError as error:  # pragma: no cover - torch is a declared dependency of the models
    raise missing("torch", "A benchmark", REMEDIES["torch"]) from error


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread inside, whatever the environment says; libraries beside it have ``OMP_NUM_THREADS``."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
