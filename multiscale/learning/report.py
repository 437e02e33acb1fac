"""The validation of the shipped committee: figures, and a JSON of every number in ``docs/potential.md``.

    python -m multiscale.learning.report OUT

Each property is computed by the same function on the same objects with the reference method and with every member.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ase
import numpy as np

from ..lazy import REMEDIES
from ..models.default import default_members, default_potential
from ..types import Array, missing
from .dataset import SHIPPED, load, split
from .errors import Errors, Evaluate, by_model, by_reference, errors_of, predict
from .phonons import bands, cluster_frequencies
from .properties import PLANES, by_bonds, cleavage, measured, periodic, relax, silane, vacancy

try:
    import matplotlib.pyplot as plt
except ImportError as error:  # pragma: no cover - the environment of the tests has it
    raise missing("matplotlib", "The validation report", REMEDIES["matplotlib"]) from error

#: Okabe–Ito blue and vermillion.
BLUE, RED = "#0072B2", "#D55E00"


def properties(evaluate: Evaluate) -> dict[str, Any]:
    """Everything that is compared with the reference, by one method."""
    crystal = measured(by_bonds(evaluate))
    rigid, relaxed = vacancy(evaluate, crystal.a0, crystal.atom)
    return {
        **asdict(crystal),
        "bulk": crystal.bulk,
        "vacancy_rigid": rigid,
        "vacancy_relaxed": relaxed,
        **{f"cleavage_{plane}": cleavage(evaluate, crystal.a0, plane)[1] for plane in PLANES},
    }


def frequencies(evaluate: Evaluate, a: float = 5.45, steps: int = 100) -> Array:
    """Vibrational frequencies (THz) of Si35H36, relaxed in so many steps, ascending, without the six of free motion."""
    atoms = silane(a)
    relax(atoms, evaluate, 0.005, steps)
    return cluster_frequencies(atoms, evaluate)


def committee(
    evaluates: Sequence[Evaluate], configurations: Sequence[ase.Atoms]
) -> tuple[list[Errors], dict[str, Any], Any]:
    """Errors of the committee's mean, how its spread compares with them, and the pairs for the parity plot."""
    answers = [[predict(evaluate, atoms) for atoms in configurations] for evaluate in evaluates]
    mean = [(float(np.mean([a[k][0] for a in answers])), np.mean([a[k][1] for a in answers], axis=0))
            for k in range(len(configurations))]  # fmt: skip
    spread = [np.sqrt(np.var([a[k][1] for a in answers], axis=0, ddof=1).sum(1)) for k in range(len(configurations))]
    truth = [atoms.arrays["REF_forces"] for atoms in configurations]
    wrong = [np.linalg.norm(m[1] - t, axis=1) for m, t in zip(mean, truth, strict=True)]
    s, w = np.concatenate(spread), np.concatenate(wrong)
    words = {
        "spread_rms": float(np.sqrt(np.mean(s**2))),
        "error_rms": float(np.sqrt(np.mean(w**2))),
        "correlation": float(np.corrcoef(np.log(s + 1e-6), np.log(w + 1e-6))[0, 1]),
    }
    return errors_of(configurations, mean), words, (configurations, mean, s, w)


