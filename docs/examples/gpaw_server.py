"""GPAW behind a socket: /usr/bin/python3 gpaw_server.py SOCKET START.xyz, alone or under mpirun; stops when the socket does.

Runs in GPAW's own process and Python; nothing of this package is imported here.
"""

import sys

from ase.calculators.socketio import SocketClient
from ase.io import read
from gpaw import GPAW
from gpaw.mpi import world

socket, start = sys.argv[1:3]
atoms = read(start, format="extxyz")
tight = {"energy": 1e-6, "density": 1e-6, "eigenstates": 1e-10}
atoms.calc = GPAW(
    mode="lcao", basis="dzp", xc="PBE", h=0.2, convergence=tight, txt="gpaw.txt" if world.rank == 0 else None
)
SocketClient(unixsocket=socket, comm=world).run(atoms)
