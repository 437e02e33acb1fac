#!/usr/bin/env bash
# Runs a Python script on N ranks with the settings that work on one machine:
#
#   scripts/mpi.sh N script.py [arguments]
#
# This is the one place where the project sets the environment of an MPI run; the Makefile and the tests use it.
#   OMP_NUM_THREADS=1              ranks are the parallelism; threads of every rank would fight for the same cores
#   OMPI_MCA_mpi_yield_when_idle   a waiting rank lets others work: with --bind-to none 20 times faster set-up
#   --bind-to none                 two runs at once do not share core 0
#   --oversubscribe                more ranks than cores, as tests need
#   python -m mpi4py               an exception on one rank ends all of them
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
ranks=${1:?usage: scripts/mpi.sh N script.py [arguments]}
shift
venv=${VENV:-$root/.venv}
[[ $venv == /* ]] || venv=$root/$venv
python=$venv/bin/python

# The launcher must belong to the MPI that mpi4py is built with: the one beside the base interpreter comes first.
mpirun=$("$python" -c 'import sys; print(sys.base_prefix)')/bin/mpirun
[[ -x $mpirun ]] || mpirun=$(command -v mpirun) || { echo "mpirun is not installed; run 'make setup'" >&2; exit 1; }

# A parent that has started MPI itself (a test runner) leaves traces that a new launcher takes for its own.
for name in $(compgen -e | grep -E '^(PMIX_|PMI_|OMPI_COMM_|OMPI_UNIVERSE|OMPI_APP_CTX|ORTE_|PRTE_LAUNCHED)' || true); do
    unset "$name"
done

export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} OPENBLAS_NUM_THREADS=${OPENBLAS_NUM_THREADS:-1}
options=()
if "$mpirun" --version 2>&1 | grep -qiE 'open ?mpi|prrte'; then
    export OMPI_MCA_mpi_yield_when_idle=1
    options=(--bind-to none --oversubscribe)
    [[ $(id -u) != 0 ]] || options+=(--allow-run-as-root)
fi
exec "$mpirun" "${options[@]}" -n "$ranks" "$python" -m mpi4py "$@"
