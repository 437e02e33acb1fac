"""Training refuses bad input in one sentence before any work; what was interrupted goes on and loses one part at most."""

import lzma

import numpy as np
import pytest
from ase import Atoms
from typer.testing import CliRunner

pytest.importorskip("mace")
pytest.importorskip("tblite")

from multiscale import cli
from multiscale.learning import (
    Architecture,
    Noise,
    Schedule,
    Training,
    load,
    make,
    save,
    train,
    write_data,
)
from multiscale.learning import committee as committee_module
from multiscale.learning import fit as fit_module
from multiscale.learning import recipe as recipe_module
from multiscale.learning.recipe import Stage
from multiscale.types import MultiscaleError

TWO = (Stage({"molecule": 3, "rattled": 2}), Stage({"vacancy_path": 1}, 2, {"sizes": (5, 6)}, "large"))


@pytest.fixture(scope="module")
def molecules():
    return [a for a in load() if a.info["config_type"] == "molecule"]


@pytest.fixture
def quick(monkeypatch):
    """Labels that cost nothing: sums of positions."""
    asked = []

    def label(configurations, *, dropped=None):
        for atoms in configurations:
            asked.append(atoms.info["config_type"])
            atoms.info["REF_energy"] = float(atoms.positions[0].sum())
            atoms.arrays["REF_forces"] = np.sin(atoms.positions)
            yield atoms

    monkeypatch.setattr(recipe_module, "label", label)
    return asked


