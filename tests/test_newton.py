"""Newton's method for atoms and nodes together: tangents of every coupler, convergence, solvers, failures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("multiscale.continuum.laws", exc_type=ImportError)  # needs DOLFINx

from blocks import Block, SharpBlock, gradient  # noqa: E402
from processes import mpi  # noqa: E402

from couplers import EnergyBlend, ForceBlend, GhostCorrected, SharpPad  # noqa: E402
from multiscale.drive import newton, relax, staggered  # noqa: E402
from multiscale.drive.linear import LinearSystem  # noqa: E402
from multiscale.types import MultiscaleError  # noqa: E402

SCRIPT = str(Path(__file__).parent / "mpi" / "newton_ranks.py")
COUPLERS = [EnergyBlend(), GhostCorrected(), ForceBlend()]
NAMES = ["blend", "corrected", "forces"]


def vacancy(coupler, dim=3):
    block = Block("lj", dim, vacancy=True)
    model = block.model(coupler)
    start = block.stretched(gradient(dim, 0.005))
    model.prepare(start)
    return model, start


def product_error(model, q, jacobian=None):
    """|J v + dF/dv| relative, along a random direction, by central differences."""
    v = np.random.default_rng(2).standard_normal(q.shape)
    h = 1e-4
    hi, lo = (model.evaluate(q + s * h * v).forces for s in (1, -1))
    want = -(hi - lo) / (2 * h)
    j = model.jacobian(q) if jacobian is None else jacobian
    return float(np.abs(j @ v.ravel() - want.ravel()).max() / np.abs(want).max())


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("coupler", COUPLERS, ids=NAMES)
def test_jacobians_are_derivatives_of_the_forces(coupler, dim):
    model, q = vacancy(coupler, dim)
    q = q + 0.02 * np.random.default_rng(1).standard_normal(q.shape)
    assert product_error(model, q) < 1e-6
    if isinstance(coupler, ForceBlend):
        # The symmetric stiffness that preconditions is another matrix: the check sees it.
        assert product_error(model, q, model.stiffness(q)) > 1e-3
        j = model.jacobian(q)
        assert abs(j - j.T).max() > 1e-3 * abs(j).max()


@pytest.mark.parametrize("dim", [2, 3])
def test_jacobian_of_sharp_pads(dim):
    block = SharpBlock("lj", dim, size=1.3)
    model = block.model(SharpPad())
    q = block.stretched(gradient(dim, 0.005)) + 0.02 * np.random.default_rng(1).standard_normal(block.reference.shape)
    assert product_error(model, q) < 1e-6


@pytest.mark.parametrize("linear", ["direct", "krylov"])
@pytest.mark.parametrize("coupler", COUPLERS, ids=NAMES)
def test_newton_converges_quadratically(coupler, linear):
    """A vacancy under 0.5 % strain: a few steps, and the number of right digits doubles."""
    model, start = vacancy(coupler)
    steps = list(newton(model, start, fmax=1e-10, linear=linear, rtol=1e-10))
    assert steps[-1].converged and steps[-1].index <= 6
    force = [s.max_force for s in steps]
    assert force[2] < 30.0 * force[1] ** 2 and force[3] < 30.0 * force[2] ** 2 + 1e-12
    relaxed = list(relax(model, start, fmax=1e-8, max_steps=300))[-1]
    assert np.abs(steps[-1].q - relaxed.q).max() < 1e-6


def test_staggered_goes_to_the_same_place_by_a_longer_way():
    model, start = vacancy(ForceBlend())
    together = list(newton(model, start, fmax=1e-8))
    by_turns = list(staggered(model, start, fmax=1e-8))
    assert by_turns[-1].converged and np.abs(by_turns[-1].q - together[-1].q).max() < 1e-7
    assert by_turns[-1].evaluations > 2 * together[-1].evaluations


def test_small_systems_are_factorised_and_large_ones_iterated():
    """By the number of dimensions: of the mesh where there is one, else of what moves."""
    n = 10_000
    reference, flat = np.random.default_rng(0).standard_normal((n, 3)), np.ones((n, 3), dtype=bool)
    flat[:, 2] = False
    atoms, nodes = np.ones(n, dtype=bool), np.zeros(n, dtype=bool)
    everything = np.ones((n, 3), dtype=bool)
    assert LinearSystem(flat, reference, nodes).method == LinearSystem(flat, reference, atoms).method == "direct"
    assert (
        LinearSystem(everything, reference, nodes).method
        == LinearSystem(everything, reference, atoms).method
        == "krylov"
    )
    slab = everything.copy()
    slab[5000:, 2] = False
    assert LinearSystem(slab, reference, np.arange(n) < 5000).method == "direct"
    with pytest.raises(MultiscaleError, match="'auto', 'direct' or 'krylov'"):
        LinearSystem(flat, reference, nodes, method="cholesky")


def test_singular_tangents_are_an_error():
    """A block that nothing holds can move as a whole."""
    block = Block("lj", 3)
    model = block.model(EnergyBlend())
    q = block.stretched(gradient(3, 0.005)) + 0.01 * np.random.default_rng(0).standard_normal(block.reference.shape)
    free = np.zeros(q.shape, dtype=bool)
    system = LinearSystem(~free, block.reference, np.ones(len(q), dtype=bool))
    assert system.n == q.size
    j = model.jacobian(q).tolil()
    j[0] = j[1]  # two equal rows
    model.jacobian = lambda at: j.tocsr()
    with pytest.raises(MultiscaleError, match="singular"):
        list(newton(model, q, fixed=free))


def test_regions_without_stiffness_are_refused():
    from multiscale.region import Can

    block = Block("lj", 2)
    model = block.model(EnergyBlend())
    region = model.interface.regions["ml"]
    region.can = region.can & ~Can.STIFFNESS
    with pytest.raises(MultiscaleError, match="needs STIFFNESS of region 'ml'"):
        list(newton(model, block.stretched(gradient(2, 0.005)) + 0.01, fmax=1e-12))


@pytest.mark.parametrize("linear", ["direct", "krylov"])
def test_the_same_on_one_two_and_three_ranks(tmp_path, linear):
    """Where Newton's method ends does not depend on how rows are dealt out."""
    found = []
    for n in (1, 2, 3):
        done = mpi(n, SCRIPT, linear, cwd=tmp_path, timeout=120)
        assert done.returncode == 0, done.stderr[-3000:]
        found.append(json.loads(done.stdout.splitlines()[-1]))
    for other in found[1:]:
        assert other["same"] and other["steps"] == found[0]["steps"] <= 6
        assert np.abs(np.subtract(other["q"], found[0]["q"])).max() < 1e-10
