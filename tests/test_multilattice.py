"""Inner shifts as dofs: derivatives, the condensed law as their minimum, and exact patch tests of silicon in a mesh."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import pytest

pytest.importorskip("multiscale.continuum.laws", exc_type=ImportError)  # needs DOLFINx

from blocks import Block, gradient  # noqa: E402
from test_cauchy_born import A_SI, aluminium, silicon  # noqa: E402

from couplers import EnergyBlend, ForceBlend, GhostCorrected  # noqa: E402
from multiscale.continuum.cauchy_born import CauchyBorn  # noqa: E402
from multiscale.continuum.mesh import SimplexMesh  # noqa: E402
from multiscale.drive import newton  # noqa: E402
from multiscale.embedding import select, stack  # noqa: E402
from multiscale.region import Can, Query  # noqa: E402
from multiscale.regions.continuum import ContinuumRegion  # noqa: E402
from multiscale.regions.multilattice import MultilatticeRegion  # noqa: E402
from multiscale.types import MultiscaleError, Team  # noqa: E402

MESHES = {
    "2d-p1": SimplexMesh.rectangle((0, 0), (40, 30), (3, 3), 1),
    "2d-p2": SimplexMesh.rectangle((0, 0), (40, 30), (2, 2), 2),
    "3d-p1": SimplexMesh.box((0, 0, 0), (30, 20, 20), (2, 2, 2), 1),
    "3d-p2": SimplexMesh.box((0, 0, 0), (30, 20, 20), (1, 1, 1), 2),
}
EVERYTHING = Can.ENERGY | Can.FORCES | Can.SITE_ENERGIES | Can.HVP


@pytest.fixture(params=MESHES)
def region(request):
    return MultilatticeRegion(MESHES[request.param], silicon(), site_volume=A_SI**3 / 8)


def shaken(region, size=0.2):
    return region.reference + size * np.random.default_rng(0).standard_normal(region.reference.shape)


def test_derivatives(region):
    """Of nodes and shifts alike, with random weights."""
    x, rng = shaken(region), np.random.default_rng(1)
    w, v = rng.random(region.n_sites), rng.standard_normal(region.reference.shape)
    a = region.evaluate(x, Query(EVERYTHING, w, v))
    h = 1e-4
    hi, lo = (region.evaluate(x + s * h * v, Query(weights=w)) for s in (1, -1))
    assert -(a.forces * v).sum() == pytest.approx((hi.energy - lo.energy) / (2 * h), rel=1e-6)
    assert np.abs(a.hvp + (hi.forces - lo.forces) / (2 * h)).max() < 1e-5 * np.abs(a.hvp).max()
    assert w @ a.site_energies == pytest.approx(a.energy, rel=1e-14)
    shift = a.forces[region.n_nodes :]
    assert np.abs(shift).max() > 1e-2  # not at their minimum
    nodes = v.copy()
    nodes[region.n_nodes :] = 0.0
    assert np.abs(region.evaluate(x, Query(Can.HVP, w, nodes)).hvp[region.n_nodes :]).max() > 1e-2


def test_relaxed_shifts_give_the_condensed_law(region):
    """Energy and nodal forces are the condensed law's, shifts are free of force, and its stiffness is the Schur complement."""
    x = region.relaxed(shaken(region))
    condensed = ContinuumRegion(region.mesh, region.law, site_volume=A_SI**3 / 8)
    w = np.random.default_rng(1).random(region.n_sites)
    a = region.evaluate(x, Query(weights=w))
    b = condensed.evaluate(x[: region.n_nodes], Query(weights=w))
    assert a.energy == pytest.approx(b.energy, rel=1e-13)
    assert np.abs(a.forces[region.n_nodes :]).max() < 1e-8
    assert a.forces[: region.n_nodes] == pytest.approx(b.forces, abs=1e-9)
    k, n = region.stiffness(x, w).toarray(), 3 * region.n_nodes
    schur = k[:n, :n] - k[:n, n:] @ np.linalg.solve(k[n:, n:], k[n:, :n])
    assert np.abs(schur - condensed.stiffness(x[: region.n_nodes], w).toarray()).max() < 1e-8 * np.abs(schur).max()


def test_shares_of_a_team_add_up(region):
    x = shaken(region)
    whole = region.evaluate(x, Query(EVERYTHING, None, x))
    parts = []
    for rank in range(3):
        part = MultilatticeRegion(region.mesh, region.law, site_volume=A_SI**3 / 8)
        part.bind(Team(rank, 3))
        parts.append(part.evaluate(x, Query(EVERYTHING, None, x)))
    assert sum(p.energy for p in parts) == pytest.approx(whole.energy, rel=1e-13)
    for name in ("forces", "site_energies", "hvp"):
        total, want = sum(getattr(p, name) for p in parts), getattr(whole, name)
        assert np.abs(total - want).max() < 1e-12 * np.abs(want).max()


