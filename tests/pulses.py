"""Problems for tests of models that follow their core: a pulse in a chain of Morse bonds, whose strained bonds have a stiffer model.

q = [atoms of the chain]; the core is found by what the bonds look like, or is a few atoms around a place
"""

from __future__ import annotations

import numpy as np

from couplers import EnergyBlend, Subtractive
from multiscale import HybridModel, Interface, Nested, Ranks
from multiscale.drive import Follow, verlet
from multiscale.embedding import select
from multiscale.regions.chain import ChainRegion, MorsePair

N = 96
A = MorsePair().equilibrium()
X = np.zeros((N, 3))
X[:, 0] = A * np.arange(N)
M = np.ones(N)
LOW, HIGH = MorsePair(), MorsePair(alpha=4.4, depth=1.1)


def pulse(height=0.8, width=3.0, at=20):
    v = np.zeros((N, 3))
    v[:, 0] = height * np.exp(-(((np.arange(N) - at) / width) ** 2))
    return v


def strained(q, threshold=0.03):
    """The atoms at both ends of strained bonds."""
    bad = np.abs(np.diff(q[:, 0]) - A) > threshold
    return np.append(bad, False) | np.append(False, bad)


def built(ranks=None):
    def build(q, members):
        place = select(members, N)
        regions = {
            "all": ChainRegion(X, LOW),
            "qm": (ChainRegion(X[members], HIGH), place),
            "ml_qm": (ChainRegion(X[members], LOW), place),
        }
        return HybridModel(Interface(X, regions, Nested([], rest="all")), Subtractive(), ranks or Ranks())

    return build


def plain(q):
    return HybridModel(Interface(X, {"all": ChainRegion(X, LOW)}, Nested([], rest="all")), EnergyBlend())


def around(q, place):
    """A core of a few atoms around a place."""
    return np.abs(q[:, 0] - place * A) < 2.5 * A


START = X.copy()
START[40, 0] += 0.1


def following(core=strained, q=START, kind=Follow, ranks=None, **more):
    return kind(built(ranks), core, q, inner=3.5 * A, outer=6.5 * A, ranks=ranks, **more)


def total(step):
    return step.energy + 0.5 * float(M @ (step.velocities**2).sum(axis=1))


def trajectory(model, q=START, steps=300, dt=0.01, v=None):
    return list(verlet(model, q, pulse(at=40) if v is None else v, dt=dt, steps=steps, masses=M))
