#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
#
# `make lock`: solves the dependencies of pyproject.toml anew into requirements/*.txt, with hashes, for every
# supported Python at once. No file names a package index. Needs the .venv of `make setup`.
set -eu
cd "$(dirname "$0")/.."

solve() {
    output=requirements/$1.txt
    shift
    .venv/bin/uv --no-config pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade \
        --no-emit-index-url --no-emit-find-links --no-annotate --no-header --output-file "$output" "$@"
    {
        echo "# SPDX-License-Identifier: GPL-3.0-or-later"
        echo "# Made by make lock from pyproject.toml."
        cat "$output"
    } >"$output.new"
    mv "$output.new" "$output"
    echo "lock: $output: $(grep -c == "$output") packages"
}

solve base pyproject.toml --group stack
solve bootstrap --group bootstrap --constraint requirements/base.txt
solve dev pyproject.toml --group dev --constraint requirements/base.txt
solve galaxy --group galaxy
solve oldest --group oldest
solve go --group go
solve collections --group collections --no-deps
