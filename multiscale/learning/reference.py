"""Labels from the reference method: E and F = −∂E/∂x of capped clusters, exactly as a QM region would give them."""

from __future__ import annotations

import logging
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator

import ase
import numpy as np

from ..region import Query
from ..regions.qm import QMRegion
from ..types import MultiscaleError

log = logging.getLogger(__name__)


def label(
    configurations: Iterable[ase.Atoms], *, max_force: float = 20.0, dropped: Counter[str] | None = None
) -> Iterator[ase.Atoms]:
    """The configurations with ``REF_energy`` (eV) and ``REF_forces`` (eV/Å), the free energy and forces of a QM region.

    Parameters
    ----------
    configurations : iterable of ase.Atoms
        Clusters without a cell.
    max_force : float
        eV/Å; configurations with a larger force on some atom are dropped.
    dropped : Counter, optional
        Counts why configurations are dropped: ``"not converged"`` (at the first attempt),
        ``"force"``.
    """
    dropped = Counter() if dropped is None else dropped
    with tempfile.TemporaryDirectory() as folder:
        for atoms in configurations:
            # No ladder: its upper rungs are another functional, its lower ones take a minute, and there are other
            # configurations. Charges that settle do so within some 30 iterations.
            region = QMRegion(atoms, failures=folder, ladder=(), max_iterations=150)
            try:
                answer = region.evaluate(region.reference, Query())
            except MultiscaleError:
                dropped["not converged"] += 1
                continue
            if answer.forces is None or np.linalg.norm(answer.forces, axis=1).max() > max_force:
                dropped["force"] += 1
            else:
                atoms.info["REF_energy"] = answer.energy
                atoms.arrays["REF_forces"] = answer.forces
                yield atoms
