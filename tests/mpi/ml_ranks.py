"""Interatomic models on all ranks against the same on this rank alone; rank 0 prints the largest relative differences as JSON.

ml_ranks.py            every model, structure and way of spreading layers
ml_ranks.py dynamics   200 steps of hot dynamics in which atoms change hands
ml_ranks.py raise      the last rank fails between the layers of a message-passing model
ml_ranks.py overlap    the last rank finds two of its atoms on top of each other
ml_ranks.py balance    a rank that is slower than the others gives sites away
ml_ranks.py leak       1000 evaluations; prints how much memory the second half took
"""

import json
import resource
import sys
import time
from functools import cache

import numpy as np
import torch
from ase import Atoms, units
from ase.build import bulk

from multiscale.correction import LinearCorrection, Residual
from multiscale.models import Committee, Corrected, Disagreement, LennardJones, Mace, StillingerWeber
from multiscale.models import mace as mace_model
from multiscale.models.eam import EAM
from multiscale.models.mace_file import build
from multiscale.ranks import world
from multiscale.region import Can, Query
from multiscale.regions.across import AcrossRegion
from multiscale.regions.ml import MLRegion
from multiscale.types import MultiscaleError, Team

RANKS = world()
NOTHING = Residual(0.0, 0.0)
EVERYTHING = Can.ENERGY | Can.FORCES | Can.SITE_ENERGIES | Can.STRESS | Can.HVP
TINY = {
    "r_max": 3.5, "num_bessel": 4, "num_polynomial_cutoff": 4, "max_ell": 2, "num_interactions": 2, "num_elements": 1,
    "interaction_cls": "RealAgnosticResidualInteractionBlock", "interaction_cls_first": "RealAgnosticInteractionBlock",
    "hidden_irreps": "4x0e+4x1o", "MLP_irreps": "4x0e", "atomic_energies": [-3.0], "avg_num_neighbors": 6.0,
    "atomic_numbers": [14], "correlation": 2, "gate": "silu", "radial_MLP": [8], "atomic_inter_scale": 0.8, "atomic_inter_shift": 0.1,
}  # fmt: skip


def tiny(seed=0, **changes):
    return Mace(build("ScaleShiftMACE", TINY | changes, seed=seed))


@cache
def models():
    correction = LinearCorrection(
        ("Si",), np.array([0.2]), np.array([[0.05]]), np.array([[4.0]]), 2.6, 3.4, NOTHING, NOTHING
    )
    two, three = tiny(), tiny(1, num_interactions=3, hidden_irreps="4x0e", max_ell=1)
    committee = Committee([tiny(2, num_interactions=1, hidden_irreps="4x0e"), two])
    return {
        "LJ": LennardJones(symbols=("Si",), sigma=2.0, cutoff=4.5),
        "SW": StillingerWeber(),
        "EAM": EAM.ercolessi_adams(),
        "MACE": two,
        "MACE, 3 layers": three,
        "committee": committee,
        "disagreement": Disagreement(committee),
        "corrected": Corrected(two, correction),
    }


@cache
def structures():
    rng = np.random.default_rng(7)
    cubic = bulk("Si", cubic=True) * 2
    oblique = bulk("Si") * (3, 3, 2)
    cluster = Atoms("Si12", rng.uniform(0, 7, (12, 3)))
    apart = Atoms("Si3", [[0, 0, 0], [2.4, 0.1, 0], [30.0, 0, 0]])
    slab = bulk("Si", cubic=True) * (1, 2, 3)
    slab.pbc = (True, False, True)
    out = {
        "cubic": cubic,
        "thin": bulk("Si") * (5, 1, 1),
        "oblique": oblique,
        "open": _spread(cluster),
        "apart": apart,
        "slab": slab,
    }
    for atoms in out.values():
        atoms.rattle(0.08, rng=rng)
    return out


