"""Files: atomic, in full precision, readable by others; checkpoints that restart exactly or refuse."""

import json

import ase.io
import numpy as np
import pytest

from multiscale import checkpoint
from multiscale.checkpoint import Checkpoint
from multiscale.output import atomic, write_atoms, write_json
from multiscale.types import MultiscaleError

RNG = np.random.default_rng(3)


def test_json_keeps_every_bit(tmp_path):
    values = RNG.normal(size=50) * 10.0 ** RNG.integers(-200, 200, 50)
    write_json(tmp_path / "a" / "x.json", {"v": values, "n": np.int64(3), "b": np.bool_(True), "t": (1, 2)})
    read = json.loads((tmp_path / "a" / "x.json").read_text())
    assert np.array_equal(read["v"], values)
    assert (read["n"], read["b"], read["t"]) == (3, True, [1, 2])


def test_json_is_strict(tmp_path):
    write_json(tmp_path / "x.json", {"v": [float("nan"), float("inf"), 1.0]})
    assert json.loads((tmp_path / "x.json").read_text(), parse_constant=pytest.fail)["v"] == [None, None, 1.0]


def test_an_interrupted_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic(path) as file:
        file.write("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_atoms_come_back(tmp_path):
    x, w, f = RNG.normal(size=(5, 3)), RNG.uniform(size=5), RNG.normal(size=(5, 3))
    path = tmp_path / "atoms.extxyz"
    write_atoms(
        path,
        ["Si"] * 4 + ["H"],
        x,
        np.diag([9.0, 8.0, 7.0]),
        (True, False, True),
        {"w_qm": w, "f": f},
        info={"K": 0.65},
    )
    atoms = ase.io.read(path)
    assert atoms.get_chemical_symbols() == ["Si"] * 4 + ["H"]
    assert list(atoms.pbc) == [True, False, True] and atoms.info["K"] == 0.65
    # ASE writes eight decimals.
    for got, wanted in ((atoms.positions, x), (atoms.arrays["w_qm"], w), (atoms.arrays["f"], f)):
        assert np.abs(got - wanted).max() <= 5e-9


def test_a_trajectory_grows(tmp_path):
    for k in range(3):
        write_atoms(tmp_path / "t.extxyz", ["Ar"], np.full((1, 3), float(k)), append=True)
    assert [a.positions[0, 0] for a in ase.io.read(tmp_path / "t.extxyz", ":")] == [0.0, 1.0, 2.0]


def test_a_column_of_the_wrong_length_is_refused(tmp_path):
    with pytest.raises(MultiscaleError, match=r"'w_qm'.*3 rows.*2 atoms"):
        write_atoms(tmp_path / "a.extxyz", ["Ar", "Ar"], np.zeros((2, 3)), arrays={"w_qm": np.ones(3)})
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_restarts_exactly(tmp_path):
    state = Checkpoint(7, RNG.normal(size=(4, 3)), {"v": RNG.normal(size=(4, 3))})
    checkpoint.save(tmp_path / "c.npz", state, {"K": 0.1, "steps": (1, 2)})
    back = checkpoint.load(tmp_path / "c.npz", {"K": 0.1, "steps": [1, 2]})
    assert back.step == 7 and np.array_equal(back.q, state.q) and np.array_equal(back.arrays["v"], state.arrays["v"])
    assert back.q.dtype == np.float64


def test_a_checkpoint_of_other_settings_names_the_key(tmp_path):
    checkpoint.save(tmp_path / "c.npz", Checkpoint(1, np.zeros((1, 3))), {"K": 0.1, "n": 3})
    with pytest.raises(MultiscaleError, match=r"K: 0\.1 there, 0\.2 here"):
        checkpoint.load(tmp_path / "c.npz", {"K": 0.2, "n": 3})
    with pytest.raises(MultiscaleError, match="n: 3 there, 'absent' here"):
        checkpoint.load(tmp_path / "c.npz", {"K": 0.1})


def test_a_spoilt_checkpoint_is_refused(tmp_path):
    (tmp_path / "c.npz").write_bytes(b"PK\x03\x04 half a file")
    for name in ("c.npz", "none.npz"):
        with pytest.raises(MultiscaleError, match="not a checkpoint that can be read"):
            checkpoint.load(tmp_path / name, {})


def test_a_reserved_name_is_refused(tmp_path):
    with pytest.raises(MultiscaleError, match="rename the extra array 'q'"):
        checkpoint.save(tmp_path / "c.npz", Checkpoint(1, np.zeros((1, 3)), {"q": np.zeros(1)}), {})
