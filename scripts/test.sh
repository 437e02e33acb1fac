#!/usr/bin/env bash
# The whole examination: the project's tests, the conformance suite of every installed coupler and region, the linters.
# All three run even when one fails; the exit status is that of the first failure.
set -uo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
venv=${VENV:-.venv}
# One thread: the machine's cores belong to the ranks that tests start, and results do not depend on the machine.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} OPENBLAS_NUM_THREADS=${OPENBLAS_NUM_THREADS:-1}
options=(-q --durations=10)
status=0

step() {
    echo
    echo "== $1"
    shift
    "$@"
    local code=$?
    [[ $status != 0 ]] || status=$code
}

# Arguments may choose tests none of which has to be alone (pytest's 5).
alone() {
    "$venv/bin/python" -m pytest "${options[@]}" -m alone tests "$@"
    local code=$?
    [[ $code == 5 && $# -gt 0 ]] && return 0
    return $code
}

step "lint" bash scripts/lint.sh
# Two at a time where there are two cores; files stay together, since their fixtures are dear.
jobs=$(nproc --all 2>/dev/null || sysctl -n hw.ncpu 2>/dev/null || echo 1)
beside=(-n "$((jobs < 4 ? jobs : 4))" --dist loadfile)

step "conformance of every installed coupler and region" \
    "$venv/bin/python" -m pytest "${options[@]}" --pyargs multiscale.testing
step "tests" "$venv/bin/python" -m pytest "${options[@]}" "${beside[@]}" -m "not alone" tests "$@"
step "tests that start ranks, one at a time" alone "$@"
exit $status
