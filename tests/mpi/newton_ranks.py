"""Relax a vacancy in a mesh by Newton's method on all ranks of the world; print where it ends, as JSON, one line."""

import hashlib
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from blocks import Block, gradient  # noqa: E402

from couplers import ForceBlend  # noqa: E402
from multiscale.drive import newton  # noqa: E402
from multiscale.model import HybridModel  # noqa: E402
from multiscale.ranks import Ranks  # noqa: E402


def main(linear):
    ranks = Ranks()
    block = Block("lj", 3, vacancy=True)
    model = HybridModel(block.interface(), ForceBlend(), ranks)
    steps = list(newton(model, block.stretched(gradient(3, 0.005)), fmax=1e-10, linear=linear, rtol=1e-10))
    q = steps[-1].q
    digest = hashlib.sha256(q.tobytes()).hexdigest()
    same = ranks.world.comm is None or len(set(ranks.world.comm.allgather(digest))) == 1
    if ranks.world.rank == 0:
        found = {"q": q.ravel().tolist(), "steps": steps[-1].index, "same": same and steps[-1].converged}
        sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
