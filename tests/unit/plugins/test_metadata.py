# SPDX-License-Identifier: GPL-3.0-or-later
"""What the repository says in two places is the same in both."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import dbops_operator

ROOT = Path(__file__).resolve().parents[3]


def read(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def names(folder: str) -> list[str]:
    return sorted(path.stem for path in (ROOT / "plugins" / folder).glob("*.py"))


def test_the_dependencies_for_a_checkout_are_those_of_the_collection() -> None:
    listed = {one["name"]: one["version"] for one in read("requirements.yml")["collections"]}
    assert listed == read("galaxy.yml")["dependencies"]


def test_there_is_one_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert read("galaxy.yml")["version"] == project["version"] == dbops_operator.__version__


@pytest.mark.feature("A02")
def test_the_action_group_has_all_modules() -> None:
    # What asks a store only would refuse the connection, for which the group is.
    connecting = [name for name in names("modules") if name != "database_backup_info"]
    assert read("meta/runtime.yml")["action_groups"]["all"] == connecting


def test_each_module_has_an_action_plugin() -> None:
    assert names("modules") == names("action")


def test_each_role_says_that_it_needs_what_the_collection_needs() -> None:
    wanted = read("meta/runtime.yml")["requires_ansible"].removeprefix(">=").removesuffix(".0")
    roles = sorted((ROOT / "roles").iterdir())
    assert roles
    for role in roles:
        assert read(f"roles/{role.name}/meta/main.yml")["galaxy_info"]["min_ansible_version"] == wanted
