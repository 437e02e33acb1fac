"""How time per step grows with the number of GPUs: latency, bandwidth and geometry (an α–β model), not a measurement.

    t(P)  =  n c  +  h b  +  2 (L − 1) [ m α + β_net h F s + 2 β_host h F s ]  +  N r  +  t_sum
             model   list      features to ghosts, and gradients back             replicated     sum of forces
    n = N/P,      h = ((n v)^⅓ + 2 r_c)³/v − n,      t_sum = 2 ⌈log₂ P⌉ α + 2 · 24 N β_net (1 − 1/P)

n sites of volume v per rank in a cube, h ghosts within the cutoff r_c around it, L layers, F features of s bytes per ghost, m = 26
neighbours. What is replicated costs every rank N, whatever P: passes over q on the host, and the sum of the forces (here in
two passes over every byte, the least that a reduction needs).

References
----------
R. W. Hockney, Parallel Comput. 20 (1994) 389, https://doi.org/10.1016/S0167-8191(06)80021-9 (latency and bandwidth);
R. Thakur, R. Rabenseifner, W. Gropp, Int. J. High Perform. Comput. Appl. 19 (2005) 49, https://doi.org/10.1177/1094342005051521
(reductions).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from multiscale.types import MultiscaleError


@dataclass(frozen=True)
class Machine:
    """What a machine is assumed to do.

    Attributes
    ----------
    latency : float
        α, s per message, with the synchronisation of the GPU before it.
    network : float
        B/s that a rank sends or receives, 1/β_net.
    host : float or None
        B/s between a GPU and the memory of its host, 1/β_host; None where the network reads the GPU's memory.
    replicated : float
        r, s per atom of the *whole* system that every rank spends on passes over q.
    listing : float
        s per owned or ghost site and step for neighbours, b.
    """

    latency: float = 2e-5
    network: float = 25e9
    host: float | None = 25e9
    replicated: float = 0.0
    listing: float = 5e-8


@dataclass(frozen=True)
class Work:
    """What a model costs.

    Attributes
    ----------
    site : float
        c, s per site and evaluation with forces.
    volume : float
        v, Å³ per site.
    cutoff : float
        r_c, Å.
    layers : int
    features : int
        F, numbers per site between two layers.
    bytes : int
        s, of one number.
    """

    site: float
    volume: float
    cutoff: float
    layers: int
    features: int
    bytes: int = 4


#: Faces, edges and corners of a cube.
NEIGHBOURS = 26


def ghosts(own: float, work: Work) -> float:
    """Sites within the cutoff around a cube of ``own`` sites.

    Examples
    --------
    >>> round(ghosts(4096, Work(site=9e-6, volume=20.0, cutoff=5.0, layers=2, features=512)))
    4142
    """
    side = (own * work.volume) ** (1 / 3)
    return ((side + 2 * work.cutoff) ** 3) / work.volume - own


def parts(sites: float, ranks: int, work: Work, machine: Machine, replicated: bool = True) -> dict[str, float]:
    """Seconds per step by what they are spent on.

    Parameters
    ----------
    sites : float
        N, of the whole system.
    ranks : int
        P, one per GPU.
    work, machine
    replicated : bool
        Whether every rank holds all of q, as in this package; without, the sum of forces and the passes over q are left out.

    Raises
    ------
    MultiscaleError
        For fewer sites than ranks.
    """
    if ranks < 1 or sites < ranks:
        raise MultiscaleError(f"{sites:g} sites on {ranks} ranks; the model needs at least one site per rank")
    n = sites / ranks
    h = min(ghosts(n, work), sites - n)
    spent = {"model": n * work.site, "list": (n + h) * machine.listing, "features": 0.0, "replicated": 0.0, "sum": 0.0}
    if ranks > 1 and work.layers > 1:
        one = h * work.features * work.bytes
        staged = 2 * one / machine.host if machine.host else 0.0
        messages = min(NEIGHBOURS, ranks - 1) * machine.latency
        spent["features"] = 2 * (work.layers - 1) * (messages + one / machine.network + staged)
    if replicated:
        spent["replicated"] = sites * machine.replicated
        if ranks > 1:
            hops = 2 * math.ceil(math.log2(ranks)) * machine.latency
            spent["sum"] = hops + 2 * 24 * sites * (1 - 1 / ranks) / machine.network
    return spent


def efficiency(sites: float, ranks: int, work: Work, machine: Machine, replicated: bool = True) -> float:
    """Time of the model alone on ``ranks`` ranks over the time of a step: 1 is ideal."""
    spent = parts(sites, ranks, work, machine, replicated)
    return spent["model"] / sum(spent.values())


def ranks_for(loss: float, work: Work, machine: Machine) -> float:
    """The number of ranks at which replication takes ``loss`` of a step, whatever the number of sites (latency left out).

    P (r + 48 β_net)  =  loss/(1 − loss) · c
    """
    per_atom = machine.replicated + 2 * 24 / machine.network
    return loss / (1.0 - loss) * work.site / per_atom


#: MACE with 128 scalars and 128 vectors on a fast GPU with fused kernels: 9 µs per site, published (see docs/parallel.md).
DEAR = Work(site=9e-6, volume=20.0, cutoff=6.0, layers=2, features=512)
#: The same with unfused kernels, an estimate.
SLOW = Work(site=5e-5, volume=20.0, cutoff=6.0, layers=2, features=512)
