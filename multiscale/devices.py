"""The GPUs of a node, dealt out to its ranks, and whether MPI takes what lies on them.

    device(rank) = visible[turn mod count],     turn: the rank's number among those of its node that see the same GPUs

A launcher may show each rank all GPUs, one of them (``CUDA_VISIBLE_DEVICES`` set per rank) or a part; counting those alone that
see the same leaves no GPU idle in any of the three. With more ranks than GPUs, ranks share them. Without torch, or without a GPU
that it sees, everything is ``"cpu"``.
"""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Any

from .types import MultiscaleError

#: What restricts the GPUs that a process sees, in the order in which it is looked at.
MASKS = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")
#: ``0`` or ``1``: what :func:`gpu_aware` says instead of asking the library.
SWITCH = "MULTISCALE_GPU_AWARE_MPI"
#: Questions that Open MPI answers with 1 where it takes device buffers; it looks at the run, not only at how it was built.
_QUERIES = ("MPIX_Query_cuda_support", "MPIX_Query_rocm_support")
#: Kinds of GPU in MPICH's question of its own: CUDA, Level Zero, HIP.
_KINDS = (0, 1, 2)


def visible() -> str:
    """What this process may see of its node's GPUs, as the launcher said it; empty where nothing was said."""
    return next((os.environ[name] for name in MASKS if name in os.environ), "")


def device(turn: int = 0) -> str:
    """The device of a rank by its turn: ``"cuda:k"`` in torch's numbering, else ``"cpu"``.

    Asks torch only where a region has imported it already; a program without torch computes on the CPU.
    """
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return "cpu"
    return f"cuda:{turn % torch.cuda.device_count()}"


def hardware(device: str) -> str:
    """The device by its number on the node, ``"GPU 3"``, whatever part of the GPUs this process sees; ``"cpu"``."""
    if not device.startswith("cuda:"):
        return device
    number, seen = int(device.removeprefix("cuda:")), [m.strip() for m in visible().split(",") if m.strip()]
    return f"GPU {seen[number] if number < len(seen) else number}"


def occupy(device: str) -> None:
    """Make a GPU the current one of this process, so that no operation opens a context on another's; nothing on the CPU."""
    if device.startswith("cuda:"):
        sys.modules["torch"].cuda.set_device(int(device.removeprefix("cuda:")))


def gpu_aware() -> bool:
    """Whether this run's MPI takes buffers that lie on a GPU; what it does not take has to pass through host memory.

    Open MPI and MPICH are asked through their own extensions, Cray MPICH by ``MPICH_GPU_SUPPORT_ENABLED``; an MPI that says nothing
    does not. ``MULTISCALE_GPU_AWARE_MPI=0`` (or ``1``) in the environment overrides what it says: a library that claims what the
    network below it cannot do ends in a crash. Ranks need not agree: a message does not show where its buffer was.

    Raises
    ------
    MultiscaleError
        When the variable is neither 0 nor 1.
    """
    said = os.environ.get(SWITCH)
    if said is not None:
        if said not in ("0", "1"):
            raise MultiscaleError(f"{SWITCH} is '{said}'; set it to 0 (no device buffers) or 1, or unset it")
        return said == "1"
    mpi = sys.modules.get("mpi4py.MPI")
    return mpi is not None and _says(mpi.Get_library_version(), ctypes.CDLL(mpi.__file__))


def _says(version: str, library: Any) -> bool:
    """What the library that ``mpi4py`` is linked with says; symbols are looked up in what it depends on too."""
    if "cray" in version.lower():
        return os.environ.get("MPICH_GPU_SUPPORT_ENABLED") == "1"
    if os.environ.get("MPIR_CVAR_ENABLE_GPU") == "0":
        return False
    asked = [f for f in (_symbol(library, name) for name in _QUERIES) if f is not None]
    if any(f() == 1 for f in asked):
        return True
    query = _symbol(library, "MPIX_GPU_query_support")
    if query is None:
        return False
    flags = [ctypes.c_int(0) for _ in _KINDS]
    return any(
        [query(kind, ctypes.byref(flag)) == 0 and flag.value == 1 for kind, flag in zip(_KINDS, flags, strict=True)]
    )


def _symbol(library: Any, name: str) -> Any:
    """A function of a loaded library, or None where it has none of that name."""
    try:
        return getattr(library, name)
    except AttributeError:
        return None
