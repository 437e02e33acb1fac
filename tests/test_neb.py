"""Bands between minima of a hybrid, and the examination of the paths they give."""

from dataclasses import dataclass, field

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("vesin")

from ase.build import bulk

from couplers import EnergyBlend, ForceBlend
from multiscale import HybridModel, Interface, Nested, Sphere
from multiscale.coupler import Claims, Coupler, Evaluation
from multiscale.drive import relax
from multiscale.mep import check_mep
from multiscale.models import EAM
from multiscale.neb import neb
from multiscale.region import Can
from multiscale.regions import MLRegion
from multiscale.testing.problems import chain
from multiscale.types import MultiscaleError

#: Å; of the Ercolessi–Adams potential.
A0 = 4.032


@dataclass(frozen=True)
class Spoilt(Coupler):
    """Energy blending with a step in the energy, or a force that is not its gradient, halfway along the jump."""

    atom: int = 0
    at: float = 0.0
    step: float = 0.0
    push: float = 0.0
    inner: EnergyBlend = field(default_factory=EnergyBlend)
    needs = Can.ENERGY | Can.FORCES | Can.SITE_WEIGHTS
    claims = Claims(conservative=True, momentum=True, patch=False)

    def evaluate(self, q, interface, ask, prepared):
        e = self.inner.evaluate(q, interface, ask, prepared)
        beyond = q[self.atom, 1] > self.at
        forces = e.forces.copy()
        forces[self.atom, 1] += self.push * beyond
        return Evaluation(e.energy + self.step * beyond, forces, e.parts)


@pytest.fixture(scope="module")
def vacancy():
    """Aluminium, 107 atoms around a vacancy; the jumping atom, and the relaxed ends of its jump."""
    aluminium = bulk("Al", a=A0, cubic=True) * 3
    gone, jumps = 0, 1
    middle = 0.5 * (aluminium.positions[gone] + aluminium.positions[jumps])
    start, end = aluminium.positions.copy(), aluminium.positions.copy()
    end[jumps] = aluminium.positions[gone]
    del aluminium[gone]
    model = make(aluminium, middle)
    ends = [list(relax(model, q[1:], fmax=1e-3))[-1].q for q in (start, end)]
    return aluminium, middle, jumps - 1, ends


def make(aluminium, middle, coupler=None):
    regions = {name: MLRegion(EAM.ercolessi_adams(), aluminium) for name in ("high", "low")}
    partition = Nested([("high", Sphere(tuple(middle), 3.0), 6.0)], rest="low")
    return HybridModel(Interface(aluminium.positions, regions, partition), coupler or EnergyBlend())


@pytest.fixture(scope="module")
def paths(vacancy):
    aluminium, middle, _, (start, end) = vacancy
    model = make(aluminium, middle)
    return model, {n: neb(model, start, end, images=n, fmax=0.01) for n in (5, 9)}


def test_the_barrier_of_a_vacancy_in_aluminium(paths):
    """0.61 eV for this potential: F. Ercolessi and J. B. Adams, Europhys. Lett. 26 (1994) 583."""
    _, found = paths
    assert all(p.converged and p.residual <= 0.01 for p in found.values())
    assert found[9].barrier == pytest.approx(found[5].barrier, abs=2e-3)
    assert found[9].barrier == pytest.approx(0.61, abs=0.02)
    assert found[9].saddle == 4
    # A saddle point: no force is left on the climbing image, along the path neither.
    assert np.linalg.norm(found[9].forces[4], axis=1).max() < 0.02


def test_a_good_path_does_the_work_that_its_energies_say(paths):
    model, found = paths
    coarse, fine = (check_mep(model, found[n]) for n in (5, 9))
    # The potential's spline has kinks in its second derivative, which keep the error from falling faster.
    assert fine.work < 5e-3 and fine.work < 0.6 * coarse.work
    assert fine.jump < 0.5 * coarse.jump
    assert fine.perpendicular < 0.05


@pytest.mark.parametrize("spoil", [{"step": 0.05}, {"push": 0.5}])
def test_the_examination_catches_a_jump_and_a_wrong_force(vacancy, paths, spoil):
    aluminium, middle, jumps, (start, end) = vacancy
    model, found = paths
    at = 0.5 * (start[jumps, 1] + end[jumps, 1]) + 1e-3
    bad = make(aluminium, middle, Spoilt(atom=jumps, at=at, **spoil))
    good, caught = check_mep(model, found[9]), check_mep(bad, found[9])
    assert caught.work > 10 * good.work


def test_what_cannot_become_a_path_is_refused(vacancy):
    aluminium, middle, _, (start, end) = vacancy
    model = make(aluminium, middle)
    with pytest.raises(MultiscaleError, match="at least one between"):
        neb(model, start, end, images=2)
    with pytest.raises(MultiscaleError, match="end states of shape"):
        neb(model, start[1:], end)
    with pytest.raises(MultiscaleError, match="no energy"):
        neb(make(aluminium, middle, ForceBlend()), start, end)
    held = HybridModel(
        Interface(start, model.interface.regions, model.interface.partition, fixed=np.ones(len(start), bool)),
        EnergyBlend(),
    )
    with pytest.raises(MultiscaleError, match="dofs that are fixed"):
        neb(held, start, end)


def test_the_barrier_of_a_larger_crystal_is_the_published_one():
    """107 atoms are 15 meV too stiff; 499 leave 5 meV."""
    aluminium = bulk("Al", a=A0, cubic=True) * 5
    start, end = aluminium.positions.copy(), aluminium.positions.copy()
    end[1] = aluminium.positions[0]
    del aluminium[0]
    model = make(aluminium, 0.5 * (start[0] + start[1]))
    ends = [list(relax(model, q[1:], fmax=1e-3))[-1].q for q in (start, end)]
    path = neb(model, *ends, images=3, fmax=0.01)
    assert path.converged
    assert path.barrier == pytest.approx(0.61, abs=0.01)


def test_mesh_nodes_belong_to_the_path():
    """Atoms and elements under a load: the band climbs on the energies that the path reports, prescribed nodes included."""
    problem = chain(period=False)
    model = problem.model(EnergyBlend())
    n = model.interface.n_q
    model.interface.fixed[:] = False
    model.interface.fixed[[0, -1]] = True
    start = problem.stretch(1.01)
    end = start.copy()
    end[n // 2 - 2 : n // 2 + 2, 0] += 0.05
    seen = []
    path = neb(model, start, end, images=5, fmax=1e-3, max_steps=3, report=lambda k, e, r: seen.append(e))
    assert path.images[:, -1] == pytest.approx(np.broadcast_to(start[-1], (5, 3)))
    assert seen[-1] == pytest.approx(path.energies, abs=1e-10)
    # Nodes and atoms of the blend alike have moved off the straight line between the ends.
    straight = start + np.linspace(0, 1, 5)[:, None, None] * (end - start)
    moved = np.abs(path.images - straight).max(axis=(0, 2)) > 1e-6
    assert moved[1 : n // 2].any() and moved[n // 2 : -1].any()