def invoke(*words):
    result = CliRunner().invoke(cli.app, ["train", *map(str, words)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def bad_files(folder, some):
    good = folder / "good.xyz.xz"
    save(good, some)
    packed = good.read_bytes()
    (folder / "cut.xyz.xz").write_bytes(packed[: len(packed) // 2])
    (folder / "flipped.xyz.xz").write_bytes(packed[:40] + bytes([packed[40] ^ 255]) + packed[41:])
    (folder / "plain.xyz.xz").write_text("these are no packed bytes")
    (folder / "short.xyz.gz").write_bytes(b"\x1f\x8b\x08")
    (folder / "prose.xyz").write_text("This is a letter, not a set of atoms.\n")
    (folder / "bytes.xyz").write_bytes(bytes(range(128, 256)))
    (folder / "empty.xyz").write_text("")
    (folder / "rows.xyz").write_text(lzma.decompress(packed).decode()[:400])
    for name, change in {
        "unlabelled": lambda a: a.info.pop("REF_energy"),
        "nan": lambda a: a.info.update(REF_energy=float("nan")),
        "words": lambda a: a.info.update(REF_energy="about -50"),
        "stress-of-five": lambda a: a.info.update(REF_stress=np.zeros(5)),
        "stress-of-nan": lambda a: a.info.update(REF_stress=np.array([0.0, 0, 0, 0, 0, np.nan])),
        "stress-of-words": lambda a: a.info.update(REF_stress="none to speak of"),
    }.items():
        copies = [a.copy() for a in some]
        change(copies[1])
        save(folder / f"{name}.xyz", copies)
    return [p for p in sorted(folder.iterdir()) if p != good] + [folder / "nothing.xyz", folder]


def test_bad_data_are_refused_in_one_sentence(tmp_path, molecules):
    out, folder = tmp_path / "out", tmp_path / "data"
    folder.mkdir()
    for path in bad_files(folder, molecules[:3]):
        result = invoke("--data", path, "--out", out)
        assert result.exit_code == 2, path
        message = result.output.strip()
        assert message.startswith("multiscale: ") and str(path.name) in message and message.count("\n") == 0, path
    assert not out.exists()


def test_stresses_of_six_and_nine_numbers_are_read(tmp_path, molecules):
    some = [a.copy() for a in molecules[:3]]
    for atoms, stress in zip(some, (np.zeros(6), np.eye(3), np.arange(9.0)), strict=True):
        atoms.info["REF_stress"] = stress
    save(tmp_path / "stressed.xyz", some)
    assert [np.size(a.info["REF_stress"]) for a in load(tmp_path / "stressed.xyz")] == [6, 9, 9]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--members", "0"), "member"),
        (("--members", "-1"), "member"),
        (("--epochs", "0"), "epochs = 0"),
        (("--minutes", "0"), "minutes = 0"),
        (("--minutes", "-3"), "minutes = -3"),
        (("--minutes", "nan"), "minutes = nan"),
        (("--seed", "-1"), "seed = -1"),
        (("--energy-noise", "nan"), "energy_noise = nan"),
        (("--stress-noise", "0"), "stress_noise = 0"),
        (("--irreps", ""), "irreps ''"),
        (("--irreps", "16x0"), "irreps '16x0'"),
        (("--irreps", "0x0e+16x1o"), "irreps '0x0e+16x1o'"),
        (("--irreps", "16x1o+16x0e"), "irreps '16x1o+16x0e'"),
        (("--layers", "0"), "layers = 0"),
        (("--cutoff", "0"), "cutoff = 0"),
        (("--data-only", "--share", "0"), "above 0"),
        (("--data-only", "--share", "1.5"), "at most 1"),
        (("--data-only", "--share", "nan"), "above 0"),
        (("--data-only", "--seed", "-1"), "seed = -1"),
    ],
)
def test_bad_settings_are_refused_before_any_work(words, named, tmp_path, monkeypatch):
    def never(*_, **__):
        raise AssertionError("work was done")

    monkeypatch.setattr(committee_module, "load", never)
    monkeypatch.setattr(recipe_module, "generate", never)
    result = invoke(*words, "--out", tmp_path / "out")
    assert result.exit_code == 2 and named in result.output and result.output.strip().count("\n") == 0
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("below", ["", "new"], ids=["a file", "below a file"])
@pytest.mark.parametrize("data_only", [True, False], ids=["data", "training"])
def test_a_folder_that_cannot_be_made_is_refused_in_one_sentence(data_only, below, tmp_path, molecules, monkeypatch):
    (tmp_path / "taken").write_text("a file, where the folder should be")
    ran = []
    monkeypatch.setattr(fit_module, "run", lambda *words: ran.append(words))
    monkeypatch.setattr(recipe_module, "generate", lambda *words, **_: ran.append(words))
    monkeypatch.setattr(committee_module, "load", lambda _: molecules)
    result = invoke(*["--data-only"] * data_only, "--out", tmp_path / "taken" / below)
    assert result.exit_code == 2 and result.output.strip().count("\n") == 0 and ran == []
    assert result.output.startswith("multiscale: train was given --out '") and "taken" in result.output
    assert (tmp_path / "taken").read_text() == "a file, where the folder should be"


def test_too_few_data_and_folders_in_use_are_refused_before_any_member_is_trained(tmp_path, molecules, monkeypatch):
    ran = []
    monkeypatch.setattr(fit_module, "run", lambda *words: ran.append(words))
    with pytest.raises(MultiscaleError, match="2 configurations"):
        train(molecules[:2], tmp_path)
    (tmp_path / "member1" / "checkpoints").mkdir(parents=True)
    (tmp_path / "member1" / "checkpoints" / "member1_run-2_epoch-0.pt").write_bytes(b"")
    with pytest.raises(MultiscaleError, match="member 1 has checkpoints"):
        train(molecules, tmp_path, Training(members=(0, 1)))
    assert ran == [] and not (tmp_path / "member0").exists()


def test_data_that_were_interrupted_go_on(tmp_path, quick, monkeypatch):
    whole = write_data(tmp_path / "whole", recipe=TWO).read_bytes()
    assert [a.info["config_type"] for a in load(tmp_path / "whole" / "data.xyz.xz")] == quick
    assert len(quick) == 6 and not (tmp_path / "whole" / "parts").exists()
    save(tmp_path / "made.xyz.xz", list(make(TWO)))
    assert (tmp_path / "made.xyz.xz").read_bytes() == whole
    labelled, label = [], recipe_module.label

    def stopped(configurations, **words):
        for atoms in label(configurations, **words):
            if len(labelled) == 4:
                raise KeyboardInterrupt
            labelled.append(atoms)
            yield atoms

    monkeypatch.setattr(recipe_module, "label", stopped)
    out = tmp_path / "out"
    out.mkdir()
    (out / "data.xyz.xz").write_bytes(b"older")
    with pytest.raises(KeyboardInterrupt):
        write_data(out, recipe=TWO)
    assert (out / "data.xyz.xz").read_bytes() == b"older"
    monkeypatch.setattr(recipe_module, "label", label)
    with pytest.raises(MultiscaleError, match="another recipe, share or seed"):
        write_data(out, recipe=TWO, seed=1)
    quick.clear()
    assert write_data(out, recipe=TWO).read_bytes() == whole
    # The molecules were kept; of the part that was interrupted all is made again.
    assert quick == ["rattled", "rattled", "large"]


@pytest.mark.parametrize(
    ("left", "said"),
    [
        ({"bonds.xyz": "1\n\nH 0 0 0\n"}, "no arguments.json that says whose they are; move"),
        ({"arguments.json": '{"recipe": ['}, "is damaged .*; remove"),
        ({"arguments.json": "\udcff\udcfe"}, "is damaged .*; remove"),
        ({"arguments.json": "[]", "bonds.xyz": ""}, "another recipe, share or seed; give"),
    ],
    ids=["of somebody else", "cut", "no text", "other words"],
)
def test_parts_that_are_not_ours_stay(tmp_path, quick, left, said):
    folder = tmp_path / "parts"
    folder.mkdir()
    for name, text in left.items():
        (folder / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    with pytest.raises(MultiscaleError, match=said) as refused:
        write_data(tmp_path, recipe=TWO)
    assert "\n" not in str(refused.value) and quick == []
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before and not (tmp_path / "data.xyz.xz").exists()


def test_the_note_goes_last_and_what_others_left_beside_it_stays(tmp_path, quick, monkeypatch):
    """What is interrupted while it tidies up is still known as ours."""
    removed, unlink = [], committee_module.Path.unlink

    def watched(path, **words):
        if path.parent.name == "parts" and path.exists():
            removed.append(path.name)
        unlink(path, **words)

    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "remarks.txt").write_text("keep me")
    (tmp_path / "parts" / ".0-plain-molecule.xyz.1.part").write_text("half")
    monkeypatch.setattr(committee_module.Path, "unlink", watched)
    write_data(tmp_path, recipe=TWO)
    assert len(removed) == 5 and removed[-1] == "arguments.json" and ".0-plain-molecule.xyz.1.part" in removed
    assert [p.name for p in (tmp_path / "parts").iterdir()] == ["remarks.txt"]


def test_a_file_is_its_old_self_until_the_new_one_is_whole(tmp_path, monkeypatch):
    path = tmp_path / "a.xyz"
    save(path, [Atoms("H")])
    before = path.read_bytes()

    def full(*_):
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(OSError, match="no space"):
            save(path, [Atoms("He")])
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["a.xyz"]


def test_a_pilot_does_not_go_on_from_an_interrupted_one(tmp_path, molecules, monkeypatch):
    seen = []

    def run(command, show=None):
        work = command[command.index("--work_dir") + 1]
        seen.append(sorted(p.name for p in (tmp_path / "pilot").iterdir()))
        assert work == str(tmp_path / "pilot")
        for line in ("Initial", "Epoch 0", "Epoch 1"):
            show(line)

    monkeypatch.setattr(fit_module, "run", run)
    (tmp_path / "pilot" / "checkpoints").mkdir(parents=True)
    few = molecules[:4]
    assert fit_module.pilot(tmp_path, few, few[:1], 60.0, Training()) >= 1
    assert seen == [["train.xyz", "valid.xyz"]] and not (tmp_path / "pilot").exists()


def test_the_trainer_is_started_without_the_launchers_variables(monkeypatch):
    """Else mace's torch.distributed, or a library below it, takes itself for a rank of the parent's run."""
    given = {}

    class Process:
        stdout = ()

        def __init__(self, *_, env, **__):
            given.update(env)

        def wait(self):
            return 0

    monkeypatch.setattr(fit_module.subprocess, "Popen", Process)
    monkeypatch.setenv("OMPI_COMM_WORLD_RANK", "1")
    fit_module.run([])
    assert "OMPI_COMM_WORLD_RANK" not in given and given["MALLOC_MMAP_MAX_"] == "0" and "PATH" in given


def test_schedules_and_committees_without_sense_are_refused():
    for make_it in (
        lambda: Schedule(0),
        lambda: Schedule(3, until=0),
        lambda: Schedule(3, lr=float("nan")),
        lambda: Schedule(3, ema=1.0),
        lambda: Schedule(3, ema=-0.1),
        lambda: Schedule(3, ema=float("nan")),
        lambda: Training(seed=-1),
        lambda: Training(()),
        lambda: Training((1, 1)),
        lambda: Training(minutes=float("inf")),
        lambda: Architecture(max_ell=-1),
        lambda: Architecture(radial_mlp=()),
        lambda: Architecture(radial_mlp=(64, 0)),
        lambda: Architecture("16x0e+"),
        lambda: Noise(force=float("nan")),
    ):
        with pytest.raises(MultiscaleError):
            make_it()
    for irreps in ("16x0e", "16x0e+16x1o", "128x0e + 128x1o + 64x2e"):
        assert Architecture(irreps, radial_mlp=(1,)).hidden_irreps == irreps
    assert Schedule(3, ema=0.0).ema == 0.0 and Training(seed=0).seed == 0
