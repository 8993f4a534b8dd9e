# SPDX-License-Identifier: GPL-3.0-or-later
"""What is written from tables and models beside the CRDs is committed as it would be written now."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from localstack.paths import ROOT


def script(name: str) -> ModuleType:
    """A script of dev/ that `make` calls."""
    specification = importlib.util.spec_from_file_location(f"dev_{name}", ROOT / "dev" / f"{name}.py")
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("name", "command"), [("kinds", "make crds"), ("dashboards", "make dashboards")])
def test_it_is_committed(name: str, command: str) -> None:
    files: dict[Path, str] = script(name).files()
    for path, text in files.items():
        assert path.read_text(encoding="utf-8") == text, f"run `{command}`"
    for folder in {path.parent for path in files}:
        if folder.name in ("kinds", "dashboards"):
            assert set(folder.iterdir()) == {path for path in files if path.parent == folder}
