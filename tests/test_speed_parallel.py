"""Parts of the case speed_parallel_ml: the modelled scaling, LAMMPS' log, the workers' environment, the check of devices."""

import importlib
import os
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from processes import ROOT

from multiscale.types import MultiscaleError

pytest.importorskip("torch")
FOLDER = ROOT / "cases" / "speed_parallel_ml"


@pytest.fixture(scope="module")
def case():
    """The modules beside the case, out of the table of modules again afterwards: other cases may have files of the same name."""
    names = ("scaling", "lammps_peer", "children", "systems", "measures", "worker", "gpu_check")
    sys.path.insert(0, str(FOLDER))
    try:
        yield SimpleNamespace(**{name: importlib.import_module(name) for name in names})
    finally:
        sys.path.remove(str(FOLDER))
        for name in names:
            sys.modules.pop(name, None)


# -- the modelled scaling --------------------------------------------------------------------------------------


@pytest.fixture
def work(case):
    return case.scaling.Work(site=1e-5, volume=20.0, cutoff=6.0, layers=2, features=100, bytes=4)


def test_ghosts_are_those_of_a_crystal_counted(case, work):
    """Simple cubic, one atom per 20 Å³: atoms in the shell of width r_c around a cube of 20³ of them."""
    a = 20.0 ** (1 / 3)
    reach = int(work.cutoff // a)
    # Lattice planes within the cutoff of the outermost atoms, against planes of a continuum: the cube ends half a spacing beyond these.
    low, high = (20 + 2 * reach) ** 3 - 20**3, (20 + 2 * (reach + 1)) ** 3 - 20**3
    assert low < case.scaling.ghosts(20**3, work) < high


def test_one_rank_only_computes(case, work):
    machine = case.scaling.Machine(listing=0.0)
    spent = case.scaling.parts(1e6, 1, work, machine)
    assert spent == {"model": pytest.approx(10.0), "list": 0.0, "features": 0.0, "replicated": 0.0, "sum": 0.0}


def test_bytes_and_messages_by_hand(case, work):
    """Latency, network and host each alone: the formula of the docstring, term by term."""
    s, n, p = case.scaling, 8e6, 64
    h = s.ghosts(n / p, work)
    off = {"latency": 0.0, "network": np.inf, "host": None, "listing": 0.0}
    assert s.parts(n, p, work, s.Machine(**off | {"latency": 1e-6}))["features"] == pytest.approx(2 * 26e-6)
    assert s.parts(n, p, work, s.Machine(**off | {"network": 1e9}))["features"] == pytest.approx(2 * h * 400 / 1e9)
    assert s.parts(n, p, work, s.Machine(**off | {"host": 1e9}))["features"] == pytest.approx(4 * h * 400 / 1e9)
    assert s.parts(n, p, work, s.Machine(**off | {"network": 1e9}))["sum"] == pytest.approx(48 * n * (63 / 64) / 1e9)
    assert s.parts(n, p, work, s.Machine(**off | {"latency": 1e-6}))["sum"] == pytest.approx(12e-6)
    assert s.parts(n, p, work, s.Machine(**off | {"replicated": 1e-9}))["replicated"] == pytest.approx(8e-3)


def test_strictly_local_models_exchange_nothing(case, work):
    local = case.scaling.Work(**vars(work) | {"layers": 1})
    assert case.scaling.parts(1e6, 8, local, case.scaling.Machine())["features"] == 0.0


def test_replication_takes_its_share_at_the_number_of_ranks_that_is_said(case, work):
    """A saboteur: half of that number, where it takes about half as much."""
    s, machine = case.scaling, case.scaling.Machine(latency=0.0, host=None, replicated=1e-9, listing=0.0)
    local = s.Work(**vars(work) | {"layers": 1})
    ranks = s.ranks_for(0.1, local, machine)
    share = [
        1 - s.efficiency(1e9, round(p), local, machine) / s.efficiency(1e9, round(p), local, machine, False)
        for p in (ranks, ranks / 2)
    ]
    assert share[0] == pytest.approx(0.1, rel=0.02)
    assert share[1] < 0.06


def test_weak_scaling_without_replication_is_flat(case, work):
    """At 10⁵ sites per rank from 64 to 1 024 ranks only the list of neighbours stays what it is."""
    s, machine = case.scaling, case.scaling.Machine()
    first, last = (s.efficiency(1e5 * p, p, work, machine, replicated=False) for p in (64, 1024))
    assert first == pytest.approx(last, rel=1e-12)
    kept = s.Machine(replicated=1e-9)
    assert s.efficiency(1e5 * 1024, 1024, work, kept) < 0.9 * s.efficiency(1e5 * 64, 64, work, kept)


def test_fewer_sites_than_ranks_are_refused(case, work):
    with pytest.raises(MultiscaleError, match="at least one site per rank"):
        case.scaling.parts(10, 20, work, case.scaling.Machine())


# -- LAMMPS ----------------------------------------------------------------------------------------------------

LOG = """POTENTIAL ENERGY -17762.71359966
Loop time of 9.5 on 2 procs for 20 steps with 4096 atoms
98.0% CPU use with 2 MPI tasks x 1 OpenMP threads
Neighbor list builds = 2
Loop time of 0.5 on 2 procs for 200 steps with 4096 atoms
99.0% CPU use with 2 MPI tasks x 1 OpenMP threads
Neighbor list builds = 8
"""


def test_the_last_loop_counts(case):
    timing = case.lammps_peer._read(LOG, 2, 30.0)
    assert (timing.seconds, timing.builds, timing.atoms, timing.busy) == (0.0025, 0.04, 4096, 0.99)


@pytest.mark.parametrize(("log", "ranks", "says"), [(LOG, 1, "2 ranks where 1 were"), ("ERROR: no such", 1, "no such")])
def test_other_ranks_and_broken_logs_are_refused(case, log, ranks, says):
    with pytest.raises(MultiscaleError, match=says):
        case.lammps_peer._read(log, ranks, 30.0)


def test_it_is_found_where_it_is_said_to_be(case, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("LAMMPS", raising=False)
    assert case.lammps_peer.found() is None
    program = tmp_path / "lmp"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert case.lammps_peer.found() == program
    monkeypatch.setenv("LAMMPS", str(tmp_path / "elsewhere"))
    assert case.lammps_peer.found() is None


def test_the_same_crystals(case, tmp_path):
    """With LAMMPS: its energy of the perfect crystal is the model's."""
    lmp = case.lammps_peer.found()
    if lmp is None:
        pytest.skip("LAMMPS is a program of its own under the GPL, never installed with the project; $LAMMPS names one")
    from multiscale.region import Query
    from multiscale.regions.ml import MLRegion

    for kind in ("Stillinger–Weber", "EAM"):
        timing = case.lammps_peer.run(lmp, tmp_path, kind, (4, 4, 4), 20)
        atoms = case.systems.crystal(kind, (4, 4, 4))
        energy = MLRegion(case.systems.model(kind), atoms).evaluate(atoms.positions, Query())["energy"]
        assert timing.atoms == len(atoms)
        assert timing.energy == pytest.approx(energy, rel=1e-8)


# -- workers and steps -----------------------------------------------------------------------------------------


def test_children_see_neither_launcher_nor_allocator(case, monkeypatch):
    for name in ("OMPI_COMM_WORLD_RANK", "PMIX_RANK", "MALLOC_TOP_PAD_"):
        monkeypatch.setenv(name, "1")
    seen = case.children.environment(case.children.KEEPING)
    assert not {"OMPI_COMM_WORLD_RANK", "PMIX_RANK"} & seen.keys()
    assert seen["MALLOC_TOP_PAD_"] == case.children.KEEPING["MALLOC_TOP_PAD_"] != os.environ["MALLOC_TOP_PAD_"]
    assert "MALLOC_TOP_PAD_" not in case.children.environment() and seen["OMP_NUM_THREADS"] == "1"


def test_a_worker_that_ends_is_named_with_what_it_said(case):
    with pytest.raises(MultiscaleError, match=r"(?s)'small' ended at .*KeyError: 'nobody'"):
        with case.children.Worker("small") as worker:
            worker.ask("nobody", "Stillinger–Weber", (2, 2, 2), (0,))


def test_a_clock_counts_what_it_is_put_around_and_nothing_else(case, monkeypatch):
    """A clock of its own, one second per look: two calls of one second each, and one that fails."""
    ticks = iter(range(100))
    monkeypatch.setattr(case.worker.time, "perf_counter", lambda: next(ticks))
    owner, clock = SimpleNamespace(work=lambda x: 1 / x), case.worker.Clock()
    clock.around(owner, "work")
    assert owner.work(2) == 0.5
    next(ticks)
    with pytest.raises(ZeroDivisionError):
        owner.work(0)
    assert (clock.wall, clock.calls) == (2, 2)


def test_steps_that_build_the_list_count_as_often_as_they_occur(case):
    values, built = np.array([1.0, 1.2, 0.8, 3.0]), np.array([0, 0, 0, 1])
    assert case.measures.per_step(values, built, 0.1) == pytest.approx(0.9 * 1.0 + 0.1 * 3.0)
    assert case.measures.per_step(values[3:], built[3:], 0.1) == 3.0


def test_atoms_move_as_far_as_at_room_temperature(case):
    atoms = case.systems.crystal("Stillinger–Weber", (3, 3, 3))
    move = case.systems.Motion("Stillinger–Weber", atoms)
    at = np.array([move(k) - atoms.positions for k in range(0, 2000, 7)])
    assert at.std() == pytest.approx(0.076, rel=0.02)
    # Steps are of a femtosecond: none moves an atom by more than its frequency allows.
    assert np.abs(move(1) - move(0)).max() < np.sqrt(2) * 0.076 * 2 * np.pi * 15.5e-3 * 1.001


def test_more_atoms_need_lists_at_least_as_often(case):
    few, many = (case.systems.builds_per_step("Stillinger–Weber", (n, n, n), 100) for n in (1, 4))
    assert 0 < few <= many < 0.2


# -- devices ---------------------------------------------------------------------------------------------------


def test_devices_agree_and_single_precision_does_not(case):
    """The same ranks in single precision are the saboteur."""
    pytest.importorskip("mace")
    from multiscale.models import Mace
    from multiscale.ranks import World

    potential = Mace(case.systems.module(2))
    assert max(case.gpu_check.agreement(potential, 1, World()).values()) < 1e-10
    assert max(case.gpu_check.agreement(potential, 1, World(), "float32").values()) > 1e-10
