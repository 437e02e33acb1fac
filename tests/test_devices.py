"""GPUs dealt out to ranks, and what MPI is handed of them, with fakes: the tests run on CPUs."""

from __future__ import annotations

import ctypes
import types

import numpy as np
import pytest
import torch

from multiscale import devices
from multiscale.devices import device, gpu_aware, hardware, occupy
from multiscale.models.transport import Transport
from multiscale.ranks import World
from multiscale.types import MultiscaleError


@pytest.fixture
def gpus(monkeypatch):
    """A machine with some GPUs, as torch shows it to a process; gives the list of those that were made current."""
    current = []

    def have(count):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.cuda, "set_device", current.append)
        return current

    return have


class Node:
    """The communicator of one rank among several on one node, which hand in what was prepared."""

    def __init__(self, rank, everyone):
        self.rank, self.everyone = rank, everyone

    def Split_type(self, kind, key):
        return self

    def allgather(self, value):
        return self.everyone

    def Free(self):
        pass


def turns(monkeypatch, masks):
    monkeypatch.setitem(devices.sys.modules, "mpi4py.MPI", types.SimpleNamespace(COMM_TYPE_SHARED=1))
    return [World(rank, len(masks), Node(rank, masks)).turn() for rank in range(len(masks))]


@pytest.mark.parametrize(
    ("masks", "counts", "expected"),
    [
        ([""] * 4, [2] * 4, ["GPU 0", "GPU 1", "GPU 0", "GPU 1"]),  # two ranks per GPU
        (["0", "1", "2"], [1] * 3, ["GPU 0", "GPU 1", "GPU 2"]),  # one shown to each
        (["3", "3"], [1] * 2, ["GPU 3", "GPU 3"]),
        (["0,1", "2,3", "0,1", "2,3"], [2] * 4, ["GPU 0", "GPU 2", "GPU 1", "GPU 3"]),  # by the number alone: 0 and 3 twice
        (["0", "1,2", "1,2"], [1, 2, 2], ["GPU 0", "GPU 1", "GPU 2"]),
    ],
)  # fmt: skip
def test_gpus_are_dealt_out_among_ranks_that_see_the_same(gpus, monkeypatch, masks, counts, expected):
    found = []
    for turn, mask, count in zip(turns(monkeypatch, masks), masks, counts, strict=True):
        gpus(count)
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", mask)
        found.append(hardware(device(turn)))
    assert found == expected


def test_without_gpus_nothing_is_touched(gpus, monkeypatch):
    current = gpus(0)
    occupy(device(3))
    assert device(3) == "cpu" == hardware("cpu") and current == []
    current = gpus(2)
    occupy(device(3))
    assert current == [1]
    monkeypatch.delitem(devices.sys.modules, "torch")
    assert device(3) == "cpu"


def library(**answers):
    """A loaded library with some of the functions that MPIs have."""
    return types.SimpleNamespace(**answers)


def mpich(kind):
    def query(asked, flag):
        ctypes.cast(flag, ctypes.POINTER(ctypes.c_int)).contents.value = int(asked == kind)
        return 0

    return library(MPIX_GPU_query_support=query)


@pytest.mark.parametrize(
    ("version", "loaded", "environment", "expected"),
    [
        ("Open MPI v5", library(MPIX_Query_cuda_support=lambda: 1), {}, True),
        ("Open MPI v4", library(MPIX_Query_cuda_support=lambda: 0), {}, False),
        ("Open MPI v5", library(MPIX_Query_cuda_support=lambda: 0, MPIX_Query_rocm_support=lambda: 1), {}, True),
        ("Open MPI v3", library(), {}, False),
        ("MPICH 4.2", mpich(0), {}, True),
        ("MPICH 4.2", mpich(2), {}, True),
        ("MPICH 4.2", mpich(None), {}, False),
        ("MPICH 4.2", mpich(0), {"MPIR_CVAR_ENABLE_GPU": "0"}, False),
        ("MPICH 3.4", library(), {}, False),
        ("CRAY MPICH 8", library(), {"MPICH_GPU_SUPPORT_ENABLED": "1"}, True),
        ("CRAY MPICH 8", library(), {}, False),
        ("Open MPI v5", library(MPIX_Query_cuda_support=lambda: 1), {devices.SWITCH: "0"}, False),
        ("Open MPI v4", library(), {devices.SWITCH: "1"}, True),
    ],
)
def test_mpi_is_asked_whether_it_takes_device_buffers(monkeypatch, version, loaded, environment, expected):
    for name in ("MPIR_CVAR_ENABLE_GPU", "MPICH_GPU_SUPPORT_ENABLED", devices.SWITCH):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    fake = types.SimpleNamespace(Get_library_version=lambda: version, __file__="libfake.so")
    monkeypatch.setitem(devices.sys.modules, "mpi4py.MPI", fake)
    monkeypatch.setattr(devices.ctypes, "CDLL", lambda path: loaded)
    assert gpu_aware() is expected


def test_a_run_without_mpi_asks_nobody(monkeypatch):
    monkeypatch.delenv(devices.SWITCH, raising=False)
    monkeypatch.delitem(devices.sys.modules, "mpi4py.MPI", raising=False)
    assert gpu_aware() is False
    monkeypatch.setenv(devices.SWITCH, "yes")
    with pytest.raises(MultiscaleError, match="is 'yes'; set it to 0"):
        gpu_aware()


@pytest.mark.parametrize("direct", [None, False])
def test_rows_get_to_mpi_and_back(direct):
    """On the CPU MPI has the tensor's own memory; staged, a copy that is written back when all has arrived."""
    way = Transport(torch.device("cpu"), direct)
    rows, ghosts = torch.arange(6.0).reshape(3, 2).requires_grad_(), torch.zeros(5, 2)
    sent = way.outgoing(rows)
    buffer, arrived = way.incoming(ghosts[1:4])
    assert np.shares_memory(sent, rows.detach().numpy()) is way.direct
    buffer[:] = sent
    assert bool(ghosts.any()) is way.direct
    arrived()
    assert torch.equal(ghosts[1:4], rows.detach()) and not ghosts[[0, 4]].any()
    assert way.outgoing(rows.detach()[:, :1]).flags["C_CONTIGUOUS"]


def test_mpi_gets_device_memory_only_when_kernels_have_ended(monkeypatch):
    waited = []
    stream = types.SimpleNamespace(synchronize=lambda: waited.append(True))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: stream)
    way, rows = Transport(torch.device("cuda:1"), direct=True), torch.ones(2, 2)
    assert torch.equal(way.outgoing(rows), rows) and waited == [True]
    buffer, arrived = way.incoming(rows)
    arrived()
    assert buffer.data_ptr() == rows.data_ptr() and waited == [True, True]


def test_a_gpu_is_staged_unless_mpi_says_so(monkeypatch):
    monkeypatch.setenv(devices.SWITCH, "0")
    assert not Transport(torch.device("cuda:0")).direct
    monkeypatch.setenv(devices.SWITCH, "1")
    assert Transport(torch.device("cuda:0")).direct
