#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
#
# First step of `make setup`: finds a Python 3.13, 3.12 or 3.11 that really works and hands over to
# dev/setup_venv.py. A found name proves nothing (a pyenv shim may exist and end with status 127), so each
# candidate is run. As root on Debian a missing Python is installed; otherwise the command to do so is printed.
set -eu
cd "$(dirname "$0")/.."

works() {
    # Not an interpreter of a virtual environment: ours may be replaced while it runs.
    "$1" -c '
import sys
assert (3, 11) <= sys.version_info[:2] <= (3, 13) and sys.prefix == sys.base_prefix
import ssl, venv, ensurepip' >/dev/null 2>&1
}

find_python() {
    for version in 3.13 3.12 3.11; do
        for candidate in "python$version" "/usr/bin/python$version" "/usr/local/bin/python$version" \
            "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version".*/bin/python; do
            if works "$candidate"; then
                "$candidate" -c 'import sys; print(sys.executable)'
                return 0
            fi
        done
    done
    return 1
}

if [ -n "${PYTHON:-}" ]; then
    works "$PYTHON" || { echo "setup: PYTHON=$PYTHON is no working Python 3.11 to 3.13 with venv" >&2; exit 1; }
    python=$PYTHON
elif ! python=$(find_python); then
    packages="python3 python3-venv"
    if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
        echo "setup: no usable Python 3.11 to 3.13; installing $packages with apt-get"
        apt-get update -q
        DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $packages
    fi
    if ! python=$(find_python); then
        echo "setup: a Python 3.11, 3.12 or 3.13 with the venv module is needed. On Debian 12 or newer:" >&2
        echo "    sudo apt-get install $packages" >&2
        exit 1
    fi
fi

exec "$python" -u dev/setup_venv.py "$@"
