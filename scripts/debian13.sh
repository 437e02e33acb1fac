#!/usr/bin/env bash
# Runs the tests that touch finite elements with Debian 13's DOLFINx, in a root directory of its own:
#
#   scripts/debian13.sh [SUITE] [pytest's arguments]      SUITE: trixie (Debian 13; the default), sid
#
# debootstrap makes the root once, from its default mirror; in it scripts/setup.sh does what it does for everybody on
# that Debian, on a copy of this checkout. Everything is mounted in a namespace that ends with the command, so that
# nothing stays mounted or running, and nothing outside the root is written (only debootstrap is installed by apt where
# it is missing). Where a root cannot be made, one line says why and the exit status is 0; a failing set-up or test fails.
#
#   MULTISCALE_ROOTS=DIR  where roots are kept (5 GB each), instead of /var/tmp/multiscale-roots
set -uo pipefail

script=$(readlink -f "${BASH_SOURCE[0]}")
checkout=$(dirname "$(dirname "$script")")
venv=/opt/multiscale # in the root, as /multiscale, the copy of the checkout
# Seconds that no step exceeds: a dead network must not hold up continuous integration.
limit_apt=120 limit_debootstrap=240 limit_setup=900 limit_tests=900
tests=(
    tests/test_continuum.py tests/test_mesh.py tests/test_jintegral.py tests/test_kfield.py tests/test_model.py
    tests/test_cauchy_born.py tests/test_multilattice.py tests/test_ml_fem.py tests/test_mpi_hybrid.py
    tests/test_failures_petsc.py tests/test_case.py tests/test_phase_field.py tests/test_cohesive.py
    tests/test_trapping.py tests/test_running_crack.py tests/test_axial.py tests/test_gap.py
    tests/test_cases.py::test_si_crack_without_its_quantum_core
    'tests/test_cases.py::test_benchmarks_run_through[bench_relaxation]'
)

say() { echo "$name: $*"; }
fail() { echo "$name: failed: $*" >&2; exit 1; }
skip() { echo "$name: skipped: $*"; exit 0; }

# --- in the namespace ------------------------------------------------------------------------------------------------

# The host's ways to the network, in memory: proxies and certificates of apt and pip. None of it reaches the disk.
host_settings() {
    local host=$root/run/host file bundle=
    mkdir -p "$host/xdg/pip" "$host/.config/pip"
    cat /etc/resolv.conf >"$root/etc/resolv.conf"
    cat /etc/hosts >"$root/etc/hosts"
    # dpkg's own paths and the programs that apt calls belong to the root; only how to fetch is passed on.
    apt-config dump 2>/dev/null | grep -E '^Acquire::(https?|Check-Valid-Until|Check-Date)[: ]' |
        grep -vi auto-detect >"$host/apt.conf"
    for file in "${PIP_CERT:-}" "${SSL_CERT_FILE:-}" "${REQUESTS_CA_BUNDLE:-}" /etc/ssl/certs/ca-certificates.crt \
        /etc/pki/tls/certs/ca-bundle.crt; do
        if [[ -z $bundle && -f $file ]]; then bundle=$file; fi
    done
    if [[ -n $bundle ]]; then
        cp "$bundle" "$host/ca.crt"
        echo 'Acquire::https::CaInfo "/run/host/ca.crt";' >>"$host/apt.conf"
        export PIP_CERT=/run/host/ca.crt SSL_CERT_FILE=/run/host/ca.crt REQUESTS_CA_BUNDLE=/run/host/ca.crt
    fi
    echo 'Acquire::Retries "2"; Acquire::http::Timeout "30"; Acquire::https::Timeout "30";' >>"$host/apt.conf"
    [[ ! -f /etc/pip.conf ]] || cp /etc/pip.conf "$host/xdg/pip/pip.conf"
    for file in "$HOME/.pip/pip.conf" "$HOME/.config/pip/pip.conf" "${PIP_CONFIG_FILE:-}"; do
        [[ ! -f $file ]] || cp "$file" "$host/.config/pip/pip.conf"
    done
}

