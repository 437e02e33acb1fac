"""A script without a case: one rank raises while the others wait; the launcher's `-m mpi4py` has to end them."""

from multiscale.ranks import world

ranks = world()
if ranks.rank == 1:
    raise RuntimeError("planted in a plain script")
ranks.barrier()
