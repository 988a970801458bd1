#!/bin/sh
# Builds .venv from the hashed locks. `make venv` calls it when there is none yet or a lock has changed.
# PYTHON names the interpreter; without it the first of the usual names that is new enough is taken.
set -eu
cd "$(dirname "$0")/.."
venv=.venv
new_enough='import sys; sys.exit(sys.version_info < (3, 11))'

find_python() {
    for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11 python}; do
        if "$candidate" -c "$new_enough" 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "Python 3.11 or newer is needed, and none was found; install one, or name it: make venv PYTHON=/path/to/python3" >&2
    return 1
}

# A Python without ensurepip (Debian's, when python3-venv is missing) lends its own pip instead.
make_environment() {
    "$1" -m venv --clear "$venv" >/dev/null 2>&1 && return
    "$1" -m venv --clear --without-pip "$venv" && "$1" -m pip --version >/dev/null 2>&1 && return
    rm -rf "$venv"
    echo "This Python can't make a virtual environment; on Debian: apt-get install python3-venv" >&2
    return 1
}

pip_install() {
    if "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$1"
    else
        "$python" -m pip --python "$venv/bin/python" install --quiet --disable-pip-version-check --require-hashes -r "$1"
    fi
}

python=$(find_python)
"$venv/bin/python" -c "$new_enough" 2>/dev/null || make_environment "$python"
echo "Installing requirements/dev.txt into $venv (hashes checked) ..." >&2
if pip_install requirements/uv.txt &&
    "$venv/bin/uv" pip sync --quiet --python "$venv/bin/python" --require-hashes requirements/dev.txt; then
    exit 0
fi
echo "uv can't do it here; pip takes its place, which is slower ..." >&2
pip_install requirements/dev.txt