# Of the host's environment the root sees what it takes to reach a package index, and how to print.
clean_environment() {
    local variable keep=(
        http_proxy https_proxy ftp_proxy all_proxy no_proxy HTTP_PROXY HTTPS_PROXY FTP_PROXY ALL_PROXY NO_PROXY
        PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_FIND_LINKS PIP_NO_INDEX PIP_TRUSTED_HOST PIP_PROXY PIP_CERT
        PIP_DEFAULT_TIMEOUT PIP_TIMEOUT PIP_RETRIES SSL_CERT_FILE REQUESTS_CA_BUNDLE
        OPENBLAS_CORETYPE OPENBLAS_L2_SIZE TERM COLUMNS NO_COLOR CI PYTHONUNBUFFERED
    )
    for variable in $(compgen -e); do
        [[ " ${keep[*]} " == *" $variable "* ]] || unset "$variable"
    done
    export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 HOME=/run/host
    export XDG_CONFIG_DIRS=/run/host/xdg XDG_CACHE_HOME=/var/cache/multiscale APT_CONFIG=/run/host/apt.conf
    export VENV=$venv PIP_NO_CACHE_DIR=1 PIP_NO_COMPILE=1 OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
}

# enter ROOT DIRECTORY COMMAND ...
enter() {
    local root=$1 directory=$2 node
    shift 2
    mount -t proc proc "$root/proc" && mount -o bind,ro /sys "$root/sys" && mount -t tmpfs tmpfs "$root/run" &&
        mount -t tmpfs tmpfs "$root/dev" && mkdir "$root/dev/pts" "$root/dev/shm" &&
        mount -t devpts -o newinstance,ptmxmode=666 devpts "$root/dev/pts" &&
        mount -t tmpfs tmpfs "$root/dev/shm" || exit 125
    for node in null zero full random urandom tty; do
        touch "$root/dev/$node"
        mount --bind "/dev/$node" "$root/dev/$node" || exit 125
    done
    ln -s pts/ptmx "$root/dev/ptmx"
    ln -s /proc/self/fd "$root/dev/fd"
    host_settings
    clean_environment
    # No exec: this shell is process 1 of the namespace and takes in the orphans of mpirun.
    chroot "$root" bash -c 'cd "$1" && shift && "$@"' bash "$directory" "$@"
    exit $?
}

if [[ ${1:-} == --enter ]]; then
    shift
    enter "$@"
fi

# --- outside ---------------------------------------------------------------------------------------------------------

suite=trixie
if [[ ${1:-} =~ ^[a-z]+$ ]]; then
    suite=$1
    shift
fi
name=$([[ $suite == trixie ]] && echo debian13 || echo "$suite")
roots=${MULTISCALE_ROOTS:-/var/tmp/multiscale-roots}
root=$roots/$suite

# within SECONDS DIRECTORY COMMAND ...: in the root. When unshare ends or is killed, so does all that it started.
within() {
    local seconds=$1
    shift
    timeout --foreground -s KILL "$seconds" \
        unshare --mount --pid --fork --kill-child bash "$script" --enter "$root" "$@" </dev/null
}

# Whether a log tells of a network that is not there, rather than of packages that do not fit.
network_failed() {
    grep -qiE 'could not resolve|name resolution|name or service not known|connection (refused|reset|timed out|failed)|no route to host|network is unreachable|could not connect|connection (broken|aborted)|timed out|failed to fetch|proxyerror|tunnel connection failed|certificate_verify_failed|max retries exceeded' \
        "$@" 2>/dev/null
}

last_line() { grep -v '^ *$' "$1" | tail -n 1; }

check_host() {
    [[ $(uname -s) == Linux ]] || skip "it needs Linux"
    [[ $(id -u) == 0 ]] || skip "making a root directory and entering it needs root"
    command -v unshare >/dev/null && unshare --mount --pid --fork true 2>/dev/null ||
        skip "this machine does not let root mount anything in a namespace of its own (unshare --mount)"
    mkdir -p "$roots" || skip "$roots cannot be written; MULTISCALE_ROOTS=DIR names another place"
    exec 9>"$roots/$suite.lock"
    flock -w 1200 9 || skip "another run has been using $root for 20 minutes"
}

get_debootstrap() {
    command -v debootstrap >/dev/null && return
    command -v apt-get >/dev/null || skip "debootstrap is not installed, and there is no apt to install it with"
    say "installing debootstrap with apt"
    local log=$roots/$suite.log
    { timeout -s KILL $limit_apt apt-get update -q &&
        DEBIAN_FRONTEND=noninteractive timeout -s KILL $limit_apt \
            apt-get install -qy --no-install-recommends debootstrap debian-archive-keyring; } >"$log" 2>&1 </dev/null ||
        skip "debootstrap is not installed, and apt could not install it: $(last_line "$log")"
}

