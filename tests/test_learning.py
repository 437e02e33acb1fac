"""Reference data, division by type, weights of the loss, a short training, and the shipped committee."""

import copy
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

pytest.importorskip("mace")
pytest.importorskip("tblite")

from multiscale.learning import (
    Architecture,
    Noise,
    Schedule,
    Training,
    by_model,
    generate,
    label,
    load,
    split,
    train,
    validate,
)
from multiscale.learning.fit import arguments
from multiscale.models.default import default_members, default_potential
from multiscale.types import MultiscaleError


@pytest.fixture(scope="module")
def shipped():
    return load()


@pytest.fixture(scope="module")
def small(shipped):
    few = [a for a in shipped if a.info["config_type"] == "molecule" and len(a) <= 11]
    return few[:10]


def test_the_same_seed_gives_the_same_clusters():
    first, again, other = (list(generate({"rattled": 3, "crack": 2}, seed)) for seed in (3, 3, 4))
    assert [str(a.symbols) for a in first] == [str(a.symbols) for a in again]
    assert all(np.array_equal(a.positions, b.positions) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0].positions[0], other[0].positions[0])


def test_a_type_does_not_depend_on_the_other_types():
    alone = next(generate({"crack": 1}, 3))
    after = list(generate({"rattled": 2, "crack": 1}, 3))[-1]
    assert np.array_equal(alone.positions, after.positions)


def test_shipped_labels_are_those_of_the_reference_method(small):
    pair = sorted(small, key=len)[:2]
    again = list(label(copy.deepcopy(pair)))
    for stored, fresh in zip(pair, again, strict=True):
        # Positions are stored with eight decimals, which moves energies by some 1e-8 eV.
        assert fresh.info["REF_energy"] == pytest.approx(stored.info["REF_energy"], abs=1e-6)
        assert np.abs(fresh.arrays["REF_forces"] - stored.arrays["REF_forces"]).max() < 1e-6


def test_labels_are_refused_where_forces_are_too_large(small):
    dropped = Counter()
    assert list(label(copy.deepcopy(small[:1]), max_force=1e-3, dropped=dropped)) == []
    assert dropped == {"force": 1}


def test_every_type_is_held_out_and_groups_stay_together(shipped):
    parts = [split(shipped, seed) for seed in (1, 2)]
    kinds = {a.info["config_type"] for a in shipped}
    for training, valid, test in parts:
        assert {a.info["config_type"] for a in test} == kinds
        assert len(training) + len(valid) + len(test) == len(shipped)
        groups = [{a.info["group"] for a in part} for part in (training, valid, test)]
        assert not (groups[0] & groups[1] or groups[0] & groups[2] or groups[1] & groups[2])
    assert [a.info["group"] for a in parts[0][2]] == [a.info["group"] for a in parts[1][2]]
    assert [a.info["group"] for a in parts[0][1]] != [a.info["group"] for a in parts[1][1]]


def test_noise_levels_weight_the_loss_by_their_inverse_squares(tmp_path):
    from mace.tools import build_default_arg_parser
    from mace.tools.scripts_utils import get_loss_fn

    noise = Noise(energy=0.004, force=0.2, stress=0.01)
    for stress in (False, True):
        command = arguments(tmp_path, "m", 1, noise, Architecture(), Schedule(3), stress=stress)
        given = build_default_arg_parser().parse_args(command)
        loss = get_loss_fn(given, False, False)
        assert float(loss.energy_weight) == pytest.approx(0.004**-2)
        assert float(loss.forces_weight) == pytest.approx(0.2**-2)
        if stress:
            assert float(loss.stress_weight) == pytest.approx(0.01**-2)
    with pytest.raises(MultiscaleError, match="positive"):
        Noise(force=0.0)


def test_training_learns_and_continues(small, tmp_path):
    shape = Architecture("4x0e", 1, 1, 1, 4.0, (8,))
    lines = []
    first, longer = (
        Training(members=(0,), architecture=shape, schedule=Schedule(epochs, batch=2)) for epochs in (2, 3)
    )
    (model,) = train(small, tmp_path, first, show=lines.append)
    losses = [float(line.split("loss=")[1].split(",")[0]) for line in lines if "loss=" in line]
    assert losses[-1] < losses[0]
    assert model.is_file()
    with pytest.raises(MultiscaleError, match="continue"):
        train(small, tmp_path, longer, show=lines.append)
    lines.clear()
    train(small, tmp_path, replace(longer, resume=True), show=lines.append)
    # The trainer goes on from its best state, which here may be that of the first epoch.
    at = [k for k, line in enumerate(lines) if "Epoch " in line and "loss=" in line]
    assert any("Loading checkpoint" in line for line in lines[: at[0]])
    assert lines[at[-1]].split("Epoch ")[1].startswith("2:")
    # The longer schedule's learning rate holds, not the spent one of the first run.
    last = max((tmp_path / "member0" / "checkpoints").glob("*.pt"))
    state = torch.load(last, weights_only=True)["optimizer"]["param_groups"][0]["lr"]
    gamma = Schedule(3).gamma
    assert state == pytest.approx(Schedule(3).lr * gamma ** int(last.stem.rpartition("-")[2]))


@pytest.mark.parametrize("member", range(4))
def test_the_shipped_committee_has_the_errors_it_claims(member, shipped):
    potential = default_potential(member)
    recorded = {e["kind"]: e for e in potential.provenance["held_out"]}
    test = [a for a in split(shipped)[2] if a.info["config_type"] == "molecule"]
    (measured, _) = validate(by_model(potential), test)
    assert measured.count == recorded["molecule"]["count"]
    # Single precision on another machine: the errors agree to three digits.
    assert measured.force == pytest.approx(recorded["molecule"]["force"], rel=1e-3)
    assert measured.energy == pytest.approx(recorded["molecule"]["energy"], rel=2e-2)


def test_the_members_are_different():
    assert len(default_members()) == 4
    with pytest.raises(MultiscaleError, match="4"):
        default_potential(4)