def draw_parity(pairs: Any, path: Path) -> None:
    """Energies and forces against the reference, and spread against error."""
    configurations, mean, s, w = pairs
    e = np.array([[c.info["REF_energy"], m[0], len(c)] for c, m in zip(configurations, mean, strict=True)])
    f = np.concatenate([c.arrays["REF_forces"].ravel() for c in configurations])
    g = np.concatenate([m[1].ravel() for m in mean])
    figure, axes = plt.subplots(1, 3, figsize=(9.6, 3.2), constrained_layout=True)
    axes[0].plot(f, g, ".", ms=1.5, color=BLUE, rasterized=True)
    axes[0].axline((0, 0), slope=1, color="0.4", lw=0.8)
    axes[0].set(xlabel="GFN1-xTB force, eV/Å", ylabel="committee, eV/Å", title="force components")
    kinds = np.array([c.info["config_type"] for c in configurations])
    for k, kind in enumerate(sorted(set(kinds))):
        chosen = kinds == kind
        axes[1].plot(np.full(chosen.sum(), k), 1e3 * ((e[:, 1] - e[:, 0]) / e[:, 2])[chosen], ".", ms=3, color=BLUE)
    axes[1].set_xticks(range(len(set(kinds))), sorted(set(kinds)), rotation=90, fontsize=7)
    axes[1].axhline(0.0, color="0.4", lw=0.8)
    axes[1].set(ylabel="energy error, meV per atom", title="energies, by type")
    axes[2].loglog(s, w, ".", ms=1.5, color=BLUE, rasterized=True)
    axes[2].axline((0.01, 0.01), (1.0, 1.0), color="0.4", lw=0.8)
    axes[2].set(xlabel="spread of the committee, eV/Å", ylabel="error of its mean, eV/Å", title="does it know?")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def draw_vibrations(reference: Array, members: Sequence[Array], curves: Any, path: Path) -> None:
    """Cluster frequencies against the reference, and the crystal's phonon bands."""
    distances, members_bands, ticks = curves
    figure, axes = plt.subplots(1, 2, figsize=(9.0, 3.4), constrained_layout=True)
    for values in members:
        axes[0].plot(reference, values, ".", ms=2.5, color=BLUE)
    axes[0].axline((0, 0), slope=1, color="0.4", lw=0.8)
    axes[0].set(xlabel="GFN1-xTB, THz", ylabel="members, THz", title="vibrations of Si$_{35}$H$_{36}$")
    for frequency in members_bands:
        axes[1].plot(distances, frequency, color=BLUE, lw=0.8)
    axes[1].set_xticks([t for t, _ in ticks], [name for _, name in ticks])
    axes[1].axhline(0.0, color="0.4", lw=0.8)
    axes[1].set(ylabel="THz", title="phonons of the crystal, all members")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def reference(path: Path) -> dict[str, Any]:
    """Properties by the reference method: read from ``path``, or calculated (some ten minutes) and written there."""
    if path.is_file():
        known: dict[str, Any] = json.loads(path.read_text())
        return known
    result = {"properties": properties(by_reference), "frequencies": frequencies(by_reference).tolist()}
    path.write_text(json.dumps(result, indent=1))
    return result


def main() -> None:
    """Write ``potential.json`` and two figures; the reference's properties are read if they are there."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    truth = reference(SHIPPED.parent / "reference.json")
    models = [default_potential(m) for m in range(len(default_members()))]
    evaluates = [by_model(model, "float64") for model in models]
    errors, words, pairs = committee([by_model(model) for model in models], split(load())[2])
    draw_parity(pairs, out / "potential_parity.png")
    result: dict[str, Any] = {"committee": [asdict(e) for e in errors], "spread": words}
    result["members"] = [model.provenance["held_out"] for model in models]
    result["reference"] = truth["properties"]
    result["properties"] = [properties(evaluate) for evaluate in evaluates]
    result["periodic"] = [asdict(periodic(model)) for model in models]
    vibrations = [np.array(truth["frequencies"]), *(frequencies(evaluate) for evaluate in evaluates)]
    result["frequency_rmse"] = [float(np.sqrt(np.mean((v - vibrations[0]) ** 2))) for v in vibrations[1:]]
    result["frequency_rmse_si"] = [
        float(np.sqrt(np.mean((v - vibrations[0])[vibrations[0] < 17.0] ** 2))) for v in vibrations[1:]
    ]
    curves = [bands(model, p["a0"]) for model, p in zip(models, result["periodic"], strict=True)]
    # The path starts at Γ, where the highest branch is the optical mode.
    result["raman"] = [float(c[1][0, -1]) for c in curves]
    draw_vibrations(vibrations[0], vibrations[1:], (curves[0][0], [c[1] for c in curves], curves[0][2]),
                    out / "potential_vibrations.png")  # fmt: skip
    (out / "potential.json").write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
