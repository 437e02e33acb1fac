#!/usr/bin/env bash
# Style and types. `scripts/lint.sh --fix` mends what can be mended.
set -uo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
bin=${VENV:-.venv}/bin
status=0
if [[ ${1:-} == --fix ]]; then
    "$bin/ruff" check --fix . || status=$?
    "$bin/ruff" format . || status=$?
else
    "$bin/ruff" check . || status=$?
    "$bin/ruff" format --check . || status=$?
fi
"$bin/mypy" || status=$?
exit $status