make_root() {
    local log=$roots/$suite.log free proxy=
    free=$(df -Pk "$roots" | awk 'NR == 2 { print int($4 / 1e6) }')
    ((free >= 7)) || skip "the root needs 7 GB while it is made, and $roots has $free GB; MULTISCALE_ROOTS=DIR names another place"
    get_debootstrap
    say "making $root by debootstrap (a minute)"
    rm -rf "$root" "$root.part"
    eval "$(apt-config shell proxy Acquire::http::Proxy 2>/dev/null)"
    [[ -z $proxy || $proxy == DIRECT || -n ${http_proxy:-} ]] || export http_proxy=$proxy
    # A namespace here too: whatever debootstrap mounts goes with it, also when it is killed.
    if ! timeout -s KILL $limit_debootstrap unshare --mount --pid --fork --kill-child --mount-proc \
        debootstrap --variant=minbase "$suite" "$root.part" >"$log" 2>&1 </dev/null; then
        rm -rf "$root.part"
        skip "debootstrap could not make the root within $limit_debootstrap s: $(last_line "$log")"
    fi
    # A root that can be made anew needs no fsync for every file, and nobody reads manuals in it.
    printf '%s\n' force-unsafe-io 'path-exclude=/usr/share/doc/*' 'path-exclude=/usr/share/man/*' \
        'path-exclude=/usr/share/locale/*' >"$root.part/etc/dpkg/dpkg.cfg.d/multiscale"
    echo 'Acquire::Languages "none"; APT::Keep-Downloaded-Packages "false"; APT::Sandbox::User "root";' \
        >"$root.part/etc/apt/apt.conf.d/multiscale"
    printf '#!/bin/sh\nexit 101\n' >"$root.part/usr/sbin/policy-rc.d"
    # Python compiles what is imported; doing it for 500 packages costs a minute.
    chroot "$root.part" dpkg-divert --quiet --local --rename --add /usr/bin/py3compile
    printf '#!/bin/sh\nexit 0\n' >"$root.part/usr/bin/py3compile"
    chmod 755 "$root.part/usr/sbin/policy-rc.d" "$root.part/usr/bin/py3compile"
    mv "$root.part" "$root"
}

# The copy is made anew each time; the environment, which refers to it by name, stays.
copy_checkout() {
    rm -rf "$root/multiscale" "$root"/tmp/* && mkdir "$root/multiscale" || fail "$root/multiscale cannot be made"
    cd "$checkout" || exit 1
    if git rev-parse --git-dir >/dev/null 2>&1; then
        git ls-files -z --cached --others --exclude-standard --deduplicate |
            while IFS= read -r -d '' file; do [[ ! -e $file ]] || printf '%s\0' "$file"; done |
            tar -c --null -T -
    else
        tar -c --exclude='./.venv*' --exclude=./results --exclude=__pycache__ .
    fi | tar -x --no-same-owner -C "$root/multiscale" || fail "the checkout could not be copied to $root/multiscale"
}

set_up() {
    local log=$roots/$suite.log
    # A compiler that was killed leaves a lock that later runs would wait for.
    rm -rf "$root/var/cache/multiscale/fenics"
    within $limit_setup /multiscale scripts/setup.sh 2>&1 | tee "$log"
    local status=${PIPESTATUS[0]}
    [[ $status != 0 ]] || return 0
    [[ $status != 125 ]] || skip "this machine does not allow the mounts that the root needs"
    [[ $status != 137 ]] || skip "set-up in the root did not end within $limit_setup s"
    ! network_failed "$log" "$root"/tmp/multiscale-setup-*.log || skip "the network failed while packages were installed in the root"
    fail "set-up does not work on $suite"
}

check_host
# Without the mark of a finished set-up packages may be half configured.
[[ -f $root/ready ]] || make_root
copy_checkout
rm -f "$root/ready"
set_up
touch "$root/ready"
say "$(within 60 /multiscale $venv/bin/python -c '
import platform
import dolfinx, numpy, mpi4py, petsc4py, torch, ase
print("DOLFINx", dolfinx.__version__, "petsc4py", petsc4py.__version__, "mpi4py", mpi4py.__version__, "numpy", numpy.__version__,
      "torch", torch.__version__, "ase", ase.__version__, "Python", platform.python_version())')"
# Two files at a time, as in scripts/test.sh.
(($#)) || set -- -n 2 --dist loadfile "${tests[@]}"
within $limit_tests /multiscale $venv/bin/python -m pytest -q --durations=5 -p no:cacheprovider "$@"
status=$?
[[ $status != 137 ]] || fail "the tests did not end within $limit_tests s"
exit $status