def _spread(atoms):
    """No two atoms closer than 2 Å: a random cluster pushed apart."""
    for _ in range(500):
        d = atoms.positions[:, None] - atoms.positions[None]
        r = np.linalg.norm(d, axis=2) + 10.0 * np.eye(len(atoms))
        push = np.where((r < 2.1)[..., None], d / r[..., None], 0.0).sum(axis=1)
        atoms.positions += 0.05 * push
    return atoms


def spread(model, atoms, **settings):
    symbol = model.symbols[0]
    atoms = atoms.copy()
    atoms.symbols[:] = symbol
    across = settings.pop("across", False)

    def make(**more):
        return AcrossRegion(model, atoms, **more) if across else MLRegion(model, atoms, **more)

    region = make(**settings)
    region.bind(Team(RANKS.rank, RANKS.size, RANKS.comm))
    return region, make(bodies=settings["bodies"]) if "bodies" in settings else make()


def total(answer):
    return {k: RANKS.sum(np.asarray(v, dtype=float)) for k, v in vars(answer).items() if v is not None}


def weights(n, kind):
    rng = np.random.default_rng(3)
    if kind == "random":
        return rng.random(n)
    w = np.zeros(n)
    w[: 1 if kind == "one" else max(2, n // 5)] = rng.uniform(0.2, 1.0, 1 if kind == "one" else max(2, n // 5))
    return w


def compare(model, atoms, kind, **settings):
    """Largest difference of each quantity over its largest value."""
    region, alone = spread(model, atoms, **settings)
    rng = np.random.default_rng(5)
    v = rng.normal(size=alone.reference.shape)
    w = None if kind == "none" else weights(len(atoms), kind)
    query = Query(EVERYTHING, w, v, uncounted=kind != "one")
    worst = {}
    for size in (0.02, 0.3):  # the second needs a new list
        x = alone.reference + size * rng.uniform(-1, 1, alone.reference.shape)
        ours = total(region.evaluate(x, query))
        for name, other in vars(alone.evaluate(x, query)).items() if RANKS.rank == 0 else ():
            value = ours[name]
            if name == "site_energies" and kind == "one":
                value, other = value[w > 0], other[w > 0]
            scale = max(np.abs(other).max(initial=0.0), 1e-3)
            worst[name] = max(worst.get(name, 0.0), float(np.abs(value - other).max(initial=0.0) / scale))
    return worst


def problems():
    """Every model, structure, way of spreading layers and kind of weights; not all of them with all."""
    for label in structures():
        for name, model in models().items():
            if label in ("cubic", "open"):
                yield from ((name, label, "exchange", kind) for kind in ("none", "few", "one"))
                if model.layers > 1:
                    yield name, label, "wide", "few"
            elif model.layers > 1 or name == "SW":
                yield name, label, "exchange", "random"


def everything():
    out = {}
    for name, label, halo, kind in problems():
        out[f"{name}, {label}, {halo}, {kind}"] = compare(models()[name], structures()[label], kind, halo=halo)
    single, cubic = {}, structures()["cubic"]
    halves = (cubic.positions[:, 0] > cubic.positions[:, 0].mean()).astype(int)
    for name in ("SW", "MACE"):
        for across in (False, True):
            how = {"bodies": halves, "across": across}
            out[f"{name}, {'across' if across else 'apart'}"] = compare(models()[name], cubic, "few", **how)
    for name in ("SW", "MACE"):
        single[f"{name}, float32"] = compare(models()[name], cubic, "random", dtype="float32")
    stiff = {}
    for name in ("MACE", "MACE, 3 layers"):
        region, alone = spread(models()[name], structures()["open"])
        ours = RANKS.sum(np.asarray(region.stiffness(region.reference).todense()))
        theirs = np.asarray(alone.stiffness(alone.reference).todense())
        stiff[f"{name}, stiffness"] = {"stiffness": float(np.abs(ours - theirs).max() / np.abs(theirs).max())}
    return {"double": out | stiff, "single": single}


def trajectory(force, x, v, masses):
    """Positions (200, n, 3) of velocity Verlet with steps of 1 fs."""
    track, f, dt = [], force(x), 1.0 * units.fs
    for _ in range(200):
        v = v + 0.5 * dt * f / masses
        x = x + dt * v
        f = force(x)
        v = v + 0.5 * dt * f / masses
        track.append(x)
    return np.array(track)


def dynamics():
    """At 3000 K, in a crystal that drifts through the domains; against the serial run."""
    out = {}
    for name in ("SW", "MACE"):
        region, alone = spread(models()[name], bulk("Si", cubic=True) * (3, 1, 1))
        m = alone.masses()[:, None]
        v = np.random.default_rng(1).normal(size=alone.reference.shape) * np.sqrt(units.kB * 3000.0 / m)
        v[:, 0] += 0.3
        first = set(region.owned().tolist())
        ours = trajectory(lambda x, r=region: RANKS.sum(r.evaluate(x, Query()).forces), alone.reference, v, m)
        moved = RANKS.sum(np.array([float(len(first ^ set(region.owned().tolist())))]))[0]
        theirs = trajectory(lambda x, r=alone: r.evaluate(x, Query()).forces, alone.reference, v, m)
        out[name] = {
            "difference": float(np.abs(ours - theirs).max()),
            "travelled": float(np.abs(theirs[-1] - theirs[0]).max()),
            "changed hands": int(moved),
            "lists": region.list.builds,
        }
    return out


def fails(how):
    """One rank fails in the middle; every rank raises, and says which one it was and why."""
    region, _ = spread(models()["MACE"], bulk("Si", cubic=True) * (4, 1, 1))
    x = region.reference.copy()
    region.evaluate(x, Query())
    last = RANKS.rank == RANKS.size - 1
    if how == "overlap":
        mine = RANKS.bcast(region.owned()[:2] if last else None, root=RANKS.size - 1)
        x[mine[1]] = x[mine[0]] + [0.01, 0.0, 0.0]
    elif last:
        inner, calls = mace_model.interact, []

        def breaks(*a):
            calls.append(1)
            if len(calls) == 2:
                raise RuntimeError("planted between the layers")
            return inner(*a)

        mace_model.interact = breaks
    start, said = time.perf_counter(), ""
    try:
        region.evaluate(x, Query())
    except (MultiscaleError, RuntimeError) as error:
        said = str(error)
    return RANKS.gather((said, time.perf_counter() - start))


def balance():
    """The first rank sleeps in proportion to its sites."""
    region, alone = spread(models()["MACE"], bulk("Si", cubic=True) * (6, 1, 1))
    inner = region._site_energies

    def slow(edges):
        time.sleep(4e-3 * edges.n_centres * (3.0 if RANKS.rank == 0 else 1.0))
        return inner(edges)

    region._site_energies = slow
    sizes, rng = [], np.random.default_rng(0)
    for _ in range(45):
        sizes.append(len(region.owned()))
        x = alone.reference + 0.01 * rng.normal(size=alone.reference.shape)
        f = RANKS.sum(region.evaluate(x, Query()).forces)
    error = np.abs(f - alone.evaluate(x, Query()).forces).max()
    return RANKS.gather((sizes[0], len(region.owned()), region.counters()["rebalances"], float(error)))


def leak():
    region, _ = spread(models()["MACE"], bulk("Si", cubic=True))
    rng, used = np.random.default_rng(0), []
    for step in range(1000):
        region.evaluate(region.reference + 0.3 * rng.uniform(-1, 1, region.reference.shape), Query())
        if step in (499, 999):
            used.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    return RANKS.gather(used[1] - used[0])


def main():
    torch.set_num_threads(1)
    how = sys.argv[1] if len(sys.argv) > 1 else ""
    work = {"": everything, "dynamics": dynamics, "balance": balance, "leak": leak}
    out = work[how]() if how in work else fails(how)
    if RANKS.rank == 0:
        sys.stdout.write(json.dumps(out) + "\n")


if __name__ == "__main__":
    main()
