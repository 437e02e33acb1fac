"""The all-quantum reference of this case: formation energy and barrier of the vacancy in a whole host by GFN1-xTB.

    python cases/si_vacancy/all_quantum.py HOPS [IMAGES]        2: Si44H42, minutes; 3: Si98H78, hours; 0 images: no path

Writes ``all_quantum_HOPS.json`` into the working folder as it goes; its numbers enter ``all_quantum.json``.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
from describe import alone
from host import Host
from relaxing import minimum

from multiscale.mep import check_mep
from multiscale.neb import neb
from multiscale.regions.qm import QMRegion

#: Å; silicon's measured lattice constant. GFN1-xTB's own is 5.54: the hosts are compressed by 2 %, in all descriptions alike.
LATTICE = 5.43


def main(hops: int, images: int) -> None:
    """Relax the perfect host and the vacancy, then the path between the vacancy and its mirror image."""
    host, begun = Host(LATTICE, hops), time.perf_counter()
    file = Path(f"all_quantum_{hops}.json")
    found: dict[str, object] = {"host": str(host.perfect.symbols), "lattice constant": LATTICE}

    def keep(**values: object) -> None:
        found.update(values, seconds=time.perf_counter() - begun)
        file.write_text(json.dumps(found, indent=1) + "\n")
        print(values, flush=True)

    def make(atoms, links):
        return QMRegion(atoms, link_atoms=links)

    perfect = minimum(alone(host, False, make), host.perfect.positions)
    keep(perfect=perfect.energy)
    model = alone(host, True, make)
    start = np.delete(perfect.q, host.gone, axis=0)
    vacancy = minimum(model, start)
    np.save(f"all_quantum_{hops}_vacancy.npy", vacancy.q)
    keep(vacancy=vacancy.energy, formation_without_mu=vacancy.energy - perfect.energy)
    # Halfway the jumping atom is in the middle of the bond, and the state its own mirror image: forces keep it so, and
    # relaxation ends at the stationary point between the two vacancies without any band.
    middle = minimum(model, 0.5 * (vacancy.q + host.mirrored(vacancy.q)))
    np.save(f"all_quantum_{hops}_middle.npy", middle.q)
    keep(middle=middle.energy, barrier_by_symmetry=middle.energy - vacancy.energy)
    if images == 0:
        return
    path = neb(
        model, vacancy.q, host.mirrored(vacancy.q), images=images, fmax=0.03,
        report=lambda n, e, r: keep(step=n, profile=(e - e[0]).tolist(), residual=r),
    )  # fmt: skip
    np.save(f"all_quantum_{hops}_path.npy", path.images)
    keep(barrier=path.barrier, profile=(path.energies - path.energies[0]).tolist(), converged=path.converged)
    check = check_mep(model, path)
    keep(perpendicular=check.perpendicular, jump=check.jump, work=check.work)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 5)
