#!/usr/bin/env bash
# Sets up everything the project needs, once: system packages (only where FEniCSx is missing), a virtual environment
# that sees them, pinned Python packages, and the project itself. Run it again at any time: it does only what is
# missing. `make demo`, `make test` and the other commands call it first.
#
#   VENV=DIR           put the environment elsewhere than .venv
#   PYTHON=PATH        use this interpreter, which must be able to import dolfinx
#   TORCH=REQUIREMENT  another torch than the pinned one, such as 'torch==2.13.0+cu130'
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$(mkdir -p "${VENV:-$root/.venv}" && cd "${VENV:-$root/.venv}" && pwd)
python=$venv/bin/python
stamp=$venv/.setup-done
log=${TMPDIR:-/tmp}/multiscale-setup-$$.log
base=
constraints=

say() { echo "set-up: $*"; }
fail() { echo "set-up failed: $*" >&2; exit 1; }

# Runs a command with its output in the log; on failure shows the end of the log and one sentence.
quietly() {
    local sentence=$1
    shift
    "$@" >>"$log" 2>&1 </dev/null || { tail -n 15 "$log" >&2; fail "$sentence (the whole output is in $log)"; }
}

imports() { "$1" -c "import ${2}" >/dev/null 2>&1; }

# The interpreter behind a name: shims and virtual environments are resolved to the real executable.
real() { "$1" -c 'import sys; print(sys.executable)' 2>/dev/null || true; }

release() { (. /etc/os-release 2>/dev/null && echo "${!1:-}") || true; }

