"""The environment for programs that a rank starts: a child sees no trace of the MPI run that its parent belongs to.

    rank of a run  →  [ environment without the launcher's variables ]  →  mpirun -n 4 code < input

Electronic-structure codes that ASE runs by files or sockets are mostly MPI programs of their own. One that finds the
variables of the parent's launcher takes itself for a rank of the parent's run: it fails at start, or waits for ranks
that never come.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

#: How the names begin that launchers give to what they start: PMI and PMIx (all launchers), Open MPI and PRRTE, Hydra
#: (MPICH, Intel), MVAPICH. Settings that a user makes (``OMPI_MCA_mpi_…``, ``SLURM_JOB_…``) are not among them.
MARKS = (
    "PMI_", "PMIX_", "PMI2_",
    "OMPI_COMM_WORLD_", "OMPI_UNIVERSE_", "OMPI_APP_CTX_", "OMPI_FIRST_RANKS", "OMPI_NUM_APP_CTX", "OMPI_COMMAND",
    "OMPI_ARGV", "OMPI_FILE_LOCATION", "OMPI_MCA_orte_", "OMPI_MCA_ess", "OMPI_MCA_pmix", "OMPI_MCA_initial_wdir",
    "ORTE_", "PRTE_", "HYDI_", "HYDRA_", "MPI_LOCAL", "MPIR_CVAR_CH3_INTERFACE", "MV2_COMM_WORLD_",
    "SLURM_PROCID", "SLURM_LOCALID", "SLURM_STEP_", "SLURM_STEPID", "SLURM_TASK_PID", "SLURM_GTIDS",
)  # fmt: skip


def without_launcher(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables of ``environment`` that no MPI launcher has made.

    Examples
    --------
    >>> without_launcher({"PATH": "/bin", "OMPI_COMM_WORLD_RANK": "1", "OMP_NUM_THREADS": "2"})
    {'PATH': '/bin', 'OMP_NUM_THREADS': '2'}
    """
    return {name: value for name, value in environment.items() if not name.startswith(MARKS)}


@contextmanager
def launcher_hidden() -> Iterator[None]:
    """Take the launcher's variables out of this process's environment, and put them back at the end.

    ASE starts programs with the environment of the process. MPI has read its variables when it was started and does not
    look again.
    """
    before = dict(os.environ)
    hidden = before.keys() - without_launcher(before).keys()
    for name in hidden:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update({name: before[name] for name in hidden})
