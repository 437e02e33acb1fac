"""Whether the better level's cluster is large enough: what one more shell of buffer changes in the core.

    max_i |F_i(n) − F_i(N)|  and  max_i |e_i(n) − e_i(N)|      over core atoms i, n bonds of buffer against the largest, N

Forces converge long before site energies; force mixing needs the first alone, moving weights need both.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..types import MultiscaleError
from .table import Gates, Row, judged

THICKER = "use more hops of buffer, or subtract the lower level on the same cluster (site_subtractive)"


def buffer_convergence(
    hops: Sequence[int],
    forces: Sequence[float],
    energies: Sequence[float] | None = None,
    gates: Gates | None = None,
    *,
    used: int | None = None,
) -> tuple[Row, ...]:
    """Rows on force and site energy of the core against the thickness of the buffer.

    Parameters
    ----------
    hops : (n,) sequence of int
        Thicknesses of the buffer, in bonds, ascending.
    forces : (n,) sequence of float
        eV/Å; largest difference of a core atom's force from that with the thickest buffer (zero for the last).
    energies : (n,) sequence of float, optional
        eV; the same of site energies, where the method has them.
    gates : Gates, optional
        ``buffer_force`` and ``buffer_energy``.
    used : int, optional
        The thickness of the run; the last but one unless given. The thickest cannot be judged by itself.

    Raises
    ------
    MultiscaleError
        If fewer than two thicknesses are given, or the one in use is the thickest.
    """
    gates, hops = gates or Gates(), list(hops)
    if len(hops) < 2 or len(forces) != len(hops) or (energies is not None and len(energies) != len(hops)):
        raise MultiscaleError(
            f"the convergence of a buffer needs two or more thicknesses with a number each, got {len(hops)} and {len(forces)}"
        )
    used = hops[-2] if used is None else used
    if used not in hops[:-1]:
        raise MultiscaleError(
            f"a buffer of {used} bonds cannot be judged by buffers of {hops}; study one that is thicker than the run's"
        )
    k, note = hops.index(used), f"{used} bonds against {hops[-1]}"
    rows = [judged("buffer, force", float(forces[k]), "eV/Å", gates.buffer_force, note, THICKER)]
    if energies is None:
        return (*rows, Row("buffer, site energy", None, "eV", note="the method has no site energies"))
    return (*rows, judged("buffer, site energy", float(energies[k]), "eV", gates.buffer_energy, note, THICKER))
