# SPDX-License-Identifier: GPL-3.0-or-later
"""What is written per kind beside the CRDs is committed as it would be written now."""

from __future__ import annotations

import importlib.util

import pytest

from localstack.paths import ROOT

specification = importlib.util.spec_from_file_location("kinds", ROOT / "dev" / "kinds.py")
assert specification
assert specification.loader
kinds = importlib.util.module_from_spec(specification)
specification.loader.exec_module(kinds)


@pytest.mark.parametrize("path", kinds.files(), ids=lambda path: path.name)
def test_it_is_committed(path: object) -> None:
    assert path.read_text(encoding="utf-8") == kinds.files()[path], "run `make crds`"  # type: ignore[attr-defined]