find_base() {
    local candidate exe
    for candidate in ${PYTHON:-${CONDA_PREFIX:+"$CONDA_PREFIX/bin/python"} python3 /usr/bin/python3}; do
        command -v "$candidate" >/dev/null || continue
        exe=$(real "$candidate")
        [[ -n $exe && $exe != "$venv"/* ]] || continue
        if imports "$exe" dolfinx,mpi4py,petsc4py; then
            base=$exe
            return 0
        fi
    done
    return 1
}

# Debian splits the parts of a working Python over packages; any of them may be missing beside a working dolfinx.
# h5py has to belong to the HDF5 of DOLFINx.
complete() { imports "$base" ensurepip,venv,h5py && find_mpirun >/dev/null && command -v c++ >/dev/null; }

find_mpirun() {
    local beside
    beside=$(dirname "$base")/mpirun
    if [[ -x $beside ]]; then echo "$beside"; else command -v mpirun; fi
}

install_system_packages() {
    local sudo='' packages=(python3-dolfinx python3-mpi4py python3-h5py openmpi-bin python3-venv python3-dev g++ python3-gmsh)
    command -v apt-get >/dev/null || fail "no interpreter here can import dolfinx, mpi4py and petsc4py, and there is" \
        "no apt to install them with; use conda: 'conda env create -f environment.yml', 'conda activate multiscale', then this command again"
    if [[ $(id -u) != 0 ]]; then
        command -v sudo >/dev/null || fail "installing system packages needs root: run as root" \
            "'apt-get install ${packages[*]}', then this command again"
        sudo=sudo
    fi
    # From Debian 13 on the default BLAS is slow, and the distribution's own torch is a CPU build that fits its numpy.
    [[ $(release VERSION_ID) == 12 ]] || packages+=(libopenblas0-pthread python3-torch)
    say "installing system packages with apt: ${packages[*]} (a minute or two)"
    quietly "apt could not update its package lists" $sudo apt-get update -q
    quietly "apt could not install ${packages[*]}" \
        $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${packages[@]}"
}

choose_constraints() {
    local tag=generic
    if [[ $base == /usr/bin/* && $(release ID) == debian ]]; then
        tag=debian$(release VERSION_ID)-$("$base" -c 'import sys; print("py%d%d" % sys.version_info[:2])')
    fi
    [[ -f $root/constraints/$tag.txt ]] || tag=generic
    echo "$root/constraints/$tag.txt"
}

# The distribution's builds of compiled packages belong together; pip must not replace one of them, except where
# the platform's own constraints file names a version that is known to work.
write_distribution_constraints() {
    "$base" - "$constraints" <<'EOF'
import importlib.metadata as metadata
import re
import sys

pinned = {re.split("[=<>]", line)[0].strip().lower() for line in open(sys.argv[1]) if line[:1].isalpha()}
keep = {"numpy", "scipy", "mpi4py", "petsc4py", "torch", "fenics-dolfinx", "fenics-basix", "fenics-ffcx", "fenics-ufl"}
for name, version in sorted({((d.name or "").lower(), d.version) for d in metadata.distributions()}):
    if name in keep - pinned:
        print(f"{name}=={version}")
EOF
}

make_venv() {
    local wanted have
    wanted=$("$base" -c 'import sys; print(sys.version_info[:2], sys.base_prefix)')
    have=$("$python" -c 'import sys; print(sys.version_info[:2], sys.base_prefix)' 2>/dev/null || true)
    local options=(--system-site-packages)
    [[ -z $have || $have == "$wanted" ]] || options+=(--clear)
    say "making the virtual environment $venv with $base"
    quietly "$base could not make a virtual environment in $venv" "$base" -m venv "${options[@]}" "$venv"
    # When the base is itself a virtual environment, the flag shows the system's packages and not the base's own.
    "$base" - "$python" <<'EOF'
import pathlib
import subprocess
import sys
import sysconfig

if sys.prefix != sys.base_prefix:
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    there = subprocess.run([sys.argv[1], "-c", ask], capture_output=True, text=True, check=True).stdout.strip()
    paths = dict.fromkeys(sysconfig.get_path(kind) for kind in ("purelib", "platlib"))
    pathlib.Path(there, "base-environment.pth").write_text("\n".join(paths) + "\n")
EOF
}

install_python_packages() {
    local distribution=$venv/distribution-constraints.txt torch pip extras=all
    write_distribution_constraints >"$distribution"
    torch=${TORCH:-$(grep -h '^torch==' "$constraints" "$distribution" | head -n 1 || true)}
    torch=${torch:-torch}
    pip=("$python" -m pip install --disable-pip-version-check --no-input -c "$constraints" -c "$distribution")
    # torch comes first and by itself: as somebody's dependency pip would take the newest build, with gigabytes of CUDA.
    # --upgrade is not given: a torch that is there and fits the constraints stays.
    say "installing $torch"
    quietly "pip could not install torch; where the package index has no CPU build, set PIP_EXTRA_INDEX_URL to the index of CPU builds that pytorch's own installation page names, and run this again" \
        "${pip[@]}" "$torch"
    say "installing the pinned Python packages of ${constraints#"$root"/} (a minute or two)"
    quietly "pip could not install the Python packages" "${pip[@]}" setuptools
    # dxtb's dependencies ask for numpy below 2. They run with numpy 2.2 as well (tests/test_tight_binding.py, Python 3.11), so that they go
    # in without pip's check where the distribution has that.
    if "$python" -c 'import numpy, sys; sys.exit(int(numpy.__version__.split(".")[0]) < 2)'; then extras=most; fi
    (cd "$root" && quietly "pip could not install the project" "${pip[@]}" --no-build-isolation -e ".[$extras]")
    if [[ $extras == most ]]; then
        quietly "pip could not install what dxtb needs" "${pip[@]}" opt-einsum psutil 'pydantic>=2' tomli tomli-w typing-extensions
        quietly "pip could not install dxtb" "${pip[@]}" --no-deps dxtb tad-dftd3 tad-dftd4 tad-mctc tad-multicharge
    fi
    # metatensor's wheels are compiled for the package index's torch. Beside the base's own (Debian's has another C++ ABI) they may not
    # load; without them the framework says what is missing, and nothing but exported models needs them.
    if imports "$base" torch && imports "$python" metatomic && ! imports "$python" metatomic.torch; then
        say "leaving out metatomic: its wheels do not load with the torch of $base"
        quietly "pip could not remove metatomic" \
            "$python" -m pip uninstall -qy --disable-pip-version-check metatomic-ase metatomic-torch metatensor-torch
    fi
    # A wheel's h5py finds the HDF5 that DOLFINx has loaded instead of its own, and fails; the distribution's fits it. Debian's
    # carries no metadata, so that pip installs another beside it.
    if imports "$base" h5py; then
        quietly "pip could not remove its h5py" "$python" -m pip uninstall -qy --disable-pip-version-check h5py
    fi
}

check() {
    local module
    local modules=(numpy scipy torch mace.modules mpi4py petsc4py dolfinx ase vesin tblite dxtb pyscf safetensors phonopy)
    # Not every platform has a build of it; nothing but exported models needs it.
    if imports "$python" metatomic; then modules+=(metatomic.torch); fi
    for module in "${modules[@]}"; do
        quietly "the new environment $venv cannot import $module" "$python" -c "import $module"
    done
}

# Of everything that the environment was made from; a change makes set-up run again.
fingerprint() {
    { echo "$base $constraints ${PYTHON:-} ${TORCH:-}"; cat "$constraints" "$root/pyproject.toml" "$root/scripts/setup.sh"; } | cksum
}

# Cheap, and enough to see that a venv made anew by hand has dropped the system's packages.
intact() {
    "$python" - <<'EOF' >/dev/null 2>&1
import importlib.util
import sys

names = ("dolfinx", "petsc4py", "mpi4py", "torch", "scipy", "multiscale")
sys.exit(any(importlib.util.find_spec(name) is None for name in names))
EOF
}

up_to_date() {
    [[ -f $stamp ]] || return 1
    { read -r base && read -r constraints && read -r made_from; } <"$stamp" || return 1
    [[ -f $constraints && $made_from == "$(fingerprint)" ]] && intact
}

# Two commands started at once must not build the environment at the same time.
if command -v flock >/dev/null; then
    exec 9<"${BASH_SOURCE[0]}"
    flock 9
fi
up_to_date && exit 0
rm -f "$stamp"
say "preparing $venv; this happens once"
if ! find_base; then
    [[ -z ${PYTHON:-} ]] || fail "PYTHON=$PYTHON cannot import dolfinx, mpi4py and petsc4py"
    install_system_packages
    find_base || fail "dolfinx was installed, but no interpreter can import it together with mpi4py and petsc4py"
fi
if ! complete; then
    [[ $base == /usr/bin/* ]] || fail "beside $base, mpirun, a C++ compiler, h5py or Python's venv module is missing;" \
        "install it in that environment"
    install_system_packages
    complete || fail "mpirun, a C++ compiler, h5py or Python's venv module is still missing after apt"
fi
constraints=$(choose_constraints)
make_venv
install_python_packages
check
printf '%s\n' "$base" "$constraints" "$(fingerprint)" >"$stamp"
rm -f "$log"
say "done"