def test_atoms_that_follow_have_the_mesh_s_shift(region):
    """At a homogeneous state each atom lies where the crystal has it, and the map is affine with an exact adjoint."""
    mesh, law = region.mesh, region.law
    g = np.zeros((3, 3))
    g[: mesh.dim, : mesh.dim] = 0.03 * np.random.default_rng(5).standard_normal((mesh.dim, mesh.dim))
    F, n_q = np.eye(3) + g, region.n_dofs + 4
    dofs = np.arange(4, n_q)
    x = np.vstack([mesh.nodes @ F.T, region.reference[region.n_nodes :]])
    q = np.vstack([np.zeros((4, 3)), region.relaxed(x)])
    lower, upper = mesh.points.min(axis=0), mesh.points.max(axis=0)
    points = np.zeros((30, 3))
    points[:, : mesh.dim] = np.random.default_rng(2).uniform(lower, upper, (30, mesh.dim))
    sublattice = np.arange(30) % 2
    place = region.follow(points, sublattice, dofs, n_q)
    p = law.shifts(g[None, : mesh.dim, : mesh.dim])[0]
    want = points @ F.T
    want[:, mesh.dim :] = points[:, mesh.dim :]
    assert place.place(q) == pytest.approx(want + p[sublattice], abs=1e-9)
    f = np.random.default_rng(3).standard_normal((30, 3))
    v = np.random.default_rng(4).standard_normal(q.shape)
    assert np.sum(place.pull(f) * v) == pytest.approx(np.sum(f * place.push(v)), rel=1e-12)


# -- silicon in a mesh ----------------------------------------------------------------------------------------------

SILICON = {"free": 6.5, "blend": 4.2, "half": 21.0, "pad": 9.5}


class ShiftBlock(Block):
    """The silicon block with its own Cauchy–Born law and the shifts among the shared dofs: atoms, nodes, shifts."""

    @cached_property
    def region(self):
        m = self.material
        cell = m.a / 2 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]])
        law = CauchyBorn(m.model, cell, [m.symbol] * 2, m.basis - m.basis.mean(axis=0))
        return MultilatticeRegion(
            self.mesh, law, site_volume=m.a**3 / 8, thickness=m.a if self.dim == 2 else 1.0, quadrature_degree=1
        )

    @cached_property
    def n_q(self):
        return self.n_free + self.region.n_dofs

    @cached_property
    def dofs(self):
        return np.arange(self.n_free, self.n_q)

    @cached_property
    def reference(self):
        return np.concatenate([self.atoms[0][: self.n_free], self.region.reference])

    def fixed(self):
        mask = np.zeros((self.n_q, 3), dtype=bool)
        nodes = self.n_free + np.arange(len(self.mesh.nodes))
        mask[nodes, self.dim :] = True
        mask[self.n_free + self.mesh.boundary_nodes(lambda X: np.abs(X).max(axis=1) > self.half - 1e-6)] = True
        return mask

    def stretched(self, H):
        F = np.eye(3) + H
        q = self.reference.copy()
        q[: self.n_free + self.region.n_nodes] = q[: self.n_free + self.region.n_nodes] @ F.T
        q[self.dofs] = self.region.relaxed(q[self.dofs])
        p = self.region.law.shifts(H[None, : self.dim, : self.dim])[0]
        q[: self.n_free] += p[self.atoms[1][: self.n_free]]
        return q

    def ml(self):
        X, basis, _ = self.atoms
        follow = self.region.follow(X[self.n_free :], basis[self.n_free :], self.dofs, self.n_q)
        return self.ml_region(), stack(select(np.arange(self.n_free), self.n_q), follow)

    def fem(self):
        return self.region, select(self.dofs, self.n_q)


def patch(block, coupler, stretches):
    model, out = block.model(coupler), []
    for s in stretches:
        q = block.stretched(gradient(block.dim, s))
        model.prepare(q)
        out.append(float(np.abs(model.evaluate(q).forces[block.interior()]).max()))
    return np.array(out)


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("coupler", [ForceBlend(), GhostCorrected()], ids=["forces", "corrected"])
def test_patch_test_of_silicon_is_passed_at_finite_strain(coupler, dim):
    """To round-off at every strain, where atoms that follow by a linear shift leave an error of second order."""
    stretches = (0.0, 0.005, 0.02, -0.02)
    assert patch(ShiftBlock("si", dim, **SILICON), coupler, stretches).max() < 1e-9
    linear = patch(Block("si", dim, **SILICON), coupler, stretches)
    assert linear[2] > 1e-4 and linear[1] / linear[2] == pytest.approx(1 / 16, rel=0.2)


@pytest.mark.parametrize("dim", [2, 3])
def test_plain_energy_blending_pulls_at_the_shifts(dim):
    """The ghost force on shifts is of first order in the strain, and there even where displacements are corrected alone."""
    block = ShiftBlock("si", dim, **SILICON)
    model, found = block.model(EnergyBlend()), []
    for s in (0.0025, 0.005):
        forces = model.evaluate(block.stretched(gradient(dim, s))).forces
        found.append(float(np.abs(forces[block.n_free + block.region.n_nodes :]).max()))
    assert found[1] / found[0] == pytest.approx(2.0, rel=0.1) and found[0] > 1e-4


@pytest.mark.parametrize("linear", ["direct", "krylov"])
def test_newton_s_method_on_atoms_nodes_and_shifts(linear):
    """A vacancy cell taken out of silicon in plane strain: one system, a few steps."""
    block = ShiftBlock("si", 2, vacancy=True, **SILICON)
    model = block.model(GhostCorrected())
    q = block.stretched(gradient(2, 0.005))
    model.prepare(q)
    steps = list(newton(model, q, fmax=1e-8, linear=linear, rtol=1e-10))
    assert steps[-1].converged and steps[-1].index <= 12


def test_bravais_lattices_have_no_shifts():
    with pytest.raises(MultiscaleError, match="two or more atoms"):
        MultilatticeRegion(MESHES["2d-p1"], aluminium(), site_volume=16.0)
