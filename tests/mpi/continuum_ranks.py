"""Evaluate continuum regions on all ranks of the world and print what rank 0 sums, as JSON, one line."""

import json
import sys

import numpy as np
from mpi4py import MPI

from multiscale.continuum.laws import LinearElastic, NeoHookean
from multiscale.continuum.mesh import SimplexMesh
from multiscale.continuum.voigt import cubic_stiffness
from multiscale.region import Can, Query
from multiscale.regions.continuum import ContinuumRegion
from multiscale.types import Team

EVERYTHING = Can.ENERGY | Can.FORCES | Can.SITE_ENERGIES | Can.HVP

MESHES = {
    "plane": SimplexMesh.rectangle((0, 0), (40, 30), (6, 5), 2),
    "solid": SimplexMesh.box((0, 0, 0), (20, 30, 10), (3, 4, 2), 1),
    "solid-p2": SimplexMesh.box((0, 0, 0), (20, 30, 10), (2, 2, 2), 2),
    "two cells": SimplexMesh.rectangle((0, 0), (10, 10), (1, 1), 2),
}


def measure(mesh, law, team):
    """Everything that must not depend on the number of ranks."""
    region = ContinuumRegion(mesh, law, site_volume=20.0)
    region.bind(team)
    rng = np.random.default_rng(0)
    x = mesh.nodes + 0.2 * rng.standard_normal(mesh.nodes.shape)
    w, v = rng.random(region.n_sites), rng.standard_normal(x.shape)
    a = region.evaluate(x, Query(EVERYTHING, w, v))
    stiff = region.stiffness(x, w) @ v.ravel()
    fixed = np.zeros(x.shape, dtype=bool)
    fixed[mesh.boundary_nodes(lambda X: X[:, 0] == 0)] = True
    load = np.zeros(x.shape)
    load[mesh.boundary_nodes(lambda X: X[:, 0] == mesh.nodes[:, 0].max()), 0] = 0.02
    solved = region.solve(mesh.nodes, fixed, forces=load)
    everywhere = team.comm.allgather(solved.tobytes())
    add = team.comm.allreduce
    return {
        "energy": add(a.energy),
        "forces": add(a.forces).ravel().tolist(),
        "site_energies": add(a.site_energies).tolist(),
        "hvp": add(a.hvp).ravel().tolist(),
        "stiffness": add(stiff).tolist(),
        "solved": solved.ravel().tolist(),
        "replicated": len(set(everywhere)) == 1,
        "cells": add(len(region.forms.cells)),
    }


def main():
    comm = MPI.COMM_WORLD
    team = Team(comm.Get_rank(), comm.Get_size(), comm)
    laws = {"linear": LinearElastic(cubic_stiffness(151.42, 76.42, 56.45)), "neo-Hookean": NeoHookean(60.0, 50.0)}
    out = {f"{m} {k}": measure(mesh, law, team) for m, mesh in MESHES.items() for k, law in laws.items()}
    if comm.Get_rank() == 0:
        sys.stdout.write(json.dumps(out) + "\n")


if __name__ == "__main__":
    main()
